package store_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
)

// Fixtures: what the tests below stand on.

func newID(t *testing.T) idp.ID {
	t.Helper()
	var id idp.ID
	_, err := rand.Read(id[:])
	require.NoError(t, err)
	return id
}

func event(kind idp.EventKind) idp.Event {
	return idp.Event{Kind: kind, ClientID: "web", Detail: map[string]string{"reason": "test"}}
}

func newUser(t *testing.T, s *store.Store, name string) idp.User {
	t.Helper()
	now := idp.Instant(time.Now())
	u := idp.User{ID: "sub-" + name, Username: name, State: idp.UserActive, CreatedAt: now, UpdatedAt: now}
	require.NoError(t, s.CreateUser(t.Context(), u, event(idp.EventUserCreated)))
	return u
}

func newSession(t *testing.T, s *store.Store, userID string) idp.Session {
	t.Helper()
	now := idp.Instant(time.Now())
	n := idp.Session{
		ID: newID(t), UserID: userID, Salt: []byte("0123456789abcdef"), AuthTime: now.Add(-time.Second), ACR: "1", AMR: []string{"pwd", "otp"},
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(12 * time.Hour), RemoteAddr: "192.0.2.1", UserAgent: "Browser 1.0",
	}
	require.NoError(t, s.CreateSession(t.Context(), n, idp.ID{}, event(idp.EventLoginSucceeded)))
	return n
}

func grantOf(t *testing.T, n idp.Session) idp.Grant {
	t.Helper()
	now := idp.Instant(time.Now())
	end := now.Add(30 * 24 * time.Hour)
	return idp.Grant{
		Handle: idp.GrantHandle{ExpiresOn: idp.DayOf(end), ID: newID(t)}, ClientID: "web", UserID: n.UserID, SessionID: n.ID,
		Scopes: []string{"openid", "offline_access"}, Resources: []string{"https://api.example"}, RedirectURI: "https://app.example/cb",
		RedirectURIOmitted: true, Nonce: "n-1 with space", CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		AuthTime: n.AuthTime, ACR: n.ACR, AMR: n.AMR, Salt: []byte("fedcba9876543210"),
		CreatedAt: now, CodeExpiresAt: now.Add(time.Minute), ExpiresAt: end,
	}
}

// scene is a user with a session and a grant whose code is unused.
type scene struct {
	user    idp.User
	session idp.Session
	grant   idp.Grant
}

func newScene(t *testing.T, s *store.Store) scene {
	t.Helper()
	u := newUser(t, s, "alice")
	n := newSession(t, s, u.ID)
	g := grantOf(t, n)
	require.NoError(t, s.CreateGrant(t.Context(), g, n.LastSeenAt, event(idp.EventCodeIssued)))
	return scene{u, n, g}
}

func accessToken(t *testing.T, h idp.GrantHandle) idp.AccessToken {
	t.Helper()
	now := idp.Instant(time.Now())
	return idp.AccessToken{
		ID: newID(t), Grant: h, ClientID: "web", Subject: "sub-alice", Audience: []string{"https://api.example", "https://b.example"},
		Scopes: []string{"read", "write"}, IssuedAt: now, ExpiresAt: now.Add(10 * time.Minute), AuthTime: now.Add(-time.Minute),
		ACR: "1", AMR: []string{"pwd"}, Groups: []string{"All Staff", "ops"}, Roles: []string{"reader"}, Entitlements: []string{"read"},
	}
}

func redemption(g idp.Grant) idp.CodeRedemption {
	return idp.CodeRedemption{Handle: g.Handle, At: g.CreatedAt.Add(time.Second), Refreshable: true, IdleExpiresAt: g.CreatedAt.Add(24 * time.Hour)}
}

func countEvents(t *testing.T, s *store.Store, kind idp.EventKind) int {
	t.Helper()
	events, err := s.Events(t.Context(), idp.ID{}, 10_000)
	require.NoError(t, err)
	n := 0
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}
