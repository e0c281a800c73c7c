package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// What a client may register about logout (OpenID Connect RP-Initiated Logout
// section 3.1, Front-Channel Logout section 2, Back-Channel Logout section 2.2).
func TestLogoutMetadata(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for _, tc := range []struct {
			name, field string // empty field: it is accepted
			change      func(m *idp.ClientMetadata)
		}{
			{"all of it", "", func(m *idp.ClientMetadata) {
				m.PostLogoutRedirectURIs = []string{"https://notes.example/bye", "http://localhost:5555/bye?a=b"}
				m.BackchannelLogoutURI, m.BackchannelLogoutSessionRequired = "https://elsewhere.example/hear?tenant=1", true
				m.FrontchannelLogoutURI, m.FrontchannelLogoutSessionRequired = "https://notes.example/front?a=b", true
			}},
			{"fragment", "post_logout_redirect_uris", func(m *idp.ClientMetadata) { m.PostLogoutRedirectURIs = []string{"https://notes.example/bye#"} }},
			{"http", "post_logout_redirect_uris", func(m *idp.ClientMetadata) { m.PostLogoutRedirectURIs = []string{"http://notes.example/bye"} }},
			{"script", "post_logout_redirect_uris", func(m *idp.ClientMetadata) { m.PostLogoutRedirectURIs = []string{"javascript:alert(1)"} }},
			{"the server's state", "post_logout_redirect_uris", func(m *idp.ClientMetadata) { m.PostLogoutRedirectURIs = []string{"https://notes.example/bye?state=1"} }},
			{"twice", "post_logout_redirect_uris", func(m *idp.ClientMetadata) {
				m.PostLogoutRedirectURIs = []string{"https://notes.example/bye", "https://notes.example/bye"}
			}},
			{"back channel in clear", "backchannel_logout_uri", func(m *idp.ClientMetadata) { m.BackchannelLogoutURI = "http://notes.example/hear" }},
			{"back channel with fragment", "backchannel_logout_uri", func(m *idp.ClientMetadata) { m.BackchannelLogoutURI = "https://notes.example/hear#x" }},
			{"back channel with a password", "backchannel_logout_uri", func(m *idp.ClientMetadata) { m.BackchannelLogoutURI = "https://a:b@notes.example/hear" }},
			{"sid for nobody", "backchannel_logout_session_required", func(m *idp.ClientMetadata) { m.BackchannelLogoutSessionRequired = true }},
			{"sid for no frame", "frontchannel_logout_session_required", func(m *idp.ClientMetadata) { m.FrontchannelLogoutSessionRequired = true }},
			{"another's page", "frontchannel_logout_uri", func(m *idp.ClientMetadata) { m.FrontchannelLogoutURI = "https://elsewhere.example/front" }},
			{"another port", "frontchannel_logout_uri", func(m *idp.ClientMetadata) { m.FrontchannelLogoutURI = "https://notes.example:8443/front" }},
			{"the server's sid", "frontchannel_logout_uri", func(m *idp.ClientMetadata) { m.FrontchannelLogoutURI = "https://notes.example/front?sid=1" }},
			{"nobody signs in", "backchannel_logout_uri", func(m *idp.ClientMetadata) {
				m.GrantTypes, m.ResponseTypes, m.RedirectURIs, m.Scope = []string{idp.GrantClientCredentials}, nil, nil, ""
				m.BackchannelLogoutURI = "https://notes.example/hear"
			}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				m := client()
				tc.change(&m)
				c, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
				if tc.field == "" {
					require.NoError(t, err)
					got, err := w.Client(t.Context(), c.ClientID)
					require.NoError(t, err)
					require.Equal(t, m.PostLogoutRedirectURIs, got.PostLogoutRedirectURIs)
					require.True(t, got.HearsOfLogout())
					return
				}
				require.NotEmpty(t, faultsOf(t, err)[tc.field], "%v", err)
			})
		}
	})
}
