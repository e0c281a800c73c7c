package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

// A client that is granted something in a session that ends at this moment is
// told at once.
const insertSessionClient = `
INSERT INTO session_clients (session_id, client_id, subject, ended_at, due_at, attempts)
SELECT session_id, $1, $2, ended_at, ended_at, 0
FROM sessions WHERE session_id = $3
ON CONFLICT (session_id, client_id) DO NOTHING`

// The statements that go with the end of sessions, in the same transaction.
const (
	announceSessionEnd = `
UPDATE session_clients SET ended_at = $1, due_at = $1 WHERE session_id = $2 AND due_at IS NULL`
	announceUserSessionsEnd = `
UPDATE session_clients SET ended_at = $1, due_at = $1
WHERE due_at IS NULL AND session_id IN (SELECT session_id FROM sessions WHERE user_id = $2)`
)

const selectSessionClients = `
SELECT client_id FROM session_clients WHERE session_id = $1 ORDER BY client_id`

// SessionClients returns the clients that want to be told when the session
// ends. Those that were told already may be missing.
func (s *Store) SessionClients(ctx context.Context, session idp.ID) ([]string, error) {
	var clients []string
	err := s.port.query(ctx, func(r row) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		clients = append(clients, id)
		return nil
	}, selectSessionClients, session)
	return clients, err
}

const selectDueLogouts = `
SELECT session_id, client_id, subject, ended_at, attempts
FROM (
    SELECT session_id, client_id, subject, ended_at, attempts, due_at,
        row_number() OVER (PARTITION BY client_id ORDER BY due_at, ended_at, session_id) AS place
    FROM session_clients
    WHERE due_at <= $1
) due
WHERE place <= $2
ORDER BY due_at, ended_at, session_id
LIMIT $3`

// DueLogouts returns notices that it is time to deliver, the longest due first:
// at most perClient for each client, and limit in all.
func (s *Store) DueLogouts(ctx context.Context, now time.Time, perClient, limit int) ([]idp.LogoutNotice, error) {
	var notices []idp.LogoutNotice
	err := s.port.query(ctx, func(r row) error {
		var n idp.LogoutNotice
		if err := r.Scan(&n.SessionID, &n.ClientID, &n.Subject, &n.EndedAt, &n.Attempts); err != nil {
			return err
		}
		notices = append(notices, n)
		return nil
	}, selectDueLogouts, now, perClient, limit)
	return notices, err
}

const claimLogout = `
UPDATE session_clients SET attempts = attempts + 1, due_at = $1
WHERE session_id = $2 AND client_id = $3 AND attempts = $4 AND due_at IS NOT NULL`

// ClaimLogout takes a notice for one attempt, which others leave alone until
// then. It reports false when another node was first.
func (s *Store) ClaimLogout(ctx context.Context, n idp.LogoutNotice, until time.Time) (bool, error) {
	changed, err := s.port.exec(ctx, claimLogout, until, n.SessionID, n.ClientID, n.Attempts)
	return changed > 0, err
}

const (
	postponeLogout = `
UPDATE session_clients SET due_at = $1 WHERE session_id = $2 AND client_id = $3 AND due_at IS NOT NULL`
	postponeClientLogouts = `
UPDATE session_clients SET due_at = $1 WHERE due_at < $1 AND client_id = $2`
)

// PostponeLogout lets a notice rest until then.
func (s *Store) PostponeLogout(ctx context.Context, n idp.LogoutNotice, until time.Time) error {
	_, err := s.port.exec(ctx, postponeLogout, until, n.SessionID, n.ClientID)
	return err
}

// PostponeLogouts lets all notices to a client rest until then.
func (s *Store) PostponeLogouts(ctx context.Context, clientID string, until time.Time) error {
	_, err := s.port.exec(ctx, postponeClientLogouts, until, clientID)
	return err
}

const deleteSessionClient = `DELETE FROM session_clients WHERE session_id = $1 AND client_id = $2`

// FinishLogout removes a notice, with the events that tell how it ended.
func (s *Store) FinishLogout(ctx context.Context, n idp.LogoutNotice, events ...idp.Event) error {
	return s.change(ctx, events, func(q querier) (bool, error) {
		changed, err := q.exec(ctx, deleteSessionClient, n.SessionID, n.ClientID)
		return changed > 0, err
	})
}

const deleteSessionClients = `
DELETE FROM session_clients WHERE (session_id, client_id) IN (
    SELECT c.session_id, c.client_id FROM session_clients c JOIN sessions s ON s.session_id = c.session_id
    WHERE s.expires_at < $1 LIMIT $2)`
