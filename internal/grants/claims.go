package grants

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"idp/internal/idp"
)

// maxClaimsDepth bounds how deep the claims parameter may nest; the
// specification needs four levels.
const maxClaimsDepth = 8

// requestedClaim is what the claims parameter says of one claim: the values
// are of whatever type the claim has.
type requestedClaim struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

// checkClaims looks into the claims parameter (OpenID Connect Core section 5.5)
// for the two things that must not be passed over in silence: an essential acr
// that no login here reaches (section 5.5.1.1), and a sub, because nobody else
// may be signed in then (section 3.1.2.2).
func checkClaims(req *authorizationRequest, form parameters) *Error {
	raw := form.get("claims")
	if raw == "" {
		return nil
	}
	if nesting(raw) > maxClaimsDepth {
		return invalidRequest("claims nests too deeply")
	}
	malformed := invalidRequest("claims is not the JSON object of OpenID Connect Core section 5.5")
	if !strings.HasPrefix(strings.TrimLeft(raw, " \t\r\n"), "{") {
		return malformed // null, which decodes into anything
	}
	var claims struct {
		IDToken  map[string]*requestedClaim `json:"id_token"`
		Userinfo map[string]*requestedClaim `json:"userinfo"`
	}
	if err := json.Unmarshal([]byte(raw), &claims); err != nil {
		return malformed.because(err)
	}
	if acr := claims.IDToken["acr"]; acr != nil && acr.Essential {
		wanted, err := acr.texts()
		if err != nil {
			return malformed.because(err)
		}
		if len(wanted) > 0 && !slices.Contains(wanted, idp.ACRPassword) {
			return oauthError(http.StatusBadRequest, "unmet_authentication_requirements", "no login here reaches the essential acr")
		}
	}
	if sub := claims.IDToken["sub"]; sub != nil && sub.Value != nil {
		if err := json.Unmarshal(sub.Value, &req.hintSubject); err != nil {
			return malformed.because(err)
		}
	}
	return nil
}

// texts returns value and values of a claim whose type is string.
func (c *requestedClaim) texts() ([]string, error) {
	values := c.Values
	if c.Value != nil {
		values = append(values, c.Value)
	}
	out := make([]string, len(values))
	for i, v := range values {
		if err := json.Unmarshal(v, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nesting returns how deep the brackets of a text go, without parsing it.
func nesting(s string) (deepest int) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}
