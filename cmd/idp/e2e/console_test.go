package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"idp/internal/console"
	"idp/internal/server"
)

// consoleRoutes are the routes of the console.
func consoleRoutes() []server.Route {
	var h server.Handlers
	for _, p := range console.New(console.Config{}).Pages() {
		h.Console = append(h.Console, server.Page(p))
	}
	return slices.DeleteFunc(server.Routes(h), func(r server.Route) bool { return !strings.HasPrefix(r.Path, "/console") })
}

// consoleWorld is a node with an administrator at a browser.
type consoleWorld struct {
	*Node
	officer, employee User
	b                 *Browser
}

func newConsoleWorld(t *testing.T, engine string, settings map[string]string) *consoleWorld {
	t.Helper()
	inst := Install(t, engine, settings)
	w := &consoleWorld{officer: inst.NewUser(t, "--name", "Olga Officer"), employee: inst.NewUser(t)}
	inst.CLI(t, "", "group", "create", "idp-admins")
	inst.CLI(t, "", "group", "add-member", "idp-admins", w.officer.Username)
	w.Node = inst.Start(t)
	w.b = w.NewBrowser(t)
	page := w.b.Login(t, w.b.Get(t, "/console"), w.officer.Username, w.officer.Password)
	wantPage(t, page, http.StatusOK, "/console")
	return w
}

// send fills in a form on a page and sends it.
func (w *consoleWorld) send(t testing.TB, path, form string, fields url.Values) *Answer {
	t.Helper()
	page := w.b.Get(t, path)
	if page.Status != http.StatusOK {
		t.Fatalf("%s: status %d:\n%s", path, page.Status, page.Body)
	}
	return w.b.Submit(t, page, page.Form(t, form), fields)
}

// Nobody gets to a page of the console without a session, as somebody who is no
// administrator at this moment, without the factor that the rules ask for, or by
// a form from elsewhere.
func TestAttack_P01_NoPageOfTheConsoleWithoutTheRight(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		app := w.WebClient(t)
		Settle()
		values := map[string]string{"client_id": app.ID, "kind": "web", "user_id": w.employee.Sub}
		each := func(check func(path string)) {
			t.Helper()
			for _, route := range consoleRoutes() {
				check(with(route, values))
			}
		}
		post := func(b *Browser, path string, form url.Values, headers ...string) *Answer {
			r, _ := http.NewRequest(http.MethodPost, w.Issuer+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k := 0; k+1 < len(headers); k += 2 {
				r.Header.Set(headers[k], headers[k+1])
			}
			return Do(t, b.Client, r)
		}
		stranger, outsider := w.NewBrowser(t), w.NewBrowser(t)
		outsider.Login(t, outsider.Get(t, "/login"), w.employee.Username, w.employee.Password)
		theirs := outsider.Get(t, "/account").Form(t, "profile-form").Fields
		ours := w.b.Get(t, "/account").Form(t, "profile-form").Fields
		each(func(path string) {
			// Nobody: to the sign-in, and back to this very page.
			a := Do(t, stranger.Client, get(t, w.Issuer+path))
			if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/login?flow=") {
				t.Errorf("%s for nobody: %d to %q", path, a.Status, a.Header.Get("Location"))
			}
			// Somebody else: a page that says what is missing.
			if a := outsider.Get(t, path); a.Status != http.StatusForbidden || !strings.Contains(a.Body, "idp-admins") || strings.Contains(a.Body, `class="console"`) {
				t.Errorf("%s for somebody else: %d %s", path, a.Status, a.Body)
			}
			if a := post(outsider, path, theirs, "Origin", w.Issuer); a.Status != http.StatusForbidden {
				t.Errorf("POST %s by somebody else: %d", path, a.Status)
			}
			// Forms from elsewhere, of nobody, and without what ours carry.
			for name, a := range map[string]*Answer{
				"another site":    post(w.b, path, ours, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
				"another origin":  post(w.b, path, ours, "Origin", "https://evil.example"),
				"a sister site":   post(w.b, path, ours, "Sec-Fetch-Site", "same-site"),
				"no flow":         post(w.b, path, nil, "Sec-Fetch-Site", "same-origin"),
				"somebody's flow": post(w.b, path, theirs, "Sec-Fetch-Site", "same-origin"),
			} {
				if a.Status != http.StatusForbidden {
					t.Errorf("POST %s from %s: %d", path, name, a.Status)
				}
			}
			if a := w.b.Get(t, path); a.Status != http.StatusOK && a.Status != http.StatusNotFound || a.Header.Get("Cache-Control") != "no-store" ||
				!strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self'") {
				t.Errorf("%s for an administrator: %d %v", path, a.Status, a.Header)
			}
			for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
				r, _ := http.NewRequest(method, w.Issuer+path, nil)
				if a := Do(t, w.b.Client, r); a.Status != http.StatusMethodNotAllowed {
					t.Errorf("%s %s: %d", method, path, a.Status)
				}
			}
		})
		if a := w.b.Get(t, "/console/clients"); !strings.Contains(a.Body, app.ID) {
			t.Error("a client is gone")
		}

		// What is dangerous takes a sign-in of a moment ago, and loses nothing.
		page := w.b.Get(t, "/console/clients/"+app.ID+"/delete")
		form := page.Form(t, "confirm")
		w.staleSignIns(t, w.officer)
		refused := w.b.Submit(t, page, form, nil)
		if refused.Status != http.StatusForbidden || !refused.HasID("stale") || !refused.HasID("confirm") {
			t.Errorf("a stale form: %d\n%s", refused.Status, refused.Body)
		}
		w.b.Get(t, "/console/clients/"+app.ID+"/delete").wantLogin(t)
		wantPage(t, w.b.Get(t, "/console/clients"), http.StatusOK, "/console/clients")
		again := w.b.Login(t, w.b.Get(t, "/console/fresh"), w.officer.Username, w.officer.Password)
		wantPage(t, again, http.StatusOK, "/console/fresh")
		wantPage(t, w.b.Submit(t, refused, refused.Form(t, "confirm"), nil), http.StatusOK, "/console/clients")
		if a := w.b.Get(t, "/console/clients"); strings.Contains(a.Body, app.ID) {
			t.Error("the client is still there")
		}

		// A rule for administrators holds here, and leads to what is missing.
		w.CLI(t, "", "policy", "create", "admins", "--group", "idp-admins", "--acr", "2")
		Settle()
		each(func(path string) {
			if a := w.b.Get(t, path); !strings.HasPrefix(a.URL.Path, "/setup") {
				t.Errorf("%s without the factor: %d at %s", path, a.Status, a.URL)
			}
		})
		w.CLI(t, "", "policy", "delete", "admins")
		Settle()

		// Who is no administrator any more is out at once.
		w.CLI(t, "", "group", "remove-member", "idp-admins", w.officer.Username)
		each(func(path string) {
			if a := w.b.Get(t, path); a.Status != http.StatusForbidden {
				t.Errorf("%s for a former administrator: %d", path, a.Status)
			}
		})
		// Another host, and other spellings.
		r := get(t, w.Issuer+"/console")
		r.Host = "console.example"
		if a := Do(t, w.b.Client, r); a.Status != http.StatusMisdirectedRequest {
			t.Errorf("another host: %d", a.Status)
		}
		for _, path := range []string{"/console/", "//console", "/Console", "/console/clients/", "/%63onsole", "/console/x/../clients"} {
			r, _ := http.NewRequest(http.MethodGet, w.Issuer, nil)
			r.URL.Opaque = "//" + r.URL.Host + path
			if a := Do(t, w.b.Client, r); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.Status)
			}
		}
	})
}
