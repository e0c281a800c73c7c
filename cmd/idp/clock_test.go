package main

import (
	"bytes"
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
)

// wrongClock is the system's clock, wrong by as much as a test sets.
type wrongClock struct{ by atomic.Int64 }

func (c *wrongClock) now() time.Time        { return time.Now().Add(time.Duration(c.by.Load())) }
func (c *wrongClock) set(by time.Duration)  { c.by.Store(int64(by)) }
func (c *wrongClock) step(by time.Duration) { c.by.Add(int64(by)) }

// clockwork is one installation whose nodes have clocks of their own.
type clockwork struct {
	engine string
	url    string // of the database
	env    []string
	issuer string
	client e2e.Client // JWT access tokens
	opaque e2e.Client
}

// timedNode is a server in this process.
type timedNode struct {
	*e2e.Node
	clock *wrongClock
	log   *lockedBuffer
	user  e2e.User // who signs in at no other: the limits on attempts count by each clock
}

func newClockwork(t *testing.T, engine string) *clockwork {
	t.Helper()
	dir := t.TempDir()
	w := &clockwork{engine: engine, issuer: "http://localhost:" + strings.Split(freeAddress(t), ":")[1]}
	database := "sqlite:" + filepath.Join(dir, "idp.db")
	if engine == "postgres" {
		database = storetest.Postgres(t)
	}
	w.url = database
	w.env = []string{
		"IDP_DATABASE_URL=" + database, "IDP_DATA_DIR=" + dir, "IDP_MASTER_KEY=" + tokens.GenerateMasterKey(), "IDP_ISSUER=" + w.issuer,
		"IDP_LOG_FORMAT=json", "IDP_PASSWORDS_MEMORY_KIB=19456", "IDP_PASSWORDS_ITERATIONS=2", "IDP_MIGRATE=auto", "IDP_TRUSTED_PROXIES=127.0.0.1/32",
	}
	for _, c := range []*e2e.Client{&w.client, &w.opaque} {
		format := "jwt"
		if c == &w.opaque {
			format = "opaque"
		}
		*c = e2e.Client{ID: "web-" + format, Secret: "a-secret-that-guards-nothing-" + format, RedirectURI: "https://app.example/cb"}
		w.run(t, c.Secret+"\n", "client", "create", c.ID, "--secret-stdin", "--redirect-uri", c.RedirectURI, "--access-token-format", format,
			"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email offline_access")
	}
	// A client is told from an earlier one of its name by the time of its making,
	// which must lie before all clocks here.
	db := w.open(t)
	if _, err := db.ExecContext(t.Context(), `UPDATE clients SET tokens_valid_after = NULL`); err != nil {
		t.Fatal(err)
	}
	return w
}

// open opens the database to read what no endpoint tells.
func (w *clockwork) open(t *testing.T) *sql.DB {
	t.Helper()
	driver, name := "pgx", w.url
	if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (w *clockwork) run(t *testing.T, stdin string, args ...string) {
	t.Helper()
	if code, stdout, stderr := command(t, w.env, stdin, args...); code != exitOK {
		t.Fatalf("idp %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
}

// start runs a server whose clock is wrong from the start.
func (w *clockwork) start(t *testing.T, by time.Duration) *timedNode {
	t.Helper()
	return w.startAt(t, by, freeAddress(t))
}

func (w *clockwork) startAt(t *testing.T, by time.Duration, address string) *timedNode {
	t.Helper()
	n := &timedNode{clock: new(wrongClock), Node: &e2e.Node{
		Installation: &e2e.Installation{Issuer: w.issuer, Engine: w.engine}, Addr: address, Management: "http://" + freeAddress(t),
	}}
	n.clock.set(by)
	n.user = e2e.User{Username: "user-" + strings.Split(n.Addr, ":")[1], Password: "a good long password"}
	w.run(t, n.user.Password+"\n", "user", "create", n.user.Username, "--password-stdin")
	n.HTTP = n.Client("")
	n.log, _ = startServeAt(t, n.clock.now, append(w.env, "IDP_LISTEN="+n.Addr, "IDP_MANAGEMENT_LISTEN="+strings.TrimPrefix(n.Management, "http://"))...)
	return n
}

func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range e2e.Engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f(t, engine)
		})
	}
}

// begun is a browser that is signed in, and what a client got by it.
type begun struct {
	browser *e2e.Browser
	user    e2e.User
	client  e2e.Client
	code    string
	proof   e2e.PKCE
	tokens  e2e.Tokens
}

// begin signs in at the node: an unused code, and tokens of another one.
func (n *timedNode) begin(t *testing.T, c e2e.Client) begun {
	t.Helper()
	b := begun{browser: n.NewBrowser(t), user: n.user, client: c}
	b.code, b.proof = b.newCode(t)
	code, proof := b.newCode(t)
	b.tokens = n.Exchange(t, c, code, proof).Tokens(t)
	return b
}

func (b begun) newCode(t *testing.T) (string, e2e.PKCE) {
	t.Helper()
	p := e2e.NewPKCE()
	back := b.browser.Authorize(t, b.client.Request(p), b.user)
	if back.Query().Get("code") == "" {
		t.Fatalf("no code in %s", back)
	}
	return back.Query().Get("code"), p
}

// signedIn reports whether the browser gets a code without a question.
func (b begun) signedIn(t *testing.T, n *timedNode) bool {
	t.Helper()
	a := b.browser.At(n.Node).Get(t, "/oauth2/auth?"+b.client.Request(e2e.NewPKCE(), "prompt", "none").Encode())
	return strings.Contains(a.Header.Get("Location"), "code=")
}

func wantInvalidGrant(t *testing.T, what string, a *e2e.Answer) {
	t.Helper()
	if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, `"invalid_grant"`) {
		t.Errorf("%s: %d %s", what, a.Status, a.Body)
	}
}

// wantNothing checks that nothing of what was begun is good at the node.
func (b begun) wantNothing(t *testing.T, what string, n *timedNode) {
	t.Helper()
	wantInvalidGrant(t, what+": code", n.Exchange(t, b.client, b.code, b.proof))
	wantInvalidGrant(t, what+": refresh token", n.Refresh(t, b.client, b.tokens.Refresh))
	if n.Active(t, b.client, b.tokens.Access) || n.Active(t, b.client, b.tokens.Refresh) {
		t.Errorf("%s: a token is active", what)
	}
	if a := n.Userinfo(t, b.tokens.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("%s: userinfo answers %d", what, a.Status)
	}
	if b.signedIn(t, n) {
		t.Errorf("%s: the session grants", what)
	}
}

// By a clock that is wrong, everything ends when its clock says so, and nothing
// is used twice; with a step back nothing that is over begins again.
func TestAttack_S06_WrongClock(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		w := newClockwork(t, engine)
		for _, by := range []time.Duration{time.Hour, -time.Hour} {
			n := w.start(t, by)
			for _, c := range []e2e.Client{w.client, w.opaque} {
				b := n.begin(t, c)
				if !n.Active(t, c, b.tokens.Access) || !b.signedIn(t, n) {
					t.Fatalf("%s: nothing works", by)
				}
				// Used once is used up, also when time runs backwards.
				code, proof := b.newCode(t)
				first := n.Exchange(t, c, code, proof).Tokens(t)
				second := n.Refresh(t, c, first.Refresh).Tokens(t)
				n.clock.step(-time.Hour)
				wantInvalidGrant(t, "a used code after a step back", n.Exchange(t, c, code, proof))
				b.wantNothing(t, "after a step back", n)
				n.clock.step(time.Hour)
				if n.Active(t, c, second.Access) {
					t.Error("the replay after a step back killed nothing")
				}
				// The successor of a rotation is not given again after an hour that
				// did not pass.
				family := b.tokens
				next := n.Refresh(t, c, family.Refresh).Tokens(t)
				n.clock.step(-50 * time.Second) // within what clocks may differ
				wantInvalidGrant(t, "an old refresh token after a step back", n.Refresh(t, c, family.Refresh))
				n.clock.step(50 * time.Second)
				wantInvalidGrant(t, "its successor", n.Refresh(t, c, next.Refresh))

				b = n.begin(t, c)
				n.clock.step(61 * time.Second)
				wantInvalidGrant(t, "a code after its minute", n.Exchange(t, c, b.code, b.proof))
				n.clock.step(9 * time.Minute)
				if n.Active(t, c, b.tokens.Access) || n.Userinfo(t, b.tokens.Access).Status != http.StatusUnauthorized {
					t.Error("an access token lives after ten minutes")
				}
				n.clock.step(-2 * time.Hour)
				b.wantNothing(t, "over, and a step back", n)
				n.clock.set(by + time.Hour + time.Second)
				if b.signedIn(t, n) {
					t.Error("a session lives after an idle hour")
				}
				n.clock.set(by + 7*24*time.Hour + time.Minute)
				b.wantNothing(t, "after the idle life of a refresh token", n)
				n.clock.set(by)
			}
			n.log.wantCalm(t)
			if engine == "sqlite" {
				break // one server at a time; the other way round there is nothing to compare with
			}
		}
	})
}

// Of two nodes whose clocks differ, neither takes for good what is over by the
// clock that it was issued by, and both see each use of the other.
func TestAttack_S06_ClocksThatDiffer(t *testing.T) {
	t.Parallel()
	w := newClockwork(t, "postgres")
	right, behind, ahead := w.start(t, 0), w.start(t, -time.Hour), w.start(t, time.Hour)
	for _, c := range []e2e.Client{w.client, w.opaque} {
		for _, n := range []*timedNode{right, ahead} {
			b := n.begin(t, c)
			// Behind, it has not begun. It is not spent by that.
			wantInvalidGrant(t, "a code from the future", behind.Exchange(t, c, b.code, b.proof))
			wantInvalidGrant(t, "a refresh token from the future", behind.Refresh(t, c, b.tokens.Refresh))
			if behind.Active(t, c, b.tokens.Access) || behind.Userinfo(t, b.tokens.Access).Status != http.StatusUnauthorized || b.signedIn(t, behind) {
				t.Error("what is issued in an hour is good already")
			}
			tokens := n.Exchange(t, c, b.code, b.proof).Tokens(t)
			// A use at one is a use at all, and a second one kills at all.
			wantInvalidGrant(t, "a code that was used elsewhere", behind.Exchange(t, c, b.code, b.proof))
			for _, at := range []*timedNode{right, behind, ahead} {
				if at.Active(t, c, tokens.Access) {
					t.Error("a replay at the node that is behind killed nothing")
				}
				wantInvalidGrant(t, "after a replay", at.Refresh(t, c, tokens.Refresh))
			}
		}
		// Ahead, it is over: codes, access tokens and the idle session.
		b := right.begin(t, c)
		wantInvalidGrant(t, "an old code", ahead.Exchange(t, c, b.code, b.proof))
		if ahead.Active(t, c, b.tokens.Access) || b.signedIn(t, ahead) {
			t.Error("what was over an hour ago is good")
		}
		// A refresh at the node that is ahead is no licence to repeat it elsewhere.
		next := ahead.Refresh(t, c, b.tokens.Refresh).Tokens(t)
		wantInvalidGrant(t, "rotated elsewhere", right.Refresh(t, c, b.tokens.Refresh))
		wantInvalidGrant(t, "its successor", ahead.Refresh(t, c, next.Refresh))
	}
	for _, n := range []*timedNode{right, behind, ahead} {
		n.log.wantCalm(t)
	}
}

// A node whose clock is not the database's says that it is not ready, and
// commands by such a clock are refused.
func TestAttack_S06_ClockIsPartOfReadiness(t *testing.T) {
	t.Parallel()
	w := newClockwork(t, "postgres")
	n := w.start(t, 0)
	for _, tc := range []struct {
		by    time.Duration
		says  string
		cause string
	}{
		{0, "server ready", ""},
		{20 * time.Second, "server ready", ""},
		{-20 * time.Second, "server ready", ""},
		{31 * time.Second, "not ready: clock", "ahead of the database's"},
		{0, "server ready", ""},
		{-32 * time.Second, "not ready: clock", "behind the database's"},
		{0, "server ready", ""},
		{-time.Hour, "not ready: clock", "this machine's clock is 1h0m0s behind"},
	} {
		n.clock.set(tc.by)
		before := len(n.log.String())
		answer, err := http.Get(n.Management + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(answer.Body)
		answer.Body.Close()
		status := http.StatusOK
		if tc.cause != "" {
			status = http.StatusServiceUnavailable
		}
		if answer.StatusCode != status || body.String() != tc.says+"\n" {
			t.Errorf("%s: %d %s", tc.by, answer.StatusCode, body.String())
		}
		if logged := n.log.String()[before:]; tc.cause != "" && !strings.Contains(logged, tc.cause) {
			t.Errorf("%s: the log says %s", tc.by, logged)
		}
	}
	var out bytes.Buffer
	late := &app{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Env: w.env, Now: n.clock.now}
	if code := run(t.Context(), late, []string{"token", "revoke", "--all"}); code != exitFailure || !strings.Contains(out.String(), "behind the database's") {
		t.Errorf("a command by a wrong clock: exit %d, %s", code, out.String())
	}

	// The embedded database has no clock of its own.
	lite := newClockwork(t, "sqlite")
	m := lite.start(t, -time.Hour)
	if body := fetch(t, get(t, m.Management+"/readyz"), http.StatusOK); string(body) != "server ready\n" {
		t.Errorf("sqlite: %s", body)
	}
}

// wantCalm checks that no request failed for another reason than its own.
func (b *lockedBuffer) wantCalm(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"status":50`) {
			t.Errorf("logged: %s", line)
		}
	}
}
