// Package storetest gives tests a real database of either engine.
//
// PostgreSQL is the server that IDP_TEST_DATABASE_URL names, where each test
// makes and drops a database of its own; without it, a throw-away cluster made
// from the installed binaries, which ends with the test process. A machine
// without PostgreSQL fails the test and says how to get it; nothing is skipped.
package storetest

import (
	"path/filepath"
	"testing"
	"time"

	"idp/internal/store"
)

// Run runs f once per engine. open gives a migrated database that nobody else
// uses, closed when the test ends.
func Run(t *testing.T, f func(t *testing.T, open func(t *testing.T) *store.Store)) {
	t.Helper()
	open := func(url func(t *testing.T) string) func(t *testing.T) *store.Store {
		return func(t *testing.T) *store.Store {
			t.Helper()
			return Migrated(t, store.Config{URL: url(t)})
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, open(SQLite))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, open(PostgresMigrated))
	})
}

// Engines runs f once per engine. url gives the address of a fresh, empty
// database.
func Engines(t *testing.T, f func(t *testing.T, url func(t *testing.T) string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, SQLite)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, Postgres)
	})
}

// SQLite returns the URL of a database file that does not exist yet.
func SQLite(t *testing.T) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "idp.db")
}

// Open opens a store and closes it when the test ends. A Config without clock
// gets the system's.
func Open(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 8
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Migrated is Open with the schema in place.
func Migrated(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	s := Open(t, cfg)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return s
}
