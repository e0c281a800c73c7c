package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"idp/internal/idp"
)

// ResourceStore keeps resources; they are read through the Directory.
// Implemented by *store.Store.
type ResourceStore interface {
	SaveResource(ctx context.Context, r idp.Resource, create bool, seen time.Time, event idp.Event) error
	DeleteResource(ctx context.Context, audience string, event idp.Event) error
}

const maxScopes = 500 // of one resource

// CreateResource registers an API.
func (s *Service) CreateResource(ctx context.Context, audience string, m idp.ResourceMetadata) (idp.Resource, error) {
	var f faults
	f.addIf("audience", audienceFault(audience, s.issuer))
	checkResource(&f, m)
	if err := f.err(); err != nil {
		return idp.Resource{}, err
	}
	if err := s.ensureKey(ctx, m); err != nil {
		return idp.Resource{}, err
	}
	now := s.now()
	r := idp.Resource{Audience: audience, ResourceMetadata: m, CreatedAt: now, UpdatedAt: now}
	event := with(s.event(ctx, now, idp.EventResourceChanged, audience), "change", "created")
	if err := s.store.SaveResource(ctx, r, true, time.Time{}, event); err != nil {
		if errors.Is(err, idp.ErrConflict) {
			return idp.Resource{}, taken("resource", audience)
		}
		return idp.Resource{}, fmt.Errorf("admin: create a resource: %w", err)
	}
	return r, nil
}

// Resource returns the resource of that audience.
func (s *Service) Resource(ctx context.Context, audience string) (idp.Resource, error) {
	resources, err := s.Resources(ctx)
	if err != nil {
		return idp.Resource{}, err
	}
	i := slices.IndexFunc(resources, func(r idp.Resource) bool { return r.Audience == audience })
	if i < 0 {
		return idp.Resource{}, missing("resource", audience)
	}
	return resources[i], nil
}

// Resources returns all resources.
func (s *Service) Resources(ctx context.Context) ([]idp.Resource, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("admin: list resources: %w", err)
	}
	all := s.directory.Resources()
	out := make([]idp.Resource, len(all))
	for i, r := range all {
		out[i] = *r
		out[i].Scopes, out[i].Claims = slices.Clone(r.Scopes), slices.Clone(r.Claims)
	}
	return out, nil
}

// UpdateResource lets change alter the metadata and stores it when the whole is
// valid. A scope that a client or role still names cannot be taken away.
// Nothing is written when nothing changed.
func (s *Service) UpdateResource(ctx context.Context, audience string, change func(*idp.ResourceMetadata)) (idp.Resource, error) {
	before, err := s.Resource(ctx, audience)
	if err != nil {
		return idp.Resource{}, err
	}
	r := before
	r.Scopes, r.Claims = slices.Clone(r.Scopes), slices.Clone(r.Claims)
	change(&r.ResourceMetadata)
	var f faults
	checkResource(&f, r.ResourceMetadata)
	if err := f.err(); err != nil {
		return idp.Resource{}, err
	}
	for _, old := range before.Scopes {
		if _, ok := r.Scope(old.Name); ok {
			continue
		}
		if by := s.scopeUser(audience, old.Name); by != "" {
			return idp.Resource{}, inUse("scope", old.Name, by)
		}
	}
	fields := changedFields(before.ResourceMetadata, r.ResourceMetadata)
	if len(fields) == 0 {
		return r, nil
	}
	if err := s.ensureKey(ctx, r.ResourceMetadata); err != nil {
		return idp.Resource{}, err
	}
	now := s.after(before.UpdatedAt)
	r.UpdatedAt = now
	event := with(s.event(ctx, now, idp.EventResourceChanged, audience, fields...), "change", "updated")
	switch err := s.store.SaveResource(ctx, r, false, before.UpdatedAt, event); {
	case errors.Is(err, idp.ErrChanged):
		return idp.Resource{}, changedMeanwhile("resource", audience)
	case err != nil:
		return idp.Resource{}, fmt.Errorf("admin: update a resource: %w", err)
	}
	return r, nil
}

// ensureKey makes the key that signs the resource's tokens, if it is the first
// to name the algorithm.
func (s *Service) ensureKey(ctx context.Context, m idp.ResourceMetadata) error {
	if m.AccessTokenSigningAlg == "" {
		return nil
	}
	if err := s.signingKeys.Ensure(ctx, m.AccessTokenSigningAlg); err != nil {
		return fmt.Errorf("admin: make signing keys: %w", err)
	}
	return nil
}

// DeleteResource removes a resource that no client and no role names.
func (s *Service) DeleteResource(ctx context.Context, audience string) error {
	if _, err := s.Resource(ctx, audience); err != nil {
		return err
	}
	for _, c := range s.directory.Clients() {
		if slices.Contains(c.Audience, audience) || slices.Contains(c.ResourceServerOf, audience) {
			return inUse("resource", audience, "client "+c.ClientID)
		}
	}
	for _, r := range s.directory.Roles() {
		if slices.ContainsFunc(r.Scopes, func(rs idp.RoleScope) bool { return rs.Audience == audience }) {
			return inUse("resource", audience, "role "+r.Name)
		}
	}
	event := with(s.event(ctx, s.now(), idp.EventResourceChanged, audience), "change", "deleted")
	if err := s.store.DeleteResource(ctx, audience, event); err != nil {
		return fmt.Errorf("admin: delete a resource: %w", err)
	}
	return nil
}

// scopeUser returns who would lose the scope if the resource did not have it
// any more, or "".
func (s *Service) scopeUser(audience, scope string) string {
	for _, r := range s.directory.Roles() {
		if slices.Contains(r.Scopes, idp.RoleScope{Audience: audience, Scope: scope}) {
			return "role " + r.Name
		}
	}
	for _, c := range s.directory.Clients() {
		if !slices.Contains(c.Audience, audience) || !slices.Contains(c.Scopes(), scope) {
			continue
		}
		elsewhere := slices.ContainsFunc(s.directory.Resources(), func(r *idp.Resource) bool {
			_, ok := r.Scope(scope)
			return ok && r.Audience != audience && slices.Contains(c.Audience, r.Audience)
		})
		if !elsewhere {
			return "client " + c.ClientID
		}
	}
	return ""
}

func checkResource(f *faults, m idp.ResourceMetadata) {
	f.name("name", m.Name)
	if len(m.Scopes) > maxScopes {
		f.add("scopes", "more than %d", maxScopes)
		return
	}
	names := make([]string, len(m.Scopes))
	for i, sc := range m.Scopes {
		names[i] = sc.Name
		switch {
		case !scopeToken(sc.Name):
			f.add("scopes", "%s is not a scope (RFC 6749 section 3.3)", quoted(sc.Name))
		case idp.IsIdentityScope(sc.Name):
			f.add("scopes", "%s belongs to the issuer", sc.Name)
		case idp.IsAdminScope(sc.Name):
			f.add("scopes", "%s: names that begin with idp. belong to the admin API", quoted(sc.Name))
		}
		if reason := textFault(sc.Description, maxDescription, ""); reason != "" {
			f.add("scopes", "the description of %s %s", quoted(sc.Name), reason)
		}
	}
	if name := repeated(names); name != "" {
		f.add("scopes", "names %s twice", quoted(name))
	}
	known := []string{idp.ClaimGroups, idp.ClaimRoles, idp.ClaimEntitlements}
	for _, c := range m.Claims {
		if !slices.Contains(known, c) {
			f.add("claims", "%s is not one of groups, roles, entitlements", quoted(c))
		}
	}
	if c := repeated(m.Claims); c != "" {
		f.add("claims", "names %s twice", quoted(c))
	}
	algorithm(f, "access_token_signing_alg", m.AccessTokenSigningAlg)
	tokenFormat(f, "access_token_format", m.AccessTokenFormat)
	seconds(f, "access_token_lifetime", m.AccessTokenLifetime, maxTokenLife)
}
