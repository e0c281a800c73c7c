package e2e

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hmacJWT signs with HS256 by hand, with any header.
func hmacJWT(t testing.TB, key, header string, claims map[string]any) string {
	t.Helper()
	input := b64(header) + "." + b64(mustJSON(t, claims))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(input))
	return input + "." + b64(string(mac.Sum(nil)))
}

func privateJWK(k *ClientKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.Private, KeyID: k.KID, Algorithm: k.Alg, Use: "sig"}
}

// embedded signs with a key that comes along in the header.
func embedded(t testing.TB, k *ClientKey, claims map[string]any) string {
	t.Helper()
	return k.signRaw(t, `{"alg":"`+k.Alg+`","jwk":`+mustJSON(t, k.JWK())+`}`, mustJSON(t, claims))
}

// criticalJWT says that a header parameter must be understood that nobody knows.
func criticalJWT(t testing.TB, k *ClientKey, claims map[string]any) string {
	t.Helper()
	return k.signRaw(t, `{"alg":"`+k.Alg+`","kid":"`+k.KID+`","crit":["moon"],"moon":"full"}`, mustJSON(t, claims))
}

// twice has the same claim twice, first as another would have it.
func twice(t testing.TB, k *ClientKey, claims map[string]any) string {
	t.Helper()
	return k.signRaw(t, `{"alg":"`+k.Alg+`","kid":"`+k.KID+`"}`, strings.Replace(mustJSON(t, claims), "{", `{"sub":"another",`, 1))
}

// signRaw signs any header and payload.
func (k *ClientKey) signRaw(t testing.TB, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	digest := sha256.Sum256([]byte(input))
	r, v, err := ecdsa.Sign(rand.Reader, k.Private.(*ecdsa.PrivateKey), digest[:]) // ES256 is all that tests need
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(string(append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)))
}
