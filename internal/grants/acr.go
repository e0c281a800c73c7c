package grants

import (
	"net/http"
	"slices"

	"idp/internal/idp"
)

// acrWish is which authentication context classes the client asks for.
type acrWish struct {
	values    []string // any of them will do; empty for no wish
	essential bool     // without one of them the client wants no answer
}

// checkACRValues reads acr_values, or the client's default_acr_values (OpenID
// Connect Core section 3.1.2.1). Classes that nobody here knows are passed
// over: the wish is voluntary.
func checkACRValues(req *authorizationRequest, form parameters) *Error {
	values, ok := spaceList(form.get("acr_values"))
	if !ok {
		return invalidRequest("acr_values is not a list of values with spaces between")
	}
	if len(values) == 0 {
		values = req.client.DefaultACRValues
	}
	req.acr.values = values
	return nil
}

// fromClaims reads the acr of the claims parameter's id_token. An essential one
// that no sign-in here reaches is an error at once (OpenID Connect Core section
// 5.5.1.1).
func (w *acrWish) fromClaims(acr *idp.ClaimRequest) *Error {
	wanted := acr.Wanted()
	if len(wanted) == 0 {
		return nil
	}
	values, ok := texts(wanted)
	if !ok {
		return invalidRequest("claims asks for an acr that is no string")
	}
	w.values, w.essential = values, acr.Essential
	if w.essential && w.weakest() == "" {
		return errUnmet("no sign-in here reaches the essential acr").by(idp.RuleSignInLevel, fact("reachable", idp.ACRs()...))
	}
	return nil
}

// errUnmet is the error of OpenID Connect Unmet Authentication Requirements
// 1.0 section 3.
func errUnmet(description string) *Error {
	return oauthError(http.StatusBadRequest, "unmet_authentication_requirements", description)
}

// weakest returns the least of the wanted classes that a sign-in here can
// reach; empty when it can reach none.
func (w *acrWish) weakest() string {
	for _, class := range idp.ACRs() {
		if slices.Contains(w.values, class) {
			return class
		}
	}
	return ""
}

// met returns the strongest wanted class that a sign-in of class held
// satisfies; empty for none.
func (w *acrWish) met(held string) string {
	for _, class := range slices.Backward(idp.ACRs()) {
		if slices.Contains(w.values, class) && idp.ACRSatisfies(held, class) {
			return class
		}
	}
	return ""
}

// lack is a class of sign-in that the session does not reach yet.
type lack struct {
	acr       string // empty for none: nothing is lacking
	policy    bool   // the sign-in policy asks for it
	essential bool   // the client wants no answer without it
}

// lacks says which class the session still has to reach: what the policy asks
// for first, then the client's wish.
func (f facts) lacks() lack {
	held, wish := f.who.Session.ACR, f.request.acr
	if wanted := f.demand.ACR; wanted != "" && !idp.ACRSatisfies(held, wanted) {
		return lack{acr: wanted, policy: true}
	}
	if wanted := wish.weakest(); wanted != "" && wish.met(held) == "" {
		return lack{acr: wanted, essential: wish.essential}
	}
	return lack{}
}

// grantedACR is the class that the client is told: of those it asked for the
// strongest that was reached, so that it finds what it looks for.
func (f facts) grantedACR() string {
	if class := f.request.acr.met(f.who.Session.ACR); class != "" {
		return class
	}
	return f.who.Session.ACR
}
