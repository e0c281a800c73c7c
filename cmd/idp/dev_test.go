package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lockedBuffer takes the log of a server while a test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startDev runs idp dev --json on free ports until the test ends or stop is
// called, and returns what it printed.
func startDev(t *testing.T, dir string, args ...string) (shown demonstration, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	log := new(lockedBuffer)
	a := &app{Stdin: strings.NewReader(""), Stdout: in, Stderr: log, Env: []string{"IDP_ISSUER=https://production.example.com", "IDP_NONSENSE=1"}, Now: time.Now}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, a, append([]string{"dev", "--json", "--data-dir", dir, "--listen", "127.0.0.1:0", "--demo-listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0"}, args...))
		in.Close()
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("idp dev exited with %d:\n%s", code, log)
		}
	})
	t.Cleanup(stop)
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&shown); err != nil {
		t.Fatalf("no JSON on stdout: %v\n%s", err, log)
	}
	return shown, stop
}

// serviceToken gets a token as demo-service does.
func serviceToken(t *testing.T, shown demonstration) string {
	t.Helper()
	service := shown.client("demo-service")
	return clientToken(t, shown.TokenEndpoint, service.ClientID, service.ClientSecret, "demo:read")
}

func fetch(t *testing.T, request *http.Request, wantStatus int) []byte {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != wantStatus {
		t.Fatalf("%s %s: %s, want %d\n%s", request.Method, request.URL, response.Status, wantStatus, body)
	}
	return body
}

func get(t *testing.T, address string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// TestDevIsAWorkingIssuer gets a token from what is printed, calls the API
// with it, and opens the application.
func TestDevIsAWorkingIssuer(t *testing.T) {
	t.Parallel()
	shown, _ := startDev(t, t.TempDir())

	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(fetch(t, get(t, shown.Discovery), http.StatusOK), &metadata); err != nil {
		t.Fatal(err)
	}
	if metadata.Issuer != shown.Issuer || metadata.JWKSURI != shown.JWKS {
		t.Errorf("discovery says issuer %s, JWKS %s; printed were %s, %s", metadata.Issuer, metadata.JWKSURI, shown.Issuer, shown.JWKS)
	}

	call := get(t, shown.ResourceAPI.URL)
	fetch(t, call, http.StatusUnauthorized)
	call.Header.Set("Authorization", "Bearer "+serviceToken(t, shown))
	fetch(t, call, http.StatusOK)

	if page := fetch(t, get(t, shown.DemoApp), http.StatusOK); !bytes.Contains(page, []byte("<html")) {
		t.Errorf("the application answers with %s", page)
	}
	if _, err := os.Stat(filepath.Join(shown.DataDir, "idp.db")); err != nil {
		t.Errorf("data_dir: %v", err)
	}
	entries, err := os.ReadDir(shown.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s (%s)", entry.Name(), info.Mode())
		}
	}
}

// TestDevRemembers starts twice, on other ports, and forgets when told to.
func TestDevRemembers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, stop := startDev(t, dir)
	stop()
	second, stop := startDev(t, dir)
	if diff := cmp.Diff(first.Users, second.Users); diff != "" {
		t.Errorf("users changed:\n%s", diff)
	}
	if first.client("demo-web").ClientSecret != second.client("demo-web").ClientSecret || first.client("demo-web").ClientSecret == "" {
		t.Error("the secret of demo-web changed")
	}
	if diff := cmp.Diff([]string{second.DemoApp + "/callback"}, second.client("demo-web").RedirectURIs); diff != "" {
		t.Errorf("demo-web did not follow the application:\n%s", diff)
	}
	serviceToken(t, second)
	stop()
	_, stdout, stderr := command(t, nil, "", "client", "get", "demo-web", "--data-dir", dir, "-o", "json")
	var web struct {
		PostLogout  []string `json:"post_logout_redirect_uris"`
		Backchannel string   `json:"backchannel_logout_uri"`
	}
	if err := json.Unmarshal([]byte(stdout), &web); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	if len(web.PostLogout) != 1 || web.PostLogout[0] != second.DemoApp+"/signed-out" || web.Backchannel != second.DemoApp+"/backchannel-logout" {
		t.Errorf("sign-out did not follow the application: %+v", web)
	}

	third, stop := startDev(t, dir, "--reset")
	if third.Users[0].Sub == first.Users[0].Sub || third.Users[0].Password == first.Users[0].Password {
		t.Error("--reset forgot nothing")
	}
	serviceToken(t, third)
	stop()

	// What only the file knew is made anew when the file is lost.
	if err := os.Remove(filepath.Join(dir, demoSecretsFile)); err != nil {
		t.Fatal(err)
	}
	fourth, _ := startDev(t, dir)
	if fourth.Users[0].Sub != third.Users[0].Sub {
		t.Error("alice became somebody else")
	}
	serviceToken(t, fourth)
}

// TestDevNamesTheFlagOfATakenPort also sees that nothing was begun.
func TestDevNamesTheFlagOfATakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--listen", "--demo-listen", "--management-listen"} {
		dir := filepath.Join(t.TempDir(), "data")
		args := []string{"dev", "--data-dir", dir, "--listen", "127.0.0.1:0", "--demo-listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0", flag, taken.Addr().String()}
		code, _, stderr := command(t, nil, "", args...)
		if code != exitFailure || !strings.HasPrefix(stderr, "idp: "+flag+" "+taken.Addr().String()) {
			t.Errorf("%s: exit %d, %s", flag, code, stderr)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the data directory was begun", flag)
		}
	}
}

// TestDevLeavesARealServersDataAlone: its user, clients and keys are not for
// demonstrations.
func TestDevLeavesARealServersDataAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serveOnce(t, dir, "https://id.example.com")
	code, _, stderr := command(t, nil, "", "dev", "--data-dir", dir, "--listen", "127.0.0.1:0", "--demo-listen", "127.0.0.1:0", "--management-listen", "off")
	if code != exitFailure || !strings.Contains(stderr, "holds the database of https://id.example.com: name another directory with --data-dir") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if _, out, _ := command(t, nil, "", "user", "list", "--data-dir", dir, "-q"); out != "" {
		t.Errorf("users were made: %s", out)
	}
}
