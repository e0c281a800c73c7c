package idp

import "time"

// PushedRequestURN begins every request_uri that the pushed authorization
// request endpoint hands out (RFC 9126 section 2.2).
const PushedRequestURN = "urn:ietf:params:oauth:request_uri:"

// PushedRequestHandle finds a pushed authorization request: the day of its end
// names the partition, the ID the row.
type PushedRequestHandle struct {
	ExpiresOn Day
	ID        ID
}

// PushedRequest is an authorization request that its client sent ahead,
// directly and authenticated (RFC 9126). It may be looked at until it expires,
// so that people can reload a page, and completes one authorization.
type PushedRequest struct {
	Handle    PushedRequestHandle
	ClientID  string
	Sealed    string // the Flow that it starts, sealed
	Salt      []byte // the request_uri's proof derives from it
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero while no authorization was completed
}
