package acme

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Protocol is what the authority asks for in a handshake (RFC 8737 section 6.1).
// The listener has to offer it.
const Protocol = acme.ALPNProto

const (
	// lookEvery is how often a node looks for a newer certificate, and tries again
	// to get the first one.
	// The library tries no sooner than a minute after a failure.
	lookEvery = 65 * time.Second
	// lateAfter is the part of a certificate's life after which its renewal has
	// failed for long: the first tries are after two thirds.
	lateAfter = 0.8
)

// Config is what a Certificate is made of.
type Config struct {
	Host         string // that the certificate is for
	DirectoryURL string // of the authority
	Email        string // that the authority may write to; may be empty
	Client       *http.Client
	Store        Store
	Sealer       Sealer
	Logger       *slog.Logger
	Now          func() time.Time
}

// Certificate is a certificate that an authority gives. Create it with New.
type Certificate struct {
	host    string
	manager *autocert.Manager
	shared  *shared
	current atomic.Pointer[tls.Certificate]
	logger  *slog.Logger
	now     func() time.Time
}

// New returns a Certificate that there is not yet: Run gets it. Whoever calls it
// has accepted the authority's terms.
func New(c Config) *Certificate {
	s := &shared{store: c.Store, sealer: c.Sealer, host: c.Host, holder: rand.Text(), now: c.Now, ended: make(chan struct{})}
	return &Certificate{
		host: c.Host, shared: s, logger: c.Logger, now: c.Now,
		manager: &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: s, HostPolicy: autocert.HostWhitelist(c.Host), Email: c.Email,
			Client: &acme.Client{DirectoryURL: c.DirectoryURL, HTTPClient: c.Client, UserAgent: "idp"},
		},
	}
}

// Get answers a handshake: to the authority what it asks for, to everybody else
// the certificate.
func (c *Certificate) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if name := strings.TrimSuffix(strings.ToLower(hello.ServerName), "."); name != "" && name != c.host {
		return nil, errors.New("there is a certificate for another name only")
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == Protocol {
		return c.manager.GetCertificate(hello)
	}
	if current := c.current.Load(); current != nil {
		return current, nil
	}
	return nil, errors.New("there is no certificate yet")
}

// Run gets the certificate, and has it renewed until ctx ends.
func (c *Certificate) Run(ctx context.Context) {
	defer close(c.shared.ended)
	lastFault := ""
	for {
		// The library goes on for five minutes, whoever waits for it.
		got := make(chan error, 1)
		go func() { got <- c.look() }()
		select {
		case <-ctx.Done():
			return
		case err := <-got:
			switch {
			case err == nil:
				lastFault = ""
			case err.Error() != lastFault:
				lastFault = err.Error()
				c.logger.Error("TLS certificate not obtained, it is tried again", "host", c.host, "cause", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

// look takes up the certificate that there is, and has the first one ordered.
func (c *Certificate) look() error {
	certificate, err := c.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName: c.host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // a key on a curve, for everybody
	})
	if err != nil {
		return err
	}
	leaf := certificate.Leaf
	if was := c.current.Swap(certificate); was == nil || !bytes.Equal(was.Certificate[0], certificate.Certificate[0]) {
		c.logger.Info("TLS certificate in use", "host", c.host, "issuer", leaf.Issuer.CommonName, "serial", leaf.SerialNumber.Text(16), "not_after", leaf.NotAfter)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); c.now().Sub(leaf.NotBefore) > time.Duration(lateAfter*float64(life)) {
		return fmt.Errorf("it is not renewed, and ends at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
