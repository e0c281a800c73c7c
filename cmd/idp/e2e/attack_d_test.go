package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// scan looks at a page as a script that got into it would: nothing may run
// inline, and nothing that is worth stealing may lie about.
func (a *Answer) scan(t testing.TB) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			switch n.Data {
			case "script":
				if attr(n, "src") == "" || n.FirstChild != nil {
					t.Errorf("an inline script at %s", a.URL.Path)
				}
			case "style", "iframe", "object", "embed", "base":
				t.Errorf("<%s> at %s", n.Data, a.URL.Path)
			}
			for _, at := range n.Attr {
				value := strings.ToLower(strings.TrimSpace(at.Val))
				switch {
				case strings.HasPrefix(at.Key, "on"), at.Key == "style", at.Key == "srcdoc":
					t.Errorf("attribute %s at %s", at.Key, a.URL.Path)
				case strings.HasPrefix(value, "javascript:"), strings.HasPrefix(value, "data:"):
					t.Errorf("%s=%q at %s", at.Key, at.Val, a.URL.Path)
				case (at.Key == "src" || at.Key == "action" || at.Key == "href" && n.Data == "link") && !strings.HasPrefix(value, "/"):
					t.Errorf("%s=%q leads away from %s", at.Key, at.Val, a.URL.Path)
				case at.Key == "target" && at.Val == "_blank" && !strings.Contains(attr(n, "rel"), "noreferrer"):
					t.Errorf("a link that leaks the address at %s", a.URL.Path)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(root)
	if found := regexp.MustCompile(`idp_(ac|rt|at|s)_|eyJ[A-Za-z0-9_-]{8,}\.|code_challenge|code_verifier`).FindString(a.Body); found != "" {
		t.Errorf("the page at %s holds %s", a.URL.Path, found)
	}
	policy := a.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy of %s lacks %s: %s", a.URL.Path, part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("a lax policy at %s: %s", a.URL.Path, policy)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q at %s, want %s", name, got, a.URL.Path, want)
		}
	}
}

// swap replaces one character.
func swap(s string, i int) string {
	if s[i] == 'A' {
		return s[:i] + "B" + s[i+1:]
	}
	return s[:i] + "A" + s[i+1:]
}

// The pages on which people act do what the person in front of them wants, and
// nobody else.
func TestAttack_D_Pages(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		const markup = `<script>alert(1)</script><img src=x onerror=alert(1)>"'`
		api := inst.NewResource(t, []string{"things:read=" + markup}, "--restricted-scope", "things:write", "--name", markup)
		inst.CLI(t, "", "role", "create", "writer", "--scope", api+"#things:write")
		alice, mallory := inst.NewUser(t, "--name", markup), inst.NewUser(t)
		loud := inst.WebClient(t, "--name", markup, "--audience", api, "--scope", "openid profile things:read things:write", "--client-uri", "https://app.example/?"+url.QueryEscape(markup))
		plain := inst.WebClient(t, "--skip-consent")
		moving := inst.WebClient(t, "--redirect-uri", "https://app.example/cb", "--redirect-uri", "https://other.example/cb")
		public := inst.NewClient(t, "--public", "--application-type", "native", "--redirect-uri", "com.example.app:/cb", "--redirect-uri", "http://127.0.0.1/cb", "--scope", "openid")
		node := inst.Start(t)

		signedIn := func(t *testing.T, u User) *Browser {
			t.Helper()
			b := node.NewBrowser(t)
			b.Authorize(t, plain.Request(NewPKCE()), u)
			return b
		}
		b := signedIn(t, alice)
		// post sends a form as whoever has these cookies.
		post := func(t *testing.T, b *Browser, path string, fields url.Values, header http.Header) *Answer {
			t.Helper()
			h := http.Header{"Origin": {inst.Issuer}, "Sec-Fetch-Site": {"same-origin"}}
			maps.Copy(h, header)
			for name, values := range h {
				if values == nil {
					delete(h, name)
				}
			}
			return node.request(t, b.Client, http.MethodPost, path, fields.Encode(), h)
		}
		flowOf := func(t *testing.T, page *Answer, form string) string {
			t.Helper()
			return page.Form(t, form).Fields.Get("flow")
		}

		t.Run("D01_Markup", func(t *testing.T) {
			request := loud.Request(NewPKCE(), "scope", "openid profile things:read", "login_hint", markup, "ui_locales", markup, "display", markup, "claims", `{"id_token":{"`+strings.ReplaceAll(markup, `"`, "")+`":null}}`)
			for _, page := range []*Answer{node.NewBrowser(t).Get(t, "/oauth2/auth?"+request.Encode()), b.Get(t, "/oauth2/auth?"+request.Encode()), b.Get(t, "/")} {
				page.scan(t)
				if page.Status != http.StatusOK || strings.Contains(page.Body, "<img") || !strings.Contains(page.Body, "&lt;script&gt;") {
					t.Errorf("the page at %s does not show markup as text: %d", page.URL.Path, page.Status)
				}
			}
			for _, bad := range [][]string{
				{"--name", "Pay\u202epal"},
				{"--name", "a\u2066b"},
				{"--name", "a\nb"},
				{"--name", "a\x1b[31m"},
				{"--name", "a\u200bb"},
				{"--logo-uri", "javascript:alert(1)"},
				{"--tos-uri", "javascript:alert(1)"},
				{"--policy-uri", "data:text/html,x"},
				{"--client-uri", "http://evil.tld/"},
				{"--tos-uri", "//evil.tld"},
			} {
				if _, _, code := inst.Try(t, "", append([]string{"client", "create", unique("client"), "--redirect-uri", "https://app.example/cb"}, bad...)...); code == 0 {
					t.Errorf("registered with %q", bad)
				}
			}
		})
		t.Run("D02_NothingInline", func(t *testing.T) {
			fresh := node.NewBrowser(t)
			login := fresh.Get(t, "/oauth2/auth?"+plain.Request(NewPKCE()).Encode())
			for _, page := range []*Answer{
				login, fresh.Get(t, "/login"), fresh.Login(t, login, "nobody", "wrong"), fresh.Login(t, login, "", ""), fresh.Get(t, "/"),
				b.Get(t, "/"), b.Get(t, "/logout"), b.Get(t, "/oauth2/auth?"+plain.Request(NewPKCE(), "prompt", "select_account").Encode()),
				b.Get(t, "/oauth2/auth?"+loud.Request(NewPKCE(), "scope", "openid").Encode()), b.Get(t, "/oauth2/auth"), b.Get(t, "/consent"),
				node.request(t, node.HTTP, http.MethodGet, "/nowhere", "", http.Header{"Accept": {"text/html"}}),
			} {
				page.scan(t)
			}
		})
		t.Run("D04_ForgedForms", func(t *testing.T) {
			login := flowOf(t, b.Get(t, "/oauth2/auth?"+plain.Request(NewPKCE(), "prompt", "login").Encode()), "login-form")
			consent := flowOf(t, b.Get(t, "/oauth2/auth?"+loud.Request(NewPKCE(), "scope", "openid").Encode()), "consent-form")
			logout := flowOf(t, b.Get(t, "/logout"), "logout-form")
			m := signedIn(t, mallory)
			forms := map[string]struct {
				own, others string
				fields      url.Values
			}{
				"/login":   {login, flowOf(t, m.Get(t, "/oauth2/auth?"+plain.Request(NewPKCE(), "prompt", "login").Encode()), "login-form"), url.Values{"username": {alice.Username}, "password": {alice.Password}}},
				"/consent": {consent, flowOf(t, m.Get(t, "/oauth2/auth?"+loud.Request(NewPKCE(), "scope", "openid").Encode()), "consent-form"), url.Values{"decision": {"allow"}}},
				"/logout":  {logout, flowOf(t, m.Get(t, "/logout"), "logout-form"), url.Values{"action": {"logout"}}},
			}
			var forged []*Answer
			for path, f := range forms {
				with := func(flow string) url.Values {
					v := maps.Clone(f.fields)
					v.Set("flow", flow)
					return v
				}
				for name, forgery := range map[string]struct {
					fields url.Values
					header http.Header
				}{
					"no flow":           {f.fields, nil},
					"empty flow":        {with(""), nil},
					"garbled":           {with(swap(f.own, 40)), nil},
					"truncated":         {with(f.own[:len(f.own)-4]), nil},
					"another browser's": {with(f.others), nil},
					"foreign origin":    {with(f.own), http.Header{"Origin": {"https://evil.tld"}, "Sec-Fetch-Site": nil}},
					"opaque origin":     {with(f.own), http.Header{"Origin": {"null"}, "Sec-Fetch-Site": nil}},
					"http twin":         {with(f.own), http.Header{"Origin": {strings.Replace(inst.Issuer, "http:", "https:", 1)}, "Sec-Fetch-Site": nil}},
					"cross-site":        {with(f.own), http.Header{"Sec-Fetch-Site": {"cross-site"}}},
					"same-site":         {with(f.own), http.Header{"Sec-Fetch-Site": {"same-site"}}},
				} {
					a := post(t, b, path, forgery.fields, forgery.header)
					if a.wantPage(t, http.StatusForbidden); len(a.Header.Values("Set-Cookie")) > 0 {
						t.Errorf("%s, %s: sets a cookie", path, name)
					}
					if t.Failed() {
						t.Fatalf("%s, %s", path, name)
					}
					forged = append(forged, a)
				}
				for name, body := range map[string]string{"json": `{"flow":"` + f.own + `"}`, "text": with(f.own).Encode()} {
					a := node.request(t, b.Client, http.MethodPost, path, body, http.Header{"Content-Type": {map[string]string{"json": "application/json", "text": "text/plain"}[name]}, "Origin": {inst.Issuer}})
					a.wantPage(t, http.StatusUnsupportedMediaType)
				}
				twice := with(f.own)
				twice.Add("flow", f.own)
				post(t, b, path, twice, nil).wantPage(t, http.StatusBadRequest)
			}
			node.wantAudit(t, "csrf.rejected", forged...)
			request := plain.Request(NewPKCE(), "prompt", "none")
			node.authorize(t, b.Client, request).wantCode(t, node, request) // still signed in
			request = loud.Request(NewPKCE(), "prompt", "none", "scope", "openid")
			node.authorize(t, b.Client, request).wantRefusal(t, node, request, "consent_required") // still nothing allowed
		})
		t.Run("D05_LoginCSRF", func(t *testing.T) {
			attacker, victim := node.NewBrowser(t), node.NewBrowser(t)
			flow := flowOf(t, attacker.Get(t, "/login"), "login-form")
			victim.Get(t, "/login")
			fields := url.Values{"flow": {flow}, "username": {mallory.Username}, "password": {mallory.Password}}
			post(t, victim, "/login", fields, nil).wantPage(t, http.StatusForbidden)
			if cookie(t, victim, "idp_session") != "" {
				t.Error("the victim is signed in as the attacker")
			}
			post(t, node.NewBrowser(t), "/login", fields, nil).wantPage(t, http.StatusForbidden)
		})
		t.Run("D06_Fixation", func(t *testing.T) {
			mallorys := cookie(t, signedIn(t, mallory), "idp_session")
			victim := node.NewBrowser(t)
			setCookie(t, victim, "idp_session", mallorys)
			page := victim.Get(t, "/oauth2/auth?"+plain.Request(NewPKCE(), "prompt", "login").Encode())
			request := plain.Request(NewPKCE())
			victim.Login(t, page, alice.Username, alice.Password)
			after := cookie(t, victim, "idp_session")
			if after == mallorys || after == "" {
				t.Fatal("the session kept its identifier through the login")
			}
			thief := node.NewBrowser(t)
			setCookie(t, thief, "idp_session", mallorys)
			thief.Get(t, "/oauth2/auth?"+request.Encode()).wantLogin(t)
			// Proving who one is once more, and leaving, change it as well.
			victim.Login(t, victim.Get(t, "/oauth2/auth?"+plain.Request(NewPKCE(), "prompt", "login").Encode()), alice.Username, alice.Password)
			second := cookie(t, victim, "idp_session")
			setCookie(t, thief, "idp_session", after)
			thief.Get(t, "/oauth2/auth?"+request.Encode()).wantLogin(t)
			page = victim.Get(t, "/logout")
			victim.Submit(t, page, page.Form(t, "logout-form"), nil)
			setCookie(t, thief, "idp_session", second)
			thief.Get(t, "/oauth2/auth?"+request.Encode()).wantLogin(t)
			// Every spelling but one is nobody's.
			live := cookie(t, b, "idp_session")
			for _, i := range []int{0, 6, 10, 40, 60, len(live) - 1} {
				setCookie(t, thief, "idp_session", swap(live, i))
				thief.Get(t, "/oauth2/auth?"+request.Encode()).wantLogin(t)
			}
		})
		t.Run("D08_KnownFlow", func(t *testing.T) {
			victim := node.NewBrowser(t)
			request := plain.Request(NewPKCE())
			page := victim.Get(t, "/oauth2/auth?"+request.Encode())
			form := page.Form(t, "login-form")
			fields := url.Values{"flow": form.Fields["flow"], "username": {alice.Username}, "password": {alice.Password}}
			resume := post(t, victim, "/login", fields, nil).Header.Get("Location")
			if !strings.HasPrefix(resume, "/oauth2/auth?flow=") {
				t.Fatalf("the login leads to %q", resume)
			}
			for _, path := range []string{resume, "/login?" + strings.SplitN(resume, "?", 2)[1], "/consent?" + strings.SplitN(resume, "?", 2)[1]} {
				for _, thief := range []*Browser{node.NewBrowser(t), signedIn(t, mallory)} {
					node.open(t, thief.Client, path).wantPage(t, http.StatusForbidden)
				}
			}
			node.open(t, victim.Client, resume).wantCode(t, node, request)
		})
		t.Run("D09_Cookies", func(t *testing.T) {
			request := plain.Request(NewPKCE())
			silent := plain.Request(NewPKCE(), "prompt", "none")
			session, binding := cookie(t, b, "idp_session"), cookie(t, b, "idp_browser")
			mallorys := cookie(t, signedIn(t, mallory), "idp_session")
			for _, line := range []string{"idp_session=" + session + "; idp_session=" + mallorys, "idp_session=" + mallorys + "; idp_session=" + session, "idp_session=" + session + "; idp_session=x"} {
				a := node.request(t, node.HTTP, http.MethodGet, "/oauth2/auth?"+silent.Encode(), "", http.Header{"Cookie": {line}})
				a.wantRefusal(t, node, silent, "login_required")
				a = node.request(t, node.HTTP, http.MethodGet, "/oauth2/auth?"+silent.Encode(), "", http.Header{"Cookie": strings.Split(line, "; ")})
				a.wantRefusal(t, node, silent, "login_required")
			}
			flow := node.authorize(t, b.Client, plain.Request(NewPKCE(), "prompt", "login")).Header.Get("Location")
			a := node.request(t, node.HTTP, http.MethodGet, flow, "", http.Header{"Cookie": {"idp_browser=" + binding + "; idp_browser=" + strings.Repeat("A", 43)}})
			a.wantPage(t, http.StatusForbidden)
			many := "idp_session=" + session
			for i := range 300 {
				many += fmt.Sprintf("; c%d=x", i)
			}
			a = node.request(t, node.HTTP, http.MethodGet, "/oauth2/auth?"+request.Encode(), "", http.Header{"Cookie": {many}})
			if a.Status != http.StatusRequestHeaderFieldsTooLarge || a.Header.Get("Location") != "" {
				t.Errorf("300 cookies: %d", a.Status)
			}
		})
		t.Run("D10_SeeOther", func(t *testing.T) {
			fresh := node.NewBrowser(t)
			flow := flowOf(t, fresh.Get(t, "/oauth2/auth?"+loud.Request(NewPKCE(), "scope", "openid").Encode()), "login-form")
			a := post(t, fresh, "/login", url.Values{"flow": {flow}, "username": {alice.Username}, "password": {alice.Password}}, nil)
			if a.Status != http.StatusSeeOther {
				t.Errorf("the login answers %d", a.Status)
			}
			if strings.Contains(a.Header.Get("Location"), url.QueryEscape(alice.Password)) || strings.Contains(a.Body, alice.Password) {
				t.Error("the password is in the answer")
			}
			page := fresh.Get(t, a.Header.Get("Location"))
			for _, decision := range []string{"deny", "allow"} {
				if a := post(t, fresh, "/consent", url.Values{"flow": {flowOf(t, page, "consent-form")}, "decision": {decision}}, nil); a.Status != http.StatusSeeOther {
					t.Errorf("consent %s answers %d", decision, a.Status)
				}
			}
			page = fresh.Get(t, "/logout")
			if a := post(t, fresh, "/logout", url.Values{"flow": {flowOf(t, page, "logout-form")}}, nil); a.Status != http.StatusOK || a.Header.Get("Location") != "" {
				t.Errorf("the logout, which answers with a page, answers %d", a.Status)
			}
			// A wrong password is never sent back.
			page = fresh.Get(t, "/login")
			if page = fresh.Login(t, page, alice.Username, "wrong-"+alice.Password); strings.Contains(page.Body, alice.Password) {
				t.Error("the page repeats the password")
			}
		})
		t.Run("D13_Consent", func(t *testing.T) {
			a := signedIn(t, alice)
			// What grew while the page was open is asked again.
			request := loud.Request(NewPKCE(), "scope", "openid things:read things:write")
			page := a.Get(t, "/oauth2/auth?"+request.Encode())
			page.wantConsent(t)
			inst.CLI(t, "", "role", "assign", "writer", alice.Username)
			page = a.Allow(t, page)
			if page.Status != http.StatusUnprocessableEntity || !page.HasID("consent-form") {
				t.Fatalf("allowing what was not shown: %d %s", page.Status, page.Header.Get("Location"))
			}
			a.Allow(t, page).wantCode(t, node, request)
			// A field that asks for more has no say.
			less := loud.Request(NewPKCE(), "scope", "openid profile")
			page = a.Get(t, "/oauth2/auth?"+less.Encode())
			done := a.Submit(t, page, page.Form(t, "consent-form"), url.Values{"decision": {"allow"}, "scope": {"openid profile things:read"}, "client_id": {plain.ID}, "redirect_uri": {"https://evil.tld"}})
			done.wantCode(t, node, less)
			// Another host is another application.
			request = moving.Request(NewPKCE())
			a.Allow(t, a.Get(t, "/oauth2/auth?"+request.Encode())).wantCode(t, node, request)
			a.Get(t, "/oauth2/auth?"+request.Encode()).wantCode(t, node, request)
			request = moving.Request(NewPKCE(), "redirect_uri", "https://other.example/cb")
			page = a.Get(t, "/oauth2/auth?"+request.Encode())
			if page.wantConsent(t); !strings.Contains(page.Body, "other.example") {
				t.Error("the page does not say where it leads")
			}
			// Who can be impersonated is asked for every time.
			for _, uri := range []string{"com.example.app:/cb", "http://127.0.0.1:5000/cb"} {
				request = public.Request(NewPKCE(), "scope", "openid", "redirect_uri", uri)
				for range 2 {
					page = a.Get(t, "/oauth2/auth?"+request.Encode())
					page.wantConsent(t)
					a.Submit(t, page, page.Form(t, "consent-form"), url.Values{"decision": {"allow"}, "remember": {"yes"}}).wantCode(t, node, request)
				}
				request.Set("prompt", "none")
				a.Get(t, "/oauth2/auth?"+request.Encode()).wantRefusal(t, node, request, "consent_required")
			}
			// A decision that is neither is none.
			page = a.Get(t, "/oauth2/auth?"+moving.Request(NewPKCE(), "prompt", "consent").Encode())
			for _, decision := range []string{"", "ALLOW", "yes", "allow deny"} {
				post(t, a, "/consent", url.Values{"flow": {flowOf(t, page, "consent-form")}, "decision": {decision}}, nil).wantPage(t, http.StatusBadRequest)
			}
		})
		t.Run("D14_AfterLogout", func(t *testing.T) {
			a := signedIn(t, alice)
			consent := a.Get(t, "/oauth2/auth?"+loud.Request(NewPKCE(), "prompt", "consent", "scope", "openid").Encode())
			old := cookie(t, a, "idp_session")
			page := a.Get(t, "/logout")
			// Looking at the page ends nothing.
			request := plain.Request(NewPKCE(), "prompt", "none")
			a.Get(t, "/oauth2/auth?"+request.Encode()).wantCode(t, node, request)
			a.Submit(t, page, page.Form(t, "logout-form"), nil)
			if cookie(t, a, "idp_session") != "" {
				t.Error("the cookie outlives the logout")
			}
			setCookie(t, a, "idp_session", old)
			a.Get(t, "/oauth2/auth?"+request.Encode()).wantRefusal(t, node, request, "login_required")
			a.Allow(t, consent).wantLogin(t)
			if home := a.Get(t, "/"); strings.Contains(home.Body, alice.Username) {
				t.Error("the start page still knows who was signed in")
			}
		})
		t.Run("D16_ErrorPages", func(t *testing.T) {
			secret := "hunter2-" + Token()
			told := regexp.MustCompile(`(?i)goroutine|\.go:|panic|select |insert |sqlite|postgres|pgx|fosite|stack`)
			hostname, _ := os.Hostname()
			seen := map[string]bool{}
			for _, path := range []string{
				"/oauth2/auth?client_id=" + secret, "/oauth2/auth?flow=" + secret, "/login?flow=" + secret, "/consent?flow=" + secret, "/oauth2/auth?%zz" + secret,
				"/oauth2/auth?" + plain.Request(NewPKCE(), "redirect_uri", "https://evil.tld/"+secret).Encode(), "/" + secret, "/login/" + secret,
			} {
				a := node.request(t, b.Client, http.MethodGet, path, "", http.Header{"Accept": {"text/html"}})
				id := a.Header.Get("X-Request-Id")
				if a.wantPage(t, a.Status); a.Status < 400 || a.Status > 404 || seen[id] {
					t.Errorf("%s: status %d, request %s", path, a.Status, id)
				}
				seen[id] = true
				if menu, ok := a.FindForm("display-form"); ok { // where to come back to is sealed: random letters
					a.Body = strings.ReplaceAll(a.Body, menu.Fields.Get("to"), "")
				}
				if found := told.FindString(a.Body); found != "" || strings.Contains(a.Body, secret) || len(hostname) > 3 && strings.Contains(a.Body, hostname) || strings.Contains(a.Body, plain.ID) {
					t.Errorf("%s: the page tells too much (%s)", path, found)
				}
			}
		})
		t.Run("D17_OutOfReach", func(t *testing.T) {
			fresh := node.NewBrowser(t)
			start := node.open(t, fresh.Client, "/login")
			flow := flowOf(t, start, "login-form")
			done := post(t, fresh, "/login", url.Values{"flow": {flow}, "username": {alice.Username}, "password": {alice.Password}}, nil)
			cookies := append(start.Header.Values("Set-Cookie"), done.Header.Values("Set-Cookie")...)
			if len(cookies) != 3 {
				t.Errorf("cookies %d, want the binding, the session and the device", len(cookies))
			}
			for _, c := range cookies {
				for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
					if !strings.Contains(c, want) {
						t.Errorf("a cookie without %s", want)
					}
				}
				if strings.Contains(c, "Domain") {
					t.Error("a cookie for other hosts")
				}
			}
			scripts, err := filepath.Glob(filepath.Join(moduleRoot(), "web", "static", "*.js"))
			if err != nil || len(scripts) == 0 {
				t.Fatal("no scripts found")
			}
			for _, name := range scripts {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				for _, word := range []string{"localStorage", "sessionStorage", "indexedDB", "document.cookie", "innerHTML", "eval(", "location.hash", "postMessage"} {
					// The frame of OpenID Connect Session Management reads one cookie,
					// which says nothing but that it changed, and answers the
					// application that asks.
					if filepath.Base(name) == "check_session.js" && (word == "document.cookie" || word == "postMessage") {
						continue
					}
					if strings.Contains(string(text), word) {
						t.Errorf("%s uses %s", filepath.Base(name), word)
					}
				}
			}
		})
		node.wantQuiet(t, alice.Password, mallory.Password, loud.Secret, cookie(t, b, "idp_session"), cookie(t, b, "idp_browser"))
	})
}

// Behind TLS the cookies are for this host alone, and only over TLS.
func TestAttack_D09_HostPrefix(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_ISSUER": "https://id.example"})
		alice := inst.NewUser(t)
		node := inst.Start(t)
		inst.Issuer = "http://id.example" // as the proxy that ends TLS calls it
		b := node.NewBrowser(t)
		page := node.open(t, b.Client, "/login")
		fields := page.Form(t, "login-form").Fields
		fields.Set("username", alice.Username)
		fields.Set("password", alice.Password)
		var binding string
		for _, c := range page.Header.Values("Set-Cookie") {
			binding, _, _ = strings.Cut(c, ";")
		}
		done := node.request(t, node.HTTP, http.MethodPost, "/login", fields.Encode(), http.Header{"Cookie": {binding}, "Origin": {"https://id.example"}})
		cookies := append(page.Header.Values("Set-Cookie"), done.Header.Values("Set-Cookie")...)
		if len(cookies) != 3 || done.Status != http.StatusSeeOther { // of the browser, the session and the device
			t.Fatalf("%d cookies, status %d", len(cookies), done.Status)
		}
		for _, c := range cookies {
			if !strings.HasPrefix(c, "__Host-idp_") || !strings.Contains(c, "Secure") || !strings.Contains(c, "Path=/;") || strings.Contains(c, "Domain") {
				t.Errorf("a cookie that another host could set: %.30s", c)
			}
		}
		// What a sibling host tossed in under the bare name is not looked at.
		_, session, _ := strings.Cut(cookies[1], "=")
		session, _, _ = strings.Cut(session, ";")
		a := node.request(t, node.HTTP, http.MethodGet, "/logout", "", http.Header{"Cookie": {"idp_session=" + session}})
		if strings.Contains(a.Body, alice.Username) {
			t.Error("the bare name signs in")
		}
		a = node.request(t, node.HTTP, http.MethodGet, "/logout", "", http.Header{"Cookie": {"__Host-idp_session=" + session}})
		if !strings.Contains(a.Body, alice.Username) {
			t.Error("the prefixed name does not sign in")
		}
		if got := a.Header.Get("Strict-Transport-Security"); !strings.Contains(got, "max-age=") {
			t.Errorf("Strict-Transport-Security %q", got)
		}
		node.wantQuiet(t, session, alice.Password)
	})
}

// Guessing passwords is limited per account and per address, whoever asks in
// parallel, and no answer tells which user names exist.
func TestLogin_Guessing(t *testing.T) {
	t.Parallel()
	const parallel, perAccount, perAddress = 200, 5, 20
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice, bob, gone := inst.NewUser(t), inst.NewUser(t), inst.NewUser(t)
		inst.CLI(t, "", "user", "disable", gone.Username)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		fields := b.Get(t, "/login").Form(t, "login-form").Fields
		binding := "idp_browser=" + cookie(t, b, "idp_browser")
		var failed, throttled atomic.Int64 // as the answers tell
		try := func(username, password, address string) (*Answer, error) {
			body := url.Values{"flow": fields["flow"], "username": {username}, "password": {password}}
			r, err := http.NewRequest(http.MethodPost, inst.Issuer+"/login", strings.NewReader(body.Encode()))
			if err != nil {
				return nil, err
			}
			r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Cookie": {binding}, "Origin": {inst.Issuer}, "X-Forwarded-For": {address}}
			a, err := Send(node.HTTP, r)
			if err == nil && a.Status == http.StatusUnprocessableEntity {
				failed.Add(1)
			}
			if err == nil && a.Status == http.StatusTooManyRequests {
				throttled.Add(1)
			}
			return a, err
		}
		// storm sends all at once and counts what was evaluated and refused.
		storm := func(t *testing.T, who func(i int) (username, address string), limit int, interval time.Duration) {
			t.Helper()
			start := time.Now()
			answers := make([]*Answer, parallel)
			var all sync.WaitGroup
			for i := range parallel {
				all.Go(func() {
					username, address := who(i)
					answers[i], _ = try(username, "wrong password", address)
				})
			}
			all.Wait()
			most := limit + int(time.Since(start)/interval)
			evaluated, refused := 0, 0
			for _, a := range answers {
				switch {
				case a == nil:
					t.Fatal("a request got no answer")
				case a.Status == http.StatusUnprocessableEntity:
					evaluated++
				case a.Status == http.StatusTooManyRequests:
					refused++
					if after := a.Header.Get("Retry-After"); !regexp.MustCompile(`^[1-9][0-9]{0,2}$`).MatchString(after) {
						t.Fatalf("Retry-After %q", after)
					}
					if !a.HasID("login-form") {
						t.Fatal("a 429 without the form")
					}
				default:
					t.Fatalf("status %d: %.300s", a.Status, a.Body)
				}
			}
			if evaluated < limit || evaluated > most || evaluated+refused != parallel {
				t.Errorf("%d of %d guesses were evaluated and %d throttled, want from %d to %d evaluated", evaluated, parallel, refused, limit, most)
			}
			deadline := time.Now().Add(5 * time.Second)
			for {
				f, r := len(node.audited(t, "login.failed", "")), len(node.audited(t, "login.throttled", ""))
				if f == int(failed.Load()) && r == int(throttled.Load()) {
					return
				}
				if time.Now().After(deadline) {
					t.Errorf("the audit tells of %d failed and %d throttled logins, want %d and %d", f, r, failed.Load(), throttled.Load())
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		t.Run("Q01_SameAnswer", func(t *testing.T) {
			challenges := regexp.MustCompile(`data-options="[^"]*"`) // another one each time
			unknown := "nobody-" + unique("x")
			width := max(len(unknown), len(bob.Username), len(gone.Username))
			pad := func(s string) string { return s + strings.Repeat(" ", width-len(s)) } // as people type; trimmed by the form
			var bodies, headers []string
			for _, attempt := range [][2]string{{unknown, "wrong password"}, {bob.Username, "wrong password"}, {gone.Username, "wrong password"}, {gone.Username, gone.Password}, {unknown, gone.Password}} {
				a, err := try(pad(attempt[0]), attempt[1], NextAddress())
				if err != nil || a.Status != http.StatusUnprocessableEntity {
					t.Fatalf("%v %+v", err, a)
				}
				form, passkey := a.Form(t, "login-form").Fields, a.Form(t, "passkey-form").Fields
				once := strings.NewReplacer(form.Get("flow"), "", passkey.Get("passkey_state"), "", `value="`+attempt[0]+`"`, "NAME")
				body := challenges.ReplaceAllString(once.Replace(a.Body), "")
				bodies = append(bodies, body)
				var lines []string
				for name, values := range a.Header {
					if name != "X-Request-Id" && name != "Date" && name != "Content-Length" {
						lines = append(lines, name+": "+strings.Join(values, ", "))
					}
				}
				slices.Sort(lines)
				headers = append(headers, strings.Join(lines, "\n"))
			}
			if len(slices.Compact(bodies)) != 1 || len(slices.Compact(headers)) != 1 {
				t.Errorf("unknown, wrong and disabled can be told apart:\n%s", strings.Join(headers, "\n\n"))
			}
		})
		t.Run("Q02_PerAccount", func(t *testing.T) {
			storm(t, func(int) (string, string) { return alice.Username, NextAddress() }, perAccount, 10*time.Second)
			// Other spellings are the same account; the right password waits like any other.
			for _, name := range []string{alice.Username, strings.ToUpper(alice.Username), " " + alice.Username + " "} {
				a, err := try(name, alice.Password, NextAddress())
				if err != nil || a.Status != http.StatusTooManyRequests || len(a.Header.Values("Set-Cookie")) > 0 {
					t.Fatalf("the right password of a throttled account: %v %+v", err, a)
				}
			}
			// An account that does not exist is throttled alike.
			storm(t, func(int) (string, string) { return "nobody", NextAddress() }, perAccount, 10*time.Second)
		})
		t.Run("Q02_PerAddress", func(t *testing.T) {
			address := NextAddress()
			storm(t, func(i int) (string, string) { return fmt.Sprintf("nobody-%d", i), address }, perAddress, 6*time.Second)
			if a, err := try(bob.Username, bob.Password, address); err != nil || a.Status != http.StatusTooManyRequests {
				t.Errorf("a throttled address: %v %+v", err, a)
			}
			if a, err := try(bob.Username, bob.Password, NextAddress()); err != nil || a.Status != http.StatusSeeOther {
				t.Errorf("another address: %v %+v", err, a)
			}
			// Addresses of one IPv6 subscriber are one address.
			storm(t, func(i int) (string, string) { return fmt.Sprintf("none-%d", i), fmt.Sprintf("2001:db8:1:2::%x", i+1) }, perAddress, 6*time.Second)
		})
		t.Run("Released", func(t *testing.T) {
			for range 2 {
				for i := range perAccount {
					password, want := "wrong password", http.StatusUnprocessableEntity
					if i == perAccount-1 {
						password, want = bob.Password, http.StatusSeeOther
					}
					if a, err := try(bob.Username, password, NextAddress()); err != nil || a.Status != want {
						t.Fatalf("attempt %d: %v %+v, want %d", i, err, a, want)
					}
				}
			}
		})
		t.Run("Q06_HugePassword", func(t *testing.T) {
			for size, want := range map[int]int{1025: http.StatusBadRequest, 40 << 10: http.StatusBadRequest, 1 << 20: http.StatusRequestEntityTooLarge} {
				if a, err := try(bob.Username, strings.Repeat("x", size), NextAddress()); err != nil || a.Status != want {
					t.Errorf("a password of %d bytes: %v %+v, want %d", size, err, a, want)
				}
			}
			if got := len(node.audited(t, "login.failed", "")); got > int(failed.Load()) {
				t.Error("a huge password was evaluated")
			}
		})
		node.wantQuiet(t, alice.Password, bob.Password, gone.Password)
	})
}
