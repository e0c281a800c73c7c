package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/store"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the embedded database while it is used",
		Long: "Writes a copy of the embedded database to a new file and checks it; the server may go on meanwhile. Without the master key the copy\n" +
			"is worth nothing, so keep that too, in another place. For PostgreSQL it copies nothing, says how to, and ends with 1.",
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(a.sources(cmd))
			if err != nil {
				return err
			}
			if path, ok := strings.CutPrefix(cfg.Database(), "sqlite:"); ok {
				if _, err := os.Stat(path); err != nil {
					return fmt.Errorf("database %s: %s", path, fileReason(err))
				}
			}
			_, s, err := a.storeToMigrate(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			if s.Engine() != "sqlite" {
				return dumpAdvice(cmd.Context(), cfg, s, args[0])
			}
			if err := s.Backup(cmd.Context(), args[0]); errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists: nothing is overwritten", args[0])
			} else if err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "%s written and checked. Without the master key it is worth nothing: keep a copy of that too, in another place.\n", args[0])
			return nil
		},
	}
}

// dumpAdvice says how a PostgreSQL database is copied. The owner of the schema
// can read all of it, a role that only serves cannot.
func dumpAdvice(ctx context.Context, cfg *Config, s *store.Store, file string) error {
	u, err := url.Parse(cfg.Database())
	if err != nil {
		return errors.New("database_url is no URL")
	}
	owner, _, err := s.SchemaOwner(ctx)
	if err != nil {
		return err
	}
	if owner == "" {
		owner = u.User.Username()
	}
	u.User = url.User(owner) // whose password pg_dump asks for, or finds in ~/.pgpass
	query := u.Query()
	for name := range query {
		if !strings.HasPrefix(name, "ssl") {
			query.Del(name) // of this program, not of libpq; or a password
		}
	}
	query.Del("sslpassword")
	u.RawQuery = query.Encode()
	return fmt.Errorf("nothing was copied: PostgreSQL has its own ways. Run\n"+
		"  pg_dump --format=custom --file=%s %s\n"+
		"and keep the master key too, in another place: without it the copy is worth nothing", shellWord(file), shellWord(u.String()))
}
