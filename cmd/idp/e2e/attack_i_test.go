package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Introspection, revocation and userinfo.
func TestAttack_I(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=Read"})
		brief := inst.NewResource(t, []string{"brief:read=Read"}, "--access-token-lifetime", "1m")
		alice, gone := inst.NewUser(t, "--email", "alice@example.com"), inst.NewUser(t)
		const origin, other = "https://spa.example", "https://other.example"
		scope := []string{"--audience", api, "--scope", "openid email offline_access orders:read"}
		web := inst.WebClient(t, scope...)
		opaque := inst.WebClient(t, append(scope, "--access-token-format", "opaque")...)
		public := inst.WebClient(t, append(scope, "--public", "--allowed-cors-origin", origin)...)
		inst.WebClient(t, "--public", "--allowed-cors-origin", other)
		stranger := inst.NewClient(t, "--grant-type", "client_credentials")
		strangeAPI := inst.NewClient(t, "--grant-type", "client_credentials", "--resource-server-of", brief)
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		rs := inst.NewClient(t, "--grant-type", "client_credentials", "--resource-server-of", api)
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)
		full := []string{"scope", "openid email offline_access orders:read"}
		jwt, other2 := b.tokens(t, web, alice, full...), b.tokens(t, opaque, alice, full...)
		pub := b.tokens(t, public, alice, full...)
		cc := node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
		goneTokens := w.browser(t, node).tokens(t, web, gone, full...)

		// Whoever asks has to be a client that authenticates.
		t.Run("I01_authentication", func(t *testing.T) {
			ask := func(authorization string, form url.Values) *Answer {
				form.Set("token", jwt.Access)
				r, _ := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/introspect", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if authorization != "" {
					r.Header.Set("Authorization", authorization)
				}
				return Do(t, node.HTTP, r)
			}
			for name, a := range map[string]*Answer{
				"nothing":            ask("", url.Values{}),
				"client_id alone":    ask("", url.Values{"client_id": {web.ID}}),
				"public client":      ask("", url.Values{"client_id": {public.ID}}),
				"a bearer token":     ask("Bearer "+jwt.Access, url.Values{}),
				"its own token":      ask("Bearer "+cc.Access, url.Values{}),
				"wrong secret":       node.Post(t, "/oauth2/introspect", Client{ID: web.ID, Secret: "wrong" + Token()}, url.Values{"token": {jwt.Access}}),
				"unknown client":     node.Post(t, "/oauth2/introspect", Client{ID: "nobody", Secret: Token()}, url.Values{"token": {jwt.Access}}),
				"secret in the body": ask("", url.Values{"client_id": {web.ID}, "client_secret": {web.Secret}}),
			} {
				t.Run(name, func(t *testing.T) {
					a.WantError(t, http.StatusUnauthorized, "invalid_client")
					if !strings.Contains(strings.Join(a.Header.Values("WWW-Authenticate"), ", "), "Bearer") {
						t.Errorf("WWW-Authenticate %q", a.Header.Values("WWW-Authenticate"))
					}
				})
			}
		})
		// To those whom it does not concern a token looks like garbage.
		t.Run("I02_strangers", func(t *testing.T) {
			revoked := b.tokens(t, web, alice, full...)
			node.Post(t, "/oauth2/revoke", web, url.Values{"token": {revoked.Access}})
			for name, token := range map[string]string{
				"JWT": jwt.Access, "opaque": other2.Access, "refresh token": jwt.Refresh, "client credentials": cc.Access,
				"revoked": revoked.Access, "revoked refresh token": revoked.Refresh, "garbage": "garbage", "ID token": jwt.ID,
				"shaped like ours": "idp_at_" + strings.Repeat("A", 80), "cut": jwt.Access[:len(jwt.Access)-1],
			} {
				for _, c := range []Client{stranger, strangeAPI} {
					for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
						a := node.Post(t, "/oauth2/introspect", c, url.Values{"token": {token}, "token_type_hint": {hint}})
						if a.Status != http.StatusOK || a.Body != inactive || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
							t.Errorf("%s: %d %s", name, a.Status, a.Body)
						}
					}
				}
			}
			if !node.Active(t, rs, jwt.Access) || !node.Active(t, rs, cc.Access) {
				t.Error("the API cannot see its own tokens")
			}
		})
		t.Run("I04_malformed_requests", func(t *testing.T) {
			for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
				for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodHead} {
					r, _ := http.NewRequest(method, inst.Issuer+path+"?token="+jwt.Access, nil)
					r.SetBasicAuth(web.ID, web.Secret)
					if a := Do(t, node.HTTP, r); a.Status != http.StatusMethodNotAllowed || !strings.Contains(a.Header.Get("Allow"), "POST") {
						t.Errorf("%s %s: %d", method, path, a.Status)
					}
				}
				for _, body := range []string{"", "token=", "token_type_hint=access_token", "token=a&token=b", "token=" + jwt.Access + "&token=" + jwt.Access, "token=%zz"} {
					postRaw(t, node, path, web, body).WantError(t, http.StatusBadRequest, "invalid_request")
				}
				postRaw(t, node, path+"?token="+jwt.Access, web, "").WantError(t, http.StatusBadRequest, "invalid_request")
				postRaw(t, node, path+"?token="+jwt.Access, web, "token=x").WantError(t, http.StatusBadRequest, "invalid_request")
			}
			if !node.Active(t, web, jwt.Access) {
				t.Error("one of them revoked the token")
			}
		})
		// A client revokes its own tokens only.
		t.Run("I05_another_clients_token", func(t *testing.T) {
			for name, token := range map[string]string{"JWT": jwt.Access, "opaque": other2.Access, "refresh token": jwt.Refresh, "client credentials": cc.Access} {
				for _, c := range []Client{stranger, rs, public} {
					before := events(t, node, "revoke.wrong_client")
					a := node.Post(t, "/oauth2/revoke", c, url.Values{"token": {token}})
					if a.Status != http.StatusBadRequest {
						t.Errorf("%s: %d %s", name, a.Status, a.Body)
					}
					wantEvents(t, before+1, node, "revoke.wrong_client")
				}
			}
			postRaw(t, node, "/oauth2/revoke", Client{}, "token="+jwt.Access).WantError(t, http.StatusUnauthorized, "invalid_client")
			postRaw(t, node, "/oauth2/revoke", Client{}, "client_id="+web.ID+"&token="+jwt.Access).WantError(t, http.StatusUnauthorized, "invalid_client")
			for c, token := range map[Client]string{web: jwt.Access, opaque: other2.Access, service: cc.Access} {
				if !node.Active(t, c, token) {
					t.Errorf("%s's token died", c.ID)
				}
			}
			if !node.Active(t, web, jwt.Refresh) {
				t.Error("the refresh token died")
			}
		})
		// Revoking any token of a grant ends the grant.
		t.Run("I06_revocation", func(t *testing.T) {
			for _, c := range []Client{web, opaque} {
				for name, choose := range map[string]func(first, next Tokens) string{
					"access token":          func(_, next Tokens) string { return next.Access },
					"older access token":    func(first, _ Tokens) string { return first.Access },
					"refresh token":         func(_, next Tokens) string { return next.Refresh },
					"rotated refresh token": func(first, _ Tokens) string { return first.Refresh },
				} {
					t.Run(name, func(t *testing.T) {
						first := b.tokens(t, c, alice, full...)
						next := node.Refresh(t, c, first.Refresh).Tokens(t)
						before := events(t, node, "token.revoked")
						for range 2 { // the second time there is nothing to do
							if a := node.Post(t, "/oauth2/revoke", c, url.Values{"token": {choose(first, next)}, "token_type_hint": {"nonsense"}}); a.Status != http.StatusOK || a.Body != "" {
								t.Fatalf("%d %s", a.Status, a.Body)
							}
						}
						wantDead(t, c, first, node)
						wantDead(t, c, next, node)
						wantEvents(t, before+1, node, "token.revoked")
					})
				}
			}
			if a := node.Post(t, "/oauth2/revoke", public, url.Values{"token": {pub.Refresh}}); a.Status != http.StatusOK {
				t.Errorf("a public client revokes its own: %d", a.Status)
			}
			wantBadToken(t, node.Userinfo(t, pub.Access))
			for _, unknown := range []string{"garbage", "idp_rt_x", "idp_rt_" + strings.Repeat("A", 80), jwt.ID, jwt.Access + "x", strings.Repeat("a", 50_000)} {
				if a := node.Post(t, "/oauth2/revoke", web, url.Values{"token": {unknown}}); a.Status != http.StatusOK {
					t.Errorf("unknown token: %d %s", a.Status, a.Body)
				}
			}
		})
		t.Run("I08_userinfo", func(t *testing.T) {
			ask := func(method, query, body string, headers ...string) *Answer {
				r, _ := http.NewRequest(method, inst.Issuer+"/userinfo"+query, strings.NewReader(body))
				if body != "" {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				for _, h := range headers {
					r.Header.Add("Authorization", h)
				}
				return Do(t, node.HTTP, r)
			}
			good := "Bearer " + jwt.Access
			for name, tt := range map[string]struct {
				a      *Answer
				status int
				code   string
			}{
				"in the query":          {ask("GET", "?access_token="+jwt.Access, ""), 400, "invalid_request"},
				"in query and header":   {ask("GET", "?access_token="+jwt.Access, "", good), 400, "invalid_request"},
				"in the query of POST":  {ask("POST", "?access_token="+jwt.Access, "x=y"), 400, "invalid_request"},
				"header and body":       {ask("POST", "", "access_token="+jwt.Access, good), 400, "invalid_request"},
				"twice in the body":     {ask("POST", "", "access_token="+jwt.Access+"&access_token="+jwt.Access), 400, "invalid_request"},
				"two headers":           {ask("GET", "", "", good, good), 400, "invalid_request"},
				"refresh token":         {ask("GET", "", "", "Bearer "+jwt.Refresh), 401, "invalid_token"},
				"ID token":              {ask("GET", "", "", "Bearer "+jwt.ID), 401, "invalid_token"},
				"client credentials":    {ask("GET", "", "", "Bearer "+cc.Access), 403, "insufficient_scope"},
				"no openid":             {ask("GET", "", "", "Bearer "+b.tokens(t, web, alice, "scope", "email orders:read").Access), 403, "insufficient_scope"},
				"two tokens":            {ask("GET", "", "", good+" "+jwt.Access), 401, "invalid_token"},
				"comma":                 {ask("GET", "", "", good+", "+good), 401, "invalid_token"},
				"no token":              {ask("GET", "", ""), 401, ""},
				"an empty token":        {ask("GET", "", "", "Bearer "), 401, ""},
				"the scheme alone":      {ask("GET", "", "", "Bearer"), 401, ""},
				"another scheme":        {ask("GET", "", "", "DPoP "+jwt.Access), 401, ""},
				"Basic":                 {ask("GET", "", "", "Basic "+jwt.Access), 401, ""},
				"body of a GET":         {ask("GET", "", "access_token="+jwt.Access), 401, ""},
				"the session's cookie":  {b.Get(t, "/userinfo"), 401, ""},
				"an empty header's two": {ask("GET", "", "", "", good), 400, "invalid_request"},
			} {
				t.Run(name, func(t *testing.T) {
					challenge := tt.a.Header.Get("WWW-Authenticate")
					if tt.a.Status != tt.status || !strings.HasPrefix(challenge, "Bearer ") || strings.Contains(tt.a.Body, alice.Sub) {
						t.Errorf("%d, WWW-Authenticate %q: %s", tt.a.Status, challenge, tt.a.Body)
					}
					if tt.code == "" && strings.Contains(challenge, "error") || tt.code != "" && !strings.Contains(challenge, `error="`+tt.code+`"`) {
						t.Errorf("WWW-Authenticate %q, want %s", challenge, tt.code)
					}
				})
			}
			for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
				if a := ask(method, "", "", good); a.Status != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d", method, a.Status)
				}
			}
			for _, a := range []*Answer{ask("GET", "", "", good), ask("GET", "", "", "bearer "+jwt.Access), ask("POST", "", "access_token="+jwt.Access), ask("POST", "", "", good)} {
				if a.Status != http.StatusOK || a.JSON(t)["email"] != "alice@example.com" || a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			}
			inst.CLI(t, "", "user", "delete", gone.Username)
			wantBadToken(t, node.Userinfo(t, goneTokens.Access))
			wantInactive(t, node, web, "a deleted person's token", goneTokens.Access)
		})
		// Scripts of registered origins read answers; no others, and never with
		// cookies.
		t.Run("I09_CORS", func(t *testing.T) {
			send := func(method, path, from string, header http.Header, form url.Values) *Answer {
				r, _ := http.NewRequest(method, inst.Issuer+path, strings.NewReader(form.Encode()))
				for k, v := range header {
					r.Header[k] = v
				}
				if len(form) > 0 {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				r.Header["Origin"] = []string{from}
				return Do(t, node.HTTP, r)
			}
			preflight := http.Header{"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}}
			paths := []string{"/oauth2/token", "/oauth2/revoke", "/userinfo", "/.well-known/jwks.json", "/.well-known/openid-configuration"}
			for _, from := range []string{
				"null", "", "http://spa.example", "https://spa.example.evil.tld", "https://evilspa.example", "https://spa.example:8443", "https://sub.spa.example",
				"https://spa.example/", "https://SPA.example", "https://spa.example@evil.tld", "https://evil.tld#https://spa.example", "https://spa.example,https://evil.tld",
				"https://spa.example https://evil.tld", "*", "https://*", "file://", inst.Issuer + ".evil.tld", "https://spa.example%60.evil.tld",
			} {
				for _, path := range paths {
					for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet} {
						header := http.Header{}
						if method == http.MethodOptions {
							header = preflight
						}
						a := send(method, path, from, header, nil)
						for name := range a.Header {
							if strings.HasPrefix(name, "Access-Control-Allow") {
								t.Errorf("%s %s from %q: %s: %s", method, path, from, name, a.Header.Get(name))
							}
						}
					}
				}
			}
			for _, path := range paths[:3] {
				a := send(http.MethodOptions, path, origin, preflight, nil)
				if a.Header.Get("Access-Control-Allow-Origin") != origin || a.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("preflight of %s: %v", path, a.Header)
				}
				if !strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Origin") {
					t.Errorf("%s: Vary %q", path, a.Header.Values("Vary"))
				}
			}
			a := send(http.MethodGet, "/userinfo", origin, http.Header{"Authorization": {"Bearer " + jwt.Access}}, nil)
			if a.Status != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != origin || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("userinfo: %d %v", a.Status, a.Header)
			}
			// Pages, authorize and introspection speak to no script at all.
			for _, path := range []string{"/oauth2/auth", "/oauth2/introspect", "/login", "/consent", "/logout", "/"} {
				for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
					if a := send(method, path, origin, preflight, nil); a.Header.Get("Access-Control-Allow-Origin") != "" {
						t.Errorf("%s %s allows %s", method, path, origin)
					}
				}
			}
			// The origin of one client reads nothing of another's.
			tokens := b.tokens(t, public, alice, full...)
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}, "client_id": {public.ID}}
			if a := send(http.MethodPost, "/oauth2/token", other, nil, form); a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("another client's origin reads the answer")
			}
			if a := send(http.MethodPost, "/oauth2/token", origin, nil, form); a.Status != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != origin {
				t.Errorf("its own origin: %d %v", a.Status, a.Header)
			}
		})
		time.Sleep(50 * time.Millisecond) // audit records follow
		calm(t, w, node)
	})
}
