package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/cors"

	"idp/internal/idp"
)

// HandlerConfig is what the public handler is made of.
type HandlerConfig struct {
	Issuer   string // as configured; its scheme, host and path rule what is answered
	Handlers Handlers
	// AllowOrigin reports whether a registered client names the origin
	// (implemented by *store.Directory's OriginAllowed). Nil allows none.
	AllowOrigin func(origin string) bool
	// TrustedProxies are the networks whose X-Forwarded-For, Forwarded and
	// X-Request-Id count. Whoever connects by a unix socket is trusted as well:
	// nobody but a proxy does.
	TrustedProxies []netip.Prefix
	// UntrustedHeader hears of headers that only a trusted proxy may send, from
	// somebody else: peer is an address, names are header names. They did not
	// count. It is called once per peer and minute, and may be nil.
	UntrustedHeader func(ctx context.Context, peer string, names []string)
	Meter           Meter     // nil for none
	Tracer          Tracer    // nil for none
	Decisions       Decisions // nil for none
	Logger          *slog.Logger
	Now             func() time.Time
	Deadline        time.Duration // of one handler; 0 is 10 s
}

// Meter counts requests. Implemented by *metrics.Metrics.
type Meter interface {
	// Request tells of a request that was answered: the route as the table shows
	// it, its variables by name alone, empty where none matched; and the method,
	// or OTHER for an unknown one.
	Request(route, method string, status int, took time.Duration, record *idp.Request)
}

// Tracer follows requests. Implemented by *tracing.Tracing.
type Tracer interface {
	// Request begins to follow a request; done is called once it was answered,
	// with route and method as for a Meter. Only a trusted proxy's headers may say
	// which trace it belongs to.
	Request(ctx context.Context, header http.Header, trusted bool) (_ context.Context, done func(route, method string, status int, record *idp.Request))
}

// Decisions keeps how requests were decided. Implemented by *decisions.Recorder.
type Decisions interface {
	// Answered takes the record of a request that was answered: it belongs to
	// nobody else any more. The route is as for Meter.
	Answered(route string, status int, at time.Time, record *idp.Request)
}

// public is the public handler: what every request passes before its route and
// every answer carries.
type public struct {
	issuer         string
	issuerHost     string // lower case, without a default port
	issuerPath     string // without the slash at its end
	secure         bool   // the issuer is https
	trustedProxies []netip.Prefix
	logger         *slog.Logger
	now            func() time.Time
	deadline       time.Duration
	allowOrigin    func(string) bool
	untrusted      func(ctx context.Context, peer string, names []string)
	notices        notices
	meter          Meter
	tracer         Tracer
	decisions      Decisions
	showFault      func(http.ResponseWriter, *http.Request, Fault)
	next           http.Handler
}

// NewHandler returns what the public listener serves. It fails when the issuer
// is no URL that endpoints could stand under.
func NewHandler(c HandlerConfig) (http.Handler, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || (issuer.Scheme != "https" && issuer.Scheme != "http") || issuer.Host == "" ||
		issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil {
		return nil, fmt.Errorf("issuer %q: must be an http or https URL without query and fragment", c.Issuer)
	}
	p := &public{
		issuer:         c.Issuer,
		secure:         issuer.Scheme == "https",
		issuerPath:     strings.TrimSuffix(issuer.EscapedPath(), "/"),
		trustedProxies: c.TrustedProxies,
		logger:         c.Logger,
		now:            c.Now,
		deadline:       c.Deadline,
		allowOrigin:    c.AllowOrigin,
		untrusted:      c.UntrustedHeader,
		meter:          c.Meter,
		tracer:         c.Tracer,
		decisions:      c.Decisions,
		showFault:      c.Handlers.Fault,
	}
	p.issuerHost = p.hostname(issuer.Host)
	if p.deadline == 0 {
		p.deadline = 10 * time.Second
	}
	p.next = p.mount(Routes(c.Handlers))
	return p, nil
}

// hostname is a Host in the spelling that hosts are compared in.
func (p *public) hostname(host string) string {
	port := ":80"
	if p.secure {
		port = ":443"
	}
	return strings.TrimSuffix(strings.ToLower(host), port)
}

// ServeHTTP is one request's way: 1 name it and find out who asks · 2 put the
// headers on the answer · 3 refuse what no route may see · 4 give it its
// deadline and hand it on · 5 leave one log record, whatever happened.
func (p *public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := p.now()

	peer, trusted := p.peer(r)
	x := &exchange{}
	x.request.ID = requestID(r, trusted)
	x.request.RemoteAddr = p.clientAddress(r, peer, trusted)
	x.request.UserAgent = shortened(r.UserAgent(), 256)

	answer := &response{ResponseWriter: w}
	p.setHeaders(answer.Header(), x.request.ID)
	if len(r.TransferEncoding) > 0 {
		// RFC 9112 section 6.1: what follows a body of unannounced length is
		// never read as a request.
		answer.Header().Set("Connection", "close")
	}

	ctx := r.Context()
	if p.tracer != nil {
		ctx, x.followed = p.tracer.Request(ctx, r.Header, trusted)
	}
	ctx, cancel := context.WithTimeout(withExchange(ctx, x), p.deadline)
	defer cancel()
	r = r.WithContext(ctx)

	defer func() {
		v := recover()
		if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a sentinel panic value, by net/http's own contract
			x.request.Cause = fmt.Errorf("panic: %v", v)
			x.stack = string(debug.Stack())
			x.request.Refused(idp.Step{Rule: idp.RuleServerWorks, Outcome: idp.Failed})
			if !answer.started() {
				clear(answer.Header()) // cookies and redirects of the act that failed
				p.setHeaders(answer.Header(), x.request.ID)
				p.fault(answer, r, Fault{Status: http.StatusInternalServerError, Message: "Something went wrong here. It has been recorded."}, wantsPage(r))
				v = nil
			} else {
				v = http.ErrAbortHandler // half an answer must not look like a whole one
			}
		}
		p.record(r, x, answer, p.now().Sub(started))
		if p.decisions != nil {
			p.decisions.Answered(x.name, answer.status, started, &x.request)
		}
		if v != nil {
			panic(v)
		}
	}()

	if !trusted && p.untrusted != nil {
		if names := proxyHeadersOf(r.Header); len(names) > 0 && p.notices.due(peer, started) {
			p.untrusted(ctx, peer.String(), names)
		}
	}
	if f := p.refusal(r); f != nil {
		if f.Status == http.StatusMethodNotAllowed {
			answer.Header().Set("Allow", "GET, HEAD, POST")
		}
		p.fault(answer, r, *f, wantsPage(r))
		return
	}
	p.next.ServeHTTP(answer, r)
}

// setHeaders puts on what every answer carries unless its handler knows better.
func (p *public) setHeaders(h http.Header, requestID string) {
	h.Set("X-Request-Id", requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=(), publickey-credentials-create=(self), publickey-credentials-get=(self)")
	if p.secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}

// cors lets scripts of registered origins call an endpoint. Cookies never
// count across origins, "null" is nobody's origin, and every other origin gets
// an answer without a word about CORS.
func (p *public) cors(methods []string, h http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) {
			return len(r.Header["Origin"]) == 1 && origin != "" && origin != "null" &&
				p.allowOrigin != nil && p.allowOrigin(origin), nil
		},
		AllowedMethods: methods,
		AllowedHeaders: []string{"Authorization", "Content-Type", "DPoP"},
		ExposedHeaders: []string{"WWW-Authenticate", "Retry-After", "X-Request-Id"},
		MaxAge:         300,
	}).Handler(h)
}

// requestID names a request by 128 random bits, or by what a trusted proxy
// already calls it.
func requestID(r *http.Request, trusted bool) string {
	if given := r.Header["X-Request-Id"]; trusted && len(given) == 1 && isRequestID(given[0]) {
		return given[0]
	}
	var id idp.ID
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	id[0] &= 0x7f           // begins with a letter: people give it to commands, which take a hyphen for a flag
	return id.String()
}

func isRequestID(s string) bool {
	if len(s) < 8 || len(s) > 64 || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// shortened cuts s to valid UTF-8 of at most n bytes.
func shortened(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// exchange is what this package knows of one request beside idp.Request.
type exchange struct {
	request idp.Request
	route   string // the pattern; empty when no route matched
	name    string // the same for all issuers
	stack   string // of a panic

	followed func(route, method string, status int, record *idp.Request) // ends its trace; nil for none
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(idp.WithRequest(ctx, &x.request), exchangeKey{}, x)
}

func exchangeFrom(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// response remembers what was answered.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *response) started() bool { return w.status != 0 }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// record writes the one log record of a request. It names the route by its
// pattern: paths and queries may hold tokens and codes.
func (p *public) record(r *http.Request, x *exchange, answer *response, took time.Duration) {
	status := answer.status
	if status == 0 {
		status = http.StatusOK // what net/http answers for a handler that wrote nothing
	}
	method := r.Method
	if !knownMethod(method) {
		method = "OTHER"
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.request.ID),
		slog.String("ip", x.request.RemoteAddr),
		slog.String("method", method),
		slog.String("route", x.route),
		slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", answer.bytes),
		slog.Int("db_round_trips", int(x.request.RoundTrips.Load())),
	}
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	text("client_id", shortened(x.request.ClientID, 256))
	text("grant_type", shortened(x.request.GrantType, 64))
	text("sub", x.request.Subject)
	text("issued", x.request.Issued)
	text("outcome", x.request.Outcome)
	if x.request.Cause != nil {
		text("cause", x.request.Cause.Error())
	}
	text("stack", x.stack)

	level := slog.LevelInfo
	switch {
	case x.stack != "":
		level = slog.LevelError
	case status >= 500 && !errors.Is(x.request.Cause, idp.ErrUnavailable):
		level = slog.LevelError
	case status >= 500:
		level = slog.LevelWarn
	}
	p.logger.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
	if p.meter != nil {
		p.meter.Request(x.name, method, status, took, &x.request)
	}
	if x.followed != nil {
		x.followed(x.name, method, status, &x.request)
	}
}
