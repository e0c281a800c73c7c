package tokens_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

// sealTo encrypts to the published key of the algorithm.
func sealTo(t testing.TB, jwks []byte, alg, content string) string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(set.Keys, func(k jose.JSONWebKey) bool { return k.Algorithm == alg && k.Use == "enc" })
	if i < 0 {
		t.Fatalf("no key for %s", alg)
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: set.Keys[i].Key, KeyID: set.Keys[i].KeyID}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jwe, err := encrypter.Encrypt([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwe.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Keys to encrypt to are made when they are asked for, open what was encrypted
// to them, and do nothing else.
func TestEncryptionKeysOnlyOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.Ensure(t.Context(), idp.EncryptionAlgorithms()...); err != nil {
		t.Fatal(err)
	}
	jwks, _ := f.JWKS()
	for _, alg := range idp.EncryptionAlgorithms() {
		expectStates(t, f.Keyring, alg, idp.KeyActive)
		raw := sealTo(t, jwks, alg, "a.b.c")
		if content, err := f.Decrypt(raw, alg, ""); err != nil || content != "a.b.c" {
			t.Errorf("%s: %q %v", alg, content, err)
		}
		for _, other := range []string{"", "dir", idp.AlgRS256, "RSA1_5"} {
			if _, err := f.Decrypt(raw, other, ""); !errors.Is(err, idp.ErrMalformed) {
				t.Errorf("%s as %q: %v", alg, other, err)
			}
		}
		if _, err := f.Decrypt(raw, alg, idp.EncA128GCM); !errors.Is(err, idp.ErrMalformed) {
			t.Errorf("%s with another enc: %v", alg, err)
		}
		if _, err := f.SignAccessToken(alg, f.accessToken()); !errors.Is(err, idp.ErrUnavailable) {
			t.Errorf("%s signs access tokens: %v", alg, err)
		}
		if _, err := f.SignIDToken(alg, f.idToken()); !errors.Is(err, idp.ErrUnavailable) {
			t.Errorf("%s signs ID tokens: %v", alg, err)
		}
		kid, key := f.private(t, alg)
		payload := string(unb64(t, strings.Split(f.signAccess(t, ""), ".")[1]))
		forged := forge(t, key, idp.AlgES256, `{"alg":"`+alg+`","kid":"`+kid+`","typ":"at+jwt"}`, payload)
		if _, err := f.VerifyAccessToken(forged); !errors.Is(err, idp.ErrMalformed) {
			t.Errorf("%s verifies: %v", alg, err)
		}
		// It opens what is under way when it is replaced.
		if _, err := f.Rotate(t.Context(), alg, true); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Decrypt(raw, alg, ""); err != nil {
			t.Errorf("%s, replaced: %v", alg, err)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	fx := newFixture(f)
	if err := fx.Ensure(f.Context(), idp.AlgECDHES); err != nil {
		f.Fatal(err)
	}
	jwks, _ := fx.JWKS()
	good := sealTo(f, jwks, idp.AlgECDHES, "a.b.c")
	f.Add(good)
	f.Add("....")
	f.Fuzz(func(t *testing.T, raw string) {
		if content, err := fx.Decrypt(raw, idp.AlgECDHES, ""); err == nil && raw != good {
			t.Errorf("%q holds %q", raw, content)
		}
	})
}
