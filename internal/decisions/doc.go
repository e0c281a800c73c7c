// Package decisions keeps how requests were decided: which rules were asked, about
// what, and how each ended.
//
// It promises that no request waits for it. What a request collected on its way
// is queued once it was answered, and written together with others, a few times
// a second. Refused requests have a queue of their own and are written first;
// what does not fit is dropped and counted. While the database is away the
// queues keep what they can hold.
//
// It refuses nothing and checks nothing: that a trace holds no secret is up to
// those who decide (idp.Decide).
//
// Read recorder.go first. The rules in words are in internal/idp/rule.go.
package decisions
