package users

// What people do to their own accounts, without asking anyone.

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"idp/internal/idp"
)

// SelfStore keeps accounts and what belongs to them, in the parts below. Every
// method that takes an event stores it in the same transaction, if and only if
// it changed something. Implemented by *store.Store.
type SelfStore interface {
	OwnAccount
	OwnPicture
	OwnDeletion
	OwnSessions
	OwnConsents
}

// OwnAccount changes an account. Implemented by *store.Store.
type OwnAccount interface {
	SetPassword(ctx context.Context, id, hash string, validAfter time.Time, event idp.Event) error
	// SaveProfile is idp.ErrConflict when the account was changed since read.
	SaveProfile(ctx context.Context, userID string, profile idp.Profile, attributes idp.Attributes, read time.Time, event idp.Event) error
	SetPreferences(ctx context.Context, userID string, p idp.Preferences) error
	EmailAddresses(ctx context.Context, userID string) ([]idp.EmailAddress, error)
	Memberships(ctx context.Context, userID string) (idp.Memberships, error)
	SecurityEvents(ctx context.Context, userID string, limit int) ([]idp.Event, error)
}

// OwnSessions keeps where somebody is signed in. Implemented by *store.Store.
type OwnSessions interface {
	Sessions(ctx context.Context, userID string) ([]idp.Session, error)
	EndOwnSession(ctx context.Context, userID string, id idp.ID, at time.Time, event idp.Event) error
	EndOtherSessions(ctx context.Context, userID string, keep idp.ID, at time.Time, event idp.Event) (int64, error)
	Devices(ctx context.Context, userID string) ([]idp.Device, error)
	DistrustDevice(ctx context.Context, userID string, id idp.ID, event idp.Event) error
}

// OwnConsents keeps what somebody allowed applications. Implemented by
// *store.Store.
type OwnConsents interface {
	Consents(ctx context.Context, userID string) ([]idp.Consent, error)
	LastGrants(ctx context.Context, userID string) (map[string]time.Time, error)
	WithdrawConsent(ctx context.Context, userID, clientID string, at time.Time, event idp.Event) error
}

// Attributes know what the operator declared of accounts beyond the standard
// claims. Errors are *idp.InvalidError. Implemented by *attributes.Schema.
type Attributes interface {
	Declared() []idp.Attribute
	Parse(name, typed string) (json.RawMessage, error)
	// Check refuses what was changed and does not fit.
	Check(before, after idp.Attributes) error
}

// MailSealer makes messages to people ready to be stored. Implemented by
// *tokens.Master.
type MailSealer interface {
	SealMail(at time.Time, m idp.Mail) (idp.SealedMail, error)
}

// SelfConfig is what a Self needs.
type SelfConfig struct {
	Store     SelfStore
	Passwords *Service // checks the password that somebody has
	Hasher    *Hasher
	Factors   *Factors
	Mail      MailSealer
	Logger    *slog.Logger
	Now       func() time.Time

	Attributes Attributes
	Deletion   idp.DeletionRule
}

// Self changes accounts for the people whose they are. Who that is was proven
// before: every method takes the word of its caller for it, and changes nothing
// of anybody else. What belongs to somebody else is idp.ErrNotFound.
type Self struct {
	store     SelfStore
	passwords *Service
	hasher    *Hasher
	factors   *Factors
	mail      MailSealer
	logger    *slog.Logger
	now       func() time.Time

	attributes Attributes
	deletion   idp.DeletionRule
	painting   chan struct{} // is full while a picture is decoded
}

// NewSelf returns a Self.
func NewSelf(cfg SelfConfig) *Self {
	return &Self{
		store: cfg.Store, passwords: cfg.Passwords, hasher: cfg.Hasher, factors: cfg.Factors, mail: cfg.Mail, logger: cfg.Logger,
		now: func() time.Time { return idp.Instant(cfg.Now()) }, attributes: cfg.Attributes, deletion: cfg.Deletion,
		painting: make(chan struct{}, 1),
	}
}

// recentEvents is how many events somebody is shown, and allEvents how many go
// into an export.
const (
	recentEvents = 12
	allEvents    = 5000
)

// MinPassword is how many characters a new password has at least.
func (s *Self) MinPassword() int { return s.hasher.rules.minLength }

// ChangePassword sets a new password for somebody who knows the one from
// before; who has none gives none. device is that of Service.Authenticate. Everything that was proven before the time
// that it returns is over, in all sessions and for all tokens: the caller
// renews the session from with that time.
//
// Errors: idp.ErrCredentials for a wrong current password and *ThrottledError
// after too many, as at the sign-in; *idp.InvalidError for a new one that is
// none; idp.ErrUnavailable.
func (s *Self) ChangePassword(ctx context.Context, user idp.User, from idp.Whereabouts, current, replacement string,
	device func(idp.User) (*idp.Device, error),
) (time.Time, error) {
	// 1. The one that is there.
	if user.PasswordHash != "" {
		proven, err := s.passwords.Authenticate(ctx, user.Username, current, device)
		if err != nil {
			return time.Time{}, err
		}
		if proven.ID != user.ID { // the name went to somebody else a moment ago
			return time.Time{}, idp.ErrCredentials
		}
	}
	// 2. The one to come.
	hash, err := s.hasher.HashNew(ctx, user, idp.Secret(replacement))
	if err != nil {
		return time.Time{}, err
	}
	// 3. From now on.
	now := s.now()
	event := s.event(now, idp.EventUserPasswordSet, user.ID, from)
	event.Mail = notice(ctx, s.mail, s.logger, now, &user, idp.PasswordChangedMail{At: now, Device: from.Device, RemoteAddr: idp.RequestFrom(ctx).RemoteAddr})
	if err := s.store.SetPassword(ctx, user.ID, hash, now, event); err != nil {
		return time.Time{}, fmt.Errorf("users: change a password: %w", err)
	}
	return now, s.endOthers(ctx, user.ID, from, now, "password changed")
}

// RemovePasskey takes a passkey away and signs the person out everywhere else:
// somebody who removes one may have lost it. What was proven before this
// session's own sign-in is over. The last one of somebody without a password
// stays: *idp.InvalidError.
func (s *Self) RemovePasskey(ctx context.Context, user idp.User, from idp.Whereabouts, credentialID []byte) error {
	if user.PasswordHash == "" {
		has, err := s.factors.Of(ctx, user.ID)
		if err != nil {
			return err
		}
		if len(has.Passkeys) == 1 {
			return idp.Invalid("passkey", "is the only way in")
		}
	}
	if err := s.factors.RemovePasskey(ctx, user, credentialID, from.Session.AuthTime); err != nil {
		return err
	}
	return s.endOthers(ctx, user.ID, from, s.now(), "factor removed")
}

// RemoveAuthenticator is RemovePasskey for an authenticator.
func (s *Self) RemoveAuthenticator(ctx context.Context, user idp.User, from idp.Whereabouts, id idp.ID) error {
	if err := s.factors.RemoveAuthenticator(ctx, user, id, from.Session.AuthTime); err != nil {
		return err
	}
	return s.endOthers(ctx, user.ID, from, s.now(), "factor removed")
}

// RenamePasskey gives a passkey another name: *idp.InvalidError for one that is
// none.
func (s *Self) RenamePasskey(ctx context.Context, user idp.User, credentialID []byte, name string) error {
	return s.factors.RenamePasskey(ctx, user.ID, credentialID, name)
}

// RenameAuthenticator is RenamePasskey for an authenticator.
func (s *Self) RenameAuthenticator(ctx context.Context, user idp.User, id idp.ID, name string) error {
	return s.factors.RenameAuthenticator(ctx, user.ID, id, name)
}

// Sessions returns the sessions that go on, the last one used first.
func (s *Self) Sessions(ctx context.Context, user idp.User) ([]idp.Session, error) {
	all, err := s.store.Sessions(ctx, user.ID)
	if err != nil {
		return nil, fmt.Errorf("users: list sessions: %w", err)
	}
	now := s.now()
	var live []idp.Session
	for _, n := range all {
		if n.EndedAt.IsZero() && now.Before(n.ExpiresAt) && user.Gate(n.AuthTime) == nil {
			live = append(live, n)
		}
	}
	return live, nil
}

// EndSession signs the person out of one browser. What was issued in the
// session dies, and its applications are told.
func (s *Self) EndSession(ctx context.Context, user idp.User, from idp.Whereabouts, id idp.ID) error {
	now := s.now()
	event := s.event(now, idp.EventSessionEnded, user.ID, from)
	event.SessionID, event.Detail["reason"] = id.String(), "own"
	if err := s.store.EndOwnSession(ctx, user.ID, id, now, event); err != nil {
		return fmt.Errorf("users: end a session: %w", err)
	}
	return nil
}

// EndOtherSessions signs the person out of all browsers but this one.
func (s *Self) EndOtherSessions(ctx context.Context, user idp.User, from idp.Whereabouts) error {
	return s.endOthers(ctx, user.ID, from, s.now(), "own")
}

func (s *Self) endOthers(ctx context.Context, userID string, from idp.Whereabouts, at time.Time, reason string) error {
	event := s.event(at, idp.EventSessionEnded, userID, from)
	event.SessionID, event.Detail["reason"], event.Detail["sessions"] = "", reason, "others"
	if _, err := s.store.EndOtherSessions(ctx, userID, from.Session.ID, at, event); err != nil {
		return fmt.Errorf("users: end sessions: %w", err)
	}
	return nil
}

// TrustedDevices returns the devices that stand in for a second factor.
func (s *Self) TrustedDevices(ctx context.Context, user idp.User) ([]idp.Device, error) {
	all, err := s.store.Devices(ctx, user.ID)
	if err != nil {
		return nil, fmt.Errorf("users: list devices: %w", err)
	}
	now := s.now()
	var trusted []idp.Device
	for _, d := range all {
		if d.Trusted(&user, now) {
			trusted = append(trusted, d)
		}
	}
	return trusted, nil
}

// Distrust has the second factor asked for again on a device.
func (s *Self) Distrust(ctx context.Context, user idp.User, from idp.Whereabouts, id idp.ID) error {
	event := s.event(s.now(), idp.EventDeviceDistrusted, user.ID, from)
	event.Detail[detailTarget] = id.String()
	if err := s.store.DistrustDevice(ctx, user.ID, id, event); err != nil {
		return fmt.Errorf("users: distrust a device: %w", err)
	}
	return nil
}

// Consents returns what the person allows applications now.
func (s *Self) Consents(ctx context.Context, user idp.User) ([]idp.Consent, error) {
	all, err := s.store.Consents(ctx, user.ID)
	if err != nil {
		return nil, fmt.Errorf("users: list consents: %w", err)
	}
	var standing []idp.Consent
	for _, c := range all {
		if c.Stands() {
			standing = append(standing, c)
		}
	}
	return standing, nil
}

// LastGrants returns when applications were last given something for the
// person, as far as that is still known.
func (s *Self) LastGrants(ctx context.Context, user idp.User) (map[string]time.Time, error) {
	last, err := s.store.LastGrants(ctx, user.ID)
	if err != nil {
		return nil, fmt.Errorf("users: last grants: %w", err)
	}
	return last, nil
}

// Withdraw takes back what the person allowed an application. What was issued
// under it dies.
func (s *Self) Withdraw(ctx context.Context, user idp.User, from idp.Whereabouts, clientID string) error {
	now := s.now()
	event := s.event(now, idp.EventConsentWithdrawn, user.ID, from)
	event.ClientID = clientID
	if err := s.store.WithdrawConsent(ctx, user.ID, clientID, now, event); err != nil {
		return fmt.Errorf("users: withdraw a consent: %w", err)
	}
	return nil
}

// RecentEvents returns what happened to the account of late, newest first.
func (s *Self) RecentEvents(ctx context.Context, user idp.User) ([]idp.Event, error) {
	events, err := s.store.SecurityEvents(ctx, user.ID, recentEvents)
	if err != nil {
		return nil, fmt.Errorf("users: list events: %w", err)
	}
	return events, nil
}

func (s *Self) event(at time.Time, kind idp.EventKind, userID string, from idp.Whereabouts) idp.Event {
	return idp.Event{
		ID: newID(at), At: at, Kind: kind, UserID: userID, SessionID: from.Session.ID.String(),
		Detail: map[string]string{"actor": userID},
	}
}

// notice is the message to the person, if they have an address that is known to
// be theirs. What happened counts whatever becomes of it.
func notice(ctx context.Context, mail MailSealer, logger *slog.Logger, at time.Time, user *idp.User, message idp.MailMessage) []idp.SealedMail {
	m, ok := user.Mail(message)
	if !ok {
		return nil
	}
	sealed, err := mail.SealMail(at, m)
	if err != nil {
		logger.WarnContext(ctx, "notice not sealed", "user_id", user.ID, "error", err)
		return nil
	}
	return []idp.SealedMail{sealed}
}

// PasskeyProvider names what keeps a passkey, if that is known.
func (s *Self) PasskeyProvider(p idp.Passkey) string { return PasskeyProvider(p.AAGUID) }
