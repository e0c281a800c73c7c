package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

// Config is what a Service needs.
type Config struct {
	Endpoint string // the issuer whose admin API it is
	Token    idp.Secret
	// HTTP sends the requests; nil for one that verifies TLS as this system does.
	HTTP http.RoundTripper
}

// Service asks the admin API of one server.
type Service struct{ api *adminclient.API }

const (
	patience  = 30 * time.Second // for one answer
	maxAnswer = 16 << 20         // bytes
	// sendings is how often something is sent to be done once.
	sendings = 3
)

// New returns a Service. The error is an *idp.InvalidError.
func New(cfg Config) (*Service, error) {
	if err := checkEndpoint(cfg.Endpoint); err != nil {
		return nil, err
	}
	if cfg.Token == "" {
		return nil, idp.Invalid("token", "is needed")
	}
	if strings.ContainsFunc(cfg.Token.Reveal(), func(r rune) bool { return r <= 0x20 || r > 0x7e }) {
		return nil, idp.Invalid("token", "is no access token")
	}
	client := &http.Client{
		Transport:     cfg.HTTP,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	authorize := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+cfg.Token.Reveal())
		r.Header.Set("Accept", "application/json")
		return nil
	}
	api, err := adminclient.NewClient(cfg.Endpoint, adminclient.WithHTTPClient(sender{client}), adminclient.WithRequestEditorFn(authorize))
	if err != nil {
		return nil, idp.Invalid("endpoint", "must be the issuer's URL")
	}
	return &Service{api}, nil
}

// checkEndpoint refuses what is no issuer, and one to which the token would go
// in the clear.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return idp.Invalid("endpoint", "must be the issuer's URL, such as https://id.example.com")
	}
	address, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && address.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return idp.Invalid("endpoint", "must be https: http would show the access token to everybody on the way, and is for this machine only")
	}
	return nil
}

// sender sends requests. What is to be done once it sends again when the
// answer is lost.
type sender struct{ client *http.Client }

func (s sender) Do(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return s.client.Do(r)
	}
	r.Header.Set("Idempotency-Key", rand.Text())
	for sent := 1; ; sent++ {
		res, err := s.client.Do(r)
		lost := err != nil || res.StatusCode == http.StatusConflict && res.Header.Get("Retry-After") != ""
		if !lost || sent == sendings || r.Context().Err() != nil {
			return res, err
		}
		if res != nil {
			_ = res.Body.Close()
		}
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
	}
}

// answer reads what a request was answered into a value, unless that is nil.
func answer(into any) func(*http.Response, error) (http.Header, error) {
	return func(res *http.Response, err error) (http.Header, error) {
		if err != nil {
			return nil, away(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return nil, away(err)
		}
		if res.StatusCode < 200 || res.StatusCode > 299 {
			return nil, failure(res, body)
		}
		if into == nil {
			return res.Header, nil
		}
		if err := json.Unmarshal(body, into); err != nil {
			return nil, fmt.Errorf("%s: the answer cannot be read: is this the admin API of an idp server?", res.Request.URL.Host)
		}
		return res.Header, nil
	}
}

// done is answer for what is answered by nothing.
func done(res *http.Response, err error) error {
	_, err = answer(nil)(res, err)
	return err
}

func away(err error) error {
	if fault, ok := errors.AsType[*url.Error](err); ok { // it names the whole URL
		u, _ := url.Parse(fault.URL)
		if u != nil {
			return fmt.Errorf("%s://%s: %w: %w", u.Scheme, u.Host, idp.ErrUnavailable, fault.Err)
		}
		err = fault.Err
	}
	return fmt.Errorf("%w: %w", idp.ErrUnavailable, err)
}

// problem is what the API tells of what went wrong (RFC 9457).
type problem struct {
	Title     string `json:"title"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Member string `json:"member"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

// failure is the error that the service would have returned here.
func failure(res *http.Response, body []byte) error {
	var p problem
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		err := fmt.Errorf("%s: %s: is this the admin API of an idp server?", res.Request.URL.Host, res.Status)
		if res.StatusCode >= 502 && res.StatusCode <= 504 { // a proxy in front of it
			err = fmt.Errorf("%s: %s: %w", res.Request.URL.Host, res.Status, idp.ErrUnavailable)
		}
		return err
	}
	switch p.Code {
	case "invalid_input":
		if len(p.Errors) > 0 {
			var faults []error
			for _, e := range p.Errors {
				faults = append(faults, idp.Invalid(e.Member, e.Detail))
			}
			return errors.Join(faults...)
		}
	case "not_found":
		return fmt.Errorf("%s: %w", p.Detail, idp.ErrNotFound)
	case "conflict":
		return fmt.Errorf("%s: %w", p.Detail, idp.ErrConflict)
	case "precondition_failed":
		return fmt.Errorf("it was changed at the same time, try again: %w", idp.ErrConflict)
	case "beyond_authority":
		return fmt.Errorf("%s: %w", p.Detail, idp.ErrForbidden)
	case "temporarily_unavailable":
		return fmt.Errorf("%s: %w", p.Detail, idp.ErrUnavailable)
	}
	return fmt.Errorf("%s: %s (request %s)", p.Title, p.Detail, p.RequestID)
}

// all reads a whole list, page by page.
func all[T any](list func(page *string) (*http.Response, error)) ([]T, error) {
	var whole []T
	var next *string
	for {
		var part []T
		header, err := answer(&part)(list(next))
		if err != nil {
			return nil, err
		}
		whole = append(whole, part...)
		if next = nextPage(header); next == nil {
			return whole, nil
		}
	}
}

// nextPage is the token of the page that a Link header leads to (RFC 8288), nil
// for none.
func nextPage(header http.Header) *string {
	target, rest, _ := strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
	if !strings.Contains(rest, `rel="next"`) {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil || !u.Query().Has("page_token") {
		return nil
	}
	return new(u.Query().Get("page_token"))
}

const (
	asJSON       = "application/json"
	asMergePatch = "application/merge-patch+json"
	asJSONPatch  = "application/json-patch+json"
)

// body is a value as it is sent.
func body(value any) io.Reader {
	text, err := json.Marshal(value)
	if err != nil {
		panic("remote: a noun without a JSON form: " + err.Error())
	}
	return bytes.NewReader(text)
}

// as is a condition: only as it was read.
func as(header http.Header) *adminclient.IfMatch { return new(header.Get("ETag")) }
