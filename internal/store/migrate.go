package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"idp/migrations"
)

// The tables in which the migration runner keeps its books.
const (
	migrationsTable    = "schema_migrations"
	migrationLockTable = "schema_migration_lock"
)

// Migration is one numbered change of the schema.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

// Migrate brings the schema up to date, gives the serving roles their rights on
// what is new, makes the partitions that are needed now, and returns the names
// of the migrations it applied. Several nodes may do so at once. It takes the
// rights of the schema's owner: see SchemaOwner. Without them it does what can
// be done, and fails only when a migration is pending.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	status, err := s.MigrationStatus(ctx)
	if err != nil {
		return nil, err
	}
	var applied []string
	for _, m := range status {
		if m.Applied {
			continue
		}
		// One pending migration is reason enough to let the runner decide, under
		// its lock, which ones are.
		if applied, err = s.migrate(ctx); err != nil {
			return nil, fmt.Errorf("migrate: %w", sentinel(err))
		}
		break
	}
	if _, mine, err := s.SchemaOwner(ctx); err != nil {
		return applied, err
	} else if mine {
		if err := s.renewServing(ctx); err != nil {
			return applied, err
		}
	}
	return applied, s.partitionsAhead(ctx)
}

func (s *Store) migrate(ctx context.Context) ([]string, error) {
	options := []goose.ProviderOption{
		goose.WithTableName(migrationsTable),
		goose.WithSlog(s.cfg.Logger),
		goose.WithDisableGlobalRegistry(true),
	}
	var provider *goose.Provider
	var err error
	switch p := s.direct.(type) {
	case *postgres:
		db := p.migrationDB()
		defer func() { _ = db.Close() }() // nothing is buffered
		// A row in a table, as some engines and poolers know no advisory locks.
		locker, err := lock.NewPostgresTableLocker(
			lock.WithTableName(migrationLockTable),
			// A start that was killed holds up the next one for so long.
			lock.WithTableLeaseDuration(10*time.Second),
			lock.WithTableHeartbeatInterval(2*time.Second),
			lock.WithTableLockTimeout(250*time.Millisecond, 4*300),
			lock.WithTableUnlockTimeout(250*time.Millisecond, 4*30),
			lock.WithTableLogger(s.cfg.Logger),
		)
		if err != nil {
			return nil, err
		}
		provider, err = goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(), append(options, goose.WithLocker(locker))...)
		if err != nil {
			return nil, err
		}
	case *sqlitePort:
		f, err := lockFile(p.path+".migrate.lock", syscall.LOCK_EX)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // also releases the lock
		provider, err = goose.NewProvider(goose.DialectSQLite3, p.writer.db, migrations.SQLite(), options...)
		if err != nil {
			return nil, err
		}
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, err
	}
	var applied []string
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	return applied, nil
}

// migrationDB opens connections without the limits of requests: a migration
// takes as long as it takes, but must not wait for a lock in front of traffic.
func (p *postgres) migrationDB() *sql.DB {
	cfg := p.pool.Config().ConnConfig
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	return stdlib.OpenDB(*cfg)
}

const selectMigrations = `SELECT version_id FROM schema_migrations WHERE is_applied`

// MigrationStatus returns all migrations of this program and whether they are
// applied. It changes nothing.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	known, err := s.knownMigrations()
	if err != nil {
		return nil, err
	}
	empty, err := s.Empty(ctx)
	if err != nil || empty {
		return known, err
	}
	applied := map[int64]bool{}
	err = s.port.query(ctx, func(r row) error {
		var version int64
		if err := r.Scan(&version); err != nil {
			return err
		}
		applied[version] = true
		return nil
	}, selectMigrations)
	for i := range known {
		known[i].Applied = applied[known[i].Version]
	}
	return known, err
}

// knownMigrations lists the files. No database is asked.
func (s *Store) knownMigrations() ([]Migration, error) {
	files := migrations.Postgres()
	if s.engine == engineSQLite {
		files = migrations.SQLite()
	}
	names, err := fs.Glob(files, "*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var known []Migration
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		known = append(known, Migration{Version: version, Name: name})
	}
	return known, nil
}

const (
	postgresHasMigrations = `SELECT coalesce(to_regclass('schema_migrations')::text, '')`
	sqliteHasMigrations   = `SELECT coalesce(max(name), '') FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'`
)

const countMigrations = `SELECT count(*) FROM schema_migrations WHERE is_applied AND version_id > 0`

// Empty reports whether no migration ever ran on the database. The runner's
// books alone are no sign of one: they are there before the first, and stay
// when that is broken off.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	question := postgresHasMigrations
	if s.engine == engineSQLite {
		question = sqliteHasMigrations
	}
	var table string
	if err := one(ctx, s.port, []any{&table}, question); err != nil || table == "" {
		return err == nil, err
	}
	var applied int64
	err := one(ctx, s.port, []any{&applied}, countMigrations)
	return err == nil && applied == 0, err
}
