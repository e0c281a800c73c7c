package console

// How somebody signs in, where they are signed in, and what they allowed.

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/web"
)

func showSignIn(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	factors, err := v.admin.Factors(v.Context(), u.ID)
	if err != nil {
		return err
	}
	p := v.person(&u, "/sign-in")
	at := userPath(&u)
	if u.State == idp.UserInvited {
		form := web.ConsoleForm{
			ID: "invite", Title: "The invitation", Lead: "They have not taken the account over yet. Another invitation ends the one from before.",
			To: at + "/sign-in", Hidden: action("invite"), Submit: "Send another invitation",
		}
		if !v.console.SendsMail {
			form.Submit = "Make another link"
		}
		p.Parts = append(p.Parts, form)
		return v.show(p)
	}
	password := web.ConsoleFact{Name: "Password"}
	switch {
	case u.PasswordHash == "":
		password.Values = []web.ConsoleCell{plain("None")}
	case u.PasswordChangedAt.IsZero():
		password.Values = []web.ConsoleCell{{At: u.CreatedAt, Note: "as old as the account"}}
	default:
		password.Values = []web.ConsoleCell{{At: u.PasswordChangedAt, Note: "last set"}}
	}
	codes := web.ConsoleFact{Name: "Recovery codes", Values: []web.ConsoleCell{plain(strconv.Itoa(factors.RecoveryCodes) + " left")}}
	if factors.RecoveryCodes == 0 {
		codes.Values = []web.ConsoleCell{plain("None")}
	}
	facts := web.ConsoleFacts{ID: "ways", Facts: []web.ConsoleFact{password, codes}}
	if !u.TokensValidAfter.IsZero() {
		facts.Facts = append(facts.Facts, web.ConsoleFact{Name: "Signed out everywhere", Values: []web.ConsoleCell{{At: u.TokensValidAfter}}})
	}
	t := web.ConsoleTable{ID: "factors", Title: "Passkeys and authenticator apps", Columns: []string{"Name", "Kind", "Since", "Last used"}, Empty: "There are none."}
	for _, k := range factors.Passkeys {
		kind := web.ConsoleCell{Text: "Passkey", Note: "on this one device"}
		if k.BackupState {
			kind.Note = "kept on several devices"
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{plain(k.Name), kind, {At: k.CreatedAt}, {At: k.LastUsedAt, Text: "Never"}}})
	}
	for _, a := range factors.Authenticators {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{plain(a.Name), plain("Authenticator app"), {At: a.CreatedAt}, {At: a.LastUsedAt, Text: "Never"}}})
	}
	p.Parts = append(p.Parts, facts, t)
	if u.State == idp.UserActive || u.State == idp.UserLocked {
		help := web.ConsoleText{
			ID: "help", Title: "When they cannot get in", Paragraphs: []string{
				"A forgotten password: hand over a link with which they choose a new one. A lost phone or key: reset their second factors. A password that somebody else has: lock the account.",
			},
			Links: []web.ConsoleLink{{Title: "Make a link", To: at + "/link"}},
		}
		if factors.SecondFactor() || factors.RecoveryCodes > 0 {
			help.Links = append(help.Links, web.ConsoleLink{Title: "Reset second factors", To: at + "/reset-factors", Danger: true})
		}
		if u.State == idp.UserActive {
			help.Links = append(help.Links, web.ConsoleLink{Title: "Lock", To: at + "/lock", Danger: true})
		}
		p.Parts = append(p.Parts, help)
	}
	return v.show(p)
}

func changeSignIn(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	return v.inviteAgain(&u)
}

// ask is a page that asks whether to do something to somebody, and does it.
func ask(title func(name string) string, question, submit string, act func(v *visit, u *idp.User) error) page {
	return page{
		dangerous: true,
		show: func(v *visit) error {
			u, err := v.user()
			if err != nil {
				return err
			}
			p := v.confirmation(usersPath, title(u.DisplayName()), question, submit, userPath(&u))
			p.Trail = userTrail(&u)
			return v.show(p)
		},
		act: func(v *visit) error {
			u, err := v.user()
			if err != nil {
				return err
			}
			return act(v, &u)
		},
	}
}

// does calls the service, and goes to a page of the person.
func does(do func(*admin.Service, context.Context, string) error, tab, what string) func(*visit, *idp.User) error {
	return func(v *visit, u *idp.User) error {
		return v.then(do(v.admin, v.Context(), u.ID), userPath(u)+tab, what)
	}
}

func passwordLink() page {
	return ask(func(name string) string { return "A link for " + name + "?" },
		"Whoever has it chooses a new password for the account, within a quarter of an hour. Second factors stay as they are.", "Make the link",
		func(v *visit, u *idp.User) error { return v.handOver(u, idp.LinkReset, "A link for a new password") })
}

func resetFactors() page {
	return ask(func(name string) string { return "Reset the second factors of " + name + "?" },
		"Their passkeys, authenticator apps and recovery codes are gone, and they are signed out everywhere. Make sure that it is them who asks.", "Reset",
		does((*admin.Service).ResetFactors, "/sign-in", "factors"))
}

func lockUser() page {
	return ask(func(name string) string { return "Lock the account of " + name + "?" },
		"They are signed out everywhere, and get in again by choosing a new password, with a link.", "Lock",
		does((*admin.Service).LockUser, "", "locked"))
}

func disableUser() page {
	return ask(func(name string) string { return "Disable the account of " + name + "?" },
		"They are signed out everywhere, and nothing lets them in until you enable it again.", "Disable",
		does((*admin.Service).DisableUser, "", "disabled"))
}

func enableUser() page {
	return ask(func(name string) string { return "Enable the account of " + name + "?" },
		"They can sign in again. What was issued before stays dead.", "Enable",
		does((*admin.Service).EnableUser, "", "enabled"))
}

func deleteUser() page {
	return ask(func(name string) string { return "Delete the account of " + name + "?" },
		"All that is known of them is gone, but for what the audit keeps, and what they were issued stops working at once. Nothing brings it back.", "Delete",
		func(v *visit, u *idp.User) error {
			return v.then(v.admin.DeleteUser(v.Context(), u.ID), usersPath, "deleted")
		})
}

func showUserSessions(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	sessions, err := v.admin.Sessions(v.Context(), u.ID)
	if err != nil {
		return err
	}
	p := v.person(&u, "/sessions")
	now, at := v.console.Now(), userPath(&u)+"/sessions"
	live := func(s idp.Session) bool { return s.State(now, v.console.SessionIdle) == "live" }
	slices.SortStableFunc(sessions, func(a, b idp.Session) int {
		if live(a) != live(b) {
			return map[bool]int{true: -1, false: 1}[live(a)]
		}
		return b.LastSeenAt.Compare(a.LastSeenAt)
	})
	t := web.ConsoleTable{
		ID: "sessions", Lead: "Where they are signed in, and were of late.",
		Columns: []string{"Browser", "Address", "Signed in", "Last seen", "Actions"}, Empty: "They are signed in nowhere.",
	}
	count := 0
	for _, s := range sessions {
		browser := web.ConsoleCell{Text: cmp.Or(idp.DeviceName(s.UserAgent), "Unknown browser"), Note: "by " + strings.Join(s.AMR, ", ")}
		row := web.ConsoleRow{Cells: []web.ConsoleCell{browser, code(s.RemoteAddr), {At: s.AuthTime}, {At: s.LastSeenAt}}}
		if live(s) {
			count++
			row.Actions = []web.ConsoleButton{{
				Title: "End", Label: "End the session in " + browser.Text, To: at, Danger: true,
				Fields: append(action("end"), web.Field{Name: "session", Value: s.ID.String()}),
			}}
			if s.ID == v.who.Session.ID {
				row.Cells[0].Badge = web.ConsoleBadge{Text: "This one", Tone: "good"}
			}
		} else {
			row.Cells[0].Badge = web.ConsoleBadge{Text: map[string]string{"idle": "Idle too long", "expired": "Expired"}[s.State(now, v.console.SessionIdle)]}
			if !s.EndedAt.IsZero() {
				row.Cells[0].Badge.Text = "Ended"
			}
		}
		t.Rows = append(t.Rows, row)
	}
	p.Parts = append(p.Parts, t)
	if count > 0 {
		p.Parts = append(p.Parts, web.ConsoleForm{
			ID: "end-all", Title: "Sign them out everywhere", Lead: "What was issued in these sessions dies with them.", To: at, Hidden: action("end-all"),
			Submit: "End all sessions", Danger: true,
		})
	}
	return v.show(p)
}

func endUserSessions(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	if v.form.Get("action") == "end-all" {
		_, err = v.admin.EndSessions(v.Context(), u.ID)
		return v.then(err, userPath(&u)+"/sessions", "signed-out")
	}
	id, err := idp.ParseID(v.form.Get("session"))
	if err != nil {
		return notFound("There is no such session.")
	}
	return v.then(v.admin.EndSessionOf(v.Context(), u.ID, id), userPath(&u)+"/sessions", "signed-out")
}

func showUserConsents(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	consents, err := v.admin.Consents(v.Context(), u.ID)
	if err != nil {
		return err
	}
	clients, err := v.admin.Clients(v.Context())
	if err != nil {
		return err
	}
	p := v.person(&u, "/consents")
	t := web.ConsoleTable{
		ID: "consents", Lead: "What they allowed which applications. Those that do not ask are not here.",
		Columns: []string{"Application", "Allowed", "When", "Actions"}, Empty: "They were not asked yet.",
	}
	for _, c := range consents {
		name := web.ConsoleCell{Text: c.ClientID, To: clientPath(c.ClientID)}
		if i := slices.IndexFunc(clients, func(client idp.Client) bool { return client.ClientID == c.ClientID }); i >= 0 {
			name.Text = clients[i].DisplayName()
		}
		row := web.ConsoleRow{Cells: []web.ConsoleCell{name, {Text: strings.Join(c.Scopes, " "), Code: true, Note: strings.Join(c.Resources, " ")}, {At: c.GrantedAt}}}
		if c.Stands() {
			row.Actions = []web.ConsoleButton{{
				Title: "Withdraw", Label: "Withdraw what " + name.Text + " may", To: userPath(&u) + "/consents", Danger: true,
				Fields: []web.Field{{Name: "client", Value: c.ClientID}},
			}}
		} else {
			row.Cells[0].Badge = web.ConsoleBadge{Text: "Withdrawn"}
		}
		t.Rows = append(t.Rows, row)
	}
	p.Parts = append(p.Parts, t)
	return v.show(p)
}

func withdrawConsent(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	return v.then(v.admin.WithdrawConsent(v.Context(), u.ID, v.form.Get("client")), userPath(&u)+"/consents", "withdrawn")
}

// showUserAudit shows what happened to somebody of late; the audit's own page
// has the rest.
func showUserAudit(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	events, _, err := v.admin.Events(v.Context(), idp.EventQuery{EventFilter: idp.EventFilter{UserID: u.ID}}, pageSize)
	if err != nil {
		return err
	}
	p := v.person(&u, "/audit")
	t := v.eventTable(events)
	t.Empty = "Nothing happened of late."
	t.Lead = "What happened to the account and with it, the newest first."
	p.Parts = append(p.Parts, t, web.ConsoleText{Links: []web.ConsoleLink{
		{Title: "Look further", To: "/console/audit?user=" + url.QueryEscape(u.ID)},
		{Title: "What they did to others", To: "/console/audit?actor=" + url.QueryEscape(u.ID)},
	}})
	return v.show(p)
}
