// Package demo is an application and an API that use the issuer the way any
// other would: over HTTP, with a stock client library, knowing nothing but the
// issuer's address.
//
// New gives the application: it signs people in with the authorization code
// flow (OpenID Connect Core section 3.1), PKCE S256 (RFC 7636), state, nonce,
// the issuer check of RFC 9207 and a resource indicator (RFC 8707), calls the
// API with the access token, refreshes it (RFC 6749 section 6) and shows what
// it got. It signs people out at the issuer, too (OpenID Connect RP-Initiated
// Logout), and hears when their session ends in another way (Back-Channel
// Logout).
//
// NewAPI gives the resource server: it validates JWT access tokens offline
// (RFC 9068 section 4), refuses in the words of RFC 6750 section 3 and
// describes itself as RFC 9728 has it.
//
// Both are for demonstrations and tests. They show tokens to the person whom
// they belong to, which no real application should, and keep sessions in
// memory: a restart signs everybody out.
//
// Read signin.go first, then api.go.
package demo
