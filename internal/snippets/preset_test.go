package snippets_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/snippets"
)

// A client that is registered by a stack's preset, at an origin, fits the stack.
func TestPresetsFit(t *testing.T) {
	for _, name := range snippets.Stacks() {
		m, ok := snippets.Preset(name)
		require.Equal(t, !strings.HasPrefix(name, "api-"), ok, name)
		if !ok {
			continue
		}
		c := &idp.Client{ClientID: "made", ClientMetadata: m}
		switch {
		case c.HasGrantType(idp.GrantClientCredentials):
			c.Audience, c.Scope = []string{orders}, "orders:read"
		case strings.HasPrefix(name, "appauth-"):
			c.RedirectURIs = []string{"com.example.shop:/callback"}
		case name != "kubernetes":
			c.RedirectURIs = []string{"https://app.example.com"}
		}
		snippets.Complete(name, &c.ClientMetadata)
		require.Empty(t, snippetFor(t, name, c).Problems, name)
	}
	_, ok := snippets.Preset("nothing")
	require.False(t, ok)
}

// As JSON it is what is to be set, and nothing else.
func TestPresetIsAMergePatch(t *testing.T) {
	for name, want := range map[string]string{
		"gitea":     `{"token_endpoint_auth_method":"client_secret_basic","grant_types":["authorization_code"],"scope":"openid profile email","id_token_signed_response_alg":"RS256","pkce_optional":true}`,
		"nextcloud": `{"token_endpoint_auth_method":"client_secret_post","grant_types":["authorization_code"],"scope":"openid profile email","id_token_signed_response_alg":"RS256"}`,
		"grafana":   `{"token_endpoint_auth_method":"client_secret_basic","grant_types":["authorization_code"],"scope":"openid profile email groups"}`,
	} {
		m, _ := snippets.Preset(name)
		got, err := json.Marshal(m)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got), name)
	}
}

// What somebody chose stays: a path, other addresses, origins.
func TestCompleteKeepsWhatIsThere(t *testing.T) {
	for _, tt := range []struct {
		stack          string
		given, want    []string
		public, native bool
		origins        []string
	}{
		{stack: "grafana", given: []string{"https://g.example/", "https://g.example/sub/login/generic_oauth"}, want: []string{"https://g.example/login/generic_oauth", "https://g.example/sub/login/generic_oauth"}},
		{stack: "authjs", given: []string{"http://localhost:3000"}, want: []string{"http://localhost:3000/api/auth/callback/idp"}},
		{stack: "vault", given: []string{"https://v.example"}, want: []string{"https://v.example/ui/vault/auth/oidc/oidc/callback", "http://localhost:8250/oidc/callback"}},
		{stack: "kubernetes", public: true, native: true, want: []string{"http://localhost:8000", "http://localhost:18000"}},
		{stack: "appauth-ios", public: true, native: true, given: []string{"com.example.shop://callback"}, want: []string{"com.example.shop://callback"}},
		{stack: "spa", public: true, given: []string{"https://s.example", "https://s.example/silent"}, want: []string{"https://s.example/callback", "https://s.example/silent"}, origins: []string{"https://s.example"}},
		{stack: "service-go", given: []string{"https://x.example"}, want: []string{"https://x.example"}},
		{stack: "", given: []string{"https://x.example"}, want: []string{"https://x.example"}},
	} {
		m := idp.ClientMetadata{RedirectURIs: tt.given, TokenEndpointAuthMethod: idp.AuthClientSecretBasic}
		if tt.public {
			m.TokenEndpointAuthMethod = idp.AuthNone
		}
		if tt.native {
			m.ApplicationType = idp.ApplicationNative
		}
		snippets.Complete(tt.stack, &m)
		require.Equal(t, tt.want, m.RedirectURIs, tt.stack)
		require.Equal(t, tt.origins, m.AllowedCORSOrigins, tt.stack)
	}
}
