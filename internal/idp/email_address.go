package idp

import "time"

// EmailAddress is one of the addresses of an account. They are compared without
// case. A verified one is known to be the person's, and is nobody else's.
type EmailAddress struct {
	Address    string
	Primary    bool      // the one that mail goes to, and that applications are told
	VerifiedAt time.Time // zero while it is not
	CreatedAt  time.Time
}

// Verified reports whether the address is known to be the person's.
func (a *EmailAddress) Verified() bool { return !a.VerifiedAt.IsZero() }
