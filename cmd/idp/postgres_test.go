package main

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"idp/internal/store/storetest"
	"idp/internal/tokens"
)

// TestPostgres walks the rules that differ from the embedded database: no
// master key is made up, an empty database is migrated, another one is not.
func TestPostgres(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	dir := t.TempDir()
	env := []string{"IDP_DATABASE_URL=" + url, "IDP_DATA_DIR=" + filepath.Join(dir, "data")}

	code, _, stderr := command(t, env, "", "client", "list")
	if code != exitConfiguration || !strings.Contains(stderr, "idp key generate-master --out master.key") {
		t.Errorf("without a master key: exit %d, %s", code, stderr)
	}
	if code, out, _ := command(t, env, "", "migrate", "status"); code != exitOK || !strings.Contains(out, "pending") {
		t.Errorf("the refused command wrote to the database:\n%s", out)
	}

	env = append(env, "IDP_MASTER_KEY="+tokens.GenerateMasterKey())
	if code, out, stderr := command(t, env, "", "client", "list"); code != exitOK || !strings.Contains(out, "There are no clients yet") {
		t.Fatalf("on an empty database: exit %d, %s%s", code, out, stderr)
	}
	if code, _, stderr := command(t, env[:2], "", "client", "list"); code != exitConfiguration || !strings.Contains(stderr, "made with a master key that is missing") {
		t.Errorf("with the key gone: exit %d, %s", code, stderr)
	}
	wrong := append(env[:2:2], "IDP_MASTER_KEY="+tokens.GenerateMasterKey())
	if code, _, stderr := command(t, wrong, "", "client", "list"); code != exitConfiguration || !strings.Contains(stderr, "wrong master key") {
		t.Errorf("with another key: exit %d, %s", code, stderr)
	}

	// Seen from the database, another migration than the newest was applied.
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE schema_migrations SET version_id = 99999 WHERE version_id = (SELECT max(version_id) FROM schema_migrations)`); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, env, "", "client", "list"); code != exitConfiguration || !strings.Contains(stderr, "run idp migrate up, or start with --migrate=auto") {
		t.Errorf("with a migration pending: exit %d, %s", code, stderr)
	}
	if code, out, _ := command(t, env, "", "migrate", "status"); code != exitOK || !strings.Contains(out, "pending") {
		t.Errorf("migrate status: exit %d, %s", code, out)
	}
}

// TestBackupOfPostgres copies nothing, and says how to without the password.
func TestBackupOfPostgres(t *testing.T) {
	t.Parallel()
	owner := storetest.PostgresMigrated(t)
	file := filepath.Join(t.TempDir(), "copy")
	code, out, stderr := command(t, []string{"IDP_DATABASE_URL=" + storetest.Serving(t, owner)}, "", "backup", file)
	name := owner[strings.Index(owner, "//")+2 : strings.IndexAny(owner, "@")]
	name, _, _ = strings.Cut(name, ":")
	if code != exitFailure || out != "" || !strings.Contains(stderr, "pg_dump --format=custom --file="+file+" ") || !strings.Contains(stderr, "postgres://"+name+"@") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
}
