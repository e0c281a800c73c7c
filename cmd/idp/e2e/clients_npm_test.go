package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// npmDir returns the folder of the JavaScript clients.
func npmDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(moduleRoot(), "cmd", "idp", "e2e", "testdata", "npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		t.Fatalf("%v\nrun: scripts/test install, or npm ci in %s", err, dir)
	}
	return dir
}

// The server as JavaScript programs with openid-client and jose see it. The
// script is testdata/npm/client.mjs; the test is the person at the browser.
func TestClients_OpenIDClient(t *testing.T) {
	npm := npmDir(t)
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=See your orders"}, "--name", "Orders")
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com", "--email-verified")
		scope := []string{"--scope", "openid profile email offline_access orders:read", "--audience", api}
		clients := map[string]Client{
			"client_secret_basic": inst.WebClient(t, scope...),
			"client_secret_post":  inst.WebClient(t, append(scope, "--token-endpoint-auth-method", "client_secret_post")...),
			"none":                inst.WebClient(t, append(scope, "--public")...),
		}
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		node := inst.Start(t)

		for method, c := range clients {
			t.Run(method, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), "node", "client.mjs")
				cmd.Dir = npm
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				stdin, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				stdout, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				lines := json.NewDecoder(bufio.NewReader(stdout))
				hear := func(into any) {
					t.Helper()
					if err := lines.Decode(into); err != nil {
						_ = cmd.Wait()
						t.Fatalf("client.mjs: %v\n%s", err, &stderr)
					}
				}
				settings, err := json.Marshal(map[string]any{
					"issuer": inst.Issuer, "audience": api,
					"user":    map[string]string{"sub": alice.Sub, "name": "Alice Example", "email": "alice@example.com"},
					"client":  map[string]string{"id": c.ID, "secret": c.Secret, "method": method, "redirectURI": c.RedirectURI},
					"service": map[string]string{"id": service.ID, "secret": service.Secret, "method": "client_secret_basic"},
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := stdin.Write(append(settings, '\n')); err != nil {
					t.Fatal(err)
				}
				var asked struct {
					URL string `json:"url"`
				}
				hear(&asked)
				request, err := url.Parse(asked.URL)
				if err != nil {
					t.Fatal(err)
				}
				if got := request.Scheme + "://" + request.Host + request.Path; got != inst.Issuer+"/oauth2/auth" {
					t.Fatalf("it sends people to %s", got)
				}
				back := node.NewBrowser(t).Authorize(t, request.Query(), alice)
				if _, err := stdin.Write([]byte(back.String() + "\n")); err != nil {
					t.Fatal(err)
				}
				var done struct {
					OK bool `json:"ok"`
				}
				hear(&done)
				if err := cmd.Wait(); err != nil || !done.OK {
					t.Fatalf("client.mjs: %v\n%s", err, &stderr)
				}
			})
		}
	})
}
