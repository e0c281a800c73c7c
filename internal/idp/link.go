package idp

import "time"

// LinkKind says what a link that somebody was sent is good for.
type LinkKind string

// The kinds of links.
const (
	LinkReset         LinkKind = "reset"          // to choose a new password
	LinkSetup         LinkKind = "setup"          // the same, handed over by an operator
	LinkVerifyAddress LinkKind = "verify_address" // to show that an address is one's own
	LinkInvitation    LinkKind = "invitation"     // to take over an account
	LinkUndoAddress   LinkKind = "undo_address"   // to make the old address the primary one again
	LinkRegistration  LinkKind = "registration"   // to make an account for oneself
	LinkAdministrator LinkKind = "administrator"  // to become one: the first, or the user that it is for
)

// Life is how long a link of the kind works.
func (k LinkKind) Life() time.Duration {
	switch k {
	case LinkReset:
		return 15 * time.Minute
	case LinkAdministrator:
		return time.Hour
	case LinkUndoAddress, LinkInvitation:
		return 7 * 24 * time.Hour
	}
	return 24 * time.Hour
}

// Link is what somebody was sent to do one thing, once. Its secret is an opaque
// token of KindLink whose proof derives from Salt. Of the links of one kind,
// person and address only the newest works, of
// invitations that of one person, whatever address they went to.
type Link struct {
	ID        ID // time-ordered
	Kind      LinkKind
	UserID    string // of a LinkRegistration the account's that is not there yet; empty for the first administrator
	Address   string // that it is about; empty for none
	Salt      []byte
	Sealed    []byte // what was asked for it with, under the master key; nil for nothing
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero while it is not
}

// LinkState is a link with what decides whether it works: one read.
type LinkState struct {
	Link       Link
	Superseded bool // there is a newer one
	User       User // empty where the account is not there yet
}

// Check says whether the link works at now: ErrAlreadyUsed or ErrExpired if not.
func (s *LinkState) Check(now time.Time) error {
	switch {
	case !s.Link.UsedAt.IsZero(), s.Superseded:
		return ErrAlreadyUsed
	case !now.Before(s.Link.ExpiresAt), !Begun(s.Link.CreatedAt, now):
		return ErrExpired
	}
	return nil
}
