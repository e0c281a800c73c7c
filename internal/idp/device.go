package idp

import "time"

// Device is a browser in which a person has signed in before. It proves itself
// by a cookie, an opaque token whose proof derives from Salt.
type Device struct {
	ID         ID
	UserID     string
	Salt       []byte
	CreatedAt  time.Time
	LastSeenAt time.Time // of the last sign-in
	ExpiresAt  time.Time // forgotten unless it is seen again before
	// TrustedAt is when the person last proved a second factor here and asked
	// not to be asked again until TrustedUntil; zero for never.
	TrustedAt    time.Time
	TrustedUntil time.Time
	RemoteAddr   string
	UserAgent    string
}

// Known reports whether the device is one of the person's at now.
func (d *Device) Known(u *User, now time.Time) bool {
	return d.UserID == u.ID && now.Before(d.ExpiresAt)
}

// Trusted reports whether the device stands in for the person's second factor
// at now. A reset of the person ends it.
func (d *Device) Trusted(u *User, now time.Time) bool {
	return d.Known(u, now) && now.Before(d.TrustedUntil) && u.Gate(d.TrustedAt) == nil
}
