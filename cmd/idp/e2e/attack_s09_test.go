package e2e

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"idp/internal/store/storetest"
)

// psql runs statements on one connection as the role of a URL.
type psql struct{ conn *pgx.Conn }

func openPSQL(t *testing.T, databaseURL string) psql {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return psql{conn}
}

func (p psql) run(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := p.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (p psql) refused(t *testing.T, code, sql string, args ...any) {
	t.Helper()
	_, err := p.conn.Exec(t.Context(), sql, args...)
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != code {
		t.Errorf("%s: %v, want SQLSTATE %s", sql, err, code)
	}
}

func (p psql) column(t *testing.T, sql string, args ...any) []string {
	t.Helper()
	rows, err := p.conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

const denied = "42501" // insufficient_privilege

// The server needs no right to change its schema or to touch what the audit
// holds, and a role without these rights cannot get them.
func TestAttack_S09_ServingRole(t *testing.T) {
	t.Parallel()
	inst := InstallEmpty(t, "postgres", nil)
	super := openPSQL(t, inst.DatabaseURL)
	owner, server := storetest.Role(t, inst.DatabaseURL), storetest.Role(t, inst.DatabaseURL)
	super.run(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO `+owner.Username()+`', current_database()); END $$`)
	owning := inst.with("IDP_DATABASE_URL", storetest.As(t, inst.DatabaseURL, owner))
	inst = inst.with("IDP_DATABASE_URL", storetest.As(t, inst.DatabaseURL, server))

	// Without a schema, and with one that is too old, it says who has to act.
	wantExit(t, inst, 78, "may not create tables: run idp migrate up as one that may, and idp migrate grant for this one", "serve")
	owning.CLI(t, "", "migrate", "up")
	wantExit(t, inst, 78, "run idp migrate up with a database_url of "+owner.Username(), "migrate", "grant", server.Username())
	for range 2 {
		owning.CLI(t, "", "migrate", "grant", server.Username())
	}
	asOwner := openPSQL(t, owning.env["IDP_DATABASE_URL"])
	newest := asOwner.column(t, `SELECT max(version_id)::text FROM schema_migrations`)[0]
	asOwner.run(t, `UPDATE schema_migrations SET version_id = 99999 WHERE version_id::text = $1`, newest)
	for _, policy := range []string{"auto", "check"} {
		wantExit(t, inst.with("IDP_MIGRATE", policy), 78, "lacks 1 of this program's migrations", "serve")
		wantExit(t, inst.with("IDP_MIGRATE", policy), 78, "which belongs to "+owner.Username()+": run idp migrate up with a database_url of "+owner.Username(), "serve")
	}
	asOwner.run(t, `UPDATE schema_migrations SET version_id = $1::bigint WHERE version_id = 99999`, newest)

	// What a server finds that was away for long.
	soon := "access_tokens_" + time.Now().UTC().AddDate(0, 0, 3).Format("20060102")
	asOwner.run(t, `DROP TABLE `+soon)
	old := []string{"audit_events_2020m01", "grants_2020w02", "access_tokens_20200107"}
	for _, day := range []string{"audit_events", "grants", "access_tokens"} {
		asOwner.run(t, `SELECT make_partition($1, '2020-01-07')`, day)
	}
	partitions := func() []string {
		return asOwner.column(t, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('audit_events'::regclass, 'grants'::regclass, 'access_tokens'::regclass)`)
	}
	for _, name := range old {
		if !slices.Contains(partitions(), name) {
			t.Fatalf("no partition %s among %v", name, partitions())
		}
	}

	t.Run("life", func(t *testing.T) {
		api := inst.NewResource(t, []string{"orders:read=Read"})
		alice := inst.NewUser(t)
		inst.CLI(t, "", "group", "create", "staff")
		inst.CLI(t, "", "group", "add-member", "staff", alice.Username)
		inst.CLI(t, "", "role", "create", "clerk", "--scope", api+"#orders:read", "--group", "staff")
		web := inst.WebClient(t, "--audience", api, "--scope", "openid offline_access orders:read")
		opaque := inst.WebClient(t, "--access-token-format", "opaque")
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)
		for _, c := range []Client{web, opaque} {
			p := NewPKCE()
			code := b.code(t, c, alice, p)
			tokens := node.Exchange(t, c, code, p).Tokens(t)
			next := node.Refresh(t, c, tokens.Refresh).Tokens(t)
			if a := node.Userinfo(t, next.Access); a.Status != http.StatusOK || !node.Active(t, c, next.Access) {
				t.Errorf("userinfo: %d", a.Status)
			}
			if a := node.Post(t, "/oauth2/revoke", c, url.Values{"token": {next.Refresh}}); a.Status != http.StatusOK {
				t.Errorf("revocation: %d", a.Status)
			}
			wantDead(t, c, next, node)
			node.Exchange(t, c, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		pushed := node.Post(t, "/oauth2/par", web, web.Request(NewPKCE()))
		if uri, _ := pushed.JSON(t)["request_uri"].(string); b.Authorize(t, url.Values{"client_id": {web.ID}, "request_uri": {uri}}, alice).Query().Get("code") == "" {
			t.Error("no code for a pushed request")
		}
		cc := node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
		node.Post(t, "/oauth2/revoke", service, url.Values{"token": {cc.Access}})
		wantInactive(t, node, service, "revoked", cc.Access)
		fresh := node.NewBrowser(t)
		fresh.Login(t, fresh.Get(t, "/login"), alice.Username, "a wrong password")

		for _, args := range [][]string{
			{"key", "rotate"},
			{"client", "update", web.ID, "--redirect-uri", "https://moved.example/cb"},
			{"client", "rotate-secret", web.ID},
			{"client", "disable", opaque.ID},
			{"client", "enable", opaque.ID},
			{"user", "disable", alice.Username},
			{"user", "enable", alice.Username},
			{"session", "list", alice.Username},
			{"session", "revoke", "--user", alice.Username},
			{"consent", "revoke", alice.Username, web.ID},
			{"token", "revoke", "--client", web.ID},
			{"token", "revoke", "--all"},
			{"client", "delete", service.ID},
			{"user", "delete", alice.Username},
			{"role", "delete", "clerk"},
			{"group", "delete", "staff"},
			{"migrate", "up"},
		} {
			inst.CLI(t, "", args...)
		}
		// It has looked after its partitions at the start.
		eventually(t, "maintenance", []*Node{node}, func(*Node) bool {
			have := partitions()
			return slices.Contains(have, soon) && !slices.ContainsFunc(old, func(name string) bool { return slices.Contains(have, name) })
		})
		calm(t, w, node)
	})

	asServer := openPSQL(t, inst.env["IDP_DATABASE_URL"])
	month := "audit_events_" + time.Now().UTC().Format("2006m01")
	if len(asServer.column(t, `SELECT kind FROM audit_events WHERE kind = 'token.issued'`)) == 0 {
		t.Error("the audit cannot be read, or nothing is in it")
	}
	t.Run("denied", func(t *testing.T) {
		for _, sql := range []string{
			`CREATE TABLE mine (x int)`,
			`CREATE SCHEMA mine`,
			`CREATE INDEX ON users (state)`,
			`CREATE VIEW mine AS SELECT 1`,
			`CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
			`CREATE FUNCTION pg_temp.make_partition(text, date) RETURNS void LANGUAGE c AS 'x'`,
			`CREATE OR REPLACE FUNCTION drop_partition(name text) RETURNS void LANGUAGE sql AS 'SELECT 1'`,
			`ALTER FUNCTION drop_partition(text) SECURITY INVOKER`,
			`ALTER FUNCTION drop_partition(text) RESET ALL`,
			`CREATE TRIGGER mine BEFORE INSERT ON audit_events EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
			`CREATE RULE mine AS ON INSERT TO users DO INSTEAD NOTHING`,
			`CREATE EXTENSION dblink`,
			`CREATE ROLE mine`,
			`ALTER TABLE users ADD COLUMN mine text`,
			`ALTER TABLE audit_events DETACH PARTITION ` + month,
			`ALTER TABLE ` + month + ` NO INHERIT audit_events`,
			`ALTER TABLE users OWNER TO ` + server.Username(),
			`ALTER ROLE ` + server.Username() + ` SUPERUSER`,
			`ALTER SYSTEM SET fsync = off`,
			`DROP TABLE users`,
			`DROP TABLE audit_events`,
			`DROP TABLE ` + month,
			`DROP FUNCTION drop_partition(text)`,
			`UPDATE audit_events SET kind = 'x'`,
			`DELETE FROM audit_events`,
			`TRUNCATE audit_events`,
			`SELECT * FROM audit_events FOR UPDATE`,
			`INSERT INTO audit_events SELECT * FROM audit_events ON CONFLICT (event_id, occurred_on) DO UPDATE SET kind = 'x'`,
			`UPDATE ` + month + ` SET kind = 'x'`,
			`DELETE FROM ` + month,
			`TRUNCATE ` + month,
			`INSERT INTO ` + month + ` SELECT * FROM audit_events`,
			`UPDATE audit_seals SET checkpoint = 'x'`,
			`DELETE FROM audit_seals`,
			`TRUNCATE audit_seals`,
			`DELETE FROM grants`,
			`TRUNCATE grants`,
			`DELETE FROM revoked_tokens`,
			`UPDATE revoked_tokens SET token_id = event_id`,
			`DELETE FROM assertions`,
			`DELETE FROM signing_keys`,
			`TRUNCATE users CASCADE`,
			`INSERT INTO schema_migrations (version_id, is_applied) VALUES (1, true)`,
			`DELETE FROM schema_migrations`,
			`SELECT * FROM schema_migration_lock`,
			`UPDATE partition_rules SET floor_days = 0`,
			`SELECT * FROM pg_authid`,
			`SELECT rolpassword FROM pg_catalog.pg_authid`,
			`COPY users FROM PROGRAM 'id'`,
			`COPY users TO PROGRAM 'cat'`,
			`COPY users FROM '/etc/passwd'`,
			`SELECT pg_read_file('/etc/passwd')`,
			`SELECT lo_import('/etc/passwd')`,
			`SET ROLE ` + owner.Username(),
			`SET SESSION AUTHORIZATION ` + owner.Username(),
			`SET ROLE postgres`,
			`SET session_replication_role = replica`,
			`GRANT ` + owner.Username() + ` TO ` + server.Username(),
			`SELECT drop_partition('` + month + `')`, // this month's
		} {
			asServer.refused(t, denied, sql)
		}
	})
	t.Run("what it may call", func(t *testing.T) {
		asServer.run(t, `CREATE TEMP TABLE partition_rules AS SELECT table_name, span, -9999 AS floor_days FROM partition_rules`)
		asServer.run(t, `INSERT INTO pg_temp.partition_rules VALUES ('users', 'day', 0)`)
		asServer.run(t, `SET timezone = 'Pacific/Kiritimati'`)
		asServer.run(t, `SET datestyle = 'German'`)
		for _, parent := range []string{"users", "pg_authid", "audit_events; DROP TABLE users", `audit_events" (x int); --`, "", month} {
			asServer.refused(t, "22023", `SELECT make_partition($1, '2026-01-01')`, parent)
		}
		asServer.refused(t, "22023", `SELECT make_partition('grants', '2926-01-01')`)
		asServer.refused(t, "22023", `SELECT make_partition('grants', NULL)`)
		for _, name := range []string{"users", "audit_events", "pg_authid", "partition_rules"} {
			asServer.refused(t, "22023", `SELECT drop_partition($1)`, name)
		}
		asServer.run(t, `SELECT drop_partition('never_was; DROP TABLE users')`)
		// The days of grants that may live, and events younger than the retention
		// that the owner's grant was given: 400 days.
		now := time.Now().UTC()
		for _, ago := range []int{1, 6, 12} {
			day := time.Date(now.Year(), now.Month()-time.Month(ago), 1, 0, 0, 0, 0, time.UTC)
			asServer.run(t, `SELECT make_partition('audit_events', $1)`, day)
			asServer.refused(t, denied, `SELECT drop_partition($1)`, "audit_events_"+day.Format("2006m01"))
		}
		for _, name := range asServer.column(t, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('grants'::regclass, 'revoked_tokens'::regclass) AND inhrelid::regclass::text >= 'grants_' || to_char(now(), 'IYYY"w"IW')
			AND inhrelid::regclass::text NOT LIKE '%' || to_char(timezone('UTC', now()) - interval '1 day', 'YYYYMMDD')`) {
			asServer.refused(t, denied, `SELECT drop_partition($1)`, name)
		}
		old := time.Date(now.Year()-2, now.Month(), 1, 0, 0, 0, 0, time.UTC)
		asServer.run(t, `SELECT make_partition('audit_events', $1)`, old)
		asServer.run(t, `SELECT drop_partition($1)`, "audit_events_"+old.Format("2006m01"))
		if slices.Contains(partitions(), "audit_events_"+old.Format("2006m01")) {
			t.Error("a partition that is old enough is still there")
		}
	})
	t.Run("upgrade", func(t *testing.T) {
		// What a migration adds, and what somebody gave by mistake.
		asOwner.run(t, `CREATE TABLE added (x int)`)
		asOwner.run(t, `GRANT DELETE, TRUNCATE ON audit_events TO `+server.Username())
		owning.CLI(t, "", "migrate", "up")
		asServer.run(t, `INSERT INTO added VALUES (1)`)
		asServer.refused(t, denied, `DELETE FROM audit_events`)
		asServer.refused(t, denied, `DROP TABLE added`)
	})
	t.Run("roles that cannot be held back", func(t *testing.T) {
		wantExit(t, owning, 1, `there is no role "nobody-knows"`, "migrate", "grant", "nobody-knows")
		wantExit(t, owning, 1, "is the owner of the schema, or may become it", "migrate", "grant", owner.Username())
		wantExit(t, owning, 1, "is a superuser", "migrate", "grant", super.column(t, `SELECT current_user::text`)[0])
		heir, writer, maker := storetest.Role(t, inst.DatabaseURL).Username(), storetest.Role(t, inst.DatabaseURL).Username(), storetest.Role(t, inst.DatabaseURL).Username()
		super.run(t, `GRANT `+owner.Username()+` TO `+heir)
		super.run(t, `GRANT pg_write_all_data TO `+writer)
		super.run(t, `GRANT CREATE ON SCHEMA public TO `+maker)
		wantExit(t, owning, 1, "may become it", "migrate", "grant", heir)
		wantExit(t, owning, 1, "by membership in another role", "migrate", "grant", writer)
		wantExit(t, owning, 1, "may create tables in the schema", "migrate", "grant", maker)
		for _, role := range []string{writer, maker} {
			if got := super.column(t, `SELECT has_function_privilege($1, 'drop_partition(text)', 'EXECUTE')::text`, role)[0]; got != "false" {
				t.Errorf("%s was granted something all the same", role)
			}
		}
		lite := Install(t, "sqlite", nil)
		lite.CLI(t, "", "migrate", "up")
		wantExit(t, lite, 1, "only PostgreSQL has roles", "migrate", "grant", "idp")
	})
}

// wantExit runs a command that has to fail with that code and those words.
func wantExit(t *testing.T, inst *Installation, code int, says string, args ...string) {
	t.Helper()
	stdout, stderr, got := inst.Try(t, "", args...)
	if got != code || !strings.Contains(stderr, says) {
		t.Errorf("idp %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, says, stdout, stderr)
	}
}
