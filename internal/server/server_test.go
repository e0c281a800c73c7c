package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/server"
)

// running is a server on real sockets, and what it logged.
type running struct {
	t          *testing.T
	addr       string
	management string
	log        *logBuffer
	stop       func() error // ends it and returns what Run returned
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// records returns the log records of requests.
func (b *logBuffer) records(t *testing.T) []map[string]any {
	var out []map[string]any
	for line := range strings.Lines(b.String()) {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		if record["msg"] == "request" {
			out = append(out, record)
		}
	}
	return out
}

// setup is what a test may change before the server starts. The issuer's port
// is the listener's when it says PORT.
type setup struct {
	handler server.HandlerConfig
	server  server.Config
	ready   func(context.Context) error
}

func echo(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
}

// everything has a handler for each route.
func everything() server.Handlers {
	return server.Handlers{
		OpenIDConfiguration: echo("openid"), AuthorizationServerMetadata: echo("oauth"), JWKS: echo("jwks"),
		Authorize: echo("authorize"), Token: echo("token"), Revoke: echo("revoke"), Introspect: echo("introspect"), Userinfo: echo("userinfo"),
		Login: echo("login"), Consent: echo("consent"), Logout: echo("logout"), Account: echo("account"), Home: echo("home"),
		Static: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "static "+r.URL.Path) }),
	}
}

func start(t *testing.T, change func(*setup)) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	management, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	log := &logBuffer{}
	logger := slog.New(slog.NewJSONHandler(log, nil))

	s := &setup{
		handler: server.HandlerConfig{Issuer: "http://PORT", Handlers: everything(), Logger: logger, Now: time.Now},
		server:  server.Config{Public: listener, Management: management, Logger: logger},
		ready:   func(context.Context) error { return nil },
	}
	if change != nil {
		change(s)
	}
	s.handler.Issuer = strings.ReplaceAll(s.handler.Issuer, "PORT", listener.Addr().String())
	s.server.Handler, err = server.NewHandler(s.handler)
	require.NoError(t, err)
	s.server.ManagementAPI = server.NewManagement(server.ManagementConfig{Ready: s.ready, Logger: logger})

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.New(s.server).Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return &running{t: t, addr: listener.Addr().String(), management: management.Addr().String(), log: log, stop: stop}
}

// raw sends bytes as they are, and returns all that came back until the server
// closed the connection. It fails if the server leaves it open.
func (s *running) raw(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	defer conn.Close()
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, strings.ReplaceAll(request, "HOST", s.addr))
	require.NoError(s.t, err)
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		s.t.Fatalf("no answer, or the connection was left open: %v", err)
	}
	require.NotErrorIs(s.t, err, errDeadline(err), "the connection was left open after: %s", answer)
	return string(answer)
}

func errDeadline(err error) error {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return err
	}
	return errors.New("none")
}

type answer struct {
	*http.Response
	body string
}

// do sends one request; path may hold any bytes.
func (s *running) do(method, path string, header http.Header, body io.Reader) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, body)
	require.NoError(s.t, err)
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	response, err := transport.RoundTrip(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return answer{response, string(content)}
}

var browser = http.Header{"Accept": {"text/html,application/xhtml+xml"}}

// A server MUST close the connection after a request whose framing is
// ambiguous, and may refuse it (RFC 9112 sections 5.2, 6.1, 6.3, 7.1).
func TestAttack_R01_AmbiguousFraming(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const smuggled = "GET /login HTTP/1.1\r\nHost: HOST\r\n\r\n"
	for name, request := range map[string]string{
		"CL then TE":                "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE then CL":                "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled,
		"TE in HTTP/1.0":            "POST /oauth2/token HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE twice":                  "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"double CL, same":           "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\na=b" + smuggled,
		"double CL, other case":     "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\ncontent-length: 3\r\nCONTENT-LENGTH: 3\r\n\r\na=b" + smuggled,
		"double CL, differing":      "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\na=b" + smuggled,
		"CL list":                   "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3, 3\r\n\r\na=b" + smuggled,
		"CL signed":                 "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: +3\r\n\r\na=b" + smuggled,
		"CL padded beyond reason":   "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length:" + strings.Repeat(" ", 200) + "3\r\nContent-Length: 3\r\n\r\na=b" + smuggled,
		"folded header":             "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\n ; charset=utf-8\r\nContent-Length: 3\r\n\r\na=b" + smuggled,
		"folded with a tab":         "GET /login HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n\tc\r\n\r\n" + smuggled,
		"folded in a second head":   "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\na=bGET /login HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n c\r\n\r\n" + smuggled,
		"bare LF in a chunk's size": "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\na=b\r\n0\r\n\r\n" + smuggled,
		"space before the colon":    "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length : 3\r\n\r\na=b" + smuggled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := s.raw(request)
			require.Regexp(t, `HTTP/1\.1 (400 Bad Request|501 Not Implemented)`, answers)
			require.NotContains(t, answers, "login", "the smuggled request was answered")
		})
	}
}

// RFC 9112 section 6.1: what follows a chunked body is not taken for a request.
func TestRFC9112_6_1_ChunkedClosesTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	answers := s.raw("POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\nGET /login HTTP/1.1\r\nHost: HOST\r\n\r\n")
	require.Contains(t, answers, "HTTP/1.1 200 OK")
	require.Contains(t, answers, "token")
	require.NotContains(t, answers, "login")
}

// Requests on one connection are all answered, whatever their bodies look like.
func TestFramingLeavesHonestRequestsAlone(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	body := "a=b\r\nContent-Length: 1\r\n folded\r\n\r\n"
	answers := s.raw(
		fmt.Sprintf("POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nX-Long: %s\r\nContent-Length:%d\r\n\r\n%s\r\n", strings.Repeat("x", 9000), len(body), body) +
			"GET /login?a=" + strings.Repeat("x", 1000) + " HTTP/1.1\r\nHost: HOST\r\n\r\n" +
			"GET /consent HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
	require.Equal(t, 3, strings.Count(answers, "HTTP/1.1 200 OK"), answers)
}

// A path has one spelling, and nothing redirects to it.
func TestAttack_R01_OneSpellingOfAPath(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, path := range []string{
		"//oauth2/token", "/oauth2//token", "/oauth2%2ftoken", "/oauth2%2Ftoken", "/oauth2/token/", "/oauth2/./token", "/oauth2/x/../token",
		"/oauth2/%74oken", "/OAuth2/token", "/oauth2/token;a=b", "/oauth2/token%00", "/oauth2", "/oauth2/", "/static/", "/static/../login", "/static/.git",
		"/static/a/../../x", "/static/%2e%2e/x", "/static//x", "/account/../login", "/healthz", "/readyz", "/metrics",
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			answers := s.raw(method + " " + path + " HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b")
			require.True(t, strings.HasPrefix(answers, "HTTP/1.1 404 "), "%s %s: %s", method, path, answers)
			require.NotContains(t, answers, "Location:")
		}
	}
	require.Equal(t, "static /css/main.css", s.do(http.MethodGet, "/static/css/main.css", nil, nil).body)
}

func TestAttack_R02_SlowRequestsAreCut(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.server.Timeouts = server.Timeouts{ReadHeader: 200 * time.Millisecond, Read: 400 * time.Millisecond, Idle: 300 * time.Millisecond}
	})
	for name, head := range map[string]string{
		"headers": "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nX-Slow: ",
		"body":    "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1000\r\n\r\na",
		"idle":    "GET /login HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"silent":  "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.addr)
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, strings.ReplaceAll(head, "HOST", s.addr))
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
			got, err := io.ReadAll(conn)
			require.NoError(t, err, "the server must end the connection; got %q", got)
			if name == "body" {
				require.Contains(t, string(got), "HTTP/1.1 408 ")
			}
		})
	}
}

func TestAttack_R05_ForeignHost(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Issuer = "https://id.example.com"
		s.handler.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for _, host := range []string{"evil.example", "localhost:8080", "id.example.com.", "id.example.com:80", "id.example.com:8443", "id.example.com@evil", "xid.example.com"} {
		refused := s.do(http.MethodGet, "/.well-known/openid-configuration", http.Header{"Host": {host}}, nil)
		require.Equal(t, http.StatusMisdirectedRequest, refused.StatusCode, host)
		require.Equal(t, "application/json", refused.Header.Get("Content-Type"))
		require.Contains(t, refused.body, `"https://id.example.com"`)
		require.NotContains(t, refused.body, "evil")

		page := s.do(http.MethodGet, "/login", http.Header{"Host": {host}, "Accept": browser["Accept"]}, nil)
		require.Equal(t, http.StatusMisdirectedRequest, page.StatusCode, host)
		require.Contains(t, page.body, `<a href="https://id.example.com">https://id.example.com</a>`)
		require.NotContains(t, page.body, "evil")
	}
	for _, host := range []string{"id.example.com", "ID.Example.com", "id.example.com:443"} {
		require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/login", http.Header{"Host": {host}}, nil).StatusCode, host)
	}
	// No header of a proxy, trusted or not, stands in for Host, and the request
	// line's own authority counts.
	require.Equal(t, http.StatusMisdirectedRequest, s.do(http.MethodGet, "/login", http.Header{
		"Host": {"evil.example"}, "X-Forwarded-Host": {"id.example.com"}, "Forwarded": {"host=id.example.com"},
	}, nil).StatusCode)
	require.Contains(t, s.raw("GET http://evil.example/login HTTP/1.1\r\nHost: id.example.com\r\nConnection: close\r\n\r\n"), "HTTP/1.1 421 ")
	require.Contains(t, s.raw("GET /login HTTP/1.0\r\n\r\n"), "HTTP/1.0 421 ")
}

func TestAttack_R05_ClientAddress(t *testing.T) {
	t.Parallel()
	untrusting := start(t, nil)
	trusting := start(t, func(s *setup) {
		s.handler.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	for name, c := range map[string]struct {
		header http.Header
		want   string
	}{
		"none":                        {nil, "127.0.0.1"},
		"one hop":                     {http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7"},
		"a lie to the left":           {http.Header{"X-Forwarded-For": {"1.1.1.1, 203.0.113.7, 10.1.2.3"}}, "203.0.113.7"},
		"a lie in a line before":      {http.Header{"X-Forwarded-For": {"1.1.1.1", "203.0.113.7"}}, "203.0.113.7"},
		"with a port":                 {http.Header{"X-Forwarded-For": {"203.0.113.7:4711"}}, "203.0.113.7"},
		"IPv6":                        {http.Header{"X-Forwarded-For": {"2001:db8::1, [fd00::1]:80"}}, "2001:db8::1"},
		"IPv4 in IPv6":                {http.Header{"X-Forwarded-For": {"::ffff:203.0.113.7"}}, "203.0.113.7"},
		"rubbish":                     {http.Header{"X-Forwarded-For": {"203.0.113.7, unknown"}}, "127.0.0.1"},
		"rubbish behind a proxy":      {http.Header{"X-Forwarded-For": {"unknown, 10.1.2.3"}}, "10.1.2.3"},
		"all trusted":                 {http.Header{"X-Forwarded-For": {"10.9.9.9, 10.1.2.3"}}, "10.9.9.9"},
		"Forwarded":                   {http.Header{"Forwarded": {`for=1.1.1.1, For="203.0.113.7:99";proto=https;by=10.0.0.1`}}, "203.0.113.7"},
		"Forwarded IPv6":              {http.Header{"Forwarded": {`for="[2001:db8::1]:99"`}}, "2001:db8::1"},
		"Forwarded obfuscated":        {http.Header{"Forwarded": {`for=_hidden`}}, "127.0.0.1"},
		"both agree":                  {http.Header{"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=203.0.113.7"}}, "203.0.113.7"},
		"both disagree":               {http.Header{"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=1.1.1.1"}}, "127.0.0.1"},
		"other headers are not asked": {http.Header{"X-Real-Ip": {"1.1.1.1"}, "True-Client-Ip": {"1.1.1.1"}}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			for s, want := range map[*running]string{trusting: c.want, untrusting: "127.0.0.1"} {
				s.do(http.MethodGet, "/login", c.header, nil)
				records := s.log.records(t)
				require.Equal(t, want, records[len(records)-1]["ip"])
			}
		})
	}
}

// Every answer carries every header, whatever its status.
func TestAttack_R08_SecurityHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Handlers.Login = http.RedirectHandler("/elsewhere", http.StatusSeeOther)
		s.handler.Handlers.Home = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret inside") })
	})
	want := map[string]string{
		"Cache-Control":                "no-store",
		"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/consent", 200},
		{http.MethodGet, "/login", 303},
		{http.MethodGet, "/oauth2/introspect", 405},
		{http.MethodGet, "/nothing", 404},
		{http.MethodGet, "/" + strings.Repeat("x", 9000), 414},
		{http.MethodGet, "/", 500},
		{http.MethodTrace, "/login", 405},
	} {
		got := s.do(c.method, c.path, nil, nil)
		require.Equal(t, c.status, got.StatusCode, "%s %.20s", c.method, c.path)
		for name, value := range want {
			require.Equal(t, []string{value}, got.Header.Values(name), "%s on %d", name, c.status)
		}
		require.Regexp(t, `^[A-Za-z0-9_-]{22}$`, got.Header.Get("X-Request-Id"))
		require.NotEmpty(t, got.Header.Get("Permissions-Policy"))
		require.Empty(t, got.Header.Get("Server"))
		require.Empty(t, got.Header.Get("Strict-Transport-Security"), "an http issuer is loopback only")
		require.NotContains(t, got.body, "secret inside")
		require.NotContains(t, got.body, "goroutine")
	}

	https := start(t, func(s *setup) {
		s.handler.Issuer = "https://id.example.com"
		s.handler.Handlers.Login = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			w.Header().Set("Cache-Control", "private")
		})
	})
	got := https.do(http.MethodGet, "/login", http.Header{"Host": {"id.example.com"}}, nil)
	require.Equal(t, "max-age=63072000; includeSubDomains", got.Header.Get("Strict-Transport-Security"))
	require.Equal(t, []string{"default-src 'self'"}, got.Header.Values("Content-Security-Policy"), "a page knows better")
	require.Equal(t, []string{"private"}, got.Header.Values("Cache-Control"))
	require.Equal(t, "cross-origin", https.do(http.MethodPost, "/oauth2/token", http.Header{"Host": {"id.example.com"}}, nil).Header.Get("Cross-Origin-Resource-Policy"))
}

func TestAttack_R09_MethodsAndRequestIDs(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Handlers.Login = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "method="+r.Method) })
	})
	upgraded := s.raw("GET /login HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	require.NotContains(t, upgraded, " 101 ")
	require.Contains(t, upgraded, "HTTP/1.1 200 OK")

	for _, request := range []string{
		"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
		"CONNECT /login HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
		"TRACE /login HTTP/1.1\r\nHost: HOST\r\nCookie: a=secret\r\nConnection: close\r\n\r\n",
		"BREW /login HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
		"DELETE /login HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
		"OPTIONS /login HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
	} {
		got := s.raw(request)
		require.Contains(t, got, "HTTP/1.1 405 ", request)
		require.Contains(t, got, "\r\nAllow: ", request)
		require.NotContains(t, got, "secret")
	}
	require.Contains(t, s.raw("OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"), "HTTP/1.1 404 ")
	require.Contains(t, s.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/1.1 405 ", "no HTTP/2 without TLS")

	override := s.do(http.MethodPost, "/login?_method=DELETE", http.Header{"X-Http-Method-Override": {"DELETE"}, "X-Method-Override": {"GET"}}, nil)
	require.Equal(t, "method=POST", override.body)

	trusting := start(t, func(s *setup) { s.handler.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	require.Equal(t, "edge-4711.A_b", trusting.do(http.MethodGet, "/login", http.Header{"X-Request-Id": {"edge-4711.A_b"}}, nil).Header.Get("X-Request-Id"))
	require.NotEqual(t, "edge-4711.A_b", s.do(http.MethodGet, "/login", http.Header{"X-Request-Id": {"edge-4711.A_b"}}, nil).Header.Get("X-Request-Id"), "nobody vouches for it")
	for _, id := range []string{"short", strings.Repeat("x", 65), "with space", "semi;colon", "ünïcödé-id"} {
		got := trusting.do(http.MethodGet, "/login", http.Header{"X-Request-Id": {id}}, nil).Header.Get("X-Request-Id")
		require.Regexp(t, `^[A-Za-z0-9_-]{22}$`, got, id)
	}
	twice := trusting.do(http.MethodGet, "/login", http.Header{"X-Request-Id": {"edge-4711-a", "edge-4711-b"}}, nil).Header.Get("X-Request-Id")
	require.Regexp(t, `^[A-Za-z0-9_-]{22}$`, twice)
	require.Contains(t, trusting.raw("GET /login HTTP/1.1\r\nHost: HOST\r\nX-Request-Id: edge-4711\rSet-Cookie: a=b\r\n\r\n"), "HTTP/1.1 400 ")
}

// A 415 answer names the codings that would be taken (RFC 9110 section 15.5.16).
func TestAttack_R10_Compression(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, coding := range []string{"gzip", "deflate", "br", "identity, gzip", ""} {
		got := s.do(http.MethodPost, "/oauth2/token", http.Header{"Content-Encoding": {coding}}, strings.NewReader("a=b"))
		require.Equal(t, http.StatusUnsupportedMediaType, got.StatusCode, coding)
		require.Equal(t, "identity", got.Header.Get("Accept-Encoding"))
	}
	require.Equal(t, http.StatusOK, s.do(http.MethodPost, "/oauth2/token", http.Header{"Content-Encoding": {"identity"}}, strings.NewReader("a=b")).StatusCode)

	for _, path := range []string{"/login", "/oauth2/token", "/nothing"} {
		got := s.do(http.MethodPost, path, http.Header{"Accept-Encoding": {"gzip, br, zstd"}}, nil)
		require.Empty(t, got.Header.Get("Content-Encoding"))
	}
}

func TestAttack_A16_LongURLs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for length, want := range map[int]int{8 << 10: 200, 8<<10 + 1: 414, 12 << 10: 414, 64 << 10: 431, 1 << 20: 431} {
		path := "/oauth2/auth?redirect_uri="
		path += strings.Repeat("a", length-len(path))
		got := s.do(http.MethodGet, path, nil, nil)
		require.Equal(t, want, got.StatusCode, "%d bytes", length)
	}
}

func TestAttack_D09_CookieFloods(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/login", http.Header{"Cookie": {strings.Repeat("a=b; ", 49) + "a=b"}}, nil).StatusCode)
	for _, cookies := range [][]string{
		{strings.Repeat("a=b; ", 300)},
		{strings.Repeat(";", 51)},
		{strings.Repeat("a=b; ", 30), strings.Repeat("a=b; ", 30)},
	} {
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, s.do(http.MethodGet, "/login", http.Header{"Cookie": cookies}, nil).StatusCode)
	}
}

// Only registered origins hear of CORS, by exact comparison, and never with
// credentials.
func TestAttack_I09_CORS(t *testing.T) {
	t.Parallel()
	const good = "https://app.example.com"
	s := start(t, func(s *setup) {
		s.handler.AllowOrigin = func(origin string) bool { return origin == good || origin == "null" || origin == "" }
		s.handler.Handlers.Userinfo = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		})
	})
	ours := func(h http.Header) (names []string) {
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				names = append(names, name)
			}
		}
		return names
	}
	corsPaths := map[string]string{
		"/oauth2/token": "POST", "/oauth2/revoke": "POST", "/userinfo": "GET", "/.well-known/jwks.json": "GET",
		"/.well-known/openid-configuration": "GET", "/.well-known/oauth-authorization-server": "GET",
	}
	for path, method := range corsPaths {
		got := s.do(method, path, http.Header{"Origin": {good}}, nil)
		require.Equal(t, []string{good}, got.Header.Values("Access-Control-Allow-Origin"), path)
		require.Contains(t, got.Header.Get("Access-Control-Expose-Headers"), "Www-Authenticate", path)
		require.Empty(t, got.Header.Get("Access-Control-Allow-Credentials"))
		require.Contains(t, got.Header.Values("Vary"), "Origin")
		require.Equal(t, "cross-origin", got.Header.Get("Cross-Origin-Resource-Policy"))

		preflight := http.Header{"Origin": {good}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {"authorization,content-type"}}
		got = s.do(http.MethodOptions, path, preflight, nil)
		require.Equal(t, http.StatusNoContent, got.StatusCode, path)
		require.Equal(t, []string{good}, got.Header.Values("Access-Control-Allow-Origin"), path)
		require.Equal(t, method, got.Header.Get("Access-Control-Allow-Methods"))

		for _, origin := range []string{
			"null", "", "http://app.example.com", "https://app.example.com:443", "https://app.example.com.", "https://app.example.com/", "https://APP.example.com",
			"https://app.example.com.evil.example", "https://evilapp.example.com", "*",
		} {
			require.Empty(t, ours(s.do(method, path, http.Header{"Origin": {origin}, "Cookie": {"a=b"}}, nil).Header), "%s to %s", origin, path)
			preflight["Origin"] = []string{origin}
			got := s.do(http.MethodOptions, path, preflight, nil)
			require.Empty(t, ours(got.Header), "preflight of %s to %s", origin, path)
		}
		require.Empty(t, ours(s.do(method, path, http.Header{"Origin": {good, "https://evil.example"}}, nil).Header))
		require.Empty(t, ours(s.do(method, path, nil, nil).Header))
		preflight["Origin"], preflight["Access-Control-Request-Method"] = []string{good}, []string{"DELETE"}
		require.Empty(t, ours(s.do(http.MethodOptions, path, preflight, nil).Header))
	}
	for _, path := range []string{"/oauth2/introspect", "/login", "/consent", "/oauth2/auth", "/", "/nothing"} {
		got := s.do(http.MethodPost, path, http.Header{"Origin": {good}}, nil)
		require.Empty(t, ours(got.Header), path)
		require.Equal(t, "same-origin", got.Header.Get("Cross-Origin-Resource-Policy"), path)
	}
}

// The origin server MUST generate Allow with a 405 (RFC 9110 section 15.5.6).
func TestRFC9110_15_5_6_EveryRouteNamesItsMethods(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, route := range server.Routes(everything()) {
		if route.Inserted {
			continue
		}
		path := route.Path
		if before, _, ok := strings.Cut(path, "{"); ok {
			path = before + "name"
		}
		allowed := map[string]bool{}
		for _, method := range route.Methods {
			allowed[method] = true
		}
		if route.CORS {
			allowed[http.MethodOptions] = true
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			got := s.do(method, path, browser, nil)
			switch {
			case method == http.MethodOptions && route.CORS:
				require.Equal(t, http.StatusNoContent, got.StatusCode, path)
			case allowed[method]:
				require.Equal(t, http.StatusOK, got.StatusCode, "%s %s", method, path)
				continue
			default:
				require.Equal(t, http.StatusMethodNotAllowed, got.StatusCode, "%s %s", method, path)
				if method != http.MethodHead {
					require.Equal(t, route.Browser, strings.HasPrefix(got.Header.Get("Content-Type"), "text/html"), path)
				}
			}
			named := strings.Split(got.Header.Get("Allow"), ", ")
			require.Len(t, named, len(allowed), path)
			for _, name := range named {
				require.True(t, allowed[name], "%s: %s", path, name)
			}
		}
	}
}

func TestNotFoundIsAPageForPeopleOnly(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Handlers.Fault = func(w http.ResponseWriter, _ *http.Request, f server.Fault) {
			w.WriteHeader(f.Status)
			_, _ = io.WriteString(w, "ours: "+f.Title())
		}
	})
	require.Equal(t, "ours: Not Found", s.do(http.MethodGet, "/nothing", browser, nil).body)
	require.Equal(t, "ours: Method Not Allowed", s.do(http.MethodPut, "/login", nil, nil).body)
	for path, header := range map[string]http.Header{"/oauth2/nothing": browser, "/.well-known/nothing": browser, "/nothing": nil} {
		got := s.do(http.MethodGet, path, header, nil)
		require.Equal(t, http.StatusNotFound, got.StatusCode)
		require.JSONEq(t, `{"error":"not_found","error_description":"There is nothing at this address."}`, got.body)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Handlers.Token = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			_, _ = fmt.Fprintf(w, "%d of %d", len(body), r.ContentLength)
		})
	})
	whole := strings.Repeat("a", 64<<10)
	require.Equal(t, "65536 of 65536", s.do(http.MethodPost, "/oauth2/token", nil, strings.NewReader(whole)).body)
	require.Equal(t, "65536 of 65536", s.do(http.MethodPost, "/oauth2/token", nil, io.MultiReader(strings.NewReader(whole))).body, "chunked")

	announced := s.do(http.MethodPost, "/oauth2/token", nil, strings.NewReader(whole+"a"))
	require.Equal(t, http.StatusRequestEntityTooLarge, announced.StatusCode)
	require.Contains(t, announced.body, `"error":"invalid_request"`)
	unannounced := s.do(http.MethodPost, "/oauth2/token", nil, io.MultiReader(strings.NewReader(whole+"a")))
	require.Equal(t, http.StatusRequestEntityTooLarge, unannounced.StatusCode)

	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /oauth2/token HTTP/1.1\r\nHost: "+s.addr+"\r\nContent-Length: 10\r\n\r\nabc")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.NotContains(t, string(got), "200 OK", "half a body must not reach a handler")
}

// The issuer's path stands before every path, and both documents are found at
// either form (RFC 8414 section 3.1, OpenID Connect Discovery section 4.1).
func TestIssuerWithAPath(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"http://PORT/tenant/one", "http://PORT/tenant/one/"} {
		s := start(t, func(s *setup) {
			s.handler.Issuer = issuer
			s.handler.Handlers.Token = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
			s.handler.Handlers.WebFinger, s.handler.Handlers.SecurityTxt = s.handler.Handlers.Token, s.handler.Handlers.Token
		})
		for path, want := range map[string]string{
			"/.well-known/webfinger":                             "/.well-known/webfinger",
			"/.well-known/security.txt":                          "/.well-known/security.txt",
			"/tenant/one/.well-known/openid-configuration":       "openid",
			"/.well-known/openid-configuration/tenant/one":       "openid",
			"/tenant/one/.well-known/oauth-authorization-server": "oauth",
			"/.well-known/oauth-authorization-server/tenant/one": "oauth",
			"/tenant/one/.well-known/jwks.json":                  "jwks",
			"/tenant/one/static/a.css":                           "static /a.css",
			"/tenant/one/":                                       "home",
			"/tenant/one":                                        "home",
		} {
			require.Equal(t, want, s.do(http.MethodGet, path, nil, nil).body, path)
		}
		require.Equal(t, "/oauth2/token", s.do(http.MethodPost, "/tenant/one/oauth2/token", nil, nil).body)
		for _, path := range []string{"/", "/oauth2/token", "/.well-known/openid-configuration", "/tenant", "/tenant/one//", "/tenant/onelogin"} {
			require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, path, nil, nil).StatusCode, path)
		}
	}
}

// One record per request, with what the handler learned and nothing that opens
// a door.
func TestOneLogRecordWithoutSecrets(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Handlers.Token = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			request := idp.RequestFrom(r.Context())
			request.ClientID, request.GrantType, request.Subject = "web", "refresh_token", "u1"
			request.Outcome, request.Cause = "invalid_grant", idp.ErrAlreadyUsed
			request.RoundTrips.Add(2)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "12345")
		})
		s.handler.Handlers.Home = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of cheese") })
	})
	const secret = "s3cr3t"
	header := http.Header{"Authorization": {"Bearer " + secret}, "Cookie": {"a=" + secret}, "User-Agent": {"agent\xff"}, "Referer": {secret}}
	s.do(http.MethodPost, "/oauth2/token?code="+secret, header, strings.NewReader("refresh_token="+secret))
	s.do(http.MethodGet, "/"+secret, header, nil)
	require.Equal(t, http.StatusInternalServerError, s.do(http.MethodGet, "/?"+secret, header, nil).StatusCode)
	s.do(http.MethodTrace, "/"+secret, header, nil)
	require.NotContains(t, s.log.String(), secret)

	records := s.log.records(t)
	require.Len(t, records, 4)
	first := records[0]
	for _, name := range []string{"time", "request_id", "duration_ms"} {
		require.NotEmpty(t, first[name], name)
		delete(first, name)
	}
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "request", "ip": "127.0.0.1", "method": "POST", "route": "/oauth2/token", "status": 400.0, "bytes": 5.0,
		"db_round_trips": 2.0, "client_id": "web", "grant_type": "refresh_token", "sub": "u1", "outcome": "invalid_grant", "cause": "already used",
	}, first)
	require.Equal(t, "", records[1]["route"])
	require.Equal(t, "ERROR", records[2]["level"])
	require.Equal(t, "panic: out of cheese", records[2]["cause"])
	require.Contains(t, records[2]["stack"], "goroutine")
	require.Equal(t, "OTHER", records[3]["method"])
}

// An answer that a panic interrupts must not look like a whole one, and one
// that it replaces keeps nothing of what failed.
func TestPanics(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Handlers.Login = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "session=1")
			panic("before")
		})
		s.handler.Handlers.Consent = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half of")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			panic("amid")
		})
	})
	got := s.do(http.MethodGet, "/login", browser, nil)
	require.Equal(t, http.StatusInternalServerError, got.StatusCode)
	require.Empty(t, got.Header.Get("Set-Cookie"))
	require.Contains(t, got.body, got.Header.Get("X-Request-Id"))

	response, err := http.Get("http://" + s.addr + "/consent")
	require.NoError(t, err)
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestHandlersHaveADeadline(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *setup) {
		s.handler.Deadline = 50 * time.Millisecond
		s.handler.Handlers.Token = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, _ = io.WriteString(w, r.Context().Err().Error())
		})
	})
	require.Equal(t, context.DeadlineExceeded.Error(), s.do(http.MethodPost, "/oauth2/token", nil, nil).body)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var away atomic.Pointer[error]
	s := start(t, func(s *setup) {
		s.ready = func(context.Context) error {
			if err := away.Load(); err != nil {
				return *err
			}
			return nil
		}
	})
	get := func(path string) answer {
		return (&running{t: t, addr: s.management}).do(http.MethodGet, path, nil, nil)
	}
	require.Equal(t, "process alive\n", get("/healthz").body)
	require.Equal(t, "server ready\n", get("/readyz").body)
	broken := errors.New("connection refused")
	away.Store(&broken)
	for range 3 {
		got := get("/readyz")
		require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
		require.Equal(t, "not ready\n", got.body)
	}
	require.Equal(t, http.StatusOK, get("/healthz").StatusCode)
	require.Equal(t, 1, strings.Count(s.log.String(), `"not ready"`), "said once")
	away.Store(nil)
	require.Equal(t, http.StatusOK, get("/readyz").StatusCode)
	require.Equal(t, http.StatusNotFound, get("/login").StatusCode)
	require.Equal(t, http.StatusNotFound, get("/metrics").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/healthz", nil, nil).StatusCode, "the public listener knows no health")
}

// Stopping says "not ready" first, answers what is in flight, and accepts no
// more.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := start(t, func(s *setup) {
		s.server.DrainDelay = 300 * time.Millisecond
		s.handler.Handlers.Token = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-release
			_, _ = io.WriteString(w, "finished")
		})
	})
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /oauth2/token HTTP/1.1\r\nHost: "+s.addr+"\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	<-entered

	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	management := &running{t: t, addr: s.management}
	require.Eventually(t, func() bool {
		return management.do(http.MethodGet, "/readyz", nil, nil).StatusCode == http.StatusServiceUnavailable
	}, 5*time.Second, 5*time.Millisecond)
	draining := s.do(http.MethodGet, "/login", nil, nil)
	require.Equal(t, http.StatusOK, draining.StatusCode, "a balancer has not noticed yet")
	require.True(t, draining.Close, "the client is asked to connect elsewhere")

	require.Eventually(t, func() bool {
		probe, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = probe.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "it must stop accepting")
	require.Equal(t, http.StatusServiceUnavailable, management.do(http.MethodGet, "/readyz", nil, nil).StatusCode)
	close(release)

	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "finished", string(body))
	require.NoError(t, <-stopped)
	_, err = net.Dial("tcp", s.management)
	require.Error(t, err)
}

func TestStopCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	s := start(t, func(s *setup) {
		s.server.StopTimeout = 50 * time.Millisecond
		s.handler.Handlers.Token = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(entered)
			<-release
		})
	})
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /oauth2/token HTTP/1.1\r\nHost: "+s.addr+"\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	<-entered
	require.ErrorIs(t, s.stop(), context.DeadlineExceeded)
}

func TestIssuersThatNothingCanStandUnder(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"", "id.example.com", "ftp://id.example.com", "https://", "https://id.example.com?a=b", "https://id.example.com#a", "https://u:p@id.example.com"} {
		_, err := server.NewHandler(server.HandlerConfig{Issuer: issuer, Handlers: everything()})
		require.Error(t, err, issuer)
	}
}

// What a stranger says like a proxy is told of, by name alone, once in a while.
func TestAttack_G16_UntrustedHeaders(t *testing.T) {
	type notice struct {
		peer  string
		names []string
	}
	var mu sync.Mutex
	var told []notice
	var clock atomic.Int64
	began := time.Now()
	s := start(t, func(s *setup) {
		s.handler.Now = func() time.Time { return began.Add(time.Duration(clock.Load())) }
		s.handler.UntrustedHeader = func(ctx context.Context, peer string, names []string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, notice{peer, names})
			if idp.RequestFrom(ctx).ID == "" {
				t.Error("the notice belongs to no request")
			}
		}
	})
	send := func(header http.Header) {
		r, err := http.NewRequest(http.MethodGet, "http://"+s.addr+"/login", nil)
		require.NoError(t, err)
		for name, values := range header {
			r.Header[name] = values
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	all := http.Header{"X-Request-Id": {"x"}, "X-Custom": {"x"}}
	names := []string{
		"Client-Cert", "Client-Cert-Chain", "Forwarded", "Ssl-Client-Verify", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "X-Ssl-Client-S-Dn",
	}
	for _, name := range names {
		all[name] = []string{"CN=secret"}
	}
	send(http.Header{"X-Request-Id": {"x"}})
	for range 5 {
		send(all)
	}
	require.Equal(t, []notice{{"127.0.0.1", names[:8]}}, told)
	clock.Store(int64(time.Minute))
	send(http.Header{"X-Forwarded-" + strings.Repeat("Y", 200): {"1"}})
	require.Len(t, told, 2)
	require.Len(t, told[1].names[0], 64)
	require.NotContains(t, s.log.String(), "CN=secret")
}

func TestTrustedProxiesAreNotToldOf(t *testing.T) {
	s := start(t, func(s *setup) {
		s.handler.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		s.handler.UntrustedHeader = func(context.Context, string, []string) { t.Error("a trusted proxy is told of") }
	})
	r, err := http.NewRequest(http.MethodGet, "http://"+s.addr+"/login", nil)
	require.NoError(t, err)
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
}
