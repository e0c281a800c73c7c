package store_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

const listPartitions = `
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1) ORDER BY c.relname`

func TestPartitionsAreMadeAheadAndDroppedBehind(t *testing.T) {
	t.Parallel()
	// A Saturday of the ISO week 53 of 2020: weeks, months and years turn over. It
	// is past by the database's clock as well, or nothing would be dropped.
	clock := &clock{at: time.Date(2021, 1, 2, 23, 59, 0, 0, time.UTC)}
	cfg := store.Config{URL: storetest.Postgres(t), Now: clock.now, GrantRetention: 10 * 24 * time.Hour, AuditRetention: 40 * 24 * time.Hour}
	s, ctx := storetest.Migrated(t, cfg), t.Context()
	list := func(table string) []string {
		names, err := s.Strings(ctx, listPartitions, table)
		require.NoError(t, err)
		return names
	}
	require.Equal(t, []string{"grants_2020w53", "grants_2021w01", "grants_2021w02", "grants_2021w03", "grants_2021w04"}, list("grants"))
	days := list("access_tokens")
	require.Equal(t, "access_tokens_20210101", days[0])
	require.Equal(t, "access_tokens_20210111", days[len(days)-1])
	require.Len(t, list("revoked_tokens"), 11)
	require.Equal(t, []string{"audit_events_2020m12", "audit_events_2021m01", "audit_events_2021m02", "audit_events_2021m03"}, list("audit_events"))

	for range 2 { // yesterday's and the day before's stay until they are wholly past
		clock.advance(24 * time.Hour)
		require.NoError(t, s.Maintain(ctx))
	}
	require.Equal(t, "access_tokens_20210103", list("access_tokens")[0])
	require.Equal(t, "access_tokens_20210113", slices.Max(list("access_tokens")))
	require.Contains(t, list("grants"), "grants_2020w53", "its Sunday was yesterday")
	clock.advance(24 * time.Hour)
	require.NoError(t, s.Maintain(ctx))
	require.NotContains(t, list("grants"), "grants_2020w53")
	require.Contains(t, list("audit_events"), "audit_events_2020m12")

	clock.advance(45 * 24 * time.Hour)
	require.NoError(t, s.Maintain(ctx))
	require.NotContains(t, list("audit_events"), "audit_events_2020m12")
	require.Contains(t, list("audit_events"), "audit_events_2021m01", "its last days are younger than the retention")
	require.Contains(t, list("audit_events"), "audit_events_2021m04")
	require.NoError(t, s.AppendEvents(ctx, []idp.Event{event(idp.EventTokenIssued)}))
}

// maintainAhead maintains by a clock that is days ahead of the database's.
// PostgreSQL does not drop by it what still may live; all the rest is done.
func maintainAhead(t *testing.T, s *store.Store) {
	t.Helper()
	err := s.Maintain(t.Context())
	if s.Engine() == "sqlite" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, "by this database's clock")
}

func TestOneNodeMaintains(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	clock := &clock{at: time.Now()}
	a := storetest.Migrated(t, store.Config{URL: url, Now: clock.now})
	b := storetest.Open(t, store.Config{URL: url, Now: clock.now})
	require.NoError(t, a.Maintain(t.Context()))
	_, err := a.Exec(t.Context(), "DROP TABLE access_tokens_"+idp.DayOf(clock.now()).Time().Format("20060102"))
	require.NoError(t, err)
	count := func() int {
		names, err := a.Strings(t.Context(), listPartitions, "access_tokens")
		require.NoError(t, err)
		return len(names)
	}
	require.NoError(t, b.Maintain(t.Context()))
	require.Equal(t, 10, count(), "the lease is another node's")
	require.NoError(t, a.Maintain(t.Context()))
	require.Equal(t, 11, count())
	_, err = a.Exec(t.Context(), "DROP TABLE access_tokens_"+idp.DayOf(clock.now()).Time().Format("20060102"))
	require.NoError(t, err)
	clock.advance(11 * time.Minute) // a is gone
	require.NoError(t, b.Maintain(t.Context()))
	require.GreaterOrEqual(t, count(), 11)
}

// Making a partition gives up soon behind a long transaction, and does not hold
// up who comes after it.
func TestMaintenanceDoesNotQueueInFrontOfTraffic(t *testing.T) {
	t.Parallel()
	clock := &clock{at: time.Now().Add(-14 * 24 * time.Hour)}
	s, ctx := storetest.Migrated(t, store.Config{URL: storetest.Postgres(t), Now: clock.now}), t.Context()
	sc := newScene(t, s)
	reading := make(chan error, 1)
	go func() {
		_, err := s.Exec(ctx, "SELECT pg_sleep(4), count(*) FROM grants")
		reading <- err
	}()
	require.Eventually(t, func() bool {
		n, err := s.Strings(ctx, "SELECT pid::text FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(4)%' AND datname = current_database()")
		return err == nil && len(n) == 1
	}, 3*time.Second, 5*time.Millisecond)
	clock.advance(14 * 24 * time.Hour)
	maintained := make(chan error, 1)
	go func() { maintained <- s.Maintain(ctx) }()
	for {
		select {
		case err := <-maintained:
			if err != nil {
				require.ErrorIs(t, err, idp.ErrUnavailable)
			}
			require.NoError(t, <-reading)
			require.NoError(t, s.Maintain(ctx), "next time")
			return
		default:
			_, err := s.GrantState(ctx, sc.grant.Handle)
			require.NoError(t, err, "traffic goes on")
		}
	}
}

// A look-up by a handle reads the one partition that its day names, also by the
// plan that prepared statements share.
func TestLookUpsTouchOnePartition(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		s, ctx := storetest.Migrated(t, store.Config{URL: withParam(t, storetest.Postgres(t), "plan_cache_mode", mode), MaxConns: 1}), t.Context()
		day := idp.DayOf(time.Now().Add(5 * 24 * time.Hour))
		for i, q := range store.LookUps(day, newID(t)) {
			name := fmt.Sprintf("look_up_%d", i)
			_, err := s.Exec(ctx, "PREPARE "+name+" AS "+q.SQL)
			require.NoError(t, err)
			plan, err := s.Strings(ctx, "EXPLAIN EXECUTE "+name+literals(q.Args))
			require.NoError(t, err)
			scans := regexp.MustCompile(`Scan .*on (`+q.Table+`_20[w\d]+)`).FindAllString(strings.Join(plan, "\n"), -1)
			require.Len(t, scans, 1, "%s\n%s", q.SQL, strings.Join(plan, "\n"))
		}
	}
}

// literals writes arguments as SQL.
func literals(args []any) string {
	var list []string
	for _, arg := range args {
		switch v := arg.(type) {
		case idp.Day:
			arg = v.Time().Format(time.DateOnly)
		case idp.ID:
			arg = v.UUID()
		case time.Time:
			arg = v.Format(time.RFC3339)
		}
		list = append(list, fmt.Sprintf("'%v'", arg))
	}
	return "(" + strings.Join(list, ", ") + ")"
}

func TestExpiredRowsAreDeletedOnSQLite(t *testing.T) {
	t.Parallel()
	clock := &clock{at: time.Now()}
	s := storetest.Migrated(t, store.Config{URL: storetest.SQLite(t), Now: clock.now, GrantRetention: 40 * 24 * time.Hour, AuditRetention: 100 * 24 * time.Hour})
	ctx := t.Context()
	sc := newScene(t, s)
	token := accessToken(t, sc.grant.Handle)
	day := idp.DayOf(token.ExpiresAt)
	require.NoError(t, s.AppendTokens(ctx, &token, event(idp.EventTokenIssued)))
	require.NoError(t, s.RevokeAccessToken(ctx, token.ID, day, clock.now(), event(idp.EventTokenRevoked)))
	many := make([]idp.Event, 1200) // more than two batches
	require.NoError(t, s.AppendEvents(ctx, many))
	alive := func(table string) int {
		n, err := s.Strings(ctx, "SELECT CAST(count(*) AS TEXT) FROM "+table)
		require.NoError(t, err)
		var count int
		_, err = fmt.Sscan(n[0], &count)
		require.NoError(t, err)
		return count
	}
	maintain := func(d time.Duration) {
		clock.advance(d)
		require.NoError(t, s.Maintain(ctx))
	}
	maintain(time.Until((day + 1).Time().Add(23 * time.Hour))) // whatever time of day it is
	require.Equal(t, 1, alive("access_tokens"), "one day of grace")
	maintain(24 * time.Hour)
	require.Zero(t, alive("access_tokens"))
	require.Zero(t, alive("revoked_tokens"))
	require.Equal(t, 1, alive("grants"))
	maintain(29 * 24 * time.Hour)
	require.Equal(t, 1, alive("grants"), "one day of grace")
	require.Equal(t, 1, alive("sessions"))
	maintain(24 * time.Hour)
	require.Zero(t, alive("grants"))
	require.Equal(t, 1, alive("sessions"), "sessions outlive every grant under them")
	maintain(10 * 24 * time.Hour)
	require.Zero(t, alive("sessions"))
	require.Equal(t, 1205, alive("audit_events"))
	maintain(60 * 24 * time.Hour)
	require.Zero(t, alive("audit_events"))
}

func TestSpentThrottlesAndOldSessionsGo(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		clock := &clock{at: time.Now()}
		s, ctx := storetest.Migrated(t, store.Config{URL: url(t), Now: clock.now, GrantRetention: 24 * time.Hour}), t.Context()
		u := newUser(t, s, "alice")
		newSession(t, s, u.ID)
		for i := range 3 {
			_, err := s.Take(ctx, fmt.Sprint("key", i), clock.now(), time.Duration(i)*2*time.Hour+time.Second, 1)
			require.NoError(t, err)
		}
		clock.advance(2 * time.Hour)
		require.NoError(t, s.Maintain(ctx))
		keys, err := s.Strings(ctx, "SELECT throttle_key FROM throttles ORDER BY throttle_key")
		require.NoError(t, err)
		require.Equal(t, []string{"key1", "key2"}, keys)
		clock.advance(48 * time.Hour) // whatever the time of day, two days on
		maintainAhead(t, s)
		sessions, err := s.Sessions(ctx, u.ID)
		require.NoError(t, err)
		require.Empty(t, sessions)
	})
}
