package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// letter is a mail as the server seals it.
func letter(t *testing.T, kind idp.MailKind, at time.Time) idp.SealedMail {
	t.Helper()
	at = idp.Instant(at)
	return idp.SealedMail{
		ID: idp.TimeOrderedID(at, newID(t)), Kind: kind, UserID: "u1", Sealed: []byte("sealed " + string(kind)),
		CreatedAt: at, ExpiresAt: at.Add(idp.MailLife), DueAt: at,
	}
}

// mailed is an event that mail goes out because of.
func mailed(kind idp.EventKind, mail ...idp.SealedMail) idp.Event {
	e := event(kind)
	e.Mail = mail
	return e
}

func dueMails(t *testing.T, s *store.Store, now time.Time) []idp.SealedMail {
	t.Helper()
	due, err := s.DueMails(t.Context(), now, 100)
	require.NoError(t, err)
	return due
}

// Mail is stored where its event is stored, whichever way that goes, and
// nowhere else.
func TestMailGoesWithItsEvent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := time.Now()
		u := newUser(t, s, "alice")
		n := newSession(t, s, u.ID)
		g := grantOf(t, n)
		require.NoError(t, s.CreateGrant(ctx, g, time.Time{}))
		var want []idp.SealedMail
		post := func(kind idp.EventKind) idp.Event {
			a, b := letter(t, "a", now), letter(t, "b", now)
			want = append(want, a, b)
			return mailed(kind, a, b)
		}
		lost := func(kind idp.EventKind) idp.Event { return mailed(kind, letter(t, "lost", now)) }

		require.NoError(t, s.AppendEvents(ctx, []idp.Event{post(idp.EventLoginFailed), event(idp.EventLoginFailed)}))
		require.NoError(t, s.SetPassword(ctx, u.ID, "hash", time.Time{}, post(idp.EventUserPasswordSet)))
		require.ErrorIs(t, s.SetPassword(ctx, "nobody", "hash", time.Time{}, lost(idp.EventUserPasswordSet)), idp.ErrNotFound)
		require.NoError(t, s.RevokeGrant(ctx, g.Handle, "replayed", time.Time{}, post(idp.EventRefreshReplayed)))
		require.NoError(t, s.RevokeGrant(ctx, g.Handle, "replayed", time.Time{}, lost(idp.EventRefreshReplayed)))
		require.NoError(t, s.EndSession(ctx, n.ID, time.Time{}, post(idp.EventSessionEnded)))
		require.NoError(t, s.EndSession(ctx, n.ID, time.Time{}, lost(idp.EventSessionEnded)))

		due := dueMails(t, s, now.Add(time.Minute))
		require.ElementsMatch(t, want, due)
		all, err := s.Mails(ctx, 100)
		require.NoError(t, err)
		require.ElementsMatch(t, want, all)
		one, err := s.Mail(ctx, want[0].ID)
		require.NoError(t, err)
		require.Equal(t, want[0], one)

		// What is left for a person goes with the person.
		require.NoError(t, s.AppendEvents(ctx, []idp.Event{mailed(idp.EventLoginFailed, idp.SealedMail{
			ID: newID(t), Kind: "c", UserID: u.ID, Sealed: []byte("x"), CreatedAt: idp.Instant(now), ExpiresAt: idp.Instant(now), DueAt: idp.Instant(now),
		})}))
		require.Len(t, dueMails(t, s, now.Add(time.Minute)), len(want)+1)
		require.NoError(t, s.DeleteUser(ctx, u.ID, event(idp.EventUserDeleted)))
		require.Len(t, dueMails(t, s, now.Add(time.Minute)), len(want))
	})
}

func TestMailIsSentByOneNode(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := idp.Instant(time.Now())
		sent, kept, later := letter(t, "sent", now), letter(t, "kept", now.Add(time.Millisecond)), letter(t, "later", now.Add(2*time.Millisecond))
		later.DueAt = now.Add(time.Hour)
		require.NoError(t, s.AppendEvents(ctx, []idp.Event{mailed(idp.EventLoginFailed, sent, kept, later)}))
		now = now.Add(time.Second)
		same(t, []idp.SealedMail{sent, kept}, dueMails(t, s, now))
		limited, err := s.DueMails(ctx, now, 1)
		require.NoError(t, err)
		require.Len(t, limited, 1)

		// The claim is for one.
		mine, err := s.ClaimMail(ctx, sent, now.Add(time.Minute))
		require.NoError(t, err)
		require.True(t, mine)
		mine, err = s.ClaimMail(ctx, sent, now.Add(time.Minute))
		require.NoError(t, err)
		require.False(t, mine)
		same(t, []idp.SealedMail{kept}, dueMails(t, s, now))
		same(t, []idp.SealedMail{kept}, dueMails(t, s, now.Add(time.Minute-time.Microsecond)))
		require.Len(t, dueMails(t, s, now.Add(time.Minute)), 2, "whoever claimed it died")

		// What was sent is gone, with one event.
		require.NoError(t, s.FinishMail(ctx, sent, idp.MailSent, "", event(idp.EventMailSent)))
		require.NoError(t, s.FinishMail(ctx, sent, idp.MailSent, "", event(idp.EventMailSent)))
		_, err = s.Mail(ctx, sent.ID)
		require.ErrorIs(t, err, idp.ErrNotFound)

		require.NoError(t, s.PostponeMail(ctx, kept, now.Add(time.Minute), "451 greylisted"))
		require.Empty(t, dueMails(t, s, now))
		require.NoError(t, s.PostponeMails(ctx, now.Add(10*time.Minute)))
		require.Empty(t, dueMails(t, s, now.Add(5*time.Minute)))
		require.Len(t, dueMails(t, s, now.Add(10*time.Minute)), 1)
		require.NoError(t, s.FinishMail(ctx, kept, idp.MailUndelivered, "550 no such user", event(idp.EventMailUndelivered)))
		require.NoError(t, s.FinishMail(ctx, kept, idp.MailUndelivered, "again", event(idp.EventMailUndelivered)))
		got, err := s.Mail(ctx, kept.ID)
		require.NoError(t, err)
		require.Equal(t, idp.MailUndelivered, got.Outcome)
		require.Equal(t, "550 no such user", got.Failure)
		require.True(t, got.DueAt.IsZero())
		require.Len(t, dueMails(t, s, now.Add(100*time.Hour)), 1, "only the later one is due any more")

		kinds, err := s.Strings(ctx, "SELECT kind FROM audit_events WHERE kind LIKE 'mail.%' ORDER BY kind")
		require.NoError(t, err)
		require.Equal(t, []string{"mail.sent", "mail.undelivered"}, kinds)
	})
}

func TestOldMailIsRemoved(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		old, young := letter(t, "old", time.Now().Add(-31*24*time.Hour)), letter(t, "young", time.Now().Add(-29*24*time.Hour))
		require.NoError(t, s.AppendEvents(ctx, []idp.Event{mailed(idp.EventLoginFailed, old, young)}))
		require.NoError(t, s.Maintain(ctx))
		left, err := s.Mails(ctx, 10)
		require.NoError(t, err)
		require.Len(t, left, 1)
		require.True(t, strings.HasSuffix(string(left[0].Sealed), "young"))
	})
}
