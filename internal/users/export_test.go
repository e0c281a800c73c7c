package users

import "idp/internal/idp"

// Computed returns how many hashes were computed or waited their turn, but for
// the one that New makes.
func (h *Hasher) Computed() int64 { return h.computed.Load() }

// NewWeakHasher is NewHasher without its floor of memory.
func NewWeakHasher(cfg HasherConfig) (*Hasher, error) { return newHasher(cfg, 8) }

// Occupy takes all turns until the returned function is called.
func (h *Hasher) Occupy() (free func()) {
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	return func() {
		for range cap(h.slots) {
			<-h.slots
		}
	}
}

// AddressKey is the throttle key of a remote address.
func AddressKey(remote string) string { return addressKey(remote) }

// AccountKey is the throttle key of a user name that nobody has.
func AccountKey(username string) string { return accountKey(username, idp.User{}) }

// Concurrent is how many hashes run at once.
func (h *Hasher) Concurrent() int { return cap(h.slots) }

// MatchTOTP returns the time step of which the code is.
var MatchTOTP = matchTOTP
