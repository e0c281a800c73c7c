package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Timeouts of a connection. Zero ones are the defaults.
type Timeouts struct {
	ReadHeader time.Duration // 5 s
	Read       time.Duration // headers and body, 10 s
	Write      time.Duration // from the end of the headers to the end of the answer, 15 s
	Idle       time.Duration // between two requests, 60 s
}

// Config is what a Server is made of.
type Config struct {
	Public        net.Listener
	Handler       http.Handler // of NewHandler
	Management    net.Listener // nil for none
	ManagementAPI *Management  // of NewManagement; nil only without a management listener

	Certificate *Certificate // of LoadCertificate; nil when a proxy ends TLS

	Timeouts    Timeouts
	DrainDelay  time.Duration // between saying "not ready" and accepting no more; 0 for none
	StopTimeout time.Duration // for requests in flight, after that; 0 is 15 s
	Logger      *slog.Logger
}

// Server is the process as the network sees it. Create it with New.
type Server struct {
	config     Config
	public     *http.Server
	management *http.Server
	draining   atomic.Bool
}

// New returns a server that does not serve yet.
func New(c Config) *Server {
	c.Timeouts.ReadHeader = orDefault(c.Timeouts.ReadHeader, 5*time.Second)
	c.Timeouts.Read = orDefault(c.Timeouts.Read, 10*time.Second)
	c.Timeouts.Write = orDefault(c.Timeouts.Write, 15*time.Second)
	c.Timeouts.Idle = orDefault(c.Timeouts.Idle, 60*time.Second)
	c.StopTimeout = orDefault(c.StopTimeout, 15*time.Second)
	s := &Server{config: c}
	s.public = s.httpServer(http.HandlerFunc(s.serve))
	if c.Certificate != nil {
		s.public.TLSConfig = c.Certificate.config()
	}
	if c.Management != nil {
		s.management = s.httpServer(c.ManagementAPI)
	}
	return s
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" passes the same middleware
		ReadHeaderTimeout:            s.config.Timeouts.ReadHeader,
		ReadTimeout:                  s.config.Timeouts.Read,
		WriteTimeout:                 s.config.Timeouts.Write,
		IdleTimeout:                  s.config.Timeouts.Idle,
		MaxHeaderBytes:               maxHeaders,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          100,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     maxBody,
			SendPingTimeout:               s.config.Timeouts.Idle / 2,
			WriteByteTimeout:              s.config.Timeouts.Write,
		},
		// What net/http has to say is a client's broken handshake or connection.
		ErrorLog: slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
}

// serve hands requests on. While the node drains, each answer asks the client
// to come back on another connection, so that few are left to be cut.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	s.config.Handler.ServeHTTP(w, r)
}

// Run serves until ctx ends, and then stops: it says "not ready", goes on for
// the drain delay, accepts no more, finishes what is in flight, and closes. It
// returns nil after a stop in which every request got its answer, and an error
// when a listener failed or requests had to be cut. Run once.
func (s *Server) Run(ctx context.Context) error {
	watched, stopWatching := context.WithCancel(ctx)
	defer stopWatching()

	failed := make(chan error, 2)
	go func() { failed <- s.servePublic(watched) }()
	if s.management != nil {
		go func() { failed <- s.management.Serve(s.config.Management) }()
	}

	var cause error
	select {
	case <-ctx.Done():
	case err := <-failed:
		cause = fmt.Errorf("serving: %w", err)
	}
	return errors.Join(cause, s.stop(cause == nil))
}

func (s *Server) servePublic(ctx context.Context) error {
	if s.config.Certificate == nil {
		return s.public.Serve(framed{s.config.Public})
	}
	go s.config.Certificate.watch(ctx, s.config.Logger)
	return s.public.ServeTLS(s.config.Public, "", "")
}

// stop ends both listeners, the management one last, so that probes hear "not
// ready" to the end.
func (s *Server) stop(drain bool) error {
	if s.config.ManagementAPI != nil {
		s.config.ManagementAPI.Drain()
	}
	s.draining.Store(true)
	if drain {
		time.Sleep(s.config.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StopTimeout)
	defer cancel()
	err := s.public.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("requests still in flight after %s were cut: %w", s.config.StopTimeout, errors.Join(err, s.public.Close()))
	}
	if s.management != nil {
		err = errors.Join(err, s.management.Close())
	}
	return err
}
