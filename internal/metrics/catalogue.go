package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Definition is what is known of a metric before anything was counted.
type Definition struct {
	Name   string
	Kind   string // counter, gauge or histogram
	Help   string
	Labels []string
}

// catalogue makes metrics and keeps what they are.
type catalogue struct {
	registry    *prometheus.Registry
	definitions []Definition
}

func newCatalogue() catalogue { return catalogue{registry: prometheus.NewRegistry()} }

// Definitions lists all metrics but those of the Go runtime and the process.
// What is asked for when metrics are read is among them once there is a Handler.
func (c *catalogue) Definitions() []Definition { return slices.Clone(c.definitions) }

func (c *catalogue) define(kind, name, help string, names []string) {
	c.definitions = append(c.definitions, Definition{Name: name, Kind: kind, Help: help, Labels: names})
}

func (c *catalogue) counters(name, help string, names ...string) *counters {
	c.define("counter", name, help, names)
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, names)
	c.registry.MustRegister(vec)
	return newSeries(len(names), func(values ...string) prometheus.Counter { return vec.WithLabelValues(values...) })
}

func (c *catalogue) counter(name, help string) prometheus.Counter {
	return c.counters(name, help).of(labels{})
}

func (c *catalogue) histograms(name, help string, buckets []float64, names ...string) *histograms {
	c.define("histogram", name, help, names)
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, names)
	c.registry.MustRegister(vec)
	return newSeries(len(names), func(values ...string) prometheus.Observer { return vec.WithLabelValues(values...) })
}

func (c *catalogue) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return c.histograms(name, help, buckets).of(labels{}).(prometheus.Histogram)
}

func (c *catalogue) gauge(name, help string, names ...string) *prometheus.GaugeVec {
	c.define("gauge", name, help, names)
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, names)
	c.registry.MustRegister(vec)
	return vec
}

// labels are the values of a metric's labels, as many as it has.
type labels [3]string

// maxSeries is how many series one metric has at most. Nothing comes near it:
// it keeps a mistake from eating the memory.
const maxSeries = 2000

// overflow stands for all series beyond maxSeries.
const overflow = "other"

type (
	counters   = series[prometheus.Counter]
	histograms = series[prometheus.Observer]
)

// series finds the parts of a metric by their labels, without allocating for
// those that it has met.
type series[M any] struct {
	count int // of labels
	make  func(values ...string) M
	known atomic.Pointer[map[labels]M]
	mu    sync.Mutex // held while a new one is added
}

func newSeries[M any](count int, create func(values ...string) M) *series[M] {
	s := &series[M]{count: count, make: create}
	s.known.Store(&map[labels]M{})
	return s
}

func (s *series[M]) of(l labels) M {
	if m, ok := (*s.known.Load())[l]; ok {
		return m
	}
	return s.add(l)
}

// add is apart from of, which must not allocate.
func (s *series[M]) add(l labels) M {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.known.Load()
	if len(known) >= maxSeries {
		for i := range s.count {
			l[i] = overflow
		}
	}
	if m, ok := known[l]; ok {
		return m
	}
	for i := range l {
		l[i] = strings.Clone(l[i]) // not the request that it is a part of
	}
	m := s.make(l[:s.count]...)
	more := maps.Clone(known)
	more[l] = m
	s.known.Store(&more)
	return m
}
