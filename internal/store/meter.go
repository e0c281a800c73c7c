package store

import (
	"errors"
	"time"

	"idp/internal/idp"
)

// Meter hears how the database does. Implemented by *metrics.Metrics.
type Meter interface {
	// Query tells of work of the database, with all that it waited for, and
	// whether the database was available for it.
	Query(operation string, took time.Duration, available bool)
	// Retried tells that something failed without effect and is tried again.
	Retried()
}

// The operations that a Meter hears of.
const (
	operationExec  = "exec"
	operationQuery = "query"
	operationBatch = "batch"
	operationTx    = "transaction"
	operationPing  = "ping"
)

// stopwatch times work for a Meter.
type stopwatch struct {
	now   func() time.Time
	meter Meter // nil for none
}

func (w stopwatch) start() time.Time {
	if w.meter == nil {
		return time.Time{}
	}
	return w.now()
}

// stop tells of work that began at started and ended with *err.
func (w stopwatch) stop(operation string, started time.Time, err *error) {
	if w.meter != nil {
		w.meter.Query(operation, w.now().Sub(started), !errors.Is(*err, idp.ErrUnavailable))
	}
}

func (w stopwatch) retried() {
	if w.meter != nil {
		w.meter.Retried()
	}
}

// PoolUse is how a pool of connections is used.
type PoolUse struct {
	Name            string
	Max, Used, Idle int
	Waits           int64 // how often somebody waited for a connection
	Waited          time.Duration
}

// Pools returns how the pools of connections are used: one to PostgreSQL, two of
// SQLite.
func (s *Store) Pools() []PoolUse { return s.port.pools() }
