package e2e

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// injections are texts that mean something to somebody behind the server: SQL
// of both engines, templates, shells, logs, headers.
var injections = []string{
	`'`, `"`, `' OR '1'='1`, `'; DROP TABLE users; --`, `'); DELETE FROM grants; --`, `" OR ""="`, `\'; SELECT pg_sleep(5); --`,
	`1; ATTACH DATABASE '/tmp/x' AS x; --`, `' UNION SELECT password_hash FROM users --`, `$1`, `$1$2`, `?`, `:name`, `%s%s%n`, `%00`, "a\x00b",
	`' || (SELECT version()) || '`, `E'\\x27'`, `$$;SELECT 1;$$`, `/**/OR/**/1=1`, `admin'--`, "a\nb", "a\r\nSet-Cookie: x=y", "\x1b[31m", "\xff\xfe", "\xc0\xa7 OR 1=1",
	`{{.}}`, `{{printf "%s" .}}`, `${7*7}`, `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `../../../../etc/passwd`, "`id`", `$(id)`, `|id`,
	`{"$ne":null}`, `[]`, `null`, "\u202egnp.exe", "\u0000", "ʼ OR 1=1", "＇ OR 1=1", strings.Repeat("'", 200), strings.Repeat("A", 5000), "-1", "1e309", "NaN",
}

// traces of a database in an answer.
var sqlTraces = []string{"SQLSTATE", "syntax error", "sqlite", "SQLite", "jackc/pgx", "pgconn", "SELECT ", "INSERT ", "UPDATE ", "near \"", "constraint", "goroutine", "runtime error", ".go:", "no such table", "invalid byte sequence"}

// wantNoTrace checks that an answer is deliberate and says nothing of what is
// behind it but what was sent.
func wantNoTrace(t *testing.T, what, sent string, a *Answer) {
	t.Helper()
	if a.Status >= 500 {
		t.Errorf("%s %q: %d %s", what, sent, a.Status, a.Body)
	}
	text := a.Body + a.Header.Get("Location") + a.Header.Get("WWW-Authenticate")
	for _, trace := range sqlTraces {
		if strings.Contains(text, trace) && !strings.Contains(sent, trace) {
			t.Errorf("%s %q: the answer tells of %q: %s", what, sent, trace, text)
		}
	}
	if a.Header == nil {
		return // a command's words, which no browser reads
	}
	if a.Header.Get("Set-Cookie") == "x=y" || strings.Contains(a.Body, "<script>alert") || strings.Contains(a.Body, "onerror=alert(1)>") {
		t.Errorf("%s %q: it became part of the answer's own text", what, sent)
	}
}

// Whatever is typed is data: in forms, queries, headers and commands.
func TestAttack_S01_Injection(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		var line *wire
		if engine == "postgres" { // what the server and the commands say to the database is overheard
			line = newWire(t, inst.ServingURL)
			inst.env["IDP_DATABASE_URL"] = line.url(0)
		}
		api := inst.NewResource(t, []string{"orders:read=Read"})
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--audience", api, "--scope", "openid profile email offline_access orders:read")
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)
		tokens := b.tokens(t, web, alice)
		users, clients := inst.CLI(t, "", "user", "list", "-q"), inst.CLI(t, "", "client", "list", "-q")

		t.Run("forms", func(t *testing.T) {
			for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
				for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "resource", "audience", "client_id", "token", "token_type_hint", "client_assertion"} {
					for _, bad := range injections {
						form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"idp_rt_x"}, "token": {"x"}}
						if name == "scope" || name == "resource" {
							form.Set("refresh_token", tokens.Refresh)
						}
						if name == "code" || name == "redirect_uri" || name == "code_verifier" {
							form = url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {web.RedirectURI}}
						}
						form.Set(name, bad)
						a := node.Post(t, path, web, form)
						wantNoTrace(t, path+" "+name, bad, a)
						if path == "/oauth2/token" && a.Status == http.StatusOK {
							t.Errorf("%s %q gave tokens", name, bad)
						}
					}
				}
			}
		})
		t.Run("authorize", func(t *testing.T) {
			for _, name := range []string{"client_id", "redirect_uri", "state", "nonce", "scope", "prompt", "max_age", "ui_locales", "login_hint", "claims", "acr_values", "id_token_hint", "resource", "code_challenge", "response_mode", "display", "unknown", "flow"} {
				for _, bad := range injections {
					request := web.Request(NewPKCE(), name, bad)
					anonymous := b.Client
					if name == "login_hint" || name == "ui_locales" {
						anonymous = node.NewBrowser(t).Client // who has to see the page
					}
					page := (&Browser{node, anonymous}).Get(t, "/oauth2/auth?"+request.Encode())
					wantNoTrace(t, "authorize "+name, bad, page)
				}
			}
		})
		t.Run("sign-in", func(t *testing.T) {
			for _, name := range []string{"username", "password", "flow", "action"} {
				for _, bad := range injections {
					fresh := w.browser(t, node)
					page := fresh.Get(t, "/login")
					fields := url.Values{"username": {"nobody-" + Token()[:8]}, "password": {"x"}}
					if name == "password" || name == "username" {
						fields.Set("password", "") // only what is well formed is worth a hash
					}
					fields.Set(name, bad)
					a := fresh.Submit(t, page, page.Form(t, "login-form"), fields)
					wantNoTrace(t, "sign-in "+name, bad, a)
					if a.Status == http.StatusOK && strings.Contains(a.Body, "Signed in") {
						t.Errorf("%s %q signed in", name, bad)
					}
				}
			}
			for _, bad := range []string{"' OR '1'='1", "admin'--", "a\x00b", "\xff\xfe", `" OR ""="`, "ʼ OR 1=1"} { // all the way to the database
				fresh := w.browser(t, node)
				page := fresh.Get(t, "/login")
				a := fresh.Login(t, page, bad, bad)
				wantNoTrace(t, "sign-in", bad, a)
				if a.Status != http.StatusUnprocessableEntity && a.Status != http.StatusBadRequest {
					t.Errorf("%q: %d", bad, a.Status)
				}
			}
		})
		t.Run("headers", func(t *testing.T) {
			for _, name := range []string{"User-Agent", "X-Request-Id", "X-Forwarded-For", "Forwarded", "Referer", "Origin", "Accept", "Accept-Language", "Authorization", "Cookie", "Content-Type"} {
				for _, bad := range injections {
					if strings.ContainsAny(bad, "\x00\r\n\x1b") {
						continue // Go's client sends no such header; the framing tests do
					}
					for _, path := range []string{"/login", "/userinfo", "/oauth2/auth?" + web.Request(NewPKCE()).Encode()} {
						r, _ := http.NewRequest(http.MethodGet, inst.Issuer+path, nil)
						value := bad
						if name == "Cookie" {
							value = "idp_session=" + bad + "; idp_browser=" + bad
						}
						r.Header.Set(name, value)
						a := Do(t, node.HTTP, r)
						wantNoTrace(t, "header "+name, bad, a)
						if got := a.Header.Get("X-Request-Id"); strings.ContainsAny(got, "'\"<>$ ") {
							t.Errorf("X-Request-Id %q", got)
						}
					}
				}
			}
			// A sign-in keeps the browser's name: it has to survive any.
			for _, bad := range []string{"'; DROP TABLE sessions; --", "\xff\xfe", "ʼ OR 1=1"} {
				fresh := w.browser(t, node)
				fresh.Client.Transport = withHeader{"User-Agent", bad, fresh.Client.Transport}
				if code := fresh.code(t, web, alice, NewPKCE()); code == "" {
					t.Error("no sign-in")
				}
			}
		})
		t.Run("commands", func(t *testing.T) {
			for _, bad := range injections {
				if strings.Contains(bad, "\x00") || len(bad) > 1000 {
					continue // no argument can hold it, or it is the length that is tested
				}
				for i, args := range [][]string{
					{"user", "get", "--", bad}, {"client", "get", "--", bad}, {"session", "list", "--", bad}, {"resource", "get", "--", bad},
				} {
					if slices.Index(injections, bad)%4 != i && utf8.ValidString(bad) {
						continue // each once, for time's sake
					}
					stdout, stderr, code := inst.Try(t, "", args...)
					if code == 0 {
						t.Errorf("%q found something: %s", args, stdout)
					}
					wantNoTrace(t, strings.Join(args[:2], " "), bad, &Answer{Body: stdout + stderr})
				}
			}
			// What is stored is what was typed.
			for i, name := range []string{`Robert'); DROP TABLE users; --`, `{{.}} $1 ? %s "quoted" \ back`, `<script>alert(1)</script>`} {
				id := fmt.Sprintf("typed-%d", i)
				inst.CLI(t, "a good long password "+Token()+"\n", "user", "create", id, "--name", name, "--password-stdin")
				var out struct {
					Name string `json:"name"`
				}
				inst.JSON(t, &out, "", "user", "get", id)
				if out.Name != name {
					t.Errorf("%q was stored as %q", name, out.Name)
				}
				inst.CLI(t, "", "user", "delete", id)
			}
		})
		if got := inst.CLI(t, "", "user", "list", "-q"); got != users {
			t.Errorf("the users changed: %s", got)
		}
		if got := inst.CLI(t, "", "client", "list", "-q"); got != clients {
			t.Errorf("the clients changed: %s", got)
		}
		node.Refresh(t, web, tokens.Refresh).Tokens(t)
		calm(t, &watch{}, node) // what was typed into secret fields here is no secret
		if line != nil {
			line.wantValuesApart(t)
			q := line.database.Query()
			q.Set("default_query_exec_mode", "simple_protocol")
			simple := line.database
			simple.RawQuery = q.Encode()
			refused := inst.Launch(t, map[string]string{"IDP_DATABASE_URL": simple.String()})
			if code := refused.Exit(t); code != 78 || !strings.Contains(refused.Logs(), "default_query_exec_mode=simple_protocol") {
				t.Errorf("simple protocol: exit %d, %s", code, refused.Logs())
			}
		}
	})
}

// wantValuesApart checks that no statement came as text alone but those that
// hold no value: all others have their parameters beside them, in PostgreSQL's
// extended protocol.
func (w *wire) wantValuesApart(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	extended := 0
	for _, u := range w.turns {
		extended += len(u.sql) - len(u.simple)
		for _, sql := range u.simple {
			if !slices.Contains([]string{"begin", "commit", "rollback", "-- ping"}, sql) {
				t.Errorf("a statement came as text: %s", sql)
			}
		}
	}
	if extended < 1000 {
		t.Errorf("only %d statements were overheard", extended)
	}
}

type withHeader struct {
	name, value string
	next        http.RoundTripper
}

func (h withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(h.name, h.value)
	return h.next.RoundTrip(r)
}

// dump returns everything that the installation's database holds, as text and
// as the bytes of its files.
func dump(t testing.TB, inst *Installation) string {
	t.Helper()
	if path, ok := strings.CutPrefix(inst.DatabaseURL, "sqlite:"); ok {
		var out strings.Builder
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) == 0 {
			t.Fatalf("no database files: %v", err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(raw)
		}
		return out.String()
	}
	return rows(t, inst)
}

// rows returns all rows of all tables as text.
func rows(t testing.TB, inst *Installation) string {
	t.Helper()
	var out strings.Builder
	if path, ok := strings.CutPrefix(inst.DatabaseURL, "sqlite:"); ok {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		for _, table := range column(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`) {
			result, err := db.QueryContext(t.Context(), `SELECT * FROM "`+table+`"`)
			if err != nil {
				t.Fatal(err)
			}
			names, _ := result.Columns()
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			for result.Next() {
				if err := result.Scan(into...); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%s %q\n", table, fmt.Sprint(values...))
			}
			_ = result.Close()
		}
		return out.String()
	}
	conn, err := pgx.Connect(t.Context(), inst.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	result, err := conn.Query(t.Context(), `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(result, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		result, err := conn.Query(t.Context(), `SELECT x::text FROM `+table+` x`)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(result, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(lines)
		for _, line := range lines {
			out.WriteString(table + " " + line + "\n")
		}
	}
	return out.String()
}

func column(t testing.TB, db *sql.DB, query string) []string {
	t.Helper()
	result, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = result.Close() }()
	var out []string
	for result.Next() {
		var s string
		if err := result.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// guises are the forms in which a secret could lie somewhere: as it is, in
// base64, in hex, decoded.
func guises(secret string) map[string]string {
	out := map[string]string{}
	add := func(name string, raw []byte) {
		out[name] = string(raw)
		out[name+" in hex"] = hex.EncodeToString(raw)
		out[name+" in base64"] = base64.RawStdEncoding.EncodeToString(raw)
		out[name+" in base64url"] = base64.RawURLEncoding.EncodeToString(raw)
	}
	for _, needle := range needles(secret) {
		add("text", []byte(needle))
	}
	encoded := secret
	if i := strings.LastIndexByte(secret, '.'); i >= 0 && strings.HasPrefix(secret, "eyJ") {
		encoded = secret[i+1:]
	}
	if strings.HasPrefix(secret, "idp_") && len(secret) > 80 {
		encoded = secret[len(secret)-80:]
	}
	for _, encoding := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		raw, err := encoding.DecodeString(encoded)
		switch {
		case err != nil || len(raw) < 16:
		case len(raw) == 60: // an opaque token: what proves is secret, its identifier is not
			add("proof", raw[24:56])
		default:
			add("bytes", raw)
		}
	}
	return out
}

// After all flows no secret lies in the database, in a log or in the metrics, in
// any form.
func TestAttack_S02_Canaries(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_LOG_LEVEL": "debug"})
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=Read"})
		alice, bob := inst.NewUser(t), inst.NewUser(t)
		scope := []string{"--audience", api, "--scope", "openid offline_access orders:read"}
		clients := []Client{
			inst.WebClient(t, scope...), inst.WebClient(t, append(scope, "--access-token-format", "opaque")...), inst.WebClient(t, append(scope, "--public")...),
		}
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		own := Client{ID: "own-secret", Secret: "operators-own-secret-" + Token()}
		inst.CLI(t, own.Secret+"\n", "client", "create", own.ID, "--grant-type", "client_credentials", "--secret-stdin")
		node := inst.Start(t)
		w := watching(node)
		w.saw(MasterKey, alice.Password, bob.Password, service.Secret, own.Secret)

		for _, u := range []User{alice, bob} {
			b := w.browser(t, node)
			for _, c := range clients {
				w.saw(c.Secret)
				p := NewPKCE()
				code := b.code(t, c, u, p, "scope", "openid offline_access orders:read")
				tokens := node.Exchange(t, c, code, p).Tokens(t)
				next := node.Refresh(t, c, tokens.Refresh).Tokens(t)
				node.Userinfo(t, next.Access)
				if !c.Public {
					node.Active(t, c, next.Access)
					node.Active(t, c, next.Refresh)
				}
				b.code(t, c, u, NewPKCE()) // never used
				if u == bob {              // and what goes wrong
					node.Exchange(t, c, code, p)
					node.Refresh(t, c, next.Refresh)
					node.Userinfo(t, next.Access)
				}
			}
			node.Post(t, "/oauth2/token", Client{ID: service.ID, Secret: Token()}, url.Values{"grant_type": {"client_credentials"}})
			fresh := w.browser(t, node)
			fresh.Login(t, fresh.Get(t, "/login"), u.Username, "a wrong password "+Token())
			if u == alice {
				page := b.Get(t, "/logout")
				b.Submit(t, page, page.Form(t, "logout-form"), nil)
			}
		}
		for _, c := range []Client{service, own} {
			tokens := node.Post(t, "/oauth2/token", c, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
			node.Post(t, "/oauth2/revoke", c, url.Values{"token": {tokens.Access}})
		}
		var rotated struct {
			ClientSecret string `json:"client_secret"`
		}
		inst.JSON(t, &rotated, "", "client", "rotate-secret", service.ID)
		w.saw(rotated.ClientSecret)
		reset := "yet another password " + Token()
		w.saw(reset)
		inst.CLI(t, reset+"\n", "user", "set-password", bob.Username, "--password-stdin")
		inst.CLI(t, "", "key", "rotate", "--immediately")
		Settle()

		kinds := map[string]int{}
		for _, secret := range w.all() {
			kinds[secret[:min(7, len(secret))]]++
		}
		for _, kind := range []string{"idp_ac_", "idp_rt_", "idp_at_", "idp_s_A", "eyJhbGc"} {
			if kinds[kind] == 0 {
				t.Fatalf("nothing like %s was seen", kind)
			}
		}
		_, counted := node.metrics(t)
		places := map[string]string{"the log": node.Logs(), "the metrics": counted, "the database": dump(t, inst), "the rows": rows(t, inst)}
		node.Stop(t)
		places["the log at the end"], places["the database at the end"] = node.Logs(), dump(t, inst)
		// The scan finds what is there.
		if !strings.Contains(places["the database"], alice.Username) || !strings.Contains(places["the log"], clients[0].ID) || !strings.Contains(places["the rows"], api) {
			t.Fatal("the scan looks in the wrong place")
		}
		for _, secret := range w.all() {
			for form, needle := range guises(secret) {
				if len(needle) < 12 {
					continue
				}
				for place, text := range places {
					if strings.Contains(text, needle) {
						t.Errorf("%s holds %q (%s)", place, secret, form)
					}
				}
			}
		}
		for place, text := range places {
			for _, clear := range []string{"PRIVATE KEY", `"d":"`, `"p":"`} {
				if strings.Contains(text, clear) {
					t.Errorf("%s holds a private key: %s", place, clear)
				}
			}
		}
		if path, ok := strings.CutPrefix(inst.DatabaseURL, "sqlite:"); ok {
			for _, suffix := range []string{"", "-wal"} {
				if info, err := os.Stat(path + suffix); err == nil && info.Mode().Perm() != 0o600 {
					t.Errorf("%s%s has mode %v", path, suffix, info.Mode())
				}
			}
		}
	})
}

// A node that crashes leaves no copy of its memory behind.
func TestAttack_S02_NoCoreFile(t *testing.T) {
	t.Parallel()
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	core.Cur = core.Max // nodes inherit it
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	inst := Install(t, "sqlite", nil)
	node := inst.Launch(t, map[string]string{"GOTRACEBACK": "crash"})
	node.WaitReady(t)
	if err := node.cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	node.Exit(t)
	status := node.cmd.ProcessState.Sys().(syscall.WaitStatus)
	// It may stumble over its own traceback.
	if !status.Signaled() || status.Signal() != syscall.SIGABRT && status.Signal() != syscall.SIGSEGV {
		t.Fatalf("it did not crash: %v", node.cmd.ProcessState)
	}
	if files, _ := filepath.Glob(filepath.Join(inst.DataDir, "core*")); status.CoreDump() || len(files) > 0 {
		t.Errorf("%v left %q", node.cmd.ProcessState, files)
	}
}

// With a wrong master key, or none, nothing starts and nothing is written.
func TestAttack_S04_MasterKey(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice, web := inst.NewUser(t), inst.WebClient(t)
		node := inst.Start(t)
		tokens := node.SignIn(t, web, alice)
		node.Stop(t)
		before := sha256.Sum256([]byte(rows(t, inst)))
		for name, key := range map[string]string{
			"wrong": base64.StdEncoding.EncodeToString([]byte("another master key, as long as it ")), "missing": "", "short": "c2hvcnQ=", "not base64": "!" + MasterKey[1:],
		} {
			t.Run(name, func(t *testing.T) {
				other := *inst
				other.env = map[string]string{}
				for k, v := range inst.env {
					other.env[k] = v
				}
				other.env["IDP_MASTER_KEY"] = key
				if key == "" {
					delete(other.env, "IDP_MASTER_KEY")
				}
				started := other.Launch(t, nil)
				code := started.Exit(t)
				if code != 78 && code != 1 {
					t.Errorf("exit %d", code)
				}
				said := strings.ToLower(started.Logs())
				if !strings.Contains(said, "master key") && !strings.Contains(said, "master_key") {
					t.Errorf("it does not name the master key: %s", started.Logs())
				}
				if key != "" && strings.Contains(started.Logs(), key) || strings.Contains(started.Logs(), MasterKey) {
					t.Error("it shows the key")
				}
				for _, args := range [][]string{{"client", "create", "under-a-wrong-key", "--grant-type", "client_credentials"}, {"key", "rotate"}, {"user", "disable", alice.Username}, {"token", "revoke", "--all"}} {
					if stdout, stderr, code := other.Try(t, "", args...); code == 0 {
						t.Errorf("idp %s worked: %s%s", args, stdout, stderr)
					}
				}
				if after := sha256.Sum256([]byte(rows(t, inst))); after != before {
					t.Error("the database changed")
				}
			})
		}
		again := inst.Start(t)
		again.Refresh(t, web, tokens.Refresh).Tokens(t)
	})
}

// A restored backup has forgotten what was ended since; one command makes that
// good.
func TestAttack_S05_OldBackup(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		web, opaque := inst.WebClient(t), inst.WebClient(t, "--access-token-format", "opaque")
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)
		type held struct {
			c      Client
			tokens Tokens
			code   string
			proof  PKCE
		}
		var all []held
		for _, c := range []Client{web, opaque} {
			h := held{c: c, tokens: b.tokens(t, c, alice), proof: NewPKCE()}
			h.code = b.code(t, c, alice, h.proof)
			all = append(all, h)
		}
		cc := node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
		node.Stop(t)
		restore := backup(t, inst)

		// Since the backup: a code is used, families move on and are revoked, a
		// token is revoked, consent is withdrawn, the person signs out.
		node = inst.Start(t)
		b = b.At(node)
		for _, h := range all {
			node.Exchange(t, h.c, h.code, h.proof).Tokens(t)
			next := node.Refresh(t, h.c, h.tokens.Refresh).Tokens(t)
			node.Post(t, "/oauth2/revoke", h.c, url.Values{"token": {next.Refresh}})
			inst.CLI(t, "", "consent", "revoke", alice.Username, h.c.ID)
		}
		node.Post(t, "/oauth2/revoke", service, url.Values{"token": {cc.Access}})
		issuer, _ := url.Parse(inst.Issuer)
		cookies := b.Client.Jar.Cookies(issuer)
		page := b.Get(t, "/logout")
		b.Submit(t, page, page.Form(t, "logout-form"), nil)
		node.Stop(t)

		restore()
		time.Sleep(time.Second) // iat counts seconds
		inst.CLI(t, "", "token", "revoke", "--all")
		node = inst.Start(t)
		for _, h := range all {
			wantDead(t, h.c, h.tokens, node)
			node.Exchange(t, h.c, h.code, h.proof).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		wantInactive(t, node, service, "client credentials", cc.Access)
		// The session of before grants nothing, and consent is asked for again.
		thief := node.NewBrowser(t)
		thief.Client.Jar.SetCookies(issuer, cookies)
		a := thief.Get(t, "/oauth2/auth?"+web.Request(NewPKCE(), "prompt", "none").Encode())
		if !strings.Contains(a.Header.Get("Location"), "error=login_required") {
			t.Errorf("a session of before the backup: %d %s", a.Status, a.Header.Get("Location"))
		}
		if home := thief.Get(t, "/"); home.HasID("profile-form") {
			t.Error("a session of before the backup looks signed in")
		}
		page = thief.Get(t, "/oauth2/auth?"+web.Request(NewPKCE()).Encode())
		if page = thief.Login(t, page, alice.Username, alice.Password); !page.HasID("consent-form") {
			t.Errorf("a consent of before the backup still counts: %d %s", page.Status, page.Header.Get("Location"))
		}
		// Everything goes on from there.
		tokens := node.NewBrowser(t).tokens(t, web, alice)
		node.Refresh(t, web, tokens.Refresh).Tokens(t)
		calm(t, w, node)
	})
}

// backup copies the database of a stopped server, and returns what puts the
// copy back.
func backup(t *testing.T, inst *Installation) (restore func()) {
	t.Helper()
	if path, ok := strings.CutPrefix(inst.DatabaseURL, "sqlite:"); ok {
		saved := map[string][]byte{}
		for _, suffix := range []string{"", "-wal"} {
			if raw, err := os.ReadFile(path + suffix); err == nil {
				saved[suffix] = raw
			}
		}
		return func() {
			for _, suffix := range []string{"-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
			for suffix, raw := range saved {
				if err := os.WriteFile(path+suffix, raw, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	u, err := url.Parse(inst.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	live := strings.TrimPrefix(u.Path, "/")
	server := *u
	server.Path = "/postgres"
	administer := func(statements ...string) {
		conn, err := pgx.Connect(t.Context(), server.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(t.Context()) }()
		for _, statement := range statements {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	administer("CREATE DATABASE " + live + "_copy TEMPLATE " + live)
	return func() {
		administer("DROP DATABASE "+live+" WITH (FORCE)", "ALTER DATABASE "+live+"_copy RENAME TO "+live)
	}
}
