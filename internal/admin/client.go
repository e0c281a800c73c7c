package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"idp/internal/idp"
)

// ClientStore keeps clients; they are read through the Directory. What an
// earlier client of the same client_id was issued must stay dead when
// CreateClient takes the name again. Implemented by *store.Store.
type ClientStore interface {
	CreateClient(ctx context.Context, c idp.Client, event idp.Event) error
	UpdateClient(ctx context.Context, c idp.Client, seen time.Time, event idp.Event) error
	DeleteClient(ctx context.Context, clientID string, event idp.Event) error
	AddClientSecret(ctx context.Context, clientID string, secret idp.ClientSecret, expireOthersAt time.Time, event idp.Event) error
	ChangeTokensValidAfter(ctx context.Context, change func(before time.Time) (time.Time, error), event idp.Event) error
}

// MaxGrace bounds how long an old client secret lives beside a new one.
const MaxGrace = 90 * 24 * time.Hour

// ClientInput is a client to be registered.
type ClientInput struct {
	ClientID string // chosen here when empty
	idp.ClientMetadata
	// Secret is the client's own secret; one is made when it is empty and the
	// client authenticates with one.
	Secret idp.Secret
}

// CreateClient registers a client and returns it with its secret, which cannot
// be read again. Metadata that RFC 7591 section 2 gives a default is filled in.
func (s *Service) CreateClient(ctx context.Context, in ClientInput) (idp.Client, idp.Secret, error) {
	in.MetadataDocument = false // that is for the document to say
	return s.createClient(ctx, in, s.store.CreateClient)
}

func (s *Service) createClient(ctx context.Context, in ClientInput, store func(context.Context, idp.Client, idp.Event) error) (idp.Client, idp.Secret, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return idp.Client{}, "", fmt.Errorf("admin: create a client: %w", err)
	}
	if in.ClientID == "" {
		in.ClientID = newClientID()
	}
	withDefaults(&in.ClientMetadata)
	var f faults
	if !in.MetadataDocument && !validClientID(in.ClientID) {
		f.add("client_id", "must be 1 to 128 letters, digits and . _ ~ -")
	}
	if err := s.checkClient(ctx, &f, in.ClientMetadata); err != nil {
		return idp.Client{}, "", err
	}
	if in.Secret != "" {
		f.addIf("client_secret", secretFault(in.Secret.Reveal(), in.TokenEndpointAuthMethod))
	}
	if err := f.err(); err != nil {
		return idp.Client{}, "", err
	}
	if err := s.mayRule(in.ClientMetadata); err != nil {
		return idp.Client{}, "", err
	}
	if err := s.freeSubject(ctx, in.ClientID); err != nil {
		return idp.Client{}, "", err
	}

	now := s.now()
	c := idp.Client{ClientID: in.ClientID, ClientMetadata: in.ClientMetadata, CreatedAt: now, UpdatedAt: now}
	secret := in.Secret
	if hasSecret(c.TokenEndpointAuthMethod) {
		if secret == "" {
			secret = newSecret()
		}
		kept, err := s.keepSecret(c, secret, now)
		if err != nil {
			return idp.Client{}, "", fmt.Errorf("admin: create a client: %w", err)
		}
		c.Secrets = []idp.ClientSecret{kept}
	}
	if err := s.signingKeys.Ensure(ctx, c.KeyAlgorithms()...); err != nil {
		return idp.Client{}, "", fmt.Errorf("admin: make signing keys: %w", err)
	}
	if err := store(ctx, c, s.event(ctx, now, idp.EventClientCreated, c.ClientID)); err != nil {
		if errors.Is(err, idp.ErrConflict) {
			return idp.Client{}, "", taken("client", c.ClientID)
		}
		return idp.Client{}, "", fmt.Errorf("admin: create a client: %w", err)
	}
	return c, secret, nil
}

// Client returns a client, disabled or not.
func (s *Service) Client(ctx context.Context, clientID string) (idp.Client, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return idp.Client{}, fmt.Errorf("admin: read a client: %w", err)
	}
	c, ok := s.directory.Client(clientID)
	if !ok {
		return idp.Client{}, missing("client", clientID)
	}
	return cloneClient(c), nil
}

// Clients returns all clients, sorted by client_id.
func (s *Service) Clients(ctx context.Context) ([]idp.Client, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("admin: list clients: %w", err)
	}
	all := s.directory.Clients()
	out := make([]idp.Client, len(all))
	for i, c := range all {
		out[i] = cloneClient(c)
	}
	return out, nil
}

// UpdateClient lets change alter a copy of the client's metadata and stores it
// when the whole is valid. Nothing is written when nothing changed.
func (s *Service) UpdateClient(ctx context.Context, clientID string, change func(*idp.ClientMetadata)) (idp.Client, error) {
	return s.ChangeClient(ctx, clientID, func(c *idp.Client) error {
		change(&c.ClientMetadata)
		return nil
	})
}

// ChangeClient is UpdateClient for metadata and Disabled together. An error of
// change is the answer, and idp.ErrConflict when somebody else changed the
// client at the same time.
func (s *Service) ChangeClient(ctx context.Context, clientID string, change func(*idp.Client) error) (idp.Client, error) {
	before, err := s.Client(ctx, clientID)
	if err != nil {
		return idp.Client{}, err
	}
	c := cloneClient(&before)
	if err := change(&c); err != nil {
		return idp.Client{}, err
	}
	withDefaults(&c.ClientMetadata)
	if err := readableKeys(c.ClientMetadata); err != nil {
		return idp.Client{}, err
	}
	fields := changedFields(before.ClientMetadata, c.ClientMetadata)
	if len(fields) > 0 {
		var f faults
		if err := s.checkClient(ctx, &f, c.ClientMetadata); err != nil {
			return idp.Client{}, err
		}
		if err := f.err(); err != nil {
			return idp.Client{}, err
		}
	}
	if c.Disabled != before.Disabled {
		s.setDisabled(&c)
		fields = append(fields, "disabled")
	}
	if len(fields) == 0 {
		return c, nil
	}
	if err := errors.Join(s.mayRule(before.ClientMetadata), s.mayRule(c.ClientMetadata)); err != nil {
		return idp.Client{}, err
	}
	if err := s.signingKeys.Ensure(ctx, c.KeyAlgorithms()...); err != nil {
		return idp.Client{}, fmt.Errorf("admin: make signing keys: %w", err)
	}
	return s.saveClient(ctx, c, fields)
}

// DisableClient refuses the client everything from now on, on every node
// within a second. What it was issued stays dead when it is enabled again.
func (s *Service) DisableClient(ctx context.Context, clientID string) error {
	return s.turnClient(ctx, clientID, true)
}

// EnableClient lets a disabled client in again.
func (s *Service) EnableClient(ctx context.Context, clientID string) error {
	return s.turnClient(ctx, clientID, false)
}

func (s *Service) turnClient(ctx context.Context, clientID string, disabled bool) error {
	_, err := s.ChangeClient(ctx, clientID, func(c *idp.Client) error {
		c.Disabled = disabled
		return nil
	})
	return err
}

// seenEverywhere is how long it takes until every node acts on a change.
const seenEverywhere = 2 * time.Second

// setDisabled ends what a client was issued that is disabled or enabled now.
func (s *Service) setDisabled(c *idp.Client) {
	end := s.now()
	if seen := c.TokensValidAfter.Add(seenEverywhere); !c.Disabled && seen.Before(end) {
		end = seen // until then a node that had not heard of it may have issued tokens
	}
	if c.Disabled || !c.TokensValidAfter.IsZero() {
		c.TokensValidAfter = end
	}
}

// RevokeClientTokens ends everything that the client was issued until now.
func (s *Service) RevokeClientTokens(ctx context.Context, clientID string) error {
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return err
	}
	if err := s.mayRule(c.ClientMetadata); err != nil {
		return err
	}
	c.TokensValidAfter = s.now()
	_, err = s.saveClient(ctx, c, []string{"tokens_valid_after"})
	return err
}

// saveClient stores what was read and then changed.
func (s *Service) saveClient(ctx context.Context, c idp.Client, fields []string) (idp.Client, error) {
	seen, now := c.UpdatedAt, s.after(c.UpdatedAt)
	c.UpdatedAt = now
	event := s.event(ctx, now, idp.EventClientUpdated, c.ClientID, fields...)
	if slices.Contains(fields, "disabled") {
		event = with(event, "disabled", strconv.FormatBool(c.Disabled))
	}
	switch err := s.store.UpdateClient(ctx, c, seen, event); {
	case errors.Is(err, idp.ErrConflict):
		return idp.Client{}, changedMeanwhile("client", c.ClientID)
	case err != nil:
		return idp.Client{}, fmt.Errorf("admin: update client %q: %w", c.ClientID, err)
	}
	return c, nil
}

// DeleteClient removes the client with its secrets and consents. A client
// registered later under the same client_id inherits nothing.
func (s *Service) DeleteClient(ctx context.Context, clientID string) error {
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return err
	}
	if err := s.mayRule(c.ClientMetadata); err != nil {
		return err
	}
	if err := s.store.DeleteClient(ctx, clientID, s.event(ctx, s.now(), idp.EventClientDeleted, clientID)); err != nil {
		return fmt.Errorf("admin: delete client %q: %w", clientID, err)
	}
	return nil
}

// RotateSecret gives the client another secret and returns it; it cannot be
// read again. The secrets it had live for grace more, at most 90 days; 0 ends
// them now.
func (s *Service) RotateSecret(ctx context.Context, clientID string, grace time.Duration) (idp.Secret, error) {
	if grace < 0 || grace > MaxGrace {
		return "", idp.Invalid("grace", "must be from 0 to 90 days")
	}
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return "", err
	}
	if err := s.mayRule(c.ClientMetadata); err != nil {
		return "", err
	}
	if c.Public() {
		return "", idp.Invalid("token_endpoint_auth_method", "is none: a public client has no secret")
	}
	if !hasSecret(c.TokenEndpointAuthMethod) {
		return "", idp.Invalid("token_endpoint_auth_method", "is "+c.TokenEndpointAuthMethod+": the client has no secret")
	}
	now, secret := s.now(), newSecret()
	kept, err := s.keepSecret(c, secret, now)
	if err != nil {
		return "", fmt.Errorf("admin: rotate the secret of client %q: %w", clientID, err)
	}
	event := with(s.event(ctx, now, idp.EventClientSecretRotated, clientID), "grace", grace.String())
	if err := s.store.AddClientSecret(ctx, clientID, kept, now.Add(grace), event); err != nil {
		return "", fmt.Errorf("admin: rotate the secret of client %q: %w", clientID, err)
	}
	return secret, nil
}

// RevokeAll ends everything that was issued until now, for every client, and
// every session: the answer to a restored backup and to the worst of days.
func (s *Service) RevokeAll(ctx context.Context) error {
	now := s.now()
	return s.ChangeTokensValidAfter(ctx, func(before time.Time) (time.Time, error) {
		if before.After(now) { // by a clock that is ahead of this one
			return before, nil
		}
		return now, nil
	})
}

// TokensValidAfter returns the time before which everything that was issued is
// dead, whatever the client; zero for none.
func (s *Service) TokensValidAfter(ctx context.Context) (time.Time, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return time.Time{}, fmt.Errorf("admin: read what tokens are dead: %w", err)
	}
	return s.directory.TokensValidAfter(), nil
}

// ChangeTokensValidAfter is RevokeAll for what was issued before the time that
// change makes of the one that holds. It is not to come, and what is dead stays
// so. An error of change is the answer.
func (s *Service) ChangeTokensValidAfter(ctx context.Context, change func(before time.Time) (time.Time, error)) error {
	now := s.now()
	event := with(s.event(ctx, now, idp.EventTokenRevoked, "*"), "reason", "all tokens revoked by an operator")
	err := s.store.ChangeTokensValidAfter(ctx, func(before time.Time) (time.Time, error) {
		at, err := change(before)
		switch {
		case err != nil:
			return time.Time{}, err
		case at.Before(before):
			return time.Time{}, idp.Invalid("tokens_valid_after", "is earlier than it was: what is dead stays so")
		case at.After(now) && !at.Equal(before):
			return time.Time{}, idp.Invalid("tokens_valid_after", "is still to come")
		}
		return at, nil
	}, event)
	if err != nil {
		return fmt.Errorf("admin: revoke all tokens: %w", err)
	}
	return nil
}

// freeSubject refuses a client_id that is a user's subject: tokens of client
// credentials carry it as sub (RFC 9068 section 5).
func (s *Service) freeSubject(ctx context.Context, clientID string) error {
	switch _, err := s.store.User(ctx, clientID); {
	case err == nil:
		return idp.Invalid("client_id", "is the identifier of a user")
	case !errors.Is(err, idp.ErrNotFound):
		return fmt.Errorf("admin: create a client: %w", err)
	}
	return nil
}

func validClientID(id string) bool {
	// "." and ".." would vanish from a URL's path.
	return madeOf(id, "._~-", 128) && id != "." && id != ".."
}

func secretFault(secret, method string) string {
	if !hasSecret(method) {
		return "must be left out: the client authenticates with " + method
	}
	if len(secret) < 32 || len(secret) > 512 {
		return "must have 32 to 512 characters"
	}
	for i := range len(secret) {
		if secret[i] < 0x21 || secret[i] > 0x7e {
			return "must be of printable ASCII characters without spaces"
		}
	}
	return ""
}

// newClientID returns 100 random bits in four groups that can be read aloud.
func newClientID() string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz" // no i, l, o, u
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails: crypto/rand
	id := make([]byte, 0, 23)
	for i, b := range raw {
		if i > 0 && i%5 == 0 {
			id = append(id, '-')
		}
		id = append(id, alphabet[b&31])
	}
	return string(id)
}

// newSecret returns 256 random bits in base62: 43 characters that need no
// escaping anywhere.
func newSecret() idp.Secret {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails: crypto/rand
	text := new(big.Int).SetBytes(raw).Text(62)
	for len(text) < 43 {
		text = "0" + text
	}
	return idp.Secret(text)
}

// cloneClient returns a copy that shares nothing that can be changed.
func cloneClient(c *idp.Client) idp.Client {
	out := *c
	m := &out.ClientMetadata
	for _, list := range []*[]string{
		&m.GrantTypes, &m.ResponseTypes, &m.RedirectURIs, &m.Contacts, &m.Audience,
		&m.ResourceServerOf, &m.AllowedCORSOrigins, &m.AllowedGroups, &m.RequestURIs, &m.DefaultACRValues,
		&m.PostLogoutRedirectURIs,
	} {
		*list = slices.Clone(*list)
	}
	m.JWKS = slices.Clone(m.JWKS)
	if m.DefaultMaxAge != nil {
		age := *m.DefaultMaxAge
		m.DefaultMaxAge = &age
	}
	out.Secrets = slices.Clone(out.Secrets)
	for i := range out.Secrets {
		out.Secrets[i].Sealed = slices.Clone(out.Secrets[i].Sealed)
	}
	return out
}

func missing(noun, name string) error {
	return fmt.Errorf("%s %q: %w", noun, name, idp.ErrNotFound)
}

func taken(noun, name string) error {
	return fmt.Errorf("%s %q exists: %w", noun, name, idp.ErrConflict)
}

func changedMeanwhile(noun, name string) error {
	return fmt.Errorf("%s %q was changed at the same time, try again: %w", noun, name, idp.ErrChanged)
}

func inUse(noun, name, by string) error {
	return fmt.Errorf("%s %q is still named by %s: %w", noun, name, by, idp.ErrConflict)
}
