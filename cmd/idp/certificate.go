package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// certificate is the TLS certificate of the public listener. It can be
// replaced while connections use it.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// loadCertificate reads the configured certificate and key.
func loadCertificate(cfg *Config) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls_cert %s, tls_key %s: %w", cfg.TLSCert, cfg.TLSKey, err)
	}
	return &pair, nil
}

// reload reads the files again. On an error the old certificate stays.
func (c *certificate) reload(cfg *Config) error {
	pair, err := loadCertificate(cfg)
	if err != nil {
		return err
	}
	c.current.Store(pair)
	return nil
}

// tlsConfig serves TLS 1.2 and up with whatever certificate is current.
func (c *certificate) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
