package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The commands of the tutorials are run as they are written, but for the
// addresses, which are free ones, and for what a person pastes.
func TestTutorials(t *testing.T) {
	t.Parallel()
	d, _ := startDev(t, "127.0.0.1:0", "127.0.0.1:0")
	var secret string
	for _, c := range d.Clients {
		if c.ClientID == "demo-service" {
			secret = c.ClientSecret
		}
	}
	bin := t.TempDir()
	if err := os.Symlink(Binary(t), filepath.Join(bin, "idp")); err != nil {
		t.Fatal(err)
	}
	api := "127.0.0.1:" + FreePort(t)
	follow := func(t *testing.T, page string, changes ...string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(moduleRoot(), "docs", "tutorials", page))
		if err != nil {
			t.Fatal(err)
		}
		script := "set -u\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			script += block[1]
		}
		for i := 0; i < len(changes); i += 2 {
			if !strings.Contains(script, changes[i]) {
				t.Fatalf("%s does not say %q any more", page, changes[i])
			}
			script = strings.ReplaceAll(script, changes[i], changes[i+1])
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.WaitDelay = 5 * time.Second
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "IDP_DATA_DIR="+d.DataDir, "DEMO_SECRET="+secret, "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
		cmd.Stdin = strings.NewReader(secret + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", page, err, strings.ReplaceAll(string(out), secret, "SECRET"))
		}
		return string(out)
	}
	says := func(t *testing.T, out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			before, after, ok := strings.Cut(out, part)
			if !ok {
				t.Errorf("it does not say %q after:\n%s", part, before)
				continue
			}
			out = after
		}
	}

	t.Run("a first token", func(t *testing.T) {
		out := follow(t, "first-token.md", "http://localhost:8080", d.Issuer, "http://127.0.0.1:5555/api", d.ResourceAPI.URL)
		says(t, out, `"token_endpoint": "`+d.Issuer+`/oauth2/token"`, `"access_token":"ey`, `"client_id":"demo-service"`, "demo:read", "\n401\n", `"error":"invalid_client"`)
	})
	t.Run("protect an API", func(t *testing.T) {
		out := follow(t, "protect-an-api.md", "http://localhost:8080", d.Issuer, "127.0.0.1:9000", api,
			// What the project needs itself is on this machine.
			"go get github.com/coreos/go-oidc/v3@v3.21.0", "cp "+moduleRoot()+"/go.mod "+moduleRoot()+"/go.sum . && go mod edit -module reports")
		says(t, out, `{"reports":["2026-Q3"]}`, "\n401\n", "401\n", `"error":"invalid_client"`)
	})
}
