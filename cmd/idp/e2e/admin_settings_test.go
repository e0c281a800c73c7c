package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is configured can be read and not changed; since when tokens are good can
// be moved on.
func TestAdminAPI_Settings(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, nil)
		const at, merge = "/admin/settings", "application/merge-patch+json"
		patch := func(body string, headers ...string) *Answer {
			return w.call(t, w.root, "PATCH", at, body, append([]string{"Content-Type", merge}, headers...)...)
		}
		since := func(at time.Time) string { return `{"tokens_valid_after":"` + at.Format(time.RFC3339Nano) + `"}` }

		w.call(t, w.token(t, w.clients), "GET", at, "").refused(t, 403, "insufficient_scope")
		w.call(t, w.token(t, w.reader), "PATCH", at, `{}`, "Content-Type", merge).refused(t, 403, "insufficient_scope")
		read := w.call(t, w.token(t, w.reader), "GET", at, "")
		configuration := read.wantStatus(t, 200)["configuration"].(map[string]any)
		var printed map[string]any
		if err := json.Unmarshal([]byte(w.CLI(t, "", "config", "print", "-o", "json")), &printed); err != nil {
			t.Fatal(err)
		}
		if configuration["issuer"] != w.Issuer || cmp.Diff(slices.Sorted(maps.Keys(printed)), slices.Sorted(maps.Keys(configuration))) != "" {
			t.Errorf("%v, printed is %v", configuration, printed)
		}
		if key := w.env["IDP_MASTER_KEY"]; key == "" || strings.Contains(read.Body, key) {
			t.Error("the configuration holds the master key")
		}

		for _, body := range []string{`{"configuration":{"issuer":"https://evil.example"}}`, `{"configuration":null}`} {
			if a := patch(body); a.Status != 400 || !strings.Contains(a.Body, "is set in the configuration file") {
				t.Errorf("%s: %d %s", body, a.Status, a.Body)
			}
		}
		patch(`{"issuer":"https://evil.example"}`).refused(t, 400, "invalid_input")
		patch(since(time.Now().Add(time.Hour))).refused(t, 400, "invalid_input")

		session := w.act(t, w.officer) // every session ends with the tokens
		if a := patch(`{}`); a.Status != 200 || a.Header.Get("ETag") != read.Header.Get("ETag") {
			t.Errorf("nothing changes: %d %s", a.Status, a.Body)
		}
		earlier := time.Now().Add(-time.Hour).UTC()
		patch(since(earlier), "If-Match", `"old"`).refused(t, 412, "precondition_failed")
		patch(since(earlier), "If-Match", read.Header.Get("ETag")).wantStatus(t, 200)
		patch(since(earlier), "If-Match", read.Header.Get("ETag")).refused(t, 412, "precondition_failed")
		patch(since(earlier.Add(-time.Minute))).refused(t, 400, "invalid_input") // the dead stay dead
		patch(`{"tokens_valid_after":null}`).refused(t, 400, "invalid_input")
		w.call(t, w.root, "GET", at, "").wantStatus(t, 200) // it was issued later
		w.call(t, session.Access, "GET", at, "").refused(t, 401, "invalid_token")

		patch(since(time.Now().UTC())).wantStatus(t, 200)
		w.call(t, w.root, "GET", at, "").refused(t, 401, "invalid_token")
		Settle()
		w.root = w.token(t, w.all)
		w.call(t, w.root, "GET", at, "").wantStatus(t, 200)
	})
}
