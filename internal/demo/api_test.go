package demo_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"idp/internal/demo"
)

func newAPI(i *issuer, now func() time.Time) *demo.API {
	return demo.NewAPI(demo.APIConfig{Issuer: i.URL, Audience: audience, Scope: "demo:read", Now: now})
}

func TestAPIAnswersAGoodToken(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := get(newAPI(i, time.Now), "bearer "+i.accessToken(map[string]any{"aud": []string{"https://other.example.test", audience}}))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.Equal(t, "u-1", answer["sub"])
	require.Equal(t, clientID, answer["client_id"])
	require.Equal(t, "openid demo:read", answer["scope"])
	require.Equal(t, []any{"staff"}, answer["groups"])
	require.Contains(t, answer["message"], "Hello, u-1")
}

// RFC 9068 section 4: what a resource server must refuse, and RFC 6750 section
// 3.1: in which words.
func TestRFC9068_4_APIRefuses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	api := newAPI(i, time.Now)
	stranger := newIssuer(t)
	good := i.accessToken(nil)
	parts := strings.Split(good, ".")
	keys := jose.JSONWebKey{Key: i.key.Public(), KeyID: i.kid}
	public, err := keys.MarshalJSON()
	require.NoError(t, err)

	// The full serialization of the same token: only the compact one is a JWT.
	full, err := json.Marshal(map[string]string{"protected": parts[0], "payload": parts[1], "signature": parts[2]})
	require.NoError(t, err)
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + parts[1] + "."

	for name, token := range map[string]string{
		"ID token":              i.sign("JWT", i.accessClaims(nil)),
		"no typ":                i.sign("", i.accessClaims(nil)),
		"another issuer":        i.accessToken(map[string]any{"iss": i.URL + "/"}),
		"another issuer's key":  stranger.accessToken(map[string]any{"iss": i.URL}),
		"another audience":      i.accessToken(map[string]any{"aud": "https://other.example.test"}),
		"prefix of audience":    i.accessToken(map[string]any{"aud": audience + "/x"}),
		"no audience":           i.accessToken(map[string]any{"aud": nil}),
		"expired":               i.accessToken(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}),
		"no expiry":             i.accessToken(map[string]any{"exp": nil}),
		"from the future":       i.accessToken(map[string]any{"iat": time.Now().Add(time.Minute).Unix()}),
		"not yet":               i.accessToken(map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}),
		"no subject":            i.accessToken(map[string]any{"sub": nil}),
		"no client":             i.accessToken(map[string]any{"client_id": nil}),
		"no id":                 i.accessToken(map[string]any{"jti": nil}),
		"changed claims":        parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+i.URL+`"}`)) + "." + parts[2],
		"no signature":          parts[0] + "." + parts[1] + ".",
		"alg none":              none,
		"public key as secret":  signWith(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, "at+jwt", i.accessClaims(nil)),
		"JSON serialization":    string(full),
		"not a JWT":             "idp_at_AAAA",
		"empty":                 "",
		"nine kilobytes":        good + strings.Repeat("A", 9<<10),
		"header is not JSON":    "AAAA." + parts[1] + "." + parts[2],
		"header is not base64":  "!." + parts[1] + "." + parts[2],
		"scope is not a string": i.accessToken(map[string]any{"scope": []string{"demo:read"}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := get(api, "Bearer "+token)
			require.Equal(t, http.StatusUnauthorized, w.Code, w.Body)
			require.Contains(t, w.Header().Get("WWW-Authenticate"), `error="invalid_token"`)
			require.Contains(t, w.Body.String(), `"error":"invalid_token"`)
		})
	}
}

// RFC 6750 section 3.1: a request without a token is told no error code; a
// token that may too little is answered 403 with the scope that is needed.
func TestRFC6750_3_Challenges(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	api := newAPI(i, time.Now)

	for _, authorization := range [][]string{nil, {"Basic YTpi"}, {"Bearer"}} {
		w := get(api, authorization...)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		if len(authorization) == 0 || authorization[0] != "Bearer" {
			require.NotContains(t, w.Header().Get("WWW-Authenticate"), "error")
		}
	}
	w := get(api, "Bearer "+i.accessToken(map[string]any{"scope": "openid demo:reader"}))
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `error="insufficient_scope"`)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="demo:read"`)

	good := "Bearer " + i.accessToken(nil)
	w = get(api, good, good)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `error="invalid_request"`)
}

// RFC 9728 sections 2, 3.1 and 5.1: the metadata and the way to it.
func TestRFC9728_ProtectedResourceMetadata(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]string{
		"https://api.example.test":         "https://api.example.test/.well-known/oauth-protected-resource",
		"https://api.example.test/":        "https://api.example.test/.well-known/oauth-protected-resource",
		"http://127.0.0.1:5556/api?tenant": "http://127.0.0.1:5556/.well-known/oauth-protected-resource/api?tenant",
		"urn:example:api":                  "",
	} {
		api := demo.NewAPI(demo.APIConfig{Issuer: "https://id.example.test", Audience: resource, Scope: "demo:read", Now: time.Now})
		challenge := get(api).Header().Get("WWW-Authenticate")
		if want == "" {
			require.NotContains(t, challenge, "resource_metadata")
			continue
		}
		require.Contains(t, challenge, `resource_metadata="`+want+`"`)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, want, nil))
		require.Equal(t, http.StatusOK, w.Code)
		var metadata map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &metadata))
		require.Equal(t, resource, metadata["resource"])
		require.Equal(t, []any{"https://id.example.test"}, metadata["authorization_servers"])
		require.Equal(t, []any{"demo:read"}, metadata["scopes_supported"])
	}
}

// The API follows a rotation, but forged tokens do not make it fetch keys at
// their pace.
func TestAPIFetchesKeysSparingly(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var ahead atomic.Int64 // of the API's clock, in nanoseconds
	api := newAPI(i, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })

	for range 5 {
		require.Equal(t, http.StatusOK, get(api, "Bearer "+i.accessToken(nil)).Code)
	}
	require.Equal(t, 1, i.keyFetches, "good tokens are checked with the keys at hand")

	forged := newIssuer(t).accessToken(map[string]any{"iss": i.URL})
	for range 5 {
		require.Equal(t, http.StatusUnauthorized, get(api, "Bearer "+forged).Code)
	}
	require.Equal(t, 1, i.keyFetches, "forged tokens do not fetch")

	i.rotate("k2")
	ahead.Store(int64(10 * time.Second))
	require.Equal(t, http.StatusOK, get(api, "Bearer "+i.accessToken(nil)).Code)
	require.Equal(t, 2, i.keyFetches)
}

// An issuer in trouble is no fault of the token: 503, never 401.
func TestAPIWithoutKeysIsUnavailable(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.down = true
	api := newAPI(i, time.Now)
	w := get(api, "Bearer "+i.accessToken(nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code, w.Body)
	require.NotEmpty(t, w.Header().Get("Retry-After"))

	i.mu.Lock()
	i.down = false
	i.mu.Unlock()
	require.Equal(t, http.StatusOK, get(api, "Bearer "+i.accessToken(nil)).Code)

	i.Close()
	require.Equal(t, http.StatusOK, get(api, "Bearer "+i.accessToken(nil)).Code, "known keys go on working")
	fresh := newAPI(i, time.Now)
	require.Equal(t, http.StatusServiceUnavailable, get(fresh, "Bearer "+i.accessToken(nil)).Code)
}
