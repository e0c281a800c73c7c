package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"idp/internal/idp"
)

// On PostgreSQL the schema may belong to one role and be served by another, the
// serving role, which can use the tables and not change them.

// servingRights are what the serving role may do with a table; those that are
// not named it may read and write. What is only ever dropped with its
// partition, it cannot delete: the traces of what was used and revoked.
var servingRights = map[string]string{
	"audit_events":     "SELECT, INSERT",
	"audit_seals":      "SELECT, INSERT",
	"traces":           "SELECT, INSERT",
	"grants":           "SELECT, INSERT, UPDATE",
	"access_tokens":    "SELECT, INSERT",
	"revoked_tokens":   "SELECT, INSERT",
	"assertions":       "SELECT, INSERT",
	"pushed_requests":  "SELECT, INSERT, UPDATE",
	"signing_keys":     "SELECT, INSERT, UPDATE",
	"settings":         "SELECT, INSERT, UPDATE",
	"revisions":        "SELECT, UPDATE",
	"leases":           "SELECT, INSERT, UPDATE",
	"partition_rules":  "SELECT",
	migrationsTable:    "SELECT",
	migrationLockTable: "",
}

const allRights = "SELECT, INSERT, UPDATE, DELETE"

const selectSchemaOwner = `
SELECT coalesce(pg_get_userbyid(o.relowner), '')::text,
       coalesce(pg_has_role(o.relowner, 'USAGE'), has_schema_privilege(current_schema(), 'CREATE'), FALSE)
FROM (SELECT to_regclass('schema_migrations') AS oid) t
LEFT JOIN pg_class o ON o.oid = t.oid`

// SchemaOwner returns the role that the schema belongs to, empty before the
// first migration, and whether this connection may change it. On SQLite it
// belongs to whoever asks.
func (s *Store) SchemaOwner(ctx context.Context) (owner string, mine bool, err error) {
	if s.engine != enginePostgres {
		return "", true, nil
	}
	err = one(ctx, s.port, []any{&owner, &mine}, selectSchemaOwner)
	return owner, mine, err
}

// GrantServing lets a role serve: it may use the tables, append to the audit
// and read it, and have partitions made and dropped. It takes everything else
// from the role that this connection ever gave it, and refuses a role that could
// do more by other ways. From then on, audit events younger than
// Config.AuditRetention cannot be dropped. It may be run again at any time;
// Migrate keeps up the rights.
func (s *Store) GrantServing(ctx context.Context, role string) error {
	pg, ok := s.direct.(*postgres)
	if !ok {
		return idp.Invalid("role", "only PostgreSQL has roles")
	}
	return pg.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if err := checkRole(ctx, tx, role); err != nil {
				return err
			}
			if err := grantServing(ctx, tx, role); err != nil {
				return err
			}
			if err := checkRights(ctx, tx, role); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, setAuditFloor, s.auditFloor())
			return err
		})
	})
}

const setAuditFloor = `UPDATE partition_rules SET floor_days = $1 WHERE table_name = 'audit_events'`

// auditFloor is how many days audit events are kept at least.
func (s *Store) auditFloor() int64 {
	if s.cfg.AuditRetention <= 0 {
		return 365_000 // for ever
	}
	return max(1, int64(s.cfg.AuditRetention/(24*time.Hour)))
}

const selectRole = `
SELECT CASE
    WHEN r.rolsuper THEN 'is a superuser, whom no rights hold back'
    WHEN pg_has_role(r.oid, o.relowner, 'MEMBER') THEN 'is the owner of the schema, or may become it'
    ELSE '' END
FROM pg_roles r, pg_class o
WHERE r.rolname = $1 AND o.oid = to_regclass('schema_migrations')`

// checkRole refuses a role to which it would mean nothing what it is granted.
func checkRole(ctx context.Context, tx pgx.Tx, role string) error {
	var fault string
	found := false
	err := pgQuerier{tx}.query(ctx, func(r row) error {
		found = true
		return r.Scan(&fault)
	}, selectRole, role)
	switch {
	case err != nil:
		return err
	case !found:
		return idp.Invalid("role", fmt.Sprintf("there is no role %q on this server: CREATE ROLE %s LOGIN PASSWORD '…'", role, pgx.Identifier{role}.Sanitize()))
	case fault != "":
		return idp.Invalid("role", fmt.Sprintf("%q %s", role, fault))
	}
	return nil
}

const (
	// What belongs to the schema's owner: nobody else's tables are touched.
	selectTables = `
SELECT c.relname::text
FROM pg_class c
JOIN pg_class o ON o.oid = to_regclass('schema_migrations') AND o.relnamespace = c.relnamespace AND o.relowner = c.relowner
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname`
	lockMigrations = `LOCK TABLE schema_migrations IN SHARE UPDATE EXCLUSIVE MODE` // one at a time
	selectSchema   = `SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('schema_migrations')`
)

func grantServing(ctx context.Context, tx pgx.Tx, role string) error {
	if _, err := tx.Exec(ctx, lockMigrations); err != nil {
		return err
	}
	var schema string // quoted where it needs to be
	if err := tx.QueryRow(ctx, selectSchema).Scan(&schema); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, selectTables)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	grantee := pgx.Identifier{role}.Sanitize()
	statements := []string{"GRANT USAGE ON SCHEMA " + schema + " TO " + grantee}
	for _, table := range tables {
		rights, named := servingRights[table]
		if !named {
			rights = allRights
		}
		on := " ON TABLE " + schema + "." + pgx.Identifier{table}.Sanitize()
		statements = append(statements, "REVOKE ALL"+on+" FROM "+grantee)
		if rights != "" {
			statements = append(statements, "GRANT "+rights+on+" TO "+grantee)
		}
	}
	statements = append(statements, "GRANT EXECUTE ON FUNCTION make_partition(text, date), drop_partition(text) TO "+grantee)
	_, err = tx.Exec(ctx, strings.Join(statements, ";\n")) // without parameters, many statements go at once
	return err
}

const selectFault = `
SELECT CASE
    WHEN NOT has_schema_privilege($1, o.relnamespace, 'USAGE') THEN
        'may not use the schema, which belongs to another role: have its owner GRANT USAGE ON SCHEMA'
    WHEN has_schema_privilege($1, o.relnamespace, 'CREATE') THEN
        'may create tables in the schema: REVOKE CREATE ON SCHEMA ' || o.relnamespace::regnamespace || ' FROM PUBLIC, ' || quote_ident($1)
    WHEN has_table_privilege($1, 'audit_events', 'UPDATE, DELETE, TRUNCATE, TRIGGER') OR has_any_column_privilege($1, 'audit_events', 'UPDATE')
      OR has_table_privilege($1, 'audit_seals', 'UPDATE, DELETE, TRUNCATE, TRIGGER') OR has_any_column_privilege($1, 'audit_seals', 'UPDATE')
      OR has_table_privilege($1, 'schema_migrations', 'INSERT, UPDATE, DELETE, TRUNCATE') THEN
        'has rights on the tables by membership in another role, or as PUBLIC: take them away first'
    ELSE '' END
FROM pg_class o WHERE o.oid = to_regclass('schema_migrations')`

// checkRights looks at what came of it: rights come by other ways as well.
func checkRights(ctx context.Context, tx pgx.Tx, role string) error {
	var fault string
	err := pgQuerier{tx}.query(ctx, func(r row) error { return r.Scan(&fault) }, selectFault, role)
	if err == nil && fault != "" {
		return idp.Invalid("role", fmt.Sprintf("%q %s", role, fault))
	}
	return err
}

const selectServingRoles = `
SELECT r.rolname::text
FROM pg_proc p
CROSS JOIN LATERAL aclexplode(p.proacl) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE p.oid = to_regprocedure('make_partition(text, date)') AND a.grantee <> p.proowner`

// renewServing gives the serving roles what migrations added.
func (s *Store) renewServing(ctx context.Context) error {
	pg, ok := s.direct.(*postgres)
	if !ok {
		return nil
	}
	var roles []string
	err := s.port.query(ctx, func(r row) error {
		var role string
		err := r.Scan(&role)
		roles = append(roles, role)
		return err
	}, selectServingRoles)
	if err != nil {
		return err
	}
	for _, role := range roles {
		err := pg.call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
			return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return grantServing(ctx, tx, role) })
		})
		if err != nil {
			return fmt.Errorf("rights of the role %s: %w", role, err)
		}
	}
	return nil
}
