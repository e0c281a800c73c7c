package idp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
)

// A trusted device stands in for a second factor only for its person, only for
// a while, and not after a reset.
func TestDeviceTrust(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	alice := idp.User{ID: "alice", State: idp.UserActive}
	d := idp.Device{UserID: "alice", ExpiresAt: now.Add(time.Hour), TrustedAt: now.Add(-time.Minute), TrustedUntil: now.Add(time.Minute)}
	require.True(t, d.Trusted(&alice, now))
	require.False(t, d.Trusted(&idp.User{ID: "bob", State: idp.UserActive}, now))
	require.False(t, d.Trusted(&alice, now.Add(time.Minute)))
	require.True(t, d.Known(&alice, now.Add(time.Minute)))
	require.False(t, d.Known(&alice, now.Add(time.Hour)))
	reset := alice
	reset.TokensValidAfter = now
	require.False(t, d.Trusted(&reset, now))
	require.True(t, d.Known(&reset, now))
	require.False(t, (&idp.Device{UserID: "alice", ExpiresAt: now.Add(time.Hour)}).Trusted(&alice, now))
}
