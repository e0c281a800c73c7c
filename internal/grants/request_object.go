package grants

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"idp/internal/idp"
)

// RequestObjects verifies what clients sign of their requests; implemented by
// *tokens.ClientKeys.
type RequestObjects interface {
	VerifyRequestObject(ctx context.Context, client *idp.Client, issuer, raw string) (map[string]json.RawMessage, error)
}

// Decrypter opens what clients encrypt to this issuer; implemented by
// *tokens.Keyring.
type Decrypter interface {
	Decrypt(raw, alg, enc string) (string, error)
}

// Documents reads what clients registered by its address. What accept refuses
// fails as if it were not there. Implemented by *outbound.Fetcher.
type Documents interface {
	Read(ctx context.Context, address string, accept func(body []byte) error) error
}

func invalidRequestObject(cause error) *Error {
	return oauthError(http.StatusBadRequest, "invalid_request_object", "the request object is not one that this client signed for this issuer").because(cause)
}

func invalidRequestURI(description string) *Error {
	return oauthError(http.StatusBadRequest, "invalid_request_uri", description)
}

// openObject replaces the parameters by those of the request object that they
// bring along or point to (RFC 9101 section 5): nothing else of them counts any
// more. Without an object they come back as they are. What is wrong is told
// once it is known whom to tell: see parameters.refusal.
func (s *Service) openObject(ctx context.Context, form parameters) (_ parameters, opened bool) {
	raw, address := form.get("request"), form.get("request_uri")
	if raw == "" && address == "" {
		return form, false
	}
	client, ok := s.Directory.Client(form.get("client_id"))
	if !ok || client.Disabled {
		return form, false // nobody to tell anything
	}
	var err *Error
	switch {
	case hasScope(form.duplicated, "request") || hasScope(form.duplicated, "request_uri") || hasScope(form.duplicated, "client_id"):
		err = invalidRequest("a parameter came more than once")
	case raw != "" && address != "":
		err = invalidRequest("request and request_uri exclude each other")
	case address != "":
		raw, err = s.fetchObject(ctx, client, address)
	}
	if err == nil && client.SecurityProfile == idp.ProfileOIDCLegacy && unsigned(raw) {
		err = unsignedNotSupported(address != "")
	}
	if err == nil {
		var object parameters
		if object, err = s.readObject(ctx, client, form, raw); err == nil {
			return object, true
		}
	}
	form.refusal = err
	return form, false
}

// unsigned reports whether a request object says that it is not signed.
func unsigned(raw string) bool {
	encoded, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	var header struct {
		Alg string `json:"alg"`
	}
	return err == nil && json.Unmarshal(decoded, &header) == nil && header.Alg == "none"
}

// unsignedNotSupported names what OpenID Connect Core section 3.1.2.6 has a
// name for. OAuth knows of no unsigned objects: there they are invalid.
func unsignedNotSupported(byReference bool) *Error {
	if byReference {
		return oauthError(http.StatusBadRequest, "request_uri_not_supported", "request objects have to be signed")
	}
	return oauthError(http.StatusBadRequest, "request_not_supported", "request objects have to be signed")
}

// fetchObject reads a request object from where the client registered that it
// keeps it. Nothing else is ever fetched (OpenID Connect Core section 6.2).
func (s *Service) fetchObject(ctx context.Context, client *idp.Client, address string) (string, *Error) {
	bare, hash, hashed := strings.Cut(address, "#")
	registered := slices.ContainsFunc(client.RequestURIs, func(uri string) bool { return uri == address || uri == bare })
	if !registered {
		return "", invalidRequestURI("request_uri is not registered for the client")
	}
	var raw string
	err := s.Documents.Read(idp.WithErrand(ctx, client.ClientID, "request_uri"), bare, func(body []byte) error {
		sum := sha256.Sum256(body)
		if hashed && strings.TrimRight(hash, "=") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return errors.New("the request object is not the one that the fragment of request_uri is the hash of")
		}
		raw = string(bytes.TrimSpace(body))
		return nil
	})
	if err != nil {
		return "", invalidRequestURI("no request object can be read from request_uri").because(err)
	}
	return raw, nil
}

// readObject opens a request object if it is encrypted, verifies it and returns
// the parameters in it. What was inside an encryption is signed like any other:
// encryption says nothing about whom it is from (RFC 9101 section 6.1).
func (s *Service) readObject(ctx context.Context, client *idp.Client, outer parameters, raw string) (parameters, *Error) {
	if strings.Count(raw, ".") == 4 {
		content, err := s.Decrypter.Decrypt(raw, client.RequestObjectEncryptionAlg, client.RequestObjectEncryptionEnc)
		if err != nil {
			return outer, invalidRequestObject(err)
		}
		raw = content
	}
	claims, err := s.RequestObjects.VerifyRequestObject(ctx, client, s.Issuer, raw)
	if err != nil {
		return outer, invalidRequestObject(err)
	}
	for _, name := range []string{"request", "request_uri"} { // RFC 9101 section 4
		if _, nested := claims[name]; nested {
			return outer, invalidRequest("a request object does not hold request or request_uri")
		}
	}
	inner, err := objectParameters(claims)
	if err != nil {
		return outer, invalidRequestObject(err)
	}
	inner.values.Set("client_id", client.ClientID)
	if t := inner.get("response_type"); t != "" && outer.get("response_type") != "" && t != outer.get("response_type") {
		return outer, invalidRequest("response_type differs from the one in the request object")
	}
	if client.SecurityProfile == idp.ProfileOIDCLegacy { // OpenID Connect Core section 6.1 has both count
		for _, name := range []string{"response_type", "scope"} {
			if value := outer.get(name); value != "" && inner.get(name) == "" && !hasScope(outer.duplicated, name) {
				inner.values.Set(name, value)
			}
		}
	}
	return inner, nil
}

// objectParameters writes the claims of a request object as the parameters that
// they stand for (RFC 9101 section 4). Numbers stay as they are written; an
// object, as claims has one, is JSON in a parameter too.
func objectParameters(claims map[string]json.RawMessage) (parameters, error) {
	if len(claims) > maxParameters {
		return parameters{}, errors.New("too many claims")
	}
	p := parameters{values: url.Values{}}
	for name, raw := range claims {
		switch {
		case slices.Contains([]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}, name), string(raw) == "null":
			continue
		case repeatable(name) && raw[0] == '[':
			var list []string
			if err := json.Unmarshal(raw, &list); err != nil || len(list) > maxParameters {
				return parameters{}, errors.New(name + " is no list of texts")
			}
			for _, value := range list {
				if value != "" {
					p.values.Add(name, value)
				}
			}
			continue
		}
		value := string(raw)
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &value); err != nil {
				return parameters{}, err
			}
		} else if raw[0] == '{' || raw[0] == '[' {
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				return parameters{}, err
			}
			value = compact.String()
		}
		if value != "" {
			p.values.Set(name, value)
		}
	}
	return p, nil
}

// checkSource refuses a request that did not come the way that its client has
// to send it.
func (s *Service) checkSource(c *idp.Client, flow idp.Flow) *Error {
	switch {
	case flow.Pushed == "" && (s.RequirePushed || c.RequirePushedAuthorizationRequests):
		return invalidRequest("this client must push its authorization requests").by(idp.RuleRequestPushed)
	case !flow.Signed && c.RequireSignedRequestObject:
		return invalidRequest("this client must send its authorization requests in a signed request object").by(idp.RuleRequestPushed)
	}
	return nil
}

// instead is what a person is told when it was already known what is wrong.
func (p *problem) instead(refusal *Error) *problem {
	if refusal == nil {
		return p
	}
	return &problem{status: http.StatusBadRequest, code: refusal.Code, message: idp.SayRequestUnreadable, reason: refusal.Error(), cause: refusal, step: refusal.step()}
}
