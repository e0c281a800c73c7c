package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"idp/internal/store"
)

// install is what a machine without PostgreSQL is told.
const install = "PostgreSQL is not installed: apt-get install -y postgresql, or set IDP_TEST_DATABASE_URL"

// cluster is the process's own cluster: started by the first test that asks.
var cluster = sync.OnceValues(startCluster)

// Postgres returns the URL of a fresh, empty database that is dropped when the
// test ends.
func Postgres(t *testing.T) string {
	t.Helper()
	server := os.Getenv("IDP_TEST_DATABASE_URL")
	if server == "" {
		var err error
		if server, err = cluster(); err != nil {
			t.Fatal(err)
		}
	}
	return create(t, server, "")
}

func create(t *testing.T, server, like string) string {
	t.Helper()
	name := "idp_test_" + strings.ToLower(rand.Text())
	administer(t, server, "CREATE DATABASE "+name+like)
	t.Cleanup(func() { administer(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	address, err := at(server, name)
	if err != nil {
		t.Fatal("IDP_TEST_DATABASE_URL is no URL")
	}
	return address
}

// at is the address of a database of the server.
func at(server, database string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	u.Path = "/" + database
	return u.String(), nil
}

const templateName = "idp_test_template"

// template is the database that others are copied from: migrated by the first
// test that asks, with no connection to it from then on.
var template = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := cluster()
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's error is the one that matters
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+templateName); err != nil {
		return err
	}
	address, err := at(server, templateName)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Config{URL: address, Now: time.Now})
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Migrate(ctx)
	return err
})

// PostgresMigrated is Postgres with the schema in place, which the process's own
// cluster copies.
func PostgresMigrated(t *testing.T) string {
	t.Helper()
	if os.Getenv("IDP_TEST_DATABASE_URL") != "" {
		database := Postgres(t)
		Migrated(t, store.Config{URL: database}).Close()
		return database
	}
	server, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	if err := template(); err != nil {
		t.Fatal(err)
	}
	return create(t, server, " TEMPLATE "+templateName)
}

// Serving migrates the database as the role of its URL, makes a role that may
// serve on it and not change it, and returns the URL of that role.
func Serving(t *testing.T, owner string) string {
	t.Helper()
	s := Migrated(t, store.Config{URL: owner})
	role := Role(t, owner)
	if err := s.GrantServing(t.Context(), role.Username()); err != nil {
		t.Fatalf("grant: %v", err)
	}
	s.Close()
	return As(t, owner, role)
}

// Role makes a role that may log in and do nothing else. It goes when the test
// ends, with what it owns in the database.
func Role(t *testing.T, database string) *url.Userinfo {
	t.Helper()
	name, password := "idp_test_"+strings.ToLower(rand.Text()), rand.Text()
	administer(t, database, "CREATE ROLE "+name+" LOGIN PASSWORD '"+password+"'")
	t.Cleanup(func() {
		administer(t, database, "REASSIGN OWNED BY "+name+" TO CURRENT_USER; DROP OWNED BY "+name+"; DROP ROLE "+name)
	})
	return url.UserPassword(name, password)
}

// As returns the URL for another role.
func As(t *testing.T, database string, role *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal("not a URL")
	}
	u.User = role
	return u.String()
}

func administer(t *testing.T, server, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also runs after the test's own context
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("test server: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's error is the one that matters
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// supervise runs the server until its standard input ends, which it does when
// the test process is gone, however that came about.
const supervise = `
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
  -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=256MB -c max_connections=200 -c max_locks_per_transaction=256 >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "$2"
`

// scratch is where a cluster lives: in memory where there is room, as making and
// dropping databases is mostly making and dropping files. Both paths are short,
// as that of a socket is limited.
func scratch() string {
	const memory, room = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) >= room {
		return memory
	}
	return "/tmp"
}

// startCluster makes a cluster that listens on a socket in its own directory,
// and returns its URL.
func startCluster() (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(scratch(), "idp-pg-")
	if err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{Setpgid: true} // an interrupt is for the tests, not for it
	if os.Geteuid() == 0 {                      // PostgreSQL refuses to run as root
		if attr.Credential, err = systemUser(); err != nil {
			return "", err
		}
		if err := os.Chown(dir, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			return "", err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.SysProcAttr = attr
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	server := exec.Command("/bin/sh", "-c", supervise, "idp-test-postgres", bin, dir)
	server.SysProcAttr = attr
	server.Dir = "/"
	lifeline, err := server.StdinPipe() // never closed by hand
	if err != nil {
		return "", err
	}
	if err := server.Start(); err != nil {
		return "", err
	}
	keepOpen(lifeline)
	address := (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}).String()
	return address, waitReady(address, filepath.Join(dir, "log"))
}

var lifelines []io.Closer

// keepOpen holds on to a pipe until the process ends.
func keepOpen(c io.Closer) { lifelines = append(lifelines, c) }

func waitReady(address, log string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			out, _ := os.ReadFile(log) // may not exist; the error says enough
			return fmt.Errorf("test cluster: %w\n%s", err, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// binaries finds the newest installed server.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for none
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", fmt.Errorf("%s", install)
}

// systemUser finds somebody to run the server as.
func systemUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}, nil
	}
	return nil, fmt.Errorf("tests run as root and there is no user postgres or nobody to run PostgreSQL as")
}
