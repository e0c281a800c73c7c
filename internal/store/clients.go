package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

// Clients are read through the Directory.

// An identifier that was deleted may be taken again; tokens from before its new
// life stay dead.
const insertClient = `
INSERT INTO clients (client_id, metadata, disabled, tokens_valid_after, created_at, updated_at, revision)
VALUES ($1, $2, $3, $4, $5, $6, (SELECT revision FROM revisions WHERE topic = 'directory'))
ON CONFLICT (client_id) DO UPDATE
SET metadata = excluded.metadata, disabled = excluded.disabled, tokens_valid_after = excluded.created_at,
    created_at = excluded.created_at, updated_at = excluded.updated_at, revision = excluded.revision, deleted_at = NULL
WHERE clients.deleted_at IS NOT NULL`

// CreateClient registers a client with its secrets. A taken identifier is
// idp.ErrConflict.
func (s *Store) CreateClient(ctx context.Context, c idp.Client, event idp.Event) error {
	return s.createClient(ctx, c, event, func(querier) error { return nil })
}

// createClient runs also in the same transaction.
func (s *Store) createClient(ctx context.Context, c idp.Client, event idp.Event, also func(querier) error) error {
	if err := checkNames("client_id", c.ClientID); err != nil {
		return err
	}
	c.CreatedAt = s.orNow(c.CreatedAt)
	if c.UpdatedAt.IsZero() {
		c.UpdatedAt = c.CreatedAt
	}
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, insertClient, c.ClientID, document{c.ClientMetadata}, c.Disabled, c.TokensValidAfter, c.CreatedAt, c.UpdatedAt)
		if err := expect(n, err, idp.ErrConflict); err != nil {
			return err
		}
		for _, secret := range c.Secrets {
			if err := s.insertSecret(ctx, q, c.ClientID, secret); err != nil {
				return err
			}
		}
		return also(q)
	})
}

const updateClient = `
UPDATE clients
SET metadata = $1, disabled = $2, tokens_valid_after = $3, updated_at = $4,
    revision = (SELECT revision FROM revisions WHERE topic = 'directory')
WHERE client_id = $5 AND deleted_at IS NULL AND updated_at = $6`

const unsealClientSecrets = `
UPDATE client_secrets SET secret_sealed = NULL WHERE client_id = $1 AND secret_sealed IS NOT NULL`

// UpdateClient replaces metadata, Disabled, TokensValidAfter and UpdatedAt of a
// client that is still as it was at seen: idp.ErrConflict when somebody else
// changed or deleted it. Secrets are kept as hashes alone once the client does
// no longer sign with them.
func (s *Store) UpdateClient(ctx context.Context, c idp.Client, seen time.Time, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, updateClient, document{c.ClientMetadata}, c.Disabled, c.TokensValidAfter, c.UpdatedAt, c.ClientID, seen)
		if err := expect(n, err, idp.ErrConflict); err != nil || c.TokenEndpointAuthMethod == idp.AuthClientSecretJWT {
			return err
		}
		_, err = q.exec(ctx, unsealClientSecrets, c.ClientID)
		return err
	})
}

const deleteClient = `
UPDATE clients
SET metadata = '{}', disabled = TRUE, deleted_at = $1,
    revision = (SELECT revision FROM revisions WHERE topic = 'directory')
WHERE client_id = $2 AND deleted_at IS NULL`

const (
	deleteClientSecrets  = `DELETE FROM client_secrets WHERE client_id = $1`
	deleteClientConsents = `DELETE FROM consents WHERE client_id = $1`
)

// DeleteClient removes a client with its secrets and the consents to it.
func (s *Store) DeleteClient(ctx context.Context, clientID string, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, deleteClient, s.now(), clientID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return err
		}
		if _, err := q.exec(ctx, deleteClientSecrets, clientID); err != nil {
			return err
		}
		if _, err := q.exec(ctx, deleteRegistration, clientID); err != nil {
			return err
		}
		if _, err := q.exec(ctx, deleteClientLogo, clientID); err != nil {
			return err
		}
		_, err = q.exec(ctx, deleteClientConsents, clientID)
		return err
	})
}

const insertClientSecret = `
INSERT INTO client_secrets (secret_id, client_id, secret_hash, secret_sealed, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`

func (s *Store) insertSecret(ctx context.Context, q querier, clientID string, secret idp.ClientSecret) error {
	created := s.orNow(secret.CreatedAt)
	if secret.ID.IsZero() {
		secret.ID = newEventID(created)
	}
	_, err := q.exec(ctx, insertClientSecret, secret.ID, clientID, secret.Hash, secret.Sealed, created, secret.ExpiresAt)
	return err
}

const touchClient = `
UPDATE clients
SET updated_at = $1, revision = (SELECT revision FROM revisions WHERE topic = 'directory')
WHERE client_id = $2 AND deleted_at IS NULL`

const expireClientSecrets = `
UPDATE client_secrets
SET expires_at = $1
WHERE client_id = $2 AND (expires_at IS NULL OR expires_at > $1)`

const pruneClientSecrets = `
DELETE FROM client_secrets WHERE client_id = $1 AND expires_at <= $2`

// AddClientSecret gives a client a new secret. The others end at
// expireOthersAt at the latest; the zero time leaves them alone. Secrets that
// have ended are removed.
func (s *Store) AddClientSecret(ctx context.Context, clientID string, secret idp.ClientSecret, expireOthersAt time.Time, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, touchClient, s.now(), clientID)
		if err := expect(n, err, idp.ErrNotFound); err != nil {
			return err
		}
		if !expireOthersAt.IsZero() {
			if _, err := q.exec(ctx, expireClientSecrets, expireOthersAt, clientID); err != nil {
				return err
			}
		}
		if _, err := q.exec(ctx, pruneClientSecrets, clientID, s.now()); err != nil {
			return err
		}
		return s.insertSecret(ctx, q, clientID, secret)
	})
}

const selectChangedClients = `
SELECT c.client_id, c.metadata, c.disabled, c.tokens_valid_after, c.created_at, c.updated_at, c.deleted_at, coalesce(l.hash, '')
FROM clients c
LEFT JOIN client_logos l ON l.client_id = c.client_id
WHERE c.revision > $1
ORDER BY c.client_id`

const selectChangedClientSecrets = `
SELECT s.client_id, s.secret_id, s.secret_hash, s.secret_sealed, s.created_at, s.expires_at
FROM clients c
JOIN client_secrets s ON s.client_id = c.client_id
WHERE c.revision > $1
ORDER BY s.client_id, s.created_at, s.secret_id`

// changedClients reads the clients that changed after a revision, and which
// identifiers were deleted, for the directory.
func (s *Store) changedClients(ctx context.Context, revision int64) (changed []*idp.Client, deleted []string, err error) {
	byID := map[string]*idp.Client{}
	err = s.port.query(ctx, func(r row) error {
		c := &idp.Client{}
		var deletedAt time.Time
		if err := r.Scan(&c.ClientID, document{&c.ClientMetadata}, &c.Disabled, &c.TokensValidAfter, &c.CreatedAt, &c.UpdatedAt, &deletedAt, &c.Logo); err != nil {
			return err
		}
		if !deletedAt.IsZero() {
			deleted = append(deleted, c.ClientID)
			return nil
		}
		byID[c.ClientID] = c
		changed = append(changed, c)
		return nil
	}, selectChangedClients, revision)
	if err != nil || len(changed) == 0 {
		return changed, deleted, err
	}
	err = s.port.query(ctx, func(r row) error {
		var clientID string
		var secret idp.ClientSecret
		if err := r.Scan(&clientID, &secret.ID, &secret.Hash, &secret.Sealed, &secret.CreatedAt, &secret.ExpiresAt); err != nil {
			return err
		}
		if c, ok := byID[clientID]; ok {
			c.Secrets = append(c.Secrets, secret)
		}
		return nil
	}, selectChangedClientSecrets, revision)
	return changed, deleted, err
}
