package store

import (
	"context"
	"encoding/json"
	"time"

	"idp/internal/idp"
)

const insertTrace = `
INSERT INTO traces (occurred_on, request_id, occurred_at, endpoint, status, error, issued, grant_type, client_id, user_id, steps)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING`

// AppendTraces writes how requests were decided, all or none, in one round trip.
func (s *Store) AppendTraces(ctx context.Context, traces []idp.Trace) error {
	statements := make([]statement, len(traces))
	for i, t := range traces {
		steps, err := json.Marshal(t.Steps)
		if err != nil {
			return err
		}
		at := idp.Instant(t.At)
		statements[i] = statement{insertTrace, []any{
			idp.DayOf(at), t.RequestID, at, t.Endpoint, int64(t.Status), t.Error, t.Issued, t.GrantType, t.ClientID, t.UserID, string(steps),
		}}
	}
	if len(statements) == 0 {
		return nil
	}
	_, err := s.port.batch(ctx, statements)
	return err
}

const selectTraces = `
SELECT request_id, occurred_at, endpoint, status, error, issued, grant_type, client_id, user_id, steps
FROM traces
WHERE request_id >= $1 AND request_id < $2
ORDER BY request_id, occurred_at DESC
LIMIT $3`

// afterIDs sorts behind every character of a request's identifier.
const afterIDs = "~"

// Traces returns up to limit traces of the requests whose identifiers begin so,
// those of one request from the newest to the oldest.
func (s *Store) Traces(ctx context.Context, prefix string, limit int) ([]idp.Trace, error) {
	var traces []idp.Trace
	err := s.port.query(ctx, func(r row) error {
		var t idp.Trace
		var status int64
		var steps string
		if err := r.Scan(&t.RequestID, &t.At, &t.Endpoint, &status, &t.Error, &t.Issued, &t.GrantType, &t.ClientID, &t.UserID, &steps); err != nil {
			return err
		}
		t.Status = int(status)
		if err := json.Unmarshal([]byte(steps), &t.Steps); err != nil {
			return err
		}
		traces = append(traces, t)
		return nil
	}, selectTraces, prefix, prefix+afterIDs, limit)
	return traces, err
}

// deleteTraces goes by the order in which rows were added, which needs no index.
const deleteTraces = `
DELETE FROM traces WHERE occurred_on < $1 AND rowid IN (SELECT rowid FROM traces ORDER BY rowid LIMIT $2)`

// TraceRetention is how long traces are kept; 0 is not at all.
func (s *Store) TraceRetention() time.Duration { return s.cfg.TraceRetention }

// oldestTraces is the first day of which traces are kept.
func (s *Store) oldestTraces() idp.Day { return idp.DayOf(s.now().Add(-s.cfg.TraceRetention)) }

func (s *Store) deleteOldTraces(ctx context.Context) error {
	return s.deleteInBatches(ctx, deleteTraces, s.oldestTraces())
}
