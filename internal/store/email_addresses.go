package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"idp/internal/idp"
)

// addressKey is the form in which addresses are compared.
func addressKey(address string) string { return strings.ToLower(address) }

const selectAddresses = `
SELECT address, is_primary, verified_at, created_at
FROM email_addresses
WHERE user_id = $1
ORDER BY is_primary DESC, created_at, address_key`

// EmailAddresses returns a user's addresses, the primary one first.
func (s *Store) EmailAddresses(ctx context.Context, userID string) ([]idp.EmailAddress, error) {
	var addresses []idp.EmailAddress
	err := s.port.query(ctx, func(r row) error {
		var a idp.EmailAddress
		if err := r.Scan(&a.Address, &a.Primary, &a.VerifiedAt, &a.CreatedAt); err != nil {
			return err
		}
		addresses = append(addresses, a)
		return nil
	}, selectAddresses, userID)
	return addresses, err
}

const (
	deletePrimaryAddress = `
DELETE FROM email_addresses WHERE user_id = $1 AND is_primary AND address_key <> $2`
	upsertPrimaryAddress = `
INSERT INTO email_addresses (user_id, address_key, address, is_primary, verified_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (user_id, address_key) DO UPDATE
SET address = excluded.address, is_primary = excluded.is_primary,
    verified_at = CASE WHEN excluded.verified_at IS NULL THEN NULL ELSE coalesce(email_addresses.verified_at, excluded.verified_at) END`
)

// primaryAddressStatements make the profile's address the primary one, instead
// of whatever was.
func primaryAddressStatements(userID string, p idp.Profile, at time.Time) []statement {
	key := addressKey(p.Email)
	statements := []statement{{deletePrimaryAddress, []any{userID, key}}}
	if p.Email == "" {
		return statements
	}
	var verifiedAt time.Time
	if p.EmailVerified {
		verifiedAt = at
	}
	return append(statements, statement{upsertPrimaryAddress, []any{userID, key, p.Email, true, verifiedAt, at}})
}

const insertAddress = `
INSERT INTO email_addresses (user_id, address_key, address, is_primary, verified_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6)`

// AddEmailAddress stores another address of a user. One that the user has, and a
// verified one that is somebody else's, are idp.ErrConflict.
func (s *Store) AddEmailAddress(ctx context.Context, userID string, a idp.EmailAddress, events ...idp.Event) error {
	return s.write(ctx, []statement{{insertAddress, []any{
		userID, addressKey(a.Address), a.Address, false, a.VerifiedAt, s.orNow(a.CreatedAt),
	}}}, events...)
}

const deleteAddress = `
DELETE FROM email_addresses WHERE user_id = $1 AND address_key = $2 AND NOT is_primary`

// RemoveEmailAddress takes an address away that is not the primary one.
func (s *Store) RemoveEmailAddress(ctx context.Context, userID, address string, event idp.Event) error {
	return s.changeOne(ctx, event, deleteAddress, userID, addressKey(address))
}

const (
	// lockUser makes who else changes the user wait, so that the profile can be
	// read and written.
	lockUser      = `UPDATE users SET updated_at = $1 WHERE user_id = $2`
	selectProfile = `SELECT profile FROM users WHERE user_id = $1`
	updateProfile = `UPDATE users SET profile = $1 WHERE user_id = $2`

	unsetPrimaryAddress = `
UPDATE email_addresses SET is_primary = $1 WHERE user_id = $2 AND is_primary`
	setPrimaryAddress = `
UPDATE email_addresses SET is_primary = $1 WHERE user_id = $2 AND address_key = $3 AND verified_at IS NOT NULL`
	selectPrimaryAddress = `
SELECT address, verified_at FROM email_addresses WHERE user_id = $1 AND is_primary`
)

// SetPrimaryEmailAddress makes a verified address the primary one, which is then
// the profile's. undo, if there is one, is stored with it.
func (s *Store) SetPrimaryEmailAddress(ctx context.Context, userID, address string, at time.Time, undo *idp.Link, events ...idp.Event) error {
	return s.change(ctx, events, func(q querier) (bool, error) {
		n, err := q.exec(ctx, lockUser, s.orNow(at), userID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if err := run(ctx, q, statement{unsetPrimaryAddress, []any{false, userID}}); err != nil {
			return false, err
		}
		n, err = q.exec(ctx, setPrimaryAddress, true, userID, addressKey(address))
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if undo != nil {
			if err := run(ctx, q, linkStatement(*undo)); err != nil {
				return false, err
			}
		}
		return true, s.profileFollows(ctx, q, userID)
	})
}

// profileFollows makes the profile say what the primary address is. The user is
// locked.
func (s *Store) profileFollows(ctx context.Context, q querier, userID string) error {
	var profile idp.Profile
	if err := one(ctx, q, []any{document{&profile}}, selectProfile, userID); err != nil {
		return err
	}
	var verifiedAt time.Time
	profile.Email = ""
	if err := one(ctx, q, []any{&profile.Email, &verifiedAt}, selectPrimaryAddress, userID); err != nil && !errors.Is(err, idp.ErrNotFound) {
		return err
	}
	profile.EmailVerified = !verifiedAt.IsZero()
	return run(ctx, q, statement{updateProfile, []any{document{profile}, userID}})
}

// run runs statements one after the other.
func run(ctx context.Context, q querier, statements ...statement) error {
	for _, st := range statements {
		if _, err := q.exec(ctx, st.sql, st.args...); err != nil {
			return err
		}
	}
	return nil
}
