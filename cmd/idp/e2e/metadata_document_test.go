package e2e

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// documentClient is a client that describes itself at its client_id.
func documentClient(host *Host, path string) Client {
	return Client{ID: host.URL + path, RedirectURI: host.URL + "/cb", Public: true}
}

// clientDocument is what stands there, with changes: a nil value leaves a
// member out.
func clientDocument(c Client, changes fields) fields {
	f := fields{
		"client_id": c.ID, "client_name": "Notes", "redirect_uris": []string{c.RedirectURI}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}, "scope": "openid offline_access notes:all",
	}
	maps.Copy(f, changes)
	maps.DeleteFunc(f, func(_ string, v any) bool { return v == nil })
	return f
}

// Clients whose client_id is the address of a document that describes them
// (draft-ietf-oauth-client-id-metadata-document), and what becomes of those who
// put something else there.
func TestAttack_M10_MetadataDocuments(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		host := NewHost(t)
		var mu sync.Mutex
		pages := map[string]http.HandlerFunc{}
		put := func(path string, page http.HandlerFunc) {
			mu.Lock()
			defer mu.Unlock()
			pages[path] = page
		}
		describe := func(path string, document fields) {
			text := mustJSON(t, document)
			put(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte(text))
			})
		}
		host.Serve(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			page := pages[r.URL.Path]
			mu.Unlock()
			if page == nil {
				http.NotFound(w, r)
				return
			}
			page(w, r)
		})
		settings := host.Outbound()
		maps.Copy(settings, map[string]string{"IDP_REGISTRATION_METADATA_DOCUMENTS": "on", "IDP_REGISTRATION_PER_HOUR": "10000"})
		inst := Install(t, engine, settings)
		alice, bob := inst.NewUser(t), inst.NewUser(t)
		node := inst.Start(t)
		app := documentClient(host, "/client")
		describe("/client", clientDocument(app, nil))
		asked := func(t *testing.T, c Client, u User) *Answer {
			t.Helper()
			b := node.NewBrowser(t)
			return b.Login(t, b.Get(t, "/oauth2/auth?"+c.Request(NewPKCE()).Encode()), u.Username, u.Password)
		}
		signIn := func(t *testing.T, c Client) Tokens {
			t.Helper()
			p := NewPKCE()
			return node.Exchange(t, c, node.NewBrowser(t).Authorize(t, c.Request(p), alice).Query().Get("code"), p).Tokens(t)
		}

		t.Run("happy flow", func(t *testing.T) {
			tokens := signIn(t, app)
			if claims := node.Verify(t, tokens.ID, "JWT", "RS256"); claims["aud"] != app.ID || tokens.Scope != "openid offline_access" {
				t.Errorf("%v, scope %s", claims, tokens.Scope)
			}
			node.Refresh(t, app, tokens.Refresh).Tokens(t)
			signIn(t, app)
			if hits := host.Hits.Load(); hits != 1 {
				t.Errorf("the document was read %d times", hits)
			}
			page := asked(t, app, bob)
			if !page.HasID("unverified") || !strings.Contains(page.Body, "Notes") {
				t.Errorf("consent: %d %s", page.Status, page.Body)
			}
			var stored fields
			inst.JSON(t, &stored, "", "client", "get", app.ID)
			if stored["metadata_document"] != true || stored["self_registered"] != true || stored["secrets"] != nil {
				t.Errorf("%v", stored)
			}
			m := node.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil).JSON(t)
			if m["client_id_metadata_document_supported"] != true || m["registration_endpoint"] != nil {
				t.Errorf("%v", m)
			}
		})
		t.Run("pushed, with a key of its own", func(t *testing.T) {
			key := NewClientKey(t, "ES256")
			c := documentClient(host, "/keyed")
			c.Public = false
			describe("/keyed", clientDocument(c, fields{"client_name": "Keyed", "token_endpoint_auth_method": "private_key_jwt", "jwks": fields{"keys": []any{key.JWK()}}}))
			p := NewPKCE()
			asserted := func(path string, form url.Values) *Answer {
				return node.anonymous(t, path, Asserted(form, key.Sign(t, AssertionClaims(c.ID, inst.Issuer, nil))))
			}
			a := asserted("/oauth2/par", c.Request(p))
			if a.Status != http.StatusCreated {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			back := node.NewBrowser(t).Authorize(t, c.ByReference(a.JSON(t)["request_uri"].(string)), alice)
			asserted("/oauth2/token", CodeForm(c, back.Query().Get("code"), p)).Tokens(t)
			node.Exchange(t, c, "x", p).WantError(t, 401, "invalid_client")
		})
		t.Run("addresses that are not read", func(t *testing.T) {
			before := host.Hits.Load()
			name := strings.TrimPrefix(host.URL, "https://")
			for _, id := range []string{
				"http://" + name + "/client", "https://user@" + name + "/client", "https://user:pw@" + name + "/client", host.URL, host.URL + "/",
				host.URL + "/client#x", host.URL + "/client?x=1", host.URL + "/./client", host.URL + "/a/../client", host.URL + "/%2e%2e/client",
				host.URL + "//client", "HTTPS://" + name + "/client", host.URL + "/" + strings.Repeat("x", 600),
			} {
				node.NewBrowser(t).Get(t, "/oauth2/auth?"+app.Request(NewPKCE(), "client_id", id).Encode()).wantPage(t, 400)
			}
			if host.Hits.Load() != before {
				t.Error("something was read")
			}
		})
		t.Run("documents that are not used", func(t *testing.T) {
			silent := silentPort(t)
			bad := map[string]fields{}
			for name, change := range map[string]fields{
				"/other-id": {"client_id": app.ID}, "/no-id": {"client_id": nil}, "/basic": {"token_endpoint_auth_method": "client_secret_basic"},
				"/jwt": {"token_endpoint_auth_method": "client_secret_jwt"}, "/secret": {"client_secret": "x"}, "/secret-life": {"client_secret_expires_at": 0},
				"/foreign": {"redirect_uris": []string{"https://evil.example/cb"}}, "/one-foreign": {"redirect_uris": []string{host.URL + "/cb", "https://evil.example/cb"}},
				"/scheme": {"redirect_uris": []string{"com.example.app:/cb"}}, "/script": {"redirect_uris": []string{"javascript:alert(1)"}},
				"/none": {"redirect_uris": nil}, "/private": {"jwks": fields{"keys": []any{fields{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}}},
				"/typed": {"client_name": 7}, "/bidi": {"client_name": "Wiki\u202e"},
			} {
				bad[name] = clientDocument(documentClient(host, name), change)
				describe(name, bad[name])
			}
			addresses := []string{
				host.URL + "/gone", "https://127.0.0.2/client", "https://10.0.0.1/client", "https://169.254.169.254/client", "https://[::1]/client",
				"https://[fd00::1]/client", "https://localhost.localdomain/client", "https://127.0.0.1:1/client", "https://" + silent + "/client",
			}
			for path := range bad {
				addresses = append(addresses, host.URL+path)
			}
			raw := func(path, contentType, text string) {
				put(path, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", contentType)
					w.Write([]byte(text))
				})
				addresses = append(addresses, host.URL+path)
			}
			good := func(path string) string { return mustJSON(t, clientDocument(documentClient(host, path), nil)) }
			raw("/html", "text/html", good("/html"))
			raw("/list", "application/json", "["+good("/list")+"]")
			raw("/broken", "application/json", good("/broken")[1:])
			raw("/huge", "application/json", strings.Repeat(" ", 65<<10)+good("/huge"))
			for path, target := range map[string]string{"/moved": "/client", "/inside": "https://" + silent + "/", "/downgrade": "http://example.com/"} {
				put(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
				addresses = append(addresses, host.URL+path)
			}
			var all sync.WaitGroup
			for _, id := range addresses {
				request := app.Request(NewPKCE(), "client_id", id)
				all.Go(func() {
					r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/oauth2/auth?"+request.Encode(), nil)
					a, err := Send(node.HTTP, r)
					if err != nil || a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.Contains(a.Body, "invalid_client") {
						t.Errorf("%s: %v %+v", id, err, a)
					}
				})
			}
			all.Wait()
			var list []fields
			inst.JSON(t, &list, "", "client", "list")
			if len(list) != 2 {
				t.Errorf("%d clients are known", len(list))
			}
		})
		t.Run("changed between authorize and token", func(t *testing.T) {
			p := NewPKCE()
			code := node.NewBrowser(t).Authorize(t, app.Request(p), alice).Query().Get("code")
			if page := asked(t, app, alice); page.HasID("consent-form") {
				t.Errorf("asked again for nothing")
			}
			moved := app
			moved.RedirectURI = host.URL + "/elsewhere"
			describe("/client", clientDocument(moved, nil))
			node.Stop(t)
			node = inst.Start(t) // what it knew of the document is gone
			node.NewBrowser(t).Get(t, "/oauth2/auth?"+app.Request(NewPKCE()).Encode()).wantPage(t, 400)
			node.Exchange(t, app, code, p, "redirect_uri", moved.RedirectURI).WantError(t, 400, "invalid_grant")
			if page := asked(t, moved, alice); !page.HasID("consent-form") { // to another place than people agreed to
				t.Errorf("not asked again: %d %s", page.Status, page.Header.Get("Location"))
			}
			signIn(t, moved)
			q := NewPKCE()
			code = node.NewBrowser(t).Authorize(t, moved.Request(q), alice).Query().Get("code")
			describe("/client", clientDocument(app, nil))
			node.Exchange(t, moved, code, q).Tokens(t) // as authorize saw it
		})
		t.Run("bounded", func(t *testing.T) {
			node.Stop(t)
			node = inst.Launch(t, map[string]string{"IDP_REGISTRATION_MAX_CLIENTS": "2", "IDP_REGISTRATION_DOCUMENT_HOSTS": ""})
			node.WaitReady(t)
			before := host.Hits.Load()
			third := documentClient(host, "/third")
			describe("/third", clientDocument(third, nil))
			node.NewBrowser(t).Get(t, "/oauth2/auth?"+third.Request(NewPKCE()).Encode()).wantPage(t, 400)
			node.Stop(t)
			node = inst.Launch(t, map[string]string{"IDP_REGISTRATION_DOCUMENT_HOSTS": "app.example other.example"})
			node.WaitReady(t)
			node.NewBrowser(t).Get(t, "/oauth2/auth?"+third.Request(NewPKCE()).Encode()).wantPage(t, 400)
			node.Stop(t)
			node = inst.Launch(t, map[string]string{"IDP_REGISTRATION_METADATA_DOCUMENTS": "off"})
			node.WaitReady(t)
			node.NewBrowser(t).Get(t, "/oauth2/auth?"+third.Request(NewPKCE()).Encode()).wantPage(t, 400)
			if host.Hits.Load() != before {
				t.Error("something was read")
			}
			if m := node.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil).JSON(t); m["client_id_metadata_document_supported"] != nil {
				t.Errorf("%v", m)
			}
		})
	})
}
