// Package migrations holds the numbered SQL files that make the schema, one
// set per database engine. They only go forward, and each one works with the
// binary before it.
//
// The two sets make the same tables with the same columns. They differ in
// types (timestamptz, uuid, date, jsonb; on SQLite integers, blobs and text)
// and in partitioning, which SQLite does without.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Postgres returns the files for PostgreSQL.
func Postgres() fs.FS { return sub("postgres") }

// SQLite returns the files for SQLite.
func SQLite() fs.FS { return sub("sqlite") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // only an invalid constant path gets here
	}
	return f
}
