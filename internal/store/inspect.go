package store

import (
	"context"
	"strings"
)

// Inspection is what somebody who looks after the database wants to know of it.
type Inspection struct {
	Version string // of the engine
	// The rest is of PostgreSQL.
	Number    int64 // 150004 for 15.4
	Role      string
	Superuser bool
	// Lossy names settings that let a crash of the database's machine take back
	// what was committed.
	Lossy []string
	// Clear says that the connection crosses a network without TLS.
	Clear bool
	// Lacks are rights that serving takes and the role has not, such as "INSERT
	// on audit_events".
	Lacks []string
}

const (
	selectServer = `
SELECT current_setting('server_version'), CAST(current_setting('server_version_num') AS bigint), current_user::text,
       coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), FALSE),
       current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), FALSE),
       coalesce(inet_client_addr() <> inet_server_addr() AND NOT inet_client_addr() <<= '127.0.0.0/8', FALSE)`
	selectSQLiteVersion = `SELECT sqlite_version()`
	selectRights        = `
SELECT c.relname::text, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
       has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE')
FROM pg_class c
JOIN pg_class o ON o.oid = to_regclass('schema_migrations') AND o.relnamespace = c.relnamespace AND o.relowner = c.relowner
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname`
)

// Inspect looks at the database and changes nothing.
func (s *Store) Inspect(ctx context.Context) (Inspection, error) {
	var i Inspection
	if s.engine != enginePostgres {
		err := one(ctx, s.port, []any{&i.Version}, selectSQLiteVersion)
		return i, err
	}
	var fsync, pages, commit string
	var secure, remote bool
	err := one(ctx, s.port, []any{&i.Version, &i.Number, &i.Role, &i.Superuser, &fsync, &pages, &commit, &secure, &remote}, selectServer)
	if err != nil {
		return i, err
	}
	i.Clear = remote && !secure
	for _, setting := range []struct{ name, value string }{{"fsync", fsync}, {"full_page_writes", pages}, {"synchronous_commit", commit}} {
		if setting.value == "off" {
			i.Lossy = append(i.Lossy, setting.name)
		}
	}
	err = s.port.query(ctx, func(r row) error {
		var table string
		has := make([]bool, 4)
		if err := r.Scan(&table, &has[0], &has[1], &has[2], &has[3]); err != nil {
			return err
		}
		needed, named := servingRights[table]
		if !named {
			needed = allRights
		}
		for n, right := range strings.Split(allRights, ", ") {
			if strings.Contains(needed, right) && !has[n] {
				i.Lacks = append(i.Lacks, right+" on "+table)
			}
		}
		return nil
	}, selectRights)
	return i, err
}
