package tokens_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"idp/internal/idp"
	"idp/internal/tokens"
)

const issuer = "https://issuer.example"

// epoch is when the shared keys of the tests were made.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// memoryStore keeps keys as the database would.
type memoryStore struct {
	mu     sync.Mutex
	keys   []idp.Key
	events []idp.Event
	writes int
	err    error
}

func (s *memoryStore) Keys(context.Context) ([]idp.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys), s.err
}

func (s *memoryStore) InsertFirstKeys(ctx context.Context, keys []idp.Key, events ...idp.Event) error {
	s.mu.Lock()
	taken := len(s.keys) > 0
	s.mu.Unlock()
	if taken {
		return idp.ErrConflict
	}
	return s.InsertKeys(ctx, keys, events...)
}

func (s *memoryStore) InsertKeys(_ context.Context, keys []idp.Key, events ...idp.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, keys...)
	s.events = append(s.events, events...)
	s.writes++
	return s.err
}

func (s *memoryStore) RetireKey(_ context.Context, kid string, at time.Time, event idp.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys, func(k idp.Key) bool { return k.KID == kid })
	if i < 0 {
		return idp.ErrNotFound
	}
	s.keys[i].RetiredAt = at
	s.events = append(s.events, event)
	s.writes++
	return s.err
}

func newMaster(t testing.TB, fill byte) *tokens.Master {
	t.Helper()
	key := bytes.Repeat([]byte{fill}, 32)
	key[0]++
	m, err := tokens.NewMaster(key)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sharedKeys holds one key for each algorithm, made once: RSA keys take long.
var sharedKeys = sync.OnceValues(func() ([]idp.Key, error) {
	key := bytes.Repeat([]byte{7}, 32)
	key[0]++
	m, err := tokens.NewMaster(key)
	if err != nil {
		return nil, err
	}
	store := &memoryStore{}
	k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: m, Store: store, Now: func() time.Time { return epoch }})
	err = errors.Join(k.Start(context.Background()), k.Ensure(context.Background(), idp.Algorithms()...))
	return store.keys, err
})

// fixture is a started keyring with a key for each algorithm.
type fixture struct {
	*tokens.Keyring
	master *tokens.Master
	store  *memoryStore
	clock  *clock
}

func newFixture(t testing.TB, change ...func(*tokens.KeyringConfig)) *fixture {
	t.Helper()
	rows, err := sharedKeys()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{master: newMaster(t, 7), store: &memoryStore{keys: slices.Clone(rows)}, clock: &clock{at: epoch}}
	cfg := tokens.KeyringConfig{Issuer: issuer, Master: f.master, Store: f.store, Now: f.clock.Now, Retain: time.Hour, JWKSMaxAge: 5 * time.Minute}
	for _, c := range change {
		c(&cfg)
	}
	f.Keyring = tokens.NewKeyring(cfg)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// node is another keyring on the same store.
func (f *fixture) node(t testing.TB) *tokens.Keyring {
	t.Helper()
	k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: f.master, Store: f.store, Now: f.clock.Now, Retain: time.Hour, JWKSMaxAge: 5 * time.Minute})
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// private unseals a private key of the store, for forging tokens.
func (f *fixture) private(t testing.TB, alg string) (kid string, key crypto.Signer) {
	t.Helper()
	for _, row := range f.store.keys {
		if row.Alg != alg {
			continue
		}
		der, err := f.master.Open(tokens.PurposeSigningKeys, row.SealedPrivate, []byte("signing_keys|"+row.KID+"|"+alg))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		return row.KID, parsed.(crypto.Signer)
	}
	t.Fatalf("no %s key", alg)
	return "", nil
}

func (f *fixture) accessToken() idp.AccessToken {
	now := f.clock.Now()
	return idp.AccessToken{
		ID:           idp.ID{1, 2, 3},
		Grant:        idp.GrantHandle{ExpiresOn: idp.DayOf(now) + 30, ID: idp.ID{4, 5, 6}},
		ClientID:     "web",
		Subject:      "user-1",
		Audience:     []string{"https://api.example"},
		Scopes:       []string{"openid", "orders:read"},
		IssuedAt:     now,
		ExpiresAt:    now.Add(10 * time.Minute),
		AuthTime:     now.Add(-time.Minute),
		ACR:          "urn:example:pwd",
		AMR:          []string{"pwd"},
		Groups:       []string{"staff", `a "quoted" \ group`, "ärzte <b>\u2028"},
		Roles:        []string{"clerk"},
		Entitlements: []string{"orders:read"},
	}
}

func (f *fixture) idToken() idp.IDToken {
	now := f.clock.Now()
	return idp.IDToken{
		ClientID: "web", Subject: "user-1", SessionID: idp.ID{9}, Nonce: `n-"0S6`,
		IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), AuthTime: now.Add(-time.Minute),
		ACR: "urn:example:pwd", AMR: []string{"pwd"}, AccessToken: "at",
		Claims: map[string]any{"name": "Zoë", "email_verified": true, "updated_at": int64(1700000000)},
	}
}

func (f *fixture) signAccess(t testing.TB, alg string) string {
	t.Helper()
	raw, err := f.SignAccessToken(alg, f.accessToken())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (f *fixture) signID(t testing.TB, alg string) string {
	t.Helper()
	raw, err := f.SignIDToken(alg, f.idToken())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func refuse(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}
