// Package audit gets audit events into the database and into the log, and
// proves that what the database tells of them is still what was written.
//
// It promises that Record, in strict mode, returns nil only after the event's
// row is committed, and that many requests share one commit: while one batch
// commits the next one forms. In relaxed mode rows follow, and a full queue
// makes callers wait instead of losing rows. Note is for what happens to
// strangers (failed sign-ins, refused requests): it never waits, and counts
// what it had to drop.
//
// It refuses text that the databases would refuse or that would forge lines in
// a log: invalid UTF-8 and control characters become U+FFFD, so that no
// caller's event can spoil the batch of another.
//
// Events that belong to a change of state do not pass here: the store writes
// them in the transaction of the change. They meet the others in Mirror.
//
// A Sealer adds what was committed to a log that is only ever added to: a
// Merkle tree (RFC 6962 section 2.1), with a signed checkpoint for each of its
// parts. Each row gets one leaf, however many seal at once, whatever dies
// meanwhile, and when rows are committed later than they are named. Verify goes
// through the log and the rows, in bounded memory, and names the first that was
// changed, removed, added or moved. That the end was not cut off, rows and log,
// it can tell only from a checkpoint that was kept elsewhere; nor does it hold
// against somebody who has the master key.
//
// Read recorder.go first, and leaf.go, sealer.go and verify.go for the log.
package audit
