// Package outbound fetches the documents that clients registered by their
// address, and posts what they registered to be told: the only way out of this
// server to an address that somebody else chose.
//
// It promises that no request reaches a host inside: the address is checked
// when the connection is made, after the name was resolved, so that no name
// server can answer once for the check and once for the connection. It refuses
// everything but https (http only to networks that the operator listed), does
// not follow redirects, uses no proxy, decompresses nothing, and cuts what is
// slow or large. Its callers learn one error, whatever happened, after the same
// time: a refused, a closed and a silent port look alike. Why is in the log.
//
// Read fetcher.go first, then address.go for what counts as inside.
package outbound
