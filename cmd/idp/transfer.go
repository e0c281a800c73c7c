package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/admin"
	"idp/internal/foreign"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/users"
)

// transferFormat is the version of the document: it changes when an older
// program could not read it.
const transferFormat = 1

// transferHead is the first line of the document. Each further line is a
// store.TransferRow.
type transferHead struct {
	Format         int       `json:"idp_export"`
	CreatedAt      time.Time `json:"created_at"`
	Version        string    `json:"version"`
	Issuer         string    `json:"issuer,omitempty"`
	MasterKeyCheck []byte    `json:"master_key_check"`
	Rows           int       `json:"rows"`
}

func (a *app) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE",
		Short: "Write configuration and people to a file, for idp import",
		Long: "Writes clients, resources, groups, roles, users with their factors, consents and sign-in rules as lines of JSON to a new file, or to\n" +
			"stdout with -, which must not be a terminal. Sessions, tokens, signing keys and the audit stay. What is sealed stays sealed, and hashes\n" +
			"are hashes; even so, whoever has the file can try passwords on them.",
		Example: "  idp export idp.ndjson\n  IDP_DATABASE_URL=postgres://… idp import idp.ndjson",
		Args:    exactly("FILE"),
		RunE: a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			path := args[0]
			if file, ok := a.Stdout.(*os.File); ok && path == "-" {
				if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
					return usage("stdout is a terminal: name a file, or pass it on")
				}
			}
			rows, err := d.store.Export(ctx)
			if err != nil {
				return err
			}
			var out bytes.Buffer
			encoder := json.NewEncoder(&out)
			if err := encoder.Encode(transferHead{
				Format: transferFormat, CreatedAt: idp.Instant(d.now()), Version: buildVersion(), Issuer: d.issuer,
				MasterKeyCheck: d.master.CheckValue(), Rows: len(rows),
			}); err != nil {
				return err
			}
			for _, row := range rows {
				if err := encoder.Encode(row); err != nil {
					return err
				}
			}
			if err := d.store.AppendEvents(ctx, []idp.Event{d.admin.Brought(ctx, idp.EventExported, tablesOf(rows))}); err != nil {
				return err
			}
			if path == "-" {
				_, err := a.Stdout.Write(out.Bytes())
				return err
			}
			if err := writeSecretFile(path, out.Bytes()); errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists: nothing is overwritten", path)
			} else if err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "%s written: %s.\n", path, countOf(rows))
			return nil
		}),
	}
}

func (a *app) importCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Take in what idp export wrote, or another system",
		Long: "Takes in a document of idp export, from a file or with - from stdin: all of it, with its identifiers and hashes, or nothing. It needs the\n" +
			"master key of the installation that it comes from, and nothing of it may be there already.\n\n" +
			"With --from it takes in what another system exports and reports of each object what became of it: a realm of Keycloak, a list of clients of\n" +
			"Ory Hydra, a configuration of Dex. Subject identifiers and password hashes are kept. What is there already stays as it is.",
		Example: "  idp import idp.ndjson\n  idp import --from keycloak realm.json --dry-run",
		Args:    exactly("FILE"),
	}
	rehearsal := c.Flags().Bool("dry-run", false, "do all of it, and keep nothing")
	from := c.Flags().String("from", "", "the system that wrote the file: "+strings.Join(foreign.Sources(), ", "))
	skip := c.Flags().Bool("skip-refused", false, "with --from: leave out what is refused and take in the rest, instead of nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *from != "" {
			return a.importFrom(cmd, *from, args[0], *rehearsal, *skip)
		}
		if *skip || a.output != "table" || a.quiet {
			return usage("--skip-refused, -o and -q go with --from")
		}
		return a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			var in io.Reader = a.Stdin
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer file.Close()
				in = file
			}
			rows, err := readTransfer(in, d.master.CheckValue())
			if err != nil {
				return fmt.Errorf("%s: nothing was changed: %w", args[0], err)
			}
			events, algs, err := d.admit(ctx, rows)
			if err == nil {
				err = d.store.Import(ctx, rows, *rehearsal, events...)
			}
			if err != nil {
				return fmt.Errorf("%s: nothing was changed: %w", args[0], err)
			}
			if *rehearsal {
				fmt.Fprintf(a.Stdout, "Nothing was changed. Without --dry-run this would be taken in: %s.\n", countOf(rows))
				return nil
			}
			// What clients sign with has keys of its own here.
			if err := d.keyring.Ensure(ctx, algs...); err != nil {
				return fmt.Errorf("all was taken in, but signing keys are missing (idp key rotate --alg makes them): %w", err)
			}
			fmt.Fprintf(a.Stdout, "Taken in: %s.\n", countOf(rows))
			return nil
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

// maxTransferLine bounds a line in bytes: a picture is the longest.
const maxTransferLine = 8 << 20

// readTransfer reads a document whole, and refuses one that was made under
// another master key.
func readTransfer(in io.Reader, check []byte) ([]store.TransferRow, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxTransferLine)
	var head transferHead
	var rows []store.TransferRow
	number := 0
	for lines.Scan() {
		number++
		if number == 1 {
			if json.Unmarshal(lines.Bytes(), &head) != nil || head.Format == 0 {
				return nil, errors.New("line 1: this is no document of idp export")
			}
			if head.Format != transferFormat {
				return nil, fmt.Errorf("line 1: the document is of version %d, and this program reads version %d", head.Format, transferFormat)
			}
			if subtle.ConstantTimeCompare(head.MasterKeyCheck, check) != 1 {
				return nil, errors.New("line 1: it was made under another master key, without which its secrets cannot be used: " +
					"run the import with the master key of the installation that it comes from")
			}
			continue
		}
		row := store.TransferRow{Line: number}
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&row); err != nil || decoder.More() {
			return nil, fmt.Errorf("line %d: must be an object with table and row", number)
		}
		rows = append(rows, row)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: is longer than %d bytes", number+1, maxTransferLine)
	case err != nil:
		return nil, err
	case number == 0:
		return nil, errors.New("it is empty")
	case len(rows) != head.Rows:
		return nil, fmt.Errorf("it has %d rows, and its first line says %d: it is not whole", len(rows), head.Rows)
	}
	return rows, nil
}

// admit holds each object to the rules for those that are made here, and
// returns an event for each, and the algorithms that its clients need keys for.
func (d *database) admit(ctx context.Context, rows []store.TransferRow) (events []idp.Event, algs []string, err error) {
	gate, err := d.admin.NewGate(ctx)
	if err != nil {
		return nil, nil, err
	}
	needed := map[string]bool{}
	for _, row := range rows {
		kind, target, err := d.admitRow(ctx, gate, row, needed)
		if err != nil {
			text := strings.ReplaceAll(err.Error(), "\n", "; ")
			return nil, nil, &store.TransferError{Line: row.Line, Err: fmt.Errorf("%s: %w", row.Table, errors.New(text))}
		}
		if kind != "" {
			event := gate.Arrived(ctx, kind, target)
			if kind == idp.EventConsentGranted {
				event.UserID, event.ClientID, _ = strings.Cut(target, " ")
			}
			events = append(events, event)
		}
	}
	events = append(events, d.admin.Brought(ctx, idp.EventImported, tablesOf(rows)))
	return events, slices.Sorted(maps.Keys(needed)), nil
}

// admitRow judges one row. It has a kind of event if it is an object by itself.
func (d *database) admitRow(ctx context.Context, gate *admin.Gate, row store.TransferRow, algs map[string]bool) (idp.EventKind, string, error) {
	read := func(into any) error {
		if err := json.Unmarshal(row.Row, into); err != nil {
			return errors.New("the row is not what idp export writes")
		}
		return nil
	}
	switch row.Table {
	case "resources":
		var r struct {
			Audience string               `json:"audience"`
			Metadata idp.ResourceMetadata `json:"metadata"`
		}
		if err := read(&r); err != nil {
			return "", "", err
		}
		return idp.EventResourceChanged, r.Audience, gate.Resource(idp.Resource{Audience: r.Audience, ResourceMetadata: r.Metadata})
	case "groups":
		var r struct {
			Name        string `json:"group_name"`
			Description string `json:"description"`
		}
		if err := read(&r); err != nil {
			return "", "", err
		}
		return idp.EventGroupChanged, r.Name, gate.Group(idp.Group{Name: r.Name, Description: r.Description})
	case "roles":
		var r struct {
			Name string `json:"role_name"`
		}
		err := read(&r)
		return idp.EventRoleChanged, r.Name, err
	case "users":
		var r struct {
			ID       string        `json:"user_id"`
			Username string        `json:"username"`
			Key      string        `json:"username_key"`
			Hash     string        `json:"password_hash"`
			State    idp.UserState `json:"state"`
			Profile  idp.Profile   `json:"profile"`
		}
		if err := read(&r); err != nil {
			return "", "", err
		}
		if r.Key != strings.ToLower(r.Username) {
			return "", "", errors.New("username_key is not that of username")
		}
		return idp.EventUserCreated, r.ID, gate.User(idp.User{ID: r.ID, Username: r.Username, PasswordHash: r.Hash, State: r.State, Profile: r.Profile})
	case "clients":
		var r struct {
			ID       string             `json:"client_id"`
			Metadata idp.ClientMetadata `json:"metadata"`
		}
		if err := read(&r); err != nil {
			return "", "", err
		}
		c := idp.Client{ClientID: r.ID, ClientMetadata: r.Metadata}
		for _, alg := range c.KeyAlgorithms() {
			algs[alg] = true
		}
		return idp.EventClientCreated, r.ID, gate.Client(ctx, c)
	case "consents":
		var r struct {
			UserID   string `json:"user_id"`
			ClientID string `json:"client_id"`
		}
		err := read(&r)
		return idp.EventConsentGranted, r.UserID + " " + r.ClientID, err
	case "settings":
		var r struct {
			Name  string `json:"setting_name"`
			Value []byte `json:"value"`
		}
		if err := read(&r); err != nil {
			return "", "", err
		}
		return idp.EventSettingChanged, r.Name, checkSetting(r.Name, r.Value)
	case "client_secrets":
		var r struct {
			ID       string `json:"secret_id"`
			ClientID string `json:"client_id"`
			Sealed   []byte `json:"secret_sealed"`
		}
		if err := read(&r); err != nil || r.Sealed == nil {
			return "", "", err
		}
		id, err := idp.ParseID(r.ID)
		if err == nil {
			_, err = d.master.OpenSecret(r.ClientID, idp.ClientSecret{ID: id, Sealed: r.Sealed})
		}
		return "", "", err
	case "authenticators":
		var r struct {
			ID     string `json:"authenticator_id"`
			UserID string `json:"user_id"`
			Sealed []byte `json:"secret_sealed"`
		}
		if err := read(&r); err != nil {
			return "", "", err
		}
		id, err := idp.ParseID(r.ID)
		if err == nil {
			_, err = d.master.OpenFactor(users.AuthenticatorPlace(r.UserID, id), r.Sealed)
		}
		return "", "", err
	}
	return "", "", nil // the store knows whether there is such a table, and what belongs to what
}

// checkSetting refuses a setting that nobody could read afterwards.
func checkSetting(name string, value []byte) error {
	switch name {
	case "sign_in_policy":
		return json.Unmarshal(value, new(idp.SignInPolicy))
	case "tokens_valid_after":
		_, err := time.Parse(time.RFC3339Nano, string(value))
		return err
	}
	return errors.New("is no setting that can be imported")
}

// tablesOf lists the tables of the rows, as they come.
func tablesOf(rows []store.TransferRow) []string {
	var tables []string
	for _, r := range rows {
		if !slices.Contains(tables, r.Table) {
			tables = append(tables, r.Table)
		}
	}
	return tables
}

// countOf says how much there is.
func countOf(rows []store.TransferRow) string {
	counts := map[string]int{}
	for _, r := range rows {
		counts[r.Table]++
	}
	var parts []string
	for _, table := range tablesOf(rows) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[table], strings.ReplaceAll(table, "_", " ")))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
