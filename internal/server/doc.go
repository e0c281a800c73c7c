// Package server is where HTTP begins and ends: the table of routes, what every
// request passes on its way in, what every answer carries on its way out, the
// two listeners, health, and a stop that loses nothing.
//
// It promises one log record per request without a token, a cookie or a query
// in it; security headers on every answer, also on 404 and 405; an address of
// the client that only listed proxies can tell; a path that has one spelling.
//
// It refuses foreign Hosts (421), bodies above 64 KiB (413) or compressed ones
// (415), URLs above 8 KiB (414), more than 50 cookies (431), and requests whose
// framing two parsers could read differently (400, RFC 9112 sections 5.2, 6.1
// and 6.3). It never redirects to clean a path up, and takes neither issuer nor
// link from a header.
//
// It knows no sibling: it is given http.Handlers.
//
// Read routes.go first (the protocol's table of contents), then handler.go
// (what surrounds it), then server.go (the process).
package server
