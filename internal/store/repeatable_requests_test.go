package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func TestOneOfManyEqualRequestsBegins(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := idp.Instant(time.Now())
		r := idp.RepeatableRequest{Key: [32]byte{1}, Sealed: []byte("asked"), BeganAt: now}
		var mine atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				first, err := s.ClaimRequest(ctx, r)
				if err != nil {
					t.Error(err)
				}
				if first.BeganAt.IsZero() {
					mine.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, mine.Load())

		r.Sealed = []byte("answered")
		require.NoError(t, s.AnswerRequest(ctx, r))
		first, err := s.ClaimRequest(ctx, idp.RepeatableRequest{Key: r.Key, Sealed: []byte("again"), BeganAt: now.Add(time.Second)})
		require.NoError(t, err)
		same(t, r, first)
		other := idp.RepeatableRequest{Key: r.Key, Sealed: []byte("other"), BeganAt: now.Add(time.Second)}
		require.ErrorIs(t, s.AnswerRequest(ctx, other), idp.ErrNotFound)
		require.NoError(t, s.ReleaseRequest(ctx, other), "it is another's, which stays")
		first, err = s.ClaimRequest(ctx, other)
		require.NoError(t, err)
		same(t, r, first)

		require.NoError(t, s.ReleaseRequest(ctx, r))
		r.BeganAt = now.Add(-idp.RepeatableFor - time.Minute)
		for _, wait := range []string{"it is free again", "what is older than a day is gone, deleted or not"} {
			first, err = s.ClaimRequest(ctx, r)
			require.NoError(t, err)
			require.Zero(t, first, wait)
		}
		require.NoError(t, s.Maintain(ctx))
		require.ErrorIs(t, s.AnswerRequest(ctx, r), idp.ErrNotFound, "and deleted before long")
	})
}
