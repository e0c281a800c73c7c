package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const insertPushedRequest = `
INSERT INTO pushed_requests (expires_on, request_id, client_id, sealed, salt, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

// CreatePushedRequest stores an authorization request that was sent ahead.
func (s *Store) CreatePushedRequest(ctx context.Context, p idp.PushedRequest) error {
	_, err := s.port.exec(ctx, insertPushedRequest,
		p.Handle.ExpiresOn, p.Handle.ID, p.ClientID, p.Sealed, p.Salt, p.CreatedAt, p.ExpiresAt)
	return err
}

const selectPushedRequest = `
SELECT expires_on, request_id, client_id, sealed, salt, created_at, expires_at, used_at
FROM pushed_requests
WHERE expires_on = $1 AND request_id = $2`

// PushedRequest returns a request that was sent ahead, used or expired too.
func (s *Store) PushedRequest(ctx context.Context, h idp.PushedRequestHandle) (idp.PushedRequest, error) {
	var p idp.PushedRequest
	dests := []any{&p.Handle.ExpiresOn, &p.Handle.ID, &p.ClientID, &p.Sealed, &p.Salt, &p.CreatedAt, &p.ExpiresAt, &p.UsedAt}
	err := one(ctx, s.port, dests, selectPushedRequest, h.ExpiresOn, h.ID)
	return p, err
}

const usePushedRequest = `
UPDATE pushed_requests
SET used_at = $1, grant_id = $2
WHERE expires_on = $3 AND request_id = $4 AND used_at IS NULL`

const insertGrantOfPushedRequest = insertGrantInto + `
SELECT ` + grantParameters + `
FROM pushed_requests WHERE expires_on = $25 AND request_id = $26 AND grant_id = $2`

const insertEventOfNewGrant = `
INSERT INTO audit_events (event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
FROM grants WHERE expires_on = $12 AND grant_id = $13`

// CreatePushedGrant is CreateGrant for an authorization whose request was sent
// ahead, and uses that request up (RFC 9126 section 7.3). When another
// authorization was quicker it is idp.ErrAlreadyUsed, and nothing is stored.
func (s *Store) CreatePushedGrant(ctx context.Context, h idp.PushedRequestHandle, g idp.Grant, seen time.Time, events ...idp.Event) error {
	if err := checkGrant(g); err != nil {
		return err
	}
	events = s.completeAll(ctx, events)
	statements := []statement{
		{usePushedRequest, []any{g.CreatedAt, g.Handle.ID, h.ExpiresOn, h.ID}},
		{insertGrantOfPushedRequest, append(grantArgs(g), h.ExpiresOn, h.ID)},
	}
	for _, e := range events {
		statements = append(statements, statement{insertEventOfNewGrant, append(eventArgs(e), g.Handle.ExpiresOn, g.Handle.ID)})
		statements = append(statements, mailStatements(e)...)
	}
	changed, err := s.port.batch(ctx, append(statements, sightings(g, seen)...))
	if err != nil {
		return err
	}
	if changed[0] == 0 {
		return idp.ErrAlreadyUsed
	}
	s.mirror(events...)
	return nil
}
