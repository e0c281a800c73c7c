package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"idp/internal/idp"
)

// columnKind says how a column of either engine is written in JSON.
type columnKind int

const (
	asText    columnKind = iota // a string, never null
	asNumber                    // an integer, never null
	asTruth                     // true or false, never null
	asInstant                   // RFC 3339, or null
	asIdent                     // an idp.ID as text, or null
	asOctets                    // base64, or null
	asRaw                       // JSON itself, or null
)

type column struct {
	name string
	kind columnKind
}

// transferTable is a table that goes from one installation to another.
type transferTable struct {
	name    string
	columns []column
	order   string
	where   string // which rows; empty for all
}

// ofLiving leaves out what deleted clients left behind.
const ofLiving = "client_id IN (SELECT client_id FROM clients WHERE deleted_at IS NULL)"

// transferTables are what configures an installation, and its people, in an
// order in which nothing comes before what it belongs to. Sessions, grants,
// tokens, links, keys and the audit stay where they are.
var transferTables = []transferTable{
	{"resources", []column{{"audience", asText}, {"metadata", asRaw}, {"created_at", asInstant}, {"updated_at", asInstant}}, "audience", ""},
	{"groups", []column{{"group_name", asText}, {"description", asText}, {"created_at", asInstant}}, "group_name", ""},
	{"roles", []column{{"role_name", asText}, {"description", asText}}, "role_name", ""},
	{"role_scopes", []column{{"role_name", asText}, {"audience", asText}, {"scope", asText}}, "role_name, audience, scope", ""},
	{"role_groups", []column{{"role_name", asText}, {"group_name", asText}}, "role_name, group_name", ""},
	{"users", []column{
		{"user_id", asText},
		{"username", asText},
		{"username_key", asText},
		{"password_hash", asText},
		{"state", asText},
		{"profile", asRaw},
		{"tokens_valid_after", asInstant},
		{"created_at", asInstant},
		{"updated_at", asInstant},
		{"password_changed_at", asInstant},
		{"preferences", asRaw},
		{"attributes", asRaw},
		{"picture_id", asIdent},
		{"deletion_requested_at", asInstant},
		{"deletion_due_at", asInstant},
	}, "user_id", ""},
	{"email_addresses", []column{
		{"user_id", asText}, {"address_key", asText}, {"address", asText}, {"is_primary", asTruth}, {"verified_at", asInstant}, {"created_at", asInstant},
	}, "user_id, address_key", ""},
	{"user_handles", []column{{"user_id", asText}, {"user_handle", asOctets}}, "user_id", ""},
	{"passkeys", []column{
		{"credential_id", asOctets},
		{"user_id", asText},
		{"passkey_name", asText},
		{"public_key", asOctets},
		{"sign_count", asNumber},
		{"aaguid", asIdent},
		{"transports", asText},
		{"user_verified", asTruth},
		{"backup_eligible", asTruth},
		{"backup_state", asTruth},
		{"created_at", asInstant},
		{"last_used_at", asInstant},
		{"last_event_id", asIdent},
	}, "credential_id", ""},
	{"authenticators", []column{
		{"user_id", asText},
		{"authenticator_id", asIdent},
		{"authenticator_name", asText},
		{"secret_sealed", asOctets},
		{"last_step", asNumber},
		{"created_at", asInstant},
		{"last_used_at", asInstant},
		{"last_event_id", asIdent},
	}, "user_id, authenticator_id", ""},
	{"recovery_codes", []column{
		{"user_id", asText}, {"slot", asNumber}, {"code_hash", asText}, {"created_at", asInstant}, {"used_at", asInstant}, {"last_event_id", asIdent},
	}, "user_id, slot", ""},
	{"user_pictures", []column{
		{"picture_id", asIdent}, {"user_id", asText}, {"content_type", asText}, {"body", asOctets}, {"created_at", asInstant},
	}, "picture_id", ""},
	{"group_members", []column{{"user_id", asText}, {"group_name", asText}}, "user_id, group_name", ""},
	{"user_roles", []column{{"user_id", asText}, {"role_name", asText}}, "user_id, role_name", ""},
	{"clients", []column{
		{"client_id", asText}, {"metadata", asRaw}, {"disabled", asTruth}, {"tokens_valid_after", asInstant}, {"created_at", asInstant}, {"updated_at", asInstant},
	}, "client_id", "deleted_at IS NULL"},
	{"client_secrets", []column{
		{"secret_id", asIdent}, {"client_id", asText}, {"secret_hash", asText}, {"created_at", asInstant}, {"expires_at", asInstant}, {"secret_sealed", asOctets},
	}, "client_id, secret_id", ofLiving},
	{"client_logos", []column{
		{"client_id", asText}, {"hash", asText}, {"content_type", asText}, {"body", asOctets}, {"created_at", asInstant},
	}, "client_id", ofLiving},
	{"client_registrations", []column{
		{"client_id", asText},
		{"registration_id", asIdent},
		{"salt", asOctets},
		{"generation", asNumber},
		{"token_id", asIdent},
		{"created_at", asInstant},
		{"last_used_at", asInstant},
	}, "client_id", ofLiving},
	{"consents", []column{
		{"user_id", asText},
		{"client_id", asText},
		{"scopes", asText},
		{"resources", asText},
		{"redirect_origins", asText},
		{"remembered", asTruth},
		{"granted_at", asInstant},
		{"withdrawn_at", asInstant},
		{"last_event_id", asIdent},
	}, "user_id, client_id", ofLiving},
	{
		"settings",
		[]column{{"setting_name", asText}, {"value", asOctets}, {"updated_at", asInstant}},
		"setting_name",
		"setting_name IN ('" + settingSignInPolicy + "', '" + settingTokensValidAfter + "')",
	},
}

func (t transferTable) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func (t transferTable) selection() string {
	where := ""
	if t.where != "" {
		where = " WHERE " + t.where
	}
	return "SELECT " + t.names() + " FROM " + t.name + where + " ORDER BY " + t.order
}

func (t transferTable) insertion() string {
	places := make([]string, len(t.columns))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	names := t.names()
	if t.name == "clients" { // so that nodes notice
		names += ", revision"
		places = append(places, "(SELECT revision FROM revisions WHERE topic = 'directory')")
	}
	return "INSERT INTO " + t.name + " (" + names + ") VALUES (" + strings.Join(places, ", ") + ")"
}

// TransferRow is one row on its way from one installation to another.
type TransferRow struct {
	Line  int             `json:"-"` // in the document that it is read from
	Table string          `json:"table"`
	Row   json.RawMessage `json:"row"` // an object with every column
}

// TransferError says which row of a document is not taken.
type TransferError struct {
	Line int
	Err  error
}

func (e *TransferError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Err) }
func (e *TransferError) Unwrap() error { return e.Err }

const asOfOneInstant = `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`

// Export returns what configures this installation and its people, as it is at
// one instant. What is sealed stays so.
func (s *Store) Export(ctx context.Context) ([]TransferRow, error) {
	var rows []TransferRow
	err := s.port.inTx(ctx, func(q querier) error {
		rows = nil
		if s.engine == enginePostgres {
			if _, err := q.exec(ctx, asOfOneInstant); err != nil {
				return err
			}
		}
		for _, t := range transferTables {
			err := q.query(ctx, func(r row) error {
				out, err := t.read(r)
				rows = append(rows, TransferRow{Table: t.name, Row: out})
				return err
			}, t.selection())
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
		return nil
	})
	return rows, err
}

func (t transferTable) read(r row) (json.RawMessage, error) {
	dests := make([]any, len(t.columns))
	for i, c := range t.columns {
		switch c.kind {
		case asText:
			dests[i] = new(string)
		case asNumber:
			dests[i] = new(int64)
		case asTruth:
			dests[i] = new(bool)
		case asInstant:
			dests[i] = new(time.Time)
		case asIdent:
			dests[i] = new(idp.ID)
		case asOctets:
			dests[i] = new([]byte)
		case asRaw:
			dests[i] = document{new(json.RawMessage)}
		}
	}
	if err := r.Scan(dests...); err != nil {
		return nil, err
	}
	values := make(map[string]any, len(dests))
	for i, c := range t.columns {
		switch v := dests[i].(type) {
		case *time.Time:
			if values[c.name] = nil; !v.IsZero() {
				values[c.name] = v.UTC()
			}
		case *idp.ID:
			if values[c.name] = nil; !v.IsZero() {
				values[c.name] = v.String()
			}
		case document:
			values[c.name] = v.value
		default:
			values[c.name] = v
		}
	}
	return json.Marshal(values)
}

var errRehearsed = errors.New("nothing is kept of a rehearsal")

// Import stores rows that Export returned elsewhere, all of them or none, with
// their events. A row that cannot be stored is a *TransferError: of
// idp.ErrConflict when there is one like it. A rehearsal keeps nothing.
func (s *Store) Import(ctx context.Context, rows []TransferRow, rehearsal bool, events ...idp.Event) error {
	type insertion struct {
		sql  string
		args []any
	}
	insertions := make([]insertion, len(rows))
	for i, r := range rows {
		t, ok := transferTableOf(r.Table)
		if !ok {
			return &TransferError{r.Line, fmt.Errorf("%q is no table that can be imported", r.Table)}
		}
		args, err := t.arguments(r.Row)
		if err != nil {
			return &TransferError{r.Line, fmt.Errorf("%s: %w", r.Table, err)}
		}
		insertions[i] = insertion{t.insertion(), args}
	}
	err := s.changeDirectory(ctx, events, func(q querier) error {
		for i, in := range insertions {
			_, err := q.exec(ctx, in.sql, in.args...)
			switch err = sentinel(err); {
			case errors.Is(err, idp.ErrConflict):
				return &TransferError{rows[i].Line, fmt.Errorf("%s: there is one like it already: %w", rows[i].Table, err)}
			case errors.Is(err, idp.ErrNotFound):
				return &TransferError{rows[i].Line, fmt.Errorf("%s: what it belongs to is not there: %w", rows[i].Table, err)}
			case errors.Is(err, idp.ErrUnavailable):
				return err
			case err != nil:
				return &TransferError{rows[i].Line, fmt.Errorf("%s: %w", rows[i].Table, err)}
			}
		}
		if rehearsal {
			return errRehearsed
		}
		return nil
	})
	if rehearsal && errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

func transferTableOf(name string) (transferTable, bool) {
	for _, t := range transferTables {
		if t.name == name {
			return t, true
		}
	}
	return transferTable{}, false
}

// arguments reads a row for the table's insertion.
func (t transferTable) arguments(in json.RawMessage) ([]any, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(in, &values); err != nil {
		return nil, errors.New("the row is no object")
	}
	args := make([]any, len(t.columns))
	for i, c := range t.columns {
		value, ok := values[c.name]
		if !ok {
			return nil, fmt.Errorf("%s is missing", c.name)
		}
		delete(values, c.name)
		var err error
		if args[i], err = c.argument(value); err != nil {
			return nil, fmt.Errorf("%s %w", c.name, err)
		}
	}
	for name := range values {
		return nil, fmt.Errorf("%q is no column", name)
	}
	return args, nil
}

func (c column) argument(value json.RawMessage) (any, error) {
	null := string(bytes.TrimSpace(value)) == "null"
	switch c.kind {
	case asText:
		return decoded[string](value, null, "must be a text")
	case asNumber:
		return decoded[int64](value, null, "must be a whole number")
	case asTruth:
		return decoded[bool](value, null, "must be true or false")
	case asInstant:
		var at time.Time
		if !null && json.Unmarshal(value, &at) != nil {
			return nil, errors.New("must be a time (RFC 3339)")
		}
		return idp.Instant(at), nil
	case asIdent:
		var written string
		if null {
			return idp.ID{}, nil
		}
		if json.Unmarshal(value, &written) != nil {
			return nil, errors.New("must be an identifier")
		}
		id, err := idp.ParseID(written)
		if err != nil {
			return nil, errors.New("must be an identifier")
		}
		return id, nil
	case asOctets:
		var body []byte
		if !null && json.Unmarshal(value, &body) != nil {
			return nil, errors.New("must be base64")
		}
		return body, nil
	}
	if null {
		return document{}, nil
	}
	return document{value}, nil
}

func decoded[T any](value json.RawMessage, null bool, reason string) (any, error) {
	var v T
	if null || json.Unmarshal(value, &v) != nil {
		return nil, errors.New(reason)
	}
	return v, nil
}
