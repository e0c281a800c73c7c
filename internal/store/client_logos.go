package store

import (
	"context"

	"idp/internal/idp"
)

const upsertClientLogo = `
INSERT INTO client_logos (client_id, hash, content_type, body, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (client_id) DO UPDATE
SET hash = excluded.hash, content_type = excluded.content_type, body = excluded.body, created_at = excluded.created_at`

const deleteClientLogo = `DELETE FROM client_logos WHERE client_id = $1`

// SetClientLogo stores the client's picture; nil removes it.
func (s *Store) SetClientLogo(ctx context.Context, clientID string, logo *idp.ClientLogo, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, touchClient, s.now(), clientID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return err
		}
		if logo == nil {
			_, err = q.exec(ctx, deleteClientLogo, clientID)
		} else {
			_, err = q.exec(ctx, upsertClientLogo, clientID, logo.Hash(), logo.ContentType, logo.Body, s.now())
		}
		return err
	})
}

const selectClientLogo = `SELECT content_type, body FROM client_logos WHERE hash = $1 LIMIT 1`

// ClientLogo returns the picture of that hash.
func (s *Store) ClientLogo(ctx context.Context, hash string) (idp.ClientLogo, error) {
	var logo idp.ClientLogo
	err := one(ctx, s.port, []any{&logo.ContentType, &logo.Body}, selectClientLogo, hash)
	return logo, err
}
