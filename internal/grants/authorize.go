package grants

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"

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
	idp.Pass(ctx, idp.RuleClientKnown, idp.RuleRedirectExact)
	req.answered = flow.Denied
	// 3. Check everything else; from here on errors are redirected.
	if err := s.check(req, form); err != nil {
		s.refuse(w, r, req, err)
		return
	}
	if err := s.checkSource(req.client, flow); err != nil {
		s.refuse(w, r, req, err)
		return
	}
	idp.Pass(ctx, requestRules...)
	// 4. Load who sits there and what was allowed before: one query.
	who, absence, err := s.whoSits(r, req.client)
	if err != nil {
		s.refuse(w, r, req, toError(err))
		return
	}
	// 5. Decide. 6. Act.
	f := s.facts(req, flow, who)
	f.absence = absence
	if who != nil {
		idp.RequestFrom(ctx).Subject = who.User.ID
	}
	next, trail, refusal := decide(f)
	idp.RequestFrom(ctx).Decided(trail...)
	switch next {
	case stepLogin, stepSelectAccount:
		s.interact(w, r, "/login", flow)
	case stepRegister:
		s.interact(w, r, "/register", flow)
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
		s.refuse(w, r, req, refusal)
	}
}

// problem is what a person is told when nobody can be redirected to.
type problem struct {
	status  int
	code    string
	message idp.Saying
	reason  string // for log and audit
	step    idp.Step
	cause   error // for the log; nil when reason says it all
}

// readFlow returns the flow that the request starts or goes on with, and the
// parameters of its authorization request.
func (s *Service) readFlow(r *http.Request) (idp.Flow, parameters, *problem) {
	malformed := func(reason string) (idp.Flow, parameters, *problem) {
		return idp.Flow{}, parameters{}, &problem{status: http.StatusBadRequest, code: "invalid_request", message: idp.SayRequestUnreadable, reason: reason, step: failed(idp.RuleRequestWellFormed, fact("reason", reason))}
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
			message: idp.SayStartedElsewhere, step: failed(idp.RuleFlowBrowser),
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
	if problem := s.discover(ctx, form.get("client_id")); problem != nil {
		return idp.Flow{}, form, problem
	}
	form, signed := s.openObject(ctx, form)
	return idp.Flow{Request: form.values.Encode(), RequestedAt: s.now(), Signed: signed}, form, nil
}

// whoSits returns the live session at the browser with what its person allowed
// the client, or nil and why there is none.
func (s *Service) whoSits(r *http.Request, c *idp.Client) (*idp.AuthorizationContext, idp.Step, error) {
	nobody := func(session string) (*idp.AuthorizationContext, idp.Step, error) {
		return nil, asked(idp.RuleSessionAlive, fact("session", session)), nil
	}
	id, proves, ok := s.Browser.Session(r)
	if !ok {
		return nobody("none")
	}
	who, err := s.Sessions.AuthorizationContext(r.Context(), id, c.ClientID)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return nobody("unknown")
	case err != nil:
		return nil, idp.Step{}, err
	case !proves(who.Session.Salt):
		return nobody("replaced")
	case !who.Session.Live(s.now(), s.Lifetimes.SessionIdle):
		return nil, asked(idp.RuleSessionAlive, fact("session", who.Session.State(s.now(), s.Lifetimes.SessionIdle)), fact("sid", id.String()),
			fact("user_id", who.User.ID), instant("last_seen_at", who.Session.LastSeenAt), instant("expires_at", who.Session.ExpiresAt)), nil
	}
	refused := who.User.Gate(who.Session.AuthTime)
	if refused == nil {
		refused = c.Gate(who.Session.AuthTime)
	}
	if refused, ok := errors.AsType[idp.Refusal](refused); ok {
		return nil, asked(refused.Rule(), fact("sid", id.String()), fact("user_id", who.User.ID), instant("auth_time", who.Session.AuthTime)), nil
	}
	return &who, idp.Step{}, nil
}

// interact sends the browser to a page, with the flow sealed into the link and
// bound to the browser.
func (s *Service) interact(w http.ResponseWriter, r *http.Request, page string, flow idp.Flow) {
	flow.Browser = s.Browser.Bind(w, r)
	sealed, err := s.Opaque.SealFlow(flow)
	if err != nil {
		s.reject(w, r, &problem{status: http.StatusInternalServerError, code: "server_error", message: idp.SayInternal, reason: err.Error(), cause: err, step: failed(idp.RuleServerWorks)})
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

// silent request is sent back with temporarily_unavailable (RFC 6749 section
// 4.1.2.1).
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, req *authorizationRequest, err *Error) {
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = err.Code, err
	record.Decided(err.step())
	if err.Code == "temporarily_unavailable" {
		w.Header().Set("Retry-After", retryAfter)
		if !req.prompts("none") {
			// Somebody is there who can try again, and then nothing is lost.
			s.reject(w, r, &problem{
				status: http.StatusServiceUnavailable, code: err.Code, reason: err.Error(), cause: err,
				message: idp.SayUnavailable,
			})
			return
		}
	}
	s.Audit.Note(r.Context(), idp.Event{
		Kind: idp.EventAuthorizationRefused, At: s.now(), ClientID: req.client.ClientID, UserID: record.Subject,
		Detail: map[string]string{"error": err.Code, "reason": err.Error()},
	})
	answer := url.Values{"error": {err.Code}, "error_description": {err.Description}}
	if req.client.Unverified() && !req.answered {
		s.askToReturn(w, r, req, err, answer)
		return
	}
	s.respond(w, r, req, answer)
}

// askToReturn lets the person decide whether to follow an error to a client
// that nobody vouches for. A redirect would lend it this server's good name:
// whoever registers a client and asks for what must fail has a link that begins
// here and ends where they like (RFC 9700 section 4.11.2).
func (s *Service) askToReturn(w http.ResponseWriter, r *http.Request, req *authorizationRequest, err *Error, answer url.Values) {
	s.complete(req, answer)
	back := idp.ErrorReturn{
		Client: req.client, RedirectURI: req.redirectURI, Code: err.Code, Status: err.Status, Location: req.location(answer),
	}
	if req.responseMode == idp.ModeFormPost {
		back.Location, back.Post = req.redirectURI, answer
	}
	s.Browser.AskToReturn(w, r, back)
}

// reject tells the person that nothing can be done.
func (s *Service) reject(w http.ResponseWriter, r *http.Request, p *problem) {
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = p.code, p.cause
	record.Refused(p.told())
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
