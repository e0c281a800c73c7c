package users_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
	"idp/internal/users"
)

// office is Accounts on a real database, with a mailbox.
type office struct {
	*users.Accounts
	factors *users.Factors
	store   *store.Store
	master  *tokens.Master
	opened  time.Time
	now     atomic.Int64 // how long ago that was
	t       *testing.T
}

func (o *office) clock() time.Time { return o.opened.Add(time.Duration(o.now.Load())) }

func openOffice(t *testing.T, s *store.Store) *office {
	t.Helper()
	master, err := tokens.NewMaster([]byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	o := &office{store: s, master: master, opened: idp.Instant(time.Now()), t: t}
	o.factors, err = users.NewFactors(users.FactorsConfig{Store: s, Vault: master, Throttle: s, Audit: &notes{}, Issuer: "https://id.example.com", Now: o.clock})
	require.NoError(t, err)
	o.Accounts = users.NewAccounts(users.AccountsConfig{
		Store: s, Sealer: master, Hasher: hasher(t, cheap), Throttle: s, Audit: &notes{}, Now: o.clock, Logger: slog.New(slog.DiscardHandler),
		Factors: o.factors, Domains: []string{users.AnyDomain},
	})
	return o
}

// mail opens the mail of a kind to an address.
func (o *office) mail(kind idp.MailKind, to string) idp.Mail {
	o.t.Helper()
	mails, err := o.store.Mails(o.t.Context(), 100)
	require.NoError(o.t, err)
	for _, sealed := range mails {
		if sealed.Kind == kind {
			m, err := o.master.OpenMail(sealed)
			require.NoError(o.t, err)
			if m.To == to {
				return m
			}
		}
	}
	o.t.Fatalf("no mail of kind %s to %s", kind, to)
	return idp.Mail{}
}

func secretOf(t *testing.T, link idp.MailLink) string {
	t.Helper()
	u, err := url.Parse(string(link))
	require.NoError(t, err)
	return u.Query().Get("link")
}

func (o *office) user(id string) idp.User {
	o.t.Helper()
	u, err := o.store.User(o.t.Context(), id)
	require.NoError(o.t, err)
	return u
}

func (o *office) create(id, email string) idp.User {
	o.t.Helper()
	u := idp.User{ID: id, Username: id, Profile: idp.Profile{Email: email, EmailVerified: email != ""}, State: idp.UserActive, CreatedAt: o.opened}
	require.NoError(o.t, o.store.CreateUser(o.t.Context(), u))
	return o.user(id)
}

// Of fifty uses of one link at once, one counts.
func TestAttack_Q09_OneUseOfManyAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		o := openOffice(t, open(t))
		alice := o.create("alice", "alice@example.com")
		path, _, err := o.HandOver(t.Context(), alice, idp.LinkReset)
		require.NoError(t, err)
		secret := secretOf(t, path)
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			ctx := from(t, "192.0.2."+string(rune('1'+i%9)))
			wg.Go(func() {
				switch _, err := o.ResetPassword(ctx, secret, "slow quiet rivers bend"); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, idp.ErrAlreadyUsed), errors.Is(err, idp.ErrUnavailable):
					lost.Add(1)
				default:
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(1), won.Load())
		require.Equal(t, int64(49), lost.Load())

		// A quarter of an hour, and not a moment longer.
		o.now.Store(int64(time.Second))
		path, link, err := o.HandOver(t.Context(), alice, idp.LinkReset)
		require.NoError(t, err)
		require.Equal(t, 15*time.Minute, link.ExpiresAt.Sub(link.CreatedAt))
		o.now.Store(int64(15*time.Minute + time.Second - time.Microsecond))
		_, err = o.Look(t.Context(), secretOf(t, path))
		require.NoError(t, err)
		o.now.Store(int64(15*time.Minute + time.Second))
		_, err = o.ResetPassword(t.Context(), secretOf(t, path), "slow quiet rivers bend")
		require.ErrorIs(t, err, idp.ErrExpired)
	})
}

// An address is good for nothing until a link shows that it is the person's; the
// one that was the primary one is told of another, and can undo it, which takes
// from whoever did it all that they had.
func TestAttack_Q21_AddressesAreConfirmedAndUndone(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		o, ctx := openOffice(t, open(t)), t.Context()
		alice, bob := o.create("alice", "alice@example.com"), o.create("bob", "")
		service := o.store

		// Added, and not verified: no name to sign in by, and not to be preferred.
		require.NoError(t, o.AddEmailAddress(ctx, alice, "Alice@New.example"))
		_, err := service.UserByLogin(ctx, "alice@new.example")
		require.ErrorIs(t, err, idp.ErrNotFound)
		require.ErrorIs(t, o.SetPrimaryEmailAddress(ctx, alice, "alice@new.example"), idp.ErrNotFound)
		m := o.mail(idp.MailVerifyAddress, "Alice@New.example")
		verify := secretOf(t, m.Message.(idp.VerifyAddressMail).Link)

		// Two may say that an address is theirs; who shows it first has it.
		require.NoError(t, o.AddEmailAddress(ctx, bob, "alice@new.example"))
		theirs := secretOf(t, o.mail(idp.MailVerifyAddress, "alice@new.example").Message.(idp.VerifyAddressMail).Link)
		_, err = o.VerifyEmailAddress(ctx, verify)
		require.NoError(t, err)
		_, err = o.VerifyEmailAddress(ctx, verify)
		require.ErrorIs(t, err, idp.ErrAlreadyUsed)
		_, err = o.VerifyEmailAddress(ctx, theirs)
		require.ErrorIs(t, err, idp.ErrConflict)
		_, err = o.RestoreEmailAddress(ctx, theirs) // of another kind
		require.ErrorIs(t, err, idp.ErrMalformed)
		found, err := service.UserByLogin(ctx, "ALICE@new.example")
		require.NoError(t, err)
		require.Equal(t, "alice", found.ID)
		require.Equal(t, "alice@example.com", found.Profile.Email)

		// The first address of somebody who had none is the primary one.
		require.NoError(t, o.AddEmailAddress(ctx, bob, "bob@example.com"))
		_, err = o.VerifyEmailAddress(ctx, secretOf(t, o.mail(idp.MailVerifyAddress, "bob@example.com").Message.(idp.VerifyAddressMail).Link))
		require.NoError(t, err)
		require.Equal(t, idp.Profile{Email: "bob@example.com", EmailVerified: true}, o.user("bob").Profile)

		// The old address is told, and undoes it.
		require.NoError(t, o.SetPrimaryEmailAddress(ctx, o.user("alice"), "alice@new.example"))
		require.Equal(t, "Alice@New.example", o.user("alice").Profile.Email)
		m = o.mail(idp.MailAddressChanged, "alice@example.com")
		undo := secretOf(t, m.Message.(idp.AddressChangedMail).Undo)
		path, _, err := o.HandOver(ctx, o.user("alice"), idp.LinkReset)
		require.NoError(t, err)
		require.NoError(t, o.RemoveEmailAddress(ctx, "alice", "alice@example.com"))
		o.now.Store(int64(6 * 24 * time.Hour))
		_, err = o.RestoreEmailAddress(ctx, undo)
		require.NoError(t, err)
		restored := o.user("alice")
		require.Equal(t, "alice@example.com", restored.Profile.Email)
		require.True(t, restored.Profile.EmailVerified)
		require.Equal(t, o.clock(), restored.TokensValidAfter)
		addresses, err := o.EmailAddresses(ctx, "alice")
		require.NoError(t, err)
		require.Len(t, addresses, 1)
		_, err = o.Look(ctx, secretOf(t, path))
		require.Error(t, err)
		_, err = o.RestoreEmailAddress(ctx, undo)
		require.ErrorIs(t, err, idp.ErrAlreadyUsed)
		require.ErrorIs(t, o.RemoveEmailAddress(ctx, "alice", "alice@example.com"), idp.ErrNotFound, "the primary one stays")
	})
}

// What looks like an address in some alphabet is not that address: a link goes
// to the one that was verified.
func TestAttack_Q08_LinkToTheVerifiedAddress(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		o := openOffice(t, open(t))
		o.create("kim", "kim@example.com")
		require.NoError(t, o.Recover(from(t, "192.0.2.1"), "\u212aim@example.com")) // the Kelvin sign
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o.Run(ctx)
		o.mail(idp.MailResetPassword, "kim@example.com")
	})
}
