package demo

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// keyRefresh is how long fetched keys are good without asking again, even for
// a token that names an unknown key: or else whoever sends forged tokens would
// make the API ask the issuer for its keys every time.
const keyRefresh = 5 * time.Second

// maxKeys is longer than any key set.
const maxKeys = 256 << 10

// keyTransport fetches the key set, at most every keyRefresh.
type keyTransport struct {
	next http.RoundTripper // nil for the default one
	now  func() time.Time

	mu        sync.Mutex
	body      []byte
	fetchedAt time.Time
}

// RoundTrip answers with the key set. Every answer but 200 is an error, so
// that an issuer in trouble is never taken for a bad signature.
func (t *keyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.body == nil || !t.now().Before(t.fetchedAt.Add(keyRefresh)) {
		body, err := t.fetch(r)
		if err != nil {
			return nil, err
		}
		t.body, t.fetchedAt = body, t.now()
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/jwk-set+json"}},
		Body:          io.NopCloser(bytes.NewReader(t.body)),
		ContentLength: int64(len(t.body)), Request: r,
	}, nil
}

func (t *keyTransport) fetch(r *http.Request) ([]byte, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("key set: %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return body, nil
}
