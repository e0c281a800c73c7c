package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/admin"
)

func (a *app) clientScore() *cobra.Command {
	c := &cobra.Command{
		Use:   "score CLIENT_ID",
		Short: "Say how good a client is, and what would make it better",
		Long: "Judges a client by the best current practice of OAuth (RFC 9700), OAuth 2.1 and RFC 8252, from 0 to 100.\n" +
			"A finding with a fix can be ended by idp client fix CLIENT_ID FINDING.",
		Args: exactly("CLIENT_ID"),
		RunE: a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			score, err := d.admin.ScoreClient(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(score, score.Grade, func(t *table) { scoreTable(t, score) })
		}),
	}
	a.outputFlags(c)
	return c
}

func scoreTable(t *table, score admin.ClientScore) {
	t.row(fmt.Sprintf("%d of 100, grade %s", score.Score, score.Grade))
	if len(score.Findings) == 0 {
		return
	}
	t.row()
	t.row("SEVERITY", "FINDING", "WHAT")
	for _, f := range score.Findings {
		t.row(string(f.Severity), f.ID, f.Sentence+" ("+f.Reference+")")
		if len(f.Concerns) > 0 {
			t.row("", "", "about "+strings.Join(f.Concerns, " "))
		}
		if f.Mind != "" {
			t.row("", "", "mind: "+f.Mind)
		}
		if len(f.Fix) > 0 {
			t.row("", "", "fix: "+string(f.Fix))
		}
	}
}

func (a *app) clientFix() *cobra.Command {
	c := &cobra.Command{
		Use:     "fix CLIENT_ID FINDING",
		Short:   "Make the change that ends a finding of idp client score",
		Example: "  idp client score wiki\n  idp client fix wiki pkce_optional",
		Args:    exactly("CLIENT_ID", "FINDING"),
		RunE: a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			client, err := d.admin.FixClient(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			v := viewClient(client)
			return a.show(v, v.ClientID, func(t *table) { clientTable(t, v) })
		}),
	}
	a.outputFlags(c)
	return c
}
