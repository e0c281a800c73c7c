package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"idp/internal/idp"
)

// askFor is how long the database may take for what only it knows. Without an
// answer those metrics are left out.
const askFor = 2 * time.Second

// Store is asked when the metrics are read. Implemented by *store.Store.
type Store interface {
	// WaitingMail returns how many messages to people are to be sent.
	WaitingMail(ctx context.Context) (int64, error)
	// OldestUnsealed returns when the oldest event happened that came after what
	// was sealed of the audit; zero for none.
	OldestUnsealed(ctx context.Context) (time.Time, error)
}

// Pool is how a pool of database connections is used.
type Pool struct {
	Name            string
	Max, Used, Idle int
	Waits           int64 // how often somebody waited for a connection
	Waited          time.Duration
}

// Sources are asked when the metrics are read.
type Sources struct {
	Store   Store
	Pools   func() []Pool
	Keys    func() []idp.StatedKey
	Dropped func() int64 // audit events that were not written
	// DroppedDecisions counts the requests whose trace was not written.
	DroppedDecisions func() int64
}

// Handler answers with the metrics, and asks the sources for the rest of them.
// It is made once.
func (m *Metrics) Handler(s Sources) http.Handler {
	m.registry.MustRegister(m.reader(s))
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	})
}

// reader reads the sources.
type reader struct {
	Sources
	now func() time.Time

	mailQueued, sealLag, keyAge, dropped *prometheus.Desc
	droppedDecisions                     *prometheus.Desc
	conns, maxConns, waits, waitSeconds  *prometheus.Desc
	all                                  []*prometheus.Desc
}

func (m *Metrics) reader(s Sources) *reader {
	r := &reader{Sources: s, now: m.now}
	desc := func(kind, name, help string, names ...string) *prometheus.Desc {
		m.define(kind, name, help, names)
		d := prometheus.NewDesc(name, help, names, nil)
		r.all = append(r.all, d)
		return d
	}
	r.mailQueued = desc("gauge", "idp_mail_queued", "Messages to people that are to be sent, by whichever node.")
	r.sealLag = desc("gauge", "idp_audit_seal_lag_seconds", "How old the oldest audit event is that came after what was sealed; 0 when there is none.")
	r.dropped = desc("counter", "idp_audit_dropped_total", "Audit events of refusals that were not written, because they came faster than the database takes them.")
	r.droppedDecisions = desc("counter", "idp_decisions_dropped_total", "Requests of which it was not kept how they were decided, because they came faster than the database takes them.")
	r.keyAge = desc("gauge", "idp_signing_key_age_seconds", "How long the active key of an algorithm has been signing.", "alg")
	r.conns = desc("gauge", "idp_db_pool_connections", "Database connections, used or idle.", "pool", "state")
	r.maxConns = desc("gauge", "idp_db_pool_max_connections", "How many database connections there may be.", "pool")
	r.waits = desc("counter", "idp_db_pool_waits_total", "How often somebody waited for a database connection.", "pool")
	r.waitSeconds = desc("counter", "idp_db_pool_wait_seconds_total", "How long they waited together.", "pool")
	return r
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range r.all {
		out <- d
	}
}

// Collect implements prometheus.Collector. While the database is away, what only
// it knows is missing.
func (r *reader) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, values ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, values...)
	}
	counter := func(d *prometheus.Desc, value float64, values ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, values...)
	}
	now := r.now()
	for _, k := range r.Keys() {
		if k.State == idp.KeyActive {
			gauge(r.keyAge, max(0, now.Sub(k.ActiveFrom).Seconds()), k.Alg)
		}
	}
	for _, p := range r.Pools() {
		gauge(r.conns, float64(p.Used), p.Name, "used")
		gauge(r.conns, float64(p.Idle), p.Name, "idle")
		gauge(r.maxConns, float64(p.Max), p.Name)
		counter(r.waits, float64(p.Waits), p.Name)
		counter(r.waitSeconds, p.Waited.Seconds(), p.Name)
	}
	counter(r.dropped, float64(r.Dropped()))
	counter(r.droppedDecisions, float64(r.DroppedDecisions()))

	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	if waiting, err := r.Store.WaitingMail(ctx); err == nil {
		gauge(r.mailQueued, float64(waiting))
	}
	if oldest, err := r.Store.OldestUnsealed(ctx); err == nil {
		lag := 0.0
		if !oldest.IsZero() {
			lag = max(0, now.Sub(oldest).Seconds())
		}
		gauge(r.sealLag, lag)
	}
}
