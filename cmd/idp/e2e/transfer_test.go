package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// move is an installation with people and clients, and an empty one of the other
// engine.
type move struct {
	from, to *Installation
	web, jwt Client
	alice    User
	phone    *app
	file     string
}

func newMove(t *testing.T, engine string) *move {
	t.Helper()
	other := map[string]string{"sqlite": "postgres", "postgres": "sqlite"}[engine]
	m := &move{from: Install(t, engine, nil), to: Install(t, other, nil), file: filepath.Join(t.TempDir(), "idp.ndjson")}
	m.from.CLI(t, "", "migrate", "up")
	m.to.CLI(t, "", "migrate", "up")
	m.alice = m.from.NewUser(t, "--email", "alice@example.com", "--email-verified", "--name", "Alice <&> Example")
	m.from.CLI(t, "", "group", "create", "staff")
	m.from.CLI(t, "", "group", "add-member", "staff", m.alice.Username)
	m.from.CLI(t, "", "policy", "create", "everybody", "--max-age", "12h")
	api := m.from.NewResource(t, []string{"orders:read"})
	m.web = m.from.WebClient(t, "--audience", api, "--scope", "openid profile email offline_access orders:read", "--allowed-group", "staff")
	m.jwt = m.from.NewClient(t, "--grant-type", "client_credentials", "--token-endpoint-auth-method", "client_secret_jwt")
	node := m.from.Start(t)
	node.SignIn(t, m.web, m.alice) // a consent
	b := node.NewBrowser(t)
	page := b.Get(t, "/setup/authenticator")
	m.phone, _, _ = b.setUpAuthenticator(t, b.Login(t, page, m.alice.Username, m.alice.Password))
	node.Stop(t)
	m.from.CLI(t, "", "export", m.file)
	return m
}

// lines are an installation's rows, sorted.
func (i *Installation) lines(t testing.TB) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(i.CLI(t, "", "export", "-")), "\n")[1:]
	for n, line := range lines {
		var value any // jsonb has an order of its own
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Fatal(err)
		}
		plain, _ := json.Marshal(value)
		lines[n] = string(plain)
	}
	slices.Sort(lines)
	return lines
}

// TestAttack_P14_ExportAndImport moves from one engine to the other: identifiers,
// hashes and what is sealed are the same there, and people sign in as before. It
// is a way round nothing: each object is held to the rules of those that are
// made here and leaves its audit row, and what is wrong with one leaves all of
// them out.
func TestAttack_P14_ExportAndImport(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		m := newMove(t, engine)
		m.refused(t)
		m.taken(t)
	})
}

// refused imports what is wrong in one place each.
func (m *move) refused(t *testing.T) {
	raw, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	at := func(table, part string) int {
		t.Helper()
		n := slices.IndexFunc(lines, func(line string) bool {
			return strings.Contains(line, `"table":"`+table+`"`) && strings.Contains(line, part)
		})
		if n < 0 {
			t.Fatalf("no row of %s with %s", table, part)
		}
		return n
	}
	changed := func(n int, was, is string) []string {
		t.Helper()
		out := slices.Clone(lines)
		if out[n] = strings.Replace(lines[n], was, is, 1); out[n] == lines[n] {
			t.Fatalf("line %d has no %s: %s", n+1, was, lines[n])
		}
		return out
	}
	web, user, secret := at("clients", m.web.ID), at("users", m.alice.Sub), at("authenticators", "")
	hash := at("client_secrets", m.jwt.ID)
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"nothing":            {nil, "it is empty"},
		"another format":     {changed(0, `"idp_export":1`, `"idp_export":2`), "line 1: the document is of version 2"},
		"another master key": {changed(0, `"master_key_check":"`, `"master_key_check":"AAAA`), "line 1: it was made under another master key"},
		"cut off":            {lines[:len(lines)-1], "it is not whole"},
		"a wild redirection": {changed(web, "https://app.example/cb", "http://app.example/*"), "redirect_uris"},
		"an unknown scope":   {changed(web, "orders:read", "orders:all"), "scope"},
		"an admin scope":     {changed(at("resources", ""), "orders:read", "idp.admin"), "scopes"},
		"a subject twice":    {changed(user, `"user_id":"`+m.alice.Sub, `"user_id":"`+m.web.ID), ""},
		"another name's key": {changed(user, `"username_key":"`, `"username_key":"x`), "username_key"},
		"an endless hash":    {changed(user, "m=19456", "m=99999999"), "password_hash"},
		"a column too many":  {changed(at("groups", ""), `"row":{`, `"row":{"is_admin":true,`), `"is_admin" is no column`},
		"a column too few":   {changed(at("groups", ""), `"description":"",`, ``), "description is missing"},
		"another table":      {changed(at("group_members", ""), `"table":"group_members"`, `"table":"signing_keys"`), `"signing_keys" is no table`},
		"a setting":          {changed(at("settings", ""), `"sign_in_policy"`, `"master_key_check"`), "no setting that can be imported"},
		"somebody else's":    {changed(secret, m.alice.Sub, "somebody"), "malformed"},
		"a foreign secret":   {changed(hash, `"secret_sealed":"`, `"secret_sealed":"AAAA`), "malformed"},
		"a loose membership": {changed(at("group_members", ""), m.alice.Sub, "nobody"), "what it belongs to is not there"},
		"the same once more": {slices.Insert(changed(0, `"rows":`, `"rows":1`), web+1, lines[web]), ""},
	} {
		_, stderr, code := m.to.Try(t, strings.Join(c.lines, "\n"), "import", "-")
		if code != 1 || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
		for n := range c.lines {
			if name != "cut off" && n < len(lines) && c.lines[n] != lines[n] && !strings.Contains(stderr, "line ") {
				t.Errorf("%s: the line is not named: %s", name, stderr)
			}
		}
	}
	if left := m.to.lines(t); len(left) != 0 {
		t.Fatalf("something was taken in:\n%s", strings.Join(left, "\n"))
	}
}

// taken imports the document as it is.
func (m *move) taken(t *testing.T) {
	if info, err := os.Stat(m.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	raw, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{m.web.Secret, m.jwt.Secret, m.alice.Password, m.phone.secret, MasterKey} {
		if strings.Contains(string(raw), secret) {
			t.Error("a secret is in the document in the clear")
		}
	}
	if _, stderr, code := m.from.Try(t, "", "export", m.file); code != 1 || !strings.Contains(stderr, "nothing is overwritten") {
		t.Errorf("over a file: exit %d, %s", code, stderr)
	}

	if out := m.to.CLI(t, "", "import", "--dry-run", m.file); !strings.Contains(out, "Nothing was changed") || len(m.to.lines(t)) != 0 {
		t.Errorf("a rehearsal: %s", out)
	}
	out := m.to.CLI(t, "", "import", m.file)
	if !strings.Contains(out, "1 users") || !strings.Contains(out, "2 clients") {
		t.Errorf("the report: %s", out)
	}
	if got, want := m.to.lines(t), m.from.lines(t); !slices.Equal(got, want) {
		t.Errorf("here\n%s\nthere\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}

	if _, stderr, code := m.to.Try(t, "", "import", m.file); code != 1 || !strings.Contains(stderr, "line ") {
		t.Errorf("twice: exit %d, %s", code, stderr)
	}

	var audit []struct {
		Kind string `json:"kind"`
	}
	out = m.to.CLI(t, "", "audit", "list", "-o", "json", "--limit", "500")
	if err := json.Unmarshal([]byte(out), &audit); err != nil {
		t.Fatal(err, out)
	}
	count := map[string]int{}
	for _, e := range audit {
		count[e.Kind]++
	}
	for kind, want := range map[string]int{
		"client.created": 2, "user.created": 1, "group.changed": 1, "resource.changed": 1, "consent.granted": 1, "setting.changed": 1,
		"database.imported": 1,
	} {
		if count[kind] != want {
			t.Errorf("%d events %s, want %d\n%s", count[kind], kind, want, out)
		}
	}
	node := m.to.Start(t)
	b := node.NewBrowser(t)
	p := NewPKCE()
	request := m.web.Request(p)
	page := b.Get(t, "/oauth2/auth?"+request.Encode())
	page = b.Login(t, page, m.alice.Username, m.alice.Password)
	wantSecondFactor(t, page, http.StatusOK)
	page = b.prove(t, page, m.phone.code(t))
	code := page.wantCode(t, node, request) // and not asked for consent again
	claims := node.Verify(t, node.Exchange(t, m.web, code, p).Tokens(t).ID, "JWT", "RS256")
	if claims["sub"] != m.alice.Sub {
		t.Errorf("sub %v, want %s", claims["sub"], m.alice.Sub)
	}
}
