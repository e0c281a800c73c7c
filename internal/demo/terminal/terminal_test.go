package terminal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"idp/internal/demo/terminal"
)

// issuer signs what the test tells it to.
type issuer struct {
	*httptest.Server
	key     *ecdsa.PrivateKey
	idToken map[string]any // changes what the ID token says
	method  jose.SigningKey
	pending int // how often the device flow says that nobody has typed the code
	forms   []url.Values
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	i := &issuer{key: key, method: jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}}
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/jwks",
			"device_authorization_endpoint": i.URL + "/device", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
			"authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/device", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": i.URL + "/type", "expires_in": 60, "interval": 1})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		i.forms = append(i.forms, r.PostForm)
		if r.PostForm.Get("device_code") != "" && i.pending > 0 {
			i.pending--
			answer(w, 400, map[string]any{"error": "authorization_pending"})
			return
		}
		if r.PostForm.Get("code") == "bad" {
			answer(w, 400, map[string]any{"error": "invalid_grant", "error_description": "no", "echo": r.PostForm.Get("client_secret")})
			return
		}
		out := map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 600}
		if i.idToken != nil {
			out["id_token"] = i.sign(t)
		}
		answer(w, 200, out)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) sign(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte("at"))
	claims := map[string]any{
		"iss": i.URL, "sub": "alice", "aud": "cli", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	maps.Copy(claims, i.idToken)
	signer, err := jose.NewSigner(i.method, nil)
	require.NoError(t, err)
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(text)
	require.NoError(t, err)
	raw, err := signed.CompactSerialize()
	require.NoError(t, err)
	return raw
}

// An ID token that is not right in any one thing gives nothing (OpenID Connect
// Core section 3.1.3.7), and a code is sent once.
func TestSignIn_VerifiesTheIDToken(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(i *issuer){
		"right":    func(*issuer) {},
		"nonce":    func(i *issuer) { i.idToken["nonce"] = "another" },
		"audience": func(i *issuer) { i.idToken["aud"] = "another" },
		"issuer":   func(i *issuer) { i.idToken["iss"] = "https://other.example" },
		"expired":  func(i *issuer) { i.idToken["exp"] = 1 },
		"at_hash":  func(i *issuer) { i.idToken["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
		"none":     func(i *issuer) { i.idToken = nil },
		"symmetric": func(i *issuer) {
			i.method = jose.SigningKey{Algorithm: jose.HS256, Key: []byte("0123456789abcdef0123456789abcdef")}
		},
		"another's key": func(i *issuer) {
			other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			i.method = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: other, KeyID: "k"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			c, err := terminal.Discover(t.Context(), terminal.Config{Issuer: i.URL, ClientID: "cli", Scopes: []string{"openid"}})
			require.NoError(t, err)
			s, err := c.Begin(t.Context(), "http://127.0.0.1:1/cb")
			require.NoError(t, err)
			asked, err := url.Parse(s.URL)
			require.NoError(t, err)
			q := asked.Query()
			require.Equal(t, "S256", q.Get("code_challenge_method"))
			i.idToken = map[string]any{"nonce": q.Get("nonce")}
			change(i)
			address := fmt.Sprintf("http://127.0.0.1:1/cb?code=c&state=%s&iss=%s", q.Get("state"), url.QueryEscape(i.URL))
			tokens, err := s.Finish(t.Context(), address)
			require.Equal(t, name == "right", err == nil, "%v", err)
			require.Equal(t, name == "right", tokens.AccessToken == "at")
			sum := sha256.Sum256([]byte(i.forms[0].Get("code_verifier")))
			require.Equal(t, q.Get("code_challenge"), base64.RawURLEncoding.EncodeToString(sum[:]))

			_, err = s.Finish(t.Context(), address)
			require.Error(t, err)
			require.Len(t, i.forms, 1)
		})
	}
}

// What the issuer refuses is told by its code, and by nothing that was sent.
func TestSignIn_RefusalsHoldNoSecret(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	c, err := terminal.Discover(t.Context(), terminal.Config{Issuer: i.URL, ClientID: "cli", Secret: "s3cret", InBody: true, Scopes: []string{"openid"}})
	require.NoError(t, err)
	s, err := c.Begin(t.Context(), "http://127.0.0.1:1/cb")
	require.NoError(t, err)
	asked, err := url.Parse(s.URL)
	require.NoError(t, err)
	require.NotContains(t, s.URL, "s3cret")
	_, err = s.Finish(t.Context(), "http://127.0.0.1:1/cb?code=bad&iss="+url.QueryEscape(i.URL)+"&state="+asked.Query().Get("state"))
	require.EqualError(t, err, "the issuer refused: invalid_grant: no")
	require.Equal(t, "s3cret", i.forms[0].Get("client_secret"))

	// Without iss, where it is promised, the answer may be another issuer's.
	s, err = c.Begin(t.Context(), "http://127.0.0.1:1/cb")
	require.NoError(t, err)
	asked, err = url.Parse(s.URL)
	require.NoError(t, err)
	_, err = s.Finish(t.Context(), "http://127.0.0.1:1/cb?code=c&state="+asked.Query().Get("state"))
	require.ErrorContains(t, err, "another issuer")
	require.Len(t, i.forms, 1)
}

// RFC 8628: somebody types the code elsewhere, and it asks until they did.
func TestDevice(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.pending, i.idToken = 1, map[string]any{}
	c, err := terminal.Discover(t.Context(), terminal.Config{Issuer: i.URL, ClientID: "cli", Scopes: []string{"openid"}})
	require.NoError(t, err)
	told := ""
	tokens, err := c.Device(t.Context(), func(address, code string) { told = address + " " + code })
	require.NoError(t, err)
	require.Equal(t, i.URL+"/type WDJB-MJHT", told)
	require.Equal(t, "at", tokens.AccessToken)
	require.Len(t, i.forms, 2)
}
