package idp

import "time"

// RepeatableRequest is a request that its caller may send again for the same
// answer.
type RepeatableRequest struct {
	Key     [32]byte // a hash of the caller, and of what they call the request
	Sealed  []byte   // what was asked and, once there is one, the answer
	BeganAt time.Time
}

// RepeatableFor is how long an answer is kept.
const RepeatableFor = 24 * time.Hour
