package grants

import (
	"context"
	"net/http"
	"strings"
	"time"

	"idp/internal/idp"
)

// grantType is one way to get tokens: load reads and checks, and leaves in the
// unit what is to be signed and stored.
type grantType struct {
	// name is the grant_type value.
	name string
	// load reads the grant's state (at most one query), applies our policy and
	// decides the resource and scopes.
	load func(ctx context.Context, u *unit) error
	// handlers are fosite's, in the order that they need.
	handlers []tokenHandler
	// loaded and checked are what has passed after either, for the trace.
	loaded, checked []idp.Rule
}

// Token answers POST /oauth2/token (RFC 6749 section 3.2). Its phases are the
// same for every grant; the files named after the grants hold what differs,
// fosite.go holds the handlers that check the protocol, store/grants.go the
// statements that decide races.
func (s *Service) Token(w http.ResponseWriter, r *http.Request) {
	response, err := s.token(w, r)
	if err != nil {
		oauthErr := toError(err)
		s.noteRefusal(r, oauthErr)
		s.fail(w, r, oauthErr)
		return
	}
	h := w.Header()
	h.Set("Pragma", "no-cache") // RFC 6749 section 5.1
	writeJSON(w, http.StatusOK, response)
}

func (s *Service) token(w http.ResponseWriter, r *http.Request) (*tokenResponse, error) {
	ctx := r.Context()
	// 1. Parse strictly.
	form, oauthErr := parseForm(r)
	if oauthErr != nil {
		return nil, oauthErr
	}
	// 2. Find the grant.
	name := form.get("grant_type")
	grant, known := s.grantTypes[name]
	switch {
	case name == "":
		return nil, invalidRequest("grant_type is missing")
	case !known:
		return nil, oauthError(http.StatusBadRequest, "unsupported_grant_type", "this grant type is not supported")
	}
	idp.RequestFrom(ctx).GrantType = name
	// 3. Authenticate the client.
	client, oauthErr := s.authenticate(w, r, form)
	if oauthErr != nil {
		return nil, oauthErr
	}
	if !client.HasGrantType(name) {
		return nil, unauthorizedClient("the client may not use this grant type").by(idp.RuleGrantTypeAllowed, fact("asked", name), fact("registered", client.GrantTypes...))
	}
	authenticated(ctx, client)
	idp.Pass(ctx, idp.RuleGrantTypeAllowed)
	// 4. Proof of possession: none of the supported methods binds tokens.
	// 5. and 6. Load, and apply our policy.
	u := &unit{service: s, client: client, form: form, grantType: name, now: s.now()}
	ctx = withUnit(ctx, u)
	if err := grant.load(ctx, u); err != nil {
		return nil, s.settle(ctx, u, err)
	}
	idp.Pass(ctx, grant.loaded...)
	// 7. Check the protocol and sign.
	response, err := s.runTokenHandlers(ctx, u, grant.handlers)
	if err != nil {
		u.burn(err)
		return nil, s.settle(ctx, u, err)
	}
	// 8. Store: one batch, in which a conditional statement decides races.
	if err := u.flush(ctx); err != nil {
		return nil, s.settle(ctx, u, err)
	}
	idp.Pass(ctx, grant.checked...)
	// 9. Write.
	idp.RequestFrom(ctx).Subject = u.token.Subject
	if u.state != nil {
		idp.RequestFrom(ctx).Subject = u.state.User.ID // not what a client may know the person by
	}
	idp.RequestFrom(ctx).Issued = response.kinds()
	return response, nil
}

// tokenResponse is the answer of RFC 6749 section 5.1 and OpenID Connect Core
// section 3.1.3.3.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	Scope        string `json:"scope,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
}

// kinds names what the answer gives.
func (r *tokenResponse) kinds() string {
	kinds := "access_token"
	if r.RefreshToken != "" {
		kinds += " refresh_token"
	}
	if r.IDToken != "" {
		kinds += " id_token"
	}
	return kinds
}

// settle kills the grant when the failed request proved that it is in wrong
// hands, and passes the error on, with the rule that it broke.
func (s *Service) settle(ctx context.Context, u *unit, err error) error {
	err = u.diagnose(err)
	if u.kill == nil {
		return err
	}
	event := u.event(u.kill.event)
	event.Detail["reason"] = u.kill.reason
	if misuse, ok := misuses[u.kill.event]; ok {
		event.Mail = s.replayNotice(u, misuse)
	}
	if killErr := s.Grants.RevokeGrant(ctx, u.state.Grant.Handle, u.kill.reason, u.now, event); killErr != nil {
		return killErr
	}
	return err
}

// noteRefusal leaves an audit row for a refused token request. Failed client
// authentication has its own.
func (s *Service) noteRefusal(r *http.Request, err *Error) {
	if err.Code == "invalid_client" || err.Status == http.StatusTooManyRequests {
		return
	}
	record := idp.RequestFrom(r.Context())
	s.Audit.Note(r.Context(), idp.Event{
		Kind: idp.EventTokenRefused, At: s.now(), ClientID: record.ClientID,
		Detail: map[string]string{"error": err.Code, "grant_type": record.GrantType, "reason": err.Error()},
	})
}

// unit is one token request's unit of work: what was read, what is to be
// signed, what is to be stored once signing has worked.
type unit struct {
	service   *Service
	client    *idp.Client
	form      parameters
	grantType string
	now       time.Time

	state    *idp.GrantState // nil for client credentials
	resource *idp.Resource   // nil when the issuer is the only audience
	scopes   []string        // of the access token
	token    idp.AccessToken // complete once signed
	rules    rules

	// What the handlers recorded.
	redeem bool   // use the code
	rotate bool   // move the refresh family on
	retry  bool   // a lost answer is given again: the family has moved already
	from   uint32 // the refresh generation that was presented
	kill   *kill
}

// kill says that the grant has to die, and why.
type kill struct {
	event  idp.EventKind
	reason string
}

type unitKey struct{}

func withUnit(ctx context.Context, u *unit) context.Context {
	return context.WithValue(ctx, unitKey{}, u)
}

func unitFrom(ctx context.Context) *unit {
	u, _ := ctx.Value(unitKey{}).(*unit)
	return u
}

// refreshable reports whether the grant comes with refresh tokens: the person
// allowed offline_access, and the client is registered for it (OpenID Connect
// Core section 11).
func (u *unit) refreshable() bool {
	return hasScope(u.state.Grant.Scopes, idp.ScopeOfflineAccess) && u.client.HasGrantType(idp.GrantRefreshToken)
}

// event describes the unit's request for the audit.
func (u *unit) event(kind idp.EventKind) idp.Event {
	e := idp.Event{Kind: kind, At: u.now, ClientID: u.client.ClientID, Detail: map[string]string{"grant_type": u.grantType}}
	if u.state != nil {
		e.UserID = u.state.User.ID
		e.GrantID = u.state.Grant.Handle.ID.String()
		e.SessionID = u.state.Grant.SessionID.String()
	}
	return e
}

// issued describes the token that the unit issues.
func (u *unit) issued() idp.Event {
	e := u.event(idp.EventTokenIssued)
	e.Detail["jti"] = u.token.ID.String()
	e.Detail["scope"] = strings.Join(u.token.Scopes, " ")
	e.Detail["audience"] = strings.Join(u.token.Audience, " ")
	e.Detail["format"] = u.rules.format
	return e
}

// row returns the access token's row, or nil when the token needs none.
func (u *unit) row() *idp.AccessToken {
	if u.rules.format == idp.FormatOpaque {
		return &u.token
	}
	return nil
}

// flush stores everything that the request did, at once.
func (u *unit) flush(ctx context.Context) error {
	s := u.service
	switch {
	case u.redeem:
		return u.flushRedemption(ctx)
	case u.rotate:
		return u.flushRotation(ctx)
	case u.retry, u.row() != nil:
		return s.Tokens.AppendTokens(ctx, u.row(), u.issued())
	}
	return s.Audit.Record(ctx, u.issued())
}
