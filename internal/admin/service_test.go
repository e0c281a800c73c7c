package admin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
	"idp/internal/users"
)

var (
	_ admin.Store     = (*store.Store)(nil)
	_ admin.Directory = (*store.Directory)(nil)
	_ admin.Secrets   = (*tokens.Master)(nil)
	_ admin.Hasher    = (*users.Hasher)(nil)
)

// marks stands for the keyed hash of secrets.
type marks struct{}

func (marks) SealSecret(clientID string, id idp.ID, secret idp.Secret) ([]byte, error) {
	return []byte("sealed:" + clientID + ":" + id.String() + ":" + secret.Reveal()), nil
}

// keysForAll has a signing key for everything.
type keysForAll struct{}

func (keysForAll) Ensure(context.Context, ...string) error { return nil }

func (marks) HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "test-sha256:" + hex.EncodeToString(sum[:])
}

// hashes stands for the password hasher, which has its own tests.
type hashes struct{}

func (hashes) CheckImported(encoded idp.Secret) (string, error) { return encoded.Reveal(), nil }

func (hashes) HashNew(_ context.Context, _ idp.User, password idp.Secret) (string, error) {
	if len(password) < 12 {
		return "", idp.Invalid("password", "has fewer than 12 characters")
	}
	return marks{}.HashSecret(password.Reveal()), nil
}

// world is a service over a real database, with a clock that moves by hand,
// and by a millisecond whenever it is read, so that events have an order.
type world struct {
	*admin.Service
	store     *store.Store
	directory *store.Directory

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Millisecond)
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

const phrase = "correct horse battery staple"

// run tests on both engines.
func run(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(t *testing.T) string) {
		w := &world{now: time.Now().UTC().Truncate(time.Second)}
		w.store = storetest.Migrated(t, store.Config{URL: url(t), Now: w.clock})
		var err error
		w.directory, err = w.store.LoadDirectory(t.Context())
		require.NoError(t, err)
		w.Service = admin.New(admin.Config{
			Store: w.store, Directory: w.directory, Secrets: marks{}, Hasher: hashes{},
			Attributes: declared(t),
			Issuer:     "https://issuer.example", Actor: "command", Now: w.clock,
			ClientKeys: tokens.NewClientKeys(tokens.ClientKeysConfig{Now: w.clock}), SigningKeys: keysForAll{},
		})
		f(t, w)
	})
}

// last returns the newest event.
func (w *world) last(t *testing.T) idp.Event {
	t.Helper()
	events := w.events(t)
	require.NotEmpty(t, events)
	return events[len(events)-1]
}

func (w *world) events(t *testing.T) []idp.Event {
	t.Helper()
	events, err := w.store.Events(t.Context(), idp.ID{}, 1000)
	require.NoError(t, err)
	return events
}

// client is metadata that is accepted.
func client() idp.ClientMetadata {
	return idp.ClientMetadata{
		ClientName:   "Notes",
		GrantTypes:   []string{idp.GrantAuthorizationCode, idp.GrantRefreshToken},
		RedirectURIs: []string{"https://notes.example/callback"},
		Scope:        "openid profile",
	}
}

// faultsOf returns the fields that an error names.
func faultsOf(t *testing.T, err error) map[string]string {
	t.Helper()
	fields := map[string]string{}
	var walk func(error)
	walk = func(err error) {
		var invalid *idp.InvalidError
		switch joined, ok := err.(interface{ Unwrap() []error }); { //nolint:errorlint // walking the tree itself
		case ok:
			for _, e := range joined.Unwrap() {
				walk(e)
			}
		case errors.As(err, &invalid):
			fields[invalid.Field] += invalid.Reason + "\n"
		default:
			t.Fatalf("not about the input: %v", err)
		}
	}
	require.Error(t, err)
	walk(err)
	return fields
}
