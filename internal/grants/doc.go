// Package grants answers what a client asks: authorize, token, introspect,
// revoke, userinfo.
//
// It promises the letter of RFC 6749, 6750, 7009, 7636, 7662, 8707, 9068, 9207
// and OpenID Connect Core, with the advice of RFC 9700 and OAuth 2.1 on top:
// PKCE S256 for everyone, exact redirect URIs, one client authentication method
// per request, single-use codes, refresh tokens that rotate in a chain. It
// refuses implicit and password grants, plain PKCE, duplicated parameters and
// credentials in a URL.
//
// github.com/ory/fosite does the inner work of each grant behind one door,
// fosite.go; no type of it leaves this package. Everything that fosite would
// write is recorded in a unit of work and stored by one batch after signing.
//
// Read token.go first: its handler is the list of phases that every token
// request goes through. authorize.go and decide.go do the same for people.
package grants
