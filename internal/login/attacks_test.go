package login_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"idp/internal/idp"
)

// A form that was not shown in this browser, or is not sent from this origin,
// does nothing.
func TestAttack_D04_ForgedForms(t *testing.T) {
	forgeries := map[string]struct {
		change func(r *http.Request, fields url.Values, other string)
		reason string
	}{
		"no flow":           {func(_ *http.Request, f url.Values, _ string) { f.Del("flow") }, "no_flow"},
		"garbled flow":      {func(_ *http.Request, f url.Values, _ string) { f.Set("flow", "A"+f.Get("flow")[1:]+"A") }, "no_flow"},
		"another browser's": {func(_ *http.Request, f url.Values, other string) { f.Set("flow", other) }, "other_browser"},
		"cross-site fetch":  {func(r *http.Request, _ url.Values, _ string) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, "cross_origin"},
		"sibling host":      {func(r *http.Request, _ url.Values, _ string) { r.Header.Set("Sec-Fetch-Site", "same-site") }, "cross_origin"},
		"foreign origin":    {func(r *http.Request, _ url.Values, _ string) { oldBrowser(r, "https://evil.example") }, "cross_origin"},
		"plain http twin": {func(r *http.Request, _ url.Values, _ string) {
			oldBrowser(r, strings.Replace(issuer, "https:", "http:", 1))
		}, "cross_origin"},
		"own origin, cross-site": {func(r *http.Request, _ url.Values, _ string) {
			r.Header.Set("Origin", issuer)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, "cross_origin"},
		"opaque origin":     {func(r *http.Request, _ url.Values, _ string) { oldBrowser(r, "null") }, "cross_origin"},
		"no browser cookie": {func(r *http.Request, _ url.Values, _ string) { without(r, browserCookie) }, "other_browser"},
		"binding cookie doubled": {func(r *http.Request, _ url.Values, _ string) {
			r.AddCookie(&http.Cookie{Name: browserCookie, Value: strings.Repeat("A", 43)})
		}, "other_browser"},
	}
	for _, path := range []string{"/login", "/consent", "/logout"} {
		for name, forgery := range forgeries {
			t.Run(path[1:]+"/"+name, func(t *testing.T) {
				s := newSite(t)
				victim, attacker := s.signedIn(t), s.browser(t)
				other := attacker.flow(request)
				fields := credentials(victim.flow(request))
				if path == "/consent" {
					fields = url.Values{"flow": {victim.get("/consent?flow=" + victim.flow(request)).shown(t)}, "decision": {"allow"}}
				}
				r := form(path, fields)
				for cookie, value := range victim.cookies {
					r.AddCookie(&http.Cookie{Name: cookie, Value: value})
				}
				forgery.change(r, fields, other)
				forged := form(path, fields)
				forged.Header = r.Header
				sessions := len(s.sessions)

				w := httptest.NewRecorder()
				s.mux.ServeHTTP(w, forged)
				page{Response: w.Result(), body: w.Body.String()}.is(t, http.StatusForbidden).says(t, `id="error"`)

				events := s.recorded(idp.EventCSRFRejected)
				if len(events) != 1 || events[0].Detail["reason"] != forgery.reason || events[0].Detail["target"] != path {
					t.Errorf("events %+v", events)
				}
				if len(w.Result().Cookies()) != 0 {
					t.Errorf("cookies %v", w.Result().Cookies())
				}
				if len(s.sessions) != sessions || len(s.consents) != 0 || s.users.asked != 1 {
					t.Error("the forgery did something")
				}
				victim.get("/").is(t, http.StatusSeeOther)
			})
		}
	}
}

// oldBrowser is one that tells the origin only.
func oldBrowser(r *http.Request, origin string) {
	r.Header.Del("Sec-Fetch-Site")
	r.Header.Set("Origin", origin)
}

func without(r *http.Request, name string) {
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range cookies {
		if c.Name != name {
			r.AddCookie(c)
		}
	}
}

// The attacker's credentials, sent from the victim's browser with a flow that
// the attacker started, sign nobody in.
func TestAttack_D05_LoginCSRF(t *testing.T) {
	s := newSite(t)
	attacker, victim := s.browser(t), s.browser(t)
	flow := attacker.flow(request)
	victim.flow(request) // has a binding of its own
	for name, b := range map[string]*browser{"with own binding": victim, "without any": s.browser(t)} {
		t.Run(name, func(t *testing.T) {
			b.get("/login?flow="+flow).is(t, http.StatusForbidden)
			got := b.post("/login", url.Values{"flow": {flow}, "username": {"eve"}, "password": {"correct horse"}}).is(t, http.StatusForbidden)
			if len(got.Cookies()) != 0 || len(s.sessions) != 0 {
				t.Error("signed in as the attacker")
			}
		})
	}
}

// What identified the browser before a sign-in is worth nothing after it.
func TestAttack_D06_SessionFixation(t *testing.T) {
	s := newSite(t)
	attacker := s.browser(t)
	attacker.post("/login", url.Values{"flow": {attacker.flow("")}, "username": {"eve"}, "password": {"correct horse"}}).is(t, http.StatusSeeOther)
	fixed := attacker.cookies[sessionCookie]

	victim := s.browser(t)
	victim.cookies[sessionCookie] = fixed
	victim.post("/login", credentials(victim.flow(request))).next(t, s)
	if victim.cookies[sessionCookie] == fixed {
		t.Fatal("the session went on")
	}
	attacker.get("/").says(t, "You are not signed in")
	victim.get("/logout").says(t, "Alice Moreau")
	if len(s.sessions) != 2 {
		t.Errorf("%d sessions", len(s.sessions))
	}

	// Again, as the same person: the session goes on under a new secret, and
	// the old one is dead.
	before := victim.cookies[sessionCookie]
	victim.post("/login", credentials(victim.flow(request))).next(t, s)
	if victim.cookies[sessionCookie] == before {
		t.Error("the secret stayed")
	}
	if len(s.sessions) != 2 {
		t.Errorf("%d sessions after the same person signed in anew", len(s.sessions))
	}
	replay := s.browser(t)
	replay.cookies[sessionCookie] = before
	replay.get("/").says(t, "You are not signed in")
}

// A session's identifier is in ID tokens; knowing it must not be enough to end
// the session.
func TestAttack_D06_KnownIdentifierEndsNothing(t *testing.T) {
	s := newSite(t)
	victim := s.signedIn(t)
	var known idp.Session
	for _, known = range s.sessions {
	}
	attacker := s.browser(t)
	attacker.cookies[sessionCookie] = s.master.MintOpaque(idp.OpaqueToken{
		Kind: idp.KindSession, ExpiresOn: idp.DayOf(known.ExpiresAt), ID: known.ID,
	}, make([]byte, 16)) // of the right form, without the salt
	attacker.get("/").says(t, "You are not signed in")
	attacker.post("/login", url.Values{"flow": {attacker.flow("")}, "username": {"eve"}, "password": {"correct horse"}}).is(t, http.StatusSeeOther)
	victim.get("/logout").says(t, "Alice Moreau")
}

// Cookies that a sibling host may have set do not count, and two of one name
// are none.
func TestAttack_D09_CookieTossing(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	good := b.cookies[sessionCookie]
	for name, cookies := range map[string][]string{
		"two, good first":   {sessionCookie + "=" + good, sessionCookie + "=tossed"},
		"two, good last":    {sessionCookie + "=tossed", sessionCookie + "=" + good},
		"twice the same":    {sessionCookie + "=" + good, sessionCookie + "=" + good},
		"without prefix":    {"idp_session=" + good},
		"weaker prefix":     {"__Secure-idp_session=" + good},
		"other case":        {"__host-idp_session=" + good},
		"cut":               {sessionCookie + "=" + good[:len(good)-1]},
		"of another kind":   {sessionCookie + "=" + strings.Replace(good, "idp_s_", "idp_rt_", 1)},
		"lost in a hundred": append(slices.Repeat([]string{sessionCookie + "=x"}, 100), sessionCookie+"="+good),
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, issuer+"/", nil)
			r.Header.Set("Cookie", strings.Join(cookies, "; "))
			if _, _, ok := s.login.Session(r); ok {
				t.Error("taken for a session")
			}
			w := httptest.NewRecorder()
			s.mux.ServeHTTP(w, r)
			page{Response: w.Result(), body: w.Body.String()}.is(t, http.StatusOK).says(t, "You are not signed in")
		})
	}
	b.post("/login", credentials(b.flow(""))) // to see what is set
	for _, c := range b.post("/login", credentials(b.flow(""))).Cookies() {
		session := c.Name == sessionCookie && c.MaxAge == 0
		device := strings.HasPrefix(c.Name, "__Host-idp_device_") && c.MaxAge > 0 // remembered beyond the browser's own session
		if !session && !device || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || !c.Expires.IsZero() {
			t.Errorf("cookie %+v", c)
		}
	}
}

// Every redirect after a form is a 303, so that no browser sends the form on.
func TestAttack_D10_RedirectsAre303(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	if got := b.post("/login", credentials(b.flow(request))); got.StatusCode != http.StatusSeeOther {
		t.Errorf("login: %d", got.StatusCode)
	}
	for _, decision := range []string{"allow", "deny"} {
		flow := b.get("/consent?flow=" + b.flow(request)).shown(t)
		if got := b.post("/consent", url.Values{"flow": {flow}, "decision": {decision}}); got.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d", decision, got.StatusCode)
		}
	}
	if got := b.post("/logout", url.Values{"flow": {b.get("/logout").shown(t)}}); got.StatusCode != http.StatusOK {
		t.Errorf("logout: %d", got.StatusCode)
	}
}

// Allowing allows what was shown: when anything of it has changed meanwhile,
// the page is shown again and nothing is stored.
func TestAttack_D13_ConsentToWhatWasShown(t *testing.T) {
	changes := map[string]func(*site, *browser){
		"scope grew": func(s *site, _ *browser) {
			s.asks.Scopes = append(s.asks.Scopes, idp.ConsentScope{Name: "calendar:write", Resource: "Calendar API"})
		},
		"scope moved to another resource": func(s *site, _ *browser) { s.asks.Scopes[2].Resource = "Payroll API" },
		"resource grew":                   func(s *site, _ *browser) { s.asks.Resources = append(s.asks.Resources, "https://payroll.example.com") },
		"redirect host changed":           func(s *site, _ *browser) { s.asks.RedirectURI = "https://evil.example/callback" },
		"other client": func(s *site, _ *browser) {
			c := *s.asks.Client
			c.ClientID = "other"
			s.asks.Client = &c
		},
		"other session": func(s *site, b *browser) {
			b.post("/logout", url.Values{"flow": {b.flow("")}})
			b.post("/login", credentials(b.flow("")))
		},
		"other person": func(s *site, b *browser) {
			b.post("/login", url.Values{"flow": {b.flow("")}, "username": {"eve"}, "password": {"correct horse"}})
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.signedIn(t)
			flow := b.get("/consent?flow=" + b.flow(request)).shown(t)
			change(s, b)
			again := b.post("/consent", url.Values{"flow": {flow}, "decision": {"allow"}}).is(t, http.StatusUnprocessableEntity)
			again.says(t, "has changed", `id="consent-form"`)
			if len(s.consents) != 0 || len(s.recorded(idp.EventConsentGranted)) != 0 {
				t.Fatal("stored what was not shown")
			}
			b.post("/consent", url.Values{"flow": {again.shown(t)}, "decision": {"allow"}}).next(t, s)
			if len(s.consents) != 1 {
				t.Error("not stored after being shown")
			}
		})
	}
}

// A flow that no consent page has shown approves nothing.
func TestAttack_D13_UnshownFlowAllowsNothing(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	b.post("/consent", url.Values{"flow": {b.flow(request)}, "decision": {"allow"}}).is(t, http.StatusUnprocessableEntity)
	for _, decision := range []string{"", "maybe"} {
		flow := b.get("/consent?flow=" + b.flow(request)).shown(t)
		b.post("/consent", url.Values{"flow": {flow}, "decision": {decision}}).is(t, http.StatusBadRequest)
	}
	if len(s.consents) != 0 {
		t.Error("stored")
	}
}

func TestConsent_Allow(t *testing.T) {
	for name, remember := range map[string]bool{"remembered": true, "once": false} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.signedIn(t)
			shown := b.get("/consent?flow="+b.flow(request)).is(t, http.StatusOK)
			shown.says(t, `id="consent-form"`, `id="consent-submit"`, `id="consent-deny"`, "Calendar API", "Read your events",
				"alice@example.com", "while you are away", "Not you?", "calendar.example", `name="remember" value="yes" checked`)
			if strings.Contains(shown.body, "javascript:") || strings.Contains(shown.body, "Terms of service") {
				t.Error("links to what is no address")
			}
			fields := url.Values{"flow": {shown.shown(t)}, "decision": {"allow"}}
			if remember {
				fields.Set("remember", "yes")
			}
			if next := b.post("/consent", fields).next(t, s); next.Denied || next.Request != request {
				t.Errorf("flow %+v", next)
			}
			want := idp.Consent{
				UserID: "u-alice", ClientID: "calendar", Scopes: []string{"calendar:read", "email", "offline_access", "openid"},
				Resources: []string{"https://api.example.com"}, RedirectOrigins: []string{"https://calendar.example"}, Remembered: remember, GrantedAt: s.now,
			}
			if got := fmt.Sprint(s.consents); got != fmt.Sprint([]idp.Consent{want}) {
				t.Errorf("consents %s", got)
			}
			events := s.recorded(idp.EventConsentGranted)
			if len(events) != 1 || events[0].Detail["scope"] != "calendar:read email offline_access openid" || events[0].ClientID != "calendar" {
				t.Errorf("events %+v", events)
			}
		})
	}
}

func TestConsent_Deny(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	flow := b.get("/consent?flow=" + b.flow(request)).shown(t)
	if next := b.post("/consent", url.Values{"flow": {flow}, "decision": {"deny"}, "remember": {"yes"}}).next(t, s); !next.Denied || next.Shown != nil {
		t.Errorf("flow %+v", next)
	}
	if len(s.consents) != 0 || len(s.recorded(idp.EventConsentDenied)) != 1 {
		t.Errorf("consents %v, events %v", s.consents, s.events)
	}
}

// A client that any program on the device can pose as is asked about each time
// (RFC 8252 section 8.6).
func TestAttack_D13_PublicClientIsNotRemembered(t *testing.T) {
	s := newSite(t)
	c := *s.asks.Client
	c.TokenEndpointAuthMethod = idp.AuthNone
	s.asks.Client, s.asks.RedirectURI = &c, "http://127.0.0.1:49152/callback"
	b := s.signedIn(t)
	shown := b.get("/consent?flow="+b.flow(request)).says(t, "a program on this computer")
	if strings.Contains(shown.body, `name="remember"`) {
		t.Error("offers to remember")
	}
	b.post("/consent", url.Values{"flow": {shown.shown(t)}, "decision": {"allow"}, "remember": {"yes"}}).next(t, s)
	if len(s.consents) != 1 || s.consents[0].Remembered {
		t.Errorf("consents %+v", s.consents)
	}
}

// Only what is asked for beyond what was allowed before is marked as new.
func TestConsent_MarksWhatIsNew(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	if got := b.get("/consent?flow=" + b.flow(request)); strings.Contains(got.body, "badge") {
		t.Error("all is new, so nothing should be marked")
	}
	s.asks.NewScopes = []string{"calendar:read"}
	if got := b.get("/consent?flow=" + b.flow(request)); strings.Count(got.body, "badge") != 1 {
		t.Error("one scope is new")
	}
}

// The way to be somebody else forgets what the page showed.
func TestConsent_SwitchAccount(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	found := flowField.FindAllStringSubmatch(b.get("/consent?flow="+b.flow(request)).body, -1)
	if len(found) != 2 {
		t.Fatalf("%d flows on the page", len(found))
	}
	for i, shown := range []bool{false, true} {
		flow, err := s.master.OpenFlow(found[i][1])
		if err != nil || (flow.Shown != nil) != shown || flow.Request != request {
			t.Errorf("flow %d: %+v %v", i, flow, err)
		}
	}
	b.get("/login?prompt=login&flow="+found[0][1]).is(t, http.StatusOK).says(t, `id="login-form"`)
}

// Without a session the consent page decides nothing: it goes back to where the
// next step is decided.
func TestConsent_NeedsASession(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	flow := b.flow(request)
	b.get("/consent?flow="+flow).next(t, s)
	b.post("/consent", url.Values{"flow": {flow}, "decision": {"allow"}}).next(t, s)
	b.get("/consent").is(t, http.StatusForbidden)
	b.get("/consent?flow="+b.flow("")).is(t, http.StatusForbidden)
	if len(s.consents) != 0 {
		t.Error("stored")
	}
}

// A page restored after signing out shows nothing of the session, and no page
// tells another site where its reader comes from.
func TestAttack_D14_NothingLeftAfterLogout(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	old := b.cookies[sessionCookie]
	flow := b.get("/consent?flow=" + b.flow(request)).shown(t)
	b.post("/logout", url.Values{"flow": {b.get("/logout").shown(t)}}).is(t, http.StatusOK)

	b.cookies[sessionCookie] = old // a restored tab sends what it had
	b.post("/consent", url.Values{"flow": {flow}, "decision": {"allow"}}).next(t, s)
	if len(s.consents) != 0 {
		t.Error("stored for somebody who had signed out")
	}
	for _, target := range []string{"/", "/login?flow=" + flow} {
		got := b.get(target).is(t, http.StatusOK)
		if strings.Contains(got.body, "Alice") {
			t.Errorf("%s knows who was here", target)
		}
		if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", target, got.Header)
		}
	}
	b.get("/consent?flow="+flow).next(t, s)
}

// sealedPlace is where the menu of an error page leads back to.
var sealedPlace = regexp.MustCompile(`name="to" value="[^"]*"`)

// An error page holds the request's identifier and nothing about the inside.
func TestAttack_D16_ErrorPagesTellNothing(t *testing.T) {
	wrapped := fmt.Errorf("%w: %w", idp.ErrUnavailable, errDatabase)
	for name, test := range map[string]struct {
		fault  error
		status int
	}{"broken": {errDatabase, http.StatusInternalServerError}, "away": {wrapped, http.StatusServiceUnavailable}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.signedIn(t)
			flow := b.flow(request)
			shown := b.get("/consent?flow=" + flow).shown(t)
			logout := b.get("/logout").shown(t)
			acts := map[string]func() page{
				"home":         func() page { return b.get("/") },
				"login page":   func() page { return b.get("/login?flow=" + flow) },
				"login":        func() page { return b.post("/login", credentials(flow)) },
				"consent page": func() page { return b.get("/consent?flow=" + flow) },
				"consent":      func() page { return b.post("/consent", url.Values{"flow": {shown}, "decision": {"allow"}}) },
				"logout":       func() page { return b.post("/logout", url.Values{"flow": {logout}}) },
			}
			for _, where := range []string{"store", "description"} {
				s.fault, s.asks.fault = nil, nil
				if where == "store" {
					s.fault = test.fault
				} else {
					s.asks.fault = test.fault
				}
				for act, do := range acts {
					if where == "description" && !strings.HasSuffix(act, "page") && act != "consent" {
						continue
					}
					got := do()
					if where == "description" && test.status == http.StatusInternalServerError {
						got.next(t, s) // for the authorization endpoint to explain
						continue
					}
					got.is(t, test.status).says(t, "req-1", `id="error"`)
					got.body = sealedPlace.ReplaceAllString(got.body, "") // random letters
					for _, secret := range []string{"pq:", "db1", "SELECT", "authentication", "goroutine", ".go:"} {
						if strings.Contains(got.body, secret) {
							t.Errorf("%s: page holds %q", act, secret)
						}
					}
					if (got.Header.Get("Retry-After") != "") != (test.status == http.StatusServiceUnavailable) {
						t.Errorf("%s: Retry-After %q", act, got.Header.Get("Retry-After"))
					}
				}
			}
		})
	}
}

// No page holds a parameter of the request, a session token or a password, and
// no redirect puts anything into a fragment.
func TestAttack_D17_NoStateWithinReach(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	s.asks.SelectAccount = true
	flow := b.flow(request)
	wrong := credentials(flow)
	wrong.Set("password", "battery staple")
	for name, got := range map[string]page{
		"login":    b.get("/login?prompt=login&flow=" + flow),
		"again":    b.post("/login", wrong),
		"accounts": b.get("/login?flow=" + flow),
		"consent":  b.get("/consent?flow=" + flow),
		"logout":   b.get("/logout"),
		"home":     b.get("/"),
		"error":    b.post("/consent", nil),
	} {
		t.Run(name, func(t *testing.T) {
			for _, secret := range []string{
				challenge, "af0ifjsldkj", "n-0S6_WzA2Mj", "battery staple", "code_challenge",
				b.cookies[sessionCookie], b.cookies[browserCookie], "idp_s_", "localStorage", "sessionStorage",
			} {
				if strings.Contains(got.body, secret) {
					t.Errorf("page holds %q", secret)
				}
			}
			root, err := html.Parse(strings.NewReader(got.body))
			if err != nil {
				t.Fatal(err)
			}
			for node := range root.Descendants() {
				for _, a := range node.Attr {
					if (a.Key == "href" || a.Key == "action") && strings.Contains(a.Val, "#") {
						t.Errorf("<%s %s=%q> has a fragment", node.Data, a.Key, a.Val)
					}
				}
			}
			for _, c := range got.Cookies() {
				if !c.HttpOnly {
					t.Errorf("cookie %s can be read by scripts", c.Name)
				}
			}
		})
	}
}
