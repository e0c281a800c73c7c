package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

// What people do to their own accounts.

const saveProfile = `
UPDATE users SET profile = $1, attributes = $2, updated_at = $3 WHERE user_id = $4 AND updated_at = $5`

// SaveProfile replaces a user's profile and attributes. It is idp.ErrConflict when the user was
// changed since read, which is the UpdatedAt of what the caller read, or is
// gone.
func (s *Store) SaveProfile(ctx context.Context, userID string, profile idp.Profile, attributes idp.Attributes, read time.Time, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, saveProfile, document{profile}, attributesDocument(attributes), s.now(), userID, read)
		return true, expect(n, err, idp.ErrConflict)
	})
}

const endOwnSession = `
UPDATE sessions SET ended_at = $1 WHERE session_id = $2 AND user_id = $3 AND ended_at IS NULL`

// EndOwnSession ends one session of a user, as EndSession does. It is
// idp.ErrNotFound when the user has no such session that goes on.
func (s *Store) EndOwnSession(ctx context.Context, userID string, id idp.ID, at time.Time, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, endOwnSession, s.orNow(at), id, userID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		_, err = q.exec(ctx, announceSessionEnd, s.orNow(at), id)
		return true, err
	})
}

const (
	endOtherSessions = `
UPDATE sessions SET ended_at = $1 WHERE user_id = $2 AND session_id <> $3 AND ended_at IS NULL`
	announceOtherSessionsEnd = `
UPDATE session_clients SET ended_at = $1, due_at = $1
WHERE due_at IS NULL AND session_id IN (SELECT session_id FROM sessions WHERE user_id = $2 AND session_id <> $3)`
)

// EndOtherSessions ends all of a user's sessions but one, as EndUserSessions
// does, and returns how many there were. The event is written only when there
// was one.
func (s *Store) EndOtherSessions(ctx context.Context, userID string, keep idp.ID, at time.Time, event idp.Event) (int64, error) {
	var ended int64
	err := s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		var err error
		if ended, err = q.exec(ctx, endOtherSessions, s.orNow(at), userID, keep); err != nil || ended == 0 {
			return false, err
		}
		_, err = q.exec(ctx, announceOtherSessionsEnd, s.orNow(at), userID, keep)
		return true, err
	})
	return ended, err
}

const distrustDevice = `
UPDATE devices SET trusted_at = NULL, trusted_until = NULL
WHERE device_id = $1 AND user_id = $2 AND trusted_until IS NOT NULL`

// DistrustDevice has the second factor asked for again on a device of a user.
// It is idp.ErrNotFound when the user trusts no such one.
func (s *Store) DistrustDevice(ctx context.Context, userID string, id idp.ID, event idp.Event) error {
	return s.changeOne(ctx, event, distrustDevice, id, userID)
}

// The list is that of the index; see idp.SecurityEvents.
const selectSecurityEvents = `
SELECT event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, CAST(detail AS text)
FROM audit_events
WHERE user_id = $1 AND kind IN (
    'login.succeeded', 'login.failed', 'device.added', 'device.distrusted', 'session.ended', 'consent.granted', 'consent.withdrawn',
    'user.password_set', 'user.updated', 'user.disabled', 'user.enabled', 'user.factors_reset', 'user.exported',
    'factor.added', 'factor.removed', 'factor.failed',
    'address.added', 'address.verified', 'address.preferred', 'address.removed', 'address.restored')
ORDER BY event_id DESC
LIMIT $2`

// SecurityEvents returns the newest events of idp.SecurityEvents about a user,
// newest first.
func (s *Store) SecurityEvents(ctx context.Context, userID string, limit int) ([]idp.Event, error) {
	return s.events(ctx, selectSecurityEvents, userID, limit)
}
