package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Push sends an authorization request ahead.
func (n *Node) Push(t testing.TB, c Client, request url.Values) *Answer {
	t.Helper()
	return n.Post(t, "/oauth2/par", c, request)
}

// PushedURI sends an authorization request ahead and returns its request_uri.
func (n *Node) PushedURI(t testing.TB, c Client, request url.Values) string {
	t.Helper()
	a := n.Push(t, c, request)
	uri, _ := a.JSON(t)["request_uri"].(string)
	if a.Status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	return uri
}

// ByReference is the front-channel request for what was pushed.
func (c Client) ByReference(uri string, changes ...string) url.Values {
	v := url.Values{"client_id": {c.ID}, "request_uri": {uri}}
	for k := 0; k+1 < len(changes); k += 2 {
		v.Set(changes[k], changes[k+1])
	}
	return v
}

// wantPage checks that a person is told, and nobody redirected to.
func (a *Answer) wantProblem(t testing.TB, status int, code string) {
	t.Helper()
	if a.Status != status || a.Header.Get("Location") != "" || !a.HasID("error") || !strings.Contains(a.Body, code) {
		t.Errorf("status %d, location %q, want the page %s:\n%s", a.Status, a.Header.Get("Location"), code, a.Body)
	}
}

func TestRFC9126_PushedAuthorizationRequests(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent")
		other := inst.WebClient(t, "--skip-consent")
		public := inst.WebClient(t, "--public", "--redirect-uri", "https://spa.example/cb", "--grant-type", "authorization_code", "--scope", "openid")
		strict := inst.WebClient(t, "--require-pushed-authorization-requests")
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, web.Request(NewPKCE()), alice)
		open := func(b *Browser, c Client, uri string, changes ...string) *Answer {
			return b.Get(t, "/oauth2/auth?"+c.ByReference(uri, changes...).Encode())
		}

		t.Run("happy flow, other parameters are ignored", func(t *testing.T) {
			p := NewPKCE()
			pushed := web.Request(p)
			a := node.Push(t, web, pushed)
			if a.Status != http.StatusCreated || a.JSON(t)["expires_in"] != 90.0 || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
			}
			uri := a.JSON(t)["request_uri"].(string)
			back := b.Authorize(t, web.ByReference(uri, "state", "evil", "scope", "nonsense", "redirect_uri", "https://evil.example/", "nonce", "n", "prompt", "login"), alice)
			if !strings.HasPrefix(back.String(), web.RedirectURI+"?") || back.Query().Get("state") != pushed.Get("state") || back.Query().Get("iss") != inst.Issuer {
				t.Fatalf("came back to %s", back)
			}
			tokens := node.Exchange(t, web, back.Query().Get("code"), p).Tokens(t)
			if id := node.Verify(t, tokens.ID, "JWT", "RS256"); id["nonce"] != pushed.Get("nonce") {
				t.Errorf("nonce %v", id["nonce"])
			}
		})
		t.Run("a public client pushes by its client_id", func(t *testing.T) {
			p := NewPKCE()
			uri := node.PushedURI(t, public, public.Request(p, "scope", "openid"))
			code := b.Authorize(t, public.ByReference(uri), alice).Query().Get("code")
			node.Exchange(t, public, code, p).Tokens(t)
		})
		t.Run("a public client does not push without end", func(t *testing.T) {
			patient := &Node{Installation: inst, HTTP: node.Client("")}
			pushes, a := 0, &Answer{Status: http.StatusCreated}
			for ; a.Status == http.StatusCreated && pushes < 500; pushes++ {
				a = patient.Push(t, public, public.Request(NewPKCE(), "scope", "openid"))
			}
			if pushes <= 60 {
				t.Errorf("refused after %d", pushes)
			}
			a.WantError(t, 429, "temporarily_unavailable")
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			node.PushedURI(t, public, public.Request(NewPKCE(), "scope", "openid")) // others may
		})
		t.Run("secrets are not kept", func(t *testing.T) {
			if strings.Contains(node.Logs(), web.Secret) {
				t.Error("a secret is in the log")
			}
		})

		// Attack C13: without or with wrong authentication, in the query, by GET,
		// with request_uri, with duplicates, and whatever authorize refuses.
		t.Run("TestAttack_C13_Refusals", func(t *testing.T) {
			node.Push(t, Client{}, web.Request(NewPKCE())).WantError(t, 401, "invalid_client")
			node.Push(t, Client{ID: web.ID, Secret: Token()}, web.Request(NewPKCE())).WantError(t, 401, "invalid_client")
			node.Push(t, Client{ID: web.ID, Public: true}, web.Request(NewPKCE())).WantError(t, 401, "invalid_client")
			node.Push(t, service, url.Values{"response_type": {"code"}, "redirect_uri": {"https://app.example/cb"}}).WantError(t, 400, "invalid_request")
			node.Push(t, other, web.Request(NewPKCE())).WantError(t, 400, "invalid_request") // client_id of another
			node.Post(t, "/oauth2/par?client_secret="+web.Secret, Client{ID: web.ID, Public: true}, web.Request(NewPKCE())).WantError(t, 400, "invalid_request")
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				r, _ := http.NewRequest(method, inst.Issuer+"/oauth2/par?"+web.Request(NewPKCE()).Encode(), nil)
				if a := Do(t, node.HTTP, r); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" {
					t.Errorf("%s: %d", method, a.Status)
				}
			}
			for name, change := range map[string][]string{
				"par-authorization-request-containing-request_uri-form-param": {"request_uri", "urn:ietf:params:oauth:request_uri:x"},
				"par-ensure-pkce-required":                                    {"code_challenge", "", "code_challenge_method", ""},
				"par-plain-pkce-rejected":                                     {"code_challenge_method", "plain"},
				"par-attempt-invalid-redirect_uri":                            {"redirect_uri", "https://evil.example/cb"},
				"without redirect_uri":                                        {"redirect_uri", ""},
				"unknown prompt":                                              {"prompt", "none login"},
			} {
				t.Run(name, func(t *testing.T) {
					node.Push(t, web, web.Request(NewPKCE(), change...)).WantError(t, 400, "invalid_request")
				})
			}
			node.Push(t, web, web.Request(NewPKCE(), "scope", "openid nonsense")).WantError(t, 400, "invalid_scope")
			node.Push(t, web, web.Request(NewPKCE(), "response_type", "token")).WantError(t, 400, "unsupported_response_type")
			twice := web.Request(NewPKCE())
			twice.Add("state", "again")
			node.Push(t, web, twice).WantError(t, 400, "invalid_request")
		})

		// Attack C14: a request_uri in other hands, guessed, or used.
		t.Run("TestAttack_C14_OtherHands", func(t *testing.T) {
			p := NewPKCE()
			uri := node.PushedURI(t, web, web.Request(p))
			open(b, other, uri).wantProblem(t, 400, "invalid_request_uri")
			flipped := []byte(uri)
			flipped[len(flipped)-20] ^= 1
			for _, guess := range []string{string(flipped), uri + "A", uri[:len(uri)-1], "urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:' OR 1=1"} {
				open(b, web, guess).wantProblem(t, 400, "invalid_request_uri")
			}
			b.Get(t, "/oauth2/auth?"+web.ByReference(uri).Encode()+"&request_uri="+url.QueryEscape(uri)).wantProblem(t, 400, "invalid_request_uri")
			b.Get(t, "/oauth2/auth?"+url.Values{"request_uri": {uri}}.Encode()).wantProblem(t, 400, "invalid_request_uri")

			code := b.Authorize(t, web.ByReference(uri), alice).Query().Get("code") // the owner's stays usable
			node.Exchange(t, web, code, p).Tokens(t)
			open(b, web, uri).wantProblem(t, 400, "invalid_request_uri") // par-attempt-reuse-request_uri
		})
		t.Run("par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", func(t *testing.T) {
			uri := node.PushedURI(t, web, web.Request(NewPKCE()))
			fresh := node.NewBrowser(t)
			first := open(fresh, web, uri)
			second := open(fresh, web, uri)
			done := fresh.Login(t, second, alice.Username, alice.Password)
			if done.Status != http.StatusSeeOther || !strings.Contains(done.Header.Get("Location"), "code=") {
				t.Fatalf("%d %v", done.Status, done.Header)
			}
			// The page that was left open completes nothing more.
			fresh.Login(t, first, alice.Username, alice.Password).wantProblem(t, 400, "invalid_request_uri")
		})
		t.Run("one completion of many at once", func(t *testing.T) {
			uri := node.PushedURI(t, web, web.Request(NewPKCE()))
			answers := make(chan *Answer, 8)
			for range cap(answers) {
				go func() {
					r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/oauth2/auth?"+web.ByReference(uri).Encode(), nil)
					a, err := Send(b.Client, r)
					if err != nil {
						a = &Answer{Body: err.Error(), Header: http.Header{}}
					}
					answers <- a
				}()
			}
			codes := 0
			for range cap(answers) {
				switch a := <-answers; {
				case a.Status == http.StatusSeeOther && strings.Contains(a.Header.Get("Location"), "code="):
					codes++
				case a.Status != http.StatusBadRequest:
					t.Errorf("%d %s", a.Status, a.Body)
				}
			}
			if codes != 1 {
				t.Errorf("%d codes", codes)
			}
		})
		t.Run("a client that has to push", func(t *testing.T) {
			back := b.Authorize(t, strict.Request(NewPKCE()), alice)
			if back.Query().Get("error") != "invalid_request" || back.Query().Get("state") == "" {
				t.Errorf("came back to %s", back)
			}
			p := NewPKCE()
			code := b.Authorize(t, strict.ByReference(node.PushedURI(t, strict, strict.Request(p))), alice).Query().Get("code")
			node.Exchange(t, strict, code, p).Tokens(t)
		})
		t.Run("round trips", func(t *testing.T) {
			uri := node.PushedURI(t, web, web.Request(NewPKCE()))
			if a := open(b, web, uri); a.Status != http.StatusSeeOther {
				t.Fatalf("%d", a.Status)
			}
			time.Sleep(100 * time.Millisecond)
			records := node.Records(t)
			for i := len(records) - 1; i >= 0; i-- {
				if records[i]["route"] == "/oauth2/auth" {
					if n := records[i]["db_round_trips"]; n != 3.0 {
						t.Errorf("%v round trips, want 3", n)
					}
					return
				}
			}
			t.Error("no log record")
		})
		t.Run("metadata", func(t *testing.T) {
			r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/.well-known/openid-configuration", nil)
			m := Do(t, node.HTTP, r).JSON(t)
			if m["pushed_authorization_request_endpoint"] != inst.Issuer+"/oauth2/par" || m["require_pushed_authorization_requests"] != nil {
				t.Errorf("%v", m)
			}
		})
	})
}

// The server-wide switch, and a request_uri that nobody used in time.
func TestAttack_C14_ExpiredRequestURI(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{
			"IDP_REQUIRE_PUSHED_AUTHORIZATION_REQUESTS": "true", "IDP_LIFETIMES_PUSHED_REQUEST": "2s",
		})
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		uri := node.PushedURI(t, web, web.Request(NewPKCE()))
		page := b.Get(t, "/oauth2/auth?"+web.ByReference(uri).Encode())
		time.Sleep(2100 * time.Millisecond)
		b.Get(t, "/oauth2/auth?"+web.ByReference(uri).Encode()).wantProblem(t, 400, "invalid_request_uri")
		// Who began in time may finish.
		if done := b.Login(t, page, alice.Username, alice.Password); !strings.Contains(done.Header.Get("Location"), "code=") {
			t.Errorf("%d %v", done.Status, done.Header)
		}
		if back := b.Authorize(t, web.Request(NewPKCE()), alice); back.Query().Get("error") != "invalid_request" {
			t.Errorf("came back to %s", back)
		}
		r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/.well-known/openid-configuration", nil)
		if m := Do(t, node.HTTP, r).JSON(t); m["require_pushed_authorization_requests"] != true {
			t.Errorf("%v", m["require_pushed_authorization_requests"])
		}
	})
}
