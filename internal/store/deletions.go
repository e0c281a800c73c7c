package store

import (
	"context"
	"errors"
	"time"

	"idp/internal/idp"
)

// Accounts that their people want deleted.

const requestDeletion = `
UPDATE users
SET deletion_requested_at = $1, deletion_due_at = $2, updated_at = $1, tokens_valid_after = CASE WHEN $3 THEN $1 ELSE tokens_valid_after END
WHERE user_id = $4 AND deletion_requested_at IS NULL AND state = 'active'`

// RequestDeletion notes that a person wants the account deleted, once: else it
// is idp.ErrConflict. With a due time everything that was proven before ends
// now, and the account is deleted then; without one an operator decides.
func (s *Store) RequestDeletion(ctx context.Context, userID string, at, due time.Time, event idp.Event) error {
	at = s.orNow(at)
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, requestDeletion, at, due, !due.IsZero(), userID)
		if err := expect(n, err, idp.ErrConflict); err != nil || due.IsZero() {
			return err == nil, err
		}
		return true, endAccess(ctx, q, userID, at)
	})
}

const withdrawDeletion = `
UPDATE users SET deletion_requested_at = NULL, deletion_due_at = NULL, updated_at = $1
WHERE user_id = $2 AND deletion_requested_at IS NOT NULL`

// WithdrawDeletion keeps an account whose person wanted it deleted. It is
// idp.ErrNotFound when there is no such wish.
func (s *Store) WithdrawDeletion(ctx context.Context, userID string, event idp.Event) error {
	return s.changeOne(ctx, event, withdrawDeletion, s.now(), userID)
}

const (
	selectDueDeletions = `
SELECT user_id FROM users WHERE deletion_due_at <= $1 ORDER BY deletion_due_at LIMIT $2`
	// Who has changed their mind since is left alone.
	deleteDueUser = `DELETE FROM users WHERE user_id = $1 AND deletion_due_at <= $2`
)

// deleteDueUsers deletes the accounts whose time has come.
func (s *Store) deleteDueUsers(ctx context.Context) error {
	var due []string
	err := s.port.query(ctx, func(r row) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		due = append(due, id)
		return nil
	}, selectDueDeletions, s.now(), int64(deleteBatch))
	if err != nil {
		return err
	}
	for _, id := range due {
		event := idp.Event{Kind: idp.EventUserDeleted, UserID: id, Detail: map[string]string{"actor": id, "reason": "requested"}}
		err := s.deleteUser(ctx, id, event, deleteDueUser, id, s.now())
		if err != nil && !errors.Is(err, idp.ErrNotFound) {
			return err
		}
	}
	return nil
}
