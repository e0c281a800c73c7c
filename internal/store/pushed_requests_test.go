package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func pushedRequest(t *testing.T) idp.PushedRequest {
	now := idp.Instant(time.Now())
	return idp.PushedRequest{
		Handle:   idp.PushedRequestHandle{ExpiresOn: idp.DayOf(now.Add(time.Minute)), ID: newID(t)},
		ClientID: "web", Sealed: "sealed", Salt: []byte("0123456789abcdef"), CreatedAt: now, ExpiresAt: now.Add(time.Minute),
	}
}

func TestPushedRequestSurvives(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		want := pushedRequest(t)
		require.NoError(t, s.CreatePushedRequest(ctx, want))
		got, err := s.PushedRequest(ctx, want.Handle)
		require.NoError(t, err)
		same(t, want, got)
		_, err = s.PushedRequest(ctx, idp.PushedRequestHandle{ExpiresOn: want.Handle.ExpiresOn, ID: newID(t)})
		require.ErrorIs(t, err, idp.ErrNotFound)
	})
}

// RFC 9126 section 7.3: a request_uri completes one authorization. Who comes
// second leaves nothing behind, no grant and no event.
func TestRFC9126_7_3_PushedRequestIsUsedOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		p := pushedRequest(t)
		require.NoError(t, s.CreatePushedRequest(ctx, p))
		var won atomic.Int32
		var all sync.WaitGroup
		grants := make([]idp.Grant, 8)
		for i := range grants {
			grants[i] = grantOf(t, sc.session)
			all.Go(func() {
				err := s.CreatePushedGrant(ctx, p.Handle, grants[i], grants[i].CreatedAt, event(idp.EventConsentDenied))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, idp.ErrAlreadyUsed) {
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, won.Load())
		stored := 0
		for _, g := range grants {
			if _, err := s.GrantState(ctx, g.Handle); err == nil {
				stored++
			}
		}
		require.Equal(t, 1, stored)
		events, err := s.Strings(ctx, "SELECT kind FROM audit_events WHERE kind = 'consent.denied'")
		require.NoError(t, err)
		require.Len(t, events, 1)
		used, err := s.PushedRequest(ctx, p.Handle)
		require.NoError(t, err)
		require.False(t, used.UsedAt.IsZero())
		require.ErrorIs(t, s.CreatePushedGrant(ctx, idp.PushedRequestHandle{ExpiresOn: p.Handle.ExpiresOn, ID: newID(t)}, grantOf(t, sc.session), time.Time{}), idp.ErrAlreadyUsed, "nobody pushed it")
	})
}
