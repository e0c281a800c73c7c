package users_test

import (
	"strings"
	"testing"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/stretchr/testify/require"

	"idp/internal/idp"
)

// What other systems keep is verified as it is, and made anew.
func TestImportedHashes(t *testing.T) {
	t.Parallel()
	h := hasher(t, cheap)
	hashers := map[string]func() (algorithm.Hash, error){
		"argon2id": func() (algorithm.Hash, error) {
			return argon2.New(argon2.WithVariantID(), argon2.WithM(1<<10), argon2.WithT(1), argon2.WithP(1))
		},
		"argon2i": func() (algorithm.Hash, error) {
			return argon2.New(argon2.WithVariantI(), argon2.WithM(1<<10), argon2.WithT(1), argon2.WithP(1))
		},
		"bcrypt": func() (algorithm.Hash, error) { return bcrypt.New(bcrypt.WithIterations(10)) },
		"scrypt": func() (algorithm.Hash, error) { return scrypt.New(scrypt.WithLN(10)) },
		"pbkdf2-sha256": func() (algorithm.Hash, error) {
			return pbkdf2.New(pbkdf2.WithVariantName("sha256"), pbkdf2.WithIterations(100000))
		},
		"pbkdf2-sha512": func() (algorithm.Hash, error) {
			return pbkdf2.New(pbkdf2.WithVariantName("sha512"), pbkdf2.WithIterations(100000))
		},
		"sha256-crypt": func() (algorithm.Hash, error) {
			return shacrypt.New(shacrypt.WithVariantName("sha256"), shacrypt.WithIterations(5000))
		},
		"sha512-crypt": func() (algorithm.Hash, error) {
			return shacrypt.New(shacrypt.WithVariantName("sha512"), shacrypt.WithIterations(10000))
		},
	}
	for name, make := range hashers {
		t.Run(name, func(t *testing.T) {
			other, err := make()
			require.NoError(t, err)
			digest, err := other.Hash(phrase)
			require.NoError(t, err)
			kept, err := h.CheckImported(idp.Secret(digest.Encode()))
			require.NoError(t, err, digest.Encode())
			ok, rehash, err := h.Verify(t.Context(), kept, phrase)
			require.NoError(t, err)
			require.True(t, ok)
			require.True(t, rehash)
			ok, _, err = h.Verify(t.Context(), kept, "wrong")
			require.NoError(t, err)
			require.False(t, ok)
		})
	}
}

// A hash that would keep a processor busy, or that is none, never gets in.
func TestImportedHashesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := hasher(t, cheap)
	const salt, key = "c2FsdHNhbHRzYWx0c2FsdA", "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U"
	for _, text := range []string{
		"", "hunter2", "$plaintext$hunter2", "$1$salt$1234567890123456789012", "$9$nobody$knows",
		"$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=4000000000,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=1,p=1,m=4194304$" + salt + "$" + key,
		"$argon2id$v=19$m=99999999999999999999,t=1,p=1$" + salt + "$" + key,
		"$2b$31$" + strings.Repeat("a", 53), "$2b$15$" + strings.Repeat("a", 53),
		"$scrypt$ln=30,r=8,p=1$" + salt + "$" + key, "$scrypt$ln=16,r=8,p=999$" + salt + "$" + key,
		"$pbkdf2-sha512$4000000000$" + salt + "$" + key,
		"$6$rounds=999999999$saltsalt$" + strings.Repeat("a", 86),
		"$6$saltsalt$" + strings.Repeat("a", 500),
	} {
		_, err := h.CheckImported(idp.Secret(text))
		var fault *idp.InvalidError
		require.ErrorAs(t, err, &fault, text)
		require.Equal(t, "password_hash", fault.Field)
		if len(text) > 10 {
			require.NotContains(t, err.Error(), text[:10])
		}
	}
}
