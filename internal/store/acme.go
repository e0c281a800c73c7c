package store

import "context"

const selectACMEEntry = `SELECT sealed FROM acme_entries WHERE entry_name = $1`

// ACMEEntry returns what was stored under a name, sealed.
func (s *Store) ACMEEntry(ctx context.Context, name string) (sealed []byte, err error) {
	err = one(ctx, s.port, []any{&sealed}, selectACMEEntry, name)
	return sealed, err
}

const upsertACMEEntry = `
INSERT INTO acme_entries (entry_name, sealed, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (entry_name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`

// SaveACMEEntry stores something under a name, instead of what was there.
func (s *Store) SaveACMEEntry(ctx context.Context, name string, sealed []byte) error {
	_, err := s.port.exec(ctx, upsertACMEEntry, name, sealed, s.now())
	return err
}

const deleteACMEEntry = `DELETE FROM acme_entries WHERE entry_name = $1`

// DeleteACMEEntry removes what is stored under a name, if anything is.
func (s *Store) DeleteACMEEntry(ctx context.Context, name string) error {
	_, err := s.port.exec(ctx, deleteACMEEntry, name)
	return err
}
