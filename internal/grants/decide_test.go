package grants

import (
	"net/url"
	"testing"
	"time"

	"idp/internal/idp"
)

// The next step is a pure function of the request, the session, the consent
// and the clock (OpenID Connect Core section 3.1.2).
func TestDecide(t *testing.T) {
	requested := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before, after := requested.Add(-10*time.Minute), requested.Add(time.Second)
	age := func(d time.Duration) *time.Duration { return &d }
	const callback = "https://app.example/cb"

	type world struct {
		client  idp.Client
		prompt  []string
		maxAge  *time.Duration
		hint    string
		who     *idp.AuthorizationContext
		flow    idp.Flow
		scopes  []string
		granted []string
		acr     acrWish
		demand  idp.Demand
	}
	signedIn := func(at time.Time) *idp.AuthorizationContext {
		return &idp.AuthorizationContext{User: idp.User{ID: "alice"}, Session: idp.Session{AuthTime: at, ACR: idp.ACRPassword}}
	}
	consent := func(at time.Time, remembered bool) *idp.Consent {
		return &idp.Consent{Scopes: []string{"openid", "email"}, RedirectOrigins: []string{"https://app.example"}, Remembered: remembered, GrantedAt: at}
	}
	for _, tc := range []struct {
		name string
		set  func(*world)
		want step
		code string
	}{
		{"nobody signed in", func(w *world) { w.who = nil }, stepLogin, ""},
		{"nobody signed in, prompt=none", func(w *world) { w.who, w.prompt = nil, []string{"none"} }, stepFail, "login_required"},
		{"remembered consent", func(*world) {}, stepIssue, ""},
		{"prompt=none with all there", func(w *world) { w.prompt = []string{"none"} }, stepIssue, ""},
		{"no consent", func(w *world) { w.who.Consent = nil }, stepConsent, ""},
		{"no consent, prompt=none", func(w *world) { w.who.Consent, w.prompt = nil, []string{"none"} }, stepFail, "consent_required"},
		{"consent skipped", func(w *world) { w.who.Consent, w.client.SkipConsent = nil, true }, stepIssue, ""},
		{"consent withdrawn", func(w *world) { w.who.Consent.WithdrawnAt = before }, stepConsent, ""},
		{"scope grown", func(w *world) { w.scopes = []string{"openid", "phone"} }, stepConsent, ""},
		{"redirect to another host", func(w *world) { w.who.Consent.RedirectOrigins = []string{"https://old.example"} }, stepConsent, ""},
		{"client reset after consent", func(w *world) { w.client.TokensValidAfter = requested }, stepConsent, ""},
		{"consent for one request only, older", func(w *world) { w.who.Consent = consent(before, false) }, stepConsent, ""},
		{"consent for one request only, this one", func(w *world) { w.who.Consent = consent(after, false) }, stepIssue, ""},
		{"prompt=consent", func(w *world) { w.prompt = []string{"consent"} }, stepConsent, ""},
		{"prompt=consent answered", func(w *world) { w.prompt, w.who.Consent = []string{"consent"}, consent(after, true) }, stepIssue, ""},
		{"denied", func(w *world) { w.flow.Denied = true }, stepFail, "access_denied"},
		{"prompt=login", func(w *world) { w.prompt = []string{"login"} }, stepLogin, ""},
		{"prompt=login done", func(w *world) { w.prompt, w.who.Session.AuthTime = []string{"login"}, after }, stepIssue, ""},
		{"prompt=create", func(w *world) { w.prompt = []string{"create"} }, stepRegister, ""},
		{"prompt=create, nobody signed in", func(w *world) { w.who, w.prompt = nil, []string{"create"} }, stepRegister, ""},
		{"prompt=create done", func(w *world) { w.prompt, w.who.Session.AuthTime = []string{"create"}, after }, stepIssue, ""},
		{"max_age passed", func(w *world) { w.maxAge = age(time.Minute) }, stepLogin, ""},
		{"max_age not passed", func(w *world) { w.maxAge = age(time.Hour) }, stepIssue, ""},
		{"max_age=0", func(w *world) { w.maxAge = age(0) }, stepLogin, ""},
		{"max_age=0 done", func(w *world) { w.maxAge, w.who.Session.AuthTime = age(0), after }, stepIssue, ""},
		{"max_age, prompt=none", func(w *world) { w.maxAge, w.prompt = age(0), []string{"none"} }, stepFail, "login_required"},
		{"hint of the same person", func(w *world) { w.hint = "alice" }, stepIssue, ""},
		{"hint of another person", func(w *world) { w.hint = "bob" }, stepLogin, ""},
		{"hint of another person after login", func(w *world) { w.hint, w.who.Session.AuthTime = "bob", after }, stepFail, "login_required"},
		{"hint of another person, prompt=none", func(w *world) { w.hint, w.prompt = "bob", []string{"none"} }, stepFail, "login_required"},
		{"select_account", func(w *world) { w.prompt = []string{"select_account"} }, stepSelectAccount, ""},
		{"select_account chosen", func(w *world) {
			w.prompt, w.flow.AccountChosen = []string{"select_account"}, w.who.Session.ID.String()
		}, stepIssue, ""},
		{"select_account after login", func(w *world) { w.prompt, w.who.Session.AuthTime = []string{"select_account"}, after }, stepIssue, ""},
		{"wanted class reached", func(w *world) { w.acr.values, w.who.Session.ACR = []string{"2"}, "phr" }, stepIssue, ""},
		{"one of the wanted classes reached", func(w *world) { w.acr.values = []string{"phr", "1"} }, stepIssue, ""},
		{"wanted class not reached", func(w *world) { w.acr.values = []string{"2"} }, stepLogin, ""},
		{"wanted class unknown", func(w *world) { w.acr.values = []string{"urn:x"} }, stepIssue, ""},
		{"wanted class out of reach", func(w *world) { w.acr.values, w.flow.Unreachable = []string{"2"}, "2" }, stepIssue, ""},
		{"wanted class, prompt=none", func(w *world) { w.acr.values, w.prompt = []string{"2"}, []string{"none"} }, stepIssue, ""},
		{"essential class not reached", func(w *world) { w.acr = acrWish{[]string{"phr", "2"}, true} }, stepLogin, ""},
		{"essential class, prompt=none", func(w *world) { w.acr, w.prompt = acrWish{[]string{"2"}, true}, []string{"none"} }, stepFail, "login_required"},
		{"essential class out of reach", func(w *world) { w.acr, w.flow.Unreachable = acrWish{[]string{"2"}, true}, "2" }, stepFail, "unmet_authentication_requirements"},
		{"another class is out of reach", func(w *world) { w.acr, w.flow.Unreachable = acrWish{[]string{"2"}, true}, "phr" }, stepLogin, ""},
		{"policy", func(w *world) { w.demand.ACR = "2" }, stepLogin, ""},
		{"policy met", func(w *world) { w.demand.ACR, w.who.Session.ACR = "2", "2" }, stepIssue, ""},
		{"policy is no wish", func(w *world) { w.demand.ACR, w.flow.Unreachable = "2", "2" }, stepLogin, ""},
		{"policy, prompt=none", func(w *world) { w.demand.ACR, w.prompt = "2", []string{"none"} }, stepFail, "login_required"},
		{"policy's age passed", func(w *world) { w.demand.MaxAge = time.Minute }, stepLogin, ""},
		{"policy's age not passed", func(w *world) { w.demand.MaxAge = time.Hour }, stepIssue, ""},
		{"not in the client's groups", func(w *world) { w.client.AllowedGroups = []string{"staff"} }, stepFail, "access_denied"},
		{"no role for the only scope", func(w *world) { w.scopes, w.granted = []string{"admin"}, []string{} }, stepFail, "access_denied"},
		{"consent skipped, but anybody may listen on the loopback port", func(w *world) {
			w.client.TokenEndpointAuthMethod, w.client.SkipConsent = idp.AuthNone, true
			w.client.RedirectURIs, w.who.Consent = []string{"http://127.0.0.1/cb"}, nil
		}, stepConsent, ""},
		{"public client on loopback", func(w *world) {
			w.client.TokenEndpointAuthMethod = idp.AuthNone
			w.client.RedirectURIs = []string{"http://127.0.0.1/cb"}
			w.who.Consent.RedirectOrigins = []string{"http://127.0.0.1"}
		}, stepConsent, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := world{
				client: idp.Client{ClientMetadata: idp.ClientMetadata{RedirectURIs: []string{callback}}},
				who:    signedIn(before), flow: idp.Flow{RequestedAt: requested}, scopes: []string{"openid", "email"},
			}
			w.who.Consent = consent(before, true)
			tc.set(&w)
			if w.granted == nil {
				w.granted = w.scopes
			}
			req := &authorizationRequest{
				client: &w.client, redirectURI: w.client.RedirectURIs[0], prompt: w.prompt, maxAge: w.maxAge,
				hintSubject: w.hint, target: target{scopes: w.scopes}, acr: w.acr,
			}
			got, _, err := decide(facts{request: req, flow: w.flow, who: w.who, subject: "alice", scopes: w.granted, asked: w.granted, demand: w.demand, now: after})
			code := ""
			if err != nil {
				code = err.Code
			}
			if got != tc.want || code != tc.code {
				t.Errorf("step %d %q, want %d %q", got, code, tc.want, tc.code)
			}
		})
	}
}

// The claims parameter is a JSON object of claims of any type; an essential acr
// and a sub are heeded (OpenID Connect Core sections 5.5.1 and 5.5.1.1).
func TestOIDC_5_5_Claims(t *testing.T) {
	for claims, want := range map[string]struct{ code, subject string }{
		``:     {"", ""},
		`{}`:   {"", ""},
		` {}`:  {"", ""},
		`null`: {"invalid_request", ""},
		`[]`:   {"invalid_request", ""},
		`{"id_token":{"acr":null},"userinfo":{"email":{"essential":true}}}`:                                    {"", ""},
		`{"id_token":{"updated_at":{"value":1},"age":{"values":[1,2]}},"userinfo":{"x":{"value":{"a":true}}}}`: {"", ""},
		`{"id_token":{"acr":{"essential":true,"values":["urn:x"]}}}`:                                           {"unmet_authentication_requirements", ""},
		`{"id_token":{"acr":{"essential":true,"value":"urn:x"}}}`:                                              {"unmet_authentication_requirements", ""},
		`{"id_token":{"acr":{"essential":true,"values":["2","1"]}}}`:                                           {"", ""},
		`{"id_token":{"acr":{"values":["urn:x"]}}}`:                                                            {"", ""},
		`{"id_token":{"acr":{"essential":true,"values":[2]}}}`:                                                 {"invalid_request", ""},
		`{"id_token":{"sub":{"value":"alice"}}}`:                                                               {"", "alice"},
		`{"id_token":{"sub":{"value":1}}}`:                                                                     {"invalid_request", ""},
		`{"id_token":{"sub":{"essential":true}}}`:                                                              {"", ""},
	} {
		req := &authorizationRequest{}
		err := checkClaims(req, parameters{values: url.Values{"claims": {claims}}})
		code := ""
		if err != nil {
			code = err.Code
		}
		if code != want.code || req.hintSubject != want.subject {
			t.Errorf("%s: %q, subject %q; want %q, %q", claims, code, req.hintSubject, want.code, want.subject)
		}
	}
}
