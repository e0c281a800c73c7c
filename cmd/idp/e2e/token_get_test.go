package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gotTokens is what idp token get -o json prints.
type gotTokens struct {
	Access    string    `json:"access_token"`
	ID        string    `json:"id_token"`
	Refresh   string    `json:"refresh_token"`
	Scope     string    `json:"scope"`
	ExpiresAt time.Time `json:"expires_at"`
}

// terminal is a running idp token get that waits for somebody to sign in.
type terminal struct {
	URL    *url.URL // where it asks them to go
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout bytes.Buffer
	stderr *bufio.Reader
}

// atTerminal starts a command that signs in, and reads which address it says.
func atTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	w := &terminal{cmd: cmd}
	cmd.Stdout = &w.stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	w.stderr = bufio.NewReader(stderr)
	line, err := w.stderr.ReadString('\n')
	address, ok := strings.CutPrefix(line, "open:  ")
	if err != nil || !ok {
		rest, _ := io.ReadAll(w.stderr)
		t.Fatalf("%v: %s%s", err, line, rest)
	}
	w.URL = mustURL(t, strings.TrimSpace(address))
	return w
}

// ends waits for the command and returns what it printed, and its exit code.
func (w *terminal) ends(t *testing.T) (stdout, stderr string, code int) {
	t.Helper()
	rest, _ := io.ReadAll(w.stderr)
	_ = w.cmd.Wait()
	return w.stdout.String(), string(rest), w.cmd.ProcessState.ExitCode()
}

// comeBack opens an address that the browser was sent to on this machine.
func comeBack(t *testing.T, to *url.URL) *Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, to.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Do(t, http.DefaultClient, r)
}

// Somebody signs in from the terminal as a client of any kind would.
func TestTokenGet(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		api := inst.NewResource(t, []string{"orders:read=See your orders"})
		alice := inst.NewUser(t)
		native := inst.WebClient(t, "--public", "--application-type", "native", "--redirect-uri", "http://127.0.0.1/back%20here?a=b", "--audience", api,
			"--scope", "openid offline_access orders:read")
		web := inst.WebClient(t, "--redirect-uri", "https://app.example/cb", "--require-pushed-authorization-requests", "--id-token-signed-response-alg", "ES256")
		post := inst.WebClient(t, "--redirect-uri", "http://localhost:"+FreePort(t)+"/cb", "--token-endpoint-auth-method", "client_secret_post", "--require-pushed-authorization-requests", "--scope", "openid")
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		keyed := inst.WebClient(t, "--token-endpoint-auth-method", "private_key_jwt", "--jwks-uri", "https://app.example/jwks")
		node := inst.Start(t)
		person := node.NewBrowser(t)

		get := func(c Client, args ...string) *exec.Cmd {
			cmd := inst.command(t, append([]string{"token", "get", "--client", c.ID, "--no-browser", "--timeout", "60s"}, args...)...)
			if c.Secret != "" {
				cmd.Env = append(cmd.Env, "OIDC_CLIENT_SECRET="+c.Secret)
			}
			return cmd
		}
		tokens := func(t *testing.T, stdout string) gotTokens {
			t.Helper()
			var got gotTokens
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Access == "" {
				t.Fatalf("%v: %s", err, stdout)
			}
			return got
		}

		t.Run("loopback", func(t *testing.T) {
			w := atTerminal(t, get(native, "-o", "json"))
			came := person.Authorize(t, w.URL.Query(), alice)
			// What is not this sign-in's is refused, and it goes on waiting.
			other := *came
			other.RawQuery = "a=b&code=x&iss=" + url.QueryEscape(inst.Issuer) + "&state=x"
			if a := comeBack(t, &other); a.Status != http.StatusBadRequest {
				t.Errorf("another state: status %d", a.Status)
			}
			if a := comeBack(t, &url.URL{Scheme: came.Scheme, Host: came.Host, Path: "/favicon.ico"}); a.Status != http.StatusNotFound {
				t.Errorf("another path: status %d", a.Status)
			}
			if a := comeBack(t, came); a.Status != http.StatusOK || !strings.HasPrefix(a.Body, "Signed in.") || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("status %d: %s", a.Status, a.Body)
			}
			stdout, stderr, code := w.ends(t)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			got := tokens(t, stdout)
			if got.Refresh == "" || got.ID == "" || got.Scope != "openid offline_access orders:read" {
				t.Errorf("%+v", got)
			}
			if !node.Active(t, Client{ID: web.ID, Secret: web.Secret}, got.Access) && node.Userinfo(t, got.Access).Status != http.StatusOK {
				t.Error("the access token is not good")
			}
		})

		t.Run("shown without signatures", func(t *testing.T) {
			w := atTerminal(t, get(native))
			comeBack(t, person.Authorize(t, w.URL.Query(), alice))
			stdout, stderr, code := w.ends(t)
			if code != 0 || !strings.Contains(stdout, `"sub": "`+alice.Sub+`"`) || !strings.Contains(stdout, `"typ": "at+jwt"`) || !strings.Contains(stdout, "the signature is cut out") {
				t.Errorf("exit %d: %s%s", code, stdout, stderr)
			}
			for _, raw := range []string{"eyJ", "idp_rt_"} {
				if strings.Contains(stdout+stderr, raw) {
					t.Errorf("%q is in what is shown", raw)
				}
			}
		})

		t.Run("pasted, and pushed", func(t *testing.T) {
			w := atTerminal(t, get(web, "--paste", "-o", "json"))
			if !w.URL.Query().Has("request_uri") {
				t.Errorf("nothing was pushed: %s", w.URL)
			}
			came := person.Authorize(t, w.URL.Query(), alice)
			fmt.Fprintln(w.stdin, came)
			stdout, stderr, code := w.ends(t)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			tokens(t, stdout)
		})

		t.Run("a fixed port, and the secret in a file", func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(post.Secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := get(Client{ID: post.ID}, "--quiet")
			cmd.Env = append(cmd.Env, "OIDC_CLIENT_SECRET_FILE="+file)
			w := atTerminal(t, cmd)
			comeBack(t, person.Authorize(t, w.URL.Query(), alice))
			if stdout, stderr, code := w.ends(t); code != 0 || node.Userinfo(t, strings.TrimSpace(stdout)).Status != http.StatusOK {
				t.Errorf("exit %d: %s%s", code, stdout, stderr)
			}
		})

		t.Run("refusals", func(t *testing.T) {
			for name, spoil := range map[string]func(url.Values){
				"its state is another one": func(q url.Values) { q.Set("state", "x") },
				"issuer":                   func(q url.Values) { q.Set("iss", "https://other.example") },
				"more than":                func(q url.Values) { q.Add("code", "x") },
				"invalid_grant":            func(q url.Values) { q.Set("code", "idp_ac_x") },
				"access_denied":            func(q url.Values) { q.Set("error", "access_denied"); q.Del("code") },
			} {
				w := atTerminal(t, get(web, "--paste"))
				came := person.Authorize(t, w.URL.Query(), alice)
				q := came.Query()
				spoil(q)
				came.RawQuery = q.Encode()
				fmt.Fprintln(w.stdin, came)
				if stdout, stderr, code := w.ends(t); code != 1 || stdout != "" || !strings.Contains(stderr, name) || strings.Contains(stderr, web.Secret) {
					t.Errorf("%s: exit %d: %s%s", name, code, stdout, stderr)
				}
			}
			for _, tt := range []struct {
				c    Client
				args []string
				code int
				says string
			}{
				{Client{ID: web.ID}, nil, 2, "needs its secret"},
				{web, nil, 1, "no redirect URI on this machine"},
				{keyed, nil, 1, "only the application holds"},
				{Client{ID: "nobody"}, nil, 1, "not found"},
				{native, []string{"--flow", "device"}, 1, "no device flow"},
				{native, []string{"--flow", "password"}, 2, "must be code"},
				{web, []string{"--paste", "--client-secret-stdin"}, 2, "both read stdin"},
				{native, []string{"--timeout", "100ms"}, 1, "nobody signed in"},
				{native, []string{"--issuer", "http://127.0.0.1:1"}, 69, "refused"},
				{native, []string{"--issuer", "http://id.example.com"}, 2, "must be an https address"},
			} {
				cmd := get(tt.c, tt.args...)
				out, _ := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.says) {
					t.Errorf("%s %q: exit %d: %s", tt.c.ID, tt.args, code, out)
				}
			}
		})

		t.Run("a service", func(t *testing.T) {
			out, err := get(service, "-o", "json").Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := tokens(t, string(out)); got.ID != "" || got.Scope != "orders:read" {
				t.Errorf("%+v", got)
			}
			wrong := get(Client{ID: service.ID, Secret: "wrong-" + Token()})
			if said, _ := wrong.CombinedOutput(); wrong.ProcessState.ExitCode() != 1 || !strings.Contains(string(said), "invalid_client") || strings.Contains(string(said), "wrong-") {
				t.Errorf("%s", said)
			}
			// The same at an issuer of which nothing is known here.
			elsewhere := get(service, "--issuer", inst.Issuer, "--flow", "client-credentials", "--scope", "orders:read", "--resource", api, "-o", "json")
			elsewhere.Env = []string{"OIDC_CLIENT_SECRET=" + service.Secret}
			if out, err = elsewhere.Output(); err != nil {
				t.Fatal(err)
			}
			tokens(t, string(out))
		})
	})
}

// The line that idp dev prints works as it is.
func TestDev_TokenGet(t *testing.T) {
	t.Parallel()
	d, _ := startDev(t, "127.0.0.1:0", "127.0.0.1:0")
	cmd := exec.CommandContext(t.Context(), Binary(t), "token", "get", "--client", "demo-cli", "--data-dir", d.DataDir, "-o", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // and so without a screen
	w := atTerminal(t, cmd)
	node := &Node{Installation: &Installation{Issuer: d.Issuer}, Addr: "127.0.0.1:" + mustURL(t, d.Issuer).Port()}
	comeBack(t, node.NewBrowser(t).Authorize(t, w.URL.Query(), User{Username: d.Users[0].Username, Password: d.Users[0].Password, Sub: d.Users[0].Sub}))
	stdout, stderr, code := w.ends(t)
	var got gotTokens
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || got.ID == "" || got.Refresh == "" {
		t.Errorf("exit %d, %v: %s", code, err, stderr)
	}
}
