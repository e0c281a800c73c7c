package admin

// What a caller may do who is not the operator at the machine. Whoever may do
// everything may rule over administrators; others could make themselves more
// by it.

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"idp/internal/idp"
)

// Within returns the service for somebody whose authority is limited. It
// refuses, by idp.ErrForbidden, to let them rule over what may do more than
// they may: they could make themselves more by it.
func (s *Service) Within(a idp.Authority) *Service {
	limited := *s
	limited.authority = a
	return &limited
}

// mayRule refuses a client that has scopes of the admin API which the caller
// does not hold.
func (s *Service) mayRule(m idp.ClientMetadata) error {
	for _, scope := range strings.Fields(m.Scope) {
		if idp.IsAdminScope(scope) && !s.authority.Holds(scope) {
			return fmt.Errorf("the client has the scope %s, which you do not hold: %w", scope, idp.ErrForbidden)
		}
	}
	return nil
}

// mayRuleUser refuses an administrator to whoever may not do everything.
func (s *Service) mayRuleUser(ctx context.Context, userID string) error {
	if s.authority.Holds(idp.ScopeAdmin) {
		return nil
	}
	m, err := s.store.Memberships(ctx, userID)
	switch {
	case err != nil:
		return fmt.Errorf("admin: read memberships: %w", err)
	case slices.Contains(m.Groups, idp.AdminGroup):
		return fmt.Errorf("the person is in the group %s, and you do not hold %s: %w", idp.AdminGroup, idp.ScopeAdmin, idp.ErrForbidden)
	}
	return nil
}

// mayRuleGroup refuses the group of administrators to whoever may not do
// everything.
func (s *Service) mayRuleGroup(name string) error {
	if name == idp.AdminGroup && !s.authority.Holds(idp.ScopeAdmin) {
		return fmt.Errorf("the group %s needs %s, which you do not hold: %w", name, idp.ScopeAdmin, idp.ErrForbidden)
	}
	return nil
}

// HasAdministrator reports whether there is an administrator who can sign in.
func (s *Service) HasAdministrator(ctx context.Context) (bool, error) {
	members, err := s.store.Members(ctx, idp.AdminGroup)
	if err != nil {
		return false, fmt.Errorf("admin: list members: %w", err)
	}
	return slices.ContainsFunc(members, func(u idp.User) bool { return u.State == idp.UserActive }), nil
}

// mayGo refuses to take away the last administrator who can sign in. The
// operator at the machine may: they can make another.
func (s *Service) mayGo(ctx context.Context, userID string) error {
	if s.authority == nil {
		return nil
	}
	members, err := s.store.Members(ctx, idp.AdminGroup)
	if err != nil {
		return fmt.Errorf("admin: list members: %w", err)
	}
	last := false
	for _, m := range members {
		if m.State != idp.UserActive {
			continue
		}
		if m.ID != userID {
			return nil
		}
		last = true
	}
	if last {
		return fmt.Errorf("the person is the last administrator: %w", idp.ErrConflict)
	}
	return nil
}
