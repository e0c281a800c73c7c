package grants

import (
	"sync"
	"time"
)

// Guesses of a client secret that one address may make before it must wait,
// and how long each further one costs. The limit holds per node: generated
// secrets carry 256 bits, so it guards the log and the CPU, not the secret.
const (
	freeGuesses   = 10
	guessInterval = 6 * time.Second
	maxGuessers   = 20_000
)

// limiter counts failures by key as a leaky bucket of one timestamp each.
type limiter struct {
	clock    func() time.Time
	free     int           // how many are free
	interval time.Duration // and how long each further one costs
	mu       sync.Mutex
	until    map[string]time.Time // when the key's bucket is empty again
}

func newLimiter(clock func() time.Time, free int, interval time.Duration) *limiter {
	return &limiter{clock: clock, free: free, interval: interval, until: map[string]time.Time{}}
}

// blocked returns how long the key must wait; 0 for not at all.
func (l *limiter) blocked(key string) time.Duration {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	free := now.Add(time.Duration(l.free-1) * l.interval)
	if until := l.until[key]; until.After(free) {
		return until.Sub(free)
	}
	return 0
}

// failed counts one failure of the key.
func (l *limiter) failed(key string) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.until) >= maxGuessers {
		for k, until := range l.until {
			if until.Before(now) {
				delete(l.until, k)
			}
		}
		if len(l.until) >= maxGuessers { // under a flood, forget rather than grow
			clear(l.until)
		}
	}
	start := l.until[key]
	if start.Before(now) {
		start = now
	}
	l.until[key] = start.Add(l.interval)
}
