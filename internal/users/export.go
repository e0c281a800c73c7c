package users

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"idp/internal/idp"
)

// Export is what is stored about a person, but for secrets, as the person is
// given it.
type Export struct {
	ExportedAt time.Time          `json:"exported_at"`
	Account    ExportedAccount    `json:"account"`
	Addresses  []ExportedAddress  `json:"email_addresses"`
	Groups     []string           `json:"groups"`
	Roles      []string           `json:"roles"`
	Factors    ExportedFactors    `json:"factors"`
	Sessions   []ExportedSession  `json:"sessions"`
	Devices    []ExportedDevice   `json:"devices"`
	Consents   []ExportedConsent  `json:"consents"`
	Events     []ExportedActivity `json:"security_events"`
}

// ExportedAccount is the account itself.
type ExportedAccount struct {
	Subject     string           `json:"sub"`
	Username    string           `json:"username"`
	State       idp.UserState    `json:"state"`
	Password    bool             `json:"has_password"`
	Profile     idp.Profile      `json:"profile"`
	Preferences idp.Preferences  `json:"preferences"`
	Attributes  idp.Attributes   `json:"attributes,omitempty"`
	Picture     *ExportedPicture `json:"picture,omitempty"`
	CreatedAt   time.Time        `json:"created_at"`
	UpdatedAt   time.Time        `json:"updated_at"`
}

// ExportedAddress is an e-mail address of the account.
type ExportedAddress struct {
	Address    string    `json:"address"`
	Primary    bool      `json:"primary"`
	CreatedAt  time.Time `json:"created_at"`
	VerifiedAt time.Time `json:"verified_at,omitzero"`
}

// ExportedPicture is the picture that the person uploaded.
type ExportedPicture struct {
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

// ExportedFactors are the ways to sign in besides the password.
type ExportedFactors struct {
	Passkeys       []ExportedPasskey       `json:"passkeys"`
	Authenticators []ExportedAuthenticator `json:"authenticators"`
	RecoveryCodes  int                     `json:"recovery_codes_left"`
}

// ExportedPasskey is a passkey without its key, which is the browser's.
type ExportedPasskey struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Provider   string    `json:"provider,omitempty"`
	Synced     bool      `json:"synced"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// ExportedAuthenticator is an authenticator without its secret.
type ExportedAuthenticator struct {
	Name       string    `json:"name"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// ExportedSession is a session, ended or not.
type ExportedSession struct {
	SignedInAt time.Time `json:"signed_in_at"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	AMR        []string  `json:"amr"`
	RemoteAddr string    `json:"remote_addr"`
	UserAgent  string    `json:"user_agent"`
}

// ExportedDevice is a browser that the person signed in with.
type ExportedDevice struct {
	CreatedAt    time.Time `json:"created_at"`
	LastSeenAt   time.Time `json:"last_seen_at"`
	TrustedUntil time.Time `json:"trusted_until,omitzero"`
	RemoteAddr   string    `json:"remote_addr"`
	UserAgent    string    `json:"user_agent"`
}

// ExportedConsent is what the person allowed an application.
type ExportedConsent struct {
	ClientID    string    `json:"client_id"`
	Scopes      []string  `json:"scopes"`
	Resources   []string  `json:"resources"`
	GrantedAt   time.Time `json:"granted_at"`
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"`
}

// ExportedActivity is something that happened to the account.
type ExportedActivity struct {
	At         time.Time         `json:"at"`
	Kind       idp.EventKind     `json:"kind"`
	ClientID   string            `json:"client_id,omitempty"`
	RemoteAddr string            `json:"remote_addr,omitempty"`
	Detail     map[string]string `json:"detail,omitempty"`
}

// Export returns what is stored about the person as a JSON document: an
// [Export].
func (s *Self) Export(ctx context.Context, user idp.User, from idp.Whereabouts) ([]byte, error) {
	now := s.now()
	e := Export{ExportedAt: now, Account: ExportedAccount{
		Subject: user.ID, Username: user.Username, State: user.State, Password: user.PasswordHash != "", Profile: user.Profile,
		Preferences: user.Preferences, Attributes: user.Attributes,
		CreatedAt: user.CreatedAt, UpdatedAt: user.UpdatedAt,
	}}
	for _, read := range []func(context.Context, string, *Export) error{
		s.exportAddresses, s.exportMemberships, s.exportFactors, s.exportSessions, s.exportConsents, s.exportEvents,
	} {
		if err := read(ctx, user.ID, &e); err != nil {
			return nil, fmt.Errorf("users: export: %w", err)
		}
	}
	if err := s.exportPicture(ctx, user, &e); err != nil {
		return nil, fmt.Errorf("users: export: %w", err)
	}
	s.passwords.audit.Note(ctx, s.event(now, idp.EventUserExported, user.ID, from))
	return json.MarshalIndent(e, "", "  ")
}

func (s *Self) exportAddresses(ctx context.Context, userID string, e *Export) error {
	addresses, err := s.store.EmailAddresses(ctx, userID)
	for _, a := range addresses {
		e.Addresses = append(e.Addresses, ExportedAddress{Address: a.Address, Primary: a.Primary, CreatedAt: a.CreatedAt, VerifiedAt: a.VerifiedAt})
	}
	return err
}

func (s *Self) exportMemberships(ctx context.Context, userID string, e *Export) error {
	m, err := s.store.Memberships(ctx, userID)
	e.Groups, e.Roles = m.Groups, m.Roles
	return err
}

func (s *Self) exportFactors(ctx context.Context, userID string, e *Export) error {
	has, err := s.factors.Of(ctx, userID)
	for _, p := range has.Passkeys {
		e.Factors.Passkeys = append(e.Factors.Passkeys, ExportedPasskey{
			ID: base64.RawURLEncoding.EncodeToString(p.ID), Name: p.Name, Provider: PasskeyProvider(p.AAGUID), Synced: p.BackupState,
			CreatedAt: p.CreatedAt, LastUsedAt: p.LastUsedAt,
		})
	}
	for _, a := range has.Authenticators {
		e.Factors.Authenticators = append(e.Factors.Authenticators, ExportedAuthenticator{Name: a.Name, CreatedAt: a.CreatedAt, LastUsedAt: a.LastUsedAt})
	}
	e.Factors.RecoveryCodes = has.RecoveryCodes
	return err
}

func (s *Self) exportSessions(ctx context.Context, userID string, e *Export) error {
	sessions, err := s.store.Sessions(ctx, userID)
	if err != nil {
		return err
	}
	for _, n := range sessions {
		e.Sessions = append(e.Sessions, ExportedSession{
			SignedInAt: n.AuthTime, CreatedAt: n.CreatedAt, LastSeenAt: n.LastSeenAt, EndedAt: n.EndedAt, AMR: n.AMR,
			RemoteAddr: n.RemoteAddr, UserAgent: n.UserAgent,
		})
	}
	devices, err := s.store.Devices(ctx, userID)
	for _, d := range devices {
		e.Devices = append(e.Devices, ExportedDevice{
			CreatedAt: d.CreatedAt, LastSeenAt: d.LastSeenAt, TrustedUntil: d.TrustedUntil, RemoteAddr: d.RemoteAddr, UserAgent: d.UserAgent,
		})
	}
	return err
}

func (s *Self) exportConsents(ctx context.Context, userID string, e *Export) error {
	consents, err := s.store.Consents(ctx, userID)
	for _, c := range consents {
		e.Consents = append(e.Consents, ExportedConsent{
			ClientID: c.ClientID, Scopes: c.Scopes, Resources: c.Resources, GrantedAt: c.GrantedAt, WithdrawnAt: c.WithdrawnAt,
		})
	}
	return err
}

func (s *Self) exportEvents(ctx context.Context, userID string, e *Export) error {
	events, err := s.store.SecurityEvents(ctx, userID, allEvents)
	for _, v := range events {
		e.Events = append(e.Events, ExportedActivity{At: v.At, Kind: v.Kind, ClientID: v.ClientID, RemoteAddr: v.RemoteAddr, Detail: v.Detail})
	}
	return err
}
