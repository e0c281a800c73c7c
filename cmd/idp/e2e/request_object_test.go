package e2e

import (
	"crypto/sha256"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// ObjectClaims are a request as the claims of a request object, with changes: a
// nil value leaves a claim out.
func (c Client) ObjectClaims(issuer string, request url.Values, changes fields) fields {
	claims := fields{"iss": c.ID, "aud": issuer, "exp": time.Now().Add(5 * time.Minute).Unix(), "nbf": time.Now().Unix()}
	for name := range request {
		claims[name] = request.Get(name)
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// ByValue is a front-channel request with a request object, and what else
// OpenID Connect Core section 6.1 wants to be there.
func (c Client) ByValue(object string, more ...string) url.Values {
	v := url.Values{"client_id": {c.ID}, "response_type": {"code"}, "scope": {"openid"}, "request": {object}}
	for k := 0; k+1 < len(more); k += 2 {
		if more[k+1] == "" {
			v.Del(more[k])
			continue
		}
		v.Set(more[k], more[k+1])
	}
	return v
}

func TestRFC9101_RequestObjects(t *testing.T) {
	t.Parallel() // it waits for hosts that do not answer
	EachEngine(t, func(t *testing.T, engine string) {
		host := newDocuments(t)
		inst := Install(t, engine, host.trusted(t, nil))
		alice := inst.NewUser(t)
		es, rs, foreign := NewClientKey(t, "ES256"), NewClientKey(t, "RS256"), NewClientKey(t, "ES256")
		silent := silentPort(t)
		host.sends["/inside"], host.sends["/downgrade"] = "https://"+silent+"/", "http"+strings.TrimPrefix(host.URL, "https")+"/object"
		unreadable := []string{
			host.URL + "/gone", host.URL + "/redirect", host.URL + "/inside", host.URL + "/downgrade",
			"https://127.0.0.1:1/object", "https://" + silent + "/object", // closed, open and without an answer
			"https://127.0.0.2/object", "https://localhost.localdomain/object", "https://10.0.0.1/object", "https://172.16.0.1/object",
			"https://192.168.0.1/object", "https://169.254.169.254/latest", "https://100.64.0.1/object", "https://198.18.0.1/object",
			"https://[::1]:1/object", "https://[fc00::1]/object", "https://[fe80::1]/object", "https://[64:ff9b::a00:1]/object",
		}
		flags := []string{"--skip-consent", "--jwks-file", KeyFile(t, es, rs)}
		for _, address := range append([]string{host.URL + "/object", host.URL + "/hashed"}, unreadable...) {
			flags = append(flags, "--request-uri", address)
		}
		web := inst.WebClient(t, flags...)
		pinned := inst.WebClient(t, "--skip-consent", "--jwks-file", KeyFile(t, es, rs), "--request-object-signing-alg", "ES256", "--require-signed-request-object")
		other := inst.WebClient(t, "--skip-consent", "--jwks-file", KeyFile(t, foreign))
		legacy := inst.WebClient(t, "--skip-consent", "--security-profile", "oidc-legacy", "--jwks-file", KeyFile(t, rs), "--request-uri", host.URL+"/unsigned")
		plain := inst.WebClient(t, "--skip-consent")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, web.Request(NewPKCE()), alice)
		open := func(request url.Values) *Answer { return b.Get(t, "/oauth2/auth?"+request.Encode()) }
		back := func(t *testing.T, request url.Values) url.Values {
			t.Helper()
			a := open(request)
			u, err := url.Parse(a.Header.Get("Location"))
			if err != nil || !strings.HasPrefix(u.String(), "https://app.example/cb") {
				t.Fatalf("status %d, came back to %q: %.300s", a.Status, a.Header.Get("Location"), a.Body)
			}
			return u.Query()
		}

		t.Run("by value, what is outside does not count", func(t *testing.T) {
			for _, typ := range []string{"", "JWT", "oauth-authz-req+jwt", "application/oauth-authz-req+jwt"} {
				p := NewPKCE()
				inner := web.Request(p)
				object := es.Sign(t, web.ObjectClaims(inst.Issuer, inner, nil), "typ", typ)
				got := back(t, web.ByValue(object, "state", "outside", "redirect_uri", "https://evil.example/", "scope", "openid email", "nonce", "outside", "prompt", "login"))
				if got.Get("state") != inner.Get("state") || got.Get("iss") != inst.Issuer {
					t.Fatalf("%v", got)
				}
				tokens := node.Exchange(t, web, got.Get("code"), p).Tokens(t)
				if id := node.Verify(t, tokens.ID, "JWT", "RS256"); id["nonce"] != inner.Get("nonce") || tokens.Scope != inner.Get("scope") {
					t.Errorf("nonce %v, scope %s", id["nonce"], tokens.Scope)
				}
			}
		})
		t.Run("client_id and request are enough", func(t *testing.T) {
			object := es.Sign(t, web.ObjectClaims(inst.Issuer, web.Request(NewPKCE()), nil))
			if got := back(t, url.Values{"client_id": {web.ID}, "request": {object}}); !got.Has("code") {
				t.Errorf("%v", got)
			}
		})
		t.Run("by POST, and through the login page", func(t *testing.T) {
			inner := web.Request(NewPKCE())
			object := rs.Sign(t, web.ObjectClaims(inst.Issuer, inner, nil))
			fresh := node.NewBrowser(t)
			page := fresh.follow(t, formRequest(t, inst.Issuer+"/oauth2/auth", web.ByValue(object)))
			done := fresh.Login(t, page, alice.Username, alice.Password)
			if location := done.Header.Get("Location"); !strings.Contains(location, "code=") || !strings.Contains(location, inner.Get("state")) {
				t.Errorf("%d %s", done.Status, location)
			}
		})
		t.Run("oidcc-ensure-request-object-with-redirect-uri", func(t *testing.T) {
			claims := web.ObjectClaims(inst.Issuer, web.Request(NewPKCE()), nil)
			if got := back(t, web.ByValue(es.Sign(t, claims), "redirect_uri", "https://app.example/other")); !got.Has("code") {
				t.Errorf("%v", got)
			}
			claims["redirect_uri"] = "https://evil.example/"
			open(web.ByValue(es.Sign(t, claims), "redirect_uri", web.RedirectURI)).wantPage(t, 400)
			delete(claims, "redirect_uri") // ensure-request-object-without-redirect-uri-fails
			open(web.ByValue(es.Sign(t, claims), "redirect_uri", web.RedirectURI)).wantPage(t, 400)
		})
		t.Run("oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", func(t *testing.T) {
			claims := web.ObjectClaims(inst.Issuer, web.Request(NewPKCE()), nil)
			none := b64(`{"alg":"none"}`) + "." + b64(mustJSON(t, claims)) + "."
			got := back(t, web.ByValue(none, "redirect_uri", web.RedirectURI, "state", "s"))
			if got.Get("error") != "invalid_request_object" || got.Get("state") != "s" || got.Get("iss") != inst.Issuer {
				t.Errorf("%v", got)
			}
			none = b64(`{"alg":"none"}`) + "." + b64(mustJSON(t, legacy.ObjectClaims(inst.Issuer, legacy.Request(NewPKCE()), nil))) + "."
			if got := back(t, legacy.ByValue(none, "redirect_uri", legacy.RedirectURI)); got.Get("error") != "request_not_supported" {
				t.Errorf("%v", got)
			}
			// oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported
			uri := host.put("/unsigned", none)
			if got := back(t, legacy.ByValue("", "request", "", "redirect_uri", legacy.RedirectURI, "request_uri", uri)); got.Get("error") != "request_uri_not_supported" {
				t.Errorf("%v", got)
			}
		})
		t.Run("values of other types", func(t *testing.T) {
			object := func(changes fields) url.Values {
				return web.ByValue(es.Sign(t, web.ObjectClaims(inst.Issuer, web.Request(NewPKCE()), changes)))
			}
			if got := back(t, object(fields{"max_age": 100, "claims": fields{"userinfo": fields{"name": nil}}, "unknown": []int{1}})); !got.Has("code") {
				t.Errorf("%v", got)
			}
			for name, change := range map[string]fields{"float": {"max_age": 1.5}, "negative": {"max_age": -1}, "prompt": {"prompt": []string{"login"}}, "claims": {"claims": "nonsense"}} {
				if got := back(t, object(change)); got.Get("error") != "invalid_request" {
					t.Errorf("%s: %v", name, got)
				}
			}
		})

		refused := func(t *testing.T, object string, code string) {
			t.Helper()
			if got := back(t, web.ByValue(object, "redirect_uri", web.RedirectURI)); got.Get("error") != code || got.Has("code") {
				t.Errorf("%v, want %s", got, code)
			}
		}
		good := func(changes fields) fields { return web.ObjectClaims(inst.Issuer, web.Request(NewPKCE()), changes) }
		t.Run("TestAttack_C01_OthersKeys", func(t *testing.T) {
			signed := es.Sign(t, good(nil))
			hs := &ClientKey{KID: es.KID, Alg: "ES256", Private: foreign.Private} // the client's kid, another's key
			refused(t, hs.Sign(t, good(nil)), "invalid_request_object")
			refused(t, foreign.Sign(t, good(nil)), "invalid_request_object")
			refused(t, signed[:len(signed)-4]+"AAAA", "invalid_request_object")
			refused(t, signed+".", "invalid_request_object")
			refused(t, "nonsense", "invalid_request_object")
			got := back(t, pinned.ByValue(rs.Sign(t, pinned.ObjectClaims(inst.Issuer, pinned.Request(NewPKCE()), nil)), "redirect_uri", pinned.RedirectURI))
			if got.Get("error") != "invalid_request_object" {
				t.Errorf("another algorithm than the registered one: %v", got)
			}
			if got := back(t, plain.ByValue(es.Sign(t, plain.ObjectClaims(inst.Issuer, plain.Request(NewPKCE()), nil)), "redirect_uri", plain.RedirectURI)); got.Get("error") != "invalid_request_object" {
				t.Errorf("a client without keys: %v", got)
			}
		})
		t.Run("TestAttack_C04_BothOrNested", func(t *testing.T) {
			refused(t, es.Sign(t, good(fields{"request": "x"})), "invalid_request")
			refused(t, es.Sign(t, good(fields{"request_uri": "https://app.example/x"})), "invalid_request")
			if got := back(t, web.ByValue(es.Sign(t, good(nil)), "redirect_uri", web.RedirectURI, "request_uri", host.URL+"/object")); got.Get("error") != "invalid_request" {
				t.Errorf("both: %v", got)
			}
			// Without openid it is verified as well.
			if got := back(t, web.ByValue("nonsense", "redirect_uri", web.RedirectURI, "scope", "email")); got.Get("error") != "invalid_request_object" {
				t.Errorf("without openid: %v", got)
			}
		})
		t.Run("TestAttack_C05_OtherTokens", func(t *testing.T) {
			refused(t, es.Sign(t, good(fields{"sub": web.ID, "jti": Token()})), "invalid_request_object")
			refused(t, es.Sign(t, AssertionClaims(web.ID, inst.Issuer, nil)), "invalid_request_object")
			for _, typ := range []string{"dpop+jwt", "at+jwt", "client-authentication+jwt", "logout+jwt"} {
				refused(t, es.Sign(t, good(nil), "typ", typ), "invalid_request_object")
			}
			// An object is no assertion either.
			a := node.anonymous(t, "/oauth2/par", Asserted(web.Request(NewPKCE()), es.Sign(t, good(fields{"sub": web.ID, "jti": Token()}))))
			a.WantError(t, 401, "invalid_client")
			id := node.SignIn(t, web, alice).ID
			refused(t, id, "invalid_request_object")
		})
		t.Run("a client that has to sign", func(t *testing.T) {
			if got := back(t, pinned.Request(NewPKCE())); got.Get("error") != "invalid_request" {
				t.Errorf("%v", got)
			}
			node.Push(t, pinned, pinned.Request(NewPKCE())).WantError(t, 400, "invalid_request") // ensure-unsigned-request-at-par-endpoint-fails
			object := es.Sign(t, pinned.ObjectClaims(inst.Issuer, pinned.Request(NewPKCE()), nil))
			if got := back(t, pinned.ByValue(object)); !got.Has("code") {
				t.Errorf("%v", got)
			}
		})
		t.Run("pushed", func(t *testing.T) {
			p := NewPKCE()
			inner := pinned.Request(p)
			object := es.Sign(t, pinned.ObjectClaims(inst.Issuer, inner, nil))
			got := back(t, pinned.ByReference(node.PushedURI(t, pinned, url.Values{"client_id": {pinned.ID}, "request": {object}, "state": {"outside"}})))
			if got.Get("state") != inner.Get("state") {
				t.Errorf("%v", got)
			}
			node.Exchange(t, pinned, got.Get("code"), p).Tokens(t)
			node.Push(t, web, url.Values{"request": {es.Sign(t, good(nil)) + "x"}}).WantError(t, 400, "invalid_request_object")
			node.Push(t, web, url.Values{"request": {es.Sign(t, good(fields{"request_uri": host.URL + "/object"}))}}).WantError(t, 400, "invalid_request")
			node.Push(t, other, url.Values{"request": {es.Sign(t, good(nil))}}).WantError(t, 400, "invalid_request_object")
		})
		t.Run("oidcc-request-uri-signed-rs256", func(t *testing.T) {
			inner := web.Request(NewPKCE())
			object := rs.Sign(t, web.ObjectClaims(inst.Issuer, inner, nil))
			uri := host.put("/object", object+"\n")
			if got := back(t, web.ByValue("", "request", "", "request_uri", uri)); got.Get("state") != inner.Get("state") || !got.Has("code") {
				t.Errorf("%v", got)
			}
			sum := sha256.Sum256([]byte(object))
			uri = host.put("/hashed", object)
			if got := back(t, web.ByValue("", "request", "", "request_uri", uri+"#"+b64(string(sum[:])))); !got.Has("code") {
				t.Errorf("%v", got)
			}
			if got := back(t, web.ByValue("", "request", "", "redirect_uri", web.RedirectURI, "request_uri", uri+"#"+b64(string(sum[1:])))); got.Get("error") != "invalid_request_uri" {
				t.Errorf("another hash: %v", got)
			}
			host.put("/object", "nonsense")
			if got := back(t, web.ByValue("", "request", "", "redirect_uri", web.RedirectURI, "request_uri", host.URL+"/object")); got.Get("error") != "invalid_request_object" {
				t.Errorf("nonsense: %v", got)
			}
		})
		// What OpenID Connect Core leaves out of an object, for those who hold on to it.
		t.Run("oidc-legacy", func(t *testing.T) {
			claims := legacy.ObjectClaims(inst.Issuer, legacy.Request(NewPKCE()), fields{"iss": nil, "aud": nil, "exp": nil, "nbf": nil, "response_type": nil, "scope": nil})
			if got := back(t, legacy.ByValue(rs.Sign(t, claims))); !got.Has("code") {
				t.Errorf("%v", got)
			}
		})
		// Attack C08: what is not registered is not fetched.
		t.Run("TestAttack_C08_UnregisteredIsNotFetched", func(t *testing.T) {
			before := host.count()
			for _, uri := range []string{host.URL + "/other", host.URL + "/object?x", host.URL, "http" + strings.TrimPrefix(host.URL, "https") + "/object", "file:///etc/passwd", "gopher://127.0.0.1/", "urn:x"} {
				if got := back(t, web.ByValue("", "request", "", "redirect_uri", web.RedirectURI, "request_uri", uri)); got.Get("error") != "invalid_request_uri" {
					t.Errorf("%s: %v", uri, got)
				}
			}
			if host.count() != before {
				t.Error("something was fetched")
			}
		})
		// Attacks C09, C10 and C12: registered, and inside, closed, gone or
		// redirecting. The answers are the same.
		t.Run("TestAttack_C09_C10_C12_AllLookAlike", func(t *testing.T) {
			before := host.count()
			answers := make(chan string, len(unreadable))
			for _, address := range unreadable {
				go func() {
					started := time.Now()
					r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/oauth2/auth?"+web.ByValue("", "request", "", "redirect_uri", web.RedirectURI, "request_uri", address).Encode(), nil)
					a, err := Send(b.Client, r)
					if err != nil {
						answers <- err.Error()
						return
					}
					if took := time.Since(started); took < 4*time.Second {
						t.Errorf("%s: refused after %v, which tells what is there", address, took)
					}
					answers <- a.Header.Get("Location")
				}()
			}
			first := <-answers
			if !strings.Contains(first, "error=invalid_request_uri") {
				t.Errorf("came back to %s", first)
			}
			for range len(unreadable) - 1 {
				if next := <-answers; next != first {
					t.Errorf("%s and %s tell what is there", first, next)
				}
			}
			if hits := host.count() - before; hits != 4 { // what is gone, and the redirects that are not followed
				t.Errorf("%d documents were read", hits)
			}
		})
		t.Run("metadata", func(t *testing.T) {
			m := node.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil).JSON(t)
			algs, _ := m["request_object_signing_alg_values_supported"].([]any)
			if m["request_parameter_supported"] != true || m["request_uri_parameter_supported"] != true || m["require_request_uri_registration"] != true || len(algs) < 4 {
				t.Errorf("%v", m)
			}
			for _, alg := range algs {
				if alg == "none" || strings.HasPrefix(alg.(string), "HS") {
					t.Errorf("%v", alg)
				}
			}
		})
	})
}

// silentPort is an address on loopback that takes connections and says nothing.
func silentPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func formRequest(t testing.TB, target string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
