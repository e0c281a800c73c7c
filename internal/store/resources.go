package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const insertResource = `
INSERT INTO resources (audience, metadata, created_at, updated_at) VALUES ($1, $2, $3, $4)`

const updateResource = `
UPDATE resources SET metadata = $1, updated_at = $2 WHERE audience = $3 AND (updated_at = $4 OR $5)`

// SaveResource stores a resource: a new one, where a taken audience is
// idp.ErrConflict, or one that exists and is as it was at seen, or anyhow for
// the zero time. Then idp.ErrChanged says that somebody else changed or deleted
// it, and idp.ErrNotFound, for the zero time, that there is none.
func (s *Store) SaveResource(ctx context.Context, r idp.Resource, create bool, seen time.Time, event idp.Event) error {
	if err := checkWords("audience", []string{r.Audience}); err != nil {
		return err
	}
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		if create {
			created := s.orNow(r.CreatedAt)
			_, err := q.exec(ctx, insertResource, r.Audience, document{r.ResourceMetadata}, created, created)
			return err
		}
		n, err := q.exec(ctx, updateResource, document{r.ResourceMetadata}, s.orNow(r.UpdatedAt), r.Audience, seen, seen.IsZero())
		if seen.IsZero() {
			return expect(n, err, idp.ErrNotFound)
		}
		return expect(n, err, idp.ErrChanged)
	})
}

const deleteResource = `DELETE FROM resources WHERE audience = $1`

// DeleteResource removes a resource, and its scopes from all roles.
func (s *Store) DeleteResource(ctx context.Context, audience string, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, deleteResource, audience)
		return expect(n, err, idp.ErrNotFound)
	})
}

const selectResources = `
SELECT audience, metadata, created_at, updated_at FROM resources ORDER BY audience`

// resources reads all resources, for the directory.
func (s *Store) resources(ctx context.Context) ([]*idp.Resource, error) {
	var resources []*idp.Resource
	err := s.port.query(ctx, func(r row) error {
		resource := &idp.Resource{}
		if err := r.Scan(&resource.Audience, document{&resource.ResourceMetadata}, &resource.CreatedAt, &resource.UpdatedAt); err != nil {
			return err
		}
		resources = append(resources, resource)
		return nil
	}, selectResources)
	return resources, err
}
