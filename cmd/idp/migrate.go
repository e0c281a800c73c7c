package main

import (
	"log/slog"

	"github.com/spf13/cobra"
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
