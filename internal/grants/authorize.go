package grants

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
)

// Authorize answers GET and POST /oauth2/auth (RFC 6749 section 3.1, OpenID
// Connect Core section 3.1.2). It is the one place that decides what comes
// next; the pages only collect answers and come back here with the flow.
//
// Until client_id and redirect_uri are trusted, whatever is wrong is shown to
// the person and never redirected (RFC 6749 section 4.1.2.1).
func (s *Service) Authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	// 1. Read the request, or the flow that a page sent back.
	flow, form, problem := s.readFlow(r)
	if problem != nil {
		s.reject(w, r, problem)
		return
	}
	// 2. Trust the client and its redirect URI.
	req, problem := s.trust(form)
	if problem != nil {
		s.reject(w, r, problem.instead(form.refusal))
		return
	}
	idp.RequestFrom(ctx).ClientID = req.client.ClientID
	// 3. Check everything else; from here on errors are redirected.
	if err := s.check(req, form); err != nil {
		s.refuse(w, r, req, err)
		return
	}
	if err := s.checkSource(req.client, flow); err != nil {
		s.refuse(w, r, req, err)
		return
	}
	// 4. Load who sits there and what was allowed before: one query.
	who, err := s.whoSits(r, req.client)
	if err != nil {
		s.refuse(w, r, req, toError(err))
		return
	}
	// 5. Decide. 6. Act.
	f := facts{request: req, flow: flow, who: who, now: s.now()}
	if who != nil {
		idp.RequestFrom(ctx).Subject = who.User.ID
		f.subject = s.subject(req.client, who.User.ID)
		f.scopes = s.permitted(req.target, who.Memberships)
		f.asked = req.withClaimScopes(f.scopes)
	}
	switch next, err := decide(f); next {
	case stepLogin, stepSelectAccount:
		s.interact(w, r, "/login", flow)
	case stepConsent:
		s.interact(w, r, "/consent", flow)
	case stepIssue:
		err := s.issue(w, r, f)
		switch {
		case errors.Is(err, errSpent):
			s.reject(w, r, spentRequestURI(err.Error()))
		case err != nil:
			s.refuse(w, r, req, toError(err))
		}
	default:
		s.refuse(w, r, req, err)
	}
}

// problem is what a person is told when nobody can be redirected to.
type problem struct {
	status  int
	code    string
	message string
	reason  string // for log and audit
	cause   error  // for the log; nil when reason says it all
}

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
}

// withClaimScopes adds to scopes those that open the claims asked for by name,
// as far as the client is registered for them: the person is asked for all.
func (req *authorizationRequest) withClaimScopes(scopes []string) []string {
	asked := slices.Clone(scopes)
	for _, scope := range req.claims.Scopes() {
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

// readFlow returns the flow that the request starts or goes on with, and the
// parameters of its authorization request.
func (s *Service) readFlow(r *http.Request) (idp.Flow, parameters, *problem) {
	malformed := func(reason string) (idp.Flow, parameters, *problem) {
		return idp.Flow{}, parameters{}, &problem{status: http.StatusBadRequest, code: "invalid_request", message: "The application sent a request that cannot be read.", reason: reason}
	}
	var raw string
	switch r.Method {
	case http.MethodPost:
		if r.URL.RawQuery != "" {
			return malformed("parameters in the URL of a POST")
		}
		body, err := parseBody(r)
		if err != nil {
			return malformed(err.Error())
		}
		if body.values.Has("flow") {
			return malformed("flow in a POST")
		}
		return s.startFlow(r.Context(), body)
	default:
		raw = r.URL.RawQuery
	}
	form, err := parseParameters(raw)
	if err != nil {
		return malformed(err.Error())
	}
	sealed := form.get("flow")
	if sealed == "" {
		return s.startFlow(r.Context(), form)
	}
	flow, err := s.Opaque.OpenFlow(sealed)
	if err != nil || flow.Request == "" || len(form.values) > 1 || len(form.duplicated) > 0 {
		return malformed("unreadable flow")
	}
	if bound := s.Browser.Bound(r); bound == nil || subtle.ConstantTimeCompare(bound, flow.Browser) != 1 {
		return idp.Flow{}, parameters{}, &problem{
			status: http.StatusForbidden, code: "wrong_browser", reason: "flow of another browser",
			message: "This sign-in was started in another browser. Go back to the application and start again.",
		}
	}
	form, err = parseParameters(flow.Request)
	if err != nil {
		return malformed(err.Error())
	}
	switch tooOld := s.now().After(flow.RequestedAt.Add(s.Lifetimes.Flow)); {
	case tooOld && flow.Pushed != "":
		return flow, form, spentRequestURI("the flow of a pushed request took too long")
	case tooOld: // what was answered no longer counts
		return idp.Flow{Request: flow.Request, RequestedAt: s.now(), Signed: flow.Signed}, form, nil
	}
	return flow, form, nil
}

// startFlow reads what the client asks from wherever it left it.
func (s *Service) startFlow(ctx context.Context, form parameters) (idp.Flow, parameters, *problem) {
	if strings.HasPrefix(form.get("request_uri"), idp.PushedRequestURN) {
		return s.startPushed(ctx, form)
	}
	form, signed := s.openObject(ctx, form)
	return idp.Flow{Request: form.values.Encode(), RequestedAt: s.now(), Signed: signed}, form, nil
}

// trust checks client_id and redirect_uri. An unknown and a disabled client
// look the same.
func (s *Service) trust(form parameters) (*authorizationRequest, *problem) {
	reject := func(code, message, reason string) (*authorizationRequest, *problem) {
		return nil, &problem{status: http.StatusBadRequest, code: code, message: message, reason: reason}
	}
	for _, name := range form.duplicated {
		if name == "client_id" || name == "redirect_uri" {
			return reject("invalid_request", "The application sent a request that cannot be read.", name+" came more than once")
		}
	}
	client, ok := s.Directory.Client(form.get("client_id"))
	if !ok || client.Disabled {
		return reject("invalid_client", "The application that sent you here is not registered.", "unknown or disabled client")
	}
	req := &authorizationRequest{client: client, redirectURI: form.get("redirect_uri")}
	if req.redirectURI == "" {
		if len(client.RedirectURIs) != 1 || hasScope(strings.Fields(form.get("scope")), idp.ScopeOpenID) {
			return reject("invalid_request", "The application did not say where to return to.", "redirect_uri is missing")
		}
		req.redirectURI, req.redirectURIOmitted = client.RedirectURIs[0], true
	}
	if !client.MatchRedirectURI(req.redirectURI) {
		return reject("invalid_redirect_uri", "The application asked to return to an address that is not registered for it.", "redirect_uri is not registered")
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
		return unauthorizedClient("the client may not use the authorization code grant")
	case !printable(form.get("state")) || !printable(form.get("nonce")):
		return invalidRequest("state and nonce hold printable ASCII only")
	}
	for _, f := range []func(*authorizationRequest, parameters) *Error{s.checkProofKey, s.checkScope, checkPrompt, checkMaxAge, checkClaims, s.checkHint} {
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
		return invalidRequest("code_challenge is missing: this client must use PKCE")
	case method != "S256":
		return invalidRequest("the only code_challenge_method is S256")
	case len(challenge) != 43 || strings.Trim(challenge, base64URLAlphabet) != "":
		return invalidRequest("code_challenge is not the base64url of a SHA-256 hash")
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
		return invalidRequest("id_token_hint is not an ID token of this issuer").because(err)
	}
	if req.hintSubject != "" && req.hintSubject != hint.Subject {
		return invalidRequest("id_token_hint and claims name different people")
	}
	req.hintSubject = hint.Subject
	return nil
}

// whoSits returns the live session at the browser with what its person allowed
// the client, or nil.
func (s *Service) whoSits(r *http.Request, c *idp.Client) (*idp.AuthorizationContext, error) {
	id, proves, ok := s.Browser.Session(r)
	if !ok {
		return nil, nil
	}
	who, err := s.Sessions.AuthorizationContext(r.Context(), id, c.ClientID)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	live := proves(who.Session.Salt) && who.Session.Live(s.now(), s.Lifetimes.SessionIdle) &&
		who.User.Gate(who.Session.AuthTime) == nil && c.Gate(who.Session.AuthTime) == nil
	if !live {
		return nil, nil
	}
	return &who, nil
}

// interact sends the browser to a page, with the flow sealed into the link and
// bound to the browser.
func (s *Service) interact(w http.ResponseWriter, r *http.Request, page string, flow idp.Flow) {
	flow.Browser = s.Browser.Bind(w, r)
	sealed, err := s.Opaque.SealFlow(flow)
	if err != nil {
		s.reject(w, r, &problem{status: http.StatusInternalServerError, code: "server_error", message: "Something went wrong here.", reason: err.Error(), cause: err})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, s.pathOf(page)+"?flow="+sealed, http.StatusSeeOther)
}

// pathOf puts a page under the issuer's path.
func (s *Service) pathOf(page string) string {
	if u, err := url.Parse(s.Issuer); err == nil {
		return strings.TrimSuffix(u.Path, "/") + page
	}
	return page
}

// issuance is a grant on its way into the database.
type issuance struct {
	service *Service
	client  *idp.Client
	grant   idp.Grant
}

type issuanceKey struct{}

// issue grants what was asked: one batch stores it, then the browser carries
// the code home, and with the older response types tokens beside or instead of
// it (OpenID Connect Core sections 3.2 and 3.3).
func (s *Service) issue(w http.ResponseWriter, r *http.Request, f facts) error {
	req := f.request
	redirectURI, err := url.Parse(req.redirectURI)
	if err != nil {
		return serverError(err)
	}
	a := &issuance{service: s, client: req.client, grant: s.newGrant(f)}
	answer := url.Values{}
	var events []idp.Event
	if req.responseType.Code {
		code, err := s.runAuthorizeHandlers(r.Context(), a, redirectURI)
		if err != nil {
			return err
		}
		answer.Set("code", code)
		events = append(events, a.issued())
	} else {
		a.grant.CodeUsedAt = a.grant.CreatedAt // there is none to use
	}
	u, err := s.frontChannel(r.Context(), f, a, answer)
	if err != nil {
		return err
	}
	if u != nil && u.row() == nil {
		events = append(events, u.issued())
	}
	if err := s.createGrant(r.Context(), f.flow, a.grant, events...); err != nil {
		return err
	}
	if u != nil && u.row() != nil {
		if err := s.Tokens.AppendTokens(r.Context(), u.row(), u.issued()); err != nil {
			return err
		}
	}
	s.respond(w, r, req, answer)
	return nil
}

func (a *issuance) issued() idp.Event {
	g := a.grant
	return idp.Event{
		Kind: idp.EventCodeIssued, At: g.CreatedAt, ClientID: g.ClientID, UserID: g.UserID,
		SessionID: g.SessionID.String(), GrantID: g.Handle.ID.String(),
		Detail: map[string]string{"scope": joinScopes(g.Scopes), "audience": joinScopes(g.Resources)},
	}
}

// frontChannel adds the tokens that the response type asks for to the answer.
// It returns the unit that made an access token, or nil.
func (s *Service) frontChannel(ctx context.Context, f facts, a *issuance, answer url.Values) (*unit, error) {
	req := f.request
	if !req.responseType.FrontChannel() {
		return nil, nil
	}
	u := &unit{
		service: s, client: req.client, grantType: idp.GrantAuthorizationCode, now: f.now, scopes: a.grant.Scopes,
		state: &idp.GrantState{Grant: a.grant, User: f.who.User, Memberships: f.who.Memberships},
	}
	if len(req.target.resources) > 0 {
		u.resource = req.target.resources[0]
		u.scopes = scopesFor(a.grant.Scopes, u.resource)
	}
	u.rules = s.rules(u.client, u.resource)
	if req.responseType.Token {
		raw, err := u.signAccessToken()
		if err != nil {
			return nil, err
		}
		answer.Set("access_token", raw)
		answer.Set("token_type", "Bearer")
		answer.Set("expires_in", strconv.FormatInt(u.expiresIn(), 10))
		answer.Set("scope", joinScopes(u.token.Scopes))
	}
	if req.responseType.IDToken {
		raw, err := u.signIDToken(ctx, answer.Get("access_token"), answer.Get("code"), !req.responseType.Code && !req.responseType.Token)
		if err != nil {
			return nil, err
		}
		answer.Set("id_token", raw)
	}
	if !req.responseType.Token {
		return nil, nil
	}
	return u, nil
}

func (s *Service) newGrant(f facts) idp.Grant {
	req, now := f.request, f.now
	g := idp.Grant{
		ClientID: req.client.ClientID, UserID: f.who.User.ID, SessionID: f.who.Session.ID,
		Scopes: f.scopes, Resources: req.target.audiences(),
		RedirectURI: req.redirectURI, RedirectURIOmitted: req.redirectURIOmitted,
		Nonce: req.nonce, CodeChallenge: req.codeChallenge,
		AuthTime: f.who.Session.AuthTime, ACR: f.who.Session.ACR, AMR: f.who.Session.AMR, Claims: req.claims,
		Salt: make([]byte, 16), CreatedAt: now, CodeExpiresAt: now.Add(s.Lifetimes.Code),
	}
	_, _ = rand.Read(g.Salt)
	if req.client.HearsOfLogout() {
		g.LogoutSubject = s.subject(req.client, g.UserID)
	}
	if !req.responseType.Code { // only the token endpoint gives refresh tokens
		g.Scopes = without(g.Scopes, idp.ScopeOfflineAccess)
	}
	g.ExpiresAt = g.CodeExpiresAt.Add(s.longestAccessToken(req))
	if hasScope(g.Scopes, idp.ScopeOfflineAccess) {
		_, absolute := s.refreshLifetimes(req.client)
		g.ExpiresAt = now.Add(absolute)
	}
	g.Handle = idp.GrantHandle{ExpiresOn: idp.DayOf(g.ExpiresAt), ID: newID()}
	return g
}

// longestAccessToken returns the longest life of a token that the grant may
// turn into: so long the grant must be found.
func (s *Service) longestAccessToken(req *authorizationRequest) time.Duration {
	longest := s.rules(req.client, nil).lifetime
	for _, resource := range req.target.resources {
		longest = max(longest, s.rules(req.client, resource).lifetime)
	}
	return longest
}

// refuse tells the client, through the browser, that it gets nothing. When it
// is the server that cannot answer, a person is told to try again, and only a
// silent request is sent back with temporarily_unavailable (RFC 6749 section
// 4.1.2.1).
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, req *authorizationRequest, err *Error) {
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = err.Code, err
	if err.Code == "temporarily_unavailable" {
		w.Header().Set("Retry-After", retryAfter)
		if !req.prompts("none") {
			// Somebody is there who can try again, and then nothing is lost.
			s.reject(w, r, &problem{
				status: http.StatusServiceUnavailable, code: err.Code, reason: err.Error(), cause: err,
				message: "The service cannot answer right now. Nothing is lost: reload this page in a moment.",
			})
			return
		}
	}
	s.Audit.Note(r.Context(), idp.Event{
		Kind: idp.EventAuthorizationRefused, At: s.now(), ClientID: req.client.ClientID, UserID: record.Subject,
		Detail: map[string]string{"error": err.Code, "reason": err.Error()},
	})
	s.respond(w, r, req, url.Values{"error": {err.Code}, "error_description": {err.Description}})
}

// reject tells the person that nothing can be done.
func (s *Service) reject(w http.ResponseWriter, r *http.Request, p *problem) {
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = p.code, p.cause
	if p.cause == nil {
		record.Cause = errors.New(p.reason)
	}
	s.Audit.Note(r.Context(), idp.Event{
		Kind: idp.EventAuthorizationRejected, At: s.now(),
		Detail: map[string]string{"error": p.code, "reason": p.reason},
	})
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	s.Browser.ErrorPage(w, r, p.status, p.code, p.message)
}

// retryAfter is how long to wait for what is away, in seconds.
const retryAfter = "1"

// Describe tells the pages what a flow is about. Who is nil while nobody is
// signed in.
func (s *Service) Describe(_ context.Context, flow idp.Flow, who *idp.AuthorizationContext) (idp.Interaction, error) {
	if flow.Request == "" {
		return idp.Interaction{}, nil
	}
	form, err := parseParameters(flow.Request)
	if err != nil {
		return idp.Interaction{}, err
	}
	req, problem := s.trust(form)
	if problem != nil {
		return idp.Interaction{}, errors.New(problem.reason)
	}
	if err := s.check(req, form); err != nil {
		return idp.Interaction{}, err
	}
	i := idp.Interaction{
		Client: req.client, LoginHint: req.loginHint, UILocales: req.uiLocales,
		SelectAccount: req.prompts("select_account"), RedirectURI: req.redirectURI, Resources: req.target.audiences(),
	}
	if who == nil {
		return i, nil
	}
	for _, scope := range req.withClaimScopes(s.permitted(req.target, who.Memberships)) {
		i.Scopes = append(i.Scopes, describeScope(scope, req.target.resources))
		if who.Consent == nil || !who.Consent.Stands() || !hasScope(who.Consent.Scopes, scope) {
			i.NewScopes = append(i.NewScopes, scope)
		}
	}
	return i, nil
}

// describeScope finds a scope's words for the consent page; the issuer's own
// scopes have theirs on the page itself.
func describeScope(name string, resources []*idp.Resource) idp.ConsentScope {
	if idp.IsIdentityScope(name) {
		return idp.ConsentScope{Name: name}
	}
	for _, r := range resources {
		if scope, ok := r.Scope(name); ok {
			return idp.ConsentScope{Name: name, Description: scope.Description, Resource: r.DisplayName()}
		}
	}
	return idp.ConsentScope{Name: name}
}
