package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/declared"
	"idp/internal/foreign"
	"idp/internal/idp"
	"idp/internal/store"
)

// maxForeign bounds what another system exports, in bytes.
const maxForeign = 256 << 20

// importFrom takes in what another system exports, and reports of each object.
func (a *app) importFrom(cmd *cobra.Command, from, path string, rehearsal, skip bool) error {
	if !slices.Contains(foreign.Sources(), from) {
		return usage("--from %s: must be one of %s", from, strings.Join(foreign.Sources(), ", "))
	}
	raw, name, err := a.readForeign(path)
	if err != nil {
		return err
	}
	return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
		here := foreign.Here{Resources: d.directory, Attributes: d.attributes}
		objects, err := here.Read(from, name, raw)
		if err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		o := declared.Options{OnlyAbsent: true, Lenient: true}
		refused := false
		report, err := d.applyTogether(ctx, "command", o, objects, func(ctx context.Context, s *store.Store, r declared.Report) (bool, error) {
			refused = r.Count(declared.Refused) > 0 && !skip
			if rehearsal || refused || !r.Changes() {
				return false, nil
			}
			return true, s.AppendEvents(ctx, []idp.Event{d.admin.Brought(ctx, idp.EventImported, []string{from})})
		})
		if err != nil {
			return err
		}
		if err := a.showReport(report, reportStyle{rehearsal: rehearsal}); err != nil || !refused {
			return err
		}
		return errors.New("nothing was changed: mend what is refused, or leave it out with --skip-refused")
	})(cmd, []string{path})
}

func (a *app) userImport() *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Create accounts from a table of people",
		Long: "Reads a table (CSV) with a line of names and a line for each person: username, and any of sub, password_hash, disabled, groups, roles (both\n" +
			"separated by spaces), attributes.NAME and the standard claims such as email, email_verified and name. All people are made, or none. Who is\n" +
			"there already stays as they are.",
		Example: "  idp user import people.csv --dry-run",
		Args:    exactly("FILE"),
	}
	rehearsal := c.Flags().Bool("dry-run", false, "do all of it, and keep nothing")
	skip := c.Flags().Bool("skip-refused", false, "leave out who is refused and make the others, instead of nobody")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.importFrom(cmd, "csv", args[0], *rehearsal, *skip)
	}
	a.outputFlags(c)
	return c
}

// readForeign reads a file, or stdin for "-", and says what places in it are
// called by.
func (a *app) readForeign(path string) (raw []byte, name string, err error) {
	in, name := a.Stdin, path
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, "", err
		}
		defer file.Close()
		in, name = file, filepath.Base(path)
	}
	raw, err = io.ReadAll(io.LimitReader(in, maxForeign+1))
	if err == nil && len(raw) > maxForeign {
		err = fmt.Errorf("%s: longer than %d bytes", name, maxForeign)
	}
	return raw, name, err
}
