package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"idp/internal/idp"
)

// The engines.
const (
	enginePostgres = "postgres"
	engineSQLite   = "sqlite"
)

// defaultGrantRetention covers the longest life of a grant when Config does
// not say otherwise.
const defaultGrantRetention = 30 * 24 * time.Hour

// Config says which database to open and how.
type Config struct {
	// URL is postgres://…, postgresql://… or sqlite:PATH.
	URL string
	Now func() time.Time
	// Logger takes warnings: retries, maintenance that could not be done.
	Logger *slog.Logger
	// Mirror is called for every audit event after its transaction. Nil for
	// none.
	Mirror func(idp.Event)
	Meter  Meter  // nil for none
	Tracer Tracer // nil for none
	// MaxConns limits the connections to PostgreSQL; 0 is four per core.
	MaxConns int
	// GrantRetention is the longest absolute lifetime of a grant: partitions
	// are made that far ahead, and sessions kept that long behind. 0 is 30 days.
	GrantRetention time.Duration
	// AuditRetention is how long audit events are kept; 0 is for ever.
	AuditRetention time.Duration
	// TraceRetention is how long is kept how requests were decided.
	TraceRetention time.Duration
	// Exclusive takes the server's lock on a SQLite file. A second server is
	// refused; the command line works beside it.
	Exclusive bool
}

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	cfg    Config
	engine string
	port   port   // what statements go through
	direct port   // the engine itself
	holder string // names this store in leases

	mu          sync.Mutex
	directories []*Directory

	told []idp.Event // of a store that Together made: what is mirrored at the end
}

// Open opens the database without changing it: see Migrate. PostgreSQL is not
// contacted yet, so that a server can start before its database.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Now == nil {
		return nil, errors.New("store: Config.Now is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.GrantRetention <= 0 {
		cfg.GrantRetention = defaultGrantRetention
	}
	s := &Store{cfg: cfg, holder: rand.Text()}
	watch := stopwatch{now: cfg.Now, meter: cfg.Meter}
	if path, ok := strings.CutPrefix(cfg.URL, "sqlite:"); ok {
		if path == "" {
			return nil, idp.Invalid("database_url", "sqlite: needs a path behind it")
		}
		lite, err := openSQLite(path, cfg.Exclusive, watch)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, sentinel(err))
		}
		s.use(engineSQLite, lite)
		return s, nil
	}
	if !strings.HasPrefix(cfg.URL, "postgres://") && !strings.HasPrefix(cfg.URL, "postgresql://") {
		return nil, idp.Invalid("database_url", "must begin with postgres://, postgresql:// or sqlite:")
	}
	pgCfg, err := postgresConfig(cfg.URL, cfg.MaxConns)
	if err != nil {
		return nil, err
	}
	pg, err := openPostgres(ctx, pgCfg, cfg.Logger, watch)
	if err != nil {
		return nil, sentinel(err)
	}
	s.use(enginePostgres, pg)
	return s, nil
}

func (s *Store) use(engine string, p port) {
	s.engine, s.port, s.direct = engine, p, p
	if s.cfg.Tracer != nil {
		s.port = traced{p, engine, s.cfg.Tracer}
	}
}

// Close ends all connections. It waits for what is under way.
func (s *Store) Close() { s.port.close() }

// Engine returns "postgres" or "sqlite".
func (s *Store) Engine() string { return s.engine }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return s.port.ping(ctx) }

// ClockError says that this machine's clock and the database's are farther
// apart than idp.ClockTolerance.
type ClockError struct {
	Gap time.Duration // how far this machine is ahead, negative when it is behind
}

func (e *ClockError) Error() string {
	where := "ahead of"
	if e.Gap < 0 {
		where = "behind"
	}
	return fmt.Sprintf("this machine's clock is %s %s the database's", e.Gap.Abs().Round(time.Second), where)
}

// Reason is the error in a word.
func (e *ClockError) Reason() string { return "clock" }

const selectClock = `SELECT clock_timestamp()`

// Ready reports whether the node can serve: the database answers, and its
// clock, if it is on another machine, says the same as this one's. It is one
// round trip; a *ClockError tells of the clocks.
func (s *Store) Ready(ctx context.Context) error {
	if s.engine != enginePostgres {
		return s.Ping(ctx)
	}
	var theirs time.Time
	before := s.cfg.Now()
	if err := one(ctx, s.port, []any{&theirs}, selectClock); err != nil {
		return err
	}
	// How long the answer took is no difference between clocks.
	gap := max(0, before.Sub(theirs)) + min(0, s.cfg.Now().Sub(theirs))
	if gap.Abs() > idp.ClockTolerance {
		return &ClockError{Gap: gap}
	}
	return nil
}

func (s *Store) now() time.Time { return idp.Instant(s.cfg.Now()) }

func (s *Store) today() idp.Day { return idp.DayOf(s.cfg.Now()) }

// orNow returns t, or the clock's time for none.
func (s *Store) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return s.now()
	}
	return idp.Instant(t)
}

// expect turns a change of no row into missing.
func expect(changed int64, err, missing error) error {
	if err == nil && changed == 0 {
		return missing
	}
	return err
}

// checkNames refuses names that would be read back as several.
func checkNames(field string, names ...string) error {
	for _, name := range names {
		if name == "" || strings.Contains(name, lineBreak) {
			return idp.Invalid(field, "must be one line that is not empty")
		}
	}
	return nil
}

// checkWords refuses values that would be read back as several.
func checkWords(field string, values ...[]string) error {
	for _, list := range values {
		for _, value := range list {
			if value == "" || strings.Contains(value, " ") {
				return idp.Invalid(field, "must hold no spaces and not be empty")
			}
		}
	}
	return nil
}
