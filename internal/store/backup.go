package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"idp/internal/idp"
)

const (
	vacuumInto       = `VACUUM INTO ?1`
	checkIntegrity   = `PRAGMA integrity_check`
	checkForeignKeys = `SELECT count(*) FROM pragma_foreign_key_check`
)

// Backup writes a copy of a SQLite database as it is at one instant, while
// others go on using it. The file is new, belongs to its owner alone, is whole
// and was checked, or there is none: fs.ErrExist when there is one already.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	lite, ok := s.direct.(*sqlitePort)
	if !ok {
		return idp.Invalid("database_url", "only SQLite is copied so")
	}
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, ".backup-*") // mode 0600; empty, as VACUUM INTO wants it
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := copySQLite(ctx, lite.path, file.Name()); err != nil {
		return fmt.Errorf("copy %s: %w", lite.path, sentinel(err))
	}
	if err := checkSQLite(ctx, file.Name()); err != nil {
		return fmt.Errorf("the copy of %s: %w", lite.path, err)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil {
		return err
	}
	parent, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func copySQLite(ctx context.Context, from, to string) error {
	db, err := openSQLiteDB(from, 1)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, vacuumInto, to)
	return errors.Join(err, db.Close())
}

// checkSQLite reads a whole database that nobody else has open.
func checkSQLite(ctx context.Context, path string) error {
	db, err := openSQLiteDB(path, 1, "mode=ro", "immutable=1")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing was written
	var verdict string
	if err := db.QueryRowContext(ctx, checkIntegrity).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New("is damaged: " + verdict)
	}
	var loose int
	if err := db.QueryRowContext(ctx, checkForeignKeys).Scan(&loose); err != nil {
		return err
	}
	if loose > 0 {
		return fmt.Errorf("is damaged: %d rows refer to what is not there", loose)
	}
	return nil
}
