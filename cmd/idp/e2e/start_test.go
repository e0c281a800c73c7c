package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// with is the installation with other settings; an empty value takes one away.
func (i *Installation) with(settings ...string) *Installation {
	changed := *i
	changed.env = map[string]string{}
	for k, v := range i.env {
		changed.env[k] = v
	}
	for k := 0; k+1 < len(settings); k += 2 {
		if settings[k+1] == "" {
			delete(changed.env, settings[k])
			continue
		}
		changed.env[settings[k]] = settings[k+1]
	}
	return &changed
}

// A wrong configuration ends the start with exit code 78, says where the fault
// is and what would be right, and never repeats a secret.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	for _, c := range []struct {
		name string
		file string   // of the configuration; none when empty
		env  []string // settings beside a working environment
		args []string
		want []string // in this order on stderr, each a part of one line
	}{
		{"no issuer", "", []string{"IDP_ISSUER", ""}, nil, []string{"issuer: set it to the address"}},
		{"an issuer on http", "", []string{"IDP_ISSUER", "http://id.example.com"}, nil, []string{"IDP_ISSUER: issuer: ", "https://id.example.com"}},
		{"an issuer with a slash", "", []string{"IDP_ISSUER", "https://id.example.com/"}, nil, []string{"must not end in a slash: write https://id.example.com"}},
		{"an issuer by flag", "", nil, []string{"--issuer", "id.example.com"}, []string{"--issuer: issuer: "}},
		{"an unknown key", "listen: :0\nlissten: :1\n", nil, nil, []string{"idp.yaml:2: lissten: is no key, did you mean listen?"}},
		{"a value of the wrong kind", "lifetimes:\n  code: forever\n", nil, nil, []string{`idp.yaml:2: lifetimes.code: "forever": must be a duration`}},
		{"a value out of bounds", "lifetimes:\n  code: 1h\n", nil, nil, []string{`idp.yaml:2: lifetimes.code: "1h": must be a duration from 1s to 10m`}},
		{"a word that is none", "audit:\n  mode: maybe\n", nil, nil, []string{`idp.yaml:2: audit.mode: "maybe": must be strict or relaxed`}},
		{"not YAML", "listen: [\n", nil, nil, []string{"idp.yaml:", "is not YAML"}},
		{"several faults at once", "listen: nowhere\nlog:\n  level: loud\n", []string{"IDP_DRAIN_DELAY", "soon"}, nil, []string{"idp.yaml:3: log.level", "IDP_DRAIN_DELAY: drain_delay", "idp.yaml:1: listen"}},
		{"a file that is not there", "", []string{"IDP_CONFIG", "/nonexistent/idp.yaml"}, nil, []string{"/nonexistent/idp.yaml: cannot be read: no such file"}},
		{"an unknown variable", "", []string{"IDP_ISUER", "https://id.example.com"}, nil, []string{"IDP_ISUER: is no variable of idp, did you mean IDP_ISSUER?"}},
		{"a secret twice", "", []string{"IDP_MASTER_KEY_FILE", "/nonexistent"}, nil, []string{"IDP_MASTER_KEY_FILE: master_key_file: is set together with master_key"}},
		{"a short master key", "", []string{"IDP_MASTER_KEY", "aHVudGVyMg=="}, nil, []string{"IDP_MASTER_KEY: master_key: must be at least 32 random bytes"}},
		{"another kind of database", "", []string{"IDP_DATABASE_URL", "mysql://root:hunter2@localhost/idp"}, nil, []string{"IDP_DATABASE_URL: database_url: must start with postgres:// or sqlite:"}},
		{"a database without a name", "", []string{"IDP_DATABASE_URL", "postgres://idp:hunter2@localhost/"}, nil, []string{"IDP_DATABASE_URL: database_url: must read postgres://"}},
		{"half of TLS", "", []string{"IDP_TLS_CERT", "cert.pem"}, nil, []string{"IDP_TLS_CERT: tls_cert: ", "tls_cert and tls_key are set together"}},
		{"TLS files that are not there", "", []string{"IDP_TLS_CERT", "/nonexistent/cert.pem", "IDP_TLS_KEY", "/nonexistent/key.pem"}, nil, []string{"/nonexistent/cert.pem"}},
		{"a network that is none", "trusted_proxies:\n  - 10.0.0.1/8\n", []string{"IDP_TRUSTED_PROXIES", ""}, nil, []string{`idp.yaml:2: trusted_proxies: "10.0.0.1/8": has bits outside its mask: write 10.0.0.0/8`}},
		{"a listener that is none", "", nil, []string{"--listen", "8080"}, []string{`--listen: listen: "8080": must be HOST:PORT, :PORT or unix:PATH`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tried := inst.with(c.env...)
			if c.file != "" {
				path := filepath.Join(t.TempDir(), "idp.yaml")
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				tried.env["IDP_CONFIG"] = path
			}
			if _, ok := tried.env["IDP_LISTEN"]; !ok && !strings.Contains(c.file, "listen") {
				tried.env["IDP_LISTEN"] = "127.0.0.1:0"
			}
			tried.env["IDP_MANAGEMENT_LISTEN"] = "off"
			stdout, stderr, code := tried.Try(t, "", append([]string{"serve"}, c.args...)...)
			if code != 78 || stdout != "" {
				t.Errorf("exit %d, want 78; stdout %q", code, stdout)
			}
			rest := stderr
			for _, want := range c.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("stderr lacks %q:\n%s", want, stderr)
				}
				rest = after
			}
			for line := range strings.SplitSeq(strings.TrimSpace(stderr), "\n") {
				if !strings.HasPrefix(line, "idp: ") && !strings.HasPrefix(line, "{") {
					t.Errorf("a line that is no message: %s", line)
				}
			}
			for _, secret := range []string{"hunter2", "aHVudGVyMg", MasterKey} {
				if strings.Contains(stderr, secret) {
					t.Errorf("stderr repeats a secret:\n%s", stderr)
				}
			}
		})
	}
}

// The master key is never made up where that would lose data, never taken from
// a file that everybody reads, and never swapped unnoticed.
func TestMasterKeyAtStart(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, inst *Installation, want string, args ...string) {
		t.Helper()
		_, stderr, code := inst.Try(t, "", args...)
		if code != 78 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, want 78 and %q:\n%s", strings.Join(args, " "), code, want, stderr)
		}
	}
	EachEngine(t, func(t *testing.T, engine string) {
		inst := InstallEmpty(t, engine, map[string]string{"IDP_MANAGEMENT_LISTEN": "off", "IDP_LISTEN": "127.0.0.1:0"})
		keyless := inst.with("IDP_MASTER_KEY", "")
		path := filepath.Join(t.TempDir(), "master.key")
		if err := os.WriteFile(path, []byte(MasterKey+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		filed := inst.with("IDP_MASTER_KEY", "", "IDP_MASTER_KEY_FILE", path)
		t.Run("a file that everybody reads", func(t *testing.T) {
			refused(t, filed, "can be read by everybody on this machine: run chmod 600 "+path, "serve")
			refused(t, filed, "can be read by everybody", "client", "list")
		})
		if engine == "postgres" {
			t.Run("none at all", func(t *testing.T) {
				refused(t, keyless, "a master key is needed and is not made up silently", "serve")
				if _, err := os.Stat(filepath.Join(inst.DataDir, "master.key")); err == nil {
					t.Error("a master key was made up")
				}
			})
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		filed.CLI(t, "", "client", "list") // makes the database with this key
		t.Run("another one", func(t *testing.T) {
			other := inst.with("IDP_MASTER_KEY", "b3RoZXItbWFzdGVyLWtleS10aGF0LWd1YXJkcy1ub3RoaW5nLTQ1Ng==")
			refused(t, other, "wrong master key", "serve")
			refused(t, other, "wrong master key", "user", "create", "mallory")
			refused(t, other, "wrong master key", "migrate", "up")
		})
		t.Run("one that is gone", func(t *testing.T) {
			refused(t, keyless, "the database was made with a master key that is missing", "serve")
		})
		node := filed.Start(t) // and with the right one all is well
		node.document(t, "/.well-known/jwks.json")
	})
}

// A taken port ends the start with a message that names the setting.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for setting, free := range map[string]string{"listen": "IDP_MANAGEMENT_LISTEN", "management_listen": "IDP_LISTEN"} {
		_, stderr, code := inst.with("IDP_"+strings.ToUpper(setting), l.Addr().String(), free, "127.0.0.1:0").Try(t, "", "serve")
		want := fmt.Sprintf("idp: %s %s: the port is taken by another process", setting, l.Addr())
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, want 1 and %q:\n%s", code, want, stderr)
		}
	}
}

// One server at a time works on a SQLite file, and commands beside it.
func TestSecondServerOnOneFile(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	node := inst.Start(t)
	second := inst.Launch(t, nil)
	code := second.Exit(t)
	if last := second.Logs(); code != 75 || !strings.Contains(last, "is in use by another server") || !strings.Contains(last, inst.DataDir) {
		t.Errorf("exit %d, want 75: %s", code, last)
	}
	service := inst.NewClient(t, "--grant-type", "client_credentials")
	inst.CLI(t, "", "client", "get", service.ID)
	Settle()
	node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)

	// The lock dies with its process, however that goes.
	node.Kill(t)
	inst.Start(t)
}

// What the embedded database and its keys lie in is for its owner alone, even
// under a careless umask.
func TestDataFilesAreForTheirOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	inst := Install(t, "sqlite", nil)
	inst = inst.with("IDP_MASTER_KEY", "", "IDP_DATABASE_URL", "", "IDP_DATA_DIR", dir)
	node := inst.Start(t)
	service := inst.NewClient(t, "--grant-type", "client_credentials")
	Settle()
	node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		seen[d.Name()] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"idp.db", "idp.db-wal", "idp.db-shm", "master.key"} {
		if !seen[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// SIGTERM: not ready first, then nothing new, what is in flight to its end,
// the last audit rows, exit 0.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_DRAIN_DELAY": "3s", "IDP_AUDIT_MODE": "relaxed"})
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		credentials := url.Values{"grant_type": {"client_credentials"}}
		n := inst.Start(t)
		for range 20 {
			n.Post(t, "/oauth2/token", service, credentials).Tokens(t)
		}
		// A request that takes its time to arrive.
		slow, err := net.Dial("tcp", n.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		r, err := http.NewRequest(http.MethodPost, n.Issuer+"/oauth2/token", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(url.QueryEscape(service.ID), url.QueryEscape(service.Secret))
		body := credentials.Encode()
		fmt.Fprintf(slow, "POST /oauth2/token HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			r.URL.Host, r.Header.Get("Authorization"), len(body), body[:5])
		time.Sleep(100 * time.Millisecond) // until it is being read

		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		// Not ready at once, and still serving: balancers need a moment.
		eventually(t, "the stop", []*Node{n}, func(n *Node) bool {
			res, err := http.Get(n.Management + "/readyz")
			if err != nil {
				t.Fatalf("the probe hears nothing: %v", err)
			}
			res.Body.Close()
			return res.StatusCode == http.StatusServiceUnavailable
		})
		late := n.Post(t, "/oauth2/token", service, credentials)
		late.Tokens(t)
		// Later nobody is let in any more, and the one in flight gets its answer.
		for taken(n.Addr) && !refuses(n.Addr) {
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case <-n.exited:
			t.Fatal("the server ended with a request in flight")
		default:
		}
		if _, err := slow.Write([]byte(body[5:])); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(slow), r)
		if err != nil {
			t.Fatalf("the request in flight got no answer: %v", err)
		}
		if res.StatusCode != http.StatusOK {
			t.Errorf("the request in flight got %d", res.StatusCode)
		}
		if code := n.Exit(t); code != 0 {
			t.Errorf("exit %d", code)
		}
		if !strings.Contains(n.Logs(), `"msg":"stopped"`) {
			t.Error("the log does not say that it stopped")
		}
		// In relaxed mode rows follow later, but no stop loses one.
		var rows int
		if err := inst.openDatabase(t).QueryRow("SELECT count(*) FROM audit_events WHERE kind = 'token.issued'").Scan(&rows); err != nil || rows != 22 {
			t.Errorf("%d audit rows for 22 tokens, %v", rows, err)
		}
	})
}

func refuses(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return true
	}
	c.Close()
	return false
}

// SIGHUP with a configuration that does not load changes nothing; with a good
// one it changes the log level.
func TestReload(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	path := filepath.Join(t.TempDir(), "idp.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log:\n  level: info\n")
	n := inst.Launch(t, map[string]string{"IDP_CONFIG": path})
	n.WaitReady(t)
	hangup := func() {
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	requests := func() int { return strings.Count(n.Logs(), `"msg":"request"`) }

	write("log:\n  level: loud\nlissten: :1\n")
	hangup()
	n.waitForLog(t, "lissten: is no key, did you mean listen?")
	n.waitForLog(t, `idp.yaml:2: log.level: \"loud\": must be debug, info, warn or error`)
	before := requests()
	n.document(t, "/.well-known/jwks.json")
	eventually(t, "a request in the log", []*Node{n}, func(*Node) bool { return requests() > before })

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	hangup()
	n.waitForLog(t, "cannot be read: no such file or directory")

	write("log:\n  level: warn\n")
	hangup()
	time.Sleep(200 * time.Millisecond)
	before = requests()
	n.document(t, "/.well-known/jwks.json")
	time.Sleep(100 * time.Millisecond)
	if requests() != before {
		t.Error("the log level did not change")
	}

	write("log:\n  level: info\n")
	hangup()
	n.waitForLog(t, "reloaded log level, TLS certificate and schema of attributes")
	n.document(t, "/.well-known/jwks.json")
	eventually(t, "a request in the log", []*Node{n}, func(*Node) bool { return requests() > before })
}

// SIGHUP takes up the certificate that is in the files by then, for new
// connections.
func TestReloadCertificate(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	old, renewed := newAuthority(t), newAuthority(t)
	inst.overTLS(t, old)
	n := inst.Start(t)
	served := func() []byte {
		t.Helper()
		conn, err := tls.Dial("tcp", n.Addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which it is, is what is asked
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Raw
	}
	if !bytes.Equal(served(), old.leaf.Certificate[0]) {
		t.Fatal("another certificate is served")
	}
	files := [2]string{inst.env["IDP_TLS_CERT"], inst.env["IDP_TLS_KEY"]}
	inst.overTLS(t, renewed)
	for i, setting := range [2]string{"IDP_TLS_CERT", "IDP_TLS_KEY"} {
		if err := os.Rename(inst.env[setting], files[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	n.waitForLog(t, "reloaded log level, TLS certificate")
	if !bytes.Equal(served(), renewed.leaf.Certificate[0]) {
		t.Error("the old certificate is still served")
	}
}

// The health check's exit code is what a container runtime acts on.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	inst := Install(t, "postgres", nil)
	line := newWire(t, inst.ServingURL)
	n := inst.Launch(t, map[string]string{"IDP_DATABASE_URL": line.url(0)})
	n.WaitReady(t)
	management := strings.TrimPrefix(n.Management, "http://")
	ask := func(address string, want int, says string) {
		t.Helper()
		stdout, stderr, code := inst.with("IDP_MANAGEMENT_LISTEN", address).Try(t, "", "healthcheck")
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("exit %d, want %d and %q: %s%s", code, want, says, stdout, stderr)
		}
	}
	ask(management, 0, "ready")
	ask("0.0.0.0"+management[strings.LastIndex(management, ":"):], 0, "ready") // listening on all means asking this machine
	ask("off", 78, "management_listen is off")
	line.cut()
	ask(management, 69, "the server is not ready")
	line.mend()
	eventually(t, "the database", []*Node{n}, func(*Node) bool {
		_, _, code := inst.with("IDP_MANAGEMENT_LISTEN", management).Try(t, "", "healthcheck")
		return code == 0
	})
	n.Stop(t)
	ask(management, 69, "no server answers on "+management)
}

// A first start may be killed at any moment; the next one finishes its work.
func TestFirstStartKilled(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		// From before the first statement to after the last.
		for _, after := range []time.Duration{40, 90, 180} {
			after *= time.Millisecond
			t.Run(after.String(), func(t *testing.T) {
				t.Parallel() // what a dead migration holds is free after ten seconds
				inst := InstallEmpty(t, engine, nil)
				n := inst.Launch(t, nil)
				select {
				case <-time.After(after):
				case <-n.exited:
				}
				n.Kill(t)
				again := inst.Start(t)
				if keys := again.document(t, "/.well-known/jwks.json").keys(t).Keys; len(keys) != 2 {
					t.Errorf("%d keys after a killed start", len(keys))
				}
				again.neverFailed(t)
			})
		}
	})
}
