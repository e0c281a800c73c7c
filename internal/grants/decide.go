package grants

import (
	"net/http"
	"slices"
	"time"

	"idp/internal/idp"
)

// step is what comes next in an authorization.
type step int

const (
	stepFail step = iota
	stepIssue
	stepLogin
	stepRegister
	stepSelectAccount
	stepConsent
)

// facts are all that the decision depends on.
type facts struct {
	request *authorizationRequest
	flow    idp.Flow
	who     *idp.AuthorizationContext // nil while nobody is signed in
	subject string                    // what the client knows who by
	scopes  []string                  // those of the request that the person may grant
	asked   []string                  // scopes, and those that open the claims asked for by name
	demand  idp.Demand                // what the policy asks of the sign-in
	now     time.Time
}

// facts gathers what is known of a request; who may be nil.
func (s *Service) facts(req *authorizationRequest, flow idp.Flow, who *idp.AuthorizationContext) facts {
	f := facts{request: req, flow: flow, who: who, now: s.now()}
	if who != nil {
		f.subject = s.subject(req.client, who.User.ID)
		f.scopes = s.permitted(req.target, who.Memberships)
		f.asked = req.withClaimScopes(f.scopes, s.claimRules())
		f.demand = s.Directory.SignInPolicy().Demands(req.client.ClientID, who.Memberships)
	}
	return f
}

// decide says what comes next. It is pure: the same facts give the same step.
// An answer counts only when it was given after the request was made, so
// repeating a step's link changes nothing.
func decide(f facts) (step, *Error) {
	req := f.request
	silent := req.prompts("none")
	if f.flow.Denied {
		return stepFail, accessDenied("the person refused")
	}
	if req.prompts(promptCreate) && (f.who == nil || f.who.Session.AuthTime.Before(f.flow.RequestedAt)) {
		return stepRegister, nil
	}
	if f.needsLogin() {
		if silent {
			return stepFail, oauthError(http.StatusBadRequest, "login_required", "nobody is signed in, or not recently enough")
		}
		return stepLogin, nil
	}
	fresh := !f.who.Session.AuthTime.Before(f.flow.RequestedAt)
	if req.hintSubject != "" && req.hintSubject != f.subject {
		if silent || fresh {
			return stepFail, oauthError(http.StatusBadRequest, "login_required", "another person than the request names is signed in")
		}
		return stepLogin, nil
	}
	if req.prompts("select_account") && !fresh && f.flow.AccountChosen != f.who.Session.ID.String() {
		return stepSelectAccount, nil
	}
	switch {
	case !req.client.Admits(f.who.Memberships):
		return stepFail, accessDenied("the person may not use this application")
	case len(f.scopes) == 0 || len(req.target.scopes) > 0 && onlyProtocol(f.scopes) && !onlyProtocol(req.target.scopes):
		return stepFail, accessDenied("the person holds no role that allows the requested scopes")
	}
	switch lack := f.lacks(); {
	case lack.acr == "" || !lack.policy && !lack.essential && (silent || f.flow.Unreachable == lack.acr):
	case silent:
		return stepFail, oauthError(http.StatusBadRequest, "login_required", "a stronger sign-in is needed")
	case lack.essential && f.flow.Unreachable == lack.acr:
		return stepFail, errUnmet("the person cannot sign in as the essential acr asks")
	default:
		return stepLogin, nil
	}
	if f.needsConsent() {
		if silent {
			return stepFail, oauthError(http.StatusBadRequest, "consent_required", "the person has not allowed this yet")
		}
		return stepConsent, nil
	}
	return stepIssue, nil
}

// onlyProtocol reports whether nothing but offline_access is left: nothing to
// grant.
func onlyProtocol(scopes []string) bool {
	return !slices.ContainsFunc(scopes, func(s string) bool { return s != idp.ScopeOfflineAccess })
}

// needsLogin reports whether the person has to prove who they are: nobody is
// signed in, or prompt=login, max_age or the policy ask for more recent proof
// than the session has (OpenID Connect Core section 3.1.2.1). Ages count from the
// request, so that time spent on the pages does not send anybody back.
func (f facts) needsLogin() bool {
	if f.who == nil {
		return true
	}
	authTime := f.who.Session.AuthTime
	if f.request.prompts("login") && authTime.Before(f.flow.RequestedAt) {
		return true
	}
	if f.request.maxAge != nil && authTime.Before(f.flow.RequestedAt.Add(-*f.request.maxAge)) {
		return true
	}
	return f.demand.MaxAge > 0 && authTime.Before(f.flow.RequestedAt.Add(-f.demand.MaxAge))
}

// needsConsent reports whether the person has to be asked: something was never
// allowed, the client asks to be asked (prompt=consent), or the redirect does
// not prove that it is the client (RFC 6749 section 10.2).
func (f facts) needsConsent() bool {
	req, consent := f.request, f.who.Consent
	askedAnew := consent != nil && consent.Stands() && !consent.GrantedAt.Before(f.flow.RequestedAt)
	if req.prompts("consent") && !askedAnew {
		return true
	}
	proven := req.client.ImpersonationProof(req.redirectURI)
	if req.client.SkipConsent && proven {
		return false
	}
	if consent == nil || !consent.Stands() || req.client.Gate(consent.GrantedAt) != nil {
		return true
	}
	covered := subset(f.asked, consent.Scopes) && subset(req.target.audiences(), consent.Resources) &&
		slices.Contains(consent.RedirectOrigins, idp.RedirectOrigin(req.redirectURI))
	remembered := consent.Remembered && proven
	return !covered || !remembered && !askedAnew
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == one })
}
