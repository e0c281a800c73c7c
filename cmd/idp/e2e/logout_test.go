package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// outside lets the server call listeners of this test.
var outside = map[string]string{"IDP_OUTBOUND_ALLOW": "127.0.0.0/8"}

const (
	endSession = "/oauth2/sessions/logout"
	goodbye    = "https://app.example/bye"
)

// signOut sends the browser to the end session endpoint.
func (b *Browser) signOut(t testing.TB, parameters ...string) *Answer {
	t.Helper()
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	return b.Get(t, endSession+"?"+query.Encode())
}

// signedIn asks without any page whether the browser is in a session.
func (b *Browser) signedIn(t testing.TB, c Client) bool {
	t.Helper()
	page := b.Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "prompt", "none").Encode())
	back := mustURL(t, page.Header.Get("Location")).Query()
	if !back.Has("code") && back.Get("error") != "login_required" {
		t.Fatalf("prompt=none: %v", back)
	}
	return back.Has("code")
}

// wantSignedOut checks that the person is told, and stays.
func (a *Answer) wantSignedOut(t testing.TB) {
	t.Helper()
	if a.Status != http.StatusOK || !strings.Contains(a.Body, "You are signed out") || a.Header.Get("Location")+a.Header.Get("Refresh") != "" {
		t.Errorf("status %d, %v: %.600s", a.Status, a.Header, a.Body)
	}
}

// wantAsked checks that the page asks before anything happens.
func (a *Answer) wantAsked(t testing.TB) {
	t.Helper()
	if a.Status != http.StatusOK || !a.HasID("logout-form") || !a.HasID("logout-yes") || a.Header.Get("Location") != "" {
		t.Fatalf("not asked: status %d, %v: %.600s", a.Status, a.Header, a.Body)
	}
}

// legacy are the flags of a client that the certification's plans drive.
var legacy = []string{"--security-profile", "oidc-legacy", "--pkce-optional", "--skip-consent", "--post-logout-redirect-uri", goodbye}

func TestOIDC_oidcc_rp_initiated_logout(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice, bob := inst.NewUser(t), inst.NewUser(t)
		app := inst.WebClient(t, append(legacy, "--post-logout-redirect-uri", goodbye+"?from=idp")...)
		other := inst.WebClient(t, "--skip-consent", "--post-logout-redirect-uri", "https://other.example/bye")
		n := inst.Start(t)
		stranger := Install(t, "sqlite", nil)
		stranger.CLI(t, "", "migrate", "up")

		// in returns a browser in which alice is signed in, and her ID token.
		in := func(t *testing.T) (*Browser, Tokens) {
			b := n.NewBrowser(t)
			return b, b.tokens(t, app, alice)
		}
		stays := func(t *testing.T, b *Browser) {
			t.Helper()
			if !b.signedIn(t, app) {
				t.Error("the session ended")
			}
		}
		gone := func(t *testing.T, b *Browser) {
			t.Helper()
			if b.signedIn(t, app) {
				t.Error("the session goes on")
			}
		}
		yes := func(t *testing.T, b *Browser, page *Answer) *Answer {
			t.Helper()
			page.wantAsked(t)
			return b.Submit(t, page, page.Form(t, "logout-form"), nil)
		}

		t.Run("oidcc-rp-initiated-logout-discovery-endpoint-verification", func(t *testing.T) {
			metadata := Do(t, n.HTTP, get(t, n.Issuer+"/.well-known/openid-configuration")).JSON(t)
			if metadata["end_session_endpoint"] != n.Issuer+endSession {
				t.Errorf("end_session_endpoint is %v", metadata["end_session_endpoint"])
			}
		})
		t.Run("oidcc-rp-initiated-logout", func(t *testing.T) {
			b, tokens := in(t)
			a := b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye, "state", "s&1", "ui_locales", "fr en", "logout_hint", "alice", "client_id", app.ID)
			if a.Status != http.StatusSeeOther || a.Header.Get("Location") != goodbye+"?state=s%261" {
				t.Fatalf("status %d, Location %q: %.300s", a.Status, a.Header.Get("Location"), a.Body)
			}
			gone(t, b)
			wantDead(t, app, tokens, n)
			wantEvents(t, 1, n, "session.ended", "user_id", alice.Sub, "client_id", app.ID)
		})
		t.Run("a registered query stays", func(t *testing.T) {
			b, tokens := in(t)
			a := b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye+"?from=idp", "state", "s1")
			if a.Header.Get("Location") != goodbye+"?from=idp&state=s1" {
				t.Errorf("Location %q", a.Header.Get("Location"))
			}
		})
		t.Run("oidcc-rp-initiated-logout-no-state", func(t *testing.T) {
			b, tokens := in(t)
			if a := b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye); a.Header.Get("Location") != goodbye {
				t.Errorf("Location %q", a.Header.Get("Location"))
			}
			gone(t, b)
		})
		for module, parameters := range map[string]func(hint string) []string{
			"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri": func(hint string) []string {
				return []string{"id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example/bye"}
			},
			"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": func(hint string) []string {
				return []string{"id_token_hint", hint, "post_logout_redirect_uri", goodbye + "?added=1"}
			},
			"oidcc-rp-initiated-logout-modified-id-token-hint": func(hint string) []string {
				return []string{"id_token_hint", unsigned(hint), "post_logout_redirect_uri", goodbye}
			},
			"oidcc-rp-initiated-logout-bad-id-token-hint": func(hint string) []string {
				return []string{"id_token_hint", flip(hint), "post_logout_redirect_uri", goodbye}
			},
			"TestAttack_O02_client_id_is_not_aud": func(hint string) []string {
				return []string{"id_token_hint", hint, "post_logout_redirect_uri", goodbye, "client_id", other.ID}
			},
			"TestAttack_O02_uri_of_another_client": func(hint string) []string {
				return []string{"id_token_hint", hint, "post_logout_redirect_uri", "https://other.example/bye"}
			},
			"TestAttack_O02_unknown_client": func(string) []string {
				return []string{"client_id", "nobody", "post_logout_redirect_uri", goodbye}
			},
			"TestAttack_O02_state_with_line_break": func(hint string) []string {
				return []string{"id_token_hint", hint, "post_logout_redirect_uri", goodbye, "state", "a\r\nSet-Cookie: x=y"}
			},
		} {
			t.Run(module, func(t *testing.T) {
				b, tokens := in(t)
				b.signOut(t, append(parameters(tokens.ID), "state", "s1")[:len(parameters(tokens.ID))]...).wantPage(t, http.StatusBadRequest)
				stays(t, b)
			})
		}
		t.Run("TestAttack_O02_hint_of_another_issuer", func(t *testing.T) {
			u := stranger.NewUser(t)
			c := stranger.WebClient(t, append(legacy, "--id-token-signed-response-alg", "RS256")...)
			hint := stranger.Start(t).SignIn(t, c, u).ID
			b, _ := in(t)
			b.signOut(t, "id_token_hint", hint, "post_logout_redirect_uri", goodbye).wantPage(t, http.StatusBadRequest)
			stays(t, b)
		})
		t.Run("TestAttack_O02_access_token_as_hint", func(t *testing.T) {
			b, tokens := in(t)
			b.signOut(t, "id_token_hint", tokens.Access).wantPage(t, http.StatusBadRequest)
			stays(t, b)
		})
		t.Run("parameters twice", func(t *testing.T) {
			b, tokens := in(t)
			b.Get(t, endSession+"?id_token_hint="+tokens.ID+"&state=1&state=2").wantPage(t, http.StatusBadRequest)
			stays(t, b)
		})
		t.Run("oidcc-rp-initiated-logout-no-id-token-hint", func(t *testing.T) {
			for _, client := range []string{"", app.ID} {
				b, _ := in(t)
				page := b.signOut(t, "post_logout_redirect_uri", goodbye, "state", "s1", "client_id", client)
				page.wantAsked(t)
				stays(t, b)
				a := yes(t, b, page)
				a.wantSignedOut(t)
				if linked := strings.Contains(a.Body, `href="`+goodbye+`?state=s1"`); linked != (client != "") {
					t.Errorf("client_id %q, a link to the application: %v", client, linked)
				}
				gone(t, b)
			}
		})
		for module, parameters := range map[string][]string{
			"oidcc-rp-initiated-logout-no-params":  nil,
			"oidcc-rp-initiated-logout-only-state": {"state", "s1"},
		} {
			t.Run(module, func(t *testing.T) {
				b, _ := in(t)
				page := b.signOut(t, parameters...)
				page.wantAsked(t)
				stays(t, b)
				a := yes(t, b, page)
				a.wantSignedOut(t)
				gone(t, b)
			})
		}
		t.Run("oidcc-rp-initiated-logout-no-post-logout-redirect-uri", func(t *testing.T) {
			b, tokens := in(t)
			b.signOut(t, "id_token_hint", tokens.ID, "state", "s1").wantSignedOut(t)
			gone(t, b)
		})
		t.Run("nobody signed in", func(t *testing.T) {
			_, tokens := in(t)
			b := n.NewBrowser(t)
			if a := b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye, "state", "s1"); a.Header.Get("Location") != goodbye+"?state=s1" {
				t.Errorf("status %d, Location %q", a.Status, a.Header.Get("Location"))
			}
			b.signOut(t, "client_id", app.ID, "post_logout_redirect_uri", goodbye).wantSignedOut(t)
			if !n.Active(t, app, tokens.Access) {
				t.Error("an ID token alone ended a session in another browser")
			}
		})
		t.Run("by POST", func(t *testing.T) {
			post := func(b *Browser, hint string, cookies bool) *Answer {
				form := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {goodbye}, "state": {"s1"}}
				r, err := http.NewRequest(http.MethodPost, n.Issuer+endSession, strings.NewReader(form.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", "https://app.example")
				if cookies {
					return b.follow(t, r)
				}
				// A form of another site: the browser keeps its Lax cookies back.
				a := Do(t, n.HTTP, r)
				if a.Status != http.StatusSeeOther {
					t.Fatalf("status %d: %.300s", a.Status, a.Body)
				}
				return b.Get(t, a.Header.Get("Location"))
			}
			for _, cookies := range []bool{true, false} {
				b, tokens := in(t)
				if a := post(b, tokens.ID, cookies); a.Header.Get("Location") != goodbye+"?state=s1" {
					t.Errorf("status %d, Location %q", a.Status, a.Header.Get("Location"))
				}
				gone(t, b)
			}
			long := url.Values{"state": {strings.Repeat("s", 8<<10)}}
			r, _ := http.NewRequest(http.MethodPost, n.Issuer+endSession, strings.NewReader(long.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			Do(t, n.HTTP, r).wantPage(t, http.StatusRequestEntityTooLarge)
		})
		// Attack O01: nothing but the person, or the ID token of the very session
		// on a page of its own, ends a session.
		t.Run("TestAttack_O01_hint_of_another_user", func(t *testing.T) {
			theirs := n.NewBrowser(t).tokens(t, app, bob)
			b, mine := in(t)
			page := b.signOut(t, "id_token_hint", theirs.ID, "post_logout_redirect_uri", goodbye)
			page.wantAsked(t)
			stays(t, b)
			if !n.Active(t, app, theirs.Access) {
				t.Error("the other user's session ended")
			}
			if a := yes(t, b, page); a.Header.Get("Location") != goodbye {
				t.Errorf("status %d, Location %q", a.Status, a.Header.Get("Location"))
			}
			gone(t, b)
			wantDead(t, app, mine, n)
		})
		t.Run("TestAttack_O01_picture_frame_prefetch", func(t *testing.T) {
			for _, header := range []http.Header{
				{"Sec-Fetch-Dest": {"image"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Site": {"cross-site"}},
				{"Sec-Fetch-Dest": {"iframe"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"cross-site"}},
				{"Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}},
				{"Sec-Purpose": {"prefetch"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}},
			} {
				b, tokens := in(t)
				r := get(t, n.Issuer+endSession+"?post_logout_redirect_uri="+url.QueryEscape(goodbye)+"&id_token_hint="+tokens.ID)
				r.Header = header
				Do(t, b.Client, r).wantAsked(t)
				stays(t, b)
			}
		})
		t.Run("TestAttack_O01_forged_confirmation", func(t *testing.T) {
			b, _ := in(t)
			evil := n.NewBrowser(t)
			evil.tokens(t, app, bob)
			page := evil.signOut(t, "state", "s1")
			b.Submit(t, page, page.Form(t, "logout-form"), nil).wantPage(t, http.StatusForbidden)
			stays(t, b)
		})
		t.Run("HEAD", func(t *testing.T) {
			b, tokens := in(t)
			r, _ := http.NewRequest(http.MethodHead, n.Issuer+endSession+"?id_token_hint="+tokens.ID, nil)
			if a := Do(t, b.Client, r); a.Status != http.StatusMethodNotAllowed {
				t.Errorf("status %d", a.Status)
			}
			stays(t, b)
		})
		n.wantQuiet(t, alice.Password)
	})
}

// Attacks O04 and O06: after a logout, and after an operator's act that ends
// sessions, the cookie, a pending code, the refresh token and the access token
// are dead on every node.
func TestAttack_O04_O06_LogoutEndsEverything(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		app := inst.WebClient(t, legacy...)
		first, second := startNodes(t, inst)
		for _, end := range []string{"rp", "page", "session revoke", "session revoke --user", "user disable", "user set-password"} {
			t.Run(end, func(t *testing.T) {
				b := first.NewBrowser(t)
				tokens := b.tokens(t, app, alice)
				p := NewPKCE()
				code := b.code(t, app, alice, p)
				replay := cookie(t, b, "idp_session")
				sid, _ := first.Verify(t, tokens.ID, "JWT", "RS256")["sid"].(string)
				switch end {
				case "rp":
					b.signOut(t, "id_token_hint", tokens.ID).wantSignedOut(t)
				case "page":
					page := b.Get(t, "/logout")
					b.Submit(t, page, page.Form(t, "logout-form"), nil)
				case "session revoke":
					inst.CLI(t, "", "session", "revoke", sid)
				case "session revoke --user":
					inst.CLI(t, "", "session", "revoke", "--user", alice.Username)
				case "user disable":
					inst.CLI(t, "", "user", "disable", alice.Username)
					defer inst.CLI(t, "", "user", "enable", alice.Username)
				case "user set-password":
					alice.Password = "another battery " + Token()[:6]
					inst.CLI(t, alice.Password+"\n", "user", "set-password", alice.Username, "--password-stdin")
				}
				for _, n := range []*Node{first, second} {
					n.Exchange(t, app, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
					again := n.NewBrowser(t)
					setCookie(t, again, "idp_session", replay)
					if again.signedIn(t, app) {
						t.Error("the cookie still counts")
					}
				}
				wantDead(t, app, tokens, first, second)
			})
		}
	})
}

func get(t testing.TB, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// receiver is an application's back channel: it keeps what it is sent and
// answers as it is told.
type receiver struct {
	*httptest.Server
	got    chan string // logout tokens
	status func(attempt int) int
}

func newReceiver(t *testing.T, status func(attempt int) int) *receiver {
	r := &receiver{got: make(chan string, 64), status: status}
	attempts := 0
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || q.URL.RawQuery != "keep=1" {
			t.Errorf("%s %s, %v", q.Method, q.URL, q.Header)
		}
		if err := q.ParseForm(); err != nil || len(q.PostForm) != 1 {
			t.Errorf("form %v, %v", q.PostForm, err)
		}
		attempts++
		r.got <- q.PostForm.Get("logout_token")
		w.Header().Set("Location", "https://elsewhere.example/")
		w.WriteHeader(r.status(attempts))
	}))
	t.Cleanup(r.Close)
	return r
}

func always(status int) func(int) int { return func(int) int { return status } }

// next waits for a logout token.
func (r *receiver) next(t *testing.T, within time.Duration) string {
	t.Helper()
	select {
	case token := <-r.got:
		return token
	case <-time.After(within):
		t.Fatalf("no logout token within %s", within)
		return ""
	}
}

func (r *receiver) none(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case token := <-r.got:
		t.Errorf("an unexpected logout token %s", token)
	case <-time.After(within):
	}
}

func TestOIDC_oidcc_backchannel_rp_initiated_logout(t *testing.T) {
	t.Parallel() // it waits for another try
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		told := newReceiver(t, always(http.StatusOK))
		app := inst.WebClient(t, append(legacy, "--backchannel-logout-uri", told.URL+"/logout?keep=1", "--backchannel-logout-session-required", "--id-token-signed-response-alg", "ES256")...)
		deaf := inst.WebClient(t, legacy...)
		key, toldSealed := NewClientKey(t, "ECDH-ES"), newReceiver(t, always(http.StatusOK))
		sealed := inst.WebClient(t, append(legacy, "--backchannel-logout-uri", toldSealed.URL+"/logout?keep=1", "--jwks-file", KeyFile(t, key),
			"--id-token-encrypted-response-alg", "ECDH-ES", "--id-token-encrypted-response-enc", "A256GCM")...)
		n, second := startNodes(t, inst)

		t.Run("oidcc-backchannel-logout-discovery-endpoint-verification", func(t *testing.T) {
			metadata := Do(t, n.HTTP, get(t, n.Issuer+"/.well-known/openid-configuration")).JSON(t)
			if metadata["backchannel_logout_supported"] != true || metadata["backchannel_logout_session_supported"] != true {
				t.Errorf("%v", metadata)
			}
		})
		// received checks a logout token by OpenID Connect Back-Channel Logout
		// section 2.6.
		received := func(t *testing.T, id Tokens) {
			t.Helper()
			claims := n.Verify(t, told.next(t, 10*time.Second), "logout+jwt", "ES256")
			signedIn := n.Verify(t, id.ID, "JWT", "ES256")
			events, _ := claims["events"].(map[string]any)
			event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
			if claims["iss"] != n.Issuer || claims["aud"] != app.ID || claims["sub"] != alice.Sub || claims["sid"] != signedIn["sid"] || claims["sid"] == nil ||
				!ok || len(event) != 0 || len(events) != 1 {
				t.Errorf("claims %v", claims)
			}
			if _, ok := claims["nonce"]; ok {
				t.Error("a nonce")
			}
			if jti, _ := claims["jti"].(string); len(jti) < 20 {
				t.Errorf("jti %v", claims["jti"])
			}
			iat, exp := claims["iat"].(float64), claims["exp"].(float64)
			if age := float64(time.Now().Unix()) - iat; age < -2 || age > 30 || exp-iat > 120 || exp <= iat {
				t.Errorf("iat %v, exp %v", iat, exp)
			}
		}
		t.Run("oidcc-backchannel-rp-initiated-logout", func(t *testing.T) {
			b := n.NewBrowser(t)
			tokens := b.tokens(t, app, alice)
			b.tokens(t, deaf, alice)
			b.tokens(t, app, alice)
			if a := b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye, "state", "s1"); a.Header.Get("Location") != goodbye+"?state=s1" {
				t.Fatalf("status %d, Location %q", a.Status, a.Header.Get("Location"))
			}
			received(t, tokens)
			if b.signedIn(t, app) {
				t.Error("the session goes on")
			}
			told.none(t, 1500*time.Millisecond) // once, whoever else serves
			if got := events(t, n, "logout.delivered", "client_id", app.ID) + events(t, second, "logout.delivered", "client_id", app.ID); n != second && got != 1 {
				t.Errorf("%d audit records of the delivery", got)
			}
		})
		// As its ID tokens are (OpenID Connect Back-Channel Logout section 2.4).
		t.Run("encrypted", func(t *testing.T) {
			b := n.NewBrowser(t)
			b.code(t, sealed, alice, NewPKCE())
			page := b.signOut(t)
			b.Submit(t, page, page.Form(t, "logout-form"), nil)
			claims := n.Verify(t, key.Open(t, toldSealed.next(t, 10*time.Second), "A256GCM", "JWT"), "logout+jwt", "RS256")
			if claims["aud"] != sealed.ID || claims["sub"] != alice.Sub {
				t.Errorf("claims %v", claims)
			}
		})
		for name, end := range map[string]func(t *testing.T, b *Browser, sid string){
			"idp session revoke": func(t *testing.T, _ *Browser, sid string) { inst.CLI(t, "", "session", "revoke", sid) },
			"idp session revoke --user": func(t *testing.T, _ *Browser, _ string) {
				inst.CLI(t, "", "session", "revoke", "--user", alice.Username)
			},
			"another person at the browser": func(t *testing.T, b *Browser, _ string) {
				page := b.Get(t, "/login?prompt=login")
				bob := inst.NewUser(t)
				b.Login(t, page, bob.Username, bob.Password)
			},
		} {
			t.Run(name, func(t *testing.T) {
				b := n.NewBrowser(t)
				tokens := b.tokens(t, app, alice)
				end(t, b, fmt.Sprint(n.Verify(t, tokens.ID, "JWT", "ES256")["sid"]))
				received(t, tokens)
				told.none(t, time.Second)
			})
		}
		t.Run("registration", func(t *testing.T) {
			for flag, uri := range map[string]string{
				"--backchannel-logout-uri":    "http://app.example/logout",
				"--frontchannel-logout-uri":   "https://elsewhere.example/logout",
				"--post-logout-redirect-uri":  "https://app.example/bye#here",
				"--post-logout-redirect-uri ": "http://app.example/bye",
			} {
				if _, stderr, code := inst.Try(t, "", "client", "update", app.ID, strings.TrimSpace(flag), uri); code == 0 || !strings.Contains(stderr, "logout") {
					t.Errorf("%s %s: exit %d, %s", flag, uri, code, stderr)
				}
			}
		})
	})
}

// Attack O05: an application that hangs, refuses, redirects or lives inside
// delays neither the logout nor another application.
func TestAttack_O05_HangingClientDelaysNobody(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		good := newReceiver(t, always(http.StatusNoContent))
		stubborn := newReceiver(t, func(attempt int) int {
			if attempt == 1 {
				return http.StatusFound // not followed
			}
			return http.StatusOK
		})
		inside := newReceiver(t, always(http.StatusOK))
		client := func(uri string) Client {
			return inst.WebClient(t, append(legacy, "--backchannel-logout-uri", uri+"/?keep=1")...)
		}
		var all []Client
		for range 20 {
			all = append(all, client("http://"+silent.Addr().String()))
		}
		all = append(all, client(stubborn.URL), client(good.URL))
		private := client(strings.Replace(inside.URL, "127.0.0.1", "[::1]", 1))
		n := inst.Start(t)
		b := n.NewBrowser(t)
		for _, c := range append(all, private) {
			b.code(t, c, alice, NewPKCE())
		}
		tokens := b.tokens(t, all[0], alice)
		b.signOut(t, "id_token_hint", tokens.ID).wantSignedOut(t)
		good.next(t, 15*time.Second)
		first, second := stubborn.next(t, 15*time.Second), stubborn.next(t, 30*time.Second)
		one, two := n.Verify(t, first, "logout+jwt", "RS256"), n.Verify(t, second, "logout+jwt", "RS256")
		if one["jti"] == two["jti"] || one["sid"] != two["sid"] {
			t.Errorf("attempts %v and %v", one, two)
		}
		wantEvents(t, 1, n, "logout.delivered", "client_id", all[20].ID)
		wantEvents(t, 1, n, "logout.delivered", "client_id", all[21].ID)
		wantEvents(t, 0, n, "logout.delivered", "client_id", all[0].ID)
		inside.none(t, 0)
		good.none(t, 0)
		n.wantQuiet(t, first, second)
	})
}

func TestOIDC_oidcc_frontchannel_rp_initiated_logout(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		app := inst.WebClient(t, append(legacy, "--frontchannel-logout-uri", "https://app.example/front?a=b", "--frontchannel-logout-session-required")...)
		plain := inst.WebClient(t, append(legacy, "--redirect-uri", "https://plain.example:8443/cb", "--frontchannel-logout-uri", "https://plain.example:8443/front")...)
		unused := inst.WebClient(t, append(legacy, "--redirect-uri", "https://unused.example/cb", "--frontchannel-logout-uri", "https://unused.example/front")...)
		_ = unused
		n := inst.Start(t)
		t.Run("oidcc-frontchannel-logout-discovery-endpoint-verification", func(t *testing.T) {
			metadata := Do(t, n.HTTP, get(t, n.Issuer+"/.well-known/openid-configuration")).JSON(t)
			if metadata["frontchannel_logout_supported"] != true || metadata["frontchannel_logout_session_supported"] != true {
				t.Errorf("%v", metadata)
			}
		})
		for _, way := range []string{"oidcc-frontchannel-rp-initiated-logout", "by the page of /logout"} {
			t.Run(way, func(t *testing.T) {
				b := n.NewBrowser(t)
				tokens := b.tokens(t, app, alice)
				b.tokens(t, plain, alice)
				sid := n.Verify(t, tokens.ID, "JWT", "RS256")["sid"].(string)
				var page *Answer
				if way == "by the page of /logout" {
					ask := b.Get(t, "/logout")
					page = b.Submit(t, ask, ask.Form(t, "logout-form"), nil)
				} else {
					page = b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye, "state", "s1")
					if got := page.Header.Get("Refresh"); !strings.HasSuffix(got, "; url="+goodbye+"?state=s1") || !strings.Contains(page.Body, `href="`+goodbye+`?state=s1"`) {
						t.Errorf("the page does not go on: Refresh %q", got)
					}
				}
				want := []string{
					"https://app.example/front?a=b&iss=" + url.QueryEscape(n.Issuer) + "&sid=" + sid,
					"https://plain.example:8443/front",
				}
				if got := page.frames(t); !slices.Equal(got, want) {
					t.Errorf("frames %v, want %v", got, want)
				}
				policy := page.Header.Get("Content-Security-Policy")
				if got := regexp.MustCompile(`frame-src ([^;]*)`).FindStringSubmatch(policy); len(got) != 2 || got[1] != "https://app.example https://plain.example:8443" {
					t.Errorf("policy %q", policy)
				}
				if b.signedIn(t, app) {
					t.Error("the session goes on")
				}
			})
		}
	})
}

// frames returns the sources of the page's frames.
func (a *Answer) frames(t testing.TB) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for node := range root.Descendants() {
		if node.Data == "iframe" {
			sources = append(sources, attr(node, "src"))
		}
	}
	slices.Sort(sources)
	return sources
}

func TestOIDC_oidcc_session_management_rp_initiated_logout(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		app := inst.WebClient(t, legacy...)
		baseline := inst.WebClient(t, "--skip-consent")
		n := inst.Start(t)

		t.Run("oidcc-session-management-discovery-endpoint-verification", func(t *testing.T) {
			metadata := Do(t, n.HTTP, get(t, n.Issuer+"/.well-known/openid-configuration")).JSON(t)
			if metadata["check_session_iframe"] != n.Issuer+"/oauth2/sessions/check" || metadata["end_session_endpoint"] != n.Issuer+endSession {
				t.Errorf("%v", metadata)
			}
		})
		t.Run("oidcc-session-management-rp-initiated-logout", func(t *testing.T) {
			b := n.NewBrowser(t)
			back := b.Authorize(t, app.Request(NewPKCE()), alice).Query()
			state := back.Get("session_state")
			hash, salt, _ := strings.Cut(state, ".")
			sum := sha256.Sum256([]byte(app.ID + " https://app.example " + cookie(t, b, "idp_session_state") + " " + salt))
			if len(salt) < 8 || hash != hex.EncodeToString(sum[:]) {
				t.Fatalf("session_state %q", state)
			}
			frame := n.sessionFrame(t)
			ask := func(origin, state string) string {
				return frame.ask(t, "idp_session_state="+cookie(t, b, "idp_session_state"), origin, app.ID+" "+state)
			}
			if got := ask("https://app.example", state); got != "unchanged" {
				t.Errorf("after the sign-in: %s", got)
			}
			// Another sign-in for an application changes nothing.
			again := b.Authorize(t, app.Request(NewPKCE(), "prompt", "login"), alice).Query()
			if got := ask("https://app.example", state); got != "unchanged" {
				t.Errorf("after signing in again: %s", got)
			}
			if got := again.Get("session_state"); got == state || ask("https://app.example", got) != "unchanged" {
				t.Errorf("session_state %q", got)
			}
			for name, got := range map[string]string{
				"changed": ask("https://evil.example", state), "error": ask("https://app.example", "nonsense"),
			} {
				if got != name {
					t.Errorf("%s, want %s", got, name)
				}
			}
			p := NewPKCE()
			tokens := n.Exchange(t, app, b.code(t, app, alice, p), p).Tokens(t)
			if a := b.signOut(t, "id_token_hint", tokens.ID, "post_logout_redirect_uri", goodbye); a.Header.Get("Location") != goodbye {
				t.Fatalf("status %d", a.Status)
			}
			if got := ask("https://app.example", state); got != "changed" {
				t.Errorf("after the logout: %s", got)
			}
			if got := frame.ask(t, "other=1", "https://app.example", app.ID+" "+state); got != "error" {
				t.Errorf("without cookies: %s", got)
			}
		})
		t.Run("only for those that want it", func(t *testing.T) {
			b := n.NewBrowser(t)
			back := b.Authorize(t, baseline.Request(NewPKCE()), alice).Query()
			if back.Has("session_state") || cookie(t, b, "idp_session_state") != "" {
				t.Errorf("%v", back)
			}
		})
		t.Run("the frame", func(t *testing.T) {
			page := Do(t, n.HTTP, get(t, n.Issuer+"/oauth2/sessions/check"))
			policy := page.Header.Get("Content-Security-Policy")
			if page.Header.Get("X-Frame-Options") != "" || strings.Contains(policy, "frame-ancestors") || !strings.Contains(policy, "default-src 'none'") {
				t.Errorf("%v", page.Header)
			}
		})
	})
}

// sessionFrame is the frame's script, run where there is no WebCrypto.
type sessionFrame struct{ script string }

func (n *Node) sessionFrame(t testing.TB) sessionFrame {
	t.Helper()
	page := Do(t, n.HTTP, get(t, n.Issuer+"/oauth2/sessions/check"))
	source := regexp.MustCompile(`<script src="([^"]+)"`).FindStringSubmatch(page.Body)
	if len(source) != 2 {
		t.Fatalf("no script in %s", page.Body)
	}
	if !strings.Contains(page.Body, `data-cookie="idp_session_state"`) {
		t.Errorf("the page names no cookie: %s", page.Body)
	}
	file := filepath.Join(t.TempDir(), "check_session.js")
	if err := os.WriteFile(file, []byte(Do(t, n.HTTP, get(t, n.Issuer+source[1])).Body), 0o600); err != nil {
		t.Fatal(err)
	}
	return sessionFrame{file}
}

// ask posts a message to the frame and returns its answer.
func (f sessionFrame) ask(t testing.TB, cookies, origin, message string) string {
	t.Helper()
	const browser = `
const vm = require("vm"), fs = require("fs");
const [script, cookie, origin, data] = process.argv.slice(1);
let listener;
const window = { addEventListener: (kind, f) => { if (kind === "message") listener = f; } };
const document = { cookie, documentElement: { getAttribute: () => "idp_session_state" } };
vm.runInNewContext(fs.readFileSync(script, "utf8"), { window, document });
listener({ data, origin, source: { postMessage: (answer, to) => { if (to === origin) console.log(answer); } } });`
	out, err := exec.CommandContext(t.Context(), "node", "-e", browser, f.script, "first=1; "+cookies, origin, message).CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
