package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// ManagementConfig is what the management handler is made of.
type ManagementConfig struct {
	// Ready says why the node should get no requests, nil when it should. It gets
	// two seconds. An error with Reason() string has a word for who asks.
	Ready   func(ctx context.Context) error
	Metrics http.Handler // nil for none
	Profile bool         // answer /debug/pprof/ as well
	Logger  *slog.Logger
}

// Management answers /metrics, and /healthz and /readyz, each in two or three words: why a
// node is not ready goes to the log, once, and not to whoever asks.
type Management struct {
	ready    func(ctx context.Context) error
	logger   *slog.Logger
	routes   http.Handler
	draining atomic.Bool
	away     atomic.Bool // the last answer was 503
}

// NewManagement returns the handler of the management listener.
func NewManagement(c ManagementConfig) *Management {
	m := &Management{ready: c.Ready, logger: c.Logger}
	m.routes = managementRoutes(m, c)
	return m
}

// ServeHTTP answers the management listener.
func (m *Management) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	m.routes.ServeHTTP(w, r)
}

// Drain makes readyz answer 503 from now on.
func (m *Management) Drain() { m.draining.Store(true) }

// healthz says that the process runs. It asks nothing else: restarting a node
// does not bring a database back.
func (m *Management) healthz(w http.ResponseWriter, _ *http.Request) {
	m.say(w, http.StatusOK, "process alive")
}

func (m *Management) readyz(w http.ResponseWriter, r *http.Request) {
	if m.draining.Load() {
		m.say(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := m.ready(ctx); err != nil {
		if !m.away.Swap(true) {
			m.logger.Warn("not ready", "cause", err)
		}
		words := "not ready"
		if reason, ok := errors.AsType[interface {
			error
			Reason() string
		}](err); ok {
			words += ": " + reason.Reason()
		}
		m.say(w, http.StatusServiceUnavailable, words)
		return
	}
	if m.away.Swap(false) {
		m.logger.Info("ready again")
	}
	m.say(w, http.StatusOK, "server ready")
}

func (m *Management) say(w http.ResponseWriter, status int, words string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, words+"\n")
}
