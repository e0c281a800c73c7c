package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// InitialToken lets its bearer register clients; args are further flags.
func (i *Installation) InitialToken(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(i.CLI(t, "", append([]string{"client", "registration-token", "create", "--uses", "1000", "--quiet"}, args...)...))
}

// wantReturnAsked checks that the person is shown an error and where it would lead,
// and sent nowhere. It returns the fields that going on would carry, and the
// address without them.
func (a *Answer) wantReturnAsked(t testing.TB, host string) (target string, fields url.Values) {
	t.Helper()
	for _, name := range []string{"Location", "Refresh"} {
		if got := a.Header.Get(name); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if a.Status < 400 || a.Status > 403 || !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, headers %v", a.Status, a.Header)
	}
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Data == "script" || node.Data == "meta" && attr(node, "http-equiv") != "" {
			t.Errorf("the page holds <%s>", node.Data)
		}
	}
	if shown := findID(root, "returns-to"); !a.HasID("unverified") || shown == nil || shown.FirstChild == nil || shown.FirstChild.Data != host {
		t.Fatalf("the page does not name %s: %s", host, a.Body)
	}
	if form, ok := a.FindForm("error-return"); ok {
		return form.Action, form.Fields
	}
	link := findID(root, "go-on")
	if link == nil || link.Data != "a" {
		t.Fatalf("nothing leads on: %s", a.Body)
	}
	cut := strings.LastIndexAny(attr(link, "href"), "?#")
	if cut < 0 {
		t.Fatalf("a link without an answer: %s", attr(link, "href"))
	}
	fields, err = url.ParseQuery(attr(link, "href")[cut+1:])
	if err != nil {
		t.Error(err)
	}
	return attr(link, "href")[:cut+1], fields
}

// An error does not carry anybody to a client that nobody vouches for: they are
// told where it leads, and go or stay.
func TestAttack_D12_PhishingRamp(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{
			"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_SECURITY_PROFILE": "oidc-legacy", "IDP_REGISTRATION_PER_HOUR": "10000",
		})
		alice := inst.NewUser(t)
		ours := inst.WebClient(t, "--public", "--response-type", "code", "--response-type", "id_token", "--security-profile", "oidc-legacy")
		node := inst.Start(t)
		const evil = "https://login.evil.example/cb"
		public := func(changes fields) fields {
			f := fields{"redirect_uris": []string{evil}, "token_endpoint_auth_method": "none", "grant_types": []string{"authorization_code", "implicit"}, "response_types": []string{"code", "id_token"}}
			for k, v := range changes {
				f[k] = v
			}
			return f
		}
		strange := node.Register(t, "", public(nil)).Client
		vouched := node.Register(t, inst.InitialToken(t, "--verified"), public(nil))
		b := node.NewBrowser(t)

		for name, tt := range map[string]struct {
			changes []string
			code    string
			mark    string // between address and answer; empty for a form
		}{
			"scope":              {[]string{"scope", "openid admin"}, "invalid_scope", "?"},
			"prompt=none":        {[]string{"prompt", "none"}, "login_required", "?"},
			"prompt unknown":     {[]string{"prompt", "quick"}, "invalid_request", "?"},
			"response_type":      {[]string{"response_type", "token"}, "unsupported_response_type", "#"},
			"response_mode":      {[]string{"response_mode", "letter"}, "invalid_request", "?"},
			"no PKCE":            {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request", "?"},
			"request object":     {[]string{"request", "x.y.z"}, "invalid_request_object", "?"},
			"resource":           {[]string{"resource", "https://other.example"}, "invalid_target", "?"},
			"state of markup":    {[]string{"scope", "admin", "state", `"><script>alert(1)</script>`}, "invalid_scope", "?"},
			"fragment":           {[]string{"response_type", "id_token", "scope", "openid admin"}, "invalid_scope", "#"},
			"form_post":          {[]string{"response_mode", "form_post", "prompt", "none"}, "login_required", ""},
			"form_post, no PKCE": {[]string{"response_mode", "form_post", "code_challenge", ""}, "invalid_request", ""},
		} {
			t.Run(name, func(t *testing.T) {
				request := strange.Request(NewPKCE(), append([]string{"scope", "openid"}, tt.changes...)...)
				a := node.authorize(t, b.Client, request)
				target, fields := a.wantReturnAsked(t, "login.evil.example")
				if target != evil+tt.mark {
					t.Errorf("going on leads to %s, want %s%s", target, evil, tt.mark)
				}
				if fields.Get("error") != tt.code || fields.Get("state") != request.Get("state") || fields.Get("iss") != inst.Issuer || fields.Has("code") {
					t.Errorf("going on carries %v, want %s", fields, tt.code)
				}
				if strings.Contains(a.Body, "<script") {
					t.Error("the page holds a script")
				}
				node.wantAudit(t, "authz.refused", a)
				// Who is known is redirected to, as ever.
				for _, c := range []Client{ours, vouched.Client} {
					request.Set("client_id", c.ID)
					request.Set("redirect_uri", c.RedirectURI)
					a := node.authorize(t, b.Client, request)
					switch {
					case tt.mark == "" && (a.Status != http.StatusOK || !a.HasID("form-post")):
						t.Errorf("%s: status %d, want a form: %s", c.ID, a.Status, a.Body)
					case tt.mark != "" && (a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), c.RedirectURI+tt.mark)):
						t.Errorf("%s: status %d to %q", c.ID, a.Status, a.Header.Get("Location"))
					}
				}
			})
		}
		t.Run("an app on the device", func(t *testing.T) {
			c := node.Register(t, "", public(fields{"application_type": "native", "redirect_uris": []string{"com.example.app:/cb"}}))
			a := node.authorize(t, b.Client, c.Request(NewPKCE(), "scope", "admin"))
			if target, _ := a.wantReturnAsked(t, "an app on this device"); target != "com.example.app:/cb?" {
				t.Errorf("going on leads to %s", target)
			}
		})
		// Who answered on the page that named the host is sent there.
		t.Run("denied", func(t *testing.T) {
			b := node.NewBrowser(t)
			request := strange.Request(NewPKCE(), "scope", "openid")
			page := b.Login(t, b.Get(t, "/oauth2/auth?"+request.Encode()), alice.Username, alice.Password)
			if !page.HasID("unverified") || !strings.Contains(page.Body, "login.evil.example") {
				t.Errorf("the consent page says too little: %s", page.Body)
			}
			b.Deny(t, page).wantRefusal(t, node, request, "access_denied")
			silent := strange.Request(NewPKCE(), "scope", "openid", "prompt", "none")
			if _, fields := node.authorize(t, b.Client, silent).wantReturnAsked(t, "login.evil.example"); fields.Get("error") != "consent_required" {
				t.Errorf("%v", fields)
			}
			// A success is nothing to ask about.
			page = b.Get(t, "/oauth2/auth?"+request.Encode())
			if back := b.Allow(t, page); back.Status != http.StatusSeeOther || !strings.Contains(back.Header.Get("Location"), "code=") {
				t.Errorf("status %d to %q", back.Status, back.Header.Get("Location"))
			}
		})
		t.Run("vouching", func(t *testing.T) {
			b := node.NewBrowser(t)
			page := b.Login(t, b.Get(t, "/oauth2/auth?"+vouched.Request(NewPKCE(), "scope", "openid").Encode()), alice.Username, alice.Password)
			if !page.HasID("consent-form") || page.HasID("unverified") {
				t.Errorf("the consent page warns of an application that was vouched for: %s", page.Body)
			}
			later := node.Register(t, "", public(nil))
			silent := later.Request(NewPKCE(), "scope", "openid", "prompt", "none")
			node.authorize(t, b.Client, silent).wantReturnAsked(t, "login.evil.example")
			inst.CLI(t, "", "client", "update", later.ID, "--verified")
			Settle()
			node.authorize(t, b.Client, silent).wantRefusal(t, node, silent, "consent_required")
			var stored fields
			inst.JSON(t, &stored, "", "client", "get", later.ID)
			if stored["verified"] != true || stored["self_registered"] != true {
				t.Errorf("%v", stored)
			}
			// What says nothing new leaves it so; another face does not.
			change := public(fields{"client_id": later.ID, "client_name": later.Fields["client_name"], "contacts": []string{"a@evil.example"}, "verified": true})
			same := readRegistered(t, node.JSONRequest(t, http.MethodPut, later.URI, later.Token, change))
			node.authorize(t, b.Client, silent).wantRefusal(t, node, silent, "consent_required")
			change["redirect_uris"] = []string{evil, "https://worse.evil.example/cb"}
			if a := node.JSONRequest(t, http.MethodPut, later.URI, same.Token, change); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			node.authorize(t, b.Client, silent).wantReturnAsked(t, "login.evil.example")
			inst.CLI(t, "", "client", "update", later.ID, "--verified")
			inst.CLI(t, "", "client", "update", later.ID, "--verified=false")
			Settle()
			node.authorize(t, b.Client, silent).wantReturnAsked(t, "login.evil.example")
		})
		node.wantQuiet(t, alice.Password)
	})
}
