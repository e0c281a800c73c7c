package e2e

import (
	"net/http"
	"testing"
	"time"
)

// A code that was used stays used: half a minute later, when its code's own
// minute is not over; at a node that starts again after a crash; and at
// another one that takes over. The second use ends what the first one gave.
func TestAttack_E01_oidcc_codereuse_30seconds(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web, opaque := inst.WebClient(t), inst.WebClient(t, "--access-token-format", "opaque")
		type use struct {
			client Client
			code   string
			proof  PKCE
			tokens Tokens
			at     time.Time
		}
		redeem := func(b *Browser, c Client) use {
			u := use{client: c, proof: NewPKCE()}
			u.code = b.code(t, c, alice, u.proof)
			u.tokens, u.at = b.Node.Exchange(t, c, u.code, u.proof).Tokens(t), time.Now()
			return u
		}
		replayed := func(u use, at *Node, nodes ...*Node) {
			t.Helper()
			if !at.Active(t, u.client, u.tokens.Access) {
				t.Error("nothing to end")
			}
			at.Exchange(t, u.client, u.code, u.proof).WantError(t, http.StatusBadRequest, "invalid_grant")
			wantDead(t, u.client, u.tokens, nodes...)
			wantEvents(t, 1, at, "code.replayed", "client_id", u.client.ID)
		}

		first := inst.Start(t)
		b := first.NewBrowser(t)
		waiting := []use{redeem(b, web), redeem(b, opaque)}
		crashed := []use{redeem(b, web), redeem(b, opaque)}
		first.Kill(t)
		again := inst.Start(t)
		for _, u := range crashed {
			replayed(u, again, again)
		}
		last := again
		if engine == "postgres" {
			// One node gives tokens and is gone; the other one never saw the code.
			other := inst.Start(t)
			taken := []use{redeem(b.At(again), web), redeem(b.At(again), opaque)}
			again.Kill(t)
			for _, u := range taken {
				replayed(u, other, other)
			}
			last = inst.Start(t) // which counts its events from none
		} else {
			last.Stop(t)
			last = inst.Start(t)
		}
		for _, u := range waiting {
			time.Sleep(time.Until(u.at.Add(30 * time.Second)))
			replayed(u, last, last)
		}
	})
}
