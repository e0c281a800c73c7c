package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"idp/internal/idp"
)

func consentDests(c *idp.Consent) []any {
	return []any{
		&c.UserID, &c.ClientID, (*words)(&c.Scopes), (*words)(&c.Resources), (*words)(&c.RedirectOrigins),
		&c.Remembered, &c.GrantedAt, &c.WithdrawnAt,
	}
}

const selectConsent = `
SELECT user_id, client_id, scopes, resources, redirect_origins, remembered, granted_at, withdrawn_at, last_event_id
FROM consents
WHERE user_id = $1 AND client_id = $2`

// The row is replaced only in the version that was read: its last event. The
// withdrawal stays.
const upsertConsent = `
INSERT INTO consents (user_id, client_id, scopes, resources, redirect_origins, remembered, granted_at, last_event_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (user_id, client_id) DO UPDATE
SET scopes = excluded.scopes, resources = excluded.resources, redirect_origins = excluded.redirect_origins,
    remembered = excluded.remembered, granted_at = excluded.granted_at, last_event_id = excluded.last_event_id
WHERE consents.last_event_id = $9`

const insertEventOfConsent = `
INSERT INTO audit_events (event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
FROM consents WHERE user_id = $12 AND client_id = $13 AND last_event_id = $1`

// SaveConsent stores what a person allowed a client, added to what was allowed
// before, unless that was withdrawn. Remembered and GrantedAt are replaced;
// WithdrawnAt stays as it is stored.
func (s *Store) SaveConsent(ctx context.Context, c idp.Consent, event idp.Event) error {
	if err := checkWords("scope", c.Scopes, c.Resources, c.RedirectOrigins); err != nil {
		return err
	}
	event = s.complete(ctx, event)
	c.GrantedAt = s.orNow(c.GrantedAt)
	for range 10 { // each turn somebody else has won one
		var before idp.Consent
		var version idp.ID
		err := s.port.query(ctx, func(r row) error {
			return r.Scan(append(consentDests(&before), &version)...)
		}, selectConsent, c.UserID, c.ClientID)
		if err != nil {
			return err
		}
		merged := c
		if before.Stands() {
			merged.Scopes = union(before.Scopes, c.Scopes)
			merged.Resources = union(before.Resources, c.Resources)
			merged.RedirectOrigins = union(before.RedirectOrigins, c.RedirectOrigins)
		}
		if !before.WithdrawnAt.Before(merged.GrantedAt) { // by a clock that is ahead
			merged.GrantedAt = before.WithdrawnAt.Add(time.Microsecond)
		}
		statements := []statement{
			{upsertConsent, []any{
				merged.UserID, merged.ClientID, words(merged.Scopes), words(merged.Resources), words(merged.RedirectOrigins),
				merged.Remembered, merged.GrantedAt, event.ID, version,
			}},
			{insertEventOfConsent, append(eventArgs(event), c.UserID, c.ClientID)},
		}
		changed, err := s.port.batch(ctx, append(statements, mailStatements(event)...))
		if err != nil {
			return err
		}
		if changed[0] > 0 {
			s.mirror(event)
			return nil
		}
	}
	return fmt.Errorf("%w: the consent kept changing", idp.ErrConflict)
}

// union returns the values of a and then those of b that are new.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

const withdrawConsent = `
UPDATE consents
SET withdrawn_at = CASE WHEN granted_at > $1 THEN granted_at ELSE $1 END, last_event_id = $2
WHERE user_id = $3 AND client_id = $4 AND (withdrawn_at IS NULL OR withdrawn_at < granted_at)`

// WithdrawConsent takes back what a person allowed a client; everything issued
// before dies with it. It is idp.ErrNotFound when nothing stood.
func (s *Store) WithdrawConsent(ctx context.Context, userID, clientID string, at time.Time, event idp.Event) error {
	event = s.complete(ctx, event)
	statements := []statement{
		{withdrawConsent, []any{s.orNow(at), event.ID, userID, clientID}},
		{insertEventOfConsent, append(eventArgs(event), userID, clientID)},
	}
	changed, err := s.port.batch(ctx, append(statements, mailStatements(event)...))
	if err != nil {
		return err
	}
	if changed[0] == 0 {
		return idp.ErrNotFound
	}
	s.mirror(event)
	return nil
}

const selectConsents = `
SELECT user_id, client_id, scopes, resources, redirect_origins, remembered, granted_at, withdrawn_at
FROM consents
WHERE user_id = $1
ORDER BY client_id`

// Consents returns what a person allowed, withdrawn ones too.
func (s *Store) Consents(ctx context.Context, userID string) ([]idp.Consent, error) {
	var consents []idp.Consent
	err := s.port.query(ctx, func(r row) error {
		var c idp.Consent
		if err := r.Scan(consentDests(&c)...); err != nil {
			return err
		}
		consents = append(consents, c)
		return nil
	}, selectConsents, userID)
	return consents, err
}

// The one whose code was never used counts as well: the application had it.
const selectLastGrants = `
SELECT client_id, max(coalesce(rotated_at, created_at))
FROM grants
WHERE user_id = $1
GROUP BY client_id`

// LastGrants returns when each client was last given something for the user: a
// code, or tokens for a refresh token. Clients whose grants are gone are not
// there.
func (s *Store) LastGrants(ctx context.Context, userID string) (map[string]time.Time, error) {
	last := map[string]time.Time{}
	err := s.port.query(ctx, func(r row) error {
		var clientID string
		var at time.Time
		if err := r.Scan(&clientID, &at); err != nil {
			return err
		}
		last[clientID] = at
		return nil
	}, selectLastGrants, userID)
	return last, err
}
