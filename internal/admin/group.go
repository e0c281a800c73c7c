package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"idp/internal/idp"
)

// GroupStore keeps groups and who is in them. Implemented by *store.Store.
type GroupStore interface {
	Groups(ctx context.Context) ([]idp.Group, error)
	CreateGroup(ctx context.Context, g idp.Group, events ...idp.Event) error
	UpdateGroup(ctx context.Context, g idp.Group, event idp.Event) error
	DeleteGroup(ctx context.Context, name string, event idp.Event) error
	MemberStore
}

// MemberStore keeps who is in a group. Implemented by *store.Store.
type MemberStore interface {
	Members(ctx context.Context, group string) ([]idp.User, error)
	AddMember(ctx context.Context, group, userID string, event idp.Event) error
	RemoveMember(ctx context.Context, group, userID string, event idp.Event) error
}

// CreateGroup makes an empty group.
func (s *Service) CreateGroup(ctx context.Context, name, description string) (idp.Group, error) {
	var f faults
	checkGroupName(&f, "name", name)
	f.description("description", description)
	if err := f.err(); err != nil {
		return idp.Group{}, err
	}
	if err := s.mayRuleGroup(name); err != nil {
		return idp.Group{}, err
	}
	now := s.now()
	g := idp.Group{Name: name, Description: description, CreatedAt: now}
	event := with(s.event(ctx, now, idp.EventGroupChanged, name), "change", "created")
	if err := s.store.CreateGroup(ctx, g, event); err != nil {
		if errors.Is(err, idp.ErrConflict) {
			return idp.Group{}, taken("group", name)
		}
		return idp.Group{}, fmt.Errorf("admin: create a group: %w", err)
	}
	return g, nil
}

// UpdateGroup lets change alter a group, but for its name, and stores it when the
// whole is valid. Nothing is written when nothing changed.
func (s *Service) UpdateGroup(ctx context.Context, name string, change func(*idp.Group)) (idp.Group, error) {
	before, err := s.Group(ctx, name)
	if err != nil {
		return idp.Group{}, err
	}
	g := before
	change(&g)
	g.Name, g.CreatedAt = name, before.CreatedAt
	if g == before {
		return g, nil
	}
	var f faults
	f.description("description", g.Description)
	if err := errors.Join(f.err(), s.mayRuleGroup(name)); err != nil {
		return idp.Group{}, err
	}
	event := with(s.event(ctx, s.now(), idp.EventGroupChanged, name, "description"), "change", "updated")
	if err := s.store.UpdateGroup(ctx, g, event); err != nil {
		return idp.Group{}, fmt.Errorf("admin: update a group: %w", err)
	}
	return g, nil
}

// Groups returns all groups.
func (s *Service) Groups(ctx context.Context) ([]idp.Group, error) {
	groups, err := s.store.Groups(ctx)
	if err != nil {
		return nil, fmt.Errorf("admin: list groups: %w", err)
	}
	return groups, nil
}

// DeleteGroup removes a group that no client and no role names: a client
// whose only group vanished would admit nobody, and one of the same name would
// inherit what it opened.
func (s *Service) DeleteGroup(ctx context.Context, name string) error {
	if err := s.groupExists(ctx, name); err != nil {
		return err
	}
	if name == idp.AdminGroup && s.authority != nil {
		return fmt.Errorf("the group %s is deleted at the machine only: %w", name, idp.ErrForbidden)
	}
	if err := s.directory.Refresh(ctx); err != nil {
		return fmt.Errorf("admin: delete a group: %w", err)
	}
	for _, c := range s.directory.Clients() {
		if slices.Contains(c.AllowedGroups, name) {
			return inUse("group", name, "allowed_groups of client "+c.ClientID)
		}
	}
	for _, r := range s.directory.Roles() {
		if slices.Contains(r.Groups, name) {
			return inUse("group", name, "role "+r.Name)
		}
	}
	event := with(s.event(ctx, s.now(), idp.EventGroupChanged, name), "change", "deleted")
	if err := s.store.DeleteGroup(ctx, name, event); err != nil {
		return fmt.Errorf("admin: delete a group: %w", err)
	}
	return nil
}

// Group returns a group.
func (s *Service) Group(ctx context.Context, name string) (idp.Group, error) {
	groups, err := s.Groups(ctx)
	if err != nil {
		return idp.Group{}, err
	}
	i := slices.IndexFunc(groups, func(g idp.Group) bool { return g.Name == name })
	if i < 0 {
		return idp.Group{}, missing("group", name)
	}
	return groups[i], nil
}

// Members returns who is in a group.
func (s *Service) Members(ctx context.Context, group string) ([]idp.User, error) {
	if err := s.groupExists(ctx, group); err != nil {
		return nil, err
	}
	members, err := s.store.Members(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("admin: list members: %w", err)
	}
	return members, nil
}

// AddMember puts a user into a group.
func (s *Service) AddMember(ctx context.Context, group, idOrUsername string) error {
	return s.changeMember(ctx, group, idOrUsername, "member_added", s.store.AddMember)
}

// RemoveMember takes a user out of a group. What the group opened is shut at
// the user's next request to the issuer.
func (s *Service) RemoveMember(ctx context.Context, group, idOrUsername string) error {
	remove := s.store.RemoveMember
	if group == idp.AdminGroup {
		remove = func(ctx context.Context, group, userID string, event idp.Event) error {
			if err := s.mayGo(ctx, userID); err != nil {
				return err
			}
			return s.store.RemoveMember(ctx, group, userID, event)
		}
	}
	return s.changeMember(ctx, group, idOrUsername, "member_removed", remove)
}

func (s *Service) changeMember(ctx context.Context, group, idOrUsername, change string,
	write func(ctx context.Context, group, userID string, event idp.Event) error,
) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := s.groupExists(ctx, group); err != nil {
		return err
	}
	if err := s.mayRuleGroup(group); err != nil {
		return err
	}
	event := with(s.event(ctx, s.now(), idp.EventGroupChanged, group), "change", change)
	event.UserID = u.ID
	if err := write(ctx, group, u.ID, event); err != nil {
		return fmt.Errorf("admin: change members of a group: %w", err)
	}
	return nil
}

func (s *Service) groupExists(ctx context.Context, name string) error {
	groups, err := s.Groups(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(groups, func(g idp.Group) bool { return g.Name == name }) {
		return missing("group", name)
	}
	return nil
}

// checkGroupName checks the name of a group or role: it becomes a claim.
func checkGroupName(f *faults, field, name string) {
	if !madeOf(name, "._:/@+-", 128) || name == "." || name == ".." {
		f.add(field, "must be 1 to 128 letters, digits and . _ : / @ + -")
	}
}
