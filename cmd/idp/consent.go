package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) consentCommand() *cobra.Command {
	return noun("consent", "What people allowed applications", anywhere(a.consentList(), a.consentRevoke())...)
}

type consentView struct {
	ClientID    string    `json:"client_id"`
	Scopes      []string  `json:"scopes"`
	Resources   []string  `json:"resources,omitempty"`
	Remembered  bool      `json:"remembered"`
	GrantedAt   time.Time `json:"granted_at"`
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"`
}

func (a *app) consentList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list USER",
		Short: "List what a person allowed",
		Args:  exactly("USER"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			consents, err := o.Consents(ctx, args[0])
			if err != nil {
				return err
			}
			var views []consentView
			for _, c := range consents {
				views = append(views, consentView{c.ClientID, c.Scopes, c.Resources, c.Remembered, c.GrantedAt, c.WithdrawnAt})
			}
			return showList(a, views, func(v consentView) string { return v.ClientID },
				"This person has allowed nothing yet.", func(t *table) {
					t.row("CLIENT_ID", "SCOPES", "GRANTED", "STATE")
					for _, v := range views {
						state := "once"
						if v.Remembered {
							state = "remembered"
						}
						if !v.WithdrawnAt.IsZero() {
							state = "withdrawn " + when(v.WithdrawnAt)
						}
						t.row(v.ClientID, strings.Join(v.Scopes, " "), when(v.GrantedAt), state)
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) consentRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke USER CLIENT_ID",
		Short: "Withdraw what a person allowed an application, and end what was issued under it",
		Args:  exactly("USER", "CLIENT_ID"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			if err := o.WithdrawConsent(ctx, args[0], args[1]); err != nil {
				return err
			}
			a.say("consent of %s to %s withdrawn", printable(args[0]), printable(args[1]))
			return nil
		}),
	}
}
