package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

// touchEvery is how old a session's last sighting must be to be written anew.
const touchEvery = time.Minute

// insertGrantInto and grantParameters are the columns and their parameters, in
// the order of grantArgs.
const (
	insertGrantInto = `
INSERT INTO grants (
    expires_on, grant_id, client_id, user_id, session_id, scopes, resources, redirect_uri, redirect_uri_omitted,
    nonce, code_challenge, auth_time, acr, amr, salt, created_at, code_expires_at, code_used_at,
    generation, rotated_at, idle_expires_at, expires_at, revoked_at, claims)`
	grantParameters = `$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24`
)

const insertGrant = insertGrantInto + `
VALUES (` + grantParameters + `)`

func grantArgs(g idp.Grant) []any {
	return []any{
		g.Handle.ExpiresOn, g.Handle.ID, g.ClientID, g.UserID, g.SessionID, words(g.Scopes), words(g.Resources),
		g.RedirectURI, g.RedirectURIOmitted, g.Nonce, g.CodeChallenge, g.AuthTime, g.ACR, words(g.AMR), g.Salt,
		g.CreatedAt, g.CodeExpiresAt, g.CodeUsedAt, g.Generation, g.RotatedAt, g.IdleExpiresAt, g.ExpiresAt, g.RevokedAt,
		claimsDocument(g.Claims),
	}
}

func checkGrant(g idp.Grant) error {
	if err := checkWords("scope", g.Scopes, g.AMR); err != nil {
		return err
	}
	return checkWords("resource", g.Resources)
}

const touchSession = `
UPDATE sessions SET last_seen_at = $1 WHERE session_id = $2 AND last_seen_at <= $3`

// CreateGrant stores what an authorization leaves behind, that its session was
// seen, and that its client is to be told when the session ends.
func (s *Store) CreateGrant(ctx context.Context, g idp.Grant, seen time.Time, events ...idp.Event) error {
	if err := checkGrant(g); err != nil {
		return err
	}
	statements := append([]statement{{insertGrant, grantArgs(g)}}, sightings(g, seen)...)
	return s.write(ctx, statements, events...)
}

// sightings notes that the grant's session was seen, and who hears of its end.
func sightings(g idp.Grant, seen time.Time) []statement {
	var statements []statement
	if !g.SessionID.IsZero() && !seen.IsZero() {
		statements = append(statements, statement{touchSession, []any{seen, g.SessionID, seen.Add(-touchEvery)}})
	}
	if g.LogoutSubject != "" {
		statements = append(statements, statement{insertSessionClient, []any{g.ClientID, g.LogoutSubject, g.SessionID}})
	}
	return statements
}

// claimsDocument is NULL for the many grants without a claims request.
func claimsDocument(c *idp.ClaimsRequest) document {
	if c == nil {
		return document{}
	}
	return document{c}
}

// The columns of a grant's state, in the order of grantStateDests. $1 separates
// group names.
const grantStateColumns = `
    g.expires_on, g.grant_id, g.client_id, g.user_id, g.session_id, g.scopes, g.resources, g.redirect_uri,
    g.redirect_uri_omitted, g.nonce, g.code_challenge, g.auth_time, g.acr, g.amr, g.salt, g.created_at,
    g.code_expires_at, g.code_used_at, g.generation, g.rotated_at, g.idle_expires_at, g.expires_at, g.revoked_at, g.claims,
    ` + userColumns + `,
    (SELECT string_agg(m.group_name, $1) FROM group_members m WHERE m.user_id = u.user_id),
    (SELECT string_agg(r.role_name, $1) FROM user_roles r WHERE r.user_id = u.user_id),
    s.ended_at, c.withdrawn_at`

func grantStateDests(st *idp.GrantState) []any {
	g := &st.Grant
	dests := []any{
		&g.Handle.ExpiresOn, &g.Handle.ID, &g.ClientID, &g.UserID, &g.SessionID, (*words)(&g.Scopes), (*words)(&g.Resources),
		&g.RedirectURI, &g.RedirectURIOmitted, &g.Nonce, &g.CodeChallenge, &g.AuthTime, &g.ACR, (*words)(&g.AMR), &g.Salt,
		&g.CreatedAt, &g.CodeExpiresAt, &g.CodeUsedAt, &g.Generation, &g.RotatedAt, &g.IdleExpiresAt, &g.ExpiresAt, &g.RevokedAt,
		document{&g.Claims},
	}
	dests = append(dests, userDests(&st.User)...)
	dests = append(dests, membershipDests(&st.Memberships)...)
	return append(dests, &st.SessionEndedAt, &st.ConsentWithdrawnAt)
}

const selectGrantState = `
SELECT` + grantStateColumns + `
FROM grants g
JOIN users u ON u.user_id = g.user_id
LEFT JOIN sessions s ON s.session_id = g.session_id
LEFT JOIN consents c ON c.user_id = g.user_id AND c.client_id = g.client_id
WHERE g.expires_on = $2 AND g.grant_id = $3`

// GrantState returns a grant with all that decides whether it lives. It is
// idp.ErrNotFound when the grant or its user is gone.
func (s *Store) GrantState(ctx context.Context, h idp.GrantHandle) (idp.GrantState, error) {
	var state idp.GrantState
	if err := one(ctx, s.port, grantStateDests(&state), selectGrantState, lineBreak, h.ExpiresOn, h.ID); err != nil {
		return idp.GrantState{}, err
	}
	sortMemberships(&state.Memberships)
	return state, nil
}

const redeemCode = `
UPDATE grants
SET code_used_at = $1, generation = $2, rotated_at = $3, idle_expires_at = $4, last_event_id = $5
WHERE expires_on = $6 AND grant_id = $7
  AND code_used_at IS NULL AND revoked_at IS NULL AND code_expires_at > $1 AND expires_at > $1`

// RedeemCode spends an authorization code (RFC 6749 section 4.1.2) and stores
// what came of it: the token row, if the token is opaque, and the event. When
// the code was used, has expired or was revoked it is idp.ErrAlreadyUsed, and
// nothing is stored.
func (s *Store) RedeemCode(ctx context.Context, r idp.CodeRedemption, token *idp.AccessToken, event idp.Event) error {
	event = s.complete(ctx, event)
	var generation uint32
	var rotatedAt, idleExpiresAt time.Time
	if r.Refreshable {
		generation, rotatedAt, idleExpiresAt = 1, r.At, r.IdleExpiresAt
	}
	return s.changeGrant(ctx, r.Handle, token, event, statement{redeemCode, []any{
		r.At, generation, rotatedAt, idleExpiresAt, event.ID, r.Handle.ExpiresOn, r.Handle.ID,
	}})
}

const rotateRefresh = `
UPDATE grants
SET generation = $1, rotated_at = $2, idle_expires_at = $3, last_event_id = $4
WHERE expires_on = $5 AND grant_id = $6
  AND generation = $7 AND revoked_at IS NULL AND idle_expires_at > $2 AND expires_at > $2`

// RotateRefresh moves a refresh family to its next generation (RFC 9700 section
// 4.14.2) and stores what came of it, as RedeemCode does. When the generation
// has moved, the token has expired or the grant was revoked it is
// idp.ErrAlreadyUsed, and nothing is stored.
func (s *Store) RotateRefresh(ctx context.Context, r idp.RefreshRotation, token *idp.AccessToken, event idp.Event) error {
	if r.From == 0 {
		return idp.ErrAlreadyUsed // no family was started
	}
	event = s.complete(ctx, event)
	return s.changeGrant(ctx, r.Handle, token, event, statement{rotateRefresh, []any{
		r.From + 1, r.At, r.IdleExpiresAt, event.ID, r.Handle.ExpiresOn, r.Handle.ID, r.From,
	}})
}

const insertEventOfGrant = `
INSERT INTO audit_events (event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
FROM grants WHERE expires_on = $12 AND grant_id = $13 AND last_event_id = $1`

// changeGrant runs a conditional change of a grant that leaves the event's ID
// in it. The event and the token follow only where that ID is found, so the one
// batch needs no answer in between.
func (s *Store) changeGrant(ctx context.Context, h idp.GrantHandle, token *idp.AccessToken, event idp.Event, change statement) error {
	statements := []statement{change, {insertEventOfGrant, append(eventArgs(event), h.ExpiresOn, h.ID)}}
	if token != nil {
		if err := checkAccessToken(*token); err != nil {
			return err
		}
		statements = append(statements, statement{insertAccessTokenOfGrant, append(accessTokenArgs(*token), h.ExpiresOn, h.ID, event.ID)})
	}
	changed, err := s.port.batch(ctx, append(statements, mailStatements(event)...))
	if err != nil {
		return err
	}
	if changed[0] == 0 {
		return idp.ErrAlreadyUsed
	}
	s.mirror(event)
	return nil
}

const revokeGrant = `
UPDATE grants
SET revoked_at = $1, revoked_reason = $2, last_event_id = $3
WHERE expires_on = $4 AND grant_id = $5 AND revoked_at IS NULL`

// RevokeGrant ends a grant and everything issued under it. Doing it twice, or
// to a grant that is gone, changes nothing, and the event is written only when
// something changed.
func (s *Store) RevokeGrant(ctx context.Context, h idp.GrantHandle, reason string, at time.Time, event idp.Event) error {
	event = s.complete(ctx, event)
	statements := []statement{
		{revokeGrant, []any{s.orNow(at), reason, event.ID, h.ExpiresOn, h.ID}},
		{insertEventOfGrant, append(eventArgs(event), h.ExpiresOn, h.ID)},
	}
	changed, err := s.port.batch(ctx, append(statements, mailStatements(event)...))
	if err == nil && changed[0] > 0 {
		s.mirror(event)
	}
	return err
}
