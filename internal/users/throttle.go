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
	"time"

	"idp/internal/idp"
)

// limit is a GCRA limit: burst at once, then one per interval.
type limit struct {
	interval time.Duration
	burst    int
}

var (
	perAddress = limit{interval: 6 * time.Second, burst: 20}
	perAccount = limit{interval: 10 * time.Second, burst: 5}
)

// Throttle counts attempts for all nodes together. Take returns an error that
// wraps idp.ErrThrottled, and how long to wait, when the key has no attempt
// left at now. Implemented by *store.Store.
type Throttle interface {
	Take(ctx context.Context, key string, now time.Time, interval time.Duration, burst int) (retryAfter time.Duration, err error)
	Release(ctx context.Context, key string) error
}

// ThrottledError says that too many sign-ins were tried from an address or for
// an account. It wraps idp.ErrThrottled.
type ThrottledError struct {
	after time.Duration
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
		// Whole seconds, upwards: what Retry-After can say.
		after = max(time.Second, (after + time.Second - 1).Truncate(time.Second))
		return &ThrottledError{after: after}
	}
	return err
}

// addressKey names the throttle of a client's address: one per IPv4 address
// and one per IPv6 /64, the smallest that one subscriber has. Whatever cannot
// be read shares one throttle, so that nothing slips past it.
func addressKey(remote string) string {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		withPort, err := netip.ParseAddrPort(remote)
		if err != nil {
			return "login:address:unknown"
		}
		addr = withPort.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return "login:address:" + addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return "login:address:unknown"
	}
	return "login:address:" + prefix.String()
}

// accountKey names the throttle of a user name, whether it exists or not. It
// holds a hash: people type passwords into the wrong field.
func accountKey(username string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(username)))
	return "login:account:" + base64.RawURLEncoding.EncodeToString(sum[:16])
}
