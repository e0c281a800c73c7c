package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

// initialTokenView is an initial access token as it is printed. The token
// itself is there once, when it was made.
type initialTokenView struct {
	ID        string    `json:"id"`
	Token     string    `json:"registration_token,omitempty"`
	Label     string    `json:"label,omitempty"`
	Uses      int64     `json:"uses_left"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func viewInitialToken(t idp.InitialToken) initialTokenView {
	return initialTokenView{ID: t.ID.String(), Label: t.Label, Uses: t.Uses, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
}

func (a *app) registrationTokenCommand() *cobra.Command {
	return noun("registration-token", "Tokens that clients register themselves with (RFC 7591)",
		a.registrationTokenCreate(), a.registrationTokenList(),
		a.actionOn("registration token", "ID", "delete", "End a registration token; clients that used it stay", "deleted",
			func(ctx context.Context, o *objects, id string) error {
				return o.local.admin.DeleteInitialToken(ctx, id)
			}))
}

func (a *app) registrationTokenCreate() *cobra.Command {
	c := &cobra.Command{
		Use:   "create",
		Short: "Let somebody register clients; the token is shown this once",
		Long: "Makes a token that clients register themselves with at /oauth2/register, when registration.mode is token or open.\n" +
			"It is good for so many clients within the time, and is shown once.",
		Example: "  idp client registration-token create --label 'CI of the shop' --uses 5 --expires 7d",
		Args:    exactly(),
	}
	label := c.Flags().String("label", "", "what it is for")
	uses := c.Flags().Int("uses", 1, "how many clients may register with it")
	vouches := c.Flags().Bool("verified", false, "you vouch for the clients that register with it: people are not warned of them")
	expires := c.Flags().String("expires", "7d", "how long it is good for, up to 366d")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		life, err := parseDuration(*expires)
		if err != nil {
			return usage("--expires %s: %s", *expires, err)
		}
		return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			t, err := d.admin.CreateInitialToken(ctx, *label, *uses, life.std(), *vouches)
			if err != nil {
				return err
			}
			v := viewInitialToken(t)
			v.Token = d.master.MintOpaque(t.Opaque(*vouches), t.Salt)
			// Here the token is what --quiet asks for.
			return a.show(v, v.Token, func(out *table) {
				out.field("id", v.ID)
				out.field("registration_token", v.Token+"   (shown this once)")
				out.field("label", v.Label)
				out.field("uses_left", strconv.FormatInt(v.Uses, 10))
				out.field("expires_at", when(v.ExpiresAt))
			})
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) registrationTokenList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the registration tokens",
		Args:  exactly(),
		RunE: a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			all, err := d.admin.InitialTokens(ctx)
			if err != nil {
				return err
			}
			views := make([]initialTokenView, len(all))
			for i, t := range all {
				views[i] = viewInitialToken(t)
			}
			return showList(a, views, func(v initialTokenView) string { return v.ID },
				"There are no registration tokens. Make one: idp client registration-token create --help", func(t *table) {
					t.row("ID", "LABEL", "USES_LEFT", "EXPIRES_AT")
					for _, v := range views {
						t.row(v.ID, orDash(v.Label), strconv.FormatInt(v.Uses, 10), when(v.ExpiresAt))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}
