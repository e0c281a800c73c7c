package grants

import "idp/internal/idp"

// maxClaimsDepth bounds how deep the claims parameter may nest; the
// specification needs four levels.
const maxClaimsDepth = 8

// checkClaims reads the claims parameter (OpenID Connect Core section 5.5). Two
// things in it must not be passed over in silence: an essential acr (section
// 5.5.1.1), and a sub, because nobody else may be signed in then (section
// 3.1.2.2).
func checkClaims(req *authorizationRequest, form parameters) *Error {
	raw := form.get("claims")
	if raw == "" {
		return nil
	}
	if nesting(raw) > maxClaimsDepth {
		return invalidRequest("claims nests too deeply")
	}
	malformed := invalidRequest("claims is not the JSON object of OpenID Connect Core section 5.5")
	claims, err := idp.ParseClaimsRequest(raw)
	if err != nil {
		return malformed.because(err)
	}
	if err := req.acr.fromClaims(claims.IDToken["acr"]); err != nil {
		return err
	}
	if sub := claims.IDToken["sub"]; sub != nil && sub.Value != nil {
		var ok bool
		if req.hintSubject, ok = sub.Value.(string); !ok {
			return malformed
		}
	}
	req.claims = claims
	return nil
}

// texts returns the values of a claim whose type is string.
func texts(values []any) ([]string, bool) {
	out := make([]string, len(values))
	for i, v := range values {
		var ok bool
		if out[i], ok = v.(string); !ok {
			return nil, false
		}
	}
	return out, true
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
