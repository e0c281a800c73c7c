package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const acceptInvitation = `
UPDATE users
SET username = $1, username_key = $2, password_hash = $3, profile = $4, state = $5, updated_at = $6, password_changed_at = $6, tokens_valid_after = $6
WHERE user_id = $7 AND state = $8`

// AcceptInvitation uses up an invitation: the account is the person's from now
// on, under the name and with the password of u, and the address that the
// invitation went to is known to be theirs. A taken user name, and an address
// that is somebody else's by now, are idp.ErrConflict; an account that is no
// longer waiting is idp.ErrNotFound.
func (s *Store) AcceptInvitation(ctx context.Context, l idp.Link, u idp.User, at time.Time, events ...idp.Event) error {
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
		profile.Name, profile.Email, profile.EmailVerified = u.Profile.Name, l.Address, true
		n, err = q.exec(ctx, acceptInvitation, u.Username, usernameKey(u.Username), u.PasswordHash, document{profile}, idp.UserActive, at, l.UserID, idp.UserInvited)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		return true, run(ctx, q, primaryAddressStatements(l.UserID, profile, at)...)
	})
}
