package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Certificate is a certificate with its key in two files, read again when they
// change, or one that somebody else looks after. Connections that are open keep
// the one they began with.
type Certificate struct {
	get       func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	protocols []string // beside HTTP's

	// Of files.
	certFile, keyFile string
	interval          time.Duration
	current           atomic.Pointer[loadedCertificate]
}

type loadedCertificate struct {
	certPEM, keyPEM []byte
	certificate     tls.Certificate
}

// LoadCertificate reads a PEM certificate chain and its key. While a Server
// runs with it, the files are looked at every five seconds.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, interval: 5 * time.Second}
	c.get = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.current.Load().certificate, nil }
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// CertificateFrom returns a certificate that get has for each handshake. Clients
// may negotiate other protocols than HTTP, such as those that ask whose the
// listener is.
func CertificateFrom(get func(*tls.ClientHelloInfo) (*tls.Certificate, error), protocols ...string) *Certificate {
	return &Certificate{get: get, protocols: protocols}
}

// Reload reads the files now and reports whether they had changed. On an error
// the certificate stays what it was: a half-written pair must not take the
// issuer down.
func (c *Certificate) Reload() (changed bool, err error) {
	if c.certFile == "" {
		return false, nil
	}
	certPEM, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, fmt.Errorf("TLS certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, fmt.Errorf("TLS key: %w", err)
	}
	if was := c.current.Load(); was != nil && bytes.Equal(was.certPEM, certPEM) && bytes.Equal(was.keyPEM, keyPEM) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return false, fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&loadedCertificate{certPEM: certPEM, keyPEM: keyPEM, certificate: pair})
	return true, nil
}

// config allows TLS 1.3, and 1.2 with forward secrecy and authenticated
// encryption only (RFC 9325 section 4.2).
func (c *Certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		GetCertificate: c.get,
		NextProtos:     slices.Concat([]string{"h2", "http/1.1"}, c.protocols),
	}
}

// watch reloads until ctx ends. A fault is logged when it appears, not every
// five seconds.
func (c *Certificate) watch(ctx context.Context, logger *slog.Logger) {
	if c.certFile == "" {
		return
	}
	ticker := time.NewTicker(c.interval)
	defer ticker.Stop()
	lastFault := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := c.Reload()
		switch {
		case err != nil && err.Error() != lastFault:
			lastFault = err.Error()
			logger.Error("the TLS certificate stays the old one", "cause", err)
		case err == nil:
			lastFault = ""
		}
		if changed {
			logger.Info("TLS certificate reloaded", "file", c.certFile)
		}
	}
}
