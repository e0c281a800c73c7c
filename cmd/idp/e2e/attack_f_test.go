package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// Refresh tokens at the token endpoint.
func TestAttack_F(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		orders := inst.NewResource(t, []string{"orders:read=Read", "orders:write=Write"})
		stock := inst.NewResource(t, []string{"stock:read=Read"})
		alice := inst.NewUser(t, "--email", "alice@example.com")
		scope := []string{"--audience", orders, "--audience", stock, "--scope", "openid email offline_access orders:read orders:write stock:read"}
		web, thief := inst.WebClient(t, scope...), inst.WebClient(t, scope...)
		opaque := inst.WebClient(t, append(scope, "--access-token-format", "opaque")...)
		public := inst.WebClient(t, append(scope, "--public")...)
		rs := inst.NewClient(t, "--grant-type", "client_credentials", "--resource-server-of", orders)
		node, second := startNodes(t, inst)
		w := watching(node)
		b := w.browser(t, node)
		full := []string{"scope", "openid email offline_access orders:read orders:write"}
		for _, c := range []Client{web, opaque} {
			b.tokens(t, c, alice, full...)
		}

		// An old refresh token whose successor was used is in two hands: the
		// grant dies.
		t.Run("F01_replay", func(t *testing.T) {
			for _, c := range []Client{web, opaque, public} {
				first := b.tokens(t, c, alice, full...)
				next := node.Refresh(t, c, first.Refresh).Tokens(t)
				third := second.Refresh(t, c, next.Refresh).Tokens(t)
				before := events(t, second, "refresh.replayed", "client_id", c.ID)
				second.Refresh(t, c, first.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
				wantEvents(t, before+1, second, "refresh.replayed", "client_id", c.ID)
				if c.Public {
					wantBadToken(t, node.Userinfo(t, third.Access))
					node.Refresh(t, c, third.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
					continue
				}
				for _, tokens := range []Tokens{first, next, third} {
					wantDead(t, c, tokens, node, second)
				}
			}
		})
		// However many use one at once, there is one successor, and the family
		// goes on.
		t.Run("F02_parallel_use", func(t *testing.T) {
			for _, c := range []Client{web, opaque} {
				first := b.tokens(t, c, alice, full...)
				successors := map[string]bool{}
				access := map[string]bool{}
				for _, a := range parallel(t, 100, []*Node{node, second}, func(n *Node) (*Answer, error) {
					return n.TryPost("/oauth2/token", c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}})
				}) {
					if a.Status == http.StatusOK {
						tokens := a.Tokens(t)
						successors[tokens.Refresh], access[tokens.Access] = true, true
						continue
					}
					a.WantError(t, http.StatusBadRequest, "invalid_grant")
				}
				if len(successors) != 1 || successors[first.Refresh] {
					t.Fatalf("%d successors", len(successors))
				}
				for token := range access {
					if !node.Active(t, c, token) {
						t.Fatal("a token of the race is dead")
					}
				}
				for successor := range successors {
					third := node.Refresh(t, c, successor).Tokens(t)
					if successors[third.Refresh] {
						t.Error("the family stands still")
					}
					node.Refresh(t, c, third.Refresh).Tokens(t)
				}
			}
		})
		// A lost answer is given again, as it was.
		t.Run("F02_lost_answer", func(t *testing.T) {
			first := b.tokens(t, web, alice, full...)
			next := node.Refresh(t, web, first.Refresh).Tokens(t)
			again := second.Refresh(t, web, first.Refresh).Tokens(t)
			if again.Refresh != next.Refresh || again.Access == next.Access {
				t.Error("the retry got another successor, or the same access token")
			}
			node.Refresh(t, web, again.Refresh).Tokens(t)
		})
		// Whoever presents another client's refresh token has stolen it.
		t.Run("F04_wrong_client", func(t *testing.T) {
			for _, other := range []Client{thief, public} {
				tokens := b.tokens(t, web, alice, full...)
				before := events(t, second, "refresh.wrong_client")
				second.Refresh(t, other, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
				wantDead(t, web, tokens, node, second)
				wantEvents(t, before+1, second, "refresh.wrong_client")
			}
			// Without authentication it is nobody's word.
			tokens := b.tokens(t, web, alice, full...)
			node.Refresh(t, Client{ID: thief.ID, Secret: "wrong" + Token()}, tokens.Refresh).WantError(t, http.StatusUnauthorized, "invalid_client")
			postRaw(t, node, "/oauth2/token", Client{}, "grant_type=refresh_token&refresh_token="+tokens.Refresh).WantError(t, http.StatusUnauthorized, "invalid_client")
			if !node.Active(t, web, tokens.Refresh) {
				t.Error("somebody without credentials ended a grant")
			}
		})
		t.Run("F05_scope_and_resource", func(t *testing.T) {
			tokens := b.tokens(t, web, alice, full...)
			for _, tt := range []struct{ name, value, want string }{
				{"scope", "openid email offline_access orders:read orders:write stock:read", "invalid_scope"},
				{"scope", "profile", "invalid_scope"},
				{"scope", "orders:*", "invalid_scope"},
				{"scope", "openid openid", "invalid_scope"},
				{"scope", "openid  email", "invalid_scope"},
				{"scope", "nothing:such", "invalid_scope"},
				{"resource", stock, "invalid_target"},
				{"resource", "https://elsewhere.example", "invalid_target"},
				{"resource", orders + "/", "invalid_target"},
				{"resource", orders + "#x", "invalid_target"},
				{"resource", "orders", "invalid_target"},
			} {
				node.Refresh(t, web, tokens.Refresh, tt.name, tt.value).WantError(t, http.StatusBadRequest, tt.want)
			}
			postRaw(t, node, "/oauth2/token", web, url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}, "resource": {orders, stock},
			}.Encode()).WantError(t, http.StatusBadRequest, "invalid_target")
			narrow := node.Refresh(t, web, tokens.Refresh, "scope", "openid orders:read").Tokens(t)
			claims := node.Verify(t, narrow.Access, "at+jwt", jose.ES256)
			if narrow.Scope != "openid orders:read" || claims["scope"] != "openid orders:read" {
				t.Errorf("narrowed to %q, in the token %v", narrow.Scope, claims["scope"])
			}
			if info := node.Userinfo(t, narrow.Access).JSON(t); info["email"] != nil {
				t.Error("the narrowed token opens the e-mail address")
			}
			onlyAPI := node.Refresh(t, web, narrow.Refresh, "scope", "orders:read").Tokens(t)
			if onlyAPI.ID != "" || node.Userinfo(t, onlyAPI.Access).Status != http.StatusForbidden {
				t.Error("without openid there is an ID token or userinfo")
			}
			// The grant itself is as wide as before.
			whole := node.Refresh(t, web, onlyAPI.Refresh).Tokens(t)
			if whole.Scope != "openid email offline_access orders:read orders:write" {
				t.Errorf("the grant shrank to %q", whole.Scope)
			}
		})
		// A refresh token is no access token, anywhere.
		t.Run("F08_as_access_token", func(t *testing.T) {
			tokens := b.tokens(t, web, alice, full...)
			wantBadToken(t, node.Userinfo(t, tokens.Refresh))
			a := node.Post(t, "/userinfo", Client{}, url.Values{"access_token": {tokens.Refresh}})
			wantBadToken(t, a)
			for _, hint := range []string{"", "access_token", "refresh_token"} {
				a := node.Post(t, "/oauth2/introspect", rs, url.Values{"token": {tokens.Refresh}, "token_type_hint": {hint}})
				if a.Body != inactive {
					t.Errorf("the API sees %s", a.Body)
				}
			}
			own := node.Post(t, "/oauth2/introspect", web, url.Values{"token": {tokens.Refresh}}).JSON(t)
			if own["token_type"] != nil || own["active"] != true {
				t.Errorf("its owner sees %v", own)
			}
			// Nor is anything else a refresh token.
			p := NewPKCE()
			code := b.code(t, web, alice, p, full...)
			for name, other := range map[string]string{
				"access token": tokens.Access, "ID token": tokens.ID, "code": code,
				"code renamed":         "idp_rt_" + strings.TrimPrefix(code, "idp_ac_"),
				"code of another kind": respell(t, "idp_rt_"+strings.TrimPrefix(code, "idp_ac_"), func(raw []byte) { raw[1] = 'r' }),
				"generation 0":         respell(t, tokens.Refresh, func(raw []byte) { raw[23] = 0 }),
				"next generation":      respell(t, tokens.Refresh, func(raw []byte) { raw[23]++ }),
			} {
				if a := node.Refresh(t, web, other); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Errorf("%s: %d %s", name, a.Status, a.Body)
				}
			}
			asCode := respell(t, "idp_ac_"+strings.TrimPrefix(tokens.Refresh, "idp_rt_"), func(raw []byte) { raw[1] = 'c' })
			node.Exchange(t, web, asCode, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			node.Exchange(t, web, code, p).Tokens(t)
			node.Refresh(t, web, tokens.Refresh).Tokens(t)
		})
		t.Run("F10_no_offline_access", func(t *testing.T) {
			for _, c := range []Client{web, public} {
				if tokens := b.tokens(t, c, alice, "scope", "openid orders:read"); tokens.Refresh != "" {
					t.Error("a refresh token without offline_access")
				}
			}
			// A public client's tokens rotate.
			tokens := b.tokens(t, public, alice, full...)
			next := node.Refresh(t, public, tokens.Refresh).Tokens(t)
			if next.Refresh == "" || next.Refresh == tokens.Refresh {
				t.Error("a public client's refresh token does not rotate")
			}
		})
		// The ID token of a refresh tells of the same sign-in.
		t.Run("F12_id_token", func(t *testing.T) {
			p := NewPKCE()
			req := web.Request(p, full...)
			tokens := node.Exchange(t, web, b.Authorize(t, req, alice).Query().Get("code"), p).Tokens(t)
			first := node.Verify(t, tokens.ID, "JWT", jose.RS256)
			if first["nonce"] != req.Get("nonce") {
				t.Errorf("nonce %v", first["nonce"])
			}
			time.Sleep(1100 * time.Millisecond) // iat counts seconds
			next := node.Refresh(t, web, tokens.Refresh).Tokens(t)
			second := node.Verify(t, next.ID, "JWT", jose.RS256)
			for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
				if first[name] == nil || first[name] != second[name] {
					t.Errorf("%s was %v and is %v", name, first[name], second[name])
				}
			}
			if second["nonce"] != nil || second["iat"].(float64) <= first["iat"].(float64) {
				t.Errorf("nonce %v, iat %v after %v", second["nonce"], second["iat"], first["iat"])
			}
			a, b := node.Verify(t, tokens.Access, "at+jwt", jose.ES256), node.Verify(t, next.Access, "at+jwt", jose.ES256)
			for _, name := range []string{"sub", "auth_time", "acr"} {
				if a[name] == nil || a[name] != b[name] {
					t.Errorf("access token: %s was %v and is %v", name, a[name], b[name])
				}
			}
			if a["jti"] == b["jti"] {
				t.Error("two access tokens share their jti")
			}
		})
		calm(t, w, node, second)
	})
}

// What ends by itself: codes, unused refresh tokens, busy families, the grace
// for a lost answer.
func TestAttack_F06_ShortLives(t *testing.T) {
	t.Parallel()
	const code, idle, absolute, grace = 4 * time.Second, 4 * time.Second, 9 * time.Second, time.Second
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{
			"IDP_LIFETIMES_CODE": code.String(), "IDP_LIFETIMES_REFRESH_IDLE": idle.String(),
			"IDP_LIFETIMES_REFRESH_ABSOLUTE": absolute.String(), "IDP_LIFETIMES_REFRESH_GRACE": grace.String(),
		})
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		web := inst.WebClient(t)
		opaque := inst.WebClient(t, "--access-token-format", "opaque")
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)
		b.tokens(t, web, alice)
		b.tokens(t, opaque, alice)

		t.Cleanup(func() { calm(t, w, node) })
		part := func(name string, test func(t *testing.T)) { // they wait side by side
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
		part("E04_expired_code", func(t *testing.T) {
			p := NewPKCE()
			expired := b.code(t, web, alice, p)
			time.Sleep(code + 100*time.Millisecond)
			node.Exchange(t, web, expired, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			node.Exchange(t, web, expired, p).WantError(t, http.StatusBadRequest, "invalid_grant")
		})
		// After the grace an old refresh token is a replay.
		part("F02_after_the_grace", func(t *testing.T) {
			first := b.tokens(t, web, alice)
			next := node.Refresh(t, web, first.Refresh).Tokens(t)
			if again := node.Refresh(t, web, first.Refresh).Tokens(t); again.Refresh != next.Refresh {
				t.Error("within the grace the successor is another one")
			}
			time.Sleep(grace + 100*time.Millisecond)
			node.Refresh(t, web, first.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
			wantDead(t, web, next, node)
		})
		part("F06_idle_end", func(t *testing.T) {
			for _, c := range []Client{web, opaque} {
				tokens := b.tokens(t, c, alice)
				time.Sleep(idle + 100*time.Millisecond)
				wantInactive(t, node, c, "refresh token", tokens.Refresh)
				node.Refresh(t, c, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
			}
		})
		// Constant use keeps a family alive to its absolute end, and no longer;
		// nothing issued on the way lives longer either.
		part("F06_absolute_end", func(t *testing.T) {
			for _, c := range []Client{web, opaque} {
				t.Run(c.ID, func(t *testing.T) {
					t.Parallel()
					before := time.Now()
					tokens := b.tokens(t, c, alice)
					after := time.Now()
					last := before
					for time.Since(after) < absolute+500*time.Millisecond {
						a := node.Refresh(t, c, tokens.Refresh)
						if a.Status != http.StatusOK {
							a.WantError(t, http.StatusBadRequest, "invalid_grant")
							time.Sleep(50 * time.Millisecond)
							continue
						}
						tokens, last = a.Tokens(t), time.Now()
						if end := last.Add(time.Duration(tokens.ExpiresIn) * time.Second); end.After(after.Add(absolute + time.Second)) {
							t.Errorf("an access token of %v s outlives its grant", tokens.ExpiresIn)
						}
						time.Sleep(50 * time.Millisecond)
					}
					if lived := last.Sub(before); lived < absolute-1500*time.Millisecond || last.After(after.Add(absolute+200*time.Millisecond)) {
						t.Errorf("the family lived %v of %v", lived, absolute)
					}
					wantDead(t, c, tokens, node)
				})
			}
		})
	})
}
