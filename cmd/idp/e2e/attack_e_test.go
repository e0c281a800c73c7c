package e2e

import (
	"database/sql"
	"encoding/base64"
	endian "encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// watch remembers every secret that passes on the wire: what the server hands
// out, and what clients show it. A log or a database may hold none of them.
type watch struct {
	mu      sync.Mutex
	secrets map[string]bool
}

// watching puts a watch on a node's client.
func watching(n *Node) *watch {
	w := &watch{secrets: map[string]bool{}}
	n.HTTP.Transport = watchedTransport{w, n.HTTP.Transport}
	return w
}

// browser returns a browser at the node under the same watch.
func (w *watch) browser(t testing.TB, n *Node) *Browser {
	t.Helper()
	b := n.NewBrowser(t)
	b.Client.Transport = watchedTransport{w, b.Client.Transport}
	return b
}

func (w *watch) saw(values ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range values {
		if len(v) >= 16 { // what is shorter is no secret of ours
			w.secrets[v] = true
		}
	}
}

// all returns the secrets, sorted.
func (w *watch) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for s := range w.secrets {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// secretParameters are those whose values nobody may keep.
var secretParameters = []string{"code", "code_verifier", "refresh_token", "access_token", "id_token", "token", "client_secret", "password"}

func (w *watch) sawForm(values url.Values) {
	for _, name := range secretParameters {
		w.saw(values[name]...)
	}
}

type watchedTransport struct {
	w    *watch
	next http.RoundTripper
}

func (x watchedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		if body, err := r.GetBody(); err == nil {
			raw, _ := io.ReadAll(body)
			form, _ := url.ParseQuery(string(raw))
			x.w.sawForm(form)
		}
	}
	if _, secret, ok := r.BasicAuth(); ok {
		x.w.saw(secret)
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		x.w.saw(token)
	}
	for _, c := range r.Cookies() {
		x.w.saw(c.Value)
	}
	res, err := x.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, c := range res.Cookies() {
		x.w.saw(c.Value)
	}
	if location, err := url.Parse(res.Header.Get("Location")); err == nil {
		x.w.sawForm(location.Query())
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return nil, err
		}
		var body map[string]any
		_ = json.Unmarshal(raw, &body)
		for _, name := range secretParameters {
			if s, ok := body[name].(string); ok {
				x.w.saw(s)
			}
		}
		res.Body = io.NopCloser(strings.NewReader(string(raw)))
	}
	return res, nil
}

// needles are what must not be found of a secret: its text, and of a token the
// part that proves.
func needles(secret string) []string {
	out := []string{secret}
	if header, _, ok := strings.Cut(secret, "."); ok && strings.HasPrefix(header, "eyJ") {
		signature := secret[strings.LastIndex(secret, ".")+1:]
		if len(signature) >= 40 {
			out = append(out, signature)
		}
	}
	if strings.HasPrefix(secret, "idp_") && len(secret) > 80 {
		out = append(out, secret[len(secret)-48:len(secret)-5]) // inside of the proof
	}
	return out
}

// calm checks what every attack must leave behind: no 5xx, no error, and no
// secret in the log.
func calm(t *testing.T, w *watch, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		for _, record := range n.Records(t) {
			if status, _ := record["status"].(float64); status >= 500 {
				t.Errorf("a 5xx: %v", record)
			}
			if record["level"] == "ERROR" {
				t.Errorf("an error in the log: %v", record)
			}
		}
		quiet(t, w, n)
	}
}

// quiet checks that no secret is in the log.
func quiet(t *testing.T, w *watch, n *Node) {
	t.Helper()
	logs := n.Logs()
	for _, secret := range w.all() {
		for _, needle := range needles(secret) {
			if strings.Contains(logs, needle) {
				t.Errorf("the log holds the secret %q", needle)
			}
		}
	}
}

// events counts the node's audit records of that kind that match every
// name=value given.
func events(t testing.TB, n *Node, kind string, pairs ...string) int {
	t.Helper()
	count := 0
	for _, record := range n.Records(t) {
		if record["audit"] != true || record["event"] != kind {
			continue
		}
		matches := true
		for i := 0; i+1 < len(pairs); i += 2 {
			matches = matches && record[pairs[i]] == pairs[i+1]
		}
		if matches {
			count++
		}
	}
	return count
}

// wantEvents waits for audit records, which may follow their answer.
func wantEvents(t *testing.T, want int, n *Node, kind string, pairs ...string) {
	t.Helper()
	got := 0
	for range 40 {
		if got = events(t, n, kind, pairs...); got == want {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("%d audit records %s %v, want %d", got, kind, pairs, want)
}

// wantDead checks that nothing issued in a grant lives on any node.
func wantDead(t *testing.T, c Client, tokens Tokens, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		for name, token := range map[string]string{"access token": tokens.Access, "refresh token": tokens.Refresh} {
			if token == "" {
				continue
			}
			wantInactive(t, n, c, name, token)
		}
		wantBadToken(t, n.Userinfo(t, tokens.Access))
		if tokens.Refresh != "" {
			n.Refresh(t, c, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
	}
}

// inactive is the one answer for every token that does not live.
const inactive = `{"active":false}`

func wantInactive(t *testing.T, n *Node, c Client, name, token string) {
	t.Helper()
	if a := n.Post(t, "/oauth2/introspect", c, url.Values{"token": {token}}); a.Status != http.StatusOK || a.Body != inactive {
		t.Errorf("%s: introspection answers %d %s", name, a.Status, a.Body)
	}
}

// wantBadToken checks userinfo's answer to a token that is none (RFC 6750
// section 3.1).
func wantBadToken(t *testing.T, a *Answer) {
	t.Helper()
	if a.Status != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), `Bearer`) ||
		!strings.Contains(a.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("userinfo answers %d, WWW-Authenticate %q: %s", a.Status, a.Header.Get("WWW-Authenticate"), a.Body)
	}
}

// startNodes starts one node, and on Postgres a second one.
func startNodes(t *testing.T, inst *Installation) (first, second *Node) {
	t.Helper()
	first = inst.Start(t)
	if inst.Engine != "postgres" {
		return first, first
	}
	return first, inst.Start(t)
}

// code signs the user in within the browser, which may know them already.
func (b *Browser) code(t testing.TB, c Client, u User, p PKCE, changes ...string) string {
	t.Helper()
	back := b.Authorize(t, c.Request(p, changes...), u)
	code := back.Query().Get("code")
	if code == "" {
		t.Fatalf("no code in %s", back)
	}
	return code
}

// tokens goes from the browser to tokens.
func (b *Browser) tokens(t testing.TB, c Client, u User, changes ...string) Tokens {
	t.Helper()
	p := NewPKCE()
	return b.Node.Exchange(t, c, b.code(t, c, u, p, changes...), p).Tokens(t)
}

// parallel sends n requests at once, by turns to the nodes.
func parallel(t *testing.T, count int, nodes []*Node, send func(n *Node) (*Answer, error)) []*Answer {
	t.Helper()
	answers, errs := make([]*Answer, count), make([]error, count)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range count {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-start
			answers[i], errs[i] = send(nodes[i%len(nodes)])
		}()
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return answers
}

// respell changes an opaque token so that its checksum, which is no secret,
// still fits: only the proof can refuse it.
func respell(t testing.TB, token string, change func(raw []byte)) string {
	t.Helper()
	text := token[len(token)-80:]
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 60 {
		t.Fatalf("not an opaque token: %q", token)
	}
	change(raw)
	endian.BigEndian.PutUint32(raw[56:], crc32.ChecksumIEEE(raw[:56]))
	return token[:len(token)-80] + base64.RawURLEncoding.EncodeToString(raw)
}

// misspellings are a token with each character changed, cut at each place, and
// with something added.
func misspellings(token string) []string {
	var out []string
	for i := range token {
		c := byte('A')
		if token[i] == 'A' {
			c = 'B'
		}
		out = append(out, token[:i]+string(c)+token[i+1:])
	}
	for i := 1; i < len(token); i += 7 {
		out = append(out, token[:i])
	}
	return append(out, token[:len(token)-1], token+"A", token+"=", token+" ", " "+token, token+"\n", token+"."+token, strings.ToUpper(token), token+token)
}

// Authorization codes at the token endpoint.
func TestAttack_E(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		web, other := inst.WebClient(t), inst.WebClient(t)
		public := inst.WebClient(t, "--public")
		lax := inst.WebClient(t, "--pkce-optional")
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node, second := startNodes(t, inst)
		w := watching(node)
		b := w.browser(t, node)
		b.tokens(t, web, alice)
		b.tokens(t, lax, alice)

		// A code works once; the second use ends all that the first one gave.
		t.Run("E01_replay", func(t *testing.T) {
			for name, at := range map[string]*Node{"at once": node, "on another node": second} {
				t.Run(name, func(t *testing.T) {
					p := NewPKCE()
					code := b.code(t, web, alice, p)
					tokens := node.Exchange(t, web, code, p).Tokens(t)
					before := events(t, at, "code.replayed")
					at.Exchange(t, web, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
					wantDead(t, web, tokens, node, second)
					wantEvents(t, before+1, at, "code.replayed")
				})
			}
		})
		t.Run("E01_replay_without_verifier_still_kills", func(t *testing.T) {
			p := NewPKCE()
			code := b.code(t, web, alice, p)
			tokens := node.Exchange(t, web, code, p).Tokens(t)
			node.Exchange(t, web, code, p, "code_verifier", "").WantError(t, http.StatusBadRequest, "invalid_grant")
			wantDead(t, web, tokens, node)
		})
		// Another client learns nothing from a code, and does no harm with it.
		t.Run("E01_another_clients_code", func(t *testing.T) {
			p := NewPKCE()
			code := b.code(t, web, alice, p)
			stolen := other
			stolen.RedirectURI = web.RedirectURI
			node.Exchange(t, stolen, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			tokens := node.Exchange(t, web, code, p).Tokens(t)
			node.Exchange(t, stolen, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			if !node.Active(t, web, tokens.Access) {
				t.Error("a stranger's replay ended somebody's grant")
			}
		})
		// However many redeem a code at once, one may win, and then it loses as well.
		t.Run("E02_parallel_redemption", func(t *testing.T) {
			p := NewPKCE()
			code := b.code(t, web, alice, p)
			won := 0
			var tokens Tokens
			for _, a := range parallel(t, 100, []*Node{node, second}, func(n *Node) (*Answer, error) {
				return n.TryPost("/oauth2/token", web, CodeForm(web, code, p))
			}) {
				if a.Status == http.StatusOK {
					won++
					tokens = a.Tokens(t)
					continue
				}
				a.WantError(t, http.StatusBadRequest, "invalid_grant")
			}
			if won > 1 {
				t.Errorf("%d redemptions succeeded", won)
			}
			if won == 1 {
				wantDead(t, web, tokens, node, second)
			}
			node.Exchange(t, web, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
		})
		// A wrong verifier is a guess, and there is no second guess.
		t.Run("E05_wrong_none_right_verifier", func(t *testing.T) {
			for _, c := range []Client{web, public} {
				p := NewPKCE()
				code := b.code(t, c, alice, p)
				node.Exchange(t, c, code, NewPKCE()).WantError(t, http.StatusBadRequest, "invalid_grant")
				node.Exchange(t, c, code, p, "code_verifier", "").WantError(t, http.StatusBadRequest, "invalid_grant")
				node.Exchange(t, c, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			}
		})
		t.Run("E06_verifiers", func(t *testing.T) {
			long := NewPKCE()
			for name, changes := range map[string][]string{
				"missing":          {"code_verifier", ""},
				"42 characters":    {"code_verifier", long.Verifier[:42]},
				"129 characters":   {"code_verifier", strings.Repeat("a", 129)},
				"NUL":              {"code_verifier", long.Verifier[:42] + "\x00"},
				"NUL at the end":   {"code_verifier", long.Verifier + "\x00"},
				"the challenge":    {"code_verifier", long.Challenge},
				"space at the end": {"code_verifier", long.Verifier + " "},
				"with padding":     {"code_verifier", long.Verifier + "="},
				"not UTF-8":        {"code_verifier", long.Verifier[:42] + "\xff"},
			} {
				t.Run(name, func(t *testing.T) {
					node.Exchange(t, web, b.code(t, web, alice, long), long, changes...).WantError(t, http.StatusBadRequest, "invalid_grant")
				})
			}
			t.Run("verifier without a challenge", func(t *testing.T) {
				none := []string{"code_challenge", "", "code_challenge_method", ""}
				node.Exchange(t, lax, b.code(t, lax, alice, long, none...), long).WantError(t, http.StatusBadRequest, "invalid_grant")
				// Without either, a client that may do without PKCE gets its tokens.
				node.Exchange(t, lax, b.code(t, lax, alice, long, none...), long, "code_verifier", "").Tokens(t)
			})
			t.Run("no verifier for a challenge of a client that may do without", func(t *testing.T) {
				node.Exchange(t, lax, b.code(t, lax, alice, long), long, "code_verifier", "").WantError(t, http.StatusBadRequest, "invalid_grant")
			})
		})
		// One token has one spelling; everything else is garbage that harms nobody.
		t.Run("E08_spellings", func(t *testing.T) {
			p := NewPKCE()
			code := b.code(t, web, alice, p)
			for _, wrong := range misspellings(code) {
				if a := node.Exchange(t, web, wrong, p); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Fatalf("code %q: %d %s", wrong, a.Status, a.Body)
				}
			}
			for i := range 56 { // the checksum mended
				wrong := respell(t, code, func(raw []byte) { raw[i] ^= 1 })
				if a := node.Exchange(t, web, wrong, p); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Fatalf("code %q: %d %s", wrong, a.Status, a.Body)
				}
			}
			tokens := node.Exchange(t, web, code, p).Tokens(t)
			for _, wrong := range misspellings(tokens.Refresh) {
				if a := node.Refresh(t, web, wrong); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Fatalf("refresh token %q: %d %s", wrong, a.Status, a.Body)
				}
			}
			for i := range 56 {
				wrong := respell(t, tokens.Refresh, func(raw []byte) { raw[i] ^= 1 })
				if a := node.Refresh(t, web, wrong); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
					t.Fatalf("refresh token %q: %d %s", wrong, a.Status, a.Body)
				}
			}
			for _, wrong := range misspellings(tokens.Access) {
				wantInactive(t, node, web, wrong, wrong)
			}
			if !node.Active(t, web, tokens.Access) || !node.Active(t, web, tokens.Refresh) {
				t.Error("garbage ended a good grant")
			}
			node.Refresh(t, web, tokens.Refresh).Tokens(t)
			// The session cookie. Whoever holds a misspelt one is nobody.
			issuer, _ := url.Parse(inst.Issuer)
			for _, cookie := range b.Client.Jar.Cookies(issuer) {
				if cookie.Name != "idp_session" {
					continue
				}
				tries := slices.DeleteFunc(misspellings(cookie.Value), func(s string) bool { return strings.ContainsAny(s, " \n") }) // no value has these
				for i := range 56 {
					tries = append(tries, respell(t, cookie.Value, func(raw []byte) { raw[i] ^= 1 }))
				}
				for _, wrong := range append(tries, cookie.Value) {
					r, _ := http.NewRequest(http.MethodGet, inst.Issuer+"/oauth2/auth?"+web.Request(p, "prompt", "none").Encode(), nil)
					r.Header.Set("Cookie", "idp_session="+wrong)
					a := Do(t, node.HTTP, r)
					location := a.Header.Get("Location")
					if signedIn := strings.Contains(location, "code="); signedIn != (wrong == cookie.Value) {
						t.Fatalf("cookie %q: %d %s", wrong, a.Status, location)
					}
				}
			}
		})
		t.Run("E09_grant_types", func(t *testing.T) {
			for name, tt := range map[string]struct{ body, want string }{
				"missing":        {"", "invalid_request"},
				"empty":          {"grant_type=", "invalid_request"},
				"password":       {"grant_type=password&username=a&password=b", "unsupported_grant_type"},
				"implicit":       {"grant_type=implicit", "unsupported_grant_type"},
				"list":           {"grant_type=authorization_code+refresh_token", "unsupported_grant_type"},
				"comma list":     {"grant_type=authorization_code,refresh_token", "unsupported_grant_type"},
				"twice":          {"grant_type=authorization_code&grant_type=authorization_code&code=x", "invalid_request"},
				"two":            {"grant_type=client_credentials&grant_type=authorization_code", "invalid_request"},
				"array":          {"grant_type[]=authorization_code", "invalid_request"},
				"capitals":       {"grant_type=Authorization_Code&code=x", "unsupported_grant_type"},
				"space":          {"grant_type=+authorization_code", "unsupported_grant_type"},
				"NUL":            {"grant_type=authorization_code%00", "unsupported_grant_type"},
				"code missing":   {"grant_type=authorization_code", "invalid_request"},
				"token missing":  {"grant_type=refresh_token", "invalid_request"},
				"not registered": {"grant_type=client_credentials", "unauthorized_client"},
			} {
				t.Run(name, func(t *testing.T) {
					postRaw(t, node, "/oauth2/token", web, tt.body).WantError(t, http.StatusBadRequest, tt.want)
				})
			}
			node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}).
				WantError(t, http.StatusBadRequest, "unauthorized_client")
		})
		t.Run("E10_parameters_in_the_query", func(t *testing.T) {
			p := NewPKCE()
			code := b.code(t, web, alice, p)
			form := CodeForm(web, code, p)
			for name, tt := range map[string]struct {
				query url.Values
				body  url.Values
			}{
				"all":         {form, nil},
				"code":        {url.Values{"code": {code}}, url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {web.RedirectURI}, "code_verifier": {p.Verifier}}},
				"credentials": {url.Values{"client_id": {web.ID}, "client_secret": {web.Secret}}, form},
				"unrelated":   {url.Values{"x": {"y"}}, form},
			} {
				t.Run(name, func(t *testing.T) {
					node.Post(t, "/oauth2/token?"+tt.query.Encode(), web, tt.body).WantError(t, http.StatusBadRequest, "invalid_request")
				})
			}
			postRaw(t, node, "/oauth2/token?", web, form.Encode()).WantError(t, http.StatusBadRequest, "invalid_request")
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodPatch} {
				r, _ := http.NewRequest(method, inst.Issuer+"/oauth2/token?"+form.Encode(), nil)
				r.SetBasicAuth(web.ID, web.Secret)
				a := Do(t, node.HTTP, r)
				if a.Status != http.StatusMethodNotAllowed || !strings.Contains(a.Header.Get("Allow"), "POST") || strings.Contains(a.Header.Get("Allow"), "GET") {
					t.Errorf("%s: %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
				}
			}
			for name, contentType := range map[string]string{"JSON": "application/json", "multipart": "multipart/form-data; boundary=x", "none": "", "text": "text/plain"} {
				t.Run(name, func(t *testing.T) {
					r, _ := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader(form.Encode()))
					r.Header.Set("Content-Type", contentType)
					r.SetBasicAuth(web.ID, web.Secret)
					Do(t, node.HTTP, r).WantError(t, http.StatusBadRequest, "invalid_request")
				})
			}
			node.Exchange(t, web, code, p).Tokens(t) // none of it touched the code
		})
		// A restart forgets nothing.
		t.Run("E01_replay_after_restart", func(t *testing.T) {
			p := NewPKCE()
			code := b.code(t, web, alice, p)
			tokens := node.Exchange(t, web, code, p).Tokens(t)
			calm(t, w, node, second)
			node.Kill(t)
			again := inst.Start(t)
			again.Exchange(t, web, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			wantDead(t, web, tokens, again)
			wantEvents(t, 1, again, "code.replayed")
			calm(t, w, again)
		})
	})
}

// postRaw sends a body as it is written.
func postRaw(t testing.TB, n *Node, path string, c Client, body string) *Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, n.Issuer+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return Do(t, n.HTTP, r)
}

// What an operator or a person ends between the sign-in and the next use is
// ended: for the code that waits, for refresh, introspection and userinfo.
func TestAttack_E12_EndedInBetween(t *testing.T) {
	t.Parallel()
	type pair struct {
		user    User
		clients [2]Client // JWT and opaque access tokens
		browser *Browser
		tokens  [2]Tokens
		codes   [2]string
		proofs  [2]PKCE
	}
	perClient := func(act func(c Client)) func(*testing.T, *pair) {
		return func(_ *testing.T, p *pair) {
			for _, c := range p.clients {
				act(c)
			}
		}
	}
	bad := http.StatusBadRequest
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=Read", "orders:write=Write"})
		rs := inst.NewClient(t, "--grant-type", "client_credentials", "--resource-server-of", api)
		cases := []struct {
			name     string
			end      func(t *testing.T, p *pair)
			exchange string // error of the exchange
			refresh  string // error of the refresh
			status   int
			perUser  bool // it ends more than one client's grants
		}{
			{
				name: "user disabled", perUser: true, exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: func(t *testing.T, p *pair) { inst.CLI(t, "", "user", "disable", p.user.Username) },
			},
			{
				name: "user deleted", perUser: true, exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: func(t *testing.T, p *pair) { inst.CLI(t, "", "user", "delete", p.user.Username) },
			},
			{
				name: "session revoked", perUser: true, exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: func(t *testing.T, p *pair) { inst.CLI(t, "", "session", "revoke", "--user", p.user.Username) },
			},
			{
				name: "signed out", perUser: true, exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: func(t *testing.T, p *pair) {
					page := p.browser.Get(t, "/logout")
					p.browser.Submit(t, page, page.Form(t, "logout-form"), nil)
				},
			},
			{
				name: "consent withdrawn", perUser: true, exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: func(t *testing.T, p *pair) {
					for _, c := range p.clients {
						inst.CLI(t, "", "consent", "revoke", p.user.Username, c.ID)
					}
				},
			},
			{
				name: "password reset", perUser: true, exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: func(t *testing.T, p *pair) {
					inst.CLI(t, "another good password "+Token()[:8]+"\n", "user", "set-password", p.user.Username, "--password-stdin")
				},
			},
			// A client is authenticated before its grant is looked at, so one that
			// is disabled or gone learns that it failed (RFC 6749 section 5.2):
			// invalid_grant would tell it that its secret is still good.
			{
				name: "client disabled", exchange: "invalid_client", refresh: "invalid_client", status: http.StatusUnauthorized,
				end: perClient(func(c Client) { inst.CLI(t, "", "client", "disable", c.ID) }),
			},
			{
				name: "client deleted", exchange: "invalid_client", refresh: "invalid_client", status: http.StatusUnauthorized,
				end: perClient(func(c Client) { inst.CLI(t, "", "client", "delete", c.ID) }),
			},
			{
				name: "client's tokens revoked", exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: perClient(func(c Client) { inst.CLI(t, "", "token", "revoke", "--client", c.ID) }),
			},
			// Section 5.2 has an error for a grant type that the client may not use,
			// whatever grant it presents: unauthorized_client. Starting again, as
			// invalid_grant asks for, would not help.
			{
				name: "authorization_code removed", exchange: "unauthorized_client", refresh: "unauthorized_client", status: bad,
				end: perClient(func(c Client) {
					inst.CLI(t, "", "client", "update", c.ID, "--grant-type", "client_credentials", "--redirect-uri", "", "--response-type", "", "--scope", "orders:read")
				}),
			},
			{
				name: "refresh_token removed", exchange: "invalid_grant", refresh: "unauthorized_client", status: bad,
				end: perClient(func(c Client) {
					inst.CLI(t, "", "client", "update", c.ID, "--grant-type", "authorization_code", "--scope", "openid orders:read orders:write")
				}),
			},
			{
				name: "scope removed", exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: perClient(func(c Client) {
					inst.CLI(t, "", "client", "update", c.ID, "--scope", "openid offline_access orders:write")
				}),
			},
			{
				name: "resource removed", exchange: "invalid_grant", refresh: "invalid_grant", status: bad,
				end: perClient(func(c Client) {
					inst.CLI(t, "", "client", "update", c.ID, "--scope", "openid offline_access", "--audience", "")
				}),
			},
		}
		shared := inst.NewUser(t)
		pairs := make([]*pair, len(cases))
		for i, tt := range cases {
			p := &pair{user: shared}
			if tt.perUser {
				p.user = inst.NewUser(t)
			}
			for k, format := range []string{"jwt", "opaque"} {
				p.clients[k] = inst.WebClient(t, "--audience", api, "--scope", "openid offline_access orders:read orders:write", "--access-token-format", format)
			}
			pairs[i] = p
		}
		node, second := startNodes(t, inst)
		w := watching(node)
		scope := []string{"scope", "openid offline_access orders:read"}
		sharedBrowser := w.browser(t, node)
		for _, p := range pairs {
			p.browser = sharedBrowser
			if p.user != shared {
				p.browser = w.browser(t, node)
			}
			for k, c := range p.clients {
				p.tokens[k] = p.browser.tokens(t, c, p.user, scope...)
				p.proofs[k] = NewPKCE()
				p.codes[k] = p.browser.code(t, c, p.user, p.proofs[k], scope...)
				if !node.Active(t, rs, p.tokens[k].Access) || !node.Active(t, c, p.tokens[k].Refresh) || node.Userinfo(t, p.tokens[k].Access).Status != http.StatusOK {
					t.Fatal("the tokens never lived")
				}
			}
		}
		for i, tt := range cases {
			tt.end(t, pairs[i])
		}
		Settle()
		for i, tt := range cases {
			t.Run(tt.name, func(t *testing.T) {
				p := pairs[i]
				for k, c := range p.clients {
					for _, n := range []*Node{node, second} {
						// Whether the access token lives, as its API sees it.
						wantInactive(t, n, rs, "access token", p.tokens[k].Access)
						wantBadToken(t, n.Userinfo(t, p.tokens[k].Access))
						if tt.refresh != "invalid_client" { // else it cannot even ask
							wantInactive(t, n, c, "refresh token", p.tokens[k].Refresh)
						}
						n.Refresh(t, c, p.tokens[k].Refresh).WantError(t, tt.status, tt.refresh)
					}
					second.Exchange(t, c, p.codes[k], p.proofs[k]).WantError(t, tt.status, tt.exchange)
				}
			})
		}
		calm(t, w, node, second)
	})
}

// When the database goes away between reading and writing, nothing is issued
// and the client is told to come back.
func TestAttack_E14_DatabaseFailsMidIssue(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--access-token-format", "opaque")
		var cut, mend func()
		extra := map[string]string{}
		if engine == "postgres" {
			line := newLine(t, inst.ServingURL, "SET code_used_at") // the statement that spends a code
			extra["IDP_DATABASE_URL"] = line.url
			cut, mend = line.arm, line.mend
		} else {
			path := strings.TrimPrefix(inst.DatabaseURL, "sqlite:")
			var db *sql.DB
			var conn *sql.Conn
			cut = func() { // readers go on, the writer finds a writer
				var err error
				if db, err = sql.Open("sqlite", path); err != nil {
					t.Fatal(err)
				}
				if conn, err = db.Conn(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
					t.Fatal(err)
				}
			}
			mend = func() {
				_ = conn.Close()
				_ = db.Close()
			}
		}
		node := inst.Launch(t, extra)
		node.WaitReady(t)
		w := watching(node)
		p := NewPKCE()
		code := w.browser(t, node).code(t, web, alice, p)
		issued := events(t, node, "token.issued")
		cut()
		a := node.Exchange(t, web, code, p)
		a.WantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
		if a.Header.Get("Retry-After") == "" || strings.Contains(a.Body, "access_token") {
			t.Errorf("Retry-After %q: %s", a.Header.Get("Retry-After"), a.Body)
		}
		mend()
		if got := events(t, node, "token.issued"); got != issued {
			t.Errorf("the audit tells of %d tokens that nobody got", got-issued)
		}
		var tokens Tokens
		for range 40 { // until it is connected again
			if a = node.Exchange(t, web, code, p); a.Status != http.StatusServiceUnavailable {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		tokens = a.Tokens(t)
		if !node.Active(t, web, tokens.Access) || !node.Active(t, web, tokens.Refresh) {
			t.Error("the retried exchange gave dead tokens")
		}
		wantEvents(t, issued+1, node, "token.issued")
		quiet(t, w, node)
	})
}

// line is a wire to a Postgres that breaks when a client says a word.
type line struct {
	url, network, target, word string

	mu    sync.Mutex
	armed bool
}

func newLine(t *testing.T, databaseURL, word string) *line {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{network: "tcp", target: u.Host, word: word}
	query := u.Query()
	if dir := query.Get("host"); dir != "" {
		l.network, l.target = "unix", filepath.Join(dir, ".s.PGSQL.5432")
		query.Del("host")
	} else if u.Port() == "" {
		l.target = net.JoinHostPort(u.Hostname(), "5432")
	}
	query.Set("sslmode", "disable") // the line reads along
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	u.Host, u.RawQuery = listener.Addr().String(), query.Encode()
	l.url = u.String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial(l.network, l.target)
			if err != nil {
				_ = client.Close()
				continue
			}
			go l.relay(server, client, true)
			go l.relay(client, server, false)
		}
	}()
	return l
}

func (l *line) relay(to, from net.Conn, listen bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if listen && n > 0 && strings.Contains(string(buf[:n]), l.word) {
			l.mu.Lock()
			broken := l.armed
			l.mu.Unlock()
			if broken {
				return
			}
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *line) set(armed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = armed
}

func (l *line) arm()  { l.set(true) }
func (l *line) mend() { l.set(false) }
