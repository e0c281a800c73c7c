package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) adminCommand() *cobra.Command {
	return noun("admin", "Who manages things in the console", a.adminLink())
}

// adminLinkView is a link as printed.
type adminLinkView struct {
	Username  string    `json:"username,omitempty"`
	Link      string    `json:"link"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (a *app) adminLink() *cobra.Command {
	c := &cobra.Command{
		Use:   "link",
		Short: "Make a link with which somebody becomes an administrator, once",
		Long: "Makes a link to the console and prints it. While there is no administrator, whoever opens it makes the first one's account:\n" +
			"hand it over by a way that nobody else reads. With --user that person becomes an administrator and chooses a new password;\n" +
			"second factors stay as they are. It works once, for an hour; a newer one ends it.",
		Example: "  idp admin link\n  idp admin link --user alice",
		Args:    exactly(),
	}
	username := c.Flags().String("user", "", "an account that is there already")
	c.RunE = a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
		if d.issuer == "" {
			return usage("the link leads to the issuer: set IDP_ISSUER")
		}
		var u idp.User
		if *username != "" {
			var err error
			if u, err = d.admin.User(ctx, *username); err != nil {
				return err
			}
		} else if there, err := d.admin.HasAdministrator(ctx); err != nil {
			return err
		} else if there {
			return fmt.Errorf("there is an administrator already: name who is to become another with --user: %w", idp.ErrConflict)
		}
		v, err := d.administratorLink(ctx, u)
		if err != nil {
			return err
		}
		return a.show(v, v.Link, func(t *table) {
			if v.Username != "" {
				t.field("username", v.Username)
			}
			t.field("link", v.Link)
			t.field("works", "once, until "+when(v.ExpiresAt))
		})
	})
	a.outputFlags(c)
	return c
}

// administratorLink makes a link for the user, or for the first administrator.
func (d *database) administratorLink(ctx context.Context, u idp.User) (adminLinkView, error) {
	path, link, err := d.accounts().AdministratorLink(ctx, u)
	return adminLinkView{u.Username, strings.TrimSuffix(d.issuer, "/") + string(path), link.ExpiresAt}, err
}
