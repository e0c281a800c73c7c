package idp

import (
	"context"
	"sync/atomic"
)

// Request is what the log record of one HTTP request collects on its way. It
// belongs to that request's goroutine, but for the counter.
type Request struct {
	ID         string // chosen here, shown to people and in the audit
	RemoteAddr string // the client's address, proxies taken into account
	UserAgent  string

	ClientID  string
	GrantType string
	Subject   string
	Issued    string // the codes and tokens that were handed out, by their kinds, separated by spaces
	Outcome   string // an OAuth error code, or empty
	Cause     error  // what really happened; for the log only
	Steps     []Step // how it was decided: see Decide

	// RoundTrips counts the network round trips to the database.
	RoundTrips atomic.Int32
}

type requestKey struct{}

// WithRequest returns a context that carries r.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom returns the request that ctx belongs to, or an empty one for
// work that no request started.
func RequestFrom(ctx context.Context) *Request {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		return r
	}
	return &Request{}
}
