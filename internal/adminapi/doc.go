// Package adminapi is the admin API: what package admin does, over HTTP, for
// programs that bring an access token of this issuer.
//
// It promises what openapi.yaml says, which was written first and is served
// with the API. Every request passes one door: a live access token for the
// API's own audience, then the scope of the route, then, where an application
// acts for a person, that person's membership of the group idp-admins. What a
// caller may not do itself it cannot have done by a client that it makes or
// takes over: the service refuses it.
//
// It refuses members and query parameters that it does not know, and never
// answers a secret twice. Errors are problem details (RFC 9457), updates are
// JSON merge patches (RFC 7396) or JSON patches (RFC 6902), conditional
// requests are those of RFC 9110 section 13, tokens those of RFC 6750.
//
// Read api.go first, then door.go.
package adminapi
