package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func TestMigrateTwiceAndAtOnce(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		address, ctx := url(t), t.Context()
		stores := []*store.Store{storetest.Open(t, store.Config{URL: address}), storetest.Open(t, store.Config{URL: address})}
		empty, err := stores[0].Empty(ctx)
		require.NoError(t, err)
		require.True(t, empty)
		status, err := stores[0].MigrationStatus(ctx)
		require.NoError(t, err)
		require.NotEmpty(t, status)
		require.Equal(t, store.Migration{Version: 1, Name: "00001_initial.sql"}, status[0])
		empty, err = stores[0].Empty(ctx)
		require.NoError(t, err)
		require.True(t, empty, "asking changes nothing")

		applied := make([][]string, 2)
		for _, err := range parallel(2, func(i int) (err error) {
			applied[i], err = stores[i].Migrate(ctx)
			return err
		}) {
			require.NoError(t, err)
		}
		require.Equal(t, len(status), len(applied[0])+len(applied[1]), "each migration ran once")
		newScene(t, stores[0])
		again, err := stores[1].Migrate(ctx)
		require.NoError(t, err)
		require.Empty(t, again)
		status, err = stores[1].MigrationStatus(ctx)
		require.NoError(t, err)
		for _, m := range status {
			require.True(t, m.Applied, m.Name)
		}
		empty, err = stores[1].Empty(ctx)
		require.NoError(t, err)
		require.False(t, empty)
		_, err = stores[1].UserByUsername(ctx, "alice")
		require.NoError(t, err, "migrating again loses nothing")
	})
}

// A first start that is killed leaves the runner's books behind and nothing in
// them: the next one begins anew.
func TestMigrateAfterABrokenStart(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		s, ctx := storetest.Open(t, store.Config{URL: url(t)}), t.Context()
		for _, sql := range []string{
			"CREATE TABLE schema_migrations (id integer PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp)",
			"INSERT INTO schema_migrations (id, version_id, is_applied) VALUES (0, 0, true)",
		} {
			_, err := s.Exec(ctx, sql)
			require.NoError(t, err)
		}
		empty, err := s.Empty(ctx)
		require.NoError(t, err)
		require.True(t, empty)
		status, err := s.MigrationStatus(ctx)
		require.NoError(t, err)
		require.False(t, status[0].Applied)
	})
}

// A second server on the same file is refused; the command line is not.
func TestSQLiteServesOneServer(t *testing.T) {
	t.Parallel()
	url := storetest.SQLite(t)
	server := storetest.Migrated(t, store.Config{URL: url, Exclusive: true})
	_, err := store.Open(t.Context(), store.Config{URL: url, Exclusive: true, Now: time.Now})
	require.ErrorIs(t, err, idp.ErrConflict)
	require.ErrorContains(t, err, "in use by another server")
	cli := storetest.Open(t, store.Config{URL: url})
	newUser(t, cli, "alice")
	_, err = server.UserByUsername(t.Context(), "alice")
	require.NoError(t, err)
	server.Close()
	storetest.Open(t, store.Config{URL: url, Exclusive: true})
}

func TestSQLiteFilesAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := storetest.Migrated(t, store.Config{URL: "sqlite:sub/a file?%20.db", Exclusive: true})
	newUser(t, s, "alice")
	files, err := os.ReadDir(filepath.Join(dir, "sub"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		require.True(t, strings.HasPrefix(f.Name(), "a file?%20.db"), f.Name())
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
	}
	modes, err := s.Strings(t.Context(), "SELECT journal_mode FROM pragma_journal_mode")
	require.NoError(t, err)
	require.Equal(t, []string{"wal"}, modes)
}

// SQLite keeps what was committed and rolls back what was not, across
// processes and reopening.
func TestSQLiteReopens(t *testing.T) {
	t.Parallel()
	url := storetest.SQLite(t)
	s := storetest.Migrated(t, store.Config{URL: url})
	sc := newScene(t, s)
	token := accessToken(t, idp.GrantHandle{})
	// The second statement of the batch conflicts: the first must not stay.
	require.NoError(t, s.AppendTokens(t.Context(), &token, event(idp.EventTokenIssued)))
	require.ErrorIs(t, s.RedeemCode(t.Context(), redemption(sc.grant), &token, event(idp.EventTokenIssued)), idp.ErrConflict)
	s.Close()
	s = storetest.Open(t, store.Config{URL: url})
	state, err := s.GrantState(t.Context(), sc.grant.Handle)
	require.NoError(t, err)
	same(t, sc.grant, state.Grant)
	require.Equal(t, 1, countEvents(t, s, idp.EventTokenIssued))
}

func TestBatchIsOneTransaction(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s := open(t)
		sc := newScene(t, s)
		token := accessToken(t, sc.grant.Handle)
		require.NoError(t, s.AppendTokens(t.Context(), &token, event(idp.EventTokenIssued)))
		err := s.RedeemCode(t.Context(), redemption(sc.grant), &token, event(idp.EventTokenIssued))
		require.ErrorIs(t, err, idp.ErrConflict, "the token's identifier is taken")
		require.NoError(t, s.RedeemCode(t.Context(), redemption(sc.grant), nil, event(idp.EventTokenIssued)), "and the code is still good")
		require.Equal(t, 2, countEvents(t, s, idp.EventTokenIssued))
	})
}

func TestURLsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mysql://x", "sqlite:", "idp.db", "postgres://user:hunter2@host:port/db"} {
		_, err := store.Open(t.Context(), store.Config{URL: url, Now: time.Now})
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
