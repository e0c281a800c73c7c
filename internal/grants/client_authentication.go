package grants

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"idp/internal/idp"
)

// maxSecret bounds a presented secret, in bytes, before anything is hashed.
const maxSecret = 512

// assertionType is the only kind of client assertion (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Assertions verifies the JWTs that clients prove who they are with;
// implemented by *tokens.ClientKeys.
type Assertions interface {
	// Claimant returns the client that an assertion says it is from.
	Claimant(assertion string) string
	VerifyAssertion(ctx context.Context, client *idp.Client, assertion string, audience idp.AudienceRule) (idp.ClientAssertion, error)
}

// AssertionStore remembers what was used; implemented by *store.Store.
type AssertionStore interface {
	UseAssertion(ctx context.Context, a idp.ClientAssertion) error
}

// credentials are what a request presents, whatever the method.
type credentials struct {
	clientID  string
	secret    string
	assertion string
	method    string // empty for an assertion: which one it is depends on the client
}

// presented reads the client's credentials from a request: by exactly one
// method (RFC 6749 section 2.3).
func (s *Service) presented(r *http.Request, form parameters) (credentials, *Error) {
	c := credentials{clientID: form.get("client_id"), secret: form.get("client_secret")}
	headers := r.Header.Values("Authorization")
	if form.get("client_assertion") != "" || form.get("client_assertion_type") != "" {
		if len(headers) > 0 || c.secret != "" {
			return c, invalidRequest("the client used more than one authentication method").by(idp.RuleClientPresented)
		}
		if form.get("client_assertion_type") != assertionType {
			return c, invalidClient().because(errors.New("unknown client_assertion_type"))
		}
		c.assertion = form.get("client_assertion")
		if c.clientID == "" { // RFC 7521 section 4.2: it may be left out
			c.clientID = s.Assertions.Claimant(c.assertion)
		}
		if c.clientID == "" {
			return c, invalidClient().because(errors.New("the client assertion names no client"))
		}
		return c, nil
	}
	switch {
	case len(headers) > 1:
		return c, invalidRequest("the Authorization header came more than once").by(idp.RuleClientPresented)
	case len(headers) == 1:
		id, secret, ok := basicCredentials(headers[0])
		if !ok {
			return c, invalidClient().because(errors.New("malformed Authorization header"))
		}
		if form.values.Has("client_secret") {
			return c, invalidRequest("the client used more than one authentication method").by(idp.RuleClientPresented)
		}
		if c.clientID != "" && c.clientID != id {
			return c, invalidRequest("client_id differs from the authenticated client").by(idp.RuleClientPresented)
		}
		return credentials{clientID: id, secret: secret, method: idp.AuthClientSecretBasic}, nil
	case c.clientID == "":
		return c, invalidClient().because(errors.New("no client credentials"))
	case form.values.Has("client_secret"):
		c.method = idp.AuthClientSecretPost
		return c, nil
	}
	c.method = idp.AuthNone
	return c, nil
}

// basicCredentials decodes an Authorization header of the Basic scheme. Both
// halves are form-encoded first (RFC 6749 section 2.3.1).
func basicCredentials(header string) (id, secret string, ok bool) {
	scheme, encoded, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Basic") || len(encoded) > 4*maxSecret {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	rawID, rawSecret, found := strings.Cut(string(decoded), ":")
	if !found {
		return "", "", false
	}
	id, err1 := url.QueryUnescape(rawID)
	secret, err2 := url.QueryUnescape(rawSecret)
	return id, secret, err1 == nil && err2 == nil && id != "" && secret != ""
}

// authenticate returns the client that sent the request. Whatever is wrong,
// the client learns only that authentication failed: unknown, disabled, wrong
// secret and wrong method look and cost the same.
func (s *Service) authenticate(w http.ResponseWriter, r *http.Request, form parameters) (*idp.Client, *Error) {
	creds, err := s.presented(r, form)
	record := idp.RequestFrom(r.Context())
	if err != nil {
		s.noteAuthFailure(r, creds.clientID, err)
		return nil, err
	}
	guess := creds.clientID + "\x00" + record.RemoteAddr
	if wait := s.guesses.blocked(guess); wait > 0 {
		return nil, &Error{
			Code: "temporarily_unavailable", Description: "too many failed attempts; wait before the next",
			Status: http.StatusTooManyRequests, RetryAfter: int(wait.Seconds()) + 1, rule: idp.RuleClientAttempts,
		}
	}
	client, cause := s.verify(creds)
	if cause == nil && creds.assertion != "" {
		cause = s.verifyAssertion(r, client, creds.assertion)
	}
	if errors.Is(cause, idp.ErrUnavailable) {
		return nil, unavailable(cause)
	}
	if cause != nil {
		s.guesses.failed(guess)
		rule, facts := s.unproven(creds, cause)
		err := invalidClient().because(cause).by(rule, facts...)
		s.noteAuthFailure(r, creds.clientID, err)
		return nil, err
	}
	record.ClientID = client.ClientID
	// The preflight could not know the client; its answer must not be readable
	// for another client's origin.
	if origin := r.Header.Get("Origin"); origin != "" && !slices.Contains(client.AllowedCORSOrigins, origin) {
		w.Header().Del("Access-Control-Allow-Origin")
	}
	return client, nil
}

func (s *Service) verify(creds credentials) (*idp.Client, error) {
	client, known := s.Directory.Client(creds.clientID)
	hashes := []string{""}
	if known && !client.Public() {
		hashes = hashes[:0]
		for _, secret := range client.Secrets {
			if secret.ExpiresAt.IsZero() || s.now().Before(secret.ExpiresAt) {
				hashes = append(hashes, secret.Hash)
			}
		}
	}
	matched := false
	if creds.secret != "" && len(creds.secret) <= maxSecret {
		for _, hash := range hashes {
			matched = s.Secrets.VerifySecret(hash, creds.secret) || matched
		}
	}
	switch {
	case !known:
		return nil, errUnknownClient
	case client.Disabled:
		return nil, idp.RefusedClientDisabled
	case creds.assertion != "" && client.AssertsItself():
		return client, nil // as far as the assertion proves it
	case client.TokenEndpointAuthMethod != creds.method:
		return nil, fmt.Errorf("%w %s, registered for %s", errWrongMethod, cmp.Or(creds.method, "client_assertion"), client.TokenEndpointAuthMethod)
	case client.Public():
		return client, nil
	case !matched:
		return nil, errWrongSecret
	}
	return client, nil
}

// Why a client did not prove who it is.
var (
	errUnknownClient = errors.New("unknown client")
	errWrongMethod   = errors.New("authenticated by")
	errWrongSecret   = errors.New("wrong or expired secret")
)

// verifyAssertion proves that the client itself sent the assertion, to this
// issuer, now, and for the first time.
func (s *Service) verifyAssertion(r *http.Request, client *idp.Client, raw string) error {
	assertion, err := s.Assertions.VerifyAssertion(r.Context(), client, raw, s.assertionAudience(r, client))
	if err != nil {
		return err
	}
	return s.AssertionStore.UseAssertion(r.Context(), assertion)
}

// assertionAudience says how the client may address its assertions: by the
// issuer, and, under the profiles that follow OpenID Connect Core section 9, by
// the URL of the token endpoint or of the one that it calls. Other profiles
// take the issuer as a string alone: only an assertion for one server cannot be
// passed on to another one (draft-ietf-oauth-rfc7523bis section 4).
func (s *Service) assertionAudience(r *http.Request, client *idp.Client) idp.AudienceRule {
	switch client.SecurityProfile {
	case "", idp.ProfileBaseline, idp.ProfileOIDCLegacy:
	default:
		return idp.AudienceRule{Accepted: []string{s.Issuer}, Single: true}
	}
	rule := idp.AudienceRule{Accepted: []string{s.Issuer, s.Issuer + "/oauth2/token"}}
	for _, endpoint := range []string{"/oauth2/introspect", "/oauth2/revoke", "/oauth2/par"} {
		if strings.HasSuffix(r.URL.Path, endpoint) {
			rule.Accepted = append(rule.Accepted, s.Issuer+endpoint)
		}
	}
	return rule
}

func (s *Service) noteAuthFailure(r *http.Request, clientID string, err *Error) {
	if _, known := s.Directory.Client(clientID); !known {
		clientID = "" // what a stranger typed is not worth keeping
	}
	reason := err.Description
	if err.cause != nil {
		reason = err.cause.Error()
	}
	s.Audit.Note(r.Context(), idp.Event{
		Kind: idp.EventClientAuthFailed, At: s.now(), ClientID: clientID,
		Detail: map[string]string{"error": err.Code, "reason": reason},
	})
}
