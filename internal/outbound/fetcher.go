package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrUnreachable is all that a caller learns when a remote document could not
// be had, whatever the reason.
var ErrUnreachable = errors.New("the remote document could not be had")

const (
	defaultTimeout  = 5 * time.Second
	defaultMaxBytes = 64 << 10
	maxHeaderBytes  = 16 << 10
	// readsAtOnce and postsAtOnce bound how many requests are under way together:
	// hosts that hang must not eat the server's sockets, and those that are told
	// things must not keep others from being read.
	readsAtOnce = 256
	postsAtOnce = 64
	// longestMaxAge bounds how long an answer may claim to be good for.
	longestMaxAge = 24 * time.Hour
)

// Config is what a Fetcher is built from.
type Config struct {
	// Allow lists the networks that may be reached although they are not
	// public, and without TLS.
	Allow []netip.Prefix
	// Roots are the authorities of remote certificates; nil for the system's.
	Roots *x509.CertPool
	// Timeout covers a request from the look-up of the name to the last byte;
	// 0 for 5 seconds.
	Timeout time.Duration
	// MaxBytes is how long a document may be; 0 for 64 KiB.
	MaxBytes int64
	Logger   *slog.Logger
	Now      func() time.Time
	// Failed is told of what fails, with the context of the call; nil has it
	// logged.
	Failed func(ctx context.Context, f Failure)
	Tracer Tracer // nil for none
}

// Tracer follows requests. Implemented by *tracing.Tracing.
type Tracer interface {
	// Fetch begins to follow a request; done is called with the status of the
	// answer, or with one of the Reason… words.
	Fetch(ctx context.Context, method string, address *url.URL) (_ context.Context, done func(status int, reason string))
}

// Fetcher makes requests to addresses that clients registered. It may be used
// by many goroutines.
type Fetcher struct {
	allow    []netip.Prefix
	timeout  time.Duration
	maxBytes int64
	logger   *slog.Logger
	now      func() time.Time
	failed   func(context.Context, Failure)
	tracer   Tracer
	reads    chan struct{} // slots
	posts    chan struct{}

	secure *http.Client // https: public and allowed addresses
	plain  *http.Client // http: allowed addresses only
}

// Document is what an address answered.
type Document struct {
	Body        []byte
	ETag        string
	ContentType string
	// MaxAge is how long the answer says that it may be kept, at most a day;
	// zero when it says nothing or forbids it.
	MaxAge time.Duration

	address string
	started time.Time
}

// New returns a Fetcher.
func New(cfg Config) *Fetcher {
	f := &Fetcher{
		timeout: cfg.Timeout, maxBytes: cfg.MaxBytes, logger: cfg.Logger, now: cfg.Now, failed: cfg.Failed, tracer: cfg.Tracer,
		reads: make(chan struct{}, readsAtOnce), posts: make(chan struct{}, postsAtOnce),
	}
	for _, network := range cfg.Allow {
		f.allow = append(f.allow, network.Masked())
	}
	if f.timeout == 0 {
		f.timeout = defaultTimeout
	}
	if f.maxBytes == 0 {
		f.maxBytes = defaultMaxBytes
	}
	f.secure = f.client(cfg.Roots, func(a netip.Addr) bool { return public(a) || within(f.allow, a) })
	f.plain = f.client(cfg.Roots, func(a netip.Addr) bool { return within(f.allow, a) })
	return f
}

// client builds an HTTP client whose every connection goes to an address that
// may be reached.
func (f *Fetcher) client(roots *x509.CertPool, may func(netip.Addr) bool) *http.Client {
	dialer := &net.Dialer{
		Timeout: f.timeout,
		// This is asked with the resolved address, once for each that is tried,
		// right before connect(2).
		Control: func(_, address string, _ syscall.RawConn) error {
			remote, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %q is not understood", address)
			}
			if ip := remote.Addr().Unmap().WithZone(""); !may(ip) {
				return fmt.Errorf("address %s %w", ip, errInside)
			}
			return nil
		},
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve the name itself
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableCompression:     true,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Get fetches a document. An answer other than 200 is a failure, a redirect
// too. The error is ErrUnreachable, and comes no sooner than the timeout, so
// that how long it takes tells nothing about the host.
func (f *Fetcher) Get(ctx context.Context, address string) (Document, error) {
	document := Document{address: address, started: f.now()}
	response, body, err := f.read(ctx, address, nil)
	if err != nil {
		return Document{}, f.fail(ctx, document, err)
	}
	document.Body = body
	document.ETag = response.Header.Get("ETag")
	document.ContentType = response.Header.Get("Content-Type")
	document.MaxAge = maxAge(response.Header.Values("Cache-Control"))
	return document, nil
}

// Ask fetches from a service of the operator's own choice, with header fields.
// The error is ErrUnreachable, and comes as soon as it is known: there is nothing
// to hide from whoever chose the address.
func (f *Fetcher) Ask(ctx context.Context, address string, header http.Header) ([]byte, error) {
	_, body, err := f.read(ctx, address, header)
	if err != nil {
		f.log(ctx, address, err)
		return nil, ErrUnreachable
	}
	return body, nil
}

// read makes a request and reads the answer.
func (f *Fetcher) read(ctx context.Context, address string, header http.Header) (response *http.Response, body []byte, err error) {
	response, err = f.request(ctx, http.MethodGet, address, header, nil, func(r *http.Response) error {
		switch encoding := r.Header.Get("Content-Encoding"); {
		case r.StatusCode != http.StatusOK:
			return fmt.Errorf("answered %d", r.StatusCode)
		case encoding != "" && !strings.EqualFold(encoding, "identity"):
			return errors.New("answered in a content encoding that was not asked for")
		case r.ContentLength > f.maxBytes:
			return fmt.Errorf("is longer than %d bytes", f.maxBytes)
		}
		if body, err = io.ReadAll(io.LimitReader(r.Body, f.maxBytes+1)); err != nil {
			return err
		}
		if int64(len(body)) > f.maxBytes {
			return fmt.Errorf("is longer than %d bytes", f.maxBytes)
		}
		return nil
	})
	return response, body, err
}

// Reject is for callers that cannot use the document that they got: it answers
// as Get does when there is none, no sooner.
func (f *Fetcher) Reject(ctx context.Context, d Document, reason error) error {
	return f.fail(ctx, d, reason)
}

// Read fetches a document that accept can use.
func (f *Fetcher) Read(ctx context.Context, address string, accept func(body []byte) error) error {
	document, err := f.Get(ctx, address)
	if err != nil {
		return err
	}
	if err := accept(document.Body); err != nil {
		return f.Reject(ctx, document, err)
	}
	return nil
}

// ReadDocument is Read for callers that also want to know what kind of document
// it is, and how long it says that it may be kept.
func (f *Fetcher) ReadDocument(ctx context.Context, address string, accept func(body []byte, contentType string) error) (maxAge time.Duration, err error) {
	document, err := f.Get(ctx, address)
	if err != nil {
		return 0, err
	}
	if err := accept(document.Body, document.ContentType); err != nil {
		return 0, f.Reject(ctx, document, err)
	}
	return document.MaxAge, nil
}

// PostForm sends a form and returns the status of the answer, redirects
// included, whose body is not read. The error is ErrUnreachable, and comes as
// soon as it is known: nobody outside waits for it.
func (f *Fetcher) PostForm(ctx context.Context, address string, form url.Values) (int, error) {
	response, err := f.request(ctx, http.MethodPost, address, nil, form, func(*http.Response) error { return nil })
	if err != nil {
		f.log(ctx, address, err)
		return 0, ErrUnreachable
	}
	return response.StatusCode, nil
}

// request makes one request within the timeout; read sees the answer while its
// body is open.
func (f *Fetcher) request(ctx context.Context, method, address string, header http.Header, form url.Values, read func(*http.Response) error) (response *http.Response, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	slots := f.reads
	if method == http.MethodPost {
		slots = f.posts
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, errors.New("too many requests are under way")
	}

	u, err := url.Parse(address)
	if err != nil {
		return nil, errNotAURL
	}
	client := f.secure
	switch {
	case u.Scheme == "http":
		client = f.plain
	case u.Scheme != "https":
		return nil, errNotHTTPS
	}
	if u.Host == "" || u.User != nil {
		return nil, errNoHost
	}
	if f.tracer != nil {
		var done func(int, string)
		ctx, done = f.tracer.Fetch(ctx, method, u)
		defer func() {
			status, reason := 0, ""
			if response != nil {
				status = response.StatusCode
			}
			if err != nil {
				reason = reasonOf(err)
			}
			done(status, reason)
		}()
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, errNotAURL
	}
	maps.Copy(request.Header, header)
	request.Header.Set("User-Agent", "idp")
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err = client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // its text repeats the URL with its query
		}
		return nil, err
	}
	defer response.Body.Close()
	return response, read(response)
}

// fail logs why, and waits until the timeout has passed.
func (f *Fetcher) fail(ctx context.Context, d Document, reason error) error {
	f.log(ctx, d.address, reason)
	wait := time.NewTimer(f.timeout - f.now().Sub(d.started))
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
	}
	return ErrUnreachable
}

// log tells the operator.
func (f *Fetcher) log(ctx context.Context, address string, reason error) {
	if u, err := url.Parse(address); err == nil {
		address = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	} else {
		address = "not a URL"
	}
	if f.failed != nil {
		f.failed(ctx, Failure{Address: address, Reason: reasonOf(reason), Cause: reason})
		return
	}
	f.logger.LogAttrs(ctx, slog.LevelWarn, "a registered address failed", slog.String("url", address), slog.Any("cause", reason))
}

// maxAge reads max-age out of Cache-Control (RFC 9111 section 5.2.2).
func maxAge(headers []string) time.Duration {
	age := time.Duration(0)
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(headers, ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				age = min(time.Duration(seconds)*time.Second, longestMaxAge)
			}
		}
	}
	return age
}
