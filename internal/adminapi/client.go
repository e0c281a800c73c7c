package adminapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"idp/internal/admin"
	"idp/internal/idp"
)

// client is a client as the API shows it: the names of RFC 7591 and this
// server's own. The secret is there once, when it was made here.
type client struct {
	ClientID              string `json:"client_id"`
	ClientSecret          string `json:"client_secret,omitempty"`
	ClientSecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // RFC 7591 section 3.2.1
	idp.ClientMetadata
	JWKS             json.RawMessage `json:"jwks"` // an object always: programs for Hydra read it without looking
	Logo             string          `json:"logo,omitempty"`
	Disabled         bool            `json:"disabled"`
	Secrets          []clientSecret  `json:"secrets,omitempty"`
	TokensValidAfter time.Time       `json:"tokens_valid_after,omitzero"`
	CreatedAt        time.Time       `json:"created_at"`
	UpdatedAt        time.Time       `json:"updated_at"`
}

// clientSecret tells of a secret all but itself.
type clientSecret struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func viewClient(c idp.Client) client {
	v := client{
		ClientID: c.ClientID, ClientMetadata: c.ClientMetadata, JWKS: json.RawMessage(c.ClientMetadata.JWKS), Logo: c.Logo, Disabled: c.Disabled,
		TokensValidAfter: c.TokensValidAfter, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	if len(v.JWKS) == 0 {
		v.JWKS = json.RawMessage("{}")
	}
	for _, s := range c.Secrets {
		v.Secrets = append(v.Secrets, clientSecret{s.ID.String(), s.CreatedAt, s.ExpiresAt})
	}
	return v
}

// answerClient answers with the client, and with a secret that was made just now.
func answerClient(status int, c idp.Client, secret idp.Secret) answer {
	v := viewClient(c)
	result := answer{status: status, etag: etag(v)}
	if secret != "" {
		v.ClientSecret = secret.Reveal()
		v.ClientSecretExpiresAt = new(int64) // never
	}
	result.body = v
	return result
}

// clientInput is a client as a caller writes it. Disabled stays as it is when
// it is left out.
type clientInput struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	idp.ClientMetadata
	Disabled *bool `json:"disabled"`
}

// readClient reads what a caller wrote. Members that are the server's to say
// are passed over, so that what was read can be sent back.
func readClient(members map[string]json.RawMessage) (clientInput, error) {
	for _, name := range []string{
		"client_secret_expires_at", "created_at", "logo", "metadata_document", "registration_access_token", "registration_client_uri",
		"secrets", "self_registered", "software_statement", "tokens_valid_after", "updated_at",
	} {
		delete(members, name)
	}
	// What Hydra has and this server has not is fine as long as it says nothing.
	for _, name := range []string{"metadata", "owner", "skip_logout_consent"} {
		switch string(members[name]) {
		case "{}", `""`, "false":
			delete(members, name)
		}
	}
	// Hydra has another name for it.
	if strategy, ok := members["access_token_strategy"]; ok && members["access_token_format"] == nil {
		delete(members, "access_token_strategy")
		members["access_token_format"] = strategy
	}
	if string(members["jwks"]) == "{}" {
		delete(members, "jwks")
	}
	var in clientInput
	err := decode(members, &in)
	return in, err
}

// over puts the input in the place of what the client was.
func (in clientInput) over(secrets Secrets, c *idp.Client) error {
	if in.ClientID != "" && in.ClientID != c.ClientID {
		return invalidMember("client_id", "is another one than the address names")
	}
	if in.ClientSecret != "" && !secretOf(secrets, c, in.ClientSecret) {
		return invalidMember("client_secret", "is none of the client's: POST to secrets/rotate for another")
	}
	in.SelfRegistered, in.MetadataDocument, in.SoftwareStatement = c.SelfRegistered, c.MetadataDocument, c.SoftwareStatement
	c.ClientMetadata = in.ClientMetadata
	if in.Disabled != nil {
		c.Disabled = *in.Disabled
	}
	return nil
}

// Secrets compares client secrets in constant time; implemented by
// *tokens.Master.
type Secrets interface {
	VerifySecret(hash, presented string) bool
}

func secretOf(secrets Secrets, c *idp.Client, presented string) bool {
	matched := false
	for _, s := range c.Secrets {
		matched = secrets.VerifySecret(s.Hash, presented) || matched
	}
	return matched
}

// Clients answers /admin/clients.
func (a *API) Clients(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeClientsRead, listClients},
		http.MethodPost: {idp.ScopeClients, createClient},
	})
}

// Client answers /admin/clients/{client_id}.
func (a *API) Client(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeClientsRead, getClient},
		http.MethodPut:    {idp.ScopeClients, replaceClient},
		http.MethodPatch:  {idp.ScopeClients, patchClient},
		http.MethodDelete: {idp.ScopeClients, deleteClient},
	})
}

// ClientSecret answers /admin/clients/{client_id}/secrets/rotate.
func (a *API) ClientSecret(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodPost: {idp.ScopeClients, rotateClientSecret}})
}

// ClientScore answers /admin/clients/{client_id}/score.
func (a *API) ClientScore(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeClientsRead, scoreClient}})
}

func listClients(c *call) (answer, error) {
	p, err := c.page("clients", "client_name")
	if err != nil {
		return answer{}, err
	}
	all, err := c.admin.Clients(c.Context())
	if err != nil {
		return answer{}, err
	}
	views := make([]client, 0, len(all))
	for _, found := range all {
		if name := p.filter.Get("client_name"); name == "" || found.ClientName == name {
			views = append(views, viewClient(found))
		}
	}
	part, header, err := cut(c, p, views, func(v client) string { return v.ClientID })
	return answer{status: http.StatusOK, body: part, header: header}, err
}

func createClient(c *call) (answer, error) {
	members, err := c.object()
	if err != nil {
		return answer{}, err
	}
	in, err := readClient(members)
	if err != nil {
		return answer{}, err
	}
	if in.Disabled != nil && *in.Disabled {
		return answer{}, invalidMember("disabled", "must be left out: a client begins enabled")
	}
	in.SelfRegistered, in.MetadataDocument, in.SoftwareStatement = false, false, ""
	created, secret, err := c.admin.CreateClient(c.Context(), admin.ClientInput{
		ClientID: in.ClientID, ClientMetadata: in.ClientMetadata, Secret: idp.Secret(in.ClientSecret),
	})
	if err != nil {
		return answer{}, err
	}
	if in.ClientSecret != "" {
		secret = "" // who chose it knows it
	}
	result := answerClient(http.StatusCreated, created, secret)
	result.header = map[string]string{"Location": c.api.Issuer + "/admin/clients/" + url.PathEscape(created.ClientID)}
	return result, nil
}

func getClient(c *call) (answer, error) {
	found, err := c.admin.Client(c.Context(), c.PathValue("client_id"))
	if err != nil {
		return answer{}, err
	}
	return answerClient(http.StatusOK, found, ""), nil
}

func replaceClient(c *call) (answer, error) {
	members, err := c.object()
	if err != nil {
		return answer{}, err
	}
	in, err := readClient(members)
	if err != nil {
		return answer{}, err
	}
	return c.changeClient(func(found *idp.Client) error { return in.over(c.api.Secrets, found) })
}

func patchClient(c *call) (answer, error) {
	apply, err := c.patch()
	if err != nil {
		return answer{}, err
	}
	return c.changeClient(func(found *idp.Client) error {
		members, err := apply(viewClient(*found))
		if err != nil {
			return err
		}
		in, err := readClient(members)
		if err != nil {
			return err
		}
		return in.over(c.api.Secrets, found)
	})
}

// changeClient changes the client if it is still as If-Match says. The service
// stores the change only if nobody else was faster.
func (c *call) changeClient(change func(*idp.Client) error) (answer, error) {
	changed, err := c.admin.ChangeClient(c.Context(), c.PathValue("client_id"), func(found *idp.Client) error {
		if err := c.unchanged(etag(viewClient(*found))); err != nil {
			return err
		}
		return change(found)
	})
	switch {
	case errors.Is(err, idp.ErrConflict) && c.conditional():
		return answer{}, preconditionFailed()
	case err != nil:
		return answer{}, err
	}
	return answerClient(http.StatusOK, changed, ""), nil
}

func deleteClient(c *call) (answer, error) {
	id := c.PathValue("client_id")
	found, err := c.admin.Client(c.Context(), id)
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(viewClient(found))); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, c.admin.DeleteClient(c.Context(), id)
}

func scoreClient(c *call) (answer, error) {
	score, err := c.admin.ScoreClient(c.Context(), c.PathValue("client_id"))
	return answer{status: http.StatusOK, body: score}, err
}

// rotateInput says how long the secrets that the client had go on.
type rotateInput struct {
	Grace *int64 `json:"grace"` // seconds
}

const defaultGrace = 24 * time.Hour

func rotateClientSecret(c *call) (answer, error) {
	grace := defaultGrace
	if c.ContentLength != 0 {
		members, err := c.object()
		if err != nil {
			return answer{}, err
		}
		var in rotateInput
		if err := decode(members, &in); err != nil {
			return answer{}, err
		}
		if in.Grace != nil {
			if *in.Grace < 0 || *in.Grace > int64(admin.MaxGrace/time.Second) {
				return answer{}, invalidMember("grace", "must be from 0 to 90 days, in seconds")
			}
			grace = time.Duration(*in.Grace) * time.Second
		}
	}
	id := c.PathValue("client_id")
	secret, err := c.admin.RotateSecret(c.Context(), id, grace)
	if err != nil {
		return answer{}, err
	}
	rotated, err := c.admin.Client(c.Context(), id)
	if err != nil {
		return answer{}, err
	}
	return answerClient(http.StatusOK, rotated, secret), nil
}
