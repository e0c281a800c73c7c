package remote

import (
	"context"
	"net/http"
	"slices"
	"time"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

type group struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at,omitzero"`
}

// CreateGroup is admin.Service.CreateGroup.
func (s *Service) CreateGroup(ctx context.Context, name, description string) (idp.Group, error) {
	var made group
	_, err := answer(&made)(s.api.CreateGroupWithBody(ctx, nil, asJSON, body(group{Name: name, Description: description})))
	return idp.Group(made), err
}

// Groups is admin.Service.Groups.
func (s *Service) Groups(ctx context.Context) ([]idp.Group, error) {
	found, err := all[group](func(page *string) (*http.Response, error) {
		return s.api.ListGroups(ctx, &adminclient.ListGroupsParams{PageToken: page})
	})
	var out []idp.Group
	for _, g := range found {
		out = append(out, idp.Group(g))
	}
	return out, err
}

// DeleteGroup is admin.Service.DeleteGroup.
func (s *Service) DeleteGroup(ctx context.Context, name string) error {
	if name == "" {
		return missing("group", name)
	}
	return done(s.api.DeleteGroup(ctx, name))
}

// Members is admin.Service.Members; of each it tells who it is.
func (s *Service) Members(ctx context.Context, name string) ([]idp.User, error) {
	if name == "" {
		return nil, missing("group", name)
	}
	found, err := all[user](func(page *string) (*http.Response, error) {
		return s.api.ListMembers(ctx, name, &adminclient.ListMembersParams{PageToken: page})
	})
	var out []idp.User
	for _, u := range found {
		out = append(out, u.noun())
	}
	slices.SortFunc(out, byName)
	return out, err
}

// AddMember is admin.Service.AddMember.
func (s *Service) AddMember(ctx context.Context, name, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.AddMember(ctx, name, sub) })
}

// RemoveMember is admin.Service.RemoveMember.
func (s *Service) RemoveMember(ctx context.Context, name, idOrUsername string) error {
	return s.on(ctx, idOrUsername, func(sub string) (*http.Response, error) { return s.api.RemoveMember(ctx, name, sub) })
}
