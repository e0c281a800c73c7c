package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"idp/internal/admin"
	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

// user is a person as the API writes them.
type user struct {
	Sub      string        `json:"sub,omitempty"`
	Username string        `json:"username"`
	State    idp.UserState `json:"state,omitempty"`
	idp.Profile
	Attributes          idp.Attributes `json:"attributes,omitempty"`
	Password            string         `json:"password,omitempty"`      // sent only
	PasswordHash        string         `json:"password_hash,omitempty"` // sent only
	HasPassword         bool           `json:"has_password,omitempty"`
	UploadedPicture     string         `json:"uploaded_picture,omitempty"`
	AttributeFaults     []string       `json:"attribute_faults,omitempty"`
	Groups              []string       `json:"groups,omitempty"`
	Roles               []string       `json:"roles,omitempty"`
	DeletionRequestedAt time.Time      `json:"deletion_requested_at,omitzero"`
	DeletionDueAt       time.Time      `json:"deletion_due_at,omitzero"`
	CreatedAt           time.Time      `json:"created_at,omitzero"`
	UpdatedAt           time.Time      `json:"updated_at,omitzero"`
}

// untold stands for a password's hash: that there is one is all that is told.
const untold = "*"

func (u user) noun() idp.User {
	out := idp.User{
		ID: u.Sub, Username: u.Username, State: u.State, Profile: u.Profile, Attributes: u.Attributes,
		DeletionRequestedAt: u.DeletionRequestedAt, DeletionDueAt: u.DeletionDueAt, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
	if u.HasPassword {
		out.PasswordHash = untold
	}
	if u.UploadedPicture != "" {
		out.PictureID, _ = idp.ParseID(path.Base(u.UploadedPicture))
	}
	return out
}

func missing(noun, name string) error {
	return fmt.Errorf("%s %q: %w", noun, name, idp.ErrNotFound)
}

// CreateUser is admin.Service.CreateUser, but for invitations.
func (s *Service) CreateUser(ctx context.Context, in admin.UserInput) (idp.User, error) {
	if in.Invited {
		return idp.User{}, errors.New("nobody can be invited by the admin API")
	}
	send := user{
		Sub: in.ID, Username: in.Username, Profile: in.Profile, Attributes: in.Attributes,
		Password: in.Password.Reveal(), PasswordHash: in.PasswordHash.Reveal(),
	}
	var made user
	_, err := answer(&made)(s.api.CreateUserWithBody(ctx, nil, asJSON, body(send)))
	return made.noun(), err
}

// User is admin.Service.User.
func (s *Service) User(ctx context.Context, idOrUsername string) (idp.User, error) {
	found, _, err := s.user(ctx, idOrUsername)
	return found.noun(), err
}

// user finds a person by the sub or, if there is none, by the user name.
func (s *Service) user(ctx context.Context, idOrUsername string) (user, http.Header, error) {
	if idOrUsername == "" || idOrUsername == "." || idOrUsername == ".." {
		return user{}, nil, missing("user", idOrUsername)
	}
	var found user
	header, err := answer(&found)(s.api.GetUser(ctx, idOrUsername, nil))
	if !errors.Is(err, idp.ErrNotFound) {
		return found, header, err
	}
	var named []user
	if _, err := answer(&named)(s.api.ListUsers(ctx, &adminclient.ListUsersParams{Username: &idOrUsername})); err != nil {
		return user{}, nil, err
	}
	if len(named) == 0 {
		return user{}, nil, missing("user", idOrUsername)
	}
	header, err = answer(&found)(s.api.GetUser(ctx, named[0].Sub, nil)) // whole, and with its ETag
	return found, header, err
}

// on does something to one person.
func (s *Service) on(ctx context.Context, idOrUsername string, do func(sub string) (*http.Response, error)) error {
	u, _, err := s.user(ctx, idOrUsername)
	if err != nil {
		return err
	}
	return done(do(u.Sub))
}

// AllUsers is admin.Service.AllUsers.
func (s *Service) AllUsers(ctx context.Context) ([]idp.User, error) {
	found, err := all[user](func(page *string) (*http.Response, error) {
		return s.api.ListUsers(ctx, &adminclient.ListUsersParams{PageToken: page})
	})
	var out []idp.User
	for _, u := range found {
		out = append(out, u.noun())
	}
	return out, err
}

// UpdateUser is admin.Service.UpdateUser.
func (s *Service) UpdateUser(ctx context.Context, idOrUsername string, change func(*admin.UserChange)) (idp.User, error) {
	before, header, err := s.user(ctx, idOrUsername)
	if err != nil {
		return idp.User{}, err
	}
	altered := admin.UserChange{Username: before.Username, Profile: before.Profile, Attributes: before.Attributes.With(nil)}
	change(&altered)
	send := []map[string]any{{"op": "replace", "path": "", "value": user{
		Sub: before.Sub, Username: altered.Username, State: before.State, Profile: altered.Profile, Attributes: altered.Attributes,
	}}}
	var after user
	_, err = answer(&after)(s.api.PatchUserWithBody(ctx, before.Sub, &adminclient.PatchUserParams{IfMatch: as(header)}, asJSONPatch, body(send)))
	return after.noun(), err
}

// SetPassword is admin.Service.SetPassword.
func (s *Service) SetPassword(ctx context.Context, idOrUsername string, password idp.Secret) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) {
		return s.api.SetPasswordWithBody(ctx, sub, asJSON, body(map[string]string{"password": password.Reveal()}))
	})
}

// DisableUser is admin.Service.DisableUser.
func (s *Service) DisableUser(ctx context.Context, idOrUsername string) error {
	return s.setState(ctx, idOrUsername, idp.UserDisabled)
}

// LockUser is admin.Service.LockUser.
func (s *Service) LockUser(ctx context.Context, idOrUsername string) error {
	return s.setState(ctx, idOrUsername, idp.UserLocked)
}

// EnableUser is admin.Service.EnableUser.
func (s *Service) EnableUser(ctx context.Context, idOrUsername string) error {
	return s.setState(ctx, idOrUsername, idp.UserActive)
}

func (s *Service) setState(ctx context.Context, idOrUsername string, state idp.UserState) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) {
		return s.api.PatchUserWithBody(ctx, sub, nil, asMergePatch, body(map[string]idp.UserState{"state": state}))
	})
}

// DeleteUser is admin.Service.DeleteUser.
func (s *Service) DeleteUser(ctx context.Context, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.DeleteUser(ctx, sub, nil) })
}

// RemovePicture is admin.Service.RemovePicture.
func (s *Service) RemovePicture(ctx context.Context, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.RemovePicture(ctx, sub) })
}

// Memberships is admin.Service.Memberships.
func (s *Service) Memberships(ctx context.Context, idOrUsername string) (idp.Memberships, error) {
	u, _, err := s.user(ctx, idOrUsername)
	return idp.Memberships{Groups: u.Groups, Roles: u.Roles}, err
}

// AttributeFaults is admin.Service.AttributeFaults.
func (s *Service) AttributeFaults(ctx context.Context, idOrUsername string) ([]string, error) {
	u, _, err := s.user(ctx, idOrUsername)
	return u.AttributeFaults, err
}

// Factors is admin.Service.Factors, as far as it is told.
func (s *Service) Factors(ctx context.Context, idOrUsername string) (idp.Factors, error) {
	u, _, err := s.user(ctx, idOrUsername)
	if err != nil {
		return idp.Factors{}, err
	}
	type factor struct {
		Name       string    `json:"name"`
		AAGUID     string    `json:"aaguid"`
		Synced     bool      `json:"synced"`
		CreatedAt  time.Time `json:"created_at"`
		LastUsedAt time.Time `json:"last_used_at"`
	}
	var found struct {
		Passkeys       []factor `json:"passkeys"`
		Authenticators []factor `json:"authenticators"`
		RecoveryCodes  int      `json:"recovery_codes"`
	}
	if _, err := answer(&found)(s.api.GetFactors(ctx, u.Sub)); err != nil {
		return idp.Factors{}, err
	}
	out := idp.Factors{RecoveryCodes: found.RecoveryCodes}
	for _, p := range found.Passkeys {
		var model idp.ID
		if p.AAGUID != "" {
			model, _ = idp.ParseUUID(p.AAGUID)
		}
		out.Passkeys = append(out.Passkeys, idp.Passkey{Name: p.Name, AAGUID: model, BackupState: p.Synced, CreatedAt: p.CreatedAt, LastUsedAt: p.LastUsedAt})
	}
	for _, a := range found.Authenticators {
		out.Authenticators = append(out.Authenticators, idp.Authenticator{Name: a.Name, CreatedAt: a.CreatedAt, LastUsedAt: a.LastUsedAt})
	}
	return out, nil
}

// ResetFactors is admin.Service.ResetFactors.
func (s *Service) ResetFactors(ctx context.Context, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.ResetFactors(ctx, sub) })
}

// StatedSessions is admin.Service.Sessions with the state of each.
func (s *Service) StatedSessions(ctx context.Context, idOrUsername string) ([]idp.StatedSession, error) {
	u, _, err := s.user(ctx, idOrUsername)
	if err != nil {
		return nil, err
	}
	type session struct {
		ID         string    `json:"sid"`
		State      string    `json:"state"`
		AuthTime   time.Time `json:"auth_time"`
		ACR        string    `json:"acr"`
		AMR        []string  `json:"amr"`
		CreatedAt  time.Time `json:"created_at"`
		LastSeenAt time.Time `json:"last_seen_at"`
		ExpiresAt  time.Time `json:"expires_at"`
		EndedAt    time.Time `json:"ended_at"`
		RemoteAddr string    `json:"remote_addr"`
		UserAgent  string    `json:"user_agent"`
	}
	found, err := all[session](func(page *string) (*http.Response, error) {
		return s.api.ListSessions(ctx, u.Sub, &adminclient.ListSessionsParams{PageToken: page})
	})
	var out []idp.StatedSession
	for _, f := range found {
		id, _ := idp.ParseID(f.ID)
		out = append(out, idp.StatedSession{State: f.State, Session: idp.Session{
			ID: id, UserID: u.Sub, AuthTime: f.AuthTime, ACR: f.ACR, AMR: f.AMR, CreatedAt: f.CreatedAt, LastSeenAt: f.LastSeenAt,
			ExpiresAt: f.ExpiresAt, EndedAt: f.EndedAt, RemoteAddr: f.RemoteAddr, UserAgent: f.UserAgent,
		}})
	}
	slices.SortFunc(out, func(a, b idp.StatedSession) int { // newest first, as they are kept
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out, err
}

// EndSessionOf is admin.Service.EndSessionOf.
func (s *Service) EndSessionOf(ctx context.Context, idOrUsername string, id idp.ID) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.EndSession(ctx, sub, id.String()) })
}

// EndSessions is admin.Service.EndSessions; it counts those that it saw before.
func (s *Service) EndSessions(ctx context.Context, idOrUsername string) (int64, error) {
	sessions, err := s.StatedSessions(ctx, idOrUsername)
	if err != nil {
		return 0, err
	}
	var live int64
	for _, found := range sessions {
		if found.EndedAt.IsZero() {
			live++
		}
	}
	return live, s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.EndSessions(ctx, sub) })
}

// Consents is admin.Service.Consents.
func (s *Service) Consents(ctx context.Context, idOrUsername string) ([]idp.Consent, error) {
	u, _, err := s.user(ctx, idOrUsername)
	if err != nil {
		return nil, err
	}
	type consent struct {
		ClientID    string    `json:"client_id"`
		Scopes      []string  `json:"scopes"`
		Resources   []string  `json:"resources"`
		Remembered  bool      `json:"remembered"`
		GrantedAt   time.Time `json:"granted_at"`
		WithdrawnAt time.Time `json:"withdrawn_at"`
	}
	found, err := all[consent](func(page *string) (*http.Response, error) {
		return s.api.ListConsents(ctx, u.Sub, &adminclient.ListConsentsParams{PageToken: page})
	})
	var out []idp.Consent
	for _, f := range found {
		out = append(out, idp.Consent{
			UserID: u.Sub, ClientID: f.ClientID, Scopes: f.Scopes, Resources: f.Resources, Remembered: f.Remembered, GrantedAt: f.GrantedAt, WithdrawnAt: f.WithdrawnAt,
		})
	}
	return out, err
}

// WithdrawConsent is admin.Service.WithdrawConsent.
func (s *Service) WithdrawConsent(ctx context.Context, idOrUsername, clientID string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.WithdrawConsent(ctx, sub, clientID) })
}

// byName is the order in which the members of a group are kept.
func byName(a, b idp.User) int {
	return strings.Compare(strings.ToLower(a.Username), strings.ToLower(b.Username))
}
