package remote

import (
	"context"
	"net/http"
	"time"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

type resource struct {
	idp.Resource
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

func (r resource) noun() idp.Resource {
	out := r.Resource
	out.CreatedAt, out.UpdatedAt = r.CreatedAt, r.UpdatedAt
	return out
}

// CreateResource is admin.Service.CreateResource.
func (s *Service) CreateResource(ctx context.Context, audience string, m idp.ResourceMetadata) (idp.Resource, error) {
	var made resource
	_, err := answer(&made)(s.api.CreateResourceWithBody(ctx, nil, asJSON, body(idp.Resource{Audience: audience, ResourceMetadata: m})))
	return made.noun(), err
}

// Resource is admin.Service.Resource.
func (s *Service) Resource(ctx context.Context, audience string) (idp.Resource, error) {
	r, _, err := s.resource(ctx, audience)
	return r, err
}

func (s *Service) resource(ctx context.Context, audience string) (idp.Resource, http.Header, error) {
	if audience == "" {
		return idp.Resource{}, nil, missing("resource", audience)
	}
	var found resource
	header, err := answer(&found)(s.api.GetResource(ctx, audience, nil))
	return found.noun(), header, err
}

// Resources is admin.Service.Resources.
func (s *Service) Resources(ctx context.Context) ([]idp.Resource, error) {
	found, err := all[resource](func(page *string) (*http.Response, error) {
		return s.api.ListResources(ctx, &adminclient.ListResourcesParams{PageToken: page})
	})
	out := make([]idp.Resource, len(found))
	for i, r := range found {
		out[i] = r.noun()
	}
	return out, err
}

// UpdateResource is admin.Service.UpdateResource.
func (s *Service) UpdateResource(ctx context.Context, audience string, change func(*idp.ResourceMetadata)) (idp.Resource, error) {
	r, header, err := s.resource(ctx, audience)
	if err != nil {
		return idp.Resource{}, err
	}
	change(&r.ResourceMetadata)
	var after resource
	_, err = answer(&after)(s.api.ReplaceResourceWithBody(ctx, audience, &adminclient.ReplaceResourceParams{IfMatch: as(header)}, asJSON, body(r)))
	return after.noun(), err
}

// DeleteResource is admin.Service.DeleteResource.
func (s *Service) DeleteResource(ctx context.Context, audience string) error {
	if audience == "" {
		return missing("resource", audience)
	}
	return done(s.api.DeleteResource(ctx, audience, nil))
}
