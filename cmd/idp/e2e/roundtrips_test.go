package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The number of times that a request waits for the database, exactly: as the
// log tells on both engines, and as it is on the wire to Postgres.
func TestRoundTripsPerRequest(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		api := inst.NewResource(t, []string{"orders:read"})
		opaque := inst.NewResource(t, []string{"stock:read"}, "--access-token-format", "opaque")
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--scope", "openid email groups offline_access orders:read", "--audience", api,
			"--backchannel-logout-uri", "https://app.example/hear") // to be told of a logout costs an authorization nothing
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		stock := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", opaque, "--scope", "stock:read")

		var line *wire
		var node *Node
		if engine == "postgres" {
			line = newWire(t, inst.ServingURL)
			node = inst.Launch(t, map[string]string{"IDP_DATABASE_URL": line.url(1)}) // on one connection, statements are prepared once
			node.WaitReady(t)
			line.quiet(t)
		} else {
			node = inst.Start(t)
		}
		b := node.NewBrowser(t)
		scope := []string{"scope", "openid email groups offline_access orders:read", "resource", api}
		credentials := url.Values{"grant_type": {"client_credentials"}}
		code := func(t *testing.T) (string, PKCE) {
			p := NewPKCE()
			return b.Authorize(t, web.Request(p, scope...), alice).Query().Get("code"), p
		}
		tokens := func(t *testing.T) Tokens {
			c, p := code(t)
			return node.Exchange(t, web, c, p).Tokens(t)
		}
		get := func(t *testing.T, path string) *Answer {
			r, err := http.NewRequest(http.MethodGet, node.Issuer+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			return Do(t, node.HTTP, r)
		}
		// Each sets its stage and returns the one request that is counted.
		for _, c := range []struct {
			name   string
			status int
			own    int // waited for by the request itself
			wire   int // and what else it caused before its answer
			stage  func(t *testing.T) func() *Answer
		}{
			{"discovery", 200, 0, 0, func(t *testing.T) func() *Answer {
				return func() *Answer { return get(t, "/.well-known/openid-configuration") }
			}},
			{"metadata", 200, 0, 0, func(t *testing.T) func() *Answer {
				return func() *Answer { return get(t, "/.well-known/oauth-authorization-server") }
			}},
			{"JWKS", 200, 0, 0, func(t *testing.T) func() *Answer {
				return func() *Answer { return get(t, "/.well-known/jwks.json") }
			}},
			// Its audit row is committed with those of others.
			{"client credentials", 200, 0, 1, func(t *testing.T) func() *Answer {
				return func() *Answer { return node.Post(t, "/oauth2/token", service, credentials) }
			}},
			{"client credentials for an opaque token", 200, 1, 1, func(t *testing.T) func() *Answer {
				return func() *Answer { return node.Post(t, "/oauth2/token", stock, credentials) }
			}},
			{"authorize in a live session", 303, 2, 2, func(t *testing.T) func() *Answer {
				code(t)
				return func() *Answer { return b.Get(t, "/oauth2/auth?"+web.Request(NewPKCE(), scope...).Encode()) }
			}},
			{"authorize without a session", 200, 0, 0, func(t *testing.T) func() *Answer {
				fresh := node.NewBrowser(t)
				return func() *Answer { return fresh.Get(t, "/oauth2/auth?"+web.Request(NewPKCE(), scope...).Encode()) }
			}},
			{"code exchange", 200, 2, 2, func(t *testing.T) func() *Answer {
				c, p := code(t)
				return func() *Answer { return node.Exchange(t, web, c, p) }
			}},
			{"refresh", 200, 2, 2, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				return func() *Answer { return node.Refresh(t, web, tk.Refresh) }
			}},
			{"refresh whose answer was lost", 200, 2, 2, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				node.Refresh(t, web, tk.Refresh)
				return func() *Answer { return node.Refresh(t, web, tk.Refresh) }
			}},
			{"introspection of a JWT", 200, 1, 1, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				return func() *Answer { return node.Post(t, "/oauth2/introspect", web, url.Values{"token": {tk.Access}}) }
			}},
			{"introspection of a service's JWT", 200, 1, 1, func(t *testing.T) func() *Answer {
				tk := node.Post(t, "/oauth2/token", service, credentials).Tokens(t)
				return func() *Answer { return node.Post(t, "/oauth2/introspect", service, url.Values{"token": {tk.Access}}) }
			}},
			{"introspection of an opaque token", 200, 1, 1, func(t *testing.T) func() *Answer {
				tk := node.Post(t, "/oauth2/token", stock, credentials).Tokens(t)
				return func() *Answer { return node.Post(t, "/oauth2/introspect", stock, url.Values{"token": {tk.Access}}) }
			}},
			{"introspection of a refresh token", 200, 1, 1, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				return func() *Answer { return node.Post(t, "/oauth2/introspect", web, url.Values{"token": {tk.Refresh}}) }
			}},
			// Format and checksum refuse it first.
			{"introspection of garbage", 200, 0, 0, func(t *testing.T) func() *Answer {
				return func() *Answer {
					return node.Post(t, "/oauth2/introspect", web, url.Values{"token": {"idp_rt_" + strings.Repeat("A", 80)}})
				}
			}},
			{"userinfo", 200, 1, 1, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				return func() *Answer { return node.Userinfo(t, tk.Access) }
			}},
			{"revocation of a refresh token", 200, 2, 2, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				return func() *Answer { return node.Post(t, "/oauth2/revoke", web, url.Values{"token": {tk.Refresh}}) }
			}},
			{"revocation of a JWT", 200, 1, 1, func(t *testing.T) func() *Answer {
				tk := tokens(t)
				return func() *Answer { return node.Post(t, "/oauth2/revoke", web, url.Values{"token": {tk.Access}}) }
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.stage(t)() // prepares the statements
				var a *Answer
				var turns []*turn
				// Those that belong to no request may have held the connection that
				// they were prepared on.
				for range 3 {
					request := c.stage(t)
					var mark int
					if line != nil {
						line.quiet(t)
						mark = line.mark()
					}
					a = request()
					if a.Status != c.status {
						t.Fatalf("status %d, want %d: %s", a.Status, c.status, a.Body)
					}
					if line == nil {
						break
					}
					if turns = line.since(mark); !slices.ContainsFunc(turns, (*turn).prepares) {
						break
					}
				}
				if got := node.record(t, a)["db_round_trips"]; got != float64(c.own) {
					t.Errorf("the log says %v round trips, want %d", got, c.own)
				}
				if line != nil && len(turns) != c.wire {
					t.Errorf("%d round trips on the wire, want %d:\n%s", len(turns), c.wire, describe(turns))
				}
			})
		}
		if line == nil {
			return
		}
		// Requests that come while a commit is under way share the next one.
		t.Run("client credentials commit in groups", func(t *testing.T) {
			line.quiet(t)
			mark := line.mark()
			line.freeze()
			const many = 48
			answers := make(chan string, many)
			for range many {
				go func() {
					a, err := node.TryPost("/oauth2/token", service, credentials)
					if err == nil && a.Status != http.StatusOK {
						err = fmt.Errorf("status %d: %s", a.Status, a.Body)
					}
					answers <- fmt.Sprint(err)
				}()
			}
			time.Sleep(time.Second)
			line.mend()
			for range many {
				if err := <-answers; err != "<nil>" {
					t.Error(err)
				}
			}
			if turns := line.since(mark); len(turns) < 1 || len(turns) > 4 {
				t.Errorf("%d commits for %d tokens:\n%s", len(turns), many, describe(turns))
			}
		})
	})
}

// record waits for the log record of the request that was answered.
func (n *Node) record(t testing.TB, a *Answer) map[string]any {
	t.Helper()
	id := a.Header.Get("X-Request-Id")
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for line := range strings.SplitSeq(n.Logs(), "\n") {
			if strings.Contains(line, id) && strings.Contains(line, `"msg":"request"`) {
				var record map[string]any
				if err := json.Unmarshal([]byte(line), &record); err == nil {
					return record
				}
			}
		}
	}
	t.Fatalf("no log record of request %q", id)
	return nil
}

// wire is a TCP proxy in front of Postgres. It reads enough of the protocol to
// tell what each round trip was for, and breaks in the ways networks do.
type wire struct {
	listener        net.Listener
	network, target string
	database        url.URL

	mu    sync.Mutex
	flow  *sync.Cond // signalled when state changes
	state lineState
	lose  string // the answer to a turn with this text never arrives
	lost  int    // how many were lost
	conns map[net.Conn]bool
	turns []*turn
}

type lineState int

const (
	lineOpen   lineState = iota
	lineCut              // connections are broken, new ones refused
	lineFrozen           // everything is accepted and nothing comes through
)

// turn is one network round trip: all that was sent before an answer came.
type turn struct {
	handshake bool
	sql       []string // executed
	simple    []string // those of them that came as text alone
	prepared  []string // only described
}

// errands are statements that belong to no request: the nodes' poll, the pool's
// look at a connection that lay idle, the search for clients to be told of a
// logout, who does the maintenance, and how requests were decided, which none
// of them waits for.
var errands = []string{"FROM revisions", "-- ping", "FROM session_clients WHERE due_at", "INTO leases", "INTO traces"}

// prepares reports whether nothing was executed.
func (u *turn) prepares() bool { return len(u.sql) == 0 && len(u.prepared) > 0 }

// background reports whether the turn belongs to no request.
func (u *turn) background() bool {
	all := slices.Concat(u.sql, u.prepared)
	return u.handshake || len(all) > 0 && !slices.ContainsFunc(all, func(s string) bool {
		s = strings.Join(strings.Fields(s), " ")
		return !slices.ContainsFunc(errands, func(errand string) bool { return strings.Contains(s, errand) })
	})
}

func describe(turns []*turn) string {
	var out strings.Builder
	for i, u := range turns {
		fmt.Fprintf(&out, "%d: %s", i+1, strings.Join(strings.Fields(strings.Join(u.sql, "; ")), " "))
		if len(u.prepared) > 0 {
			fmt.Fprintf(&out, " (prepares %d)", len(u.prepared))
		}
		out.WriteString("\n")
	}
	return out.String()
}

func newWire(t testing.TB, databaseURL string) *wire {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{network: "tcp", target: u.Host, conns: map[net.Conn]bool{}}
	w.flow = sync.NewCond(&w.mu)
	query := u.Query()
	if dir := query.Get("host"); dir != "" {
		w.network, w.target = "unix", filepath.Join(dir, ".s.PGSQL.5432")
		query.Del("host")
	} else if u.Port() == "" {
		w.target = net.JoinHostPort(u.Hostname(), "5432")
	}
	query.Set("sslmode", "disable") // it is read here
	u.RawQuery = query.Encode()
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = w.listener.Addr().String()
	w.database = *u
	t.Cleanup(func() {
		_ = w.listener.Close()
		w.cut()
	})
	go w.serve()
	return w
}

// url leads through the wire, on so many connections; 0 for the default.
func (w *wire) url(conns int) string {
	u := w.database
	if conns > 0 {
		q := u.Query()
		q.Set("pool_max_conns", fmt.Sprint(conns))
		u.RawQuery = q.Encode()
	}
	return u.String()
}

func (w *wire) set(s lineState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	if s == lineCut {
		for c := range w.conns {
			_ = c.Close()
		}
		clear(w.conns)
	}
	w.flow.Broadcast()
}

func (w *wire) cut()    { w.set(lineCut) }
func (w *wire) freeze() { w.set(lineFrozen) }
func (w *wire) mend()   { w.set(lineOpen) }

// pass waits until something may come through; false when the line is cut.
func (w *wire) pass() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.state == lineFrozen {
		w.flow.Wait()
	}
	return w.state == lineOpen
}

// loseAnswer lets the next statement with this text reach the server, and
// breaks the connection instead of bringing the answer.
func (w *wire) loseAnswer(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose, w.lost = text, 0
}

func (w *wire) answersLost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

func (w *wire) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.turns)
}

// since returns the turns since mark that requests caused.
func (w *wire) since(mark int) []*turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*turn
	for _, u := range w.turns[mark:] {
		if !u.background() {
			out = append(out, u)
		}
	}
	return out
}

// quiet waits until requests cause nothing any more.
func (w *wire) quiet(t testing.TB) {
	t.Helper()
	for range 200 {
		mark := w.mark()
		time.Sleep(60 * time.Millisecond)
		if len(w.since(mark)) == 0 {
			return
		}
	}
	t.Fatal("the wire does not come to rest")
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.connect(client)
	}
}

func (w *wire) connect(client net.Conn) {
	if !w.pass() {
		_ = client.Close()
		return
	}
	server, err := net.Dial(w.network, w.target)
	if err != nil {
		_ = client.Close()
		return
	}
	w.mu.Lock()
	w.conns[client], w.conns[server] = true, true
	cut := w.state == lineCut
	w.mu.Unlock()
	if cut {
		_, _ = client.Close(), server.Close()
		return
	}
	c := &conversation{wire: w, statements: map[string]string{}, answered: true}
	go c.relay(server, client, c.asked)
	go c.relay(client, server, c.heard)
}

// conversation is one connection through the wire. The wire's mutex guards it.
type conversation struct {
	wire       *wire
	started    bool
	buffered   []byte
	statements map[string]string
	answered   bool
	now        *turn
}

// relay copies; seen says whether what was read may go on.
func (c *conversation) relay(to, from net.Conn, seen func([]byte) bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		c.wire.mu.Lock()
		delete(c.wire.conns, to)
		delete(c.wire.conns, from)
		c.wire.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !c.wire.pass() || !seen(buf[:n]) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// asked reads what the client sends.
func (c *conversation) asked(data []byte) bool {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	if c.answered {
		c.answered, c.now = false, &turn{handshake: !c.started}
		c.wire.turns = append(c.wire.turns, c.now)
	}
	c.buffered = append(c.buffered, data...)
	for {
		header := 1
		if !c.started {
			header = 0 // the first message has no type
		}
		if len(c.buffered) < header+4 {
			return true
		}
		l := c.buffered[header : header+4]
		size := header + int(l[0])<<24 + int(l[1])<<16 + int(l[2])<<8 + int(l[3])
		if len(c.buffered) < size {
			return true
		}
		if c.started {
			c.message(c.buffered[0], c.buffered[5:size])
		}
		c.started = true
		c.buffered = c.buffered[size:]
	}
}

// message reads one message of the frontend (PostgreSQL manual, section 54.7).
func (c *conversation) message(kind byte, body []byte) {
	text := func() string {
		s, rest, _ := bytes.Cut(body, []byte{0})
		body = rest
		return string(s)
	}
	switch kind {
	case 'Q':
		sql := text()
		c.now.sql, c.now.simple = append(c.now.sql, sql), append(c.now.simple, sql)
	case 'P':
		name := text()
		c.statements[name] = text()
		c.now.prepared = append(c.now.prepared, c.statements[name])
	case 'B':
		text() // the portal
		c.now.sql = append(c.now.sql, c.statements[text()])
	}
}

// heard sees what the server answers.
func (c *conversation) heard([]byte) bool {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	c.answered = true
	if w := c.wire; w.lose != "" && slices.ContainsFunc(c.now.sql, func(s string) bool { return strings.Contains(s, w.lose) }) {
		w.lose = ""
		w.lost++
		return false
	}
	return true
}
