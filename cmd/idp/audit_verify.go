package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/audit"
	"idp/internal/idp"
	"idp/internal/store"
)

// sealer returns what seals the audit of this database.
func (d *database) sealer() *audit.Sealer {
	return audit.NewSealer(audit.SealerConfig{
		Store: d.store, Lease: d.store, Key: d.master.AuditKey(), Issuer: d.issuer, Now: d.now, Logger: d.logger,
		Done: func(err error) { d.metrics.Job("seal", err) },
	})
}

// auditOrigin returns the name of the audit's log, and its last seal if there is
// one.
func (d *database) auditOrigin(ctx context.Context) (string, idp.Seal, error) {
	last, err := d.store.LastSeal(ctx)
	switch {
	case err == nil:
		return audit.LogOrigin(last), last, nil
	case !errors.Is(err, idp.ErrNotFound):
		return "", last, err
	case d.issuer == "":
		return "", last, withCode(exitConfiguration, errors.New("the log is named after the issuer: set IDP_ISSUER"))
	}
	return audit.Origin(d.issuer), last, nil
}

// auditVerifierKey returns the key that the log's checkpoints are checked with.
func (d *database) auditVerifierKey(ctx context.Context) (string, idp.Seal, error) {
	origin, last, err := d.auditOrigin(ctx)
	if err != nil {
		return "", last, err
	}
	key, err := audit.VerifierKey(origin, d.master.AuditKey().Public().(ed25519.PublicKey))
	if err != nil {
		return "", last, fmt.Errorf("audit log %q: %w", origin, err)
	}
	return key, last, nil
}

func (a *app) auditKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Print the public key of the audit's log",
		Long: "Prints the key that the log's checkpoints are signed with, in the form that witnesses know (https://c2sp.org/signed-note).\n" +
			"It follows from the master key. Keep a copy where the database's operators cannot change it.",
		Args: exactly(),
		RunE: a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			key, _, err := d.auditVerifierKey(ctx)
			if err == nil {
				fmt.Fprintln(a.Stdout, key)
			}
			return err
		}),
	}
}

func (a *app) auditCheckpoint() *cobra.Command {
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the last checkpoint of the audit's log",
		Long: "Prints a signed note over all that is sealed (https://c2sp.org/tlog-checkpoint). Kept elsewhere, it shows later that\n" +
			"nothing of that was taken away or written anew: idp audit verify --checkpoint FILE. With --old it prints what a\n" +
			"witness is asked with to sign it (https://c2sp.org/tlog-witness).",
		Example: "  idp audit checkpoint > /mnt/elsewhere/audit-$(date +%F).checkpoint\n" +
			"  idp audit checkpoint --old 1234 | curl --data-binary @- https://witness.example.com/add-checkpoint",
		Args: exactly(),
	}
	old := c.Flags().Int64("old", 0, "size of the last checkpoint that a witness signed, 0 for none")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			last, err := d.checkpoint(ctx)
			if err != nil {
				return err
			}
			text := last.Note
			if cmd.Flags().Changed("old") {
				if text, err = audit.AddCheckpoint(ctx, d.store, *old, last); err != nil {
					return err
				}
			}
			_, err = fmt.Fprint(a.Stdout, text)
			return err
		})(cmd, args)
	}
	return c
}

// checkpoint returns the last checkpoint of the audit's log, if it is good.
func (d *database) checkpoint(ctx context.Context) (audit.Checkpoint, error) {
	key, last, err := d.auditVerifierKey(ctx)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	if last.Checkpoint == "" {
		return audit.Checkpoint{}, errors.New("nothing is sealed yet: a server seals within a minute, and idp audit seal does at once")
	}
	verifier, err := audit.NewVerifier(key)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	c, err := verifier.Open(last.Checkpoint)
	if err != nil {
		err = fmt.Errorf("the last checkpoint is forged, idp audit verify tells more: %w", err)
	}
	return c, err
}

func (a *app) auditSeal() *cobra.Command {
	c := &cobra.Command{
		Use:   "seal",
		Short: "Seal now what is not sealed yet",
		Long: "Adds the events to the audit's log that are not in it yet. Servers do so by themselves, within a minute. They do not look\n" +
			"for events that were stored more than an hour late: --back does, for those of a node that was cut off for longer.",
		Args: exactly(),
	}
	back := c.Flags().String("back", "1h", "how far behind the last seal to look for events that were stored late")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		far, err := parseDuration(*back)
		if err != nil {
			return usage("--back %s: must be a duration, such as 1h or 2d", *back)
		}
		return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			if _, _, err := d.auditOrigin(ctx); err != nil {
				return err
			}
			n, err := d.sealer().Seal(ctx, far.std())
			if err == nil {
				fmt.Fprintf(a.Stdout, "%d events sealed\n", n)
			}
			return err
		})(cmd, args)
	}
	return c
}

type auditReportView struct {
	OK       bool      `json:"ok"`
	Rows     int64     `json:"rows"` // that are as they were sealed
	Leaves   int64     `json:"leaves"`
	Root     string    `json:"root,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	SealedAt time.Time `json:"sealed_at,omitzero"`
	Gone     int64     `json:"gone"`
	Unsealed int64     `json:"unsealed"`
	Late     int64     `json:"late"`
	FirstRow string    `json:"first_late,omitempty"`
	Faults   []string  `json:"faults,omitempty"`
}

func (a *app) auditVerify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the audit is what was sealed",
		Long: "Goes through the audit and its log, and names the first event that was changed, removed, added or moved, and every way in\n" +
			"which the log itself is not what was signed. It exits with 1 then. It only reads, and works on a copy of the database.\n" +
			"That the end was not cut off, log and all, only a checkpoint shows that was kept elsewhere.",
		Example: "  idp audit verify --checkpoint /mnt/elsewhere/audit.checkpoint\n  idp audit verify --key id.example.com/audit+01234567+AQ…    # without the master key",
		Args:    exactly(),
	}
	kept := c.Flags().String("checkpoint", "", "file with a checkpoint that was kept elsewhere (- for stdin)")
	since := c.Flags().String("kept-since", "", "rows from before then may have been let go: when audit.retention was raised, how far back they were kept at that time")
	key := c.Flags().String("key", "", "the log's public key, instead of the one that follows from the master key")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := parseWhen("--kept-since", *since, a.Now())
		if err != nil {
			return err
		}
		if from.After(a.Now()) {
			return usage("--kept-since %s: is in the future", *since)
		}
		var note []byte
		if *kept != "" {
			if note, err = a.readInput(*kept); err != nil {
				return err
			}
		}
		if *key == "" {
			return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
				verifierKey, _, err := d.auditVerifierKey(ctx)
				if err != nil {
					return err
				}
				return a.verifyAudit(ctx, d.cfg, d.store, verifierKey, string(note), from)
			})(cmd, args)
		}
		// Whoever has a copy of the database alone can verify it.
		cfg, err := loadConfig(a.sources(cmd))
		if err != nil {
			return err
		}
		s, err := a.openStore(cmd.Context(), cfg, nil, false)
		if err != nil {
			return err
		}
		defer s.Close()
		return a.verifyAudit(cmd.Context(), cfg, s, *key, string(note), from)
	}
	a.outputFlags(c)
	return c
}

func (a *app) verifyAudit(ctx context.Context, cfg *Config, s *store.Store, key, kept string, since time.Time) error {
	verifier, err := audit.NewVerifier(key)
	if err != nil {
		return usage("--key: must be what idp audit key printed")
	}
	c := audit.VerifyConfig{Store: s, Verifier: verifier, KeptSince: since}
	if kept != "" {
		checkpoint, err := verifier.Open(kept)
		if err != nil {
			return fmt.Errorf("the checkpoint that was kept: %w", err)
		}
		c.Kept = &checkpoint
	}
	if retention := cfg.Audit.Retention.std(); retention > 0 {
		// Whole days are let go, by the day that an event says.
		if day := (idp.DayOf(a.Now().Add(-retention)) + 1).Time(); day.After(since) {
			c.KeptSince = day
		}
	}
	r, err := audit.Verify(ctx, c)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	v := auditReportView{
		OK: len(r.Faults) == 0, Rows: r.Intact, Leaves: r.Checkpoint.Size, Origin: r.Checkpoint.Origin, SealedAt: r.SealedAt,
		Gone: r.Gone, Unsealed: r.Unsealed, Late: r.Late,
	}
	if r.Checkpoint.Size > 0 {
		v.Root = r.Checkpoint.Root.String()
	}
	if r.Late > 0 {
		v.FirstRow = r.FirstLate.UUID()
	}
	for _, f := range r.Faults {
		if f.Count > 1 {
			f.What += fmt.Sprintf("; and %d more like it", f.Count-1)
		}
		v.Faults = append(v.Faults, f.What)
	}
	if v.OK || a.output != "table" {
		if err := a.show(v, v.Root, v.people); err != nil {
			return err
		}
	}
	if !v.OK {
		return errors.New(strings.Join(v.Faults, "\n"))
	}
	return nil
}

func (v auditReportView) people(t *table) {
	some := func(n int64, what string) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10) + ", " + what
	}
	t.row("The audit is what was sealed.")
	t.field("rows", strconv.FormatInt(v.Rows, 10))
	t.field("gone", some(v.Gone, "older than they have to be kept"))
	t.field("not sealed yet", some(v.Unsealed, "younger than the last seal"))
	t.field("sealed late", some(v.Late, "the first is "+v.FirstRow))
	t.field("log", v.Origin)
	t.field("leaves", strconv.FormatInt(v.Leaves, 10))
	t.field("root", v.Root)
	if !v.SealedAt.IsZero() {
		t.field("sealed", when(v.SealedAt))
	}
}
