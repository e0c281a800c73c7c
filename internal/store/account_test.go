package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func TestPeopleChangeTheirOwnAccountsOnly(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		alice, bob := newUser(t, s, "alice"), newUser(t, s, "bob")
		now := idp.Instant(time.Now())
		session := func(u idp.User) idp.ID {
			n := idp.Session{
				ID: newID(t), UserID: u.ID, Salt: []byte("0123456789abcdef"), AuthTime: now, ACR: "1", AMR: []string{"pwd"},
				CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour),
			}
			require.NoError(t, s.CreateSession(ctx, n, idp.ID{}))
			return n.ID
		}
		ended := func(id idp.ID) bool {
			held, err := s.AuthorizationContext(ctx, id, "")
			require.NoError(t, err)
			return !held.Session.EndedAt.IsZero()
		}
		here, there, elsewhere, bobs := session(alice), session(alice), session(alice), session(bob)

		// One session, once, and nobody else's.
		require.ErrorIs(t, s.EndOwnSession(ctx, alice.ID, bobs, now, event(idp.EventSessionEnded)), idp.ErrNotFound)
		require.NoError(t, s.EndOwnSession(ctx, alice.ID, there, now, event(idp.EventSessionEnded)))
		require.ErrorIs(t, s.EndOwnSession(ctx, alice.ID, there, now, event(idp.EventSessionEnded)), idp.ErrNotFound)
		require.Equal(t, []bool{false, true, false, false}, []bool{ended(here), ended(there), ended(elsewhere), ended(bobs)})

		// All others, and none when there is none.
		for _, want := range []int64{1, 0} {
			n, err := s.EndOtherSessions(ctx, alice.ID, here, now, event(idp.EventSessionEnded))
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		require.Equal(t, []bool{false, true, true, false}, []bool{ended(here), ended(there), ended(elsewhere), ended(bobs)})

		// A profile is saved as it was read, or not at all.
		read, err := s.User(ctx, alice.ID)
		require.NoError(t, err)
		changed := read.Profile
		changed.Nickname = "Al"
		require.NoError(t, s.SaveProfile(ctx, alice.ID, changed, nil, read.UpdatedAt, event(idp.EventUserUpdated)))
		stored, err := s.User(ctx, alice.ID)
		require.NoError(t, err)
		require.Equal(t, changed, stored.Profile)
		require.NoError(t, s.SetUserState(ctx, alice.ID, idp.UserDisabled, now.Add(time.Second), event(idp.EventUserDisabled)))
		require.ErrorIs(t, s.SaveProfile(ctx, alice.ID, read.Profile, nil, stored.UpdatedAt, event(idp.EventUserUpdated)), idp.ErrConflict)
		require.ErrorIs(t, s.SaveProfile(ctx, "nobody", read.Profile, nil, now, event(idp.EventUserUpdated)), idp.ErrConflict)

		// Trust in a device ends, once, and only one's own.
		d := idp.Device{
			ID: newID(t), UserID: alice.ID, Salt: []byte("0123456789abcdef"), CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour),
			TrustedAt: now, TrustedUntil: now.Add(time.Hour),
		}
		require.NoError(t, s.SaveDevice(ctx, d))
		require.ErrorIs(t, s.DistrustDevice(ctx, bob.ID, d.ID, event(idp.EventDeviceDistrusted)), idp.ErrNotFound)
		require.NoError(t, s.DistrustDevice(ctx, alice.ID, d.ID, event(idp.EventDeviceDistrusted)))
		require.ErrorIs(t, s.DistrustDevice(ctx, alice.ID, d.ID, event(idp.EventDeviceDistrusted)), idp.ErrNotFound)
		got, err := s.Device(ctx, d.ID)
		require.NoError(t, err)
		require.Zero(t, got.TrustedUntil)
	})
}

// The query asks for all kinds that people are shown, newest first, and only
// for theirs.
func TestSecurityEvents(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := idp.Instant(time.Now())
		var all []idp.Event
		for i, kind := range append(idp.SecurityEvents(), idp.EventTokenIssued, idp.EventFactorUsed) {
			at := now.Add(time.Duration(i) * time.Millisecond)
			all = append(all, idp.Event{ID: idp.TimeOrderedID(at, newID(t)), At: at, Kind: kind, UserID: "alice"})
		}
		others := all[0]
		others.ID, others.UserID = newID(t), "bob"
		require.NoError(t, s.AppendEvents(ctx, append(all, others)))
		got, err := s.SecurityEvents(ctx, "alice", 100)
		require.NoError(t, err)
		var kinds []idp.EventKind
		for _, e := range got {
			require.Equal(t, "alice", e.UserID)
			kinds = append([]idp.EventKind{e.Kind}, kinds...)
		}
		require.Equal(t, idp.SecurityEvents(), kinds)
		got, err = s.SecurityEvents(ctx, "alice", 2)
		require.NoError(t, err)
		require.Len(t, got, 2)
	})
}
