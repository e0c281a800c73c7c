package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// nginxMain is what the file that we ship is included in.
const nginxMain = `
daemon off;
pid %[1]s/pid;
worker_processes 2;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  include %[1]s/idp.conf;
}
`

// startNginx runs Debian's nginx with deploy/proxy/nginx.conf in front of two
// nodes, at the issuer's address.
func startNginx(t *testing.T, inst *Installation, certificate, key string, nodes [2]string) *Node {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(nginx); err != nil {
		t.Fatalf("%v\nthis test needs: apt-get install nginx-light", err)
	}
	shipped, err := os.ReadFile(filepath.Join(moduleRoot(), "deploy", "proxy", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "idp-nginx-") // its workers are another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	site := string(shipped)
	host := strings.TrimPrefix(inst.Issuer, "https://")
	addr := "127.0.0.1:" + host[strings.LastIndex(host, ":")+1:]
	for _, change := range [][2]string{
		{"10.0.0.11:8080", nodes[0]},
		{"10.0.0.12:8080", nodes[1]},
		{"listen 80;", "listen 127.0.0.1:" + FreePort(t) + ";"},
		{"listen 443 ssl", "listen " + addr + " ssl"},
		{"server_name id.example.com;", "server_name localhost;"},
		{"https://id.example.com", inst.Issuer},
		{"/var/log/nginx/idp.log", filepath.Join(dir, "access.log")},
		{"/etc/ssl/idp/fullchain.pem", certificate},
		{"/etc/ssl/idp/key.pem", key},
	} {
		if !strings.Contains(site, change[0]) {
			t.Fatalf("deploy/proxy/nginx.conf has no %q to replace", change[0])
		}
		site = strings.ReplaceAll(site, change[0], change[1])
	}
	for name, text := range map[string]string{"idp.conf": site, "nginx.conf": fmt.Sprintf(nginxMain, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
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
			access, _ := os.ReadFile(filepath.Join(dir, "access.log"))
			t.Logf("nginx said:\n%s%s", out, access)
		}
	})
	for range 200 {
		if !refuses(addr) {
			proxy := &Node{Installation: inst, Addr: addr}
			proxy.HTTP = proxy.Client("")
			return proxy
		}
		select {
		case <-done:
			t.Fatalf("nginx ended: %s", out)
		case <-time.After(25 * time.Millisecond):
		}
	}
	t.Fatalf("nginx does not answer: %s", out)
	return nil
}

// steady asks a token endpoint as applications do that ask once more when they
// got no answer.
type steady struct {
	at      *Node
	asked   atomic.Int64
	retried atomic.Int64

	mu     sync.Mutex
	failed []string
}

// tokens returns what was issued, or a failure that is kept.
func (s *steady) tokens(c Client, form url.Values) (Tokens, bool) {
	var said [2]string
	for try := range said {
		s.asked.Add(1)
		a, err := s.at.TryPost("/oauth2/token", c, form)
		switch {
		case err != nil:
			said[try] = err.Error()
		case a.Status != http.StatusOK:
			said[try] = fmt.Sprintf("%d %s", a.Status, a.Body)
		default:
			return tokensOf(a), true
		}
		s.retried.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, fmt.Sprintf("%s: %q", form.Get("grant_type"), said))
	return Tokens{}, false
}

// Two nodes behind the nginx configuration that we ship are replaced one after
// the other, while applications go on asking for tokens: nobody has to ask more
// than twice, and no refresh family is lost.
func TestProxy_NginxRollingRestart(t *testing.T) {
	t.Parallel()
	inst := Install(t, "postgres", map[string]string{"IDP_DRAIN_DELAY": "1500ms"})
	inst.overTLS(t, newAuthority(t))
	certificate, key := inst.env["IDP_TLS_CERT"], inst.env["IDP_TLS_KEY"]
	delete(inst.env, "IDP_TLS_CERT")
	delete(inst.env, "IDP_TLS_KEY")

	alice := inst.NewUser(t)
	web := inst.WebClient(t)
	service := inst.NewClient(t, "--grant-type", "client_credentials")
	addresses := [2]string{"127.0.0.1:" + FreePort(t), "127.0.0.1:" + FreePort(t)}
	launch := func(i int) *Node {
		n := inst.Launch(t, map[string]string{"IDP_LISTEN": addresses[i]})
		n.Addr = addresses[i]
		return n
	}
	nodes := [2]*Node{launch(0), launch(1)}
	for _, n := range nodes {
		n.WaitReady(t)
	}
	proxy := startNginx(t, inst, certificate, key, addresses)

	// Who asks is who reached nginx, whatever they say of themselves.
	const forged = "203.0.113.9"
	stranger := proxy.Client(forged)
	stranger.Transport.(forwardedFor).next.(*http.Transport).DialContext = (&net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)},
	}).DialContext
	for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
		r, err := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(service.ID, "wrong")
		if header == "Forwarded" {
			r.Header.Set("Forwarded", "for="+forged)
		}
		Do(t, stranger, r).WantError(t, http.StatusUnauthorized, "invalid_client")
	}
	said := func(text string) int {
		return strings.Count(nodes[0].Logs(), text) + strings.Count(nodes[1].Logs(), text)
	}
	eventually(t, "the address of who asked", nodes[:1], func(*Node) bool { return said(`"remote_addr":"127.0.0.2"`) == 2 })
	if said(forged) > 0 {
		t.Error("what somebody says of themselves is believed")
	}
	if got := proxy.document(t, "/.well-known/openid-configuration").JSON(t)["issuer"]; got != inst.Issuer {
		t.Errorf("the issuer is %v", got)
	}

	load := &steady{at: proxy}
	families := make([]Tokens, 4)
	for i := range families {
		families[i] = proxy.SignIn(t, web, alice)
		proxy.Verify(t, families[i].ID, "JWT", jose.RS256)
	}
	var stop atomic.Bool
	var workers sync.WaitGroup
	pace := func() { time.Sleep(20 * time.Millisecond) } // steady, not as much as there can be
	for i := range families {
		workers.Go(func() {
			for ; !stop.Load(); pace() {
				next, ok := load.tokens(web, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {families[i].Refresh}})
				if !ok {
					return
				}
				families[i] = next
			}
		})
	}
	for range 4 {
		workers.Go(func() {
			for ; !stop.Load(); pace() {
				load.tokens(service, url.Values{"grant_type": {"client_credentials"}})
			}
		})
	}
	for i, n := range nodes {
		n.waitForLog(t, `"event":"token.issued"`)
		n.Stop(t)
		if code := n.Exit(t); code != 0 {
			t.Errorf("node %d ended with %d", i, code)
		}
		nodes[i] = launch(i)
		nodes[i].WaitReady(t)
		nodes[i].waitForLog(t, `"event":"token.issued"`) // nginx sends it its share again
	}
	stop.Store(true)
	workers.Wait()

	for _, failure := range load.failed {
		t.Error(failure)
	}
	t.Logf("%d requests, %d of them had to be asked again", load.asked.Load(), load.retried.Load())
	for _, family := range families {
		proxy.Refresh(t, web, family.Refresh).Tokens(t)
	}
	for _, n := range nodes {
		n.neverFailed(t)
	}
}
