package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) sessionCommand() *cobra.Command {
	return noun("session", "Browsers in which people are signed in", anywhere(a.sessionList(), a.sessionRevoke())...)
}

type sessionView struct {
	ID         string    `json:"sid"`
	State      string    `json:"state"` // live, idle, ended or expired
	AuthTime   time.Time `json:"auth_time"`
	AMR        []string  `json:"amr,omitempty"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	RemoteAddr string    `json:"remote_addr,omitempty"`
	UserAgent  string    `json:"user_agent,omitempty"`
}

func (a *app) sessionList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list USER",
		Short: "List a person's sessions",
		Args:  exactly("USER"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			sessions, err := o.StatedSessions(ctx, args[0])
			if err != nil {
				return err
			}
			var views []sessionView
			for _, s := range sessions {
				views = append(views, sessionView{
					ID: s.ID.String(), State: s.State, AuthTime: s.AuthTime, AMR: s.AMR,
					LastSeenAt: s.LastSeenAt, ExpiresAt: s.ExpiresAt, EndedAt: s.EndedAt, RemoteAddr: s.RemoteAddr, UserAgent: s.UserAgent,
				})
			}
			return showList(a, views, func(v sessionView) string { return v.ID },
				"This person is not signed in anywhere.", func(t *table) {
					t.row("SID", "STATE", "SIGNED IN", "LAST SEEN", "FROM", "BROWSER")
					for _, v := range views {
						t.row(v.ID, v.State, when(v.AuthTime), when(v.LastSeenAt), orDash(v.RemoteAddr), orDash(v.UserAgent))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) sessionRevoke() *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke [SID]",
		Short: "End a session, or all of a person's, with what was issued in it",
		Args:  atMost(1),
	}
	user := c.Flags().String("user", "", "end all sessions of this person; with SID, that one if it is theirs")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var id idp.ID
		switch {
		case *user == "" && len(args) == 0:
			return usage("%s needs SID, --user or both", cmd.CommandPath())
		case *user == "" && a.endpoint != "":
			return usage("%s needs --user with --endpoint", cmd.CommandPath())
		case len(args) == 1:
			var err error
			if id, err = idp.ParseID(args[0]); err != nil {
				return usage("%q is no sid: idp session list USER shows them", args[0])
			}
		}
		return a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			if len(args) == 1 {
				end := func() error { return o.EndSessionOf(ctx, *user, id) }
				if *user == "" {
					end = func() error { return o.local.admin.EndSession(ctx, id) }
				}
				if err := end(); err != nil {
					return err
				}
				a.say("session %s ended", id)
				return nil
			}
			n, err := o.EndSessions(ctx, *user)
			if err != nil {
				return err
			}
			a.say("%d sessions of %s ended", n, printable(*user))
			return nil
		})(cmd, args)
	}
	return c
}
