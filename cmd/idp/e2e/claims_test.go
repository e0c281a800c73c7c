package e2e

import (
	"net/url"
	"strings"
	"testing"
)

// The claims parameter (OpenID Connect Core section 5.5): single claims by
// name, in the ID token or at userinfo.
func TestOIDC_oidcc_claims_essential(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com")
		bob := inst.NewUser(t)
		web := inst.WebClient(t)
		narrow := inst.WebClient(t, "--scope", "openid")
		node := inst.Start(t)

		signIn := func(b *Browser, c Client, u User, claims string) Tokens {
			p := NewPKCE()
			code := b.Authorize(t, c.Request(p, "scope", "openid", "claims", claims), u).Query().Get("code")
			return node.Exchange(t, c, code, p).Tokens(t)
		}
		b := node.NewBrowser(t)
		t.Run("essential name at userinfo", func(t *testing.T) {
			tokens := signIn(b, web, alice, `{"userinfo":{"name":{"essential":true},"unheard_of":null}}`)
			if info := node.Userinfo(t, tokens.Access).JSON(t); info["name"] != "Alice Example" || info["email"] != nil || info["given_name"] != nil {
				t.Errorf("userinfo: %v", info)
			}
			if id := node.Verify(t, tokens.ID, "JWT", "RS256"); id["name"] != nil {
				t.Errorf("ID token: %v", id)
			}
			if tokens.Scope != "openid" {
				t.Errorf("the scope grew to %q", tokens.Scope)
			}
		})
		t.Run("voluntary claims in the ID token", func(t *testing.T) {
			tokens := signIn(b, web, alice, `{"id_token":{"email":null,"name":null,"auth_time":{"essential":true}}}`)
			id := node.Verify(t, tokens.ID, "JWT", "RS256")
			if id["email"] != "alice@example.com" || id["name"] != "Alice Example" || id["auth_time"] == nil {
				t.Errorf("ID token: %v", id)
			}
			if info := node.Userinfo(t, tokens.Access).JSON(t); info["email"] != nil {
				t.Errorf("userinfo: %v", info)
			}
		})
		// The person is asked for what the claims open, as for the scope.
		t.Run("consent covers claims", func(t *testing.T) {
			fresh := node.NewBrowser(t)
			c := inst.WebClient(t)
			Settle()
			page := fresh.Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "scope", "openid", "claims", `{"userinfo":{"email":null}}`).Encode())
			page = fresh.Login(t, page, alice.Username, alice.Password)
			if !page.HasID("consent-form") || !strings.Contains(page.Body, "e-mail") {
				t.Errorf("the consent page does not speak of the e-mail address:\n%s", page.Body)
			}
		})
		// A client that may not ask for the scope does not get its claims by name.
		t.Run("not registered for the scope", func(t *testing.T) {
			tokens := signIn(b, narrow, alice, `{"userinfo":{"email":{"essential":true}}}`)
			if info := node.Userinfo(t, tokens.Access).JSON(t); info["email"] != nil {
				t.Errorf("userinfo: %v", info)
			}
		})
		t.Run("sub of another person", func(t *testing.T) {
			page := b.Get(t, "/oauth2/auth?"+web.Request(NewPKCE(), "prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+bob.Sub+`"}}}`).Encode())
			back, err := url.Parse(page.Header.Get("Location"))
			if err != nil || back.Query().Get("error") != "login_required" {
				t.Errorf("%s %v", page.Header.Get("Location"), err)
			}
		})
	})
}
