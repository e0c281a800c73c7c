package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// An operator's reset takes everything away and ends what was signed in.
func TestResetFactors(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		u, err := w.CreateUser(ctx, admin.UserInput{Username: "alice", Password: phrase})
		require.NoError(t, err)
		added := idp.Event{Kind: idp.EventFactorAdded}
		require.NoError(t, w.store.AddAuthenticator(ctx, idp.Authenticator{ID: idp.ID{1}, UserID: u.ID, Name: "Phone", Secret: []byte("sealed")}, added))
		require.NoError(t, w.store.AddPasskey(ctx, idp.Passkey{ID: []byte{1}, UserID: u.ID, Name: "Laptop", PublicKey: []byte{1}},
			idp.Challenge{Value: "1", ExpiresAt: w.clock().Add(time.Minute)}, added))
		require.NoError(t, w.store.ReplaceRecoveryCodes(ctx, u.ID, []string{"hash"}, w.clock(), added))
		now := w.clock()
		require.NoError(t, w.store.CreateSession(ctx, idp.Session{
			ID: idp.ID{2}, UserID: u.ID, Salt: []byte("salt"), AuthTime: now, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour),
		}, idp.ID{}))
		has, err := w.Factors(ctx, "ALICE")
		require.NoError(t, err)
		require.True(t, has.SecondFactor())
		require.Len(t, has.Passkeys, 1)

		w.pass(time.Second)
		require.NoError(t, w.ResetFactors(ctx, "alice"))
		has, err = w.Factors(ctx, u.ID)
		require.NoError(t, err)
		require.Equal(t, idp.Factors{}, has)
		sessions, err := w.Sessions(ctx, u.ID)
		require.NoError(t, err)
		require.False(t, sessions[0].EndedAt.IsZero())
		after, err := w.User(ctx, u.ID)
		require.NoError(t, err)
		require.True(t, after.TokensValidAfter.After(now))
		require.Equal(t, u.PasswordHash, after.PasswordHash)
		var reset []idp.Event
		for _, e := range w.events(t) {
			if e.Kind == idp.EventUserFactorsReset {
				reset = append(reset, e)
			}
		}
		require.Len(t, reset, 1)
		require.Equal(t, u.ID, reset[0].UserID)
		require.Equal(t, "command", reset[0].Detail["actor"])

		require.ErrorIs(t, w.ResetFactors(ctx, "nobody"), idp.ErrNotFound)
		_, err = w.Factors(ctx, "nobody")
		require.ErrorIs(t, err, idp.ErrNotFound)
	})
}
