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
	rules   []string                  // the policy's rules that ask it, by their names
	absence idp.Step                  // why nobody is signed in
	now     time.Time
}

// facts gathers what is known of a request; who may be nil.
func (s *Service) facts(req *authorizationRequest, flow idp.Flow, who *idp.AuthorizationContext) facts {
	f := facts{request: req, flow: flow, who: who, now: s.now()}
	if who != nil {
		f.subject = s.subject(req.client, who.User.ID)
		f.scopes = s.permitted(req.target, who.Memberships)
		f.asked = req.withClaimScopes(f.scopes, s.claimRules())
		policy := s.Directory.SignInPolicy()
		f.demand, f.rules = policy.Demands(req.client.ClientID, who.Memberships), policy.Applying(req.client.ClientID, who.Memberships)
	}
	return f
}

// decide says what comes next, by which rules. It is pure: the same facts give
// the same step. An answer counts only when it was given after the request was
// made, so repeating a step's link changes nothing.
func decide(f facts) (step, []idp.Step, *Error) {
	req := f.request
	silent := req.prompts("none")
	var trail []idp.Step
	pass := func(rules ...idp.Rule) {
		for _, rule := range rules {
			trail = append(trail, idp.Step{Rule: rule, Outcome: idp.Passed})
		}
	}
	ask := func(next step, why idp.Step) (step, []idp.Step, *Error) { return next, append(trail, why), nil }
	fail := func(err *Error, why idp.Step) (step, []idp.Step, *Error) {
		return stepFail, trail, err.by(why.Rule, why.Facts...)
	}
	if f.flow.Denied {
		return fail(accessDenied("the person refused"), asked(idp.RuleConsentAnswer))
	}
	if req.prompts(promptCreate) && (f.who == nil || f.who.Session.AuthTime.Before(f.flow.RequestedAt)) {
		return ask(stepRegister, asked(idp.RuleSignInRegister))
	}
	if why, needed := f.login(); needed {
		if silent {
			return fail(oauthError(http.StatusBadRequest, "login_required", "nobody is signed in, or not recently enough"), why)
		}
		return ask(stepLogin, why)
	}
	pass(idp.RuleSessionAlive, idp.RuleSignInRecent)
	fresh := !f.who.Session.AuthTime.Before(f.flow.RequestedAt)
	if req.hintSubject != "" && req.hintSubject != f.subject {
		why := asked(idp.RuleSignInPerson, fact("user_id", f.who.User.ID))
		if silent || fresh {
			return fail(oauthError(http.StatusBadRequest, "login_required", "another person than the request names is signed in"), why)
		}
		return ask(stepLogin, why)
	}
	if req.prompts("select_account") && !fresh && f.flow.AccountChosen != f.who.Session.ID.String() {
		return ask(stepSelectAccount, asked(idp.RuleSignInAccount))
	}
	switch {
	case !req.client.Admits(f.who.Memberships):
		return fail(accessDenied("the person may not use this application"),
			asked(idp.RuleClientGroups, fact("allowed_groups", req.client.AllowedGroups...), fact("groups", f.who.Memberships.Groups...)))
	case len(f.scopes) == 0 || len(req.target.scopes) > 0 && onlyProtocol(f.scopes) && !onlyProtocol(req.target.scopes):
		return fail(accessDenied("the person holds no role that allows the requested scopes"),
			asked(idp.RuleScopeRole, fact("asked", req.target.scopes...), fact("roles", f.who.Memberships.Roles...), fact("groups", f.who.Memberships.Groups...)))
	}
	pass(idp.RuleClientGroups, idp.RuleScopeRole)
	lack := f.lacks()
	switch {
	case lack.acr == "" || !lack.policy && !lack.essential && (silent || f.flow.Unreachable == lack.acr):
	case silent:
		return fail(oauthError(http.StatusBadRequest, "login_required", "a stronger sign-in is needed"), f.weakness(lack))
	case lack.essential && f.flow.Unreachable == lack.acr:
		return fail(errUnmet("the person cannot sign in as the essential acr asks"), f.weakness(lack))
	default:
		return ask(stepLogin, f.weakness(lack))
	}
	pass(idp.RuleSignInLevel)
	if why := f.unallowed(); why != "" {
		why := asked(idp.RuleConsentGiven, fact("reason", why), fact("asked", f.asked...))
		if silent {
			return fail(oauthError(http.StatusBadRequest, "consent_required", "the person has not allowed this yet"), why)
		}
		return ask(stepConsent, why)
	}
	pass(idp.RuleConsentGiven)
	return stepIssue, trail, nil
}

// weakness is what the trace says of a sign-in that is not strong enough.
func (f facts) weakness(l lack) idp.Step {
	by := "the request"
	if l.policy {
		by = "the sign-in rules"
	}
	return asked(idp.RuleSignInLevel, fact("held", f.who.Session.ACR), fact("wanted", l.acr), fact("by", by), fact("rules", f.rules...))
}

// onlyProtocol reports whether nothing but offline_access is left: nothing to
// grant.
func onlyProtocol(scopes []string) bool {
	return !slices.ContainsFunc(scopes, func(s string) bool { return s != idp.ScopeOfflineAccess })
}

// needsLogin reports whether the person has to prove who they are.
func (f facts) needsLogin() bool {
	_, needed := f.login()
	return needed
}

// login says why the person has to prove who they are: nobody is signed in, or
// prompt=login, max_age or the policy ask for more recent proof than the session
// has (OpenID Connect Core section 3.1.2.1). Ages count from the request, so
// that time spent on the pages does not send anybody back.
func (f facts) login() (why idp.Step, needed bool) {
	if f.who == nil {
		return f.absence, true
	}
	authTime := f.who.Session.AuthTime
	stale := func(facts ...idp.Fact) (idp.Step, bool) {
		return asked(idp.RuleSignInRecent, append(facts, instant("auth_time", authTime))...), true
	}
	if f.request.prompts("login") && authTime.Before(f.flow.RequestedAt) {
		return stale(fact("prompt", "login"))
	}
	if f.request.maxAge != nil && authTime.Before(f.flow.RequestedAt.Add(-*f.request.maxAge)) {
		return stale(fact("max_age", f.request.maxAge.String()))
	}
	if f.demand.MaxAge > 0 && authTime.Before(f.flow.RequestedAt.Add(-f.demand.MaxAge)) {
		return stale(fact("max_age", f.demand.MaxAge.String()), fact("rules", f.rules...))
	}
	return idp.Step{}, false
}

// unallowed says why the person has to be asked, empty for no reason: something
// was never allowed, the client asks to be asked (prompt=consent), or the
// redirect does not prove that it is the client (RFC 6749 section 10.2).
func (f facts) unallowed() string {
	req, consent := f.request, f.who.Consent
	askedAnew := consent != nil && consent.Stands() && !consent.GrantedAt.Before(f.flow.RequestedAt)
	if req.prompts("consent") && !askedAnew {
		return "prompt=consent"
	}
	proven := req.client.ImpersonationProof(req.redirectURI)
	switch {
	case req.client.SkipConsent && proven:
		return ""
	case consent == nil:
		return "nothing was allowed yet"
	case !consent.Stands():
		return "it was withdrawn"
	case req.client.Gate(consent.GrantedAt) != nil:
		return "the client's tokens were invalidated since"
	case !subset(f.asked, consent.Scopes) || !subset(req.target.audiences(), consent.Resources):
		return "more is asked for than was allowed"
	case !slices.Contains(consent.RedirectOrigins, idp.RedirectOrigin(req.redirectURI)):
		return "it was allowed for another host"
	case askedAnew:
		return ""
	case !proven:
		return "anybody can receive the answer at this redirect_uri"
	case !consent.Remembered:
		return "it was allowed for one time"
	}
	return ""
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == one })
}
