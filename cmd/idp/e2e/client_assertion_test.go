package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// assertingClient registers a service whose keys are known, and returns how to
// ask for a token with an assertion.
func assertingClient(t *testing.T, inst *Installation, api string, args ...string) Client {
	t.Helper()
	return inst.NewClient(t, append([]string{
		"--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read", "--token-endpoint-auth-method", "private_key_jwt",
	}, args...)...)
}

// anonymous sends a form as nobody: what authenticates is in it.
func (n *Node) anonymous(t testing.TB, path string, form url.Values) *Answer {
	t.Helper()
	return n.Post(t, path, Client{}, form)
}

// oidcc-server with client_auth_type private_key_jwt and client_secret_jwt, and
// oidcc-ensure-client-assertion-with-iss-aud-succeeds.
func TestOIDC_oidcc_ensure_client_assertion_with_iss_aud_succeeds(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		api := inst.NewResource(t, []string{"orders:read"})
		alice := inst.NewUser(t)
		keys := map[string]*ClientKey{}
		clients := map[string]Client{}
		for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"} {
			keys[alg] = NewClientKey(t, alg)
			clients[alg] = assertingClient(t, inst, api, "--jwks-file", KeyFile(t, keys[alg]))
		}
		web := inst.WebClient(t, "--token-endpoint-auth-method", "private_key_jwt", "--jwks-file", KeyFile(t, keys["ES256"]))
		secret := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read", "--token-endpoint-auth-method", "client_secret_jwt")
		node := inst.Start(t)
		form := url.Values{"grant_type": {"client_credentials"}}

		for alg, key := range keys {
			for _, aud := range []any{inst.Issuer, inst.Issuer + "/oauth2/token", []string{inst.Issuer}, []string{inst.Issuer + "/oauth2/token", inst.Issuer}} {
				a := node.anonymous(t, "/oauth2/token", Asserted(form, key.Sign(t, AssertionClaims(clients[alg].ID, "", map[string]any{"aud": aud}))))
				if a.Status != http.StatusOK {
					t.Errorf("%s, aud %v: %d %s", alg, aud, a.Status, a.Body)
				}
			}
		}
		t.Run("the code flow, introspection and revocation", func(t *testing.T) {
			assert := func(form url.Values) url.Values {
				return Asserted(form, keys["ES256"].Sign(t, AssertionClaims(web.ID, inst.Issuer, nil)))
			}
			p := NewPKCE()
			tokens := node.anonymous(t, "/oauth2/token", assert(CodeForm(web, node.Code(t, web, alice, p), p))).Tokens(t)
			tokens = node.anonymous(t, "/oauth2/token", assert(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})).Tokens(t)
			node.Verify(t, tokens.ID, "JWT", "RS256")
			for _, active := range []bool{true, false} {
				a := node.anonymous(t, "/oauth2/introspect", assert(url.Values{"token": {tokens.Access}}))
				if a.Status != http.StatusOK || a.JSON(t)["active"] != active {
					t.Errorf("introspection: %d %s, want %v", a.Status, a.Body, active)
				}
				if a := node.anonymous(t, "/oauth2/revoke", assert(url.Values{"token": {tokens.Refresh}})); a.Status != http.StatusOK {
					t.Errorf("revocation: %d %s", a.Status, a.Body)
				}
			}
			// A key does not make a secret unnecessary for those who have one, nor the other way round.
			node.anonymous(t, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {web.ID}}).WantError(t, http.StatusUnauthorized, "invalid_client")
		})
		t.Run("client_secret_jwt", func(t *testing.T) {
			if secret.Secret == "" {
				t.Fatal("no secret was made")
			}
			sign := func(key string) string {
				return hmacJWT(t, key, `{"alg":"HS256","typ":"JWT"}`, AssertionClaims(secret.ID, inst.Issuer, nil))
			}
			if a := node.anonymous(t, "/oauth2/token", Asserted(form, sign(secret.Secret))); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			node.anonymous(t, "/oauth2/token", Asserted(form, sign(secret.Secret+"x"))).WantError(t, http.StatusUnauthorized, "invalid_client")
			// The secret itself is not the method that was registered.
			node.Post(t, "/oauth2/token", secret, form).WantError(t, http.StatusUnauthorized, "invalid_client")

			old := secret.Secret
			var out struct {
				Secret string `json:"client_secret"`
			}
			inst.JSON(t, &out, "", "client", "rotate-secret", secret.ID, "--grace", "0s")
			Settle()
			if a := node.anonymous(t, "/oauth2/token", Asserted(form, sign(out.Secret))); a.Status != http.StatusOK {
				t.Errorf("rotated: %d %s", a.Status, a.Body)
			}
			node.anonymous(t, "/oauth2/token", Asserted(form, sign(old))).WantError(t, http.StatusUnauthorized, "invalid_client")
			if strings.Contains(node.Logs(), out.Secret) {
				t.Error("the log holds a secret")
			}
		})
		t.Run("metadata", func(t *testing.T) {
			r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/.well-known/openid-configuration", nil)
			document := Do(t, node.HTTP, r).JSON(t)
			for _, endpoint := range []string{"token", "revocation", "introspection"} {
				methods := fmt.Sprint(document[endpoint+"_endpoint_auth_methods_supported"])
				algs := fmt.Sprint(document[endpoint+"_endpoint_auth_signing_alg_values_supported"])
				if !strings.Contains(methods, "private_key_jwt") || !strings.Contains(methods, "client_secret_jwt") || !strings.Contains(algs, "PS256") || strings.Contains(algs, "none") {
					t.Errorf("%s: %s %s", endpoint, methods, algs)
				}
			}
		})
	})
}

// Only an assertion that the client made, for this issuer, now, authenticates.
func TestAttack_G08_G09_AssertionRules(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		api := inst.NewResource(t, []string{"orders:read"})
		key, other := NewClientKey(t, "ES256"), NewClientKey(t, "ES256")
		rsaKey := NewClientKey(t, "RS256")
		c := assertingClient(t, inst, api, "--jwks-file", KeyFile(t, key))
		pinned := assertingClient(t, inst, api, "--jwks-file", KeyFile(t, NewClientKey(t, "ES256"), rsaKey), "--token-endpoint-auth-signing-alg", "PS256")
		plain := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		node := inst.Start(t)
		form := url.Values{"grant_type": {"client_credentials"}}
		now := time.Now().Unix()
		good := func(changes map[string]any) map[string]any { return AssertionClaims(c.ID, inst.Issuer, changes) }

		for name, assertion := range map[string]string{
			"good":                      key.Sign(t, good(nil)),
			"no kid":                    key.Sign(t, good(nil), "kid", ""),
			"no typ":                    key.Sign(t, good(nil), "typ", ""),
			"its own typ":               key.Sign(t, good(nil), "typ", "client-authentication+jwt"),
			"iat and nbf 8 s ahead":     key.Sign(t, good(map[string]any{"iat": now + 8, "nbf": now + 8})),
			"a fraction of a second":    key.Sign(t, good(map[string]any{"iat": float64(now) + 0.25, "exp": float64(now) + 59.5})),
			"no iat":                    key.Sign(t, good(map[string]any{"iat": nil})),
			"five minutes":              key.Sign(t, good(map[string]any{"exp": now + 300})),
			"something else is told":    key.Sign(t, good(map[string]any{"hello": "world"})),
			"the other's jti":           key.Sign(t, good(map[string]any{"jti": "same"})),
			"certificate in the header": key.Sign(t, good(nil), "x5t", "abc"),
		} {
			if a := node.anonymous(t, "/oauth2/token", Asserted(form, assertion)); a.Status != http.StatusOK {
				t.Errorf("%s: %d %s", name, a.Status, a.Body)
			}
		}

		attacker := inst.Issuer + ".evil.example"
		public, _ := json.Marshal(key.JWK())
		for name, assertion := range map[string]string{
			"aud of another server":    key.Sign(t, good(map[string]any{"aud": attacker})),
			"aud of both":              key.Sign(t, good(map[string]any{"aud": []string{inst.Issuer, attacker}})),
			"aud with a slash":         key.Sign(t, good(map[string]any{"aud": inst.Issuer + "/"})),
			"aud of another endpoint":  key.Sign(t, good(map[string]any{"aud": inst.Issuer + "/oauth2/par"})),
			"no aud":                   key.Sign(t, good(map[string]any{"aud": nil})),
			"empty aud":                key.Sign(t, good(map[string]any{"aud": []string{}})),
			"aud a number":             key.Sign(t, good(map[string]any{"aud": 1})),
			"iss of another":           key.Sign(t, good(map[string]any{"iss": plain.ID})),
			"no iss":                   key.Sign(t, good(map[string]any{"iss": nil})),
			"sub of another":           key.Sign(t, good(map[string]any{"sub": plain.ID})),
			"no sub":                   key.Sign(t, good(map[string]any{"sub": nil})),
			"no exp":                   key.Sign(t, good(map[string]any{"exp": nil})),
			"expired":                  key.Sign(t, good(map[string]any{"exp": now - 1})),
			"expired five minutes ago": key.Sign(t, good(map[string]any{"exp": now - 300, "iat": now - 360})),
			"exp a string":             key.Sign(t, good(map[string]any{"exp": fmt.Sprint(now + 60)})),
			"exp null":                 key.signRaw(t, `{"alg":"ES256","kid":"`+key.KID+`"}`, `{"exp":null,`+mustJSON(t, good(map[string]any{"exp": nil}))[1:]),
			"exp an hour ahead":        key.Sign(t, good(map[string]any{"exp": now + 3600})),
			"exp for ever":             key.Sign(t, good(map[string]any{"exp": 1e300})),
			"iat 70 s ahead":           key.Sign(t, good(map[string]any{"iat": now + 70})),
			"nbf 70 s ahead":           key.Sign(t, good(map[string]any{"nbf": now + 70})),
			"no jti":                   key.Sign(t, good(map[string]any{"jti": nil})),
			"empty jti":                key.Sign(t, good(map[string]any{"jti": ""})),
			"jti a number":             key.Sign(t, good(map[string]any{"jti": 7})),
			"jti of 4 KiB":             key.Sign(t, good(map[string]any{"jti": strings.Repeat("j", 4096)})),
			// C05: what was signed for something else.
			"a request object":          key.Sign(t, good(map[string]any{"response_type": "code", "redirect_uri": "https://a.example"})),
			"a request object's typ":    key.Sign(t, good(nil), "typ", "oauth-authz-req+jwt"),
			"a proof's typ":             key.Sign(t, good(nil), "typ", "dpop+jwt"),
			"an access token's typ":     key.Sign(t, good(nil), "typ", "at+jwt"),
			"a proof of possession":     key.Sign(t, good(map[string]any{"htm": "POST", "htu": inst.Issuer + "/oauth2/token"})),
			"a logout token":            key.Sign(t, good(map[string]any{"events": map[string]any{}})),
			"another's key":             other.Sign(t, good(nil)),
			"another's key as its own":  other.Sign(t, good(nil), "kid", key.KID),
			"another's key, no kid":     other.Sign(t, good(nil), "kid", ""),
			"kid of nobody":             key.Sign(t, good(nil), "kid", "nobody"),
			"kid a path":                key.Sign(t, good(nil), "kid", "../../"+key.KID),
			"kid SQL":                   key.Sign(t, good(nil), "kid", "' OR '1'='1"),
			"kid a URL":                 key.Sign(t, good(nil), "kid", "https://"+attacker),
			"kid of 40 KiB":             key.Sign(t, good(nil), "kid", strings.Repeat("k", 40<<10)),
			"key in the header":         embedded(t, other, good(nil)),
			"URL in the header":         key.Sign(t, good(nil), "jku", "https://"+attacker),
			"x5u in the header":         key.Sign(t, good(nil), "x5u", "https://"+attacker),
			"unknown critical":          criticalJWT(t, key, good(nil)),
			"none":                      b64(`{"alg":"none"}`) + "." + b64(mustJSON(t, good(nil))) + ".",
			"HS256 with the public key": hmacJWT(t, string(public), `{"alg":"HS256","kid":"`+key.KID+`"}`, good(nil)),
			"pinned to another alg":     rsaKey.Sign(t, AssertionClaims(pinned.ID, inst.Issuer, nil)),
			"a client with a secret":    key.Sign(t, AssertionClaims(plain.ID, inst.Issuer, nil)),
			"a client of nobody":        key.Sign(t, AssertionClaims("nobody", inst.Issuer, nil)),
			"padding":                   key.Sign(t, good(nil)) + "=",
			"line break":                key.Sign(t, good(nil)) + "\n",
			"four segments":             key.Sign(t, good(nil)) + ".x",
			"not a JWT":                 "abc",
			"many dots":                 strings.Repeat(".", 10000),
			"JSON serialization":        `{"payload":"e30","signatures":[]}`,
			"members twice":             twice(t, key, good(nil)),
		} {
			a := node.anonymous(t, "/oauth2/token", Asserted(form, assertion))
			if a.Status != http.StatusUnauthorized && a.Status != http.StatusTooManyRequests {
				t.Errorf("%s: %d %s", name, a.Status, a.Body)
				continue
			}
			// The answer is the same, whatever was wrong.
			if a.Status == http.StatusUnauthorized && a.Body != `{"error":"invalid_client","error_description":"client authentication failed"}` {
				t.Errorf("%s: %s", name, a.Body)
			}
			// One address that fails often is stopped; this is not about that.
			node.HTTP = node.Client("")
		}

		huge := key.Sign(t, good(nil), "kid", strings.Repeat("k", 64<<10))
		if a := node.anonymous(t, "/oauth2/token", Asserted(form, huge)); a.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("kid of 64 KiB: %d %s", a.Status, a.Body)
		}

		t.Run("G01: one method only", func(t *testing.T) {
			mixed := Asserted(form, key.Sign(t, good(nil)))
			node.Post(t, "/oauth2/token", plain, mixed).WantError(t, http.StatusBadRequest, "invalid_request")
			mixed.Set("client_secret", "secret")
			node.anonymous(t, "/oauth2/token", mixed).WantError(t, http.StatusBadRequest, "invalid_request")
			two := Asserted(form, key.Sign(t, good(nil)))
			two.Add("client_assertion", key.Sign(t, good(nil)))
			node.anonymous(t, "/oauth2/token", two).WantError(t, http.StatusBadRequest, "invalid_request")
			foreign := Asserted(form, key.Sign(t, good(nil)))
			foreign.Set("client_id", plain.ID)
			node.anonymous(t, "/oauth2/token", foreign).WantError(t, http.StatusUnauthorized, "invalid_client")
			saml := Asserted(form, key.Sign(t, good(nil)))
			saml.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
			node.anonymous(t, "/oauth2/token", saml).WantError(t, http.StatusUnauthorized, "invalid_client")
			saml.Del("client_assertion_type")
			node.anonymous(t, "/oauth2/token", saml).WantError(t, http.StatusUnauthorized, "invalid_client")
		})
	})
}

// One assertion is good once, on all nodes together; an identifier is the
// client's own.
func TestAttack_G10_AssertionsAreUsedOnce(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		api := inst.NewResource(t, []string{"orders:read"})
		key, otherKey := NewClientKey(t, "ES256"), NewClientKey(t, "ES256")
		c := assertingClient(t, inst, api, "--jwks-file", KeyFile(t, key))
		other := assertingClient(t, inst, api, "--jwks-file", KeyFile(t, otherKey))
		nodes := []*Node{inst.Start(t)}
		if engine == "postgres" {
			nodes = append(nodes, inst.Start(t))
		}
		form := url.Values{"grant_type": {"client_credentials"}}
		for round := range 3 {
			jti := Token()
			assertion := key.Sign(t, AssertionClaims(c.ID, inst.Issuer, map[string]any{"jti": jti}))
			var mu sync.Mutex
			statuses := map[int]int{}
			var all sync.WaitGroup
			for i := range 50 {
				node := nodes[i%len(nodes)]
				client := node.Client("")
				all.Go(func() {
					r, err := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader(Asserted(form, assertion).Encode()))
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					a, err := Send(client, r)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					statuses[a.Status]++
				})
			}
			all.Wait()
			if statuses[http.StatusOK] != 1 || statuses[http.StatusUnauthorized] != 49 {
				t.Errorf("round %d: %v", round, statuses)
			}
			a := nodes[0].anonymous(t, "/oauth2/token", Asserted(form, otherKey.Sign(t, AssertionClaims(other.ID, inst.Issuer, map[string]any{"jti": jti}))))
			if a.Status != http.StatusOK {
				t.Errorf("the same jti of another client: %d %s", a.Status, a.Body)
			}
		}
		// It stays used when the server starts anew.
		assertion := key.Sign(t, AssertionClaims(c.ID, inst.Issuer, nil))
		if a := nodes[0].anonymous(t, "/oauth2/token", Asserted(form, assertion)); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for _, n := range nodes {
			n.Stop(t)
		}
		inst.Start(t).anonymous(t, "/oauth2/token", Asserted(form, assertion)).WantError(t, http.StatusUnauthorized, "invalid_client")
	})
}

// Keys that cannot be trusted are refused when they are registered.
func TestAttack_G13_WeakKeysAreNotRegistered(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		dir := t.TempDir()
		good := mustJSON(t, NewClientKey(t, "ES256").JWK())
		for name, set := range map[string]string{
			"not JSON":         `keys`,
			"no set":           `[]`,
			"no keys":          `{"keys":[]}`,
			"keys twice":       `{"keys":[` + good + `],"keys":[]}`,
			"a secret":         `{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}`,
			"a private key":    `{"keys":[` + mustJSON(t, privateJWK(NewClientKey(t, "ES256"))) + `]}`,
			"one private key":  `{"keys":[` + good + `,` + mustJSON(t, privateJWK(NewClientKey(t, "RS256"))) + `]}`,
			"RSA of 1024 bits": `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 127)...)) + `"}]}`,
			"RSA with e of 3":  `{"keys":[` + strings.Replace(mustJSON(t, NewClientKey(t, "RS256").JWK()), `"AQAB"`, `"Aw"`, 1) + `]}`,
			"even RSA":         `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 255)...)) + `"}]}`,
			"off the curve":    `{"keys":[{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("x", 32)) + `","y":"` + b64(strings.Repeat("y", 32)) + `"}]}`,
			"alg of another":   `{"keys":[` + strings.Replace(good, `"ES256"`, `"PS256"`, 1) + `]}`,
			"unknown only":     `{"keys":[{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}]}`,
		} {
			path := filepath.Join(dir, "jwks.json")
			if err := os.WriteFile(path, []byte(set), 0o600); err != nil {
				t.Fatal(err)
			}
			_, stderr, code := inst.Try(t, "", "client", "create", unique("weak"), "--grant-type", "client_credentials", "--token-endpoint-auth-method", "private_key_jwt", "--jwks-file", path)
			if code == 0 || !strings.Contains(stderr, "jwks") {
				t.Errorf("%s: exit %d %s", name, code, stderr)
			}
		}
		for name, args := range map[string][]string{
			"no keys":            {"--token-endpoint-auth-method", "private_key_jwt"},
			"both":               {"--jwks-uri", "https://a.example/jwks", "--jwks-file", KeyFile(t, NewClientKey(t, "ES256"))},
			"plain http":         {"--jwks-uri", "http://a.example/jwks"},
			"a file":             {"--jwks-uri", "file:///etc/passwd"},
			"HS256 with keys":    {"--token-endpoint-auth-method", "private_key_jwt", "--jwks-uri", "https://a.example/jwks", "--token-endpoint-auth-signing-alg", "HS256"},
			"none":               {"--token-endpoint-auth-method", "private_key_jwt", "--jwks-uri", "https://a.example/jwks", "--token-endpoint-auth-signing-alg", "none"},
			"RS256 with secrets": {"--token-endpoint-auth-method", "client_secret_jwt", "--token-endpoint-auth-signing-alg", "RS256"},
			"RSA1_5":             {"--jwks-uri", "https://a.example/jwks", "--id-token-encrypted-response-alg", "RSA1_5"},
			"dir":                {"--jwks-uri", "https://a.example/jwks", "--userinfo-encrypted-response-alg", "dir"},
			"enc without alg":    {"--jwks-uri", "https://a.example/jwks", "--id-token-encrypted-response-enc", "A256GCM"},
			"enc of nobody":      {"--jwks-uri", "https://a.example/jwks", "--id-token-encrypted-response-alg", "ECDH-ES", "--id-token-encrypted-response-enc", "A192GCM"},
			"encryption no keys": {"--id-token-encrypted-response-alg", "ECDH-ES"},
			"unsigned userinfo":  {"--userinfo-signed-response-alg", "none"},
		} {
			_, stderr, code := inst.Try(t, "", append([]string{"client", "create", unique("weak"), "--grant-type", "client_credentials"}, args...)...)
			if code == 0 {
				t.Errorf("%s was registered: %s", name, stderr)
			}
		}
	})
}
