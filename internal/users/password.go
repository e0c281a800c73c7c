package users

// What a new password must look like (NIST SP 800-63B section 3.1.1.2): long
// enough, not the user name, and nothing about its composition.

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"idp/internal/idp"
)

func (h *Hasher) checkNew(username, password string) error {
	switch {
	case checkSize(password) != nil:
		return checkSize(password)
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return idp.Invalid("password", "is not text in UTF-8")
	case utf8.RuneCountInString(password) < h.minLength:
		return idp.Invalid("password", fmt.Sprintf("has fewer than %d characters", h.minLength))
	case strings.EqualFold(strings.TrimSpace(password), username):
		return idp.Invalid("password", "is the user name")
	case strings.Count(password, password[:1]) == len(password):
		return idp.Invalid("password", "is one character repeated")
	}
	return nil
}

// checkSize is asked before anything is hashed.
func checkSize(password string) error {
	if len(password) > maxPassword {
		return idp.Invalid("password", fmt.Sprintf("is longer than %d bytes", maxPassword))
	}
	return nil
}
