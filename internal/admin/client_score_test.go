package admin_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"idp/internal/admin"
	"idp/internal/idp"
)

// found returns what is told of a client of this metadata, by id.
func found(c *idp.Client, now time.Time) map[string]admin.Finding {
	out := map[string]admin.Finding{}
	for _, f := range admin.Judge(c, now).Findings {
		out[f.ID] = f
	}
	return out
}

func fresh(now time.Time) []idp.ClientSecret { return []idp.ClientSecret{{CreatedAt: now}} }

// A client as it should be has nothing to hear but advice, and each rule finds
// what it is there for, with its reference and, where it can, its change.
func TestScore_Rules(t *testing.T) {
	now := time.Now()
	good := func() *idp.Client {
		return &idp.Client{ClientID: "wiki", Secrets: fresh(now), ClientMetadata: idp.ClientMetadata{
			ApplicationType: "web", TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: []string{"authorization_code", "refresh_token"},
			ResponseTypes: []string{"code"}, RedirectURIs: []string{"https://wiki.example.com/cb"}, Scope: "openid offline_access",
		}}
	}
	score := admin.Judge(good(), now)
	require.Equal(t, "A", score.Grade)
	require.GreaterOrEqual(t, score.Score, 95)
	for _, f := range score.Findings {
		require.Equal(t, admin.SeverityAdvice, f.Severity, f.ID)
	}
	best := good()
	best.TokenEndpointAuthMethod, best.JWKSURI, best.Secrets = idp.AuthPrivateKeyJWT, "https://wiki.example.com/jwks", nil
	best.RequirePushedAuthorizationRequests, best.PostLogoutRedirectURIs, best.BackchannelLogoutURI = true, []string{"https://wiki.example.com/"}, "https://wiki.example.com/out"
	require.Equal(t, admin.ClientScore{ClientID: "wiki", Score: 100, Grade: "A", Findings: []admin.Finding{}}, admin.Judge(best, now))

	public := func(c *idp.Client) { c.TokenEndpointAuthMethod, c.Secrets = idp.AuthNone, nil }
	native := func(c *idp.Client) { public(c); c.ApplicationType = idp.ApplicationNative }
	for _, tt := range []struct {
		id     string
		change func(*idp.Client)
		fix    string // the patch; empty for none
	}{
		{"tokens_in_urls", func(c *idp.Client) {
			c.SecurityProfile, c.ResponseTypes = "oidc-legacy", []string{"code", "id_token token"}
		}, `{"response_types":["code"]}`},
		{"tokens_in_urls", func(c *idp.Client) {
			c.SecurityProfile, c.ResponseTypes = "oidc-legacy", []string{"code id_token token", "code id_token"}
		}, `{"response_types":["code id_token"]}`},
		{"legacy_profile", func(c *idp.Client) { c.SecurityProfile, c.ResponseTypes = "oidc-legacy", []string{"id_token"} }, `{"response_types":["code"],"security_profile":null}`},
		{"redirect_in_clear", func(c *idp.Client) { c.RedirectURIs = append(c.RedirectURIs, "http://wiki.example.com/cb") }, `{"redirect_uris":["https://wiki.example.com/cb"]}`},
		{"redirect_in_clear", func(c *idp.Client) { c.RedirectURIs = []string{"http://wiki.example.com/cb"} }, ""},
		{"pkce_optional", func(c *idp.Client) { c.PKCEOptional = true }, `{"pkce_optional":null}`},
		{"no_secret", func(c *idp.Client) { c.Secrets = []idp.ClientSecret{{CreatedAt: now.Add(-time.Hour), ExpiresAt: now}} }, ""},
		{"foreign_cors_origins", func(c *idp.Client) {
			public(c)
			c.AllowedCORSOrigins = []string{"https://wiki.example.com", "https://other.example", "*"}
		}, `{"allowed_cors_origins":["https://wiki.example.com"]}`},
		{"long_access_tokens", func(c *idp.Client) { c.AccessTokenLifetime = 3601 }, `{"access_token_lifetime":3600}`},
		{"cors_with_secret", func(c *idp.Client) { c.AllowedCORSOrigins = []string{"https://wiki.example.com"} }, `{"allowed_cors_origins":null}`},
		{"two_kinds", func(c *idp.Client) { c.GrantTypes = append(c.GrantTypes, "client_credentials") }, ""},
		{"unused_refresh_token", func(c *idp.Client) { c.Scope = "openid" }, `{"grant_types":["authorization_code"]}`},
		{"refresh_token_in_browser", public, `{"grant_types":["authorization_code"],"scope":"openid"}`},
		{"long_refresh_tokens", func(c *idp.Client) { c.RefreshTokenLifetime, c.RefreshTokenIdle = 90*86400, 86400 }, `{"refresh_token_lifetime":2592000}`},
		{"native_as_web", func(c *idp.Client) { public(c); c.RedirectURIs = []string{"http://127.0.0.1/cb"} }, `{"application_type":"native"}`},
		{"localhost_by_name", func(c *idp.Client) {
			native(c)
			c.RedirectURIs = []string{"http://localhost:8000", "http://127.0.0.1:8000"}
		}, `{"redirect_uris":["http://127.0.0.1:8000"]}`},
		{"loopback_of_server", func(c *idp.Client) {
			c.RedirectURIs = append(c.RedirectURIs, "http://localhost:3000/cb")
			c.FrontchannelLogoutURI, c.FrontchannelLogoutSessionRequired = "http://localhost:3000/out", true
		}, `{"frontchannel_logout_session_required":null,"frontchannel_logout_uri":null,"redirect_uris":["https://wiki.example.com/cb"]}`},
		{"kept_secrets", func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthNone }, ""},
		{"old_secret", func(c *idp.Client) { c.Secrets[0].CreatedAt = now.AddDate(-2, 0, 0) }, ""},
		{"readable_secret", func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthClientSecretJWT }, ""},
		{"all_of_admin", func(c *idp.Client) { c.Scope = "idp.admin" }, ""},
		{"shared_secret", func(*idp.Client) {}, ""},
		{"shared_secret", func(c *idp.Client) { c.JWKSURI = "https://wiki.example.com/jwks" }, `{"token_endpoint_auth_method":"private_key_jwt"}`},
		{"secret_in_body", func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthClientSecretPost }, `{"token_endpoint_auth_method":"client_secret_basic"}`},
		{"requests_in_urls", func(*idp.Client) {}, `{"require_pushed_authorization_requests":true}`},
		{"private_scheme", func(c *idp.Client) { native(c); c.RedirectURIs = []string{"com.example.app:/cb"} }, ""},
		{"no_way_back", func(*idp.Client) {}, `{"post_logout_redirect_uris":["https://wiki.example.com/"]}`},
		{"not_told_of_sign_out", func(*idp.Client) {}, ""},
	} {
		c := good()
		tt.change(c)
		f, ok := found(c, now)[tt.id]
		require.True(t, ok, tt.id)
		require.NotEmpty(t, f.Sentence, tt.id)
		require.NotEmpty(t, f.Reference, tt.id)
		if tt.fix == "" {
			require.Empty(t, string(f.Fix), tt.id)
			require.NotEmpty(t, f.Mind, tt.id)
		} else {
			require.JSONEq(t, tt.fix, string(f.Fix), tt.id)
		}
		// What a client says of itself in a document is not changed here.
		c.MetadataDocument = true
		require.Empty(t, found(c, now)[tt.id].Fix, tt.id)
	}

	worst := good()
	worst.SecurityProfile, worst.ResponseTypes, worst.PKCEOptional, worst.AccessTokenLifetime = "oidc-legacy", []string{"id_token token"}, true, 86400
	worst.RedirectURIs = append(worst.RedirectURIs, "http://wiki.example.com/cb")
	low := admin.Judge(worst, now)
	require.Equal(t, 0, low.Score)
	require.Equal(t, "E", low.Grade)
	require.Equal(t, admin.SeverityHigh, low.Findings[0].Severity)
}

// drawClient draws what somebody could have registered.
func drawClient(t *rapid.T) idp.ClientMetadata {
	some := func(name string, from ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, len(from), rapid.ID[string]).Draw(t, name)
	}
	one := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	truth := func(name string) bool { return rapid.Bool().Draw(t, name) }
	m := idp.ClientMetadata{
		ApplicationType: one("type", "web", "native"), TokenEndpointAuthMethod: one("method", "none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"),
		AccessTokenLifetime:  rapid.SampledFrom([]int{0, 60, 3600, 86400}).Draw(t, "access"),
		RefreshTokenLifetime: rapid.SampledFrom([]int{0, 86400, 90 * 86400}).Draw(t, "refresh"),
	}
	if m.RefreshTokenIdle = rapid.SampledFrom([]int{0, 3600, 80 * 86400}).Draw(t, "idle"); m.RefreshTokenLifetime > 0 {
		m.RefreshTokenIdle = min(m.RefreshTokenIdle, m.RefreshTokenLifetime)
	}
	if m.TokenEndpointAuthMethod == "private_key_jwt" || truth("keys") {
		m.JWKSURI = "https://app.example.com/jwks"
	}
	public := m.TokenEndpointAuthMethod == "none"
	m.AllowedCORSOrigins = some("origins", "https://app.example.com", "https://other.example", "http://localhost:3000", "http://127.0.0.1:3000")
	if !public && truth("service") {
		m.GrantTypes = append(m.GrantTypes, idp.GrantClientCredentials)
	}
	if len(m.GrantTypes) > 0 && truth("service only") {
		return m
	}
	m.GrantTypes = append(m.GrantTypes, idp.GrantAuthorizationCode)
	m.PKCEOptional = !public && truth("pkce")
	m.ResponseTypes, m.Scope = []string{"code"}, one("scope", "", "openid", "openid profile")
	if truth("legacy") {
		m.SecurityProfile = idp.ProfileOIDCLegacy
		m.ResponseTypes = append(m.ResponseTypes[:rapid.IntRange(0, 1).Draw(t, "code")], some("types", "id_token", "id_token token", "code id_token", "code id_token token")...)
		if len(m.ResponseTypes) == 0 {
			m.ResponseTypes = []string{"id_token token"}
		}
	}
	if truth("refreshes") {
		m.GrantTypes = append(m.GrantTypes, idp.GrantRefreshToken)
		if truth("offline") {
			m.Scope = "openid offline_access"
		}
	}
	places := []string{"https://app.example.com/cb", "https://two.example.com/cb", "http://localhost:3000/cb", "http://127.0.0.1:3000/cb", "http://[::1]/cb"}
	if m.ApplicationType == "native" {
		places = append(places, "com.example.app:/cb")
	}
	m.RedirectURIs = append(some("redirects", places[1:]...), places[0])
	if truth("loopback alone") {
		m.RedirectURIs = []string{"http://localhost:3000/cb"}
	}
	if truth("front") {
		for _, uri := range m.RedirectURIs {
			if uri == "http://localhost:3000/cb" {
				m.FrontchannelLogoutURI, m.FrontchannelLogoutSessionRequired = "http://localhost:3000/out", truth("sid")
			}
		}
	}
	m.RequirePushedAuthorizationRequests = truth("par")
	m.PostLogoutRedirectURIs = some("after", "https://app.example.com/", "http://localhost:3000/")
	return m
}

// Whatever is registered, and in whatever order its fixes are made: each is
// valid and makes the score no worse, and in the end there is none left.
func TestScore_FixesInAnyOrder(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		now := time.Now()
		rapid.Check(t, func(r *rapid.T) {
			c := &idp.Client{ClientID: "drawn", ClientMetadata: drawClient(r), Secrets: fresh(now)}
			if err := admin.CheckClient(t.Context(), w.Service, c.ClientMetadata); err != nil {
				r.Fatalf("drew what cannot be registered: %v", err)
			}
			for range 40 {
				score := admin.Judge(c, now)
				fixable := slices.DeleteFunc(slices.Clone(score.Findings), func(f admin.Finding) bool { return len(f.Fix) == 0 })
				if len(fixable) == 0 {
					return
				}
				f := rapid.SampledFrom(fixable).Draw(r, "fix")
				c.ClientMetadata = patched(r, c.ClientMetadata, f.Fix)
				if err := admin.CheckClient(t.Context(), w.Service, c.ClientMetadata); err != nil {
					r.Fatalf("%s %s: %v", f.ID, f.Fix, err)
				}
				if after := admin.Judge(c, now); after.Score < score.Score {
					r.Fatalf("%s %s: the score fell from %d to %d: %+v", f.ID, f.Fix, score.Score, after.Score, after.Findings)
				}
				if _, still := found(c, now)[f.ID]; still {
					r.Fatalf("%s is still there after %s", f.ID, f.Fix)
				}
			}
			r.Fatalf("the fixes go round in circles")
		})
	})
}

// patched applies a merge patch of members that are no objects.
func patched(t *rapid.T, m idp.ClientMetadata, patch json.RawMessage) idp.ClientMetadata {
	before, _ := json.Marshal(m)
	var members, changes map[string]json.RawMessage
	if err := json.Unmarshal(before, &members); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(patch, &changes); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		if members[name] = value; string(value) == "null" {
			delete(members, name)
		}
	}
	after, _ := json.Marshal(members)
	var out idp.ClientMetadata
	if err := json.Unmarshal(after, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A fix is a change like any other: it is stored, and the audit tells of it.
func TestScore_Fix(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		m := client()
		m.PKCEOptional = true
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: m})
		require.NoError(t, err)
		before, err := w.ScoreClient(t.Context(), "notes")
		require.NoError(t, err)
		fixed, err := w.FixClient(t.Context(), "notes", "pkce_optional")
		require.NoError(t, err)
		require.False(t, fixed.PKCEOptional)
		require.Equal(t, "pkce_optional", w.last(t).Detail["fields"])
		after, err := w.ScoreClient(t.Context(), "notes")
		require.NoError(t, err)
		require.Equal(t, before.Score+15, after.Score)

		_, err = w.FixClient(t.Context(), "notes", "pkce_optional")
		require.ErrorIs(t, err, idp.ErrNotFound)
		_, err = w.FixClient(t.Context(), "notes", "nonsense")
		require.ErrorIs(t, err, idp.ErrNotFound)
		_, err = w.FixClient(t.Context(), "notes", "not_told_of_sign_out")
		require.Contains(t, faultsOf(t, err), "finding")
		_, err = w.ScoreClient(t.Context(), "nobody")
		require.ErrorIs(t, err, idp.ErrNotFound)

		// Who may not rule over a client cannot fix it either.
		m.Scope, m.Audience, m.PKCEOptional = "idp.users", []string{"https://issuer.example/admin"}, true
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "strong", ClientMetadata: m})
		require.NoError(t, err)
		_, err = w.Within(idp.Authority{idp.ScopeClients}).FixClient(t.Context(), "strong", "pkce_optional")
		require.ErrorIs(t, err, idp.ErrForbidden)
	})
}
