package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"idp/internal/idp"
)

const (
	maxExamined = 1 << 20             // bytes of an answer
	certSoon    = 21 * 24 * time.Hour // by then a certificate is renewed by whatever renews it
)

// issuer goes the way that applications go: to the issuer's address and through
// whatever stands in front of the server.
func (d *doctor) issuer(ctx context.Context) {
	roots, err := d.cfg.Outbound.roots()
	if err != nil {
		return // a fault of the configuration
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	client := &http.Client{
		Timeout: examinePatience, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, body, err := fetchJSON(ctx, client, d.cfg.Issuer+"/.well-known/openid-configuration")
	if err != nil {
		d.unreachable(err)
		return
	}
	d.certificate(response.TLS)
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil || metadata.Issuer == "" {
		d.fault("issuer", d.cfg.Issuer+" answers with something that is no metadata", "does the proxy lead here?")
		return
	}
	if metadata.Issuer != d.cfg.Issuer {
		d.fault("issuer", fmt.Sprintf("the server at %s says that it is %q", d.cfg.Issuer, metadata.Issuer),
			"applications compare it byte for byte: set issuer to the address that people use, on all nodes, and restart them")
		return
	}
	d.ok("issuer", d.cfg.Issuer+" answers, and says the same of itself")

	if d.keyring == nil {
		return
	}
	_, body, err = fetchJSON(ctx, client, metadata.JWKSURI)
	if err != nil {
		d.fault("key set", metadata.JWKSURI+": "+err.Error(), "APIs need it to check tokens")
		return
	}
	var set struct {
		Keys []struct {
			KID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		d.fault("key set", metadata.JWKSURI+" answers with something that is no key set", "")
		return
	}
	served := map[string]bool{}
	for _, key := range set.Keys {
		served[key.KID] = true
	}
	for _, k := range d.keyring.States() {
		if k.State == idp.KeyActive && !served[k.KID] {
			d.fault("key set", metadata.JWKSURI+" lacks the key "+k.KID+" of this database",
				"another installation answers there, or something caches the key set for longer than its Cache-Control says")
			return
		}
	}
	d.ok("key set", "holds the keys of this database")
}

// unreachable tells why nobody could be asked. Before the first start that is
// how it should be.
func (d *doctor) unreachable(err error) {
	var status *statusError
	switch {
	case errors.As(err, &status):
		fix := "does the proxy pass on the path and the Host header unchanged?"
		if status.location != "" {
			fix = "applications follow no redirect here: let the proxy answer at the issuer itself"
		}
		d.fault("issuer", d.cfg.Issuer+": "+err.Error(), fix)
	case isCertificateError(err):
		d.fault("TLS", d.cfg.Issuer+": "+err.Error(), "the chain has to be whole, with its intermediates, and lead to an authority that applications trust")
	case d.running:
		d.fault("issuer", d.cfg.Issuer+" cannot be reached from here: "+err.Error(), "the server runs: look at the name's address, the proxy and the firewall")
	default:
		d.warn("issuer", d.cfg.Issuer+" does not answer: "+err.Error(), "start idp serve, and run idp doctor again")
	}
}

func isCertificateError(err error) bool {
	var invalid *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var roots x509.SystemRootsError
	return errors.As(err, &invalid) || errors.As(err, &record) || errors.As(err, &roots)
}

// statusError is an answer that is not the one asked for.
type statusError struct {
	code     int
	location string // where it sends whoever asks; empty for nowhere
	kind     string // its media type, where that is wrong
}

func (e *statusError) Error() string {
	switch {
	case e.location != "":
		return fmt.Sprintf("answers %d and sends elsewhere, to %s", e.code, e.location)
	case e.kind != "":
		return "answers with " + e.kind + " instead of application/json"
	}
	return fmt.Sprintf("answers %d", e.code)
}

// fetchJSON reads a document as an application would.
func fetchJSON(ctx context.Context, client *http.Client, address string) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		if failure, ok := errors.AsType[*url.Error](err); ok {
			err = failure.Err // the address is said anyway
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxExamined))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return nil, nil, err
	case response.StatusCode != http.StatusOK:
		return nil, nil, &statusError{code: response.StatusCode, location: response.Header.Get("Location")}
	case kind != "application/json" && kind != "application/jwk-set+json":
		return nil, nil, &statusError{code: response.StatusCode, kind: orDash(kind)}
	}
	return response, body, nil
}

// certificate tells how long the certificates that were shown are good for.
func (d *doctor) certificate(state *tls.ConnectionState) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return
	}
	first := state.PeerCertificates[0]
	for _, c := range state.PeerCertificates {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	left := first.NotAfter.Sub(d.now())
	text := fmt.Sprintf("%s, good for %d more days", tls.VersionName(state.Version), int(left/day))
	if left < certSoon {
		d.warn("TLS", text, "renew the certificate; the server takes up new files by itself, proxies may have to be told")
		return
	}
	d.ok("TLS", text)
}

// cookies examines whether the browser will send back what it is given: over
// https alone, when the issuer is https.
func (d *doctor) cookies() {
	switch {
	case !isSecure(d.cfg.Issuer):
		d.warn("cookies", "the issuer is http", "good for trying out on this machine only")
	case d.cfg.TLSCert != "" || d.cfg.TLS.ACME.AcceptTerms || strings.HasPrefix(d.cfg.Listen, "unix:"):
		d.ok("cookies", "are Secure, and this listener is not reached in the clear")
	case isLoopbackListener(d.cfg.Listen):
		d.ok("cookies", "are Secure; a proxy on this machine ends TLS")
	default:
		d.warn("cookies", "are Secure, and "+d.cfg.Listen+" speaks plain http to other machines",
			"let a proxy alone reach it, or set tls_cert and tls_key, or tls.acme.accept_terms")
	}
}

func isLoopbackListener(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && host != "" && isLoopbackHost(host)
}

// mail goes to the mail server, and turns back before there is a message.
func (d *doctor) mail(ctx context.Context) {
	c := d.cfg.Mail
	if c.Host == "" {
		d.warn("mail", "there is no mail server", "set mail.host and mail.from; until then links wait in idp mail list")
		return
	}
	issuer, err := url.Parse(d.cfg.Issuer)
	if err != nil {
		return // a fault of the configuration
	}
	smtp, err := c.smtp(issuer.Hostname(), nil)
	if err != nil {
		d.fault("mail", err.Error(), "")
		return
	}
	within(ctx, func(ctx context.Context) {
		where := fmt.Sprintf("%s port %d, tls %s", c.Host, c.Port, c.protection())
		if err := smtp.Check(ctx); err != nil {
			d.fault("mail", where+": "+err.Error(), "idp mail test ADDRESS shows what the server says")
			return
		}
		if c.Username != "" {
			where += ", as " + c.Username
		}
		d.ok("mail", where)
	})
}

// outbound looks for what opens this machine's own network to clients.
func (d *doctor) outbound() {
	open := []netip.Prefix{
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), // where clouds answer what only a machine may know
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}
	for _, allowed := range d.cfg.Outbound.Allow {
		for _, network := range open {
			if allowed.Overlaps(network) {
				d.warn("outbound.allow", allowed.String()+" lets clients have this server call "+network.String(), "name the addresses that it has to reach, and no more")
				return
			}
		}
	}
	d.ok("outbound.allow", fmt.Sprintf("opens %d networks", len(d.cfg.Outbound.Allow)))
}
