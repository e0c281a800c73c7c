package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The audit in the console: what it is narrowed by, page after page, one event,
// what comes while it is followed, and the same as lines of JSON.
func TestConsole_Audit(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		b := w.NewBrowser(t)
		b.Login(t, b.Get(t, "/login"), w.employee.Username, "wrong, and said to nobody")
		b.Login(t, b.Get(t, "/login"), w.employee.Username, w.employee.Password)
		var failed []struct {
			RemoteAddr string `json:"remote_addr"`
		}
		w.JSON(t, &failed, "", "audit", "list", "--kind", "login.failed")
		w.CLI(t, "", "group", "create", "team-07")
		w.CLI(t, "", "group", "create", "team-08")
		for range 120 {
			w.open(t, b.Client, "/oauth2/auth?client_id=nobody")
		}

		// Narrowed by kind and result, by a person's user name, and by all together.
		page := w.b.Get(t, "/console/audit?kind=login.*&result=refused&user="+w.employee.Username)
		if !strings.Contains(page.Body, "login.failed") || strings.Contains(page.Body, "login.succeeded") || strings.Contains(page.Body, "said to nobody") {
			t.Errorf("failed sign-ins:\n%s", page.Body)
		}
		for query, want := range map[string]bool{
			"user=" + w.employee.Sub:                       true,
			"user=" + w.officer.Sub + "&result=refused":    false,
			"kind=login.failed&ip=" + failed[0].RemoteAddr: true,
			"kind=login.failed&ip=192.0.2.1":               false,
			"kind=login.failed&since=2000-01-01T00:00":     true,
			"kind=login.failed&until=2000-01-01T00:00":     false,
			"kind=login.failed&actor=command":              false,
			"kind=login.failed&target=x":                   false,
			"kind=login.failed&client=nobody":              false,
			"kind=login.failed&request=no-such-request":    false,
			"kind=" + url.QueryEscape("login.* session.*"): true,
		} {
			if got := strings.Contains(w.b.Get(t, "/console/audit?"+query).Body, ">login.failed</a>"); got != want {
				t.Errorf("%s: %t", query, got)
			}
		}
		if a := w.b.Get(t, "/console/audit?target=team-07&actor=command"); !strings.Contains(a.Body, ">group.changed</a>") || strings.Contains(a.Body, "team-08") {
			t.Errorf("by target:\n%s", a.Body)
		}
		for _, query := range []string{"since=yesterday", "until=%00", "after=x"} {
			if a := w.b.Get(t, "/console/audit?"+query); a.Status != http.StatusUnprocessableEntity || !a.HasID("search-form") {
				t.Errorf("%s: %d", query, a.Status)
			}
		}

		// Page after page, each event once.
		seen := map[string]bool{}
		at := "/console/audit?kind=authz.*"
		for range 5 {
			page := w.b.Get(t, at)
			for _, part := range strings.Split(page.Body, `href="/console/audit/`)[1:] {
				id, _, _ := strings.Cut(part, `"`)
				if seen[id] {
					t.Errorf("%s is there twice", id)
				}
				seen[id] = true
			}
			if !page.HasID("next") {
				break
			}
			at = attr(page.element(t, "next"), "href")
		}
		if len(seen) != 120 {
			t.Errorf("%d events", len(seen))
		}

		// One of them.
		for id := range seen {
			if a := w.b.Get(t, "/console/audit/"+id); a.Status != http.StatusOK || !a.HasID("detail") || !strings.Contains(a.Body, id) {
				t.Errorf("%s: %d\n%s", id, a.Status, a.Body)
			}
			break
		}
		for _, id := range []string{"019ab3f0-0000-7000-8000-000000000000", "x", "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"} {
			if a := w.b.Get(t, "/console/audit/"+id); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d", id, a.Status)
			}
		}

		// Followed for a while, and no longer.
		follow := func(at time.Time) string { return fmt.Sprintf("/console/audit?follow=%d", at.Unix()) }
		if a := w.b.Get(t, follow(time.Now().Add(time.Minute))); a.Header.Get("Refresh") != "5" || !strings.Contains(a.Body, ">Stop</a>") {
			t.Errorf("followed: %v", a.Header)
		}
		for _, until := range []time.Time{time.Now().Add(-time.Second), time.Now().Add(time.Hour)} {
			if a := w.b.Get(t, follow(until)); a.Header.Get("Refresh") != "" {
				t.Errorf("still followed: %v", a.Header)
			}
		}

		// The same as the command exports.
		export := w.b.Get(t, "/console/audit-export?kind=group.*")
		if lines := w.CLI(t, "", "audit", "export", "--kind", "group.*"); export.Status != http.StatusOK || export.Body != lines || len(lines) == 0 {
			t.Errorf("%d, %d bytes exported, want %d", export.Status, len(export.Body), len(lines))
		}
		for line := range strings.Lines(export.Body) {
			if !json.Valid([]byte(line)) {
				t.Errorf("exported: %s", line)
			}
		}
		if h := export.Header; h.Get("Content-Type") != "application/x-ndjson" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("Cache-Control") != "no-store" {
			t.Errorf("the export's header: %v", h)
		}
	})
}
