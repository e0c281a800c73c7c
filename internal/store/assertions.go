package store

import (
	"context"
	"crypto/sha256"

	"idp/internal/idp"
)

const insertAssertion = `
INSERT INTO assertions (expires_on, assertion_hash)
VALUES ($1, $2)
ON CONFLICT (expires_on, assertion_hash) DO NOTHING`

// UseAssertion uses up what a client signed: of all nodes and requests that
// present it, one gets nil and the others idp.ErrAlreadyUsed. Identifiers are
// the client's own: another client may use the same.
func (s *Store) UseAssertion(ctx context.Context, a idp.ClientAssertion) error {
	hash := sha256.Sum256([]byte(a.ClientID + "\x00" + a.ID)) // no client_id has a NUL
	n, err := s.port.exec(ctx, insertAssertion, idp.DayOf(a.ExpiresAt), hash[:])
	return expect(n, err, idp.ErrAlreadyUsed)
}
