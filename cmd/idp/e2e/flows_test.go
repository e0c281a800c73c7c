package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The three grants of the card, end to end, on both engines.
func TestFlows(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=See your orders", "orders:write=Change your orders"}, "--name", "Orders")
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com")
		web := inst.WebClient(t, "--audience", api, "--scope", "openid profile email offline_access orders:read orders:write", "--name", "Shop")
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		node := inst.Start(t)

		t.Run("client credentials", func(t *testing.T) {
			a := node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}})
			tokens := a.Tokens(t)
			if tokens.Scope != "orders:read" || tokens.ExpiresIn != 600 || tokens.Refresh != "" || tokens.ID != "" {
				t.Errorf("unexpected answer: %s", a.Body)
			}
			claims := node.Verify(t, tokens.Access, "at+jwt", "ES256")
			for name, want := range map[string]any{"iss": inst.Issuer, "sub": service.ID, "client_id": service.ID, "aud": api, "scope": "orders:read"} {
				if claims[name] != want {
					t.Errorf("%s is %v, want %v", name, claims[name], want)
				}
			}
		})
		t.Run("authorization code and refresh", func(t *testing.T) {
			p := NewPKCE()
			b := node.NewBrowser(t)
			req := web.Request(p, "scope", "openid email offline_access orders:read", "resource", api)
			back := b.Authorize(t, req, alice)
			if !strings.HasPrefix(back.String(), web.RedirectURI+"?") || back.Query().Get("state") != req.Get("state") || back.Query().Get("iss") != inst.Issuer {
				t.Fatalf("came back to %s", back)
			}
			tokens := node.Exchange(t, web, back.Query().Get("code"), p).Tokens(t)
			id := node.Verify(t, tokens.ID, "JWT", "RS256")
			if id["sub"] != alice.Sub || id["nonce"] != req.Get("nonce") || id["aud"] != web.ID || id["email"] != nil || id["at_hash"] == nil || id["sid"] == nil {
				t.Errorf("ID token: %v", id)
			}
			access := node.Verify(t, tokens.Access, "at+jwt", "ES256")
			if access["sub"] != alice.Sub || access["scope"] != "openid email offline_access orders:read" {
				t.Errorf("access token: %v", access)
			}
			info := node.Userinfo(t, tokens.Access)
			if got := info.JSON(t); got["sub"] != alice.Sub || got["email"] != "alice@example.com" || got["name"] != nil {
				t.Errorf("userinfo: %s", info.Body)
			}
			second := node.Refresh(t, web, tokens.Refresh).Tokens(t)
			if second.Refresh == "" || second.Refresh == tokens.Refresh || second.ID == "" {
				t.Errorf("refresh did not rotate: %+v", second)
			}
			if claims := node.Verify(t, second.ID, "JWT", "RS256"); claims["nonce"] != nil || claims["auth_time"] != id["auth_time"] {
				t.Errorf("refreshed ID token: %v", claims)
			}
			if !node.Active(t, web, second.Access) || !node.Active(t, web, second.Refresh) {
				t.Error("fresh tokens are not active")
			}
			if a := node.Post(t, "/oauth2/revoke", web, url.Values{"token": {second.Refresh}}); a.Status != http.StatusOK {
				t.Errorf("revocation: %d %s", a.Status, a.Body)
			}
			if node.Active(t, web, second.Access) || node.Active(t, web, second.Refresh) {
				t.Error("tokens outlive their revocation")
			}
			// The consent was remembered: the second sign-in asks nothing.
			silent := b.Get(t, "/oauth2/auth?"+web.Request(p, "scope", "openid email offline_access orders:read", "resource", api, "prompt", "none").Encode())
			if !strings.Contains(silent.Header.Get("Location"), "code=") {
				t.Errorf("prompt=none: %d %s", silent.Status, silent.Header.Get("Location"))
			}
		})
	})
}
