package users_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/users"
)

// cheap is for tests that hash often and measure nothing by it: a thousandth of
// what NewHasher allows.
var cheap = users.HasherConfig{Memory: 64, Passes: 2, Lanes: 1, Concurrent: 2}

func hasher(t *testing.T, cfg users.HasherConfig) *users.Hasher {
	t.Helper()
	h, err := users.NewWeakHasher(cfg)
	require.NoError(t, err)
	return h
}

// A hash is today's also where the memory is no multiple of what the lanes share.
func TestMemoryThatIsRounded(t *testing.T) {
	t.Parallel()
	h := hasher(t, users.HasherConfig{Memory: 19459, Passes: 2, Lanes: 3})
	encoded, err := h.HashNew(t.Context(), idp.User{Username: "alice"}, phrase)
	require.NoError(t, err)
	ok, rehash, err := h.Verify(t.Context(), encoded, phrase)
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, rehash)
}

const phrase = "correct horse battery staple"

// The defaults are argon2id with 64 MiB, 3 passes, 1 lane, 16 bytes of salt and
// a tag of 32, as a PHC string.
func TestHashDefaults(t *testing.T) {
	t.Parallel()
	h := hasher(t, users.HasherConfig{})
	encoded, err := h.HashNew(t.Context(), idp.User{Username: "alice"}, phrase)
	require.NoError(t, err)
	require.Regexp(t, `^\$argon2id\$v=19\$m=65536,t=3,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, encoded)

	ok, rehash, err := h.Verify(t.Context(), encoded, phrase)
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, rehash)
	ok, _, err = h.Verify(t.Context(), encoded, phrase+" ")
	require.NoError(t, err)
	require.False(t, ok)
}

func TestSamePasswordsHaveDifferentHashes(t *testing.T) {
	t.Parallel()
	h := hasher(t, cheap)
	a, err := h.HashNew(t.Context(), idp.User{Username: "alice"}, phrase)
	require.NoError(t, err)
	b, err := h.HashNew(t.Context(), idp.User{Username: "alice"}, phrase)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
}

// Weaker than the floor is refused, by the name of the parameter.
func TestParametersBelowTheFloorAreRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]users.HasherConfig{
		"memory":     {Memory: 19455},
		"passes":     {Passes: 1},
		"lanes":      {Lanes: -1},
		"concurrent": {Concurrent: -1},
		"min_length": {MinLength: 7},
	} {
		_, err := users.NewHasher(cfg)
		var invalid *idp.InvalidError
		require.ErrorAs(t, err, &invalid, name)
		require.Equal(t, name, invalid.Field)
	}
}

// Hashes run as many at once as there are processors and memory for them.
func TestConcurrencyIsBoundedByProcessorsAndMemory(t *testing.T) {
	t.Parallel()
	cfg := cheap
	cfg.Concurrent = 0
	require.Equal(t, runtime.GOMAXPROCS(0), hasher(t, cfg).Concurrent())
	cfg.MemoryLimit = 100 << 20
	require.Equal(t, 1, hasher(t, cfg).Concurrent())
	cfg.MemoryLimit = 1
	require.Equal(t, 1, hasher(t, cfg).Concurrent())
}

// Hashes with other parameters and of other kinds are still accepted, and are
// to be made anew.
func TestOldHashesAreAcceptedAndRenewed(t *testing.T) {
	t.Parallel()
	old, err := hasher(t, cheap).HashNew(t.Context(), idp.User{Username: "alice"}, phrase)
	require.NoError(t, err)
	bc, err := bcrypt.New(bcrypt.WithIterations(10))
	require.NoError(t, err)
	bcDigest, err := bc.Hash(phrase)
	require.NoError(t, err)
	pb, err := pbkdf2.New(pbkdf2.WithIterations(100000))
	require.NoError(t, err)
	pbDigest, err := pb.Hash(phrase)
	require.NoError(t, err)

	dearer := cheap
	dearer.Passes = 3
	h := hasher(t, dearer)
	for name, encoded := range map[string]string{"argon2id": old, "bcrypt": bcDigest.Encode(), "pbkdf2": pbDigest.Encode()} {
		ok, rehash, err := h.Verify(t.Context(), encoded, phrase)
		require.NoError(t, err, name)
		require.True(t, ok, name)
		require.True(t, rehash, name)
		ok, rehash, err = h.Verify(t.Context(), encoded, "wrong "+phrase)
		require.NoError(t, err, name)
		require.False(t, ok, name)
		require.False(t, rehash, "only a proven password can be hashed anew")
	}
}

// No password, and hashes that cannot be read, match nothing and cost one hash.
func TestNothingMatchesAnUnusableHash(t *testing.T) {
	t.Parallel()
	h := hasher(t, cheap)
	for _, encoded := range []string{"", "plain", "$plaintext$secret", "$argon2id$v=19$m=8", "$1$salt$abc", "*"} {
		before := h.Computed()
		ok, rehash, err := h.Verify(t.Context(), encoded, "")
		require.False(t, ok, encoded)
		require.False(t, rehash, encoded)
		require.Equal(t, before+1, h.Computed(), encoded)
		if encoded == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, idp.ErrMalformed, encoded)
		require.NotContains(t, err.Error(), encoded)
	}
}

// More than 1024 bytes are refused before anything is hashed.
func TestLongPasswordsAreNeverHashed(t *testing.T) {
	t.Parallel()
	h := hasher(t, cheap)
	long := strings.Repeat("a", 1<<20)
	_, _, err := h.Verify(t.Context(), "", long)
	var invalid *idp.InvalidError
	require.ErrorAs(t, err, &invalid)
	_, err = h.HashNew(t.Context(), idp.User{Username: "alice"}, idp.Secret(long))
	require.ErrorAs(t, err, &invalid)
	require.Zero(t, h.Computed())
}

// Who gets no turn hears that the server is busy, after two seconds at most or
// when the request ends.
func TestWaitingForATurnEnds(t *testing.T) {
	t.Parallel()
	h := hasher(t, cheap)
	free := h.Occupy()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := h.Verify(ctx, "", phrase)
	require.ErrorIs(t, err, idp.ErrUnavailable)
	_, _, err = h.Verify(t.Context(), "", phrase) // nobody gives up but the hasher
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.Zero(t, h.Computed())
	free()
	_, _, err = h.Verify(t.Context(), "", phrase)
	require.NoError(t, err)
}
