package tokens_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"idp/internal/idp"
	"idp/internal/tokens"
)

func newES256() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func headerOf(t testing.TB, raw string) map[string]any {
	t.Helper()
	var header map[string]any
	if err := json.Unmarshal(unb64(t, strings.Split(raw, ".")[0]), &header); err != nil {
		t.Fatal(err)
	}
	return header
}

func claimsOf(t testing.TB, raw string) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(unb64(t, strings.Split(raw, ".")[1]), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// forge signs any header and payload with a key, as its owner could.
func forge(t testing.TB, key crypto.Signer, alg, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		hashed := digest[:]
		switch alg {
		case idp.AlgES384:
			long := sha512.Sum384([]byte(input))
			hashed = long[:]
		case idp.AlgES512:
			long := sha512.Sum512([]byte(input))
			hashed = long[:]
		}
		size := (private.Curve.Params().BitSize + 7) / 8
		r, s, e := ecdsa.Sign(rand.Reader, private, hashed)
		signature, err = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), e
	case *rsa.PrivateKey:
		if alg == idp.AlgPS256 {
			signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], nil)
		} else {
			signature, err = rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, []byte(input))
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// verifyByHand checks a signature with the standard library, from nothing but
// the published key set.
func verifyByHand(t *testing.T, jwks []byte, raw string) bool {
	t.Helper()
	var set struct {
		Keys []struct{ Kty, Kid, Alg, N, E, X, Y string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(raw, ".")
	input, signature := parts[0]+"."+parts[1], unb64(t, parts[2])
	digest := sha256.Sum256([]byte(input))
	number := func(s string) *big.Int { return new(big.Int).SetBytes(unb64(t, s)) }
	for _, key := range set.Keys {
		if key.Kid != headerOf(t, raw)["kid"] {
			continue
		}
		switch key.Alg {
		case idp.AlgES256:
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, append(unb64(t, key.X), unb64(t, key.Y)...)...))
			return err == nil && len(signature) == 64 &&
				ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		case idp.AlgRS256:
			public := &rsa.PublicKey{N: number(key.N), E: int(number(key.E).Int64())}
			return public.N.BitLen() == 2048 && rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
		case idp.AlgPS256:
			public := &rsa.PublicKey{N: number(key.N), E: int(number(key.E).Int64())}
			return public.N.BitLen() == 3072 && rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32}) == nil
		case idp.AlgES384:
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), append([]byte{4}, append(unb64(t, key.X), unb64(t, key.Y)...)...))
			long := sha512.Sum384([]byte(input))
			return err == nil && len(signature) == 96 &&
				ecdsa.Verify(public, long[:], new(big.Int).SetBytes(signature[:48]), new(big.Int).SetBytes(signature[48:]))
		case idp.AlgES512:
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P521(), append([]byte{4}, append(unb64(t, key.X), unb64(t, key.Y)...)...))
			long := sha512.Sum512([]byte(input))
			return err == nil && len(signature) == 132 &&
				ecdsa.Verify(public, long[:], new(big.Int).SetBytes(signature[:66]), new(big.Int).SetBytes(signature[66:]))
		case idp.AlgEdDSA:
			return ed25519.Verify(unb64(t, key.X), []byte(input), signature)
		}
	}
	return false
}

// The header carries alg, kid and the type at+jwt; the body the claims that
// section 2.2 requires, in their types.
func TestRFC9068_2_AccessToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	jwks, _ := f.JWKS()
	for _, alg := range append(idp.Algorithms(), "") {
		raw := f.signAccess(t, alg)
		if alg == "" {
			alg = idp.AlgES256
		}
		if !verifies(t, jwks, raw) || !verifyByHand(t, jwks, raw) {
			t.Errorf("%s: others cannot verify the token", alg)
		}
		header := headerOf(t, raw)
		if len(header) != 3 || header["alg"] != alg || header["typ"] != "at+jwt" {
			t.Errorf("header %v", header)
		}
		want := map[string]any{
			"iss": issuer, "sub": "user-1", "aud": "https://api.example", "client_id": "web",
			"exp": float64(epoch.Unix() + 600), "iat": float64(epoch.Unix()), "auth_time": float64(epoch.Unix() - 60),
			"jti": idp.ID{1, 2, 3}.String(), "scope": "openid orders:read", "acr": "urn:example:pwd", "amr": []any{"pwd"},
			"groups": []any{"staff", `a "quoted" \ group`, "ärzte <b>\u2028"}, "roles": []any{"clerk"}, "entitlements": []any{"orders:read"},
			"gid": "UD8EBQYAAAAAAAAAAAAAAAAA",
		}
		if diff := cmp.Diff(want, claimsOf(t, raw)); diff != "" {
			t.Error(diff)
		}
		got, err := f.VerifyAccessToken(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f.accessToken(), got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAccessTokenOfClientCredentials(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := idp.AccessToken{
		ID: idp.ID{1}, ClientID: "service", Subject: "service", Audience: []string{"https://a.example", "https://b.example"},
		IssuedAt: epoch.Add(400 * time.Millisecond), ExpiresAt: epoch.Add(time.Minute),
	}
	raw, err := f.SignAccessToken("", want)
	if err != nil {
		t.Fatal(err)
	}
	claims := claimsOf(t, raw)
	if len(claims) != 7 || len(claims["aud"].([]any)) != 2 {
		t.Errorf("claims %v", claims)
	}
	got, err := f.VerifyAccessToken(raw)
	if err != nil {
		t.Fatal(err)
	}
	want.IssuedAt, want.Scopes = epoch, []string{} // whole seconds
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Nobody named: the token is for the issuer's own endpoints.
	want.Audience = nil
	if raw, err = f.SignAccessToken("", want); err != nil || claimsOf(t, raw)["aud"] != issuer {
		t.Errorf("aud is %v, %v", claimsOf(t, raw)["aud"], err)
	}
}

func TestSignRefusesWhatIsIncomplete(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, change := range map[string]func(*idp.AccessToken){
		"no ID":       func(t *idp.AccessToken) { t.ID = idp.ID{} },
		"no client":   func(t *idp.AccessToken) { t.ClientID = "" },
		"no subject":  func(t *idp.AccessToken) { t.Subject = "" },
		"no issuance": func(t *idp.AccessToken) { t.IssuedAt = time.Time{} },
		"no expiry":   func(t *idp.AccessToken) { t.ExpiresAt = time.Time{} },
		"no life":     func(t *idp.AccessToken) { t.ExpiresAt = t.IssuedAt },
	} {
		token := f.accessToken()
		change(&token)
		if raw, err := f.SignAccessToken("", token); err == nil || raw != "" {
			t.Errorf("%s: signed", name)
		}
	}
	for name, change := range map[string]func(*idp.IDToken){
		"no client":       func(t *idp.IDToken) { t.ClientID = "" },
		"no subject":      func(t *idp.IDToken) { t.Subject = "" },
		"no life":         func(t *idp.IDToken) { t.ExpiresAt = t.IssuedAt },
		"shadowed sub":    func(t *idp.IDToken) { t.Claims = map[string]any{"sub": "admin"} },
		"shadowed events": func(t *idp.IDToken) { t.Claims = map[string]any{"events": map[string]any{}} },
		"no JSON":         func(t *idp.IDToken) { t.Claims = map[string]any{"f": func() {}} },
	} {
		token := f.idToken()
		change(&token)
		if raw, err := f.SignIDToken("", token); err == nil || raw != "" {
			t.Errorf("%s: signed", name)
		}
	}
	for _, alg := range []string{"none", "HS256", "RS512", "es256"} {
		if _, err := f.SignAccessToken(alg, f.accessToken()); err == nil {
			t.Errorf("signed with %s", alg)
		}
		if _, err := f.SignIDToken(alg, f.idToken()); err == nil {
			t.Errorf("signed with %s", alg)
		}
	}
}

func TestOIDCCore_2_IDToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	jwks, _ := f.JWKS()
	for _, alg := range append(idp.Algorithms(), "") {
		raw := f.signID(t, alg)
		if alg == "" {
			alg = idp.AlgRS256
		}
		if !verifies(t, jwks, raw) || !verifyByHand(t, jwks, raw) {
			t.Errorf("%s: others cannot verify the token", alg)
		}
		header := headerOf(t, raw)
		if len(header) != 3 || header["alg"] != alg || header["typ"] != "JWT" {
			t.Errorf("header %v", header)
		}
		// Section 3.1.3.6: half of the hash that the algorithm uses.
		short, middle, long := sha256.Sum256([]byte("at")), sha512.Sum384([]byte("at")), sha512.Sum512([]byte("at"))
		atHash := b64(string(short[:16]))
		switch alg {
		case idp.AlgES384:
			atHash = b64(string(middle[:24]))
		case idp.AlgES512, idp.AlgEdDSA:
			atHash = b64(string(long[:32]))
		}
		want := map[string]any{
			"iss": issuer, "sub": "user-1", "aud": "web", "nonce": `n-"0S6`, "sid": idp.ID{9}.String(),
			"exp": float64(epoch.Unix() + 300), "iat": float64(epoch.Unix()), "auth_time": float64(epoch.Unix() - 60),
			"acr": "urn:example:pwd", "amr": []any{"pwd"}, "at_hash": atHash,
			"name": "Zoë", "email_verified": true, "updated_at": float64(1700000000),
		}
		if diff := cmp.Diff(want, claimsOf(t, raw)); diff != "" {
			t.Error(diff)
		}
		f.clock.Advance(time.Hour) // a hint may be old
		got, err := f.VerifyIDToken(raw)
		f.clock.Set(epoch)
		if err != nil {
			t.Fatal(err)
		}
		hint := f.idToken()
		hint.AccessToken, hint.Claims = "", nil
		if diff := cmp.Diff(hint, got); diff != "" {
			t.Error(diff)
		}
	}
	minimal, err := f.SignIDToken("", idp.IDToken{ClientID: "web", Subject: "u", IssuedAt: epoch, ExpiresAt: epoch.Add(time.Minute)})
	if err != nil || len(claimsOf(t, minimal)) != 5 {
		t.Errorf("%v, %v", claimsOf(t, minimal), err)
	}
}

func refused(t *testing.T, f *fixture, what, raw string) {
	t.Helper()
	if got, err := f.VerifyAccessToken(raw); err == nil {
		t.Errorf("%s: accepted as access token %+v", what, got)
	} else {
		refuse(t, err, idp.ErrMalformed)
	}
	if got, err := f.VerifyIDToken(raw); err == nil {
		t.Errorf("%s: accepted as ID token %+v", what, got)
	} else {
		refuse(t, err, idp.ErrMalformed)
	}
}

func TestAttack_H01_Algorithms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := strings.Split(f.signAccess(t, idp.AlgRS256), ".")
	payload := string(unb64(t, good[1]))
	kid, key := f.private(t, idp.AlgRS256)
	esKID, esKey := f.private(t, idp.AlgES256)
	for _, typ := range []string{"at+jwt", "JWT"} {
		for _, none := range []string{"none", "None", "nOnE", "NONE", ""} {
			header := b64(fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, none, kid, typ))
			refused(t, f, "alg "+none, header+"."+good[1]+".")
			refused(t, f, "alg "+none, header+"."+good[1]+"."+good[2])
		}
		refused(t, f, "no signature", good[0]+"."+good[1]+".")
		refused(t, f, "alg missing", forge(t, key, "", fmt.Sprintf(`{"kid":%q,"typ":%q}`, kid, typ), payload))

		// The public key as an HMAC secret, in each form that it comes in.
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		jwks, _ := f.JWKS()
		for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), jwks, {}} {
			for _, alg := range []string{"HS256", "RS256"} {
				input := b64(fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, alg, kid, typ)) + "." + good[1]
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(input))
				refused(t, f, "HMAC as "+alg, input+"."+b64(string(mac.Sum(nil))))
			}
		}

		// A key that the attacker brings along.
		own := newES256()
		jwk, err := json.Marshal(jose.JSONWebKey{Key: own.Public(), KeyID: esKID})
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []string{
			``, `,"jwk":` + string(jwk), `,"jku":"https://evil.example/jwks.json"`, `,"x5u":"https://evil.example/cert"`, `,"x5c":["AAAA"]`,
		} {
			refused(t, f, "own key "+more, forge(t, own, "", fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":%q%s}`, esKID, typ, more), payload))
		}

		// The right key, a header that we would not write.
		for _, header := range []string{
			`{"alg":"ES256","kid":%q,"typ":%q,"crit":["exp"],"exp":1}`,
			`{"alg":"ES256","kid":%q,"typ":%q,"b64":false,"crit":["b64"]}`,
			`{"alg":"ES256","kid":%q,"typ":%q,"zip":"DEF"}`,
			`{"alg":"ES256","kid":%q,"typ":%q,"cty":"JWT"}`,
			`{"alg":"ES256","kid":%q,"typ":%q,"jwk":null}`,
			`{"alg":"ES256","kid":%q,"typ":%q,"kid":"x"}`,
			`{"alg":"none","alg":"ES256","kid":%q,"typ":%q}`,
			`{"kid":%q,"alg":"ES256","typ":%q}`,
			`{"alg":"ES256","kid":%q, "typ":%q}`,
			`{"alg":"ES256","KID":%q,"typ":%q}`,
			`{"alg":"ES256","kid":%q,"typ":%q}{}`,
		} {
			refused(t, f, header, forge(t, esKey, "", fmt.Sprintf(header, esKID, typ), payload))
		}
		// Keys do not sign with another algorithm than their own.
		refused(t, f, "PS256 by the RS256 key", forge(t, key, idp.AlgPS256, fmt.Sprintf(`{"alg":"PS256","kid":%q,"typ":%q}`, kid, typ), payload))
		refused(t, f, "PS256 called RS256", forge(t, key, idp.AlgPS256, fmt.Sprintf(`{"alg":"RS256","kid":%q,"typ":%q}`, kid, typ), payload))
		refused(t, f, "RS256 with the kid of ES256", forge(t, key, "", fmt.Sprintf(`{"alg":"RS256","kid":%q,"typ":%q}`, esKID, typ), payload))
	}
}

// One kind of token never passes for another.
func TestAttack_H02_TokenConfusion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, alg := range idp.Algorithms() {
		if _, err := f.VerifyAccessToken(f.signID(t, alg)); err == nil {
			t.Errorf("%s: an ID token is an access token", alg)
		}
		if _, err := f.VerifyIDToken(f.signAccess(t, alg)); err == nil {
			t.Errorf("%s: an access token is a hint", alg)
		}
		kid, key := f.private(t, alg)
		payload := string(unb64(t, strings.Split(f.signAccess(t, alg), ".")[1]))
		for _, typ := range []string{"logout+jwt", "token-introspection+jwt", "application/at+jwt", "AT+JWT", "at+JWT", "jwt", "dpop+jwt", "oauth-authz-req+jwt", ""} {
			refused(t, f, typ, forge(t, key, alg, fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, alg, kid, typ), payload))
		}
		refused(t, f, "no typ", forge(t, key, alg, fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid), payload))
	}
	flow, err := f.master.SealFlow(idp.Flow{RequestedAt: epoch})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, f, "a flow", flow)
	refused(t, f, "an opaque token", f.master.MintOpaque(idp.OpaqueToken{Kind: idp.KindAccess, ID: idp.ID{1}}, nil))
}

// One token has one spelling.
func TestAttack_H04_OneSpelling(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, alg := range idp.Algorithms() {
		raw := f.signAccess(t, alg)
		parts := strings.Split(raw, ".")
		for i := range len(raw) {
			for _, c := range []byte{'\n', '\r', ' ', '=', '.'} {
				refused(t, f, fmt.Sprintf("%q at %d", c, i), raw[:i]+string(c)+raw[i:])
			}
			if alg != idp.AlgES256 && alg != idp.AlgEdDSA {
				continue // the same code, and verifying takes longer
			}
			for _, c := range []byte{'A', '_', '/', '+', 0x80} {
				if c != raw[i] {
					refused(t, f, fmt.Sprintf("%q instead of character %d", c, i), raw[:i]+string([]byte{c})+raw[i+1:])
				}
			}
			refused(t, f, "cut", raw[:i])
		}
		for _, tail := range []string{"=", "==", ".", "." + parts[2], "A", "\n", "\x00"} {
			refused(t, f, "tail "+tail, raw+tail)
		}
		// Bits at the end of the signature that mean nothing.
		if len(parts[2])%4 != 0 {
			last := strings.IndexByte(base64url, parts[2][len(parts[2])-1])
			twin := raw[:len(raw)-1] + string(base64url[last+1])
			if loose, err := base64.RawURLEncoding.DecodeString(strings.Split(twin, ".")[2]); err != nil || string(loose) != string(unb64(t, parts[2])) {
				t.Fatal("the twin is no twin")
			}
			refused(t, f, alg+" trailing bits", twin)
		}
		header, payload := string(unb64(t, parts[0])), string(unb64(t, parts[1]))
		for name, text := range map[string]string{
			"JSON, flattened":    fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
			"JSON, general":      fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2]),
			"JSON, two of them":  fmt.Sprintf(`{"payload":%[2]q,"signatures":[{"protected":%[1]q,"signature":%[3]q},{"protected":%[1]q,"signature":%[3]q}]}`, parts[0], parts[1], parts[2]),
			"two in a row":       raw + raw,
			"padded":             base64.URLEncoding.EncodeToString([]byte(header)) + "." + base64.URLEncoding.EncodeToString([]byte(payload+" ")) + "." + parts[2],
			"detached payload":   parts[0] + ".." + parts[2],
			"Bearer":             "Bearer " + raw,
			"upper case":         strings.ToUpper(raw),
			"empty":              "",
			"dots":               "..",
			"percent-encoded":    strings.ReplaceAll(raw, ".", "%2E"),
			"four empty at last": raw + "...",
		} {
			refused(t, f, name, text)
		}
		if _, err := f.VerifyAccessToken(raw); err != nil {
			t.Errorf("the token itself: %v", err)
		}
	}
}

// Anybody can make a second valid ECDSA signature from the first. It is the
// same token: everything that is decided about it goes by the jti.
func TestECDSATwinIsTheSameToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	raw := f.signAccess(t, idp.AlgES256)
	parts := strings.Split(raw, ".")
	signature := unb64(t, parts[2])
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	twin := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature)
	one, err := f.VerifyAccessToken(raw)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := f.VerifyAccessToken(twin); err == nil {
		if diff := cmp.Diff(one, other); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAttack_H05_Length(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	raw := f.signAccess(t, idp.AlgEdDSA)
	kid, key := f.private(t, idp.AlgEdDSA)
	header := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"at+jwt"}`, kid)
	payload := string(unb64(t, strings.Split(raw, ".")[1]))
	padded := func(n int) string {
		return forge(t, key, "", header, payload[:len(payload)-1]+`,"x":"`+strings.Repeat("x", n)+`"}`)
	}
	if _, err := f.VerifyAccessToken(padded(4000)); err != nil {
		t.Errorf("a long one: %v", err)
	}
	refused(t, f, "over 8 KiB", padded(6000))
	refused(t, f, "256 KiB", padded(256<<10))
	refused(t, f, "a million dots", strings.Repeat(".", 1_000_000))
	refused(t, f, "deep JSON", forge(t, key, "", header, payload[:len(payload)-1]+`,"x":`+strings.Repeat("[", 4000)))
}

// Even a token that bears our signature has to say all that we say.
func TestAccessTokenClaims(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.clock.Advance(time.Minute)
	now := f.clock.Now().Unix()
	kid, key := f.private(t, idp.AlgEdDSA)
	header := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"at+jwt"}`, kid)
	base := map[string]any{
		"iss": issuer, "sub": "u", "aud": "a", "client_id": "c", "exp": now + 60, "iat": now, "jti": idp.ID{1}.String(),
	}
	sign := func(name string, value any) string {
		claims := map[string]any{}
		for n, v := range base {
			claims[n] = v
		}
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
		raw, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		return forge(t, key, "", header, string(raw))
	}
	if _, err := f.VerifyAccessToken(sign("sub", "u")); err != nil {
		t.Fatal(err)
	}
	null := json.RawMessage("null")
	for _, name := range []string{"iss", "sub", "aud", "client_id", "exp", "iat", "jti"} {
		for _, value := range []any{nil, null, "", true, map[string]any{}, []any{}, []any{1}, 1.5} {
			refused(t, f, fmt.Sprintf("%s is %v", name, value), sign(name, value))
		}
	}
	for name, values := range map[string][]any{
		"iss":       {"https://issuer.example/", "https://evil.example", []any{issuer}},
		"jti":       {"x", strings.Repeat("A", 22), idp.ID{1}.String() + "A", idp.ID{1}.String() + "\n", 7},
		"exp":       {json.RawMessage("1e309"), json.RawMessage("99999999999999999999"), "1", fmt.Sprint(now + 60)},
		"iat":       {now + 11, "1", json.RawMessage("1e400")},
		"nbf":       {now + 11, "1", null},
		"auth_time": {"x", null, 1.5},
		"scope":     {[]any{"a"}, null, 1},
		"acr":       {1, null},
		"amr":       {"pwd", []any{1}, null},
		"groups":    {"staff", []any{1}, null},
		"gid":       {"x", strings.Repeat("A", 24), strings.Repeat("B", 25), strings.Repeat("B", 23), 1, null},
	} {
		for _, value := range values {
			refused(t, f, fmt.Sprintf("%s is %v", name, value), sign(name, value))
		}
	}
	for name, value := range map[string]any{"iat": now + 10, "nbf": now + 10, "exp": now + 1} {
		if _, err := f.VerifyAccessToken(sign(name, value)); err != nil {
			t.Errorf("%s is %v: %v", name, value, err)
		}
	}
	for _, payload := range []string{
		"", "null", "[]", `"x"`, "{", "{}", `{"iss":}`, `{"iss":1,}`,
		`{"iss":"` + issuer + `","iss":"` + issuer + `","sub":"u","aud":"a","client_id":"c","exp":9999999999,"iat":1,"jti":"` + idp.ID{1}.String() + `"}`,
		`{"Iss":"` + issuer + `","sub":"u","aud":"a","client_id":"c","exp":9999999999,"iat":1,"jti":"` + idp.ID{1}.String() + `"}`,
		`{"iss":"` + issuer + `","sub":"u","aud":"a","client_id":"c","exp":9999999999,"iat":1,"jti":"` + idp.ID{1}.String() + `"}{}`,
		`{"iss":"` + issuer + `","sub":"u","aud":"a","client_id":"c","exp":9999999999,"iat":1,"jti":"` + idp.ID{1}.String() + `","\u0073ub":"admin"}`,
	} {
		refused(t, f, payload, forge(t, key, "", header, payload))
		refused(t, f, payload, forge(t, key, "", strings.Replace(header, "at+jwt", "JWT", 1), payload))
	}
}

func TestIDTokenHintClaims(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	kid, key := f.private(t, idp.AlgRS256)
	header := fmt.Sprintf(`{"alg":"RS256","kid":%q,"typ":"JWT"}`, kid)
	now := f.clock.Now().Unix()
	hint := func(iss, more string) string {
		return forge(t, key, "", header, fmt.Sprintf(`{"iss":%q,"sub":"u","aud":"c","exp":%d,"iat":%d%s}`, iss, now, now, more))
	}
	if _, err := f.VerifyIDToken(hint(issuer, "")); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{
		hint("https://evil.example", ""), hint(issuer, `,"sid":"x"`), hint(issuer, `,"sub":"admin"`), hint(issuer, `,"nonce":1`),
		forge(t, key, "", header, fmt.Sprintf(`{"iss":%q,"sub":"u","aud":"c","exp":1,"iat":%d}`, issuer, now+11)),
		forge(t, key, "", header, fmt.Sprintf(`{"iss":%q,"sub":"u","aud":["c","d"],"exp":1,"iat":1}`, issuer)),
		forge(t, key, "", header, fmt.Sprintf(`{"iss":%q,"aud":"c","exp":1,"iat":1}`, issuer)),
	} {
		refused(t, f, string(unb64(t, strings.Split(raw, ".")[1])), raw)
	}
}

// RFC 9068 section 4: an expired token is refused, at the very second.
func TestRFC9068_4_Expiry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	raw := f.signAccess(t, "")
	f.clock.Advance(10*time.Minute - time.Microsecond)
	if _, err := f.VerifyAccessToken(raw); err != nil {
		t.Error(err)
	}
	f.clock.Advance(time.Microsecond)
	_, err := f.VerifyAccessToken(raw)
	refuse(t, err, idp.ErrExpired)
	// A forged one is not "expired": that would confirm what it says.
	_, err = f.VerifyAccessToken(raw[:len(raw)-4] + "AAAA")
	refuse(t, err, idp.ErrMalformed)
	// A clock that is behind by more than clocks differ.
	f.clock.Set(epoch.Add(-10 * time.Second))
	if _, err := f.VerifyAccessToken(raw); err != nil {
		t.Error(err)
	}
	f.clock.Set(epoch.Add(-11 * time.Second))
	_, err = f.VerifyAccessToken(raw)
	refuse(t, err, idp.ErrMalformed)
}

func TestErrorsDoNotShowTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, raw := range []string{f.signID(t, ""), f.signAccess(t, "") + "A", "canary.canary.canary", "canary"} {
		_, err := f.VerifyAccessToken(raw)
		if err == nil {
			t.Fatal("accepted")
		}
		for _, part := range strings.Split(raw, ".") {
			if strings.Contains(err.Error(), part) {
				t.Errorf("the error shows the token: %v", err)
			}
		}
	}
}

// fixedKey returns the row of an Ed25519 key that is the same in every process:
// the workers of a fuzz run have to know the tokens that the seeds came from.
func fixedKey(f *testing.F, m *tokens.Master) idp.Key {
	f.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	jwk := jose.JSONWebKey{Key: private.Public(), Algorithm: idp.AlgEdDSA, Use: "sig"}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		f.Fatal(err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	public, err := json.Marshal(jwk)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := m.Seal(tokens.PurposeSigningKeys, der, []byte("signing_keys|"+jwk.KeyID+"|EdDSA"))
	if err != nil {
		f.Fatal(err)
	}
	return idp.Key{KID: jwk.KeyID, Alg: idp.AlgEdDSA, PublicJWK: public, SealedPrivate: sealed, CreatedAt: epoch, ActiveFrom: epoch}
}

// Whatever is accepted is what was signed, to the byte: Ed25519 leaves no
// second signature either (RFC 8032 section 8.4).
func FuzzVerifyAccessToken(f *testing.F) {
	fx := &fixture{master: newMaster(f, 7), clock: &clock{at: epoch}}
	fx.store = &memoryStore{keys: []idp.Key{fixedKey(f, fx.master)}}
	fx.Keyring = tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: fx.master, Store: fx.store, Now: fx.clock.Now})
	if err := fx.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	access, id := fx.signAccess(f, idp.AlgEdDSA), fx.signID(f, idp.AlgEdDSA)
	f.Add(access)
	f.Add(id)
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := fx.VerifyAccessToken(raw); (err == nil) != (raw == access) {
			t.Fatalf("access token %q: %v", raw, err)
		}
		if _, err := fx.VerifyIDToken(raw); (err == nil) != (raw == id) {
			t.Fatalf("ID token %q: %v", raw, err)
		}
	})
}

func BenchmarkSignAccessToken(b *testing.B) {
	f := newFixture(b)
	for _, alg := range idp.Algorithms() {
		b.Run(alg, func(b *testing.B) {
			token := f.accessToken()
			token.Groups, token.AMR = []string{"staff"}, nil
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.SignAccessToken(alg, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyAccessToken(b *testing.B) {
	f := newFixture(b)
	for _, alg := range idp.Algorithms() {
		b.Run(alg, func(b *testing.B) {
			raw := f.signAccess(b, alg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.VerifyAccessToken(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpaque(b *testing.B) {
	m := newMaster(b, 3)
	b.Run("mint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.MintOpaque(idp.OpaqueToken{Kind: idp.KindCode}, salt)
		}
	})
	s := m.MintOpaque(idp.OpaqueToken{Kind: idp.KindCode}, salt)
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.VerifyOpaque(s, salt)
		}
	})
}
