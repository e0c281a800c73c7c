package e2e

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

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

// textOf is what an element says.
func textOf(n *html.Node) string {
	var text strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			text.WriteString(c.Data)
		}
	}
	return text.String()
}

// firstCode is the first text in an element that is written as in a program.
func firstCode(n *html.Node) string {
	for c := range n.Descendants() {
		if c.Data == "code" {
			return textOf(c)
		}
	}
	return ""
}

// sendFile sends a file by a form.
func (b *Browser) sendFile(t testing.TB, path, form, field, name string, file []byte) *Answer {
	t.Helper()
	page := b.Get(t, path)
	f := page.Form(t, form)
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for key := range f.Fields {
		if key != field {
			_ = parts.WriteField(key, f.Fields.Get(key))
		}
	}
	part, err := parts.CreateFormFile(field, name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(file)
	_ = parts.Close()
	r, _ := http.NewRequest(http.MethodPost, b.Node.Issuer+f.Action, &body)
	r.Header.Set("Content-Type", parts.FormDataContentType())
	r.Header.Set("Origin", b.Node.Issuer)
	return b.follow(t, r)
}

// Nobody gets to a page of the console without a session, as somebody who is no
// administrator at this moment, without the factor that the rules ask for, or by
// a form from elsewhere.
func TestAttack_P01_NoPageOfTheConsoleWithoutTheRight(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		app := w.WebClient(t)
		api := w.NewResource(t, []string{"write=Change it"})
		w.CLI(t, "", "role", "create", "buyer")
		Settle()
		values := map[string]string{
			"client_id": app.ID, "kind": "web", "user_id": w.employee.Sub, "group": "idp-admins", "role": "buyer", "audience": api, "scope": "write",
		}
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

// without returns the fields of a form without some.
func (f Form) without(names ...string) Form {
	for _, name := range names {
		f.Fields.Del(name)
	}
	return f
}

// The wizard registers each kind of application with values that work, and
// shows the secret once, in the answer itself.
func TestConsole_Wizard(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		api := w.NewResource(t, []string{"read", "write"})
		Settle()
		kinds := w.b.Get(t, "/console/new-client")
		for kind, fields := range map[string]url.Values{
			"web":     {"client_name": {"Notes"}, "redirect_uris": {"https://notes.example/cb\r\n\r\n https://notes.example/other \r\n"}, "audience." + api: {"on"}, "scope.read": {"on"}},
			"spa":     {"client_name": {"Board"}, "redirect_uris": {"https://board.example/app/\nhttps://board.example/x"}},
			"native":  {"client_name": {"Pocket"}, "redirect_uris": {"http://127.0.0.1/callback"}, "client_id": {"pocket"}},
			"service": {"client_name": {"Nightly"}, "audience." + api: {"on"}, "scope.read": {"on"}, "scope.write": {"on"}},
		} {
			if !strings.Contains(kinds.Body, `href="/console/new-client/`+kind+`"`) {
				t.Errorf("%s is not offered", kind)
			}
			made := w.send(t, "/console/new-client/"+kind, "client", fields)
			if made.Status != http.StatusCreated || made.Header.Get("Cache-Control") != "no-store" || made.URL.RawQuery != "" {
				t.Fatalf("%s: status %d at %s\n%s", kind, made.Status, made.URL, made.Body)
			}
			id := firstCode(made.element(t, "created"))
			if made.HasID("client-secret") != (kind == "web" || kind == "service") {
				t.Errorf("%s: a secret is shown, or none is", kind)
			}
			c := Client{ID: id, Public: kind == "spa" || kind == "native"}
			if !c.Public {
				c.Secret = textOf(made.element(t, "client-secret"))
			}
			for _, page := range []string{"", "/settings", "/secrets", "/claims", "/snippets", "/score", "/try", "/json"} {
				a := w.b.Get(t, "/console/clients/"+id+page)
				if a.Status != http.StatusOK || c.Secret != "" && strings.Contains(a.Body, c.Secret) {
					t.Errorf("%s%s: status %d, or the secret once more\n%s", kind, page, a.Status, a.Body)
				}
			}
			Settle()
			if kind == "service" {
				tokens := w.Post(t, "/oauth2/token", c, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
				if tokens.Scope != "read write" {
					t.Errorf("scopes %q", tokens.Scope)
				}
				continue
			}
			c.RedirectURI = strings.TrimSpace(strings.SplitN(fields.Get("redirect_uris"), "\n", 2)[0])
			if tokens := w.SignIn(t, c, w.employee, "scope", "openid email"); tokens.ID == "" {
				t.Errorf("%s: no ID token", kind)
			}
		}

		// What is wrong stands beside the field, with what was typed.
		wrong := w.send(t, "/console/new-client/web", "client", url.Values{"client_name": {"Typo"}, "redirect_uris": {"http://typo.example/cb"}, "client_id": {"a b"}})
		if wrong.Status != http.StatusUnprocessableEntity || !wrong.HasID("client-redirect_uris-problem") || !wrong.HasID("client-client_id-problem") ||
			!strings.Contains(wrong.Body, "http://typo.example/cb") || !strings.Contains(wrong.Body, `value="Typo"`) || !strings.Contains(wrong.Body, "<title>Error: ") {
			t.Errorf("status %d\n%s", wrong.Status, wrong.Body)
		}
		taken := w.send(t, "/console/new-client/native", "client", url.Values{"client_name": {"Pocket"}, "redirect_uris": {"http://127.0.0.1/callback"}, "client_id": {"pocket"}})
		if taken.Status != http.StatusConflict || !taken.HasID("problem") {
			t.Errorf("a taken client ID: status %d", taken.Status)
		}
		list := w.b.Get(t, "/console/clients?search=not&kind=web")
		if !strings.Contains(list.Body, "Notes") || strings.Contains(list.Body, "Pocket") || strings.Contains(list.Body, "Nightly") {
			t.Errorf("search: %s", list.Body)
		}
		if strings.Contains(w.Logs(), "client_secret") {
			t.Error("the log speaks of secrets")
		}
	})
}

// The three faces make the same client.
func TestConsole_SameClientByEveryFace(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		api := w.NewResource(t, []string{"read"})
		root := w.NewClient(t, "--grant-type", "client_credentials", "--audience", w.Issuer+"/admin", "--scope", "idp.admin")
		commanded := w.NewClient(t, "--name", "Notes", "--redirect-uri", "https://notes.example/cb", "--grant-type", "authorization_code", "--grant-type", "refresh_token",
			"--post-logout-redirect-uri", "https://notes.example/", "--scope", "openid profile email offline_access read", "--audience", api, "--skip-consent")
		Settle()
		token := w.Post(t, "/oauth2/token", root, url.Values{"grant_type": {"client_credentials"}}).Tokens(t).Access
		call := func(method, path, body string) *Answer {
			r, _ := http.NewRequest(method, w.Issuer+path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			return Do(t, w.HTTP, r)
		}
		made := call("POST", "/admin/clients", `{"client_id":"by-api","client_name":"Notes","redirect_uris":["https://notes.example/cb"],"post_logout_redirect_uris":["https://notes.example/"],
			"grant_types":["authorization_code","refresh_token"],"scope":"openid profile email offline_access read","audience":["`+api+`"],"skip_consent":true}`)
		if made.Status != http.StatusCreated {
			t.Fatalf("%d %s", made.Status, made.Body)
		}
		page := w.send(t, "/console/new-client/web", "client", url.Values{
			"client_id": {"by-console"}, "client_name": {"Notes"}, "redirect_uris": {"https://notes.example/cb"}, "post_logout_redirect_uris": {"https://notes.example/"},
			"scope.offline_access": {"on"}, "scope.read": {"on"}, "audience." + api: {"on"}, "skip_consent": {"on"},
		})
		wantPage(t, page, http.StatusCreated, "/console/new-client/web")
		Settle()
		document := func(id string) string {
			d := call("GET", "/admin/clients/"+id, "").JSON(t)
			for _, own := range []string{"client_id", "created_at", "updated_at", "secrets"} {
				if d[own] == nil {
					t.Errorf("%s has no %s", id, own)
				}
				delete(d, own)
			}
			return mustJSON(t, d)
		}
		want := document("by-api")
		for _, id := range []string{"by-console", commanded.ID} {
			if got := document(id); got != want {
				t.Errorf("%s:\n%s\nby-api:\n%s", id, got, want)
			}
		}
		// What is saved without a change changes nothing.
		for _, tab := range []string{"settings", "json"} {
			wantPage(t, w.send(t, "/console/clients/by-console/"+tab, tab, nil), http.StatusOK, "/console/clients/by-console/"+tab)
		}
		if got := document("by-console"); got != want {
			t.Errorf("saved without a change:\n%s\n%s", got, want)
		}
	})
}

// The start page says what to do first, how the server does, and who is refused.
func TestConsole_Home(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		first := w.b.Get(t, "/console")
		for id, want := range map[string]string{"steps": "Register an application", "health": "Database and clock", "sign-ins": "Succeeded", "failing": "None was."} {
			if got := textOf(first.element(t, id)); !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", id, want, got)
			}
		}
		app := w.WebClient(t)
		Settle()
		stranger := w.NewBrowser(t)
		stranger.Login(t, stranger.Get(t, "/login"), w.employee.Username, "wrong")
		app.Secret = "wrong"
		w.Post(t, "/oauth2/token", app, url.Values{"grant_type": {"client_credentials"}})
		var page *Answer
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) { // rows follow what they tell of
			page = w.b.Get(t, "/console")
			if strings.Contains(textOf(page.element(t, "failing")), app.ID) && strings.Contains(page.Body, `width="100"`) {
				break
			}
		}
		if !strings.Contains(textOf(page.element(t, "failing")), app.ID) {
			t.Errorf("a client that is refused is not named:\n%s", textOf(page.element(t, "failing")))
		}
		if got := textOf(page.element(t, "steps")); strings.Contains(got, "So that people can sign in somewhere.") {
			t.Errorf("the step is still to do:\n%s", got)
		}
	})
}

// A client's pages change it, by the service's own rules.
func TestConsole_Client(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		app := w.WebClient(t, "--name", "Team Wiki")
		Settle()
		at := "/console/clients/" + app.ID
		settings := w.b.Get(t, at+"/settings")
		stale := settings.Form(t, "settings")
		saved := w.b.Submit(t, settings, settings.Form(t, "settings").without("scope.email"), url.Values{
			"client_name": {"Wiki"}, "access_token_lifetime": {"120"}, "default_max_age": {"0"}, "contacts": {"ops@example.com\nhelp@example.com"}, "require_auth_time": {"on"},
		})
		wantPage(t, saved, http.StatusOK, "/settings")
		if !saved.HasID("done") {
			t.Error("nothing says that it is saved")
		}
		var got struct {
			ClientName string   `json:"client_name"`
			Scope      string   `json:"scope"`
			Lifetime   int      `json:"access_token_lifetime"`
			MaxAge     *int     `json:"default_max_age"`
			Contacts   []string `json:"contacts"`
			AuthTime   bool     `json:"require_auth_time"`
		}
		w.JSON(t, &got, "", "client", "get", app.ID)
		if got.ClientName != "Wiki" || got.Scope != "openid profile offline_access" || got.Lifetime != 120 || got.MaxAge == nil || *got.MaxAge != 0 || len(got.Contacts) != 2 || !got.AuthTime {
			t.Errorf("%+v", got)
		}
		// Somebody who has not seen that does not undo it.
		if a := w.b.Submit(t, settings, stale, url.Values{"client_name": {"Old"}}); a.Status != http.StatusConflict || !a.HasID("problem") {
			t.Errorf("an old form: status %d", a.Status)
		}
		for field, bad := range map[string]string{"access_token_lifetime": "soon", "redirect_uris": "javascript:alert(1)", "contacts": "nobody", "jwks": "{"} {
			a := w.send(t, at+"/settings", "settings", url.Values{field: {bad}})
			if a.Status != http.StatusUnprocessableEntity || !a.HasID("settings-"+field+"-problem") {
				t.Errorf("%s %q: status %d", field, bad, a.Status)
			}
		}

		// What is wrong with it is put right by one button.
		if !w.b.Get(t, at+"/score").HasID("findings") {
			t.Error("it is not judged")
		}
		fix := Form{Action: at + "/score", Fields: url.Values{"flow": settings.Form(t, "settings").Fields["flow"], "finding": {"requests_in_urls"}}}
		wantPage(t, w.b.Submit(t, settings, fix, nil), http.StatusOK, "/score")
		if a := w.b.Submit(t, settings, fix, nil); a.Status != http.StatusNotFound {
			t.Errorf("a finding that is gone: status %d", a.Status)
		}

		// JSON replaces all, and nothing that is the server's to say.
		for name, document := range map[string]string{
			"no JSON": "{", "unknown": `{"client_nam":"x"}`, "another": `{"client_id":"other","redirect_uris":["https://app.example/cb"]}`, "bad": `{"redirect_uris":["http://x.example/"]}`,
		} {
			if a := w.send(t, at+"/json", "json", url.Values{"document": {document}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("json-document-problem") {
				t.Errorf("%s: status %d", name, a.Status)
			}
		}
		wantPage(t, w.send(t, at+"/json", "json", url.Values{"document": {`{"client_id":"` + app.ID + `","client_name":"Wiki","redirect_uris":["https://app.example/cb"],"scope":"openid email","self_registered":true}`}}), http.StatusOK, "/json")
		var document map[string]any
		w.JSON(t, &document, "", "client", "get", app.ID)
		if document["self_registered"] == true || document["scope"] != "openid email" || document["access_token_lifetime"] != nil {
			t.Errorf("%v", document)
		}

		// Another secret, shown once; the old one for as long as it was said.
		rotated := w.send(t, at+"/rotate", "confirm", url.Values{"grace": {"0s"}})
		if rotated.Status != http.StatusOK || rotated.URL.RawQuery != "" {
			t.Fatalf("status %d at %s", rotated.Status, rotated.URL)
		}
		fresh := app
		fresh.Secret = textOf(rotated.element(t, "client-secret"))
		Settle()
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {app.RedirectURI}}
		if a := w.Post(t, "/oauth2/token", app, form); a.JSON(t)["error"] != "invalid_client" {
			t.Errorf("the old secret: %s", a.Body)
		}
		if a := w.Post(t, "/oauth2/token", fresh, form); a.JSON(t)["error"] != "invalid_grant" {
			t.Errorf("the new secret: %s", a.Body)
		}
		if a := w.b.Get(t, at+"/secrets"); strings.Contains(a.Body, fresh.Secret) {
			t.Error("the secret is there once more")
		}

		// What it would be told of somebody; looking leaves nothing behind.
		before := len(w.Records(t))
		claims := w.b.Get(t, at+"/claims?user="+w.employee.Username)
		for id, want := range map[string]string{"id-token-text": `"sub": "` + w.employee.Sub + `"`, "access-token-text": `"scope": "openid email"`, "userinfo-text": `"sub"`} {
			if got := textOf(claims.element(t, id)); !strings.Contains(got, want) {
				t.Errorf("%s lacks %s:\n%s", id, want, got)
			}
		}
		for _, r := range w.Records(t)[before:] {
			if e, _ := r["event"].(string); strings.HasSuffix(e, ".issued") {
				t.Errorf("looking issued something: %v", r)
			}
		}
		if a := w.b.Get(t, at+"/claims?user=nobody"); a.Status != http.StatusOK || a.HasID("id-token") {
			t.Errorf("of nobody: status %d", a.Status)
		}

		// A picture.
		_, png := pictureFile(t, "png", 64, 64)
		upload := w.b.sendFile(t, at+"/settings", "logo-form", "logo", "logo.png", png)
		wantPage(t, upload, http.StatusOK, "/settings")
		if a := w.b.sendFile(t, at+"/settings", "logo-form", "logo", "logo.svg", []byte("<svg/>")); a.Status != http.StatusUnprocessableEntity || !a.HasID("logo-form-logo-problem") {
			t.Errorf("a picture that is none: status %d", a.Status)
		}
		w.JSON(t, &document, "", "client", "get", app.ID)
		if document["logo"] == nil {
			t.Errorf("%v", document)
		}

		// Off and on again, its tokens ended, and gone.
		wantPage(t, w.send(t, at+"/disable", "confirm", nil), http.StatusOK, at)
		w.JSON(t, &document, "", "client", "get", app.ID)
		if document["disabled"] != true {
			t.Errorf("%v", document)
		}
		wantPage(t, w.send(t, at+"/disable", "confirm", nil), http.StatusOK, at)
		wantPage(t, w.send(t, at+"/revoke", "confirm", nil), http.StatusOK, at)
		wantPage(t, w.send(t, at+"/delete", "confirm", nil), http.StatusOK, "/console/clients")
		if a := w.b.Get(t, at); a.Status != http.StatusNotFound || !a.HasID("problem") {
			t.Errorf("a client that is gone: status %d", a.Status)
		}
		// The audit knows who did it.
		if !slices.ContainsFunc(w.Records(t), func(r map[string]any) bool {
			return r["event"] == "client.deleted" && strings.Contains(mustJSON(t, r), w.officer.Sub)
		}) {
			t.Error("no event says who deleted the client")
		}
	})
}
