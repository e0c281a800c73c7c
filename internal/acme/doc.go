// Package acme gets the certificate of the public listener from an authority
// that speaks ACME (RFC 8555), and renews it before it ends. The authority is
// convinced by the listener itself (tls-alpn-01, RFC 8737): it needs no other
// port.
//
// It promises that nodes share what they have: one of them orders, each can
// answer the authority's question, all serve the same certificate, and none
// orders again after a start. What is shared is sealed. A handshake never waits
// for the authority, and none makes the server order anything: the one name that
// it has a certificate for is the issuer's.
//
// Read certificate.go first.
package acme
