package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"idp/internal/audit"
	"idp/internal/idp"
)

func (a *app) auditExport() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write events as lines of JSON, oldest first",
		Long: "Writes one event per line, oldest first. The lines are those that the audit's log was made of: see idp audit verify.\n" +
			"At the end it says on stderr how to go on from there. An event may be stored a little later than it is named:\n" +
			"an export that is to be continued should end a few minutes ago.",
		Example: "  idp audit export --until 5m --out audit-1.ndjson\n  idp audit export --until 5m --out audit-2.ndjson --after 019ab3f0-…",
		Args:    exactly(),
	}
	query := a.auditFlags(c)
	out := c.Flags().String("out", "", "write to this new file, readable by its owner only, instead of stdout")
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
		q, err := query(ctx, o)
		if err != nil {
			return err
		}
		q.Forward = true
		if *out == "" {
			return a.export(ctx, o, q, a.Stdout)
		}
		file, err := os.OpenFile(*out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists: an export is never overwritten", *out)
		}
		if err != nil {
			return err
		}
		return errors.Join(a.export(ctx, o, q, file), file.Sync(), file.Close())
	})
	return c
}

func (a *app) export(ctx context.Context, o *objects, q idp.EventQuery, to io.Writer) error {
	buffered := bufio.NewWriter(to)
	count, last := 0, idp.ID{}
	err := o.Events(ctx, q, func(e idp.Event) (bool, error) {
		if _, err := buffered.Write(append(audit.Line(e), '\n')); err != nil {
			return false, err
		}
		count, last = count+1, e.ID
		return true, nil
	})
	if failed := buffered.Flush(); failed != nil {
		return errors.Join(err, failed) // how far it came is in the file
	}
	if count > 0 {
		fmt.Fprintf(a.Stderr, "%d events, the last is %s: go on behind it with --after\n", count, last.UUID())
	} else {
		fmt.Fprintln(a.Stderr, "there are no such events")
	}
	return err
}
