package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// What is encrypted is decrypted nowhere that does not ask for it: no bomb goes
// off, no password is stretched.
func TestAttack_H06_EncryptedTokensAreRefused(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		api := inst.NewResource(t, []string{"orders:read"})
		key := NewClientKey(t, "ES256")
		c := assertingClient(t, inst, api, "--jwks-file", KeyFile(t, key))
		alice, web := inst.NewUser(t), inst.WebClient(t)
		for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES+A256KW"} { // so that the server has keys to be encrypted to
			inst.WebClient(t, "--jwks-file", KeyFile(t, key), "--request-object-encryption-alg", alg)
		}
		node := inst.Start(t)
		tokens := node.SignIn(t, web, alice)
		rest := "." + strings.Repeat("A", 342) + "." + b64("123456789012") + "." + b64(strings.Repeat("x", 2000)) + "." + b64("1234567890123456")
		attacks := map[string]string{}
		for name, header := range map[string]string{
			"zip bomb":          `{"alg":"RSA-OAEP-256","enc":"A256GCM","zip":"DEF"}`,
			"PBES2":             `{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`,
			"PBES2, one round":  `{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":1,"p2s":"AAAA"}`,
			"RSA1_5":            `{"alg":"RSA1_5","enc":"A128CBC-HS256"}`,
			"dir":               `{"alg":"dir","enc":"A256GCM"}`,
			"wrap":              `{"alg":"A256KW","enc":"A256GCM"}`,
			"off the curve epk": `{"alg":"ECDH-ES","enc":"A256GCM","epk":{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}}`,
			"nested":            `{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT"}`,
		} {
			attacks[name] = b64(header) + rest
		}
		segments := strings.Split(rest, ".")
		attacks["wrap, empty key"] = b64(`{"alg":"A256KW","enc":"A256GCM"}`) + ".." + strings.Join(segments[2:], ".")
		attacks["empty CBC ciphertext"] = b64(`{"alg":"dir","enc":"A128CBC-HS256"}`) + ".." + b64("1234567890123456") + ".." + b64("1234567890123456")
		// What the server could open: tokens of its own under its own keys, and a
		// good assertion.
		jwt := (&jose.EncrypterOptions{}).WithContentType("JWT")
		for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES+A256KW"} {
			own := node.encryptionKey(t, alg)
			for name, inner := range map[string]string{"access token": tokens.Access, "ID token": tokens.ID, "assertion": key.Sign(t, AssertionClaims(c.ID, inst.Issuer, nil))} {
				once := encryptTo(t, own, alg, "A256GCM", inner, jwt)
				attacks[alg+", "+name] = once
				attacks[alg+", "+name+", three times"] = encryptTo(t, own, alg, "A256GCM", encryptTo(t, own, alg, "A256GCM", once, jwt), jwt)
			}
			attacks[alg+", compressed"] = encryptTo(t, own, alg, "A256GCM", tokens.Access, (&jose.EncrypterOptions{Compression: jose.DEFLATE}).WithContentType("JWT"))
			attacks[alg+", a bomb"] = encryptTo(t, own, alg, "A256GCM", strings.Repeat("A", 5<<20), (&jose.EncrypterOptions{Compression: jose.DEFLATE}).WithContentType("JWT"))
			emptied := strings.Split(encryptTo(t, own, alg, "A128CBC-HS256", tokens.Access, jwt), ".")
			emptied[3] = ""
			attacks[alg+", empty CBC ciphertext"] = strings.Join(emptied, ".")
		}
		memory := node.rss(t)
		for name, raw := range attacks {
			before := node.cpu(t)
			node.HTTP = node.Client("") // no address fails too often
			form := Asserted(url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}}, raw)
			node.anonymous(t, "/oauth2/token", form).WantError(t, http.StatusUnauthorized, "invalid_client")
			wantBadToken(t, node.Post(t, "/userinfo", Client{}, url.Values{"access_token": {raw}}))
			if node.Active(t, web, raw) {
				t.Errorf("%s is active", name)
			}
			hinted := web.Request(NewPKCE(), "id_token_hint", raw, "prompt", "none")
			node.request(t, node.HTTP, http.MethodPost, "/oauth2/auth", hinted.Encode(), nil).wantRefusal(t, node, hinted, "invalid_request")
			// Keys are stretched for minutes at such a count.
			if spent := node.cpu(t) - before; spent > time.Second {
				t.Errorf("%s costs %s of CPU", name, spent)
			}
			if t.Failed() {
				t.Fatal(name)
			}
		}
		if grown := node.rss(t) - memory; grown > 32<<20 {
			t.Errorf("refusing took %d MiB", grown>>20)
		}
		if !node.Active(t, web, tokens.Access) {
			t.Error("the token itself died")
		}
		node.wantQuiet(t, web.Secret)
	})
}
