package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"idp/internal/mail/mailtest"
)

// openTo are the settings of an installation where people with addresses of the
// domains make accounts for themselves.
func openTo(t testing.TB, server *mailtest.Server, domains string) map[string]string {
	t.Helper()
	settings := mailing(t, server)
	settings["IDP_ACCOUNTS_REGISTRATION"], settings["IDP_ACCOUNTS_REGISTRATION_DOMAINS"] = "open", domains
	return settings
}

// register asks for an account.
func (b *Browser) register(t testing.TB, address string) *Answer {
	t.Helper()
	return b.registerOn(t, b.Get(t, "/register"), address)
}

func (b *Browser) registerOn(t testing.TB, page *Answer, address string) *Answer {
	t.Helper()
	return b.Submit(t, page, page.Form(t, "register-form"), url.Values{"email": {address}})
}

// settle fills in the page of an account that begins.
func (b *Browser) settle(t testing.TB, page *Answer, name, username, password string) *Answer {
	t.Helper()
	return b.Submit(t, page, page.Form(t, "invitation-form"), url.Values{"name": {name}, "username": {username}, "password": {password}})
}

const pageNewAccount = "/register/account"

// Whoever asks for an account hears the same of every address; only who reads
// its mail learns more, and until they answer there is no account.
func TestAttack_Q01_RegistrationTellsNobodyWhoIsThere(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, openTo(t, server, "example.com BÜCHER.example"))
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "Alice@example.com", "--email-verified")
		gone := inst.NewUser(t, "--email", "gone@example.com", "--email-verified")
		inst.CLI(t, "", "user", "disable", gone.Username)
		node := inst.Start(t)

		var answers []string
		for _, address := range []string{"alice@EXAMPLE.com", "gone@example.com", "new@example.com", " neu@bücher.example "} {
			a := node.NewBrowser(t).register(t, address)
			wantPage(t, a, http.StatusOK, "/register/sent")
			answers = append(answers, regexp.MustCompile(`(flow=|value=")[^"]*`).ReplaceAllString(a.Body, ""))
		}
		for i, a := range answers {
			if a != answers[0] {
				t.Errorf("answer %d differs:\n%s\n%s", i, a, answers[0])
			}
		}
		told := server.Wait(t, "Alice@example.com", 1)[0]
		if !strings.Contains(told.Text, "You have one already") || !strings.Contains(told.Text, alice.Username) || strings.Contains(told.Text, "?link=") {
			t.Errorf("who has an account is told\n%s", told.Text)
		}
		mine := server.Wait(t, "new@example.com", 1)[0]
		link := linkIn(t, mine, node.Issuer, pageNewAccount)
		server.Wait(t, "neu@xn--bcher-kva.example", 1) // in the one spelling
		if n := len(server.To("gone@example.com")); n > 0 {
			t.Errorf("%d messages to a disabled account", n)
		}

		// There is nobody before the link is used: neither to sign in nor to get
		// back in, and the address is anybody's who shows that it is theirs.
		b := node.NewBrowser(t)
		wantPage(t, b.Login(t, b.Get(t, "/login"), "new@example.com", newPassword), http.StatusUnprocessableEntity, "/login")
		if _, _, code := inst.Try(t, "", "user", "get", "new@example.com"); code == 0 {
			t.Error("an account that nobody confirmed")
		}

		// Domains are compared whole, in one spelling, and which they are is no
		// secret.
		for _, address := range []string{
			"a@example.org", "a@sub.example.com", "a@notexample.com", "a@example.com.evil.example", "a@example.co", "a@xn--bucher-kva.example",
			"a@еxample.com", // a Cyrillic letter
		} {
			if a := b.register(t, address); a.Status != http.StatusUnprocessableEntity || !a.HasID("email-problem") || !strings.Contains(a.Body, "cannot have an account here") {
				t.Errorf("%q: status %d at %s", address, a.Status, a.URL)
			}
		}
		for _, address := range []string{
			"", "nobody", "@example.com", "a@example.com.", "a@example.com, b@example.com", "a@evil.example@example.com", "Alice <a@example.com>",
			"a@example.com\r\nBcc: b@evil.example", `"a@evil.example"@example.com`, "a@[127.0.0.1]", "\u212aim@example.com", "a\u202e@example.com",
			strings.Repeat("a", 300) + "@example.com",
		} {
			if a := b.register(t, address); a.Status != http.StatusUnprocessableEntity || !a.HasID("email-problem") {
				t.Errorf("%q: status %d at %s", address, a.Status, a.URL)
			}
		}

		// Nobody asks in another's name.
		asking := b.Get(t, "/register")
		fields := asking.Form(t, "register-form").Fields
		fields.Set("email", "new@example.com")
		for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}} {
			header.Set("Content-Type", "application/x-www-form-urlencoded")
			node.request(t, b.Client, http.MethodPost, "/register", fields.Encode(), header).wantPage(t, http.StatusForbidden)
		}
		asking.scan(t)

		// One subscriber, and then one address from everywhere: silently, for else
		// strangers would learn how often somebody asked.
		flood := node.NewBrowser(t)
		for i := range 7 {
			a := flood.register(t, fmt.Sprintf("flood-%d@example.com", i))
			if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 5]; a.Status != want {
				t.Errorf("request %d from one address: status %d, want %d", i, a.Status, want)
			}
		}
		for range 4 {
			wantPage(t, node.NewBrowser(t).register(t, "new@example.com"), http.StatusOK, "/register/sent")
		}
		eventually(t, "all requests in the audit", []*Node{node}, func(n *Node) bool {
			return events(t, n, "registration.requested") == 13
		})
		if n := len(node.lettersWith(t, server, "new@example.com", pageNewAccount, 3)); n != 3 {
			t.Errorf("%d links to one address", n)
		}

		// An older link works as well as a newer one: nobody's request ends
		// another's.
		wantPage(t, b.settle(t, b.Get(t, link), "", "new@example.com", newPassword), http.StatusOK, "/register/done")
		for _, canary := range []string{link[len(pageNewAccount+"?link="):], newPassword} {
			if strings.Contains(node.Logs(), canary) {
				t.Errorf("%q is in the log", canary)
			}
		}
	})
}

// A link to make an account works once, for whoever is first of many; two links
// of one address make one account.
func TestAttack_Q21_RegistrationOnce(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		settings := openTo(t, server, "*")
		settings["IDP_ACCOUNTS_TERMS_URL"], settings["IDP_ACCOUNTS_TERMS_VERSION"] = "https://id.example.com/terms", "2026-03"
		inst := Install(t, engine, settings)
		inst.CLI(t, "", "migrate", "up")
		taken := inst.NewUser(t, "--email", "taken@example.com", "--email-verified")
		node, second := startNodes(t, inst)

		links := make([]string, 2)
		for i := range links {
			wantPage(t, node.NewBrowser(t).register(t, "erin@anywhere.example"), http.StatusOK, "/register/sent")
			all := node.lettersWith(t, server, "erin@anywhere.example", pageNewAccount, i+1)
			links[i] = linkIn(t, all[i], node.Issuer, pageNewAccount)
		}
		b := node.NewBrowser(t)
		page := b.Get(t, links[0])
		wantPage(t, page, http.StatusOK, pageNewAccount)
		if secret := strings.TrimPrefix(links[0], pageNewAccount+"?link="); strings.Contains(page.URL.String(), secret) || strings.Contains(page.Body, secret) {
			t.Error("the link's secret is on the page or in its address")
		}
		form := page.Form(t, "invitation-form")
		send := func(fields url.Values) *Answer {
			t.Helper()
			values := url.Values{"name": {"Erin Eriksen"}, "username": {"erin"}, "password": {newPassword}, "terms": {"2026-03"}}
			for k, v := range fields {
				values[k] = v
			}
			return b.Submit(t, page, form, values)
		}
		if a := send(url.Values{"name": {"<img src=x onerror=alert(1)>"}, "password": {"short"}}); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("markup: status %d", a.Status)
		} else {
			a.scan(t)
		}
		for problem, fields := range map[string]url.Values{
			"password-problem": {"password": {"short"}},
			"name-problem":     {"name": {"Erin\u202e"}},
			"terms-problem":    {"terms": {"2025-01"}},
		} {
			if a := send(fields); a.Status != http.StatusUnprocessableEntity || !a.HasID(problem) {
				t.Errorf("status %d, want %s:\n%s", a.Status, problem, a.Body)
			}
		}
		for _, username := range []string{taken.Username, "taken@example.com", "other@example.com", "", "a b"} {
			if a := send(url.Values{"username": {username}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("username-problem") {
				t.Errorf("user name %q: status %d", username, a.Status)
			}
		}
		if a := send(url.Values{"passkey_response": {"{}"}, "passkey_state": {"x"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("problem") {
			t.Errorf("a passkey that is none: status %d", a.Status)
		}
		if a := node.NewBrowser(t).Submit(t, page, form, url.Values{"username": {"erin"}, "password": {newPassword}, "terms": {"2026-03"}}); a.Status != http.StatusForbidden {
			t.Errorf("in another browser: status %d", a.Status)
		}

		// Fifty at once, on all nodes: one account.
		values := url.Values{"flow": form.Fields["flow"], "name": {"Erin Eriksen"}, "username": {"erin"}, "password": {newPassword}, "terms": {"2026-03"}}
		var won int
		for _, a := range parallel(t, 50, []*Node{node, second}, func(n *Node) (*Answer, error) {
			at := b.At(n)
			r, err := http.NewRequest(http.MethodPost, n.Issuer+pageNewAccount, strings.NewReader(values.Encode()))
			if err != nil {
				return nil, err
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", n.Issuer)
			return Send(at.Client, r)
		}) {
			switch a.Status {
			case http.StatusSeeOther:
				won++
			case http.StatusGone, http.StatusTooManyRequests, http.StatusServiceUnavailable:
			default:
				t.Errorf("status %d:\n%s", a.Status, a.Body)
			}
		}
		if won != 1 {
			t.Errorf("%d accounts of one link", won)
		}
		fresh := node.NewBrowser(t)
		wantDeadLink(t, fresh.Get(t, links[0]))
		again := fresh.Get(t, links[1])
		a := fresh.Submit(t, again, again.Form(t, "invitation-form"), url.Values{"username": {"erin2"}, "password": {newPassword}, "terms": {"2026-03"}})
		if a.Status != http.StatusConflict || !a.HasID("error") {
			t.Errorf("a second account of one address: status %d", a.Status)
		}
		var erin struct {
			Sub, State, Name string
			EmailVerified    bool `json:"email_verified"`
		}
		inst.JSON(t, &erin, "", "user", "get", "erin")
		if erin.State != "active" || erin.Name != "Erin Eriksen" || !erin.EmailVerified {
			t.Errorf("%+v", erin)
		}
		for _, name := range []string{"erin", "erin@anywhere.example"} {
			in := node.NewBrowser(t)
			wantPage(t, in.Login(t, in.Get(t, "/login"), name, newPassword), http.StatusOK, "/account")
		}
		both := events(t, node, "user.registered", "user_id", erin.Sub)
		if second != node {
			both += events(t, second, "user.registered", "user_id", erin.Sub)
		}
		if both != 1 {
			t.Errorf("%d registrations in the audit", both)
		}
	})
}

// Who registers on the way to an application comes out there, in the browser in
// which they began, and nowhere else signed in.
func TestRegistrationEndsWhereItBegan(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, openTo(t, server, "example.com"))
		inst.CLI(t, "", "migrate", "up")
		web := inst.WebClient(t, "--skip-consent")
		node := inst.Start(t)
		metadata := node.NewBrowser(t).Get(t, "/.well-known/openid-configuration").JSON(t)
		if prompts, _ := metadata["prompt_values_supported"].([]any); !slices.Contains(prompts, any("create")) {
			t.Errorf("prompt_values_supported %v", prompts)
		}

		// From the sign-in page, and by the application's own wish.
		for i, prompt := range []string{"", "create"} {
			address := fmt.Sprintf("user-%d@example.com", i)
			b := node.NewBrowser(t)
			pkce := NewPKCE()
			request := web.Request(pkce, "scope", "openid email")
			if prompt != "" {
				request.Set("prompt", prompt)
			}
			page := b.Get(t, "/oauth2/auth?"+request.Encode())
			if prompt == "" {
				if !page.HasID("register-link") {
					t.Fatal("the sign-in page does not offer an account")
				}
				page = b.Get(t, "/register?flow="+url.QueryEscape(page.Form(t, "login-form").Fields.Get("flow")))
			}
			wantPage(t, page, http.StatusOK, "/register")
			wantPage(t, b.registerOn(t, page, address), http.StatusOK, "/register/sent")
			link := linkIn(t, server.Wait(t, address, 1)[0], node.Issuer, pageNewAccount)
			a := b.settle(t, b.Get(t, link), "", address, newPassword)
			tokens := node.Exchange(t, web, a.wantCode(t, node, request), pkce).Tokens(t)
			if claims := node.Userinfo(t, tokens.Access).JSON(t); claims["email"] != address || claims["email_verified"] != true {
				t.Errorf("%v", claims)
			}
			wantPage(t, b.Get(t, "/account"), http.StatusOK, "/account")
		}

		// In another browser the account is made, and nobody is signed in.
		asks, reads := node.NewBrowser(t), node.NewBrowser(t)
		wantPage(t, asks.registerOn(t, asks.Get(t, "/register"), "roaming@example.com"), http.StatusOK, "/register/sent")
		link := linkIn(t, server.Wait(t, "roaming@example.com", 1)[0], node.Issuer, pageNewAccount)
		wantPage(t, reads.settle(t, reads.Get(t, link), "", "roaming", newPassword), http.StatusOK, "/register/done")
		reads.Get(t, "/account").wantLogin(t)
		asks.Get(t, "/account").wantLogin(t)
	})
}

// Where nobody makes an account for themselves there is nothing to be found of
// it; and where nobody is invited either, no invitation.
func TestRegistrationClosed(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	web := inst.WebClient(t)
	node := inst.Start(t)
	b := node.NewBrowser(t)
	for _, path := range []string{"/register", pageNewAccount} {
		if a := b.Get(t, path); a.Status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.Status)
		}
	}
	if b.Get(t, "/login").HasID("register-link") {
		t.Error("the sign-in page offers an account")
	}
	request := web.Request(NewPKCE(), "prompt", "create")
	q := b.Get(t, "/oauth2/auth?"+request.Encode()).wantReturn(t, node, request)
	if q.Get("error") != "invalid_request" || !strings.Contains(q.Get("error_description"), "prompt=create") {
		t.Errorf("prompt=create: %v", q)
	}
	inst.CLI(t, "", "user", "invite", "--email", "frida@example.com")
	link := inst.waitingLink(t, "frida@example.com")
	wantPage(t, b.Get(t, link), http.StatusOK, "/invitation")
	node.Stop(t)
	inst.env["IDP_ACCOUNTS_REGISTRATION"] = "off"
	node = inst.Start(t)
	if a := node.NewBrowser(t).Get(t, link); a.Status != http.StatusNotFound {
		t.Errorf("an invitation: status %d", a.Status)
	}
	if _, stderr, code := inst.Try(t, "", "user", "invite", "--email", "frida@example.com"); code == 0 || !strings.Contains(stderr, "accounts.registration") {
		t.Errorf("invited: %s", stderr)
	}
}
