package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"idp/internal/idp"
)

// sentinel maps what a driver says to what the domain can say. Errors that are
// neither become no sentinel: they are faults of the program.
func sentinel(err error) error {
	if err == nil || isSentinel(err) {
		return err
	}
	if s := sentinelOf(err); s != nil {
		return fmt.Errorf("%w: %w", s, err)
	}
	return err
}

func isSentinel(err error) bool {
	for _, s := range []error{
		idp.ErrNotFound, idp.ErrConflict, idp.ErrAlreadyUsed, idp.ErrUnavailable, idp.ErrMalformed, idp.ErrThrottled,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

func sentinelOf(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return sentinelOfPostgres(pg)
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return sentinelOfSQLite(lite.Code())
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return idp.ErrUnavailable
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return idp.ErrUnavailable
	}
	for _, gone := range []error{
		context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNRESET, syscall.EPIPE, errPoolClosed,
	} {
		if errors.Is(err, gone) {
			return idp.ErrUnavailable
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return idp.ErrNotFound
	}
	if pgconn.SafeToRetry(err) || pgconn.Timeout(err) {
		return idp.ErrUnavailable
	}
	return nil
}

// sentinelOfPostgres reads a SQLSTATE (PostgreSQL manual, appendix A).
func sentinelOfPostgres(err *pgconn.PgError) error {
	switch err.Code {
	case "23505", "23P01": // unique_violation, exclusion_violation
		return idp.ErrConflict
	case "23503": // foreign_key_violation: what the row belongs to does not exist
		return idp.ErrNotFound
	case "23514": // check_violation; without a name it is a missing partition
		if err.ConstraintName == "" {
			return idp.ErrUnavailable
		}
		return idp.ErrConflict
	case "25006", // read_only_sql_transaction: a standby, while roles change
		"40001", "40P01", // serialization_failure, deadlock_detected, after all retries
		"55P03",                                              // lock_not_available
		"57014",                                              // query_canceled: a timeout
		"57P01", "57P02", "57P03", "57P04", "57P05", "25P03": // shutdowns and session timeouts
		return idp.ErrUnavailable
	}
	switch err.Code[:min(2, len(err.Code))] {
	case "08", "53", "58": // connection, insufficient resources, system errors
		return idp.ErrUnavailable
	}
	return nil
}

func sentinelOfSQLite(code int) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return idp.ErrConflict
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return idp.ErrNotFound
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return idp.ErrUnavailable
	}
	return nil
}

// retryable reports whether running the statements again is safe and may help:
// the transaction was rolled back whole, or nothing was sent.
func retryable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	return pgconn.SafeToRetry(err)
}
