package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A person reads an id to the administrator, who finds by it what stood in the
// way and what would help.
func TestConsole_Trace(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		app := w.WebClient(t)
		Settle()
		b := w.NewBrowser(t)
		refused := b.Get(t, "/oauth2/auth?"+url.Values{
			"client_id": {app.ID}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {app.RedirectURI + "/other"}, "state": {"state-canary-0123456789"},
		}.Encode())
		id := refused.Header.Get("X-Request-Id")
		eventually(t, "the trace", []*Node{w.Node}, func(*Node) bool {
			return w.b.Get(t, "/console/traces?request="+id).Status == http.StatusOK
		})
		for _, path := range []string{"/console/traces?request=" + id, "/console/traces?request=" + id[:8], "/console/traces/" + id} {
			page := w.b.Get(t, path)
			wantPage(t, page, http.StatusOK, "/console/traces/"+id)
			for _, want := range []string{"redirect_uri.exact", app.RedirectURI + "/other", app.ID, "RFC 9700", ">Refused<"} {
				if !strings.Contains(page.Body, want) {
					t.Errorf("%s does not say %q:\n%s", path, want, page.Body)
				}
			}
			if !page.HasID("hint-1") || strings.Contains(page.Body, "state-canary") {
				t.Errorf("%s:\n%s", path, page.Body)
			}
		}
		for path, status := range map[string]int{
			"/console/traces?request=abc": http.StatusUnprocessableEntity, "/console/traces?request=" + url.QueryEscape("<script>alert(1)"): http.StatusUnprocessableEntity,
			"/console/traces?request=nothing-of-that": http.StatusNotFound, "/console/traces/nothing-of-that": http.StatusNotFound, "/console/traces/abc": http.StatusNotFound,
		} {
			if a := w.b.Get(t, path); a.Status != status || strings.Contains(a.Body, "<script>alert") {
				t.Errorf("%s: %d, want %d", path, a.Status, status)
			}
		}

		// From the audit to the same page.
		list := w.b.Get(t, "/console/audit?request="+id)
		_, after, found := strings.Cut(list.Body, `href="/console/audit/`)
		event, _, _ := strings.Cut(after, `"`)
		if a := w.b.Get(t, "/console/audit/"+event); !found || !strings.Contains(a.Body, `href="/console/traces/`+id+`"`) {
			t.Errorf("the event %q does not lead to the trace", event)
		}
	})
}
