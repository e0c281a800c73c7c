package registration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// DocumentReader reads what is at an address, and says how long that may be
// kept. Implemented by *outbound.Fetcher.
type DocumentReader interface {
	ReadDocument(ctx context.Context, address string, accept func(body []byte, contentType string) error) (maxAge time.Duration, err error)
}

// DocumentAdmin stores clients that are described by a document of their own;
// implemented by *admin.Service.
type DocumentAdmin interface {
	RegisterDocumentClient(ctx context.Context, clientID string, m idp.ClientMetadata, r idp.Registration) error
	// ChangeDocumentClient ends the consents that were given to what the client
	// was before, if it is another now.
	ChangeDocumentClient(ctx context.Context, clientID string, m idp.ClientMetadata) error
}

const (
	// A document is good for as long as it says, within these.
	shortestDocumentLife = 5 * time.Minute
	longestDocumentLife  = 24 * time.Hour

	maxDocumentAddress = 512 // bytes
)

// reading is a document under way or read.
type reading struct {
	done  chan struct{} // closed when it was read
	until time.Time     // good until
	err   error
}

// Ensure makes a client whose client_id is the address of a document known, as
// the document describes it now (draft-ietf-oauth-client-id-metadata-document).
// Other identifiers are nothing to it. An error says that the document cannot be
// had or used: nobody is to be sent to the client then.
func (s *Service) Ensure(ctx context.Context, clientID string) error {
	if !s.Policy.MetadataDocuments || !strings.HasPrefix(clientID, "https://") {
		return nil
	}
	host, reason := documentHost(clientID)
	if reason != "" {
		return fmt.Errorf("client_id %s: %w", reason, idp.ErrMalformed)
	}
	if len(s.Policy.DocumentHosts) > 0 && !slices.Contains(s.Policy.DocumentHosts, host) {
		return fmt.Errorf("metadata documents of the host are not read: %w", idp.ErrNotFound)
	}
	r, mine := s.reading(clientID)
	if mine { // for whoever else waits too, should this caller go away
		s.attempt(context.WithoutCancel(ctx), clientID, r)
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reading returns the attempt to wait for, and whether it is the caller's to
// make. Failures are not kept.
func (s *Service) reading(clientID string) (r *reading, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.Directory.Client(clientID)
	r = s.documents[clientID]
	if r != nil && (r.until.IsZero() || known && s.now().Before(r.until)) {
		return r, false
	}
	if len(s.documents) >= s.Policy.MaxClients {
		for other, old := range s.documents {
			if !old.until.IsZero() && !s.now().Before(old.until) {
				delete(s.documents, other)
			}
		}
	}
	r = &reading{done: make(chan struct{})}
	s.documents[clientID] = r
	return r, true
}

// attempt reads the document for all who wait for it.
func (s *Service) attempt(ctx context.Context, clientID string, r *reading) {
	life, err := time.Duration(0), errors.New("the document was not read to its end")
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.until, r.err = s.now().Add(life), err
		if err != nil {
			delete(s.documents, clientID)
		}
		close(r.done)
	}()
	life, err = s.readDocument(ctx, clientID)
}

// readDocument makes the client what its document says, and returns how long
// that is good for.
func (s *Service) readDocument(ctx context.Context, clientID string) (time.Duration, error) {
	// 1. Not too often, and not too many.
	if err := s.throttle(ctx); err != nil {
		return 0, err
	}
	before, known := s.Directory.Client(clientID)
	if !known && s.selfRegistered() >= s.Policy.MaxClients {
		return 0, errors.New("no more clients can be known just now")
	}
	// 2. Read it.
	var in input
	maxAge, err := s.Reader.ReadDocument(idp.WithErrand(ctx, clientID, "client_id"), clientID, func(body []byte, contentType string) error {
		var err error
		in, err = readClientDocument(body, contentType, clientID)
		return err
	})
	if err != nil {
		return 0, err
	}
	life := min(max(maxAge, shortestDocumentLife), longestDocumentLife)
	// 3. Put the policy over it. What an operator said of the client stays.
	m := in.metadata
	if known {
		if m, err = in.over(before.ClientMetadata); err != nil {
			return 0, err
		}
	}
	s.leaveOut(&m)
	if refusal := s.policy(&m); refusal != nil {
		return 0, refusal
	}
	m.SecurityProfile, m.PKCEOptional, m.MetadataDocument = idp.ProfileBaseline, false, true
	// 4. Store it, if there is anything new.
	if known {
		if presentsItselfAnew(before.ClientMetadata, m) {
			m.Verified = false // who vouched saw another one
		}
		return life, s.DocumentAdmin.ChangeDocumentClient(ctx, clientID, m)
	}
	registration := idp.Registration{ID: newID(), Salt: make([]byte, 16), Generation: 1} // nobody is given its token
	_, _ = rand.Read(registration.Salt)
	err = s.DocumentAdmin.RegisterDocumentClient(ctx, clientID, m, registration)
	if _, known := s.Directory.Client(clientID); known && errors.Is(err, idp.ErrConflict) {
		err = nil // another node was first
	}
	return life, err
}

// documentHost checks the address of a document, and returns its host: https
// with a path, and spelled in one way only.
func documentHost(address string) (host, reason string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		return "", "is not an https address"
	case len(address) > maxDocumentAddress:
		return "", "is too long"
	case u.User != nil || strings.Contains(address, "@"):
		return "", "names a user"
	case strings.ContainsAny(address, "#?\\"):
		return "", "has a fragment or a query"
	case len(u.Path) < 2 || strings.Contains(u.Path, "//") || u.RawPath != "":
		return "", "has no plain path"
	case u.String() != address || u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Hostname(), "."):
		return "", "is not spelled plainly"
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return "", "has dot segments"
		}
	}
	return u.Hostname(), ""
}

// readClientDocument reads the metadata of the client whose document it is.
func readClientDocument(body []byte, contentType, clientID string) (input, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/json" && !(strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")) {
		return input{}, errors.New("is not served as JSON")
	}
	fields, refusal := readFields(body)
	if refusal != nil {
		return input{}, refusal
	}
	for _, name := range []string{"client_secret", "client_secret_expires_at"} {
		if _, ok := fields[name]; ok {
			return input{}, errors.New("names a secret: everybody can read it")
		}
	}
	// What of other servers may be in it, and would need more than is here.
	for _, name := range []string{"software_statement", "sector_identifier_uri"} {
		delete(fields, name)
	}
	if _, ok := fields["token_endpoint_auth_method"]; !ok {
		fields["token_endpoint_auth_method"] = json.RawMessage(`"` + idp.AuthNone + `"`)
	}
	in, refusal := readInput(fields)
	if refusal != nil {
		return input{}, refusal
	}
	switch method := in.metadata.TokenEndpointAuthMethod; {
	case in.clientID != clientID:
		return input{}, errors.New("client_id in it is another one")
	case method != idp.AuthNone && method != idp.AuthPrivateKeyJWT:
		return input{}, errors.New("token_endpoint_auth_method must be none or private_key_jwt")
	}
	return in, ownRedirects(&in.metadata, clientID)
}

// ownRedirects lets a client send people to its own origin, or, if it has no
// place there, to a program on their computer.
func ownRedirects(m *idp.ClientMetadata, clientID string) error {
	own := idp.RedirectOrigin(clientID)
	for _, uri := range m.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil {
			return errors.New("redirect_uris: not a URL")
		}
		switch loopback := u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"; {
		case u.Scheme == "https" && idp.RedirectOrigin(uri) == own:
		case u.Scheme == "http" && loopback:
			m.ApplicationType = idp.ApplicationNative
		default:
			return errors.New("redirect_uris lead to another host than the document's")
		}
	}
	return nil
}

// leaveOut drops what a document offers to servers that have it: one document
// is for all of them.
func (s *Service) leaveOut(m *idp.ClientMetadata) {
	m.GrantTypes = slices.DeleteFunc(slices.Clone(m.GrantTypes), func(g string) bool {
		return g != idp.GrantAuthorizationCode && g != idp.GrantRefreshToken
	})
	if m.ResponseTypes != nil {
		m.ResponseTypes = []string{"code"}
	}
	m.Scope = strings.Join(slices.DeleteFunc(strings.Fields(m.Scope), func(scope string) bool {
		return !slices.Contains(s.Policy.Scopes, scope) || scope == idp.ScopeOfflineAccess && !slices.Contains(m.GrantTypes, idp.GrantRefreshToken)
	}), " ")
}
