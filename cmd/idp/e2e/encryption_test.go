package e2e

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

// Open decrypts what was encrypted to the key, as it was to be.
func (k *ClientKey) Open(t testing.TB, raw, enc, cty string) string {
	t.Helper()
	jwe, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{jose.KeyAlgorithm(k.Alg)}, []jose.ContentEncryption{jose.ContentEncryption(enc)})
	if err != nil {
		t.Fatalf("not encrypted with %s and %s: %v", k.Alg, enc, err)
	}
	if jwe.Header.KeyID != k.KID {
		t.Errorf("kid %q, want %q", jwe.Header.KeyID, k.KID)
	}
	if got, _ := jwe.Header.ExtraHeaders["cty"].(string); got != cty {
		t.Errorf("cty %q, want %q", got, cty)
	}
	plain, err := jwe.Decrypt(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// ID tokens are encrypted after they were signed, with every algorithm that can
// be registered (OpenID Connect Core section 10.2).
func TestOIDCCore_10_2_EncryptedIDTokens(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		host := NewHost(t)
		inst := Install(t, engine, host.Outbound())
		alice := inst.NewUser(t, "--email", "alice@example.com")
		algs, encs := []string{"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"}, []string{"", "A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"}
		if engine == "postgres" {
			algs, encs = algs[1:2], encs[:1]
		}
		signing := NewClientKey(t, "ES256")
		type sealed struct {
			key *ClientKey
			enc string
			Client
		}
		var all []sealed
		for _, alg := range algs {
			key := NewClientKey(t, alg)
			for _, enc := range encs {
				args := []string{"--skip-consent", "--id-token-encrypted-response-alg", alg, "--id-token-encrypted-response-enc", enc, "--jwks-file", KeyFile(t, signing, key)}
				all = append(all, sealed{key, enc, inst.WebClient(t, args...)})
			}
		}
		remote := NewClientKey(t, "RSA-OAEP-256")
		host.ServeJSON(JWKS(signing, remote))
		all = append(all, sealed{remote, "A256GCM", inst.WebClient(t, "--skip-consent", "--id-token-encrypted-response-alg", "RSA-OAEP-256",
			"--id-token-encrypted-response-enc", "A256GCM", "--id-token-signed-response-alg", "ES384", "--jwks-uri", host.URL+"/jwks",
			"--security-profile", "oidc-legacy", "--response-type", "code", "--response-type", "code id_token")})
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, all[0].Request(NewPKCE()), alice)

		for _, c := range all {
			enc, alg := c.enc, jose.RS256
			if enc == "" {
				enc = "A128CBC-HS256"
			}
			if c.key == remote {
				alg = jose.ES384
			}
			p := NewPKCE()
			page := b.Get(t, "/oauth2/auth?"+c.Request(p).Encode())
			code := b.answer(t, page, c.Client, "query").Get("code")
			tokens := node.Exchange(t, c.Client, code, p).Tokens(t)
			claims := node.Verify(t, c.key.Open(t, tokens.ID, enc, "JWT"), "JWT", alg)
			if claims["sub"] != alice.Sub || claims["aud"] != c.ID {
				t.Errorf("%s %s: %v", c.key.Alg, enc, claims)
			}
			if alg == jose.ES384 {
				sum := sha512.Sum384([]byte(tokens.Access))
				if _, there := claims["at_hash"]; there && claims["at_hash"] != base64.RawURLEncoding.EncodeToString(sum[:24]) {
					t.Errorf("at_hash %v", claims["at_hash"])
				}
			}
			again := node.Refresh(t, c.Client, tokens.Refresh).Tokens(t)
			node.Verify(t, c.key.Open(t, again.ID, enc, "JWT"), "JWT", alg)
		}

		t.Run("through the browser", func(t *testing.T) {
			c := all[len(all)-1]
			p := NewPKCE()
			page := b.Get(t, "/oauth2/auth?"+c.Request(p, "response_type", "code id_token").Encode())
			got := b.answer(t, page, c.Client, "fragment")
			claims := node.Verify(t, c.key.Open(t, got.Get("id_token"), "A256GCM", "JWT"), "JWT", jose.ES384)
			sum := sha512.Sum384([]byte(got.Get("code")))
			if claims["c_hash"] != base64.RawURLEncoding.EncodeToString(sum[:24]) {
				t.Errorf("c_hash %v", claims["c_hash"])
			}
		})
		t.Run("without a key, nothing is issued and nothing is lost", func(t *testing.T) {
			other := inst.WebClient(t, "--skip-consent", "--id-token-encrypted-response-alg", "RSA-OAEP-256", "--jwks-uri", host.URL+"/other")
			host.ServeJSON(JWKS(signing))
			Settle()
			p := NewPKCE()
			code := b.answer(t, b.Get(t, "/oauth2/auth?"+other.Request(p).Encode()), other, "query").Get("code")
			a := node.Exchange(t, other, code, p)
			a.WantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			host.ServeJSON(JWKS(signing, remote))
			tokens := node.Exchange(t, other, code, p).Tokens(t)
			node.Verify(t, remote.Open(t, tokens.ID, "A128CBC-HS256", "JWT"), "JWT", jose.RS256)
		})
	})
}

// oidcc-userinfo-rs256: userinfo signed as it was registered, and encrypted.
func TestOIDC_oidcc_userinfo_rs256(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com")
		key := NewClientKey(t, "ECDH-ES+A256KW")
		signed := map[string]Client{}
		for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"} {
			signed[alg] = inst.WebClient(t, "--userinfo-signed-response-alg", alg, "--id-token-signed-response-alg", alg)
		}
		encrypted := inst.WebClient(t, "--userinfo-encrypted-response-alg", key.Alg, "--userinfo-encrypted-response-enc", "A256GCM", "--jwks-file", KeyFile(t, key))
		nested := inst.WebClient(t, "--userinfo-signed-response-alg", "ES256", "--userinfo-encrypted-response-alg", key.Alg, "--jwks-file", KeyFile(t, key))
		node := inst.Start(t)

		check := func(name string, claims map[string]any, c Client) {
			t.Helper()
			if claims["sub"] != alice.Sub || claims["email"] != "alice@example.com" {
				t.Errorf("%s: %v", name, claims)
			}
			if c.ID != "" && (claims["iss"] != inst.Issuer || claims["aud"] != c.ID) {
				t.Errorf("%s: iss or aud: %v", name, claims)
			}
		}
		ask := func(c Client) (string, Tokens) {
			t.Helper()
			tokens := node.SignIn(t, c, alice, "scope", "openid email")
			a := node.Userinfo(t, tokens.Access)
			if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/jwt" || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
			}
			return a.Body, tokens
		}
		for alg, c := range signed {
			raw, tokens := ask(c)
			check(alg, node.verify(t, raw, nil, jose.SignatureAlgorithm(alg)), c)
			node.Verify(t, tokens.ID, "JWT", jose.SignatureAlgorithm(alg))

			// Attack I10: it is no access token, and no ID token as a hint.
			if a := node.Userinfo(t, raw); a.Status != http.StatusUnauthorized {
				t.Errorf("userinfo as an access token: %d", a.Status)
			}
			if node.Active(t, c, raw) {
				t.Error("userinfo is an active token")
			}
			back := node.NewBrowser(t).Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "prompt", "none", "id_token_hint", raw).Encode())
			if location, _ := url.Parse(back.Header.Get("Location")); location == nil || location.Query().Has("code") || location.Query().Get("error") == "" {
				t.Errorf("userinfo as a hint: %d %s", back.Status, back.Header.Get("Location"))
			}
			// Errors stay as they are.
			if a := node.Userinfo(t, "nonsense"); a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%d %v", a.Status, a.Header)
			}
		}
		raw, _ := ask(nested)
		check("nested", node.verify(t, key.Open(t, raw, "A128CBC-HS256", "JWT"), nil, jose.ES256), nested)
		raw, _ = ask(encrypted)
		var claims map[string]any
		if err := json.Unmarshal([]byte(key.Open(t, raw, "A256GCM", "")), &claims); err != nil {
			t.Fatal(err)
		}
		check("encrypted", claims, Client{})
	})
}
