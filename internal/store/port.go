package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"idp/internal/idp"
)

// port is what a database engine does for this package. Arguments and scan
// destinations are Go values; each engine converts them:
//
//	time.Time        timestamptz | microseconds since 1970
//	idp.Day          date        | days since 1970
//	idp.ID           uuid        | 16 bytes
//	words, lines     text
//	document         jsonb       | text
//
// The zero time, day and ID, a nil byte slice and a nil document are NULL, and
// NULL reads as the zero value of whatever it is scanned into.
type port interface {
	querier
	// batch runs the statements in order as one transaction in one network
	// round trip, and returns how many rows each of them changed.
	batch(ctx context.Context, statements []statement) ([]int64, error)
	// inTx runs f in one transaction. f may run several times.
	inTx(ctx context.Context, f func(querier) error) error
	ping(ctx context.Context) error
	pools() []PoolUse
	close()
}

// querier runs single statements.
type querier interface {
	// exec returns how many rows the statement changed.
	exec(ctx context.Context, sql string, args ...any) (int64, error)
	// query calls scan once per row.
	query(ctx context.Context, scan func(row) error, sql string, args ...any) error
}

// row is one row of a result.
type row interface {
	Scan(dest ...any) error
}

// statement is one part of a batch.
type statement struct {
	sql  string
	args []any
}

// one scans the only row of a result into dest. No row is idp.ErrNotFound.
func one(ctx context.Context, q querier, dest []any, sql string, args ...any) error {
	found := false
	err := q.query(ctx, func(r row) error {
		found = true
		return r.Scan(dest...)
	}, sql, args...)
	if err == nil && !found {
		return idp.ErrNotFound
	}
	return err
}

// cursor is what the results of both drivers have in common.
type cursor interface {
	row
	Next() bool
	Err() error
}

// each calls scan once per row of a result; dest wraps what an engine scans into.
func each(rows cursor, dest func(any) any, scan func(row) error) error {
	r := wrapped{rows, dest}
	for rows.Next() {
		if err := scan(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// wrapped is a row whose destinations an engine wraps.
type wrapped struct {
	row
	dest func(any) any
}

func (r wrapped) Scan(dest ...any) error {
	converted := make([]any, len(dest))
	for i, d := range dest {
		converted[i] = r.dest(plainDest(d))
	}
	return r.row.Scan(converted...)
}

// plainArg converts the arguments that are the same for both engines.
func plainArg(arg any) (any, error) {
	switch v := arg.(type) {
	case words:
		return v.text(), nil
	case lines:
		return v.text(), nil
	case uint32:
		return int64(v), nil
	case idp.UserState:
		return string(v), nil
	case idp.EventKind:
		return string(v), nil
	case idp.LinkKind:
		return string(v), nil
	case idp.MailKind:
		return string(v), nil
	case idp.MailOutcome:
		return string(v), nil
	case document:
		if v.value == nil {
			return nil, nil
		}
		return v.text()
	}
	return arg, nil
}

// plainDest takes the names off texts.
func plainDest(dest any) any {
	switch d := dest.(type) {
	case *idp.UserState:
		return (*string)(d)
	case *idp.EventKind:
		return (*string)(d)
	case *idp.LinkKind:
		return (*string)(d)
	case *idp.MailKind:
		return (*string)(d)
	case *idp.MailOutcome:
		return (*string)(d)
	}
	return dest
}

// counted adds n network round trips to the record of the request.
func counted(ctx context.Context, n int32) { idp.RequestFrom(ctx).RoundTrips.Add(n) }

// words is a list of values without spaces (scopes, audiences, authentication
// methods), stored as one space-separated text.
type words []string

// lines is a list of names that may contain spaces, stored one per line.
type lines []string

// lineBreak separates lines.
const lineBreak = "\n"

func (w words) text() string { return strings.Join(w, " ") }
func (l lines) text() string { return strings.Join(l, lineBreak) }

func (w *words) parse(s string) {
	*w = nil
	if s != "" {
		*w = strings.Split(s, " ")
	}
}

func (l *lines) parse(s string) {
	*l = nil
	if s != "" {
		*l = strings.Split(s, lineBreak)
	}
}

// document is a value that the database keeps as JSON and never looks into.
type document struct{ value any }

func (d document) text() (string, error) {
	raw, err := json.Marshal(d.value)
	return string(raw), err
}

// micros and fromMicros are the integer form of an instant.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
