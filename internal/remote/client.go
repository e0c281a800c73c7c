package remote

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"idp/internal/admin"
	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

// client is a client as the API writes it.
type client struct {
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	idp.ClientMetadata
	JWKS             json.RawMessage `json:"jwks,omitempty"` // an object always
	Logo             string          `json:"logo,omitempty"`
	Disabled         bool            `json:"disabled,omitempty"`
	Secrets          []secret        `json:"secrets,omitempty"`
	TokensValidAfter time.Time       `json:"tokens_valid_after,omitzero"`
	CreatedAt        time.Time       `json:"created_at,omitzero"`
	UpdatedAt        time.Time       `json:"updated_at,omitzero"`
}

type secret struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func (c client) noun() idp.Client {
	out := idp.Client{
		ClientID: c.ClientID, ClientMetadata: c.ClientMetadata, Logo: c.Logo, Disabled: c.Disabled,
		TokensValidAfter: c.TokensValidAfter, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	if string(c.JWKS) != "{}" {
		out.JWKS = idp.JWKSet(c.JWKS)
	}
	for _, s := range c.Secrets {
		id, _ := idp.ParseID(s.ID)
		out.Secrets = append(out.Secrets, idp.ClientSecret{ID: id, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt})
	}
	return out
}

// written is what a client is registered with, as it is sent.
func written(m idp.ClientMetadata) client {
	return client{ClientMetadata: m, JWKS: json.RawMessage(m.JWKS)}
}

// CreateClient is admin.Service.CreateClient. The secret is empty when the
// caller chose it.
func (s *Service) CreateClient(ctx context.Context, in admin.ClientInput) (idp.Client, idp.Secret, error) {
	send := written(in.ClientMetadata)
	send.ClientID, send.ClientSecret = in.ClientID, in.Secret.Reveal()
	var made client
	_, err := answer(&made)(s.api.CreateClientWithBody(ctx, nil, asJSON, body(send)))
	return made.noun(), idp.Secret(made.ClientSecret), err
}

// Client is admin.Service.Client.
func (s *Service) Client(ctx context.Context, clientID string) (idp.Client, error) {
	found, _, err := s.client(ctx, clientID)
	return found, err
}

func (s *Service) client(ctx context.Context, clientID string) (idp.Client, http.Header, error) {
	if clientID == "" {
		return idp.Client{}, nil, missing("client", clientID)
	}
	var found client
	header, err := answer(&found)(s.api.GetClient(ctx, clientID, nil))
	return found.noun(), header, err
}

// Clients is admin.Service.Clients.
func (s *Service) Clients(ctx context.Context) ([]idp.Client, error) {
	found, err := all[client](func(page *string) (*http.Response, error) {
		return s.api.ListClients(ctx, &adminclient.ListClientsParams{PageToken: page})
	})
	out := make([]idp.Client, len(found))
	for i, c := range found {
		out[i] = c.noun()
	}
	return out, err
}

// UpdateClient is admin.Service.UpdateClient.
func (s *Service) UpdateClient(ctx context.Context, clientID string, change func(*idp.ClientMetadata)) (idp.Client, error) {
	before, header, err := s.client(ctx, clientID)
	if err != nil {
		return idp.Client{}, err
	}
	m := before.ClientMetadata
	change(&m)
	send := struct {
		client
		Disabled *bool `json:"disabled,omitempty"` // stays as it is
	}{client: written(m)}
	var after client
	_, err = answer(&after)(s.api.ReplaceClientWithBody(ctx, clientID, &adminclient.ReplaceClientParams{IfMatch: as(header)}, asJSON, body(send)))
	return after.noun(), err
}

// DisableClient is admin.Service.DisableClient.
func (s *Service) DisableClient(ctx context.Context, clientID string) error {
	return s.turnClient(ctx, clientID, true)
}

// EnableClient is admin.Service.EnableClient.
func (s *Service) EnableClient(ctx context.Context, clientID string) error {
	return s.turnClient(ctx, clientID, false)
}

func (s *Service) turnClient(ctx context.Context, clientID string, disabled bool) error {
	if clientID == "" {
		return missing("client", clientID)
	}
	return done(s.api.PatchClientWithBody(ctx, clientID, nil, asMergePatch, body(map[string]bool{"disabled": disabled})))
}

// DeleteClient is admin.Service.DeleteClient.
func (s *Service) DeleteClient(ctx context.Context, clientID string) error {
	if clientID == "" {
		return missing("client", clientID)
	}
	return done(s.api.DeleteClient(ctx, clientID, nil))
}

// RotateSecret is admin.Service.RotateSecret, with a grace in whole seconds.
func (s *Service) RotateSecret(ctx context.Context, clientID string, grace time.Duration) (idp.Secret, error) {
	if grace%time.Second != 0 {
		return "", idp.Invalid("grace", "must be in whole seconds")
	}
	if clientID == "" {
		return "", missing("client", clientID)
	}
	var rotated client
	_, err := answer(&rotated)(s.api.RotateClientSecretWithBody(ctx, clientID, nil, asJSON, body(map[string]int64{"grace": int64(grace / time.Second)})))
	return idp.Secret(rotated.ClientSecret), err
}
