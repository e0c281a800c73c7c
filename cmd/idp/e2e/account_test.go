package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// formWith returns the page's form whose hidden field id or button says so: of
// several alike, the one about that thing.
func (a *Answer) formWith(t testing.TB, action, id string) Form {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Data != "form" || attr(n, "method") != "post" {
			continue
		}
		form, found := Form{Action: attr(n, "action"), Fields: url.Values{}}, false
		for c := range n.Descendants() {
			switch {
			case c.Data == "input":
				form.Fields.Set(attr(c, "name"), attr(c, "value"))
			case c.Data == "button" && attr(c, "value") == action:
				form.Fields.Set(attr(c, "name"), action)
				found = true
			}
		}
		if found && (id == "" || form.Fields.Get("id") == id) {
			return form
		}
	}
	t.Fatalf("no form that does %q to %q on %s (status %d):\n%s", action, id, a.URL, a.Status, a.Body)
	return Form{}
}

// act presses the button of that value on a page of the account.
func (b *Browser) act(t testing.TB, path, action, id string, fields url.Values) *Answer {
	t.Helper()
	page := b.Get(t, path)
	return b.Submit(t, page, page.formWith(t, action, id), fields)
}

// staleSignIns makes all sign-ins old that were made by the user.
func (i *Installation) staleSignIns(t testing.TB, u User) {
	t.Helper()
	ago := "auth_time = auth_time - 600000000"
	if i.Engine == "postgres" {
		ago = "auth_time = auth_time - interval '10 minutes'"
	}
	i.execute(t, "UPDATE sessions SET "+ago+" WHERE user_id = '"+u.Sub+"'")
}

func wantAccount(t testing.TB, a *Answer, done string) {
	t.Helper()
	if a.Status != http.StatusOK || !a.HasID("done") && done != "" || !strings.Contains(a.URL.RawQuery, "done="+done) && done != "" {
		t.Fatalf("status %d at %s, want a page of the account that says %q:\n%s", a.Status, a.URL, done, a.Body)
	}
}

// People change their password, see where they are signed in and end it, and
// take back what they allowed. What that ends is dead on every node, and the
// applications are told.
func TestAccount(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "alice@example.com", "--email-verified", "--name", "Alice Moreau")
		bob := inst.NewUser(t)
		told := newReceiver(t, always(http.StatusOK))
		app := inst.WebClient(t, append(legacy, "--backchannel-logout-uri", told.URL+"/?keep=1")...)
		wiki := inst.WebClient(t, "--name", "Team Wiki")
		node := inst.Start(t)

		// Nobody sees anything without signing in, and then comes to the page.
		b := node.NewBrowser(t)
		for _, path := range []string{"/account", "/account/email", "/account/security", "/account/sessions", "/account/applications", "/account/data"} {
			b.Get(t, path).wantLogin(t)
		}
		page := b.Login(t, b.Get(t, "/account/sessions"), alice.Username, alice.Password)
		if page.URL.Path != "/account/sessions" || page.Status != http.StatusOK {
			t.Fatalf("after the sign-in: status %d at %s", page.Status, page.URL)
		}
		if home := b.Get(t, "/"); home.URL.Path != "/account" {
			t.Errorf("home leads to %s", home.URL)
		}
		if page := b.Get(t, "/account/nothing"); page.Status != http.StatusNotFound {
			t.Errorf("an unknown page: status %d", page.Status)
		}
		for path, want := range map[string]string{
			"/.well-known/change-password": "/account/security#password",
		} {
			r := get(t, node.Issuer+path)
			if a := Do(t, b.Client, r); a.Status != http.StatusSeeOther || a.Header.Get("Location") != want {
				t.Errorf("%s: status %d to %q", path, a.Status, a.Header.Get("Location"))
			}
		}
		if a := b.Get(t, "/.well-known/passkey-endpoints"); a.JSON(t)["enroll"] != node.Issuer+"/setup/passkey" {
			t.Errorf("passkey endpoints: %s", a.Body)
		}

		// The profile: what is offered can be changed, and nothing else (P04).
		page = b.Get(t, "/account")
		page = b.Submit(t, page, page.Form(t, "profile-form"), url.Values{
			"name": {"Alice M"}, "locale": {"de"}, "zoneinfo": {"Europe/Berlin"},
			"email": {"evil@example.com"}, "email_verified": {"true"}, "groups": {"admins"}, "sub": {"x"}, "state": {"disabled"}, "username": {"root"},
			"phone_number_verified": {"true"}, "preferred_username": {"root"}, "picture": {"https://evil.example/"},
		})
		wantAccount(t, page, "saved")
		if !strings.Contains(page.Body, `lang="de"`) {
			t.Error("the page does not follow the chosen language")
		}
		tokens := b.tokens(t, app, alice, "scope", "openid profile email offline_access")
		claims := node.Userinfo(t, tokens.Access).JSON(t)
		for claim, want := range map[string]any{"name": "Alice M", "zoneinfo": "Europe/Berlin", "email": "alice@example.com", "email_verified": true, "preferred_username": alice.Username, "picture": nil} {
			if claims[claim] != want {
				t.Errorf("%s is %v, want %v", claim, claims[claim], want)
			}
		}
		page = b.Get(t, "/account")
		for claim, bad := range map[string]string{"website": "javascript:alert(1)", "birthdate": "yesterday", "zoneinfo": "../../etc/passwd", "name": "Alice\u202eecilA", "locale": "<x>"} {
			refused := b.Submit(t, page, page.Form(t, "profile-form"), url.Values{claim: {bad}})
			if refused.Status != http.StatusUnprocessableEntity || !refused.HasID("problem") {
				t.Errorf("%s %q: status %d", claim, bad, refused.Status)
			}
		}
		page = b.Get(t, "/account")
		wantAccount(t, b.Submit(t, page, page.Form(t, "profile-form"), url.Values{"locale": {""}}), "saved")

		// Sessions: another browser is seen, ended, and told to its applications.
		other := node.NewBrowser(t)
		stolen := other.tokens(t, app, alice, "scope", "openid offline_access")
		sid, _ := node.Verify(t, stolen.ID, "JWT", "RS256")["sid"].(string)
		mine, _ := node.Verify(t, tokens.ID, "JWT", "RS256")["sid"].(string)
		stranger := node.NewBrowser(t)
		stranger.Login(t, stranger.Get(t, "/login"), bob.Username, bob.Password)
		own := stranger.Get(t, "/account/security").formWith(t, "password", "")
		post := func(t testing.TB, path string, fields url.Values) *Answer {
			t.Helper()
			fields.Set("flow", own.Fields.Get("flow"))
			return stranger.Submit(t, stranger.Get(t, path), Form{Action: path, Fields: url.Values{}}, fields)
		}
		passkey := base64.RawURLEncoding.EncodeToString([]byte("a credential"))
		for name, a := range map[string]*Answer{
			"session":              post(t, "/account/sessions", url.Values{"action": {"end"}, "id": {sid}}),
			"session that is none": post(t, "/account/sessions", url.Values{"action": {"end"}, "id": {"x"}}),
			"device":               post(t, "/account/sessions", url.Values{"action": {"distrust"}, "id": {sid}}),
			"application":          post(t, "/account/applications", url.Values{"action": {"withdraw"}, "id": {app.ID}}),
			"passkey":              post(t, "/account/security", url.Values{"action": {"remove-passkey"}, "id": {passkey}}),
			"passkey's name":       post(t, "/account/security", url.Values{"action": {"rename-passkey"}, "id": {passkey}, "name": {"x"}}),
			"authenticator":        post(t, "/account/security", url.Values{"action": {"remove-authenticator"}, "id": {sid}}),
			"authenticator's name": post(t, "/account/security", url.Values{"action": {"rename-authenticator"}, "id": {sid}, "name": {"x"}}),
		} {
			if a.Status != http.StatusNotFound {
				t.Errorf("another person's %s: status %d", name, a.Status)
			}
		}
		if !other.signedIn(t, app) {
			t.Fatal("another person ended the session")
		}
		page = b.Get(t, "/account/sessions")
		wantAccount(t, b.Submit(t, page, page.formWith(t, "end", sid), nil), "ended")
		wantDead(t, app, stolen, node)
		if token := node.Verify(t, told.next(t, 10*time.Second), "logout+jwt", "RS256"); token["sid"] != sid {
			t.Errorf("the application is told of %v, not of %s", token["sid"], sid)
		}
		if other.signedIn(t, app) || !b.signedIn(t, app) {
			t.Error("the wrong session ended")
		}

		// All others at once, and this one stays.
		stolen = other.tokens(t, app, alice, "scope", "openid offline_access")
		wantAccount(t, b.act(t, "/account/sessions", "end-others", "", nil), "others")
		wantDead(t, app, stolen, node)
		told.next(t, 10*time.Second)
		tokens.Refresh = node.Refresh(t, app, tokens.Refresh).Tokens(t).Refresh

		// What would lock somebody out takes a sign-in of a moment ago.
		inst.staleSignIns(t, alice)
		locked := b.Get(t, "/account/security")
		if locked.HasID("password-form") || !locked.HasID("confirm-form") {
			t.Fatalf("a page of long ago offers to change the password:\n%s", locked.Body)
		}
		flow := locked.Form(t, "confirm-form").Fields
		for path, action := range map[string]string{"/account/security": "password", "/account/sessions": "end-others", "/account/data": "export"} {
			a := b.Submit(t, locked, Form{Action: path, Fields: flow}, url.Values{"action": {action}, "current_password": {alice.Password}, "new_password": {"battery staple horse"}})
			a.wantLogin(t)
		}
		confirm := b.Submit(t, locked, locked.Form(t, "confirm-form"), url.Values{"action": {"confirm"}})
		if got := confirm.Form(t, "login-form").Fields.Get("username"); got != alice.Username {
			t.Errorf("the user name is asked again: %q", got)
		}
		page = b.Login(t, confirm, alice.Username, alice.Password)
		if page.URL.Path != "/account/security" || !page.HasID("password-form") {
			t.Fatalf("after confirming: status %d at %s:\n%s", page.Status, page.URL, page.Body)
		}

		// The forms of this page are good here only.
		form := page.formWith(t, "password", "")
		form.Fields.Set("current_password", alice.Password)
		form.Fields.Set("new_password", "stolen battery staple")
		for name, a := range map[string]*Answer{
			"in another browser":  node.NewBrowser(t).Submit(t, page, form, nil),
			"by another person":   stranger.Submit(t, page, form, nil),
			"without a flow":      b.Submit(t, page, Form{Action: form.Action, Fields: url.Values{"action": {"password"}}}, nil),
			"with another's flow": b.Submit(t, page, form, url.Values{"flow": {own.Fields.Get("flow")}}),
		} {
			if a.Status != http.StatusForbidden {
				t.Errorf("the form %s: status %d", name, a.Status)
			}
		}
		r := formRequest(t, node.Issuer+"/account/security", form.Fields)
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if a := Do(t, b.Client, r); a.Status != http.StatusForbidden {
			t.Errorf("the form from another site: status %d", a.Status)
		}

		// Passwords (O06).
		for name, c := range map[string][3]string{
			"a wrong one": {"wrong " + alice.Password, "new battery staple", "not your current password"}, "none": {"", "", "Enter your current password"},
			"too short": {alice.Password, "short", "Choose a longer password"}, "a row": {alice.Password, "qwertyuiopasdfghjkl", "row of keys"},
			"the user name": {alice.Password, strings.Repeat(strings.ToUpper(alice.Username), 2), "your name"},
		} {
			a := b.Submit(t, page, page.formWith(t, "password", ""), url.Values{"current_password": {c[0]}, "new_password": {c[1]}})
			if a.Status != http.StatusUnprocessableEntity || !a.HasID("password-form") || strings.Contains(a.Body, "battery") || !strings.Contains(a.Body, c[2]) {
				t.Errorf("%s: status %d, want word of %q:\n%s", name, a.Status, c[2], a.Body)
			}
		}
		stolen = other.tokens(t, app, alice, "scope", "openid offline_access")
		before := cookie(t, b, "idp_session")
		changed := "new battery staple"
		wantAccount(t, b.Submit(t, page, page.formWith(t, "password", ""), url.Values{"current_password": {alice.Password}, "new_password": {changed}}), "password")
		wantDead(t, app, stolen, node)
		wantDead(t, app, tokens, node)
		if token := node.Verify(t, told.next(t, 10*time.Second), "logout+jwt", "RS256"); token["sid"] == mine {
			t.Error("this session was ended")
		}
		if !b.signedIn(t, app) || other.signedIn(t, app) {
			t.Error("the wrong session ended")
		}
		replay := node.NewBrowser(t)
		setCookie(t, replay, "idp_session", before)
		if replay.signedIn(t, app) {
			t.Error("the cookie from before still counts")
		}
		if a := node.NewBrowser(t); a.Login(t, a.Get(t, "/login"), alice.Username, alice.Password).Status != http.StatusUnprocessableEntity {
			t.Error("the password from before still counts")
		}
		alice.Password = changed
		var notices []string
		for _, m := range inst.letters(t) {
			if m.Kind == "password_changed" {
				notices = append(notices, m.To)
			}
		}
		if !slices.Equal(notices, []string{"alice@example.com"}) {
			t.Errorf("the change is told to %q", notices)
		}

		// Applications.
		tokens = b.tokens(t, wiki, alice, "scope", "openid email offline_access")
		page = b.Get(t, "/account/applications")
		for _, want := range []string{"Team Wiki", "See your e-mail address", "Also while you are away", "Last got access"} {
			if !strings.Contains(page.Body, want) {
				t.Errorf("the list of applications does not say %q", want)
			}
		}
		wantAccount(t, b.Submit(t, page, page.formWith(t, "withdraw", wiki.ID), nil), "withdrawn")
		wantDead(t, wiki, tokens, node)
		if b.Get(t, "/account/applications").HasID("applications") {
			t.Error("the application is still listed")
		}

		// What happened, and all that is stored.
		events := b.Get(t, "/account/security").textOf(t, "events")
		for _, want := range []string{"The password was changed", "Team Wiki may use your account", "Team Wiki may not use your account any more", "A sign-in failed", "Signed out"} {
			if !strings.Contains(events, want) {
				t.Errorf("the events do not say %q:\n%s", want, events)
			}
		}
		copied := b.act(t, "/account/data", "export", "", nil)
		if copied.Status != http.StatusOK || !strings.HasPrefix(copied.Header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("the export: status %d, %v", copied.Status, copied.Header)
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(copied.Body), &document); err != nil {
			t.Fatal(err)
		}
		account, _ := document["account"].(map[string]any)
		if account["sub"] != alice.Sub || document["email_addresses"] == nil || document["sessions"] == nil || document["security_events"] == nil || document["consents"] == nil {
			t.Errorf("the export: %.600s", copied.Body)
		}
		for _, secret := range []string{"argon2", alice.Password, "salt", cookie(t, b, "idp_session")} {
			if strings.Contains(copied.Body, secret) {
				t.Errorf("the export holds %q", secret)
			}
		}
	})
}

// Whoever has a second factor confirms with it, also on a device that stands in
// for it at the sign-in. Taking one away ends all other sessions.
func TestAccount_SecondFactor(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		app := inst.WebClient(t, append(legacy, "--skip-consent")...)
		node := inst.Start(t)

		// From the page of the account to the set-up and back.
		b := node.NewBrowser(t)
		page := b.Login(t, b.Get(t, "/account/security"), alice.Username, alice.Password)
		phone, recovery, page := b.setUpAuthenticator(t, b.Get(t, page.link(t, "add-authenticator")))
		if page.URL.Path != "/account/security" || !strings.Contains(page.textOf(t, "authenticators"), "Phone") {
			t.Fatalf("after setting up: status %d at %s:\n%s", page.Status, page.URL, page.Body)
		}

		// A trusted device lets in, but not to what is dangerous.
		other := node.NewBrowser(t)
		page = other.Login(t, other.Get(t, "/login"), alice.Username, alice.Password)
		way := other.Get(t, "/login/second-factor?"+url.Values{"flow": page.Form(t, "second-factor-other").Fields["flow"], "method": {"recovery"}}.Encode())
		other.prove(t, way, recovery[0], "trust", "yes")
		page = other.Get(t, "/logout")
		other.Submit(t, page, page.Form(t, "logout-form"), nil)
		page = other.Login(t, other.Get(t, "/account/security"), alice.Username, alice.Password)
		if page.URL.Path != "/account/security" || page.HasID("password-form") {
			t.Fatalf("a trusted device: status %d at %s:\n%s", page.Status, page.URL, page.Body)
		}
		stolen := other.tokens(t, app, alice, "scope", "openid offline_access")
		confirm := other.Submit(t, page, page.Form(t, "confirm-form"), url.Values{"action": {"confirm"}})
		wantSecondFactor(t, confirm, http.StatusOK)
		// Setting up another one is as dangerous.
		wantSecondFactor(t, other.Get(t, "/setup/passkey"), http.StatusOK)

		// The device is listed, and trusted until that is taken back.
		page = b.Get(t, "/account/sessions")
		if !page.HasID("devices") {
			t.Fatalf("no trusted device on the page:\n%s", page.Body)
		}
		wantAccount(t, b.Submit(t, page, page.formWith(t, "distrust", ""), nil), "distrusted")
		fresh := other.Get(t, "/login?prompt=login")
		wantSecondFactor(t, other.Login(t, fresh, alice.Username, alice.Password), http.StatusOK)

		// After long: the password and the code, and back.
		inst.staleSignIns(t, alice)
		page = b.Get(t, "/setup/recovery-codes")
		page = b.Login(t, page, alice.Username, alice.Password)
		wantSecondFactor(t, page, http.StatusOK)
		page = b.prove(t, page, phone.code(t))
		if page.URL.Path != "/setup/recovery-codes" || !page.HasID("recovery-codes-form") {
			t.Fatalf("after confirming: status %d at %s:\n%s", page.Status, page.URL, page.Body)
		}

		// A name, and the end.
		list := b.Get(t, "/account/security")
		id := list.formWith(t, "remove-authenticator", "").Fields.Get("id")
		wantAccount(t, b.Submit(t, list, list.formWith(t, "rename-authenticator", id), url.Values{"name": {"Old phone"}}), "renamed")
		if a := b.Submit(t, list, list.formWith(t, "rename-authenticator", id), url.Values{"name": {strings.Repeat("x", 65)}}); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("a long name: status %d", a.Status)
		}
		if !strings.Contains(b.Get(t, "/account/security").textOf(t, "authenticators"), "Old phone") {
			t.Error("the name did not change")
		}
		wantAccount(t, b.Submit(t, list, list.formWith(t, "remove-authenticator", id), nil), "removed")
		wantDead(t, app, stolen, node)
		if other.signedIn(t, app) || !b.signedIn(t, app) {
			t.Error("the wrong session ended")
		}
		if a := b.Submit(t, list, list.formWith(t, "remove-authenticator", id), nil); a.Status != http.StatusNotFound {
			t.Errorf("removing it again: status %d", a.Status)
		}
	})
}
