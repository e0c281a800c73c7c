package e2e

import (
	"database/sql"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"idp/internal/mail/mailtest"
)

// mailing are the settings of an installation that sends through the server.
func mailing(t testing.TB, s *mailtest.Server) map[string]string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "mail-ca.pem")
	if err := os.WriteFile(ca, s.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"IDP_MAIL_HOST": s.Host, "IDP_MAIL_PORT": s.Port, "IDP_MAIL_TLS": "starttls", "IDP_MAIL_CA_FILE": ca,
		"IDP_MAIL_FROM": "Example accounts <accounts@example.com>",
	}
}

// letters lists the messages that were not sent.
func (i *Installation) letters(t testing.TB) []struct{ ID, To, Kind, State, Error string } {
	t.Helper()
	var out []struct{ ID, To, Kind, State, Error string }
	i.JSON(t, &out, "", "mail", "list")
	return out
}

// replayed uses a refresh token again after its successor was used.
func (n *Node) replayed(t testing.TB, b *Browser, c Client, u User) (first, live string) {
	t.Helper()
	first = b.tokens(t, c, u, "scope", "openid email offline_access").Refresh
	second := n.Refresh(t, c, first).Tokens(t).Refresh
	live = n.Refresh(t, c, second).Tokens(t).Refresh
	n.Refresh(t, c, first).WantError(t, http.StatusBadRequest, "invalid_grant")
	return first, live
}

// A replayed refresh token ends the family, and the person is told: once, at
// the address that is known to be theirs, by words that lead nowhere but here.
func TestAttack_F01_NoticeToThePerson(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{Mechanisms: "PLAIN LOGIN", Password: "relay-password-canary"})
		settings := mailing(t, server)
		settings["IDP_MAIL_USERNAME"], settings["IDP_MAIL_PASSWORD"] = "relay", "relay-password-canary"
		inst := Install(t, engine, settings)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "alice@example.com", "--email-verified", "--name", "Alice Moreau")
		bob := inst.NewUser(t, "--email", "bob@example.com")
		carol := inst.NewUser(t)
		wiki := inst.WebClient(t, "--name", "Team Wiki https://evil.example/")
		node, second := startNodes(t, inst)
		w := watching(node)
		b := w.browser(t, node)

		first, live := node.replayed(t, b, wiki, alice)
		got := server.Wait(t, "alice@example.com", 1)[0]
		if !got.TLS || got.User != "relay" || got.From != "accounts@example.com" || got.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("envelope and header: %+v", got)
		}
		host := mustURL(t, inst.Issuer).Host
		if got.Subject != "Access to your account at "+host+" was ended" || !strings.HasSuffix(got.Header.Get("Message-Id"), "@localhost>") {
			t.Errorf("%q %q", got.Subject, got.Header.Get("Message-Id"))
		}
		for _, part := range []string{got.Text, got.HTML} {
			for _, want := range []string{"Alice Moreau", "Team Wiki", "choose a new password", inst.Issuer + "/", time.Now().UTC().Format("2 January 2006")} {
				if !strings.Contains(part, want) {
					t.Errorf("%q is missing in\n%s", want, part)
				}
			}
			for _, bad := range []string{first, live, "idp_rt_", "evil.example", alice.Sub} {
				if strings.Contains(part, bad) {
					t.Errorf("%q is in\n%s", bad, part)
				}
			}
			if all, ours := strings.Count(part, "://"), strings.Count(part, inst.Issuer); all != ours || ours == 0 {
				t.Errorf("%d of %d addresses are the issuer's in\n%s", ours, all, part)
			}
		}

		// Whoever tries the dead family again, and on whichever node, causes no
		// further message; the next family has its own.
		for _, a := range parallel(t, 20, []*Node{node, second}, func(n *Node) (*Answer, error) {
			return n.TryPost("/oauth2/token", wiki, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first}})
		}) {
			a.WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		for _, u := range []User{bob, carol} {
			node.replayed(t, w.browser(t, node), wiki, u)
		}
		second.replayed(t, b, wiki, alice)
		server.Wait(t, "alice@example.com", 2)
		eventually(t, "two messages in the audit", []*Node{node}, func(*Node) bool {
			sent := events(t, node, "mail.sent", "user_id", alice.Sub)
			if second != node {
				sent += events(t, second, "mail.sent", "user_id", alice.Sub)
			}
			return sent == 2
		})
		if left := inst.letters(t); len(left) > 0 {
			t.Errorf("not sent: %+v", left)
		}
		if all := server.Taken(); len(all) != 2 {
			t.Errorf("%d messages, want 2", len(all))
		}
		for _, n := range []*Node{node, second} {
			for _, secret := range []string{"relay-password-canary", base64.StdEncoding.EncodeToString([]byte("\x00relay\x00relay-password-canary")), "Team Wiki could use"} {
				if strings.Contains(n.Logs(), secret) {
					t.Errorf("%q is in the log", secret)
				}
			}
		}
	})
}

// Without a mail server messages wait, sealed, for the operator; nothing of
// them is in log or database.
func TestMailWithoutAServer(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		const address = "letter-canary@example.com"
		alice := inst.NewUser(t, "--email", address, "--email-verified")
		wiki := inst.WebClient(t, "--name", "Team Wiki")
		node := inst.Start(t)
		if !strings.Contains(node.Logs(), "no mail server is configured") {
			t.Error("a start without a mail server says nothing of it")
		}
		node.replayed(t, node.NewBrowser(t), wiki, alice)
		left := inst.letters(t)
		if len(left) != 1 || left[0].To != address || left[0].Kind != "token_replayed" || left[0].State != "waiting" {
			t.Fatalf("%+v", left)
		}
		text := inst.CLI(t, "", "mail", "show", left[0].ID)
		if !strings.Contains(text, "Team Wiki could use your account") || !strings.Contains(text, address) {
			t.Error(text)
		}
		if strings.Contains(node.Logs(), "could use your account") || strings.Contains(node.Logs(), address) {
			t.Error("the message is in the log")
		}
		for _, args := range [][]string{{"mail", "show", "x"}, {"mail", "show", strings.Repeat("A", 22)}, {"mail", "test", address}} {
			if stdout, _, code := inst.Try(t, "", args...); code == 0 {
				t.Errorf("%q: %s", args, stdout)
			}
		}
		if engine == "sqlite" {
			db, err := sql.Open("sqlite", filepath.Join(inst.DataDir, "idp.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var row string
			if err := db.QueryRow("SELECT kind || user_id || failure || CAST(sealed AS TEXT) FROM mails").Scan(&row); err != nil {
				t.Fatal(err)
			}
			var shown int
			if err := db.QueryRow("SELECT count(*) FROM audit_events WHERE kind = 'mail.shown' AND user_id = ?", alice.Sub).Scan(&shown); err != nil || shown != 1 {
				t.Errorf("%d events of somebody reading it, %v", shown, err)
			}
			for _, secret := range []string{address, "Team Wiki"} {
				if strings.Contains(row, secret) {
					t.Errorf("the row holds %q", secret)
				}
			}
		}

		// Whoever wants them in the log says so, and has what waited as well.
		node.Stop(t)
		node = inst.Launch(t, map[string]string{"IDP_MAIL_PRINT_TO_LOG": "true"})
		node.WaitReady(t)
		eventually(t, "printed", []*Node{node}, func(*Node) bool { return inst.letters(t)[0].State == "printed" })
		if !strings.Contains(node.Logs(), "mail | To: "+address) || !strings.Contains(node.Logs(), "mail | Team Wiki could use your account") {
			t.Error("the message is not in the log")
		}
	})
}

// A mail server that hangs keeps nobody waiting, and a test message tells what
// is wrong.
func TestMailServerInTrouble(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Behaviour{Hangs: true})
	settings := mailing(t, server)
	settings["IDP_MAIL_USERNAME"], settings["IDP_MAIL_PASSWORD"] = "relay", "relay-password-canary"
	inst := Install(t, "sqlite", settings)
	alice := inst.NewUser(t, "--email", "alice@example.com", "--email-verified")
	wiki := inst.WebClient(t)
	node := inst.Start(t)
	b := node.NewBrowser(t)
	for range 3 {
		node.replayed(t, b, wiki, alice)
	}
	eventually(t, "an attempt", []*Node{node}, func(*Node) bool { return server.Sessions() > 0 })
	node.replayed(t, b, wiki, alice) // while the attempt hangs
	if left := inst.letters(t); len(left) != 4 || len(server.Taken()) != 0 {
		t.Errorf("%+v", left)
	}
	node.Stop(t) // waits for no server

	server.Behave(mailtest.Behaviour{Mechanisms: "PLAIN", Password: "another"})
	stdout, stderr, code := inst.Try(t, "", "mail", "test", "operator@example.com")
	if code != 69 || !strings.Contains(stdout, "535 5.7.8 wrong credentials") || !strings.Contains(stderr, "535") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	secret := base64.StdEncoding.EncodeToString([]byte("\x00relay\x00relay-password-canary"))
	if out := stdout + stderr; strings.Contains(out, secret) || strings.Contains(out, "relay-password-canary") {
		t.Errorf("the password is shown:\n%s", out)
	}
	server.Behave(mailtest.Behaviour{Mechanisms: "PLAIN", Password: "relay-password-canary", Replies: map[string]string{"RCPT": "550 no such user"}})
	if stdout, stderr, code := inst.Try(t, "", "mail", "test", "operator@example.com"); code != 1 || !strings.Contains(stderr, "550 no such user") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	server.Behave(mailtest.Behaviour{Mechanisms: "PLAIN", Password: "relay-password-canary"})
	out := inst.CLI(t, "", "mail", "test", "operator@example.com")
	if !strings.Contains(out, "The server took the message to operator@example.com.") || strings.Contains(out, secret) {
		t.Error(out)
	}
	got := server.To("operator@example.com")
	if len(got) != 1 || got[0].User != "relay" || !strings.HasPrefix(got[0].Subject, "Mail from localhost") {
		t.Errorf("%+v", got)
	}
	french := *inst
	french.env = maps.Clone(inst.env)
	french.env["IDP_PAGES_DEFAULT_LANGUAGE"] = "fr"
	french.CLI(t, "", "mail", "test", "admin@example.com")
	if got := server.To("admin@example.com"); len(got) != 1 || !strings.HasPrefix(got[0].Subject, "Les messages de localhost") {
		t.Errorf("%+v", got)
	}
	for _, address := range []string{"operator", "a@b.example\r\nBcc: c@d.example", "Operator <operator@example.com>"} {
		if _, _, code := inst.Try(t, "", "mail", "test", address); code != 2 {
			t.Errorf("%q: exit %d", address, code)
		}
	}
	// Nothing that is wrong with the section stays unseen.
	for name, value := range map[string]string{
		"IDP_MAIL_TLS": "none", "IDP_MAIL_FROM": "nobody", "IDP_MAIL_HOST": "smtp://example.com", "IDP_MAIL_PORT": "70000",
		"IDP_MAIL_PASSWORD_FILE": "/nowhere", "IDP_MAIL_CA_FILE": "/nowhere", "IDP_MAIL_PRINT_TO_LOG": "true", "IDP_MAIL_REPLY_TO": "a\nb", "IDP_MAIL_USERNAME": "",
	} {
		broken := *inst
		broken.env = maps.Clone(inst.env)
		broken.env[name] = value
		_, stderr, code := broken.Try(t, "", "config", "check")
		if code != 78 || !slices.ContainsFunc(strings.Split(stderr, "\n"), func(line string) bool { return strings.Contains(line, "mail.") }) || strings.Contains(stderr, "relay-password-canary") {
			t.Errorf("%s=%q: exit %d %s", name, value, code, stderr)
		}
	}
}
