package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// A new password and disabling end all that came before; enabling does not
// bring it back.
func TestPasswordChangeAndDisablingEndSessions(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice", Password: phrase})
		require.NoError(t, err)
		for _, act := range []func() error{
			func() error { return w.SetPassword(t.Context(), "alice", "another "+phrase) },
			func() error { return w.DisableUser(t.Context(), "alice") },
		} {
			session := signIn(t, w, u.ID)
			w.pass(time.Minute)
			require.NoError(t, act())
			sessions, err := w.Sessions(t.Context(), "alice")
			require.NoError(t, err)
			for _, s := range sessions {
				require.False(t, s.EndedAt.IsZero())
			}
			w.pass(time.Minute)
			require.NoError(t, w.EnableUser(t.Context(), "alice"))
			u, err = w.User(t.Context(), "alice")
			require.NoError(t, err)
			require.Equal(t, idp.RefusedUserReset, u.Gate(session.AuthTime))
			require.NoError(t, u.Gate(w.clock()))
		}
		require.Equal(t, marks{}.HashSecret("another "+phrase), u.PasswordHash)
		require.NotEmpty(t, faultsOf(t, w.SetPassword(t.Context(), "alice", ""))["password"])
		require.NotEmpty(t, faultsOf(t, w.SetPassword(t.Context(), "alice", "short"))["password"])
		kinds := map[idp.EventKind]int{}
		for _, e := range w.events(t) {
			kinds[e.Kind]++
		}
		require.Equal(t, 1, kinds[idp.EventUserPasswordSet])
		require.Equal(t, 1, kinds[idp.EventUserDisabled])
		require.Equal(t, 1, kinds[idp.EventUserEnabled], "enabling an active user changes nothing")
		require.Equal(t, 2, kinds[idp.EventSessionEnded])
	})
}

func signIn(t *testing.T, w *world, userID string) idp.Session {
	t.Helper()
	now := idp.Instant(w.clock())
	s := idp.Session{
		ID: idp.TimeOrderedID(now, idp.ID{}), UserID: userID, Salt: make([]byte, 16), AuthTime: now,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(12 * time.Hour),
	}
	require.NoError(t, w.store.CreateSession(t.Context(), s, idp.ID{}))
	return s
}

// Sessions are ended one by one or all at once.
func TestSessionsEnd(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice"})
		require.NoError(t, err)
		first := signIn(t, w, u.ID)
		w.pass(time.Second)
		signIn(t, w, u.ID)
		w.pass(time.Second)
		signIn(t, w, u.ID)
		require.NoError(t, w.EndSession(t.Context(), first.ID))
		require.Equal(t, first.ID.String(), w.last(t).SessionID)
		n, err := w.EndSessions(t.Context(), "alice")
		require.NoError(t, err)
		require.Equal(t, int64(2), n)
		n, err = w.EndSessions(t.Context(), "alice")
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// A consent is withdrawn once.
func TestConsentIsWithdrawn(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice"})
		require.NoError(t, err)
		require.ErrorIs(t, w.WithdrawConsent(t.Context(), "alice", "notes"), idp.ErrNotFound)
		require.NoError(t, w.store.SaveConsent(t.Context(), idp.Consent{UserID: u.ID, ClientID: "notes", Scopes: []string{"openid"}, GrantedAt: w.clock()},
			idp.Event{Kind: idp.EventConsentGranted}))
		w.pass(time.Second)
		require.NoError(t, w.WithdrawConsent(t.Context(), "alice", "notes"))
		e := w.last(t)
		require.Equal(t, idp.EventConsentWithdrawn, e.Kind)
		require.Equal(t, u.ID, e.UserID)
		require.Equal(t, "notes", e.ClientID)
		consents, err := w.Consents(t.Context(), "alice")
		require.NoError(t, err)
		require.False(t, consents[0].WithdrawnAt.IsZero())
		require.ErrorIs(t, w.WithdrawConsent(t.Context(), "alice", "notes"), idp.ErrNotFound)
	})
}
