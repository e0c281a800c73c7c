package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
)

// RegistrationStore keeps clients that registered themselves, and the tokens
// that let them. Implemented by *store.Store.
type RegistrationStore interface {
	RegisterClient(ctx context.Context, c idp.Client, r idp.Registration, event idp.Event) error
	ChangeRegisteredClient(ctx context.Context, c idp.Client, from uint32, secrets []idp.ClientSecret, event idp.Event) error
	ChangeDocumentClient(ctx context.Context, c idp.Client, event idp.Event) error
	CreateInitialToken(ctx context.Context, t idp.InitialToken, event idp.Event) error
	InitialTokens(ctx context.Context) ([]idp.InitialToken, error)
	DeleteInitialToken(ctx context.Context, id idp.ID, event idp.Event) error
}

// RegisterClient is CreateClient for a client that registers itself (RFC 7591),
// under a client_id that is chosen here. What is kept of the registration comes
// with it; its initial token loses one use, or the error is
// idp.ErrAlreadyUsed.
func (s *Service) RegisterClient(ctx context.Context, m idp.ClientMetadata, r idp.Registration) (idp.Client, idp.Secret, error) {
	return s.createClient(ctx, ClientInput{ClientMetadata: m}, func(ctx context.Context, c idp.Client, event idp.Event) error {
		r.ClientID, r.CreatedAt, r.LastUsedAt = c.ClientID, c.CreatedAt, c.CreatedAt
		event = with(with(event, "registration", "self"), "verified", strconv.FormatBool(c.Verified))
		if !r.Initial.IsZero() {
			event = with(event, "registration_token", r.Initial.String())
		}
		return s.store.RegisterClient(ctx, c, r, event)
	})
}

// ChangeRegisteredClient replaces the client's metadata for the client itself
// (RFC 7592 section 2.2), who presented the registration access token of
// generation from. The secret is empty unless the change calls for one.
func (s *Service) ChangeRegisteredClient(ctx context.Context, clientID string, m idp.ClientMetadata, from uint32) (idp.Client, idp.Secret, error) {
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return idp.Client{}, "", err
	}
	before := c.ClientMetadata
	c.ClientMetadata = m
	c = cloneClient(&c)
	withDefaults(&c.ClientMetadata)
	var f faults
	if err := s.checkClient(ctx, &f, c.ClientMetadata); err != nil {
		return idp.Client{}, "", err
	}
	if err := f.err(); err != nil {
		return idp.Client{}, "", err
	}
	now := s.now()
	secret, kept, err := s.secretForChange(c, now)
	if err == nil {
		err = s.signingKeys.Ensure(ctx, c.KeyAlgorithms()...)
	}
	if err != nil {
		return idp.Client{}, "", fmt.Errorf("admin: change client %q: %w", clientID, err)
	}
	c.UpdatedAt = now
	c.Secrets = append(c.Secrets, kept...)
	event := with(s.event(ctx, now, idp.EventClientUpdated, clientID, changedFields(before, c.ClientMetadata)...), "registration", "self")
	if err := s.store.ChangeRegisteredClient(ctx, c, from, kept, event); err != nil {
		return idp.Client{}, "", fmt.Errorf("admin: change client %q: %w", clientID, err)
	}
	return c, secret, nil
}

// RegisterDocumentClient is RegisterClient for a client whose client_id is the
// address of the document that m was read from.
func (s *Service) RegisterDocumentClient(ctx context.Context, clientID string, m idp.ClientMetadata, r idp.Registration) error {
	m.MetadataDocument = true
	_, _, err := s.createClient(ctx, ClientInput{ClientID: clientID, ClientMetadata: m}, func(ctx context.Context, c idp.Client, event idp.Event) error {
		r.ClientID, r.CreatedAt, r.LastUsedAt = c.ClientID, c.CreatedAt, c.CreatedAt
		return s.store.RegisterClient(ctx, c, r, with(event, "registration", "document"))
	})
	return err
}

// ChangeDocumentClient replaces what was read from the client's document. If
// that is something else than before, people are asked again.
func (s *Service) ChangeDocumentClient(ctx context.Context, clientID string, m idp.ClientMetadata) error {
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return err
	}
	before := c.ClientMetadata
	c.ClientMetadata = m
	c = cloneClient(&c)
	withDefaults(&c.ClientMetadata)
	if err := readableKeys(c.ClientMetadata); err != nil {
		return err
	}
	fields := changedFields(before, c.ClientMetadata)
	if len(fields) == 0 {
		return nil
	}
	var f faults
	if err := s.checkClient(ctx, &f, c.ClientMetadata); err != nil {
		return err
	}
	if err := f.err(); err != nil {
		return err
	}
	if err := s.signingKeys.Ensure(ctx, c.KeyAlgorithms()...); err != nil {
		return fmt.Errorf("admin: change client %q: %w", clientID, err)
	}
	event := with(s.event(ctx, s.now(), idp.EventClientUpdated, clientID, fields...), "registration", "document")
	if err := s.store.ChangeDocumentClient(ctx, c, event); err != nil {
		return fmt.Errorf("admin: change client %q: %w", clientID, err)
	}
	return nil
}

// secretForChange makes a secret for a client that had none and now needs one.
func (s *Service) secretForChange(c idp.Client, now time.Time) (idp.Secret, []idp.ClientSecret, error) {
	serves := func(secret idp.ClientSecret) bool {
		return c.TokenEndpointAuthMethod != idp.AuthClientSecretJWT || len(secret.Sealed) > 0
	}
	if !hasSecret(c.TokenEndpointAuthMethod) || slices.ContainsFunc(c.Secrets, serves) {
		return "", nil, nil
	}
	secret := newSecret()
	kept, err := s.keepSecret(c, secret, now)
	return secret, []idp.ClientSecret{kept}, err
}

// Limits of an initial token.
const (
	maxInitialUses = 10_000
	maxInitialLife = 366 * 24 * time.Hour
)

// CreateInitialToken lets its bearer register so many clients within the time.
// What is returned says how the token is minted; the token itself is not kept,
// nor is whether it vouches for its clients: that is in the token.
func (s *Service) CreateInitialToken(ctx context.Context, label string, uses int, life time.Duration, vouches bool) (idp.InitialToken, error) {
	var f faults
	f.name("label", label)
	if uses < 1 || uses > maxInitialUses {
		f.add("uses", "must be from 1 to %d", maxInitialUses)
	}
	if life < time.Minute || life > maxInitialLife {
		f.add("expires", "must be from a minute to 366 days")
	}
	if err := f.err(); err != nil {
		return idp.InitialToken{}, err
	}
	now := s.now()
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: crypto/rand
	t := idp.InitialToken{ID: newID(now), Label: label, Salt: salt, Uses: int64(uses), CreatedAt: now, ExpiresAt: now.Add(life)}
	event := with(s.event(ctx, now, idp.EventInitialTokenCreated, t.ID.String()), "verified", strconv.FormatBool(vouches))
	if err := s.store.CreateInitialToken(ctx, t, event); err != nil {
		return idp.InitialToken{}, fmt.Errorf("admin: create a registration token: %w", err)
	}
	return t, nil
}

// InitialTokens returns all that were not deleted, spent ones too.
func (s *Service) InitialTokens(ctx context.Context) ([]idp.InitialToken, error) {
	all, err := s.store.InitialTokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("admin: list registration tokens: %w", err)
	}
	return all, nil
}

// DeleteInitialToken ends an initial token. Clients that registered with it
// stay.
func (s *Service) DeleteInitialToken(ctx context.Context, id string) error {
	parsed, err := idp.ParseID(id)
	if err != nil {
		return missing("registration token", id)
	}
	err = s.store.DeleteInitialToken(ctx, parsed, s.event(ctx, s.now(), idp.EventInitialTokenDeleted, id))
	if errors.Is(err, idp.ErrNotFound) {
		return missing("registration token", id)
	}
	return err
}

// checkRequests checks what a client says of its requests and of itself beside
// them (OpenID Connect Dynamic Client Registration section 2).
func checkRequests(f *faults, m idp.ClientMetadata) {
	if len(m.RequestURIs) > maxList {
		f.add("request_uris", "more than %d", maxList)
		return
	}
	if u := repeated(m.RequestURIs); u != "" {
		f.add("request_uris", "%s: given twice", quoted(u))
	}
	for _, u := range m.RequestURIs {
		f.addIf("request_uris", requestURIFault(u))
	}
	if alg := m.RequestObjectSigningAlg; alg != "" && !slices.Contains(idp.AssertionAlgorithms(), alg) {
		f.add("request_object_signing_alg", "must be one of %s", strings.Join(idp.AssertionAlgorithms(), ", "))
	}
	if u := m.InitiateLoginURI; u != "" {
		f.addIf("initiate_login_uri", httpsFault(u))
	}
	if u := m.SectorIdentifierURI; u != "" {
		f.addIf("sector_identifier_uri", httpsFault(u))
	}
	switch {
	case m.SubjectType != "" && m.SubjectType != idp.SubjectPublic && m.SubjectType != idp.SubjectPairwise:
		f.add("subject_type", "must be public or pairwise")
	case m.SubjectType == idp.SubjectPairwise && m.Sector() == "":
		f.add("subject_type", "pairwise needs redirect_uris that are https and have one host, or sector_identifier_uri (OpenID Connect Core section 8.1)")
	}
	if acr := repeated(m.DefaultACRValues); acr != "" {
		f.add("default_acr_values", "%s: given twice", quoted(acr))
	}
	for _, acr := range m.DefaultACRValues {
		if !slices.Contains(idp.ACRs(), acr) {
			f.add("default_acr_values", "%s: is none of %s", quoted(acr), strings.Join(idp.ACRs(), ", "))
			break
		}
	}
	f.name("software_id", m.SoftwareID)
	f.name("software_version", m.SoftwareVersion)
}

// httpsFault says why the URL cannot be used, http at the loopback included.
func httpsFault(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Scheme == "http" {
		return "the scheme must be https"
	}
	return webURLFault(raw)
}

// requestURIFault says why no request object can be fetched from the address.
// Its fragment, a hash of what is there, is not sent (OpenID Connect Core
// section 6.2).
func requestURIFault(raw string) string {
	address, hash, _ := strings.Cut(raw, "#")
	if len(hash) > 64 || strings.Trim(hash, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=") != "" {
		return "the fragment must be the base64url of a SHA-256 hash"
	}
	return webURLFault(address)
}
