package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// encryptionKey is the key that the server publishes for the algorithm.
func (n *Node) encryptionKey(t testing.TB, alg string) jose.JSONWebKey {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(Do(t, n.HTTP, r).Body), &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if key.Algorithm == alg {
			if key.Use != "enc" || !key.IsPublic() {
				t.Errorf("%s: use %q", alg, key.Use)
			}
			return key
		}
	}
	t.Fatalf("no key for %s is published", alg)
	return jose.JSONWebKey{}
}

// encryptTo encrypts content to a published key.
func encryptTo(t testing.TB, key jose.JSONWebKey, alg, enc, content string, options *jose.EncrypterOptions) string {
	t.Helper()
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: key.Key, KeyID: key.KeyID}, options)
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

// Request objects may be encrypted to the server after they were signed
// (RFC 9101 section 6.1).
func TestRFC9101_6_1_EncryptedRequestObjects(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		signing := NewClientKey(t, "ES256")
		clients := map[string]Client{}
		for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"} {
			clients[alg] = inst.WebClient(t, "--skip-consent", "--jwks-file", KeyFile(t, signing), "--request-object-encryption-alg", alg)
		}
		plain := inst.WebClient(t, "--skip-consent", "--jwks-file", KeyFile(t, signing))
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, plain.Request(NewPKCE()), alice)

		object := func(c Client, state string) string {
			claims := map[string]any{"iss": c.ID, "aud": inst.Issuer, "exp": time.Now().Unix() + 60, "nbf": time.Now().Unix()}
			for name, values := range c.Request(NewPKCE(), "state", state) {
				claims[name] = values[0]
			}
			return signing.Sign(t, claims, "typ", "oauth-authz-req+jwt")
		}
		send := func(c Client, raw string) (code, state, failure string) {
			page := b.Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "request", raw, "state", "outside").Encode())
			got := b.answer(t, page, c, "query")
			return got.Get("code"), got.Get("state"), got.Get("error")
		}
		for alg, c := range clients {
			key := node.encryptionKey(t, alg)
			for _, enc := range []string{"A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"} {
				raw := encryptTo(t, key, alg, enc, object(c, "inside"), (&jose.EncrypterOptions{}).WithContentType("JWT"))
				if code, state, failure := send(c, raw); code == "" || state != "inside" {
					t.Errorf("%s %s: code %q, state %q, error %q", alg, enc, code, state, failure)
				}
			}
		}

		c := clients["RSA-OAEP-256"]
		key := node.encryptionKey(t, "RSA-OAEP-256")
		const enc = "A256GCM"
		jwt := (&jose.EncrypterOptions{}).WithContentType("JWT")
		good := encryptTo(t, key, "RSA-OAEP-256", enc, object(c, "inside"), jwt)
		segments := strings.Split(good, ".")
		with := func(i int, segment string) string {
			changed := append([]string{}, segments...)
			changed[i] = segment
			return strings.Join(changed, ".")
		}
		header := func(text string) string { return with(0, b64(text)) }
		other := NewClientKey(t, "RSA-OAEP-256")
		for name, raw := range map[string]string{
			"C06: bare claims":       encryptTo(t, key, "RSA-OAEP-256", enc, `{"client_id":"`+c.ID+`","response_type":"code"}`, jwt),
			"encrypted twice":        encryptTo(t, key, "RSA-OAEP-256", enc, good, jwt),
			"compressed":             encryptTo(t, key, "RSA-OAEP-256", enc, object(c, "inside"), &jose.EncrypterOptions{Compression: jose.DEFLATE}),
			"another algorithm":      encryptTo(t, node.encryptionKey(t, "ECDH-ES"), "ECDH-ES", enc, object(c, "inside"), jwt),
			"another's key":          encryptTo(t, other.JWK(), "RSA-OAEP-256", enc, object(c, "inside"), jwt),
			"RSA-OAEP":               encryptTo(t, key, "RSA-OAEP", enc, object(c, "inside"), jwt),
			"signed by nobody":       encryptTo(t, key, "RSA-OAEP-256", enc, NewClientKey(t, "ES256").Sign(t, map[string]any{"iss": c.ID, "aud": inst.Issuer}), jwt),
			"another client's":       encryptTo(t, key, "RSA-OAEP-256", enc, object(plain, "inside"), jwt),
			"tampered":               with(3, b64("something else")),
			"empty ciphertext":       with(3, ""),
			"short tag":              with(4, b64("1234")),
			"no key":                 with(1, ""),
			"a password's hash":      header(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`),
			"RSA1_5":                 header(`{"alg":"RSA1_5","enc":"A256GCM"}`),
			"dir":                    header(`{"alg":"dir","enc":"A256GCM"}`),
			"192 bits":               header(`{"alg":"RSA-OAEP-256","enc":"A192GCM"}`),
			"unknown critical":       header(`{"alg":"RSA-OAEP-256","enc":"A256GCM","crit":["x"],"x":1}`),
			"off the curve":          header(`{"alg":"ECDH-ES","enc":"A256GCM","epk":{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}}`),
			"too long":               with(3, strings.Repeat("A", 20_000)),
			"six segments":           good + ".AAAA",
			"a name twice":           header(`{"alg":"RSA-OAEP-256","alg":"dir","enc":"A256GCM"}`),
			"padding":                with(3, segments[3]+"="),
			"encryption of no right": "",
		} {
			client := c
			if raw == "" { // a client that did not register it
				client, raw = plain, encryptTo(t, key, "RSA-OAEP-256", enc, object(plain, "inside"), jwt)
			}
			if name == "too long" {
				node.HTTP = node.Client("")
				a := node.Post(t, "/oauth2/par", client, client.Request(NewPKCE(), "request", raw, "client_id", client.ID))
				a.WantError(t, http.StatusBadRequest, "invalid_request_object")
				continue
			}
			if code, _, failure := send(client, raw); code != "" || failure != "invalid_request_object" {
				t.Errorf("%s: code %q, error %q", name, code, failure)
			}
		}

		// An encryption key signs nothing, and goes on after it was replaced.
		inst.CLI(t, "", "key", "rotate", "--immediately")
		Settle()
		if code, _, failure := send(c, good); code == "" {
			t.Errorf("encrypted to the key before: %s", failure)
		}
		node.Verify(t, node.SignIn(t, plain, alice).ID, "JWT", jose.RS256)
	})
}
