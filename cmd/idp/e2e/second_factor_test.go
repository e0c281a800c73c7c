package e2e

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"
)

// app is an authenticator app: it never shows the code of a time step twice to
// the same test, and may look ahead by one step.
type app struct {
	secret string
	last   int64
}

// code returns the next code that the server may accept, waiting for it when
// it was used.
func (a *app) code(t testing.TB) string {
	t.Helper()
	step := max(a.last+1, time.Now().Unix()/30)
	if ahead := time.Until(time.Unix((step-1)*30, 0)); ahead > 0 {
		time.Sleep(ahead) // one step ahead is accepted, two are not
	}
	a.last = step
	code, err := totp.GenerateCode(a.secret, time.Unix(step*30, 0))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// wrongCode is none of those that could be right at the moment.
func (a *app) wrongCode(t testing.TB) string {
	t.Helper()
	var right []string
	for i := -2; i <= 2; i++ {
		code, err := totp.GenerateCode(a.secret, time.Now().Add(time.Duration(i)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		right = append(right, code)
	}
	for _, guess := range []string{"000000", "111111", "222222", "333333", "444444", "555555"} {
		if !slices.Contains(right, guess) {
			return guess
		}
	}
	return "123456"
}

// textOf returns the text inside the element with that id.
func (a *Answer) textOf(t testing.TB, id string) string {
	t.Helper()
	var text strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			text.WriteString(n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(a.element(t, id))
	return strings.TrimSpace(text.String())
}

// setUpAuthenticator goes through the pages from the one with the QR code.
func (b *Browser) setUpAuthenticator(t testing.TB, page *Answer) (*app, []string, *Answer) {
	t.Helper()
	a := &app{secret: strings.ReplaceAll(page.textOf(t, "secret"), " ", "")}
	wrong := b.Submit(t, page, page.Form(t, "setup-form"), url.Values{"code": {a.wrongCode(t)}})
	if wrong.Status != http.StatusUnprocessableEntity || strings.ReplaceAll(wrong.textOf(t, "secret"), " ", "") != a.secret {
		t.Fatalf("a wrong code: status %d, want the same secret again:\n%s", wrong.Status, wrong.Body)
	}
	page = b.Submit(t, wrong, wrong.Form(t, "setup-form"), url.Values{"code": {a.code(t)}, "name": {"Phone"}})
	page = b.Submit(t, page, page.Form(t, "recovery-codes-form"), url.Values{"action": {"make"}})
	codes := strings.Fields(page.textOf(t, "recovery-codes"))
	if len(codes) != 10 {
		t.Fatalf("recovery codes: %q", codes)
	}
	file := b.Submit(t, page, page.Form(t, "recovery-codes-file"), url.Values{"action": {"download"}})
	if !strings.HasPrefix(file.Header.Get("Content-Disposition"), "attachment") || !strings.HasSuffix(file.Body, "\n\n"+strings.Join(codes, "\n")+"\n") {
		t.Fatalf("the file of recovery codes: status %d, %v:\n%s", file.Status, file.Header, file.Body)
	}
	file = b.Submit(t, page, page.Form(t, "recovery-codes-file"), url.Values{"action": {"download"}, "codes": {"<script>alert(1)</script>"}})
	if file.Status != http.StatusBadRequest {
		t.Fatalf("a file of other things: status %d", file.Status)
	}
	return a, codes, b.Submit(t, page, page.Form(t, "recovery-codes-done"), url.Values{"action": {"done"}})
}

// prove answers the page that asks for a second factor.
func (b *Browser) prove(t testing.TB, page *Answer, code string, more ...string) *Answer {
	t.Helper()
	fields := url.Values{"code": {code}}
	for i := 0; i < len(more); i += 2 {
		fields.Set(more[i], more[i+1])
	}
	return b.Submit(t, page, page.Form(t, "second-factor-form"), fields)
}

func wantSecondFactor(t testing.TB, page *Answer, status int) {
	t.Helper()
	if page.Status != status || !page.HasID("second-factor-form") {
		t.Fatalf("status %d at %s, want %d and the second factor:\n%s", page.Status, page.URL, status, page.Body)
	}
}

// Whoever set up a second factor is asked for it, every code is good once, and
// the tokens say what happened.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice, bob := inst.NewUser(t, "--email", "alice@example.com", "--email-verified"), inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent")
		node := inst.Start(t)
		id := func(t testing.TB, page *Answer, request url.Values, p PKCE) map[string]any {
			t.Helper()
			code := page.wantCode(t, node, request)
			return node.Verify(t, node.Exchange(t, web, code, p).Tokens(t).ID, "JWT", "RS256")
		}
		want := func(t testing.TB, claims map[string]any, acr string, amr ...any) {
			t.Helper()
			if claims["acr"] != acr || !slices.Equal(claims["amr"].([]any), amr) {
				t.Errorf("acr %v and amr %v, want %s and %v", claims["acr"], claims["amr"], acr, amr)
			}
		}

		// Setting up takes a sign-in of its own.
		b := node.NewBrowser(t)
		page := b.Get(t, "/setup/authenticator")
		page.wantLogin(t)
		page = b.Login(t, page, alice.Username, alice.Password)
		phone, recovery, page := b.setUpAuthenticator(t, page)
		if page.Status != http.StatusOK {
			t.Fatalf("after setting up: status %d at %s", page.Status, page.URL)
		}
		p := NewPKCE()
		request := web.Request(p)
		want(t, id(t, b.Get(t, "/oauth2/auth?"+request.Encode()), request, p), "2", "pwd", "otp", "mfa")

		start := func(t testing.TB, b *Browser, changes ...string) (*Answer, url.Values, PKCE) {
			t.Helper()
			p := NewPKCE()
			request := web.Request(p, changes...)
			page := b.Get(t, "/oauth2/auth?"+request.Encode())
			page.wantLogin(t)
			return b.Login(t, page, alice.Username, alice.Password), request, p
		}

		// Another browser: the password is not enough, and gives nothing.
		other := node.NewBrowser(t)
		page, request, p = start(t, other)
		wantSecondFactor(t, page, http.StatusOK)
		silent := web.Request(NewPKCE(), "prompt", "none")
		node.authorize(t, other.Client, silent).wantRefusal(t, node, silent, "login_required")
		wantSecondFactor(t, other.prove(t, page, phone.wrongCode(t)), http.StatusUnprocessableEntity)
		wantSecondFactor(t, other.prove(t, page, ""), http.StatusUnprocessableEntity)
		wantSecondFactor(t, other.prove(t, page, phone.wrongCode(t), "method", "none"), http.StatusUnprocessableEntity)
		// Nobody takes the step in another browser (Q13).
		if stolen := node.NewBrowser(t).Submit(t, page, page.Form(t, "second-factor-form"), url.Values{"code": {phone.code(t)}}); stolen.Status != http.StatusForbidden {
			t.Errorf("the step in another browser: status %d", stolen.Status)
		}
		code := phone.code(t)
		want(t, id(t, other.prove(t, page, code), request, p), "2", "pwd", "otp", "mfa")

		// A code is good once.
		third := node.NewBrowser(t)
		page, request, p = start(t, third)
		wantSecondFactor(t, third.prove(t, page, code), http.StatusUnprocessableEntity)

		// A recovery code, once, and this device is trusted from now on.
		way := third.Get(t, "/login/second-factor?"+url.Values{"flow": page.Form(t, "second-factor-other").Fields["flow"], "method": {"recovery"}}.Encode())
		want(t, id(t, third.prove(t, way, strings.ToUpper(recovery[0]), "trust", "yes"), request, p), "2", "pwd", "otp", "mfa")
		page, request, p = start(t, third, "prompt", "login")
		want(t, id(t, page, request, p), "1", "pwd")
		// Trust is the person's own convenience: who asks for more gets more.
		p = NewPKCE()
		request = web.Request(p, "acr_values", "2")
		page = third.Get(t, "/oauth2/auth?"+request.Encode())
		wantSecondFactor(t, page, http.StatusOK)
		way = third.Get(t, "/login/second-factor?"+url.Values{"flow": page.Form(t, "second-factor-other").Fields["flow"], "method": {"recovery"}}.Encode())
		wantSecondFactor(t, third.prove(t, way, recovery[0]), http.StatusUnprocessableEntity)
		raised := id(t, third.prove(t, way, recovery[1]), request, p)
		want(t, raised, "2", "pwd", "otp", "mfa")

		// bob shares the browser, and trusts nothing in it.
		page = third.Get(t, "/login?prompt=login")
		page = third.Login(t, page, bob.Username, bob.Password)
		if page.HasID("second-factor-form") {
			t.Error("bob is asked for alice's second factor")
		}

		// She was told of the ways in that were added, and of each device after the
		// first.
		told := map[string]int{}
		for _, letter := range inst.letters(t) {
			if letter.To != "alice@example.com" {
				t.Errorf("a message to %s", letter.To)
			}
			told[letter.Kind]++
		}
		if told["factor_changed"] != 2 || told["new_device"] != 2 || len(told) != 2 {
			t.Errorf("messages %v, want two of changed factors and two of new devices", told)
		}

		// A step taken between password and code counts: the account was disabled.
		fourth := node.NewBrowser(t)
		page, _, _ = start(t, fourth)
		wantSecondFactor(t, page, http.StatusOK)
		inst.CLI(t, "", "user", "disable", alice.Username)
		page = fourth.prove(t, page, recovery[2])
		page.wantLogin(t)
	})
}

// The sign-in policy asks people of a group for more, wherever they go, and
// leads those who have nothing to set something up.
func TestSignInPolicy(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice, bob := inst.NewUser(t), inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent")
		inst.CLI(t, "", "group", "create", "admins")
		inst.CLI(t, "", "group", "add-member", "admins", alice.Username)
		node := inst.Start(t)

		b := node.NewBrowser(t)
		p := NewPKCE()
		request := web.Request(p)
		page := b.Get(t, "/oauth2/auth?"+request.Encode())
		b.Login(t, page, alice.Username, alice.Password).wantCode(t, node, request)

		// From now on, for sessions that are there as for new ones.
		inst.CLI(t, "", "policy", "create", "admins", "--group", "admins", "--acr", "2")
		silent := web.Request(NewPKCE(), "prompt", "none")
		eventually(t, "the policy holds", []*Node{node}, func(*Node) bool {
			a := node.authorize(t, b.Client, silent)
			return strings.Contains(a.Header.Get("Location"), "error=login_required")
		})
		p = NewPKCE()
		request = web.Request(p)
		page = b.Get(t, "/oauth2/auth?"+request.Encode())
		if !page.HasID("setup-authenticator") {
			t.Fatalf("status %d at %s, want the choice of factors:\n%s", page.Status, page.URL, page.Body)
		}
		_, _, page = b.setUpAuthenticator(t, b.Get(t, page.link(t, "setup-authenticator")))
		claims := node.Verify(t, node.Exchange(t, web, page.wantCode(t, node, request), p).Tokens(t).ID, "JWT", "RS256")
		if claims["acr"] != "2" {
			t.Errorf("acr %v", claims["acr"])
		}

		// Who is not in the group is left alone.
		request = web.Request(NewPKCE())
		c := node.NewBrowser(t)
		c.Login(t, c.Get(t, "/oauth2/auth?"+request.Encode()), bob.Username, bob.Password).wantCode(t, node, request)

		// Passkeys only: no other choice is offered.
		inst.CLI(t, "", "policy", "create", "strict", "--client", web.ID, "--acr", "phr")
		eventually(t, "the stricter rule holds", []*Node{node}, func(*Node) bool {
			page := c.Get(t, "/oauth2/auth?"+web.Request(NewPKCE()).Encode())
			return page.HasID("setup-passkey") && !page.HasID("setup-authenticator")
		})
	})
}

// link returns the address that the link with that id leads to.
func (a *Answer) link(t testing.TB, id string) string {
	t.Helper()
	target, err := a.URL.Parse(attr(a.element(t, id), "href"))
	if err != nil {
		t.Fatal(err)
	}
	return target.String()
}

// What the demo API asks for, the demo application gets: nothing for a person
// with a password alone, and the answer for one with a second factor
// (RFC 9470).
func TestDev_StepUp(t *testing.T) {
	t.Parallel()
	d, _ := startDev(t, "127.0.0.1:0", "127.0.0.1:0")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{&Node{Installation: &Installation{Issuer: d.Issuer}}, &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	settle := func(a *Answer) *Answer { // between the two sites
		for range 12 {
			if a.Status < 300 || a.Status > 399 {
				return a
			}
			next, err := a.URL.Parse(a.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			a = b.Get(t, next.String())
		}
		t.Fatal("in circles")
		return nil
	}
	press := func(page *Answer, path string) *Answer {
		return settle(b.Submit(t, page, Form{Action: path}, nil))
	}

	page := settle(b.Get(t, d.DemoApp+"/login"))
	page = settle(b.Login(t, page, d.Users[0].Username, d.Users[0].Password))
	page = settle(b.Allow(t, page))
	page = press(page, "/call-sensitive")
	if !page.HasID("needs-setup") || !strings.Contains(page.textOf(t, "api-answer"), "insufficient_user_authentication") {
		t.Fatalf("at %s, want the challenge and where to set up a second factor:\n%s", page.URL, page.Body)
	}

	b.setUpAuthenticator(t, b.Get(t, "/setup/authenticator"))
	page = press(settle(b.Get(t, d.DemoApp+"/")), "/call-sensitive")
	if page.HasID("needs-setup") || !strings.Contains(page.textOf(t, "api-answer"), `"acr": "2"`) {
		t.Fatalf("at %s, want the answer:\n%s", page.URL, page.Body)
	}
}
