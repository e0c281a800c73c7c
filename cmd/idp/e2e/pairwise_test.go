package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// OpenID Connect Core section 8.1: clients of different sectors know people by
// different identifiers, wherever these stand, and always by the same.
func TestOIDC_8_1_PairwiseSubjects(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		told := newReceiver(t, always(http.StatusOK))
		inst := Install(t, engine, outside)
		alice, bob := inst.NewUser(t), inst.NewUser(t)
		api := inst.NewResource(t, []string{"orders:read"})
		opaque := inst.NewResource(t, []string{"stock:read"}, "--access-token-format", "opaque")
		client := func(host string, more ...string) Client {
			return inst.WebClient(t, append([]string{
				"--redirect-uri", "https://" + host + "/cb", "--skip-consent", "--subject-type", "pairwise",
				"--audience", api, "--audience", opaque, "--scope", "openid offline_access orders:read stock:read",
			}, more...)...)
		}
		one, same, other := client("one.example"), client("one.example"), client("other.example")
		sector := client("third.example", "--sector-identifier-uri", "https://one.example/sector.json")
		public := inst.WebClient(t, "--skip-consent")
		if _, stderr, code := inst.Try(t, "", "client", "update", one.ID, "--redirect-uri", "https://one.example/cb", "--redirect-uri", "https://two.example/cb"); code == 0 || !strings.Contains(stderr, "sector_identifier_uri") {
			t.Errorf("two hosts: exit %d, %s", code, stderr)
		}
		heard := client("one.example", "--backchannel-logout-uri", told.URL+"/logout?keep=1")
		node := inst.Start(t)
		subject := func(c Client, u User) string {
			sub, _ := node.Verify(t, node.SignIn(t, c, u, "scope", "openid").ID, "JWT", "RS256")["sub"].(string)
			return sub
		}
		alices := subject(one, alice)
		switch {
		case alices == alice.Sub || len(alices) < 40:
			t.Errorf("sub %q", alices)
		case subject(one, alice) != alices || subject(same, alice) != alices || subject(sector, alice) != alices:
			t.Error("one sector knows alice by several identifiers")
		case subject(other, alice) == alices || subject(one, bob) == alices:
			t.Error("two sectors or two people share an identifier")
		case subject(public, alice) != alice.Sub:
			t.Error("a client of public subjects gets another one")
		}

		for _, resource := range []string{"", api, opaque} {
			scope := map[string]string{"": "openid offline_access", api: "openid offline_access orders:read", opaque: "openid offline_access stock:read"}[resource]
			tokens := node.SignIn(t, one, alice, "scope", scope, "resource", resource)
			for range 2 { // the second time after a refresh
				if info := node.Userinfo(t, tokens.Access).JSON(t); info["sub"] != alices {
					t.Errorf("userinfo: %v", info)
				}
				if id := node.Verify(t, tokens.ID, "JWT", "RS256"); id["sub"] != alices {
					t.Errorf("ID token: %v", id)
				}
				for _, token := range []string{tokens.Access, tokens.Refresh} {
					seen := node.Post(t, "/oauth2/introspect", one, url.Values{"token": {token}}).JSON(t)
					if seen["active"] != true || seen["sub"] != alices || seen["username"] != nil {
						t.Errorf("introspection: %v", seen)
					}
				}
				if resource != opaque {
					if access := node.Verify(t, tokens.Access, "at+jwt", "ES256"); access["sub"] != alices {
						t.Errorf("access token: %v", access)
					}
				}
				tokens = node.Refresh(t, one, tokens.Refresh).Tokens(t)
			}
			if a := node.Post(t, "/oauth2/revoke", one, url.Values{"token": {tokens.Access}}); a.Status != 200 || node.Active(t, one, tokens.Refresh) {
				t.Errorf("revocation: %d %s", a.Status, a.Body)
			}
		}

		// Logout tokens name people so, too.
		leaving := node.NewBrowser(t)
		p := NewPKCE()
		tokens := node.Exchange(t, heard, leaving.Authorize(t, heard.Request(p, "scope", "openid"), alice).Query().Get("code"), p).Tokens(t)
		leaving.signOut(t, "id_token_hint", tokens.ID)
		if claims := node.Verify(t, told.next(t, 10*time.Second), "logout+jwt", "RS256"); claims["sub"] != alices {
			t.Errorf("logout token: %v", claims)
		}

		// The hint and the claims parameter name people as the client knows them.
		b := node.NewBrowser(t)
		p = NewPKCE()
		code := b.Authorize(t, one.Request(p, "scope", "openid"), alice).Query().Get("code")
		hint := node.Exchange(t, one, code, p).Tokens(t).ID
		claims := func(sub string) string {
			raw, _ := json.Marshal(fields{"id_token": fields{"sub": fields{"value": sub}}})
			return string(raw)
		}
		for _, c := range []struct {
			name, value, want string
			client            Client
		}{
			{"id_token_hint", hint, "code", one},
			{"id_token_hint", hint, "error", other},
			{"claims", claims(alices), "code", one},
			{"claims", claims(alice.Sub), "error", one},
		} {
			back := b.Authorize(t, c.client.Request(NewPKCE(), "scope", "openid", "prompt", "none", c.name, c.value), alice)
			if !back.Query().Has(c.want) {
				t.Errorf("%s of %s: came back to %s", c.name, c.client.ID, back)
			}
		}
	})
}
