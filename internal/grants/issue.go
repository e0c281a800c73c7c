package grants

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
)

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
	var kinds []string
	for _, kind := range []string{"code", "access_token", "id_token"} {
		if answer.Has(kind) {
			kinds = append(kinds, kind)
		}
	}
	idp.RequestFrom(r.Context()).Issued = strings.Join(kinds, " ")
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
		AuthTime: f.who.Session.AuthTime, ACR: f.grantedACR(), AMR: f.who.Session.AMR, Claims: req.claims,
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
