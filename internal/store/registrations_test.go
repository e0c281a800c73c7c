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

func registration(t *testing.T, clientID string, initial idp.ID) (idp.Client, idp.Registration) {
	now := idp.Instant(time.Now())
	return idp.Client{ClientID: clientID, ClientMetadata: idp.ClientMetadata{ClientName: clientID}, CreatedAt: now, UpdatedAt: now},
		idp.Registration{ClientID: clientID, ID: newID(t), Salt: []byte("0123456789abcdef"), Generation: 1, Initial: initial, CreatedAt: now, LastUsedAt: now}
}

func TestRegistrationSurvives(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		d, err := s.LoadDirectory(ctx)
		require.NoError(t, err)
		c, want := registration(t, "self", idp.ID{})
		require.NoError(t, s.RegisterClient(ctx, c, want, event(idp.EventClientCreated)))
		got, err := s.Registration(ctx, "self")
		require.NoError(t, err)
		same(t, want, got)
		require.ErrorIs(t, s.RegisterClient(ctx, c, want, event(idp.EventClientCreated)), idp.ErrConflict)

		// One of two changes wins, and a third with the old generation loses.
		c.ClientName = "renamed"
		require.NoError(t, s.ChangeRegisteredClient(ctx, c, 1, []idp.ClientSecret{{Hash: "hash"}}, event(idp.EventClientUpdated)))
		require.ErrorIs(t, s.ChangeRegisteredClient(ctx, c, 1, nil, event(idp.EventClientUpdated)), idp.ErrAlreadyUsed)
		known, ok := d.Client("self")
		require.True(t, ok)
		require.Equal(t, "renamed", known.ClientName)
		require.Len(t, known.Secrets, 1)

		later := idp.Instant(time.Now().Add(time.Hour))
		require.NoError(t, s.TouchRegistrations(ctx, []string{"self", "nobody"}, later))
		idle, err := s.IdleRegistrations(ctx, later, 10)
		require.NoError(t, err)
		require.Empty(t, idle)
		idle, err = s.IdleRegistrations(ctx, later.Add(time.Second), 10)
		require.NoError(t, err)
		require.Equal(t, []string{"self"}, idle)

		require.NoError(t, s.DeleteClient(ctx, "self", event(idp.EventClientDeleted)))
		_, err = s.Registration(ctx, "self")
		require.ErrorIs(t, err, idp.ErrNotFound)
		require.ErrorIs(t, s.ChangeRegisteredClient(ctx, c, 2, nil, event(idp.EventClientUpdated)), idp.ErrAlreadyUsed)
	})
}

// RFC 7591 section 1.2: an initial token is good for so many registrations,
// however many come at once.
func TestInitialTokenUses(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := idp.Instant(time.Now())
		want := idp.InitialToken{ID: newID(t), Label: "ci", Salt: []byte("0123456789abcdef"), Uses: 3, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
		require.NoError(t, s.CreateInitialToken(ctx, want, event(idp.EventInitialTokenCreated)))
		got, err := s.InitialToken(ctx, want.ID)
		require.NoError(t, err)
		same(t, want, got)

		var won atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				c, r := registration(t, "c"+string(rune('a'+i)), want.ID)
				switch err := s.RegisterClient(ctx, c, r, event(idp.EventClientCreated)); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, idp.ErrAlreadyUsed):
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 3, won.Load())
		rows, err := s.Strings(ctx, "SELECT client_id FROM clients")
		require.NoError(t, err)
		require.Len(t, rows, 3, "who came too late left nothing behind")

		dead := want
		dead.ID, dead.ExpiresAt = newID(t), now.Add(-time.Second)
		require.NoError(t, s.CreateInitialToken(ctx, dead, event(idp.EventInitialTokenCreated)))
		c, r := registration(t, "late", dead.ID)
		require.ErrorIs(t, s.RegisterClient(ctx, c, r, event(idp.EventClientCreated)), idp.ErrAlreadyUsed)
		list, err := s.InitialTokens(ctx)
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.NoError(t, s.DeleteInitialToken(ctx, want.ID, event(idp.EventInitialTokenDeleted)))
		require.ErrorIs(t, s.DeleteInitialToken(ctx, want.ID, event(idp.EventInitialTokenDeleted)), idp.ErrNotFound)
	})
}
