// Package audit gets audit events into the database and into the log.
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
// Read recorder.go first.
package audit
