package e2e

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// tablesWith names the tables that hold a text anywhere.
func (i *Installation) tablesWith(t testing.TB, text string) []string {
	t.Helper()
	db := i.openDatabase(t)
	list := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if i.Engine == "postgres" {
		list = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND NOT relispartition"
	}
	var tables, found []string
	each(t, db, list, func(values []any) { tables = append(tables, fmt.Sprint(values[0])) })
	for _, table := range tables {
		holds := false
		each(t, db, "SELECT * FROM "+table, func(values []any) {
			for _, v := range values {
				if raw, ok := v.([]byte); ok {
					v = string(raw)
				}
				holds = holds || strings.Contains(strings.ToLower(fmt.Sprint(v)), strings.ToLower(text))
			}
		})
		if holds {
			found = append(found, table)
		}
	}
	return found
}

func each(t testing.TB, db *sql.DB, query string, do func(values []any)) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, dests := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dests[i] = &values[i]
		}
		if err := rows.Scan(dests...); err != nil {
			t.Fatal(err)
		}
		do(values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// A person ends their account: everything ends at once, they may come back and
// keep it, and when the time has come nothing of them is left but the subject
// in the audit.
func TestDeletion_Self(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_ACCOUNTS_DELETION": "self", "IDP_ACCOUNTS_DELETION_AFTER": "30d", "IDP_MAIL_PRINT_TO_LOG": "false"})
		inst.CLI(t, "", "migrate", "up")
		const name, address = "Zebedee Quux", "zebedee.quux@example.com"
		zeb := inst.NewUser(t, "--name", name, "--email", address, "--email-verified")
		app := inst.WebClient(t)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		tokens := b.tokens(t, app, zeb, "scope", "openid profile email offline_access")

		// Not after a while, not by another name, not from elsewhere.
		inst.staleSignIns(t, zeb)
		if page := b.Get(t, "/account/data"); page.HasID("delete-form") || !page.HasID("confirm-form") {
			t.Errorf("deletion without a fresh sign-in:\n%s", page.Body)
		}
		b = node.NewBrowser(t)
		page := b.Login(t, b.Get(t, "/account/data"), zeb.Username, zeb.Password)
		form := page.Form(t, "delete-form")
		form.Fields.Set("action", "delete")
		if wrong := b.Submit(t, page, form, url.Values{"username": {"somebody"}}); wrong.Status != http.StatusUnprocessableEntity || !wrong.HasID("username-problem") {
			t.Errorf("another name: status %d", wrong.Status)
		}
		if wrong := b.Submit(t, page, form, url.Values{"username": {zeb.Username}, "flow": {"x"}}); wrong.Status != http.StatusForbidden {
			t.Errorf("a forged form: status %d", wrong.Status)
		}

		// Everything ends.
		left := b.Submit(t, page, form, url.Values{"username": {strings.ToUpper(zeb.Username)}})
		if left.Status != http.StatusOK || !left.HasID("notice") {
			t.Fatalf("deletion: status %d\n%s", left.Status, left.Body)
		}
		b.Get(t, "/account").wantLogin(t)
		if node.Active(t, app, tokens.Access) || node.Active(t, app, tokens.Refresh) {
			t.Error("tokens live on")
		}
		var asked []struct {
			Sub string    `json:"sub"`
			Due time.Time `json:"deletion_due_at"`
		}
		inst.JSON(t, &asked, "", "user", "list", "--deletion-requested")
		if len(asked) != 1 || asked[0].Sub != zeb.Sub || time.Until(asked[0].Due) < 29*24*time.Hour {
			t.Errorf("who asked: %v", asked)
		}
		told := false
		for _, letter := range inst.letters(t) {
			told = told || letter.Kind == "deletion_requested" && letter.To == address
		}
		if !told {
			t.Errorf("no letter: %v", inst.letters(t))
		}

		// Signing in for an application offers to keep it first.
		p := NewPKCE()
		page = b.Login(t, b.Get(t, "/oauth2/auth?"+app.Request(p, "scope", "openid").Encode()), zeb.Username, zeb.Password)
		if page.URL.Path != "/account/data" || !page.HasID("keep-form") || !page.HasID("next") {
			t.Fatalf("after the sign-in: %s\n%s", page.URL, page.Body)
		}
		form = page.Form(t, "keep-form")
		form.Fields.Set("action", "keep")
		if back := b.Submit(t, page, form, nil); !strings.Contains(back.Header.Get("Location"), "code=") {
			t.Errorf("kept, and then: status %d at %s", back.Status, back.URL)
		}
		asked = nil
		inst.JSON(t, &asked, "", "user", "list", "--deletion-requested")
		if len(asked) != 0 {
			t.Errorf("who asked after keeping: %v", asked)
		}

		// Once more, and the time comes.
		page = b.Get(t, "/account/data")
		form = page.Form(t, "delete-form")
		form.Fields.Set("action", "delete")
		b.Submit(t, page, form, url.Values{"username": {zeb.Username}})
		for _, text := range []string{name, address} {
			if tables := inst.tablesWith(t, text); len(tables) == 0 {
				t.Fatalf("%q is nowhere: the search finds nothing", text)
			}
		}
		node.Stop(t)
		past := "1000000"
		if engine == "postgres" {
			past = "timestamptz '2001-01-01'"
		}
		inst.execute(t, "UPDATE users SET deletion_due_at = "+past+" WHERE user_id = '"+zeb.Sub+"'", "DELETE FROM leases WHERE lease_name = 'maintenance'")
		node = inst.Start(t)
		eventually(t, "the account to be gone", []*Node{node}, func(*Node) bool {
			_, _, code := inst.Try(t, "", "user", "get", zeb.Sub)
			return code != 0
		})
		for _, text := range []string{name, "Zebedee", address, zeb.Username} {
			if tables := inst.tablesWith(t, text); len(tables) != 0 {
				t.Errorf("%q is still in %v", text, tables)
			}
		}
		if tables := inst.tablesWith(t, zeb.Sub); !slices.Contains(tables, "audit_events") {
			t.Errorf("the audit does not know %s: %v", zeb.Sub, tables)
		}
		if events := node.audited(t, "user.deleted", ""); len(events) == 0 && !strings.Contains(node.Logs(), `"user.deleted"`) {
			t.Error("nobody recorded the deletion")
		}
	})
}

// A person asks, an operator sees it and deletes; where it is off, nobody asks.
func TestDeletion_Request(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_ACCOUNTS_DELETION": "request"})
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--name", "Zebedee Quux", "--email", "zebedee.quux@example.com")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		page := b.Login(t, b.Get(t, "/account/data"), alice.Username, alice.Password)
		form := page.Form(t, "delete-form")
		form.Fields.Set("action", "delete")
		wantAccount(t, b.Submit(t, page, form, url.Values{"username": {alice.Username}}), "deletion")
		wantAccount(t, b.Submit(t, page, form, url.Values{"username": {alice.Username}}), "")
		page = b.Get(t, "/account/data")
		if page.HasID("delete-form") || !page.HasID("keep-form") {
			t.Errorf("after the wish:\n%s", page.Body)
		}
		form = page.Form(t, "keep-form")
		form.Fields.Set("action", "keep")
		wantAccount(t, b.Submit(t, page, form, nil), "kept")
		page = b.Get(t, "/account/data")
		form = page.Form(t, "delete-form")
		form.Fields.Set("action", "delete")
		wantAccount(t, b.Submit(t, page, form, url.Values{"username": {alice.Username}}), "deletion")
		if list := inst.CLI(t, "", "user", "list", "--deletion-requested", "-q"); strings.TrimSpace(list) != alice.Sub {
			t.Errorf("who asked: %q", list)
		}
		inst.CLI(t, "", "user", "delete", alice.Username)
		for _, text := range []string{"Quux", alice.Username} {
			if tables := inst.tablesWith(t, text); len(tables) != 0 {
				t.Errorf("%q is still in %v", text, tables)
			}
		}
	})
}
