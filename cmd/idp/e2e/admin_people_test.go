package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// array decodes an answer that is a list.
func (a *Answer) array(t testing.TB) []fields {
	t.Helper()
	var out []fields
	if a.Status != http.StatusOK || json.Unmarshal([]byte(a.Body), &out) != nil {
		t.Fatalf("%s: %d %s", a.URL.Path, a.Status, a.Body)
	}
	return out
}

// names returns one member of each thing of a list.
func names(list []fields, member string) []string {
	var out []string
	for _, f := range list {
		name, _ := f[member].(string)
		out = append(out, name)
	}
	return out
}

func TestAdminAPI_PeopleAndAPIs(t *testing.T) {
	t.Parallel()
	const merge = "application/merge-patch+json"
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, nil)

		t.Run("resources", func(t *testing.T) {
			const audience = "https://orders.example"
			at := "/admin/resources/" + url.QueryEscape(audience)
			made := w.call(t, w.root, "POST", "/admin/resources", `{"audience":"`+audience+`","name":"Orders","scopes":[{"name":"read"},{"name":"write","requires_role":true}],"claims":["groups"]}`)
			if made.wantStatus(t, 201); made.Header.Get("Location") == "" {
				t.Error("no Location")
			}
			// Another spelling of the address that is as plain is the same.
			for _, path := range []string{at, strings.ReplaceAll(at, "%3A", ":"), strings.TrimPrefix(made.Header.Get("Location"), w.Issuer)} {
				read := w.call(t, w.root, "GET", path, "")
				var command fields
				w.JSON(t, &command, "", "resource", "get", audience)
				shown := read.wantStatus(t, 200)
				delete(shown, "created_at") // documents to register one by have no times
				delete(shown, "updated_at")
				if diff := cmp.Diff(command, shown); diff != "" || read.Header.Get("ETag") != made.Header.Get("ETag") {
					t.Error(path, diff)
				}
			}
			w.call(t, w.root, "POST", "/admin/resources", `{"audience":"`+audience+`"}`).refused(t, 409, "conflict")
			w.call(t, w.root, "POST", "/admin/resources", `{"audience":"https://x.example","scopes":[{"name":"read","rolle":true}]}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "POST", "/admin/resources", `{"audience":"`+w.Issuer+`/admin"}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", at, `[{"op":"add","path":"/scopes/-","value":{"name":"delete"}}]`, "If-Match", `"old"`).refused(t, 412, "precondition_failed")
			patched := w.call(t, w.root, "PATCH", at, `[{"op":"add","path":"/scopes/-","value":{"name":"delete"}}]`, "If-Match", made.Header.Get("ETag")).wantStatus(t, 200)
			if scopes, _ := patched["scopes"].([]any); len(scopes) != 3 {
				t.Errorf("%v", patched)
			}
			w.call(t, w.root, "PUT", at, `{"audience":"https://other.example"}`).refused(t, 400, "invalid_input")
			if got := w.call(t, w.root, "PUT", at, `{"scopes":[{"name":"read"}]}`).wantStatus(t, 200); got["name"] != nil || got["claims"] != nil {
				t.Errorf("%v", got)
			}
			client := w.call(t, w.root, "POST", "/admin/clients", `{"grant_types":["client_credentials"],"audience":["`+audience+`"],"scope":"read"}`).wantStatus(t, 201)
			w.call(t, w.root, "PUT", at, `{}`).refused(t, 409, "conflict") // a client has the scope
			w.call(t, w.root, "DELETE", at, "").refused(t, 409, "conflict")
			w.call(t, w.root, "DELETE", "/admin/clients/"+client["client_id"].(string), "").wantStatus(t, 204)
			if got := names(w.call(t, w.root, "GET", "/admin/resources", "").array(t), "audience"); len(got) != 1 {
				t.Errorf("%v", got) // the admin API itself is not among them
			}
			w.call(t, w.root, "DELETE", at, "").wantStatus(t, 204)
			w.call(t, w.root, "GET", at, "").refused(t, 404, "not_found")
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				w.call(t, w.root, method, "/admin/resources/"+url.QueryEscape(w.Issuer+"/admin"), `{}`, "Content-Type", map[bool]string{true: merge, false: "application/json"}[method == "PATCH"]).refused(t, 404, "not_found")
			}
		})

		// Who reads data about people is in the audit, before it is shown; reading
		// what is configured is not.
		t.Run("reads", func(t *testing.T) {
			at := "/admin/users/" + w.employee.Sub
			want, byRequest := map[string]string{}, map[string]string{}
			for path, target := range map[string]string{
				at: "user " + w.employee.Sub, at + "/factors": "factors " + w.employee.Sub, at + "/sessions": "sessions " + w.employee.Sub, at + "/consents": "consents " + w.employee.Sub,
				"/admin/users": "users ", "/admin/users?username=" + w.employee.Username: "users ", "/admin/groups/idp-admins/members": "members ", "/admin/audit-events": "audit-events ",
				"/admin/clients": "", "/admin/groups": "", "/admin/roles": "", "/admin/resources": "", "/admin/keys": "",
			} {
				a := w.call(t, w.token(t, w.reader), "GET", path, "")
				if a.Status != 200 {
					t.Errorf("%s: %d %s", path, a.Status, a.Body)
				}
				if target != "" {
					want[a.Header.Get("X-Request-Id")] = target + " by " + w.reader.ID
				}
			}
			w.call(t, w.root, "GET", "/admin/users/nobody", "").refused(t, 404, "not_found")
			w.call(t, w.token(t, w.clients), "GET", at, "").refused(t, 403, "insufficient_scope")
			var told []struct {
				RequestID string            `json:"request_id"`
				UserID    string            `json:"user_id"`
				Detail    map[string]string `json:"detail"`
			}
			w.JSON(t, &told, "", "audit", "list", "--kind", "admin.read")
			for _, e := range told {
				byRequest[e.RequestID] = e.Detail["target"] + " " + e.UserID + " by " + e.Detail["actor"]
			}
			if diff := cmp.Diff(want, byRequest); diff != "" || len(told) != len(want) {
				t.Errorf("%d events for %d reads: %s", len(told), len(want), diff)
			}
		})

		t.Run("groups", func(t *testing.T) {
			made := w.call(t, w.root, "POST", "/admin/groups", `{"name":"sales/emea","description":"Sells"}`)
			made.wantStatus(t, 201)
			at := strings.TrimPrefix(made.Header.Get("Location"), w.Issuer)
			if got := w.call(t, w.root, "GET", at, "").wantStatus(t, 200); got["name"] != "sales/emea" || got["description"] != "Sells" {
				t.Errorf("%s %v", at, got)
			}
			w.call(t, w.root, "POST", "/admin/groups", `{"name":"sales/emea"}`).refused(t, 409, "conflict")
			w.call(t, w.root, "POST", "/admin/groups", `{"name":"no spaces"}`).refused(t, 400, "invalid_input")
			var in []string
			for range 3 {
				u := w.NewUser(t)
				in = append(in, u.Sub)
				w.call(t, w.root, "PUT", at+"/members/"+u.Sub, "").wantStatus(t, 204)
				w.call(t, w.root, "PUT", at+"/members/"+u.Sub, "").wantStatus(t, 204) // twice is once
			}
			w.call(t, w.root, "PUT", at+"/members/nobody", "").refused(t, 404, "not_found")
			w.call(t, w.root, "PUT", at+"/members/"+w.employee.Username, "").refused(t, 404, "not_found") // by sub alone
			first := w.call(t, w.root, "GET", at+"/members?page_size=2", "")
			next, _, _ := strings.Cut(strings.TrimPrefix(first.Header.Get("Link"), "<"+w.Issuer), ">")
			rest := w.call(t, w.root, "GET", next, "").array(t)
			if got := append(names(first.array(t), "sub"), names(rest, "sub")...); len(got) != 3 || rest[0]["username"] == "" {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "GET", strings.Replace(next, "sales%2Femea", "idp-admins", 1), "").refused(t, 400, "invalid_input") // another list's
			w.call(t, w.root, "DELETE", at+"/members/"+in[0], "").wantStatus(t, 204)
			w.call(t, w.root, "DELETE", at+"/members/"+in[0], "").refused(t, 404, "not_found")
			if got := w.call(t, w.root, "GET", "/admin/users/"+in[1], "").wantStatus(t, 200); cmp.Diff([]any{"sales/emea"}, got["groups"]) != "" {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "DELETE", at, "").wantStatus(t, 204)
			w.call(t, w.root, "GET", at+"/members", "").refused(t, 404, "not_found")
		})

		t.Run("roles", func(t *testing.T) {
			const audience = "https://shop.example"
			w.call(t, w.root, "POST", "/admin/resources", `{"audience":"`+audience+`","scopes":[{"name":"read"},{"name":"write"}]}`).wantStatus(t, 201)
			body := `{"name":"buyer","description":"Buys","scopes":[{"audience":"` + audience + `","scope":"write"}]}`
			made := w.call(t, w.root, "POST", "/admin/roles", body)
			made.wantStatus(t, 201)
			read := w.call(t, w.root, "GET", "/admin/roles/buyer", "")
			var command fields
			w.JSON(t, &command, "", "role", "get", "buyer")
			if diff := cmp.Diff(command, read.wantStatus(t, 200)); diff != "" || read.Header.Get("ETag") != made.Header.Get("ETag") {
				t.Error(diff)
			}
			w.call(t, w.root, "POST", "/admin/roles", body).refused(t, 409, "conflict")
			w.call(t, w.root, "POST", "/admin/roles", `{"name":"boss","scopes":[{"audience":"`+w.Issuer+`/admin","scope":"idp.admin"}]}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", "/admin/roles/buyer", `{"groups":["nobody"]}`, "Content-Type", merge).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", "/admin/roles/buyer", `{"groups":["idp-admins"]}`, "Content-Type", merge).wantStatus(t, 200)
			w.call(t, w.root, "PUT", "/admin/roles/buyer", `{"name":"seller"}`).refused(t, 400, "invalid_input")
			if got := w.call(t, w.root, "PUT", "/admin/roles/buyer", `{"description":"Bought"}`).wantStatus(t, 200); got["groups"] != nil || got["scopes"] != nil {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "PUT", "/admin/roles/buyer/members/"+w.employee.Sub, "").wantStatus(t, 204)
			if got := w.call(t, w.root, "GET", "/admin/users/"+w.employee.Sub, "").wantStatus(t, 200); cmp.Diff([]any{"buyer"}, got["roles"]) != "" {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "DELETE", "/admin/roles/buyer/members/"+w.employee.Sub, "").wantStatus(t, 204)
			if got := names(w.call(t, w.root, "GET", "/admin/roles", "").array(t), "name"); cmp.Diff([]string{"buyer"}, got) != "" {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "DELETE", "/admin/roles/buyer", "").wantStatus(t, 204)
			w.call(t, w.root, "PUT", "/admin/roles/buyer/members/"+w.employee.Sub, "").refused(t, 404, "not_found")
		})

		t.Run("sign-in rules", func(t *testing.T) {
			at := "/admin/sign-in-rules/admins"
			made := w.call(t, w.root, "POST", "/admin/sign-in-rules", `{"name":"admins","groups":["idp-admins"],"acr":"2","max_age":3600}`)
			made.wantStatus(t, 201)
			w.call(t, w.root, "POST", "/admin/sign-in-rules", `{"name":"admins","max_age":3600}`).refused(t, 409, "conflict")
			w.call(t, w.root, "POST", "/admin/sign-in-rules", `{"name":"nothing"}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", at, `{"groups":["nobody"]}`, "Content-Type", merge).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", at, `{"max_age":60}`, "Content-Type", merge, "If-Match", `"old"`).refused(t, 412, "precondition_failed")
			if got := w.call(t, w.root, "PATCH", at, `{"max_age":60}`, "Content-Type", merge, "If-Match", made.Header.Get("ETag")).wantStatus(t, 200); got["max_age"] != 60.0 || got["acr"] != "2" {
				t.Errorf("%v", got)
			}
			if got := w.call(t, w.root, "PUT", at, `{"max_age":90}`).wantStatus(t, 200); got["groups"] != nil || got["name"] != "admins" {
				t.Errorf("%v", got)
			}
			if got := names(w.call(t, w.root, "GET", "/admin/sign-in-rules", "").array(t), "name"); cmp.Diff([]string{"admins"}, got) != "" {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "DELETE", at, "").wantStatus(t, 204)
			w.call(t, w.root, "DELETE", at, "").refused(t, 404, "not_found")
		})

		t.Run("keys", func(t *testing.T) {
			before := w.call(t, w.root, "GET", "/admin/keys", "").array(t)
			w.call(t, w.root, "POST", "/admin/keys/rotate", `{"alg":"none"}`).refused(t, 400, "invalid_input")
			made := w.call(t, w.root, "POST", "/admin/keys/rotate", `{"alg":"ES256","immediately":true}`).array(t)
			if len(made) != 1 || made[0]["alg"] != "ES256" || made[0]["state"] != "active" {
				t.Fatalf("%v", made)
			}
			w.call(t, w.root, "POST", "/admin/keys/"+made[0]["kid"].(string)+"/retire", "").refused(t, 409, "conflict") // it signs
			w.call(t, w.root, "POST", "/admin/keys/nonsense/retire", "").refused(t, 404, "not_found")
			for _, old := range before {
				if old["alg"] == "ES256" {
					w.call(t, w.root, "POST", "/admin/keys/"+old["kid"].(string)+"/retire", "").wantStatus(t, 204)
				}
			}
			w.call(t, w.root, "GET", "/admin/keys", "").refused(t, 401, "invalid_token") // what it signed is dead
			w.root = w.token(t, w.all)
			after := w.call(t, w.root, "GET", "/admin/keys", "").array(t)
			if len(after) != len(before)+1 || strings.Contains(w.call(t, w.root, "GET", "/admin/keys", "").Body, `"d"`) {
				t.Errorf("%v", after)
			}
			if next := w.call(t, w.root, "POST", "/admin/keys/rotate", "").array(t); len(next) != 2 || next[0]["state"] != "next" {
				t.Errorf("%v", next)
			}
		})

		t.Run("audit", func(t *testing.T) {
			made := w.call(t, w.root, "POST", "/admin/groups", `{"name":"audited"}`)
			request := made.Header.Get("X-Request-Id")
			w.Post(t, "/oauth2/token", Client{ID: w.all.ID, Secret: "wrong"}, url.Values{"grant_type": {"client_credentials"}}).WantError(t, 401, "invalid_client")
			list := func(query string) []fields {
				return w.call(t, w.root, "GET", "/admin/audit-events?"+query, "").array(t)
			}
			got := list("request_id=" + request)
			if len(got) != 1 || got[0]["kind"] != "group.changed" || cmp.Diff(fields{"actor": w.all.ID, "target": "audited", "change": "created"}, got[0]["detail"]) != "" {
				t.Errorf("%v", got)
			}
			if got := list("kind=key.*+group.changed&actor=" + w.all.ID + "&refused=false"); len(got) < 3 {
				t.Errorf("%v", got)
			}
			if got := list("since=2199-01-01T00:00:00Z"); len(got) != 0 {
				t.Errorf("%v", got)
			}
			if got := list("until=2001-01-01T00:00:00Z"); len(got) != 0 {
				t.Errorf("%v", got)
			}
			var command []fields
			w.JSON(t, &command, "", "audit", "list", "--kind", "group.*", "--limit", "100")
			var paged []fields
			for path := "/admin/audit-events?kind=group.*&page_size=2"; path != ""; {
				a := w.call(t, w.root, "GET", path, "")
				paged = append(paged, a.array(t)...)
				path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"+w.Issuer), ">")
			}
			if diff := cmp.Diff(command, paged); diff != "" {
				t.Error(diff)
			}
			for _, bad := range []string{"since=yesterday", "until=1", "refused=maybe", "kind=a&kind=b", "event=1", "page_token=x"} {
				if a := w.call(t, w.root, "GET", "/admin/audit-events?"+bad, ""); a.Status != 400 {
					t.Errorf("%s: %d", bad, a.Status)
				}
			}
		})

		t.Run("users", func(t *testing.T) {
			password := "correct horse battery " + Token()[:6]
			made := w.call(t, w.root, "POST", "/admin/users", `{"username":"Carol","password":"`+password+`","name":"Carol C","email":"carol@example.com","address":{"country":"FR"}}`)
			sub, _ := made.wantStatus(t, 201)["sub"].(string)
			at := "/admin/users/" + sub
			if made.Header.Get("Location") != w.Issuer+at || strings.Contains(made.Body, password) {
				t.Errorf("%v %s", made.Header, made.Body)
			}
			carol := User{Username: "Carol", Password: password, Sub: sub}
			tokens := w.SignIn(t, w.app, carol, "scope", "openid offline_access")
			read := w.call(t, w.root, "GET", at, "")
			if got := read.wantStatus(t, 200); got["state"] != "active" || got["has_password"] != true || got["email_verified"] != nil {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "GET", "/admin/users/Carol", "").refused(t, 404, "not_found") // by sub alone
			w.call(t, w.root, "POST", "/admin/users", `{"username":"carol"}`).refused(t, 409, "conflict")
			w.call(t, w.root, "POST", "/admin/users", `{"username":"dave","state":"disabled"}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "POST", "/admin/users", `{"username":"dave","password_hash":"x"}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "POST", "/admin/users", `{"username":"dave","password":"short"}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "POST", "/admin/users", `{"username":"dave","address":{"planet":"Earth"}}`).refused(t, 400, "invalid_input")

			w.call(t, w.root, "PATCH", at, `{"name":"x"}`, "Content-Type", merge, "If-Match", `"old"`).refused(t, 412, "precondition_failed")
			w.call(t, w.root, "PATCH", at, `{"sub":"other"}`, "Content-Type", merge).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", at, `{"state":"disabled","name":"x"}`, "Content-Type", merge).refused(t, 400, "invalid_input")
			w.call(t, w.root, "PATCH", at, `{"state":"invited"}`, "Content-Type", merge).refused(t, 400, "invalid_input")
			if got := w.call(t, w.root, "PATCH", at, `{"name":null,"nickname":"C"}`, "Content-Type", merge, "If-Match", read.Header.Get("ETag")).wantStatus(t, 200); got["name"] != nil || got["nickname"] != "C" || got["email"] != "carol@example.com" {
				t.Errorf("%v", got)
			}

			sessions := w.call(t, w.root, "GET", at+"/sessions", "").array(t)
			consents := w.call(t, w.root, "GET", at+"/consents", "").array(t)
			if len(sessions) != 1 || sessions[0]["state"] != "live" || cmp.Diff([]string{w.app.ID}, names(consents, "client_id")) != "" {
				t.Fatalf("%v %v", sessions, consents)
			}
			sid := sessions[0]["sid"].(string)
			w.call(t, w.root, "DELETE", "/admin/users/"+w.employee.Sub+"/sessions/"+sid, "").refused(t, 404, "not_found") // another person's
			w.call(t, w.root, "DELETE", at+"/sessions/nonsense", "").refused(t, 404, "not_found")
			w.call(t, w.root, "DELETE", at+"/sessions/"+sid, "").wantStatus(t, 204)
			if w.Active(t, w.app, tokens.Access) {
				t.Error("a token lives on in a session that was ended")
			}
			tokens = w.SignIn(t, w.app, carol, "scope", "openid offline_access")
			w.call(t, w.root, "DELETE", at+"/consents/"+w.app.ID, "").wantStatus(t, 204)
			w.call(t, w.root, "DELETE", at+"/consents/"+w.app.ID, "").refused(t, 404, "not_found")
			if w.Active(t, w.app, tokens.Refresh) {
				t.Error("a token lives on whose consent was withdrawn")
			}
			tokens = w.SignIn(t, w.app, carol, "scope", "openid offline_access")
			w.call(t, w.root, "DELETE", at+"/sessions", "").wantStatus(t, 204)
			if w.Active(t, w.app, tokens.Access) {
				t.Error("a token lives on after all sessions were ended")
			}

			if got := w.call(t, w.root, "GET", at+"/factors", "").wantStatus(t, 200); got["recovery_codes"] != 0.0 {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "DELETE", at+"/factors", "").wantStatus(t, 204)
			w.call(t, w.root, "PUT", at+"/password", `{"password":""}`).refused(t, 400, "invalid_input")
			carol.Password = "another horse battery " + Token()[:6]
			w.call(t, w.root, "PUT", at+"/password", `{"password":"`+carol.Password+`"}`).wantStatus(t, 204)
			tokens = w.SignIn(t, w.app, carol, "scope", "openid offline_access")
			if got := w.call(t, w.root, "PATCH", at, `{"state":"disabled"}`, "Content-Type", merge).wantStatus(t, 200); got["state"] != "disabled" || w.Active(t, w.app, tokens.Access) {
				t.Errorf("%v", got)
			}
			w.call(t, w.root, "PATCH", at, `[{"op":"replace","path":"/state","value":"active"}]`).wantStatus(t, 200)
			if w.Active(t, w.app, tokens.Access) {
				t.Error("what was ended lives again")
			}
			if strings.Contains(w.Logs(), password) || strings.Contains(w.Logs(), carol.Password) {
				t.Error("the log holds a password")
			}

			found := w.call(t, w.root, "GET", "/admin/users?username=cArOl", "").array(t)
			if cmp.Diff([]string{sub}, names(found, "sub")) != "" || len(w.call(t, w.root, "GET", "/admin/users?username=nobody", "").array(t)) != 0 {
				t.Errorf("%v", found)
			}
			whole := names(w.call(t, w.root, "GET", "/admin/users", "").array(t), "sub")
			var paged []string
			for path := "/admin/users?page_size=2"; path != ""; {
				a := w.call(t, w.root, "GET", path, "")
				paged = append(paged, names(a.array(t), "sub")...)
				path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"+w.Issuer), ">")
			}
			if diff := cmp.Diff(whole, paged); diff != "" || len(whole) < 3 {
				t.Error(diff)
			}
			w.call(t, w.root, "DELETE", at, "").wantStatus(t, 204)
			w.call(t, w.root, "GET", at, "").refused(t, 404, "not_found")
		})
	})
}
