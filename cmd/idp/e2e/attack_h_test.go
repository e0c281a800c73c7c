package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// jwks reads the published key set.
func jwks(t testing.TB, n *Node) *jose.JSONWebKeySet {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(Do(t, n.HTTP, r).Body), &set); err != nil {
		t.Fatal(err)
	}
	return &set
}

// b64 is a JWS segment.

// forge signs a payload with a key of the forger's.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, payload []byte, headers map[jose.HeaderKey]any, embed bool) string {
	t.Helper()
	options := &jose.SignerOptions{EmbedJWK: embed, ExtraHeaders: headers}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
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

// forgeries are tokens that say what the good one says, and that nobody of the
// issuer's has signed so.
func forgeries(t testing.TB, set *jose.JSONWebKeySet, good string) map[string]string {
	t.Helper()
	segments := strings.Split(good, ".")
	header, payload, signature := segments[0], segments[1], segments[2]
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	rawHeader, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	var head map[string]any
	if err := json.Unmarshal(rawHeader, &head); err != nil {
		t.Fatal(err)
	}
	kid, typ := head["kid"].(string), head["typ"].(string)
	headers := map[jose.HeaderKey]any{"typ": typ, "kid": kid}
	public := set.Key(kid)[0]

	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	// H01: no algorithm, the public key as a secret, keys brought along.
	for _, none := range []string{"none", "None", "nOnE", "NONE", ""} {
		h := b64(`{"alg":"` + none + `","kid":"` + kid + `","typ":"` + typ + `"}`)
		out["alg "+none+", no signature"] = h + "." + payload + "."
		out["alg "+none+", the signature"] = h + "." + payload + "." + signature
	}
	out["no signature"] = header + "." + payload + "."
	out["signature of nothing"] = header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	der, err := x509.MarshalPKIXPublicKey(public.Key)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "JWK": jwk,
	} {
		if len(secret) < 32 {
			t.Fatal("short key")
		}
		out["HS256 with the public key as "+name] = forge(t, jose.HS256, secret, claims, headers, false)
	}
	out["another key, our kid"] = forge(t, jose.ES256, curve, claims, headers, false)
	out["another RSA key, our kid"] = forge(t, jose.RS256, large, claims, headers, false)
	out["embedded jwk"] = forge(t, jose.ES256, curve, claims, map[jose.HeaderKey]any{"typ": typ}, true)
	out["embedded jwk, our kid"] = forge(t, jose.ES256, curve, claims, headers, true)
	for _, name := range []jose.HeaderKey{"jku", "x5u"} {
		h := maps.Clone(headers)
		h[name] = "https://evil.example/keys"
		out[string(name)] = forge(t, jose.ES256, curve, claims, h, false)
	}
	for _, k := range []string{"", "../../etc/passwd", "' OR 1=1 --", "https://evil.example/k", kid + "\x00", strings.Repeat("k", 5000), strings.ToUpper(kid) + "_"} {
		h := map[jose.HeaderKey]any{"typ": typ, "kid": k}
		out["kid "+k[:min(20, len(k))]] = forge(t, jose.ES256, curve, claims, h, false)
	}
	// H04: the token, spelt in another way.
	out["padded signature"] = good + "="
	out["padded payload"] = header + "." + payload + "=." + signature
	out["space before"], out["space after"] = " "+good, good+" "
	out["tab inside"] = header + "\t." + payload + "." + signature
	out["line break inside"] = header + "." + payload[:10] + "\n" + payload[10:] + "." + signature
	out["line break after"] = good + "\n"
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i, segment := range segments {
		if rest := len(segment) % 4; rest != 0 { // some bits of the last character say nothing
			last := strings.IndexByte(alphabet, segment[len(segment)-1])
			spelt := append([]string(nil), segments...)
			spelt[i] = segment[:len(segment)-1] + string(alphabet[last^1])
			out["trailing bits of segment "+string(rune('1'+i))] = strings.Join(spelt, ".")
		}
	}
	respelt := func(h string) string { return b64(h) + "." + payload + "." + signature }
	alg := head["alg"].(string)
	out["header in another order"] = respelt(`{"typ":"` + typ + `","kid":"` + kid + `","alg":"` + alg + `"}`)
	out["header with a space"] = respelt(string(rawHeader) + " ")
	out["header name twice"] = respelt(`{"alg":"none","alg":"` + alg + `","kid":"` + kid + `","typ":"` + typ + `"}`)
	out["header name in capitals"] = respelt(`{"alg":"` + alg + `","ALG":"none","kid":"` + kid + `","typ":"` + typ + `"}`)
	out["crit"] = respelt(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"` + typ + `","crit":["x"],"x":1}`)
	out["b64 false"] = respelt(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"` + typ + `","crit":["b64"],"b64":false}`)
	out["zip"] = respelt(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"` + typ + `","zip":"DEF"}`)
	out["claim twice"] = header + "." + b64(string(claims[:len(claims)-1])+`,"sub":"root"}`) + "." + signature
	out["claims changed"] = header + "." + b64(strings.Replace(string(claims), `"scope":"`, `"scope":"admin `, 1)+" ") + "." + signature
	out["flattened JSON"] = `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`
	out["general JSON"] = `{"payload":"` + payload + `","signatures":[{"protected":"` + header + `","signature":"` + signature + `"}]}`
	out["two signatures"] = `{"payload":"` + payload + `","signatures":[{"protected":"` + header + `","signature":"` + signature + `"},{"protected":"` + header + `","signature":"` + signature + `"}]}`
	out["detached"] = header + ".." + signature
	out["four segments"], out["five segments"] = good+".x", good+".x.y"
	out["two tokens"], out["comma list"] = good+" "+good, good+","+good
	out["signature cut"], out["signature doubled"] = good[:len(good)-2], good+signature
	out["capitals"] = strings.ToUpper(good)
	// H05: large ones, refused by length.
	out["9 KiB"] = header + "." + payload + strings.Repeat("A", 9<<10) + "." + signature
	out["dots"] = strings.Repeat(".", 10_000)
	out["dots, as many as are read"] = strings.Repeat(".", 60_000)
	out["deep JSON"] = b64(strings.Repeat("[", 6000)) + "." + payload + "." + signature
	out["deep claims"] = header + "." + b64(strings.Repeat(`{"a":`, 1000)+"1"+strings.Repeat("}", 1000)) + "." + signature
	// H06: nothing encrypted is ours.
	for _, tt := range []struct {
		alg jose.KeyAlgorithm
		key any
	}{{jose.RSA_OAEP_256, &large.PublicKey}, {jose.ECDH_ES_A256KW, &curve.PublicKey}, {jose.DIRECT, make([]byte, 32)}, {jose.PBES2_HS256_A128KW, []byte("password")}} {
		encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: tt.alg, Key: tt.key, PBES2Count: 1000}, (&jose.EncrypterOptions{Compression: jose.DEFLATE}).WithContentType("JWT").WithType(jose.ContentType(typ)))
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := encrypter.Encrypt([]byte(good))
		if err != nil {
			t.Fatal(err)
		}
		if out["JWE "+string(tt.alg)], err = jwe.CompactSerialize(); err != nil {
			t.Fatal(err)
		}
	}
	out["JWE PBES2 with 2^31 rounds"] = b64(`{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`) + ".AAAA.AAAA.AAAA.AAAA"
	out["empty"], out["a word"], out["null"] = "", "token", "null"
	return out
}

// Access tokens and ID tokens that are forged, misspelt, misused or over.
func TestAttack_H(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=Read"})
		opaqueAPI := inst.NewResource(t, []string{"stock:read=Read"}, "--access-token-format", "opaque")
		alice, bob, carol := inst.NewUser(t), inst.NewUser(t), inst.NewUser(t)
		web, doomed := inst.WebClient(t, "--audience", api, "--scope", "openid offline_access orders:read"), inst.WebClient(t)
		opaque := inst.WebClient(t, "--access-token-format", "opaque")
		mixed := inst.WebClient(t, "--audience", api, "--audience", opaqueAPI, "--scope", "openid offline_access orders:read stock:read")
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		ended := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		opaqueService := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", opaqueAPI, "--scope", "stock:read")
		rs := inst.NewClient(t, "--grant-type", "client_credentials", "--resource-server-of", api, "--resource-server-of", opaqueAPI)
		node, second := startNodes(t, inst)
		w := watching(node)
		b, bobs := w.browser(t, node), w.browser(t, node)
		set := jwks(t, node)
		credentials := url.Values{"grant_type": {"client_credentials"}}

		t.Run("H01_H04_H05_H06_forged_access_tokens", func(t *testing.T) {
			tokens := b.tokens(t, web, alice, "scope", "openid offline_access orders:read")
			for name, forged := range forgeries(t, set, tokens.Access) {
				t.Run(name, func(t *testing.T) {
					if forged == "" {
						node.Post(t, "/oauth2/introspect", web, url.Values{"token": {""}}).WantError(t, http.StatusBadRequest, "invalid_request")
						return
					}
					for _, c := range []Client{web, rs} {
						if a := node.Post(t, "/oauth2/introspect", c, url.Values{"token": {forged}}); a.Status != http.StatusOK || a.Body != inactive {
							t.Errorf("introspection: %d %s", a.Status, a.Body)
						}
					}
					wantBadToken(t, node.Post(t, "/userinfo", Client{}, url.Values{"access_token": {forged}}))
					if a := node.Post(t, "/oauth2/revoke", web, url.Values{"token": {forged}}); a.Status != http.StatusOK || a.Body != "" {
						t.Errorf("revocation: %d %s", a.Status, a.Body)
					}
					if len(forged) < 12<<10 && strings.Trim(forged, " \n\t") == forged && !strings.ContainsAny(forged, "\n\t") {
						wantBadToken(t, node.Userinfo(t, forged))
					}
				})
			}
			for size, want := range map[int]int{256 << 10: http.StatusRequestEntityTooLarge, 1 << 20: http.StatusRequestEntityTooLarge} {
				if a := node.Post(t, "/oauth2/introspect", web, url.Values{"token": {strings.Repeat(".", size)}}); a.Status != want {
					t.Errorf("%d bytes: %d", size, a.Status)
				}
			}
			if a := node.Userinfo(t, strings.Repeat("a", 256<<10)); a.Status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("256 KiB in a header: %d", a.Status)
			}
			if !node.Active(t, web, tokens.Access) || !node.Active(t, web, tokens.Refresh) {
				t.Error("a forgery ended the real grant")
			}
		})
		t.Run("H01_H04_forged_hints", func(t *testing.T) {
			tokens := b.tokens(t, web, alice)
			hint := func(raw string) string {
				a := b.Get(t, "/oauth2/auth?"+web.Request(NewPKCE(), "id_token_hint", raw, "prompt", "none").Encode())
				return a.Header.Get("Location")
			}
			if location := hint(tokens.ID); !strings.Contains(location, "code=") {
				t.Fatalf("a good hint: %s", location)
			}
			for name, forged := range forgeries(t, set, tokens.ID) {
				if forged == "" || len(forged) > 3<<10 {
					continue // no hint at all, or too long a request
				}
				if location := hint(forged); !strings.Contains(location, "error=invalid_request") {
					t.Errorf("%s: %s", name, location)
				}
			}
			// H02: an access token is no hint.
			if location := hint(tokens.Access); !strings.Contains(location, "error=invalid_request") {
				t.Errorf("access token as a hint: %s", location)
			}
		})
		// H02: every token is good for what it is and nothing else.
		t.Run("H02_confusion", func(t *testing.T) {
			p := NewPKCE()
			tokens := b.tokens(t, web, alice)
			code := b.code(t, web, alice, p)
			page := w.browser(t, node).Get(t, "/login")
			issuer, _ := url.Parse(inst.Issuer)
			others := map[string]string{"ID token": tokens.ID, "refresh token": tokens.Refresh, "code": code, "flow": page.Form(t, "login-form").Fields.Get("flow"), "client secret": web.Secret}
			for _, c := range b.Client.Jar.Cookies(issuer) {
				others["cookie "+c.Name] = c.Value
			}
			key := NewClientKey(t, "ES256")
			others["client assertion"] = key.Sign(t, AssertionClaims(web.ID, inst.Issuer, nil))
			others["request object"] = key.Sign(t, AssertionClaims(web.ID, inst.Issuer, map[string]any{"scope": "openid", "client_id": web.ID}), "typ", "oauth-authz-req+jwt")
			for name, other := range others {
				t.Run(name, func(t *testing.T) {
					if other == "" {
						t.Fatal("nothing to try")
					}
					wantBadToken(t, node.Userinfo(t, other))
					if a := node.Post(t, "/oauth2/introspect", rs, url.Values{"token": {other}}); a.Body != inactive {
						t.Errorf("introspection: %s", a.Body)
					}
				})
			}
			if page.Form(t, "login-form").Fields.Get("flow") == "" || len(others) < 9 {
				t.Errorf("only %d kinds", len(others))
			}
			node.Exchange(t, web, code, p).Tokens(t)
		})
		t.Run("H09_key_set", func(t *testing.T) {
			r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/.well-known/jwks.json", nil)
			var raw struct {
				Keys []map[string]any `json:"keys"`
			}
			if err := json.Unmarshal([]byte(Do(t, node.HTTP, r).Body), &raw); err != nil {
				t.Fatal(err)
			}
			seen := map[any]bool{}
			for _, key := range raw.Keys {
				for name := range key {
					switch name {
					case "kty", "use", "alg", "kid", "n", "e", "crv", "x", "y":
					default:
						t.Errorf("a key shows %q", name)
					}
				}
				if key["kty"] == "oct" || key["use"] != "sig" || seen[key["kid"]] || key["kid"] == "" {
					t.Errorf("a key that should not be there: %v", key)
				}
				seen[key["kid"]] = true
			}
			if len(seen) < 2 {
				t.Errorf("%d keys", len(seen))
			}
		})
		// Opaque access tokens: by client, and by resource.
		t.Run("H_opaque_tokens", func(t *testing.T) {
			tokens := b.tokens(t, opaque, alice)
			if !strings.HasPrefix(tokens.Access, "idp_at_") || node.Userinfo(t, tokens.Access).Status != http.StatusOK {
				t.Fatalf("not an opaque token: %.10s", tokens.Access)
			}
			for _, wrong := range misspellings(tokens.Access) {
				wantInactive(t, node, opaque, "misspelt", wrong)
			}
			for i := range 56 {
				wrong := respell(t, tokens.Access, func(raw []byte) { raw[i] ^= 0x10 })
				wantInactive(t, node, opaque, "forged", wrong)
				wantBadToken(t, node.Userinfo(t, wrong))
			}
			byResource := b.tokens(t, mixed, alice, "scope", "openid offline_access stock:read")
			if !strings.HasPrefix(byResource.Access, "idp_at_") {
				t.Error("the resource's format does not count")
			}
			if jwt := b.tokens(t, mixed, alice, "scope", "openid offline_access orders:read"); strings.HasPrefix(jwt.Access, "idp_at_") {
				t.Error("another resource's format counts")
			}
			a := node.Post(t, "/oauth2/introspect", rs, url.Values{"token": {byResource.Access}}).JSON(t)
			if a["active"] != true || a["scope"] != "openid offline_access stock:read" || a["sub"] != alice.Sub || a["client_id"] != mixed.ID {
				t.Errorf("the API sees %v", a)
			}
			wantInactive(t, node, web, "another client's", byResource.Access)
			if a := node.Post(t, "/oauth2/revoke", mixed, url.Values{"token": {byResource.Access}}); a.Status != http.StatusOK {
				t.Errorf("revocation: %d", a.Status)
			}
			wantDead(t, mixed, byResource, node, second)
		})
		t.Run("H10_revoked_client_credentials", func(t *testing.T) {
			for _, c := range []Client{service, opaqueService} {
				one := node.Post(t, "/oauth2/token", c, credentials).Tokens(t)
				two := node.Post(t, "/oauth2/token", c, credentials).Tokens(t)
				before := events(t, node, "token.revoked", "client_id", c.ID)
				for range 2 {
					if a := node.Post(t, "/oauth2/revoke", c, url.Values{"token": {one.Access}}); a.Status != http.StatusOK {
						t.Errorf("revocation: %d", a.Status)
					}
				}
				wantInactive(t, second, c, "revoked", one.Access)
				wantInactive(t, second, rs, "revoked", one.Access)
				if !node.Active(t, c, two.Access) {
					t.Error("its twin died too")
				}
				wantEvents(t, before+1, node, "token.revoked", "client_id", c.ID)
			}
		})
		// Tokens that were issued while their user, client or session was being
		// ended die with the others, and stay dead.
		t.Run("H12_race", func(t *testing.T) {
			b, sessions := w.browser(t, node), w.browser(t, node)
			for _, ending := range []struct {
				name    string
				user    User
				browser *Browser
				clients []Client
				end     []string
				undo    []string
			}{
				{name: "user", user: bob, browser: bobs, clients: []Client{web, opaque}, end: []string{"user", "disable", bob.Username}, undo: []string{"user", "enable", bob.Username}},
				{name: "session", user: carol, browser: sessions, clients: []Client{web, opaque}, end: []string{"session", "revoke", "--user", carol.Username}},
				{name: "client", user: alice, browser: b, clients: []Client{doomed}, end: []string{"client", "disable", doomed.ID}, undo: []string{"client", "enable", doomed.ID}},
			} {
				t.Run(ending.name, func(t *testing.T) {
					var mu sync.Mutex
					issued := map[string]bool{}
					stop := make(chan struct{})
					var wg sync.WaitGroup
					for _, c := range ending.clients {
						tokens := ending.browser.tokens(t, c, ending.user, "scope", "openid offline_access")
						wg.Go(func() {
							for n := node; ; n = map[bool]*Node{true: second, false: node}[n == node] {
								select {
								case <-stop:
									return
								default:
								}
								a, err := n.TryPost("/oauth2/token", c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
								if err != nil || a.Status != http.StatusOK {
									return
								}
								var body struct {
									Access  string `json:"access_token"`
									Refresh string `json:"refresh_token"`
								}
								if json.Unmarshal([]byte(a.Body), &body) != nil {
									return
								}
								tokens.Refresh = body.Refresh
								mu.Lock()
								issued[body.Access], issued[body.Refresh] = true, true
								mu.Unlock()
							}
						})
					}
					time.Sleep(100 * time.Millisecond)
					inst.CLI(t, "", ending.end...)
					ended := make(chan struct{})
					go func() { wg.Wait(); close(ended) }()
					select {
					case <-ended: // each was refused
					case <-time.After(10 * time.Second):
						t.Error("tokens are still issued")
					}
					close(stop)
					<-ended
					if len(issued) < 4 {
						t.Errorf("no race: %d tokens", len(issued))
					}
					if ending.name == "client" {
						Settle() // nodes keep clients in memory
					}
					// As their owner sees them, and as anybody does at userinfo.
					check := func(introspect bool) {
						t.Helper()
						for token := range issued {
							for _, n := range []*Node{node, second} {
								if a := n.Userinfo(t, token); a.Status != http.StatusUnauthorized {
									t.Fatalf("a token survived: userinfo answers %d", a.Status)
								}
								for _, c := range ending.clients {
									if introspect && n.Active(t, c, token) {
										t.Fatal("a token survived")
									}
								}
							}
						}
					}
					check(ending.name != "client") // which cannot even ask
					if ending.undo != nil {
						inst.CLI(t, "", ending.undo...)
					}
					if ending.name == "user" {
						check(true)
					}
				})
			}
		})
		// Nor does a client get its own tokens back that it was issued by a node
		// that had not heard of its end.
		t.Run("H12_client_credentials", func(t *testing.T) {
			var issued []string
			refused := make(chan struct{})
			go func() {
				defer close(refused)
				for n := node; ; n = map[bool]*Node{true: second, false: node}[n == node] {
					a, err := n.TryPost("/oauth2/token", ended, credentials)
					var body struct {
						Access string `json:"access_token"`
					}
					if err != nil || a.Status != http.StatusOK || json.Unmarshal([]byte(a.Body), &body) != nil {
						return
					}
					issued = append(issued, body.Access)
				}
			}()
			time.Sleep(50 * time.Millisecond)
			inst.CLI(t, "", "client", "disable", ended.ID)
			<-refused
			Settle()
			inst.CLI(t, "", "client", "enable", ended.ID)
			Settle()
			for _, token := range issued {
				if node.Active(t, ended, token) || second.Active(t, ended, token) {
					t.Fatal("a token survived its client's end")
				}
			}
			// What it gets now counts, once the seconds that nodes take are over.
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
				if second.Active(t, ended, node.Post(t, "/oauth2/token", ended, credentials).Tokens(t).Access) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("an enabled client gets no token that lives")
				}
			}
		})
		// The latest of all "not before" wins, whichever was set last.
		t.Run("H10_not_before", func(t *testing.T) {
			type held struct {
				c      Client
				tokens Tokens
				cc     bool
			}
			gather := func() []held {
				out := []held{{c: web, tokens: b.tokens(t, web, alice)}, {c: opaque, tokens: b.tokens(t, opaque, alice)}}
				for _, c := range []Client{service, opaqueService} {
					out = append(out, held{c, node.Post(t, "/oauth2/token", c, credentials).Tokens(t), true})
				}
				return out
			}
			alive := func(n *Node, h held) bool { return n.Active(t, h.c, h.tokens.Access) }
			old := gather()
			time.Sleep(time.Second) // iat counts seconds
			inst.CLI(t, "", "token", "revoke", "--client", service.ID)
			Settle()
			for _, h := range old {
				if want := h.c.ID != service.ID; alive(node, h) != want || alive(second, h) != want {
					t.Errorf("%s after the client's reset: want alive %v", h.c.ID, want)
				}
			}
			inst.CLI(t, "", "token", "revoke", "--all")
			Settle()
			for _, h := range old {
				if alive(node, h) || alive(second, h) {
					t.Errorf("%s lives after the global reset", h.c.ID)
				}
				if !h.cc {
					wantDead(t, h.c, h.tokens, node, second)
				}
			}
			// The session was proven before the reset: it grants nothing more.
			a := b.Get(t, "/oauth2/auth?"+web.Request(NewPKCE(), "prompt", "none").Encode())
			if !strings.Contains(a.Header.Get("Location"), "error=login_required") {
				t.Errorf("an old session: %s", a.Header.Get("Location"))
			}
			b = w.browser(t, node)
			fresh := gather()
			for _, h := range fresh {
				if !alive(node, h) {
					t.Errorf("%s: a token from after the reset is dead", h.c.ID)
				}
			}
			// An earlier global reset does not lift a later one of the client.
			time.Sleep(time.Second)
			inst.CLI(t, "", "token", "revoke", "--client", web.ID)
			Settle()
			for _, h := range fresh {
				if want := h.c.ID != web.ID; alive(node, h) != want {
					t.Errorf("%s after the second reset: want alive %v", h.c.ID, want)
				}
			}
			inst.CLI(t, "another good password "+Token()[:8]+"\n", "user", "set-password", alice.Username, "--password-stdin")
			for _, h := range fresh {
				if want := h.cc; alive(node, h) != want || alive(second, h) != want {
					t.Errorf("%s after the user's reset: want alive %v", h.c.ID, want)
				}
			}
		})
		// A key signs only after it was published, and its tokens live until it
		// is retired.
		t.Run("H08_rotation", func(t *testing.T) {
			kid := func(token string) string {
				jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
				if err != nil {
					t.Fatal(err)
				}
				return jws.Signatures[0].Header.KeyID
			}
			old := node.Post(t, "/oauth2/token", service, credentials).Tokens(t).Access
			before := len(jwks(t, node).Keys)
			inst.CLI(t, "", "key", "rotate", "--alg", "ES256")
			Settle()
			if got := len(jwks(t, node).Keys); got != before+1 {
				t.Errorf("%d keys after %d: the next one is not published", got, before)
			}
			if waiting := node.Post(t, "/oauth2/token", service, credentials).Tokens(t).Access; kid(waiting) != kid(old) {
				t.Error("a key signs as soon as it is published")
			}
			inst.CLI(t, "", "key", "rotate", "--alg", "ES256", "--immediately")
			Settle()
			fresh := node.Post(t, "/oauth2/token", service, credentials).Tokens(t).Access
			if kid(fresh) == kid(old) || len(jwks(t, node).Key(kid(fresh))) != 1 || len(jwks(t, second).Key(kid(old))) != 1 {
				t.Error("the new key does not sign, or a key is not published")
			}
			if !second.Active(t, service, fresh) || !second.Active(t, service, old) {
				t.Error("a token of a retiring key is dead")
			}
			inst.CLI(t, "", "key", "retire", kid(old))
			Settle()
			for _, n := range []*Node{node, second} {
				wantInactive(t, n, service, "token of a retired key", old)
				wantBadToken(t, n.Userinfo(t, old))
				if len(jwks(t, n).Key(kid(old))) != 0 {
					t.Error("a retired key is still published")
				}
				if !n.Active(t, service, fresh) {
					t.Error("a token of the new key is dead")
				}
			}
		})
		calm(t, w, node, second)
	})
}
