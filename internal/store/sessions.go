package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const selectAuthorizationContext = `
SELECT
    s.session_id, s.user_id, s.salt, s.auth_time, s.acr, s.amr, s.created_at, s.last_seen_at, s.expires_at, s.ended_at,
    s.remote_addr, s.user_agent,
    ` + userColumns + `,
    (SELECT string_agg(m.group_name, $1) FROM group_members m WHERE m.user_id = u.user_id),
    (SELECT string_agg(r.role_name, $1) FROM user_roles r WHERE r.user_id = u.user_id),
    c.user_id, c.client_id, c.scopes, c.resources, c.redirect_origins, c.remembered, c.granted_at, c.withdrawn_at
FROM sessions s
JOIN users u ON u.user_id = s.user_id
LEFT JOIN consents c ON c.user_id = s.user_id AND c.client_id = $2
WHERE s.session_id = $3`

// AuthorizationContext returns all that deciding an authorization request needs
// to know about the browser that sent it. It is idp.ErrNotFound when the
// session or its user is gone; ended and expired sessions are returned.
func (s *Store) AuthorizationContext(ctx context.Context, session idp.ID, clientID string) (idp.AuthorizationContext, error) {
	var c idp.AuthorizationContext
	var consent idp.Consent
	dests := sessionDests(&c.Session)
	dests = append(dests, userDests(&c.User)...)
	dests = append(dests, membershipDests(&c.Memberships)...)
	dests = append(dests, consentDests(&consent)...)
	if err := one(ctx, s.port, dests, selectAuthorizationContext, lineBreak, clientID, session); err != nil {
		return idp.AuthorizationContext{}, err
	}
	sortMemberships(&c.Memberships)
	if consent.UserID != "" {
		c.Consent = &consent
	}
	return c, nil
}

func sessionDests(s *idp.Session) []any {
	return []any{
		&s.ID, &s.UserID, &s.Salt, &s.AuthTime, &s.ACR, (*words)(&s.AMR), &s.CreatedAt, &s.LastSeenAt, &s.ExpiresAt, &s.EndedAt,
		&s.RemoteAddr, &s.UserAgent,
	}
}

const insertSession = `
INSERT INTO sessions (
    session_id, user_id, salt, auth_time, acr, amr, created_at, last_seen_at, expires_at, ended_at, remote_addr, user_agent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

const endSession = `
UPDATE sessions SET ended_at = $1 WHERE session_id = $2 AND ended_at IS NULL`

// CreateSession stores a session and ends the one that it replaces in the same
// browser; the zero ID is for none.
func (s *Store) CreateSession(ctx context.Context, n idp.Session, ends idp.ID, events ...idp.Event) error {
	if err := checkWords("amr", n.AMR); err != nil {
		return err
	}
	var statements []statement
	if !ends.IsZero() {
		statements = append(statements,
			statement{endSession, []any{n.CreatedAt, ends}},
			statement{announceSessionEnd, []any{n.CreatedAt, ends}})
	}
	statements = append(statements, statement{insertSession, []any{
		n.ID, n.UserID, n.Salt, n.AuthTime, n.ACR, words(n.AMR), n.CreatedAt, n.LastSeenAt, n.ExpiresAt, n.EndedAt, n.RemoteAddr, n.UserAgent,
	}})
	return s.write(ctx, statements, events...)
}

const renewSession = `
UPDATE sessions
SET salt = $1, auth_time = $2, acr = $3, amr = $4, last_seen_at = $5, expires_at = $6, remote_addr = $7, user_agent = $8
WHERE session_id = $9 AND user_id = $10 AND ended_at IS NULL`

// RenewSession takes up a session in which the same person has signed in anew:
// with another salt, so that the cookie from before is dead, and under the same
// identifier, so that what was granted in it lives on. It is idp.ErrNotFound
// when the session has ended meanwhile.
func (s *Store) RenewSession(ctx context.Context, n idp.Session, events ...idp.Event) error {
	if err := checkWords("amr", n.AMR); err != nil {
		return err
	}
	return s.change(ctx, events, func(q querier) (bool, error) {
		changed, err := q.exec(ctx, renewSession,
			n.Salt, n.AuthTime, n.ACR, words(n.AMR), n.LastSeenAt, n.ExpiresAt, n.RemoteAddr, n.UserAgent, n.ID, n.UserID)
		return true, expect(changed, err, idp.ErrNotFound)
	})
}

// EndSession ends a session and leaves word for the clients that were granted
// something in it. Doing it twice changes nothing, and the event is written
// only when something changed.
func (s *Store) EndSession(ctx context.Context, id idp.ID, at time.Time, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, endSession, s.orNow(at), id)
		if err != nil || n == 0 {
			return false, err
		}
		_, err = q.exec(ctx, announceSessionEnd, s.orNow(at), id)
		return true, err
	})
}

const endUserSessions = `
UPDATE sessions SET ended_at = $1 WHERE user_id = $2 AND ended_at IS NULL`

// EndUserSessions ends all of a user's sessions and returns how many there
// were. Expired ones count: what was granted in them may still live. The event
// is written only when there was one.
func (s *Store) EndUserSessions(ctx context.Context, userID string, at time.Time, event idp.Event) (int64, error) {
	var ended int64
	err := s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		var err error
		if ended, err = q.exec(ctx, endUserSessions, s.orNow(at), userID); err != nil || ended == 0 {
			return false, err
		}
		_, err = q.exec(ctx, announceUserSessionsEnd, s.orNow(at), userID)
		return true, err
	})
	return ended, err
}

const selectSessions = `
SELECT session_id, user_id, salt, auth_time, acr, amr, created_at, last_seen_at, expires_at, ended_at, remote_addr, user_agent
FROM sessions
WHERE user_id = $1
ORDER BY created_at DESC, session_id`

// Sessions returns a user's sessions, ended ones too, newest first.
func (s *Store) Sessions(ctx context.Context, userID string) ([]idp.Session, error) {
	var sessions []idp.Session
	err := s.port.query(ctx, func(r row) error {
		var n idp.Session
		if err := r.Scan(sessionDests(&n)...); err != nil {
			return err
		}
		sessions = append(sessions, n)
		return nil
	}, selectSessions, userID)
	return sessions, err
}
