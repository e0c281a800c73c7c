package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// systemd is told while the server answers itself, and not when it does not.
func TestWatchdogTellsOfAnswersAlone(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	asked, alive, gone := 0, 0, 0
	watchdog{
		every: time.Millisecond,
		ask: func(context.Context) error {
			switch asked++; {
			case asked > 8:
				stop()
			case asked > 3 && asked < 7:
				return errors.New("no answer")
			}
			return nil
		},
		alive: func() { alive++ },
		gone:  func(error) { gone++ },
	}.run(ctx)
	if asked != 9 || alive != 5 || gone != 1 {
		t.Errorf("asked %d times, told %d times that it lives, %d that it does not", asked, alive, gone)
	}
}

func TestWatchdogAsks(t *testing.T) {
	t.Parallel()
	issuer, err := url.Parse("https://id.example.com/tenant")
	if err != nil {
		t.Fatal(err)
	}
	answering := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Host != "id.example.com" || r.URL.Path != "/tenant/.well-known/openid-configuration" {
			t.Errorf("asked for %s%s", r.Host, r.URL)
		}
	}))
	defer answering.Close()
	if err := asker(answering.Listener.Addr(), issuer, false)(t.Context()); err != nil {
		t.Errorf("a server that answers: %v", err)
	}

	certificateless, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("not yet") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer certificateless.Close()
	go func() { _ = http.Serve(certificateless, http.NotFoundHandler()) }()
	if err := asker(certificateless.Addr(), issuer, true)(t.Context()); err != nil {
		t.Errorf("a server that has no certificate yet: %v", err)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, secure := range []bool{false, true} {
		if err := asker(silent.Addr(), issuer, secure)(ctx); err == nil {
			t.Errorf("a server that does not answer passes for one that does (TLS: %v)", secure)
		}
	}
}
