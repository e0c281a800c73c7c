package idp_test

import (
	"testing"
	"time"

	"idp/internal/idp"
)

// A key is published before it signs and after it has signed; at every instant
// exactly one key of an algorithm signs.
func TestKeyStatesFollowTheClock(t *testing.T) {
	day := 24 * time.Hour
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	keys := []idp.Key{
		{KID: "b", Alg: "ES256", ActiveFrom: start.Add(30 * day)},
		{KID: "a", Alg: "ES256", ActiveFrom: start},
		{KID: "r", Alg: "RS256", ActiveFrom: start},
	}
	retain := time.Hour
	for _, tc := range []struct {
		at   time.Duration
		a, b idp.KeyState
	}{
		{0, idp.KeyActive, idp.KeyNext},
		{30*day - time.Microsecond, idp.KeyActive, idp.KeyNext},
		{30 * day, idp.KeyRetiring, idp.KeyActive},
		{30*day + retain - time.Microsecond, idp.KeyRetiring, idp.KeyActive},
		{30*day + retain, idp.KeyRetired, idp.KeyActive},
	} {
		got := map[string]idp.KeyState{}
		for _, k := range idp.KeyStates(keys, start.Add(tc.at), retain) {
			got[k.KID] = k.State
		}
		want := map[string]idp.KeyState{"a": tc.a, "b": tc.b, "r": idp.KeyActive}
		for kid, state := range want {
			if got[kid] != state {
				t.Errorf("after %v key %s is %s, want %s", tc.at, kid, got[kid], state)
			}
		}
	}
}

// A key retired by hand leaves at once, and the one before it does not come
// back to sign.
func TestRetiredKeyLeavesAtOnce(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	keys := []idp.Key{
		{KID: "a", Alg: "ES256", ActiveFrom: start, RetiredAt: start.Add(2 * time.Hour)},
		{KID: "b", Alg: "ES256", ActiveFrom: start.Add(time.Hour)},
	}
	for _, k := range idp.KeyStates(keys, start.Add(2*time.Hour), 100*time.Hour) {
		want := map[string]idp.KeyState{"a": idp.KeyRetired, "b": idp.KeyActive}[k.KID]
		if k.State != want {
			t.Errorf("key %s is %s, want %s", k.KID, k.State, want)
		}
	}
}
