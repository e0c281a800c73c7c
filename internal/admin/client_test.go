package admin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// RFC 7591 section 2: what is left out has a default.
func TestRFC7591_2_Defaults(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		c, secret, err := w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: idp.ClientMetadata{
			RedirectURIs: []string{"https://notes.example/callback"},
		}})
		require.NoError(t, err)
		require.Equal(t, idp.AuthClientSecretBasic, c.TokenEndpointAuthMethod)
		require.Equal(t, []string{"authorization_code"}, c.GrantTypes)
		require.Equal(t, []string{"code"}, c.ResponseTypes)
		require.Equal(t, "web", c.ApplicationType)
		require.Regexp(t, `^[0-9a-hjkmnp-tv-z]{5}(-[0-9a-hjkmnp-tv-z]{5}){3}$`, c.ClientID)
		require.GreaterOrEqual(t, len(secret.Reveal()), 43)
		got, err := w.Client(t.Context(), c.ClientID)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(c, got))
	})
}

// A secret is shown once and only its hash is kept; not in the audit either.
func TestSecretsAreKeptAsHashesOnly(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		c, secret, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		require.Equal(t, marks{}.HashSecret(secret.Reveal()), c.Secrets[0].Hash)
		given := idp.Secret("0123456789abcdefghijklmnopqrstuv!")
		_, same, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "given", ClientMetadata: client(), Secret: given})
		require.NoError(t, err)
		require.Equal(t, given, same)
		rotated, err := w.RotateSecret(t.Context(), "notes", time.Hour)
		require.NoError(t, err)
		all := fmt.Sprintf("%+v %+v", w.directory.Clients(), w.events(t))
		for _, s := range []idp.Secret{secret, given, rotated} {
			require.NotContains(t, all, s.Reveal())
		}
	})
}

// All faults of an input are told at once, under the names of RFC 7591.
func TestRFC7591_AllFaultsTogether(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		age := -1
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{
			ClientID: "a b",
			Secret:   "short",
			ClientMetadata: idp.ClientMetadata{
				ClientName:               "Bank\u202Eknab",
				ApplicationType:          "desktop",
				TokenEndpointAuthMethod:  "none",
				GrantTypes:               []string{"authorization_code", "client_credentials", "password"},
				ResponseTypes:            []string{"code", "token"},
				RedirectURIs:             []string{"https://a.example/#", "http://a.example/"},
				Scope:                    "openid offline_access notes:read",
				LogoURI:                  "javascript:alert(1)",
				Contacts:                 []string{"nobody"},
				IDTokenSignedResponseAlg: "none", AccessTokenSigningAlg: "HS256", AccessTokenFormat: "saml",
				DefaultMaxAge: &age,
				Audience:      []string{"https://unknown.example"}, ResourceServerOf: []string{"https://unknown.example"},
				AllowedCORSOrigins: []string{"*"}, AllowedGroups: []string{"nobody"},
				PKCEOptional: true, AccessTokenLifetime: 59, RefreshTokenIdle: 100, RefreshTokenLifetime: 91 * 86400,
			},
		})
		fields := faultsOf(t, err)
		for _, field := range []string{
			"client_id", "client_secret", "client_name", "application_type", "grant_types", "response_types", "redirect_uris", "scope",
			"logo_uri", "contacts", "id_token_signed_response_alg", "access_token_signing_alg", "access_token_format", "default_max_age",
			"audience", "resource_server_of", "allowed_cors_origins", "allowed_groups", "pkce_optional", "access_token_lifetime",
			"refresh_token_lifetime",
		} {
			require.NotEmpty(t, fields[field], field)
		}
		require.Contains(t, fields["grant_types"], "client_credentials needs")
		require.Contains(t, fields["grant_types"], `"password" is not one of`)
		require.Contains(t, fields["scope"], "offline_access needs the refresh_token grant")
		require.Contains(t, fields["scope"], "belongs to no resource")
		require.NotContains(t, err.Error(), "short")
		require.Empty(t, w.events(t), "nothing happened")
	})
}

// One wrong thing at a time.
func TestClientMetadataRules(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, err := w.CreateResource(t.Context(), "https://api.example", idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "notes:read"}}})
		require.NoError(t, err)
		long := func(m *idp.ClientMetadata) {
			for i := range 65 {
				m.RedirectURIs = append(m.RedirectURIs, fmt.Sprintf("https://notes.example/%d", i))
			}
		}
		for _, tc := range []struct {
			name, field string
			change      func(m *idp.ClientMetadata)
		}{
			{"code without redirect URI", "redirect_uris", func(m *idp.ClientMetadata) { m.RedirectURIs = nil }},
			{"the same redirect URI twice", "redirect_uris", func(m *idp.ClientMetadata) { m.RedirectURIs = append(m.RedirectURIs, m.RedirectURIs[0]) }},
			{"too many redirect URIs", "redirect_uris", long},
			{"redirect URI without code", "redirect_uris", func(m *idp.ClientMetadata) { m.GrantTypes, m.Scope = []string{"client_credentials"}, "" }},
			{"implicit", "response_types", func(m *idp.ClientMetadata) { m.ResponseTypes = []string{"id_token"} }},
			{"refresh alone", "grant_types", func(m *idp.ClientMetadata) {
				*m = idp.ClientMetadata{GrantTypes: []string{"refresh_token"}}
			}},
			{"a grant twice", "grant_types", func(m *idp.ClientMetadata) { m.GrantTypes = append(m.GrantTypes, m.GrantTypes[0]) }},
			{"unknown authentication", "token_endpoint_auth_method", func(m *idp.ClientMetadata) { m.TokenEndpointAuthMethod = "tls_client_auth" }},
			{"openid for a service", "scope", func(m *idp.ClientMetadata) {
				*m = idp.ClientMetadata{GrantTypes: []string{"client_credentials"}, Scope: "openid"}
			}},
			{"scope of a resource that is not in audience", "scope", func(m *idp.ClientMetadata) { m.Scope = "openid notes:read" }},
			{"a scope twice", "scope", func(m *idp.ClientMetadata) { m.Scope = "openid openid" }},
			{"two spaces", "scope", func(m *idp.ClientMetadata) { m.Scope = "openid  profile" }},
			{"quote in a scope", "scope", func(m *idp.ClientMetadata) { m.Scope = `open"id` }},
			{"offline_access without refresh_token", "scope", func(m *idp.ClientMetadata) {
				m.GrantTypes, m.Scope = []string{"authorization_code"}, "openid offline_access"
			}},
			{"long name", "client_name", func(m *idp.ClientMetadata) { m.ClientName = string(make([]byte, 201)) }},
			{"invisible character", "client_name", func(m *idp.ClientMetadata) { m.ClientName = "No\u200Btes" }},
			{"line end", "client_name", func(m *idp.ClientMetadata) { m.ClientName = "No\ntes" }},
			{"http link", "policy_uri", func(m *idp.ClientMetadata) { m.PolicyURI = "http://notes.example/policy" }},
			{"a day and a second", "access_token_lifetime", func(m *idp.ClientMetadata) { m.AccessTokenLifetime = 86401 }},
			{"negative lifetime", "refresh_token_idle", func(m *idp.ClientMetadata) { m.RefreshTokenIdle = -1 }},
			{"a class of sign-in that is not there", "default_acr_values", func(m *idp.ClientMetadata) { m.DefaultACRValues = []string{"2", "gold", "silver"} }},
			{"a class of sign-in twice", "default_acr_values", func(m *idp.ClientMetadata) { m.DefaultACRValues = []string{"phr", "phr"} }},
			{"idle longer than life", "refresh_token_idle", func(m *idp.ClientMetadata) { m.RefreshTokenIdle, m.RefreshTokenLifetime = 7200, 3600 }},
		} {
			m := client()
			tc.change(&m)
			_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
			fields := faultsOf(t, err)
			require.Len(t, fields, 1, "%s: %v", tc.name, err)
			require.NotEmpty(t, fields[tc.field], "%s: %v", tc.name, err)
		}
		m := client()
		m.Scope, m.Audience = "openid notes:read", []string{"https://api.example"}
		m.AllowedCORSOrigins, m.AccessTokenLifetime = []string{"https://notes.example"}, 60
		m.DefaultACRValues = idp.ACRs()
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
		require.NoError(t, err)

		m.Audience = nil
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
		require.Contains(t, faultsOf(t, err)["scope"], "add to audience: https://api.example")
	})
}

// A public client has no secret and cannot get one.
func TestRFC6749_2_1_PublicClientsHaveNoSecret(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		m := client()
		m.TokenEndpointAuthMethod = idp.AuthNone
		c, secret, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "cli", ClientMetadata: m})
		require.NoError(t, err)
		require.Empty(t, secret)
		require.Empty(t, c.Secrets)
		_, err = w.RotateSecret(t.Context(), "cli", 0)
		require.NotEmpty(t, faultsOf(t, err)["token_endpoint_auth_method"])
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m, Secret: "0123456789abcdefghijklmnopqrstuv"})
		require.NotEmpty(t, faultsOf(t, err)["client_secret"])
	})
}

// A change is validated as a whole, stored with its audit row, and the row
// names the fields and not their values.
func TestClientUpdateLeavesItsAuditRow(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := idp.WithRequest(t.Context(), &idp.Request{ID: "r1", RemoteAddr: "192.0.2.1", Subject: "u-admin"})
		_, _, err := w.CreateClient(ctx, admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, _, err = w.CreateClient(ctx, admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.ErrorIs(t, err, idp.ErrConflict)
		before := len(w.events(t))

		c, err := w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) {
			m.RedirectURIs[0] = "https://notes.example/other"
			m.ClientName = "Other"
		})
		require.NoError(t, err)
		require.Equal(t, "Other", c.ClientName)
		e := w.last(t)
		require.Equal(t, idp.EventClientUpdated, e.Kind)
		require.Equal(t, "notes", e.ClientID)
		require.Equal(t, "192.0.2.1", e.RemoteAddr)
		require.Equal(t, map[string]string{"target": "notes", "actor": "u-admin", "fields": "client_name redirect_uris"}, e.Detail)

		_, err = w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) { m.ClientName = "Other" })
		require.NoError(t, err)
		require.Len(t, w.events(t), before+1, "nothing changed, nothing written")

		_, err = w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) { m.RedirectURIs[0] = "http://evil.tld/" })
		require.NotEmpty(t, faultsOf(t, err)["redirect_uris"])
		c, err = w.Client(ctx, "notes")
		require.NoError(t, err)
		require.Equal(t, []string{"https://notes.example/other"}, c.RedirectURIs, "the shared client is untouched")

		_, err = w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) { m.JWKS = idp.JWKSet(`{"keys":[`) })
		require.NotEmpty(t, faultsOf(t, err)["jwks"])
		err = w.ChangeDocumentClient(ctx, "notes", idp.ClientMetadata{JWKS: idp.JWKSet("keys")})
		require.NotEmpty(t, faultsOf(t, err)["jwks"])

		_, err = w.UpdateClient(ctx, "nobody", func(*idp.ClientMetadata) {})
		require.ErrorIs(t, err, idp.ErrNotFound)
	})
}

// While a secret is rotated, the old one lives for the grace and not longer,
// however often one rotates.
func TestRotatedSecretsEnd(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, first, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, err = w.RotateSecret(t.Context(), "notes", -time.Second)
		require.NotEmpty(t, faultsOf(t, err)["grace"])
		start := w.clock()
		_, err = w.RotateSecret(t.Context(), "notes", time.Hour)
		require.NoError(t, err)
		w.pass(time.Minute)
		last, err := w.RotateSecret(t.Context(), "notes", 24*time.Hour)
		require.NoError(t, err)
		c, err := w.Client(t.Context(), "notes")
		require.NoError(t, err)
		ends := map[string]time.Time{}
		for _, s := range c.Secrets {
			ends[s.Hash] = s.ExpiresAt
		}
		require.Len(t, ends, 3)
		require.WithinDuration(t, start.Add(time.Hour), ends[marks{}.HashSecret(first.Reveal())], time.Second, "the grace is not prolonged")
		require.Zero(t, ends[marks{}.HashSecret(last.Reveal())])

		only, err := w.RotateSecret(t.Context(), "notes", 0)
		require.NoError(t, err)
		c, err = w.Client(t.Context(), "notes")
		require.NoError(t, err)
		for _, s := range c.Secrets {
			require.True(t, s.Hash == marks{}.HashSecret(only.Reveal()) || !w.clock().Before(s.ExpiresAt), "an old secret lives on")
		}
		require.Equal(t, idp.EventClientSecretRotated, w.last(t).Kind)
	})
}

// Disabling acts at once, and enabling does not bring back what was issued.
func TestDisabledClientComesBackWithoutItsTokens(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		w.pass(time.Minute)
		issued := w.clock()
		w.pass(time.Minute)
		require.NoError(t, w.DisableClient(t.Context(), "notes"))
		c, ok := w.directory.Client("notes")
		require.True(t, ok)
		require.Equal(t, idp.RefusedClientDisabled, c.Gate(issued))
		w.pass(time.Minute)
		require.NoError(t, w.EnableClient(t.Context(), "notes"))
		c, _ = w.directory.Client("notes")
		require.Equal(t, idp.RefusedClientReset, c.Gate(issued))
		require.NoError(t, c.Gate(w.clock()))
		require.Equal(t, "false", w.last(t).Detail["disabled"])
	})
}

// A client_id that was deleted and taken again inherits no secret, no token and
// no consent.
func TestRecreatedClientInheritsNothing(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, old, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice", Password: phrase})
		require.NoError(t, err)
		require.NoError(t, w.store.SaveConsent(t.Context(), idp.Consent{
			UserID: u.ID, ClientID: "notes", Scopes: []string{"openid"}, Remembered: true, GrantedAt: w.clock(),
		}, idp.Event{Kind: idp.EventConsentGranted}))
		issued := w.clock()
		w.pass(time.Minute)
		require.NoError(t, w.DeleteClient(t.Context(), "notes"))
		_, err = w.Client(t.Context(), "notes")
		require.ErrorIs(t, err, idp.ErrNotFound)
		require.ErrorIs(t, w.DeleteClient(t.Context(), "notes"), idp.ErrNotFound)
		w.pass(time.Minute)
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		c, ok := w.directory.Client("notes")
		require.True(t, ok)
		require.Error(t, c.Gate(issued))
		require.NoError(t, c.Gate(w.clock()))
		require.Len(t, c.Secrets, 1)
		require.NotEqual(t, marks{}.HashSecret(old.Reveal()), c.Secrets[0].Hash)
		consents, err := w.Consents(t.Context(), "alice")
		require.NoError(t, err)
		require.Empty(t, consents)
	})
}

// Everything can be revoked at once.
func TestRevokeAllReachesEveryClient(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		issued := w.clock()
		w.pass(time.Minute)
		require.NoError(t, w.RevokeAll(t.Context()))
		c, _ := w.directory.Client("notes")
		require.Equal(t, idp.RefusedClientReset, c.Gate(issued))
		require.Equal(t, map[string]string{"target": "*", "actor": "command", "reason": "all tokens revoked by an operator"}, w.last(t).Detail)

		revoked, err := w.TokensValidAfter(t.Context())
		require.NoError(t, err)
		until := func(at time.Time) error {
			return w.ChangeTokensValidAfter(t.Context(), func(before time.Time) (time.Time, error) {
				require.Equal(t, revoked, before)
				return at, nil
			})
		}
		require.NotEmpty(t, faultsOf(t, until(issued))["tokens_valid_after"], "the dead come back")
		require.NotEmpty(t, faultsOf(t, until(revoked.Add(time.Hour)))["tokens_valid_after"], "that is to come")
		w.pass(-time.Minute)
		require.NoError(t, w.RevokeAll(t.Context()), "a clock that is behind")
		at, err := w.TokensValidAfter(t.Context())
		require.NoError(t, err)
		require.Equal(t, revoked, at)
		w.pass(time.Hour)
		later := revoked.Add(time.Minute)
		require.NoError(t, until(later))
		at, err = w.TokensValidAfter(t.Context())
		require.NoError(t, err)
		require.Equal(t, later, at)
	})
}

// What is made up at random has its shape, and does not repeat.
func TestGeneratedNamesAndSecrets(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id, secret := admin.NewClientID(), admin.NewSecret().Reveal()
		require.True(t, admin.ValidClientID(id))
		require.Regexp(t, `^[0-9A-Za-z]{43}$`, secret)
		require.False(t, seen[id] || seen[secret])
		seen[id], seen[secret] = true, true
	}
	require.Equal(t, "[redacted]", fmt.Sprint(admin.NewSecret()))
	for _, id := range []string{"", ".", "..", "a b", "a/b", "a?b", "é", "a\n", string(make([]byte, 129))} {
		require.False(t, admin.ValidClientID(id), id)
	}
}
