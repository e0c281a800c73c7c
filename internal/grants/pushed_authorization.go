package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"idp/internal/idp"
)

// PushedRequestStore holds authorization requests that were sent ahead;
// implemented by *store.Store.
type PushedRequestStore interface {
	CreatePushedRequest(ctx context.Context, p idp.PushedRequest) error
	PushedRequest(ctx context.Context, h idp.PushedRequestHandle) (idp.PushedRequest, error)
	// CreatePushedGrant stores the grant and uses the request up, or neither.
	CreatePushedGrant(ctx context.Context, h idp.PushedRequestHandle, g idp.Grant, seen time.Time, events ...idp.Event) error
}

// PushAuthorization answers POST /oauth2/par (RFC 9126): it takes an
// authorization request from the client itself, and hands out a request_uri
// that stands for it at the authorization endpoint.
func (s *Service) PushAuthorization(w http.ResponseWriter, r *http.Request) {
	answer, err := s.pushAuthorization(w, r)
	if err != nil {
		oauthErr := toError(err)
		if oauthErr.Code != "invalid_client" && oauthErr.Status != http.StatusTooManyRequests { // those have an event of their own
			s.Audit.Note(r.Context(), idp.Event{
				Kind: idp.EventAuthorizationRefused, At: s.now(), ClientID: idp.RequestFrom(r.Context()).ClientID,
				Detail: map[string]string{"error": oauthErr.Code, "reason": oauthErr.Error()},
			})
		}
		s.fail(w, r, oauthErr)
		return
	}
	writeJSON(w, http.StatusCreated, answer)
}

// pushedResponse is the answer of RFC 9126 section 2.2.
type pushedResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}

func (s *Service) pushAuthorization(w http.ResponseWriter, r *http.Request) (*pushedResponse, error) {
	ctx := r.Context()
	// 1. Parse strictly, and authenticate the client as the token endpoint does.
	form, oauthErr := parseForm(r)
	if oauthErr != nil {
		return nil, oauthErr
	}
	if problem := s.discover(ctx, form.get("client_id")); problem != nil {
		if problem.status == http.StatusServiceUnavailable {
			return nil, unavailable(problem.cause)
		}
		return nil, invalidClient().because(problem.cause).by(idp.RuleClientDocument)
	}
	client, oauthErr := s.authenticate(w, r, form)
	if oauthErr != nil {
		return nil, oauthErr
	}
	authenticated(ctx, client)
	if client.Public() {
		if err := s.notTooMany(ctx); err != nil {
			return nil, err
		}
	}
	// 2. What is no part of the request is not kept.
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		form.values.Del(name)
	}
	if form.get("request_uri") != "" { // RFC 9126 section 2.1
		return nil, invalidRequest("request_uri does not belong into a pushed request")
	}
	form.values.Set("client_id", client.ClientID)
	form, signed := s.openObject(ctx, form)
	if form.refusal != nil {
		return nil, form.refusal
	}
	// 3. Check it as the authorization endpoint would.
	req, problem := s.trust(form)
	if problem != nil {
		return nil, problem.asError()
	}
	if err := s.check(req, form); err != nil {
		return nil, err
	}
	if client.RequireSignedRequestObject && !signed {
		return nil, invalidRequest("this client must send its authorization requests in a signed request object").by(idp.RuleRequestPushed)
	}
	idp.Pass(ctx, requestRules...)
	// 4. Store it sealed: it may say who is about to sign in.
	now := s.now()
	p := idp.PushedRequest{
		ClientID: client.ClientID, Salt: make([]byte, 16), CreatedAt: now, ExpiresAt: now.Add(s.Lifetimes.PushedRequest),
	}
	_, _ = rand.Read(p.Salt)
	p.Handle = idp.PushedRequestHandle{ExpiresOn: idp.DayOf(p.ExpiresAt), ID: newID()}
	var err error
	if p.Sealed, err = s.Opaque.SealFlow(idp.Flow{Request: form.values.Encode(), RequestedAt: now, Signed: signed}); err != nil {
		return nil, serverError(err)
	}
	if err := s.Pushed.CreatePushedRequest(ctx, p); err != nil {
		return nil, err
	}
	token := s.Opaque.MintOpaque(idp.OpaqueToken{Kind: idp.KindPushed, ExpiresOn: p.Handle.ExpiresOn, ID: p.Handle.ID}, p.Salt)
	return &pushedResponse{idp.PushedRequestURN + token, int64(s.Lifetimes.PushedRequest / time.Second)}, nil
}

// What one address may push for public clients, which prove nothing: each push
// is a row. The limit holds per node.
const (
	freePushes   = 60
	pushInterval = time.Second
)

func (s *Service) notTooMany(ctx context.Context) *Error {
	address := idp.RequestFrom(ctx).RemoteAddr
	if wait := s.pushes.blocked(address); wait > 0 {
		return &Error{
			Code: "temporarily_unavailable", Description: "too many pushed requests; wait before the next",
			Status: http.StatusTooManyRequests, RetryAfter: int(wait.Seconds()) + 1, rule: idp.RuleClientAttempts,
		}
	}
	s.pushes.failed(address)
	return nil
}

// asError says to the client what would be shown to a person.
func (p *problem) asError() *Error {
	code, description := "invalid_request", "redirect_uri is missing or not registered for the client"
	if p.code == "invalid_client" {
		code, description = "unauthorized_client", "the client may not do this"
	}
	return oauthError(http.StatusBadRequest, code, description).because(errors.New(p.reason)).by(p.step.Rule, p.step.Facts...)
}

// spentRequestURI is what people see of a request_uri that is good for nothing,
// whatever the reason.
func spentRequestURI(reason string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "invalid_request_uri", reason: reason,
		message: idp.SaySpent, step: failed(idp.RuleRequestURI, fact("reason", reason)),
	}
}

// errSpent says that a request_uri completed another authorization meanwhile.
var errSpent = errors.New("request_uri was used")

// startPushed starts a flow with a request that was sent ahead. What else the
// browser brought along does not count (RFC 9126 section 4).
func (s *Service) startPushed(ctx context.Context, form parameters) (idp.Flow, parameters, *problem) {
	flow, err := s.openPushed(ctx, form)
	if errors.Is(err, idp.ErrUnavailable) {
		return flow, form, &problem{
			status: http.StatusServiceUnavailable, code: "temporarily_unavailable", reason: err.Error(), cause: err,
			message: idp.SayUnavailable,
		}
	}
	if err != nil {
		return flow, form, spentRequestURI(err.Error())
	}
	pushed, err := parseParameters(flow.Request)
	if err != nil {
		return flow, form, spentRequestURI(err.Error())
	}
	return flow, pushed, nil
}

func (s *Service) openPushed(ctx context.Context, form parameters) (idp.Flow, error) {
	if hasScope(form.duplicated, "request_uri") || hasScope(form.duplicated, "client_id") {
		return idp.Flow{}, errors.New("request_uri or client_id came more than once")
	}
	token := strings.TrimPrefix(form.get("request_uri"), idp.PushedRequestURN)
	handle, err := s.pushedHandle(token)
	if err != nil {
		return idp.Flow{}, err
	}
	p, err := s.Pushed.PushedRequest(ctx, handle)
	switch {
	case err != nil:
		return idp.Flow{}, err
	case !s.Opaque.VerifyOpaque(token, p.Salt):
		return idp.Flow{}, errors.New("request_uri was not made here")
	case p.ClientID != form.get("client_id"):
		return idp.Flow{}, errors.New("request_uri of another client")
	case !p.UsedAt.IsZero():
		return idp.Flow{}, errors.New("request_uri was used")
	case !s.now().Before(p.ExpiresAt) || !idp.Begun(p.CreatedAt, s.now()):
		return idp.Flow{}, errors.New("request_uri has expired")
	}
	flow, err := s.Opaque.OpenFlow(p.Sealed)
	if client, ok := s.Directory.Client(p.ClientID); ok && err == nil {
		err = client.Gate(flow.RequestedAt) // it may have another life since
	}
	flow.RequestedAt, flow.Pushed = s.now(), token
	return flow, err
}

func (s *Service) pushedHandle(token string) (idp.PushedRequestHandle, error) {
	t, err := s.Opaque.ParseOpaque(idp.KindPushed, token)
	return idp.PushedRequestHandle{ExpiresOn: t.ExpiresOn, ID: t.ID}, err
}

// createGrant stores the grant, and uses up the pushed request that it comes
// of.
func (s *Service) createGrant(ctx context.Context, flow idp.Flow, g idp.Grant, events ...idp.Event) error {
	if flow.Pushed == "" {
		return s.Grants.CreateGrant(ctx, g, g.CreatedAt, events...)
	}
	handle, err := s.pushedHandle(flow.Pushed)
	if err != nil {
		return err
	}
	err = s.Pushed.CreatePushedGrant(ctx, handle, g, g.CreatedAt, events...)
	if errors.Is(err, idp.ErrAlreadyUsed) {
		return errSpent
	}
	return err
}
