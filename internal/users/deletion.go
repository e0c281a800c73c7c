package users

import (
	"context"
	"fmt"
	"time"

	"idp/internal/idp"
)

// OwnDeletion keeps who wants their account deleted. Implemented by
// *store.Store.
type OwnDeletion interface {
	// RequestDeletion is idp.ErrConflict for somebody who asked before.
	RequestDeletion(ctx context.Context, userID string, at, due time.Time, event idp.Event) error
	// WithdrawDeletion is idp.ErrNotFound for somebody who did not ask.
	WithdrawDeletion(ctx context.Context, userID string, event idp.Event) error
}

// DeletionRule is what becomes of the wish to have one's account deleted.
func (s *Self) DeletionRule() idp.DeletionRule { return s.deletion }

// RequestDeletion notes the wish, and tells the person. It returns when the
// account is deleted, by the server itself: all sessions and tokens have ended,
// and signing in is for those who change their mind. The zero time leaves it to
// an operator, and everything goes on till then. It is idp.ErrConflict for
// somebody who asked before, and idp.ErrNotFound where nobody may.
func (s *Self) RequestDeletion(ctx context.Context, user idp.User, from idp.Whereabouts) (time.Time, error) {
	now := s.now()
	var due time.Time
	switch s.deletion.Mode {
	case idp.DeletionSelf:
		due = now.Add(s.deletion.After)
	case idp.DeletionRequest:
	default:
		return time.Time{}, fmt.Errorf("users: ask for deletion: %w", idp.ErrNotFound)
	}
	event := s.event(now, idp.EventUserDeletionRequested, user.ID, from)
	event.Mail = notice(ctx, s.mail, s.logger, now, &user, idp.DeletionRequestedMail{
		At: now, DueAt: due, Device: from.Device, RemoteAddr: idp.RequestFrom(ctx).RemoteAddr,
	})
	if err := s.store.RequestDeletion(ctx, user.ID, now, due, event); err != nil {
		return time.Time{}, fmt.Errorf("users: ask for deletion: %w", err)
	}
	return due, nil
}

// KeepAccount takes the wish back. It is idp.ErrNotFound for somebody who has
// none.
func (s *Self) KeepAccount(ctx context.Context, user idp.User, from idp.Whereabouts) error {
	if err := s.store.WithdrawDeletion(ctx, user.ID, s.event(s.now(), idp.EventUserDeletionWithdrawn, user.ID, from)); err != nil {
		return fmt.Errorf("users: keep an account: %w", err)
	}
	return nil
}
