// Package store keeps everything that outlives a request, in PostgreSQL or in
// SQLite. Every SQL statement of the project is here, one file per table, each
// statement a constant above its only method.
//
// It promises:
//   - one SQL text per statement for both engines; only migrations and
//     partitions know which engine they talk to;
//   - races are decided by one conditional statement, never by reading and then
//     writing: the use of an authorization code (RFC 6749 section 4.1.2), the
//     rotation of a refresh token (RFC 9700 section 4.14.2), revocation;
//   - what is written for a state change and the audit event that tells of it
//     are one transaction, and the event is written only if the change
//     happened;
//   - a request's reads and writes are one network round trip each, and they
//     are counted in the request's record;
//   - a database that is away is idp.ErrUnavailable, never a refusal.
//
// It refuses to hold anything that could be replayed: codes, refresh tokens and
// session cookies are rows with a salt, client secrets are hashes, private keys
// arrive sealed.
//
// Read port.go first (how statements reach either engine), then grants.go.
package store
