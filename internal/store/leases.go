package store

import (
	"context"
	"time"
)

const acquireLease = `
INSERT INTO leases (lease_name, holder, expires_at)
VALUES ($1, $2, $3)
ON CONFLICT (lease_name) DO UPDATE
SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE leases.holder = excluded.holder OR leases.expires_at <= $4`

// AcquireLease reports whether holder has the lease from now on for ttl: it was
// free or over, or the holder's already.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	now := s.now()
	n, err := s.port.exec(ctx, acquireLease, name, holder, now.Add(ttl), now)
	return n > 0, err
}
