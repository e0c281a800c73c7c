package e2e

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// requestDeadline is how long the server works on one request; a little
	// more is given to a busy machine.
	requestDeadline = 10*time.Second + 3*time.Second
	// recoveryTime is how soon service is back when the database is.
	recoveryTime = 5 * time.Second
)

// outage is what the requests of TestDatabaseAway need.
type outage struct {
	inst    *Installation
	node    *Node
	line    *wire
	alice   User
	web     Client
	service Client
	browser *Browser // signed in, and allowed web
	guest   *Browser // at the login form
	login   *Answer
	asked   *Browser // at the consent form
	consent *Answer
	tokens  Tokens
	code    string
	proof   PKCE
}

func newOutage(t *testing.T) *outage {
	inst := Install(t, "postgres", nil)
	o := &outage{inst: inst, line: newWire(t, inst.ServingURL)}
	o.alice = inst.NewUser(t)
	bob := inst.NewUser(t)
	api := inst.NewResource(t, []string{"orders:read"})
	o.web = inst.WebClient(t)
	o.service = inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
	o.node = inst.Launch(t, map[string]string{"IDP_DATABASE_URL": o.line.url(0)})
	o.node.WaitReady(t)

	o.browser = o.node.NewBrowser(t)
	p := NewPKCE()
	o.tokens = o.node.Exchange(t, o.web, o.browser.Authorize(t, o.web.Request(p), o.alice).Query().Get("code"), p).Tokens(t)
	o.guest = o.node.NewBrowser(t)
	o.login = o.guest.Get(t, "/oauth2/auth?"+o.web.Request(NewPKCE()).Encode())
	o.asked = o.node.NewBrowser(t)
	o.consent = o.asked.Login(t, o.asked.Get(t, "/oauth2/auth?"+o.web.Request(NewPKCE()).Encode()), bob.Username, bob.Password)
	if !o.consent.HasID("consent-form") {
		t.Fatalf("no consent page: %d", o.consent.Status)
	}
	o.proof = NewPKCE()
	o.code = o.browser.Authorize(t, o.web.Request(o.proof), o.alice).Query().Get("code")
	return o
}

func (o *outage) get(t testing.TB, base, path string, header ...string) *Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := o.node.HTTP
	if base == o.node.Management {
		client = &http.Client{Timeout: 20 * time.Second}
	}
	return Do(t, client, r)
}

// while the database is away.
func (o *outage) check(t *testing.T) {
	needs := map[string]func() *Answer{
		"client credentials": func() *Answer {
			return o.node.Post(t, "/oauth2/token", o.service, url.Values{"grant_type": {"client_credentials"}})
		},
		"code exchange": func() *Answer { return o.node.Exchange(t, o.web, o.code, o.proof) },
		"refresh":       func() *Answer { return o.node.Refresh(t, o.web, o.tokens.Refresh) },
		"introspection of a JWT": func() *Answer {
			return o.node.Post(t, "/oauth2/introspect", o.web, url.Values{"token": {o.tokens.Access}})
		},
		"introspection of a refresh token": func() *Answer {
			return o.node.Post(t, "/oauth2/introspect", o.web, url.Values{"token": {o.tokens.Refresh}})
		},
		"userinfo": func() *Answer { return o.node.Userinfo(t, o.tokens.Access) },
		"revocation": func() *Answer {
			return o.node.Post(t, "/oauth2/revoke", o.web, url.Values{"token": {o.tokens.Refresh}})
		},
		"revocation of a JWT": func() *Answer {
			return o.node.Post(t, "/oauth2/revoke", o.web, url.Values{"token": {o.tokens.Access}})
		},
		"signing in":     func() *Answer { return o.guest.Login(t, o.login, o.alice.Username, o.alice.Password) },
		"the login page": func() *Answer { return o.browser.Get(t, "/login") },
		"the home page":  func() *Answer { return o.browser.Get(t, "/") },
		"allowing":       func() *Answer { return o.asked.Allow(t, o.consent) },
		"readiness":      func() *Answer { return o.get(t, o.node.Management, "/readyz") },
		"authorize":      func() *Answer { return o.browser.Get(t, "/oauth2/auth?"+o.web.Request(NewPKCE()).Encode()) },
		"authorize, prompt=none": func() *Answer {
			return o.browser.Get(t, "/oauth2/auth?"+o.web.Request(NewPKCE(), "prompt", "none").Encode())
		},
	}
	needless := map[string]func() *Answer{
		"discovery": func() *Answer { return o.get(t, o.node.Issuer, "/.well-known/openid-configuration") },
		"metadata":  func() *Answer { return o.get(t, o.node.Issuer, "/.well-known/oauth-authorization-server") },
		"JWKS":      func() *Answer { return o.get(t, o.node.Issuer, "/.well-known/jwks.json") },
		"health":    func() *Answer { return o.get(t, o.node.Management, "/healthz") },
		"a guest's login page": func() *Answer {
			return o.node.NewBrowser(t).Get(t, "/oauth2/auth?"+o.web.Request(NewPKCE()).Encode())
		},
	}
	// All at once, as they come in life.
	var wg sync.WaitGroup
	for name, send := range needless {
		wg.Go(func() {
			started := time.Now()
			if a := send(); a.Status != http.StatusOK {
				t.Errorf("%s: %d, want 200 without a database: %s", name, a.Status, a.Body)
			}
			if took := time.Since(started); took > 2*time.Second {
				t.Errorf("%s took %s, though it needs no database", name, took)
			}
		})
	}
	for name, send := range needs {
		wg.Go(func() {
			started := time.Now()
			a := send()
			if took := time.Since(started); took > requestDeadline {
				t.Errorf("%s took %s", name, took)
			}
			if name == "authorize, prompt=none" {
				// RFC 6749 section 4.1.2.1: a 503 cannot be told through a redirect,
				// and nobody is there to read a page.
				location, err := url.Parse(a.Header.Get("Location"))
				if err != nil || a.Status != http.StatusSeeOther || location.Query().Get("error") != "temporarily_unavailable" ||
					location.Query().Get("state") == "" || location.Query().Get("iss") != o.node.Issuer {
					t.Errorf("%s: %d, to %q", name, a.Status, a.Header.Get("Location"))
				}
			} else if a.Status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d, want 503: %s", name, a.Status, a.Body)
			}
			if strings.Contains(a.Body, `"active"`) {
				t.Errorf("%s: says what it cannot know: %s", name, a.Body)
			}
			if a.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s: blames the token or the client", name)
			}
			if name == "readiness" {
				return
			}
			if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 {
				t.Errorf("%s: Retry-After %q", name, a.Header.Get("Retry-After"))
			}
			if strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") && a.JSON(t)["error"] != "temporarily_unavailable" {
				t.Errorf("%s: %s", name, a.Body)
			}
		})
	}
	wg.Wait()
}

// recovered checks that all is well again soon, by itself, and that what was
// refused has not been lost.
func (o *outage) recovered(t *testing.T) {
	t.Helper()
	since := time.Now()
	for {
		ready := o.get(t, o.node.Management, "/readyz").Status == http.StatusOK
		if ready && o.node.Post(t, "/oauth2/token", o.service, url.Values{"grant_type": {"client_credentials"}}).Status == http.StatusOK {
			break
		}
		if time.Since(since) > recoveryTime {
			t.Fatalf("no service %s after the database is back", recoveryTime)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if a := o.node.Userinfo(t, o.tokens.Access); a.Status != http.StatusOK {
		t.Errorf("the access token no longer works: %d %s", a.Status, a.Body)
	}
	if !o.node.Active(t, o.web, o.tokens.Access) {
		t.Error("the access token is not active")
	}
	o.tokens = o.node.Refresh(t, o.web, o.tokens.Refresh).Tokens(t)
	o.node.Exchange(t, o.web, o.code, o.proof).Tokens(t)
	o.proof = NewPKCE()
	o.code = o.browser.Authorize(t, o.web.Request(o.proof), o.alice).Query().Get("code")
	if a := o.guest.Login(t, o.login, o.alice.Username, o.alice.Password); a.Status != http.StatusOK && a.Status != http.StatusSeeOther {
		t.Errorf("the login form that could not be sent does not work any more: %d", a.Status)
	}
	o.node.neverFailed(t)
	o.node.wantQuiet(t, o.tokens.Access, o.tokens.Refresh, o.code, o.web.Secret, o.alice.Password)
}

// A database that is away is nobody's fault: what needs it says 503 and when
// to come back, what does not goes on, and nothing has to be restarted.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	t.Run("connections cut", func(t *testing.T) {
		o.line.cut()
		o.check(t)
		o.check(t) // and again, with a pool that is empty now
		o.line.mend()
		o.recovered(t)
		// What was refused meanwhile is in the audit, late.
		db := o.inst.openDatabase(t)
		for deadline := time.Now().Add(recoveryTime); ; time.Sleep(20 * time.Millisecond) {
			var refused int
			if err := db.QueryRow("SELECT count(*) FROM audit_events WHERE kind = 'token.refused'").Scan(&refused); err != nil {
				t.Fatal(err)
			}
			if refused >= 6 { // three grants, twice
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d refused token requests are in the audit", refused)
			}
		}
	})
	t.Run("network frozen", func(t *testing.T) {
		o.line.freeze()
		o.check(t)
		o.line.mend()
		o.recovered(t)
	})
	t.Run("stopping while it is away", func(t *testing.T) {
		o.line.freeze()
		o.node.Post(t, "/oauth2/introspect", o.web, url.Values{"token": {o.tokens.Access}})
		o.node.Stop(t) // within its 20 s
		o.line.mend()
	})
}

// The commit reached the database and its answer did not come back: the client
// asks again, and there is one successor, one set of tokens, one audit row.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	db := o.inst.openDatabase(t)
	issued := func(t *testing.T, grantType string) int {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM audit_events WHERE kind = 'token.issued' AND detail->>'grant_type' = $1", grantType).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	lose := func(t *testing.T, statement string, send func() *Answer) {
		t.Helper()
		o.line.quiet(t) // the audit of what was before is written
		o.line.loseAnswer(statement)
		if a := send(); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("status %d, want 503: %s", a.Status, a.Body)
		}
		if n := o.line.answersLost(); n != 1 {
			t.Fatalf("%d answers lost", n)
		}
	}
	t.Run("refresh", func(t *testing.T) {
		before := issued(t, "refresh_token")
		lose(t, "UPDATE grants", func() *Answer { return o.node.Refresh(t, o.web, o.tokens.Refresh) })
		if got := issued(t, "refresh_token") - before; got != 1 {
			t.Fatalf("%d audit rows for the answer that was lost", got)
		}
		next := o.node.Refresh(t, o.web, o.tokens.Refresh).Tokens(t)
		if again := o.node.Refresh(t, o.web, o.tokens.Refresh).Tokens(t); again.Refresh != next.Refresh {
			t.Error("asked twice, two successors")
		}
		o.tokens = o.node.Refresh(t, o.web, next.Refresh).Tokens(t)
	})
	t.Run("code exchange", func(t *testing.T) {
		before := issued(t, "authorization_code")
		lose(t, "UPDATE grants", func() *Answer { return o.node.Exchange(t, o.web, o.code, o.proof) })
		o.node.Exchange(t, o.web, o.code, o.proof).WantError(t, http.StatusBadRequest, "invalid_grant")
		if got := issued(t, "authorization_code") - before; got != 1 {
			t.Errorf("the code gave tokens %d times", got)
		}
	})
	t.Run("client credentials", func(t *testing.T) {
		send := func() *Answer {
			return o.node.Post(t, "/oauth2/token", o.service, url.Values{"grant_type": {"client_credentials"}})
		}
		before := issued(t, "client_credentials")
		lose(t, "INSERT INTO audit_events", send)
		send().Tokens(t)
		// One row may be of a token that nobody got; none may be missing.
		if got := issued(t, "client_credentials") - before; got != 2 {
			t.Errorf("%d audit rows, want 2", got)
		}
	})
	t.Run("authorize", func(t *testing.T) {
		o.line.loseAnswer("INSERT INTO grants")
		p := NewPKCE()
		back := o.browser.Get(t, "/oauth2/auth?"+o.web.Request(p).Encode())
		if back.Status != http.StatusServiceUnavailable || !back.HasID("error") || back.Header.Get("Retry-After") == "" {
			t.Errorf("%d to %s", back.Status, back.Header.Get("Location"))
		}
		o.node.Exchange(t, o.web, o.browser.Authorize(t, o.web.Request(p), o.alice).Query().Get("code"), p).Tokens(t)
	})
	t.Run("revocation", func(t *testing.T) {
		send := func() *Answer {
			return o.node.Post(t, "/oauth2/revoke", o.web, url.Values{"token": {o.tokens.Refresh}})
		}
		lose(t, "UPDATE grants", send)
		if a := send(); a.Status != http.StatusOK {
			t.Errorf("asked again: %d %s", a.Status, a.Body)
		}
		if o.node.Active(t, o.web, o.tokens.Access) {
			t.Error("revoked, and alive")
		}
		var rows int
		if err := db.QueryRow("SELECT count(*) FROM audit_events WHERE kind = 'token.revoked'").Scan(&rows); err != nil || rows != 1 {
			t.Errorf("%d audit rows of one revocation, %v", rows, err)
		}
	})
	o.node.neverFailed(t)
	o.node.wantQuiet(t, o.tokens.Access, o.tokens.Refresh, o.code, o.web.Secret, o.alice.Password)
}

// A server waits for a database that comes up later than itself, for a while,
// and then says what it could not reach.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	inst := Install(t, "postgres", nil)
	inst.CLI(t, "", "migrate", "up")
	line := newWire(t, inst.DatabaseURL)
	line.cut()
	away := map[string]string{"IDP_DATABASE_URL": line.url(0)}

	t.Run("commands do not wait", func(t *testing.T) {
		cut := *inst
		cut.env = map[string]string{}
		for k, v := range inst.env {
			cut.env[k] = v
		}
		cut.env["IDP_DATABASE_URL"] = strings.Replace(line.url(0), "postgres@", "postgres:hunter2@", 1)
		started := time.Now()
		_, stderr, code := cut.Try(t, "", "client", "list")
		if code != 69 || !strings.HasPrefix(stderr, "idp: database: ") || !strings.Contains(stderr, "127.0.0.1") || strings.Contains(stderr, "hunter2") {
			t.Errorf("exit %d, want 69: %s", code, stderr)
		}
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("took %s", took)
		}
	})
	t.Run("a server told to stop while it waits", func(t *testing.T) {
		n := inst.Launch(t, away)
		n.waitForLog(t, "the database is away, trying again")
		n.Stop(t)
		if code := n.Exit(t); code != 69 && code != 0 {
			t.Errorf("exit %d: %s", code, n.Logs())
		}
	})
	t.Run("later than the server", func(t *testing.T) {
		line.cut()
		n := inst.Launch(t, away)
		n.waitForLog(t, "the database is away, trying again")
		line.mend()
		n.WaitReady(t)
		n.Stop(t)
		line.cut()
	})
	t.Run("never", func(t *testing.T) {
		n := inst.Launch(t, away)
		select {
		case <-n.exited:
		case <-time.After(60 * time.Second):
			t.Fatal("the server waits for ever")
		}
		lines := strings.Split(strings.TrimSpace(n.Logs()), "\n")
		if last := lines[len(lines)-1]; n.Exit(t) != 69 || !strings.HasPrefix(last, "idp: database") || !strings.Contains(last, "connection") {
			t.Errorf("exit %d: %s", n.Exit(t), last)
		}
	})
}

// waitForLog waits until the node has logged a text.
func (n *Node) waitForLog(t testing.TB, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(n.Logs(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log never says %q:\n%s", text, n.Logs())
		}
	}
}
