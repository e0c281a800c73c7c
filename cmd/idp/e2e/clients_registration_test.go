package e2e

import (
	"net/url"
	"strings"
	"testing"
)

// openid-client registers itself, and pushes a request object.
func TestClients_OpenIDClientRegistersAndPushes(t *testing.T) {
	npm := npmDir(t)
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "token"})
		alice := inst.NewUser(t)
		token := strings.TrimSpace(inst.CLI(t, "", "client", "registration-token", "create", "--quiet"))
		node := inst.Start(t)
		settings := map[string]any{
			"issuer": inst.Issuer, "initialAccessToken": token, "redirectURI": "https://app.example/cb",
			"user": map[string]string{"sub": alice.Sub}, "signing": privateJWK(NewClientKey(t, "ES256")),
		}
		runScript(t, npm, "register.mjs", settings, func(address string) string {
			request, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			return node.NewBrowser(t).Authorize(t, request.Query(), alice).String()
		})
	})
}
