package demo_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const (
	clientID     = "demo-web"
	clientSecret = "s3cret"
	audience     = "https://api.example.test"
)

// issuer is an authorization server of a few lines, over HTTP, that signs for
// real and holds the client to PKCE, redirect_uri and its secret. The fields
// make it misbehave.
type issuer struct {
	*httptest.Server
	t *testing.T

	mu         sync.Mutex
	kid        string
	key        *ecdsa.PrivateKey
	keyFetches int
	down       bool // the key set answers 500
	codes      map[string]url.Values
	refresh    string
	params     url.Values         // of the last authorization request
	tokenForms []url.Values       // of all token requests
	idClaims   map[string]any     // override
	respond    func(q url.Values) // changes the authorization response
	refuse     string             // error of the token endpoint
	reaches    string             // the acr that a sign-in comes to when it is asked for
	signOut    url.Values         // of the last request to sign out; nil says that there is no place for it
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, codes: map[string]url.Values{}}
	i.rotate("k1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		metadata := map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
			"jwks_uri": i.URL + "/keys", "userinfo_endpoint": i.URL + "/userinfo",
			"id_token_signing_alg_values_supported":          []string{"ES256"},
			"authorization_response_iss_parameter_supported": true,
		}
		if i.signOut != nil {
			metadata["end_session_endpoint"] = i.URL + "/end"
		}
		i.json(w, metadata)
	})
	mux.HandleFunc("GET /end", func(w http.ResponseWriter, r *http.Request) {
		i.signOut = r.URL.Query()
		http.Redirect(w, r, i.signOut.Get("post_logout_redirect_uri")+"?state="+i.signOut.Get("state"), http.StatusSeeOther)
	})
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /auth", i.auth)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, map[string]any{"sub": "u-1", "name": "Alice Example", "email": "alice@example.test"})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// rotate replaces the signing key.
func (i *issuer) rotate(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(i.t, err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kid, i.key = kid, key
}

func (i *issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keyFetches++
	if i.down {
		http.Error(w, "away", http.StatusInternalServerError)
		return
	}
	i.json(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: i.kid, Algorithm: "ES256", Use: "sig"}}})
}

func (i *issuer) auth(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.params = r.URL.Query()
	code := rand.Text()
	i.codes[code] = i.params
	q := url.Values{"code": {code}, "state": {i.params.Get("state")}, "iss": {i.URL}}
	if i.respond != nil {
		i.respond(q)
	}
	http.Redirect(w, r, i.params.Get("redirect_uri")+"?"+q.Encode(), http.StatusFound)
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokenForms = append(i.tokenForms, r.PostForm)
	deny := func(code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "because of <b>the test</b>"})
	}
	if id, secret, _ := r.BasicAuth(); id != clientID || secret != clientSecret {
		deny("invalid_client")
		return
	}
	if i.refuse != "" {
		deny(i.refuse)
		return
	}
	nonce, acr := "", "1"
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		asked, ok := i.codes[r.PostForm.Get("code")]
		delete(i.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if !ok || asked.Get("code_challenge_method") != "S256" ||
			asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) ||
			asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
			deny("invalid_grant")
			return
		}
		nonce = asked.Get("nonce")
		if i.reaches != "" && slices.Contains(strings.Fields(asked.Get("acr_values")), i.reaches) {
			acr = i.reaches
		}
	case "refresh_token":
		if r.PostForm.Get("refresh_token") != i.refresh {
			deny("invalid_grant")
			return
		}
	}
	i.refresh = rand.Text()
	access := i.sign("at+jwt", i.accessClaims(map[string]any{"acr": acr}))
	half := sha256.Sum256([]byte(access))
	id := map[string]any{
		"iss": i.URL, "sub": "u-1", "aud": clientID, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
	}
	if nonce != "" {
		id["nonce"] = nonce
	}
	maps.Copy(id, i.idClaims)
	i.json(w, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 600, "scope": "openid demo:read",
		"refresh_token": i.refresh, "id_token": i.sign("JWT", id),
	})
}

// accessClaims are the claims of a good access token with some replaced; nil
// takes one out.
func (i *issuer) accessClaims(override map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "sub": "u-1", "aud": audience, "client_id": clientID, "jti": rand.Text(), "scope": "openid demo:read",
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(), "groups": []string{"staff"},
	}
	for k, v := range override {
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	return c
}

func (i *issuer) sign(typ string, claims map[string]any) string {
	return signWith(i.t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: i.kid}}, typ, claims)
}

func signWith(t *testing.T, key jose.SigningKey, typ string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	jws, err := signer.Sign(payload)
	require.NoError(t, err)
	out, err := jws.CompactSerialize()
	require.NoError(t, err)
	return out
}

// accessToken signs an access token outside of any flow.
func (i *issuer) accessToken(override map[string]any) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sign("at+jwt", i.accessClaims(override))
}

// get is a request for the API with that Authorization header.
func get(h http.Handler, authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, audience+"/", strings.NewReader(""))
	for _, v := range authorization {
		r.Header.Add("Authorization", v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
