package e2e

import (
	"net/http"
	"net/url"
	"testing"
)

// An identifier that is taken again stands for another client: nothing of the
// one before it passes on.
func TestAttack_M09_TakenAgain(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "open"})
		alice := inst.NewUser(t)
		confidential := inst.WebClient(t)
		opaque := inst.WebClient(t, "--access-token-format", "opaque")
		node := inst.Start(t)
		registered := node.Register(t, "", fields{"grant_types": []string{"authorization_code", "refresh_token"}})

		type life struct {
			client Client
			tokens Tokens
			code   string
			proof  PKCE
			pushed string
		}
		b := node.NewBrowser(t)
		var before []life
		for _, c := range []Client{confidential, opaque, registered.Client} {
			l := life{client: c, proof: NewPKCE()}
			first := NewPKCE()
			code := b.Authorize(t, c.Request(first), alice).Query().Get("code") // with a consent that is remembered
			l.tokens = node.Exchange(t, c, code, first).Tokens(t)
			l.code = node.open(t, b.Client, "/oauth2/auth?"+c.Request(l.proof).Encode()).code(t)
			l.pushed, _ = node.Post(t, "/oauth2/par", c, c.Request(NewPKCE())).JSON(t)["request_uri"].(string)
			before = append(before, l)
			inst.CLI(t, "", "client", "delete", c.ID)
		}
		var after []Client
		for _, l := range before {
			var out struct {
				ClientSecret string `json:"client_secret"`
			}
			inst.JSON(t, &out, "", "client", "create", l.client.ID, "--redirect-uri", l.client.RedirectURI, "--scope", "openid profile email offline_access",
				"--grant-type", "authorization_code", "--grant-type", "refresh_token")
			after = append(after, Client{ID: l.client.ID, Secret: out.ClientSecret, RedirectURI: l.client.RedirectURI})
		}
		Settle()
		for k, l := range before {
			again := after[k]
			node.Exchange(t, l.client, l.code, l.proof).WantError(t, http.StatusUnauthorized, "invalid_client") // the secret
			node.Refresh(t, l.client, l.tokens.Refresh).WantError(t, http.StatusUnauthorized, "invalid_client")
			node.Exchange(t, again, l.code, l.proof).WantError(t, http.StatusBadRequest, "invalid_grant")
			node.Refresh(t, again, l.tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
			for _, token := range []string{l.tokens.Access, l.tokens.Refresh} {
				if node.Active(t, again, token) {
					t.Errorf("%s: a token of before is active", again.ID)
				}
			}
			if a := node.Userinfo(t, l.tokens.Access); a.Status != http.StatusUnauthorized {
				t.Errorf("%s: userinfo for a token of before: %d", again.ID, a.Status)
			}
			// Neither what was asked, nor the sign-in, nor the consent.
			node.open(t, b.Client, "/oauth2/auth?"+url.Values{"client_id": {again.ID}, "request_uri": {l.pushed}}.Encode()).wantPage(t, http.StatusBadRequest)
			silent := again.Request(NewPKCE(), "prompt", "none", "scope", "openid")
			node.authorize(t, b.Client, silent).wantRefusal(t, node, silent, "login_required")
			fresh := node.NewBrowser(t)
			page := fresh.Login(t, fresh.Get(t, "/oauth2/auth?"+again.Request(NewPKCE()).Encode()), alice.Username, alice.Password)
			if !page.HasID("consent-form") {
				t.Errorf("%s: nobody is asked for consent: %d at %s", again.ID, page.Status, page.URL)
			}
		}
		node.JSONRequest(t, http.MethodGet, registered.URI, registered.Token, nil).WantError(t, http.StatusUnauthorized, "invalid_token")
		node.JSONRequest(t, http.MethodDelete, registered.URI, registered.Token, nil).WantError(t, http.StatusUnauthorized, "invalid_token")
		node.SignIn(t, after[0], alice)
		node.wantQuiet(t, after[0].Secret, before[0].client.Secret, registered.Token)
	})
}

// code returns the code that the answer carries to the client.
func (a *Answer) code(t testing.TB) string {
	t.Helper()
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		t.Fatalf("no code: status %d to %q: %.300s", a.Status, a.Header.Get("Location"), a.Body)
	}
	return location.Query().Get("code")
}
