package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Parameters other than client_id and redirect_uri are checked strictly, and
// what is wrong with them is told to the client.
func TestAttack_B_Parameters(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent")
		asking := inst.WebClient(t)
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)

		b := node.NewBrowser(t)
		first := time.Now()
		b.Authorize(t, web.Request(NewPKCE()), alice)
		var refused []*Answer
		// refuse sends the request once for nobody and once for somebody who is
		// signed in, by GET and by POST: the checks are the same.
		refuse := func(t *testing.T, request url.Values, code string) {
			t.Helper()
			for _, c := range []*http.Client{node.HTTP, b.Client} {
				a := node.authorize(t, c, request)
				a.wantRefusal(t, node, request, code)
				refused = append(refused, a)
			}
			a := node.request(t, b.Client, http.MethodPost, "/oauth2/auth", request.Encode(), nil)
			a.wantRefusal(t, node, request, code)
			refused = append(refused, a)
			if t.Failed() {
				t.Fatalf("request %.500s", request.Encode())
			}
		}
		each := func(t *testing.T, code, parameter string, values ...string) {
			t.Helper()
			for _, v := range values {
				request := web.Request(NewPKCE())
				request.Set(parameter, v)
				refuse(t, request, code)
			}
		}
		allow := func(t *testing.T, changes ...string) {
			t.Helper()
			request := web.Request(NewPKCE(), changes...)
			node.authorize(t, b.Client, request).wantCode(t, node, request)
		}

		t.Run("B01_Twice", func(t *testing.T) {
			for _, name := range []string{
				"response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "response_mode", "prompt", "max_age",
				"login_hint", "id_token_hint", "claims", "ui_locales", "acr_values", "display", "request", "request_uri", "unheard_of",
			} {
				for _, pair := range [][]string{{"openid", "openid"}, {"a", "b"}, {"openid", ""}, {"", "openid"}} {
					request := web.Request(NewPKCE())
					request[name] = pair
					refuse(t, request, "invalid_request")
				}
			}
		})
		t.Run("B02_ResponseType", func(t *testing.T) {
			each(t, "unsupported_response_type", "response_type", "", "token", "id_token", "id_token token", "code token", "code id_token", "code id_token token", "none", "CODE", "code code", " code", "unknown")
			// A client without a redirect URI gets no redirect whatever it is registered for.
			node.authorize(t, node.HTTP, web.Request(NewPKCE(), "client_id", service.ID)).wantPage(t, http.StatusBadRequest)
		})
		t.Run("B04_ResponseMode", func(t *testing.T) {
			each(t, "invalid_request", "response_mode", "form_post.jwt", "jwt", "query.jwt", "fragment.jwt", "unknown", "QUERY", "query ")
			allow(t, "response_mode", "query")
		})
		t.Run("B05_WebMessage", func(t *testing.T) {
			each(t, "unsupported_response_mode", "response_mode", "web_message")
		})
		t.Run("B06_ProofKey", func(t *testing.T) {
			p := NewPKCE()
			for _, change := range [][]string{
				{"code_challenge", "", "code_challenge_method", ""},
				{"code_challenge", ""},
				{"code_challenge_method", ""},
				{"code_challenge_method", "plain"},
				{"code_challenge_method", "s256"},
				{"code_challenge_method", "S512"},
				{"code_challenge_method", "S256 "},
				{"code_challenge", p.Challenge[:42]},
				{"code_challenge", p.Challenge + "A"},
				{"code_challenge", p.Challenge + "="},
				{"code_challenge", p.Challenge[:42] + "+"},
				{"code_challenge", p.Challenge[:42] + "\x00"},
				{"code_challenge", strings.Repeat("a", 128)},
			} {
				refuse(t, web.Request(p, change...), "invalid_request")
			}
		})
		t.Run("B08_Scope", func(t *testing.T) {
			thousand := make([]string, 1000)
			for i := range thousand {
				thousand[i] = "s" + fmt.Sprint(i)
			}
			each(t, "invalid_scope", "scope", "unknown", "openid unknown", "phone", "openid phone", "*", "open*", "openid.*", ".*", "OPENID", "openid openid", "profile openid profile",
				"openid  profile", " openid", "openid ", "openid\tprofile", "openid\nprofile", "openid,profile", "openid\x00", "openid\u00a0profile", `openid"`, `open\id`, "", strings.Join(thousand[:600], " "))
			request := web.Request(NewPKCE(), "scope", strings.Join(thousand, " "))
			refuse(t, request, "invalid_request")
		})
		t.Run("B09_StateAndNonce", func(t *testing.T) {
			for _, state := range []string{
				`"><script>alert(1)</script>`, "' onload='x", "a&b=c#d", "%00%0d%0a", "+ +", "{}[]|^`~", strings.Repeat("s", 3<<10), "iss=https://evil.tld&code=x",
			} {
				request := web.Request(NewPKCE(), "state", state, "nonce", state[:min(len(state), 500)])
				code := node.authorize(t, b.Client, request).wantCode(t, node, request)
				if code == "" {
					t.Fatalf("state %.100q", state)
				}
				if page := node.NewBrowser(t).Get(t, "/oauth2/auth?"+request.Encode()); strings.Contains(page.Body, state) || !page.HasID("login-form") {
					t.Errorf("state %.100q is on the page", state)
				}
				request.Set("max_age", "x")
				refuse(t, request, "invalid_request")
			}
			each(t, "invalid_request", "state", "a\nb", "a\x00b", "a\rb", "\x7f", "é", "\u202e", strings.Repeat("s", 5<<10+1))
			each(t, "invalid_request", "nonce", "a\nb", "a\x00b", "é", strings.Repeat("n", 5<<10+1))
			request := web.Request(NewPKCE(), "state", strings.Repeat("s", 8<<10))
			node.request(t, node.HTTP, http.MethodPost, "/oauth2/auth", request.Encode(), nil).wantRefusal(t, node, request, "invalid_request")
			// The nonce arrives in the ID token as it was sent.
			p, nonce := NewPKCE(), `"><b>&'\u0041 ~`
			request = web.Request(p, "nonce", nonce)
			tokens := node.Exchange(t, web, node.authorize(t, b.Client, request).wantCode(t, node, request), p).Tokens(t)
			if got := node.Verify(t, tokens.ID, "JWT", "RS256")["nonce"]; got != nonce {
				t.Errorf("nonce %q, want %q", got, nonce)
			}
		})
		t.Run("B10_PromptNone", func(t *testing.T) {
			for _, c := range []*http.Client{node.HTTP, node.NewBrowser(t).Client} {
				request := web.Request(NewPKCE(), "prompt", "none")
				a := node.authorize(t, c, request)
				a.wantRefusal(t, node, request, "login_required")
				if a.Body != "" || len(a.Header.Values("Set-Cookie")) > 0 {
					t.Errorf("prompt=none leaves a page or a cookie: %q %q", a.Body, a.Header.Values("Set-Cookie"))
				}
			}
			request := asking.Request(NewPKCE(), "prompt", "none")
			a := node.authorize(t, b.Client, request)
			a.wantRefusal(t, node, request, "consent_required")
			if a.Body != "" || len(a.Header.Values("Set-Cookie")) > 0 {
				t.Error("prompt=none leaves a page or a cookie")
			}
			// A session that nobody is in is nobody's.
			stranger := node.NewBrowser(t)
			setCookie(t, stranger, "idp_session", "idp_s_"+strings.Repeat("A", 80))
			request = web.Request(NewPKCE(), "prompt", "none")
			node.authorize(t, stranger.Client, request).wantRefusal(t, node, request, "login_required")
			allow(t, "prompt", "none")
		})
		t.Run("B12_Prompt", func(t *testing.T) {
			each(t, "invalid_request", "prompt", "none login", "login none", "none consent", "NONE", "None", "unknown", "login unknown", "login login", "login  consent", " ", "none ", "create", "login,consent")
		})
		t.Run("B13_PromptLogin", func(t *testing.T) {
			p := NewPKCE()
			request := web.Request(p, "prompt", "login")
			a := node.authorize(t, b.Client, request)
			page := a.Header.Get("Location")
			if a.Status != http.StatusSeeOther || !strings.HasPrefix(page, "/login?flow=") {
				t.Fatalf("prompt=login with a session: %d %s", a.Status, page)
			}
			flow := strings.TrimPrefix(page, "/login?")
			// The resume URL without the login leads back to the login, however it is bent.
			b.Get(t, "/oauth2/auth?"+flow).wantLogin(t)
			b.Get(t, "/oauth2/auth?"+flow).wantLogin(t)
			for _, more := range []string{"&prompt=none", "&prompt=consent", "&max_age=10000", "&" + flow, "&client_id=" + web.ID} {
				node.open(t, b.Client, "/oauth2/auth?"+flow+more).wantPage(t, http.StatusBadRequest)
			}
			// Choosing the account that is signed in is no login.
			form := b.Get(t, page).Form(t, "login-form")
			chosen := b.Submit(t, &Answer{URL: mustURL(t, node.Issuer+"/login")}, Form{Action: "/login", Fields: url.Values{"flow": form.Fields["flow"]}}, url.Values{"action": {"continue"}})
			chosen.wantLogin(t)
			before := time.Now().Unix()
			done := b.Login(t, b.Get(t, page), alice.Username, alice.Password)
			tokens := node.Exchange(t, web, done.wantCode(t, node, request), p).Tokens(t)
			if at, _ := node.Verify(t, tokens.ID, "JWT", "RS256")["auth_time"].(float64); int64(at) < before {
				t.Errorf("auth_time %v is before the login at %d", at, before)
			}
			// The next request asks again.
			b.Get(t, "/oauth2/auth?"+web.Request(p, "prompt", "login").Encode()).wantLogin(t)
		})
		t.Run("B14_MaxAge", func(t *testing.T) {
			each(t, "invalid_request", "max_age", "-1", "text", "1e309", "1e3", "1.5", "+1", " 1", "0x10", "99999999999999999999", "١", "1,000", "\x00")
			allow(t, "max_age", "10000")
			time.Sleep(time.Until(first.Add(2 * time.Second)))
			for _, age := range []string{"0", "1"} {
				request := web.Request(NewPKCE(), "max_age", age)
				if age == "1" {
					time.Sleep(2 * time.Second) // older than one second
				}
				silent := web.Request(NewPKCE(), "max_age", age, "prompt", "none")
				node.authorize(t, b.Client, silent).wantRefusal(t, node, silent, "login_required")
				page := b.Get(t, "/oauth2/auth?"+request.Encode())
				page.wantLogin(t)
				b.Login(t, page, alice.Username, alice.Password).wantCode(t, node, request)
			}
		})
		t.Run("B16_EssentialACR", func(t *testing.T) {
			each(t, "unmet_authentication_requirements", "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:mace:incommon:iap:silver","3"]}}}`)
			// Classes that somebody with a second factor reaches, and alice does not.
			for _, claims := range []string{
				`{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`,
				`{"id_token":{"acr":{"essential":true,"value":"2"}}}`,
				`{"id_token":{"acr":{"essential":true,"values":["urn:mace:incommon:iap:silver","phrh"]}}}`,
			} {
				request := web.Request(NewPKCE(), "claims", claims)
				b.Get(t, "/oauth2/auth?"+request.Encode()).wantRefusal(t, node, request, "unmet_authentication_requirements")
				silent := web.Request(NewPKCE(), "claims", claims, "prompt", "none")
				b.Get(t, "/oauth2/auth?"+silent.Encode()).wantRefusal(t, node, silent, "login_required")
			}
			for _, claims := range []string{
				`{"id_token":{"acr":{"essential":true,"values":["phr","1"]}}}`, `{"id_token":{"acr":{"essential":true}}}`,
				`{"id_token":{"acr":{"values":["phr"]}}}`, `{"id_token":{"acr":null}}`, `{}`,
				`{"userinfo":{"email":{"essential":true},"email_verified":{"value":true}},"id_token":{"auth_time":{"essential":true},"sub":{"value":"` + alice.Sub + `"},"updated_at":{"value":1},"age":{"values":[1,2]}}}`,
			} {
				p := NewPKCE()
				request := web.Request(p, "claims", claims)
				code := b.Get(t, "/oauth2/auth?"+request.Encode()).wantCode(t, node, request)
				if code == "" {
					t.Fatalf("claims %s", claims)
				}
				id := node.Verify(t, node.Exchange(t, web, code, p).Tokens(t).ID, "JWT", "RS256")
				if id["acr"] != "1" {
					t.Errorf("acr %v, want the one that was reached", id["acr"])
				}
			}
		})
		t.Run("B17_Claims", func(t *testing.T) {
			each(t, "invalid_request", "claims", "x", "{", `{"id_token":`, "[]", `"x"`, "1", "true", "null", `{"id_token":[]}`, `{"id_token":{"acr":[]}}`, `{"id_token":{"acr":{"essential":"yes"}}}`, `{} {}`, "{}x", "\x00",
				`{"id_token":{"acr":{"essential":true,"value":2}}}`, `{"id_token":{"acr":{"essential":true,"values":"phr"}}}`,
				strings.Repeat("[", 2000), `{"id_token":`+strings.Repeat(`{"a":`, 400)+"1"+strings.Repeat("}", 401), `{"userinfo":{"a":"`+strings.Repeat("x", 5<<10)+`"}}`)
			deep := web.Request(NewPKCE(), "claims", strings.Repeat("[", 10_000))
			node.request(t, b.Client, http.MethodPost, "/oauth2/auth", deep.Encode(), nil).wantRefusal(t, node, deep, "invalid_request")
			deep.Del("claims")
			raw := deep.Encode() + "&claims=" + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
			before := node.cpu(t)
			for range 20 {
				node.request(t, b.Client, http.MethodPost, "/oauth2/auth", raw, nil).wantRefusal(t, node, deep, "invalid_request")
			}
			if spent := (node.cpu(t) - before) / 20; spent > 50*time.Millisecond {
				t.Errorf("claims that nest 10,000 deep cost %s of CPU", spent)
			}
			a := node.request(t, b.Client, http.MethodPost, "/oauth2/auth", "claims="+strings.Repeat("x", 1<<20), nil)
			a.wantPage(t, http.StatusRequestEntityTooLarge)
		})
		t.Run("B18_Issuer", func(t *testing.T) {
			// Every refusal above was checked for iss; here is the rest.
			allow(t)
			// Who mixes servers up is told whose answer it is, whatever was asked.
			allow(t, "iss", "https://evil.tld")
			refuse(t, web.Request(NewPKCE(), "iss", "https://evil.tld", "scope", "unknown"), "invalid_scope")
			request := asking.Request(NewPKCE())
			b.Deny(t, b.Get(t, "/oauth2/auth?"+request.Encode())).wantRefusal(t, node, request, "access_denied")
			for name, code := range map[string]string{"request": "invalid_request_object", "request_uri": "invalid_request_uri", "registration": "registration_not_supported"} {
				request := web.Request(NewPKCE(), name, "https://evil.tld/x")
				refuse(t, request, code)
			}
			var metadata map[string]any
			if err := json.Unmarshal([]byte(node.open(t, node.HTTP, "/.well-known/openid-configuration").Body), &metadata); err != nil {
				t.Fatal(err)
			}
			if metadata["authorization_response_iss_parameter_supported"] != true || metadata["issuer"] != inst.Issuer {
				t.Errorf("metadata of iss: %v, %v", metadata["authorization_response_iss_parameter_supported"], metadata["issuer"])
			}
		})
		t.Run("B20_Methods", func(t *testing.T) {
			request := web.Request(NewPKCE())
			for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "GETS", "get"} {
				a := node.request(t, b.Client, method, "/oauth2/auth?"+request.Encode(), "", nil)
				if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" || a.Header.Get("Location") != "" {
					t.Errorf("%s: %d, Allow %q, Location %q", method, a.Status, a.Header.Get("Allow"), a.Header.Get("Location"))
				}
			}
			a := node.request(t, b.Client, http.MethodPost, "/oauth2/auth", request.Encode(), nil)
			a.wantCode(t, node, request)
			if a := node.request(t, node.HTTP, http.MethodPost, "/oauth2/auth", request.Encode(), nil); !strings.HasPrefix(a.Header.Get("Location"), "/login?flow=") || a.Status != http.StatusSeeOther {
				t.Errorf("POST without a session: %d %s", a.Status, a.Header.Get("Location"))
			}
			flow := strings.TrimPrefix(node.authorize(t, b.Client, web.Request(NewPKCE(), "prompt", "login")).Header.Get("Location"), "/login?")
			for name, r := range map[string]struct{ path, body, kind string }{
				"query":        {"/oauth2/auth?a=b", request.Encode(), "application/x-www-form-urlencoded"},
				"all in query": {"/oauth2/auth?" + request.Encode(), "", "application/x-www-form-urlencoded"},
				"flow":         {"/oauth2/auth", flow, "application/x-www-form-urlencoded"},
				"json":         {"/oauth2/auth", `{"client_id":"` + web.ID + `"}`, "application/json"},
				"multipart":    {"/oauth2/auth", request.Encode(), "multipart/form-data; boundary=x"},
				"text":         {"/oauth2/auth", request.Encode(), "text/plain"},
				"utf-16":       {"/oauth2/auth", request.Encode(), "application/x-www-form-urlencoded; charset=utf-16"},
				"no type":      {"/oauth2/auth", request.Encode(), ""},
				"broken":       {"/oauth2/auth", "client_id=%zz", "application/x-www-form-urlencoded"},
				"semicolons":   {"/oauth2/auth", strings.ReplaceAll(request.Encode(), "&", ";"), "application/x-www-form-urlencoded"},
			} {
				a := node.request(t, b.Client, http.MethodPost, r.path, r.body, http.Header{"Content-Type": {r.kind}})
				if a.wantPage(t, http.StatusBadRequest); t.Failed() {
					t.Fatalf("POST %s", name)
				}
			}
			many := ""
			for i := range 200 {
				many += fmt.Sprintf("&p%d=x", i)
			}
			node.open(t, b.Client, "/oauth2/auth?"+request.Encode()+many).wantPage(t, http.StatusBadRequest)
		})
		node.wantAudit(t, "authz.refused", refused...)
		node.wantQuiet(t, web.Secret, alice.Password)
	})
}

func mustURL(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// setCookie puts a cookie for the issuer into the browser.
func setCookie(t testing.TB, b *Browser, name, value string) {
	t.Helper()
	b.Client.Jar.SetCookies(mustURL(t, b.Node.Issuer), []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// cookie returns the value of the browser's cookie, empty for none.
func cookie(t testing.TB, b *Browser, name string) string {
	t.Helper()
	for _, c := range b.Client.Jar.Cookies(mustURL(t, b.Node.Issuer)) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// What an authorization request may ask for, and gets.
func TestAuthorize_Rules(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice, bob := inst.NewUser(t, "--name", "Alice"), inst.NewUser(t)
		for _, g := range []string{"staff", "guests"} {
			inst.CLI(t, "", "group", "create", g)
		}
		inst.CLI(t, "", "group", "add-member", "staff", alice.Username)
		orders := inst.NewResource(t, []string{"orders:read=See orders"}, "--restricted-scope", "orders:delete", "--claim", "groups", "--claim", "roles", "--claim", "entitlements", "--name", "Orders")
		stock := inst.NewResource(t, []string{"stock:read=See stock"}, "--name", "Stock")
		inst.NewResource(t, []string{"foreign:read"}, "--name", "Foreign")
		inst.CLI(t, "", "role", "create", "clerk", "--scope", orders+"#orders:delete", "--group", "staff")
		const everything = "openid offline_access profile orders:read orders:delete stock:read"
		app := inst.WebClient(t, "--audience", orders, "--audience", stock, "--scope", everything, "--name", "Shop")
		silent := inst.WebClient(t, "--skip-consent", "--audience", orders, "--audience", stock, "--scope", everything)
		staff := inst.WebClient(t, "--skip-consent", "--allowed-group", "staff")
		public := inst.NewClient(t, "--public", "--redirect-uri", "https://spa.example/cb", "--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid offline_access", "--skip-consent")
		codeOnly := inst.WebClient(t, "--grant-type", "authorization_code", "--scope", "openid profile", "--skip-consent")
		aged := inst.WebClient(t, "--default-max-age", "0s", "--skip-consent")
		node := inst.Start(t)

		b, bobs := node.NewBrowser(t), node.NewBrowser(t)
		mine := node.Exchange(t, silent, "", PKCE{}) // no code: only to show that errors come as JSON
		mine.WantError(t, http.StatusBadRequest, "invalid_request")
		signIn := func(t *testing.T, b *Browser, u User, c Client, changes ...string) (Tokens, map[string]any) {
			t.Helper()
			p := NewPKCE()
			tokens := node.Exchange(t, c, b.Authorize(t, c.Request(p, changes...), u).Query().Get("code"), p).Tokens(t)
			if tokens.ID == "" {
				return tokens, nil
			}
			return tokens, node.Verify(t, tokens.ID, "JWT", "RS256")
		}
		alices, _ := signIn(t, b, alice, silent, "scope", "openid")
		bobsTokens, _ := signIn(t, bobs, bob, silent, "scope", "openid")
		get := func(t *testing.T, b *Browser, request url.Values) *Answer {
			t.Helper()
			return b.Get(t, "/oauth2/auth?"+request.Encode())
		}

		t.Run("LoginHint", func(t *testing.T) {
			for _, hint := range []string{"alice@example.com", `"><script>alert(1)</script>`, "' autofocus onfocus='x"} {
				page := get(t, node.NewBrowser(t), app.Request(NewPKCE(), "login_hint", hint))
				page.wantLogin(t)
				if got := page.Form(t, "login-form").Fields.Get("username"); got != hint {
					t.Errorf("the form is prefilled with %q, want %q", got, hint)
				}
			}
			for _, hint := range []string{strings.Repeat("x", 1000), "a\nb"} {
				page := get(t, node.NewBrowser(t), app.Request(NewPKCE(), "login_hint", hint))
				if page.wantLogin(t); page.Form(t, "login-form").Fields.Get("username") != "" {
					t.Errorf("a hint that is no user name is shown: %.50q", hint)
				}
			}
		})
		t.Run("IDTokenHint", func(t *testing.T) {
			own := silent.Request(NewPKCE(), "id_token_hint", alices.ID, "prompt", "none")
			get(t, b, own).wantCode(t, node, own)
			foreign := silent.Request(NewPKCE(), "id_token_hint", bobsTokens.ID, "prompt", "none")
			get(t, b, foreign).wantRefusal(t, node, foreign, "login_required")
			// Without prompt=none the person may become who is meant, and nobody else.
			foreign.Del("prompt")
			page := get(t, node.NewBrowser(t), foreign)
			page.wantLogin(t)
			mixed := node.NewBrowser(t)
			mixed.Authorize(t, silent.Request(NewPKCE()), alice)
			page = get(t, mixed, foreign)
			page.wantLogin(t)
			mixed.Login(t, page, alice.Username, alice.Password).wantRefusal(t, node, foreign, "login_required")
			page = get(t, mixed, foreign)
			page.wantLogin(t)
			mixed.Login(t, page, bob.Username, bob.Password).wantCode(t, node, foreign)
			for name, hint := range map[string]string{
				"access token": alices.Access, "garbage": "x.y.z", "flipped": flip(alices.ID), "unsigned": unsigned(alices.ID), "long": strings.Repeat("x", 3000),
			} {
				request := silent.Request(NewPKCE(), "id_token_hint", hint, "prompt", "none")
				if get(t, b, request).wantRefusal(t, node, request, "invalid_request"); t.Failed() {
					t.Fatalf("%s as a hint", name)
				}
			}
		})
		t.Run("RequestedSubject", func(t *testing.T) {
			claims := func(sub string) string { return `{"id_token":{"sub":{"value":"` + sub + `"}}}` }
			request := silent.Request(NewPKCE(), "claims", claims(alice.Sub), "prompt", "none")
			get(t, b, request).wantCode(t, node, request)
			request.Set("id_token_hint", alices.ID)
			get(t, b, request).wantCode(t, node, request)
			request.Set("claims", claims(bob.Sub))
			get(t, b, request).wantRefusal(t, node, request, "invalid_request")
			request.Del("id_token_hint")
			get(t, b, request).wantRefusal(t, node, request, "login_required")
			request.Del("prompt")
			get(t, bobs, request).wantCode(t, node, request)
		})
		t.Run("SelectAccount", func(t *testing.T) {
			request := silent.Request(NewPKCE(), "prompt", "select_account")
			page := get(t, b, request)
			if !page.HasID("account-form") || !page.HasID("account-switch") {
				t.Fatalf("no choice of account: %d %.300s", page.Status, page.Body)
			}
			name, value := page.Button(t, "account-continue")
			b.Submit(t, page, page.Form(t, "account-form"), url.Values{name: {value}}).wantCode(t, node, request)
			if again := get(t, b, request); !again.HasID("account-form") {
				t.Error("the next request does not ask again")
			}
			// Another account.
			mixed := node.NewBrowser(t)
			mixed.Authorize(t, silent.Request(NewPKCE()), bob)
			page = get(t, mixed, request)
			form := page.Form(t, "account-switch")
			page = mixed.Get(t, form.Action+"?"+form.Fields.Encode())
			page.wantLogin(t)
			mixed.Login(t, page, alice.Username, alice.Password).wantCode(t, node, request)
			// Nobody signed in: the login is the choice.
			fresh := node.NewBrowser(t)
			page = get(t, fresh, request)
			page.wantLogin(t)
			fresh.Login(t, page, alice.Username, alice.Password).wantCode(t, node, request)
		})
		t.Run("DefaultMaxAge", func(t *testing.T) {
			request := aged.Request(NewPKCE(), "prompt", "none")
			get(t, b, request).wantRefusal(t, node, request, "login_required")
			request.Set("max_age", "10000") // what is asked goes before what is registered
			get(t, b, request).wantCode(t, node, request)
		})
		t.Run("Consent", func(t *testing.T) {
			request := app.Request(NewPKCE(), "scope", "openid")
			page := get(t, b, request)
			page.wantConsent(t)
			// Not remembered: asked again.
			form := page.Form(t, "consent-form")
			form.Fields.Del("remember")
			name, value := page.Button(t, "consent-submit")
			b.Submit(t, page, form, url.Values{name: {value}}).wantCode(t, node, request)
			page = get(t, b, request)
			page.wantConsent(t)
			// Remembered: not asked again, not even for less.
			b.Allow(t, page).wantCode(t, node, request)
			get(t, b, request).wantCode(t, node, request)
			// Grown: asked again, and told what is new.
			grown := app.Request(NewPKCE(), "scope", "openid profile orders:read")
			none := app.Request(NewPKCE(), "scope", "openid profile orders:read", "prompt", "none")
			get(t, b, none).wantRefusal(t, node, none, "consent_required")
			page = get(t, b, grown)
			page.wantConsent(t)
			if strings.Count(page.Body, `class="badge"`) != 2 || !strings.Contains(page.Body, "See orders") {
				t.Errorf("the page does not tell what is new: %s", page.Body)
			}
			b.Allow(t, page).wantCode(t, node, grown)
			get(t, b, none).wantCode(t, node, none)
			get(t, b, request).wantCode(t, node, request)
			// prompt=consent asks even so, and keeps nothing when the answer is no.
			again := app.Request(NewPKCE(), "scope", "openid", "prompt", "consent")
			page = get(t, b, again)
			page.wantConsent(t)
			b.Deny(t, page).wantRefusal(t, node, again, "access_denied")
			page = get(t, b, again)
			page.wantConsent(t)
			b.Allow(t, page).wantCode(t, node, again)
			both := silent.Request(NewPKCE(), "scope", "openid", "prompt", "login consent")
			page = get(t, b, both)
			page.wantLogin(t)
			page = b.Login(t, page, alice.Username, alice.Password)
			page.wantConsent(t)
			b.Allow(t, page).wantCode(t, node, both)
			// Another person was never asked.
			request = app.Request(NewPKCE(), "scope", "openid", "prompt", "none")
			get(t, bobs, request).wantRefusal(t, node, request, "consent_required")
		})
		t.Run("OfflineAccess", func(t *testing.T) {
			if tokens, _ := signIn(t, b, alice, silent, "scope", "openid"); tokens.Refresh != "" {
				t.Error("a refresh token without offline_access")
			}
			if tokens, _ := signIn(t, b, alice, silent, "scope", "openid offline_access"); tokens.Refresh == "" {
				t.Error("offline_access gives no refresh token")
			}
			if tokens, _ := signIn(t, b, alice, codeOnly, "scope", "openid profile"); tokens.Refresh != "" || tokens.Scope != "openid profile" {
				t.Errorf("a client without the refresh token grant got %q", tokens.Scope)
			}
			request := codeOnly.Request(NewPKCE(), "scope", "openid offline_access")
			get(t, b, request).wantRefusal(t, node, request, "invalid_scope")
			// A public client's refresh tokens rotate.
			p := NewPKCE()
			page := get(t, b, public.Request(p))
			if page.HasID("consent-form") {
				page = b.Allow(t, page)
			}
			tokens := node.Exchange(t, public, page.wantCode(t, node, public.Request(p, "state", "")), p).Tokens(t)
			if second := node.Refresh(t, public, tokens.Refresh).Tokens(t); second.Refresh == tokens.Refresh {
				t.Error("a public client's refresh token does not rotate")
			}
		})
		t.Run("AllowedGroups", func(t *testing.T) {
			request := staff.Request(NewPKCE())
			get(t, b, request).wantCode(t, node, request)
			get(t, bobs, request).wantRefusal(t, node, request, "access_denied")
			request.Set("prompt", "none")
			get(t, bobs, request).wantRefusal(t, node, request, "access_denied")
		})
		t.Run("RoleGatedScopes", func(t *testing.T) {
			ask := []string{"scope", "openid orders:read orders:delete"}
			tokens, _ := signIn(t, b, alice, silent, ask...)
			claims := node.Verify(t, tokens.Access, "at+jwt", "ES256")
			if claims["scope"] != "openid orders:read orders:delete" || !isFor(claims, orders, inst.Issuer) {
				t.Errorf("a holder got %v for %v", claims["scope"], claims["aud"])
			}
			for name, want := range map[string]any{"groups": []any{"staff"}, "roles": []any{"clerk"}, "entitlements": []any{"orders:delete"}} {
				if got := fmt.Sprint(claims[name]); got != fmt.Sprint(want) {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			// Who loses the role loses the scope of tokens that are out.
			inst.CLI(t, "", "group", "remove-member", "staff", alice.Username)
			told := node.Post(t, "/oauth2/introspect", silent, url.Values{"token": {tokens.Access}}).JSON(t)
			if told["active"] != true || told["scope"] != "openid orders:read" {
				t.Errorf("after losing the role: %v", told)
			}
			inst.CLI(t, "", "group", "add-member", "staff", alice.Username)
			tokens, _ = signIn(t, bobs, bob, silent, ask...)
			claims = node.Verify(t, tokens.Access, "at+jwt", "ES256")
			if claims["scope"] != "openid orders:read" || tokens.Scope != "openid orders:read" || claims["entitlements"] != nil || claims["roles"] != nil || claims["groups"] != nil {
				t.Errorf("somebody without the role got %v, %v", tokens.Scope, claims)
			}
			// A resource that does not ask is not told.
			tokens, _ = signIn(t, b, alice, silent, "scope", "openid stock:read")
			claims = node.Verify(t, tokens.Access, "at+jwt", "ES256")
			if !isFor(claims, stock, inst.Issuer) || claims["groups"] != nil || claims["roles"] != nil || claims["entitlements"] != nil {
				t.Errorf("a resource that asked for nothing got %v", claims)
			}
			request := silent.Request(NewPKCE(), "scope", "orders:delete")
			get(t, bobs, request).wantRefusal(t, node, request, "access_denied")
			get(t, b, request).wantCode(t, node, request)
		})
		t.Run("ResourceIndicators", func(t *testing.T) {
			for _, resource := range []string{"https://unknown.example", "https://foreign.example", "orders", "/x", orders + "/", orders + "#x", orders + "#", "https://", "::", inst.Issuer, strings.ToUpper(orders)} {
				request := silent.Request(NewPKCE(), "resource", resource)
				if get(t, b, request).wantRefusal(t, node, request, "invalid_target"); t.Failed() {
					t.Fatalf("resource %q", resource)
				}
			}
			request := silent.Request(NewPKCE(), "resource", stock, "scope", "openid orders:read")
			get(t, b, request).wantRefusal(t, node, request, "invalid_scope")
			request = silent.Request(NewPKCE(), "scope", "openid foreign:read")
			get(t, b, request).wantRefusal(t, node, request, "invalid_scope")
			several := func(t *testing.T, p PKCE) string {
				request := silent.Request(p, "scope", "openid offline_access orders:read stock:read")
				request["resource"] = []string{orders, stock, orders}
				return get(t, b, request).wantCode(t, node, request)
			}
			p := NewPKCE()
			tokens := node.Exchange(t, silent, several(t, p), p, "resource", stock).Tokens(t)
			claims := node.Verify(t, tokens.Access, "at+jwt", "ES256")
			if !isFor(claims, stock, inst.Issuer) || claims["scope"] != "openid offline_access stock:read" {
				t.Errorf("a token for one of two resources: aud %v, scope %v", claims["aud"], claims["scope"])
			}
			// The refresh token reaches the other one, and nothing else.
			refreshed := node.Refresh(t, silent, tokens.Refresh, "resource", orders).Tokens(t)
			claims = node.Verify(t, refreshed.Access, "at+jwt", "ES256")
			if !isFor(claims, orders, inst.Issuer) || claims["scope"] != "openid offline_access orders:read" {
				t.Errorf("refresh for the other resource: aud %v, scope %v", claims["aud"], claims["scope"])
			}
			node.Refresh(t, silent, refreshed.Refresh, "resource", "https://unknown.example").WantError(t, http.StatusBadRequest, "invalid_target")
			form := CodeForm(silent, several(t, p), p)
			form["resource"] = []string{orders, stock}
			node.Post(t, "/oauth2/token", silent, form).WantError(t, http.StatusBadRequest, "invalid_target")
			one := silent.Request(p, "scope", "openid orders:read", "resource", orders)
			node.Exchange(t, silent, get(t, b, one).wantCode(t, node, one), p, "resource", stock).WantError(t, http.StatusBadRequest, "invalid_target")
		})
		t.Run("Metadata", func(t *testing.T) {
			var m map[string][]string
			var all map[string]json.RawMessage
			_ = json.Unmarshal([]byte(node.open(t, node.HTTP, "/.well-known/openid-configuration").Body), &all)
			m = map[string][]string{}
			for name, raw := range all {
				var list []string
				if json.Unmarshal(raw, &list) == nil {
					m[name] = list
				}
			}
			for name, want := range map[string][]string{
				"response_types_supported": {"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"},
				"response_modes_supported": {"query", "fragment", "form_post"}, "code_challenge_methods_supported": {"S256"},
			} {
				if !slices.Equal(m[name], want) {
					t.Errorf("%s is %v, want %v", name, m[name], want)
				}
			}
		})
		node.wantQuiet(t, app.Secret, silent.Secret, alice.Password, bob.Password)
	})
}

// isFor reports whether the token's audience is exactly that: the resource, and
// the issuer for userinfo.
func isFor(claims map[string]any, audience ...string) bool {
	var got []string
	switch aud := claims["aud"].(type) {
	case string:
		got = []string{aud}
	case []any:
		for _, a := range aud {
			got = append(got, fmt.Sprint(a))
		}
	}
	return slices.Equal(got, audience)
}

// flip changes one character in the middle of a JWT's signature.
func flip(jwt string) string {
	i := strings.LastIndexByte(jwt, '.') + 20
	c := byte('A')
	if jwt[i] == c {
		c = 'B'
	}
	return jwt[:i] + string(c) + jwt[i+1:]
}

// unsigned is the JWT's payload under alg none.
func unsigned(jwt string) string {
	return "eyJhbGciOiJub25lIn0." + strings.Split(jwt, ".")[1] + "."
}
