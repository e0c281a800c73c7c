package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// adminLink makes a link by command.
func (i *Installation) adminLink(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(i.CLI(t, "", append([]string{"admin", "link", "--quiet"}, args...)...))
}

// The link of the first administrator is good once, for whoever is first, for
// an hour, on the issuer's own host, and while there is no administrator.
func TestAttack_F_AdministratorOnce(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		node := inst.Start(t)
		const page = "/setup/admin"
		old := inst.adminLink(t)
		link := inst.adminLink(t)
		b := node.NewBrowser(t)
		wantDeadLink(t, b.Get(t, old)) // there is a newer one
		for _, guess := range []string{"", "?link=x", "?link=" + strings.Repeat("A", 80), "?link=" + link[len(link)-40:], "?link=idp_l_" + strings.Repeat("A", 80)} {
			if a := node.NewBrowser(t).Get(t, page+guess); a.Status < 400 || a.HasID("invitation-form") {
				t.Errorf("%q: status %d", guess, a.Status)
			}
		}
		other := get(t, link)
		other.Host = "evil.example"
		if a := Do(t, b.Client, other); a.Status != http.StatusMisdirectedRequest {
			t.Errorf("another host: status %d", a.Status)
		}

		// Opened by many at once, it makes one.
		const many = 50
		var wins atomic.Int32
		var all sync.WaitGroup
		browsers := make([]*Browser, many)
		pages := make([]*Answer, many)
		for i := range browsers {
			browsers[i] = node.NewBrowser(t)
			pages[i] = browsers[i].Get(t, link)
			wantPage(t, pages[i], http.StatusOK, page)
			if strings.Contains(pages[i].URL.String(), "link=") {
				t.Fatal("the secret stays in the address")
			}
		}
		for i, b := range browsers {
			all.Go(func() {
				form := pages[i].Form(t, "invitation-form")
				form.Fields.Set("name", "Ada Admin")
				form.Fields.Set("username", "ada"+strings.Repeat("x", i))
				form.Fields.Set("password", newPassword)
				r, _ := http.NewRequest(http.MethodPost, node.Issuer+form.Action, strings.NewReader(form.Fields.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", node.Issuer)
				if a, err := Send(b.Client, r); err == nil && a.Status == http.StatusSeeOther && a.Header.Get("Location") == "/console" {
					wins.Add(1)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d became the first administrator", wins.Load())
		}
		var members []struct{ Username string }
		inst.JSON(t, &members, "", "group", "members", "idp-admins")
		if len(members) != 1 {
			t.Fatalf("%+v", members)
		}
		in := 0
		for _, b := range browsers {
			if a := b.Get(t, "/console"); a.Status == http.StatusOK && a.URL.Path == "/console" {
				in++
			}
		}
		if in != 1 {
			t.Errorf("%d are in the console", in)
		}
		wantDeadLink(t, node.NewBrowser(t).Get(t, link))

		// There is one now: no further link for nobody in particular.
		if _, stderr, code := inst.Try(t, "", "admin", "link"); code != 1 || !strings.Contains(stderr, "--user") {
			t.Errorf("a second first administrator: exit %d, %s", code, stderr)
		}
		// Somebody who is there gets a new password and the group, in one step.
		link = inst.adminLink(t, "--user", alice.Username)
		before := node.NewBrowser(t)
		before.Login(t, before.Get(t, "/login"), alice.Username, alice.Password)
		b = node.NewBrowser(t)
		form := b.Get(t, link)
		wantPage(t, form, http.StatusOK, page)
		short := b.Submit(t, form, form.Form(t, "invitation-form"), url.Values{"password": {"short"}})
		if short.Status != http.StatusUnprocessableEntity || !short.HasID("password-problem") {
			t.Errorf("a short password: %d", short.Status)
		}
		done := b.Submit(t, form, form.Form(t, "invitation-form"), url.Values{"username": {"root"}, "password": {newPassword}})
		wantPage(t, done, http.StatusOK, "/console")
		before.Get(t, "/account").wantLogin(t)
		var who struct{ Username string }
		inst.JSON(t, &who, "", "user", "get", alice.Sub)
		if who.Username != alice.Username {
			t.Errorf("the user is called %s", who.Username)
		}
		wantDeadLink(t, b.Submit(t, form, form.Form(t, "invitation-form"), url.Values{"password": {newPassword}}))

		// It ends after an hour.
		link = inst.adminLink(t, "--user", alice.Username)
		ago := map[string]string{"sqlite": "expires_at - 3600000000", "postgres": "expires_at - interval '60 minutes'"}[engine]
		inst.execute(t, "UPDATE links SET expires_at = "+ago+" WHERE kind = 'administrator'")
		wantDeadLink(t, node.NewBrowser(t).Get(t, link))
		// Made before there was an administrator, it does not work after.
		if strings.Contains(node.Logs(), "idp_l_") || strings.Contains(node.Logs(), "link=") {
			t.Error("a link is in the log")
		}
	})
}

// A link from before there was an administrator is dead once there is one.
func TestAttack_F_AdministratorWhileThereIsNone(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		link := inst.adminLink(t)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		form := b.Get(t, link)
		wantPage(t, form, http.StatusOK, "/setup/admin")
		inst.CLI(t, "", "group", "create", "idp-admins")
		inst.CLI(t, "", "group", "add-member", "idp-admins", alice.Username)
		wantDeadLink(t, b.Submit(t, form, form.Form(t, "invitation-form"), url.Values{"username": {"mallory"}, "password": {newPassword}}))
		wantDeadLink(t, node.NewBrowser(t).Get(t, link))
		if _, _, code := inst.Try(t, "", "user", "get", "mallory"); code == 0 {
			t.Error("an account was made")
		}
		inst.CLI(t, "", "user", "disable", alice.Username) // nobody is left who could
		wantPage(t, node.NewBrowser(t).Get(t, link), http.StatusOK, "/setup/admin")
	})
}
