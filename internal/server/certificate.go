package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Certificate is a certificate with its key in two files, read again when they
// change. Connections that are open keep the one they began with.
type Certificate struct {
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
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files now and reports whether they had changed. On an error
// the certificate stays what it was: a half-written pair must not take the
// issuer down.
func (c *Certificate) Reload() (changed bool, err error) {
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
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().certificate, nil
		},
	}
}

// watch reloads until ctx ends. A fault is logged when it appears, not every
// five seconds.
func (c *Certificate) watch(ctx context.Context, logger *slog.Logger) {
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
