package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver

	"idp/internal/idp"
)

// sqliteBusy is how long a writer waits for another process's transaction.
const sqliteBusy = 5 * time.Second

// sqlitePort is one file: one connection writes, a few read. The write-ahead log
// lets them work side by side, and other processes (the command line) too.
type sqlitePort struct {
	path            string
	writer, readers sqliteDB
	lock            *os.File
	watch           stopwatch
}

// openSQLite opens the file at path and makes it when it is missing.
func openSQLite(path string, exclusive bool, watch stopwatch) (_ *sqlitePort, err error) {
	p := &sqlitePort{path: path, watch: watch}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if exclusive {
		if p.lock, err = lockFile(path+".lock", syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, fmt.Errorf("%w: database %s is in use by another server (it holds %s.lock)", idp.ErrConflict, path, path)
		}
	}
	// SQLite gives the log files the mode of the database file.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// Closing a file releases all locks that this process has on it, so this
	// must happen before SQLite takes any.
	if err := f.Close(); err != nil {
		return nil, err
	}
	if p.writer.db, err = openSQLiteDB(path, 1, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)"); err != nil {
		return nil, err
	}
	if p.readers.db, err = openSQLiteDB(path, max(2, min(8, runtime.GOMAXPROCS(0))), "_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	return p, nil
}

func openSQLiteDB(path string, conns int, params ...string) (*sql.DB, error) {
	params = append([]string{
		fmt.Sprintf("_pragma=busy_timeout(%d)", sqliteBusy.Milliseconds()),
		"_pragma=foreign_keys(1)",
		"_pragma=trusted_schema(0)",
	}, params...)
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: strings.Join(params, "&")}).String()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// lockFile locks a file that exists for nothing else. The lock goes when the
// file is closed or the process ends.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close() // the lock's error is the one that matters
		return nil, err
	}
	return f, nil
}

func (p *sqlitePort) close() {
	p.readers.close()
	p.writer.close()
	if p.lock != nil {
		_ = p.lock.Close() // also releases the lock
	}
}

func (p *sqlitePort) pools() []PoolUse {
	use := func(name string, db *sql.DB) PoolUse {
		s := db.Stats()
		return PoolUse{Name: name, Max: s.MaxOpenConnections, Used: s.InUse, Idle: s.Idle, Waits: s.WaitCount, Waited: s.WaitDuration}
	}
	return []PoolUse{use("sqlite_write", p.writer.db), use("sqlite_read", p.readers.db)}
}

func (p *sqlitePort) ping(ctx context.Context) error {
	var answer int64
	return one(ctx, p, []any{&answer}, "SELECT 1")
}

func (p *sqlitePort) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	defer p.watch.stop(operationExec, p.watch.start(), &err)
	n, err = p.writer.querier(nil).exec(ctx, sql, args...)
	return n, sentinel(err)
}

// query reads beside the writer, unless the statement changes something.
func (p *sqlitePort) query(ctx context.Context, scan func(row) error, sql string, args ...any) (err error) {
	defer p.watch.stop(operationQuery, p.watch.start(), &err)
	db := &p.writer
	if strings.HasPrefix(strings.TrimSpace(sql), "SELECT") {
		db = &p.readers
	}
	return sentinel(db.querier(nil).query(ctx, scan, sql, args...))
}

func (p *sqlitePort) batch(ctx context.Context, statements []statement) (_ []int64, err error) {
	defer p.watch.stop(operationBatch, p.watch.start(), &err)
	counted(ctx, 1)
	for _, s := range statements { // outside of the transaction, so that it is kept
		if _, _, err := p.writer.querier(nil).statement(ctx, s.sql); err != nil {
			return nil, sentinel(err)
		}
	}
	changed := make([]int64, len(statements))
	ctx = context.WithValue(ctx, batchKey{}, true)
	err = p.tx(ctx, func(ctx context.Context, q querier) error {
		for i, s := range statements {
			var err error
			if changed[i], err = q.exec(ctx, s.sql, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

func (p *sqlitePort) inTx(ctx context.Context, f func(querier) error) (err error) {
	defer p.watch.stop(operationTx, p.watch.start(), &err)
	counted(ctx, 2)
	return p.tx(ctx, func(_ context.Context, q querier) error { return f(q) })
}

// tx runs f between BEGIN IMMEDIATE and COMMIT.
func (p *sqlitePort) tx(ctx context.Context, f func(context.Context, querier) error) error {
	tx, err := p.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return sentinel(err)
	}
	if err := f(ctx, p.writer.querier(tx)); err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return sentinel(err)
	}
	return sentinel(tx.Commit())
}

// sqliteDB prepares each statement once: there are as many as this package has
// constants.
type sqliteDB struct {
	db       *sql.DB
	prepared sync.Map // SQL text → *sql.Stmt
}

func (d *sqliteDB) close() {
	if d.db != nil {
		_ = d.db.Close() // closes the statements; nothing is lost, commits are synchronous
	}
}

func (d *sqliteDB) querier(tx *sql.Tx) sqliteQuerier { return sqliteQuerier{d, tx} }

type sqliteQuerier struct {
	db *sqliteDB
	tx *sql.Tx
}

// statement finds or prepares a statement. In a transaction only what is
// prepared already is taken from the cache: preparing on the pool would wait
// for the connection that the transaction holds.
func (q sqliteQuerier) statement(ctx context.Context, text string) (*sql.Stmt, func(), error) {
	keep := func() {}
	if cached, ok := q.db.prepared.Load(text); ok {
		stmt := cached.(*sql.Stmt)
		if q.tx == nil {
			return stmt, keep, nil
		}
		stmt = q.tx.StmtContext(ctx, stmt)
		return stmt, func() { _ = stmt.Close() }, nil
	}
	if q.tx != nil {
		stmt, err := q.tx.PrepareContext(ctx, text)
		if err != nil {
			return nil, keep, err
		}
		return stmt, func() { _ = stmt.Close() }, nil
	}
	stmt, err := q.db.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, keep, err
	}
	if other, loaded := q.db.prepared.LoadOrStore(text, stmt); loaded {
		_ = stmt.Close() // somebody else prepared it meanwhile
		stmt = other.(*sql.Stmt)
	}
	return stmt, keep, nil
}

func (q sqliteQuerier) exec(ctx context.Context, text string, args ...any) (int64, error) {
	converted, err := sqliteArgs(args)
	if err != nil {
		return 0, err
	}
	q.count(ctx)
	stmt, done, err := q.statement(ctx, text)
	if err != nil {
		return 0, err
	}
	defer done()
	result, err := stmt.ExecContext(ctx, converted...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q sqliteQuerier) query(ctx context.Context, scan func(row) error, text string, args ...any) error {
	converted, err := sqliteArgs(args)
	if err != nil {
		return err
	}
	q.count(ctx)
	stmt, done, err := q.statement(ctx, text)
	if err != nil {
		return err
	}
	defer done()
	rows, err := stmt.QueryContext(ctx, converted...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below says what went wrong
	return each(rows, func(dest any) any { return sqliteDest{dest} }, scan)
}

// batchKey marks the context of a batch, which is one round trip whole.
type batchKey struct{}

// count counts a statement as the round trip that it would be on a network.
func (q sqliteQuerier) count(ctx context.Context) {
	if ctx.Value(batchKey{}) == nil {
		counted(ctx, 1)
	}
}

// sqliteArgs converts arguments as the port promises.
func sqliteArgs(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			if !v.IsZero() {
				out[i] = micros(v)
			}
		case idp.Day:
			if v != 0 {
				out[i] = int64(v)
			}
		case idp.ID:
			if !v.IsZero() {
				out[i] = v[:]
			}
		case []byte:
			if v != nil {
				out[i] = v
			}
		default:
			var err error
			if out[i], err = plainArg(arg); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// sqliteDest takes a value of SQLite's storage classes into a Go value.
type sqliteDest struct{ dest any }

// Scan implements sql.Scanner.
func (s sqliteDest) Scan(src any) error {
	var (
		number int64
		text   string
		blob   []byte
	)
	switch v := src.(type) {
	case nil:
	case int64:
		number = v
	case string:
		text = v
	case []byte:
		blob = v
	default:
		return fmt.Errorf("unexpected %T from SQLite", src)
	}
	switch d := s.dest.(type) {
	case *time.Time:
		*d = time.Time{}
		if src != nil {
			*d = fromMicros(number)
		}
	case *idp.Day:
		if number < 0 || number > math.MaxUint16 {
			return fmt.Errorf("%d is no day", number)
		}
		*d = idp.Day(number)
	case *idp.ID:
		*d = idp.ID{}
		if src != nil && copy(d[:], blob) != len(d) {
			return fmt.Errorf("%d bytes are no identifier", len(blob))
		}
	case *string:
		*d = text
	case *words:
		d.parse(text)
	case *lines:
		d.parse(text)
	case *bool:
		*d = number != 0
	case *int64:
		*d = number
	case *uint32:
		if number < 0 || number > math.MaxUint32 {
			return fmt.Errorf("%d is no 32-bit number", number)
		}
		*d = uint32(number)
	case *[]byte:
		*d = append([]byte(nil), blob...)
	case document:
		return jsonDest(d).Scan(src)
	default:
		return fmt.Errorf("cannot scan into %T", s.dest)
	}
	return nil
}

// jsonDest decodes a document, for both engines.
type jsonDest struct{ value any }

// Scan implements sql.Scanner. NULL leaves the value as it is.
func (d jsonDest) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), d.value)
	case []byte:
		return json.Unmarshal(v, d.value)
	}
	return fmt.Errorf("unexpected %T instead of a document", src)
}
