package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"idp/internal/mail/mailtest"
)

const newPassword = "a quiet river under stars"

// linkIn returns the path and query of the one link below the path in a message,
// which leads to the issuer in both of its parts.
func linkIn(t testing.TB, m mailtest.Mail, issuer, path string) string {
	t.Helper()
	link := regexp.MustCompile(`https?://[^\s"<>]*` + regexp.QuoteMeta(path) + `\?link=[A-Za-z0-9_-]+`)
	text, markup := link.FindAllString(m.Text, -1), link.FindAllString(m.HTML, -1)
	if len(text) == 0 || len(markup) == 0 {
		t.Fatalf("no link to %s in\n%s\n%s", path, m.Text, m.HTML)
	}
	for _, found := range append(text, markup...) {
		if found != text[0] || !strings.HasPrefix(found, issuer+path) {
			t.Fatalf("the link %s, besides %s", found, text[0])
		}
	}
	return strings.TrimPrefix(text[0], issuer)
}

// lettersWith returns the messages to an address with a link below the path, of
// which there are n before long. Others may tell of sign-ins and changes.
func (n *Node) lettersWith(t *testing.T, server *mailtest.Server, address, path string, count int) []mailtest.Mail {
	t.Helper()
	var found []mailtest.Mail
	eventually(t, fmt.Sprintf("%d messages with a link to %s", count, path), []*Node{n}, func(*Node) bool {
		found = slices.DeleteFunc(server.To(address), func(m mailtest.Mail) bool { return !strings.Contains(m.Text, path+"?link=") })
		return len(found) >= count
	})
	return found
}

// recover asks for a link.
func (b *Browser) recover(t testing.TB, login string) *Answer {
	t.Helper()
	page := b.Get(t, "/recover")
	return b.Submit(t, page, page.Form(t, "recover-form"), url.Values{"username": {login}})
}

// choose sets the password on the page of a link.
func (b *Browser) choose(t testing.TB, page *Answer, password string) *Answer {
	t.Helper()
	return b.Submit(t, page, page.Form(t, "new-password-form"), url.Values{"password": {password}})
}

func wantPage(t testing.TB, a *Answer, status int, path string) {
	t.Helper()
	if a.Status != status || !strings.HasSuffix(a.URL.Path, path) {
		t.Fatalf("status %d at %s, want %d at %s:\n%s", a.Status, a.URL, status, path, a.Body)
	}
}

func wantDeadLink(t testing.TB, a *Answer) {
	t.Helper()
	if a.Status != http.StatusGone || !a.HasID("error") {
		t.Fatalf("status %d at %s, want the page of a dead link:\n%s", a.Status, a.URL, a.Body)
	}
}

// A link leads to the configured issuer, whatever host the request for it
// claims.
func TestAttack_Q08_ResetLinkFromTheIssuerAlone(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, mailing(t, server))
		inst.CLI(t, "", "migrate", "up")
		inst.NewUser(t, "--email", "alice@example.com", "--email-verified")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		page := b.Get(t, "/recover")
		form := page.Form(t, "recover-form")
		poison := http.Header{
			"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"}, "X-Host": {"evil.example"},
			"Forwarded": {"host=evil.example;proto=https"}, "X-Original-Url": {"https://evil.example/"}, "Referer": {"https://evil.example/"},
		}
		post := func(host string) *Answer {
			body := form.Fields
			body.Set("username", "alice@example.com")
			r, err := http.NewRequest(http.MethodPost, node.Issuer+"/recover", strings.NewReader(body.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = poison.Clone()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Host = host
			return Do(t, b.Client, r)
		}
		if a := post("evil.example"); a.Status != http.StatusMisdirectedRequest {
			t.Errorf("a foreign host: status %d, want 421", a.Status)
		}
		if a := post(""); a.Status != http.StatusSeeOther {
			t.Fatalf("status %d:\n%s", a.Status, a.Body)
		}
		m := server.Wait(t, "alice@example.com", 1)[0]
		linkIn(t, m, node.Issuer, "/recover/password")
		for _, part := range []string{m.Text, m.HTML, m.Subject} {
			if strings.Contains(part, "evil") {
				t.Errorf("the message says\n%s", part)
			}
		}
	})
}

// A link works once, for a quarter of an hour, until a newer one or a new
// password; looking at it spends nothing.
func TestAttack_Q09_ResetLinkOnceAndNotForLong(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, mailing(t, server))
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "alice@example.com", "--email-verified")
		node := inst.Start(t)
		const page = "/recover/password"
		ask := func(n int) string {
			t.Helper()
			wantPage(t, node.NewBrowser(t).recover(t, alice.Username), http.StatusOK, "/recover/sent")
			return linkIn(t, server.Wait(t, "alice@example.com", n)[n-1], node.Issuer, page)
		}
		first := ask(1)
		link := ask(2)
		wantDeadLink(t, node.NewBrowser(t).Get(t, first)) // superseded

		// A mail scanner looks, with whatever method does not act.
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			r, err := http.NewRequest(method, node.Issuer+link, nil)
			if err != nil {
				t.Fatal(err)
			}
			Do(t, node.Client(""), r)
		}
		b := node.NewBrowser(t)
		form := b.Get(t, link)
		wantPage(t, form, http.StatusOK, page)
		if secret := strings.TrimPrefix(link, page+"?link="); strings.Contains(form.URL.String(), secret) || strings.Contains(form.Body, secret) {
			t.Error("the link's secret is on the page or in its address")
		}
		if !form.HasID("username") || form.Form(t, "new-password-form").Fields.Get("username") != alice.Username {
			t.Error("a password manager is not told whose password it is")
		}

		// A password that is refused leaves the link as it is, and so does the form
		// in another browser.
		refused := b.choose(t, form, "short")
		if refused.Status != http.StatusUnprocessableEntity {
			t.Fatalf("a short password: status %d", refused.Status)
		}
		if a := node.NewBrowser(t).choose(t, form, newPassword); a.Status != http.StatusForbidden {
			t.Errorf("in another browser: status %d", a.Status)
		}
		wantPage(t, b.choose(t, refused, newPassword), http.StatusOK, "/recover/done")
		wantDeadLink(t, b.choose(t, form, newPassword+" again"))
		wantDeadLink(t, b.Get(t, link))
		m := server.Wait(t, "alice@example.com", 3)[2]
		if !strings.Contains(m.Subject, "password") || !strings.Contains(m.Subject, "changed") {
			t.Errorf("told %q", m.Subject)
		}

		// Whoever sets a password in another way ends the links; and garbage is none.
		link = ask(4)
		inst.CLI(t, "another "+newPassword, "user", "set-password", alice.Username, "--password-stdin")
		wantDeadLink(t, b.Get(t, link))
		other := map[bool]string{true: "B", false: "A"}[strings.HasSuffix(link, "A")]
		for _, garbage := range []string{"", "x", link[len(page+"?link="):len(link)-1] + other, strings.Repeat("a", 5000)} {
			wantDeadLink(t, b.Get(t, page+"?link="+garbage))
		}
		eventually(t, "four refusals in the audit", []*Node{node}, func(n *Node) bool {
			return events(t, n, "link.refused", "user_id", alice.Sub) == 4
		})
	})
}

// Choosing a new password signs nobody in, skips no second factor, ends all
// sessions and refresh tokens; whoever asks for links without end gets 429, and
// nobody learns who has an account.
func TestAttack_Q10_ResetGivesNothingElse(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, mailing(t, server))
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "alice@example.com", "--email-verified")
		bob := inst.NewUser(t, "--email", "bob@example.com") // not verified
		gone := inst.NewUser(t, "--email", "gone@example.com", "--email-verified")
		inst.CLI(t, "", "user", "disable", gone.Username)
		web := inst.WebClient(t, "--skip-consent")
		node := inst.Start(t)

		signedIn := node.NewBrowser(t)
		page := signedIn.Login(t, signedIn.Get(t, "/setup/authenticator"), alice.Username, alice.Password)
		_, codes, _ := signedIn.setUpAuthenticator(t, page)
		tokens := signedIn.tokens(t, web, alice, "scope", "openid offline_access")

		b := node.NewBrowser(t)
		wantPage(t, b.recover(t, "ALICE@example.com"), http.StatusOK, "/recover/sent")
		link := linkIn(t, node.lettersWith(t, server, "alice@example.com", "/recover/password", 1)[0], node.Issuer, "/recover/password")
		done := b.choose(t, b.Get(t, link), newPassword)
		wantPage(t, done, http.StatusOK, "/recover/done")
		for _, c := range b.Client.Jar.Cookies(mustURL(t, node.Issuer)) {
			if strings.HasSuffix(c.Name, "session") {
				t.Errorf("the cookie %s", c.Name)
			}
		}
		b.Get(t, "/setup").wantLogin(t)
		signedIn.Get(t, "/setup").wantLogin(t)
		node.Refresh(t, web, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")

		wantPage(t, b.Login(t, b.Get(t, "/login"), alice.Username, alice.Password), http.StatusUnprocessableEntity, "/login")
		page = b.Login(t, b.Get(t, "/login"), "alice@example.com", newPassword) // by the address as well
		wantSecondFactor(t, page, http.StatusOK)
		signedIn = &Browser{node, b.Client}
		if a := signedIn.Get(t, "/setup"); !a.HasID("login-form") {
			t.Error("signed in without the second factor")
		}
		if len(codes) != 10 {
			t.Error("the second factor changed")
		}

		// The answer is one and the same for everybody, and goes nowhere but to a
		// known address.
		var answers []string
		for _, login := range []string{alice.Username, bob.Username, "bob@example.com", gone.Username, "nobody", "nobody@example.com"} {
			a := node.NewBrowser(t).recover(t, login)
			wantPage(t, a, http.StatusOK, "/recover/sent")
			answers = append(answers, regexp.MustCompile(`(flow=|value=")[^"]*`).ReplaceAllString(a.Body, ""))
		}
		for i, a := range answers {
			if a != answers[0] {
				t.Errorf("answer %d differs:\n%s\n%s", i, a, answers[0])
			}
		}
		node.lettersWith(t, server, "alice@example.com", "/recover/password", 2)
		for _, address := range []string{"bob@example.com", "gone@example.com"} {
			if n := len(node.lettersWith(t, server, address, "/recover/password", 0)); n > 0 {
				t.Errorf("%d links to %s", n, address)
			}
		}

		// One subscriber, and then one account from everywhere.
		flood := node.NewBrowser(t)
		for i := range 8 {
			a := flood.recover(t, fmt.Sprintf("nobody-%d", i))
			if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 5]; a.Status != want {
				t.Errorf("request %d from one address: status %d, want %d", i, a.Status, want)
			} else if want != http.StatusOK && a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
		for range 4 {
			wantPage(t, node.NewBrowser(t).recover(t, alice.Username), http.StatusOK, "/recover/sent")
		}
		eventually(t, "all recoveries in the audit", []*Node{node}, func(n *Node) bool {
			return events(t, n, "recovery.requested", "user_id", alice.Sub) == 6
		})
		if n := len(node.lettersWith(t, server, "alice@example.com", "/recover/password", 3)); n != 3 {
			t.Errorf("%d links to one account", n)
		}
		for _, canary := range []string{link[len("/recover/password?link="):], newPassword} {
			if strings.Contains(node.Logs(), canary) {
				t.Errorf("%q is in the log", canary)
			}
		}
	})
}

// An operator hands out a link where no mail arrives; a locked account opens by
// it and by nothing else.
func TestUserLink(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		carol := inst.NewUser(t)
		node := inst.Start(t)
		inst.CLI(t, "", "user", "lock", carol.Username)
		b := node.NewBrowser(t)
		wantPage(t, b.Login(t, b.Get(t, "/login"), carol.Username, carol.Password), http.StatusUnprocessableEntity, "/login")
		var link struct {
			Link      string
			ExpiresAt time.Time `json:"expires_at"`
		}
		inst.JSON(t, &link, "", "user", "link", carol.Username, "--kind", "setup")
		if until := time.Until(link.ExpiresAt); until < 23*time.Hour || until > 24*time.Hour {
			t.Errorf("works until %s", link.ExpiresAt)
		}
		wantPage(t, b.choose(t, b.Get(t, link.Link), newPassword), http.StatusOK, "/recover/done")
		wantPage(t, b.Login(t, b.Get(t, "/login"), carol.Username, newPassword), http.StatusOK, "/account")
		wantPage(t, b.Get(t, "/.well-known/change-password"), http.StatusOK, "/account/security")
		wantDeadLink(t, b.Get(t, link.Link))

		inst.CLI(t, "", "user", "disable", carol.Username)
		if _, _, code := inst.Try(t, "", "user", "link", carol.Username); code == 0 {
			t.Error("a link for a disabled account")
		}
	})
}
