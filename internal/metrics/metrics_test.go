package metrics_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/metrics"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Config{Version: "1.2.3", GoVersion: "go1.26", Now: func() time.Time { return now }})
}

// database answers what metrics ask, or that it is away.
type database struct{ err error }

func (d database) WaitingMail(context.Context) (int64, error) { return 3, d.err }

func (d database) OldestUnsealed(context.Context) (time.Time, error) {
	return now.Add(-40 * time.Second), d.err
}

func sources(d database) metrics.Sources {
	return metrics.Sources{
		Store:   d,
		Dropped: func() int64 { return 7 },

		DroppedDecisions: func() int64 { return 0 },
		Pools: func() []metrics.Pool {
			return []metrics.Pool{{Name: "postgres", Max: 8, Used: 2, Idle: 1, Waits: 5, Waited: 250 * time.Millisecond}}
		},
		Keys: func() []idp.StatedKey {
			return []idp.StatedKey{
				{Key: idp.Key{Alg: idp.AlgES256, ActiveFrom: now.Add(-time.Hour)}, State: idp.KeyActive},
				{Key: idp.Key{Alg: idp.AlgES256, ActiveFrom: now.Add(time.Hour)}, State: idp.KeyNext},
			}
		},
	}
}

func read(t *testing.T, h http.Handler) []string {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
	return strings.Split(answer.Body.String(), "\n")
}

func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	for _, e := range []idp.Event{
		{Kind: idp.EventLoginSucceeded, UserID: "u", Detail: map[string]string{"amr": "pwd otp mfa"}},
		{Kind: idp.EventLoginSucceeded, UserID: "u", Detail: map[string]string{"amr": "hwk user mfa"}},
		{Kind: idp.EventLoginFailed, UserID: "u", Detail: map[string]string{"reason": "wrong_password"}},
		{Kind: idp.EventLoginThrottled, Detail: map[string]string{"reason": "address"}},
		{Kind: idp.EventLoginThrottled, UserID: "u", Detail: map[string]string{"reason": "factor", "factor": "totp"}},
		{Kind: idp.EventFactorUsed, UserID: "u", Detail: map[string]string{"factor": "totp"}},
		{Kind: idp.EventFactorFailed, UserID: "u", Detail: map[string]string{"factor": "recovery_code"}},
		{Kind: idp.EventWebAuthnRejected, UserID: "u", Detail: map[string]string{"factor": "passkey"}},
		{Kind: idp.EventRefreshReplayed, ClientID: "c"},
		{Kind: idp.EventRecoveryThrottled},
		{Kind: idp.EventRegistrationThrottled},
		{Kind: idp.EventMailSent, Detail: map[string]string{"target": "recovery"}},
		{Kind: idp.EventMailUndelivered, Detail: map[string]string{"target": "recovery"}},
	} {
		m.Event(e)
	}
	lines := read(t, m.Handler(sources(database{})))
	for _, want := range []string{
		`idp_build_info{go_version="go1.26",version="1.2.3"} 1`,
		`idp_logins_total{method="password",result="success"} 1`,
		`idp_logins_total{method="passkey",result="success"} 1`,
		`idp_logins_total{method="password",result="failure"} 1`,
		`idp_logins_total{method="password",result="throttled"} 1`,
		`idp_mfa_total{method="totp",result="success"} 1`,
		`idp_mfa_total{method="totp",result="throttled"} 1`,
		`idp_mfa_total{method="recovery_code",result="failure"} 1`,
		`idp_mfa_total{method="passkey",result="failure"} 1`,
		`idp_ratelimited_total{limit="sign_in_address"} 1`,
		`idp_ratelimited_total{limit="sign_in_factor"} 1`,
		`idp_ratelimited_total{limit="recovery"} 1`,
		`idp_ratelimited_total{limit="registration"} 1`,
		`idp_refresh_reuse_total 1`,
		`idp_mail_sent_total{kind="recovery"} 1`,
		`idp_mail_failed_total{kind="recovery"} 1`,
		`idp_audit_events_total{event="login.throttled"} 2`,
	} {
		require.Contains(t, lines, want)
	}
}

func TestSourcesAreAsked(t *testing.T) {
	t.Parallel()
	lines := read(t, newMetrics().Handler(sources(database{})))
	for _, want := range []string{
		`idp_mail_queued 3`,
		`idp_audit_seal_lag_seconds 40`,
		`idp_audit_dropped_total 7`,
		`idp_signing_key_age_seconds{alg="ES256"} 3600`,
		`idp_db_pool_connections{pool="postgres",state="used"} 2`,
		`idp_db_pool_connections{pool="postgres",state="idle"} 1`,
		`idp_db_pool_max_connections{pool="postgres"} 8`,
		`idp_db_pool_waits_total{pool="postgres"} 5`,
		`idp_db_pool_wait_seconds_total{pool="postgres"} 0.25`,
	} {
		require.Contains(t, lines, want)
	}

	// What the database alone knows is missing while it is away; the rest is not.
	away := strings.Join(read(t, newMetrics().Handler(sources(database{err: idp.ErrUnavailable}))), "\n")
	require.NotContains(t, away, "idp_mail_queued")
	require.NotContains(t, away, "idp_audit_seal_lag_seconds")
	require.Contains(t, away, "idp_signing_key_age_seconds")
}

func TestWhatTakesTimeIsTimed(t *testing.T) {
	t.Parallel()
	at := now
	m := metrics.New(metrics.Config{Now: func() time.Time { return at }})
	first, second := m.PasswordHash(), m.PasswordHash()
	at = at.Add(200 * time.Millisecond)
	first()
	m.Signed(idp.AlgES256, 30*time.Microsecond)
	m.Query("batch", time.Millisecond, true)
	m.Query("batch", 2*time.Second, false)
	m.Retried()
	m.Job("keys", nil)
	m.Job("keys", errors.New("away"))
	lines := read(t, m.Handler(sources(database{})))
	for _, want := range []string{
		`idp_password_hash_inflight 1`,
		`idp_password_hash_seconds_sum 0.2`,
		`idp_sign_seconds_bucket{alg="ES256",le="2.5e-05"} 0`,
		`idp_sign_seconds_bucket{alg="ES256",le="5e-05"} 1`,
		`idp_db_query_seconds_count{operation="batch"} 2`,
		`idp_db_errors_total{operation="batch"} 1`,
		`idp_db_tx_retries_total 1`,
		`idp_jobs_total{result="success",task="keys"} 1`,
		`idp_jobs_total{result="failure",task="keys"} 1`,
		`idp_job_last_success_timestamp_seconds{task="keys"} 1.7723664e+09`,
	} {
		require.Contains(t, lines, want)
	}
	second()
}

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Request("/oauth2/token", http.MethodPost, 200, 3*time.Millisecond, &idp.Request{GrantType: idp.GrantRefreshToken, Issued: "access_token refresh_token"})
	m.Request("/oauth2/token", http.MethodPost, 400, time.Millisecond, &idp.Request{Outcome: "invalid_grant", ClientID: "shop"})
	m.Request("/oauth2/token", http.MethodPost, 429, time.Millisecond, &idp.Request{Outcome: "invalid_client"})
	m.Request("/oauth2/auth", http.MethodGet, 303, time.Millisecond, &idp.Request{Issued: "code"})
	m.Request("/login", http.MethodPost, 422, time.Millisecond, &idp.Request{Outcome: "login_failed"})
	m.Request("", "OTHER", 405, time.Millisecond, &idp.Request{})
	text := strings.Join(read(t, m.Handler(sources(database{}))), "\n")
	for _, want := range []string{
		`idp_http_requests_total{code="200",method="POST",route="/oauth2/token"} 1`,
		`idp_http_requests_total{code="405",method="OTHER",route="none"} 1`,
		`idp_http_request_duration_seconds_bucket{route="/oauth2/token",le="0.0025"} 2`,
		`idp_http_request_duration_seconds_count{route="/oauth2/token"} 3`,
		`idp_tokens_issued_total{grant="refresh_token",type="access_token"} 1`,
		`idp_tokens_issued_total{grant="refresh_token",type="refresh_token"} 1`,
		`idp_tokens_issued_total{grant="authorize",type="code"} 1`,
		`idp_oauth_errors_total{endpoint="/oauth2/token",error="invalid_grant"} 1`,
		`idp_ratelimited_total{limit="client"} 1`,
	} {
		require.Contains(t, text, want+"\n")
	}
	require.NotContains(t, text, "login_failed")
	require.NotContains(t, text, "shop")
}

// What happens with every request costs no allocation.
func TestCountingAllocatesNothing(t *testing.T) {
	m := newMetrics()
	record := &idp.Request{GrantType: idp.GrantClientCredentials, Issued: "access_token"}
	refused := &idp.Request{Outcome: "invalid_grant"}
	event := idp.Event{Kind: idp.EventTokenIssued}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.Request("/oauth2/token", http.MethodPost, 200, time.Millisecond, record)
		m.Request("/oauth2/token", http.MethodPost, 400, time.Millisecond, refused)
		m.Event(event)
		m.Signed(idp.AlgES256, time.Millisecond)
		m.Query("batch", time.Millisecond, true)
	}))
}

// A metric has no more series than fit, whatever is counted.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	for i := range 3000 {
		m.Event(idp.Event{Kind: idp.EventKind(strings.Repeat("x", i+1))})
	}
	series := 0
	for _, line := range read(t, m.Handler(sources(database{}))) {
		if strings.HasPrefix(line, "idp_audit_events_total{") {
			series++
		}
		if strings.HasPrefix(line, `idp_audit_events_total{event="other"}`) {
			require.Equal(t, `idp_audit_events_total{event="other"} 1000`, line)
		}
	}
	require.LessOrEqual(t, series, 2001)
}
