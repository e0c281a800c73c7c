package discovery_test

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"idp/internal/discovery"
)

var update = flag.Bool("update", false, "write the golden files")

func full() discovery.Document {
	return discovery.Document{
		Issuer:                   "https://id.example.com",
		AuthorizationPath:        "/oauth2/auth",
		TokenPath:                "/oauth2/token",
		UserinfoPath:             "/userinfo",
		JWKSPath:                 "/.well-known/jwks.json",
		RevocationPath:           "/oauth2/revoke",
		IntrospectionPath:        "/oauth2/introspect",
		Scopes:                   []string{"openid", "profile", "email", "offline_access", "orders:read"},
		Claims:                   []string{"sub", "name", "email"},
		ACRValues:                []string{"urn:idp:pwd"},
		GrantTypes:               []string{"authorization_code", "refresh_token", "client_credentials"},
		ResponseTypes:            []string{"code"},
		ResponseModes:            []string{"query"},
		PromptValues:             []string{"none", "login", "consent", "select_account"},
		TokenAuthMethods:         []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		RevocationAuthMethods:    []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		IntrospectionAuthMethods: []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		AuthSigningAlgs:          []string{"ES256", "PS256"},
		IDTokenSigningAlgs:       []string{"RS256", "ES256", "PS256", "EdDSA"},
		UserinfoSigningAlgs:      []string{"RS256", "ES256"},
		EncryptionAlgs:           []string{"RSA-OAEP-256", "ECDH-ES"},
		EncryptionEncs:           []string{"A128CBC-HS256", "A256GCM"},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	small := discovery.Document{
		Issuer: "http://127.0.0.1:8080/tenant/", TokenPath: "/oauth2/token", JWKSPath: "/.well-known/jwks.json",
		GrantTypes: []string{"client_credentials"}, TokenAuthMethods: []string{"client_secret_basic"},
		IntrospectionAuthMethods: []string{"client_secret_basic"}, // of an endpoint that is off
	}
	for name, document := range map[string]discovery.Document{"full": full(), "machines_only": small} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pages := discovery.Render(document)
			path := filepath.Join("testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(path, pages.OpenIDConfiguration.Body, 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(string(want), string(pages.OpenIDConfiguration.Body)))
			require.Equal(t, pages.OpenIDConfiguration, pages.AuthorizationServerMetadata)
		})
	}
}

// registered are the names of the OAuth Authorization Server Metadata registry
// that this server uses (RFC 8414 section 7.1, and what later RFCs added).
const registered = `issuer authorization_endpoint token_endpoint jwks_uri registration_endpoint scopes_supported response_types_supported
response_modes_supported grant_types_supported token_endpoint_auth_methods_supported service_documentation ui_locales_supported op_policy_uri op_tos_uri
revocation_endpoint revocation_endpoint_auth_methods_supported introspection_endpoint introspection_endpoint_auth_methods_supported
code_challenge_methods_supported device_authorization_endpoint pushed_authorization_request_endpoint userinfo_endpoint acr_values_supported
subject_types_supported id_token_signing_alg_values_supported claim_types_supported claims_supported claims_parameter_supported
request_parameter_supported request_uri_parameter_supported end_session_endpoint check_session_iframe frontchannel_logout_supported
frontchannel_logout_session_supported backchannel_logout_supported backchannel_logout_session_supported prompt_values_supported authorization_response_iss_parameter_supported
token_endpoint_auth_signing_alg_values_supported revocation_endpoint_auth_signing_alg_values_supported introspection_endpoint_auth_signing_alg_values_supported
id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported userinfo_signing_alg_values_supported
userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported
require_pushed_authorization_requests require_request_uri_registration request_object_signing_alg_values_supported
request_object_encryption_alg_values_supported request_object_encryption_enc_values_supported`

// Everything that may be written is registered, and lists without elements are
// left out (RFC 8414 section 3.2).
func TestRFC8414_7_1_OnlyRegisteredNames(t *testing.T) {
	t.Parallel()
	d := full()
	d.RegistrationPath, d.PushedAuthorizationPath, d.DeviceAuthorizationPath, d.EndSessionPath = "/oauth2/register", "/oauth2/par", "/oauth2/device/auth", "/oauth2/sessions/logout"
	d.CheckSessionPath, d.FrontchannelLogout, d.BackchannelLogout = "/oauth2/sessions/check", true, true
	d.RequirePushedAuthorizationRequests, d.RequestObjectAlgs = true, []string{"ES256"}
	d.UILocales, d.ServiceDocumentation, d.PolicyURI, d.TosURI = []string{"en"}, "https://docs.example.com", "https://example.com/policy", "https://example.com/terms"
	var written map[string]any
	require.NoError(t, json.Unmarshal(discovery.Render(d).OpenIDConfiguration.Body, &written))
	names := strings.Fields(registered)
	for name, value := range written {
		require.Contains(t, names, name)
		require.NotEqual(t, []any{}, value, name)
	}
	require.Len(t, written, len(names))
	// OpenID Connect Discovery section 3: it is on unless the document says no.
	require.Equal(t, true, written["request_uri_parameter_supported"])
	written = map[string]any{}
	require.NoError(t, json.Unmarshal(discovery.Render(full()).OpenIDConfiguration.Body, &written))
	require.Equal(t, false, written["request_uri_parameter_supported"])
	require.Equal(t, d.Issuer, written["issuer"])
}

func TestServing(t *testing.T) {
	t.Parallel()
	publisher := discovery.NewPublisher(full())
	keys := []byte(`{"keys":[]}`)
	mux := http.NewServeMux()
	mux.Handle("/openid", publisher.OpenIDConfiguration())
	mux.Handle("/oauth", publisher.AuthorizationServerMetadata())
	mux.Handle("/jwks", discovery.JWKS(func() ([]byte, string) { return keys, "v1" }))
	server := httptest.NewServer(mux)
	defer server.Close()

	get := func(method, path string, header http.Header) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		require.NoError(t, err)
		r.Header = header
		r.Host = "evil.example"
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(body)
	}
	for path, contentType := range map[string]string{"/openid": "application/json", "/oauth": "application/json", "/jwks": "application/jwk-set+json"} {
		first, body := get(http.MethodGet, path, http.Header{"X-Forwarded-Host": {"evil.example"}})
		require.Equal(t, http.StatusOK, first.StatusCode)
		require.Equal(t, contentType, first.Header.Get("Content-Type"))
		require.Equal(t, "public, max-age=300", first.Header.Get("Cache-Control"))
		require.True(t, json.Valid([]byte(body)))
		require.NotContains(t, body, "evil")
		etag := first.Header.Get("ETag")
		require.Regexp(t, `^"[^"]+"$`, etag)

		head, body := get(http.MethodHead, path, nil)
		require.Equal(t, first.Header.Get("Content-Length"), head.Header.Get("Content-Length"))
		require.Equal(t, etag, head.Header.Get("ETag"))
		require.Empty(t, body)

		for _, validator := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			same, body := get(http.MethodGet, path, http.Header{"If-None-Match": {validator}})
			require.Equal(t, http.StatusNotModified, same.StatusCode, validator)
			require.Equal(t, etag, same.Header.Get("ETag"))
			require.Equal(t, "public, max-age=300", same.Header.Get("Cache-Control"))
			require.Empty(t, body)
		}
		for _, validator := range []string{"", `"other"`, strings.Trim(etag, `"`)} {
			other, _ := get(http.MethodGet, path, http.Header{"If-None-Match": {validator}})
			require.Equal(t, http.StatusOK, other.StatusCode, validator)
		}
	}
}

// Readers see one document or the other, each with its own ETag.
func TestPublishSwapsWhole(t *testing.T) {
	t.Parallel()
	one, two := full(), full()
	two.Scopes = append(two.Scopes, "orders:write")
	known := map[string]string{}
	for _, d := range []discovery.Document{one, two} {
		page := discovery.Render(d).OpenIDConfiguration
		known[page.ETag] = string(page.Body)
	}
	require.Len(t, known, 2)

	publisher := discovery.NewPublisher(one)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				w := httptest.NewRecorder()
				publisher.OpenIDConfiguration().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				if known[w.Header().Get("ETag")] != w.Body.String() {
					t.Error("a document with another's ETag")
				}
			}
		})
	}
	for range 100 {
		publisher.Publish(two)
		publisher.Publish(one)
	}
	wg.Wait()
	publisher.Publish(two)
	require.Contains(t, string(publisher.Pages().OpenIDConfiguration.Body), "orders:write")
}
