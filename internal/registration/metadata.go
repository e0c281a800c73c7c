package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"idp/internal/idp"
)

// clientFields are the metadata that a client may give. All else in an input
// is ignored, what only an operator may say of a client among it.
var clientFields = []string{
	"client_name", "application_type", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg",
	"grant_types", "response_types", "redirect_uris", "scope",
	"client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts",
	"jwks", "jwks_uri", "sector_identifier_uri", "subject_type",
	"id_token_signed_response_alg", "id_token_encrypted_response_alg", "id_token_encrypted_response_enc",
	"userinfo_signed_response_alg", "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc",
	"request_uris", "request_object_signing_alg", "request_object_encryption_alg", "request_object_encryption_enc", "require_signed_request_object", "require_pushed_authorization_requests",
	"default_max_age", "require_auth_time", "default_acr_values", "initiate_login_uri",
	"post_logout_redirect_uris", "frontchannel_logout_uri", "frontchannel_logout_session_required",
	"backchannel_logout_uri", "backchannel_logout_session_required",
	"software_id", "software_version", "software_statement",
}

// input is a registration request, read.
type input struct {
	metadata     idp.ClientMetadata
	clientID     string // RFC 7592 section 2.2
	clientSecret string
}

// readFields takes the JSON object of a registration request apart.
func readFields(body []byte) (map[string]json.RawMessage, *Error) {
	var fields map[string]json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&fields); err != nil || fields == nil || decoder.More() {
		return nil, invalidMetadata("the body must be one JSON object")
	}
	return fields, nil
}

// readInput reads the fields of a registration request.
func readInput(fields map[string]json.RawMessage) (input, *Error) {
	var in input
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		delete(fields, name)
	}
	for name, into := range map[string]*string{"client_id": &in.clientID, "client_secret": &in.clientSecret} {
		if raw, ok := fields[name]; ok && json.Unmarshal(raw, into) != nil {
			return in, invalidMetadata(name + " is of the wrong type")
		}
	}
	known := map[string]json.RawMessage{}
	for _, name := range clientFields {
		if raw, ok := fields[name]; ok && string(raw) != "null" {
			known[name] = raw
		}
	}
	raw, err := json.Marshal(known)
	if err != nil {
		return in, invalidMetadata("the body must be one JSON object")
	}
	if err := json.Unmarshal(raw, &in.metadata); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return in, invalidMetadata(wrong.Field + " is of the wrong type")
		}
		return in, invalidMetadata("a field is of the wrong type")
	}
	return in, nil
}

// over returns the metadata of a client that changes itself: what it may say is
// replaced as a whole (RFC 7592 section 2.2), what an operator said stays.
func (in input) over(before idp.ClientMetadata) (idp.ClientMetadata, error) {
	var after idp.ClientMetadata
	merged, said := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, part := range []struct {
		metadata idp.ClientMetadata
		into     *map[string]json.RawMessage
	}{{before, &merged}, {in.metadata, &said}} {
		raw, err := json.Marshal(part.metadata)
		if err != nil {
			return after, err
		}
		if err := json.Unmarshal(raw, part.into); err != nil {
			return after, err
		}
	}
	for _, name := range clientFields {
		delete(merged, name)
		if raw, ok := said[name]; ok {
			merged[name] = raw
		}
	}
	raw, err := json.Marshal(merged)
	if err != nil {
		return after, err
	}
	return after, json.Unmarshal(raw, &after)
}

// policy puts what the operator says over what the client said.
func (s *Service) policy(m *idp.ClientMetadata) *Error {
	m.SelfRegistered = true
	m.SecurityProfile = s.Policy.SecurityProfile
	m.Audience = s.Policy.Audience
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = idp.AuthClientSecretBasic
	}
	legacy := m.SecurityProfile == idp.ProfileOIDCLegacy
	m.PKCEOptional = legacy && m.TokenEndpointAuthMethod != idp.AuthNone
	if err := grantTypes(m, legacy); err != nil {
		return err
	}
	for i, name := range m.ResponseTypes { // their order means nothing
		if t, ok := idp.ParseResponseType(name); ok {
			m.ResponseTypes[i] = t.String()
		}
	}
	if err := s.scope(m); err != nil {
		return err
	}
	if reason := s.nameFault(m.ClientName); reason != "" {
		return invalidMetadata("client_name: " + reason)
	}
	return nil
}

// grantTypes lets through what people stand behind. The implicit grant is no
// grant of its own here: response_types say what a client may get that way.
func grantTypes(m *idp.ClientMetadata, legacy bool) *Error {
	var kept []string
	for _, g := range m.GrantTypes {
		switch g {
		case idp.GrantImplicit:
			if !legacy {
				return invalidMetadata("grant_types: the implicit grant is not to be had here")
			}
			g = idp.GrantAuthorizationCode
		case idp.GrantAuthorizationCode, idp.GrantRefreshToken:
		default:
			return invalidMetadata("grant_types: a client that registers itself may have authorization_code and refresh_token")
		}
		if !slices.Contains(kept, g) {
			kept = append(kept, g)
		}
	}
	if len(kept) == 0 {
		kept = []string{idp.GrantAuthorizationCode}
	}
	m.GrantTypes = kept
	return nil
}

// scope gives a client that names no scopes all that are to be had.
func (s *Service) scope(m *idp.ClientMetadata) *Error {
	if m.Scope != "" {
		for _, scope := range strings.Fields(m.Scope) {
			if !slices.Contains(s.Policy.Scopes, scope) {
				return invalidMetadata("scope: one of the scopes is not for clients that register themselves")
			}
		}
		return nil
	}
	refresh := slices.Contains(m.GrantTypes, idp.GrantRefreshToken)
	m.Scope = strings.Join(slices.DeleteFunc(slices.Clone(s.Policy.Scopes), func(scope string) bool {
		return scope == idp.ScopeOfflineAccess && !refresh
	}), " ")
	return nil
}

// nameFault keeps a client from passing for one that an operator registered:
// by the same name, or by letters that only look the same.
func (s *Service) nameFault(name string) string {
	if name == "" {
		return ""
	}
	scripts := 0
	for _, script := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee} {
		if strings.ContainsFunc(name, func(r rune) bool { return unicode.Is(script, r) }) {
			scripts++
		}
	}
	if scripts > 1 {
		return "mixes letters of several alphabets"
	}
	for _, c := range s.Directory.Clients() {
		if !c.SelfRegistered && c.ClientName != "" && skeleton(c.ClientName) == skeleton(name) {
			return "is the name of another application"
		}
	}
	return ""
}

// skeleton is what of a name people tell apart at a glance.
func skeleton(name string) string {
	return strings.Map(func(r rune) rune {
		switch r = unicode.ToLower(r); r {
		case '0':
			return 'o'
		case '1', 'l', '|':
			return 'i'
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return r
	}, name)
}

// presentsItselfAnew reports whether a client changed what people know it by:
// its name, its pictures and pages, and where it lives.
func presentsItselfAnew(before, after idp.ClientMetadata) bool {
	if before.ClientName != after.ClientName || before.LogoURI != after.LogoURI || before.ClientURI != after.ClientURI ||
		before.PolicyURI != after.PolicyURI || before.TosURI != after.TosURI {
		return true
	}
	uris := [][2][]string{{before.RedirectURIs, after.RedirectURIs}, {before.PostLogoutRedirectURIs, after.PostLogoutRedirectURIs}}
	return slices.ContainsFunc(uris, func(pair [2][]string) bool {
		return slices.ContainsFunc(pair[1], func(uri string) bool { return !slices.Contains(pair[0], uri) })
	})
}

// sectorFault checks that the client's redirect URIs are listed where it says
// (OpenID Connect Dynamic Client Registration section 5).
func sectorFault(body []byte, redirectURIs []string) error {
	var listed []string
	if err := json.Unmarshal(body, &listed); err != nil {
		return fmt.Errorf("the sector document is no list of strings: %w", err)
	}
	for _, uri := range redirectURIs {
		if !slices.Contains(listed, uri) {
			return errors.New("the sector document lacks a redirect URI")
		}
	}
	return nil
}
