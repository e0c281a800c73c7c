package store_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// parallel runs f n times at once.
func parallel(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// requireOneWinner asserts one nil, and lost for all others.
func requireOneWinner(t *testing.T, errs []error, lost error) (winner int) {
	t.Helper()
	winner = -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, winner, "a second winner")
			winner = i
			continue
		}
		require.ErrorIs(t, err, lost)
	}
	require.NotEqual(t, -1, winner, "no winner")
	return winner
}

// nodes opens three stores of one PostgreSQL, or one of SQLite, where one
// process serves.
func nodes(t *testing.T, url string, mirror func(idp.Event)) []*store.Store {
	t.Helper()
	all := []*store.Store{storetest.Migrated(t, store.Config{URL: url, Mirror: mirror})}
	if all[0].Engine() == "postgres" {
		for range 2 {
			all = append(all, storetest.Open(t, store.Config{URL: url, Mirror: mirror}))
		}
	}
	return all
}

// RFC 6749 section 4.1.2: the client must not use the authorization code more
// than once.
func TestRFC6749_4_1_2_OneRedemptionWins(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		var mu sync.Mutex
		mirrored := 0
		stores := nodes(t, url(t), func(e idp.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == idp.EventTokenIssued {
				mirrored++
			}
		})
		s, ctx := stores[0], t.Context()
		sc := newScene(t, s)
		const n = 50
		tokens := make([]idp.AccessToken, n)
		for i := range tokens {
			tokens[i] = accessToken(t, sc.grant.Handle)
		}
		errs := parallel(n, func(i int) error {
			return stores[i%len(stores)].RedeemCode(ctx, redemption(sc.grant), &tokens[i], event(idp.EventTokenIssued))
		})
		winner := requireOneWinner(t, errs, idp.ErrAlreadyUsed)
		require.Equal(t, 1, countEvents(t, s, idp.EventTokenIssued), "only the winner is in the audit")
		require.Equal(t, 1, mirrored)
		for i, token := range tokens {
			_, err := s.AccessTokenState(ctx, idp.DayOf(token.ExpiresAt), token.ID)
			if i == winner {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, idp.ErrNotFound, "a loser's token was stored")
			}
		}
		state, err := s.GrantState(ctx, sc.grant.Handle)
		require.NoError(t, err)
		r := redemption(sc.grant)
		require.Equal(t, r.At, state.Grant.CodeUsedAt)
		require.Equal(t, r.At, state.Grant.RotatedAt)
		require.Equal(t, r.IdleExpiresAt, state.Grant.IdleExpiresAt)
		require.EqualValues(t, 1, state.Grant.Generation)
	})
}

// RFC 9700 section 4.14.2: the old refresh token is invalidated by its use.
func TestRFC9700_4_14_2_OneRotationWins(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		stores := nodes(t, url(t), nil)
		s, ctx := stores[0], t.Context()
		sc := newScene(t, s)
		require.NoError(t, s.RedeemCode(ctx, redemption(sc.grant), nil, event(idp.EventCodeIssued)))
		const n = 50
		tokens := make([]idp.AccessToken, n)
		for i := range tokens {
			tokens[i] = accessToken(t, sc.grant.Handle)
		}
		rotation := idp.RefreshRotation{Handle: sc.grant.Handle, From: 1, At: sc.grant.CreatedAt.Add(time.Hour), IdleExpiresAt: sc.grant.CreatedAt.Add(48 * time.Hour)}
		errs := parallel(n, func(i int) error {
			return stores[i%len(stores)].RotateRefresh(ctx, rotation, &tokens[i], event(idp.EventTokenIssued))
		})
		winner := requireOneWinner(t, errs, idp.ErrAlreadyUsed)
		require.Equal(t, 1, countEvents(t, s, idp.EventTokenIssued))
		for i, token := range tokens {
			_, err := s.AccessTokenState(ctx, idp.DayOf(token.ExpiresAt), token.ID)
			require.Equal(t, i == winner, err == nil, "token %d: %v", i, err)
		}
		state, err := s.GrantState(ctx, sc.grant.Handle)
		require.NoError(t, err)
		require.EqualValues(t, 2, state.Grant.Generation)
		require.Equal(t, rotation.At, state.Grant.RotatedAt)
		require.Equal(t, rotation.IdleExpiresAt, state.Grant.IdleExpiresAt)
	})
}

// Every condition that makes a code or a refresh token bad is in the statement
// that spends it.
func TestWhatMayNotBeSpent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		session := newSession(t, s, u.ID)
		fresh := func(used bool) idp.Grant {
			g := grantOf(t, session)
			require.NoError(t, s.CreateGrant(ctx, g, time.Time{}))
			if used {
				require.NoError(t, s.RedeemCode(ctx, redemption(g), nil, event(idp.EventCodeIssued)))
			}
			return g
		}
		redeem := func(g idp.Grant, at time.Time) error {
			r := redemption(g)
			r.At = at
			return s.RedeemCode(ctx, r, nil, event(idp.EventTokenIssued))
		}
		rotate := func(g idp.Grant, from uint32, at time.Time) error {
			return s.RotateRefresh(ctx, idp.RefreshRotation{Handle: g.Handle, From: from, At: at, IdleExpiresAt: at.Add(time.Hour)}, nil, event(idp.EventTokenIssued))
		}
		g := fresh(false)
		require.ErrorIs(t, redeem(g, g.CodeExpiresAt), idp.ErrAlreadyUsed, "expired this instant")
		require.NoError(t, s.RevokeGrant(ctx, g.Handle, "test", g.CreatedAt, event(idp.EventTokenRevoked)))
		require.ErrorIs(t, redeem(g, g.CreatedAt), idp.ErrAlreadyUsed, "revoked")
		require.ErrorIs(t, rotate(fresh(false), 0, time.Now()), idp.ErrAlreadyUsed, "no family yet")
		g = fresh(true)
		require.ErrorIs(t, redeem(g, g.CreatedAt), idp.ErrAlreadyUsed, "used")
		require.ErrorIs(t, rotate(g, 2, g.CreatedAt), idp.ErrAlreadyUsed, "a generation to come")
		require.ErrorIs(t, rotate(g, 1, redemption(g).IdleExpiresAt), idp.ErrAlreadyUsed, "idle for too long")
		require.NoError(t, rotate(g, 1, g.CreatedAt))
		require.ErrorIs(t, rotate(g, 1, g.CreatedAt), idp.ErrAlreadyUsed, "a generation of the past")
		require.NoError(t, s.RevokeGrant(ctx, g.Handle, "test", g.CreatedAt, event(idp.EventTokenRevoked)))
		require.ErrorIs(t, rotate(g, 2, g.CreatedAt), idp.ErrAlreadyUsed, "revoked")
		require.Equal(t, 1, countEvents(t, s, idp.EventTokenIssued))

		require.NoError(t, s.RevokeGrant(ctx, g.Handle, "again", g.CreatedAt, event(idp.EventTokenRevoked)))
		require.NoError(t, s.RevokeGrant(ctx, idp.GrantHandle{ExpiresOn: g.Handle.ExpiresOn, ID: newID(t)}, "gone", g.CreatedAt, event(idp.EventTokenRevoked)))
		require.Equal(t, 2, countEvents(t, s, idp.EventTokenRevoked), "only what changed something is told")

		once := fresh(false)
		r := redemption(once)
		r.Refreshable = false
		require.NoError(t, s.RedeemCode(ctx, r, nil, event(idp.EventCodeIssued)))
		state, err := s.GrantState(ctx, once.Handle)
		require.NoError(t, err)
		require.Zero(t, state.Grant.Generation)
		require.True(t, state.Grant.IdleExpiresAt.IsZero())
	})
}

func TestThrottleLetsExactlyTheBurstPass(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		stores := nodes(t, url(t), nil)
		ctx, now := t.Context(), time.Now()
		const burst = 7
		errs := parallel(200, func(i int) error {
			wait, err := stores[i%len(stores)].Take(ctx, "login:alice", now, time.Minute, burst)
			if err != nil && (wait <= 0 || wait > time.Minute) {
				return errors.New("refused without a sensible wait: " + wait.String())
			}
			return err
		})
		passed := 0
		for _, err := range errs {
			if err == nil {
				passed++
			} else {
				require.ErrorIs(t, err, idp.ErrThrottled)
			}
		}
		require.Equal(t, burst, passed)

		s := stores[0]
		wait, err := s.Take(ctx, "login:alice", now.Add(20*time.Second), time.Minute, burst)
		require.ErrorIs(t, err, idp.ErrThrottled)
		require.Equal(t, 40*time.Second, wait)
		_, err = s.Take(ctx, "login:alice", now.Add(time.Minute), time.Minute, burst)
		require.NoError(t, err, "one more every interval")
		_, err = s.Take(ctx, "login:alice", now.Add(time.Minute), time.Minute, burst)
		require.ErrorIs(t, err, idp.ErrThrottled)
		_, err = s.Take(ctx, "login:bob", now, time.Minute, 1)
		require.NoError(t, err, "keys do not touch each other")
		require.NoError(t, s.GiveBack(ctx, "login:alice", time.Minute))
		_, err = s.Take(ctx, "login:alice", now.Add(time.Minute), time.Minute, burst)
		require.NoError(t, err, "what was given back")
		_, err = s.Take(ctx, "login:alice", now.Add(time.Minute), time.Minute, burst)
		require.ErrorIs(t, err, idp.ErrThrottled, "once")
		require.NoError(t, s.GiveBack(ctx, "login:nobody", time.Minute))
		require.NoError(t, s.Release(ctx, "login:alice"))
		_, err = s.Take(ctx, "login:alice", now, time.Minute, burst)
		require.NoError(t, err)
	})
}

// A node whose clock is an hour ahead, which is not ready for that, holds up
// nobody; one that is as far ahead as two ready nodes may be gives nothing away.
func TestAttack_S06_ThrottleOfAClockAhead(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx, now := open(t), t.Context(), time.Now()
		take := func(now time.Time) error {
			_, err := s.Take(ctx, "login:installation", now, 10*time.Second, 3)
			return err
		}
		require.NoError(t, take(now.Add(time.Hour)))
		for range 3 {
			require.NoError(t, take(now))
		}
		require.ErrorIs(t, take(now), idp.ErrThrottled)
		require.ErrorIs(t, take(now.Add(-2*idp.ClockTolerance)), idp.ErrThrottled)
		require.NoError(t, take(now.Add(10*time.Second)))
	})
}

func TestLeaseHasOneHolder(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		clock := &clock{at: time.Now()}
		s, ctx := storetest.Migrated(t, store.Config{URL: url(t), Now: clock.now}), t.Context()
		held := make([]bool, 20)
		for _, err := range parallel(len(held), func(i int) (err error) {
			held[i], err = s.AcquireLease(ctx, "work", string(rune('a'+i)), time.Minute)
			return err
		}) {
			require.NoError(t, err)
		}
		holder := ""
		for i, ok := range held {
			if ok {
				require.Empty(t, holder)
				holder = string(rune('a' + i))
			}
		}
		require.NotEmpty(t, holder)
		again, err := s.AcquireLease(ctx, "work", holder, time.Minute)
		require.NoError(t, err)
		require.True(t, again)
		clock.advance(time.Minute)
		other, err := s.AcquireLease(ctx, "work", "other", time.Minute)
		require.NoError(t, err)
		require.True(t, other, "a lease that is over is free")
		again, err = s.AcquireLease(ctx, "work", holder, time.Minute)
		require.NoError(t, err)
		require.False(t, again)
	})
}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
