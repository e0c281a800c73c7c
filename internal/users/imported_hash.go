package users

import (
	"regexp"
	"strconv"

	"idp/internal/idp"
)

// importable is one kind of hash that other systems keep: its form, with its
// costs as groups, and whether they can be paid at a sign-in. What is allowed
// takes about a second and 128 MiB at most.
type importable struct {
	form       *regexp.Regexp
	affordable func(costs []uint64) bool
}

const maxImportedMemory = 128 << 20 // bytes

// maxImportedHash is longer than any hash in these forms, in bytes.
const maxImportedHash = 512

var importables = []importable{
	// Argon2 (RFC 9106): KiB, passes, lanes.
	{regexp.MustCompile(`^\$argon2(?:id|i|d)\$v=19\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,10})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`), func(c []uint64) bool {
		return c[0]<<10 <= maxImportedMemory && c[0] > 0 && c[1] > 0 && c[1] <= 64 && c[0]*c[1] <= 512<<10 && c[2] > 0 && c[2] <= 64
	}},
	// bcrypt: the logarithm of the rounds.
	{regexp.MustCompile(`^\$2[aby]\$(\d{2})\$[A-Za-z0-9./]{53}$`), func(c []uint64) bool { return c[0] >= 4 && c[0] <= 14 }},
	// scrypt (RFC 7914): the logarithm of N, r, p.
	{regexp.MustCompile(`^\$scrypt\$ln=(\d{1,3}),r=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`), func(c []uint64) bool {
		return c[0] > 0 && c[0] <= 20 && c[1] > 0 && c[1] <= 32 && c[2] > 0 && c[2] <= 16 && (128*c[1])<<c[0] <= maxImportedMemory && (128*c[1]*c[2])<<c[0] <= 2*maxImportedMemory
	}},
	// PBKDF2 (RFC 8018): iterations.
	{regexp.MustCompile(`^\$pbkdf2(?:-sha1|-sha224|-sha256|-sha384|-sha512)?\$(\d{1,10})\$[A-Za-z0-9./]{11,86}\$[A-Za-z0-9./]{22,86}$`), func(c []uint64) bool {
		return c[0] > 0 && c[0] <= 2_000_000
	}},
	// SHA-crypt, without and with a number of rounds.
	{regexp.MustCompile(`^\$[56]\$[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43,86}$`), func([]uint64) bool { return true }},
	{regexp.MustCompile(`^\$[56]\$rounds=(\d{1,10})\$[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43,86}$`), func(c []uint64) bool {
		return c[0] >= 1000 && c[0] <= 1_000_000
	}},
}

// CheckImported returns a hash from another system when it can be kept: it is
// good until the next sign-in, which makes a better one. Any other, and one that
// would take too long to check, is an *idp.InvalidError that names
// "password_hash" and does not repeat it.
func (h *Hasher) CheckImported(encoded idp.Secret) (string, error) {
	text := encoded.Reveal()
	if len(text) > maxImportedHash {
		return "", idp.Invalid("password_hash", "is too long")
	}
	for _, kind := range importables {
		found := kind.form.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		costs := make([]uint64, 0, len(found))
		for _, digits := range found[1:] {
			n, err := strconv.ParseUint(digits, 10, 40)
			if err != nil {
				return "", idp.Invalid("password_hash", "takes too long to check")
			}
			costs = append(costs, n)
		}
		if !kind.affordable(costs) {
			return "", idp.Invalid("password_hash", "takes too long to check")
		}
		if _, err := h.decoder.Decode(text); err != nil {
			break
		}
		return text, nil
	}
	return "", idp.Invalid("password_hash", "must be one of argon2, bcrypt, scrypt, pbkdf2 or sha-crypt, as a PHC string or in modular crypt format")
}
