package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// authorize sends one authorization request, without following where the
// answer leads.
func (n *Node) authorize(t testing.TB, c *http.Client, request url.Values) *Answer {
	t.Helper()
	return n.open(t, c, "/oauth2/auth?"+request.Encode())
}

func (n *Node) open(t testing.TB, c *http.Client, path string) *Answer {
	t.Helper()
	return n.request(t, c, http.MethodGet, path, "", nil)
}

func (n *Node) request(t testing.TB, c *http.Client, method, path, body string, header http.Header) *Answer {
	t.Helper()
	r, err := http.NewRequest(method, n.Issuer+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body = http.NoBody
	} else {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	return Do(t, c, r)
}

// wantPage checks that the person is shown an error page and sent nowhere.
func (a *Answer) wantPage(t testing.TB, status int) {
	t.Helper()
	id := a.Header.Get("X-Request-Id")
	switch {
	case a.Status != status:
		t.Errorf("status %d, want a page with %d; Location %q: %.300s", a.Status, status, a.Header.Get("Location"), a.Body)
	case a.Header.Get("Location") != "":
		t.Errorf("a page that redirects to %s", a.Header.Get("Location"))
	case !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html"):
		t.Errorf("Content-Type %q, want a page", a.Header.Get("Content-Type"))
	case !a.HasID("error"):
		t.Errorf("the page has no element #error: %.300s", a.Body)
	case len(id) < 8 || !strings.Contains(a.Body, "<code>"+id+"</code>"):
		t.Errorf("the page does not name its request %q", id)
	case a.Header.Get("Cache-Control") != "no-store":
		t.Errorf("Cache-Control %q, want no-store", a.Header.Get("Cache-Control"))
	}
}

// wantRefusal checks that the client is told, at its own redirect URI, with its
// state as sent and the issuer's name (RFC 9207 section 2).
func (a *Answer) wantRefusal(t testing.TB, n *Node, request url.Values, code string) {
	t.Helper()
	q := a.wantReturn(t, n, request)
	if q == nil {
		return
	}
	if got := q.Get("error"); got != code {
		t.Errorf("error %q, want %s (%s)", got, code, q.Get("error_description"))
	}
	if q.Has("code") || q.Has("access_token") || q.Has("id_token") {
		t.Errorf("an error that hands something out: %v", q)
	}
}

// wantReturn checks what every answer to the client has in common.
func (a *Answer) wantReturn(t testing.TB, n *Node, request url.Values) url.Values {
	t.Helper()
	location := a.Header.Get("Location")
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(location, request.Get("redirect_uri")) {
		t.Errorf("status %d to %q, want 303 to %s: %.300s", a.Status, location, request.Get("redirect_uri"), a.Body)
		return nil
	}
	u, err := url.Parse(location)
	if err != nil || u.Fragment != "" || strings.Contains(location, "#") {
		t.Errorf("Location %q has a fragment", location)
		return nil
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		t.Errorf("Location %q: %v", location, err)
		return nil
	}
	if got, want := q["state"], request["state"]; len(want) == 1 && !slices.Equal(got, want) {
		t.Errorf("state %q, want %q", got, want)
	}
	if got := q["iss"]; !slices.Equal(got, []string{n.Issuer}) {
		t.Errorf("iss %q, want %s once", got, n.Issuer)
	}
	if got := a.Header.Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("Referrer-Policy %q, want no-referrer", got)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	return q
}

// wantCode checks that the client got a code.
func (a *Answer) wantCode(t testing.TB, n *Node, request url.Values) string {
	t.Helper()
	q := a.wantReturn(t, n, request)
	if code := q.Get("code"); code != "" {
		return code
	}
	t.Errorf("no code at %s", a.Header.Get("Location"))
	return ""
}

// wantLogin checks that the person is asked to sign in.
func (a *Answer) wantLogin(t testing.TB) {
	t.Helper()
	if a.Status != http.StatusOK || !a.HasID("login-form") {
		t.Errorf("status %d at %s to %q, want the login form", a.Status, a.URL, a.Header.Get("Location"))
	}
}

// wantConsent checks that the person is asked for consent.
func (a *Answer) wantConsent(t testing.TB) {
	t.Helper()
	if a.Status != http.StatusOK || !a.HasID("consent-form") {
		t.Errorf("status %d at %s to %q, want the consent form", a.Status, a.URL, a.Header.Get("Location"))
	}
}

// audited returns the audit records of a kind, of one request if id is not
// empty. Notes follow their answer within a second.
func (n *Node) audited(t testing.TB, kind, id string) []map[string]any {
	t.Helper()
	return slices.DeleteFunc(n.Records(t), func(r map[string]any) bool {
		return r["audit"] != true || r["event"] != kind || id != "" && r["request_id"] != id
	})
}

// wantAudit checks that the audit tells of the request.
func (n *Node) wantAudit(t testing.TB, kind string, answers ...*Answer) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Second)
	for {
		seen := map[any]int{}
		for _, r := range n.audited(t, kind, "") {
			seen[r["request_id"]]++
		}
		missing := slices.DeleteFunc(slices.Clone(answers), func(a *Answer) bool { return seen[a.Header.Get("X-Request-Id")] == 1 })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d of %d requests have not one audit row %s; the first is %s", len(missing), len(answers), kind, missing[0].URL)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var secretShapes = regexp.MustCompile(`idp_(ac|rt|at|s)_[A-Za-z0-9_-]{20}|eyJ[A-Za-z0-9_-]{8,}\.|flow=|code_verifier=|idp_browser=`)

// wantQuiet checks after a group of attacks that nothing broke and that the
// log keeps what was issued to itself.
func (n *Node) wantQuiet(t testing.TB, secrets ...string) {
	t.Helper()
	for _, r := range n.Records(t) {
		if status, ok := r["status"].(float64); ok && status >= 500 && status != http.StatusServiceUnavailable {
			t.Errorf("a request was answered with %v: %v", status, r)
		}
	}
	log := n.Logs()
	if strings.Contains(log, "panic") {
		t.Error("the log tells of a panic")
	}
	if found := secretShapes.FindString(log); found != "" {
		t.Errorf("the log holds %q", found)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(log, s) {
			t.Error("the log holds a secret that was issued")
		}
	}
}

// A redirect URI is trusted when it is registered, byte for byte, and the
// person is shown a page in every other case.
func TestAttack_A_RedirectURI(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent", "--allowed-cors-origin", "https://app.example")
		other := inst.WebClient(t, "--redirect-uri", "https://other.example/cb")
		two := inst.WebClient(t, "--redirect-uri", "https://app.example/one", "--redirect-uri", "https://app.example/two", "--skip-consent")
		query := inst.WebClient(t, "--redirect-uri", "https://app.example/q?x=1&y=%20b", "--skip-consent")
		native := inst.NewClient(t, "--public", "--application-type", "native", "--redirect-uri", "http://127.0.0.1/cb", "--scope", "openid", "--skip-consent")
		nativeTLS := inst.NewClient(t, "--public", "--application-type", "native", "--redirect-uri", "https://127.0.0.1/cb", "--scope", "openid")
		browserOnly := inst.NewClient(t, "--public", "--redirect-uri", "http://127.0.0.1/cb", "--scope", "openid")
		disabled, deleted := inst.WebClient(t), inst.WebClient(t)
		inst.CLI(t, "", "client", "disable", disabled.ID)
		inst.CLI(t, "", "client", "delete", deleted.ID)
		node := inst.Start(t)

		b := node.NewBrowser(t)
		b.Authorize(t, web.Request(NewPKCE()), alice)
		var rejected []*Answer
		// reject sends the request once for nobody and once for somebody who is
		// signed in and would be given a code.
		reject := func(t *testing.T, request url.Values) {
			t.Helper()
			for _, c := range []*http.Client{node.HTTP, b.Client} {
				a := node.authorize(t, c, request)
				a.wantPage(t, http.StatusBadRequest)
				rejected = append(rejected, a)
			}
		}
		uris := func(t *testing.T, c Client, uris ...string) {
			t.Helper()
			for _, uri := range uris {
				reject(t, c.Request(NewPKCE(), "redirect_uri", uri))
				if t.Failed() {
					t.Fatalf("redirect_uri %q", uri)
				}
			}
		}
		// unregistrable checks that no client can be registered with the URI.
		unregistrable := func(t *testing.T, uris ...string) {
			t.Helper()
			for _, uri := range uris {
				out, errs, code := inst.Try(t, "", "client", "create", unique("client"), "--redirect-uri", uri, "--application-type", "native", "-o", "json")
				if code == 0 || !strings.Contains(errs, "redirect_uri") {
					t.Errorf("registering %q: exit %d %s%s", uri, code, out, errs)
				}
			}
		}

		t.Run("A01_Unregistered", func(t *testing.T) {
			uris(t, web, "https://evil.example/cb", other.RedirectURI, "https://app.example", "https://app.example/other", "http://app.example/cb")
			var pages []string
			for _, id := range []string{disabled.ID, deleted.ID, "client-unknown", strings.Repeat("x", 300), "\x00", "'; DROP TABLE clients; --"} {
				request := web.Request(NewPKCE(), "client_id", id)
				reject(t, request)
				a := node.authorize(t, node.HTTP, request)
				pages = append(pages, sealedReturn.ReplaceAllString(strings.ReplaceAll(a.Body, a.Header.Get("X-Request-Id"), ""), ""))
			}
			if len(slices.Compact(pages)) != 1 {
				t.Error("unknown, deleted and disabled clients can be told apart by their page")
			}
			reject(t, web.Request(NewPKCE(), "client_id", ""))
		})
		t.Run("A02_PathTricks", func(t *testing.T) {
			for _, tail := range []string{"/", "/x", "/../evil", "/..%2fevil", "/%2e%2e/evil", "..;/", "/..;/evil", "//", ";x", "%2f", "%00", "?", "."} {
				uris(t, web, web.RedirectURI+tail)
			}
			uris(t, web, "https://app.example//cb", "https://app.example/./cb", "https://app.example/%63b", "https://app.example/CB", "https://APP.example/cb", "HTTPS://app.example/cb", "https://app.example:443/cb", "https://app.example./cb")
		})
		t.Run("A04_Userinfo", func(t *testing.T) {
			tricks := []string{"https://app.example@evil.tld/cb", "https://x@app.example/cb", "https://@app.example/cb", "https://x:y@app.example/cb", "https://app.example%40evil.tld/cb", `https://evil.tld\@app.example/cb`}
			uris(t, web, tricks...)
			unregistrable(t, tricks...)
			unregistrable(t, "https://*.example/cb", "https://app.example/*")
		})
		t.Run("A05_Fragment", func(t *testing.T) {
			tricks := []string{"https://app.example/cb#", "https://app.example/cb#x", "https://app.example/cb%23", "https://app.example/cb%23x"}
			uris(t, web, tricks...)
			unregistrable(t, tricks...)
		})
		t.Run("A06_Characters", func(t *testing.T) {
			tricks := []string{
				`https:\\app.example\cb`, `https://app.example\cb`, "https://app.example/\tcb", "\thttps://app.example/cb", " https://app.example/cb",
				"https://app.example/cb ", "https:app.example/cb", "https:/app.example/cb", "https:///app.example/cb", "//app.example/cb", "/cb",
				"https://app.example/cb\r\nX-Injected: 1", "https://app.example/cb\nX-Injected: 1", "https://app.example/cb%0d%0aX-Injected:%201",
				"javascript:alert(1)", "data:text/html,x", "https://app.example/cb\u2028", "https://аpp.example/cb",
			}
			uris(t, web, tricks...)
			uris(t, web, "https://app.example/cb\x00", "\x00https://app.example/cb")
			unregistrable(t, tricks...)
			for _, a := range rejected {
				if a.Header.Get("X-Injected") != "" {
					t.Error("a header was injected")
				}
			}
		})
		t.Run("A08_AddressTricks", func(t *testing.T) {
			tricks := []string{"http://x[::1]/cb", "http://127.1/cb", "http://0x7f000001/cb", "http://2130706433/cb", "http://[::ffff:127.0.0.1]/cb", "http://0177.0.0.1/cb", "http://[::1%25lo]/cb", "http://0/cb", "http://[0:0:0:0:0:0:0:1]/cb", "http://127.0.0.1.evil.tld/cb"}
			uris(t, native, tricks...)
			unregistrable(t, tricks...)
		})
		t.Run("A09_Query", func(t *testing.T) {
			uris(t, web, web.RedirectURI+"?a=b", web.RedirectURI+"?")
			const base = "https://app.example/q"
			uris(t, query, base, base+"?x=1", base+"?y=%20b&x=1", base+"?x=1&y=+b", base+"?x=1&y=%20b&z=2", base+"?x=1&y=%20b&", base+"?x=1;y=%20b", base+"?x=%31&y=%20b", base+"?x=1&y= b")
			request := query.Request(NewPKCE())
			a := b.Get(t, "/oauth2/auth?"+request.Encode())
			if q := a.wantReturn(t, node, request); q.Get("x") != "1" || q.Get("y") != " b" || q.Get("code") == "" {
				t.Errorf("the registered query is lost: %s", a.Header.Get("Location"))
			}
		})
		t.Run("A10_LoopbackPort", func(t *testing.T) {
			for _, uri := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:51004/cb", "http://127.0.0.1:65535/cb"} {
				request := native.Request(NewPKCE(), "redirect_uri", uri, "scope", "openid")
				page := b.Get(t, "/oauth2/auth?"+request.Encode())
				// Any program may listen there, so the person is asked each time,
				// whatever the client was registered with.
				b.Allow(t, page).wantCode(t, node, request)
			}
			tricks := []string{
				"http://127.0.0.1:51004/cb/", "http://127.0.0.1:51004/other", "http://127.0.0.1:51004/cb?a=b", "http://localhost:51004/cb", "http://localhost/cb",
				"http://x@127.0.0.1:51004/cb", "http://127.0.0.1:51004@evil.tld/cb", "http://127.0.0.1:@evil.tld/cb", "http://127.0.0.1:51004/%63b", "http://127.0.0%2e1:51004/cb",
				"https://127.0.0.1:51004/cb", "http://[::1]:51004/cb", "http://127.0.0.2:51004/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.1:-1/cb",
				"http://127.0.0.1:51004#@evil.tld/cb", `http://127.0.0.1:51004\@evil.tld/cb`, "http://127.0.0.1:51004/cb#", "http://127.0.0.1:+80/cb", "http://127.0.0.1:8 0/cb",
			}
			uris(t, native, tricks...)
			uris(t, nativeTLS, "https://127.0.0.1:51004/cb", "http://127.0.0.1:51004/cb")
			uris(t, browserOnly, "http://127.0.0.1:51004/cb")
		})
		t.Run("A12_Twice", func(t *testing.T) {
			for _, pair := range [][2]string{{web.RedirectURI, "https://evil.tld/cb"}, {"https://evil.tld/cb", web.RedirectURI}, {web.RedirectURI, web.RedirectURI}, {web.RedirectURI, ""}} {
				request := web.Request(NewPKCE())
				request["redirect_uri"] = pair[:]
				reject(t, request)
				a := node.request(t, b.Client, http.MethodPost, "/oauth2/auth", request.Encode(), nil)
				a.wantPage(t, http.StatusBadRequest)
			}
			request := web.Request(NewPKCE())
			a := node.request(t, b.Client, http.MethodPost, "/oauth2/auth?redirect_uri="+url.QueryEscape("https://evil.tld/cb"), request.Encode(), nil)
			a.wantPage(t, http.StatusBadRequest)
			request["client_id"] = []string{web.ID, other.ID}
			reject(t, request)
		})
		t.Run("A13_ParameterPollution", func(t *testing.T) {
			for _, name := range []string{"code", "state", "error", "iss", "response", "CODE", "%63ode", "access_token", "id_token"} {
				unregistrable(t, "https://app.example/cb?a=b&"+name+"=x")
			}
		})
		t.Run("A14_Missing", func(t *testing.T) {
			reject(t, web.Request(NewPKCE(), "redirect_uri", ""))
			reject(t, two.Request(NewPKCE(), "redirect_uri", ""))
			reject(t, two.Request(NewPKCE(), "redirect_uri", "", "scope", "profile"))
			empty := web.Request(NewPKCE())
			empty["redirect_uri"] = []string{""}
			reject(t, empty)
		})
		t.Run("A16_HugeURI", func(t *testing.T) {
			huge := web.RedirectURI + "?" + strings.Repeat("a", 64<<10)
			before := node.cpu(t)
			for range 20 {
				node.authorize(t, node.HTTP, web.Request(NewPKCE(), "redirect_uri", huge))
				node.request(t, node.HTTP, http.MethodPost, "/oauth2/auth", web.Request(NewPKCE(), "redirect_uri", huge[:60<<10]).Encode(), nil).wantPage(t, http.StatusBadRequest)
			}
			if spent := (node.cpu(t) - before) / 40; spent > 50*time.Millisecond {
				t.Errorf("a URI of 64 KiB costs %s of CPU", spent)
			}
			a := node.authorize(t, node.HTTP, web.Request(NewPKCE(), "redirect_uri", huge))
			if a.Status != http.StatusRequestURITooLong && a.Status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("64 KiB in the URL: status %d", a.Status)
			}
			a = node.authorize(t, node.HTTP, web.Request(NewPKCE(), "redirect_uri", huge[:10<<10]))
			if a.Status != http.StatusRequestURITooLong || a.Header.Get("Location") != "" {
				t.Errorf("10 KiB in the URL: status %d", a.Status)
			}
			a = node.request(t, node.HTTP, http.MethodPost, "/oauth2/auth", web.Request(NewPKCE(), "redirect_uri", huge[:60<<10]).Encode(), nil)
			a.wantPage(t, http.StatusBadRequest)
			a = node.request(t, node.HTTP, http.MethodPost, "/oauth2/auth", web.Request(NewPKCE(), "redirect_uri", huge).Encode(), nil)
			if a.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("64 KiB in the body: status %d", a.Status)
			}
		})
		t.Run("A17_OtherAtToken", func(t *testing.T) {
			code := func(p PKCE) string {
				request := two.Request(p)
				return b.Get(t, "/oauth2/auth?"+request.Encode()).wantCode(t, node, request)
			}
			p := NewPKCE()
			node.Exchange(t, two, code(p), p).Tokens(t)
			for name, uri := range map[string]string{"registered": "https://app.example/two", "foreign": "https://evil.tld/cb", "slash": "https://app.example/one/", "missing": ""} {
				redeem := code(p)
				a := node.Exchange(t, two, redeem, p, "redirect_uri", uri)
				if a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Errorf("%s redirect_uri: %d %s", name, a.Status, a.Body)
				}
				if a := node.Exchange(t, two, redeem, p); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Errorf("the code outlives the %s redirect_uri: %d", name, a.Status)
				}
			}
		})
		t.Run("A18_LabelBoundary", func(t *testing.T) {
			uris(t, web, "https://app.example.evil.tld/cb", "https://evilapp.example/cb", "https://app.exampleevil.tld/cb", "https://evil.app.example/cb", "https://app-example/cb")
			form := url.Values{"grant_type": {"authorization_code"}}.Encode()
			for origin, allowed := range map[string]bool{
				"https://app.example": true, "https://app.example.evil.tld": false, "https://evilapp.example": false, "http://app.example": false,
				"https://evil.app.example": false, "https://app.example:8443": false, "null": false, "https://APP.example": false, "": false,
			} {
				a := node.request(t, node.HTTP, http.MethodPost, "/oauth2/token", form, http.Header{"Origin": {origin}})
				got := a.Header.Get("Access-Control-Allow-Origin")
				if allowed && got != origin || !allowed && got != "" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("Origin %q: Access-Control-Allow-Origin %q", origin, got)
				}
			}
			// Where a page sends people on is for the sealed flow to say.
			for _, path := range []string{"/login?return_to=https://app.example.evil.tld/", "/logout?post_logout_redirect_uri=https://evil.tld/", "/login?next=//evil.tld/", "/logout?return_to=https://evil.tld"} {
				a := node.open(t, node.HTTP, path)
				if strings.Contains(a.Header.Get("Location"), "evil.tld") || strings.Contains(a.Body, "evil.tld") {
					t.Errorf("%s leads to another site: %d %s", path, a.Status, a.Header.Get("Location"))
				}
			}
		})
		node.wantAudit(t, "authz.rejected", rejected...)
		node.wantQuiet(t, web.Secret, two.Secret, alice.Password)
	})
}
