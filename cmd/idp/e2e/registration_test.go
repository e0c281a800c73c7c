package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// fields is a JSON object.
type fields = map[string]any

// JSONRequest sends a JSON object, or nothing, with a bearer token, or none.
func (n *Node) JSONRequest(t testing.TB, method, target, bearer string, body any) *Answer {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = n.Issuer + target
	}
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, target, &content)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return Do(t, n.HTTP, r)
}

// Registered is a client that registered itself.
type Registered struct {
	Client
	Token, URI string
	Fields     fields
}

// Register registers a client; changes go over the defaults of a web client.
func (n *Node) Register(t testing.TB, bearer string, changes fields) Registered {
	t.Helper()
	a := n.JSONRequest(t, http.MethodPost, "/oauth2/register", bearer, registration(changes))
	if a.Status != http.StatusCreated {
		t.Fatalf("registration: %d %s", a.Status, a.Body)
	}
	return readRegistered(t, a)
}

func registration(changes fields) fields {
	f := fields{"redirect_uris": []string{"https://app.example/cb"}, "client_name": unique("Self")}
	for k, v := range changes {
		f[k] = v
	}
	return f
}

func readRegistered(t testing.TB, a *Answer) Registered {
	t.Helper()
	f := a.JSON(t)
	text := func(name string) string { s, _ := f[name].(string); return s }
	r := Registered{Token: text("registration_access_token"), URI: text("registration_client_uri"), Fields: f}
	r.ID, r.Secret, r.Public = text("client_id"), text("client_secret"), text("token_endpoint_auth_method") == "none"
	if uris, ok := f["redirect_uris"].([]any); ok {
		r.RedirectURI, _ = uris[0].(string)
	}
	return r
}

// documents is a host of the client that serves what the test puts there, over
// https with a certificate of its own.
type documents struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]string
	sends map[string]string // redirects
	hits  int
}

func newDocuments(t testing.TB) *documents {
	d := &documents{pages: map[string]string{}, sends: map[string]string{"/redirect": "/object"}}
	d.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.hits++
		if target, ok := d.sends[r.URL.Path]; ok {
			http.Redirect(w, r, target, http.StatusFound)
			return
		}
		page, ok := d.pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(page))
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *documents) put(path, page string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pages[path] = page
	return d.URL + path
}

func (d *documents) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// trusted are the settings that let idp read from the host.
func (d *documents) trusted(t testing.TB, more map[string]string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{"IDP_OUTBOUND_CA_FILE": file, "IDP_OUTBOUND_ALLOW": "127.0.0.1/32"}
	for k, v := range more {
		settings[k] = v
	}
	return settings
}

// oidcc-registration-*: what OpenID Connect Dynamic Client Registration promises.
func TestOIDC_oidcc_registration(t *testing.T) {
	t.Parallel() // it waits for hosts that do not answer
	EachEngine(t, func(t *testing.T, engine string) {
		host := newDocuments(t)
		inst := Install(t, engine, host.trusted(t, map[string]string{
			"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_SECURITY_PROFILE": "oidc-legacy", "IDP_REGISTRATION_PER_HOUR": "10000",
			"IDP_REGISTRATION_REMOTE_LOGOS": "true", // as those who certify want it
		}))
		alice := inst.NewUser(t, "--name", "Alice Example")
		node := inst.Start(t)

		t.Run("oidcc-server", func(t *testing.T) {
			c := node.Register(t, "", fields{"grant_types": []string{"authorization_code", "implicit", "refresh_token"}, "response_types": []string{"code", "id_token code"}, "unknown": 1})
			if c.Fields["client_secret_expires_at"] != 0.0 || c.Fields["client_id_issued_at"] == nil || len(c.Secret) < 40 || c.Fields["unknown"] != nil {
				t.Errorf("%v", c.Fields)
			}
			if c.URI != inst.Issuer+"/oauth2/register/"+c.ID {
				t.Errorf("registration_client_uri %s", c.URI)
			}
			back := node.NewBrowser(t).Authorize(t, c.Request(PKCE{}, "code_challenge", "", "code_challenge_method", ""), alice)
			tokens := node.Exchange(t, c.Client, back.Query().Get("code"), PKCE{}, "code_verifier", "").Tokens(t)
			node.Verify(t, tokens.ID, "JWT", "RS256") // oidcc-idtoken-signature
			node.Refresh(t, c.Client, tokens.Refresh).Tokens(t)
		})
		t.Run("read, change, delete", func(t *testing.T) {
			c := node.Register(t, "", fields{"client_name": "Garden"})
			a := node.JSONRequest(t, http.MethodGet, c.URI, c.Token, nil)
			if f := a.JSON(t); a.Status != http.StatusOK || f["client_name"] != "Garden" || f["client_secret"] != nil || strings.Contains(a.Body, "hmac") || f["registration_access_token"] != c.Token {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			change := registration(fields{"client_id": c.ID, "client_secret": c.Secret, "client_name": "Orchard", "registration_client_uri": c.URI})
			a = node.JSONRequest(t, http.MethodPut, c.URI, c.Token, change)
			changed := readRegistered(t, a)
			if a.Status != http.StatusOK || changed.Fields["client_name"] != "Orchard" || changed.Token == c.Token || changed.Token == "" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			// Attack M06: the token of before the change is dead.
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				node.JSONRequest(t, method, c.URI, c.Token, change).WantError(t, 401, "invalid_token")
			}
			if a := node.JSONRequest(t, http.MethodDelete, c.URI, changed.Token, nil); a.Status != http.StatusNoContent || a.Body != "" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			node.JSONRequest(t, http.MethodGet, c.URI, changed.Token, nil).WantError(t, 401, "invalid_token")
			node.Post(t, "/oauth2/token", c.Client, url.Values{"grant_type": {"client_credentials"}}).WantError(t, 401, "invalid_client")
		})
		t.Run("oidcc-redirect-uri-regfrag", func(t *testing.T) {
			for _, uri := range []string{"https://app.example/cb#frag", "https://app.example/cb#", "javascript:alert(1)", "http://app.example/cb", "https://*.example/cb", ""} {
				node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(fields{"redirect_uris": []string{uri}})).WantError(t, 400, "invalid_redirect_uri")
			}
			node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(fields{"redirect_uris": nil})).WantError(t, 400, "invalid_redirect_uri")
		})
		t.Run("oidcc-registration-logo-uri, policy-uri, tos-uri", func(t *testing.T) {
			pages := fields{"logo_uri": "https://app.example/logo.png", "policy_uri": "https://app.example/policy", "tos_uri": "https://app.example/tos"}
			c := node.Register(t, "", pages)
			page := node.NewBrowser(t).Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "scope", "openid").Encode())
			for name, uri := range pages {
				if !strings.Contains(page.Body, uri.(string)) {
					t.Errorf("%s is not on the login page", name)
				}
			}
			if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self' https://app.example/logo.png;") {
				t.Errorf("the logo is not let through: %s", policy)
			}
			b := node.NewBrowser(t)
			page = b.Login(t, b.Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "scope", "openid").Encode()), alice.Username, alice.Password)
			if !page.HasID("consent-form") || !page.HasID("unverified") { // attack M08
				t.Errorf("the consent page does not say that the application is unverified: %d", page.Status)
			}
		})
		// Attack M05 too.
		t.Run("oidcc-registration-sector-bad", func(t *testing.T) {
			var addresses []string
			for path, page := range map[string]string{"/s1": `["https://other.example/cb"]`, "/s2": `["https://app.example/cb", 7]`, "/s3": `{"a":"https://app.example/cb"}`} {
				addresses = append(addresses, host.put(path, page))
			}
			for address, a := range node.registerTogether(t, "sector_identifier_uri", addresses) {
				if a.status != http.StatusBadRequest || !strings.Contains(a.body, "invalid_client_metadata") {
					t.Errorf("%s: %d %s", address, a.status, a.body)
				}
			}
			node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(fields{"sector_identifier_uri": "http://app.example/sector"})).WantError(t, 400, "invalid_client_metadata")
		})
		t.Run("oidcc-3rd_party-init-login-nohttps", func(t *testing.T) {
			for _, uri := range []string{"http://app.example/login", "http://localhost/login", "com.example.app:/login"} {
				node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(fields{"initiate_login_uri": uri})).WantError(t, 400, "invalid_client_metadata")
			}
		})
		t.Run("oidcc-idtoken-rs256", func(t *testing.T) {
			for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
				c := node.Register(t, "", fields{"id_token_signed_response_alg": alg})
				node.Verify(t, node.SignIn(t, c.Client, alice, "scope", "openid").ID, "JWT", jose.SignatureAlgorithm(alg))
			}
		})
		t.Run("metadata that cannot be had", func(t *testing.T) {
			for name, change := range map[string]fields{
				"alg none":           {"id_token_signed_response_alg": "none"},
				"unknown method":     {"token_endpoint_auth_method": "tls_client_auth_x"},
				"client credentials": {"grant_types": []string{"client_credentials"}},
				"wrong type":         {"client_name": 7},
				"scope":              {"scope": "openid orders:write"},
				"subject type":       {"subject_type": "private"},
				"pairwise":           {"subject_type": "pairwise", "redirect_uris": []string{"https://app.example/cb", "https://other.example/cb"}},
				"jwks and jwks_uri":  {"jwks": fields{"keys": []any{}}, "jwks_uri": "https://app.example/jwks"},
				"private jwks":       {"jwks": fields{"keys": []any{fields{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}}},
				"token alone":        {"response_types": []string{"token"}},
				"logo":               {"logo_uri": "javascript:alert(1)"},
				// Attack M08.
				"bidi":      {"client_name": "Wiki\u202eikiW"},
				"homoglyph": {"client_name": "W\u0456k\u0456"},
				"long name": {"client_name": strings.Repeat("x", 10<<10)},
			} {
				t.Run(name, func(t *testing.T) {
					node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(change)).WantError(t, 400, "invalid_client_metadata")
				})
			}
			// Attack M04.
			node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(fields{"software_statement": "e30.e30."})).WantError(t, 400, "unapproved_software_statement")
			for _, body := range []any{[]string{}, "text", nil} {
				if a := node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", body); a.Status != http.StatusBadRequest {
					t.Errorf("%v: %d", body, a.Status)
				}
			}
		})
		// What only an operator may say is not heard, neither first nor later.
		t.Run("policy", func(t *testing.T) {
			evil := fields{
				"skip_consent": true, "audience": []string{"https://api.example"}, "resource_server_of": []string{"https://api.example"},
				"security_profile": "none", "allowed_cors_origins": []string{"https://evil.example"}, "self_registered": false,
				"allowed_groups": []string{"x"}, "access_token_lifetime": 86400, "disabled": false,
			}
			c := node.Register(t, "", evil)
			evil["client_id"] = c.ID
			a := node.JSONRequest(t, http.MethodPut, c.URI, c.Token, registration(evil))
			if a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			var stored fields
			inst.JSON(t, &stored, "", "client", "get", c.ID)
			if stored["self_registered"] != true || stored["security_profile"] != "oidc-legacy" {
				t.Errorf("%v", stored)
			}
			for _, name := range []string{"skip_consent", "audience", "resource_server_of", "allowed_cors_origins", "allowed_groups", "access_token_lifetime"} {
				if stored[name] != nil {
					t.Errorf("%s is %v", name, stored[name])
				}
			}
			// What the operator adds stays.
			inst.CLI(t, "", "client", "update", c.ID, "--access-token-lifetime", "5m")
			Settle()
			again := registration(fields{"client_id": c.ID})
			if a := node.JSONRequest(t, http.MethodPut, c.URI, readRegistered(t, a).Token, again); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			inst.JSON(t, &stored, "", "client", "get", c.ID)
			if stored["access_token_lifetime"] != 300.0 {
				t.Errorf("%v", stored)
			}
		})
		t.Run("TestAttack_M06_Tokens", func(t *testing.T) {
			c, other := node.Register(t, "", nil), node.Register(t, "", nil)
			for _, token := range []string{"", other.Token, c.Secret, c.Token + "A", node.SignIn(t, c.Client, alice, "scope", "openid").Access} {
				a := node.JSONRequest(t, http.MethodGet, c.URI, token, nil)
				a.WantError(t, 401, "invalid_token")
				if a.Header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			}
			node.JSONRequest(t, http.MethodGet, c.URI+"?access_token="+c.Token, "", nil).WantError(t, 401, "invalid_token")
			node.JSONRequest(t, http.MethodGet, inst.Issuer+"/oauth2/register/nobody", c.Token, nil).WantError(t, 401, "invalid_token")
			node.JSONRequest(t, http.MethodPut, c.URI, c.Token, registration(fields{"client_id": other.ID})).WantError(t, 403, "access_denied")
			node.JSONRequest(t, http.MethodPut, c.URI, c.Token, registration(fields{"client_id": c.ID, "client_secret": other.Secret})).WantError(t, 400, "invalid_client_metadata")
			inst.CLI(t, "", "client", "disable", c.ID)
			Settle()
			node.JSONRequest(t, http.MethodDelete, c.URI, c.Token, nil).WantError(t, 403, "access_denied")
		})
		t.Run("metadata", func(t *testing.T) {
			if m := node.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil).JSON(t); m["registration_endpoint"] != inst.Issuer+"/oauth2/register" {
				t.Errorf("%v", m["registration_endpoint"])
			}
		})
	})
}

// Attack M01: nobody registers unless the operator says so; initial tokens are
// good for so many clients and so long; one address does not register without
// end.
func TestAttack_M01_Registration(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		t.Run("off", func(t *testing.T) {
			node := Install(t, engine, nil).Start(t)
			if a := node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(nil)); a.Status != http.StatusNotFound {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if m := node.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil).JSON(t); m["registration_endpoint"] != nil {
				t.Errorf("%v", m["registration_endpoint"])
			}
		})
		t.Run("token", func(t *testing.T) {
			inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "token", "IDP_REGISTRATION_MAX_CLIENTS": "3"})
			inst.CLI(t, "", "migrate", "up")
			token := func(args ...string) string {
				return strings.TrimSpace(inst.CLI(t, "", append([]string{"client", "registration-token", "create", "--quiet"}, args...)...))
			}
			twice, another := token("--uses", "2"), token()
			var list []fields
			inst.JSON(t, &list, "", "client", "registration-token", "list")
			if len(list) != 2 || list[0]["registration_token"] != nil {
				t.Errorf("%v", list)
			}
			node := inst.Start(t)
			post := func(token string, changes fields) *Answer {
				return node.JSONRequest(t, http.MethodPost, "/oauth2/register", token, registration(changes))
			}
			post("", nil).WantError(t, 401, "invalid_token")
			post("nonsense", nil).WantError(t, 401, "invalid_token")
			post(twice, fields{"redirect_uris": []string{"nonsense"}}).WantError(t, 400, "invalid_redirect_uri") // costs no use
			first := node.Register(t, twice, nil)
			if first.Fields["response_types"].([]any)[0] != "code" {
				t.Errorf("%v", first.Fields)
			}
			post(twice, fields{"response_types": []string{"id_token"}, "grant_types": []string{"implicit"}}).WantError(t, 400, "invalid_client_metadata")
			node.Register(t, twice, nil)
			post(twice, nil).WantError(t, 401, "invalid_token") // spent
			node.Register(t, another, nil)
			full := post(token(), nil)
			full.WantError(t, 429, "temporarily_unavailable")
			if full.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if strings.Contains(node.Logs(), twice) {
				t.Error("the token is in the log")
			}
		})
		t.Run("idle clients expire", func(t *testing.T) {
			inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_IDLE_LIFE": "1s"})
			node := inst.Start(t)
			c := node.Register(t, "", nil)
			kept := inst.WebClient(t)
			node.Stop(t)
			time.Sleep(1100 * time.Millisecond)
			inst.Start(t)
			time.Sleep(300 * time.Millisecond)
			if _, _, code := inst.Try(t, "", "client", "get", c.ID); code == 0 {
				t.Error("the idle client is still there")
			}
			inst.CLI(t, "", "client", "get", kept.ID)
		})
		t.Run("too many", func(t *testing.T) {
			node := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_PER_HOUR": "3"}).Start(t)
			for range 3 {
				node.Register(t, "", nil)
			}
			node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(nil)).WantError(t, 429, "temporarily_unavailable")
		})
	})
}
