package store

import (
	"context"
	"slices"

	"idp/internal/idp"
)

const (
	insertRole      = `INSERT INTO roles (role_name, description) VALUES ($1, $2)`
	updateRole      = `UPDATE roles SET description = $1 WHERE role_name = $2`
	clearRoleScopes = `DELETE FROM role_scopes WHERE role_name = $1`
	clearRoleGroups = `DELETE FROM role_groups WHERE role_name = $1`
	insertRoleScope = `INSERT INTO role_scopes (role_name, audience, scope) VALUES ($1, $2, $3) ON CONFLICT (role_name, audience, scope) DO NOTHING`
	insertRoleGroup = `INSERT INTO role_groups (role_name, group_name) VALUES ($1, $2) ON CONFLICT (role_name, group_name) DO NOTHING`
)

// SaveRole stores a role whole: a new one, where a taken name is
// idp.ErrConflict, or one that exists, where an unknown name is
// idp.ErrNotFound. So is an unknown resource or group in it. One that exists has
// to be as it was seen, unless that is nil: else it is idp.ErrChanged.
func (s *Store) SaveRole(ctx context.Context, role idp.Role, create bool, seen *idp.Role, event idp.Event) error {
	if err := checkNames("name", role.Name); err != nil {
		return err
	}
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		if create {
			if _, err := q.exec(ctx, insertRole, role.Name, role.Description); err != nil {
				return err
			}
		} else {
			if seen != nil { // nobody else changes a role before this is over
				all, err := roles(ctx, q)
				if err != nil {
					return err
				}
				if !slices.ContainsFunc(all, func(r idp.Role) bool { return sameRole(r, *seen) }) {
					return idp.ErrChanged
				}
			}
			n, err := q.exec(ctx, updateRole, role.Description, role.Name)
			if err := expect(n, err, idp.ErrNotFound); err != nil {
				return err
			}
		}
		for _, clear := range []string{clearRoleScopes, clearRoleGroups} {
			if _, err := q.exec(ctx, clear, role.Name); err != nil {
				return err
			}
		}
		for _, scope := range role.Scopes {
			if _, err := q.exec(ctx, insertRoleScope, role.Name, scope.Audience, scope.Scope); err != nil {
				return err
			}
		}
		for _, group := range role.Groups {
			if _, err := q.exec(ctx, insertRoleGroup, role.Name, group); err != nil {
				return err
			}
		}
		return nil
	})
}

func sameRole(a, b idp.Role) bool {
	return a.Name == b.Name && a.Description == b.Description && slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.Groups, b.Groups)
}

const deleteRole = `DELETE FROM roles WHERE role_name = $1`

// DeleteRole removes a role from everybody who holds it.
func (s *Store) DeleteRole(ctx context.Context, name string, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		n, err := q.exec(ctx, deleteRole, name)
		return expect(n, err, idp.ErrNotFound)
	})
}

const insertUserRole = `
INSERT INTO user_roles (user_id, role_name) VALUES ($1, $2) ON CONFLICT (user_id, role_name) DO NOTHING`

// AssignRole gives a user a role; who holds it already keeps it, without an
// event. An unknown role or user is idp.ErrNotFound.
func (s *Store) AssignRole(ctx context.Context, role, userID string, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, insertUserRole, userID, role)
		return n > 0, err
	})
}

const deleteUserRole = `
DELETE FROM user_roles WHERE user_id = $1 AND role_name = $2`

// UnassignRole takes a role from a user. Who does not hold it directly is
// idp.ErrNotFound.
func (s *Store) UnassignRole(ctx context.Context, role, userID string, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, deleteUserRole, userID, role)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

const selectHolders = `
SELECT ` + userColumns + `
FROM user_roles h
JOIN users u ON u.user_id = h.user_id
WHERE h.role_name = $1
ORDER BY u.username_key`

// Holders returns the users who were given a role directly, by name.
func (s *Store) Holders(ctx context.Context, role string) ([]idp.User, error) {
	return s.users(ctx, selectHolders, role)
}

const (
	selectRoles      = `SELECT role_name, description FROM roles ORDER BY role_name`
	selectRoleScopes = `SELECT role_name, audience, scope FROM role_scopes ORDER BY role_name, audience, scope`
	selectRoleGroups = `SELECT role_name, group_name FROM role_groups ORDER BY role_name, group_name`
)

// roles reads all roles, for the directory.
func roles(ctx context.Context, q querier) ([]idp.Role, error) {
	var roles []idp.Role
	byName := map[string]int{}
	err := q.query(ctx, func(r row) error {
		var role idp.Role
		if err := r.Scan(&role.Name, &role.Description); err != nil {
			return err
		}
		byName[role.Name] = len(roles)
		roles = append(roles, role)
		return nil
	}, selectRoles)
	if err != nil {
		return nil, err
	}
	err = q.query(ctx, func(r row) error {
		var name string
		var scope idp.RoleScope
		if err := r.Scan(&name, &scope.Audience, &scope.Scope); err != nil {
			return err
		}
		if i, ok := byName[name]; ok {
			roles[i].Scopes = append(roles[i].Scopes, scope)
		}
		return nil
	}, selectRoleScopes)
	if err != nil {
		return nil, err
	}
	err = q.query(ctx, func(r row) error {
		var name, group string
		if err := r.Scan(&name, &group); err != nil {
			return err
		}
		if i, ok := byName[name]; ok {
			roles[i].Groups = append(roles[i].Groups, group)
		}
		return nil
	}, selectRoleGroups)
	return roles, err
}
