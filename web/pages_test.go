package web_test

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"idp/web"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func layout(here string) web.Layout {
	return web.Layout{Lang: "en", Host: "login.example.com", Here: here}
}

// samples holds every page in every shape that its template knows.
func samples() map[string]any {
	client := web.Client{
		Name: "Calendar", Initial: "C",
		Site: "https://calendar.example", Policy: "https://calendar.example/privacy", Terms: "https://calendar.example/terms",
	}
	account := web.Account{Name: "Alice Moreau", Username: "alice@example.com", Initial: "A"}
	day := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	locked := func(section, here string) web.Frame {
		return web.Frame{Layout: layout(here), Account: account, Flow: "sealed", Section: section}
	}
	own := func(section, here string) web.Frame {
		f := locked(section, here)
		f.Confirmed, f.Done = true, web.Say("own.saved")
		return f
	}
	return map[string]any{
		"login": web.LoginPage{Layout: layout("/login?flow=sealed"), Client: &client, Flow: "sealed"},
		"login_problem": web.LoginPage{
			Layout: layout("/login?flow=sealed"), Client: &client, Flow: "sealed", Username: "alice",
			Problem: web.Say("login.no_match"),
		},
		"login_fields": web.LoginPage{
			Layout: layout("/login?flow=sealed"), Flow: "sealed",
			UsernameProblem: web.Say("login.username_missing"), PasswordProblem: web.Say("login.password_missing"),
		},
		"account": web.AccountPage{Layout: layout("/login?flow=sealed"), Client: &client, Account: account, Flow: "sealed"},
		"recover": web.RecoverPage{Layout: layout("/recover?flow=sealed"), Flow: "sealed"},
		"recover_problem": web.RecoverPage{
			Layout: layout("/recover?flow=sealed"), Flow: "sealed", Problem: web.Say("login.username_missing"),
		},
		"recover_sent": web.NoticePage{
			Layout: layout("/recover/sent?flow=sealed"), Title: web.Say("recover.sent_title"), Message: web.Say("recover.sent", "count", 15),
			Hint: web.Say("recover.sent_hint"), Next: "/login?flow=sealed", NextText: web.Say("recover.back"),
		},
		"link_problem": web.NoticePage{
			Layout: layout(""), Title: web.Say("link.dead_title"), Message: web.Say("link.dead"), Problem: true,
			Next: "/recover", NextText: web.Say("link.again"),
		},
		"new_password": web.NewPasswordPage{Layout: layout("/recover/password?flow=sealed"), Flow: "sealed", Username: "alice", MinLength: 12},
		"new_password_problem": web.NewPasswordPage{
			Layout: layout("/recover/password?flow=sealed"), Flow: "sealed", Username: "alice", MinLength: 12,
			Problem: web.Say("password.too_short", "count", 12),
		},
		"invitation": web.InvitationPage{
			Layout: layout("/invitation?flow=sealed"), Flow: "sealed", Email: "alice@example.com", Username: "alice@example.com", MinLength: 12,
		},
		"invitation_fields": web.InvitationPage{
			Layout: layout("/invitation?flow=sealed"), Flow: "sealed", Email: "alice@example.com", Name: "Alice", Username: "bob", MinLength: 12,
			NameProblem: web.Say("invitation.name_refused", "count", 200), UsernameProblem: web.Say("invitation.username_refused"),
			PasswordProblem: web.Say("password.too_short", "count", 12),
		},
		"verify": web.VerifyPage{Layout: layout("/verify?flow=sealed"), Flow: "sealed", Account: account, Address: "alice@new.example"},
		"undo":   web.VerifyPage{Layout: layout("/verify/undo?flow=sealed"), Flow: "sealed", Account: account, Address: "alice@example.com", Undo: true},
		"consent": web.ConsentPage{
			Layout: layout("/consent?flow=anew"), Client: client, Account: account, Flow: "sealed", SwitchFlow: "anew",
			Groups: []web.ScopeGroup{
				{Scopes: []web.Scope{{Label: web.Say("scope.email"), Detail: web.Verbatim("alice@example.com")}}},
				{Name: "Calendar API", Scopes: []web.Scope{{Label: web.Verbatim("Read your events")}, {Label: web.Verbatim("Change your events"), New: true}}},
			},
			Offline: true, ReturnsTo: web.Verbatim("calendar.example"), Rememberable: true,
		},
		"consent_changed": web.ConsentPage{
			Layout: layout("/consent?flow=anew"), Client: web.Client{Name: "<script>alert(1)</script>", Initial: "S"},
			Account: web.Account{Name: "bob", Initial: "B"}, Flow: "sealed", SwitchFlow: "anew",
			Groups: []web.ScopeGroup{{Scopes: []web.Scope{{Label: web.Say("scope.openid")}}}}, Changed: true,
		},
		"logout":        web.LogoutPage{Layout: layout("/logout"), Account: account, Flow: "sealed"},
		"logout_client": web.LogoutPage{Layout: layout("/logout"), Client: &client, Account: account, Flow: "sealed"},
		"signed_out":    web.SignedOutPage{Layout: layout("/")},
		"signed_out_back": web.SignedOutPage{
			Layout: layout("/"), Client: &client, Back: "com.example.app:/bye?state=1", GoesOn: true,
			Frames: []string{"https://mail.example/bye?iss=https%3A%2F%2Flogin.example.com&sid=s"},
		},
		"home": web.HomePage{Layout: layout("/")},
		"own_profile": web.ProfilePage{
			Frame: own("overview", "/account"), Email: "alice@example.com", Locale: "de",
			Fields: []web.ProfileField{
				{Claim: "name", Label: web.Say("profile.name"), Value: "Alice Moreau", Autocomplete: "name"},
				{Claim: "zoneinfo", Label: web.Say("profile.zoneinfo"), Hint: web.Say("profile.zoneinfo_hint"), Autocomplete: "off", Left: true},
			},
		},
		"own_security": web.SecurityPage{
			Frame: own("security", "/account/security"), Username: "alice@example.com", HasPassword: true, MinPassword: 12, SetupFlow: "setup",
			PasskeysAvailable: true,
			Passkeys:          []web.OwnFactor{{ID: "cGFzc2tleQ", Name: "Calendar", Provider: "Calendar", Synced: true, CreatedAt: day, LastUsedAt: day, Used: true}},
			Authenticators:    []web.OwnFactor{{ID: "YXBw", Name: "Calendar", CreatedAt: day}},
			RecoveryCodes:     3,
			Events:            []web.OwnEvent{{What: web.Say("event.consent_granted", "client", "Calendar"), At: day, Address: "192.0.2.1"}},
			Accepted:          `{"rpId":"login.example.com"}`,
		},
		"own_security_locked": web.SecurityPage{Frame: locked("security", "/account/security"), Username: "alice", HasPassword: true, MinPassword: 12},
		"own_security_problem": web.SecurityPage{
			Frame: own("security", "/account/security"), Username: "alice", HasPassword: true, MinPassword: 12,
			CurrentProblem: web.Say("security.current_wrong"), PasswordProblem: web.Say("password.common"),
		},
		"own_sessions": web.SessionsPage{
			Frame: own("sessions", "/account/sessions"), Others: true,
			Sessions: []web.OwnSession{
				{ID: "b25l", Browser: web.Say("own.browser_on_system", "browser", "Firefox", "system", "Linux"), Address: "192.0.2.1", Current: true, CreatedAt: day, LastSeenAt: day},
				{ID: "dHdv", Browser: web.Say("own.unknown_browser"), CreatedAt: day, LastSeenAt: day},
			},
			Devices: []web.OwnDevice{{ID: "b25l", Browser: web.Say("own.unknown_browser"), Address: "192.0.2.1", LastSeenAt: day, TrustedUntil: day}},
		},
		"own_applications": web.ApplicationsPage{
			Frame:        own("applications", "/account/applications"),
			Applications: []web.OwnApplication{{ID: "calendar", Client: client, Scopes: []*web.Text{web.Say("scope.email")}, Offline: true, GrantedAt: day}},
		},
		"own_data":        web.DataPage{Frame: own("data", "/account/data")},
		"own_data_locked": web.DataPage{Frame: locked("data", "/account/data")},
		"error": web.ErrorPage{
			Layout: layout("/oauth2/auth?x=1"), Heading: web.Say("error.heading"), Message: web.Say("error.client_unknown"),
			Code: "invalid_request", RequestID: "req-1",
		},
		"error_again": web.ErrorPage{
			Layout: layout(""), Heading: web.Say("error.heading"), Message: web.Say("error.flow_expired"),
			Again: "/oauth2/auth?flow=sealed", RequestID: "req-1",
		},
		"error_return": web.ErrorReturnPage{
			Layout: layout(""), Heading: web.Say("error.heading"), Client: client, Message: web.Say("error_return.may_not_have"),
			Code: "invalid_scope", ReturnsTo: web.Verbatim("calendar.example"), RequestID: "req-1",
			Link: "https://calendar.example/cb?error=invalid_scope&state=1",
		},
		"error_return_post": web.ErrorReturnPage{
			Layout: layout(""), Heading: web.Say("error.heading"), Client: web.Client{Name: "<b>Bank</b>", Initial: "B"}, Message: web.Say("error_return.may_not_have"),
			Code: "invalid_scope", ReturnsTo: web.Say("place.computer"), RequestID: "req-1",
			Action: "https://evil.example/cb", Fields: []web.Field{{Name: "error", Value: "invalid_scope"}, {Name: "state", Value: `"><script>`}},
		},
		"form_post": web.FormPostPage{
			Layout: layout(""), Action: "https://calendar.example/callback", Fields: []web.Field{{Name: "code", Value: "c&d"}},
		},
		"check_session": web.CheckSessionPage{Layout: layout(""), Cookie: "idp_session_state"},
		"error_bare":    web.ErrorPage{Layout: layout("/nowhere"), Heading: web.Say("error.heading_internal"), Message: web.Say("error.internal")},
	}
}

func pages(t *testing.T) *web.Pages {
	t.Helper()
	p, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func render(t *testing.T, p *web.Pages, page any) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Render(&b, page); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// assetHash changes with every change of a static file; what a page looks like
// in words does not.
var assetHash = regexp.MustCompile(`\.[0-9a-f]{12}\.`)

func TestPages_Golden(t *testing.T) {
	p := pages(t)
	for name, page := range samples() {
		t.Run(name, func(t *testing.T) {
			got := assetHash.ReplaceAllString(render(t, p, page), ".HASH.")
			file := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("page differs from %s; run with -update if that is meant (-want +got):\n%s", file, diff)
			}
		})
	}
}

// Nothing on a page may need an exception in the content security policy, and
// nothing may come from elsewhere.
func TestPages_NothingInlineNothingForeign(t *testing.T) {
	p := pages(t)
	for name, page := range samples() {
		t.Run(name, func(t *testing.T) {
			root, err := html.Parse(strings.NewReader(render(t, p, page)))
			if err != nil {
				t.Fatal(err)
			}
			for node := range root.Descendants() {
				if node.Type != html.ElementNode {
					continue
				}
				attributes := map[string]string{}
				for _, a := range node.Attr {
					attributes[a.Key] = a.Val
					if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
						t.Errorf("<%s> has the attribute %s", node.Data, a.Key)
					}
					if a.Key != "d" && strings.Contains(strings.ToLower(a.Val), "javascript:") {
						t.Errorf("<%s %s> holds a script", node.Data, a.Key)
					}
				}
				switch node.Data {
				case "iframe":
					if name != "signed_out_back" || !strings.HasPrefix(attributes["src"], "https://mail.example/") {
						t.Errorf("page frames %q", attributes["src"])
					}
				case "style", "base", "object", "embed":
					t.Errorf("page has a <%s>", node.Data)
				case "script":
					if node.FirstChild != nil || !strings.HasPrefix(attributes["src"], "/static/") {
						t.Errorf("script is inline or foreign: %v", attributes)
					}
				case "link", "img":
					if source := attributes["href"] + attributes["src"]; !strings.HasPrefix(source, "/static/") {
						t.Errorf("<%s> loads %q", node.Data, source)
					}
				case "form":
					if own := strings.HasPrefix(attributes["action"], "/"); own == (name == "error_return_post" || name == "form_post") || attributes["method"] == "" {
						t.Errorf("form goes to %q by %q", attributes["action"], attributes["method"])
					}
				case "a":
					if strings.HasPrefix(attributes["href"], "https://") && attributes["rel"] != "noopener noreferrer" {
						t.Errorf("link to %q tells where it comes from", attributes["href"])
					}
				}
			}
		})
	}
}

// Every visible field has a label, every described-by names something that is
// there, every page has one h1 and a title that says so when it is an error.
func TestPages_Accessible(t *testing.T) {
	p := pages(t)
	for name, page := range samples() {
		if name == "check_session" {
			continue // nobody sees it
		}
		t.Run(name, func(t *testing.T) {
			root, err := html.Parse(strings.NewReader(render(t, p, page)))
			if err != nil {
				t.Fatal(err)
			}
			ids, labelled, h1, title := map[string]bool{}, map[string]bool{}, 0, ""
			for node := range root.Descendants() {
				if id := attribute(node, "id"); id != "" {
					if ids[id] {
						t.Errorf("id %q is there twice", id)
					}
					ids[id] = true
				}
				switch node.Data {
				case "label":
					labelled[attribute(node, "for")] = true
				case "h1":
					h1++
				case "title":
					if node.Parent.Data == "head" {
						title = node.FirstChild.Data
					}
				}
			}
			if h1 != 1 {
				t.Errorf("page has %d h1", h1)
			}
			if failed := strings.Contains(name, "problem") || strings.Contains(name, "fields") || strings.Contains(name, "error"); failed != strings.HasPrefix(title, "Error: ") {
				t.Errorf("title is %q", title)
			}
			for node := range root.Descendants() {
				for described := range strings.FieldsSeq(attribute(node, "aria-describedby")) {
					if !ids[described] {
						t.Errorf("aria-describedby names %q, which is not there", described)
					}
				}
				if kind := attribute(node, "type"); node.Data == "input" && kind != "hidden" && kind != "checkbox" && !labelled[attribute(node, "id")] {
					t.Errorf("field %q has no label", attribute(node, "name"))
				}
			}
		})
	}
}

func attribute(node *html.Node, key string) string {
	for _, a := range node.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestPages_BaseGoesIntoEveryAddress(t *testing.T) {
	p := pages(t)
	page := samples()["login"].(web.LoginPage)
	page.Base = "/tenant"
	got := render(t, p, page)
	for _, want := range []string{`action="/tenant/login"`, `href="/tenant/static/style.`, `src="/tenant/static/password.`, `href="/tenant/"`} {
		if !strings.Contains(got, want) {
			t.Errorf("page lacks %s", want)
		}
	}
}

func TestPages_RenderRefusesWhatIsNoPage(t *testing.T) {
	var b bytes.Buffer
	if err := pages(t).Render(&b, struct{}{}); err == nil || b.Len() != 0 {
		t.Errorf("error %v, %d bytes written", err, b.Len())
	}
}

func TestStatic(t *testing.T) {
	p := pages(t)
	style := regexp.MustCompile(`/static/style\.[0-9a-f]{12}\.css`).FindString(render(t, p, samples()["home"]))
	if style == "" {
		t.Fatal("page names no style")
	}
	get := func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		p.Static().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Result()
	}
	for _, path := range []string{style, "/tenant" + style} {
		if got := get(http.MethodGet, path); got.StatusCode != http.StatusOK ||
			got.Header.Get("Content-Type") != "text/css; charset=utf-8" ||
			!strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
	for _, path := range []string{"/static/style.css", "/static/", "/static/../pages.go", "/static/style.000000000000.css"} {
		if got := get(http.MethodGet, path); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	if got := get(http.MethodPost, style); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.StatusCode)
	}
}

// A page with everything it loads stays light.
func TestPages_Weight(t *testing.T) {
	p := pages(t)
	page := render(t, p, samples()["consent"])
	total := len(page)
	for _, path := range regexp.MustCompile(`/static/[a-z.0-9]+`).FindAllString(page, -1) {
		w := httptest.NewRecorder()
		p.Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		total += w.Body.Len()
	}
	if total > 30<<10 {
		t.Errorf("page weighs %d bytes before compression", total)
	}
}
