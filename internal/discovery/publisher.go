package discovery

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// CacheControl is how long clients may keep the documents and the keys. A key
// must be published for longer than this before it signs.
const CacheControl = "public, max-age=300"

// Publisher serves the documents, and swaps them whole when the features
// change. Create it with NewPublisher; it is safe for concurrent use.
type Publisher struct {
	pages atomic.Pointer[Pages]
}

// NewPublisher returns a publisher of d.
func NewPublisher(d Document) *Publisher {
	p := &Publisher{}
	p.Publish(d)
	return p
}

// Publish renders d and serves it from now on. Requests under way keep the
// document they began with.
func (p *Publisher) Publish(d Document) {
	pages := Render(d)
	p.pages.Store(&pages)
}

// Pages returns what is served now. Nobody may change the bytes.
func (p *Publisher) Pages() Pages { return *p.pages.Load() }

// OpenIDConfiguration serves OpenID Connect Discovery's document.
func (p *Publisher) OpenIDConfiguration() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, p.pages.Load().OpenIDConfiguration, "application/json")
	})
}

// AuthorizationServerMetadata serves RFC 8414's document.
func (p *Publisher) AuthorizationServerMetadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, p.pages.Load().AuthorizationServerMetadata, "application/json")
	})
}

// JWKS serves a key set (RFC 7517 section 5) by the same rules. The source
// returns the bytes and their ETag, with or without its quotes.
func JWKS(source func() (body []byte, etag string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, etag := source()
		if !strings.HasPrefix(etag, `"`) {
			etag = `"` + etag + `"`
		}
		serve(w, r, Page{Body: body, ETag: etag}, "application/jwk-set+json")
	})
}

// serve answers GET and HEAD; the routes let nothing else through.
func serve(w http.ResponseWriter, r *http.Request, page Page, contentType string) {
	h := w.Header()
	h.Set("ETag", page.ETag)
	h.Set("Cache-Control", CacheControl)
	if matches(r.Header.Values("If-None-Match"), page.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(page.Body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(page.Body) // the reader is gone; there is nobody to tell
	}
}

// matches reports whether one of the validators is the ETag, by the weak
// comparison that RFC 9110 section 13.1.2 asks for.
func matches(validators []string, etag string) bool {
	for _, line := range validators {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
				return true
			}
		}
	}
	return false
}
