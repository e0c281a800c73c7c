package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func TestDevicesAreTheirPersonsOwn(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		alice, bob := newUser(t, s, "alice"), newUser(t, s, "bob")
		now := idp.Instant(time.Now())
		d := idp.Device{
			ID: newID(t), UserID: alice.ID, Salt: []byte("0123456789abcdef"), CreatedAt: now, LastSeenAt: now,
			ExpiresAt: now.Add(time.Hour), RemoteAddr: "192.0.2.1", UserAgent: "Browser/1",
		}
		require.NoError(t, s.SaveDevice(ctx, d))
		got, err := s.Device(ctx, d.ID)
		require.NoError(t, err)
		require.Equal(t, d, got)

		// Seen again, and trusted: the same device with the same secret.
		seen := d
		seen.Salt, seen.LastSeenAt, seen.TrustedAt, seen.TrustedUntil = []byte("another salt 123"), now.Add(time.Minute), now, now.Add(time.Hour)
		require.NoError(t, s.SaveDevice(ctx, seen))
		seen.Salt = d.Salt
		got, err = s.Device(ctx, d.ID)
		require.NoError(t, err)
		require.Equal(t, seen, got)

		// Nobody takes it over, and nobody else forgets it.
		stolen := d
		stolen.UserID, stolen.RemoteAddr = bob.ID, "198.51.100.1"
		require.NoError(t, s.SaveDevice(ctx, stolen))
		require.NoError(t, s.DeleteDevice(ctx, d.ID, bob.ID, event(idp.EventUserUpdated)))
		got, err = s.Device(ctx, d.ID)
		require.NoError(t, err)
		require.Equal(t, seen, got)
		devices, err := s.Devices(ctx, bob.ID)
		require.NoError(t, err)
		require.Empty(t, devices)
		devices, err = s.Devices(ctx, alice.ID)
		require.NoError(t, err)
		require.Equal(t, []idp.Device{seen}, devices)

		require.NoError(t, s.DeleteDevice(ctx, d.ID, alice.ID, event(idp.EventUserUpdated)))
		_, err = s.Device(ctx, d.ID)
		require.ErrorIs(t, err, idp.ErrNotFound)

		// What expired goes with maintenance, what is left with its person.
		old := d
		old.ID, old.ExpiresAt = newID(t), now.Add(-time.Minute)
		require.NoError(t, s.SaveDevice(ctx, old))
		require.NoError(t, s.SaveDevice(ctx, d))
		require.NoError(t, s.Maintain(ctx))
		devices, err = s.Devices(ctx, alice.ID)
		require.NoError(t, err)
		require.Equal(t, []idp.Device{d}, devices)
		require.NoError(t, s.DeleteUser(ctx, alice.ID, event(idp.EventUserDeleted)))
		devices, err = s.Devices(ctx, alice.ID)
		require.NoError(t, err)
		require.Empty(t, devices)
	})
}
