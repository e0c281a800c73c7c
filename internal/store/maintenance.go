package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"idp/internal/idp"
)

const (
	leaseMaintenance = "maintenance"
	maintenanceTTL   = 10 * time.Minute
	// deleteBatch is how many rows one statement removes, so that no request
	// waits long behind it.
	deleteBatch = 500
)

// Maintain makes room for what comes and removes what is over: partitions
// (PostgreSQL) or expired rows (SQLite), old sessions, spent throttles, mail that nobody sent, accounts whose people want it so. One
// node at a time does it; for the others it is nothing. Call it every few
// minutes. What fails is tried again next time, and does not keep the rest from
// being done.
func (s *Store) Maintain(ctx context.Context) error {
	mine, err := s.AcquireLease(ctx, leaseMaintenance, s.holder, maintenanceTTL)
	if err != nil || !mine {
		return err
	}
	faults := []error{
		s.partitionsAhead(ctx), s.partitionsBehind(ctx), s.deleteOldSessions(ctx), s.deleteSpentThrottles(ctx), s.deleteOldInitialTokens(ctx),
		s.deleteOldDevices(ctx, s.now()), s.deleteOldMails(ctx), s.deleteOldLinks(ctx), s.deleteDueUsers(ctx), s.deleteOldRequests(ctx),
	}
	if s.engine == engineSQLite {
		faults = append(faults, s.deleteExpired(ctx), s.deleteOldEvents(ctx), s.deleteOldTraces(ctx))
	}
	return errors.Join(faults...)
}

// deleteInBatches runs a statement, whose last parameter is a limit, until it
// finds less than that.
func (s *Store) deleteInBatches(ctx context.Context, sql string, args ...any) error {
	for {
		n, err := s.port.exec(ctx, sql, append(args[:len(args):len(args)], deleteBatch)...)
		if err != nil || n < deleteBatch {
			return err
		}
	}
}

const deleteSessions = `
DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`

// deleteOldSessions removes sessions under which no grant can live any more.
func (s *Store) deleteOldSessions(ctx context.Context) error {
	oldest := s.now().Add(-s.cfg.GrantRetention)
	if err := s.deleteInBatches(ctx, deleteSessionClients, oldest); err != nil {
		return err
	}
	return s.deleteInBatches(ctx, deleteSessions, oldest)
}

const deleteThrottles = `
DELETE FROM throttles WHERE throttle_key IN (SELECT throttle_key FROM throttles WHERE tat < $1 LIMIT $2)`

// deleteSpentThrottles removes throttles that hold nobody up; the hour forgives
// nodes whose clocks differ.
func (s *Store) deleteSpentThrottles(ctx context.Context) error {
	return s.deleteInBatches(ctx, deleteThrottles, micros(s.now().Add(-time.Hour)))
}

// The SQLite counterparts of dropping a partition. Keys begin with the day, so
// each batch reads only what it deletes.
const (
	deleteGrants = `
DELETE FROM grants WHERE (expires_on, grant_id) IN (SELECT expires_on, grant_id FROM grants WHERE expires_on < $1 ORDER BY expires_on LIMIT $2)`
	deleteAccessTokens = `
DELETE FROM access_tokens WHERE (expires_on, token_id) IN (SELECT expires_on, token_id FROM access_tokens WHERE expires_on < $1 ORDER BY expires_on LIMIT $2)`
	deleteRevokedTokens = `
DELETE FROM revoked_tokens WHERE (expires_on, token_id) IN (SELECT expires_on, token_id FROM revoked_tokens WHERE expires_on < $1 ORDER BY expires_on LIMIT $2)`
	deleteAssertions = `
DELETE FROM assertions WHERE (expires_on, assertion_hash) IN (SELECT expires_on, assertion_hash FROM assertions WHERE expires_on < $1 ORDER BY expires_on LIMIT $2)`
	deletePushedRequests = `
DELETE FROM pushed_requests WHERE (expires_on, request_id) IN (SELECT expires_on, request_id FROM pushed_requests WHERE expires_on < $1 ORDER BY expires_on LIMIT $2)`
	deleteEvents = `
DELETE FROM audit_events WHERE event_id IN (SELECT event_id FROM audit_events WHERE event_id < $1 AND occurred_on < $2 ORDER BY event_id LIMIT $3)`
)

func (s *Store) deleteExpired(ctx context.Context) error {
	for _, sql := range []string{deleteGrants, deleteAccessTokens, deleteRevokedTokens, deletePushedRequests, deleteAssertions} {
		if err := s.deleteInBatches(ctx, sql, s.today()-1); err != nil {
			return fmt.Errorf("delete expired rows: %w", err)
		}
	}
	return nil
}

func (s *Store) deleteOldEvents(ctx context.Context) error {
	if s.cfg.AuditRetention <= 0 {
		return nil
	}
	oldest := idp.DayOf(s.now().Add(-s.cfg.AuditRetention))
	return s.deleteInBatches(ctx, deleteEvents, idp.FirstID(oldest.Time()), oldest)
}
