// Package tokens makes and checks everything that proves something: access
// tokens, ID tokens, opaque tokens, the sealed state of a browser flow, the
// hashes of client secrets; and it keeps the signing keys. It also verifies
// what clients sign with keys of their own, and encrypts to them.
//
// It promises that a token has one spelling, that nothing which it did not
// issue is ever accepted, that no request reads a key from the database, and
// that what the database holds cannot be used without the master key. It
// refuses every token whose protected header is not, byte for byte, one that
// it writes itself. Of clients' keys it promises that none is ever used for
// another client, and it refuses those that are weak, private or symmetric.
//
// RFC 7515 to 7518 (JWS, JWK, algorithms), RFC 7638 (key identifiers),
// RFC 8037 (EdDSA), RFC 8725 (best practices), RFC 9068 (JWT access tokens),
// OpenID Connect Core section 2 (ID tokens), RFC 7523 (client assertions), RFC
// 7516 and OpenID Connect Core section 10.2 (encryption).
//
// Read keyring.go first (which key signs and which are published), then
// jws.go (how a token is written and read); master.go holds what derives from
// the master key, opaque.go the tokens that are not JWTs. For clients' keys
// read client_keys.go (where they come from), client_key.go (which are good
// enough) and assertion.go.
package tokens
