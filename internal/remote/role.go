package remote

import (
	"context"
	"net/http"
	"slices"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

// CreateRole is admin.Service.CreateRole.
func (s *Service) CreateRole(ctx context.Context, r idp.Role) error {
	return done(s.api.CreateRoleWithBody(ctx, nil, asJSON, body(r)))
}

// Role is admin.Service.Role.
func (s *Service) Role(ctx context.Context, name string) (idp.Role, error) {
	r, _, err := s.role(ctx, name)
	return r, err
}

func (s *Service) role(ctx context.Context, name string) (r idp.Role, header http.Header, err error) {
	if name == "" {
		return idp.Role{}, nil, missing("role", name)
	}
	header, err = answer(&r)(s.api.GetRole(ctx, name, nil))
	return r, header, err
}

// Roles is admin.Service.Roles.
func (s *Service) Roles(ctx context.Context) ([]idp.Role, error) {
	return all[idp.Role](func(page *string) (*http.Response, error) {
		return s.api.ListRoles(ctx, &adminclient.ListRolesParams{PageToken: page})
	})
}

// UpdateRole is admin.Service.UpdateRole.
func (s *Service) UpdateRole(ctx context.Context, name string, change func(*idp.Role)) (idp.Role, error) {
	r, header, err := s.role(ctx, name)
	if err != nil {
		return idp.Role{}, err
	}
	change(&r)
	r.Name = name
	var after idp.Role
	_, err = answer(&after)(s.api.ReplaceRoleWithBody(ctx, name, &adminclient.ReplaceRoleParams{IfMatch: as(header)}, asJSON, body(r)))
	return after, err
}

// DeleteRole is admin.Service.DeleteRole.
func (s *Service) DeleteRole(ctx context.Context, name string) error {
	if name == "" {
		return missing("role", name)
	}
	return done(s.api.DeleteRole(ctx, name, nil))
}

// GiveRoleToGroup is admin.Service.GiveRoleToGroup.
func (s *Service) GiveRoleToGroup(ctx context.Context, role, group string) error {
	_, err := s.UpdateRole(ctx, role, func(r *idp.Role) {
		if !slices.Contains(r.Groups, group) {
			r.Groups = append(r.Groups, group)
		}
	})
	return err
}

// TakeRoleFromGroup is admin.Service.TakeRoleFromGroup.
func (s *Service) TakeRoleFromGroup(ctx context.Context, role, group string) error {
	_, err := s.UpdateRole(ctx, role, func(r *idp.Role) {
		r.Groups = slices.DeleteFunc(r.Groups, func(g string) bool { return g == group })
	})
	return err
}

// AssignRole is admin.Service.AssignRole.
func (s *Service) AssignRole(ctx context.Context, role, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.AssignRole(ctx, role, sub) })
}

// UnassignRole is admin.Service.UnassignRole.
func (s *Service) UnassignRole(ctx context.Context, role, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.UnassignRole(ctx, role, sub) })
}
