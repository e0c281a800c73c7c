package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/declared"
	"idp/internal/store"
)

func (a *app) applyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Bring clients, resources, groups, roles and sign-in rules to what a file declares",
		Long: "Reads a YAML or JSON document with lists under clients, resources, groups, roles, sign_in_rules and users, whose fields have the names of the\n" +
			"admin API. What is not there is made, what differs is changed: all of it or, when anything is wrong, nothing. An object is declared whole:\n" +
			"a field that is left out has its default. People are made when they are not there, and never changed.",
		Example: "  idp apply -f idp.objects.yaml --dry-run\n  idp apply -f idp.objects.yaml --secrets-to /run/secrets/clients",
		Args:    exactly(),
	}
	file := c.Flags().StringP("file", "f", "", "the document (- for stdin)")
	rehearsal := c.Flags().Bool("dry-run", false, "show what would change, and change nothing")
	prune := c.Flags().Bool("prune", false, "delete what the document does not name, of the kinds that it has a list of; people stay")
	directory := c.Flags().String("secrets-to", "", "write the secrets that are made for clients to files of this directory instead of stdout")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *file == "" {
			return usage("%s needs -f FILE", cmd.CommandPath())
		}
		raw, err := a.readInput(*file)
		if err != nil {
			return err
		}
		document := declared.Read(*file, raw)
		return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			var o declared.Options
			if *prune {
				o.Prune = document.Sections
			}
			secrets := secretFiles{directory: *directory}
			report, err := d.applyTogether(ctx, "command", o, document.Objects, func(_ context.Context, _ *store.Store, r declared.Report) (bool, error) {
				if faults := append(document.Faults, r.Faults()...); len(faults) > 0 {
					return false, faults.InOrder()
				}
				if *rehearsal || !r.Changes() {
					return false, nil
				}
				return true, secrets.write(r)
			})
			if err != nil {
				secrets.remove()
				return nothingChanged(err)
			}
			return a.showReport(report, reportStyle{rehearsal: *rehearsal, plan: true, secrets: *directory == "" && !*rehearsal})
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

// nothingChanged says so before what was wrong.
func nothingChanged(err error) error {
	if faults, ok := errors.AsType[declared.Faults](err); ok {
		return fmt.Errorf("nothing was changed:\n%w", faults)
	}
	return err
}

// secretFiles are the files that secrets of clients are written to.
type secretFiles struct {
	directory string // empty for none
	written   []string
}

// write makes a file for each secret. None of them is there already.
func (s *secretFiles) write(r declared.Report) error {
	s.remove()
	if s.directory == "" {
		return nil
	}
	for _, row := range r {
		if row.Secret == "" {
			continue
		}
		path := filepath.Join(s.directory, row.Name) // a client_id is a file's name
		if err := writeSecretFile(path, []byte(row.Secret.Reveal()+"\n")); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("nothing was changed: %s exists, and nothing is overwritten", path)
		} else if err != nil {
			return err
		}
		s.written = append(s.written, path)
	}
	return nil
}

// remove takes back what was written.
func (s *secretFiles) remove() {
	for _, path := range s.written {
		_ = os.Remove(path) // whoever has it has the secret of nothing
	}
	s.written = nil
}

// rowView is a row of a report as it is printed.
type rowView struct {
	declared.Row
	Reasons      []string `json:"reasons,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
}

// reportStyle says what is shown of a report.
type reportStyle struct {
	rehearsal bool
	plan      bool // what changes, rather than what becomes of each object
	secrets   bool
}

// signs of a plan.
var signs = map[declared.Result]string{declared.Created: "+", declared.Updated: "~", declared.Deleted: "-"}

// showReport prints what became of objects.
func (a *app) showReport(r declared.Report, style reportStyle) error {
	var views []rowView
	for _, row := range r {
		if style.plan && row.Result == declared.Unchanged {
			continue
		}
		v := rowView{Row: row}
		for _, f := range row.Faults {
			if f.Object = ""; f.Where == row.Where {
				f.Where = ""
			}
			v.Reasons = append(v.Reasons, f.String())
		}
		if style.secrets && row.Secret != "" {
			v.ClientSecret = row.Secret.Reveal()
		}
		views = append(views, v)
	}
	summary := summaryOf(r)
	if style.rehearsal {
		summary = "Nothing was changed. Without --dry-run: " + summary
	}
	if err := showList(a, views, func(v rowView) string { return v.Name }, "There is nothing to change.", func(t *table) {
		for _, v := range views {
			sign, ok := signs[v.Result]
			if !ok || !style.plan {
				sign = string(v.Result)
			}
			name := strings.TrimSpace(string(v.Kind) + " " + v.Name)
			if v.Kind == declared.KindOther {
				name = v.Name
			}
			t.row(sign, name+whereOf(v.Where, style))
			for _, f := range v.Fields {
				t.row("", f.Field+": "+shownJSON(f.Before)+" → "+shownJSON(f.After))
			}
			for _, note := range append(v.Reasons, v.Notes...) {
				t.row("", note)
			}
			if v.ClientSecret != "" {
				t.row("", "client_secret "+v.ClientSecret+"   (shown this once)")
			}
		}
	}); err != nil {
		return err
	}
	if len(views) > 0 {
		a.say("%s", summary)
	}
	return nil
}

func whereOf(where string, style reportStyle) string {
	if where == "" || style.plan {
		return ""
	}
	return "   (" + where + ")"
}

// summaryOf counts what became of objects.
func summaryOf(r declared.Report) string {
	var parts []string
	for _, result := range []declared.Result{declared.Created, declared.Updated, declared.Deleted, declared.Unchanged, declared.Skipped, declared.Refused} {
		if n := r.Count(result); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, result))
		}
	}
	if len(parts) == 0 {
		return "nothing."
	}
	return strings.Join(parts, ", ") + "."
}

// shownJSON is a value for people, "nothing" for none.
func shownJSON(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "nothing"
	}
	const most = 400
	if len(raw) > most {
		return string(raw[:most]) + "…"
	}
	return string(raw)
}
