// Package discovery renders the issuer's metadata: the documents of OpenID
// Connect Discovery 1.0 section 3 and RFC 8414 section 2.
//
// It promises that the documents say only what is on, use only registered
// names, and spell out every default that would otherwise promise more than
// the server does. They are rendered once and served from memory with a strong
// ETag: a request costs no allocation worth naming and no database.
//
// It refuses to look at a request for anything but its validators: nothing in
// a document ever comes from a header.
//
// Read document.go first, then publisher.go.
package discovery
