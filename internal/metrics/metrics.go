package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Buckets in seconds.
var (
	requestBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	queryBuckets    = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	passwordBuckets = []float64{.01, .025, .05, .1, .15, .2, .3, .5, .75, 1, 2.5}
	signBuckets     = []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05}
)

// Metrics are what one node counts. Its methods may be called from many
// goroutines.
type Metrics struct {
	catalogue
	now func() time.Time

	requests       *counters
	requestSeconds *histograms
	oauthErrors    *counters
	tokens         *counters

	events       *counters
	logins       *counters
	factors      *counters
	refreshReuse prometheus.Counter
	rateLimited  *counters
	mailSent     *counters
	mailFailed   *counters

	passwordSeconds  prometheus.Histogram
	passwordInflight prometheus.Gauge
	signSeconds      *histograms
	querySeconds     *histograms
	queryErrors      *counters
	retries          prometheus.Counter

	jobs       *counters
	jobSuccess *prometheus.GaugeVec
}

// Config is what Metrics need. Every field is needed.
type Config struct {
	Version   string // of this program
	GoVersion string
	Now       func() time.Time
}

// New returns Metrics with nothing counted.
func New(cfg Config) *Metrics {
	m := &Metrics{catalogue: newCatalogue(), now: cfg.Now}
	m.gauge("idp_build_info", "Always 1; the labels say which program runs.", "version", "go_version").
		WithLabelValues(cfg.Version, cfg.GoVersion).Set(1)

	m.requests = m.counters("idp_http_requests_total", "Answered requests of the public listener. The route is a pattern, none where nothing is.", "route", "method", "code")
	m.requestSeconds = m.histograms("idp_http_request_duration_seconds", "How long requests of the public listener took.", requestBuckets, "route")
	m.oauthErrors = m.counters("idp_oauth_errors_total", "Protocol requests that were refused, by the error that was answered, shown or logged.", "endpoint", "error")
	m.tokens = m.counters("idp_tokens_issued_total", "Codes and tokens that were handed out. The grant is authorize for what the authorization endpoint gives.", "grant", "type")

	m.events = m.counters("idp_audit_events_total", "Audit events that this node committed.", "event")
	m.logins = m.counters("idp_logins_total", "Sign-ins by what they began with: success, failure or throttled. A second factor that fails is in idp_mfa_total.", "method", "result")
	m.factors = m.counters("idp_mfa_total", "Second factors and passkeys that were tried: success, failure or throttled.", "method", "result")
	m.refreshReuse = m.counter("idp_refresh_reuse_total", "Refresh tokens that were used again after their successor was, each of which ended a grant: somebody has a stolen token.")
	m.rateLimited = m.counters("idp_ratelimited_total", "What was refused because there was too much of it, by the limit.", "limit")
	m.mailSent = m.counters("idp_mail_sent_total", "Messages to people that the mail server took.", "kind")
	m.mailFailed = m.counters("idp_mail_failed_total", "Messages to people that were given up.", "kind")

	m.passwordSeconds = m.histogram("idp_password_hash_seconds", "How long one password hash took, without waiting for a turn.", passwordBuckets)
	m.passwordInflight = m.gauge("idp_password_hash_inflight", "Password hashes that are being computed.").WithLabelValues()
	m.signSeconds = m.histograms("idp_sign_seconds", "How long one signature took.", signBuckets, "alg")
	m.querySeconds = m.histograms("idp_db_query_seconds", "How long the database took, with waiting for a connection and with trying again: one statement, a batch, or a transaction.", queryBuckets, "operation")
	m.queryErrors = m.counters("idp_db_errors_total", "What the database could not do because it was away, overloaded or too slow.", "operation")
	m.retries = m.counter("idp_db_tx_retries_total", "Statements and transactions that failed without effect and were tried again.")

	m.jobs = m.counters("idp_jobs_total", "What is done now and then in the background: success or failure.", "task", "result")
	m.jobSuccess = m.gauge("idp_job_last_success_timestamp_seconds", "When a background job last came to its end on this node, in seconds since 1970.", "task")

	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// PasswordHash tells of a password hash that is begun; what it returns is called
// when it is done.
func (m *Metrics) PasswordHash() (done func()) {
	started := m.now()
	m.passwordInflight.Inc()
	return func() {
		m.passwordInflight.Dec()
		m.passwordSeconds.Observe(m.now().Sub(started).Seconds())
	}
}

// Signed tells of a signature.
func (m *Metrics) Signed(alg string, took time.Duration) {
	m.signSeconds.of(labels{alg}).Observe(took.Seconds())
}

// Query tells of work of the database, and whether it was available for it.
func (m *Metrics) Query(operation string, took time.Duration, available bool) {
	m.querySeconds.of(labels{operation}).Observe(took.Seconds())
	if !available {
		m.queryErrors.of(labels{operation}).Inc()
	}
}

// Retried tells that the database is asked again.
func (m *Metrics) Retried() { m.retries.Inc() }

// Job tells how a job in the background ended.
func (m *Metrics) Job(name string, err error) {
	if err != nil {
		m.jobs.of(labels{name, "failure"}).Inc()
		return
	}
	m.jobs.of(labels{name, "success"}).Inc()
	m.jobSuccess.WithLabelValues(name).Set(float64(m.now().Unix()))
}
