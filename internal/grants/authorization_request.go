package grants

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
)

// authorizationRequest is a checked authorization request.
type authorizationRequest struct {
	client             *idp.Client
	redirectURI        string
	redirectURIOmitted bool
	state              string
	target             target

	responseType  idp.ResponseType
	responseMode  string
	nonce         string
	codeChallenge string
	prompt        []string
	maxAge        *time.Duration
	loginHint     string
	uiLocales     string
	hintSubject   string             // the only one who may sign in, by id_token_hint or claims; empty for anybody
	claims        *idp.ClaimsRequest // nil for none
	acr           acrWish

	// answered says that the person saw where the answer leads, and gave it.
	answered bool
}

// withClaimScopes adds to scopes those that open the claims asked for by name,
// as far as the client is registered for them: the person is asked for all.
func (req *authorizationRequest) withClaimScopes(scopes []string, rules idp.ClaimRules) []string {
	asked := slices.Clone(scopes)
	for _, scope := range req.claims.Scopes(rules) {
		if hasScope(req.client.Scopes(), scope) && !hasScope(asked, scope) {
			asked = append(asked, scope)
		}
	}
	return asked
}

func (req *authorizationRequest) prompts(value string) bool { return hasScope(req.prompt, value) }

// maxRequest bounds an authorization request in bytes, so that it fits sealed
// into a link.
const maxRequest = 5 << 10

// trust checks client_id and redirect_uri. An unknown and a disabled client
// look the same.
func (s *Service) trust(form parameters) (*authorizationRequest, *problem) {
	reject := func(code string, message idp.Saying, reason string, step idp.Step) (*authorizationRequest, *problem) {
		return nil, &problem{status: http.StatusBadRequest, code: code, message: message, reason: reason, step: step}
	}
	for _, name := range form.duplicated {
		if name == "client_id" || name == "redirect_uri" {
			return reject("invalid_request", idp.SayRequestUnreadable, name+" came more than once", failed(idp.RuleRequestWellFormed, fact("twice", name)))
		}
	}
	client, ok := s.Directory.Client(form.get("client_id"))
	if !ok || client.Disabled {
		why := failed(idp.RuleClientKnown, typed("client_id", form.get("client_id")))
		if ok {
			why = failed(idp.RuleClientEnabled, fact("client_id", client.ClientID))
		}
		return reject("invalid_client", idp.SayClientUnknown, "unknown or disabled client", why)
	}
	req := &authorizationRequest{client: client, redirectURI: form.get("redirect_uri")}
	if req.redirectURI == "" {
		if len(client.RedirectURIs) != 1 || hasScope(strings.Fields(form.get("scope")), idp.ScopeOpenID) {
			return reject("invalid_request", idp.SayRedirectMissing, "redirect_uri is missing",
				failed(idp.RuleRedirectPresent, fact("client_id", client.ClientID), fact("registered", client.RedirectURIs...)))
		}
		req.redirectURI, req.redirectURIOmitted = client.RedirectURIs[0], true
	}
	if !client.MatchRedirectURI(req.redirectURI) {
		return reject("invalid_redirect_uri", idp.SayRedirectUnregistered, "redirect_uri is not registered",
			failed(idp.RuleRedirectExact, append(differences(req.redirectURI, client.RedirectURIs), fact("client_id", client.ClientID))...))
	}
	return req, nil
}

// check validates every other parameter into req.
func (s *Service) check(req *authorizationRequest, form parameters) *Error {
	if !hasScope(form.duplicated, "state") {
		req.state = form.get("state")
	}
	responseErr := checkResponse(req, form) // first: it knows where the client looks for errors
	switch {
	case form.refusal != nil:
		return form.refusal
	case len(form.duplicated) > 0:
		return invalidRequest("a parameter came more than once")
	case responseErr != nil:
		return responseErr
	case len(form.values.Encode()) > maxRequest:
		return invalidRequest("the authorization request is too long")
	case form.get("registration") != "":
		return oauthError(http.StatusBadRequest, "registration_not_supported", "the registration parameter is not supported")
	case !req.client.HasGrantType(idp.GrantAuthorizationCode):
		return unauthorizedClient("the client may not use the authorization code grant").
			by(idp.RuleGrantTypeAllowed, fact("asked", idp.GrantAuthorizationCode), fact("registered", req.client.GrantTypes...))
	case !printable(form.get("state")) || !printable(form.get("nonce")):
		return invalidRequest("state and nonce hold printable ASCII only")
	}
	for _, f := range []func(*authorizationRequest, parameters) *Error{s.checkProofKey, s.checkScope, s.checkPrompt, checkMaxAge, checkACRValues, checkClaims, s.checkHint} {
		if err := f(req, form); err != nil {
			return err
		}
	}
	req.nonce, req.loginHint, req.uiLocales = form.get("nonce"), form.get("login_hint"), form.get("ui_locales")
	return nil
}

// checkProofKey demands S256 (RFC 7636 section 4.3, RFC 9700 section 2.1.1).
func (s *Service) checkProofKey(req *authorizationRequest, form parameters) *Error {
	challenge, method := form.get("code_challenge"), form.get("code_challenge_method")
	switch {
	case challenge == "" && method == "" && !req.client.RequiresPKCE():
		return nil
	case challenge == "":
		return invalidRequest("code_challenge is missing: this client must use PKCE").by(idp.RulePKCEChallenge)
	case method != "S256":
		return invalidRequest("the only code_challenge_method is S256").by(idp.RulePKCEChallenge)
	case len(challenge) != 43 || strings.Trim(challenge, base64URLAlphabet) != "":
		return invalidRequest("code_challenge is not the base64url of a SHA-256 hash").by(idp.RulePKCEChallenge)
	}
	req.codeChallenge = challenge
	return nil
}

const base64URLAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (s *Service) checkScope(req *authorizationRequest, form parameters) *Error {
	scopes, ok := scopeList(form.get("scope"))
	switch {
	case !ok:
		return invalidScope("scope is malformed")
	case len(scopes) == 0:
		return invalidScope("scope is missing")
	}
	t, err := s.resolve(req.client, scopes, form.all("resource"))
	if err != nil {
		return err
	}
	if !req.client.HasGrantType(idp.GrantRefreshToken) { // OpenID Connect Core section 11: ignored then
		t.scopes = without(t.scopes, idp.ScopeOfflineAccess)
	}
	req.target = t
	return nil
}

// checkHint verifies an id_token_hint. Whether it is the person at the browser
// is decided later.
func (s *Service) checkHint(req *authorizationRequest, form parameters) *Error {
	raw := form.get("id_token_hint")
	if raw == "" {
		return nil
	}
	hint, err := s.Signer.VerifyIDToken(raw)
	if err != nil {
		return invalidRequest("id_token_hint is not an ID token of this issuer").because(err).by(idp.RuleIDTokenHint)
	}
	if req.hintSubject != "" && req.hintSubject != hint.Subject {
		return invalidRequest("id_token_hint and claims name different people").by(idp.RuleIDTokenHint)
	}
	req.hintSubject = hint.Subject
	return nil
}

// promptCreate has the person make an account rather than sign in (Initiating
// User Registration via OpenID Connect section 4).
const promptCreate = "create"

// checkPrompt reads the prompt parameter (OpenID Connect Core section 3.1.2.1).
func (s *Service) checkPrompt(req *authorizationRequest, form parameters) *Error {
	prompt, ok := spaceList(form.get("prompt"))
	if !ok || !subset(prompt, []string{"none", "login", "consent", "select_account", promptCreate}) {
		return invalidRequest("prompt has an unknown value")
	}
	if hasScope(prompt, promptCreate) && !s.AccountsOpen {
		return invalidRequest("prompt=create is not supported: nobody makes accounts for themselves here")
	}
	if hasScope(prompt, "none") && len(prompt) > 1 {
		return invalidRequest("prompt=none stands alone")
	}
	req.prompt = prompt
	return nil
}

// checkMaxAge reads max_age in seconds, or the client's default_max_age.
func checkMaxAge(req *authorizationRequest, form parameters) *Error {
	raw := form.get("max_age")
	if raw == "" {
		if d := req.client.DefaultMaxAge; d != nil {
			age := time.Duration(*d) * time.Second
			req.maxAge = &age
		}
		return nil
	}
	seconds, err := strconv.ParseUint(raw, 10, 31)
	if err != nil || strings.HasPrefix(raw, "+") {
		return invalidRequest("max_age is not a number of seconds")
	}
	age := time.Duration(seconds) * time.Second
	req.maxAge = &age
	return nil
}
