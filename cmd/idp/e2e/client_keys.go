package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// assertionType is the client_assertion_type of RFC 7523 section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// ClientKey is a key pair of a client.
type ClientKey struct {
	KID     string
	Alg     string
	Private crypto.Signer
}

// NewClientKey makes a key for a signature or key management algorithm.
func NewClientKey(t testing.TB, alg string) *ClientKey {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case "RS256", "PS256", "RSA-OAEP-256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256", "ECDH-ES", "ECDH-ES+A256KW":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no key for %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &ClientKey{KID: unique("key"), Alg: alg, Private: private}
}

// JWK is the public half, for signatures or for encryption as the algorithm is.
func (k *ClientKey) JWK() jose.JSONWebKey {
	use := "sig"
	if strings.HasPrefix(k.Alg, "RSA-") || strings.HasPrefix(k.Alg, "ECDH-") {
		use = "enc"
	}
	return jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.KID, Algorithm: k.Alg, Use: use}
}

// JWKS is a key set of the public halves.
func JWKS(keys ...*ClientKey) string {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.JWK())
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Sign returns a JWT of the claims. Header changes the header; an empty value
// leaves a member out.
func (k *ClientKey) Sign(t testing.TB, claims map[string]any, header ...string) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", k.KID).WithType("JWT")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			delete(options.ExtraHeaders, jose.HeaderKey(header[i]))
			continue
		}
		options = options.WithHeader(jose.HeaderKey(header[i]), header[i+1])
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Alg), Key: k.Private}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// AssertionClaims are those of a good client assertion, with changes: a nil
// value leaves a claim out.
func AssertionClaims(clientID, audience string, changes map[string]any) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": clientID, "sub": clientID, "aud": audience, "jti": Token(), "iat": now, "exp": now + 60,
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Asserted adds a client assertion to a form.
func Asserted(form url.Values, assertion string) url.Values {
	out := maps.Clone(form)
	out.Set("client_assertion_type", assertionType)
	out.Set("client_assertion", assertion)
	return out
}

// Host is a client's web server on loopback, with TLS. What it serves can be
// changed while it runs.
type Host struct {
	*httptest.Server
	CAFile string
	Hits   atomic.Int32

	mu    sync.Mutex
	serve http.HandlerFunc
}

// NewHost starts a client's web server that serves nothing yet.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{serve: http.NotFound}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Hits.Add(1)
		h.mu.Lock()
		serve := h.serve
		h.mu.Unlock()
		serve(w, r)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it says so itself
	h.StartTLS()
	t.Cleanup(h.Close)
	h.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	if err := os.WriteFile(h.CAFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// Outbound is the configuration that lets a server read from the host.
func (h *Host) Outbound() map[string]string {
	return map[string]string{"IDP_OUTBOUND_ALLOW": "127.0.0.1/32", "IDP_OUTBOUND_CA_FILE": h.CAFile}
}

// Serve changes what the host answers.
func (h *Host) Serve(f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serve = f
}

// ServeJSON lets the host answer with a document.
func (h *Host) ServeJSON(document string) {
	h.Serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, document)
	})
}

// KeyFile writes a key set for --jwks-file.
func KeyFile(t testing.TB, keys ...*ClientKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, []byte(JWKS(keys...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
