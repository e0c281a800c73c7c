package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"idp/internal/idp"
)

// The audit's log is made and checked by internal/audit. Its rows are only
// ever added.

const leafSize = len(idp.ID{}) + len(idp.Leaf{}.Hash)

func encodeLeaves(leaves []idp.Leaf) []byte {
	out := make([]byte, 0, len(leaves)*leafSize)
	for _, l := range leaves {
		out = append(append(out, l.EventID[:]...), l.Hash[:]...)
	}
	return out
}

func decodeLeaves(raw []byte) ([]idp.Leaf, error) {
	if len(raw) == 0 || len(raw)%leafSize != 0 {
		return nil, fmt.Errorf("%d bytes are no leaves of the audit's log: %w", len(raw), idp.ErrMalformed)
	}
	leaves := make([]idp.Leaf, len(raw)/leafSize)
	for i := range leaves {
		raw = raw[copy(leaves[i].EventID[:], raw):]
		raw = raw[copy(leaves[i].Hash[:], raw):]
	}
	return leaves, nil
}

const insertSeal = `
INSERT INTO audit_seals (first_leaf, first_event, last_event, leaves, peaks, checkpoint, sealed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

// AppendSeal adds a part to the audit's log. When another one follows the same
// leaf, it is idp.ErrConflict. The leaves are in the order of their events.
func (s *Store) AppendSeal(ctx context.Context, seal idp.Seal) error {
	first, last := seal.Leaves[0].EventID, seal.Leaves[len(seal.Leaves)-1].EventID
	_, err := s.port.exec(ctx, insertSeal, seal.First, first, last, encodeLeaves(seal.Leaves), seal.Peaks, seal.Checkpoint, seal.SealedAt)
	return err
}

const selectLastSeal = `
SELECT first_leaf, leaves, peaks, checkpoint, sealed_at
FROM audit_seals
ORDER BY first_leaf DESC
LIMIT 1`

// LastSeal returns the newest part of the audit's log, idp.ErrNotFound before
// the first.
func (s *Store) LastSeal(ctx context.Context) (idp.Seal, error) {
	seals, err := s.seals(ctx, selectLastSeal)
	if err == nil && len(seals) == 0 {
		return idp.Seal{}, idp.ErrNotFound
	}
	if err != nil {
		return idp.Seal{}, err
	}
	return seals[0], nil
}

const selectSeals = `
SELECT first_leaf, leaves, peaks, checkpoint, sealed_at
FROM audit_seals
WHERE first_leaf > $1
ORDER BY first_leaf
LIMIT $2`

// Seals returns up to limit parts of the audit's log that begin after a leaf,
// in order; all begin after leaf -1. One that cannot be read is idp.ErrMalformed,
// beside those before it.
func (s *Store) Seals(ctx context.Context, after int64, limit int) ([]idp.Seal, error) {
	return s.seals(ctx, selectSeals, after, limit)
}

func (s *Store) seals(ctx context.Context, sql string, args ...any) ([]idp.Seal, error) {
	var seals []idp.Seal
	err := s.port.query(ctx, func(r row) error {
		var seal idp.Seal
		var leaves []byte
		err := r.Scan(&seal.First, &leaves, &seal.Peaks, &seal.Checkpoint, &seal.SealedAt)
		if err != nil {
			return err
		}
		if seal.Leaves, err = decodeLeaves(leaves); err != nil {
			return err
		}
		seals = append(seals, seal)
		return nil
	}, sql, args...)
	return seals, err
}

const selectSealedEvents = `
SELECT leaves
FROM audit_seals
WHERE first_event >= $1 AND first_event <= $2 AND last_event >= $3`

// SealedEvents returns how often each event between two, both included, has a
// leaf in the audit's log. The events of one part are no farther apart than
// span.
func (s *Store) SealedEvents(ctx context.Context, from, through idp.ID, span time.Duration) (map[idp.ID]int, error) {
	sealed := map[idp.ID]int{}
	earliest := idp.FirstID(from.Time().Add(-span))
	err := s.port.query(ctx, func(r row) error {
		var raw []byte
		if err := r.Scan(&raw); err != nil {
			return err
		}
		leaves, err := decodeLeaves(raw)
		for _, l := range leaves {
			sealed[l.EventID]++
		}
		return err
	}, selectSealedEvents, earliest[:], through[:], from[:])
	return sealed, err
}

const selectEventIDs = `SELECT event_id FROM audit_events WHERE event_id > $1 ORDER BY event_id LIMIT $2`

// EventIDs returns the identifiers of up to limit events after the given one,
// in order.
func (s *Store) EventIDs(ctx context.Context, after idp.ID, limit int) ([]idp.ID, error) {
	var ids []idp.ID
	err := s.port.query(ctx, func(r row) error {
		var id idp.ID
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, selectEventIDs, after[:], limit)
	return ids, err
}

// What came late is sealed late, so the last seal need not have the last event.
const selectOldestUnsealed = `
SELECT event_id FROM audit_events
WHERE event_id > COALESCE(
    (SELECT last_event FROM (SELECT last_event FROM audit_seals ORDER BY first_leaf DESC LIMIT 100) AS recent
     ORDER BY last_event DESC LIMIT 1), $1)
ORDER BY event_id LIMIT 1`

// OldestUnsealed returns when the oldest event happened that came after what is
// in the audit's log; zero for none.
func (s *Store) OldestUnsealed(ctx context.Context) (time.Time, error) {
	var id, first idp.ID
	err := one(ctx, s.port, []any{&id}, selectOldestUnsealed, first[:])
	if errors.Is(err, idp.ErrNotFound) {
		return time.Time{}, nil
	}
	return id.Time(), err
}

const selectAuditRows = `
SELECT event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, CAST(detail AS text)
FROM audit_events
WHERE (event_id, occurred_on) > ($1, $2) AND event_id <= $3
ORDER BY event_id, occurred_on
LIMIT $4`

// AuditRows returns up to limit rows of the audit between two events, both
// included, in order; those that come behind after, where there is one.
func (s *Store) AuditRows(ctx context.Context, from, through idp.ID, after *idp.AuditRow, limit int) ([]idp.AuditRow, error) {
	id, day := from, idp.Day(1) // behind which all of the first one's rows come
	if after != nil {
		id, day = after.ID, after.OccurredOn
	}
	return s.auditRows(ctx, selectAuditRows, id[:], max(day, 1), through[:], limit)
}
