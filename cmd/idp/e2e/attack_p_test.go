package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAttack_P_AdminAPI(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_PER_HOUR": "10000"})
		victim := w.call(t, w.root, "POST", "/admin/clients", newClient).wantStatus(t, 201)["client_id"].(string)
		api := w.NewResource(t, []string{"read"})
		w.CLI(t, "", "role", "create", "clerk")
		w.call(t, w.root, "POST", "/admin/sign-in-rules", `{"name":"strict","clients":["`+victim+`"],"max_age":3600}`).wantStatus(t, 201)
		values := map[string]string{
			"client_id": victim, "user_id": w.employee.Sub, "group": "idp-admins", "role": "clerk", "audience": api, "sid": "AAAAAAAAAAAAAAAAAAAAAA", "rule": "strict", "kid": "none",
			"request_id": w.Post(t, "/oauth2/token", Client{ID: victim, Secret: "wrong"}, url.Values{"grant_type": {"client_credentials"}}).Header.Get("X-Request-Id"),
		}
		w.explain(t, values["request_id"])
		reads := func(method string) bool { return method == http.MethodGet || method == http.MethodHead }
		// each runs a check on every method of every route but the one that is
		// public text.
		each := func(t *testing.T, check func(t *testing.T, method, path string)) {
			t.Helper()
			for _, route := range adminRoutes() {
				if route.Path == "/admin/openapi.yaml" {
					continue
				}
				for _, method := range route.Methods {
					check(t, method, with(route, values))
				}
			}
		}

		t.Run("P01_NoRouteWithoutTheRight", func(t *testing.T) {
			inst := w.Installation
			elsewhere := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "read")
			gone := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", inst.Issuer+"/admin", "--scope", "idp.admin")
			plain := inst.WebClient(t)
			Settle()
			person, stranger, user := w.act(t, w.officer), w.act(t, w.employee), w.SignIn(t, plain, w.officer)
			revoked, disabled := w.token(t, w.all), w.token(t, gone)
			w.Post(t, "/oauth2/revoke", w.all, url.Values{"token": {revoked}})
			w.call(t, w.root, "PATCH", "/admin/clients/"+gone.ID, `{"disabled":true}`, "Content-Type", "application/merge-patch+json").wantStatus(t, 200)
			parts := strings.Split(w.root, ".")

			for name, token := range map[string]string{
				"none": "", "nonsense": "x", "an ID token": person.ID, "a refresh token": person.Refresh, "a user's token for userinfo": user.Access,
				"another API's": w.token(t, elsewhere), "revoked": revoked, "of a disabled client": disabled,
				"unsigned": parts[0] + "." + parts[1] + ".", "of alg none": b64(`{"alg":"none","typ":"at+jwt"}`) + "." + parts[1] + ".",
			} {
				t.Run(name, func(t *testing.T) {
					each(t, func(t *testing.T, method, path string) {
						a := w.call(t, token, method, path, "")
						challenge := a.Header.Get("WWW-Authenticate")
						if a.Status != 401 || !strings.HasPrefix(challenge, `Bearer realm="`+w.Issuer+`"`) || strings.Contains(challenge, "error") == (token == "") {
							t.Errorf("%s %s: %d, %s", method, path, a.Status, challenge)
						}
					})
				})
			}
			never := func(string, string) bool { return false }
			for name, limited := range map[string]struct {
				token string
				may   func(method, path string) bool
			}{
				"no scope":                         {w.token(t, w.scopeless), never},
				"somebody who is no administrator": {stranger.Access, never},
				"reading all":                      {w.token(t, w.reader), func(method, _ string) bool { return reads(method) }},
				"reading the area":                 {w.token(t, w.clientsReader), func(method, path string) bool { return reads(method) && strings.HasPrefix(path, "/admin/clients") }},
			} {
				t.Run(name, func(t *testing.T) {
					each(t, func(t *testing.T, method, path string) {
						a := w.call(t, limited.token, method, path, "")
						if limited.may(method, path) {
							if a.Status != 200 {
								t.Errorf("%s %s: %d, may be read: %s", method, path, a.Status, a.Body)
							}
							return
						}
						if a.Status != 403 || !strings.Contains(a.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
							t.Errorf("%s %s: %d %v", method, path, a.Status, a.Header)
						}
					})
				})
			}
			area := w.token(t, w.clients)
			each(t, func(t *testing.T, method, path string) {
				if strings.HasPrefix(path, "/admin/clients") {
					return
				}
				if a := w.call(t, area, method, path, ""); a.Status != 403 {
					t.Errorf("%s %s: another area's scope: %d", method, path, a.Status)
				}
			})
			each(t, func(t *testing.T, method, path string) {
				if a := w.call(t, "", method, path+"?access_token="+w.root, ""); a.Status != 400 {
					t.Errorf("%s %s: a token in the URL: %d", method, path, a.Status)
				}
				r, _ := http.NewRequest(method, w.Issuer+path, nil)
				r.Header["Authorization"] = []string{"Bearer " + w.root, "Bearer " + w.root}
				if a := Do(t, w.HTTP, r); a.Status != 400 {
					t.Errorf("%s %s: two tokens: %d", method, path, a.Status)
				}
				if a := w.call(t, "", method, path, "", "Authorization", "Basic "+w.root); a.Status != 401 {
					t.Errorf("%s %s: another scheme: %d", method, path, a.Status)
				}
			})
			w.call(t, person.Access, "GET", "/admin/clients/"+victim, "").wantStatus(t, 200)
			w.call(t, w.root, "GET", "/admin/clients/"+victim, "").wantStatus(t, 200)
		})

		t.Run("P02_WhoIsNoAdministratorAnyMore", func(t *testing.T) {
			person := w.act(t, w.officer)
			w.CLI(t, "", "group", "remove-member", "idp-admins", w.officer.Username)
			w.call(t, person.Access, "GET", "/admin/clients", "").refused(t, 403, "not_an_administrator")
			w.CLI(t, "", "group", "add-member", "idp-admins", w.officer.Username)
			w.call(t, person.Access, "GET", "/admin/clients", "").wantStatus(t, 200)
			w.CLI(t, "", "user", "disable", w.officer.Username)
			w.call(t, person.Access, "GET", "/admin/clients", "").refused(t, 401, "invalid_token")
			w.CLI(t, "", "user", "enable", w.officer.Username)
		})

		t.Run("P02_AdministratorsAreOutOfReach", func(t *testing.T) {
			const merge = "application/merge-patch+json"
			service := func(scope string) string {
				made := w.call(t, w.root, "POST", "/admin/clients", `{"grant_types":["client_credentials"],"audience":["`+w.Issuer+`/admin"],"scope":"`+scope+`"}`).wantStatus(t, 201)
				return w.token(t, Client{ID: made["client_id"].(string), Secret: made["client_secret"].(string)})
			}
			people, sets := service("idp.users"), service("idp.groups idp.roles")
			officer, employee := "/admin/users/"+w.officer.Sub, "/admin/users/"+w.employee.Sub
			before := w.call(t, w.root, "GET", officer, "").Body
			for _, try := range []struct{ method, path, body string }{
				{"PATCH", officer, `{"email":"me@evil.example"}`},
				{"PATCH", officer, `{"state":"disabled"}`},
				{"PATCH", officer, `{"state":"locked"}`},
				{"DELETE", officer, ""},
				{"DELETE", officer + "/factors", ""},
				{"DELETE", officer + "/sessions", ""},
				{"DELETE", officer + "/sessions/" + values["sid"], ""},
				{"DELETE", officer + "/consents/" + w.app.ID, ""},
				{"PUT", officer + "/password", `{"password":"correct horse battery staple"}`},
			} {
				a := w.call(t, people, try.method, try.path, try.body, "Content-Type", map[bool]string{true: merge, false: "application/json"}[try.method == "PATCH"])
				a.refused(t, 403, "beyond_authority")
			}
			for _, try := range []struct{ method, path, body string }{
				{"PUT", "/admin/groups/idp-admins/members/" + w.employee.Sub, ""},
				{"DELETE", "/admin/groups/idp-admins/members/" + w.officer.Sub, ""},
				{"DELETE", "/admin/groups/idp-admins", ""},
			} {
				w.call(t, sets, try.method, try.path, try.body).refused(t, 403, "beyond_authority")
			}
			w.call(t, people, "PATCH", employee, `{"groups":["idp-admins"],"roles":["clerk"]}`, "Content-Type", merge).wantStatus(t, 200)
			if got := w.call(t, w.root, "GET", employee, "").JSON(t); got["groups"] != nil || got["roles"] != nil {
				t.Errorf("%v", got)
			}
			// The last administrator stays, whoever asks.
			w.call(t, w.root, "DELETE", "/admin/groups/idp-admins/members/"+w.officer.Sub, "").refused(t, 409, "conflict")
			w.call(t, w.root, "PATCH", officer, `{"state":"disabled"}`, "Content-Type", merge).refused(t, 409, "conflict")
			w.call(t, w.root, "DELETE", officer, "").refused(t, 409, "conflict")
			w.call(t, w.root, "DELETE", "/admin/groups/idp-admins", "").refused(t, 403, "beyond_authority")
			if after := w.call(t, w.root, "GET", officer, "").Body; after != before {
				t.Errorf("changed all the same:\n%s\n%s", before, after)
			}
			w.call(t, w.root, "PUT", "/admin/groups/idp-admins/members/"+w.employee.Sub, "").wantStatus(t, 204)
			w.call(t, w.root, "DELETE", "/admin/groups/idp-admins/members/"+w.employee.Sub, "").wantStatus(t, 204)
		})

		t.Run("P05_NobodyHandsOutMore", func(t *testing.T) {
			limited := w.token(t, w.clients)
			admin := w.Issuer + "/admin"
			service := func(scope string) string {
				return `{"grant_types":["client_credentials"],"audience":["` + admin + `"],"scope":"` + scope + `"}`
			}
			for _, scope := range []string{"idp.admin", "idp.admin.read", "idp.clients idp.admin"} {
				w.call(t, limited, "POST", "/admin/clients", service(scope)).refused(t, 403, "beyond_authority")
			}
			mine := w.call(t, limited, "POST", "/admin/clients", service("idp.clients.read")).wantStatus(t, 201)["client_id"].(string)
			w.call(t, limited, "PUT", "/admin/clients/"+mine, service("idp.clients")).wantStatus(t, 200)
			w.call(t, limited, "PUT", "/admin/clients/"+mine, service("idp.admin")).refused(t, 403, "beyond_authority")
			const merge = "application/merge-patch+json"
			for _, above := range []Client{w.all, w.reader, w.app} {
				at := "/admin/clients/" + above.ID
				before := w.call(t, w.root, "GET", at, "").Body
				w.call(t, limited, "PATCH", at, `{"contacts":["me@example.com"]}`, "Content-Type", merge).refused(t, 403, "beyond_authority")
				w.call(t, limited, "PATCH", at, `{"disabled":true}`, "Content-Type", merge).refused(t, 403, "beyond_authority")
				w.call(t, limited, "PUT", at, newClient).refused(t, 403, "beyond_authority")
				w.call(t, limited, "DELETE", at, "").refused(t, 403, "beyond_authority")
				w.call(t, limited, "POST", at+"/secrets/rotate", "").refused(t, 403, "beyond_authority")
				if after := w.call(t, w.root, "GET", at, "").Body; after != before {
					t.Errorf("changed all the same:\n%s\n%s", before, after)
				}
			}
			// A person with the scope is no more than their token.
			w.call(t, w.root, "PATCH", "/admin/clients/"+victim, `{"contacts":["me@example.com"]}`, "Content-Type", merge).wantStatus(t, 200)
			w.call(t, limited, "DELETE", "/admin/clients/"+mine, "").wantStatus(t, 204)
		})

		t.Run("P05_TheAPIIsNobodysToRegister", func(t *testing.T) {
			admin := w.Issuer + "/admin"
			for _, args := range [][]string{
				{"resource", "create", admin, "--scope", "x"},
				{"resource", "create", admin + "/", "--scope", "x"},
				{"resource", "create", "https://api.example", "--scope", "idp.admin"},
				{"resource", "create", "https://api.example", "--scope", "idp.later"},
				{"resource", "update", admin, "--name", "x"},
				{"resource", "delete", admin},
				{"role", "create", "boss", "--scope", "idp.admin"},
			} {
				if out, _, code := w.Try(t, "", args...); code == 0 {
					t.Errorf("%v: %s", args, out)
				}
			}
			for _, scope := range []string{"idp.admin", "openid idp.clients.read"} {
				w.JSONRequest(t, http.MethodPost, "/oauth2/register", "", registration(fields{"scope": scope, "audience": []string{admin}})).WantError(t, 400, "invalid_client_metadata")
			}
			self := w.Register(t, "", fields{"audience": []string{admin}})
			if self.Fields["audience"] != nil {
				t.Errorf("%v", self.Fields)
			}
			a := w.call(t, w.root, "PATCH", "/admin/clients/"+self.ID, `{"verified":true,"audience":["`+admin+`"],"scope":"openid idp.admin"}`, "Content-Type", "application/merge-patch+json")
			a.refused(t, 400, "invalid_input")
			for _, settings := range []map[string]string{{"IDP_REGISTRATION_SCOPE": "openid idp.admin"}} {
				if code := w.Launch(t, settings).Exit(t); code != 78 && engine == "postgres" {
					t.Errorf("the server started with registration.scope of the admin API: %d", code)
				}
			}
		})

		t.Run("P06_OneAddressOnly", func(t *testing.T) {
			for _, path := range []string{
				"//admin/clients", "/%61dmin/clients", "/admin/clients/", "/Admin/clients", "/admin//clients", "/admin/./clients", "/x/../admin/clients",
				"/admin/clients/" + percent(victim), "/admin/clients/" + victim + "%2Fsecrets/rotate", "/admin/clients/" + victim + "/", "/admin/clients/%2e%2e", "/admin/clients/a%00b",
				"/admin/clients;x=1", "/admin", "/admin/", "/admin/clients.json", "/admin/metrics", "/admin/users/x/y",
			} {
				r, err := http.NewRequest(http.MethodGet, w.Issuer, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.URL.Opaque = "//" + r.URL.Host + path // as it is
				r.Header.Set("Authorization", "Bearer "+w.root)
				if a := Do(t, w.HTTP, r); a.Status != 404 {
					t.Errorf("%s: %d %s", path, a.Status, a.Body)
				}
			}
			for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
				w.call(t, w.root, "GET", "/admin/clients/"+victim, "", header, "DELETE").wantStatus(t, 200)
				w.call(t, w.root, "POST", "/admin/clients/"+victim+"?_method=DELETE", "").refused(t, 405, "method_not_allowed")
			}
			w.call(t, w.root, "GET", "/admin/clients/"+victim, "").wantStatus(t, 200)
			r, _ := http.NewRequest(http.MethodGet, w.Issuer+"/admin/clients", nil)
			r.Header.Set("Authorization", "Bearer "+w.root)
			r.Host = "admin.example"
			if a := Do(t, w.HTTP, r); a.Status != http.StatusMisdirectedRequest {
				t.Errorf("another host: %d", a.Status)
			}
			res, err := http.Get(w.Management + "/admin/clients")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 404 {
				t.Errorf("the management listener: %d", res.StatusCode)
			}
		})

		t.Run("audit", func(t *testing.T) {
			if !slices.ContainsFunc(w.Records(t), func(r map[string]any) bool {
				return r["event"] == "client.created" && strings.Contains(mustJSON(t, r), w.all.ID) && strings.Contains(mustJSON(t, r), victim)
			}) {
				t.Error("no event says who made the client")
			}
		})
	})
}

// percent writes a text with its first letter percent-encoded.
func percent(text string) string { return "%" + strings.ToUpper(hexOf(text[0])) + text[1:] }

func hexOf(b byte) string { return string("0123456789abcdef"[b>>4]) + string("0123456789abcdef"[b&15]) }
