package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/idp"
	"idp/internal/snippets"
)

func (a *app) clientSnippet() *cobra.Command {
	c := &cobra.Command{
		Use:   "snippet CLIENT_ID",
		Short: "Write what its developers paste into their stack",
		Long: "Writes the configuration or code that makes a stack work with this client, filled with the client's values. The secret is never in it:\n" +
			"every text takes it from " + snippets.SecretVariable + ". What is wrong with the client for the stack is said on stderr.\n" +
			"Without --stack it lists the stacks that suit the client.",
		Example: "  idp client snippet wiki\n  idp client snippet wiki --stack spring",
		Args:    exactly("CLIENT_ID"),
	}
	stack := c.Flags().String("stack", "", "the stack to write for: "+strings.Join(snippets.Stacks(), ", "))
	list := c.Flags().Bool("list", false, "list the stacks that suit the client")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *list && *stack != "":
			return usage("--list and --stack exclude each other")
		case *stack != "" && !slices.Contains(snippets.Stacks(), *stack):
			return usage("--stack %s: there is none of that name%s", *stack, didYouMean(*stack, snippets.Stacks()))
		}
		return a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			found, client, err := d.snippets(ctx, args[0])
			if err != nil {
				return err
			}
			if *stack == "" {
				return a.listSnippets(found)
			}
			i := slices.IndexFunc(found, func(s snippets.Snippet) bool { return s.Stack == *stack })
			if i < 0 {
				return fmt.Errorf("%s does not suit client %q: idp client snippet %s lists what does", *stack, client.ClientID, client.ClientID)
			}
			return a.showSnippet(found[i])
		})(cmd, args)
	}
	_ = c.RegisterFlagCompletionFunc("stack", cobra.FixedCompletions(snippets.Stacks(), cobra.ShellCompDirectiveNoFileComp))
	a.outputFlags(c)
	return c
}

// snippets returns what suits a client of the configured issuer.
func (d *database) snippets(ctx context.Context, clientID string) ([]snippets.Snippet, idp.Client, error) {
	client, err := d.admin.Client(ctx, clientID)
	if err != nil {
		return nil, client, err
	}
	apis, err := d.admin.Resources(ctx)
	if err != nil {
		return nil, client, err
	}
	if d.issuer == "" {
		return nil, client, withCode(exitConfiguration, errors.New("the issuer is not known: set IDP_ISSUER, or serve once"))
	}
	return snippets.For(d.issuer, &client, apis), client, nil
}

func (a *app) listSnippets(found []snippets.Snippet) error {
	return showList(a, found, func(s snippets.Snippet) string { return s.Stack }, "Nothing suits the client: it has neither a grant that people sign in with nor one for services.", func(t *table) {
		t.row("STACK", "TITLE", "USE", "FITS")
		for _, s := range found {
			fits := "yes"
			if len(s.Problems) > 0 {
				fits = "no: " + s.Problems[0]
			}
			t.row(s.Stack, s.Title, string(s.Use), fits)
		}
	})
}

// showSnippet prints the texts alone to stdout, so that they can be kept in
// files, and what is to be said about them to stderr.
func (a *app) showSnippet(s snippets.Snippet) error {
	if a.output != "table" || a.quiet {
		return a.show(s, s.Stack, nil)
	}
	for _, problem := range s.Problems {
		fmt.Fprintln(a.Stderr, "does not fit: "+printable(problem))
	}
	fmt.Fprintln(a.Stderr, "mind: "+s.Trap)
	for _, file := range s.Files {
		if len(s.Files) > 1 {
			fmt.Fprintf(a.Stdout, "-- %s --\n", file.Name)
		}
		fmt.Fprint(a.Stdout, file.Text)
	}
	return nil
}
