package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/mail/mailtest"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
)

// examined runs idp doctor by a clock that is off.
func examined(t *testing.T, off time.Duration, env ...string) (code int, found map[string]finding) {
	t.Helper()
	var out, stderr bytes.Buffer
	code = run(t.Context(), &app{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &stderr, Env: env, Now: func() time.Time { return time.Now().Add(off) },
	}, []string{"doctor", "-o", "json"})
	var findings []finding
	if err := json.Unmarshal(out.Bytes(), &findings); err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, &out, &stderr)
	}
	found = map[string]finding{}
	faults := 0
	for _, f := range findings {
		if was, twice := found[f.Check]; !twice || was.State == findingOK {
			found[f.Check] = f
		}
		if f.State == findingFault {
			faults++
		}
	}
	if want := map[bool]int{true: exitFailure, false: exitOK}[faults > 0]; code != want {
		t.Errorf("%d faults, exit %d: %s", faults, code, &out)
	}
	return code, found
}

func (f finding) is(t *testing.T, state, part string) {
	t.Helper()
	if f.State != state || !strings.Contains(f.Detail+": "+f.Fix, part) {
		t.Errorf("%+v, want %s with %q", f, state, part)
	}
}

// TestDoctor has a server behind a proxy that ends TLS, and breaks one thing
// after the other.
func TestDoctor(t *testing.T) {
	t.Parallel()
	for engine, database := range map[string]func(*testing.T) string{"sqlite": storetest.SQLite, "postgres": func(t *testing.T) string {
		owner := storetest.PostgresMigrated(t)
		return storetest.Serving(t, owner)
	}} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			testDoctor(t, engine, database(t))
		})
	}
}

func testDoctor(t *testing.T, engine, database string) {
	listen, management := freeAddress(t), freeAddress(t)
	quiet := log.New(io.Discard, "", 0)
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: listen})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	proxy.Config.ErrorLog = quiet
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	post := mailtest.New(t, mailtest.Behaviour{Mechanisms: "PLAIN", Password: "right"})
	postCA := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(postCA, post.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"IDP_ISSUER=" + proxy.URL, "IDP_DATABASE_URL=" + database, "IDP_MASTER_KEY=" + tokens.GenerateMasterKey(), "IDP_LISTEN=" + listen,
		"IDP_MANAGEMENT_LISTEN=" + management, "IDP_OUTBOUND_CA_FILE=" + ca, "IDP_MAIL_HOST=" + post.Host, "IDP_MAIL_PORT=" + post.Port,
		"IDP_MAIL_TLS=starttls", "IDP_MAIL_CA_FILE=" + postCA, "IDP_MAIL_FROM=accounts@example.com", "IDP_MAIL_USERNAME=idp", "IDP_MAIL_PASSWORD=right",
	}
	but := func(changes ...string) []string {
		changed := slices.Clone(env)
		for _, change := range changes {
			name, _, _ := strings.Cut(change, "=")
			changed = slices.DeleteFunc(changed, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
			changed = append(changed, change)
		}
		return changed
	}

	if engine == "sqlite" {
		_, found := examined(t, 0, env...)
		found["database"].is(t, findingWarning, "is not there")
		found["server"].is(t, findingWarning, "start idp serve")
		found["issuer"].is(t, findingFault, "answers 502")
	}
	startServe(t, env...)

	code, found := examined(t, 0, env...)
	if engine == "postgres" { // of the tests: nobody misses what it forgets
		found["durability"].is(t, findingFault, "fsync, full_page_writes, synchronous_commit")
		delete(found, "durability")
		code = exitOK
	}
	for _, f := range found {
		if f.State != findingOK {
			t.Errorf("all is well, and: %+v", f)
		}
	}
	if code != exitOK || len(found) < 11 {
		t.Errorf("exit %d, %d checks", code, len(found))
	}
	if post.Taken() != nil {
		t.Error("a message was sent")
	}

	// The proxy said of whom it speaks, and nobody trusts it.
	require.Eventually(t, func() bool {
		_, found := examined(t, 0, but("IDP_MAIL_PASSWORD=wrong", "IDP_MASTER_KEY="+tokens.GenerateMasterKey())...)
		found["master key"].is(t, findingFault, "wrong master key")
		found["mail"].is(t, findingFault, "idp mail test")
		_, found = examined(t, 0, env...)
		return found["proxies"].State == findingWarning && strings.Contains(found["proxies"].Detail, "127.0.0.1, which trusted_proxies does not name")
	}, 20*time.Second, 50*time.Millisecond)

	_, found = examined(t, 0, but("IDP_OUTBOUND_CA_FILE=")...)
	found["TLS"].is(t, findingFault, "the chain has to be whole")
	_, port, _ := net.SplitHostPort(listen)
	_, found = examined(t, 0, but("IDP_ISSUER=http://localhost:"+port)...)
	found["issuer"].is(t, findingFault, "")
	_, found = examined(t, 0, but("IDP_LISEN=:80")...)
	found["configuration"].is(t, findingFault, "did you mean IDP_LISTEN?")
	if engine == "postgres" {
		_, found = examined(t, 2*time.Minute, env...)
		found["clock"].is(t, findingFault, "ahead of the database's")
	}
	_, found = examined(t, 40*day, env...)
	if engine == "sqlite" {
		found["signing keys"].is(t, findingWarning, "has signed for 40 days")
	}

	// What leads elsewhere does not count, whatever it says there.
	for answer, want := range map[string]string{
		`{"issuer": "https://elsewhere.example"}`: `says that it is \"https://elsewhere.example\"`, `<html>`: "instead of application/json", "302": "sends elsewhere",
	} {
		strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case answer == "302":
				http.Redirect(w, r, "https://elsewhere.example", http.StatusFound)
			case strings.HasPrefix(answer, "{"):
				w.Header().Set("Content-Type", "application/json")
				fallthrough
			default:
				_, _ = w.Write([]byte(answer))
			}
		}))
		_, found = examined(t, 0, but("IDP_ISSUER="+strange.URL)...)
		found["issuer"].is(t, findingFault, strings.ReplaceAll(want, `\"`, `"`))
		strange.Close()
	}
}

// TestDoctorSeesWhatTheRoleLacks has a database behind, and then a role that may
// not serve on it.
func TestDoctorSeesWhatTheRoleLacks(t *testing.T) {
	t.Parallel()
	owner := storetest.PostgresMigrated(t)
	env := []string{"IDP_ISSUER=http://localhost:1", "IDP_MASTER_KEY=" + tokens.GenerateMasterKey(), "IDP_MANAGEMENT_LISTEN=off"}
	_, found := examined(t, 0, append(env, "IDP_DATABASE_URL="+storetest.As(t, owner, storetest.Role(t, owner)))...)
	found["database role"].is(t, findingFault, "idp migrate grant")
	_, found = examined(t, 0, append(env, "IDP_DATABASE_URL=postgres://idp:hunter2@127.0.0.1:1/idp")...)
	found["database"].is(t, findingFault, "is it running")
	if strings.Contains(found["database"].Detail, "hunter2") {
		t.Error("the password is shown")
	}
	_, found = examined(t, 0, append(env, "IDP_DATABASE_URL="+storetest.Postgres(t))...)
	found["migrations"].is(t, findingWarning, "the database is empty")
}
