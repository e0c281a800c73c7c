package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain REQUEST_ID",
		Short: "Say how a request was decided, by which rules, and what would change it",
		Long: "Says how a request was decided: which rules it met, on what grounds, and what would change the outcome.\n" +
			"Error pages, the header X-Request-Id and the log name the request; its first characters will do.",
		Args: exactly("REQUEST_ID"),
	}
	c.RunE = a.withDatabase(func(ctx context.Context, d *database, args []string) error {
		e, err := d.admin.Explain(ctx, args[0])
		if err != nil {
			return err
		}
		return a.show(e, e.RequestID, func(t *table) { explanationTable(t, e) })
	})
	a.outputFlags(c)
	return c
}

func explanationTable(t *table, e idp.Explanation) {
	t.row(e.Summary)
	t.row("")
	t.field("request", e.RequestID)
	t.field("at", when(e.At))
	t.field("endpoint", e.Endpoint)
	t.field("grant_type", e.GrantType)
	t.field("client_id", e.ClientID)
	t.field("user_id", e.UserID)
	t.row("")
	for _, s := range e.Steps {
		mark := map[idp.Outcome]string{idp.Passed: "ok", idp.Asked: "ask", idp.Failed: "NO"}[s.Outcome]
		var facts []string
		for _, f := range s.Facts {
			facts = append(facts, f.Name+"="+f.Value)
		}
		if s.Outcome == idp.Passed {
			t.row(mark, strings.TrimSpace(string(s.Rule)+"  "+strings.Join(facts, "  ")))
			continue
		}
		t.row(mark, string(s.Rule))
		t.row("", s.Sentence)
		for _, f := range s.Facts {
			t.row("", "  "+f.Name+": "+f.Value)
		}
		t.row("", "written in: "+s.Reference)
		t.row("", "what helps: "+s.Hint)
	}
}
