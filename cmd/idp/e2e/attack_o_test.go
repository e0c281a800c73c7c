package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Sign-out and registration under the attacks that other endpoints know: hints
// that are forged or something else, tokens in the wrong place, scripts of
// strangers. What only sign-out knows is in logout_test.go.
func TestAttack_O(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "token", "IDP_OUTBOUND_ALLOW": outside["IDP_OUTBOUND_ALLOW"], "IDP_SECURITY_TXT_CONTACT": "mailto:security@example.com"})
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		told := newReceiver(t, always(http.StatusOK))
		key := NewClientKey(t, "ES256")
		app := inst.WebClient(t, append(legacy, "--scope", "openid profile email offline_access", "--backchannel-logout-uri", told.URL+"/?keep=1")...)
		signed := inst.WebClient(t, "--userinfo-signed-response-alg", "RS256", "--skip-consent")
		asserting := inst.NewClient(t, "--grant-type", "client_credentials", "--token-endpoint-auth-method", "private_key_jwt", "--jwks-file", KeyFile(t, key))
		deleted, disabled := inst.WebClient(t, legacy...), inst.WebClient(t, legacy...)
		initial := strings.TrimSpace(inst.CLI(t, "", "client", "registration-token", "create", "--quiet", "--uses", "2"))
		n := inst.Start(t)
		set := jwks(t, n)
		b := n.NewBrowser(t)
		tokens := b.tokens(t, app, alice)
		stays := func(t *testing.T, what string) {
			t.Helper()
			if !b.signedIn(t, app) {
				t.Fatalf("%s ended the session", what)
			}
		}

		// Nobody but the person ends a session without a hint, wherever the
		// request comes from.
		t.Run("O01_no_hint", func(t *testing.T) {
			for _, path := range []string{endSession, "/logout"} {
				for _, dest := range []string{"document", "image", "iframe", "empty"} {
					for _, query := range []string{"", "?state=s1", "?client_id=" + app.ID + "&post_logout_redirect_uri=" + url.QueryEscape(goodbye)} {
						r := get(t, n.Issuer+path+query)
						r.Header = http.Header{"Sec-Fetch-Dest": {dest}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"cross-site"}, "Referer": {"https://evil.example/"}}
						Do(t, b.Client, r).wantAsked(t)
					}
				}
				// The form of another site, with whatever it can know.
				for _, form := range []url.Values{{}, {"answer": {"yes"}}, {"client_id": {app.ID}, "post_logout_redirect_uri": {goodbye}}} {
					r := formRequest(t, n.Issuer+path, form)
					r.Header.Set("Origin", "https://evil.example")
					r.Header.Set("Sec-Fetch-Site", "cross-site")
					if a := b.follow(t, r); a.Status == http.StatusOK && !a.HasID("logout-form") {
						t.Errorf("%s: %v: status %d: %.300s", path, form, a.Status, a.Body)
					}
				}
			}
			stays(t, "a request without a hint")
		})
		t.Run("O02_H01_H04_forged_hints", func(t *testing.T) {
			forged := forgeries(t, set, tokens.ID)
			forged["an access token"], forged["a refresh token"] = tokens.Access, tokens.Refresh
			forged["signed userinfo"] = n.Userinfo(t, n.SignIn(t, signed, alice).Access).Body
			forged["a client's own JWT"] = key.Sign(t, AssertionClaims(app.ID, n.Issuer, nil))
			for name, hint := range forged {
				if hint == "" || len(hint) > 6<<10 {
					continue // no hint at all, or too long a request
				}
				a := b.signOut(t, "id_token_hint", hint, "post_logout_redirect_uri", goodbye, "client_id", app.ID)
				if a.Status != http.StatusBadRequest || a.Header.Get("Location")+a.Header.Get("Refresh") != "" || !a.HasID("error") {
					t.Errorf("%s: status %d, %v", name, a.Status, a.Header)
				}
			}
			stays(t, "a forged hint")
		})
		// A client that is gone, or put away, vouches for nobody.
		t.Run("O02_hint_of_a_client_that_is_gone", func(t *testing.T) {
			hints := map[string]string{"delete": b.tokens(t, deleted, alice).ID, "disable": b.tokens(t, disabled, alice).ID}
			inst.CLI(t, "", "client", "delete", deleted.ID)
			inst.CLI(t, "", "client", "disable", disabled.ID)
			Settle()
			for end, hint := range hints {
				a := b.signOut(t, "id_token_hint", hint, "post_logout_redirect_uri", goodbye)
				if a.Status == http.StatusSeeOther || a.Header.Get("Refresh") != "" {
					t.Errorf("client %s: redirected to %q", end, a.Header.Get("Location"))
				}
				stays(t, "the hint of a client after "+end)
			}
		})
		// Logout tokens say that something ended, and open nothing (RFC 8725
		// section 3.11).
		t.Run("H02_logout_token", func(t *testing.T) {
			other := n.NewBrowser(t)
			other.signOut(t, "id_token_hint", other.tokens(t, app, alice).ID).wantSignedOut(t)
			logout := told.next(t, 15*time.Second)
			wantBadToken(t, n.Userinfo(t, logout))
			if a := n.Post(t, "/oauth2/introspect", app, url.Values{"token": {logout}}); a.Body != inactive {
				t.Errorf("introspection: %s", a.Body)
			}
			back := mustURL(t, b.Get(t, "/oauth2/auth?"+app.Request(NewPKCE(), "prompt", "none", "id_token_hint", logout).Encode()).Header.Get("Location"))
			if back.Query().Get("error") != "invalid_request" {
				t.Errorf("as a hint at authorize: %s", back)
			}
			b.signOut(t, "id_token_hint", logout, "post_logout_redirect_uri", goodbye).wantPage(t, http.StatusBadRequest)
			a := n.Post(t, "/oauth2/token", Client{}, Asserted(url.Values{"grant_type": {"client_credentials"}, "client_id": {asserting.ID}}, logout))
			a.WantError(t, http.StatusUnauthorized, "invalid_client")
			n.JSONRequest(t, http.MethodPost, "/oauth2/register", logout, registration(nil)).WantError(t, http.StatusUnauthorized, "invalid_token")
			stays(t, "a logout token")
		})
		// The tokens of registration are for it alone, and no other is.
		t.Run("H02_registration_tokens", func(t *testing.T) {
			mine := n.Register(t, initial, nil)
			for name, token := range map[string]string{"initial": initial, "registration access": mine.Token} {
				wantBadToken(t, n.Userinfo(t, token))
				if a := n.Post(t, "/oauth2/introspect", app, url.Values{"token": {token}}); a.Body != inactive {
					t.Errorf("%s token: introspection: %s", name, a.Body)
				}
			}
			n.Post(t, "/oauth2/revoke", app, url.Values{"token": {mine.Token}})
			for name, token := range map[string]string{"access": tokens.Access, "ID": tokens.ID, "refresh": tokens.Refresh, "initial": initial} {
				if a := n.JSONRequest(t, http.MethodGet, mine.URI, token, nil); a.Status != http.StatusUnauthorized {
					t.Errorf("%s token at the client configuration endpoint: %d", name, a.Status)
				}
				if name == "initial" {
					continue
				}
				n.JSONRequest(t, http.MethodPost, "/oauth2/register", token, registration(nil)).WantError(t, http.StatusUnauthorized, "invalid_token")
			}
			n.JSONRequest(t, http.MethodPost, "/oauth2/register", mine.Token, registration(nil)).WantError(t, http.StatusUnauthorized, "invalid_token")
			// I04: never in a URL or a form.
			n.JSONRequest(t, http.MethodPost, "/oauth2/register?access_token="+initial, "", registration(nil)).WantError(t, http.StatusUnauthorized, "invalid_token")
			if a := n.Post(t, "/oauth2/register", Client{}, url.Values{"access_token": {initial}}); a.Status < 400 || a.Status > 499 {
				t.Errorf("the initial token in a form: %d", a.Status)
			}
			if a := n.JSONRequest(t, http.MethodGet, mine.URI, mine.Token, nil); a.Status != http.StatusOK {
				t.Errorf("the right token: %d %s", a.Status, a.Body)
			}
		})
		t.Run("I09_CORS", func(t *testing.T) {
			for _, path := range []string{endSession, "/oauth2/sessions/check", "/oauth2/register", "/oauth2/par", "/.well-known/security.txt"} {
				for _, from := range []string{"null", "https://evil.example", "https://app.example", n.Issuer} {
					for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
						r, err := http.NewRequest(method, n.Issuer+path, nil)
						if err != nil {
							t.Fatal(err)
						}
						r.Header = http.Header{"Origin": {from}, "Access-Control-Request-Method": {"POST"}}
						if a := Do(t, n.HTTP, r); a.Header.Get("Access-Control-Allow-Origin") != "" {
							t.Errorf("%s %s allows %s", method, path, from)
						}
					}
				}
			}
		})
		stays(t, "all of it")
		n.wantQuiet(t, alice.Password, initial, tokens.ID, tokens.Access, tokens.Refresh)
	})
}
