package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of many who read the same thing and change it as it was read, one does.
func TestAdminAPI_OneOfManyChanges(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, nil)
		w.call(t, w.root, "POST", "/admin/resources", `{"audience":"https://race.example"}`).wantStatus(t, 201)
		w.call(t, w.root, "POST", "/admin/roles", `{"name":"race"}`).wantStatus(t, 201)
		w.call(t, w.root, "POST", "/admin/sign-in-rules", `{"name":"race","acr":"2","groups":["idp-admins"]}`).wantStatus(t, 201)
		for path, change := range map[string]string{
			"/admin/users/" + w.employee.Sub:                             `{"nickname":"%d"}`,
			"/admin/resources/" + url.PathEscape("https://race.example"): `{"name":"%d"}`,
			"/admin/roles/race":                                          `{"description":"%d"}`,
			"/admin/sign-in-rules/race":                                  `{"max_age":36%d0}`,
			"/admin/clients/" + w.scopeless.ID:                           `{"client_name":"%d"}`,
		} {
			tag := w.call(t, w.root, "GET", path, "").Header.Get("ETag")
			var mu sync.Mutex
			statuses := map[int]int{}
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					r, _ := http.NewRequest("PATCH", w.Issuer+path, strings.NewReader(fmt.Sprintf(change, i)))
					r.Header.Set("Authorization", "Bearer "+w.root)
					r.Header.Set("Content-Type", "application/merge-patch+json")
					r.Header.Set("If-Match", tag)
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
				t.Errorf("%s: %s", path, diff)
			}
		}
	})
}
