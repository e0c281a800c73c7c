package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/tokens"
)

// storeToMigrate opens the configured database as it is, whatever its schema.
func (a *app) storeToMigrate(cmd *cobra.Command) (*Config, *store.Store, error) {
	cfg, err := loadConfig(a.sources(cmd))
	if err != nil {
		return nil, nil, err
	}
	s, err := a.openStore(cmd.Context(), cfg, a.logger(cfg.Log, new(slog.LevelVar)), false)
	return cfg, s, err
}

func (a *app) migrateCommand() *cobra.Command {
	up := &cobra.Command{
		Use:   "up",
		Short: "Bring the database to this program's schema",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, s, err := a.storeToMigrate(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := checkBeforeMigration(cmd.Context(), cfg, s); err != nil {
				return err
			}
			if pending, err := pendingMigrations(cmd.Context(), s); err != nil {
				return err
			} else if len(pending) > 0 {
				if err := mayMigrate(cmd.Context(), s); err != nil {
					return err
				}
			}
			applied, err := s.Migrate(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range applied {
				a.say("applied %s", name)
			}
			if len(applied) == 0 {
				a.say("The database is up to date.")
			}
			return nil
		},
	}
	status := &cobra.Command{
		Use:   "status",
		Short: "List the migrations, and which of them the database has",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.storeToMigrate(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			migrations, err := s.MigrationStatus(cmd.Context())
			if err != nil {
				return err
			}
			type view struct {
				Version int64  `json:"version"`
				Name    string `json:"name"`
				Applied bool   `json:"applied"`
			}
			var views []view
			for _, m := range migrations {
				views = append(views, view{m.Version, m.Name, m.Applied})
			}
			return showList(a, views, func(v view) string { return v.Name }, "There are no migrations.", func(t *table) {
				t.row("MIGRATION", "STATE")
				for _, v := range views {
					state := "pending"
					if v.Applied {
						state = "applied"
					}
					t.row(v.Name, state)
				}
			})
		},
	}
	a.outputFlags(status)
	grant := &cobra.Command{
		Use:   "grant ROLE",
		Short: "Let a PostgreSQL role serve that may not change the schema",
		Long: "Gives a PostgreSQL role what idp serve needs and no more: no changes of the schema, nothing of the audit\n" +
			"but reading and adding. Run it as the role that ran migrate up, which keeps up the rights from then on.\n" +
			"Audit events younger than audit.retention cannot be removed by the role, whatever it is told later.",
		Example: "  psql -c \"CREATE ROLE idp_server LOGIN PASSWORD '…'\"\n" +
			"  idp migrate up\n" +
			"  idp migrate grant idp_server",
		Args: exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, err := a.storeToMigrate(cmd)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := mayMigrate(cmd.Context(), s); err != nil {
				return err
			}
			if pending, err := pendingMigrations(cmd.Context(), s); err != nil {
				return err
			} else if len(pending) > 0 {
				return withCode(exitConfiguration, errors.New("the database lacks migrations of this program: run idp migrate up first"))
			}
			if err := s.GrantServing(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.say("%s may serve on this database.", args[0])
			return nil
		},
	}
	return noun("migrate", "The database's schema", up, status, grant)
}

// checkBeforeMigration refuses a database of another master key. A job that
// only migrates may go without the key.
func checkBeforeMigration(ctx context.Context, cfg *Config, s *store.Store) error {
	key, err := configuredMasterKey(cfg)
	if err != nil || key == nil {
		return err
	}
	empty, err := s.Empty(ctx)
	if err != nil || empty {
		return err
	}
	stored, err := s.Setting(ctx, masterCheckSetting)
	if errors.Is(err, idp.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	master, err := tokens.NewMaster(key)
	if err != nil {
		return withCode(exitConfiguration, err)
	}
	return checkMasterKey(cfg, stored, master.CheckValue())
}
