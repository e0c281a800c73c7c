package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"idp/internal/store/storetest"
)

// Engines are what every behaviour is shown on.
var Engines = []string{"sqlite", "postgres"}

// EachEngine runs a test on both engines, side by side. What it shares with the
// other engine's run lies outside the function, where both may touch it.
func EachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range Engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// EachEngineAlone is EachEngine for a test that measures time or memory: one
// engine after the other, and nothing beside it if the test is not parallel.
func EachEngineAlone(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range Engines {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}

// binary builds idp once per test process.
var binary = sync.OnceValues(func() (string, error) {
	if built := os.Getenv("IDP_TEST_BINARY"); built != "" {
		return built, nil
	}
	dir, err := os.MkdirTemp("", "idp-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "idp")
	build := exec.Command("go", "build", "-o", path, "idp/cmd/idp")
	build.Dir = moduleRoot()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func moduleRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Binary returns the path of the built binary.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ArtifactDir is where screenshots and logs are kept.
func ArtifactDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TEST_ARTIFACTS")
	if dir == "" {
		dir = filepath.Join(moduleRoot(), "test-artifacts")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Installation is a configured idp: a database, a master key, an issuer. Nodes
// are started on it, and commands run against it.
type Installation struct {
	Issuer      string
	Engine      string
	DatabaseURL string // as the role that the schema belongs to
	ServingURL  string // as the role that idp connects as
	DataDir     string
	env         map[string]string
	roots       *x509.CertPool // of what ends TLS; nil are those of the machine
}

// MasterKey is the test installations' master key; it guards nothing.
const MasterKey = "dGVzdC1tYXN0ZXIta2V5LXRoYXQtZ3VhcmRzLW5vdGhpbmctMTIz"

// Install configures a fresh idp. Extra settings are environment variables. On
// Postgres its role may serve on the database and no more, so that all that is
// tested is tested without further rights.
func Install(t testing.TB, engine string, extra map[string]string) *Installation {
	t.Helper()
	inst := install(t, engine, extra, storetest.PostgresMigrated)
	if engine == "postgres" {
		inst.ServingURL = storetest.Serving(t.(*testing.T), inst.DatabaseURL)
		inst.env["IDP_DATABASE_URL"] = inst.ServingURL
	}
	return inst
}

// InstallEmpty is Install on an empty database, which belongs to idp's own role.
func InstallEmpty(t testing.TB, engine string, extra map[string]string) *Installation {
	t.Helper()
	return install(t, engine, extra, storetest.Postgres)
}

func install(t testing.TB, engine string, extra map[string]string, postgres func(*testing.T) string) *Installation {
	t.Helper()
	dir := t.TempDir()
	inst := &Installation{
		Issuer:  "http://localhost:" + FreePort(t),
		Engine:  engine,
		DataDir: filepath.Join(dir, "data"),
	}
	switch engine {
	case "postgres":
		inst.DatabaseURL = postgres(t.(*testing.T)) // a cluster belongs to a test, not to a benchmark
	default:
		inst.DatabaseURL = "sqlite:" + filepath.Join(dir, "data", "idp.db")
	}
	if err := os.MkdirAll(inst.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	inst.ServingURL = inst.DatabaseURL
	inst.env = map[string]string{
		"IDP_ISSUER":               inst.Issuer,
		"IDP_DATABASE_URL":         inst.DatabaseURL,
		"IDP_DATA_DIR":             inst.DataDir,
		"IDP_MASTER_KEY":           MasterKey,
		"IDP_MIGRATE":              "auto",
		"IDP_LOG_FORMAT":           "json",
		"IDP_DRAIN_DELAY":          "0s",
		"IDP_TRUSTED_PROXIES":      "127.0.0.1/32", // so that a test chooses its address
		"IDP_PASSWORDS_MEMORY_KIB": "19456",
		"IDP_PASSWORDS_ITERATIONS": "2",
	}
	for k, v := range extra {
		inst.env[k] = v
	}
	return inst
}

func (i *Installation) environ(extra map[string]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR")}
	for k, v := range i.env {
		if _, overridden := extra[k]; !overridden {
			env = append(env, k+"="+v)
		}
	}
	for k, v := range extra {
		env = append(env, k+"="+v)
	}
	return env
}

// Node is one running `idp serve`.
type Node struct {
	*Installation
	Addr       string // where it listens
	Management string // http://host:port
	HTTP       *http.Client
	cmd        *exec.Cmd
	logs       *logBuffer
	exited     chan struct{}
	exitErr    error
}

// Start runs a node and waits until it is ready. Several nodes of one
// installation are several servers behind one name: each node's HTTP client
// dials that node, whatever the URL says.
func (i *Installation) Start(t testing.TB) *Node {
	t.Helper()
	n := i.Launch(t, nil)
	n.WaitReady(t)
	return n
}

// Launch runs a node without waiting for it.
func (i *Installation) Launch(t testing.TB, extra map[string]string) *Node {
	t.Helper()
	issuer, err := url.Parse(i.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + issuer.Port()
	if taken(addr) {
		addr = "127.0.0.1:" + FreePort(t)
	}
	management := "127.0.0.1:" + FreePort(t)
	n := &Node{Installation: i, Addr: addr, Management: "http://" + management, logs: &logBuffer{}, exited: make(chan struct{})}
	n.HTTP = n.Client("")
	n.cmd = exec.Command(Binary(t), "serve")
	env := map[string]string{"IDP_LISTEN": addr, "IDP_MANAGEMENT_LISTEN": management}
	for k, v := range extra {
		env[k] = v
	}
	n.cmd.Env = i.environ(env)
	n.cmd.Dir = i.DataDir
	n.cmd.Stderr, n.cmd.Stdout = n.logs, n.logs
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		n.exitErr = n.cmd.Wait()
		close(n.exited)
	}()
	t.Cleanup(func() {
		n.Stop(t)
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.Addr, n.Logs())
		}
		for _, bad := range []string{"panic:", "DATA RACE"} {
			if strings.Contains(n.Logs(), bad) {
				t.Errorf("the log of %s holds %q:\n%s", n.Addr, bad, n.Logs())
			}
		}
	})
	return n
}

// WaitReady waits until the node answers its readiness probe.
func (n *Node) WaitReady(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-n.exited:
			t.Fatalf("the node ended before it was ready: %v\n%s", n.exitErr, n.Logs())
		default:
		}
		if res, err := http.Get(n.Management + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the node was not ready within 20 s\n%s", n.Logs())
}

// Stop ends the node as a service manager does and waits for it.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(20 * time.Second):
		_ = n.cmd.Process.Kill()
		t.Error("the node did not end within 20 s of SIGTERM")
	}
}

// Kill ends the node without any warning.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-n.exited
}

// Exit waits for the node to end and returns its exit code.
func (n *Node) Exit(t testing.TB) int {
	t.Helper()
	select {
	case <-n.exited:
		return n.cmd.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		t.Fatalf("the node is still running\n%s", n.Logs())
		return -1
	}
}

// PID is the process id of the node.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Logs returns everything that the node has logged.
func (n *Node) Logs() string { return n.logs.String() }

// Records returns the node's log records, parsed.
func (n *Node) Records(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	lines := bufio.NewScanner(strings.NewReader(n.Logs()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var record map[string]any
		if err := json.Unmarshal(lines.Bytes(), &record); err == nil {
			out = append(out, record)
		}
	}
	return out
}

// Client returns an HTTP client that reaches this node and no other, follows
// no redirect, keeps no cookie, and seems to come from address (a fresh one
// when empty).
func (n *Node) Client(address string) *http.Client {
	if address == "" {
		address = NextAddress()
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, n.Addr)
		},
		TLSClientConfig:     &tls.Config{RootCAs: n.roots},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}
	return &http.Client{
		Transport:     forwardedFor{address, transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       20 * time.Second,
	}
}

type forwardedFor struct {
	address string
	next    http.RoundTripper
}

func (f forwardedFor) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Forwarded-For") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("X-Forwarded-For", f.address)
	}
	return f.next.RoundTrip(r)
}

var addresses atomic.Uint32

// NextAddress returns an address that no test used before, so that limits per
// address stay apart.
func NextAddress() string {
	n := addresses.Add(1)
	return fmt.Sprintf("198.18.%d.%d", n>>8&0xff, n&0xff)
}

// CLI runs an idp command against the installation and returns its output.
// A command that fails fails the test.
func (i *Installation) CLI(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	stdout, stderr, code := i.Try(t, stdin, args...)
	if code != 0 {
		t.Fatalf("idp %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// Try runs an idp command that may fail.
func (i *Installation) Try(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := i.command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// command is an idp command against the installation.
func (i *Installation) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Env = i.environ(nil)
	cmd.Dir = i.DataDir
	return cmd
}

// JSON runs an idp command with -o json and decodes what it prints.
func (i *Installation) JSON(t testing.TB, into any, stdin string, args ...string) {
	t.Helper()
	out := i.CLI(t, stdin, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("idp %s printed no JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Settle waits until every node has seen a change made by a command: nodes
// poll, and two seconds are what is promised.
func Settle() { time.Sleep(1200 * time.Millisecond) }

// Ports are dealt out one after the other below those that the system gives to
// connections, from a place of each process's own: a port that is free now is
// still free when a server takes it.
const firstPort, lastPort = 10000, 29999

var nextPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(int64(os.Getpid()) * 97) // far from that of a process started beside it
	return &n
}()

// FreePort returns a port that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.FormatInt(firstPort+nextPort.Add(1)%(lastPort-firstPort+1), 10)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

func taken(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return true
	}
	l.Close()
	return false
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Answer is an HTTP answer, read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	URL    *url.URL
}

// JSON decodes the answer's body.
func (a *Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil {
		t.Fatalf("not JSON (%v), status %d: %s", err, a.Status, a.Body)
	}
	return out
}

// Do sends a request and reads the answer.
func Do(t testing.TB, c *http.Client, r *http.Request) *Answer {
	t.Helper()
	a, err := Send(c, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Send is Do for goroutines, which may not fail a test.
func Send(c *http.Client, r *http.Request) (*Answer, error) {
	res, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &Answer{res.StatusCode, res.Header, string(body), r.URL}, nil
}
