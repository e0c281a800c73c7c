// Package backchannel tells clients that a session has ended (OpenID Connect
// Back-Channel Logout 1.0).
//
// The notices lie in the database, written in the transaction that ended the
// session, so none is lost whatever dies. Every node delivers: each claims a
// notice before it sends it.
//
// It promises:
//   - that a client which hangs or fails delays nobody but itself: each client
//     has its own queue, one request at a time, and rests after a failure, the
//     longer the more often it failed;
//   - that a notice is tried for about an hour, and that the audit tells of its
//     delivery or of its failure;
//   - a fresh token for every attempt, good for two minutes (section 2.4).
//
// It refuses redirects: a logout token goes to the registered address or
// nowhere (section 2.5).
//
// Read notifier.go.
package backchannel
