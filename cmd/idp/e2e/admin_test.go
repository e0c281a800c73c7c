package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// adminWorld is a node with clients and people of every kind of right.
type adminWorld struct {
	*Node
	spec *adminSpec
	root string // a token of everything

	all, reader, clients, clientsReader, scopeless Client // by what they may do
	app                                            Client // acts for people
	officer, employee                              User   // only one is in the group
}

func newAdminWorld(t *testing.T, engine string, settings map[string]string) *adminWorld {
	t.Helper()
	inst := Install(t, engine, settings)
	service := func(scope string) Client {
		args := []string{"--grant-type", "client_credentials", "--audience", inst.Issuer + "/admin"}
		if scope != "" {
			args = append(args, "--scope", scope)
		}
		return inst.NewClient(t, args...)
	}
	w := &adminWorld{
		all: service("idp.admin"), reader: service("idp.admin.read"),
		clients: service("idp.clients"), clientsReader: service("idp.clients.read"), scopeless: service(""),
	}
	w.app = inst.WebClient(t, "--audience", inst.Issuer+"/admin", "--scope", "openid offline_access idp.admin")
	w.officer, w.employee = inst.NewUser(t), inst.NewUser(t)
	inst.CLI(t, "", "group", "create", "idp-admins")
	inst.CLI(t, "", "group", "add-member", "idp-admins", w.officer.Username)
	w.Node = inst.Start(t)
	w.spec = w.Watch(t)
	w.root = w.token(t, w.all)
	return w
}

// token returns an access token of the client's own, for all that it may do.
func (w *adminWorld) token(t testing.TB, c Client) string {
	t.Helper()
	return w.Post(t, "/oauth2/token", c, url.Values{"grant_type": {"client_credentials"}}).Tokens(t).Access
}

// act signs a person in to the application that manages things for them.
func (w *adminWorld) act(t testing.TB, u User) Tokens {
	t.Helper()
	return w.SignIn(t, w.app, u, "scope", "openid offline_access idp.admin", "resource", w.Issuer+"/admin")
}

// call sends a request with a token; headers come in pairs.
func (w *adminWorld) call(t testing.TB, token, method, path, body string, headers ...string) *Answer {
	t.Helper()
	r, err := http.NewRequest(method, w.Issuer+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k := 0; k+1 < len(headers); k += 2 {
		r.Header.Set(headers[k], headers[k+1])
	}
	return Do(t, w.HTTP, r)
}

// refused checks status and code of problem details.
func (a *Answer) refused(t testing.TB, status int, code string) {
	t.Helper()
	if a.Status != status || a.JSON(t)["code"] != code {
		t.Errorf("%s: %d %s, want %d %s", a.URL.Path, a.Status, a.Body, status, code)
	}
}

// wantStatus checks the status and returns the body as an object.
func (a *Answer) wantStatus(t testing.TB, status int) fields {
	t.Helper()
	if a.Status != status {
		t.Fatalf("%s: %d %s, want %d", a.URL.Path, a.Status, a.Body, status)
	}
	if a.Body == "" || a.Body[0] != '{' {
		return nil
	}
	return a.JSON(t)
}

// What the table of routes answers below /admin is what the specification
// describes, both ways.
func TestAdminAPI_RoutesAreTheSpecification(t *testing.T) {
	t.Parallel()
	node := Install(t, "sqlite", nil).Start(t)
	spec := node.Watch(t)
	var routes []string
	for _, r := range adminRoutes() {
		for _, method := range r.Methods {
			if method != http.MethodHead {
				routes = append(routes, method+" "+named(r))
			}
		}
	}
	slices.Sort(routes)
	if diff := cmp.Diff(spec.operations(), routes); diff != "" {
		t.Error(diff)
	}
	metadata := node.JSONRequest(t, http.MethodGet, "/.well-known/openid-configuration", "", nil)
	if strings.Contains(metadata.Body, "idp.admin") {
		t.Error("the metadata offers scopes of the admin API to everybody")
	}
}

const newClient = `{"client_name":"Notes","redirect_uris":["https://notes.example/cb"],"scope":"openid profile"}`

func TestAdminAPI_Clients(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, nil)
		create := func(t testing.TB, body string) (id string, a *Answer) {
			t.Helper()
			a = w.call(t, w.root, "POST", "/admin/clients", body)
			id, _ = a.wantStatus(t, http.StatusCreated)["client_id"].(string)
			return id, a
		}

		t.Run("life", func(t *testing.T) {
			id, a := create(t, newClient)
			made := a.JSON(t)
			if a.Header.Get("Location") != w.Issuer+"/admin/clients/"+id || made["client_secret_expires_at"] != 0.0 || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v %s", a.Header, a.Body)
			}
			secret, _ := made["client_secret"].(string)
			// It works as it was registered, and was registered as a command would.
			got := w.Post(t, "/oauth2/token", Client{ID: id, Secret: secret}, url.Values{"grant_type": {"authorization_code"}, "code": {"x"}})
			got.WantError(t, 400, "invalid_grant")
			read := w.call(t, w.root, "GET", "/admin/clients/"+id, "")
			var command fields
			w.JSON(t, &command, "", "client", "get", id)
			shown := read.wantStatus(t, 200)
			delete(shown, "jwks")
			delete(shown, "disabled")
			if diff := cmp.Diff(command, shown); diff != "" {
				t.Error(diff)
			}
			if read.Header.Get("ETag") != a.Header.Get("ETag") {
				t.Error("the entity tag of the answer to POST is not that of the client")
			}
			if head := w.call(t, w.root, "HEAD", "/admin/clients/"+id, ""); head.Status != 200 || head.Body != "" || head.Header.Get("ETag") == "" {
				t.Errorf("HEAD: %d %q", head.Status, head.Body)
			}
			// What was read can be sent back, and changes nothing.
			same := w.call(t, w.root, "PUT", "/admin/clients/"+id, read.Body)
			if same.wantStatus(t, 200); same.Header.Get("ETag") != read.Header.Get("ETag") {
				t.Errorf("%s\n%s", read.Body, same.Body)
			}
			// A replacement leaves nothing of what it does not say, but for the state.
			w.call(t, w.root, "PATCH", "/admin/clients/"+id, `{"disabled":true,"contacts":["a@example.com"]}`, "Content-Type", "application/merge-patch+json").wantStatus(t, 200)
			replaced := w.call(t, w.root, "PUT", "/admin/clients/"+id, newClient).wantStatus(t, 200)
			if replaced["contacts"] != nil || replaced["disabled"] != true || replaced["secrets"] == nil {
				t.Errorf("%v", replaced)
			}
			w.Post(t, "/oauth2/token", Client{ID: id, Secret: secret}, url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}).WantError(t, 401, "invalid_client")
			w.call(t, w.root, "DELETE", "/admin/clients/"+id, "").wantStatus(t, 204)
			w.call(t, w.root, "GET", "/admin/clients/"+id, "").refused(t, 404, "not_found")
			w.call(t, w.root, "DELETE", "/admin/clients/"+id, "").refused(t, 404, "not_found")
			w.call(t, w.root, "PUT", "/admin/clients/"+id, newClient).refused(t, 404, "not_found")
		})

		t.Run("patches", func(t *testing.T) {
			id, _ := create(t, newClient)
			patch := func(mediaType, body string) *Answer {
				return w.call(t, w.root, "PATCH", "/admin/clients/"+id, body, "Content-Type", mediaType)
			}
			const merge, ops = "application/merge-patch+json", "application/json-patch+json"
			if got := patch(merge, `{"client_name":null,"client_uri":"https://notes.example/","default_max_age":60}`).wantStatus(t, 200); got["client_name"] != nil || got["default_max_age"] != 60.0 {
				t.Errorf("%v", got)
			}
			got := patch(ops, `[{"op":"test","path":"/default_max_age","value":60},{"op":"add","path":"/redirect_uris/-","value":"https://notes.example/2"},{"op":"add","path":"/redirect_uris/0","value":"https://notes.example/0"},{"op":"remove","path":"/client_uri"}]`).wantStatus(t, 200)
			if diff := cmp.Diff([]any{"https://notes.example/0", "https://notes.example/cb", "https://notes.example/2"}, got["redirect_uris"]); diff != "" || got["client_uri"] != nil {
				t.Errorf("%s %v", diff, got)
			}
			if got := patch("application/json", `[{"op":"replace","path":"/disabled","value":true}]`).wantStatus(t, 200); got["disabled"] != true {
				t.Errorf("%v", got)
			}
			before := w.call(t, w.root, "GET", "/admin/clients/"+id, "").Body
			patch(ops, `[{"op":"remove","path":"/contacts"}]`).refused(t, 400, "invalid_request")
			patch(ops, `[{"op":"add","path":"/client_name","value":"x"},{"op":"test","path":"/disabled","value":false}]`).refused(t, 409, "conflict")
			patch(ops, `[{"op":"grow","path":"/scope"}]`).refused(t, 400, "invalid_request")
			patch(ops, `{"op":"remove"}`).refused(t, 400, "invalid_request")
			patch(ops, `[{"op":"replace","path":"","value":7}]`).refused(t, 400, "invalid_request")
			patch(ops, "["+strings.Repeat(`{"op":"copy","from":"","path":"/x"},`, 30)+`{"op":"remove","path":"/x"}]`).refused(t, 400, "invalid_request")
			patch(merge, `[]`).refused(t, 400, "invalid_request")
			patch(merge, `{"redirect_uris":"https://notes.example/"}`).refused(t, 400, "invalid_input")
			patch(merge, `{"redirect_uris":["http://evil.example/"]}`).refused(t, 400, "invalid_input")
			patch(merge, `{"client_id":"other"}`).refused(t, 400, "invalid_input")
			patch(merge, `{"client_secret":"`+strings.Repeat("x", 40)+`"}`).refused(t, 400, "invalid_input")
			patch("text/plain", `{}`).refused(t, 415, "unsupported_media_type")
			if after := w.call(t, w.root, "GET", "/admin/clients/"+id, "").Body; after != before {
				t.Errorf("a patch that was refused changed something:\n%s\n%s", before, after)
			}
		})

		t.Run("conditions", func(t *testing.T) {
			id, a := create(t, newClient)
			at := "/admin/clients/" + id
			w.call(t, w.root, "GET", at, "", "If-None-Match", a.Header.Get("ETag")).wantStatus(t, 304)
			w.call(t, w.root, "PUT", at, newClient, "If-Match", `"another"`).refused(t, 412, "precondition_failed")
			w.call(t, w.root, "DELETE", at, "", "If-Match", "W/"+a.Header.Get("ETag")).refused(t, 412, "precondition_failed")
			// Many who read the same: one of them changes it.
			var mu sync.Mutex
			statuses := map[int]int{}
			var all sync.WaitGroup
			for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
				all.Go(func() {
					r, _ := http.NewRequest("PATCH", w.Issuer+at, strings.NewReader(`{"client_name":"`+name+`"}`))
					r.Header.Set("Authorization", "Bearer "+w.root)
					r.Header.Set("Content-Type", "application/merge-patch+json")
					r.Header.Set("If-Match", a.Header.Get("ETag"))
					answer, err := Send(w.HTTP, r)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
						return
					}
					statuses[answer.Status]++
				})
			}
			all.Wait()
			if diff := cmp.Diff(map[int]int{200: 1, 412: 7}, statuses); diff != "" {
				t.Error(diff)
			}
			now := w.call(t, w.root, "GET", at, "").Header.Get("ETag")
			w.call(t, w.root, "DELETE", at, "", "If-Match", `"another", `+now).wantStatus(t, 204)
		})

		t.Run("score", func(t *testing.T) {
			id, _ := create(t, `{"redirect_uris":["https://notes.example/cb"],"scope":"openid","pkce_optional":true,"access_token_lifetime":7200}`)
			at := "/admin/clients/" + id
			judge := func() (score float64, fixes map[string]any) {
				a := w.call(t, w.root, "GET", at+"/score", "").wantStatus(t, 200)
				fixes = map[string]any{}
				for _, f := range a["findings"].([]any) {
					if f := f.(map[string]any); f["fix"] != nil {
						fixes[f["id"].(string)] = f["fix"]
					}
				}
				return a["score"].(float64), fixes
			}
			before, fixes := judge()
			for _, finding := range []string{"pkce_optional", "long_access_tokens"} {
				w.call(t, w.root, "PATCH", at, string(mustJSON(t, fixes[finding])), "Content-Type", "application/merge-patch+json").wantStatus(t, 200)
			}
			after, fixes := judge()
			if after != before+30 || fixes["pkce_optional"] != nil || fixes["long_access_tokens"] != nil {
				t.Errorf("%v to %v: %v", before, after, fixes)
			}
			var command fields
			w.JSON(t, &command, "", "client", "score", id)
			if diff := cmp.Diff(command, fields(w.call(t, w.root, "GET", at+"/score", "").wantStatus(t, 200))); diff != "" {
				t.Error(diff)
			}
			w.call(t, w.root, "GET", "/admin/clients/nobody/score", "").refused(t, 404, "not_found")
		})

		t.Run("secrets", func(t *testing.T) {
			id, a := create(t, `{"grant_types":["client_credentials"]}`)
			first := Client{ID: id, Secret: a.JSON(t)["client_secret"].(string)}
			grace := w.call(t, w.root, "POST", "/admin/clients/"+id+"/secrets/rotate", "").wantStatus(t, 200)
			second := Client{ID: id, Secret: grace["client_secret"].(string)}
			w.token(t, first)
			w.token(t, second)
			if secrets, _ := grace["secrets"].([]any); len(secrets) != 2 {
				t.Errorf("%v", grace)
			}
			w.call(t, w.root, "PUT", "/admin/clients/"+id, `{"grant_types":["client_credentials"],"client_secret":"`+second.Secret+`"}`).wantStatus(t, 200)
			third := w.call(t, w.root, "POST", "/admin/clients/"+id+"/secrets/rotate", `{"grace":0}`).wantStatus(t, 200)
			w.token(t, Client{ID: id, Secret: third["client_secret"].(string)})
			for _, c := range []Client{first, second} {
				w.Post(t, "/oauth2/token", c, url.Values{"grant_type": {"client_credentials"}}).WantError(t, 401, "invalid_client")
			}
			for _, body := range []string{`{"grace":-1}`, `{"grace":7776001}`, `{"grace":"1d"}`, `{"grace":9223372036854775807}`, `{"other":1}`} {
				w.call(t, w.root, "POST", "/admin/clients/"+id+"/secrets/rotate", body).refused(t, 400, "invalid_input")
			}
			public, _ := create(t, `{"token_endpoint_auth_method":"none","redirect_uris":["https://notes.example/cb"]}`)
			w.call(t, w.root, "POST", "/admin/clients/"+public+"/secrets/rotate", "").refused(t, 400, "invalid_input")
		})

		t.Run("input", func(t *testing.T) {
			post := func(body string, headers ...string) *Answer {
				return w.call(t, w.root, "POST", "/admin/clients", body, headers...)
			}
			for body, member := range map[string]string{
				`{"redirect_uris":["http://evil.example/"]}`:                                   "redirect_uris",
				`{"redirect_uri":"https://a.example/"}`:                                        "redirect_uri",
				`{"Client_Name":"x"}`:                                                          "Client_Name",
				`{"client_name":7,"redirect_uris":["https://a.example/"]}`:                     "client_name",
				`{"client_name":"a","client_name":"b"}`:                                        "client_name",
				`{"client_id":"..","redirect_uris":["https://a.example/"]}`:                    "client_id",
				`{"owner":"me","redirect_uris":["https://a.example/"]}`:                        "owner",
				`{"metadata":{"a":1},"redirect_uris":["https://a.example/"]}`:                  "metadata",
				`{"disabled":true,"redirect_uris":["https://a.example/"]}`:                     "disabled",
				`{"client_secret":"short","redirect_uris":["https://a.example/"]}`:             "client_secret",
				`{"audience":["https://nobody.example"],"grant_types":["client_credentials"]}`: "audience",
			} {
				a := post(body)
				a.refused(t, 400, "invalid_input")
				if errors, _ := a.JSON(t)["errors"].([]any); len(errors) == 0 || errors[0].(map[string]any)["member"] != member {
					t.Errorf("%s: %s", body, a.Body)
				}
			}
			for _, body := range []string{"", "null", "[]", "7", "{", newClient + newClient, "{\"client_name\":\"\xff\"}"} {
				post(body, "Content-Type", "application/json").refused(t, 400, "invalid_request")
			}
			post(newClient, "Content-Type", "application/x-www-form-urlencoded").refused(t, 415, "unsupported_media_type")
			post(`{"client_name":"`+strings.Repeat("x", 70<<10)+`"}`).refused(t, 413, "request_entity_too_large")
			post(newClient, "Accept", "text/html").refused(t, 406, "not_acceptable")
			post(newClient, "Accept", "text/html, application/*;q=0.5").wantStatus(t, 201)
			named := post(`{"client_id":"named","metadata":{},"owner":"","jwks":{},"client_name":null,"redirect_uris":["https://a.example/"]}`).wantStatus(t, 201)
			if _, ok := named["client_name"]; ok || named["client_id"] != "named" {
				t.Errorf("%v", named)
			}
			post(`{"client_id":"named","redirect_uris":["https://a.example/"]}`).refused(t, 409, "conflict")
			own := post(`{"client_secret":"`+strings.Repeat("s3cret-", 8)+`","grant_types":["client_credentials"]}`).wantStatus(t, 201)
			if own["client_secret"] != nil {
				t.Error("a secret that the caller chose is told again")
			}
			w.token(t, Client{ID: own["client_id"].(string), Secret: strings.Repeat("s3cret-", 8)})
			a := w.call(t, w.root, "OPTIONS", "/admin/clients", "", "Origin", "https://app.example", "Access-Control-Request-Method", "GET")
			a.refused(t, 405, "method_not_allowed")
			if a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("%v", a.Header)
			}
		})

		t.Run("P04_WhatIsTheServersToSay", func(t *testing.T) {
			made := w.call(t, w.root, "POST", "/admin/clients", `{"self_registered":true,"metadata_document":true,"software_statement":"x","created_at":"2001-01-01T00:00:00Z",
				"updated_at":"2001-01-01T00:00:00Z","logo":"x","tokens_valid_after":"2001-01-01T00:00:00Z","secrets":[],"redirect_uris":["https://a.example/"]}`).wantStatus(t, 201)
			for _, name := range []string{"self_registered", "metadata_document", "software_statement", "logo", "tokens_valid_after"} {
				if made[name] != nil {
					t.Errorf("%s: %v", name, made[name])
				}
			}
			if created, _ := made["created_at"].(string); strings.HasPrefix(created, "2001") || made["secrets"] == nil {
				t.Errorf("%v", made)
			}
		})

		t.Run("P08_Pages", func(t *testing.T) {
			for range 3 {
				create(t, `{"client_name":"Paged","grant_types":["client_credentials"]}`)
			}
			list := func(token, query string) (ids []string, next string, a *Answer) {
				a = w.call(t, token, "GET", "/admin/clients"+query, "")
				var page []struct {
					ID string `json:"client_id"`
				}
				if a.wantStatus(t, 200); json.Unmarshal([]byte(a.Body), &page) != nil {
					t.Fatal(a.Body)
				}
				for _, c := range page {
					ids = append(ids, c.ID)
				}
				if link := a.Header.Get("Link"); link != "" {
					address, rel, _ := strings.Cut(link, "; ")
					target, err := url.Parse(strings.Trim(address, "<>"))
					if err != nil || rel != `rel="next"` || !strings.HasPrefix(address, "<"+w.Issuer+"/admin/clients?") {
						t.Fatalf("Link: %s", link)
					}
					next = "?" + target.RawQuery
				}
				return ids, next, a
			}
			whole, next, _ := list(w.root, "")
			if next != "" || !slices.IsSorted(whole) || len(whole) < 9 {
				t.Errorf("%q %v", next, whole)
			}
			var paged []string
			for query := "?page_size=2"; query != ""; {
				var part []string
				part, query, _ = list(w.root, query)
				if len(part) > 2 {
					t.Errorf("a page of %d", len(part))
				}
				paged = append(paged, part...)
			}
			if diff := cmp.Diff(whole, paged); diff != "" {
				t.Error(diff)
			}
			named, next, _ := list(w.root, "?client_name=Paged&page_size=2")
			if rest, end, _ := list(w.root, next); len(named) != 2 || len(rest) != 1 || end != "" {
				t.Errorf("%v %v %q", named, rest, end)
			}
			if none, _, a := list(w.root, "?client_name=Nobody"); len(none) != 0 || a.Body != "[]" {
				t.Error(a.Body)
			}

			query, _ := url.ParseQuery(strings.TrimPrefix(next, "?"))
			token := query.Get("page_token")
			middle := len(token) / 2
			changed := token[:middle] + map[bool]string{true: "B", false: "A"}[token[middle] == 'A'] + token[middle+1:]
			for _, bad := range []string{
				"page_size=0", "page_size=-1", "page_size=1000000000", "page_size=251", "page_size=", "page_size=9999999999999999999999", "page_size=2&page_size=3", "page_size=1e2",
				"page_token=", "page_token=1", "page_token=" + changed, "page_token=" + token, "client_name=Other&page_token=" + token,
				"client_name=Paged&page_token=" + token[:len(token)-2], "client_name=Paged&page_token=" + strings.Repeat("A", 3000), "client_name=Paged&page_token=" + w.root,
				"sort=client_id%3Bdrop", "order_by=1", "offset=1", "owner=x", "client_name=a&client_name=b", "page_size=%zz", "access_token=" + w.root,
			} {
				a := w.call(t, w.root, "GET", "/admin/clients?"+bad, "")
				if a.Status != 400 {
					t.Errorf("%s: %d %s", bad, a.Status, a.Body)
				}
			}
			w.call(t, w.token(t, w.reader), "GET", "/admin/clients"+next, "").refused(t, 400, "invalid_input") // another caller's
		})

		t.Run("P09_SecretsAreToldOnce", func(t *testing.T) {
			id, a := create(t, newClient)
			secrets := []string{a.JSON(t)["client_secret"].(string)}
			rotated := w.call(t, w.root, "POST", "/admin/clients/"+id+"/secrets/rotate", "").wantStatus(t, 200)
			secrets = append(secrets, rotated["client_secret"].(string), w.root)
			shown := w.call(t, w.root, "GET", "/admin/clients", "").Body + w.call(t, w.root, "GET", "/admin/clients/"+id, "").Body +
				w.call(t, w.root, "PATCH", "/admin/clients/"+id, `{"client_name":"x"}`, "Content-Type", "application/merge-patch+json").Body +
				w.call(t, w.root, "PUT", "/admin/clients/"+id, `{"client_secret":"`+secrets[1]+`","redirect_uris":["https://a.example/"]}`).Body +
				w.call(t, w.root, "POST", "/admin/clients", `{"client_id":"`+id+`","client_secret":"`+secrets[1]+`","redirect_uris":["https://a.example/"]}`).Body +
				w.Logs()
			for k, secret := range secrets {
				if strings.Contains(shown, secret) {
					t.Errorf("secret %d is told again", k)
				}
			}
			if strings.Contains(shown, "hmac-sha256:") {
				t.Error("the hash of a secret is told")
			}
		})
	})
}
