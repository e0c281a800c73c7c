package store

import (
	"context"

	"idp/internal/idp"
)

const (
	// The user's row is changed first: of two at once, one waits.
	setPicture = `
UPDATE users SET picture_id = $1, updated_at = $2 WHERE user_id = $3`
	deletePicture = `DELETE FROM user_pictures WHERE user_id = $1`
	insertPicture = `
INSERT INTO user_pictures (picture_id, user_id, content_type, body, created_at)
VALUES ($1, $2, $3, $4, $5)`
)

// SetPicture replaces the picture that a user uploaded; nil takes it away.
func (s *Store) SetPicture(ctx context.Context, userID string, picture *idp.Picture, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		var id idp.ID
		if picture != nil {
			id = picture.ID
		}
		n, err := q.exec(ctx, setPicture, id, s.now(), userID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return false, err
		}
		if err := run(ctx, q, statement{deletePicture, []any{userID}}); err != nil || picture == nil {
			return true, err
		}
		return true, run(ctx, q, statement{insertPicture, []any{id, userID, picture.ContentType, picture.Body, s.now()}})
	})
}

const selectPicture = `SELECT picture_id, content_type, body FROM user_pictures WHERE picture_id = $1`

// Picture returns an uploaded picture.
func (s *Store) Picture(ctx context.Context, id idp.ID) (idp.Picture, error) {
	var p idp.Picture
	err := one(ctx, s.port, []any{&p.ID, &p.ContentType, &p.Body}, selectPicture, id)
	return p, err
}
