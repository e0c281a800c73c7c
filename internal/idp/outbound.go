package idp

import "context"

// Errand says for whom and what for this server makes a request to an address
// that somebody else chose.
type Errand struct {
	ClientID string
	Purpose  string // the metadata field that names the address, e.g. "jwks_uri"
}

type errandKey struct{}

// WithErrand returns a context for a request on behalf of a client.
func WithErrand(ctx context.Context, clientID, purpose string) context.Context {
	return context.WithValue(ctx, errandKey{}, Errand{clientID, purpose})
}

// ErrandFrom returns what the request is for, or nothing.
func ErrandFrom(ctx context.Context) Errand {
	e, _ := ctx.Value(errandKey{}).(Errand)
	return e
}
