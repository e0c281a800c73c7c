package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"idp/internal/acme"
	"idp/internal/server"
)

// authorityPatience is how long one request to a certificate authority may take.
const authorityPatience = 30 * time.Second

// orderCertificate has the listener's certificate come from an authority. The
// operator chose it, so it may be anywhere; its own certificate is trusted as
// that of any other host.
func (n *node) orderCertificate() error {
	issuer, err := url.Parse(n.cfg.Issuer)
	if err != nil {
		return err
	}
	roots, err := n.cfg.Outbound.roots()
	if err != nil {
		return withCode(exitConfiguration, fmt.Errorf("outbound.ca_file: %w", err))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	n.ordered = acme.New(acme.Config{
		Host: issuer.Hostname(), DirectoryURL: n.cfg.TLS.ACME.DirectoryURL, Email: n.cfg.TLS.ACME.Email,
		Client: &http.Client{Transport: transport, Timeout: authorityPatience},
		Store:  n.store, Sealer: n.master, Logger: n.logger, Now: n.now,
	})
	n.certificate = server.CertificateFrom(n.ordered.Get, acme.Protocol)
	return nil
}
