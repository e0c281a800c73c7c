package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// pebble is Pebble, the ACME server that Let's Encrypt tests clients with. It
// finds every name on this machine, at one port.
type pebble struct {
	*Host
	roots *x509.CertPool
	// asked is closed when the first order comes, which is taken once open is.
	asked, open chan struct{}
	orders      atomic.Int32
}

// answered counts what is created.
type answered struct {
	http.ResponseWriter
	created *atomic.Int32
}

func (a answered) WriteHeader(status int) {
	if status == http.StatusCreated {
		a.created.Add(1)
	}
	a.ResponseWriter.WriteHeader(status)
}

func newPebble(t *testing.T, port string) *pebble {
	t.Helper()
	resolver, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: resolver, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1),
			})
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = names.ActivateAndServe() }()
	t.Cleanup(func() { _ = names.Shutdown() })

	tlsPort, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	_ = os.Setenv("PEBBLE_VA_NOSLEEP", "1") // read when it is made, and by nobody else
	store := db.NewMemoryStore()
	signer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	front := wfe.New(quiet, store, va.New(quiet, 1, tlsPort, true, resolver.Addr().String(), store), signer, []string{"ca.example.test"}, true, false, 0, 0)
	a := &pebble{Host: NewHost(t), roots: x509.NewCertPool(), asked: make(chan struct{}), open: make(chan struct{})}
	a.roots.AppendCertsFromPEM(signer.GetRootCert(0).PEM())
	handler := front.Handler()
	var once sync.Once
	a.Serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" {
			once.Do(func() { close(a.asked) })
			<-a.open
			w = answered{w, &a.orders}
		}
		handler.ServeHTTP(w, r)
	})
	return a
}

// serial waits for the certificate that a node serves.
func (n *Node) serial(t *testing.T) string {
	t.Helper()
	var err error
	for range 1200 {
		var conn *tls.Conn
		if conn, err = tls.Dial("tcp", n.Addr, &tls.Config{ServerName: "id.example.test", RootCAs: n.roots}); err == nil {
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("no certificate: %v\n%s", err, n.Logs())
	return ""
}

// Nodes get one certificate from an authority, by an order of one of them, whose
// question whichever node is asked answers. It outlives a restart, lies sealed in
// the database, and is for the issuer's name alone.
func TestCertificateByACME(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		port := FreePort(t)
		ordered := newPebble(t, port)
		settings := ordered.Outbound()
		settings["IDP_ISSUER"] = "https://id.example.test:" + port
		settings["IDP_TLS_ACME_ACCEPT_TERMS"] = "true"
		settings["IDP_TLS_ACME_DIRECTORY_URL"] = ordered.URL + wfe.DirectoryPath
		settings["IDP_TLS_ACME_EMAIL"] = "admin@example.test"
		inst := Install(t, engine, settings)
		inst.Issuer, inst.roots = settings["IDP_ISSUER"], ordered.roots

		// On Postgres the one that orders is not the one that is asked.
		var nodes []*Node
		if engine == "postgres" {
			elsewhere := "127.0.0.1:" + FreePort(t)
			nodes = append(nodes, inst.Launch(t, map[string]string{"IDP_LISTEN": elsewhere}))
			nodes[0].Addr = elsewhere
			<-ordered.asked
		}
		nodes = append(nodes, inst.Launch(t, nil))
		nodes[len(nodes)-1].WaitReady(t)
		close(ordered.open)
		serial := nodes[0].serial(t)
		for _, n := range nodes {
			n.WaitReady(t)
			if other := n.serial(t); other != serial {
				t.Errorf("%s serves %s, another node %s", n.Addr, other, serial)
			}
			if a := n.request(t, n.HTTP, http.MethodGet, "/.well-known/openid-configuration", "", nil); a.Status != http.StatusOK {
				t.Errorf("over it: status %d", a.Status)
			}
			if conn, err := tls.Dial("tcp", n.Addr, &tls.Config{ServerName: "other.example.test", InsecureSkipVerify: true}); err == nil {
				t.Errorf("there is a certificate for other names: %v", conn.ConnectionState().PeerCertificates[0].DNSNames)
				_ = conn.Close()
			}
		}
		for _, n := range nodes {
			n.Stop(t)
		}
		if again := inst.Start(t); again.serial(t) != serial {
			t.Error("a start gets another certificate")
		}
		if orders := ordered.orders.Load(); orders != 1 {
			t.Errorf("there were %d orders", orders)
		}
		if dump := dump(t, inst); strings.Contains(dump, "PRIVATE KEY") || !strings.Contains(dump, "id.example.test") {
			t.Error("the database holds no certificate, or its key in the clear")
		}
	})
}
