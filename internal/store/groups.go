package store

import (
	"context"

	"idp/internal/idp"
)

const insertGroup = `
INSERT INTO groups (group_name, description, created_at) VALUES ($1, $2, $3)`

// CreateGroup stores a new group. A taken name is idp.ErrConflict.
func (s *Store) CreateGroup(ctx context.Context, g idp.Group, events ...idp.Event) error {
	if err := checkNames("name", g.Name); err != nil {
		return err
	}
	return s.write(ctx, []statement{{insertGroup, []any{g.Name, g.Description, s.orNow(g.CreatedAt)}}}, events...)
}

const updateGroup = `UPDATE groups SET description = $1 WHERE group_name = $2`

// UpdateGroup replaces what a group is for.
func (s *Store) UpdateGroup(ctx context.Context, g idp.Group, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, updateGroup, g.Description, g.Name)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

const selectGroups = `
SELECT group_name, description, created_at FROM groups ORDER BY group_name`

// Groups returns all groups by name.
func (s *Store) Groups(ctx context.Context) ([]idp.Group, error) {
	var groups []idp.Group
	err := s.port.query(ctx, func(r row) error {
		var g idp.Group
		if err := r.Scan(&g.Name, &g.Description, &g.CreatedAt); err != nil {
			return err
		}
		groups = append(groups, g)
		return nil
	}, selectGroups)
	return groups, err
}

const deleteGroup = `DELETE FROM groups WHERE group_name = $1`

// DeleteGroup removes a group, its memberships, and it from the roles that its
// members held.
func (s *Store) DeleteGroup(ctx context.Context, name string, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, deleteGroup, name)
		return expect(n, err, idp.ErrNotFound)
	})
}

const insertMember = `
INSERT INTO group_members (user_id, group_name) VALUES ($1, $2) ON CONFLICT (user_id, group_name) DO NOTHING`

// AddMember puts a user into a group; who is in it already stays, without an
// event. An unknown group or user is idp.ErrNotFound.
func (s *Store) AddMember(ctx context.Context, group, userID string, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, insertMember, userID, group)
		return n > 0, err
	})
}

const deleteMember = `
DELETE FROM group_members WHERE user_id = $1 AND group_name = $2`

// RemoveMember takes a user out of a group. Who is not in it is
// idp.ErrNotFound.
func (s *Store) RemoveMember(ctx context.Context, group, userID string, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, deleteMember, userID, group)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

const selectMembers = `
SELECT ` + userColumns + `
FROM group_members m
JOIN users u ON u.user_id = m.user_id
WHERE m.group_name = $1
ORDER BY u.username_key`

// Members returns the users in a group by name.
func (s *Store) Members(ctx context.Context, group string) ([]idp.User, error) {
	return s.users(ctx, selectMembers, group)
}
