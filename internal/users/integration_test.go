package users_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/users"
)

var (
	_ users.Finder   = (*store.Store)(nil)
	_ users.Throttle = (*store.Store)(nil)
)

// Of 200 parallel guesses exactly five are evaluated, counted by a real
// database, and the owner comes in afterwards.
func TestParallelGuessesOverADatabase(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		s := open(t)
		h := hasher(t, cheap)
		encoded, err := h.HashNew(t.Context(), idp.User{Username: "Alice"}, phrase)
		require.NoError(t, err)
		require.NoError(t, s.CreateUser(t.Context(), idp.User{ID: "u-alice", Username: "Alice", PasswordHash: encoded}))
		n := &notes{}
		var later atomic.Int64
		service := users.New(users.Config{
			Store: s, Hasher: h, Throttle: s, Audit: n, Logger: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return start.Add(time.Duration(later.Load())) },
		})

		before := h.Computed()
		var evaluated, throttled, other atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			ctx := from(t, fmt.Sprintf("198.51.100.%d", i))
			wg.Go(func() {
				_, err := service.Authenticate(ctx, "aLiCe", "wrong "+phrase, nil)
				switch {
				case errors.Is(err, idp.ErrCredentials):
					evaluated.Add(1)
				case errors.Is(err, idp.ErrThrottled):
					throttled.Add(1)
				default:
					other.Add(1)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(5), evaluated.Load())
		require.Equal(t, int64(195), throttled.Load())
		require.Zero(t, other.Load())
		require.Equal(t, before+5, h.Computed())

		later.Store(int64(10 * time.Second))
		u, err := service.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
		require.NoError(t, err)
		require.Equal(t, "u-alice", u.ID)
		for range 5 { // released
			_, err := service.Authenticate(from(t, "192.0.2.1"), "alice", "wrong", nil)
			require.ErrorIs(t, err, idp.ErrCredentials)
		}
	})
}
