package idp

import "time"

// Day counts days since 1970-01-01 UTC. Opaque tokens carry the day on which
// what they stand for ends, so that a look-up touches one partition.
type Day uint16

// DayOf returns the day that t falls on, in UTC.
func DayOf(t time.Time) Day { return Day(t.Unix() / 86400) }

// Time returns the day's first instant in UTC.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// Instant truncates t to whole microseconds in UTC: what survives both
// databases unchanged.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// ClockTolerance is how far a node's clock may be from the database's. A node
// that is farther away is not ready.
const ClockTolerance = 30 * time.Second

// Begun reports whether what another node says to have begun at some instant
// has begun at now. Two clocks may be twice the tolerance apart; beyond that
// one of them is wrong, and by a clock that is behind, what is over lives on.
func Begun(at, now time.Time) bool { return !now.Before(at.Add(-2 * ClockTolerance)) }

// Lifetimes are the server's defaults for how long things live.
type Lifetimes struct {
	Code            time.Duration // authorization code
	AccessToken     time.Duration
	IDToken         time.Duration
	RefreshIdle     time.Duration // a refresh token unused for this long dies
	RefreshAbsolute time.Duration // a grant ends after this, however busy it is
	RefreshGrace    time.Duration // a lost answer may be asked for again within this
	SessionIdle     time.Duration
	SessionAbsolute time.Duration
	Flow            time.Duration // from the authorization request to its answer
	PushedRequest   time.Duration // a pushed authorization request, until it must be used
	TrustedDevice   time.Duration // a device stands in for a second factor; 0 for never
}

// DefaultLifetimes follow RFC 9700's advice: short bearer tokens, refresh
// tokens that end whatever happens.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{
		Code:            time.Minute,
		AccessToken:     10 * time.Minute,
		IDToken:         5 * time.Minute,
		RefreshIdle:     7 * 24 * time.Hour,
		RefreshAbsolute: 30 * 24 * time.Hour,
		RefreshGrace:    30 * time.Second,
		SessionIdle:     time.Hour,
		SessionAbsolute: 12 * time.Hour,
		Flow:            30 * time.Minute,
		PushedRequest:   90 * time.Second,
		TrustedDevice:   30 * 24 * time.Hour,
	}
}
