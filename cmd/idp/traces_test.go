package main

import (
	"strings"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// What was used leaves its trace for as long as anything of its grant could
// live: maintenance never takes away what a replay is recognised by.
func TestAttack_S08_TracesOfUse(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		w := newClockwork(t, engine)
		// The grants begin and end before the database's own today, so that by
		// its clock nothing stands in the way of dropping them.
		n := w.start(t, -50*24*time.Hour)
		maintainer := storetest.Open(t, store.Config{URL: w.url, Now: n.clock.now})
		maintain := func() {
			t.Helper()
			if err := maintainer.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// family is one grant: its code, its first refresh token, and the last.
		type family struct {
			client      e2e.Client
			code        string
			proof       e2e.PKCE
			first, last string
		}
		grow := func(f *family) {
			t.Helper()
			f.last = n.Refresh(t, f.client, f.last).Tokens(t).Refresh
		}
		browser := map[string]begun{}
		for _, c := range []e2e.Client{w.client, w.opaque} {
			browser[c.ID] = begun{browser: n.NewBrowser(t), user: n.user, client: c}
		}
		plant := func(c e2e.Client) *family {
			t.Helper()
			f := &family{client: c}
			f.code, f.proof = browser[c.ID].newCode(t)
			f.first = n.Exchange(t, c, f.code, f.proof).Tokens(t).Refresh
			f.last = f.first
			grow(f)
			grow(f)
			return f
		}
		// killed replays one thing, and checks that it ends a grant that lived.
		killed := func(when, event string, f *family, replay func() *e2e.Answer) {
			t.Helper()
			grow(f)
			before := strings.Count(n.log.String(), `"event":"`+event+`"`)
			wantInvalidGrant(t, when+": "+event, replay())
			wantInvalidGrant(t, when+": after "+event, n.Refresh(t, f.client, f.last))
			if got := strings.Count(n.log.String(), `"event":"`+event+`"`) - before; got != 1 {
				t.Errorf("%s: %d events %s, want 1", when, got, event)
			}
		}
		replayCode := func(f *family) func() *e2e.Answer {
			return func() *e2e.Answer { return n.Exchange(t, f.client, f.code, f.proof) }
		}
		replayRefresh := func(f *family) func() *e2e.Answer {
			return func() *e2e.Answer { return n.Refresh(t, f.client, f.first) }
		}

		planted := n.clock.now()
		var soon, late []*family
		for _, c := range []e2e.Client{w.client, w.opaque} {
			soon = append(soon, plant(c), plant(c))
			late = append(late, plant(c), plant(c))
		}
		n.clock.step(11 * time.Minute) // the node's own lease on maintenance is over
		maintain()
		for i := 0; i < len(soon); i += 2 {
			killed("after maintenance", "code.replayed", soon[i], replayCode(soon[i]))
			killed("after maintenance", "refresh.replayed", soon[i+1], replayRefresh(soon[i+1]))
		}
		for range 4 {
			n.clock.step(6 * 24 * time.Hour)
			maintain()
			for _, f := range late {
				grow(f)
			}
		}
		n.clock.step(planted.Add(30*24*time.Hour - 20*time.Second).Sub(n.clock.now()))
		maintain()
		for i := 0; i < len(late); i += 2 {
			killed("just before the end", "code.replayed", late[i], replayCode(late[i]))
			killed("just before the end", "refresh.replayed", late[i+1], replayRefresh(late[i+1]))
		}

		// After the end the rows go, and what they were for is refused all the same.
		n.clock.step(9 * 24 * time.Hour)
		maintain()
		var rows int
		if err := w.open(t).QueryRowContext(t.Context(), `SELECT count(*) FROM grants`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d grants are left (%v): maintenance did nothing", rows, err)
		}
		for _, f := range append(soon, late...) {
			wantInvalidGrant(t, "after the end: code", replayCode(f)())
			wantInvalidGrant(t, "after the end: first refresh token", replayRefresh(f)())
			wantInvalidGrant(t, "after the end: last refresh token", n.Refresh(t, f.client, f.last))
		}
		n.log.wantCalm(t)
	})
}
