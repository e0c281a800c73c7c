package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

// Verify checks a JWT as a stranger would: with a JOSE library and the
// published JWKS alone. It returns the claims.
func (n *Node) Verify(t testing.TB, raw, typ string, alg jose.SignatureAlgorithm) map[string]any {
	t.Helper()
	return n.verify(t, raw, typ, alg)
}

// verify is Verify for what may have no typ: nil.
func (n *Node) verify(t testing.TB, raw string, typ any, alg jose.SignatureAlgorithm) map[string]any {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(Do(t, n.HTTP, r).Body), &set); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{alg})
	if err != nil {
		t.Fatalf("not a JWS signed with %s: %v", alg, err)
	}
	header := jws.Signatures[0].Header
	if got := header.ExtraHeaders["typ"]; got != typ {
		t.Errorf("typ is %v, want %v", got, typ)
	}
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("the JWKS holds %d keys of kid %q", len(keys), header.KeyID)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		t.Fatalf("the signature does not verify: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
