package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// The modules of the basic, implicit, hybrid and form post plans.

// Everybody is who passes for a person with every standard claim (OpenID
// Connect Core section 5.1).
func (i *Installation) everybody(t *testing.T) User {
	return i.NewUser(t,
		"--name", "Erin Everybody", "--given-name", "Erin", "--family-name", "Everybody", "--middle-name", "E.", "--nickname", "erin",
		"--preferred-username", "erin", "--profile", "https://people.example/erin", "--picture", "https://people.example/erin.png",
		"--website", "https://erin.example", "--gender", "female", "--birthdate", "1990-05-05", "--zoneinfo", "Europe/Berlin", "--locale", "de-DE",
		"--email", "erin@example.com", "--email-verified", "--phone-number", "+49 30 123456", "--phone-number-verified",
		"--address", "Hauptstr. 1, 10115 Berlin", "--street-address", "Hauptstr. 1", "--locality", "Berlin", "--postal-code", "10115", "--country", "DE")
}

// The claims that each scope opens, and whether a value will do.
var (
	anyText  = func(v any) bool { s, ok := v.(string); return ok && s != "" }
	anyBool  = func(v any) bool { _, ok := v.(bool); return ok }
	matching = func(p string) func(any) bool {
		return func(v any) bool { return anyText(v) && regexp.MustCompile(p).MatchString(v.(string)) }
	}
	anyAddress  = matching(`^https://`)
	scopeClaims = map[string]map[string]func(any) bool{
		"profile": {
			"name": anyText, "given_name": anyText, "family_name": anyText, "middle_name": anyText, "nickname": anyText,
			"preferred_username": anyText, "profile": anyAddress, "picture": anyAddress, "website": anyAddress, "gender": anyText,
			"birthdate": matching(`^(\d{4}|0000)(-\d\d-\d\d)?$`), "zoneinfo": matching(`^[A-Z]\w+/\w+$`), "locale": matching(`^[a-z]{2,3}([-_][A-Za-z0-9]+)*$`),
			"updated_at": func(v any) bool { n, ok := v.(float64); return ok && n > 1e9 && n < 1e11 }, // seconds
		},
		"email": {"email": matching(`^\S+@\S+$`), "email_verified": anyBool},
		"address": {"address": func(v any) bool {
			o, ok := v.(map[string]any)
			return ok && anyText(o["formatted"]) && anyText(o["country"])
		}},
		"phone": {"phone_number": matching(`^\+`), "phone_number_verified": anyBool},
	}
)

// What an ID token may hold when nobody asked for more, and an answer.
var (
	idTokenClaims = []string{
		"iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid", "jti",
	}
	answerParameters = []string{
		"code", "state", "iss", "id_token", "access_token", "token_type", "expires_in", "scope", "session_state",
		"error", "error_description", "error_uri",
	}
	printable = regexp.MustCompile(`^[\x20-\x21\x23-\x5b\x5d-\x7e]*$`) // RFC 6749 section 4.1.2.1
)

// answer is what came back to the relying party, and to which request.
type answer struct {
	url.Values
	request url.Values
}

// outcome is what a relying party has in hands after a sign-in.
type outcome struct {
	answer
	tokens Tokens         // of the token endpoint
	access string         // the newest access token
	raw    string         // the ID token that came first
	id     map[string]any // its claims
	info   map[string]any // of userinfo; empty without an access token
}

// request is an authorization request of the module's client.
func (r *run) request(changes ...string) url.Values {
	defaults := []string{
		"code_challenge", "", "code_challenge_method", "", "scope", "openid",
		"response_type", r.responseType, "response_mode", r.responseMode,
	}
	return r.client.Request(PKCE{}, append(defaults, changes...)...)
}

func (r *run) address(request url.Values) string {
	return r.Issuer + "/oauth2/auth?" + request.Encode()
}

// back reads the answer at the relying party, and checks that it came in the
// right way and by no other.
func (r *run) back(s *sight, request url.Values) answer {
	r.Helper()
	return r.backBy(s, request, r.in())
}

func (r *run) backBy(s *sight, request url.Values, mode string) answer {
	r.Helper()
	if s.Received == nil {
		r.Fatalf("not back at the relying party but at %s, status %d:\n%s", s.At, s.Status, s.Text)
	}
	at := mustURL(r.T, s.At)
	uri := mustURL(r.T, orDefault(request.Get("redirect_uri"), r.client.RedirectURI))
	fragment, err := url.ParseQuery(at.Fragment)
	if err != nil || at.Host != uri.Host || at.Path != uri.Path {
		r.Fatalf("came back to %s: %v", at, err)
	}
	query := s.Received.Query
	for name, values := range uri.Query() { // what is registered stays
		if !slices.Equal(query[name], values) {
			r.Errorf("%s is %v in %s", name, query[name], at)
		}
		query.Del(name)
	}
	ways := map[string]url.Values{"query": query, "fragment": fragment, "form_post": s.Received.Form}
	for way, values := range ways {
		if way != mode && len(values) > 0 {
			r.Errorf("%v came by %s", values, way)
		}
	}
	method := map[bool]string{true: http.MethodPost, false: http.MethodGet}[mode == "form_post"]
	if s.Received.Method != method || mode == "form_post" && s.Received.ContentType != "application/x-www-form-urlencoded" {
		r.Errorf("came by %s with %q", s.Received.Method, s.Received.ContentType)
	}
	a := answer{Values: ways[mode], request: request}
	if a.Get("state") != request.Get("state") || a.Has("state") != request.Has("state") || a.Get("iss") != r.Issuer {
		r.Errorf("state or iss of %v", a.Values)
	}
	for name, values := range a.Values {
		if !slices.Contains(answerParameters, name) || len(values) != 1 {
			r.Errorf("unexpected %s: %v", name, values)
		}
	}
	if !printable.MatchString(a.Get("error_description")) {
		r.Errorf("error_description %q", a.Get("error_description"))
	}
	return a
}

// authorize goes through a request and comes back with the answer.
func (r *run) authorize(changes ...string) answer {
	r.Helper()
	request := r.request(changes...)
	a := r.back(r.who.through(r.who.visit(r.address(request)), r.erin), request)
	if a.Has("error") {
		r.Fatalf("%s: %s", a.Get("error"), a.Get("error_description"))
	}
	return a
}

// silently goes through a request that must show no page.
func (r *run) silently(changes ...string) answer {
	r.Helper()
	request := r.request(changes...)
	return r.back(r.who.visit(r.address(request)), request)
}

// redeem sends the code to the token endpoint.
func (r *run) redeem(a answer, changes ...string) *Answer {
	r.Helper()
	c := r.client.Client
	if uri := a.request.Get("redirect_uri"); uri != "" {
		c.RedirectURI = uri
	}
	return r.token(r.T, r.client, CodeForm(c, a.Get("code"), PKCE{}, append([]string{"code_verifier", ""}, changes...)...))
}

// complete checks an answer and all that it leads to.
func (r *run) complete(a answer, changes ...string) outcome {
	r.Helper()
	o := outcome{answer: a, access: a.Get("access_token"), raw: a.Get("id_token")}
	for part, wanted := range map[string]bool{
		"code": r.brings("code"), "id_token": r.brings("id_token"),
		"access_token": r.brings("token"), "token_type": r.brings("token"), "expires_in": r.brings("token"),
	} {
		if a.Has(part) != wanted {
			r.Fatalf("%s is there: %v, want %v", part, a.Has(part), wanted)
		}
	}
	if o.access != "" && !strings.EqualFold(a.Get("token_type"), "Bearer") {
		r.Errorf("token_type %q", a.Get("token_type"))
	}
	if o.raw != "" {
		o.id = r.idToken(o.raw, a, true)
	}
	if o.access != "" {
		o.info = r.userinfo(o.access)
	}
	if code := a.Get("code"); code != "" {
		if len(code) < 22 { // 128 bits
			r.Errorf("a code of %d characters", len(code))
		}
		res := r.redeem(a, changes...)
		o.tokens = res.Tokens(r.T)
		if body := res.JSON(r.T); res.Header.Get("Cache-Control") != "no-store" || !strings.EqualFold(body["token_type"].(string), "Bearer") || o.tokens.ExpiresIn <= 0 {
			r.Errorf("%v %v", res.Header, body)
		}
		id := r.idToken(o.tokens.ID, a, false)
		if o.id == nil {
			o.raw, o.id = o.tokens.ID, id
		}
		// OpenID Connect Core section 3.3.3.6.
		if id["iss"] != o.id["iss"] || id["sub"] != o.id["sub"] {
			r.Errorf("ID tokens of two people: %v and %v", o.id, id)
		}
		o.access = o.tokens.Access
		o.info = r.userinfo(o.access)
	}
	return o
}

// idToken verifies an ID token by OpenID Connect Core section 3.1.3.7 and its
// neighbours.
func (r *run) idToken(raw string, a answer, front bool) map[string]any {
	r.Helper()
	alg := jose.RS256
	id := r.Verify(r.T, raw, "JWT", alg)
	now := float64(time.Now().Unix())
	exp, _ := id["exp"].(float64)
	iat, _ := id["iat"].(float64)
	if id["iss"] != r.Issuer || id["aud"] != r.client.ID || id["sub"] != r.erin.Sub || exp <= now || iat > now+1 || iat < now-60 {
		r.Errorf("ID token: %v", id)
	}
	nonce := any(nil)
	if a.request.Has("nonce") {
		nonce = a.request.Get("nonce")
	}
	if id["nonce"] != nonce {
		r.Errorf("nonce %v, want %v", id["nonce"], nonce)
	}
	for claim, part := range map[string]string{"c_hash": "code", "at_hash": "access_token"} {
		if front && a.Has(part) && id[claim] != halfHash(a.Get(part)) {
			r.Errorf("%s is %v", claim, id[claim])
		}
	}
	if r.responseType != "id_token" && !a.request.Has("claims") {
		for claim := range id {
			if !slices.Contains(idTokenClaims, claim) {
				r.Errorf("%s in the ID token, though nobody asked for it", claim)
			}
		}
	}
	return id
}

func (r *run) userinfo(access string) map[string]any {
	r.Helper()
	a := r.Userinfo(r.T, access)
	if a.Status != http.StatusOK {
		r.Fatalf("userinfo: %d %s", a.Status, a.Body)
	}
	var info map[string]any
	if a.Header.Get("Content-Type") == "application/jwt" { // OpenID Connect Core section 5.3.2
		info = r.verify(r.T, a.Body, nil, jose.RS256)
		if info["iss"] != r.Issuer || info["aud"] != r.client.ID {
			r.Errorf("userinfo: %v", info)
		}
	} else {
		info = a.JSON(r.T)
	}
	if info["sub"] != r.erin.Sub {
		r.Errorf("userinfo: %v", info)
	}
	return info
}

// happy is a whole sign-in.
func (r *run) happy(changes ...string) outcome {
	r.Helper()
	return r.complete(r.authorize(changes...))
}

// claims are those about the person: at userinfo, or in the ID token when there
// is nothing to ask userinfo with.
func (o outcome) claims() map[string]any {
	if o.info == nil {
		return o.id
	}
	return o.info
}

// refusedOnPage checks that the person is told, and stays with the issuer.
func (r *run) refusedOnPage(s *sight) {
	r.Helper()
	if !strings.HasPrefix(s.At, r.Issuer+"/") || !s.has("error") || s.Status < 400 || s.Status > 499 {
		r.Errorf("no error page but %s, status %d:\n%s", s.At, s.Status, s.Text)
	}
}

// later checks that somebody signed in again between two outcomes.
func (r *run) later(first, second outcome) {
	r.Helper()
	before, _ := first.id["auth_time"].(float64)
	after, ok := second.id["auth_time"].(float64)
	if !ok || after <= before {
		r.Errorf("auth_time %v after %v", second.id["auth_time"], first.id["auth_time"])
	}
}

// same checks that nobody signed in again between two outcomes.
func (r *run) same(first, second outcome) {
	r.Helper()
	if first.id["auth_time"] == nil || first.id["auth_time"] != second.id["auth_time"] || first.id["sub"] != second.id["sub"] {
		r.Errorf("%v after %v", second.id, first.id)
	}
}

// metadata is the configuration document.
func (s *suite) metadata(t *testing.T) map[string]any {
	t.Helper()
	return s.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil).JSON(t)
}

func (s *suite) advertises(t *testing.T, field, value string) bool {
	t.Helper()
	values, _ := s.metadata(t)[field].([]any)
	return slices.Contains(values, any(value))
}

// accepted is a module of parameters that must not disturb.
func accepted(name string, changes ...string) module {
	return module{name: name, run: func(r *run) { r.happy(changes...) }}
}

func scope(name string) module {
	return module{name: "oidcc-scope-" + name, run: func(r *run) {
		scopes := []string{name}
		if name == "all" {
			scopes = []string{"profile", "email", "address", "phone"}
		}
		o := r.happy("scope", "openid "+strings.Join(scopes, " "))
		got, wanted := o.claims(), 0
		for _, scope := range scopes {
			if !r.advertises(r.T, "scopes_supported", scope) {
				r.Errorf("the metadata knows nothing of the scope %s", scope)
			}
			wanted += len(scopeClaims[scope])
			for claim, good := range scopeClaims[scope] {
				if !good(got[claim]) {
					r.Errorf("%s is %v", claim, got[claim])
				}
			}
		}
		if o.info != nil && len(got) != wanted+1 {
			r.Errorf("more than asked for: %v", got)
		}
	}}
}

// Variants that modules are for.
var (
	withCode   = func(v variant) bool { return v.brings("code") }
	withAccess = func(v variant) bool { return v.responseType != "id_token" }
	frontToken = func(v variant) bool { return v.brings("id_token") }
	onlyCode   = func(v variant) bool { return v.responseType == "code" }
	codeAlone  = func(v variant) bool { return v.brings("code") && !v.brings("id_token") } // no ID token by the browser
)

// userinfoBy is a module of a way to ask userinfo.
func userinfoBy(name string, request func(address, token string) *http.Request) module {
	return module{name: name, only: withAccess, run: func(r *run) {
		o := r.happy()
		a := Do(r.T, r.HTTP, request(r.Issuer+"/userinfo", o.access))
		if a.Status != http.StatusOK || a.JSON(r.T)["sub"] != r.erin.Sub || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
			r.Errorf("%d %v %s", a.Status, a.Header, a.Body)
		}
	}}
}

var coreModules = []module{
	{name: "oidcc-server", run: func(r *run) {
		o := r.happy()
		other := r.complete(r.silently("prompt", "none"))
		if code := o.Get("code"); code != "" && (code == other.Get("code") || code[:16] == other.Get("code")[:16]) {
			r.Errorf("codes begin alike: %s and %s", code, other.Get("code"))
		}
	}},
	{name: "oidcc-server-client-secret-post", only: withCode, run: func(r *run) {
		r.client = r.post
		r.happy()
	}},
	{name: "oidcc-response-type-missing", run: func(r *run) {
		request := r.request("response_type", "")
		mode := orDefault(r.responseMode, "query") // nothing says that a fragment is expected
		if a := r.backBy(r.who.visit(r.address(request)), request, mode); a.Get("error") != "unsupported_response_type" && a.Get("error") != "invalid_request" {
			r.Errorf("%v", a.Values)
		}
	}},
	{name: "oidcc-idtoken-signature", run: func(r *run) {
		r.registers(nil) // no id_token_signed_response_alg
		r.happy()        // which wants RS256 and a kid
	}},
	{name: "oidcc-idtoken-unsigned", only: codeAlone, run: func(r *run) {
		if r.advertises(r.T, "id_token_signing_alg_values_supported", "none") {
			r.Error("the metadata advertises none, so this module wants it")
		}
		r.refuses(fields{"id_token_signed_response_alg": "none"}, "invalid_client_metadata")
	}},
	userinfoBy("oidcc-userinfo-get", func(address, token string) *http.Request {
		r, _ := http.NewRequest(http.MethodGet, address, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	}),
	userinfoBy("oidcc-userinfo-post-header", func(address, token string) *http.Request {
		r, _ := http.NewRequest(http.MethodPost, address, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	}),
	userinfoBy("oidcc-userinfo-post-body", func(address, token string) *http.Request {
		r, _ := http.NewRequest(http.MethodPost, address, strings.NewReader(url.Values{"access_token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}),
	{name: "oidcc-ensure-request-without-nonce-succeeds-for-code-flow", only: codeAlone, run: func(r *run) { r.happy("nonce", "") }},
	{name: "oidcc-ensure-request-without-nonce-fails", only: frontToken, run: func(r *run) {
		if a := r.silently("nonce", ""); a.Get("error") != "invalid_request" {
			r.Errorf("%v", a.Values)
		}
	}},
	scope("profile"), scope("email"), scope("address"), scope("phone"), scope("all"),
	{name: "oidcc-alternate-happy-flow", run: func(r *run) {
		request := r.request("scope", "phone address email profile openid")
		pairs := strings.Split(request.Encode(), "&")
		slices.Reverse(pairs)
		s := r.who.through(r.who.visit(r.Issuer+"/oauth2/auth?"+strings.Join(pairs, "&")), r.erin)
		r.complete(r.back(s, request))
	}},
	accepted("oidcc-display-page", "display", "page"),
	accepted("oidcc-display-popup", "display", "popup"),
	{
		name: "oidcc-prompt-login", wait: 1100 * time.Millisecond, // auth_time has whole seconds
		before: func(r *run) { r.first = r.happy() },
		run: func(r *run) {
			request := r.request("prompt", "login")
			s := r.who.visit(r.address(request))
			if !s.has("login-form") {
				r.Fatalf("no login form at %s:\n%s", s.At, s.Text)
			}
			r.later(r.first, r.complete(r.back(r.who.through(s, r.erin), request)))
		},
	},
	{name: "oidcc-prompt-none-not-logged-in", run: func(r *run) {
		a := r.silently("prompt", "none")
		if !slices.Contains([]string{"login_required", "interaction_required", "account_selection_required", "consent_required"}, a.Get("error")) {
			r.Errorf("%v", a.Values)
		}
	}},
	{name: "oidcc-prompt-none-logged-in", run: func(r *run) {
		first := r.happy()
		r.same(first, r.complete(r.silently("prompt", "none")))
	}},
	{
		name: "oidcc-max-age-1", wait: 2 * time.Second,
		before: func(r *run) { r.first = r.happy() },
		run: func(r *run) {
			request := r.request("max_age", "1")
			s := r.who.visit(r.address(request))
			if !s.has("login-form") {
				r.Fatalf("no login form at %s:\n%s", s.At, s.Text)
			}
			r.later(r.first, r.complete(r.back(r.who.through(s, r.erin), request)))
		},
	},
	{name: "oidcc-max-age-10000", run: func(r *run) {
		first := r.happy("max_age", "10000")
		r.same(first, r.complete(r.silently("max_age", "10000")))
	}},
	accepted("oidcc-ensure-request-with-unknown-parameter-succeeds", "extra", "foobar"),
	{name: "oidcc-id-token-hint", run: func(r *run) {
		first := r.happy()
		r.same(first, r.complete(r.silently("prompt", "none", "id_token_hint", first.raw)))
	}},
	{name: "oidcc-login-hint", run: func(r *run) { r.happy("login_hint", "buffy@"+mustURL(r.T, r.Issuer).Host) }},
	accepted("oidcc-ui-locales", "ui_locales", "se"),
	accepted("oidcc-claims-locales", "claims_locales", "se"),
	{name: "oidcc-ensure-request-with-acr-values-succeeds", run: func(r *run) {
		var values []string
		advertised, _ := r.metadata(r.T)["acr_values_supported"].([]any)
		for _, v := range advertised {
			values = append(values, v.(string))
		}
		if len(values) == 0 {
			values = []string{"1", "2"}
		}
		if o := r.happy("acr_values", strings.Join(values, " ")); !slices.Contains(values, orDefault(text(o.id["acr"]), "none")) {
			r.Errorf("acr is %v, not one of %v", o.id["acr"], values)
		}
	}},
	{name: "oidcc-codereuse", only: withCode, run: func(r *run) {
		o := r.happy()
		r.redeem(o.answer).WantError(r.T, http.StatusBadRequest, "invalid_grant")
	}},
	{
		name: "oidcc-codereuse-30seconds", only: withCode, wait: 30 * time.Second,
		before: func(r *run) { r.first = r.happy() },
		run: func(r *run) {
			r.redeem(r.first.answer).WantError(r.T, http.StatusBadRequest, "invalid_grant")
			if a := r.Userinfo(r.T, r.first.access); a.Status != http.StatusUnauthorized {
				r.Errorf("the first access token still works: %d", a.Status)
			}
		},
	},
	{name: "oidcc-ensure-registered-redirect-uri", run: func(r *run) {
		r.refusedOnPage(r.who.visit(r.address(r.request("redirect_uri", r.party.url+"/cb2"))))
	}},
	{name: "oidcc-ensure-post-request-succeeds", only: onlyCode, run: func(r *run) {
		request := r.request()
		r.who.visit(r.party.url + "/start?" + mergeValues(request, url.Values{"action": {r.Issuer + "/oauth2/auth"}}).Encode())
		r.complete(r.back(r.who.through(r.who.press("go", arrived), r.erin), request))
	}},
	{name: "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", run: func(r *run) {
		uri := r.party.put("/object/"+Token(), "")
		r.registers(fields{"request_uris": []string{uri}})
		request := r.request()
		r.party.put(mustURL(r.T, uri).Path, unsignedObject(r.T, r.client.ObjectClaims(r.Issuer, request, fields{"state": "inside"})))
		outside := mergeValues(request, url.Values{"request_uri": {uri}})
		if a := r.back(r.who.visit(r.address(outside)), outside); a.Get("error") != "request_uri_not_supported" {
			r.Errorf("%v", a.Values)
		}
	}},
	{name: "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", run: func(r *run) {
		if r.advertises(r.T, "request_object_signing_alg_values_supported", "none") {
			r.Error("the metadata advertises none, so this module wants it")
		}
		request := r.request()
		request.Set("request", unsignedObject(r.T, r.client.ObjectClaims(r.Issuer, request, fields{"state": "inside"})))
		if a := r.back(r.who.visit(r.address(request)), request); a.Get("error") != "request_not_supported" {
			r.Errorf("%v", a.Values)
		}
	}},
	// The module is skipped without unsigned objects, see above; signed ones show
	// the same.
	{name: "oidcc-ensure-request-object-with-redirect-uri", run: func(r *run) {
		request := r.request()
		object := r.client.key.Sign(r.T, r.client.ObjectClaims(r.Issuer, request, nil))
		outside := mergeValues(request, url.Values{"redirect_uri": {r.party.url + "/cb2"}, "request": {object}})
		s := r.who.through(r.who.visit(r.address(outside)), r.erin)
		r.complete(r.back(s, request))
	}},
	{name: "oidcc-claims-essential", run: func(r *run) {
		place := "userinfo"
		if r.responseType == "id_token" {
			place = "id_token"
		}
		if o := r.happy("claims", `{"`+place+`":{"name":{"essential":true}}}`); o.claims()["name"] != "Erin Everybody" {
			r.Errorf("%v", o.claims())
		}
	}},
	{name: "oidcc-refresh-token", only: withCode, run: refreshToken},
	{name: "oidcc-ensure-request-with-valid-pkce-succeeds", only: withCode, run: func(r *run) {
		p := NewPKCE()
		r.complete(r.authorize("code_challenge", p.Challenge, "code_challenge_method", "S256"), "code_verifier", p.Verifier)
	}},
}

// refreshToken has two clients, each with a refresh token that is good for
// nobody else.
func refreshToken(r *run) {
	first, firstClient := r.happy("scope", "openid offline_access", "prompt", "consent"), r.client
	if first.tokens.Refresh == "" {
		r.Fatal("no refresh token")
	}
	r.client = r.other
	other := r.happy("scope", "openid offline_access", "prompt", "consent")
	refresh := func(c rp, token string) *Answer {
		return r.token(r.T, c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}
	r.client = firstClient
	renewed := refresh(firstClient, first.tokens.Refresh)
	tokens := renewed.Tokens(r.T)
	if renewed.Header.Get("Cache-Control") != "no-store" || tokens.Access == first.access {
		r.Errorf("%v %s", renewed.Header, renewed.Body)
	}
	if tokens.ID != "" {
		again := r.Verify(r.T, tokens.ID, "JWT", "RS256")
		for _, claim := range []string{"iss", "sub", "aud", "auth_time"} {
			if again[claim] != first.id[claim] {
				r.Errorf("%s is %v, was %v", claim, again[claim], first.id[claim])
			}
		}
	}
	r.userinfo(tokens.Access)
	refresh(r.other, other.tokens.Refresh).Tokens(r.T)
	refresh(r.other, orDefault(tokens.Refresh, first.tokens.Refresh)).WantError(r.T, http.StatusBadRequest, "invalid_grant")
}

func unsignedObject(t testing.TB, claims fields) string {
	return b64(`{"alg":"none"}`) + "." + b64(mustJSON(t, claims)) + "."
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// grantsOf are the grant_types that a response type takes.
func grantsOf(responseType string) []string {
	grants := []string{}
	if strings.Contains(responseType, "code") {
		grants = append(grants, "authorization_code", "refresh_token")
	}
	if responseType != "code" {
		grants = append(grants, "implicit")
	}
	return grants
}

// registered makes a client by dynamic registration.
func (r *run) registered(changes fields) (rp, fields) {
	r.Helper()
	a := r.registration(changes)
	if a.Status != http.StatusCreated {
		r.Fatalf("registration: %d %s", a.Status, a.Body)
	}
	c := readRegistered(r.T, a)
	return rp{Client: c.Client, auth: text(c.Fields["token_endpoint_auth_method"])}, c.Fields
}

// registers makes such a client the module's.
func (r *run) registers(changes fields) fields {
	r.Helper()
	c, f := r.registered(changes)
	r.client = c
	return f
}

func (r *run) registration(changes fields) *Answer {
	r.Helper()
	all := fields{
		"redirect_uris": []string{r.party.url + "/cb"}, "response_types": []string{r.responseType}, "grant_types": grantsOf(r.responseType),
	}
	for name, v := range changes {
		all[name] = v
	}
	return r.JSONRequest(r.T, http.MethodPost, "/oauth2/register", r.vouching, registration(all))
}

func (r *run) refuses(changes fields, code string) {
	r.Helper()
	r.registration(changes).WantError(r.T, http.StatusBadRequest, code)
}
