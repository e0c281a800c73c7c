package store

import (
	"context"

	"idp/internal/idp"
)

// What is older than it is kept, and not deleted yet, is as good as gone.
const claimRequest = `
INSERT INTO repeatable_requests (request_key, sealed, began_at)
VALUES ($1, $2, $3)
ON CONFLICT (request_key) DO UPDATE SET sealed = excluded.sealed, began_at = excluded.began_at
WHERE repeatable_requests.began_at < $4`

const selectRequest = `
SELECT sealed, began_at FROM repeatable_requests WHERE request_key = $1`

// ClaimRequest lets one of all nodes and requests with the same key begin: it
// gets the zero RepeatableRequest, and the others what is kept of the first.
// One that was let go in between is idp.ErrNotFound.
func (s *Store) ClaimRequest(ctx context.Context, r idp.RepeatableRequest) (idp.RepeatableRequest, error) {
	n, err := s.port.exec(ctx, claimRequest, r.Key[:], r.Sealed, r.BeganAt, s.now().Add(-idp.RepeatableFor))
	if err != nil || n > 0 {
		return idp.RepeatableRequest{}, err
	}
	first := idp.RepeatableRequest{Key: r.Key}
	err = one(ctx, s.port, []any{&first.Sealed, &first.BeganAt}, selectRequest, r.Key[:])
	return first, err
}

const answerRequest = `
UPDATE repeatable_requests SET sealed = $1 WHERE request_key = $2 AND began_at = $3`

// AnswerRequest keeps the answer to a request that was claimed.
func (s *Store) AnswerRequest(ctx context.Context, r idp.RepeatableRequest) error {
	n, err := s.port.exec(ctx, answerRequest, r.Sealed, r.Key[:], r.BeganAt)
	return expect(n, err, idp.ErrNotFound)
}

const releaseRequest = `
DELETE FROM repeatable_requests WHERE request_key = $1 AND began_at = $2`

// ReleaseRequest lets go of a request that was claimed and changed nothing.
func (s *Store) ReleaseRequest(ctx context.Context, r idp.RepeatableRequest) error {
	_, err := s.port.exec(ctx, releaseRequest, r.Key[:], r.BeganAt)
	return err
}

const deleteRequests = `
DELETE FROM repeatable_requests WHERE request_key IN (SELECT request_key FROM repeatable_requests WHERE began_at < $1 ORDER BY began_at LIMIT $2)`

func (s *Store) deleteOldRequests(ctx context.Context) error {
	return s.deleteInBatches(ctx, deleteRequests, s.now().Add(-idp.RepeatableFor))
}
