package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"idp/internal/idp"
)

const (
	// acquireTimeout is how long a request waits for a free connection.
	acquireTimeout = 2 * time.Second
	// connectTimeout is how long making a connection may take.
	connectTimeout = 2 * time.Second
	// callTimeout ends what the server's own timeouts did not: a network that
	// swallows everything.
	callTimeout = 6 * time.Second
	// attempts is how often a statement is tried that failed without effect.
	attempts = 3
)

// sessionSettings hold for every connection unless the database URL says
// otherwise.
var sessionSettings = map[string]string{
	"application_name":                    "idp",
	"timezone":                            "UTC",
	"statement_timeout":                   "5s",
	"lock_timeout":                        "2s",
	"idle_in_transaction_session_timeout": "5s",
	// Planning costs more than running our statements, and partitions make
	// PostgreSQL plan anew each time. All look-ups are by key: one plan fits.
	"plan_cache_mode": "force_generic_plan",
}

// errPoolClosed is what a closed store says.
var errPoolClosed = errors.New("store is closed")

type postgres struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	watch  stopwatch
}

// postgresConfig reads a database URL and adds this package's settings.
func postgresConfig(url string, maxConns int) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err) // pgx leaves the password out
	}
	if cfg.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		// Values travel beside the statement, never as part of its text.
		return nil, idp.Invalid("database_url", "default_query_exec_mode=simple_protocol would write values into the text of statements: leave it out")
	}
	params := cfg.ConnConfig.RuntimeParams
	for name, value := range sessionSettings {
		given := strings.Contains(params["options"], name)
		for key := range params {
			given = given || strings.EqualFold(key, name)
		}
		if !given {
			params[name] = value
		}
	}
	if !strings.Contains(url, "connect_timeout") {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	switch {
	case maxConns > 0:
		cfg.MaxConns = int32(min(maxConns, 10_000))
	case !strings.Contains(url, "pool_max_conns"):
		cfg.MaxConns = int32(4 * runtime.GOMAXPROCS(0))
	}
	return cfg, nil
}

func openPostgres(ctx context.Context, cfg *pgxpool.Config, logger *slog.Logger, watch stopwatch) (*postgres, error) {
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &postgres{pool: pool, logger: logger, watch: watch}, nil
}

// closePatience is how long closing waits for connections that do not answer.
const closePatience = 2 * time.Second

// close does not wait for a database that is frozen: the process is going, and
// the server notices broken connections.
func (p *postgres) close() {
	closed := make(chan struct{})
	go func() {
		p.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closePatience):
	}
}

func (p *postgres) pools() []PoolUse {
	s := p.pool.Stat()
	return []PoolUse{{
		Name: enginePostgres, Max: int(s.MaxConns()), Used: int(s.AcquiredConns()), Idle: int(s.IdleConns()),
		Waits: s.EmptyAcquireCount(), Waited: s.EmptyAcquireWaitTime(),
	}}
}

func (p *postgres) ping(ctx context.Context) (err error) {
	defer p.watch.stop(operationPing, p.watch.start(), &err)
	return p.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		counted(ctx, 1)
		return c.Ping(ctx)
	})
}

// call runs f on a connection of the pool, again when that is safe and may
// help.
//
// A caller that goes away stops waiting for a connection, but what was begun is
// brought to its end: breaking off would cost the connection, and anybody can
// hang up in the middle of a request.
func (p *postgres) call(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	var err error
	for try := range attempts {
		if try > 0 && !pause(ctx, try) {
			break
		}
		if err = p.callOnce(ctx, f); err == nil || !retryable(err) || ctx.Err() != nil {
			break
		}
		p.watch.retried()
		p.logger.LogAttrs(ctx, slog.LevelWarn, "database call failed without effect, trying again",
			slog.Int("try", try+1), slog.Any("error", err))
	}
	return sentinel(err)
}

func (p *postgres) callOnce(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	acquire, cancel := context.WithTimeout(ctx, acquireTimeout)
	conn, err := p.pool.Acquire(acquire)
	cancel()
	if err != nil {
		return fmt.Errorf("%w: no database connection: %w", idp.ErrUnavailable, err)
	}
	defer conn.Release()
	begun := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		begun, cancel = context.WithDeadline(begun, deadline)
		defer cancel()
	}
	begun, cancel = context.WithTimeout(begun, limitOf(ctx))
	defer cancel()
	return f(begun, conn)
}

// pause waits a little longer before every try, and not the same for all.
func pause(ctx context.Context, try int) bool {
	timer := time.NewTimer(time.Duration(try)*5*time.Millisecond + rand.N(20*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pgxQuerier is what connections and transactions have in common.
type pgxQuerier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (p *postgres) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	defer p.watch.stop(operationExec, p.watch.start(), &err)
	err = p.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		n, err = pgQuerier{c}.exec(ctx, sql, args...)
		return err
	})
	return n, err
}

func (p *postgres) query(ctx context.Context, scan func(row) error, sql string, args ...any) (err error) {
	defer p.watch.stop(operationQuery, p.watch.start(), &err)
	return p.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return pgQuerier{c}.query(ctx, scan, sql, args...)
	})
}

func (p *postgres) batch(ctx context.Context, statements []statement) (changed []int64, err error) {
	defer p.watch.stop(operationBatch, p.watch.start(), &err)
	b := &pgx.Batch{}
	for _, s := range statements {
		args, err := pgArgs(s.args)
		if err != nil {
			return nil, err
		}
		b.Queue(s.sql, args...)
	}
	err = p.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		counted(ctx, 1)
		changed = make([]int64, len(statements))
		results := c.SendBatch(ctx, b)
		for i := range statements {
			tag, err := results.Exec()
			if err != nil {
				_ = results.Close() // says the same again
				return err
			}
			changed[i] = tag.RowsAffected()
		}
		return results.Close()
	})
	return changed, err
}

func (p *postgres) inTx(ctx context.Context, f func(querier) error) (err error) {
	defer p.watch.stop(operationTx, p.watch.start(), &err)
	return p.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		counted(ctx, 1)
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		counted(ctx, 1) // the end, either way
		if err := f(pgQuerier{tx}); err != nil {
			_ = tx.Rollback(ctx) // the connection is discarded if even that fails
			return err
		}
		return tx.Commit(ctx)
	})
}

type pgQuerier struct{ on pgxQuerier }

func (q pgQuerier) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	converted, err := pgArgs(args)
	if err != nil {
		return 0, err
	}
	counted(ctx, 1)
	tag, err := q.on.Exec(ctx, sql, converted...)
	return tag.RowsAffected(), err
}

func (q pgQuerier) query(ctx context.Context, scan func(row) error, sql string, args ...any) error {
	converted, err := pgArgs(args)
	if err != nil {
		return err
	}
	counted(ctx, 1)
	rows, err := q.on.Query(ctx, sql, converted...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return each(rows, pgDest, scan)
}

// pgArgs converts arguments as the port promises.
func pgArgs(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			out[i] = pgtype.Timestamptz{Time: v, Valid: !v.IsZero()}
		case idp.Day:
			out[i] = pgtype.Date{Time: v.Time(), Valid: v != 0}
		case idp.ID:
			out[i] = pgtype.UUID{Bytes: v, Valid: !v.IsZero()}
		default:
			var err error
			if out[i], err = plainArg(arg); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// pgDest wraps a destination so that it takes the database's type, and NULL.
func pgDest(dest any) any {
	switch d := dest.(type) {
	case *time.Time:
		return (*pgTime)(d)
	case *idp.Day:
		return (*pgDay)(d)
	case *idp.ID:
		return (*pgID)(d)
	case *string:
		return (*pgText)(d)
	case *words:
		return pgParsed{d.parse}
	case *lines:
		return pgParsed{d.parse}
	case *bool:
		return (*pgBool)(d)
	case *int64:
		return (*pgInt64)(d)
	case *uint32:
		return (*pgUint32)(d)
	case document:
		return jsonDest(d)
	}
	return dest
}

type (
	pgTime   time.Time
	pgDay    idp.Day
	pgID     idp.ID
	pgText   string
	pgBool   bool
	pgInt64  int64
	pgUint32 uint32
	pgParsed struct{ parse func(string) }
)

func (d *pgTime) ScanTimestamptz(v pgtype.Timestamptz) error {
	*d = pgTime{}
	if v.Valid {
		*d = pgTime(v.Time.UTC())
	}
	return nil
}

func (d *pgDay) ScanDate(v pgtype.Date) error {
	*d = 0
	if v.Valid {
		*d = pgDay(idp.DayOf(v.Time))
	}
	return nil
}

func (d *pgID) ScanUUID(v pgtype.UUID) error {
	*d = v.Bytes // zero for NULL
	return nil
}

func (d *pgText) ScanText(v pgtype.Text) error {
	*d = pgText(v.String) // empty for NULL
	return nil
}

func (d pgParsed) ScanText(v pgtype.Text) error {
	d.parse(v.String)
	return nil
}

func (d *pgBool) ScanBool(v pgtype.Bool) error {
	*d = pgBool(v.Bool)
	return nil
}

func (d *pgInt64) ScanInt64(v pgtype.Int8) error {
	*d = pgInt64(v.Int64)
	return nil
}

func (d *pgUint32) ScanInt64(v pgtype.Int8) error {
	if v.Int64 < 0 || v.Int64 > 1<<32-1 {
		return fmt.Errorf("%d is no 32-bit number", v.Int64)
	}
	*d = pgUint32(v.Int64)
	return nil
}
