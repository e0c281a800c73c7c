package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"idp/internal/mail/mailtest"
)

// An invitation is good once, for the newest mail, and for the address that it
// went to; until then the account lets nobody in.
func TestAttack_Q21_InvitationOnce(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, mailing(t, server))
		inst.CLI(t, "", "migrate", "up")
		inst.CLI(t, "", "group", "create", "staff")
		taken := inst.NewUser(t, "--email", "taken@example.com", "--email-verified")
		node := inst.Start(t)
		const page, address = "/invitation", "dora@example.com"
		invite := func(n int) string {
			t.Helper()
			inst.CLI(t, "", "user", "invite", "--email", address, "--group", "staff", "--locale", "en")
			return linkIn(t, server.Wait(t, address, n)[n-1], node.Issuer, page)
		}
		old := invite(1)
		link := invite(2)
		b := node.NewBrowser(t)
		wantDeadLink(t, b.Get(t, old))
		wantPage(t, b.Login(t, b.Get(t, "/login"), address, newPassword), http.StatusUnprocessableEntity, "/login")
		wantPage(t, b.recover(t, address), http.StatusOK, "/recover/sent")

		form := b.Get(t, link)
		wantPage(t, form, http.StatusOK, page)
		answer := func(name, username, password string) *Answer {
			t.Helper()
			return b.Submit(t, form, form.Form(t, "invitation-form"), url.Values{"name": {name}, "username": {username}, "password": {password}})
		}
		for problem, a := range map[string]*Answer{
			"password-problem": answer("Dora", "dora", "short"),
			"name-problem":     answer("Dora\u202e", "dora", newPassword),
		} {
			if a.Status != http.StatusUnprocessableEntity || !a.HasID(problem) {
				t.Errorf("status %d, want %s:\n%s", a.Status, problem, a.Body)
			}
		}
		for _, username := range []string{taken.Username, "taken@example.com", "other@example.com", "", "a b", "dörte"} {
			if a := answer("Dora", username, newPassword); a.Status != http.StatusUnprocessableEntity || !a.HasID("username-problem") {
				t.Errorf("user name %q: status %d", username, a.Status)
			}
		}
		done := answer("Dora Diaz", "dora", newPassword)
		wantPage(t, done, http.StatusOK, "/invitation/done")
		b.Get(t, "/setup").wantLogin(t) // nobody is signed in by it
		wantDeadLink(t, answer("Dora Diaz", "dora", newPassword))
		wantDeadLink(t, b.Get(t, link))
		for _, name := range []string{"dora", address} {
			in := node.NewBrowser(t)
			wantPage(t, in.Login(t, in.Get(t, "/login"), name, newPassword), http.StatusOK, "/account")
		}
		var dora struct {
			State, Name   string
			EmailVerified bool `json:"email_verified"`
			Groups        []string
		}
		inst.JSON(t, &dora, "", "user", "get", "dora")
		if dora.State != "active" || dora.Name != "Dora Diaz" || !dora.EmailVerified || strings.Join(dora.Groups, " ") != "staff" {
			t.Errorf("%+v", dora)
		}
		for i, m := range server.To(address) { // others tell of the sign-ins
			if strings.Contains(m.Text, "?link=") != (i < 2) {
				t.Errorf("message %d:\n%s", i, m.Text)
			}
		}
	})
}

// waitingLink is the link in the mail to an address that waits for a mail
// server.
func (i *Installation) waitingLink(t testing.TB, address string) string {
	t.Helper()
	link, ok := i.findWaitingLink(t, address)
	if !ok {
		t.Fatalf("no link waits for %s", address)
	}
	return link
}

func (i *Installation) findWaitingLink(t testing.TB, address string) (string, bool) {
	t.Helper()
	for _, m := range i.letters(t) {
		if m.To == address {
			if link := regexp.MustCompile(`https?://\S+\?link=[A-Za-z0-9_-]+`).FindString(i.CLI(t, "", "mail", "show", m.ID)); link != "" {
				return link, true
			}
		}
	}
	return "", false
}
