package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
)

// command runs one command line in this process, as a shell would.
func command(t *testing.T, env []string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	env = append([]string{"IDP_PASSWORDS_MEMORY_KIB=19456", "IDP_PASSWORDS_ITERATIONS=2"}, env...)
	code = run(t.Context(), &app{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &err, Env: env, Now: time.Now}, args)
	return code, out.String(), err.String()
}

func mustCommand(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	code, stdout, stderr := command(t, nil, stdin, args...)
	if code != exitOK {
		t.Fatalf("idp %s: exit %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// startServe runs idp serve in this process until the test ends or stop is
// called, which returns its exit code.
func startServe(t *testing.T, env ...string) (log *lockedBuffer, stop func() int) {
	t.Helper()
	return startServeAt(t, time.Now, env...)
}

// startServeAt is startServe by another clock.
func startServeAt(t *testing.T, now func() time.Time, env ...string) (log *lockedBuffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = new(lockedBuffer)
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &app{Stdin: strings.NewReader(""), Stdout: log, Stderr: log, Env: append(env, "IDP_DRAIN_DELAY=0"), Now: now}, []string{"serve"})
	}()
	code := -1
	stop = func() int {
		cancel()
		if code < 0 {
			code = <-ended
		}
		return code
	}
	t.Cleanup(func() { stop() })
	eventually(t, "the server starts", func() bool {
		select {
		case code = <-ended:
			t.Fatalf("idp serve exited with %d:\n%s", code, log)
		default:
		}
		return strings.Contains(log.String(), "idp started")
	})
	return log, stop
}

// serveOnce starts a server on a data directory and stops it.
func serveOnce(t *testing.T, dir, issuer string) {
	t.Helper()
	_, stop := startServe(t, "IDP_DATA_DIR="+dir, "IDP_ISSUER="+issuer, "IDP_LISTEN=127.0.0.1:0", "IDP_MANAGEMENT_LISTEN=off")
	if code := stop(); code != exitOK {
		t.Fatalf("idp serve exited with %d", code)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// tokenRequest asks for a token by client credentials.
func tokenRequest(t *testing.T, endpoint, clientID, secret, scope string) *http.Request {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(clientID, secret)
	return request
}

func clientToken(t *testing.T, endpoint, clientID, secret, scope string) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	body := fetch(t, tokenRequest(t, endpoint, clientID, secret, scope), http.StatusOK)
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("no access token in %s", body)
	}
	return answer.AccessToken
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + e2e.FreePort(t)
}

// TestServeSeesWhatCommandsChange registers a client beside a running server,
// gets a token, and follows the token's life by command.
func TestServeSeesWhatCommandsChange(t *testing.T) {
	t.Parallel()
	dir, listen, management := t.TempDir(), freeAddress(t), freeAddress(t)
	_, port, _ := net.SplitHostPort(listen)
	issuer := "http://localhost:" + port
	log, stop := startServe(t, "IDP_DATA_DIR="+dir, "IDP_ISSUER="+issuer, "IDP_LISTEN="+listen, "IDP_MANAGEMENT_LISTEN="+management)
	for _, want := range []string{"issuer=" + issuer, "database=sqlite", "listen=" + listen, "management_listen=" + management, "keys="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the start line lacks %s:\n%s", want, log)
		}
	}
	if out := mustCommand(t, "", "healthcheck", "--management-listen", management); out != "ready\n" {
		t.Errorf("healthcheck says %q", out)
	}

	// A second server on the same file is refused; the commands below are not.
	code, _, stderr := command(t, []string{"IDP_ISSUER=" + issuer, "IDP_LISTEN=127.0.0.1:0", "IDP_MANAGEMENT_LISTEN=off"}, "", "serve", "--data-dir", dir)
	if code != exitTryAgain || !strings.Contains(stderr, "in use by another server") {
		t.Errorf("second server: exit %d, %s", code, stderr)
	}

	mustCommand(t, "", "resource", "create", "https://api.example.com", "--scope", "orders:read", "--data-dir", dir)
	var client clientView
	out := mustCommand(t, "", "client", "create", "batch", "--grant-type", "client_credentials", "--audience", "https://api.example.com", "--scope", "orders:read", "-o", "json", "--data-dir", dir)
	if err := json.Unmarshal([]byte(out), &client); err != nil {
		t.Fatal(err)
	}
	endpoint := issuer + "/oauth2/token"
	// Changes are seen in their order: with this one, the client is known.
	mustCommand(t, "", "resource", "update", "https://api.example.com", "--scope", "orders:read", "--scope", "orders:write", "--data-dir", dir)
	eventually(t, "discovery lists the new scope", func() bool {
		return bytes.Contains(fetch(t, get(t, issuer+"/.well-known/openid-configuration"), http.StatusOK), []byte(`"orders:write"`))
	})

	inspect := func(token string) tokenView {
		var v tokenView
		if err := json.Unmarshal([]byte(mustCommand(t, token+"\n", "token", "inspect", "-o", "json", "--data-dir", dir)), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := clientToken(t, endpoint, "batch", client.ClientSecret, "orders:read")
	if v := inspect(first); !v.Active || v.ClientID != "batch" || v.Scope != "orders:read" || v.Audience[0] != "https://api.example.com" {
		t.Errorf("a fresh token is inspected as %+v", v)
	}
	if out := mustCommand(t, first, "token", "revoke", "--data-dir", dir); !strings.Contains(out, "revoked") {
		t.Errorf("revoke says %q", out)
	}
	if v := inspect(first); v.Active || v.Reason != "revoked" {
		t.Errorf("a revoked token is inspected as %+v", v)
	}
	if v := inspect(first[:len(first)-6]); v.Active || !strings.HasPrefix(v.Reason, "not a token of "+issuer) {
		t.Errorf("a cut token is inspected as %+v", v)
	}

	second := clientToken(t, endpoint, "batch", client.ClientSecret, "orders:read")
	mustCommand(t, "", "token", "revoke", "--all", "--data-dir", dir)
	if v := inspect(second); v.Active || v.Reason != "client's tokens were invalidated" {
		t.Errorf("after revoking all, a token is inspected as %+v", v)
	}

	// Given as an argument it would be seen by everybody.
	if code, _, stderr := command(t, nil, "", "token", "inspect", second, "--data-dir", dir); code != exitUsage || strings.Contains(stderr, second) {
		t.Errorf("token as an argument: exit %d, %s", code, stderr)
	}

	mustCommand(t, "", "client", "disable", "batch", "--data-dir", dir)
	eventually(t, "the server refuses the disabled client", func() bool {
		request := tokenRequest(t, endpoint, "batch", client.ClientSecret, "orders:read")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == http.StatusUnauthorized
	})

	kid := strings.Fields(mustCommand(t, "", "key", "rotate", "--alg", "ES256", "-q", "--data-dir", dir))[0]
	eventually(t, "the new key is published", func() bool {
		return bytes.Contains(fetch(t, get(t, issuer+"/.well-known/jwks.json"), http.StatusOK), []byte(kid))
	})

	if code := stop(); code != exitOK {
		t.Errorf("idp serve exited with %d:\n%s", code, log)
	}
	for _, secret := range []string{client.ClientSecret, first, second} {
		if strings.Contains(log.String(), secret) {
			t.Error("the log holds a secret")
		}
	}
}

// TestHangupReloadsTheLogLevelOnly sends the signal to this process, so it
// must not run beside other servers.
func TestHangupReloadsTheLogLevelOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "idp.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := "issuer: http://localhost:1\nlisten: 127.0.0.1:0\nmanagement_listen: off\ndata_dir: " + dir + "\n"
	write(good)
	log, stop := startServe(t, "IDP_CONFIG="+file)
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	write(good + "log:\n  level: loud\n")
	eventually(t, "the fault is logged", func() bool {
		hangup()
		return strings.Contains(log.String(), `idp.yaml:6: log.level: \"loud\": must be debug, info, warn or error`)
	})
	write(good + "log:\n  level: debug\n")
	eventually(t, "the level is reloaded", func() bool {
		hangup()
		return strings.Contains(log.String(), "level=debug")
	})
	if code := stop(); code != exitOK {
		t.Errorf("exit %d:\n%s", code, log)
	}
}

// TestServeWarnsOfAnotherIssuer because everything issued before is void then.
func TestServeWarnsOfAnotherIssuer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serveOnce(t, dir, "https://old.example.com")
	log, _ := startServe(t, "IDP_DATA_DIR="+dir, "IDP_ISSUER=https://new.example.com", "IDP_LISTEN=127.0.0.1:0", "IDP_MANAGEMENT_LISTEN=off")
	if !strings.Contains(log.String(), "the issuer changed") || !strings.Contains(log.String(), "was=https://old.example.com") {
		t.Errorf("no warning:\n%s", log)
	}
}
