package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"idp/internal/store/storetest"
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
	api := "127.0.0.1:" + FreePort(t)
	follow := func(t *testing.T, page string, changes ...string) string {
		t.Helper()
		script := "set -u\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + strings.Join(blocks(t, page, changes...), "")
		cmd := shell(t, t.TempDir(), script, "IDP_DATA_DIR="+d.DataDir, "DEMO_SECRET="+secret)
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
			"go get github.com/coreos/go-oidc/v3@v3.21.0", dependenciesOf("reports"))
		says(t, out, `{"reports":["2026-Q3"]}`, "\n401\n", "401\n", `"error":"invalid_client"`)
	})
}

// blocks returns the commands of a tutorial, block by block. What is changed in
// them has to be there.
func blocks(t *testing.T, page string, changes ...string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(), "docs", "tutorials", page))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		all = append(all, block[1])
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(strings.Join(all, ""), changes[i]) {
			t.Fatalf("%s does not say %q any more", page, changes[i])
		}
		for j := range all {
			all[j] = strings.ReplaceAll(all[j], changes[i], changes[i+1])
		}
	}
	return all
}

// dependenciesOf stands for go get: what the project needs itself is there.
func dependenciesOf(module string) string {
	return "cp " + moduleRoot() + "/go.mod " + moduleRoot() + "/go.sum . && go mod edit -module " + module
}

// shell is a script that finds idp where a person has put it.
func shell(t *testing.T, dir, script string, env ...string) *exec.Cmd {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(Binary(t), filepath.Join(bin, "idp")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "PATH="+bin+":"+os.Getenv("PATH"), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")...)
	return cmd
}

// From an empty directory to somebody who signs in to an application that was
// registered in the console, on PostgreSQL and in a browser.
func TestTutorials_FirstApplication(t *testing.T) {
	t.Parallel()
	port, appPort := FreePort(t), FreePort(t)
	if *images {
		port, appPort = "8080", "5555"
	}
	issuer, app := "http://localhost:"+port, "http://127.0.0.1:"+appPort
	steps := blocks(t, "first-application.md", "http://localhost:8080", issuer,
		"go get github.com/coreos/go-oidc/v3@v3.21.0 golang.org/x/oauth2@v0.37.0", dependenciesOf("handbook"))
	if len(steps) != 5 {
		t.Fatalf("the tutorial has %d blocks of commands", len(steps))
	}
	home, database := t.TempDir(), storetest.Postgres(t)
	env := []string{"IDP_CONFIG=" + filepath.Join(home, "company", "idp.yaml"), "IDP_LISTEN=127.0.0.1:" + port, "IDP_MANAGEMENT_LISTEN=off"}
	run := func(dir, script string, more ...string) string {
		t.Helper()
		cmd := shell(t, dir, "set -eu\n"+script, append(env, more...)...)
		cmd.Stdin = strings.NewReader(database + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	serve := func(dir, script, until string, more ...string) {
		t.Helper()
		// The last command of the block is the one that goes on.
		lines := strings.Split(strings.TrimSpace(script), "\n")
		lines[len(lines)-1] = "exec " + lines[len(lines)-1]
		cmd := shell(t, dir, "set -eu\n"+strings.Join(lines, "\n"), append(env, more...)...)
		logs := &logBuffer{}
		cmd.Stdout, cmd.Stderr = logs, logs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() {
			_ = cmd.Process.Signal(os.Interrupt)
			<-ended
			if t.Failed() {
				t.Logf("%s:\n%s", script, logs)
			}
		})
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if res, err := http.Get(until); err == nil {
				res.Body.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("nothing answers at %s\n%s", until, logs)
			}
		}
	}

	run(home, steps[0]+steps[1])
	serve(home, steps[2], issuer+"/.well-known/openid-configuration")
	link := regexp.MustCompile(`http://\S+/setup/\S+`).FindString(run(home, steps[3]))
	if link == "" {
		t.Fatal("idp admin link prints no link")
	}

	b := newTab(t, chromium(t), true)
	b.expected = []string{`issue: {"code":"BounceTrackingIssue"`} // an application that redirects, as they do
	b.do(chromedp.EmulateViewport(1100, 760))
	picture := func(name string) {
		t.Helper()
		if !*images {
			return
		}
		taken, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(moduleRoot(), "docs", "images", "tutorial-"+name+".png"), taken, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	follow := func(path string) {
		t.Helper()
		b.goes("follow "+path, http.StatusOK, chromedp.Click(chromedp.CSS(`main a[href="`+path+`"]`)))
	}
	b.open(link)
	b.do(chromedp.SendKeys(chromedp.ID("name"), "Ada Byron"), chromedp.SendKeys(chromedp.ID("username"), "ada"), chromedp.SendKeys(chromedp.ID("password"), "a loom that weaves algebra"))
	picture("link")
	b.press("invitation-submit", http.StatusOK)
	if at := b.location().Path; at != "/console" {
		t.Fatalf("the link leads to %s", at)
	}
	picture("console")
	b.open(issuer + "/console/clients")
	follow("/console/new-client")
	follow("/console/new-client/web")
	b.do(chromedp.SendKeys(chromedp.ID("client-client_name"), "Handbook"), chromedp.SendKeys(chromedp.ID("client-redirect_uris"), app+"/callback"))
	picture("client")
	b.press("client-submit", http.StatusCreated)
	picture("secret")
	id, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("#created code").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	secret := b.text("client-secret")

	serve(t.TempDir(), steps[4], app+"/login", "CLIENT_ID="+id, "CLIENT_SECRET="+secret)
	b.open(app + "/login")
	picture("consent")
	b.press("consent-submit", http.StatusOK)
	said, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.textContent`))
	if err != nil || !strings.HasPrefix(said, "Hello, ") || b.location().Path != "/callback" {
		t.Errorf("the application says %q: %v", said, err)
	}
	b.open(issuer + "/console/audit")
	for _, event := range []string{"consent.granted", "code.issued", "token.issued"} {
		b.until(`document.querySelector("main").textContent.includes("` + event + `")`)
	}
	b.clean("the tutorial")
}
