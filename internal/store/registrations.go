package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const insertInitialToken = `
INSERT INTO registration_tokens (token_id, label, salt, uses, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`

// CreateInitialToken stores a token that clients may register with.
func (s *Store) CreateInitialToken(ctx context.Context, t idp.InitialToken, event idp.Event) error {
	return s.write(ctx, []statement{{insertInitialToken, []any{t.ID, t.Label, t.Salt, t.Uses, t.CreatedAt, t.ExpiresAt}}}, event)
}

const (
	initialTokenColumns = `token_id, label, salt, uses, created_at, expires_at`

	selectInitialToken  = `SELECT ` + initialTokenColumns + ` FROM registration_tokens WHERE token_id = $1`
	selectInitialTokens = `SELECT ` + initialTokenColumns + ` FROM registration_tokens ORDER BY token_id`
)

func initialTokenDests(t *idp.InitialToken) []any {
	return []any{&t.ID, &t.Label, &t.Salt, &t.Uses, &t.CreatedAt, &t.ExpiresAt}
}

// InitialToken returns a token that clients may register with, spent or not.
func (s *Store) InitialToken(ctx context.Context, id idp.ID) (idp.InitialToken, error) {
	var t idp.InitialToken
	err := one(ctx, s.port, initialTokenDests(&t), selectInitialToken, id)
	return t, err
}

// InitialTokens returns all that were not deleted, the oldest first.
func (s *Store) InitialTokens(ctx context.Context) ([]idp.InitialToken, error) {
	var all []idp.InitialToken
	err := s.port.query(ctx, func(r row) error {
		var t idp.InitialToken
		if err := r.Scan(initialTokenDests(&t)...); err != nil {
			return err
		}
		all = append(all, t)
		return nil
	}, selectInitialTokens)
	return all, err
}

const deleteInitialToken = `DELETE FROM registration_tokens WHERE token_id = $1`

// DeleteInitialToken ends a token. Clients that registered with it stay.
func (s *Store) DeleteInitialToken(ctx context.Context, id idp.ID, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, deleteInitialToken, id)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

const useInitialToken = `
UPDATE registration_tokens SET uses = uses - 1 WHERE token_id = $1 AND uses > 0 AND expires_at > $2`

const insertRegistration = `
INSERT INTO client_registrations (client_id, registration_id, salt, generation, token_id, created_at, last_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

// RegisterClient is CreateClient for a client that registers itself. It spends
// one use of the initial token, if there is one: idp.ErrAlreadyUsed when none
// is left or the token has expired.
func (s *Store) RegisterClient(ctx context.Context, c idp.Client, r idp.Registration, event idp.Event) error {
	return s.createClient(ctx, c, event, func(q querier) error {
		if !r.Initial.IsZero() {
			n, err := q.exec(ctx, useInitialToken, r.Initial, s.now())
			if err := expect(n, err, idp.ErrAlreadyUsed); err != nil {
				return err
			}
		}
		_, err := q.exec(ctx, insertRegistration, r.ClientID, r.ID, r.Salt, r.Generation, r.Initial, r.CreatedAt, r.LastUsedAt)
		return err
	})
}

const selectRegistration = `
SELECT client_id, registration_id, salt, generation, token_id, created_at, last_used_at
FROM client_registrations
WHERE client_id = $1`

// Registration returns what is kept of a client that registered itself.
func (s *Store) Registration(ctx context.Context, clientID string) (idp.Registration, error) {
	var r idp.Registration
	err := one(ctx, s.port, []any{&r.ClientID, &r.ID, &r.Salt, &r.Generation, &r.Initial, &r.CreatedAt, &r.LastUsedAt}, selectRegistration, clientID)
	return r, err
}

const rotateRegistration = `
UPDATE client_registrations SET generation = generation + 1, last_used_at = $1 WHERE client_id = $2 AND generation = $3`

const updateClientMetadata = `
UPDATE clients
SET metadata = $1, updated_at = $2, revision = (SELECT revision FROM revisions WHERE topic = 'directory')
WHERE client_id = $3 AND deleted_at IS NULL`

// ChangeRegisteredClient replaces the metadata for the client itself, and moves
// the registration access token from the generation that was presented to the
// next: idp.ErrAlreadyUsed when somebody else did so meanwhile. Secrets are
// added to those that the client has.
func (s *Store) ChangeRegisteredClient(ctx context.Context, c idp.Client, from uint32, secrets []idp.ClientSecret, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, rotateRegistration, s.now(), c.ClientID, from)
		if err := expect(n, err, idp.ErrAlreadyUsed); err != nil {
			return err
		}
		n, err = q.exec(ctx, updateClientMetadata, document{c.ClientMetadata}, s.now(), c.ClientID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return err
		}
		for _, secret := range secrets {
			if err := s.insertSecret(ctx, q, c.ClientID, secret); err != nil {
				return err
			}
		}
		return nil
	})
}

// ChangeDocumentClient replaces the metadata of a client that is described by
// its own document, and ends the consents that were given to it as it was.
func (s *Store) ChangeDocumentClient(ctx context.Context, c idp.Client, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, updateClientMetadata, document{c.ClientMetadata}, s.now(), c.ClientID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return err
		}
		_, err = q.exec(ctx, deleteClientConsents, c.ClientID)
		return err
	})
}

const touchRegistration = `
UPDATE client_registrations SET last_used_at = $1 WHERE client_id = $2 AND last_used_at < $1`

// TouchRegistrations notes that the clients were in use at that time.
func (s *Store) TouchRegistrations(ctx context.Context, clientIDs []string, at time.Time) error {
	statements := make([]statement, len(clientIDs))
	for i, id := range clientIDs {
		statements[i] = statement{touchRegistration, []any{at, id}}
	}
	if len(statements) == 0 {
		return nil
	}
	_, err := s.port.batch(ctx, statements)
	return err
}

const selectIdleRegistrations = `
SELECT client_id FROM client_registrations WHERE last_used_at < $1 ORDER BY last_used_at LIMIT $2`

// IdleRegistrations returns some clients that registered themselves and were
// last used before that time.
func (s *Store) IdleRegistrations(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var ids []string
	err := s.port.query(ctx, func(r row) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	}, selectIdleRegistrations, before, limit)
	return ids, err
}

const deleteRegistration = `DELETE FROM client_registrations WHERE client_id = $1`

const deleteSpentInitialTokens = `
DELETE FROM registration_tokens WHERE token_id IN (SELECT token_id FROM registration_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`

// deleteOldInitialTokens removes tokens that expired a month ago: so long an
// operator may want to look them up.
func (s *Store) deleteOldInitialTokens(ctx context.Context) error {
	return s.deleteInBatches(ctx, deleteSpentInitialTokens, s.now().Add(-30*24*time.Hour))
}
