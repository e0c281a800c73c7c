package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const insertLink = `
INSERT INTO links (link_id, kind, user_id, address_key, address, salt, sealed, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func linkStatement(l idp.Link) statement {
	return statement{insertLink, []any{l.ID, l.Kind, l.UserID, addressKey(l.Address), l.Address, l.Salt, l.Sealed, l.CreatedAt, l.ExpiresAt}}
}

// CreateLink stores a link. Those of its kind, person and address from before do
// not work any more.
func (s *Store) CreateLink(ctx context.Context, l idp.Link, events ...idp.Event) error {
	return s.write(ctx, []statement{linkStatement(l)}, events...)
}

const selectLinkState = `
SELECT
    l.link_id, l.kind, l.user_id, l.address, l.salt, l.sealed, l.created_at, l.expires_at, l.used_at,
    EXISTS (SELECT 1 FROM links n WHERE n.user_id = l.user_id AND n.kind = l.kind AND (n.address_key = l.address_key OR l.kind = 'invitation') AND n.link_id > l.link_id)
        OR l.kind = 'administrator' AND l.user_id = '' AND ` + existsAdministrator + `,
    ` + userColumns + `
FROM links l
LEFT JOIN users u ON u.user_id = l.user_id
WHERE l.link_id = $1 AND (u.user_id IS NOT NULL OR l.kind = 'registration' OR l.kind = 'administrator' AND l.user_id = '')`

// LinkState returns a link, whether it works or not, and whose it is.
func (s *Store) LinkState(ctx context.Context, id idp.ID) (idp.LinkState, error) {
	var st idp.LinkState
	l := &st.Link
	dests := []any{&l.ID, &l.Kind, &l.UserID, &l.Address, &l.Salt, &l.Sealed, &l.CreatedAt, &l.ExpiresAt, &l.UsedAt, &st.Superseded}
	err := one(ctx, s.port, append(dests, userDests(&st.User)...), selectLinkState, id)
	return st, err
}

const useLink = `
UPDATE links SET used_at = $1
WHERE link_id = $2 AND used_at IS NULL AND expires_at > $1 AND NOT EXISTS (
    SELECT 1 FROM links n WHERE n.user_id = links.user_id AND n.kind = links.kind
    AND (n.address_key = links.address_key OR links.kind = 'invitation') AND n.link_id > links.link_id)
AND NOT (kind = 'administrator' AND user_id = '' AND ` + existsAdministrator + `)`

// existsAdministrator is about the group of idp.AdminGroup.
const existsAdministrator = `EXISTS (
    SELECT 1 FROM group_members a JOIN users w ON w.user_id = a.user_id WHERE a.group_name = 'idp-admins' AND w.state = 'active')`

// useOnce uses a link up, in the transaction of what it is good for: of all
// nodes and requests that bring it one goes on, and the others have
// idp.ErrAlreadyUsed.
func (s *Store) useOnce(ctx context.Context, q querier, l idp.Link, at time.Time) error {
	n, err := q.exec(ctx, useLink, s.orNow(at), l.ID)
	return expect(n, err, idp.ErrAlreadyUsed)
}

const (
	endPasswordLinks = `
UPDATE links SET used_at = $1 WHERE user_id = $2 AND kind IN ('reset', 'setup') AND used_at IS NULL`
	resetPassword = `
UPDATE users
SET password_hash = $1, updated_at = $2, password_changed_at = $2, tokens_valid_after = $2,
    state = CASE WHEN state = 'locked' THEN 'active' ELSE state END
WHERE user_id = $3 AND state IN ('active', 'locked')`
)

// ResetPassword uses up a link for a new password. It ends all that was proven
// before, and lets a locked user in again; one who may not have a new password
// is idp.ErrNotFound. Nothing is changed when the link did not work.
func (s *Store) ResetPassword(ctx context.Context, l idp.Link, hash string, at time.Time, events ...idp.Event) error {
	at = s.orNow(at)
	return s.change(ctx, events, func(q querier) (bool, error) {
		if err := s.useOnce(ctx, q, l, at); err != nil {
			return false, err
		}
		n, err := q.exec(ctx, resetPassword, hash, at, l.UserID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		return true, endAccess(ctx, q, l.UserID, at)
	})
}

// endAccess ends the sessions of a user, of whom nothing from before counts any
// more, and the links to choose a password.
func endAccess(ctx context.Context, q querier, userID string, at time.Time) error {
	return run(ctx, q,
		statement{endPasswordLinks, []any{at, userID}},
		statement{endUserSessions, []any{at, userID}},
		statement{announceUserSessionsEnd, []any{at, userID}})
}

const (
	verifyAddress = `
UPDATE email_addresses SET verified_at = $1 WHERE user_id = $2 AND address_key = $3 AND verified_at IS NULL`
	setFirstAddress = `
UPDATE email_addresses SET is_primary = $1
WHERE user_id = $2 AND address_key = $3 AND NOT EXISTS (SELECT 1 FROM email_addresses p WHERE p.user_id = $2 AND p.is_primary)`
)

// VerifyEmailAddress uses up a link that shows that an address is the user's,
// which is the primary one if there is no other. It is idp.ErrNotFound when the user does not have it any more, and
// idp.ErrConflict when it is somebody else's.
func (s *Store) VerifyEmailAddress(ctx context.Context, l idp.Link, at time.Time, events ...idp.Event) error {
	at = s.orNow(at)
	return s.change(ctx, events, func(q querier) (bool, error) {
		if err := s.useOnce(ctx, q, l, at); err != nil {
			return false, err
		}
		n, err := q.exec(ctx, lockUser, at, l.UserID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		n, err = q.exec(ctx, verifyAddress, at, l.UserID, addressKey(l.Address))
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if err := run(ctx, q, statement{setFirstAddress, []any{true, l.UserID, addressKey(l.Address)}}); err != nil {
			return false, err
		}
		return true, s.profileFollows(ctx, q, l.UserID)
	})
}

const (
	deleteOtherAddresses = `DELETE FROM email_addresses WHERE user_id = $1 AND address_key <> $2`
	restoreAddress       = `
INSERT INTO email_addresses (user_id, address_key, address, is_primary, verified_at, created_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (user_id, address_key) DO UPDATE
SET is_primary = excluded.is_primary, verified_at = coalesce(email_addresses.verified_at, excluded.verified_at)`
	resetTokens = `UPDATE users SET updated_at = $1, tokens_valid_after = $1 WHERE user_id = $2`
)

// RestoreEmailAddress uses up the link of an address that was the primary one:
// it is that again, all others are gone, because who changed it may have added
// several, and all that was proven before has ended. An address that is somebody else's by now is idp.ErrConflict.
func (s *Store) RestoreEmailAddress(ctx context.Context, l idp.Link, at time.Time, events ...idp.Event) error {
	at = s.orNow(at)
	return s.change(ctx, events, func(q querier) (bool, error) {
		if err := s.useOnce(ctx, q, l, at); err != nil {
			return false, err
		}
		n, err := q.exec(ctx, resetTokens, at, l.UserID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if err := run(ctx, q,
			statement{deleteOtherAddresses, []any{l.UserID, addressKey(l.Address)}},
			statement{restoreAddress, []any{l.UserID, addressKey(l.Address), l.Address, true, at}},
		); err != nil {
			return false, err
		}
		if err := s.profileFollows(ctx, q, l.UserID); err != nil {
			return false, err
		}
		return true, endAccess(ctx, q, l.UserID, at)
	})
}

const (
	deleteUserLinks = `DELETE FROM links WHERE user_id = $1`
	deleteLinks     = `
DELETE FROM links WHERE link_id IN (SELECT link_id FROM links WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
)

// deleteOldLinks removes links that expired a while ago.
func (s *Store) deleteOldLinks(ctx context.Context) error {
	return s.deleteInBatches(ctx, deleteLinks, s.now().Add(-time.Hour))
}
