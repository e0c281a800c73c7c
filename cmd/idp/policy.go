package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) policyCommand() *cobra.Command {
	return noun("policy", "Sign-in policy: who needs more than a password, and for what", anywhere(
		a.policyCreate(), a.policyUpdate(), a.policyList(), a.policyGet(),
		a.actionOn("sign-in rule", "RULE", "delete", "Delete a sign-in rule", "deleted", func(ctx context.Context, o *objects, name string) error {
			return o.DeleteSignInRule(ctx, name)
		}))...)
}

// policyFlags are the fields of a sign-in rule as flags.
type policyFlags struct {
	cmd     *cobra.Command
	groups  *[]string
	clients *[]string
	acr     *string
	maxAge  *time.Duration
}

func newPolicyFlags(cmd *cobra.Command) policyFlags {
	return policyFlags{
		cmd:     cmd,
		groups:  cmd.Flags().StringArray("group", nil, "for members of this group only (repeatable)"),
		clients: cmd.Flags().StringArray("client", nil, "for this client only (repeatable)"),
		acr:     cmd.Flags().String("acr", "", "least class of sign-in: 1 one factor, 2 two factors, phr phishing-resistant, phrh by a key bound to its device"),
		maxAge:  cmd.Flags().Duration("max-age", 0, "how long ago the sign-in may be, such as 8h; 0 for any time"),
	}
}

func (f policyFlags) apply(r *idp.SignInRule) {
	changed := f.cmd.Flags().Changed
	if changed("group") {
		r.Groups = nonEmpty(*f.groups)
	}
	if changed("client") {
		r.Clients = nonEmpty(*f.clients)
	}
	if changed("acr") {
		r.ACR = *f.acr
	}
	if changed("max-age") {
		r.MaxAge = int(f.maxAge.Seconds())
	}
}

func (a *app) showRule(r idp.SignInRule) error {
	return a.show(r, r.Name, func(t *table) {
		t.field("name", r.Name)
		t.field("groups", r.Groups...)
		t.field("clients", r.Clients...)
		t.field("acr", r.ACR)
		t.field("max age", ruleAge(r))
	})
}

func ruleAge(r idp.SignInRule) string {
	if r.MaxAge == 0 {
		return ""
	}
	return Duration(time.Duration(r.MaxAge) * time.Second).String()
}

func (a *app) policyCreate() *cobra.Command {
	c := &cobra.Command{
		Use:   "create RULE",
		Short: "Add a sign-in rule",
		Long: "A sign-in must meet every rule that applies to the person and the application.\n" +
			"People who have no second factor yet are led to set one up.",
		Example: "  idp policy create admins --group idp-admins --acr 2 --max-age 8h",
		Args:    exactly("RULE"),
	}
	flags := newPolicyFlags(c)
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, args []string) error {
		r := idp.SignInRule{Name: args[0]}
		flags.apply(&r)
		if err := o.CreateSignInRule(ctx, r); err != nil {
			return err
		}
		return a.showRule(r)
	})
	a.outputFlags(c)
	return c
}

func (a *app) policyUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:   "update RULE",
		Short: "Change what the flags name, and nothing else",
		Long:  "Changes the fields whose flags are given. A list is replaced as a whole; giving its flag once with an empty value clears it.",
		Args:  exactly("RULE"),
	}
	flags := newPolicyFlags(c)
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, args []string) error {
		r, err := o.UpdateSignInRule(ctx, args[0], flags.apply)
		if err != nil {
			return err
		}
		return a.showRule(r)
	})
	a.outputFlags(c)
	return c
}

func (a *app) policyList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List all sign-in rules",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			rules, err := o.SignInRules(ctx)
			if err != nil {
				return err
			}
			return showList(a, rules, func(r idp.SignInRule) string { return r.Name },
				"There are no sign-in rules: a password is enough, and whoever set up a second factor uses it.\nAdd a rule: idp policy create --help", func(t *table) {
					t.row("NAME", "GROUPS", "CLIENTS", "ACR", "MAX AGE")
					for _, r := range rules {
						t.row(r.Name, orDash(strings.Join(r.Groups, " ")), orDash(strings.Join(r.Clients, " ")), orDash(r.ACR), orDash(ruleAge(r)))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) policyGet() *cobra.Command {
	c := &cobra.Command{
		Use:   "get RULE",
		Short: "Show one sign-in rule",
		Args:  exactly("RULE"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			r, err := o.SignInRule(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showRule(r)
		}),
	}
	a.outputFlags(c)
	return c
}
