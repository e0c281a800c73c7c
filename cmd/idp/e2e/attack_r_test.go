package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// converse writes text to a connection and reads until the other end closes or
// is silent for a while. closed tells which.
func converse(t testing.TB, conn net.Conn, text string) (answer string, closed bool) {
	t.Helper()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return "", true
	}
	var out bytes.Buffer
	buffer := make([]byte, 4096)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
		n, err := conn.Read(buffer)
		out.Write(buffer[:n])
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return out.String(), false
		case err != nil:
			return out.String(), true
		}
	}
}

func (n *Node) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", n.Addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

var statusLine = regexp.MustCompile(`HTTP/1\.[01] ([0-9]{3})`)

// statuses lists the answers in what a connection gave back.
func statuses(answer string) []string {
	var out []string
	for _, m := range statusLine.FindAllStringSubmatch(answer, -1) {
		out = append(out, m[1])
	}
	return out
}

// What arrives on the wire has one meaning or none.
func TestAttack_R_Transport(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent")
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)
		host := strings.TrimPrefix(inst.Issuer, "http://")
		b := node.NewBrowser(t)
		b.Authorize(t, web.Request(NewPKCE()), alice)
		session := cookie(t, b, "idp_session")
		discovery := node.open(t, node.HTTP, "/.well-known/openid-configuration")

		t.Run("R01_Framing", func(t *testing.T) {
			const smuggled = "GET /login HTTP/1.1\r\nHost: HOST\r\n\r\n"
			post := func(headers, body string) string {
				return "POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\n" + headers + "\r\n" + body
			}
			get := func(headers string) string { return "GET /login HTTP/1.1\r\n" + headers + "\r\n" }
			for name, text := range map[string]string{
				"length and chunks":        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
				"chunks and length":        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+smuggled),
				"two lengths":              post("Content-Length: 3\r\nContent-Length: 40\r\n", "a=b"+smuggled),
				"one length twice":         post("Content-Length: 3\r\nContent-Length: 3\r\n", "a=b"+smuggled),
				"length list":              post("Content-Length: 3, 3\r\n", "a=b"+smuggled),
				"signed length":            post("Content-Length: +3\r\n", "a=b"+smuggled),
				"negative length":          post("Content-Length: -3\r\n", "a=b"+smuggled),
				"hexadecimal length":       post("Content-Length: 0x3\r\n", "a=b"+smuggled),
				"empty length":             post("Content-Length: \r\n", "a=b"+smuggled),
				"huge length":              post("Content-Length: 99999999999999999999\r\n", "a=b"+smuggled),
				"bare LF in a chunk size":  post("Transfer-Encoding: chunked\r\n", "3\na=b\r\n0\r\n\r\n"+smuggled),
				"bare LF in an extension":  post("Transfer-Encoding: chunked\r\n", "3;x\na=b\r\n0\r\n\r\n"+smuggled),
				"chunk too long":           post("Transfer-Encoding: chunked\r\n", "2\r\na=b\r\n0\r\n\r\n"+smuggled),
				"signed chunk":             post("Transfer-Encoding: chunked\r\n", "+3\r\na=b\r\n0\r\n\r\n"+smuggled),
				"unknown coding":           post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+smuggled),
				"coding twice":             post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+smuggled),
				"chunks in HTTP/1.0":       strings.Replace(post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), "HTTP/1.1", "HTTP/1.0", 1),
				"folded header":            get("Host: HOST\r\nX-A: b\r\n c\r\n"),
				"folded with a tab":        get("Host: HOST\r\nX-A: b\r\n\tTransfer-Encoding: chunked\r\n"),
				"space before the colon":   get("Host: HOST\r\nX-A : b\r\n"),
				"space before the header":  get(" X-A: b\r\nHost: HOST\r\n"),
				"NUL in a header":          get("Host: HOST\r\nX-A: b\x00c\r\n"),
				"no host":                  get(""),
				"two hosts":                get("Host: HOST\r\nHost: HOST\r\n"),
				"two different hosts":      get("Host: HOST\r\nHost: evil.tld\r\n"),
				"no colon":                 get("Host: HOST\r\nX-A\r\n"),
				"bare CR in a header":      get("Host: HOST\r\nX-A: b\rX-B: c\r\n"),
				"space in the target":      "GET /login /x HTTP/1.1\r\nHost: HOST\r\n\r\n",
				"unknown version":          "GET /login HTTP/3.0\r\nHost: HOST\r\n\r\n" + smuggled,
				"chunks in HTTP/1.9":       strings.Replace(post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), "HTTP/1.1", "HTTP/1.9", 1),
				"HTTP/2 without TLS":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
				"nonsense":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
				"no path":                  "GET login HTTP/1.1\r\nHost: HOST\r\n\r\n",
				"control character in URL": "GET /login\x01 HTTP/1.1\r\nHost: HOST\r\n\r\n",
			} {
				answer, closed := converse(t, node.dial(t), strings.ReplaceAll(text, "HOST", host))
				got := statuses(answer)
				if len(got) != 1 || !slices.Contains([]string{"400", "405", "501", "505"}, got[0]) || !closed {
					t.Errorf("%s: answers %v, closed %v", name, got, closed)
				}
				if strings.Contains(answer, "login-form") {
					t.Errorf("%s: the request behind it was answered", name)
				}
			}
			// A good body of chunks is read, and nothing after it.
			answer, closed := converse(t, node.dial(t), strings.ReplaceAll(post("Transfer-Encoding: chunked\r\n", "3\r\na=b\r\n0\r\n\r\n"+smuggled), "HOST", host))
			if got := statuses(answer); len(got) != 1 || got[0] != "400" || !closed {
				t.Errorf("chunks: answers %v, closed %v", got, closed)
			}
			// Pipelined requests are answered in order.
			answer, _ = converse(t, node.dial(t), strings.ReplaceAll(smuggled+smuggled, "HOST", host))
			if got := statuses(answer); len(got) != 2 || got[0] != "200" || got[1] != "200" {
				t.Errorf("pipelined: answers %v", got)
			}
		})
		t.Run("R01_OneSpelling", func(t *testing.T) {
			body := url.Values{"grant_type": {"client_credentials"}, "client_id": {service.ID}}.Encode()
			for _, path := range []string{
				"//oauth2/token", "/oauth2//token", "/oauth2%2ftoken", "/oauth2%2Ftoken", "/oauth2/token/", "/oauth2/token//", "/oauth2/./token", "/oauth2/../oauth2/token", "/x/../oauth2/token",
				"/oauth2/%2e/token", "/oauth2/token%00", "/oauth2/token%20", "/OAUTH2/token", "/oauth2/Token", "/oauth2/%74oken", "/oauth2/token;x=y", "/oauth2/token.json", `/oauth2\token`, "/oauth2/token%2f",
				"//admin/clients", "/%61dmin/clients", "/admin/clients/", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/static/", "/static/..%2f..%2fetc%2fpasswd", "/static/../login", "/.git/config",
			} {
				answer, _ := converse(t, node.dial(t), fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", path, host, len(body), body))
				if got := statuses(answer); len(got) != 1 || got[0] != "404" || strings.Contains(answer, "Location:") {
					t.Errorf("POST %s: answers %v", path, got)
				}
			}
		})
		t.Run("R05_Host", func(t *testing.T) {
			for _, foreign := range []string{"evil.tld", "evil.tld:80", "localhost", "localhost:1", host + ".evil.tld", "evil.tld#" + host, "127.0.0.1:" + strings.SplitN(host, ":", 2)[1], "x@" + host} {
				for _, path := range []string{"/.well-known/openid-configuration", "/login", "/oauth2/auth?" + web.Request(NewPKCE()).Encode()} {
					answer, _ := converse(t, node.dial(t), "GET "+path+" HTTP/1.1\r\nHost: "+foreign+"\r\nCookie: idp_session="+session+"\r\nConnection: close\r\n\r\n")
					got := statuses(answer)
					if len(got) != 1 || got[0] != "421" && got[0] != "400" || strings.Contains(answer, "evil.tld") || strings.Contains(answer, "idp_ac_") {
						t.Errorf("Host %s, %.30s: answers %v", foreign, path, got)
					}
				}
			}
			answer, _ := converse(t, node.dial(t), "GET http://evil.tld/login HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if got := statuses(answer); len(got) != 1 || got[0] != "421" {
				t.Errorf("a foreign absolute target: answers %v", got)
			}
			for name, value := range map[string]string{
				"X-Forwarded-Host": "evil.tld", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444", "X-Forwarded-Prefix": "/evil", "Forwarded": "for=1.2.3.4;host=evil.tld;proto=https",
				"X-Original-URL": "/evil", "X-Rewrite-URL": "/evil", "X-Host": "evil.tld",
			} {
				a := node.request(t, node.HTTP, http.MethodGet, "/.well-known/openid-configuration", "", http.Header{name: {value}})
				if a.Status != http.StatusOK || a.Body != discovery.Body {
					t.Errorf("%s changes the metadata: %d", name, a.Status)
				}
				page := node.request(t, node.HTTP, http.MethodGet, "/oauth2/auth?"+web.Request(NewPKCE()).Encode(), "", http.Header{name: {value}})
				if location := page.Header.Get("Location"); !strings.HasPrefix(location, "/login?flow=") {
					t.Errorf("%s changes where people are sent: %s", name, location)
				}
			}
			if discovery.JSON(t)["issuer"] != inst.Issuer {
				t.Error("the issuer is not the configured one")
			}
		})
		t.Run("R08_Headers", func(t *testing.T) {
			huge := strings.Repeat("x", 70<<10)
			answers := map[string]*Answer{
				"200 page":     node.open(t, node.HTTP, "/login"),
				"200 metadata": node.open(t, node.HTTP, "/.well-known/openid-configuration"),
				"200 keys":     node.open(t, node.HTTP, "/.well-known/jwks.json"),
				"200 token":    node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}),
				"303":          node.authorize(t, node.HTTP, web.Request(NewPKCE())),
				"303 code":     node.authorize(t, b.Client, web.Request(NewPKCE())),
				"400 page":     node.open(t, node.HTTP, "/oauth2/auth"),
				"400 token":    node.Post(t, "/oauth2/token", service, url.Values{}),
				"401":          node.Post(t, "/oauth2/token", Client{ID: "nobody", Secret: "x"}, url.Values{"grant_type": {"client_credentials"}}),
				"401 bearer":   node.open(t, node.HTTP, "/userinfo"),
				"404":          node.open(t, node.HTTP, "/nowhere"),
				"404 page":     node.request(t, node.HTTP, http.MethodGet, "/nowhere", "", http.Header{"Accept": {"text/html"}}),
				"404 static":   node.open(t, node.HTTP, "/static/nothing.css"),
				"405":          node.request(t, node.HTTP, http.MethodPut, "/oauth2/token", "", nil),
				"405 page":     node.request(t, node.HTTP, http.MethodDelete, "/login", "", nil),
				"405 trace":    node.request(t, node.HTTP, "TRACE", "/login", "", nil),
				"413":          node.request(t, node.HTTP, http.MethodPost, "/oauth2/token", huge, nil),
				"414":          node.open(t, node.HTTP, "/login?x="+huge[:9<<10]),
				"415":          node.request(t, node.HTTP, http.MethodPost, "/login", "{}", http.Header{"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"same-origin"}}),
			}
			for name, a := range answers {
				if want := name[:3]; strconv.Itoa(a.Status) != want && name != "415" {
					t.Errorf("%s: status %d", name, a.Status)
				}
				for header, want := range map[string]string{
					"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
					"Content-Security-Policy": "frame-ancestors 'none'", "Permissions-Policy": "camera=()", "X-Request-Id": "", "Cross-Origin-Resource-Policy": "", "Cache-Control": "",
				} {
					if got := a.Header.Values(header); len(got) != 1 || !strings.Contains(got[0], want) {
						t.Errorf("%s: %s is %q", name, header, got)
					}
				}
				if a.Header.Get("Server") != "" || a.Header.Get("X-Powered-By") != "" {
					t.Errorf("%s: names its software", name)
				}
				if a.Body != "" && a.Header.Get("Content-Type") == "" {
					t.Errorf("%s: a body without a type", name)
				}
				if a.Status >= 400 && a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: Cache-Control %q", name, a.Header.Get("Cache-Control"))
				}
			}
		})
		t.Run("R09_MethodsAndNames", func(t *testing.T) {
			for name, head := range map[string]string{
				"websocket": "GET /login HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
				"h2c":       "GET /login HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
			} {
				answer, _ := converse(t, node.dial(t), head+"Host: "+host+"\r\n\r\n")
				if got := statuses(answer); len(got) != 1 || got[0] != "200" {
					t.Errorf("%s: answers %v", name, got)
				}
			}
			for _, line := range []string{"CONNECT " + host, "CONNECT evil.tld:443", "TRACE /login", "TRACK /login", "PRI *", "get /login", "POST\t/login"} {
				answer, _ := converse(t, node.dial(t), line+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
				if got := statuses(answer); len(got) != 1 || !slices.Contains([]string{"405", "400", "421"}, got[0]) {
					t.Errorf("%s: answers %v", line, got)
				}
			}
			for _, header := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "_method"} {
				a := node.request(t, node.HTTP, http.MethodGet, "/oauth2/token?_method=POST", "", http.Header{header: {"POST"}})
				if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" {
					t.Errorf("%s: status %d", header, a.Status)
				}
			}
			for _, id := range []string{"a b", "<script>alert(1)</script>", strings.Repeat("x", 65), "short", "ünïcode-id", "a,b,c,d,e,f"} {
				if a := node.request(t, node.HTTP, http.MethodGet, "/oauth2/auth", "", http.Header{"X-Request-Id": {id}}); a.Header.Get("X-Request-Id") == id || strings.Contains(a.Body, id) {
					t.Errorf("request id %q is kept", id)
				}
			}
			if a := node.request(t, node.HTTP, http.MethodGet, "/oauth2/auth", "", http.Header{"X-Request-Id": {"proxy-12345678"}}); a.Header.Get("X-Request-Id") != "proxy-12345678" {
				t.Error("the trusted proxy's request id is lost")
			}
			answer, _ := converse(t, node.dial(t), "GET /login HTTP/1.1\r\nHost: "+host+"\r\nX-Request-Id: evil-id-1234%0d%0aX-Injected: 1\r\nConnection: close\r\n\r\n")
			if strings.Contains(answer, "X-Injected") || strings.Contains(answer, "evil-id") {
				t.Error("a request id with a line break is kept")
			}
		})
		t.Run("R10_Compression", func(t *testing.T) {
			compressed := http.Header{"Accept-Encoding": {"gzip, br, zstd, deflate"}}
			for _, path := range []string{"/login?x=" + strings.Repeat("reflected", 100), "/oauth2/auth?client_id=x", "/.well-known/openid-configuration", "/oauth2/auth?" + web.Request(NewPKCE()).Encode()} {
				for _, c := range []*http.Client{node.HTTP, b.Client} {
					if a := node.request(t, c, http.MethodGet, path, "", compressed); a.Header.Get("Content-Encoding") != "" {
						t.Errorf("%.30s is compressed: %s", path, a.Header.Get("Content-Encoding"))
					}
				}
			}
			for _, path := range []string{"/oauth2/token", "/oauth2/auth", "/login", "/oauth2/introspect", "/userinfo"} {
				for _, coding := range []string{"gzip", "br", "deflate", "zstd", "gzip, identity", "x"} {
					a := node.request(t, node.HTTP, http.MethodPost, path, "\x1f\x8b\x08\x00", http.Header{"Content-Encoding": {coding}})
					if a.Status != http.StatusUnsupportedMediaType {
						t.Errorf("POST %s with a %s body: %d", path, coding, a.Status)
					}
				}
			}
		})
		node.wantQuiet(t, alice.Password, web.Secret, service.Secret, session)
	})
}

// Whoever sends slowly is cut off, and does not slow others down, however many
// they are.
func TestAttack_R02_Slow(t *testing.T) {
	t.Parallel()
	// One after the other: both ends of a connection count, each in its own
	// process, and this one is at the far end of both engines' connections.
	EachEngineAlone(t, testSlow)
}

func testSlow(t *testing.T, engine string) {
	// Go raises the soft limit to the hard one in both processes.
	all := 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if allowed := int(limit.Max) - 1000; limit.Max < 1<<31 && allowed < all {
		t.Logf("%d files may be open: %d slow connections instead of %d", limit.Max, allowed, all)
		all = allowed
	}
	inst := Install(t, engine, nil)
	service := inst.NewClient(t, "--grant-type", "client_credentials")
	node := inst.Start(t)
	host := strings.TrimPrefix(inst.Issuer, "http://")
	others := func(enough func(n int) bool) (middle, slowest time.Duration) {
		t.Helper()
		var took []time.Duration
		for !enough(len(took)) {
			start := time.Now()
			a, err := node.TryPost("/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}})
			if err != nil || a.Status != http.StatusOK {
				t.Fatalf("another client is kept waiting: %v %+v", err, a)
			}
			took = append(took, time.Since(start))
			time.Sleep(10 * time.Millisecond)
		}
		slices.Sort(took)
		t.Logf("others: %d requests, median %s, p99 %s", len(took), took[len(took)/2], took[len(took)*99/100])
		return took[len(took)/2], took[len(took)*99/100]
	}
	before, beforeSlowest := others(func(n int) bool { return n == 100 })
	files, memory := node.files(t), node.rss(t)

	type connection struct {
		net.Conn
		drip string
	}
	var mu sync.Mutex
	var open []connection
	var cut sync.WaitGroup
	late := 0                           // connections that were not cut in time
	lives := map[string]time.Duration{} // by what they drip: the sum of how long they were borne
	slow := func(beginning, drip string, limit time.Duration) {
		conn, err := net.DialTimeout("tcp", node.Addr, 10*time.Second)
		if err != nil {
			t.Errorf("a connection is not taken: %v", err)
			return
		}
		begun := time.Now()
		_, _ = io.WriteString(conn, beginning)
		mu.Lock()
		open = append(open, connection{conn, drip})
		mu.Unlock()
		cut.Go(func() {
			defer conn.Close()
			_ = conn.SetReadDeadline(begun.Add(limit + 8*time.Second))
			_, err := io.Copy(io.Discard, conn)
			mu.Lock()
			defer mu.Unlock()
			lives[drip] += time.Since(begun)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				late++
			}
		})
	}
	const header, body = "X-A: b\r\n", "a"
	var dialers sync.WaitGroup
	for range 8 {
		dialers.Go(func() {
			for range all / 16 {
				slow("GET /login HTTP/1.1\r\nHost: "+host+"\r\n", header, 5*time.Second)
				slow("POST /oauth2/token HTTP/1.1\r\nHost: "+host+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n", body, 10*time.Second)
			}
		})
	}
	dialers.Wait()
	if t.Failed() {
		return
	}
	held, grown := node.files(t)-files, node.rss(t)-memory
	t.Logf("%d slow connections, %d of them held at once, with %d KiB each", len(open), held, grown>>10/max(1, held))
	if grown > held*(64<<10)+(32<<20) {
		t.Errorf("%d slow connections take %d MiB", held, grown>>20)
	}
	over := make(chan struct{})
	go func() { cut.Wait(); close(over) }()
	var drips sync.WaitGroup
	drips.Go(func() {
		for {
			for _, c := range open {
				_, _ = io.WriteString(c, c.drip)
			}
			select {
			case <-over:
				return
			case <-time.After(2 * time.Second):
			}
		}
	})
	during, duringSlowest := others(func(n int) bool {
		select {
		case <-over:
			return n >= 100
		default:
			return false
		}
	})
	drips.Wait()
	if late > 0 {
		t.Errorf("%d of %d slow connections were not cut", late, len(open))
	}
	// Headers are waited for half as long as bodies.
	headers, bodies := lives[header]/time.Duration(len(open)/2), lives[body]/time.Duration(len(open)/2)
	t.Logf("cut after %s in headers and %s in bodies, on average", headers, bodies)
	if headers < 4*time.Second || headers > 9*time.Second || bodies < 9*time.Second {
		t.Errorf("cut after %s in headers and %s in bodies, want 5 s and 10 s", headers, bodies)
	}
	after, afterSlowest := others(func(n int) bool { return n == 100 })
	if base := max(before, after); during > 2*base+50*time.Millisecond {
		t.Errorf("others take %s, without slow connections %s", during, base)
	}
	if base := max(beforeSlowest, afterSlowest); duringSlowest > 2*base+500*time.Millisecond {
		t.Errorf("the slowest of others take %s, without slow connections %s", duringSlowest, base)
	}
	for deadline := time.Now().Add(5 * time.Second); node.files(t) > files+50; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open after the storm, %d before", node.files(t), files)
		}
	}
	node.wantQuiet(t, service.Secret)
}

// cpu returns how much time of a processor the node has used, in steps of 10 ms.
func (n *Node) cpu(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID()))
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // what is before may hold spaces
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// files returns how many files and sockets the node has open.
func (n *Node) files(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	return len(entries)
}

// installTLS configures an idp that ends TLS itself and trusts no proxy.
func installTLS(t *testing.T, engine string) (*Installation, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}}
	for name, block := range files {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inst := Install(t, engine, map[string]string{"IDP_TLS_CERT": filepath.Join(dir, "cert.pem"), "IDP_TLS_KEY": filepath.Join(dir, "key.pem")})
	delete(inst.env, "IDP_TRUSTED_PROXIES")
	inst.Issuer = strings.Replace(inst.Issuer, "http:", "https:", 1)
	inst.env["IDP_ISSUER"] = inst.Issuer
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(files["cert.pem"]))
	return inst, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// rss returns the resident memory of the node in bytes.
func (n *Node) rss(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	m := regexp.MustCompile(`VmRSS:\s+([0-9]+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatal("no VmRSS")
	}
	kilobytes, _ := strconv.Atoi(string(m[1]))
	return kilobytes << 10
}

// What ends TLS itself speaks only what is strong, and bears what HTTP/2 lets
// a client do.
func TestAttack_R_TLS(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst, trust := installTLS(t, engine)
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}, Timeout: 10 * time.Second}
		get := func(t *testing.T, path string, header http.Header) *Answer {
			t.Helper()
			return node.request(t, client, http.MethodGet, path, "", header)
		}

		t.Run("R06_Handshake", func(t *testing.T) {
			handshake := func(change func(*tls.Config)) error {
				cfg := trust.Clone()
				change(cfg)
				conn, err := tls.Dial("tcp", node.Addr, cfg)
				if err != nil {
					return err
				}
				defer conn.Close()
				return conn.Handshake()
			}
			for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
				if err := handshake(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }); err == nil {
					t.Errorf("%s is spoken", tls.VersionName(version))
				}
			}
			var weak []uint16
			for _, suite := range tls.InsecureCipherSuites() {
				weak = append(weak, suite.ID)
			}
			for _, suite := range tls.CipherSuites() {
				if strings.Contains(suite.Name, "_CBC_") || strings.HasPrefix(suite.Name, "TLS_RSA_") {
					weak = append(weak, suite.ID)
				}
			}
			for _, id := range weak {
				err := handshake(func(c *tls.Config) {
					c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS12, tls.VersionTLS12, []uint16{id}
				})
				if err == nil {
					t.Errorf("%s is spoken", tls.CipherSuiteName(id))
				}
			}
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				if err := handshake(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }); err != nil {
					t.Errorf("%s is refused: %v", tls.VersionName(version), err)
				}
			}
		})
		// openssl asks for another handshake on the connection, as an attacker
		// asks for many; nothing is answered on it after that.
		t.Run("R06_Renegotiation", func(t *testing.T) {
			const request = "GET /login HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
			for _, again := range []bool{false, true} {
				said := &logBuffer{}
				client := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", node.Addr, "-servername", "localhost", "-CAfile", inst.env["IDP_TLS_CERT"], "-verify_return_error", "-tls1_2", "-crlf")
				client.Stdout, client.Stderr = said, said
				stdin, err := client.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := client.Start(); err != nil {
					t.Fatalf("%v: apt-get install openssl", err)
				}
				ended := make(chan struct{})
				go func() { _ = client.Wait(); close(ended) }() // how it ended is in what it said
				await := func(text string) {
					t.Helper()
					for deadline := time.Now().Add(20 * time.Second); !strings.Contains(said.String(), text); time.Sleep(5 * time.Millisecond) {
						if time.Now().After(deadline) {
							t.Fatalf("openssl never says %q: %s", text, said)
						}
					}
				}
				await("Verify return code: 0 (ok)")
				if !strings.Contains(said.String(), "Secure Renegotiation IS supported") || !strings.Contains(said.String(), "TLSv1.2") {
					t.Errorf("the handshake: %s", said)
				}
				if again {
					_, _ = io.WriteString(stdin, "R\n")
					await("RENEGOTIATING")
				}
				_, _ = io.WriteString(stdin, strings.ReplaceAll(strings.ReplaceAll(request, "\r", ""), "HOST", strings.TrimPrefix(inst.Issuer, "https://")))
				<-ended
				if answered := len(statuses(said.String())) == 1; answered == again {
					t.Errorf("renegotiating %v, answered %v: %s", again, answered, said)
				}
				if refused := strings.Contains(said.String(), "alert"); refused != again {
					t.Errorf("renegotiating %v, refused %v: %s", again, refused, said)
				}
			}
		})
		t.Run("R08_NoPlainHTTP", func(t *testing.T) {
			body := "grant_type=client_credentials&client_id=" + service.ID + "&client_secret=" + service.Secret
			answer, closed := converse(t, node.dial(t), fmt.Sprintf("POST /oauth2/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", strings.TrimPrefix(inst.Issuer, "https://"), len(body), body))
			if strings.Contains(answer, "access_token") || !closed || !slices.Equal(statuses(answer), []string{"400"}) {
				t.Errorf("plain HTTP: answers %v, closed %v", statuses(answer), closed)
			}
			for _, path := range []string{"/login", "/.well-known/openid-configuration", "/nowhere", "/oauth2/token", "/oauth2/auth"} {
				if got := get(t, path, nil).Header.Get("Strict-Transport-Security"); !strings.Contains(got, "max-age=63072000") {
					t.Errorf("%s: Strict-Transport-Security %q", path, got)
				}
			}
		})
		t.Run("R05_UntrustedProxy", func(t *testing.T) {
			for header, value := range map[string]string{"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"} {
				a := get(t, "/oauth2/auth", http.Header{header: {value}, "X-Request-Id": {"stranger-12345678"}})
				id := a.Header.Get("X-Request-Id")
				if id == "stranger-12345678" {
					t.Error("a stranger names the request")
				}
				node.wantAudit(t, "authz.rejected", a)
				for _, r := range node.audited(t, "authz.rejected", id) {
					if r["remote_addr"] != "127.0.0.1" {
						t.Errorf("%s of a stranger is believed: %v", header, r["remote_addr"])
					}
				}
			}
		})
		t.Run("R04_HTTP2", func(t *testing.T) {
			if a := get(t, "/login", nil); a.Status != http.StatusOK {
				t.Fatalf("HTTP/2: %d", a.Status)
			}
			base := node.rss(t)
			// What a request costs that is meant.
			before := node.cpu(t)
			for range 200 {
				get(t, "/login", nil)
			}
			honest := (node.cpu(t) - before) / 200

			sent := 0 // frames, or streams
			// flood opens a connection, lets attack write frames for as long as it
			// likes, and reports whether the node ended it. Who does not read has
			// little room for what comes back.
			flood := func(t *testing.T, read bool, attack func(f *http2.Framer, headers []byte) error) bool {
				t.Helper()
				cfg := trust.Clone()
				cfg.NextProtos = []string{"h2"}
				dialer := &net.Dialer{Timeout: 15 * time.Second}
				if !read {
					dialer.Control = func(_, _ string, c syscall.RawConn) (err error) {
						_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
						return err
					}
				}
				conn, err := tls.DialWithDialer(dialer, "tcp", node.Addr, cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
				out := bufio.NewWriterSize(conn, 256<<10) // many frames at once, as fast as they can come
				_, _ = io.WriteString(out, http2.ClientPreface)
				f := http2.NewFramer(out, conn)
				_ = f.WriteSettings()
				var block bytes.Buffer
				e := hpack.NewEncoder(&block)
				for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", strings.TrimPrefix(inst.Issuer, "https://")}, {":path", "/login"}} {
					_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
				}
				goaway := make(chan bool, 1)
				if read {
					go func() {
						for {
							frame, err := f.ReadFrame()
							if _, ok := frame.(*http2.GoAwayFrame); ok || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
								goaway <- true
								return
							}
							if err != nil {
								goaway <- false
								return
							}
						}
					}()
				}
				if err = attack(f, block.Bytes()); err == nil {
					err = out.Flush()
				}
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					return true
				}
				if !read {
					return false
				}
				return <-goaway
			}
			reset := func(f *http2.Framer, headers []byte) error {
				for i := range uint32(20_000) {
					sent++
					if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headers, EndStream: true, EndHeaders: true}); err != nil {
						return err
					}
					if err := f.WriteRSTStream(2*i+1, http2.ErrCodeCancel); err != nil {
						return err
					}
				}
				return nil
			}
			continuation := func(f *http2.Framer, headers []byte) error {
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers}); err != nil {
					return err
				}
				var block bytes.Buffer
				_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 8<<10), Sensitive: true})
				for range 20_000 {
					sent++
					if err := f.WriteContinuation(1, false, block.Bytes()); err != nil {
						return err
					}
				}
				return nil
			}
			settings := func(f *http2.Framer, _ []byte) error {
				for range 300_000 {
					sent++
					if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535}); err != nil {
						return err
					}
				}
				return nil
			}
			ping := func(f *http2.Framer, _ []byte) error {
				for range 1_000_000 {
					sent++
					if err := f.WritePing(false, [8]byte{}); err != nil {
						return err
					}
				}
				return nil
			}
			const each = 3 // connections of an attack, one a second
			for _, attack := range []struct {
				name  string
				read  bool
				ends  int // how many of them the node ends at least
				each  time.Duration
				write func(f *http2.Framer, headers []byte) error
			}{
				// Streams that are reset before their turn are not worked on. As long
				// as few wait, nobody is sent away.
				{"streams, opened and reset", true, 1, honest / 2, reset},
				{"CONTINUATION frames", true, each, honest, continuation},
				// One acknowledgement stands for many SETTINGS, so none pile up; what
				// answers PINGs does.
				{"SETTINGS frames", false, 0, honest / 10, settings},
				{"PING frames whose answers nobody reads", false, each, honest / 10, ping},
			} {
				sent = 0
				ends, begun, before := 0, time.Now(), node.cpu(t)
				for i := range each {
					if flood(t, attack.read, attack.write) {
						ends++
					}
					time.Sleep(time.Until(begun.Add(time.Duration(i+1) * time.Second)))
				}
				spent, took := node.cpu(t)-before, time.Since(begun)
				t.Logf("%d %s in %s, %d of %d connections ended: %s of CPU; an honest request takes %s", sent, attack.name, took, ends, each, spent, honest)
				if ends < attack.ends {
					t.Errorf("%s: %d of %d connections were ended", attack.name, ends, each)
				}
				if spent > took {
					t.Errorf("%s: %s of CPU in %s, more than one processor", attack.name, spent, took)
				}
				if one := spent / time.Duration(sent); one > attack.each {
					t.Errorf("%s: each costs %s of CPU, an honest request %s", attack.name, one, honest)
				}
			}
			if a := get(t, "/login", nil); a.Status != http.StatusOK {
				t.Errorf("after the floods: %d", a.Status)
			}
			if grown := node.rss(t) - base; grown > 96<<20 {
				t.Errorf("the floods left %d MiB behind", grown>>20)
			}
		})
		node.wantQuiet(t, service.Secret)
	})
}
