package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const selectKeys = `
SELECT kid, alg, public_jwk, sealed_private, created_at, active_from, retired_at
FROM signing_keys
ORDER BY alg, active_from, kid`

// Keys returns all signing keys, private halves sealed.
func (s *Store) Keys(ctx context.Context) ([]idp.Key, error) {
	var keys []idp.Key
	err := s.port.query(ctx, func(r row) error {
		var k idp.Key
		var public string
		if err := r.Scan(&k.KID, &k.Alg, &public, &k.SealedPrivate, &k.CreatedAt, &k.ActiveFrom, &k.RetiredAt); err != nil {
			return err
		}
		k.PublicJWK = []byte(public)
		keys = append(keys, k)
		return nil
	}, selectKeys)
	return keys, err
}

const insertKey = `
INSERT INTO signing_keys (kid, alg, public_jwk, sealed_private, created_at, active_from, retired_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

const selectAnyKey = `SELECT kid FROM signing_keys LIMIT 1`

// InsertFirstKeys stores the first signing keys. It is idp.ErrConflict when
// there are keys: another node was faster.
func (s *Store) InsertFirstKeys(ctx context.Context, keys []idp.Key, events ...idp.Event) error {
	return s.changeTopic(ctx, topicKeys, events, func(q querier) error {
		// The revision's row is locked, so nobody else is between this look and
		// the insertion.
		some := false
		err := q.query(ctx, func(row) error {
			some = true
			return nil
		}, selectAnyKey)
		if err != nil {
			return err
		}
		if some {
			return idp.ErrConflict
		}
		return s.insertKeys(ctx, q, keys)
	})
}

// InsertKeys stores further signing keys.
func (s *Store) InsertKeys(ctx context.Context, keys []idp.Key, events ...idp.Event) error {
	return s.changeTopic(ctx, topicKeys, events, func(q querier) error { return s.insertKeys(ctx, q, keys) })
}

func (s *Store) insertKeys(ctx context.Context, q querier, keys []idp.Key) error {
	for _, k := range keys {
		_, err := q.exec(ctx, insertKey, k.KID, k.Alg, string(k.PublicJWK), k.SealedPrivate, s.orNow(k.CreatedAt), s.orNow(k.ActiveFrom), k.RetiredAt)
		if err != nil {
			return err
		}
	}
	return nil
}

const retireKey = `
UPDATE signing_keys SET retired_at = $1 WHERE kid = $2 AND retired_at IS NULL`

// RetireKey stops a key from being published. It is idp.ErrNotFound when there
// is no such key that is not retired by hand yet.
func (s *Store) RetireKey(ctx context.Context, kid string, at time.Time, event idp.Event) error {
	return s.changeTopic(ctx, topicKeys, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, retireKey, s.orNow(at), kid)
		return expect(n, err, idp.ErrNotFound)
	})
}
