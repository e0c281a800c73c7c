package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

func checkAccessToken(t idp.AccessToken) error {
	if err := checkWords("scope", t.Audience, t.Scopes, t.AMR, t.Entitlements); err != nil {
		return err
	}
	if err := checkNames("groups", t.Groups...); err != nil {
		return err
	}
	return checkNames("roles", t.Roles...)
}

func accessTokenArgs(t idp.AccessToken) []any {
	return []any{
		idp.DayOf(t.ExpiresAt), t.ID, t.Grant.ExpiresOn, t.Grant.ID, t.ClientID, t.Subject, words(t.Audience), words(t.Scopes),
		t.IssuedAt, t.ExpiresAt, t.AuthTime, t.ACR, words(t.AMR), lines(t.Groups), lines(t.Roles), lines(t.Entitlements),
	}
}

const insertAccessToken = `
INSERT INTO access_tokens (
    expires_on, token_id, grant_expires_on, grant_id, client_id, subject, audience, scopes,
    issued_at, expires_at, auth_time, acr, amr, groups, roles, entitlements)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`

const insertAccessTokenOfGrant = `
INSERT INTO access_tokens (
    expires_on, token_id, grant_expires_on, grant_id, client_id, subject, audience, scopes,
    issued_at, expires_at, auth_time, acr, amr, groups, roles, entitlements)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
FROM grants WHERE expires_on = $17 AND grant_id = $18 AND last_event_id = $19`

// CreateAccessToken stores an opaque access token.
func (s *Store) CreateAccessToken(ctx context.Context, t idp.AccessToken, event idp.Event) error {
	return s.AppendTokens(ctx, &t, event)
}

// AppendTokens stores another access token of a state that does not change:
// the row, if the token is opaque (nil if it is not), and the event.
func (s *Store) AppendTokens(ctx context.Context, token *idp.AccessToken, event idp.Event) error {
	var statements []statement
	if token != nil {
		if err := checkAccessToken(*token); err != nil {
			return err
		}
		statements = append(statements, statement{insertAccessToken, accessTokenArgs(*token)})
	}
	return s.write(ctx, statements, event)
}

const selectAccessTokenState = `
SELECT` + grantStateColumns + `,
    t.token_id, t.grant_expires_on, t.grant_id, t.client_id, t.subject, t.audience, t.scopes, t.issued_at, t.expires_at,
    t.auth_time, t.acr, t.amr, t.groups, t.roles, t.entitlements, d.revoked_at
FROM access_tokens t
LEFT JOIN revoked_tokens d ON d.expires_on = $2 AND d.token_id = $3
LEFT JOIN grants g ON g.expires_on = t.grant_expires_on AND g.grant_id = t.grant_id
LEFT JOIN users u ON u.user_id = g.user_id
LEFT JOIN sessions s ON s.session_id = g.session_id
LEFT JOIN consents c ON c.user_id = g.user_id AND c.client_id = g.client_id
WHERE t.expires_on = $2 AND t.token_id = $3`

// AccessTokenState returns an opaque access token with what decides whether it
// lives. It is idp.ErrNotFound when the token, or the grant or the user behind
// it, is gone.
func (s *Store) AccessTokenState(ctx context.Context, day idp.Day, id idp.ID) (idp.AccessTokenState, error) {
	var state idp.AccessTokenState
	var grant idp.GrantState
	t := &state.Token
	dests := append(grantStateDests(&grant),
		&t.ID, &t.Grant.ExpiresOn, &t.Grant.ID, &t.ClientID, &t.Subject, (*words)(&t.Audience), (*words)(&t.Scopes), &t.IssuedAt, &t.ExpiresAt,
		&t.AuthTime, &t.ACR, (*words)(&t.AMR), (*lines)(&t.Groups), (*lines)(&t.Roles), (*lines)(&t.Entitlements), &state.RevokedAt)
	if err := one(ctx, s.port, dests, selectAccessTokenState, lineBreak, day, id); err != nil {
		return idp.AccessTokenState{}, err
	}
	if t.Grant.IsZero() {
		return state, nil
	}
	if grant.Grant.Handle.IsZero() || grant.User.ID == "" {
		return idp.AccessTokenState{}, idp.ErrNotFound
	}
	sortMemberships(&grant.Memberships)
	state.Grant = &grant
	return state, nil
}

const insertRevokedToken = `
INSERT INTO revoked_tokens (expires_on, token_id, revoked_at, event_id)
VALUES ($1, $2, $3, $4)
ON CONFLICT (expires_on, token_id) DO NOTHING`

const insertEventOfRevokedToken = `
INSERT INTO audit_events (event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
FROM revoked_tokens WHERE expires_on = $12 AND token_id = $13 AND event_id = $1`

// RevokeAccessToken puts one access token on the deny list (RFC 7009). Doing it
// twice, or to a token that died by itself before yesterday, changes nothing,
// and the event is written only when something changed.
func (s *Store) RevokeAccessToken(ctx context.Context, id idp.ID, expiresOn idp.Day, at time.Time, event idp.Event) error {
	if expiresOn < s.today()-1 {
		return nil
	}
	event = s.complete(ctx, event)
	statements := []statement{
		{insertRevokedToken, []any{expiresOn, id, s.orNow(at), event.ID}},
		{insertEventOfRevokedToken, append(eventArgs(event), expiresOn, id)},
	}
	changed, err := s.port.batch(ctx, append(statements, mailStatements(event)...))
	if err == nil && changed[0] > 0 {
		s.mirror(event)
	}
	return err
}

const selectRevokedToken = `
SELECT token_id FROM revoked_tokens WHERE expires_on = $1 AND token_id = $2`

// AccessTokenRevoked reports whether the token is on the deny list.
func (s *Store) AccessTokenRevoked(ctx context.Context, id idp.ID, expiresOn idp.Day) (bool, error) {
	revoked := false
	err := s.port.query(ctx, func(row) error {
		revoked = true
		return nil
	}, selectRevokedToken, expiresOn, id)
	return revoked, err
}
