package admin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
)

// UserStore keeps accounts. User names are compared without case. Implemented
// by *store.Store.
type UserStore interface {
	User(ctx context.Context, id string) (idp.User, error)
	UserByUsername(ctx context.Context, username string) (idp.User, error)
	Users(ctx context.Context, after string, limit int) ([]idp.User, error)
	FindUsers(ctx context.Context, f idp.UserFilter, after string, limit int) ([]idp.User, error)
	CreateUser(ctx context.Context, u idp.User, events ...idp.Event) error
	UpdateUser(ctx context.Context, u idp.User, seen time.Time, events ...idp.Event) error
	// SetPicture with nil takes the picture away that a user uploaded.
	SetPicture(ctx context.Context, userID string, picture *idp.Picture, event idp.Event) error
}

// UserStateStore changes whether somebody may sign in, and what of earlier
// sign-ins still counts. Implemented by *store.Store.
type UserStateStore interface {
	SetPassword(ctx context.Context, id, hash string, validAfter time.Time, event idp.Event) error
	SetUserState(ctx context.Context, id string, state idp.UserState, at time.Time, event idp.Event) error
	DeleteUser(ctx context.Context, id string, event idp.Event) error
	Memberships(ctx context.Context, userID string) (idp.Memberships, error)
}

// Attributes know what the operator declared of accounts beyond the standard
// claims. Implemented by *attributes.Schema.
type Attributes interface {
	// Faults says what does not fit, each as an *idp.InvalidError.
	Faults(values idp.Attributes) []error
	// Check refuses what was changed and does not fit.
	Check(before, after idp.Attributes) error
}

// UserInput is an account to be made.
type UserInput struct {
	ID       string // the subject; a time-ordered UUID when empty
	Username string
	Password idp.Secret // empty for an account without one
	// PasswordHash is that of another system, instead of a password.
	PasswordHash idp.Secret
	Profile      idp.Profile
	Attributes   idp.Attributes
	Invited      bool // not active before the person took it over
}

// CreateUser makes an account.
func (s *Service) CreateUser(ctx context.Context, in UserInput) (idp.User, error) {
	now := s.now()
	if in.ID == "" {
		in.ID = newID(now).UUID()
	}
	dropEmptyAddress(&in.Profile)
	var f faults
	if !validSubject(in.ID) {
		f.add("id", "must be 1 to 255 letters, digits and . _ ~ @ : | + = -")
	}
	if err := s.directory.Refresh(ctx); err != nil {
		return idp.User{}, fmt.Errorf("admin: create a user: %w", err)
	}
	if _, ok := s.directory.Client(in.ID); ok {
		f.add("id", "is the client_id of a client")
	}
	checkUsername(&f, in.Username)
	checkProfile(&f, in.Profile)
	// All has to fit, also what is missing: there is nothing from before.
	f.all = append(f.all, s.attributes.Faults(in.Attributes)...)
	if err := f.err(); err != nil {
		return idp.User{}, err
	}
	u := idp.User{
		ID: in.ID, Username: in.Username, State: idp.UserActive, Profile: in.Profile, Attributes: in.Attributes,
		CreatedAt: now, UpdatedAt: now,
	}
	var err error
	switch {
	case in.PasswordHash == "":
		u.PasswordHash, err = s.newHash(ctx, u, in.Password)
	case in.Password == "":
		u.PasswordHash, err = s.hasher.CheckImported(in.PasswordHash)
	default:
		err = idp.Invalid("password_hash", "is instead of a password")
	}
	if err != nil {
		return idp.User{}, err
	}
	if in.Invited {
		u.State = idp.UserInvited
	}
	if err := s.store.CreateUser(ctx, u, s.event(ctx, now, idp.EventUserCreated, u.ID)); err != nil {
		if errors.Is(err, idp.ErrConflict) {
			return idp.User{}, taken("user", in.Username)
		}
		return idp.User{}, fmt.Errorf("admin: create a user: %w", err)
	}
	return u, nil
}

// newHash returns the hash of a new password, and "" for none.
func (s *Service) newHash(ctx context.Context, person idp.User, password idp.Secret) (string, error) {
	if password == "" {
		return "", nil
	}
	return s.hasher.HashNew(ctx, person, password)
}

// User returns the account with this id or, if there is none, this user name.
func (s *Service) User(ctx context.Context, idOrUsername string) (idp.User, error) {
	if !utf8.ValidString(idOrUsername) { // names nobody, and a database may refuse to look
		return idp.User{}, missing("user", idOrUsername)
	}
	u, err := s.store.User(ctx, idOrUsername)
	if errors.Is(err, idp.ErrNotFound) {
		u, err = s.store.UserByUsername(ctx, idOrUsername)
	}
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return idp.User{}, missing("user", idOrUsername)
	case err != nil:
		return idp.User{}, fmt.Errorf("admin: read a user: %w", err)
	}
	return u, nil
}

// Users returns up to limit accounts that come after the given one in the
// order of the store; "" starts at the first.
func (s *Service) Users(ctx context.Context, after string, limit int) ([]idp.User, error) {
	if limit < 1 || limit > 1000 {
		return nil, idp.Invalid("limit", "must be from 1 to 1000")
	}
	users, err := s.store.Users(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("admin: list users: %w", err)
	}
	return users, nil
}

// AllUsers returns every account, in the order of the store.
func (s *Service) AllUsers(ctx context.Context) ([]idp.User, error) {
	const atOnce = 1000
	for all := []idp.User(nil); ; {
		after := ""
		if len(all) > 0 {
			after = all[len(all)-1].Username
		}
		part, err := s.Users(ctx, after, atOnce)
		if all = append(all, part...); err != nil || len(part) < atOnce {
			return all, err
		}
	}
}

// AttributeFaults says which attributes of a user do not fit what is declared.
func (s *Service) AttributeFaults(ctx context.Context, idOrUsername string) ([]string, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return nil, err
	}
	var faults []string
	for _, fault := range s.attributes.Faults(u.Attributes) {
		faults = append(faults, fault.Error())
	}
	return faults, nil
}

// FindUsers is Users for those that are asked for.
func (s *Service) FindUsers(ctx context.Context, f idp.UserFilter, after string, limit int) ([]idp.User, error) {
	switch {
	case limit < 1 || limit > 1000:
		return nil, idp.Invalid("limit", "must be from 1 to 1000")
	case len(f.Search) > maxName || !utf8.ValidString(f.Search+after) || strings.ContainsFunc(f.Search+after, unicode.IsControl):
		return nil, nil // nobody is called so
	}
	users, err := s.store.FindUsers(ctx, f, after, limit)
	if err != nil {
		return nil, fmt.Errorf("admin: find users: %w", err)
	}
	return users, nil
}

// Memberships returns the groups and direct roles of a user.
func (s *Service) Memberships(ctx context.Context, idOrUsername string) (idp.Memberships, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return idp.Memberships{}, err
	}
	m, err := s.store.Memberships(ctx, u.ID)
	if err != nil {
		return idp.Memberships{}, fmt.Errorf("admin: read memberships: %w", err)
	}
	return m, nil
}

// dropEmptyAddress leaves out an address that says nothing.
func dropEmptyAddress(p *idp.Profile) {
	if p.Address != nil && *p.Address == (idp.Address{}) {
		p.Address = nil
	}
}

// UserChange is what UpdateUser lets its caller alter.
type UserChange struct {
	Username   string
	Profile    idp.Profile
	Attributes idp.Attributes
}

// UpdateUser lets change alter user name, profile and attributes and stores them
// when the whole is valid; attributes that are left alone may fit no more.
// Nothing is written when nothing changed.
func (s *Service) UpdateUser(ctx context.Context, idOrUsername string, change func(*UserChange)) (idp.User, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return idp.User{}, err
	}
	altered := UserChange{Username: u.Username, Profile: u.Profile, Attributes: u.Attributes.With(nil)}
	if u.Profile.Address != nil {
		address := *u.Profile.Address
		altered.Profile.Address = &address
	}
	change(&altered)
	dropEmptyAddress(&altered.Profile)
	var f faults
	if altered.Username != u.Username {
		checkUsername(&f, altered.Username)
	}
	checkProfile(&f, altered.Profile)
	if err := s.attributes.Check(u.Attributes, altered.Attributes); err != nil {
		f.all = append(f.all, err)
	}
	if err := f.err(); err != nil {
		return idp.User{}, err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return idp.User{}, err
	}
	fields := changedFields(u.Profile, altered.Profile)
	for _, name := range changedFields(u.Attributes, altered.Attributes) {
		fields = append(fields, "attributes."+name)
	}
	if altered.Username != u.Username {
		fields = append(fields, "username")
	}
	slices.Sort(fields)
	if len(fields) == 0 {
		return u, nil
	}
	seen, now := u.UpdatedAt, s.after(u.UpdatedAt)
	u.Username, u.Profile, u.Attributes, u.UpdatedAt = altered.Username, altered.Profile, altered.Attributes, now
	switch err := s.store.UpdateUser(ctx, u, seen, s.event(ctx, now, idp.EventUserUpdated, u.ID, fields...)); {
	case errors.Is(err, idp.ErrChanged):
		return idp.User{}, changedMeanwhile("user", u.Username)
	case errors.Is(err, idp.ErrConflict):
		return idp.User{}, taken("user", altered.Username)
	case err != nil:
		return idp.User{}, fmt.Errorf("admin: update a user: %w", err)
	}
	return u, nil
}

// RemovePicture takes away the picture that a user uploaded.
func (s *Service) RemovePicture(ctx context.Context, idOrUsername string) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil || u.PictureID.IsZero() {
		return err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return err
	}
	if err := s.store.SetPicture(ctx, u.ID, nil, s.event(ctx, s.now(), idp.EventUserUpdated, u.ID, "picture")); err != nil {
		return fmt.Errorf("admin: remove a picture: %w", err)
	}
	return nil
}

// SetPassword sets the password of a user and ends all sessions and tokens
// that came before.
func (s *Service) SetPassword(ctx context.Context, idOrUsername string, password idp.Secret) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return err
	}
	if password == "" {
		return idp.Invalid("password", "is empty")
	}
	hash, err := s.hasher.HashNew(ctx, u, password)
	if err != nil {
		return err
	}
	now := s.now()
	if err := s.store.SetPassword(ctx, u.ID, hash, now, s.event(ctx, now, idp.EventUserPasswordSet, u.ID)); err != nil {
		return fmt.Errorf("admin: set a password: %w", err)
	}
	return s.endSessions(ctx, u.ID, now, "password set")
}

// DisableUser refuses the user everything from now on and ends all sessions
// and tokens; they stay dead when the user is enabled again.
func (s *Service) DisableUser(ctx context.Context, idOrUsername string) error {
	return s.setState(ctx, idOrUsername, idp.UserDisabled, idp.EventUserDisabled)
}

// LockUser is DisableUser for somebody who gets in again by choosing a new
// password: by a link that is sent to them, or that an operator hands over.
func (s *Service) LockUser(ctx context.Context, idOrUsername string) error {
	return s.setState(ctx, idOrUsername, idp.UserLocked, idp.EventUserLocked)
}

// EnableUser lets a disabled or locked user in again.
func (s *Service) EnableUser(ctx context.Context, idOrUsername string) error {
	return s.setState(ctx, idOrUsername, idp.UserActive, idp.EventUserEnabled)
}

func (s *Service) setState(ctx context.Context, idOrUsername string, state idp.UserState, kind idp.EventKind) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return err
	}
	if state != idp.UserActive {
		if err := s.mayGo(ctx, u.ID); err != nil {
			return err
		}
	}
	if u.State == idp.UserInvited && state != idp.UserDisabled {
		return idp.Invalid("user", "is invited: there is no account to let in yet")
	}
	now := s.now()
	if u.State != state {
		if err := s.store.SetUserState(ctx, u.ID, state, now, s.event(ctx, now, kind, u.ID)); err != nil {
			return fmt.Errorf("admin: change a user's state: %w", err)
		}
	}
	if state != idp.UserActive {
		// Also when the user was disabled before: the first call may have died
		// half way.
		return s.endSessions(ctx, u.ID, now, "user "+string(state))
	}
	return nil
}

// DeleteUser removes the account with its sessions, memberships and consents.
func (s *Service) DeleteUser(ctx context.Context, idOrUsername string) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := errors.Join(s.mayRuleUser(ctx, u.ID), s.mayGo(ctx, u.ID)); err != nil {
		return err
	}
	if err := s.store.DeleteUser(ctx, u.ID, s.event(ctx, s.now(), idp.EventUserDeleted, u.ID)); err != nil {
		return fmt.Errorf("admin: delete a user: %w", err)
	}
	return nil
}

func checkUsername(f *faults, name string) {
	var fault *idp.InvalidError
	if errors.As(idp.CheckUsername(name), &fault) {
		f.add(fault.Field, "%s", fault.Reason)
	}
}

// validSubject reports whether the text can be a subject identifier: up to 255
// ASCII characters (OpenID Connect Core section 2).
func validSubject(id string) bool {
	return madeOf(id, "._~@:|+=-", 255) && id != "." && id != ".."
}

var (
	birthdate = regexp.MustCompile(`^[0-9]{4}(-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))?$`)
	zoneinfo  = regexp.MustCompile(`^[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}$`)
	locale    = regexp.MustCompile(`^[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8}){0,4}$`)
	phone     = regexp.MustCompile(`^\+?[0-9][0-9 ().-]{2,38}(;ext=[0-9]{1,10})?$`)
)

// checkProfile checks the standard claims (OpenID Connect Core section 5.1).
func checkProfile(f *faults, p idp.Profile) {
	for _, t := range []struct{ field, text string }{
		{"name", p.Name},
		{"given_name", p.GivenName},
		{"family_name", p.FamilyName},
		{"middle_name", p.MiddleName},
		{"nickname", p.Nickname},
		{"preferred_username", p.PreferredUsername},
		{"gender", p.Gender},
	} {
		f.name(t.field, t.text)
	}
	for _, u := range []struct{ field, uri string }{{"profile", p.Profile}, {"picture", p.Picture}, {"website", p.Website}} {
		if u.uri != "" {
			f.addIf(u.field, webURLFault(u.uri))
		}
	}
	for _, t := range []struct {
		field, text string
		form        *regexp.Regexp
		reason      string
	}{
		{"birthdate", p.Birthdate, birthdate, "must be YYYY-MM-DD or YYYY"},
		{"zoneinfo", p.Zoneinfo, zoneinfo, "must be a time zone like Europe/Paris"},
		{"locale", p.Locale, locale, "must be a language tag like en-US"},
		{"phone_number", p.PhoneNumber, phone, "must be a telephone number like +1 604 555 1234"},
	} {
		if t.text != "" && !t.form.MatchString(t.text) {
			f.add(t.field, "%s", t.reason)
		}
	}
	if p.Email != "" {
		f.addIf("email", emailFault(p.Email))
	}
	if p.EmailVerified && p.Email == "" {
		f.add("email_verified", "there is no email")
	}
	if p.PhoneNumberVerified && p.PhoneNumber == "" {
		f.add("phone_number_verified", "there is no phone_number")
	}
	if a := p.Address; a != nil {
		for _, t := range []struct{ field, text string }{
			{"address.formatted", a.Formatted},
			{"address.street_address", a.StreetAddress},
			{"address.locality", a.Locality},
			{"address.region", a.Region},
			{"address.postal_code", a.PostalCode},
			{"address.country", a.Country},
		} {
			f.addIf(t.field, textFault(t.text, 500, "\r\n"))
		}
	}
}
