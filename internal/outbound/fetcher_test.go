package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"idp/internal/outbound"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// fetcher returns a Fetcher that trusts the server, and its log.
func fetcher(server *httptest.Server, timeout time.Duration, allow ...netip.Prefix) (*outbound.Fetcher, *syncBuffer) {
	roots := x509.NewCertPool()
	if server != nil && server.Certificate() != nil {
		roots.AddCert(server.Certificate())
	}
	log := &syncBuffer{}
	return outbound.New(outbound.Config{
		Allow: allow, Roots: roots, Timeout: timeout, Logger: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now,
	}), log
}

// fetcherTelling is a fetcher with somebody to tell of failures.
func fetcherTelling(server *httptest.Server, failed func(context.Context, outbound.Failure)) (*outbound.Fetcher, *syncBuffer) {
	roots := x509.NewCertPool()
	if server != nil {
		roots.AddCert(server.Certificate())
	}
	log := &syncBuffer{}
	return outbound.New(outbound.Config{
		Allow: loopback, Roots: roots, Timeout: 100 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now, Failed: failed,
	}), log
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestGet(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("sent %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Cache-Control", "public, max-age=120")
		w.Write([]byte(`{"keys":[]}`))
	}))
	defer server.Close()
	f, _ := fetcher(server, time.Second, loopback...)
	d, err := f.Get(t.Context(), server.URL+"/keys?x=1")
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Body) != `{"keys":[]}` || d.ETag != `"1"` || d.ContentType != "application/json" || d.MaxAge != 2*time.Minute {
		t.Errorf("%+v", d)
	}
}

// No connection is made to an address inside, however it is written or named.
func TestAttack_C09_NothingInsideIsReached(t *testing.T) {
	t.Parallel()
	f, log := fetcher(nil, 150*time.Millisecond)
	for _, host := range []string{
		"127.0.0.1", "localhost", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"169.254.169.254", "100.64.0.1", "100.127.255.254", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:8.8.8.8]%25", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::808:808]",
		"[64:ff9b:1::1]", "[fc00::1]", "[fd12:3456::1]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]",
		"[2002:7f00:1::1]", "[2001::1]", "[3fff::1]", "[100::1]", "[5f00::1]",
	} {
		before := len(log.String())
		if _, err := f.Get(t.Context(), "https://"+host+":9/"); !errors.Is(err, outbound.ErrUnreachable) {
			t.Errorf("%s: %v", host, err)
		}
		reason := log.String()[before:]
		if !strings.Contains(reason, "is not public") && !strings.Contains(reason, "is not a URL") {
			t.Errorf("%s was not refused by its address: %s", host, reason)
		}
	}
}

// The judgement is about the address that is dialled, not about the name.
func TestAttack_C10_ResolvedAddressDecides(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(net.Conn, http.ConnState) { reached.Add(1) }
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, allow := range [][]netip.Prefix{nil, {netip.MustParsePrefix("10.0.0.0/8")}} {
		f, _ := fetcher(server, 50*time.Millisecond, allow...)
		for _, address := range []string{"https://localhost:" + port, "https://127.0.0.1:" + port, "https://[::ffff:127.0.0.1]:" + port, "http://localhost:" + port} {
			if _, err := f.Get(t.Context(), address); !errors.Is(err, outbound.ErrUnreachable) {
				t.Errorf("%s: %v", address, err)
			}
			if _, err := f.PostForm(t.Context(), address, url.Values{"a": {"b"}}); !errors.Is(err, outbound.ErrUnreachable) {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// Redirects are not followed, whereever they lead.
func TestAttack_C10_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/there", func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	mux.Handle("/here", http.RedirectHandler("/there", http.StatusFound))
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	f, _ := fetcher(server, 150*time.Millisecond, loopback...)
	if _, err := f.Get(t.Context(), server.URL+"/here"); !errors.Is(err, outbound.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	if status, err := f.PostForm(t.Context(), server.URL+"/here", url.Values{}); status != http.StatusFound || err != nil {
		t.Errorf("%d %v", status, err)
	}
	if followed.Load() {
		t.Error("followed")
	}
}

// http leads to listed networks only.
func TestPlainHTTPNeedsAListedNetwork(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.PostFormValue("logout_token") != "x" {
			t.Errorf("form %v", r.PostForm)
		}
	}))
	defer server.Close()
	f, _ := fetcher(nil, time.Second, loopback...)
	if _, err := f.Get(t.Context(), server.URL); err != nil {
		t.Error(err)
	}
	if status, err := f.PostForm(t.Context(), server.URL, url.Values{"logout_token": {"x"}}); status != http.StatusOK || err != nil {
		t.Errorf("%d %v", status, err)
	}
	g, log := fetcher(nil, 200*time.Millisecond)
	if _, err := g.Get(t.Context(), "http://8.8.8.8:9/"); err == nil || !strings.Contains(log.String(), "not listed") {
		t.Errorf("%v %s", err, log)
	}
	for _, address := range []string{"file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "//127.0.0.1", "", "https:127.0.0.1", "https://user:pw@127.0.0.1/", "https://"} {
		if _, err := f.PostForm(t.Context(), address, nil); !errors.Is(err, outbound.ErrUnreachable) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// What hangs, lies or bombs is cut, and the caller learns nothing of it: one
// error, after the same time.
func TestAttack_C12_FailuresLookAlike(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 14 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
		t.Error("a gigabyte was read")
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1073741824") })
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-release })
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(make([]byte, 1<<20))
		z.Close()
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	})
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	defer close(release)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	notTLS := httptest.NewServer(mux)
	defer notTLS.Close()

	const timeout = 400 * time.Millisecond
	f, log := fetcher(server, timeout, loopback...)
	var all sync.WaitGroup
	for _, address := range []string{
		server.URL + "/huge", server.URL + "/long", server.URL + "/hang", server.URL + "/drip", server.URL + "/bomb", server.URL + "/headers",
		server.URL + "/error", server.URL + "/nothing", "https://" + closed.Addr().String() + "/?secret=s3cret",
		strings.Replace(notTLS.URL, "http:", "https:", 1), "https://nosuchhost.invalid/", "https://10.0.0.1/", "nonsense",
	} {
		all.Go(func() {
			started := time.Now()
			_, err := f.Get(t.Context(), address)
			if err != outbound.ErrUnreachable {
				t.Errorf("%s: %v", address, err)
			}
			if took := time.Since(started); took < timeout {
				t.Errorf("%s: failed after %v", address, took)
			}
		})
	}
	all.Wait()
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("the log tells a query: %s", log)
	}
}

// A document that its reader cannot use fails as one that is not there.
func TestReject(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }))
	defer server.Close()
	const timeout = 100 * time.Millisecond
	f, log := fetcher(server, timeout, loopback...)
	started := time.Now()
	d, err := f.Get(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Reject(t.Context(), d, errors.New("is no key set")); err != outbound.ErrUnreachable {
		t.Errorf("%v", err)
	}
	if took := time.Since(started); took < timeout {
		t.Errorf("rejected after %v", took)
	}
	if !strings.Contains(log.String(), "is no key set") {
		t.Errorf("the log does not say why: %s", log)
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer server.Close()
	f, log := fetcher(nil, time.Second, loopback...)
	if _, err := f.Get(t.Context(), server.URL); err == nil || !strings.Contains(log.String(), "certificate") {
		t.Errorf("%v %s", err, log)
	}
}

// A service of the operator's is asked with header fields, and one that is away
// is known to be at once.
func TestAsk(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Add-Padding") != "true" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = w.Write([]byte(r.URL.Path))
	}))
	t.Cleanup(server.Close)
	f, _ := fetcher(server, time.Hour, loopback...)
	body, err := f.Ask(t.Context(), server.URL+"/range/ABCDE", http.Header{"Add-Padding": {"true"}})
	if err != nil || string(body) != "/range/ABCDE" {
		t.Errorf("%q %v", body, err)
	}
	if _, err := f.Ask(t.Context(), server.URL+"/range/ABCDE", nil); !errors.Is(err, outbound.ErrUnreachable) {
		t.Errorf("an answer other than 200: %v", err)
	}
	inside, _ := fetcher(server, time.Hour)
	if _, err := inside.Ask(t.Context(), server.URL, nil); !errors.Is(err, outbound.ErrUnreachable) {
		t.Errorf("an address inside: %v", err)
	}
}
