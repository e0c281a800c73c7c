package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const acceptInvitation = `
UPDATE users
SET username = $1, username_key = $2, password_hash = $3, profile = $4, state = $5, updated_at = $6, password_changed_at = $7, tokens_valid_after = $6
WHERE user_id = $8 AND state = $9`

// AcceptInvitation uses up an invitation: the account is the person's from now
// on, under the name and with the password of u or the passkey, and the address
// that the invitation went to, if it was not handed over, is known to be theirs. A taken user name, and an
// address that is somebody else's by now, are idp.ErrConflict; an account that
// is no longer waiting is idp.ErrNotFound.
func (s *Store) AcceptInvitation(ctx context.Context, l idp.Link, u idp.User, passkey *idp.FirstPasskey, at time.Time, events ...idp.Event) error {
	at = s.orNow(at)
	return s.change(ctx, events, func(q querier) (bool, error) {
		if err := s.useOnce(ctx, q, l, at); err != nil {
			return false, err
		}
		n, err := q.exec(ctx, lockUser, at, l.UserID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		var profile idp.Profile
		if err := one(ctx, q, []any{document{&profile}}, selectProfile, l.UserID); err != nil {
			return false, err
		}
		profile.Name = u.Profile.Name
		if l.Address != "" { // else it was handed over, which shows nothing of an address
			profile.Email, profile.EmailVerified = l.Address, true
		}
		var passwordSet time.Time
		if u.PasswordHash != "" {
			passwordSet = at
		}
		n, err = q.exec(ctx, acceptInvitation, u.Username, usernameKey(u.Username), u.PasswordHash, document{profile}, idp.UserActive, at, passwordSet, l.UserID, idp.UserInvited)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if err := run(ctx, q, primaryAddressStatements(l.UserID, profile, at)...); err != nil {
			return false, err
		}
		return true, s.beginWith(ctx, q, passkey)
	})
}

// Register uses up a link to make an account, and makes it: u with its address,
// and with the passkey if there is one. A taken user name, and an address that
// is somebody else's by now, are idp.ErrConflict.
func (s *Store) Register(ctx context.Context, l idp.Link, u idp.User, passkey *idp.FirstPasskey, events ...idp.Event) error {
	return s.change(ctx, events, func(q querier) (bool, error) {
		if err := s.useOnce(ctx, q, l, u.CreatedAt); err != nil {
			return false, err
		}
		if err := run(ctx, q, insertUserStatements(u)...); err != nil {
			return false, err
		}
		return true, s.beginWith(ctx, q, passkey)
	})
}

// Whoever has not taken the account over yet cannot have used another handle.
const setUserHandle = `
INSERT INTO user_handles (user_id, user_handle)
VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET user_handle = excluded.user_handle`

// beginWith stores the passkey that an account begins with, if there is one.
func (s *Store) beginWith(ctx context.Context, q querier, p *idp.FirstPasskey) error {
	if p == nil {
		return nil
	}
	if err := run(ctx, q, statement{setUserHandle, []any{p.UserID, p.Handle}}); err != nil {
		return err
	}
	return s.addPasskey(ctx, q, p.Passkey, p.Challenge)
}
