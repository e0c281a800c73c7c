package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"idp/internal/idp"
)

// RoleStore keeps roles and who holds them directly; roles are read through
// the Directory. Implemented by *store.Store.
type RoleStore interface {
	SaveRole(ctx context.Context, r idp.Role, create bool, seen *idp.Role, event idp.Event) error
	DeleteRole(ctx context.Context, name string, event idp.Event) error
	AssignRole(ctx context.Context, role, userID string, event idp.Event) error
	UnassignRole(ctx context.Context, role, userID string, event idp.Event) error
	Holders(ctx context.Context, role string) ([]idp.User, error)
}

// CreateRole makes a role. Its scopes and groups must exist.
func (s *Service) CreateRole(ctx context.Context, r idp.Role) error {
	return s.saveRole(ctx, r, nil, func() idp.Event {
		return with(s.event(ctx, s.now(), idp.EventRoleChanged, r.Name), "change", "created")
	})
}

// Role returns a role.
func (s *Service) Role(ctx context.Context, name string) (idp.Role, error) {
	roles, err := s.Roles(ctx)
	if err != nil {
		return idp.Role{}, err
	}
	i := slices.IndexFunc(roles, func(r idp.Role) bool { return r.Name == name })
	if i < 0 {
		return idp.Role{}, missing("role", name)
	}
	return roles[i], nil
}

// Roles returns all roles.
func (s *Service) Roles(ctx context.Context) ([]idp.Role, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("admin: list roles: %w", err)
	}
	roles := slices.Clone(s.directory.Roles())
	for i := range roles {
		roles[i].Scopes = slices.Clone(roles[i].Scopes)
		roles[i].Groups = slices.Clone(roles[i].Groups)
	}
	return roles, nil
}

// UpdateRole lets change alter a role, but for its name, and stores it when
// the whole is valid. Nothing is written when nothing changed.
func (s *Service) UpdateRole(ctx context.Context, name string, change func(*idp.Role)) (idp.Role, error) {
	before, err := s.Role(ctx, name)
	if err != nil {
		return idp.Role{}, err
	}
	r := before
	r.Scopes, r.Groups = slices.Clone(r.Scopes), slices.Clone(r.Groups)
	change(&r)
	r.Name = name
	fields := changedFields(before, r)
	if len(fields) == 0 {
		return r, nil
	}
	return r, s.saveRole(ctx, r, &before, func() idp.Event {
		return with(s.event(ctx, s.now(), idp.EventRoleChanged, name, fields...), "change", "updated")
	})
}

// GiveRoleToGroup lets the members of a group hold the role.
func (s *Service) GiveRoleToGroup(ctx context.Context, role, group string) error {
	_, err := s.UpdateRole(ctx, role, func(r *idp.Role) {
		if !slices.Contains(r.Groups, group) {
			r.Groups = append(r.Groups, group)
		}
	})
	return err
}

// TakeRoleFromGroup ends what GiveRoleToGroup began.
func (s *Service) TakeRoleFromGroup(ctx context.Context, role, group string) error {
	_, err := s.UpdateRole(ctx, role, func(r *idp.Role) {
		r.Groups = slices.DeleteFunc(r.Groups, func(g string) bool { return g == group })
	})
	return err
}

// AssignRole gives a role to a user directly.
func (s *Service) AssignRole(ctx context.Context, role, idOrUsername string) error {
	return s.changeHolder(ctx, role, idOrUsername, "assigned", s.store.AssignRole)
}

// UnassignRole takes a role that was given directly from a user.
func (s *Service) UnassignRole(ctx context.Context, role, idOrUsername string) error {
	return s.changeHolder(ctx, role, idOrUsername, "unassigned", s.store.UnassignRole)
}

func (s *Service) changeHolder(ctx context.Context, role, idOrUsername, change string,
	write func(ctx context.Context, role, userID string, event idp.Event) error,
) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if _, err := s.Role(ctx, role); err != nil {
		return err
	}
	event := with(s.event(ctx, s.now(), idp.EventRoleChanged, role), "change", change)
	event.UserID = u.ID
	if err := write(ctx, role, u.ID, event); err != nil {
		return fmt.Errorf("admin: change who holds a role: %w", err)
	}
	return nil
}

// Holders returns who was given a role directly.
func (s *Service) Holders(ctx context.Context, role string) ([]idp.User, error) {
	if _, err := s.Role(ctx, role); err != nil {
		return nil, err
	}
	holders, err := s.store.Holders(ctx, role)
	if err != nil {
		return nil, fmt.Errorf("admin: list who holds a role: %w", err)
	}
	return holders, nil
}

// DeleteRole removes a role from everybody.
func (s *Service) DeleteRole(ctx context.Context, name string) error {
	if _, err := s.Role(ctx, name); err != nil {
		return err
	}
	event := with(s.event(ctx, s.now(), idp.EventRoleChanged, name), "change", "deleted")
	if err := s.store.DeleteRole(ctx, name, event); err != nil {
		return fmt.Errorf("admin: delete a role: %w", err)
	}
	return nil
}

// saveRole stores a role: a new one, or one that is still as it was before.
func (s *Service) saveRole(ctx context.Context, r idp.Role, before *idp.Role, event func() idp.Event) error {
	if err := s.directory.Refresh(ctx); err != nil {
		return fmt.Errorf("admin: save a role: %w", err)
	}
	var f faults
	checkGroupName(&f, "name", r.Name)
	f.description("description", r.Description)
	resources := s.directory.Resources()
	for _, rs := range r.Scopes {
		if !slices.ContainsFunc(resources, func(res *idp.Resource) bool {
			_, ok := res.Scope(rs.Scope)
			return ok && res.Audience == rs.Audience
		}) {
			f.add("scopes", "resource %s has no scope %s", quoted(rs.Audience), quoted(rs.Scope))
		}
	}
	if err := s.checkGroupsExist(ctx, &f, r.Groups); err != nil {
		return err
	}
	if err := f.err(); err != nil {
		return err
	}
	switch err := s.store.SaveRole(ctx, r, before == nil, before, event()); {
	case errors.Is(err, idp.ErrChanged):
		return changedMeanwhile("role", r.Name)
	case before == nil && errors.Is(err, idp.ErrConflict):
		return taken("role", r.Name)
	case err != nil:
		return fmt.Errorf("admin: save a role: %w", err)
	}
	return nil
}

func (s *Service) checkGroupsExist(ctx context.Context, f *faults, names []string) error {
	if len(names) == 0 {
		return nil
	}
	groups, err := s.Groups(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(groups, func(g idp.Group) bool { return g.Name == name }) {
			f.add("groups", "no group %s exists", quoted(name))
		}
	}
	return nil
}
