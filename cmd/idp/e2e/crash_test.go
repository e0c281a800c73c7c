package e2e

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers
	_ "modernc.org/sqlite"
)

const (
	crashWorkers  = 16
	crashRounds   = 4   // kills, per engine
	crashRoundOps = 200 // answers between two kills, at least
)

// Whatever dies in the middle of whatever: no refresh family forks, no code is
// spent twice, no token leaves without its one audit row, and every client that
// asks again within the grace goes on as if nothing had been.
func TestKilledNodesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t)
		f := &fleet{}
		nodes := 1
		if engine == "postgres" {
			nodes = 2
		}
		for range nodes {
			f.nodes = append(f.nodes, inst.Start(t))
		}
		// One person signs in and allows the client; the workers use that session.
		b := f.any().NewBrowser(t)
		b.Authorize(t, web.Request(NewPKCE()), alice)

		h := &history{successor: map[string]string{}}
		var stop atomic.Bool
		var workers sync.WaitGroup
		for range crashWorkers {
			w := &worker{fleet: f, history: h, client: web, browser: b}
			workers.Go(func() {
				for !stop.Load() {
					w.step()
				}
				w.rest()
			})
		}
		// Kill one node, the other, and all; in the middle of it, at no
		// particular moment.
		for round := range crashRounds {
			h.waitFor(t, int64((round+1)*crashRoundOps))
			time.Sleep(rand.N(20 * time.Millisecond))
			victims := []int{round % nodes}
			if round%2 == 1 {
				victims = []int{0, 1}[:nodes]
			}
			f.killAndRestart(t, inst, victims)
			inst.CLI(t, "", "audit", "seal") // beside the nodes
		}
		h.waitFor(t, int64((crashRounds+1)*crashRoundOps))
		stop.Store(true)
		workers.Wait()

		for _, violation := range h.violations {
			t.Error(violation)
		}
		t.Logf("%d answers, %d requests without one (%d in the middle), %d codes lost, %d families, %d tokens",
			h.answers.Load(), h.unknown.Load(), h.torn.Load(), h.codesLost, len(h.chains), len(h.access))
		if h.torn.Load() == 0 {
			t.Error("no kill hit a request: nothing was shown")
		}

		// Once healed, every family's last token still works, at any node, and
		// the one before it does not fork the family.
		for i, chain := range h.chains {
			last := chain[len(chain)-1]
			next := f.nodes[i%nodes].Refresh(t, web, last).Tokens(t)
			if again := f.nodes[(i+1)%nodes].Refresh(t, web, last).Tokens(t); again.Refresh != next.Refresh {
				t.Errorf("family %d: the same token has two successors", i)
			}
			h.chains[i] = append(chain, next.Refresh)
			h.access = append(h.access, next.Access)
		}
		for _, n := range f.nodes {
			n.wantQuiet(t, h.access...)
			n.Stop(t) // the last audit rows are written by now at the latest
		}
		checkBooks(t, inst, h)
		inst.wantSealedOnce(t)
	})
}

// checkBooks compares what clients saw with what the database says.
func checkBooks(t *testing.T, inst *Installation, h *history) {
	t.Helper()
	db := inst.openDatabase(t)
	issued := map[string][]string{} // jti → grants
	codes := map[string]int{}       // grants by how often their code gave tokens
	rows, err := db.Query("SELECT grant_id, detail FROM audit_events WHERE kind = 'token.issued'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var grant, text string
		if err := rows.Scan(&grant, &text); err != nil {
			t.Fatal(err)
		}
		var detail struct {
			JTI       string `json:"jti"`
			GrantType string `json:"grant_type"`
		}
		if err := json.Unmarshal([]byte(text), &detail); err != nil {
			t.Fatal(err)
		}
		issued[detail.JTI] = append(issued[detail.JTI], grant)
		if detail.GrantType == "authorization_code" {
			codes[grant]++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}

	// Every token that was seen has exactly one audit row; no row is of a grant
	// that does not exist; no identifier was given twice.
	generations := grantGenerations(t, db)
	for _, raw := range h.access {
		if n := len(issued[claim(t, raw, "jti")]); n != 1 {
			t.Errorf("a token that was seen has %d audit rows", n)
		}
	}
	for jti, of := range issued {
		if len(of) != 1 {
			t.Errorf("%d audit rows have the jti %s", len(of), jti)
		}
		if _, ok := generations[of[0]]; !ok {
			t.Errorf("an audit row names the grant %q, which does not exist", of[0])
		}
	}
	for grant, n := range codes {
		if n != 1 {
			t.Errorf("the code of grant %s gave tokens %d times", grant, n)
		}
	}
	// Every successor came back to a client: the chain seen is as long as the
	// family's counter says.
	for i, chain := range h.chains {
		first := issued[claim(t, h.first[i], "jti")]
		if len(first) != 1 {
			continue // said above
		}
		generation := generations[first[0]]
		if generation != len(chain) {
			t.Errorf("family %d: %d successors were seen, the database counts %d", i, len(chain), generation)
		}
	}
}

func claim(t *testing.T, raw, name string) string {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatal("not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	s, _ := claims[name].(string)
	return s
}

// grantGenerations returns how far each refresh family has come, by the
// grant's identifier as the audit writes it.
func grantGenerations(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	rows, err := db.Query("SELECT grant_id, generation FROM grants")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var id idColumn
		var generation int
		if err := rows.Scan(&id, &generation); err != nil {
			t.Fatal(err)
		}
		out[string(id)] = generation
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// idColumn reads a 128-bit identifier, which Postgres shows as a UUID and
// SQLite as bytes, in the audit's spelling.
type idColumn string

func (c *idColumn) Scan(v any) error {
	raw, ok := v.([]byte)
	if s, isText := v.(string); isText {
		var err error
		if raw, err = hexBytes(strings.ReplaceAll(s, "-", "")); err != nil {
			return err
		}
	} else if !ok {
		return fmt.Errorf("an identifier of type %T", v)
	}
	*c = idColumn(base64.RawURLEncoding.EncodeToString(raw))
	return nil
}

func hexBytes(s string) ([]byte, error) {
	var out []byte
	_, err := fmt.Sscanf(s, "%x", &out)
	return out, err
}

// openDatabase opens the installation's database to read what no endpoint
// tells.
func (i *Installation) openDatabase(t testing.TB) *sql.DB {
	t.Helper()
	driver, name := "pgx", i.DatabaseURL
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=query_only(1)&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// fleet is the nodes that run now.
type fleet struct {
	mu    sync.RWMutex
	nodes []*Node
}

func (f *fleet) any() *Node {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.nodes[rand.IntN(len(f.nodes))]
}

func (f *fleet) killAndRestart(t *testing.T, inst *Installation, victims []int) {
	t.Helper()
	for _, i := range victims {
		_ = f.nodes[i].cmd.Process.Kill()
	}
	for _, i := range victims {
		<-f.nodes[i].exited
		next := inst.Start(t)
		f.mu.Lock()
		f.nodes[i] = next
		f.mu.Unlock()
	}
}

// history is everything that clients saw.
type history struct {
	answers atomic.Int64 // refreshes and code exchanges that were answered
	unknown atomic.Int64 // that were not, because nobody listened or the answer broke off
	torn    atomic.Int64 // of these, the ones that broke off

	mu         sync.Mutex
	successor  map[string]string // refresh token → the one that replaced it
	access     []string
	chains     [][]string // refresh tokens of a family, in order
	first      []string   // its first access token
	codesLost  int
	violations []string
}

func (h *history) violated(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violations = append(h.violations, fmt.Sprintf(format, args...))
}

func (h *history) waitFor(t *testing.T, answers int64) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); h.answers.Load() < answers; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		broken := len(h.violations) > 20
		h.mu.Unlock()
		if time.Now().After(deadline) || broken {
			t.Errorf("%d answers instead of %d", h.answers.Load(), answers)
			return
		}
	}
}

// worker is a client that signs in and refreshes, and asks again whenever it
// got no answer.
type worker struct {
	fleet   *fleet
	history *history
	client  Client
	browser *Browser

	chain []string // of the family in use
	from  string   // its first access token
}

// step refreshes, and now and then starts anew.
func (w *worker) step() {
	if len(w.chain) == 0 || rand.IntN(8) == 0 {
		w.rest()
		w.signIn()
		return
	}
	w.refresh()
}

// rest puts the family in use into the books.
func (w *worker) rest() {
	if len(w.chain) == 0 {
		return
	}
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	w.history.chains = append(w.history.chains, w.chain)
	w.history.first = append(w.history.first, w.from)
	w.chain, w.from = nil, ""
}

// patience is less than the grace in which a lost answer is given again.
const patience = 25 * time.Second

// signIn gets a code and redeems it. A code whose answer was lost is tried
// again: it may work once, and otherwise is refused.
func (w *worker) signIn() {
	p := NewPKCE()
	code := ""
	for deadline := time.Now().Add(patience); code == ""; {
		if time.Now().After(deadline) {
			w.history.violated("no authorization within %s", patience)
			return
		}
		code = w.authorize(p)
	}
	if rand.IntN(8) == 0 { // two at once: one at most gets tokens, and the family is over
		got := 0
		for _, a := range w.twice(CodeForm(w.client, code, p)) {
			switch {
			case a == nil:
			case a.Status == http.StatusOK:
				got++
				w.saw(tokensOf(a), "")
			case a.Status != http.StatusBadRequest || !strings.Contains(a.Body, `"invalid_grant"`):
				w.history.violated("code exchange, twice at once: %d %s", a.Status, a.Body)
			}
		}
		if got > 1 {
			w.history.violated("a code was spent twice")
		}
		return
	}
	uncertain := false
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		a := w.post(CodeForm(w.client, code, p))
		switch {
		case a == nil:
			uncertain = true
		case a.Status == http.StatusOK:
			tk := tokensOf(a)
			w.saw(tk, "")
			if rand.IntN(16) == 0 { // a thief comes second: nothing for him, and the family is over
				if again := w.post(CodeForm(w.client, code, p)); again != nil && again.Status != http.StatusBadRequest {
					w.history.violated("a spent code: %d", again.Status)
				}
				return
			}
			w.from, w.chain = tk.Access, []string{tk.Refresh}
			return
		case a.Status == http.StatusBadRequest && strings.Contains(a.Body, `"invalid_grant"`) && uncertain:
			w.history.mu.Lock()
			w.history.codesLost++
			w.history.mu.Unlock()
			return
		default:
			w.history.violated("code exchange (asked before: %t): %d %s", uncertain, a.Status, a.Body)
			return
		}
	}
	w.history.violated("a code was neither redeemed nor refused within %s", patience)
}

func (w *worker) authorize(p PKCE) string {
	n := w.fleet.any()
	c := n.Client("")
	c.Jar = w.browser.Client.Jar
	r, err := http.NewRequest(http.MethodGet, n.Issuer+"/oauth2/auth?"+w.client.Request(p, "prompt", "none").Encode(), nil)
	if err != nil {
		return ""
	}
	a, err := Send(c, r)
	c.CloseIdleConnections()
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return ""
	}
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		if e := location.Query().Get("error"); a.Status != http.StatusServiceUnavailable && e != "temporarily_unavailable" {
			w.history.violated("authorize: %d %s", a.Status, a.Header.Get("Location"))
		}
		time.Sleep(10 * time.Millisecond)
		return ""
	}
	return location.Query().Get("code")
}

// refresh moves the family on. Now and then it acts as if the answer had not
// come, and asks again with the old token.
func (w *worker) refresh() {
	last := w.chain[len(w.chain)-1]
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {last}}
	if rand.IntN(8) == 0 { // two at once have the same successor
		for _, a := range w.twice(form) {
			if a != nil && a.Status == http.StatusOK {
				w.saw(tokensOf(a), last)
			} else if a != nil {
				w.history.violated("refresh, twice at once: %d %s", a.Status, a.Body)
			}
		}
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		a := w.post(form)
		switch {
		case a == nil:
		case a.Status == http.StatusOK:
			tk := tokensOf(a)
			w.saw(tk, last)
			if rand.IntN(8) == 0 {
				continue
			}
			w.chain = append(w.chain, tk.Refresh)
			return
		default:
			w.history.violated("refresh: %d %s", a.Status, a.Body)
			w.chain = nil
			return
		}
	}
	w.history.violated("a refresh token was not exchanged within %s", patience)
	w.chain = nil
}

// saw writes down an answer, and notices a fork.
func (w *worker) saw(tk Tokens, parent string) {
	h := w.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.access = append(h.access, tk.Access)
	if parent == "" {
		return
	}
	if before, ok := h.successor[parent]; ok && before != tk.Refresh || tk.Refresh == parent || tk.Refresh == "" {
		h.violations = append(h.violations, "a refresh token has two successors: the family forks")
	}
	h.successor[parent] = tk.Refresh
}

// twice sends a request from two connections at the same moment.
func (w *worker) twice(form url.Values) (answers [2]*Answer) {
	var both sync.WaitGroup
	for i := range answers {
		both.Go(func() { answers[i] = w.post(form) })
	}
	both.Wait()
	return answers
}

// post asks any node and returns nil when it is not known what became of it.
func (w *worker) post(form url.Values) *Answer {
	a, err := w.fleet.any().TryPost("/oauth2/token", w.client, form)
	if err != nil || a.Status == http.StatusServiceUnavailable {
		w.history.unknown.Add(1)
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			w.history.torn.Add(1)
		}
		time.Sleep(10 * time.Millisecond)
		return nil
	}
	w.history.answers.Add(1)
	return a
}

func tokensOf(a *Answer) Tokens {
	var body struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal([]byte(a.Body), &body) // what is missing is noticed
	return Tokens{Access: body.Access, Refresh: body.Refresh}
}
