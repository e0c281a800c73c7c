package idp

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// ClaimsRequest is the claims parameter of OpenID Connect Core section 5.5:
// single claims, asked for by name. A nil ClaimRequest asks for a claim without
// further wishes.
type ClaimsRequest struct {
	IDToken  map[string]*ClaimRequest `json:"id_token,omitempty"`
	Userinfo map[string]*ClaimRequest `json:"userinfo,omitempty"`
}

// ClaimRequest holds the wishes about one claim.
type ClaimRequest struct {
	Essential bool  `json:"essential,omitempty"`
	Value     any   `json:"value,omitempty"`
	Values    []any `json:"values,omitempty"`
}

// ParseClaimsRequest reads a claims parameter. Members that the specification
// does not define are passed over.
func ParseClaimsRequest(raw string) (*ClaimsRequest, error) {
	if !strings.HasPrefix(strings.TrimLeft(raw, " \t\r\n"), "{") {
		return nil, ErrMalformed // null, which decodes into anything
	}
	var c ClaimsRequest
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// Wanted returns every value that the request accepts for the claim.
func (c *ClaimRequest) Wanted() []any {
	if c == nil {
		return nil
	}
	if c.Value != nil {
		return append([]any{c.Value}, c.Values...)
	}
	return c.Values
}

// claimScopes says which scope opens a claim (OpenID Connect Core section 5.4).
var claimScopes = map[string]string{
	"name": ScopeProfile, "given_name": ScopeProfile, "family_name": ScopeProfile, "middle_name": ScopeProfile,
	"nickname": ScopeProfile, "preferred_username": ScopeProfile, "profile": ScopeProfile, "picture": ScopeProfile,
	"website": ScopeProfile, "gender": ScopeProfile, "birthdate": ScopeProfile, "zoneinfo": ScopeProfile,
	"locale": ScopeProfile, "updated_at": ScopeProfile,
	"email": ScopeEmail, "email_verified": ScopeEmail,
	"phone_number": ScopePhone, "phone_number_verified": ScopePhone,
	"address":   ScopeAddress,
	ClaimGroups: ScopeMemberships,
}

// Scopes returns the scopes that open the claims asked for. Asking for one
// claim takes the same permission as asking for its scope.
func (c *ClaimsRequest) Scopes(rules ClaimRules) []string {
	if c == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, set := range []map[string]*ClaimRequest{c.IDToken, c.Userinfo} {
		for name := range set {
			if scope := rules.scope(name); scope != "" {
				seen[scope] = true
			}
		}
	}
	var out []string
	for _, scope := range IdentityScopes() {
		if seen[scope] {
			out = append(out, scope)
			delete(seen, scope)
		}
	}
	return append(out, slices.Sorted(maps.Keys(seen))...)
}

// Requested returns those of the claims asked for by name that the allowed
// scopes open, as far as the person has them.
func (u *User) Requested(m Memberships, asked map[string]*ClaimRequest, allowed []string, rules ClaimRules) map[string]any {
	claims := map[string]any{}
	for name := range asked {
		for _, scope := range allowed {
			if rules.scope(name) != scope {
				continue
			}
			if value, ok := u.Claims(m, []string{scope}, rules)[name]; ok {
				claims[name] = value
			}
		}
	}
	return claims
}
