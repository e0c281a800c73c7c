package users

// How many sign-ins may be tried. The limits are taken before anything is
// evaluated, from one place that all nodes share, so that parallel guesses do
// not get more than their number.

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"idp/internal/idp"
)

// limit is a GCRA limit: burst at once, then one per interval.
type limit struct {
	interval time.Duration
	burst    int
}

var (
	// What a person mistypes before they stop to think; after that a guesser gets
	// 8640 a day at one account, from however many addresses.
	perAccount = limit{interval: 10 * time.Second, burst: 5}
	// An office behind one address has as many at work at once. What succeeds is
	// given back, so that people are not counted, but failures.
	perAddress = limit{interval: 6 * time.Second, burst: 20}
	// Who guesses codes knows the password already. Three of a million codes are
	// right at a time: enough for slips of the finger, and so few a day that a year
	// of guessing comes to one chance in forty.
	perCode = limit{interval: time.Hour, burst: 20}
	// How often a person is told that somebody guesses them.
	perWarning = limit{interval: 24 * time.Hour, burst: 1}
	// The owner where they signed in before. Whoever took the device over gets no
	// more guesses than anybody else.
	perDevice = perAccount
)

// perMinute is the limit of n in a minute, which may come at once.
func perMinute(n int) limit { return limit{interval: time.Minute / time.Duration(n), burst: n} }

// Throttle counts attempts for all nodes together. Take returns an error that
// wraps idp.ErrThrottled, and how long to wait, when the key has no attempt
// left at now. Implemented by *store.Store.
type Throttle interface {
	Take(ctx context.Context, key string, now time.Time, interval time.Duration, burst int) (retryAfter time.Duration, err error)
	// GiveBack undoes one Take.
	GiveBack(ctx context.Context, key string, interval time.Duration) error
	// Release undoes all of them.
	Release(ctx context.Context, key string) error
}

// ThrottledError says that too many sign-ins were tried. It wraps idp.ErrThrottled.
type ThrottledError struct {
	after time.Duration
	exact time.Duration
}

// throttledFor rounds to whole seconds, upwards: what Retry-After can say.
func throttledFor(wait time.Duration) *ThrottledError {
	return &ThrottledError{after: max(time.Second, (wait + time.Second - 1).Truncate(time.Second)), exact: wait}
}

// RetryAfter returns how long to wait, at least one second.
func (e *ThrottledError) RetryAfter() time.Duration { return e.after }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v: try again in %s", idp.ErrThrottled, e.after)
}

func (e *ThrottledError) Unwrap() error { return idp.ErrThrottled }

// take takes one attempt under the key: *ThrottledError when there is none.
func take(ctx context.Context, throttle Throttle, now time.Time, key string, l limit) error {
	after, err := throttle.Take(ctx, key, now, l.interval, l.burst)
	if errors.Is(err, idp.ErrThrottled) {
		return throttledFor(after)
	}
	return err
}

// addressKey names the throttle of sign-ins from a client's address.
func addressKey(remote string) string { return "login:address:" + subscriber(remote) }

// subscriber tells clients apart by their address: one per IPv4 address and one
// per IPv6 /64, the smallest that one subscriber has. Whatever cannot be read is
// one and the same, so that nothing slips past it.
func subscriber(remote string) string {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		withPort, err := netip.ParseAddrPort(remote)
		if err != nil {
			return "unknown"
		}
		addr = withPort.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}

// accountKey names the throttle of an account, by whatever name it was found,
// or of a name that nobody has. It holds a hash: people type passwords into the
// wrong field.
func accountKey(username string, user idp.User) string {
	name := "name:" + strings.ToLower(username)
	if user.ID != "" {
		name = "id:" + user.ID
	}
	return "login:account:" + hashed(name)
}

func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

const allKey = "login:all"

// share is what an attempt takes under one key.
type share struct {
	limit
	key    string
	reason string // why it was refused, if it is
	userID string // whom the refusal is told of
	// owned gives back everything that was taken under the key when the owner
	// signs in, not only this attempt.
	owned bool
}

// attempt is all that one sign-in takes, the installation's share last, so that
// whatever another limit refuses does not use it up.
func (s *Service) attempt(ctx context.Context, username string, user idp.User, device *idp.Device) []share {
	if device != nil {
		return []share{{limit: perDevice, key: "login:device:" + device.ID.String(), reason: reasonDevice, userID: user.ID, owned: true}}
	}
	return []share{
		{limit: perAddress, key: addressKey(idp.RequestFrom(ctx).RemoteAddr), reason: reasonAddress},
		{limit: perAccount, key: accountKey(username, user), reason: reasonAccount, userID: user.ID, owned: true},
		{limit: s.all, key: allKey, reason: reasonAll},
	}
}

// take takes all shares, or fails with a *ThrottledError.
func (s *Service) take(ctx context.Context, attempt []share) error {
	for _, sh := range attempt {
		now := s.now()
		err := s.braked.check(sh, now)
		if err == nil {
			if err = take(ctx, s.throttle, now, sh.key, sh.limit); err != nil {
				s.braked.remember(sh.key, now, err)
			}
		}
		switch {
		case errors.Is(err, idp.ErrThrottled):
			s.note(ctx, idp.EventLoginThrottled, sh.userID, sh.reason)
			return err
		case err != nil:
			return fmt.Errorf("users: authenticate: %w", err)
		}
	}
	return nil
}

// giveBack undoes take after a sign-in that succeeded, or that was not evaluated
// at all. The person gets their answer whatever becomes of it.
func (s *Service) giveBack(ctx context.Context, attempt []share, succeeded bool) {
	ctx = context.WithoutCancel(ctx)
	for _, sh := range attempt {
		var err error
		if succeeded && sh.owned {
			err = s.throttle.Release(ctx, sh.key)
		} else {
			err = s.throttle.GiveBack(ctx, sh.key, sh.interval)
		}
		if err != nil {
			s.logger.WarnContext(ctx, "login attempts not given back", "error", err)
		}
	}
}

// brake remembers on this node until when the installation takes no attempts,
// so that a flood does not make the nodes queue for one row.
type brake struct {
	until atomic.Int64 // microseconds
}

func (b *brake) check(sh share, now time.Time) error {
	// The next attempt is never farther away than that, unless the clock was set
	// back meanwhile.
	if wait := time.UnixMicro(b.until.Load()).Sub(now); sh.key == allKey && wait > 0 && wait <= sh.interval {
		return throttledFor(wait)
	}
	return nil
}

func (b *brake) remember(key string, now time.Time, err error) {
	var throttled *ThrottledError
	if key == allKey && errors.As(err, &throttled) {
		b.until.Store(now.Add(throttled.exact).UnixMicro())
	}
}
