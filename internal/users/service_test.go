package users_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/users"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// accounts are users in memory.
type accounts struct {
	byName map[string]idp.User
	err    error
	asked  atomic.Int64
}

func (a *accounts) UserByLogin(_ context.Context, username string) (idp.User, error) {
	a.asked.Add(1)
	if a.err != nil {
		return idp.User{}, a.err
	}
	u, ok := a.byName[strings.ToLower(username)]
	if !ok {
		return idp.User{}, idp.ErrNotFound
	}
	return u, nil
}

// buckets is GCRA in memory.
type buckets struct {
	mu   sync.Mutex
	tat  map[string]time.Time
	took []string
	err  error
}

func (b *buckets) Take(_ context.Context, key string, now time.Time, interval time.Duration, burst int) (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	b.took = append(b.took, key)
	tat := b.tat[key]
	if tat.Before(now) {
		tat = now
	}
	if wait := tat.Sub(now) - interval*time.Duration(burst-1); wait > 0 {
		return wait, fmt.Errorf("key %s: %w", key, idp.ErrThrottled)
	}
	b.tat[key] = tat.Add(interval)
	return 0, nil
}

func (b *buckets) GiveBack(_ context.Context, key string, interval time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tat[key] = b.tat[key].Add(-interval)
	return nil
}

func (b *buckets) Release(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tat, key)
	return nil
}

type notes struct {
	mu  sync.Mutex
	all []idp.Event
}

func (n *notes) Note(_ context.Context, e idp.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, e)
}

// take returns the notes so far and forgets them.
func (n *notes) take() []idp.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.all
	n.all = nil
	return all
}

// renewed remembers which hash was replaced.
type renewed struct{ userID, old, replacement string }

func (r *renewed) ReplacePasswordHash(_ context.Context, userID, old, replacement string) error {
	r.userID, r.old, r.replacement = userID, old, replacement
	return nil
}

// failuresPerMinute is what the installation of a world allows.
const failuresPerMinute = 30

type world struct {
	*users.Service
	hasher   *users.Hasher
	accounts *accounts
	buckets  *buckets
	notes    *notes
	renewed  *renewed
	log      *bytes.Buffer
	now      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	h := hasher(t, cheap)
	encoded, err := h.HashNew(t.Context(), idp.User{Username: "alice"}, phrase)
	require.NoError(t, err)
	bc, err := bcrypt.New(bcrypt.WithIterations(10))
	require.NoError(t, err)
	imported, err := bc.Hash(phrase)
	require.NoError(t, err)
	w := &world{
		hasher: h,
		accounts: &accounts{byName: map[string]idp.User{
			"alice":   {ID: "u-alice", Username: "Alice", PasswordHash: encoded, State: idp.UserActive},
			"bob":     {ID: "u-bob", Username: "bob", PasswordHash: encoded, State: idp.UserDisabled},
			"nopass":  {ID: "u-nopass", Username: "nopass", State: idp.UserActive},
			"broken":  {ID: "u-broken", Username: "broken", PasswordHash: "$9$nobody$knows", State: idp.UserActive},
			"carried": {ID: "u-carried", Username: "carried", PasswordHash: imported.Encode(), State: idp.UserActive},
			"strange": {ID: "u-strange", Username: "strange", PasswordHash: encoded, State: "frozen"},
		}},
		buckets: &buckets{tat: map[string]time.Time{}},
		notes:   &notes{}, renewed: &renewed{}, log: &bytes.Buffer{}, now: start,
	}
	w.Service = users.New(users.Config{
		Store: w.accounts, Rehash: w.renewed, Hasher: h, Throttle: w.buckets, FailuresPerMinute: failuresPerMinute, Audit: w.notes,
		Logger: slog.New(slog.NewTextHandler(w.log, nil)), Now: func() time.Time { return w.now },
	})
	return w
}

func from(t *testing.T, addr string) context.Context {
	t.Helper()
	return idp.WithRequest(t.Context(), &idp.Request{ID: "r", RemoteAddr: addr})
}

func TestRightPasswordSignsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := w.Authenticate(from(t, "192.0.2.1"), "aLICE", phrase, nil)
	require.NoError(t, err)
	require.Equal(t, "u-alice", u.ID)
	require.Empty(t, w.notes.take())
	require.Empty(t, w.renewed.userID)
}

// Nobody learns from the answer or the work whether an account exists, is
// disabled or has a password: same error, one hash, one event whose reason only
// the operator sees.
func TestFailuresAreIndistinguishable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tc := range []struct{ username, password, reason, userID string }{
		{"mallory", phrase, "unknown_user", ""},
		{"alice", "wrong " + phrase, "wrong_password", "u-alice"},
		{"alice", "", "wrong_password", "u-alice"},
		{"bob", phrase, "disabled", "u-bob"},
		{"bob", "wrong " + phrase, "wrong_password", "u-bob"},
		{"strange", phrase, "disabled", "u-strange"},
		{"nopass", phrase, "no_password", "u-nopass"},
		{"nopass", "", "no_password", "u-nopass"},
		{"broken", phrase, "unusable_hash", "u-broken"},
		{"", phrase, "unknown_user", ""},
		{"al\x00ice", phrase, "unknown_user", ""},
		{"al\xffice", phrase, "unknown_user", ""},
		{strings.Repeat("a", 100_000), phrase, "unknown_user", ""},
	} {
		before := w.hasher.Computed()
		u, err := w.Authenticate(from(t, "192.0.2.1"), tc.username, tc.password, nil)
		require.Equal(t, idp.ErrCredentials, err, "%.20q", tc.username)
		require.Zero(t, u)
		require.Equal(t, before+1, w.hasher.Computed(), "%.20q: one hash", tc.username)
		noted := w.notes.take()
		require.Len(t, noted, 1)
		require.Equal(t, idp.EventLoginFailed, noted[0].Kind)
		require.Equal(t, tc.reason, noted[0].Detail["reason"])
		require.Equal(t, tc.userID, noted[0].UserID)
		require.NotContains(t, fmt.Sprint(noted[0]), "mallory", "what was typed may be a password")
		w.now = w.now.Add(time.Minute)
	}
}

// Of 200 parallel guesses at one account exactly five are evaluated, wherever
// they come from.
func TestParallelGuessesGetExactlyTheirNumber(t *testing.T) {
	t.Parallel()
	for _, username := range []string{"alice", "mallory"} {
		w := newWorld(t)
		before := w.hasher.Computed()
		var evaluated, throttled atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			ctx := from(t, fmt.Sprintf("198.51.100.%d", i))
			name := username
			if i%2 == 0 {
				name = strings.ToUpper(username) // the same account
			}
			wg.Go(func() {
				_, err := w.Authenticate(ctx, name, "wrong "+phrase, nil)
				switch {
				case errors.Is(err, idp.ErrCredentials):
					evaluated.Add(1)
				case errors.Is(err, idp.ErrThrottled):
					throttled.Add(1)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(5), evaluated.Load(), username)
		require.Equal(t, int64(195), throttled.Load(), username)
		require.Equal(t, before+5, w.hasher.Computed(), username)
		kinds := map[idp.EventKind]int{}
		for _, e := range w.notes.take() {
			kinds[e.Kind]++
		}
		require.Equal(t, map[idp.EventKind]int{idp.EventLoginFailed: 5, idp.EventLoginThrottled: 195}, kinds)
	}
}

// After the free attempts one comes back every ten seconds, and the error says
// when.
func TestAccountThrottleSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", "wrong", nil)
		require.ErrorIs(t, err, idp.ErrCredentials)
	}
	w.now = w.now.Add(500 * time.Millisecond)
	_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrThrottled)
	var wait interface{ RetryAfter() time.Duration }
	require.ErrorAs(t, err, &wait)
	require.Equal(t, 10*time.Second, wait.RetryAfter(), "9.5 seconds, upwards")
	w.now = w.now.Add(wait.RetryAfter())
	_, err = w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
	require.NoError(t, err)
}

// Signing in gives the account its attempts back.
func TestSuccessReleasesTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		for range 4 {
			_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", "wrong", nil)
			require.ErrorIs(t, err, idp.ErrCredentials)
		}
		_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
		require.NoError(t, err)
	}
}

// One address gets twenty attempts and then one every six seconds, however
// many accounts it tries.
func TestAddressThrottleCountsAllAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.hasher.Computed()
	for i := range 20 {
		_, err := w.Authenticate(from(t, "2001:db8:1:2::1"), fmt.Sprint("user", i), "wrong", nil)
		require.ErrorIs(t, err, idp.ErrCredentials)
	}
	_, err := w.Authenticate(from(t, "[2001:db8:1:2:ffff::2]:4711"), "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrThrottled, "the same /64")
	noted := w.notes.take()
	require.Equal(t, "address", noted[len(noted)-1].Detail["reason"])
	require.Equal(t, before+20, w.hasher.Computed())
	_, err = w.Authenticate(from(t, "2001:db8:1:3::1"), "alice", phrase, nil)
	require.NoError(t, err, "another /64")
}

// onDevice answers that the request comes from a device of the user with this
// identifier, and of nobody else.
func onDevice(userID string) func(idp.User) (*idp.Device, error) {
	return func(u idp.User) (*idp.Device, error) {
		if u.ID != userID {
			return nil, nil
		}
		return &idp.Device{ID: idp.ID{1}, UserID: userID}, nil
	}
}

// Guesses from elsewhere, at the account, from the owner's address and at the
// whole installation, do not hold up the owner on a device of theirs; the device
// has its own limit, and helps with no other account.
func TestGuessesElsewhereDoNotHoldUpAKnownDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	office := from(t, "192.0.2.1")
	for i := range 25 {
		_, _ = w.Authenticate(office, "alice", "wrong", nil)
		_, _ = w.Authenticate(office, fmt.Sprint("user", i), "wrong", nil)
	}
	require.NoError(t, w.drain(t))
	_, err := w.Authenticate(office, "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrThrottled)
	_, err = w.Authenticate(office, "alice", phrase, onDevice("u-bob"))
	require.ErrorIs(t, err, idp.ErrThrottled, "another one's device")

	for range 4 {
		_, err = w.Authenticate(office, "alice", "wrong", onDevice("u-alice"))
		require.ErrorIs(t, err, idp.ErrCredentials)
	}
	u, err := w.Authenticate(office, "alice", phrase, onDevice("u-alice"))
	require.NoError(t, err)
	require.Equal(t, "u-alice", u.ID)
	_, err = w.Authenticate(office, "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrThrottled, "the owner's success gives guessers nothing back")

	// A device that was taken over gets no more than anybody else.
	w.notes.take()
	for range 5 {
		_, err = w.Authenticate(office, "alice", "wrong", onDevice("u-alice"))
		require.ErrorIs(t, err, idp.ErrCredentials)
	}
	_, err = w.Authenticate(office, "alice", phrase, onDevice("u-alice"))
	require.ErrorIs(t, err, idp.ErrThrottled)
	noted := w.notes.take()
	require.Equal(t, "device", noted[len(noted)-1].Detail["reason"])
	require.Equal(t, "u-alice", noted[len(noted)-1].UserID)
}

// drain uses up what the installation has, from an address and with a name of
// its own each time, and counts what was evaluated.
func (w *world) drain(t *testing.T) error {
	t.Helper()
	for i := range failuresPerMinute + 1 {
		_, err := w.Authenticate(from(t, fmt.Sprintf("203.0.113.%d", i)), fmt.Sprint("nobody", i), "wrong", nil)
		if errors.Is(err, idp.ErrThrottled) {
			return nil
		}
	}
	return errors.New("the installation has no limit")
}

// Whoever tries one password at each account, from an address of its own each,
// gets as many failures in a minute as the installation allows; what succeeds
// and what was not evaluated does not count.
func TestInstallationLimitCountsFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range failuresPerMinute + 5 {
		_, err := w.Authenticate(from(t, fmt.Sprintf("198.51.100.%d", i)), "alice", phrase, nil)
		require.NoError(t, err)
	}
	free := w.hasher.Occupy()
	ctx, cancel := context.WithCancel(from(t, "198.51.100.1"))
	cancel()
	for range 30 {
		_, err := w.Authenticate(ctx, "alice", phrase, nil)
		require.ErrorIs(t, err, idp.ErrUnavailable)
	}
	free()

	before := w.hasher.Computed()
	require.NoError(t, w.drain(t))
	require.Equal(t, before+failuresPerMinute, w.hasher.Computed())
	noted := w.notes.take()
	require.Equal(t, idp.EventLoginThrottled, noted[len(noted)-1].Kind)
	require.Equal(t, "installation", noted[len(noted)-1].Detail["reason"])
	// While nothing can come of it, the database is not asked for the one row that
	// everybody shares.
	w.buckets.took = nil
	_, err := w.Authenticate(from(t, "203.0.113.200"), "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrThrottled)
	require.NotContains(t, w.buckets.took, "login:all")
	w.now = w.now.Add(-time.Hour) // a clock that is set right
	_, _ = w.Authenticate(from(t, "203.0.113.202"), "nobody", "wrong", nil)
	require.Contains(t, w.buckets.took, "login:all")
	w.now = w.now.Add(time.Hour + time.Minute/failuresPerMinute)
	_, err = w.Authenticate(from(t, "203.0.113.201"), "alice", phrase, nil)
	require.NoError(t, err)
}

// People who share an address are not counted, failures are.
func TestSuccessGivesTheAddressItsAttemptBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 30 {
		_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
		require.NoError(t, err)
	}
}

// A device that cannot be looked up is not an unknown one.
func TestOutageOfDevicesIsNotARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.hasher.Computed()
	_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, func(idp.User) (*idp.Device, error) { return nil, idp.ErrUnavailable })
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.Equal(t, before, w.hasher.Computed())
	require.Empty(t, w.buckets.tat)
}

// An address that cannot be read does not get round the throttle.
func TestUnreadableAddressesShareOneThrottle(t *testing.T) {
	t.Parallel()
	for remote, key := range map[string]string{
		"192.0.2.1":             "login:address:192.0.2.1",
		"192.0.2.1:80":          "login:address:192.0.2.1",
		"::ffff:192.0.2.1":      "login:address:192.0.2.1",
		"2001:db8::1":           "login:address:2001:db8::/64",
		"[2001:db8::2]:443":     "login:address:2001:db8::/64",
		"fe80::1%eth0":          "login:address:fe80::/64",
		"":                      "login:address:unknown",
		"nonsense":              "login:address:unknown",
		"192.0.2.1, 192.0.2.2":  "login:address:unknown",
		"@":                     "login:address:unknown",
		"192.0.2.1\x00attacker": "login:address:unknown",
	} {
		require.Equal(t, key, users.AddressKey(remote), remote)
	}
}

// The throttle's table does not tell what people typed.
func TestAccountKeysHoldNoText(t *testing.T) {
	t.Parallel()
	require.Equal(t, users.AccountKey("Alice"), users.AccountKey("aLICE"))
	require.NotEqual(t, users.AccountKey("alice"), users.AccountKey("alicf"))
	require.NotContains(t, users.AccountKey("alice"), "alice")
}

// A throttle or a database that is away is not a wrong password.
func TestOutagesAreNotRefusals(t *testing.T) {
	t.Parallel()
	away := fmt.Errorf("connection refused: %w", idp.ErrUnavailable)
	w := newWorld(t)
	before := w.hasher.Computed()
	w.buckets.err = away
	_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.NotErrorIs(t, err, idp.ErrCredentials)
	require.Equal(t, before, w.hasher.Computed(), "no stage is skipped")
	w.buckets.err, w.accounts.err = nil, away
	_, err = w.Authenticate(from(t, "192.0.2.1"), "alice", phrase, nil)
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.NotErrorIs(t, err, idp.ErrCredentials)
	require.Equal(t, before, w.hasher.Computed())
	require.Empty(t, w.notes.take())
}

// A megabyte of password costs neither an attempt nor a hash.
func TestLongPasswordIsRefusedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.hasher.Computed()
	_, err := w.Authenticate(from(t, "192.0.2.1"), "alice", strings.Repeat("a", 1<<20), nil)
	var invalid *idp.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, before, w.hasher.Computed())
	require.Empty(t, w.buckets.tat)
}

// An imported hash becomes one of ours at the first sign-in, replacing exactly
// the hash that was proven.
func TestImportedHashIsRenewedAtSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Authenticate(from(t, "192.0.2.1"), "carried", "wrong "+phrase, nil)
	require.ErrorIs(t, err, idp.ErrCredentials)
	require.Empty(t, w.renewed.userID)
	_, err = w.Authenticate(from(t, "192.0.2.1"), "carried", phrase, nil)
	require.NoError(t, err)
	require.Equal(t, "u-carried", w.renewed.userID)
	require.Equal(t, w.accounts.byName["carried"].PasswordHash, w.renewed.old)
	ok, rehash, err := w.hasher.Verify(t.Context(), w.renewed.replacement, phrase)
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, rehash)
}

// No password and no hash reaches the log.
func TestLogHoldsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"alice", "broken", "carried", "mallory"} {
		_, _ = w.Authenticate(from(t, "192.0.2.1"), name, phrase, nil)
	}
	out := w.log.String() + fmt.Sprint(w.notes.take())
	for _, secret := range []string{phrase, "$argon2id", "$2", "$9$"} {
		require.NotContains(t, out, secret)
	}
}
