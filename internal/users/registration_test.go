package users_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/users"
)

// apply asks for an account, and returns the secret of the link.
func (o *office) apply(address string) string {
	o.t.Helper()
	require.NoError(o.t, o.Register(from(o.t, "192.0.2.1"), address, "de", idp.Flow{To: "/account/data"}))
	ctx, cancel := context.WithCancel(o.t.Context())
	cancel()
	o.Run(ctx)
	m := o.mail(idp.MailRegistration, address)
	require.Equal(o.t, "de", m.Language)
	require.Empty(o.t, m.Name+m.UserID)
	return secretOf(o.t, m.Message.(idp.RegistrationMail).Link)
}

// An account that begins with a passkey has one that checks its owner, made for
// it in this browser; of many who bring the same one answer one has it.
func TestAttack_Q14_FirstPasskey(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		o, ctx := openOffice(t, open(t)), t.Context()
		alice := o.create("alice", "alice@example.com")
		secret := o.apply("erin@example.com")
		state, err := o.Look(ctx, secret)
		require.NoError(t, err)
		ask := func() idp.Ceremony {
			c, err := o.FirstPasskey(state, here)
			require.NoError(t, err)
			return c
		}
		complete := func(browser []byte, sealed string, response []byte) (idp.Registered, error) {
			return o.CompleteRegistration(ctx, secret, browser, idp.Newcomer{Username: "erin", Passkey: &idp.PasskeyAnswer{Sealed: sealed, Response: response}})
		}
		c := ask()
		require.Contains(t, string(c.Options), `"userVerification":"required"`)
		require.Contains(t, string(c.Options), `"name":"erin@example.com"`)
		verifying := newDevice(t, flagPresent|flagVerified)
		response := verifying.create(t, c)
		another, err := o.factors.BeginPasskeyRegistration(ctx, alice, here)
		require.NoError(t, err)
		for name, refused := range map[string]func() error{
			"an authenticator that checks nobody": func() error {
				_, err := complete(here, c.Sealed, newDevice(t, flagPresent).create(t, c))
				return err
			},
			"another browser": func() error {
				_, err := complete(elsewhere, c.Sealed, response)
				return err
			},
			"another's ceremony": func() error {
				_, err := complete(here, another.Sealed, newDevice(t, flagPresent|flagVerified).create(t, another))
				return err
			},
			"no ceremony": func() error {
				_, err := complete(here, "", response)
				return err
			},
			"for somebody who is there": func() error {
				_, _, err := o.factors.FinishPasskeyRegistration(ctx, idp.User{ID: state.User.ID}, here, c.Sealed, "", response)
				return err
			},
		} {
			require.ErrorIs(t, refused(), idp.ErrFactor, name)
		}

		// The same handle each time, so that a second try leaves nothing behind.
		again := newDevice(t, flagPresent|flagVerified)
		again.create(t, ask())
		require.Equal(t, verifying.handle, again.handle)

		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				switch made, err := complete(here, c.Sealed, response); {
				case err == nil:
					won.Add(1)
					if made.From.To != "/account/data" || len(made.Factors) == 0 {
						t.Errorf("%+v", made)
					}
				case errors.Is(err, idp.ErrAlreadyUsed), errors.Is(err, idp.ErrUnavailable), errors.Is(err, idp.ErrThrottled):
					lost.Add(1)
				default:
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(1), won.Load())
		require.Equal(t, int64(19), lost.Load())

		// It lets them in alone, a password does not, and a link to set one does.
		erin, err := o.store.UserByLogin(ctx, "erin@example.com")
		require.NoError(t, err)
		require.Equal(t, state.User.ID, erin.ID)
		require.Empty(t, erin.PasswordHash)
		require.Zero(t, erin.PasswordChangedAt)
		require.Equal(t, "de", erin.Language())
		in, err := o.factors.BeginPasskeySignIn(ctx, idp.PasskeyRequest{Browser: here, Verification: true})
		require.NoError(t, err)
		who, factors, err := o.factors.FinishPasskeySignIn(ctx, here, in.Sealed, verifying.get(t, in))
		require.NoError(t, err)
		require.Equal(t, erin.ID, who.ID)
		require.Equal(t, idp.ACRHardwareProtected, (&idp.Proof{}).With(o.clock(), factors...).ACR())
		service := users.New(users.Config{Store: o.store, Hasher: hasher(t, cheap), Throttle: o.store, Audit: &notes{}, Now: o.clock})
		_, err = service.Authenticate(from(t, "192.0.2.2"), "erin", "", nil)
		require.ErrorIs(t, err, idp.ErrCredentials)
		path, _, err := o.HandOver(ctx, erin, idp.LinkReset)
		require.NoError(t, err)
		_, err = o.ResetPassword(from(t, "192.0.2.2"), secretOf(t, path), "slow quiet rivers bend")
		require.NoError(t, err)
		_, err = service.Authenticate(from(t, "192.0.2.2"), "erin", "slow quiet rivers bend", nil)
		require.NoError(t, err)
	})
}

// A day, and while the address may have an account; there is nobody before.
func TestAttack_Q21_RegistrationNotForLong(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		o, ctx := openOffice(t, open(t)), t.Context()
		secret := o.apply("erin@example.com")
		n := idp.Newcomer{Username: "erin", Password: "slow quiet rivers bend"}
		closed := users.NewAccounts(users.AccountsConfig{
			Store: o.store, Sealer: o.master, Hasher: hasher(t, cheap), Throttle: o.store, Audit: &notes{}, Now: o.clock, Domains: []string{"example.org"},
		})
		_, err := closed.CompleteRegistration(ctx, secret, here, n)
		require.ErrorIs(t, err, idp.ErrExpired)
		_, err = o.AcceptInvitation(ctx, secret, here, n) // of another kind
		require.ErrorIs(t, err, idp.ErrMalformed)
		o.now.Store(int64(24*time.Hour - time.Microsecond))
		_, err = o.Look(ctx, secret)
		require.NoError(t, err)
		o.now.Store(int64(24 * time.Hour))
		_, err = o.CompleteRegistration(ctx, secret, here, n)
		require.ErrorIs(t, err, idp.ErrExpired)
		_, err = o.store.UserByLogin(ctx, "erin@example.com")
		require.ErrorIs(t, err, idp.ErrNotFound)
	})
}
