package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// A request object counts when this client signed it for this issuer just now,
// and is otherwise none: by authorize and by the pushed endpoint alike.
func TestAttack_C_RequestObjects(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		rs, ps, es := NewClientKey(t, "RS256"), NewClientKey(t, "PS256"), NewClientKey(t, "ES256")
		ps.Private = rs.Private // one key, two algorithms
		ps.KID = rs.KID
		keys := KeyFile(t, &ClientKey{KID: rs.KID, Alg: "", Private: rs.Private}, es)
		web := inst.WebClient(t, "--skip-consent", "--jwks-file", keys)
		other := inst.WebClient(t, "--skip-consent", "--jwks-file", keys)
		pinned := inst.WebClient(t, "--skip-consent", "--jwks-file", keys, "--request-object-signing-alg", "PS256")
		legacy := inst.WebClient(t, "--skip-consent", "--jwks-file", keys, "--security-profile", "oidc-legacy")
		sealed := inst.WebClient(t, "--skip-consent", "--jwks-file", keys, "--request-object-encryption-alg", "RSA-OAEP-256")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, web.Request(NewPKCE()), alice)

		good := func(c Client, changes fields) fields {
			return c.ObjectClaims(inst.Issuer, c.Request(NewPKCE()), changes)
		}
		answer := func(t *testing.T, c Client, object string) url.Values {
			t.Helper()
			page := b.Get(t, "/oauth2/auth?"+c.ByValue(object, "redirect_uri", c.RedirectURI, "state", "outside").Encode())
			u, err := url.Parse(page.Header.Get("Location"))
			if err != nil || !strings.HasPrefix(u.String(), c.RedirectURI) {
				t.Fatalf("status %d, came back to %q: %.300s", page.Status, page.Header.Get("Location"), page.Body)
			}
			return u.Query()
		}
		refuse := func(t *testing.T, c Client, object string) {
			t.Helper()
			if got := answer(t, c, object); got.Get("error") != "invalid_request_object" || got.Has("code") || got.Get("state") != "outside" || got.Get("iss") != inst.Issuer {
				t.Errorf("authorize: %v", got)
			}
			node.Push(t, c, url.Values{"request": {object}}).WantError(t, 400, "invalid_request_object")
		}
		accept := func(t *testing.T, c Client, object string) {
			t.Helper()
			if got := answer(t, c, object); !got.Has("code") {
				t.Errorf("authorize: %v", got)
			}
			node.PushedURI(t, c, url.Values{"request": {object}})
		}

		t.Run("C01_Algorithms", func(t *testing.T) {
			accept(t, pinned, ps.Sign(t, good(pinned, nil)))
			refuse(t, pinned, rs.Sign(t, good(pinned, nil)))
			refuse(t, pinned, es.Sign(t, good(pinned, nil)))
			der, err := x509.MarshalPKIXPublicKey(rs.Private.Public())
			if err != nil {
				t.Fatal(err)
			}
			public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			for name, secret := range map[string]string{"the public key": public, "its DER": string(der), "its JWK": mustJSON(t, rs.JWK()), "the client secret": web.Secret} {
				body := b64(`{"alg":"HS256","kid":"`+rs.KID+`"}`) + "." + b64(mustJSON(t, good(web, nil)))
				mac := hmac.New(sha256.New, []byte(secret))
				mac.Write([]byte(body))
				t.Run("HS256 with "+name, func(t *testing.T) { refuse(t, web, body+"."+b64(string(mac.Sum(nil)))) })
			}
			for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
				refuse(t, web, b64(`{"alg":"`+alg+`"}`)+"."+b64(mustJSON(t, good(web, nil)))+".")
			}
		})
		t.Run("C02_Claims", func(t *testing.T) {
			at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
			for name, c := range map[string]struct {
				change  fields
				lenient bool // what a client of the profile oidc-legacy may do
			}{
				"client_id of another":   {change: fields{"client_id": other.ID}},
				"client_id is no text":   {change: fields{"client_id": []string{web.ID}}},
				"iss of another":         {change: fields{"iss": other.ID}},
				"iss is the issuer":      {change: fields{"iss": inst.Issuer}},
				"no iss":                 {change: fields{"iss": nil}, lenient: true},
				"aud of another":         {change: fields{"aud": "https://other.example"}},
				"aud with a slash":       {change: fields{"aud": inst.Issuer + "/"}},
				"aud is an endpoint":     {change: fields{"aud": inst.Issuer + "/oauth2/par"}},
				"aud is the client":      {change: fields{"aud": web.ID}},
				"aud is empty":           {change: fields{"aud": []string{}}},
				"aud is no text":         {change: fields{"aud": 7}},
				"no aud":                 {change: fields{"aud": nil}, lenient: true},
				"no exp":                 {change: fields{"exp": nil}, lenient: true},
				"no nbf":                 {change: fields{"nbf": nil}, lenient: true},
				"neither":                {change: fields{"exp": nil, "nbf": nil}, lenient: true},
				"expired":                {change: fields{"exp": at(-time.Second)}},
				"expired 70 minutes ago": {change: fields{"exp": at(-70 * time.Minute)}},
				"exp 70 minutes ahead":   {change: fields{"exp": at(70 * time.Minute)}},
				"exp in a year":          {change: fields{"exp": at(365 * 24 * time.Hour)}},
				"exp is text":            {change: fields{"exp": "soon"}},
				"exp is a quoted number": {change: fields{"exp": "2000000000"}},
				"nbf 70 minutes ago":     {change: fields{"nbf": at(-70 * time.Minute)}},
				"nbf of 1970":            {change: fields{"nbf": 0}},
				"nbf 20 minutes ahead":   {change: fields{"nbf": at(20 * time.Minute)}},
				"nbf is text":            {change: fields{"nbf": "now"}},
			} {
				t.Run(name, func(t *testing.T) {
					refuse(t, web, es.Sign(t, good(web, c.change)))
					object := es.Sign(t, good(legacy, c.change))
					if c.lenient {
						accept(t, legacy, object)
					} else {
						refuse(t, legacy, object)
					}
				})
			}
			for name, change := range map[string]fields{
				"several aud":          {"aud": []string{"https://other.example", inst.Issuer}},
				"nbf 8 seconds ahead":  {"nbf": at(8 * time.Second)},
				"nbf 50 minutes ago":   {"nbf": at(-50 * time.Minute)},
				"exp 59 minutes ahead": {"exp": at(59 * time.Minute)},
				"a fraction":           {"exp": float64(at(30*time.Minute)) + 0.5},
			} {
				t.Run(name, func(t *testing.T) { accept(t, web, es.Sign(t, good(web, change))) })
			}
		})
		t.Run("C04_WithoutOpenid", func(t *testing.T) {
			page := b.Get(t, "/oauth2/auth?"+web.ByValue("nonsense", "redirect_uri", web.RedirectURI, "scope", "email").Encode())
			if location := page.Header.Get("Location"); !strings.Contains(location, "error=invalid_request_object") {
				t.Errorf("%d %s", page.Status, location)
			}
			for _, name := range []string{"request", "request_uri"} {
				nested := es.Sign(t, good(web, fields{name: "https://app.example/object"}))
				if got := answer(t, web, nested); got.Get("error") != "invalid_request" {
					t.Errorf("%s inside: %v", name, got)
				}
				node.Push(t, web, url.Values{"request": {nested}}).WantError(t, 400, "invalid_request")
			}
		})
		t.Run("C05_Assertions", func(t *testing.T) {
			refuse(t, web, es.Sign(t, AssertionClaims(web.ID, inst.Issuer, nil), "typ", "client-authentication+jwt"))
			refuse(t, web, es.Sign(t, AssertionClaims(web.ID, inst.Issuer, fields{"nbf": time.Now().Unix()})))
			for _, typ := range []string{"dpop+jwt", "at+jwt", "logout+jwt", "secevent+jwt"} {
				refuse(t, web, es.Sign(t, good(web, nil), "typ", typ))
			}
		})
		t.Run("C06_EncryptedButNotSigned", func(t *testing.T) {
			key := node.encryptionKey(t, "RSA-OAEP-256")
			seal := func(content, cty string) string {
				return encryptTo(t, key, "RSA-OAEP-256", "A256GCM", content, (&jose.EncrypterOptions{}).WithContentType(jose.ContentType(cty)))
			}
			claims := mustJSON(t, good(sealed, nil))
			for _, content := range []string{claims, b64(claims), b64(`{"alg":"none"}`) + "." + b64(claims) + "."} {
				for _, cty := range []string{"JWT", "json", "oauth-authz-req+jwt"} {
					refuse(t, sealed, seal(content, cty))
				}
			}
			accept(t, sealed, seal(es.Sign(t, good(sealed, nil)), "JWT"))
		})
	})
}
