package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// hearingGrant stores a grant to a client that wants to hear of logouts.
func hearingGrant(t *testing.T, s *store.Store, n idp.Session, clientID string) {
	t.Helper()
	g := grantOf(t, n)
	g.ClientID, g.LogoutSubject = clientID, "sub-for-"+clientID
	require.NoError(t, s.CreateGrant(t.Context(), g, time.Time{}))
}

func dueLogouts(t *testing.T, s *store.Store, now time.Time) []idp.LogoutNotice {
	t.Helper()
	due, err := s.DueLogouts(t.Context(), now, 100, 1000)
	require.NoError(t, err)
	return due
}

// Whatever ends a session leaves word for the clients that want to hear, once,
// and for no others.
func TestEndOfASessionLeavesWord(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		other := newSession(t, s, newUser(t, s, "bob").ID)
		hearingGrant(t, s, other, "mail")
		for name, end := range map[string]func(n idp.Session, at time.Time) error{
			"EndSession": func(n idp.Session, at time.Time) error {
				return s.EndSession(ctx, n.ID, at, event(idp.EventSessionEnded))
			},
			"EndUserSessions": func(_ idp.Session, at time.Time) error {
				_, err := s.EndUserSessions(ctx, u.ID, at, event(idp.EventSessionEnded))
				return err
			},
			"CreateSession": func(n idp.Session, at time.Time) error {
				successor := n
				successor.ID, successor.CreatedAt = newID(t), at
				return s.CreateSession(ctx, successor, n.ID)
			},
		} {
			t.Run(name, func(t *testing.T) {
				n := newSession(t, s, u.ID)
				for range 2 {
					hearingGrant(t, s, n, "mail")
				}
				hearingGrant(t, s, n, "wiki")
				require.NoError(t, s.CreateGrant(ctx, grantOf(t, n), time.Time{})) // does not want to hear
				told, err := s.SessionClients(ctx, n.ID)
				require.NoError(t, err)
				require.Equal(t, []string{"mail", "wiki"}, told)
				at := idp.Instant(time.Now())
				require.Empty(t, dueLogouts(t, s, at.Add(time.Hour)), "the session lives")
				require.NoError(t, end(n, at))
				require.NoError(t, s.EndSession(ctx, n.ID, at.Add(time.Second), event(idp.EventSessionEnded)), "again")
				require.Empty(t, dueLogouts(t, s, at.Add(-time.Microsecond)))
				due := dueLogouts(t, s, at)
				same(t, []idp.LogoutNotice{
					{SessionID: n.ID, ClientID: "mail", Subject: "sub-for-mail", EndedAt: at},
					{SessionID: n.ID, ClientID: "wiki", Subject: "sub-for-wiki", EndedAt: at},
				}, due)
				for _, notice := range due {
					require.NoError(t, s.FinishLogout(ctx, notice, event(idp.EventLogoutDelivered)))
				}
				require.Empty(t, dueLogouts(t, s, at.Add(time.Hour)))
			})
		}
		t.Run("a grant behind the end", func(t *testing.T) {
			n := newSession(t, s, u.ID)
			at := idp.Instant(time.Now())
			require.NoError(t, s.EndSession(ctx, n.ID, at, event(idp.EventSessionEnded)))
			hearingGrant(t, s, n, "late")
			require.Len(t, dueLogouts(t, s, at), 1)
			require.NoError(t, s.FinishLogout(ctx, dueLogouts(t, s, at)[0]))
		})
		t.Run("DeleteUser", func(t *testing.T) {
			n := newSession(t, s, u.ID)
			hearingGrant(t, s, n, "mail")
			require.NoError(t, s.DeleteUser(ctx, u.ID, event(idp.EventUserDeleted)))
			due := dueLogouts(t, s, time.Now().Add(time.Minute))
			require.Len(t, due, 1)
			require.Equal(t, "sub-for-mail", due[0].Subject)
		})
	})
}

// A notice is claimed by one node, rests as it is told to, and is finished once.
func TestLogoutNoticesAreDeliveredOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		at := idp.Instant(time.Now())
		for i := range 5 {
			n := newSession(t, s, u.ID)
			hearingGrant(t, s, n, "mail")
			if i < 2 {
				hearingGrant(t, s, n, "wiki")
			}
			require.NoError(t, s.EndSession(ctx, n.ID, at.Add(time.Duration(i)*time.Millisecond), event(idp.EventSessionEnded)))
		}
		at = at.Add(time.Second)
		due, err := s.DueLogouts(ctx, at, 2, 100)
		require.NoError(t, err)
		require.Len(t, due, 4, "no more than two for each client")
		due, err = s.DueLogouts(ctx, at, 100, 3)
		require.NoError(t, err)
		require.Len(t, due, 3)

		notice := due[0]
		errs := parallel(8, func(int) error {
			mine, err := s.ClaimLogout(ctx, notice, at.Add(15*time.Second))
			if err == nil && !mine {
				err = idp.ErrAlreadyUsed
			}
			return err
		})
		requireOneWinner(t, errs, idp.ErrAlreadyUsed)
		require.Len(t, dueLogouts(t, s, at), 6, "a claimed one rests")
		require.Len(t, dueLogouts(t, s, at.Add(15*time.Second)), 7, "until the claim is over")

		require.NoError(t, s.PostponeLogouts(ctx, "mail", at.Add(time.Minute)))
		for _, n := range dueLogouts(t, s, at.Add(59*time.Second)) {
			require.Equal(t, "wiki", n.ClientID)
		}
		require.NoError(t, s.PostponeLogout(ctx, notice, at.Add(2*time.Minute)))
		require.Len(t, dueLogouts(t, s, at.Add(time.Minute)), 6)

		before := countEvents(t, s, idp.EventLogoutDelivered)
		for range 2 {
			require.NoError(t, s.FinishLogout(ctx, notice, event(idp.EventLogoutDelivered)))
		}
		require.Equal(t, before+1, countEvents(t, s, idp.EventLogoutDelivered))
		mine, err := s.ClaimLogout(ctx, notice, at)
		require.NoError(t, err)
		require.False(t, mine, "it is gone")
	})
}

func TestOldSessionClientsGoWithTheirSessions(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		clock := &clock{at: time.Now()}
		s, ctx := storetest.Migrated(t, store.Config{URL: url(t), Now: clock.now, GrantRetention: 40 * 24 * time.Hour}), t.Context()
		n := newSession(t, s, newUser(t, s, "alice").ID)
		for i := range 3 {
			hearingGrant(t, s, n, fmt.Sprint("client", i))
		}
		clock.advance(40*24*time.Hour + 11*time.Hour) // the session lives 12 hours
		maintainAhead(t, s)
		told, err := s.SessionClients(ctx, n.ID)
		require.NoError(t, err)
		require.Len(t, told, 3)
		clock.advance(2 * time.Hour)
		maintainAhead(t, s)
		told, err = s.SessionClients(ctx, n.ID)
		require.NoError(t, err)
		require.Empty(t, told)
	})
}
