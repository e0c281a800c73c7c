package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// How requests were decided is found by the beginning of their identifiers, and
// let go after some days.
func TestTraces(t *testing.T) {
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		clock := &clock{at: time.Date(2021, 1, 2, 23, 59, 0, 123456789, time.UTC)}
		s, ctx := storetest.Migrated(t, store.Config{URL: url(t), Now: clock.now, TraceRetention: 3 * 24 * time.Hour}), t.Context()
		trace := func(id string, at time.Time) idp.Trace {
			return idp.Trace{
				RequestID: id, At: idp.Instant(at), Endpoint: "/oauth2/token", Status: 401, Error: "invalid_client", GrantType: "client_credentials", ClientID: "web",
				Steps: []idp.Step{{Rule: idp.RuleClientSecret, Outcome: idp.Failed, Facts: []idp.Fact{{Name: "a", Value: "\x00\"\u2028ä\xff"}}}},
			}
		}
		first := trace("abcdef-1", clock.at)
		again := trace("abcdef-1", clock.at.Add(time.Second)) // a proxy named two requests alike
		require.NoError(t, s.AppendTraces(ctx, nil))
		require.NoError(t, s.AppendTraces(ctx, []idp.Trace{first, again, trace("abcdeg", clock.at), trace("Abcdef", clock.at)}))
		require.NoError(t, s.AppendTraces(ctx, []idp.Trace{first}), "written twice")

		found, err := s.Traces(ctx, "abcdef", 10)
		require.NoError(t, err)
		first.Steps[0].Facts[0].Value = "\x00\"\u2028ä\uFFFD"
		again.Steps = first.Steps
		require.Equal(t, []idp.Trace{again, first}, found)
		found, err = s.Traces(ctx, "abcd", 2)
		require.NoError(t, err)
		require.Len(t, found, 2)

		// More than are deleted at once, and some from the day after.
		var many []idp.Trace
		for i := range 1100 {
			many = append(many, trace(fmt.Sprintf("many-%04d", i), clock.at))
		}
		clock.advance(24 * time.Hour)
		many = append(many, trace("young", clock.at))
		require.NoError(t, s.Maintain(ctx))
		require.NoError(t, s.AppendTraces(ctx, many))
		count := func() int {
			all, err := s.Traces(ctx, "", 5000)
			require.NoError(t, err)
			return len(all)
		}
		clock.advance(2 * 24 * time.Hour)
		require.NoError(t, s.Maintain(ctx))
		require.Equal(t, 1105, count(), "the first day is not wholly past")
		clock.advance(24 * time.Hour)
		require.NoError(t, s.Maintain(ctx))
		require.Equal(t, 1, count())
		clock.advance(24 * time.Hour)
		require.NoError(t, s.Maintain(ctx))
		require.Equal(t, 0, count())
	})
}
