package admin

import (
	"context"
	"fmt"
	"time"

	"idp/internal/idp"
)

// FactorStore keeps what people can sign in with besides the password.
// Implemented by *store.Store.
type FactorStore interface {
	Factors(ctx context.Context, userID string) (idp.Factors, error)
	RemoveFactors(ctx context.Context, userID string, validAfter time.Time, event idp.Event) error
}

// Factors returns what a user can sign in with besides the password.
func (s *Service) Factors(ctx context.Context, idOrUsername string) (idp.Factors, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return idp.Factors{}, err
	}
	f, err := s.store.Factors(ctx, u.ID)
	if err != nil {
		return idp.Factors{}, fmt.Errorf("admin: read factors: %w", err)
	}
	return f, nil
}

// ResetFactors takes a user's passkeys, authenticators and recovery codes away,
// for somebody who lost them, and ends all sessions and tokens that came before.
func (s *Service) ResetFactors(ctx context.Context, idOrUsername string) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return err
	}
	now := s.now()
	if err := s.store.RemoveFactors(ctx, u.ID, now, s.event(ctx, now, idp.EventUserFactorsReset, u.ID)); err != nil {
		return fmt.Errorf("admin: reset factors: %w", err)
	}
	return s.endSessions(ctx, u.ID, now, "factors reset")
}
