package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
)

// auditReport is what idp audit verify finds.
type auditReport struct {
	OK                           bool
	Rows, Leaves, Unsealed, Late int64
	Root                         string
	Faults                       []string
}

// wantSealedOnce seals what is left and checks that each event has its one leaf.
func (i *Installation) wantSealedOnce(t *testing.T) {
	t.Helper()
	i.CLI(t, "", "audit", "seal")
	var r auditReport
	i.JSON(t, &r, "", "audit", "verify")
	var rows int64
	if err := i.openDatabase(t).QueryRow(`SELECT count(*) FROM audit_events`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.Rows != rows || r.Leaves != rows || r.Unsealed != 0 {
		t.Errorf("%d events, and the log: %+v", rows, r)
	}
}

// auditLiteral writes an event's id as the engine stores it.
func auditLiteral(t *testing.T, engine, id string) string {
	t.Helper()
	if engine == "postgres" {
		return "'" + id + "'"
	}
	return "x'" + strings.ReplaceAll(id, "-", "") + "'"
}

// P10: what commands print of the audit cannot steer a terminal, and whatever is
// changed in the database behind the server's back is named, with what is kept
// outside even the end that was cut off.
func TestAttack_P10_AuditIsProven(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t)
		node := inst.Start(t)
		for deadline := time.Now().Add(20 * time.Second); ; { // the server seals by itself
			if _, stderr, code := inst.Try(t, "", "audit", "checkpoint"); code == 0 {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(stderr)
			}
		}
		tokens := node.SignIn(t, web, alice)
		for range 3 {
			tokens = node.Refresh(t, web, tokens.Refresh).Tokens(t)
		}
		b := node.NewBrowser(t)
		b.Login(t, b.Get(t, "/login"), alice.Username, "a wrong password")
		inst.wantSealedOnce(t)

		// The log is one that others can check: the key, the note, and the leaves
		// are the lines of an export.
		key := strings.TrimSpace(inst.CLI(t, "", "audit", "key"))
		checkpoint := inst.CLI(t, "", "audit", "checkpoint")
		verifier, err := note.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := note.Open([]byte(checkpoint), note.VerifierList(verifier))
		if err != nil {
			t.Fatal(err)
		}
		export := inst.CLI(t, "", "audit", "export")
		head := strings.Split(opened.Text, "\n")
		if want := strings.TrimPrefix(inst.Issuer, "http://") + "/audit"; head[0] != want || head[1] != fmt.Sprint(strings.Count(export, "\n")) {
			t.Errorf("the checkpoint says %q, the export has %d lines", head, strings.Count(export, "\n"))
		}
		kept := filepath.Join(t.TempDir(), "kept")
		if err := os.WriteFile(kept, []byte(checkpoint), 0o600); err != nil {
			t.Fatal(err)
		}
		wantLeaves(t, inst, export)
		if out := inst.CLI(t, "", "audit", "verify", "--checkpoint", kept); !strings.Contains(out, head[2]) {
			t.Errorf("no root in\n%s", out)
		}
		// It takes a copy of the database, and no master key.
		stranger := inst.with("IDP_MASTER_KEY", "", "IDP_DATA_DIR", t.TempDir())
		stranger.CLI(t, "", "audit", "verify", "--checkpoint", kept, "--key", key)
		another := strings.Replace(key, "/audit+", "/other+", 1)
		if _, stderr, code := stranger.Try(t, "", "audit", "verify", "--key", another); code != 2 {
			t.Errorf("with another key: exit %d, %s", code, stderr)
		}

		// What others write into the database does not steer the terminal.
		newest := inst.events(t, "audit", "list", "--limit", "1")[0]
		evil := "\x1b[2J\r\nforged \x07\u009b31m\u202e"
		random := newest.ID[:len(newest.ID)-12] + "ffffffffffff"
		inst.execute(t, `INSERT INTO audit_events SELECT `+auditLiteral(t, engine, random)+`, occurred_on, occurred_at, kind, '`+evil+`', '`+evil+`', session_id, grant_id, request_id, '`+evil+
			`', '{"reason":"\u001b[2J\r\n\u009b"}' FROM audit_events WHERE event_id = `+auditLiteral(t, engine, newest.ID))
		for _, args := range [][]string{
			{"list"},
			{"list", "-o", "json"},
			{"list", "-o", "yaml"},
			{"tail"},
			{"tail", "-o", "json"},
			{"tail", "-o", "yaml"},
			{"export"},
		} {
			out := inst.CLI(t, "", append([]string{"audit"}, args...)...)
			if !strings.Contains(out, "forged") {
				t.Errorf("audit %v does not show the event", args)
			}
			if strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Errorf("audit %v prints what steers a terminal: %q", args, out)
			}
		}
		inst.execute(t, `DELETE FROM audit_events WHERE event_id = `+auditLiteral(t, engine, random))
		inst.CLI(t, "", "audit", "verify")

		// Behind the server's back.
		failed := inst.events(t, "audit", "list", "--kind", "login.*", "--result", "refused", "--user", alice.Username)
		if len(failed) != 1 || failed[0].Kind != "login.failed" {
			t.Fatalf("the failed sign-in: %+v", failed)
		}
		id := auditLiteral(t, engine, failed[0].ID)
		inst.execute(t, `UPDATE audit_events SET kind = 'login.succeeded' WHERE event_id = `+id)
		wantAuditFault(t, inst, "row "+failed[0].ID+" of ", " was changed")
		inst.execute(t, `UPDATE audit_events SET kind = 'login.failed' WHERE event_id = `+id)
		inst.CLI(t, "", "audit", "verify")
		// What may have been let go when less had to be kept is no fault, if one says so.
		oldest := inst.events(t, "audit", "list", "--kind", "key.created")
		inst.execute(t, `DELETE FROM audit_events WHERE event_id = `+auditLiteral(t, engine, oldest[len(oldest)-1].ID))
		wantAuditFault(t, inst, "row "+oldest[len(oldest)-1].ID+" of ", " was removed")
		if out := inst.CLI(t, "", "audit", "verify", "--kept-since", "0s"); !strings.Contains(out, "1, older than they have to be kept") {
			t.Errorf("of a row that was let go: %s", out)
		}
		wantAuditFault(t, inst, "row "+oldest[len(oldest)-1].ID+" of ", " was removed", "--kept-since", "1d")
		inst.execute(t, `UPDATE audit_seals SET checkpoint = 'x' || checkpoint WHERE first_leaf = 0`)
		wantAuditFault(t, inst, "the checkpoint of ", " leaves is forged")
		inst.execute(t, `UPDATE audit_seals SET checkpoint = substr(checkpoint, 2) WHERE first_leaf = 0`)
		inst.execute(t, `DELETE FROM audit_seals WHERE first_leaf = (SELECT max(first_leaf) FROM audit_seals)`)
		inst.execute(t, `DELETE FROM audit_events WHERE event_id >= `+id)
		wantAuditFault(t, inst, "the log ends after ", "its end was cut off", "--checkpoint", kept, "--kept-since", "0s")
	})
}

type auditEvent struct {
	ID   string `json:"event_id"`
	Kind string `json:"kind"`
}

func (i *Installation) events(t *testing.T, args ...string) []auditEvent {
	t.Helper()
	var out []auditEvent
	i.JSON(t, &out, "", args...)
	return out
}

// wantLeaves checks that each line of an export is what a leaf is the hash of.
func wantLeaves(t *testing.T, inst *Installation, export string) {
	t.Helper()
	rows, err := inst.openDatabase(t).Query(`SELECT leaves FROM audit_seals ORDER BY first_leaf`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	leaves := map[string]string{}
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		for ; len(raw) >= 48; raw = raw[48:] {
			leaves[hex.EncodeToString(raw[:16])] = base64.StdEncoding.EncodeToString(raw[16:48])
		}
	}
	for line := range strings.Lines(export) {
		line = strings.TrimSuffix(line, "\n")
		var e auditEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256([]byte("\x00" + line))
		if leaves[strings.ReplaceAll(e.ID, "-", "")] != base64.StdEncoding.EncodeToString(hash[:]) {
			t.Errorf("the leaf of %s is not the hash of its line", e.ID)
		}
	}
}

func wantAuditFault(t *testing.T, inst *Installation, begin, end string, args ...string) {
	t.Helper()
	_, stderr, code := inst.Try(t, "", append([]string{"audit", "verify"}, args...)...)
	if first, _, _ := strings.Cut(stderr, "\n"); code != 1 || !strings.HasPrefix(first, "idp: "+begin) || !strings.Contains(first, end) {
		t.Errorf("exit %d, %s, want %s…%s", code, stderr, begin, end)
	}
}

// P09: no secret is in what is exported, which is for its owner alone, and an
// export goes on where the last one ended.
func TestAttack_P09_AuditExport(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t)
		node := inst.Start(t)
		p := NewPKCE()
		code := node.Code(t, web, alice, p)
		tokens := node.Exchange(t, web, code, p).Tokens(t)
		node.Exchange(t, web, code, p)
		node.Post(t, "/oauth2/token", Client{ID: web.ID, Secret: "guess-" + web.Secret}, url.Values{"grant_type": {"client_credentials"}})

		path := filepath.Join(t.TempDir(), "export.ndjson")
		_, said, exit := inst.Try(t, "", "audit", "export", "--out", path)
		if exit != 0 {
			t.Fatal(said)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the export's mode: %v %v", info.Mode(), err)
		}
		wantExit(t, inst, 1, "an export is never overwritten", "audit", "export", "--out", path)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{alice.Password, web.Secret, code, p.Verifier, tokens.Access, tokens.Refresh, tokens.ID} {
			if strings.Contains(string(raw), secret) {
				t.Errorf("the export holds %.8s…", secret)
			}
		}
		lines := strings.SplitAfter(strings.TrimSuffix(string(raw), "\n"), "\n")
		var third auditEvent
		if err := json.Unmarshal([]byte(lines[2]), &third); err != nil {
			t.Fatal(err)
		}
		if rest := inst.CLI(t, "", "audit", "export", "--after", third.ID); !strings.HasPrefix(rest, strings.Join(lines[3:], "")) {
			t.Errorf("behind the third event:\n%s\nwant\n%s", rest, strings.Join(lines[3:], ""))
		}
		var last auditEvent
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d events, the last is %s: go on behind it with --after\n", len(lines), last.ID); said != want {
			t.Errorf("said %q, want %q", said, want)
		}
	})
}

// audit tail --follow shows each event once, soon, whenever its row comes.
func TestAuditTailFollows(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		lines := inst.follow(t, "audit", "tail", "-f", "-n", "1", "-o", "json", "--kind", "user.*")
		if e := nextEvent(t, lines); e.Kind != "user.created" { // it is at it now
			t.Errorf("the last event: %+v", e)
		}
		inst.CLI(t, "", "user", "disable", alice.Username)
		first := nextEvent(t, lines)
		if first.Kind != "user.disabled" {
			t.Errorf("the first event: %+v", first)
		}
		// One that was named before, and is stored now.
		earlier := fmt.Sprintf("%012x", time.Now().Add(-10*time.Second).UnixMilli())
		late := earlier[:8] + "-" + earlier[8:] + first.ID[13:]
		inst.execute(t, `INSERT INTO audit_events SELECT `+auditLiteral(t, engine, late)+`, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail FROM audit_events WHERE event_id = `+
			auditLiteral(t, engine, first.ID))
		if e := nextEvent(t, lines); e.ID != late {
			t.Errorf("then %+v, want %s", e, late)
		}
		inst.CLI(t, "", "user", "enable", alice.Username)
		if e := nextEvent(t, lines); e.Kind != "user.enabled" {
			t.Errorf("then %+v", e)
		}
	})
}

// follow runs a command until the test ends, and gives its lines.
func (i *Installation) follow(t *testing.T, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := i.command(t, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	patience := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		patience.Stop()
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("interrupted: %v", err)
		}
	})
	return bufio.NewScanner(out)
}

func nextEvent(t *testing.T, lines *bufio.Scanner) auditEvent {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("it ended: %v", lines.Err())
	}
	var e auditEvent
	if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
		t.Fatalf("%s: %v", lines.Text(), err)
	}
	return e
}
