package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// snippet writes the files of a stack for a client into a fresh folder, as
// idp client snippet prints them.
func (i *Installation) snippet(t *testing.T, c Client, stack string) (dir string) {
	t.Helper()
	var s struct {
		Problems []string `json:"problems"`
		Files    []struct {
			Name string `json:"name"`
			Text string `json:"text"`
		} `json:"files"`
	}
	i.JSON(t, &s, "", "client", "snippet", c.ID, "--stack", stack)
	if len(s.Problems) > 0 {
		t.Errorf("%s does not fit: %q", stack, s.Problems)
	}
	dir = t.TempDir()
	for _, file := range s.Files {
		if err := os.WriteFile(filepath.Join(dir, file.Name), []byte(file.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// secretly runs a program that takes the client's secret from its environment.
func secretly(t *testing.T, dir string, c Client, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OIDC_CLIENT_SECRET="+c.Secret)
	return cmd
}

// buildSnippet compiles the program in a folder with this module's libraries.
func buildSnippet(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, filepath.Join(dir, "main.go"))
	build.Dir = moduleRoot()
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as idp is built, so that most of it is compiled already
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// What people are told to paste works as it is. The texts do not depend on the
// engine, so one is enough.
func TestSnippets_Run(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	audience := inst.NewResource(t, []string{"orders:read=See your orders"})
	alice := inst.NewUser(t)
	listen := "127.0.0.1:" + FreePort(t)
	web := inst.WebClient(t, "--name", "Wiki \"'$(id)`", "--redirect-uri", "http://"+listen+"/callback", "--scope", "openid profile orders:read", "--audience", audience)
	post := inst.WebClient(t, "--redirect-uri", "https://app.example/cb", "--scope", "openid profile", "--token-endpoint-auth-method", "client_secret_post",
		"--require-pushed-authorization-requests", "--id-token-signed-response-alg", "ES256")
	service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", audience, "--scope", "orders:read")
	servicePost := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", audience, "--scope", "orders:read", "--token-endpoint-auth-method", "client_secret_post")
	node := inst.Start(t)
	person := node.NewBrowser(t)

	// asksPerson runs a program that says where to go, and reads where the
	// browser came out; it returns what the program writes to stdout then.
	asksPerson := func(t *testing.T, cmd *exec.Cmd, from func() (io.ReadCloser, error)) string {
		t.Helper()
		asks, err := from()
		if err != nil {
			t.Fatal(err)
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if cmd.Stdout == nil {
			cmd.Stdout = &stdout
		}
		if cmd.Stderr == nil {
			cmd.Stderr = &stderr
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(asks)
		line, err := lines.ReadString('\n')
		if err != nil {
			_ = cmd.Wait()
			t.Fatalf("%v: %s%s", err, line, &stderr)
		}
		came := person.opens(t, alice)(strings.TrimSpace(strings.TrimPrefix(line, "Open:")))
		if _, err := fmt.Fprintln(stdin, came); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s%s", err, rest, &stderr)
		}
		return stdout.String() + string(rest)
	}

	t.Run("go", func(t *testing.T) {
		cmd := secretly(t, "", web, buildSnippet(t, inst.snippet(t, web, "go")))
		logs := &logBuffer{}
		cmd.Stderr = logs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		jar, _ := cookiejar.New(nil)
		application := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		var answer *http.Response
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			var err error
			if answer, err = application.Get("http://" + listen + "/login"); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v\n%s", err, logs)
			}
		}
		_ = answer.Body.Close()
		came := person.opens(t, alice)(answer.Header.Get("Location"))
		comeBack := func() *Answer {
			r, err := http.NewRequest(http.MethodGet, came, nil)
			if err != nil {
				t.Fatal(err)
			}
			return Do(t, application, r)
		}
		if hello := comeBack(); hello.Status != http.StatusOK || hello.Body != "Hello, "+alice.Sub+"\n" {
			t.Errorf("status %d: %s", hello.Status, hello.Body)
		}
		if again := comeBack(); again.Status != http.StatusBadRequest { // its cookies are used up
			t.Errorf("a second time: status %d: %s", again.Status, again.Body)
		}
	})

	t.Run("express", func(t *testing.T) {
		for _, c := range []Client{web, post} {
			dir := inst.snippet(t, c, "express")
			nodeModules(t, dir)
			driver := "import " + string(mustJSON(t, "file://"+filepath.Join(npmDir(t), "node18.mjs"))) + "\n" + `
import { createInterface } from 'node:readline'
const { begin, finish } = await import('./oidc.mjs')
const { url, kept } = await begin()
console.log(url.href)
for await (const line of createInterface({ input: process.stdin })) {
  const { claims } = await finish(new URL(line), kept)
  console.log(claims.sub)
  process.exit(0)
}
`
			if err := os.WriteFile(filepath.Join(dir, "driver.mjs"), []byte(driver), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := secretly(t, dir, c, "node", "driver.mjs")
			if got := asksPerson(t, cmd, cmd.StdoutPipe); got != alice.Sub+"\n" {
				t.Errorf("signed in as %q, want %q", got, alice.Sub)
			}
		}
	})

	t.Run("curl", func(t *testing.T) {
		cmd := secretly(t, inst.snippet(t, web, "curl"), web, "sh", "sign-in.sh")
		var out bytes.Buffer
		cmd.Stdout = &out
		asksPerson(t, cmd, cmd.StderrPipe)
		var tokens struct {
			ID string `json:"id_token"`
		}
		if err := json.Unmarshal(out.Bytes(), &tokens); err != nil || tokens.ID == "" {
			t.Errorf("%v: %s", err, &out)
		}
	})

	t.Run("service-curl", func(t *testing.T) {
		for _, c := range []Client{service, servicePost} {
			out, err := secretly(t, inst.snippet(t, c, "service-curl"), c, "sh", "token.sh").Output()
			var tokens struct {
				Access string `json:"access_token"`
			}
			if err != nil || json.Unmarshal(out, &tokens) != nil || tokens.Access == "" {
				t.Errorf("%v: %s", err, out)
			}
		}
	})

	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(api.Close)

	t.Run("service-go", func(t *testing.T) {
		out, err := secretly(t, "", service, buildSnippet(t, inst.snippet(t, service, "service-go")), api.URL).CombinedOutput()
		if err != nil || string(out) != "200 OK\n" {
			t.Errorf("%v: %s", err, out)
		}
	})

	t.Run("service-node and api-node", func(t *testing.T) {
		dir := inst.snippet(t, service, "service-node")
		nodeModules(t, dir)
		if err := os.Rename(filepath.Join(inst.snippet(t, service, "api-node"), "access.mjs"), filepath.Join(dir, "access.mjs")); err != nil {
			t.Fatal(err)
		}
		driver := "import " + string(mustJSON(t, "file://"+filepath.Join(npmDir(t), "node18.mjs"))) + "\n" + `
const { token } = await import('./service.mjs')
const { access } = await import('./access.mjs')
const claims = await access('Bearer ' + await token(), 'orders:read')
await access('Bearer ' + await token(), 'orders:write').then(() => { throw new Error('let in') }, () => {})
console.log(claims.client_id)
`
		if err := os.WriteFile(filepath.Join(dir, "driver.mjs"), []byte(driver), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := secretly(t, dir, service, "node", "driver.mjs").CombinedOutput()
		if err != nil || string(out) != service.ID+"\n" {
			t.Errorf("%v: %s", err, out)
		}
	})

	t.Run("api-go", func(t *testing.T) {
		vet := exec.CommandContext(t.Context(), "go", "vet", filepath.Join(inst.snippet(t, service, "api-go"), "access.go"))
		vet.Dir = moduleRoot()
		vet.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := vet.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// nodeModules lets programs in a folder import what is installed for the tests.
func nodeModules(t *testing.T, dir string) {
	t.Helper()
	if err := os.Symlink(filepath.Join(npmDir(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
}
