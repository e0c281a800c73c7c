package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func authenticatorOf(t *testing.T, userID string) idp.Authenticator {
	t.Helper()
	return idp.Authenticator{ID: newID(t), UserID: userID, Name: "Phone", Secret: []byte("sealed"), LastStep: 100, CreatedAt: idp.Instant(time.Now())}
}

func passkeyOf(t *testing.T, userID string) idp.Passkey {
	t.Helper()
	id := newID(t)
	return idp.Passkey{
		ID: id[:], UserID: userID, Name: "Laptop", PublicKey: []byte{1, 2, 3}, SignCount: 7, AAGUID: newID(t), Transports: []string{"internal", "hybrid"},
		UserVerified: true, BackupEligible: true, BackupState: true, CreatedAt: idp.Instant(time.Now()),
	}
}

func challenge(t *testing.T) idp.Challenge {
	t.Helper()
	return idp.Challenge{Value: newID(t).String(), ExpiresAt: time.Now().Add(5 * time.Minute)}
}

func addPasskey(t *testing.T, s *store.Store, p idp.Passkey) {
	t.Helper()
	require.NoError(t, s.AddPasskey(t.Context(), p, challenge(t), event(idp.EventFactorAdded)))
}

func TestFactorsSurvive(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u, other := newUser(t, s, "alice"), newUser(t, s, "bob")
		has := func() idp.Factors {
			f, err := s.Factors(ctx, u.ID)
			require.NoError(t, err)
			return f
		}
		same(t, idp.Factors{}, has())

		a, p := authenticatorOf(t, u.ID), passkeyOf(t, u.ID)
		plain := passkeyOf(t, u.ID)
		plain.AAGUID, plain.Transports, plain.BackupEligible, plain.BackupState, plain.UserVerified, plain.SignCount = [16]byte{}, nil, false, false, false, 0
		plain.CreatedAt = p.CreatedAt.Add(time.Second)
		require.NoError(t, s.ReplaceRecoveryCodes(ctx, u.ID, []string{"a", "b", "c"}, time.Time{}, event(idp.EventFactorAdded)))
		same(t, idp.Factors{RecoveryCodes: 3}, has())
		require.NoError(t, s.AddAuthenticator(ctx, a, event(idp.EventFactorAdded)))
		require.ErrorIs(t, s.AddAuthenticator(ctx, a, event(idp.EventFactorAdded)), idp.ErrConflict)
		addPasskey(t, s, plain)
		addPasskey(t, s, p)
		addPasskey(t, s, passkeyOf(t, other.ID))
		same(t, idp.Factors{Passkeys: []idp.Passkey{p, plain}, Authenticators: []idp.Authenticator{a}, RecoveryCodes: 3}, has())
		require.Equal(t, 5, countEvents(t, s, idp.EventFactorAdded), "a conflict leaves no event")

		at := idp.Instant(time.Now()).Add(time.Minute)
		require.NoError(t, s.UseAuthenticator(ctx, u.ID, a.ID, 101, at, event(idp.EventFactorUsed)))
		require.NoError(t, s.UsePasskey(ctx, idp.PasskeyUse{CredentialID: p.ID, UserID: u.ID, SignCount: 9, At: at}, challenge(t), event(idp.EventFactorUsed)))
		require.NoError(t, s.UseRecoveryCode(ctx, u.ID, "b", at, event(idp.EventFactorUsed)))
		require.NoError(t, s.RenameAuthenticator(ctx, u.ID, a.ID, "Tablet", event(idp.EventFactorChanged)))
		require.NoError(t, s.RenamePasskey(ctx, u.ID, p.ID, "Desk", event(idp.EventFactorChanged)))
		a.LastStep, a.LastUsedAt, a.Name = 101, at, "Tablet"
		p.SignCount, p.BackupState, p.LastUsedAt, p.Name = 9, false, at, "Desk"
		same(t, idp.Factors{Passkeys: []idp.Passkey{p, plain}, Authenticators: []idp.Authenticator{a}, RecoveryCodes: 2}, has())
		require.Equal(t, 3, countEvents(t, s, idp.EventFactorUsed))
		require.NoError(t, s.UsePasskey(ctx, idp.PasskeyUse{CredentialID: plain.ID, UserID: u.ID, UserVerified: true, At: at}, challenge(t), event(idp.EventFactorUsed)))
		plain.UserVerified, plain.LastUsedAt = true, at
		same(t, []idp.Passkey{p, plain}, has().Passkeys)

		handle, err := s.UserHandle(ctx, u.ID, []byte("first"))
		require.NoError(t, err)
		require.Equal(t, []byte("first"), handle)
		handle, err = s.UserHandle(ctx, u.ID, []byte("second"))
		require.NoError(t, err)
		require.Equal(t, []byte("first"), handle, "one for ever")
		_, err = s.UserHandle(ctx, "nobody", []byte("third"))
		require.ErrorIs(t, err, idp.ErrNotFound)
		state, err := s.PasskeyState(ctx, p.ID)
		require.NoError(t, err)
		same(t, idp.PasskeyState{Passkey: p, Handle: handle, User: u}, state)
		_, err = s.PasskeyState(ctx, []byte("unknown"))
		require.ErrorIs(t, err, idp.ErrNotFound)

		require.NoError(t, s.ReplaceRecoveryCodes(ctx, u.ID, []string{"d", "e"}, at, event(idp.EventFactorAdded)))
		require.Equal(t, 2, has().RecoveryCodes)
		require.ErrorIs(t, s.UseRecoveryCode(ctx, u.ID, "a", at, event(idp.EventFactorUsed)), idp.ErrAlreadyUsed, "from the old list")
		require.ErrorIs(t, s.UseRecoveryCode(ctx, other.ID, "d", at, event(idp.EventFactorUsed)), idp.ErrAlreadyUsed, "another person's")

		require.NoError(t, s.DeleteUser(ctx, u.ID, event(idp.EventUserDeleted)))
		same(t, idp.Factors{}, has())
		require.ErrorIs(t, s.AddAuthenticator(ctx, a, event(idp.EventFactorAdded)), idp.ErrNotFound)
		require.ErrorIs(t, s.AddPasskey(ctx, p, challenge(t), event(idp.EventFactorAdded)), idp.ErrNotFound)
		require.ErrorIs(t, s.ReplaceRecoveryCodes(ctx, u.ID, []string{"f"}, at, event(idp.EventFactorAdded)), idp.ErrNotFound)
	})
}

// Each use is good once, however many bring it at the same moment; the losers
// leave nothing in the audit.
func TestFactorsAreUsedOnce(t *testing.T) {
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		stores := nodes(t, url(t), nil)
		s, ctx := stores[0], t.Context()
		u := newUser(t, s, "alice")
		now := idp.Instant(time.Now())
		const n = 50
		race := func(use func(s *store.Store) error) {
			t.Helper()
			before := countEvents(t, s, idp.EventFactorUsed)
			requireOneWinner(t, parallel(n, func(i int) error { return use(stores[i%len(stores)]) }), idp.ErrAlreadyUsed)
			require.Equal(t, before+1, countEvents(t, s, idp.EventFactorUsed), "only the winner is in the audit")
		}

		a := authenticatorOf(t, u.ID)
		require.NoError(t, s.AddAuthenticator(ctx, a, event(idp.EventFactorAdded)))
		race(func(s *store.Store) error {
			return s.UseAuthenticator(ctx, u.ID, a.ID, 101, now, event(idp.EventFactorUsed))
		})
		for _, old := range []int64{100, 101} {
			require.ErrorIs(t, s.UseAuthenticator(ctx, u.ID, a.ID, old, now, event(idp.EventFactorUsed)), idp.ErrAlreadyUsed)
		}
		require.ErrorIs(t, s.UseAuthenticator(ctx, "somebody else", a.ID, 102, now, event(idp.EventFactorUsed)), idp.ErrAlreadyUsed)

		require.NoError(t, s.ReplaceRecoveryCodes(ctx, u.ID, []string{"a", "b"}, now, event(idp.EventFactorAdded)))
		race(func(s *store.Store) error { return s.UseRecoveryCode(ctx, u.ID, "a", now, event(idp.EventFactorUsed)) })

		p, c := passkeyOf(t, u.ID), challenge(t)
		p.SignCount = 0
		addPasskey(t, s, p)
		use := idp.PasskeyUse{CredentialID: p.ID, UserID: u.ID, At: now}
		race(func(s *store.Store) error { return s.UsePasskey(ctx, use, c, event(idp.EventFactorUsed)) })

		added := challenge(t)
		keys := make([]idp.Passkey, n)
		for i := range keys {
			keys[i] = passkeyOf(t, u.ID)
		}
		requireOneWinner(t, parallel(n, func(i int) error {
			return stores[i%len(stores)].AddPasskey(ctx, keys[i], added, event(idp.EventFactorAdded))
		}), idp.ErrAlreadyUsed)

		// Two lists that are stored at once are not mixed.
		lists := [][]string{{"c", "d", "e"}, {"f", "g", "h"}}
		for _, err := range parallel(len(lists), func(i int) error {
			return stores[i%len(stores)].ReplaceRecoveryCodes(ctx, u.ID, lists[i], now, event(idp.EventFactorAdded))
		}) {
			require.NoError(t, err)
		}
		valid := 0
		for _, list := range lists {
			good := 0
			for _, code := range list {
				if s.UseRecoveryCode(ctx, u.ID, code, now, event(idp.EventFactorUsed)) == nil {
					good++
				}
			}
			require.Contains(t, []int{0, 3}, good)
			valid += good
		}
		require.Equal(t, 3, valid)
	})
}

// Web Authentication Level 3 section 7.2 step 22: a counter that does not
// advance may be that of a copy, unless the authenticator does not count.
func TestSignatureCounterDoesNotGoBack(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		p := passkeyOf(t, u.ID) // counted to 7
		addPasskey(t, s, p)
		use := func(count uint32, c idp.Challenge) error {
			return s.UsePasskey(ctx, idp.PasskeyUse{CredentialID: p.ID, UserID: u.ID, SignCount: count, At: time.Now()}, c, event(idp.EventFactorUsed))
		}
		spent := challenge(t)
		require.ErrorIs(t, use(7, spent), idp.ErrConflict)
		require.ErrorIs(t, use(8, spent), idp.ErrAlreadyUsed, "the challenge is gone with the attempt")
		require.ErrorIs(t, use(0, challenge(t)), idp.ErrConflict, "one that counted goes on counting")
		require.ErrorIs(t, use(6, challenge(t)), idp.ErrConflict)
		require.NoError(t, use(1<<32-1, challenge(t)))
		require.ErrorIs(t, use(8, challenge(t)), idp.ErrConflict)
		require.Equal(t, 1, countEvents(t, s, idp.EventFactorUsed))

		p = passkeyOf(t, u.ID)
		p.SignCount = 0
		addPasskey(t, s, p)
		require.NoError(t, use(0, challenge(t)))
		require.NoError(t, use(0, challenge(t)))
		require.NoError(t, use(1, challenge(t)), "it may begin to count")
		require.ErrorIs(t, use(0, challenge(t)), idp.ErrConflict)
		require.ErrorIs(t, s.UsePasskey(ctx, idp.PasskeyUse{CredentialID: p.ID, UserID: "somebody else", SignCount: 9}, challenge(t), event(idp.EventFactorUsed)), idp.ErrConflict)

		require.ErrorIs(t, s.AddPasskey(ctx, p, challenge(t), event(idp.EventFactorAdded)), idp.ErrConflict, "everybody's credentials share their names")
	})
}

// Taking a factor away ends what was signed in before, if that is asked for.
func TestRemovingFactors(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		a, p := authenticatorOf(t, u.ID), passkeyOf(t, u.ID)
		require.NoError(t, s.AddAuthenticator(ctx, a, event(idp.EventFactorAdded)))
		addPasskey(t, s, p)
		validAfter := func() time.Time {
			got, err := s.User(ctx, u.ID)
			require.NoError(t, err)
			return got.TokensValidAfter
		}
		at := idp.Instant(time.Now())
		require.ErrorIs(t, s.RemoveAuthenticator(ctx, "somebody else", a.ID, time.Time{}, event(idp.EventFactorRemoved)), idp.ErrNotFound)
		require.ErrorIs(t, s.RemovePasskey(ctx, "somebody else", p.ID, time.Time{}, event(idp.EventFactorRemoved)), idp.ErrNotFound)
		require.ErrorIs(t, s.RemovePasskey(ctx, u.ID, []byte("unknown"), at, event(idp.EventFactorRemoved)), idp.ErrNotFound)
		require.Zero(t, validAfter(), "nothing was removed")
		require.NoError(t, s.RemoveAuthenticator(ctx, u.ID, a.ID, time.Time{}, event(idp.EventFactorRemoved)))
		require.Zero(t, validAfter())
		require.NoError(t, s.RemovePasskey(ctx, u.ID, p.ID, at, event(idp.EventFactorRemoved)))
		require.Equal(t, at, validAfter())
		require.Equal(t, 2, countEvents(t, s, idp.EventFactorRemoved))

		require.NoError(t, s.AddAuthenticator(ctx, a, event(idp.EventFactorAdded)))
		addPasskey(t, s, p)
		require.NoError(t, s.ReplaceRecoveryCodes(ctx, u.ID, []string{"a"}, at, event(idp.EventFactorAdded)))
		require.NoError(t, s.RemoveFactors(ctx, u.ID, at.Add(time.Second), event(idp.EventUserFactorsReset)))
		require.Equal(t, at.Add(time.Second), validAfter())
		has, err := s.Factors(ctx, u.ID)
		require.NoError(t, err)
		same(t, idp.Factors{}, has)
		require.ErrorIs(t, s.RemoveFactors(ctx, "nobody", at, event(idp.EventUserFactorsReset)), idp.ErrNotFound)
		require.Equal(t, 1, countEvents(t, s, idp.EventUserFactorsReset))
	})
}
