package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

func userDests(u *idp.User) []any {
	return []any{
		&u.ID, &u.Username, &u.PasswordHash, &u.State,
		document{&u.Profile},
		&u.TokensValidAfter, &u.CreatedAt, &u.UpdatedAt,
		&u.PasswordChangedAt,
		document{&u.Preferences},
		document{&u.Attributes},
		&u.PictureID,
		&u.DeletionRequestedAt, &u.DeletionDueAt,
	}
}

// userColumns are the columns of userDests.
const userColumns = `u.user_id, u.username, u.password_hash, u.state, u.profile, u.tokens_valid_after, u.created_at, u.updated_at,
    u.password_changed_at, u.preferences, u.attributes, u.picture_id, u.deletion_requested_at, u.deletion_due_at`

func membershipDests(m *idp.Memberships) []any {
	return []any{(*lines)(&m.Groups), (*lines)(&m.Roles)}
}

func sortMemberships(m *idp.Memberships) {
	slices.Sort(m.Groups)
	slices.Sort(m.Roles)
}

// usernameKey is the form in which user names are compared and unique.
func usernameKey(username string) string { return strings.ToLower(username) }

const selectUserByUsername = `
SELECT ` + userColumns + `
FROM users u
WHERE username_key = $1`

// UserByUsername finds a user by name, without regard to case.
func (s *Store) UserByUsername(ctx context.Context, username string) (idp.User, error) {
	var u idp.User
	err := one(ctx, s.port, userDests(&u), selectUserByUsername, usernameKey(username))
	return u, err
}

// A name is looked for first, so that nobody takes an account's place by
// verifying an address that is its name.
const selectUserByLogin = `
SELECT ` + userColumns + `
FROM users u
WHERE username_key = $1
   OR user_id = (SELECT a.user_id FROM email_addresses a WHERE a.address_key = $1 AND a.verified_at IS NOT NULL)
ORDER BY CASE WHEN username_key = $1 THEN 0 ELSE 1 END
LIMIT 1`

// UserByLogin finds a user by name or by verified address, without regard to
// case.
func (s *Store) UserByLogin(ctx context.Context, login string) (idp.User, error) {
	var u idp.User
	err := one(ctx, s.port, userDests(&u), selectUserByLogin, usernameKey(login))
	return u, err
}

const selectUser = `
SELECT ` + userColumns + `
FROM users u
WHERE user_id = $1`

// User finds a user by subject identifier.
func (s *Store) User(ctx context.Context, id string) (idp.User, error) {
	var u idp.User
	err := one(ctx, s.port, userDests(&u), selectUser, id)
	return u, err
}

const selectUsers = `
SELECT ` + userColumns + `
FROM users u
WHERE username_key > $1
ORDER BY username_key
LIMIT $2`

// Users returns up to limit users whose names come after the given one. The
// empty name begins at the beginning.
func (s *Store) Users(ctx context.Context, after string, limit int) ([]idp.User, error) {
	return s.users(ctx, selectUsers, usernameKey(after), limit)
}

const findUsers = `
SELECT ` + userColumns + `
FROM users u
WHERE username_key > $1
  AND ($2 = '' OR state = $2)
  AND ($3 = '' OR user_id = $3 OR username_key LIKE lower($4) ESCAPE '\' OR lower(profile->>'name') LIKE lower($4) ESCAPE '\'
    OR EXISTS (SELECT 1 FROM email_addresses a WHERE a.user_id = u.user_id AND a.address_key LIKE lower($4) ESCAPE '\'))
ORDER BY username_key
LIMIT $5`

// FindUsers is Users for those that are asked for, without regard to case.
func (s *Store) FindUsers(ctx context.Context, f idp.UserFilter, after string, limit int) ([]idp.User, error) {
	part := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Search) + "%"
	return s.users(ctx, findUsers, usernameKey(after), f.State, f.Search, part, limit)
}

func (s *Store) users(ctx context.Context, sql string, args ...any) ([]idp.User, error) {
	var users []idp.User
	err := s.port.query(ctx, func(r row) error {
		var u idp.User
		if err := r.Scan(userDests(&u)...); err != nil {
			return err
		}
		users = append(users, u)
		return nil
	}, sql, args...)
	return users, err
}

const insertUser = `
INSERT INTO users (
    user_id, username, username_key, password_hash, state, profile, tokens_valid_after, created_at, updated_at, password_changed_at, preferences,
    attributes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

// CreateUser stores a new user, whose primary address is the profile's. A taken
// name or identifier, and a verified address that is another user's, are
// idp.ErrConflict.
func (s *Store) CreateUser(ctx context.Context, u idp.User, events ...idp.Event) error {
	if u.ID == "" || u.Username == "" {
		return idp.Invalid("username", "must not be empty")
	}
	if u.State == "" {
		u.State = idp.UserActive
	}
	u.CreatedAt = s.orNow(u.CreatedAt)
	if u.UpdatedAt.IsZero() {
		u.UpdatedAt = u.CreatedAt
	}
	return s.write(ctx, insertUserStatements(u), events...)
}

// attributesDocument is NULL for the many accounts without any.
func attributesDocument(a idp.Attributes) document {
	if len(a) == 0 {
		return document{}
	}
	return document{a}
}

// insertUserStatements store a user with the address of the profile.
func insertUserStatements(u idp.User) []statement {
	statements := []statement{{insertUser, []any{
		u.ID, u.Username, usernameKey(u.Username), u.PasswordHash, u.State,
		document{u.Profile},
		u.TokensValidAfter, u.CreatedAt, u.UpdatedAt,
		u.PasswordChangedAt,
		document{u.Preferences},
		attributesDocument(u.Attributes),
	}}}
	return append(statements, primaryAddressStatements(u.ID, u.Profile, u.CreatedAt)...)
}

const updateUser = `
UPDATE users
SET username = $1, username_key = $2, profile = $3, attributes = $4, updated_at = $5,
    tokens_valid_after = CASE WHEN state = 'active' AND $6 THEN $5 ELSE tokens_valid_after END, state = $7
WHERE user_id = $8 AND (updated_at = $9 OR $10)`

// UpdateUser replaces name, profile, attributes and state of a user who is still
// as they were at seen, or anyhow for the zero time: idp.ErrChanged when
// somebody else changed or deleted them. The profile's address takes the place
// of the primary one. Disabling also ends what was proven before, see
// SetUserState.
func (s *Store) UpdateUser(ctx context.Context, u idp.User, seen time.Time, events ...idp.Event) error {
	if u.Username == "" {
		return idp.Invalid("username", "must not be empty")
	}
	lost := idp.ErrChanged
	if seen.IsZero() {
		lost = idp.ErrNotFound
	}
	return s.change(ctx, events, func(q querier) (bool, error) {
		n, err := q.exec(ctx, updateUser, u.Username, usernameKey(u.Username), document{u.Profile}, attributesDocument(u.Attributes),
			s.orNow(u.UpdatedAt), u.State != idp.UserActive, u.State, u.ID, seen, seen.IsZero())
		if err := expect(n, err, lost); err != nil {
			return false, err
		}
		return true, run(ctx, q, primaryAddressStatements(u.ID, u.Profile, s.now())...)
	})
}

const setPassword = `
UPDATE users
SET password_hash = $1, updated_at = $2, password_changed_at = $2, tokens_valid_after = CASE WHEN $3 THEN $4 ELSE tokens_valid_after END
WHERE user_id = $5`

// SetPassword replaces the password's hash. Links to choose one are dead.
// Sessions and tokens from before validAfter die; the zero time keeps them.
func (s *Store) SetPassword(ctx context.Context, id, hash string, validAfter time.Time, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, setPassword, hash, s.now(), !validAfter.IsZero(), validAfter, id)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		return true, run(ctx, q, statement{endPasswordLinks, []any{s.now(), id}})
	})
}

const replacePasswordHash = `
UPDATE users SET password_hash = $1 WHERE user_id = $2 AND password_hash = $3`

// ReplacePasswordHash stores another hash of the same password, unless the
// password was changed since old was read.
func (s *Store) ReplacePasswordHash(ctx context.Context, userID, old, replacement string) error {
	_, err := s.port.exec(ctx, replacePasswordHash, replacement, userID, old)
	return err
}

const setPreferences = `
UPDATE users SET preferences = $1 WHERE user_id = $2`

// SetPreferences stores how a person wants to see the pages, which is nothing
// for the audit.
func (s *Store) SetPreferences(ctx context.Context, id string, p idp.Preferences) error {
	n, err := s.port.exec(ctx, setPreferences, document{p}, id)
	return expect(n, err, idp.ErrNotFound)
}

const setUserState = `
UPDATE users
SET updated_at = $1, tokens_valid_after = CASE WHEN state <> $2 THEN $1 ELSE tokens_valid_after END, state = $2
WHERE user_id = $3`

// SetUserState enables or disables a user. Either ends what was proven before:
// disabling, so that enabling again does not bring it back; enabling, because of
// what was under way when the user was disabled.
func (s *Store) SetUserState(ctx context.Context, id string, state idp.UserState, at time.Time, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, setUserState, s.orNow(at), state, id)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

const (
	deleteUser         = `DELETE FROM users WHERE user_id = $1`
	deleteUserSessions = `DELETE FROM sessions WHERE user_id = $1`
	deleteUserConsents = `DELETE FROM consents WHERE user_id = $1`
)

// DeleteUser removes a user with memberships, addresses, sessions, devices, consents, links and mail. What was
// issued to the user is dead, as nothing is found without the user.
func (s *Store) DeleteUser(ctx context.Context, id string, event idp.Event) error {
	return s.deleteUser(ctx, id, event, deleteUser, id)
}

func (s *Store) deleteUser(ctx context.Context, id string, event idp.Event, sql string, args ...any) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, sql, args...)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if _, err := q.exec(ctx, announceUserSessionsEnd, s.now(), id); err != nil {
			return false, err
		}
		if _, err := q.exec(ctx, deleteUserSessions, id); err != nil {
			return false, err
		}
		if _, err := q.exec(ctx, deleteUserDevices, id); err != nil {
			return false, err
		}
		if _, err := q.exec(ctx, deleteUserMails, id); err != nil {
			return false, err
		}
		if _, err := q.exec(ctx, deleteUserLinks, id); err != nil {
			return false, err
		}
		_, err = q.exec(ctx, deleteUserConsents, id)
		return true, err
	})
}

const selectMemberships = `
SELECT
    (SELECT string_agg(m.group_name, $1) FROM group_members m WHERE m.user_id = u.user_id),
    (SELECT string_agg(r.role_name, $1) FROM user_roles r WHERE r.user_id = u.user_id)
FROM users u
WHERE u.user_id = $2`

// Memberships returns the user's groups and own roles.
func (s *Store) Memberships(ctx context.Context, userID string) (idp.Memberships, error) {
	var m idp.Memberships
	err := one(ctx, s.port, membershipDests(&m), selectMemberships, lineBreak, userID)
	sortMemberships(&m)
	return m, err
}
