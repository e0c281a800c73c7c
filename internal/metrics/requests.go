package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
)

// Request tells of a request that was answered. The route is a pattern, empty
// where none matched; method is a known one or a word for all others.
func (m *Metrics) Request(route, method string, status int, took time.Duration, record *idp.Request) {
	if route == "" {
		route = "none"
	}
	m.requests.of(labels{route, method, statusText(status)}).Inc()
	m.requestSeconds.of(labels{route}).Observe(took.Seconds())
	if !isProtocol(route) {
		return
	}
	if record.Outcome != "" {
		m.oauthErrors.of(labels{route, record.Outcome}).Inc()
	}
	if status == http.StatusTooManyRequests {
		m.rateLimited.of(labels{"client"}).Inc()
	}
	grant := record.GrantType
	if grant == "" {
		grant = "authorize"
	}
	for kind := range strings.FieldsSeq(record.Issued) {
		m.tokens.of(labels{grant, kind}).Inc()
	}
}

// isProtocol reports whether programs speak OAuth or OpenID Connect there.
func isProtocol(route string) bool {
	return strings.HasPrefix(route, "/oauth2/") || route == "/userinfo"
}

// statuses are the HTTP statuses from 100 to 599 as text.
var statuses = func() (texts [500]string) {
	for i := range texts {
		texts[i] = strconv.Itoa(100 + i)
	}
	return texts
}()

func statusText(status int) string {
	if status < 100 || status > 599 {
		return overflow
	}
	return statuses[status-100]
}
