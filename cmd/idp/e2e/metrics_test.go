package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metrics reads the node's metrics: values by name and labels, as they are
// written.
func (n *Node) metrics(t testing.TB) (values map[string]float64, text string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Management+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := Do(t, http.DefaultClient, r)
	if a.Status != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("/metrics: status %d, %s\n%s", a.Status, a.Header.Get("Content-Type"), a.Body)
	}
	values = map[string]float64{}
	for line := range strings.Lines(a.Body) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			value, err := strconv.ParseFloat(line[i+1:], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			values[line[:i]] = value
		}
	}
	return values, a.Body
}

// What somebody does is counted, whoever they are.
func TestMetrics(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--scope", "openid offline_access")
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)

		// A password that is wrong, a sign-in, a refresh, a token that is used
		// again, and a secret that is wrong.
		p := NewPKCE()
		login := b.Get(t, "/oauth2/auth?"+web.Request(p, "scope", "openid offline_access").Encode())
		wrong := "not the password " + Token()
		if a := b.Login(t, login, alice.Username, wrong); a.Status != http.StatusUnprocessableEntity {
			t.Fatalf("a wrong password: status %d", a.Status)
		}
		tokens := b.tokens(t, web, alice, "scope", "openid offline_access")
		second := node.Refresh(t, web, tokens.Refresh).Tokens(t)
		third := node.Refresh(t, web, second.Refresh).Tokens(t)
		node.Refresh(t, web, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
		forger := service
		forger.Secret = Token()
		node.Post(t, "/oauth2/token", forger, url.Values{"grant_type": {"client_credentials"}}).WantError(t, http.StatusUnauthorized, "invalid_client")
		strange := "/" + Token()
		node.request(t, node.HTTP, http.MethodGet, strange, "", nil)

		want := map[string]float64{
			`idp_logins_total{method="password",result="failure"}`:                     1,
			`idp_logins_total{method="password",result="success"}`:                     1,
			`idp_tokens_issued_total{grant="authorize",type="code"}`:                   1,
			`idp_tokens_issued_total{grant="authorization_code",type="access_token"}`:  1,
			`idp_tokens_issued_total{grant="authorization_code",type="id_token"}`:      1,
			`idp_tokens_issued_total{grant="authorization_code",type="refresh_token"}`: 1,
			`idp_tokens_issued_total{grant="refresh_token",type="refresh_token"}`:      2,
			`idp_tokens_issued_total{grant="client_credentials",type="access_token"}`:  1,
			`idp_refresh_reuse_total`:                                                 1,
			`idp_audit_events_total{event="refresh.replayed"}`:                        1,
			`idp_audit_events_total{event="client.auth_failed"}`:                      1,
			`idp_oauth_errors_total{endpoint="/oauth2/token",error="invalid_grant"}`:  1,
			`idp_oauth_errors_total{endpoint="/oauth2/token",error="invalid_client"}`: 1,
			`idp_http_requests_total{code="200",method="POST",route="/oauth2/token"}`: 4,
			`idp_http_requests_total{code="404",method="GET",route="none"}`:           1,
			`idp_http_request_duration_seconds_count{route="/oauth2/token"}`:          6,
			`idp_password_hash_seconds_count`:                                         2,
			`idp_password_hash_inflight`:                                              0,
			`idp_sign_seconds_count{alg="ES256"}`:                                     4,
			`idp_sign_seconds_count{alg="RS256"}`:                                     3,
			`idp_db_tx_retries_total`:                                                 0,
			`idp_audit_dropped_total`:                                                 0,
			`idp_mail_queued`:                                                         0,
		}
		atLeast := map[string]float64{
			`idp_db_query_seconds_count{operation="batch"}`:                      4,
			`idp_db_query_seconds_count{operation="query"}`:                      4,
			`idp_jobs_total{result="success",task="maintenance"}`:                1,
			`idp_job_last_success_timestamp_seconds{task="keys"}`:                1,
			`idp_signing_key_age_seconds{alg="ES256"}`:                           0,
			`idp_audit_seal_lag_seconds`:                                         0,
			`idp_db_pool_max_connections{pool="` + pools[engine] + `"}`:          1,
			`idp_db_pool_connections{pool="` + pools[engine] + `",state="idle"}`: 0,
			`go_goroutines`: 1,
		}
		var values map[string]float64
		var text string
		var off []string
		// What is noted is written a little later, and maintenance takes its time.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			values, text = node.metrics(t)
			off = nil
			for name, least := range atLeast {
				if value, there := values[name]; !there || value < least {
					off = append(off, fmt.Sprintf("%s is %v, want at least %v", name, value, least))
				}
			}
			for name, exact := range want {
				if value, there := values[name]; !there || value != exact {
					off = append(off, fmt.Sprintf("%s is %v, want %v", name, value, exact))
				}
			}
			if off == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(strings.Join(off, "\n"))
			}
		}

		// Nothing that somebody sent or was given, and nobody's name.
		w.saw(wrong, forger.Secret, strange, tokens.Access, tokens.ID, third.Refresh)
		for _, secret := range append(w.all(), web.ID, service.ID, alice.Username, alice.Sub, "127.0.0.1") {
			if strings.Contains(text, secret) {
				t.Errorf("the metrics hold %q", secret)
			}
		}
		if found := regexp.MustCompile(`[A-Za-z0-9_-]{43,}`).FindAllString(regexp.MustCompile(`(?m)^#.*$|^[a-z_]+`).ReplaceAllString(text, ""), -1); found != nil {
			t.Errorf("long words in the metrics: %q", found)
		}
		calm(t, w, node)
	})
}

// pools names a pool of each engine.
var pools = map[string]string{"sqlite": "sqlite_write", "postgres": "postgres"}

// Metrics and profiles are nothing that the public listener has, however they
// are asked for, and profiles nothing that the other one has unasked.
func TestAttack_P06_MetricsOnThePublicListener(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		node := inst.Start(t)
		profiled := node
		if engine == "postgres" { // where there may be two
			profiled = inst.Launch(t, map[string]string{"IDP_MANAGEMENT_PPROF": "true"})
			profiled.WaitReady(t)
		}
		for _, n := range []*Node{node, profiled} {
			for _, path := range []string{
				"/metrics", "//metrics", "/%6detrics", "/metrics/", "/./metrics", "/static/../metrics",
				"/debug/pprof", "/debug/pprof/", "//debug/pprof/", "/debug/pprof/heap", "/%64ebug/pprof/heap", "/debug/vars", "/healthz", "/readyz",
			} {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					a := n.request(t, n.HTTP, method, path, "", http.Header{
						"X-Original-Url": {"/metrics"}, "X-Rewrite-Url": {"/metrics"}, "X-Http-Method-Override": {"GET"}, "X-Forwarded-Port": {"9100"},
					})
					if a.Status != http.StatusNotFound || strings.Contains(a.Body, "idp_") || strings.Contains(a.Body, "goroutine") {
						t.Errorf("%s %s: status %d", method, path, a.Status)
					}
				}
			}
		}
		for path, want := range map[string]int{
			"/metrics": http.StatusOK, "/debug/pprof/": http.StatusNotFound, "/debug/pprof/heap": http.StatusNotFound,
			"/debug/pprof/profile?seconds=1": http.StatusNotFound, "/debug/pprof/cmdline": http.StatusNotFound,
		} {
			if status, _ := managed(t, node, path); status != want {
				t.Errorf("management %s: status %d, want %d", path, status, want)
			}
			if strings.HasPrefix(path, "/debug/pprof/h") && profiled != node {
				if status, body := managed(t, profiled, path+"?debug=1"); status != http.StatusOK || !strings.Contains(body, "heap profile") {
					t.Errorf("management %s where profiles are on: status %d", path, status)
				}
			}
		}
	})
}

// What the probes say is two words, and what they are asked with counts for
// nothing.
func TestAttack_P13_HealthSaysTwoWords(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		node := inst.Start(t)
		for _, path := range []string{"/healthz", "/readyz", "/healthz?verbose=1", "/readyz?verbose"} {
			status, body := managed(t, node, path)
			if status != http.StatusOK || len(strings.Fields(body)) != 2 {
				t.Errorf("%s: status %d, %q", path, status, body)
			}
		}
	})
}

func managed(t *testing.T, n *Node, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Management+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("admin", "admin")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}
