package users_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/users"
)

var ada = idp.User{Username: "ada.byron", Profile: idp.Profile{
	Name: "Ada King", GivenName: "Ada", FamilyName: "Lovelace", Email: "countess@analytical.example",
}}

// What guessers try first is refused by the rule that it breaks, with its
// ornaments too; there are no rules about composition, and a few words that do
// not belong together are a password.
func TestNewPasswords(t *testing.T) {
	t.Parallel()
	cfg := cheap
	cfg.ServiceNames = []string{"id.tidewater.example", "192.0.2.1"}
	h := hasher(t, cfg)
	for password, rule := range map[string]idp.PasswordRule{
		"":                            idp.PasswordTooShort,
		"kx7#vv0qLm1":                 idp.PasswordTooShort,
		strings.Repeat("éà", 5) + "é": idp.PasswordTooShort,
		strings.Repeat("kx7#", 300):   idp.PasswordTooLong,
		"velvet-anchor\xff":           idp.PasswordUnusable,
		"velvet\x00anchor":            idp.PasswordUnusable,
		strings.Repeat("x", 40):       idp.PasswordRepeated,
		"abababababab":                idp.PasswordRepeated,
		"kx7#kx7#kx7#k":               idp.PasswordRepeated,
		"ééééééééééééé":               idp.PasswordRepeated,
		"qwertyuiop123":               idp.PasswordSequence,
		"1qaz2wsx3edc":                idp.PasswordSequence,
		"0987654321qwerty":            idp.PasswordSequence,
		"abcdefghijkl":                idp.PasswordSequence,
		"Mnbvcxzlkjhgfdsa!":           idp.PasswordSequence,
		"azertyuiop2024":              idp.PasswordSequence,
		"ada.byron.1815":              idp.PasswordPersonal,
		"Lovelace1815!":               idp.PasswordPersonal,
		"AdaKingAdaKing":              idp.PasswordPersonal,
		"countess@analytical.example": idp.PasswordPersonal,
		"c0unt3ss-2024":               idp.PasswordPersonal,
		"Tidewater2024!":              idp.PasswordService,
		"id.tidewater.example":        idp.PasswordService,
		"Password1234":                idp.PasswordCommon,
		"P@ssw0rd2024!":               idp.PasswordCommon,
		"passwordpassword":            idp.PasswordCommon,
		"iloveyou123456":              idp.PasswordCommon,
		"Welcome-Sunshine-1":          idp.PasswordCommon,
		"!!!Dragon2024!!":             idp.PasswordCommon,
		"Sommer2024!!!":               idp.PasswordCommon,
		"motdepasse2024":              idp.PasswordCommon,

		"velvet anchor":                  "",
		"correct horse battery staple":   "",
		"monkey dragon football welcome": "",
		"a b c d e f g":                  "",
		"kx7#vv0qLm1p":                   "",
		"847362910573":                   "",
		"ada likes long walks":           "",
		"пароль от сейфа":                "",
		"夜空に浮かぶ月と雲の影を":                   "",
	} {
		_, err := h.HashNew(t.Context(), ada, idp.Secret(password))
		if rule == "" {
			require.NoError(t, err, password)
			continue
		}
		var invalid *idp.InvalidError
		require.ErrorAs(t, err, &invalid, "%.40q", password)
		require.Equal(t, rule, invalid.Rule, "%.40q", password)
		require.Equal(t, "password", invalid.Field)
		require.NotEmpty(t, invalid.Reason)
		if len(password) > 8 {
			require.NotContains(t, err.Error(), password)
		}
		switch rule {
		case idp.PasswordTooShort:
			require.Equal(t, 12, invalid.Limit)
		case idp.PasswordTooLong:
			require.Equal(t, 1024, invalid.Limit)
		}
	}
	require.Equal(t, int64(9), h.Computed(), "what is refused is not hashed")
}

// An operator's list is a file of passwords, or of their sorted hashes, which
// may be replaced at any time.
func TestDeniedPasswords(t *testing.T) {
	t.Parallel()
	var listed, sha1s, sha256s []string
	for i := range 3000 {
		password := fmt.Sprint("leaked horse ", i)
		listed = append(listed, password)
		sha1s = append(sha1s, fmt.Sprintf("%X:%d", sha1.Sum([]byte(password)), i*i))
		sha256s = append(sha256s, fmt.Sprintf("%x", sha256.Sum256([]byte(password))))
	}
	slices.Sort(sha1s)
	slices.Sort(sha256s)
	for name, content := range map[string]string{
		"passwords":       strings.Join(listed, "\n"),
		"sha1 of windows": strings.Join(sha1s, "\r\n") + "\r\n",
		"sha256":          strings.Join(sha256s, "\n"),
		"one sha1":        sha1s[0] + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "denied")
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			denied, err := users.OpenDeniedPasswords(path)
			require.NoError(t, err)
			found := 0
			for _, password := range listed {
				ok, err := denied.Contains(password)
				require.NoError(t, err)
				if ok {
					found++
				}
			}
			if name == "one sha1" {
				require.Equal(t, 1, found)
			} else {
				require.Equal(t, len(listed), found)
			}
			for i := range 500 {
				ok, err := denied.Contains(fmt.Sprint("velvet anchor ", i))
				require.NoError(t, err)
				require.False(t, ok)
			}

			cfg := cheap
			cfg.Denied = denied
			h := hasher(t, cfg)
			require.NoError(t, os.WriteFile(path, []byte("another velvet anchor\n"), 0o600))
			_, err = h.HashNew(t.Context(), ada, "Another Velvet Anchor")
			var invalid *idp.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, idp.PasswordCommon, invalid.Rule)
			// No password is set that was not looked for.
			require.NoError(t, os.Remove(path))
			_, err = h.HashNew(t.Context(), ada, "velvet anchor")
			require.ErrorIs(t, err, idp.ErrUnavailable)
			require.NotContains(t, err.Error(), path)
		})
	}
}

// A list that cannot be searched is refused at the start.
func TestDeniedPasswordsThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var digests []string
	for i := range 200 {
		digests = append(digests, fmt.Sprintf("%x", sha1.Sum([]byte{byte(i)})))
	}
	sorted := slices.Sorted(slices.Values(digests))
	for reason, content := range map[string]string{
		"not sorted":             strings.Join(digests, "\n"),
		"not a hash like":        strings.Join(append(sorted[:100:100], slices.Repeat([]string{"hunter2"}, 100)...), "\n"),
		"longer than 4096 bytes": strings.Repeat("x", 1<<16),
	} {
		path := filepath.Join(dir, "denied")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := users.OpenDeniedPasswords(path)
		require.ErrorContains(t, err, reason)
	}
	_, err := users.OpenDeniedPasswords(filepath.Join(dir, "none"))
	require.EqualError(t, err, "no such file or directory")
	_, err = users.OpenDeniedPasswords(dir)
	require.ErrorContains(t, err, "directory")
}

// ranges is a service that knows some passwords.
type ranges struct {
	asked []string
	known string
	err   error
}

func (r *ranges) Range(_ context.Context, prefix string) ([]byte, error) {
	r.asked = append(r.asked, prefix)
	if r.err != nil {
		return nil, r.err
	}
	var b bytes.Buffer
	digest := fmt.Sprintf("%X", sha1.Sum([]byte(r.known)))
	padding := fmt.Sprintf("%X", sha1.Sum([]byte("velvet anchor")))
	fmt.Fprintf(&b, "0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n%s:3\r\n%s:0\r\n", digest[5:], padding[5:])
	return b.Bytes(), nil
}

// The service learns five digits of a hash, of passwords that no other rule
// refuses; what is padding was never leaked, and a service that is away keeps
// nobody from setting a password.
func TestBreachedPasswords(t *testing.T) {
	t.Parallel()
	service := &ranges{known: "correct horse battery staple"}
	cfg := cheap
	cfg.Breached = service
	h := hasher(t, cfg)
	_, err := h.HashNew(t.Context(), ada, "correct horse battery staple")
	var invalid *idp.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, idp.PasswordBreached, invalid.Rule)
	require.Equal(t, []string{fmt.Sprintf("%X", sha1.Sum([]byte(service.known)))[:5]}, service.asked)

	_, err = h.HashNew(t.Context(), ada, "velvet anchor")
	require.NoError(t, err)
	_, err = h.HashNew(t.Context(), ada, "password1234")
	require.Error(t, err)
	require.Len(t, service.asked, 2)

	service.err = errors.New("away")
	_, err = h.HashNew(t.Context(), ada, "correct horse battery staple")
	require.NoError(t, err)
	// At the sign-in nothing is asked.
	_, _, err = h.Verify(t.Context(), "", "correct horse battery staple")
	require.NoError(t, err)
	require.Len(t, service.asked, 3)
}
