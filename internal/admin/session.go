package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"idp/internal/idp"
)

// SessionStore keeps who is signed in where, and what people allowed.
// Implemented by *store.Store.
type SessionStore interface {
	Sessions(ctx context.Context, userID string) ([]idp.Session, error)
	EndSession(ctx context.Context, id idp.ID, at time.Time, event idp.Event) error
	EndUserSessions(ctx context.Context, userID string, at time.Time, event idp.Event) (int64, error)
	Consents(ctx context.Context, userID string) ([]idp.Consent, error)
	WithdrawConsent(ctx context.Context, userID, clientID string, at time.Time, event idp.Event) error
}

// Sessions returns the sessions of a user, ended ones included while they are
// kept.
func (s *Service) Sessions(ctx context.Context, idOrUsername string) ([]idp.Session, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return nil, err
	}
	sessions, err := s.store.Sessions(ctx, u.ID)
	if err != nil {
		return nil, fmt.Errorf("admin: list sessions: %w", err)
	}
	return sessions, nil
}

// EndSession signs somebody out of one browser; what was issued in the session
// dies with it.
func (s *Service) EndSession(ctx context.Context, id idp.ID) error {
	now := s.now()
	event := s.event(ctx, now, idp.EventSessionEnded, id.String())
	event.SessionID = id.String()
	if err := s.store.EndSession(ctx, id, now, event); err != nil {
		return fmt.Errorf("admin: end a session: %w", err)
	}
	return nil
}

// EndSessionOf is EndSession for a session of that user; another one's is
// idp.ErrNotFound.
func (s *Service) EndSessionOf(ctx context.Context, idOrUsername string, id idp.ID) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return err
	}
	sessions, err := s.store.Sessions(ctx, u.ID)
	if err != nil {
		return fmt.Errorf("admin: list sessions: %w", err)
	}
	if !slices.ContainsFunc(sessions, func(session idp.Session) bool { return session.ID == id }) {
		return missing("session", id.String())
	}
	return s.EndSession(ctx, id)
}

// EndSessions signs a user out everywhere and returns how many sessions ended.
func (s *Service) EndSessions(ctx context.Context, idOrUsername string) (int64, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return 0, err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return 0, err
	}
	now := s.now()
	n, err := s.store.EndUserSessions(ctx, u.ID, now, s.sessionsEnded(ctx, u.ID, now, "operator"))
	if err != nil {
		return 0, fmt.Errorf("admin: end sessions: %w", err)
	}
	return n, nil
}

func (s *Service) endSessions(ctx context.Context, userID string, at time.Time, reason string) error {
	if _, err := s.store.EndUserSessions(ctx, userID, at, s.sessionsEnded(ctx, userID, at, reason)); err != nil {
		return fmt.Errorf("admin: end sessions: %w", err)
	}
	return nil
}

func (s *Service) sessionsEnded(ctx context.Context, userID string, at time.Time, reason string) idp.Event {
	event := with(s.event(ctx, at, idp.EventSessionEnded, userID), "reason", reason)
	event.UserID = userID
	return event
}

// Consents returns what a user allowed which clients, withdrawn ones included
// while they are kept.
func (s *Service) Consents(ctx context.Context, idOrUsername string) ([]idp.Consent, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return nil, err
	}
	consents, err := s.store.Consents(ctx, u.ID)
	if err != nil {
		return nil, fmt.Errorf("admin: list consents: %w", err)
	}
	return consents, nil
}

// WithdrawConsent ends what a user allowed a client, and everything issued
// under it.
func (s *Service) WithdrawConsent(ctx context.Context, idOrUsername, clientID string) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return err
	}
	consents, err := s.store.Consents(ctx, u.ID)
	if err != nil {
		return fmt.Errorf("admin: withdraw a consent: %w", err)
	}
	if !slices.ContainsFunc(consents, func(c idp.Consent) bool { return c.ClientID == clientID && c.WithdrawnAt.IsZero() }) {
		return missing("consent to client", clientID)
	}
	now := s.now()
	event := s.event(ctx, now, idp.EventConsentWithdrawn, clientID)
	event.UserID, event.ClientID = u.ID, clientID
	if err := s.store.WithdrawConsent(ctx, u.ID, clientID, now, event); err != nil {
		return fmt.Errorf("admin: withdraw a consent: %w", err)
	}
	return nil
}
