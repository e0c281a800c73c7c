package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// apacheConfig protects /secure with mod_auth_openidc.
const apacheConfig = `
ServerRoot %[1]s
ServerName localhost
Listen %[2]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
LogLevel warn auth_openidc:info
Mutex file:%[1]s
User www-data
Group www-data
DocumentRoot %[1]s/www
LoadModule mpm_event_module %[3]s/mod_mpm_event.so
LoadModule authn_core_module %[3]s/mod_authn_core.so
LoadModule authz_core_module %[3]s/mod_authz_core.so
LoadModule authz_user_module %[3]s/mod_authz_user.so
LoadModule dir_module %[3]s/mod_dir.so
LoadModule auth_openidc_module %[3]s/mod_auth_openidc.so
StartServers 1
OIDCProviderMetadataURL %[4]s/.well-known/openid-configuration
OIDCClientID %[5]s
OIDCClientSecret %[6]s
OIDCRedirectURI http://localhost:%[2]s/secure/redirect_uri
OIDCCryptoPassphrase a-passphrase-that-guards-nothing
OIDCPKCEMethod S256
OIDCScope "openid email"
<Location /secure>
  AuthType openid-connect
  Require valid-user
</Location>
`

// startApache runs Debian's Apache with mod_auth_openidc in front of a page.
func startApache(t *testing.T, port string, n *Node, c Client) {
	t.Helper()
	const modules = "/usr/lib/apache2/modules"
	if _, err := os.Stat(modules + "/mod_auth_openidc.so"); err != nil {
		t.Fatalf("%v\nthis test needs: apt-get install apache2-bin libapache2-mod-auth-openidc", err)
	}
	dir, err := os.MkdirTemp("", "idp-apache-") // its workers are another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for path, content := range map[string]string{
		"www/secure/index.html": `<p id="protected">for those who signed in</p>`,
		"www/bye.html":          `<p id="bye">signed out</p>`,
		"apache.conf":           fmt.Sprintf(apacheConfig, dir, port, modules, n.Issuer, c.ID, c.Secret),
	} {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/apache2", "-f", filepath.Join(dir, "apache.conf"), "-D", "FOREGROUND")
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("Apache said:\n%s%s", out, log)
		}
	})
	for range 200 {
		if res, err := http.Get("http://localhost:" + port + "/bye.html"); err == nil {
			res.Body.Close()
			return
		}
		select {
		case <-done:
			t.Fatalf("Apache ended: %s", out)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("Apache does not answer")
}

// A page behind Debian's mod_auth_openidc, which knows this server by its
// metadata alone: sign-in, sign-out from there, sign-out from here.
func TestClients_ModAuthOpenIDC(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "alice@example.com")
		port := FreePort(t)
		site := "http://localhost:" + port
		app := inst.WebClient(t, "--skip-consent", "--redirect-uri", site+"/secure/redirect_uri", "--post-logout-redirect-uri", site+"/bye.html",
			"--backchannel-logout-uri", "http://127.0.0.1:"+port+"/secure/redirect_uri?logout=backchannel")
		n := inst.Start(t)
		startApache(t, port, n, app)
		ctx, cancel := context.WithTimeout(chromium(t), 2*time.Minute)
		defer cancel()
		do := func(steps ...chromedp.Action[chromedp.Void]) {
			t.Helper()
			if err := chromedp.Do(ctx, steps...); err != nil {
				at, _ := chromedp.Run(ctx, chromedp.Location())
				body, _ := chromedp.Run(ctx, chromedp.OuterHTML("html"))
				t.Fatalf("at %s: %v\n%s", at, err, body)
			}
		}
		signIn := func() {
			t.Helper()
			do(chromedp.Navigate(site+"/secure/"), chromedp.SendKeys("#username", alice.Username), chromedp.SendKeys("#password", alice.Password),
				chromedp.Click("#login-submit"), chromedp.WaitVisible("#protected"))
		}
		signIn()
		// Signed out there: the session here ends as well.
		do(chromedp.Navigate(site+"/secure/redirect_uri?logout="+site+"/bye.html"), chromedp.WaitVisible("#bye"))
		// The browser may have kept a page that it saw: another address is asked for.
		do(chromedp.Navigate(site+"/secure/?gone"), chromedp.WaitVisible("#login-form"))
		wantEvents(t, 1, n, "session.ended", "user_id", alice.Sub)
		// Signed out here: the back channel ends the session there.
		signIn()
		do(chromedp.Navigate(site+"/secure/?there"), chromedp.WaitVisible("#protected"))
		inst.CLI(t, "", "session", "revoke", "--user", alice.Username)
		wantEvents(t, 2, n, "logout.delivered", "client_id", app.ID)
		do(chromedp.Navigate(site+"/secure/?after"), chromedp.WaitVisible("#login-form"))
	})
}
