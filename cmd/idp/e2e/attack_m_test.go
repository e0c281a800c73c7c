package e2e

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// statementClaims are those of a good software statement, with changes: a nil
// value leaves a claim out.
func statementClaims(issuer string, changes fields) fields {
	claims := fields{"iss": issuer, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "software_id": "4f2c", "client_name": unique("Attested")}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Software statements count when a trusted issuer signed them, and then more
// than what stands beside them (RFC 7591 section 2.3).
func TestAttack_M04_SoftwareStatements(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		host := NewHost(t)
		key, rsa, remote, foreign := NewClientKey(t, "ES256"), NewClientKey(t, "RS256"), NewClientKey(t, "PS256"), NewClientKey(t, "ES256")
		host.ServeJSON(JWKS(remote))
		const trusted, other = "https://statements.example", "https://other-statements.example"
		settings := host.Outbound()
		maps.Copy(settings, map[string]string{
			"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_PER_HOUR": "10000", "IDP_REGISTRATION_SOFTWARE_STATEMENTS": "optional",
			"IDP_REGISTRATION_STATEMENT_ISSUERS": trusted + "=" + KeyFile(t, key, rsa) + " " + other + "=" + host.URL + "/statements",
			"IDP_REGISTRATION_STATEMENT_ALGS":    "ES256 PS256",
		})
		inst := Install(t, engine, settings)
		node := inst.Start(t)
		post := func(statement any, changes fields) *Answer {
			body := registration(changes)
			body["software_statement"] = statement
			return node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", body)
		}

		t.Run("what it says goes before", func(t *testing.T) {
			for _, from := range []struct {
				issuer string
				key    *ClientKey
			}{{trusted, key}, {other, remote}} {
				said := statementClaims(from.issuer, fields{
					"redirect_uris": []string{"https://attested.example/cb"}, "client_name": unique("Said"), "unknown": 1,
					"skip_consent": true, "self_registered": false, "audience": []string{"https://api.example"}, "security_profile": "none",
				})
				raw := from.key.Sign(t, said)
				a := post(raw, fields{"client_name": "Plain", "software_version": "2"})
				c := readRegistered(t, a)
				f := c.Fields
				if a.Status != http.StatusCreated || f["client_name"] != said["client_name"] || c.RedirectURI != "https://attested.example/cb" ||
					f["software_id"] != "4f2c" || f["software_version"] != "2" || f["software_statement"] != raw {
					t.Errorf("%d %s", a.Status, a.Body)
				}
				if read := node.JSONRequest(t, http.MethodGet, c.URI, c.Token, nil).JSON(t); read["software_statement"] != raw || read["client_name"] != said["client_name"] {
					t.Errorf("read: %v", read)
				}
				var stored fields
				inst.JSON(t, &stored, "", "client", "get", c.ID)
				if stored["skip_consent"] != nil || stored["audience"] != nil || stored["self_registered"] != true {
					t.Errorf("it says what is an operator's to say: %v", stored)
				}
				// A change is judged as the first time.
				change := registration(fields{"client_id": c.ID, "client_name": "Plain", "software_statement": raw})
				changed := node.JSONRequest(t, http.MethodPut, c.URI, c.Token, change)
				if changed.Status != http.StatusOK || changed.JSON(t)["client_name"] != said["client_name"] {
					t.Errorf("%d %s", changed.Status, changed.Body)
				}
				change["software_statement"] = foreign.Sign(t, said)
				node.JSONRequest(t, http.MethodPut, c.URI, readRegistered(t, changed).Token, change).WantError(t, 400, "invalid_software_statement")
			}
			node.Register(t, "", nil) // without any
		})
		t.Run("whom nobody trusts", func(t *testing.T) {
			for _, issuer := range []string{"https://evil.example", trusted + "/", strings.ToUpper(trusted), inst.Issuer} {
				post(key.Sign(t, statementClaims(issuer, nil)), nil).WantError(t, 400, "unapproved_software_statement")
			}
		})
		t.Run("what is no statement", func(t *testing.T) {
			good := statementClaims(trusted, nil)
			signed := key.Sign(t, good)
			segments := strings.Split(signed, ".")
			masked := &ClientKey{KID: key.KID, Alg: "ES256", Private: foreign.Private}
			for name, raw := range map[string]any{
				"none":                    b64(`{"alg":"none"}`) + "." + segments[1] + ".",
				"no signature":            segments[0] + "." + segments[1] + ".",
				"another's key":           foreign.Sign(t, good),
				"another's key, our kid":  masked.Sign(t, good),
				"the other issuer's key":  remote.Sign(t, good),
				"an algorithm not listed": rsa.Sign(t, good),
				"tampered":                segments[0] + "." + b64(mustJSON(t, statementClaims(trusted, fields{"client_name": "Evil"}))) + "." + segments[2],
				"its own key":             key.Sign(t, good, "jwk", `{"kty":"EC"}`),
				"expired":                 key.Sign(t, statementClaims(trusted, fields{"exp": time.Now().Unix() - 1})),
				"of tomorrow":             key.Sign(t, statementClaims(trusted, fields{"iat": time.Now().Add(24 * time.Hour).Unix()})),
				"not yet":                 key.Sign(t, statementClaims(trusted, fields{"nbf": time.Now().Add(time.Hour).Unix()})),
				"for another":             key.Sign(t, statementClaims(trusted, fields{"aud": "https://other.example"})),
				"without iss":             key.Sign(t, statementClaims(trusted, fields{"iss": nil})),
				"an access token":         key.Sign(t, good, "typ", "at+jwt"),
				"an ID token":             key.Sign(t, statementClaims(trusted, fields{"nonce": "n"})),
				"nonsense":                "e30.e30.",
				"empty":                   "",
				"a number":                7,
				"an object":               good,
				"too long":                key.Sign(t, statementClaims(trusted, fields{"x": strings.Repeat("x", 9000)})),
			} {
				t.Run(name, func(t *testing.T) { post(raw, nil).WantError(t, 400, "invalid_software_statement") })
			}
			// Well signed, and still of a type that nothing is.
			post(key.Sign(t, statementClaims(trusted, fields{"client_name": 7})), nil).WantError(t, 400, "invalid_client_metadata")
			post(key.Sign(t, statementClaims(trusted, fields{"redirect_uris": []string{"javascript:alert(1)"}})), nil).WantError(t, 400, "invalid_redirect_uri")
			post(key.Sign(t, statementClaims(trusted, fields{"scope": "openid orders:write"})), nil).WantError(t, 400, "invalid_client_metadata")
		})
		t.Run("required", func(t *testing.T) {
			node.Stop(t)
			node = inst.Launch(t, map[string]string{"IDP_REGISTRATION_SOFTWARE_STATEMENTS": "required"})
			node.WaitReady(t)
			node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(nil)).WantError(t, 400, "invalid_software_statement")
			if a := post(key.Sign(t, statementClaims(trusted, fields{"aud": inst.Issuer, "exp": nil})), nil); a.Status != http.StatusCreated {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	})
}

// timed is an answer and how long it took.
type timed struct {
	status int
	body   string
	took   time.Duration
}

// registerTogether tries registrations that differ in one field at the same
// time, and returns the answers by its value.
func (n *Node) registerTogether(t testing.TB, field string, values []string) map[string]timed {
	t.Helper()
	answers := map[string]timed{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, value := range values {
		body := mustJSON(t, registration(fields{field: value}))
		all.Go(func() {
			r, _ := http.NewRequest(http.MethodPost, n.Issuer+"/oauth2/register", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			started := time.Now()
			a, err := Send(n.HTTP, r)
			if err != nil {
				a = &Answer{Body: err.Error()}
			}
			mu.Lock()
			defer mu.Unlock()
			answers[value] = timed{a.Status, a.Body, time.Since(started)}
		})
	}
	all.Wait()
	return answers
}

// The lines of group M that need nothing but open registration.
func TestAttack_M_Registration(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		host := newDocuments(t)
		inst := Install(t, engine, host.trusted(t, map[string]string{"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_PER_HOUR": "10000"}))
		alice := inst.NewUser(t)
		inst.WebClient(t, "--name", "Payroll")
		node := inst.Start(t)
		post := func(changes fields) *Answer {
			return node.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(changes))
		}

		t.Run("M02_NothingIsFetchedToShowIt", func(t *testing.T) {
			before := host.count()
			page := host.put("/page", "x")
			c := node.Register(t, "", fields{
				"logo_uri": page, "policy_uri": page, "tos_uri": page, "client_uri": page, "initiate_login_uri": page,
				"request_uris": []string{page}, "jwks_uri": page, "backchannel_logout_uri": page, "frontchannel_logout_uri": "https://app.example/logout",
				"post_logout_redirect_uris": []string{"https://app.example/bye"},
			})
			node.SignIn(t, c.Client, alice, "scope", "openid")
			if hits := host.count() - before; hits != 0 {
				t.Errorf("%d documents were read", hits)
			}
		})
		t.Run("M02_SectorsInside", func(t *testing.T) {
			silent := silentPort(t)
			addresses := []string{
				"https://10.0.0.1/s", "https://127.0.0.2/s", "https://169.254.169.254/s", "https://[::1]/s", "https://[fd00::1]/s", "https://[64:ff9b::a00:1]/s",
				"https://localhost.localdomain/s", "https://127.0.0.1:1/s", "https://" + silent + "/s", host.URL + "/redirect", host.URL + "/gone",
			}
			first := ""
			for address, a := range node.registerTogether(t, "sector_identifier_uri", addresses) {
				if first == "" {
					first = a.body
				}
				if a.body != first || !strings.Contains(a.body, "invalid_client_metadata") || a.took < 4*time.Second {
					t.Errorf("%s: after %v %s", address, a.took, a.body)
				}
			}
		})
		t.Run("M05_SectorOfOthers", func(t *testing.T) {
			var addresses []string
			for path, page := range map[string]string{
				"/m1": `["https://victim.example/cb"]`, "/m2": `["https://app.example/cb", 7]`, "/m3": `[]`, "/m4": `null`, "/m5": `["https://app.example/cb/"]`,
			} {
				addresses = append(addresses, host.put(path, page))
			}
			for address, a := range node.registerTogether(t, "sector_identifier_uri", addresses) {
				if a.status != http.StatusBadRequest || !strings.Contains(a.body, "invalid_client_metadata") {
					t.Errorf("%s: %d %s", address, a.status, a.body)
				}
			}
		})
		t.Run("M06_Tokens", func(t *testing.T) {
			c, other := node.Register(t, "", nil), node.Register(t, "", nil)
			a := node.JSONRequest(t, http.MethodPut, c.URI, c.Token, registration(fields{"client_id": other.ID}))
			a.WantError(t, 403, "access_denied")
			for _, token := range []string{other.Token, "", c.Token[:len(c.Token)-1], c.Secret} {
				node.JSONRequest(t, http.MethodDelete, c.URI, token, nil).WantError(t, 401, "invalid_token")
			}
			read := node.JSONRequest(t, http.MethodGet, c.URI, c.Token, nil)
			if strings.Contains(read.Body, c.Secret) || strings.Contains(read.Body, "secret\"") || strings.Contains(read.Body, "sha256") {
				t.Errorf("%s", read.Body)
			}
		})
		t.Run("M08_NamesOfOthers", func(t *testing.T) {
			for _, name := range []string{"Payroll", "payroll", "Pay roll", "PAYROLL!", "Payro1l", "P\u0430yroll", "Pay\u200broll", "Payroll\u202e", "Pay\x00roll", "Payroll\n", strings.Repeat("Pay", 4<<10)} {
				post(fields{"client_name": name}).WantError(t, 400, "invalid_client_metadata")
			}
			c := node.Register(t, "", fields{"client_uri": "https://evil.example/", "redirect_uris": []string{"https://real.example/cb"}})
			b := node.NewBrowser(t)
			page := b.Login(t, b.Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "scope", "openid").Encode()), alice.Username, alice.Password)
			if !page.HasID("unverified") || !strings.Contains(page.Body, "real.example") {
				t.Errorf("consent: %d %s", page.Status, page.Body)
			}
		})
		t.Run("M09_Keys", func(t *testing.T) {
			key := NewClientKey(t, "ES256")
			private := jose.JSONWebKey{Key: key.Private, KeyID: "k", Use: "sig"}
			for name, change := range map[string]fields{
				"private":      {"jwks": fields{"keys": []any{private}}},
				"symmetric":    {"jwks": fields{"keys": []any{fields{"kty": "oct", "k": "AAAA"}}}},
				"both":         {"jwks": fields{"keys": []any{key.JWK()}}, "jwks_uri": "https://app.example/jwks"},
				"empty":        {"jwks": fields{"keys": []any{}}},
				"no key set":   {"jwks": []any{key.JWK()}},
				"jwks as text": {"jwks": JWKS(key)},
			} {
				t.Run(name, func(t *testing.T) { post(change).WantError(t, 400, "invalid_client_metadata") })
			}
		})
		t.Run("M09_NothingIsInherited", func(t *testing.T) {
			c := node.Register(t, "", fields{"grant_types": []string{"authorization_code", "refresh_token"}})
			b := node.NewBrowser(t)
			p := NewPKCE()
			tokens := node.Exchange(t, c.Client, b.Authorize(t, c.Request(p), alice).Query().Get("code"), p).Tokens(t)
			if a := node.JSONRequest(t, http.MethodDelete, c.URI, c.Token, nil); a.Status != http.StatusNoContent {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			inst.CLI(t, "", "client", "create", c.ID, "--redirect-uri", c.RedirectURI, "--scope", "openid offline_access", "--grant-type", "authorization_code", "--grant-type", "refresh_token")
			var again struct {
				Secret string `json:"client_secret"`
			}
			inst.JSON(t, &again, "", "client", "rotate-secret", c.ID)
			Settle()
			node.Refresh(t, c.Client, tokens.Refresh).WantError(t, 401, "invalid_client")
			node.JSONRequest(t, http.MethodGet, c.URI, c.Token, nil).WantError(t, 401, "invalid_token")
			anew := c.Client
			anew.Secret = again.Secret
			node.Refresh(t, anew, tokens.Refresh).WantError(t, 400, "invalid_grant")
			if a := node.Userinfo(t, tokens.Access); a.Status != http.StatusUnauthorized {
				t.Errorf("the access token lives: %d", a.Status)
			}
			fresh := node.NewBrowser(t)
			asked := fresh.Login(t, fresh.Get(t, "/oauth2/auth?"+anew.Request(NewPKCE()).Encode()), alice.Username, alice.Password)
			if !asked.HasID("consent-form") {
				t.Errorf("not asked again: %d %s", asked.Status, asked.Header.Get("Location"))
			}
		})
	})
}
