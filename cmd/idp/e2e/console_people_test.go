package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"idp/internal/mail/mailtest"
)

// formOf returns the page's form with that hidden field.
func (a *Answer) formOf(t testing.TB, name, value string) Form {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Data != "form" || attr(n, "method") != "post" {
			continue
		}
		form := Form{Action: attr(n, "action"), Fields: url.Values{}}
		for c := range n.Descendants() {
			if c.Data == "input" {
				form.Fields.Set(attr(c, "name"), attr(c, "value"))
			}
		}
		if form.Fields.Get(name) == value {
			return form
		}
	}
	t.Fatalf("no form with %s=%q on %s (status %d):\n%s", name, value, a.URL, a.Status, a.Body)
	return Form{}
}

// press sends the form of a row.
func (w *consoleWorld) press(t testing.TB, path, name, value string) *Answer {
	t.Helper()
	page := w.b.Get(t, path)
	return w.b.Submit(t, page, page.formOf(t, name, value), nil)
}

// oneLink returns the link that a page shows once.
func (w *consoleWorld) oneLink(t testing.TB, a *Answer) string {
	t.Helper()
	if a.Status != http.StatusOK || !a.HasID("link") || strings.Contains(a.URL.String(), "idp_l_") || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d at %s, want a link:\n%s", a.Status, a.URL, a.Body)
	}
	_, rest, _ := strings.Cut(a.Body, `<code id="link">`)
	link, _, _ := strings.Cut(rest, "<")
	return html.UnescapeString(link)
}

// Somebody is invited, changed, helped and let go, all in the console.
func TestConsole_People(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		schema := filepath.Join(t.TempDir(), "attributes.json")
		declared := `{"type":"object","properties":{"cost_center":{"type":"string","pattern":"^[0-9]{4}$"},"badge":{"type":"integer"},"site":{"enum":["Oslo","Rome"]}}}`
		if err := os.WriteFile(schema, []byte(declared), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newConsoleWorld(t, engine, map[string]string{"IDP_ACCOUNTS_ATTRIBUTES_SCHEMA": schema})
		w.CLI(t, "", "group", "create", "sales/emea")
		type person struct {
			Sub, Username, State, Name, Email, Locale string
			EmailVerified                             bool `json:"email_verified"`
			Groups, Roles                             []string
			Attributes                                map[string]any
		}
		read := func(name string) (p person) {
			t.Helper()
			w.JSON(t, &p, "", "user", "get", name)
			return p
		}

		// An account whose person chooses the password: nobody else knows it.
		refused := w.send(t, "/console/new-user", "user", url.Values{"username": {"a b"}, "email": {"nowhere"}, "attributes.cost_center": {"12"}, "name": {"Nora Nansen"}})
		if refused.Status != http.StatusUnprocessableEntity || !refused.HasID("user-username-problem") || !refused.HasID("user-email-problem") ||
			!refused.HasID("user-attributes.cost_center-problem") || refused.Form(t, "user").Fields.Get("name") != "Nora Nansen" {
			t.Errorf("%d\n%s", refused.Status, refused.Body)
		}
		link := w.oneLink(t, w.send(t, "/console/new-user", "user", url.Values{
			"username": {"nora"}, "name": {"Nora Nansen"}, "email": {"nora@example.com"}, "email_verified": {"on"}, "attributes.cost_center": {"1234"}, "attributes.badge": {"7"},
		}))
		if a := w.send(t, "/console/new-user", "user", url.Values{"username": {"NORA"}}); a.Status != http.StatusConflict || !a.HasID("problem") {
			t.Errorf("the name again: %d", a.Status)
		}
		nb := w.NewBrowser(t)
		wantPage(t, nb.Submit(t, nb.Get(t, link), nb.Get(t, link).Form(t, "new-password-form"), url.Values{"password": {newPassword}}), http.StatusOK, "/recover/done")
		wantPage(t, nb.Login(t, nb.Get(t, "/login"), "nora", newPassword), http.StatusOK, "/account")
		nora := read("nora")
		if nora.Attributes["cost_center"] != "1234" || nora.Attributes["badge"] != 7.0 || !nora.EmailVerified {
			t.Errorf("%+v", nora)
		}
		at := "/console/users/" + nora.Sub

		// They are found by any part, in any case, and by state.
		for query, found := range map[string]bool{
			"search=NANS": true, "search=nora%40EXAMPLE": true, "search=or": true, "search=" + nora.Sub: true, "search=%25": false, "search=n_ra": false, "search=%5C": false,
			"search=nansen&state=active": true, "state=disabled": false, "search=%00": false, "search=" + strings.Repeat("x", 300): false, "after=nora": false, "after=m": true,
		} {
			if a := w.b.Get(t, "/console/users?"+query); a.Status != http.StatusOK || strings.Contains(a.Body, at) != found {
				t.Errorf("%s: %d", query, a.Status)
			}
		}

		// The profile, the rest of which stays.
		saved := w.send(t, at, "profile", url.Values{"name": {"Nora N. Nansen"}, "locale": {"nb-NO"}, "attributes.badge": {""}, "attributes.site": {"Rome"}, "address.locality": {"Oslo"}})
		wantPage(t, saved, http.StatusOK, at)
		if p := read("nora"); p.Name != "Nora N. Nansen" || p.Locale != "nb-NO" || p.Attributes["badge"] != nil || p.Attributes["site"] != "Rome" || p.Attributes["cost_center"] != "1234" || !p.EmailVerified {
			t.Errorf("%+v", p)
		}
		wrong := w.send(t, at, "profile", url.Values{"birthdate": {"yesterday"}, "attributes.badge": {"x"}, "attributes.site": {"Rome"}})
		if wrong.Status != http.StatusUnprocessableEntity || !wrong.HasID("profile-attributes.badge-problem") {
			t.Errorf("%d\n%s", wrong.Status, wrong.Body)
		}
		for _, path := range []string{"/console/users/nora", "/console/users/nobody", "/console/users/nobody/sessions", "/console/users/%FF"} {
			if a := w.b.Get(t, path); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.Status)
			}
		}

		// Sessions, one and all.
		second := w.NewBrowser(t)
		second.Login(t, second.Get(t, "/login"), "nora", newPassword)
		page := w.b.Get(t, at+"/sessions")
		form := page.formOf(t, "action", "end")
		foreign := w.b.Get(t, "/console/users/"+w.officer.Sub+"/sessions").formOf(t, "action", "end").Fields.Get("session")
		if a := w.b.Submit(t, page, form, url.Values{"session": {foreign}}); a.Status != http.StatusNotFound {
			t.Errorf("somebody else's session: %d", a.Status)
		}
		wantPage(t, w.b.Submit(t, page, form, nil), http.StatusOK, at+"/sessions")
		if in := strings.Count(w.b.Get(t, at+"/sessions").Body, `name="session"`); in != 1 {
			t.Errorf("%d sessions go on", in)
		}
		wantPage(t, w.press(t, at+"/sessions", "action", "end-all"), http.StatusOK, at+"/sessions")
		nb.Get(t, "/account").wantLogin(t)
		second.Get(t, "/account").wantLogin(t)

		// What they allowed.
		app := w.WebClient(t)
		Settle()
		nb.tokens(t, app, User{Username: "nora", Password: newPassword})
		wantPage(t, w.press(t, at+"/consents", "client", app.ID), http.StatusOK, at+"/consents")
		if a := w.b.Get(t, at+"/consents"); strings.Contains(a.Body, `name="client"`) || !strings.Contains(a.Body, "Withdrawn") {
			t.Errorf("%s", a.Body)
		}

		// Second factors.
		nb.setUpAuthenticator(t, nb.Get(t, "/setup/authenticator"))
		if a := w.b.Get(t, at+"/sign-in"); !strings.Contains(a.Body, "Authenticator app") || !strings.Contains(a.Body, at+"/reset-factors") {
			t.Errorf("%s", a.Body)
		}
		wantPage(t, w.send(t, at+"/reset-factors", "confirm", nil), http.StatusOK, at+"/sign-in")
		nb.Get(t, "/account").wantLogin(t)
		wantPage(t, nb.Login(t, nb.Get(t, "/login"), "nora", newPassword), http.StatusOK, "/account")

		// A forgotten password, and one that somebody else has.
		reset := w.oneLink(t, w.send(t, at+"/link", "confirm", nil))
		wantPage(t, w.send(t, at+"/lock", "confirm", nil), http.StatusOK, at)
		if read("nora").State != "locked" {
			t.Error("she is not locked")
		}
		nb.Get(t, "/account").wantLogin(t)
		_ = reset
		wantPage(t, w.send(t, at+"/enable", "confirm", nil), http.StatusOK, at)
		wantPage(t, w.send(t, at+"/disable", "confirm", nil), http.StatusOK, at)
		if a := w.b.Get(t, "/console/users?state=disabled"); !strings.Contains(a.Body, at) {
			t.Errorf("%s", a.Body)
		}
		if a := w.send(t, at+"/link", "confirm", nil); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("a link for somebody who is disabled: %d", a.Status)
		}

		// An invitation by hand, of which the newest works, and which shows nothing of
		// the address.
		old := w.oneLink(t, w.send(t, "/console/new-invitation", "invitation", url.Values{"email": {"igor@example.com"}, "name": {"Igor"}, "groups.sales/emea": {"on"}}))
		igor := "/console/users/" + read("igor@example.com").Sub
		newer := w.oneLink(t, w.press(t, igor+"/sign-in", "action", "invite"))
		ib := w.NewBrowser(t)
		wantDeadLink(t, ib.Get(t, old))
		welcome := ib.Get(t, newer)
		if a := ib.Submit(t, welcome, welcome.Form(t, "invitation-form"), url.Values{"username": {"mallory@example.com"}, "password": {newPassword}}); !a.HasID("username-problem") {
			t.Errorf("another's address as a name: %d", a.Status)
		}
		wantPage(t, ib.Submit(t, welcome, welcome.Form(t, "invitation-form"), url.Values{"password": {newPassword}}), http.StatusOK, "/invitation/done")
		if p := read("igor@example.com"); p.State != "active" || p.EmailVerified || p.Email != "igor@example.com" || strings.Join(p.Groups, " ") != "sales/emea" {
			t.Errorf("%+v", p)
		}
		if a := w.send(t, "/console/new-invitation", "invitation", url.Values{"email": {"igor@example.com"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("invitation-email-problem") {
			t.Errorf("who is there already: %d", a.Status)
		}

		// The last administrator stays.
		self := "/console/users/" + w.officer.Sub
		for _, verb := range []string{"disable", "lock", "delete"} {
			if a := w.send(t, self+"/"+verb, "confirm", nil); a.Status != http.StatusConflict || !strings.Contains(a.Body, "last administrator") {
				t.Errorf("%s: %d\n%s", verb, a.Status, a.Body)
			}
		}
		wantPage(t, w.send(t, at+"/delete", "confirm", nil), http.StatusOK, "/console/users")
		if a := w.b.Get(t, at); a.Status != http.StatusNotFound {
			t.Errorf("a deleted person: %d", a.Status)
		}

		// Who did it is in the audit; nobody becomes an administrator by a stale
		// sign-in; and no link is in the log.
		var events []struct {
			Kind   string
			Detail map[string]string
		}
		w.JSON(t, &events, "", "audit", "list", "--user", nora.Sub, "--limit", "100")
		for _, e := range events {
			switch e.Kind {
			case "user.created", "user.updated", "user.locked", "user.deleted", "link.created", "user.factors_reset", "consent.withdrawn":
				if e.Detail["actor"] != w.officer.Sub {
					t.Errorf("%s by %q", e.Kind, e.Detail["actor"])
				}
			}
		}
		w.staleSignIns(t, w.officer)
		stale := w.send(t, "/console/new-invitation", "invitation", url.Values{"email": {"eve@example.com"}, "groups.idp-admins": {"on"}})
		if stale.Status != http.StatusForbidden || !stale.HasID("stale") || stale.Form(t, "invitation").Fields.Get("groups.idp-admins") != "on" {
			t.Errorf("%d\n%s", stale.Status, stale.Body)
		}
		w.oneLink(t, w.send(t, "/console/new-invitation", "invitation", url.Values{"email": {"eve@example.com"}}))
		for _, verb := range []string{"link", "reset-factors", "lock", "disable", "enable", "delete"} {
			w.b.Get(t, igor+"/"+verb).wantLogin(t)
		}
		if logs := w.Logs(); strings.Contains(logs, "idp_l_") || strings.Contains(logs, "link=") {
			t.Error("a link is in the log")
		}
	})
}

// Where mail is sent, an invitation goes by mail alone, and bears the name of
// who sent it; where nobody may be invited, nobody is.
func TestConsole_InvitationsByMail(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Behaviour{})
	w := newConsoleWorld(t, "sqlite", mailing(t, server))
	sent := w.send(t, "/console/new-invitation", "invitation", url.Values{"email": {"dora@example.com"}})
	if sent.Status != http.StatusOK || sent.HasID("link") || !sent.HasID("done") {
		t.Errorf("%d\n%s", sent.Status, sent.Body)
	}
	if m := server.Wait(t, "dora@example.com", 1)[0]; !strings.Contains(m.Text, "Olga Officer") {
		t.Errorf("%s", m.Text)
	}
	w = newConsoleWorld(t, "sqlite", map[string]string{"IDP_ACCOUNTS_REGISTRATION": "off"})
	if a := w.send(t, "/console/new-invitation", "invitation", url.Values{"email": {"dora@example.com"}}); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "is off") {
		t.Errorf("%d\n%s", a.Status, a.Body)
	}
	if a := w.b.Get(t, "/console/users"); strings.Contains(a.Body, "dora@example.com") || strings.Contains(a.Body, "/console/new-invitation") {
		t.Error("an account was made")
	}
}

// Groups, roles and APIs are made, filled and taken away; what is named elsewhere
// stays; nobody becomes an administrator, or none any more, by a stale sign-in.
func TestConsole_Permissions(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		const api = "https://shop.example/v1"
		apiPath := "/console/resources/" + url.QueryEscape(api)

		wantPage(t, w.send(t, "/console/new-resource", "resource", url.Values{"audience": {api}, "name": {"Shop"}}), http.StatusOK, "/console/resources/"+api)
		if a := w.send(t, "/console/new-resource", "resource", url.Values{"audience": {"shop"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("resource-audience-problem") {
			t.Errorf("%d\n%s", a.Status, a.Body)
		}
		if a := w.send(t, "/console/new-resource", "resource", url.Values{"audience": {api}}); a.Status != http.StatusConflict {
			t.Errorf("the audience again: %d", a.Status)
		}
		for _, scope := range []string{"read", "write"} {
			wantPage(t, w.send(t, apiPath+"/permissions", "permission", url.Values{"scope": {scope}, "description": {"May " + scope}}), http.StatusOK, "/console/resources/"+api+"/permissions")
		}
		for scope, status := range map[string]int{"read": 409, "openid": 422, "idp.x": 422, "a b": 422, "": 422} {
			if a := w.send(t, apiPath+"/permissions", "permission", url.Values{"scope": {scope}}); a.Status != status {
				t.Errorf("scope %q: %d", scope, a.Status)
			}
		}
		wantPage(t, w.send(t, apiPath+"/permissions/write", "permission", url.Values{"description": {"Change the shop"}, "requires_role": {"on"}}), http.StatusOK, "/console/resources/"+api+"/permissions")
		wantPage(t, w.send(t, apiPath, "resource", url.Values{
			"name": {"The shop"}, "access_token_format": {"opaque"}, "access_token_signing_alg": {""}, "access_token_lifetime": {"120"}, "claims.roles": {"on"},
		}), http.StatusOK, "/console/resources/"+api)
		if a := w.send(t, apiPath, "resource", url.Values{"access_token_format": {"opaque"}, "access_token_lifetime": {"-1"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("resource-access_token_lifetime-problem") {
			t.Errorf("%d\n%s", a.Status, a.Body)
		}
		var shop struct {
			Name   string
			Scopes []struct {
				Name, Description string
				RequiresRole      bool `json:"requires_role"`
			}
			Claims   []string
			Format   string `json:"access_token_format"`
			Lifetime int    `json:"access_token_lifetime"`
		}
		w.JSON(t, &shop, "", "resource", "get", api)
		if shop.Name != "The shop" || len(shop.Scopes) != 2 || shop.Scopes[1].Description != "Change the shop" || !shop.Scopes[1].RequiresRole ||
			shop.Format != "opaque" || shop.Lifetime != 120 || strings.Join(shop.Claims, " ") != "roles" {
			t.Errorf("%+v", shop)
		}

		// A group with somebody in it, and a role that its members hold.
		wantPage(t, w.send(t, "/console/new-group", "group", url.Values{"name": {"sales/emea"}, "description": {"Sells"}}), http.StatusOK, "/console/groups/sales/emea")
		const group, role = "/console/groups/sales%2Femea", "/console/roles/buyer"
		if a := w.send(t, "/console/new-group", "group", url.Values{"name": {"a b"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("group-name-problem") {
			t.Errorf("%d", a.Status)
		}
		wantPage(t, w.send(t, "/console/new-role", "role", url.Values{"name": {"buyer"}, "scopes." + api + " write": {"on"}, "groups.sales/emea": {"on"}}), http.StatusOK, role)
		if a := w.send(t, "/console/new-role", "role", url.Values{"name": {"boss"}, "scopes." + w.Issuer + "/admin idp.admin": {"on"}}); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("a role of the admin API: %d", a.Status)
		}
		if a := w.send(t, group, "add", url.Values{"user": {"nobody"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("add-user-problem") {
			t.Errorf("%d", a.Status)
		}
		wantPage(t, w.send(t, group, "add", url.Values{"user": {w.employee.Username}}), http.StatusOK, "/console/groups/sales/emea")
		at := "/console/users/" + w.employee.Sub + "/groups"
		if a := w.b.Get(t, at); !strings.Contains(a.Body, "By sales/emea") || !strings.Contains(a.Body, role) {
			t.Errorf("%s", a.Body)
		}
		wantPage(t, w.send(t, at, "give", url.Values{"role": {"buyer"}}), http.StatusOK, at)
		wantPage(t, w.press(t, at, "action", "leave"), http.StatusOK, at)
		if a := w.b.Get(t, role); !strings.Contains(a.Body, w.employee.Username) {
			t.Errorf("%s", a.Body)
		}

		// What is named elsewhere stays.
		for _, path := range []string{group + "/delete", apiPath + "/delete"} {
			if a := w.send(t, path, "confirm", nil); a.Status != http.StatusConflict || !strings.Contains(a.Body, "role buyer") {
				t.Errorf("%s: %d\n%s", path, a.Status, a.Body)
			}
		}
		if a := w.press(t, apiPath+"/permissions", "scope", "write"); a.Status != http.StatusConflict || !strings.Contains(a.Body, "role buyer") {
			t.Errorf("%d\n%s", a.Status, a.Body)
		}
		wantPage(t, w.press(t, role, "action", "remove"), http.StatusOK, role)
		wantPage(t, w.send(t, role+"/delete", "confirm", nil), http.StatusOK, "/console/roles")
		wantPage(t, w.press(t, apiPath+"/permissions", "scope", "write"), http.StatusOK, "/console/resources/"+api+"/permissions")
		wantPage(t, w.send(t, apiPath+"/delete", "confirm", nil), http.StatusOK, "/console/resources")
		wantPage(t, w.send(t, group+"/delete", "confirm", nil), http.StatusOK, "/console/groups")
		for _, path := range []string{group, role, apiPath} {
			if a := w.b.Get(t, path); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.Status)
			}
		}

		// Administrators.
		const admins = "/console/groups/idp-admins"
		if a := w.press(t, admins, "action", "remove"); a.Status != http.StatusConflict || !strings.Contains(a.Body, "last administrator") {
			t.Errorf("%d", a.Status)
		}
		if a := w.send(t, admins+"/delete", "confirm", nil); a.Status != http.StatusForbidden {
			t.Errorf("%d", a.Status)
		}
		w.staleSignIns(t, w.officer)
		for name, a := range map[string]*Answer{
			"a group's page":  w.send(t, admins, "add", url.Values{"user": {w.employee.Username}}),
			"a person's page": w.send(t, at, "join", url.Values{"group": {"idp-admins"}}),
			"taken out":       w.press(t, admins, "action", "remove"),
		} {
			if a.Status != http.StatusForbidden || !a.HasID("stale") {
				t.Errorf("%s: %d\n%s", name, a.Status, a.Body)
			}
		}
		w.b.Login(t, w.b.Get(t, "/console/fresh"), w.officer.Username, w.officer.Password)
		wantPage(t, w.send(t, at, "join", url.Values{"group": {"idp-admins"}}), http.StatusOK, at)
	})
}
