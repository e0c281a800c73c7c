package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

// The generic cell rate algorithm keeps one number per key: the theoretical
// arrival time of the next attempt if they came evenly. An attempt is refused
// when that lies too far ahead, and moves it otherwise. The row is always
// written, so that one statement decides and answers. What lies farther ahead
// than any attempt can have moved it was written by a clock that is wrong, and
// counts for nothing: one such node must not hold up all.
const takeThrottle = `
INSERT INTO throttles (throttle_key, tat, refused)
VALUES ($1, $2, FALSE)
ON CONFLICT (throttle_key) DO UPDATE
SET tat = CASE WHEN throttles.tat > $3 THEN excluded.tat WHEN throttles.tat > $4 THEN throttles.tat
               WHEN throttles.tat > $5 THEN throttles.tat + $6 ELSE excluded.tat END,
    refused = throttles.tat > $4 AND throttles.tat <= $3
RETURNING tat, refused`

// Take counts one attempt under a key: burst of them may come at once, and one
// more every interval. A refused attempt is idp.ErrThrottled, and is good again
// after retryAfter; it does not count.
func (s *Store) Take(ctx context.Context, key string, now time.Time, interval time.Duration, burst int) (retryAfter time.Duration, err error) {
	step := interval.Microseconds()
	at := micros(now)
	limit := at + int64(burst-1)*step // the farthest that an accepted attempt finds it
	impossible := limit + step + 2*idp.ClockTolerance.Microseconds()
	var tat int64
	var refused bool
	if err := one(ctx, s.port, []any{&tat, &refused}, takeThrottle, key, at+step, impossible, limit, at, step); err != nil {
		return 0, err
	}
	if refused {
		return time.Duration(tat-limit) * time.Microsecond, idp.ErrThrottled
	}
	return 0, nil
}

const giveBackThrottle = `UPDATE throttles SET tat = tat - $1 WHERE throttle_key = $2`

// GiveBack undoes one attempt that Take counted under a key.
func (s *Store) GiveBack(ctx context.Context, key string, interval time.Duration) error {
	_, err := s.port.exec(ctx, giveBackThrottle, interval.Microseconds(), key)
	return err
}

const releaseThrottle = `DELETE FROM throttles WHERE throttle_key = $1`

// Release forgets the attempts under a key.
func (s *Store) Release(ctx context.Context, key string) error {
	_, err := s.port.exec(ctx, releaseThrottle, key)
	return err
}
