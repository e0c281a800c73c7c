package store

import (
	"context"

	"idp/internal/idp"
)

const (
	setAdministratorPassword = `
UPDATE users
SET password_hash = $1, updated_at = $2, password_changed_at = $2, tokens_valid_after = $2, state = $3
WHERE user_id = $4 AND state IN ('active', 'locked')`
	insertAdministrators = `
INSERT INTO groups (group_name, description, created_at) VALUES ($1, $2, $3) ON CONFLICT (group_name) DO NOTHING`
)

// Appoint uses up a link that makes an administrator: u is in their group, with
// a new password if the account was there, else with all that u has. A taken user
// name is idp.ErrConflict. Of all that bring such a link at once, one goes on.
func (s *Store) Appoint(ctx context.Context, l idp.Link, u idp.User, passkey *idp.FirstPasskey, events ...idp.Event) error {
	at := s.now()
	return s.change(ctx, events, func(q querier) (bool, error) {
		if err := s.useOnce(ctx, q, l, at); err != nil {
			return false, err
		}
		if l.UserID == "" {
			if err := run(ctx, q, insertUserStatements(u)...); err != nil {
				return false, err
			}
			if err := s.beginWith(ctx, q, passkey); err != nil {
				return false, err
			}
		} else {
			n, err := q.exec(ctx, setAdministratorPassword, u.PasswordHash, at, idp.UserActive, u.ID)
			if err := expect(n, err, idp.ErrNotFound); err != nil {
				return false, err
			}
			if err := endAccess(ctx, q, u.ID, at); err != nil {
				return false, err
			}
		}
		return true, run(ctx, q,
			statement{insertAdministrators, []any{idp.AdminGroup, "Who manages everything here", at}},
			statement{insertMember, []any{u.ID, idp.AdminGroup}})
	})
}
