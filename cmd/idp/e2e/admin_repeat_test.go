package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// One request, sent again and again under one Idempotency-Key, is done once.
func TestAdminAPI_RepeatedRequests(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, nil)
		const service = `{"client_name":"Once","grant_types":["client_credentials"]}`
		post := func(token, key, path, body string) *Answer {
			return w.call(t, token, "POST", path, body, "Idempotency-Key", key)
		}
		count := func(name string) int {
			t.Helper()
			return strings.Count(w.call(t, w.root, "GET", "/admin/clients?client_name="+name, "").Body, `"client_id"`)
		}

		t.Run("answer", func(t *testing.T) {
			first := post(w.root, "a", "/admin/clients", service)
			made := first.wantStatus(t, 201)
			again := post(w.root, "a", "/admin/clients", service)
			if again.Status != 201 || again.Body != first.Body || again.Header.Get("Location") != first.Header.Get("Location") || again.Header.Get("ETag") != first.Header.Get("ETag") {
				t.Errorf("%v %s\n%v %s", first.Header, first.Body, again.Header, again.Body)
			}
			w.token(t, Client{ID: made["client_id"].(string), Secret: made["client_secret"].(string)})

			rotate := "/admin/clients/" + made["client_id"].(string) + "/secrets/rotate"
			secret := post(w.root, "b", rotate, "").wantStatus(t, 200)["client_secret"]
			if got := post(w.root, "b", rotate, "").wantStatus(t, 200); got["client_secret"] != secret || len(got["secrets"].([]any)) != 2 {
				t.Errorf("%v", got)
			}
			if got := post(w.root, "c", rotate, "").wantStatus(t, 200); got["client_secret"] == secret {
				t.Error("another key is another request")
			}
		})

		t.Run("another request", func(t *testing.T) {
			post(w.root, "d", "/admin/groups", `{"name":"d"}`).wantStatus(t, 201)
			post(w.root, "d", "/admin/groups", `{"name":"e"}`).refused(t, 422, "idempotency_key_reused")
			post(w.root, "d", "/admin/roles", `{"name":"d"}`).refused(t, 422, "idempotency_key_reused")
			w.call(t, w.root, "GET", "/admin/groups/e", "").refused(t, 404, "not_found")
		})

		t.Run("another caller", func(t *testing.T) {
			mine := post(w.root, "f", "/admin/clients", service).wantStatus(t, 201)
			theirs := post(w.token(t, w.clients), "f", "/admin/clients", service).wantStatus(t, 201)
			if mine["client_id"] == theirs["client_id"] {
				t.Error("a key is good for another caller")
			}
			// Less than it took then is not enough now, and the same caller with
			// other scopes asks for something else.
			post(w.token(t, w.reader), "f", "/admin/clients", service).refused(t, 403, "insufficient_scope")
			both := w.NewClient(t, "--grant-type", "client_credentials", "--audience", w.Issuer+"/admin", "--scope", "idp.admin idp.clients")
			Settle()
			all := w.token(t, both)
			less := w.Post(t, "/oauth2/token", both, url.Values{"grant_type": {"client_credentials"}, "scope": {"idp.clients"}}).Tokens(t).Access
			post(all, "g", "/admin/clients", `{"grant_types":["client_credentials"],"audience":["`+w.Issuer+`/admin"],"scope":"idp.admin"}`).wantStatus(t, 201)
			post(less, "g", "/admin/clients", `{"grant_types":["client_credentials"],"audience":["`+w.Issuer+`/admin"],"scope":"idp.admin"}`).refused(t, 422, "idempotency_key_reused")
		})

		t.Run("refused", func(t *testing.T) {
			post(w.root, "h", "/admin/clients", `{"client_id":"h","audience":["https://h.example"],"grant_types":["client_credentials"]}`).refused(t, 400, "invalid_input")
			w.call(t, w.root, "POST", "/admin/resources", `{"audience":"https://h.example","scopes":[{"name":"h"}]}`).wantStatus(t, 201)
			post(w.root, "h", "/admin/clients", `{"client_id":"h","audience":["https://h.example"],"grant_types":["client_credentials"]}`).wantStatus(t, 201)
			for _, key := range []string{"", strings.Repeat("x", 256), "a b", "\u00e4"} {
				post(w.root, key, "/admin/groups", `{"name":"never"}`).refused(t, 400, "invalid_request")
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE"} {
				w.call(t, w.root, method, "/admin/clients/h", `{}`, "Idempotency-Key", "i").refused(t, 400, "invalid_request")
			}
		})

		t.Run("many at once", func(t *testing.T) {
			var mu sync.Mutex
			statuses, secrets := map[int]int{}, map[any]bool{}
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					r, _ := http.NewRequest("POST", w.Issuer+"/admin/clients", strings.NewReader(`{"client_name":"Race","grant_types":["client_credentials"]}`))
					r.Header.Set("Authorization", "Bearer "+w.root)
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Idempotency-Key", `"race"`)
					answer, err := Send(w.HTTP, r)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
						return
					}
					statuses[answer.Status]++
					if answer.Status == 201 {
						secrets[answer.JSON(t)["client_secret"]] = true
					} else if answer.Status != 409 || answer.JSON(t)["code"] != "request_in_flight" || answer.Header.Get("Retry-After") == "" {
						t.Errorf("%d %s", answer.Status, answer.Body)
					}
				})
			}
			all.Wait()
			if made := count("Race"); made != 1 || len(secrets) != 1 || statuses[201] == 0 {
				t.Errorf("%d clients, %d secrets, %v", made, len(secrets), statuses)
			}
		})
	})
}
