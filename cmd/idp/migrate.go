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

func (a *app) migrateCommand() *cobra.Command {
	up := &cobra.Command{
		Use:   "up",
		Short: "Bring the database to this program's schema",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(a.sources(cmd))
			if err != nil {
				return err
			}
			s, err := a.openStore(cmd.Context(), cfg, a.logger(cfg.Log, new(slog.LevelVar)), false)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := checkBeforeMigration(cmd.Context(), cfg, s); err != nil {
				return err
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
			cfg, err := loadConfig(a.sources(cmd))
			if err != nil {
				return err
			}
			s, err := a.openStore(cmd.Context(), cfg, a.logger(cfg.Log, new(slog.LevelVar)), false)
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
	return noun("migrate", "The database's schema", up, status)
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
