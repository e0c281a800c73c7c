// Package terminal is an application without a window: it signs a person in
// with the browser beside it and hands back the tokens, verified.
//
// It promises the authorization code flow (OpenID Connect Core section 3.1)
// with PKCE S256 (RFC 7636), state, nonce, the issuer check of RFC 9207 and,
// where the client needs it, a pushed request (RFC 9126); the answer comes to a
// loopback address (RFC 8252 section 7.3) or is pasted. It also knows client
// credentials (RFC 6749 section 4.4) and the device flow (RFC 8628), where the
// issuer does.
//
// It refuses an answer that does not belong to the sign-in that it began, and
// ID tokens that are not signed with a published key for this client. No secret,
// code or token is in an error of it.
//
// Read terminal.go first, then signin.go.
package terminal
