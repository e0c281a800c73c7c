package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Metadata and keys come from memory, however many ask, from the first request
// of a node on and while keys change.
func TestAttack_R12_Flood(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		const askers, each = 8, 300
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		routes := []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"}
		node := inst.Start(t)
		var asked atomic.Int64
		flood := func(t *testing.T) {
			t.Helper()
			var all sync.WaitGroup
			for range askers {
				all.Go(func() {
					known := map[string]string{} // entity tags, as a cache keeps them
					for i := range each {
						route := routes[i%len(routes)]
						r, _ := http.NewRequest(http.MethodGet, inst.Issuer+route, nil)
						if i%2 == 0 && known[route] != "" {
							r.Header.Set("If-None-Match", known[route])
						}
						a, err := Send(node.HTTP, r)
						asked.Add(1)
						switch {
						case err != nil:
							t.Errorf("%s: %v", route, err)
							return
						case a.Status != http.StatusOK && (a.Status != http.StatusNotModified || r.Header.Get("If-None-Match") == "") || a.Header.Get("Etag") == "":
							t.Errorf("%s: %d, ETag %q", route, a.Status, a.Header.Get("Etag"))
							return
						}
						known[route] = a.Header.Get("Etag")
					}
				})
			}
			all.Wait()
		}
		flood(t) // nothing was asked of this node before
		keys, audit := len(jwks(t, node).Keys), strings.Count(rows(t, inst), "\naudit_events")
		memory := node.rss(t)

		// While keys change, and after that.
		var rotated sync.WaitGroup
		rotated.Go(func() { inst.CLI(t, "", "key", "rotate") })
		flood(t)
		rotated.Wait()
		Settle()
		flood(t)
		if now := len(jwks(t, node).Keys); now <= keys {
			t.Errorf("%d keys, %d before the rotation", now, keys)
		}

		if grown := node.rss(t) - memory; grown > 64<<20 {
			t.Errorf("the floods left %d MiB behind", grown>>20)
		}
		// Each leaves one line in the log, which may be a moment behind, and none in
		// the audit.
		want, seen := int(asked.Load())+2, 0
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			seen = 0
			for _, r := range node.Records(t) {
				if route, _ := r["route"].(string); slices.Contains(routes, route) {
					seen++
					if r["db_round_trips"] != 0.0 {
						t.Fatalf("%s asked the database %v times", route, r["db_round_trips"])
					}
				}
			}
			if seen >= want || time.Now().After(deadline) {
				break
			}
		}
		if seen != want {
			t.Errorf("%d log records of %d requests", seen, want)
		}
		if now := strings.Count(rows(t, inst), "\naudit_events"); audit == 0 || now > audit+20 {
			t.Errorf("%d audit events before the floods and %d after", audit, now)
		}
		node.wantQuiet(t)
	})
}
