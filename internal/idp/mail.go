package idp

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"time"
	"unicode"
)

// MailKind says what a message to a person is about. The names are stable.
type MailKind string

// The kinds of message; each has a struct of its own, named after it.
const (
	MailInvitation        MailKind = "invitation"
	MailRegistration      MailKind = "registration"
	MailAccountExists     MailKind = "account_exists"
	MailVerifyAddress     MailKind = "verify_address"
	MailResetPassword     MailKind = "reset_password"
	MailPasswordChanged   MailKind = "password_changed"
	MailFactorChanged     MailKind = "factor_changed"
	MailNewDevice         MailKind = "new_device"
	MailAddressChanged    MailKind = "address_changed"
	MailAddressAdded      MailKind = "address_added"
	MailTokenReplayed     MailKind = "token_replayed"
	MailCodesGuessed      MailKind = "codes_guessed"
	MailAccountDisabled   MailKind = "account_disabled"
	MailDeletionRequested MailKind = "deletion_requested"
	MailTest              MailKind = "test"
)

// Mail is a message to one person. It is sealed as soon as it is made, stored
// with the event that caused it, and rendered when it is sent.
type Mail struct {
	To       string // one address, see CheckMailAddress
	Name     string // how the person is addressed; may be empty
	Language string // BCP 47; empty, or one that there are no words in, is English
	Zone     string // IANA name of the person's time zone; empty is UTC
	UserID   string // whose account it is about; empty for somebody who has none yet
	Message  MailMessage
}

// MailMessage is what a Mail says: one of the structs below.
type MailMessage interface {
	Kind() MailKind
	// Until is when it is no longer worth sending; zero for as long as mail is
	// tried at all.
	Until() time.Time
}

// MailLink is where a message leads: a path below the issuer, with its query.
// It may hold a secret that works once, and is not shown when printed.
type MailLink string

// String and GoString keep the link out of logs.
func (MailLink) String() string   { return redacted }
func (MailLink) GoString() string { return redacted }

// String, GoString and LogValue keep a mail's content out of logs.
func (m Mail) String() string {
	if m.Message == nil {
		return "mail"
	}
	return "mail " + string(m.Message.Kind())
}

// GoString is String.
func (m Mail) GoString() string { return m.String() }

// LogValue is String.
func (m Mail) LogValue() slog.Value { return slog.StringValue(m.String()) }

// InvitationMail asks somebody to make an account.
type InvitationMail struct {
	InvitedBy string // a person's name; may be empty
	Link      MailLink
	ExpiresAt time.Time
}

// RegistrationMail lets somebody make an account who asked for one.
type RegistrationMail struct {
	Link      MailLink
	ExpiresAt time.Time
}

// AccountExistsMail tells somebody who asked for an account that they have one.
type AccountExistsMail struct{ Username string }

// VerifyAddressMail asks whether an address is the person's.
type VerifyAddressMail struct {
	Link      MailLink
	ExpiresAt time.Time
}

// ResetPasswordMail lets a person choose a new password.
type ResetPasswordMail struct {
	Username  string
	Link      MailLink
	ExpiresAt time.Time
}

// PasswordChangedMail tells that the password was changed. Device, in words,
// and RemoteAddr say from where, and may be empty.
type PasswordChangedMail struct {
	At         time.Time
	Device     string
	RemoteAddr string
}

// MailFactor is a second factor in a message.
type MailFactor string

// The factors that messages speak of.
const (
	MailFactorPasskey       MailFactor = "passkey"
	MailFactorAuthenticator MailFactor = "authenticator"
	MailFactorRecoveryCodes MailFactor = "recovery_codes"
)

// MailChange is what happened to a factor.
type MailChange string

// The changes that messages speak of.
const (
	MailFactorAdded   MailChange = "added"
	MailFactorRemoved MailChange = "removed"
)

// FactorChangedMail tells that a way to sign in was added or removed. New
// recovery codes are added ones.
type FactorChangedMail struct {
	Factor     MailFactor
	Change     MailChange
	At         time.Time
	Device     string // as in PasswordChangedMail
	RemoteAddr string
}

// NewDeviceMail tells of a sign-in from where there was none before.
type NewDeviceMail struct {
	At         time.Time
	Device     string
	RemoteAddr string
}

// AddressChangedMail tells the old address that the account has a new one, and
// how to undo that.
type AddressChangedMail struct {
	NewAddress string // shown in part
	At         time.Time
	Undo       MailLink
	ExpiresAt  time.Time // of the link
}

// MailMisuse is what shows that an application's access is in wrong hands.
type MailMisuse string

// The misuses that messages speak of.
const (
	MailRefreshReplayed MailMisuse = ""          // a refresh token was used twice (RFC 9700 section 4.14.2)
	MailRefreshStrange  MailMisuse = "strange"   // another client came with it
	MailCodeReplayed    MailMisuse = "code_used" // an authorization code was used twice (RFC 6749 section 4.1.2)
)

// AddressAddedMail tells the primary address that the account has one more that
// lets its reader in.
type AddressAddedMail struct {
	NewAddress string // shown in part
	At         time.Time
}

// TokenReplayedMail tells that an application's access was ended, and why.
type TokenReplayedMail struct {
	Application string
	Misuse      MailMisuse
	At          time.Time
}

// CodesGuessedMail tells that no more codes are taken for a while, because so
// many were wrong: whoever is asked for one knows the password.
type CodesGuessedMail struct {
	At         time.Time
	Device     string // as in PasswordChangedMail
	RemoteAddr string
}

// AccountDisabledMail tells that the account was disabled.
type AccountDisabledMail struct{ At time.Time }

// DeletionRequestedMail tells that the person wants the account deleted, and how
// to keep it. DueAt is when it is; zero where an operator does it.
type DeletionRequestedMail struct {
	At, DueAt  time.Time
	Device     string // as in PasswordChangedMail
	RemoteAddr string
}

// TestMail shows an operator that mail arrives.
type TestMail struct{ At time.Time }

func (InvitationMail) Kind() MailKind          { return MailInvitation }
func (RegistrationMail) Kind() MailKind        { return MailRegistration }
func (AccountExistsMail) Kind() MailKind       { return MailAccountExists }
func (VerifyAddressMail) Kind() MailKind       { return MailVerifyAddress }
func (ResetPasswordMail) Kind() MailKind       { return MailResetPassword }
func (PasswordChangedMail) Kind() MailKind     { return MailPasswordChanged }
func (FactorChangedMail) Kind() MailKind       { return MailFactorChanged }
func (NewDeviceMail) Kind() MailKind           { return MailNewDevice }
func (AddressChangedMail) Kind() MailKind      { return MailAddressChanged }
func (AddressAddedMail) Kind() MailKind        { return MailAddressAdded }
func (TokenReplayedMail) Kind() MailKind       { return MailTokenReplayed }
func (CodesGuessedMail) Kind() MailKind        { return MailCodesGuessed }
func (AccountDisabledMail) Kind() MailKind     { return MailAccountDisabled }
func (DeletionRequestedMail) Kind() MailKind   { return MailDeletionRequested }
func (DeletionRequestedMail) Until() time.Time { return time.Time{} }
func (TestMail) Kind() MailKind                { return MailTest }

func (m InvitationMail) Until() time.Time    { return m.ExpiresAt }
func (m RegistrationMail) Until() time.Time  { return m.ExpiresAt }
func (AccountExistsMail) Until() time.Time   { return time.Time{} }
func (m VerifyAddressMail) Until() time.Time { return m.ExpiresAt }
func (m ResetPasswordMail) Until() time.Time { return m.ExpiresAt }
func (PasswordChangedMail) Until() time.Time { return time.Time{} }
func (FactorChangedMail) Until() time.Time   { return time.Time{} }
func (NewDeviceMail) Until() time.Time       { return time.Time{} }
func (AddressChangedMail) Until() time.Time  { return time.Time{} } // worth knowing when the link is dead
func (AddressAddedMail) Until() time.Time    { return time.Time{} }
func (TokenReplayedMail) Until() time.Time   { return time.Time{} }
func (CodesGuessedMail) Until() time.Time    { return time.Time{} }
func (AccountDisabledMail) Until() time.Time { return time.Time{} }
func (TestMail) Until() time.Time            { return time.Time{} }

// ParseMailMessage reads the JSON of a message of that kind.
func ParseMailMessage(kind MailKind, raw []byte) (MailMessage, error) {
	switch kind {
	case MailInvitation:
		return parseMessage[InvitationMail](raw)
	case MailRegistration:
		return parseMessage[RegistrationMail](raw)
	case MailAccountExists:
		return parseMessage[AccountExistsMail](raw)
	case MailVerifyAddress:
		return parseMessage[VerifyAddressMail](raw)
	case MailResetPassword:
		return parseMessage[ResetPasswordMail](raw)
	case MailPasswordChanged:
		return parseMessage[PasswordChangedMail](raw)
	case MailFactorChanged:
		return parseMessage[FactorChangedMail](raw)
	case MailNewDevice:
		return parseMessage[NewDeviceMail](raw)
	case MailAddressAdded:
		return parseMessage[AddressAddedMail](raw)
	case MailAddressChanged:
		return parseMessage[AddressChangedMail](raw)
	case MailTokenReplayed:
		return parseMessage[TokenReplayedMail](raw)
	case MailCodesGuessed:
		return parseMessage[CodesGuessedMail](raw)
	case MailAccountDisabled:
		return parseMessage[AccountDisabledMail](raw)
	case MailDeletionRequested:
		return parseMessage[DeletionRequestedMail](raw)
	case MailTest:
		return parseMessage[TestMail](raw)
	}
	return nil, fmt.Errorf("mail of kind %q: %w", kind, ErrMalformed)
}

func parseMessage[T MailMessage](raw []byte) (MailMessage, error) {
	var message T
	if err := json.Unmarshal(raw, &message); err != nil {
		return nil, fmt.Errorf("mail of kind %q: %w", message.Kind(), ErrMalformed)
	}
	return message, nil
}

// MailLife is how long a mail is tried.
const MailLife = 24 * time.Hour

// MailOutcome is how a mail ended.
type MailOutcome string

// The outcomes. A mail that was sent is forgotten; the others stay a while for
// the operator to see.
const (
	MailSent        MailOutcome = "sent"
	MailPrinted     MailOutcome = "printed" // to the log
	MailUndelivered MailOutcome = "undelivered"
)

// SealedMail is a mail as it is stored: what it says, and to whom, is sealed
// under the master key.
type SealedMail struct {
	ID        ID // time-ordered
	Kind      MailKind
	UserID    string
	Sealed    []byte
	CreatedAt time.Time
	ExpiresAt time.Time // not sent afterwards

	DueAt    time.Time // of the next attempt; zero once it has ended
	Attempts uint32    // made so far
	Outcome  MailOutcome
	Failure  string // of the last attempt; empty for none
}

// Mail returns a message to the person, and whether there is an address that is
// known to be theirs.
func (u *User) Mail(message MailMessage) (Mail, bool) {
	p := u.Profile
	return Mail{
		To: p.Email, Name: u.DisplayName(), Language: u.Language(), Zone: p.Zoneinfo, UserID: u.ID, Message: message,
	}, p.EmailVerified && CheckMailAddress(p.Email) == nil
}

// maxMailAddress is what a path of RFC 5321 section 4.5.3.1.3 leaves room for.
const maxMailAddress = 254

// CheckMailAddress refuses what is not one plain address that mail can be sent
// to: names, comments, lists, white space, control characters.
func CheckMailAddress(address string) error {
	parsed, err := mail.ParseAddress(address)
	at := strings.LastIndexByte(address, '@')
	switch {
	case err != nil || parsed.Name != "" || parsed.Address != address || len(address) > maxMailAddress,
		strings.ContainsAny(address, `"<>()[]\,;:`) || strings.ContainsFunc(address, unspeakable),
		at < 1 || !strings.Contains(address[at:], ".") && address[at:] != "@localhost":
		return Invalid("email", "must be an address such as alice@example.com")
	}
	return nil
}

// unspeakable finds what has no place in an address.
func unspeakable(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}
