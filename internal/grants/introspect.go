package grants

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// introspection is the answer of RFC 7662 section 2.2 for an active token. For
// everything else it is exactly {"active":false}.
type introspection struct {
	Active       bool     `json:"active"`
	Iss          string   `json:"iss,omitempty"`
	Sub          string   `json:"sub,omitempty"`
	Aud          any      `json:"aud,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	Username     string   `json:"username,omitempty"`
	Scope        string   `json:"scope,omitempty"`
	TokenType    string   `json:"token_type,omitempty"`
	Exp          int64    `json:"exp,omitempty"`
	Iat          int64    `json:"iat,omitempty"`
	Jti          string   `json:"jti,omitempty"`
	AuthTime     int64    `json:"auth_time,omitempty"`
	ACR          string   `json:"acr,omitempty"`
	AMR          []string `json:"amr,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	Roles        []string `json:"roles,omitempty"`
	Entitlements []string `json:"entitlements,omitempty"`
}

// Introspect answers POST /oauth2/introspect (RFC 7662). A token is shown to
// the client that owns it and to the resource server that it is for; to all
// others it does not exist.
func (s *Service) Introspect(w http.ResponseWriter, r *http.Request) {
	answer, err := s.introspect(w, r)
	if err != nil {
		oauthErr := toError(err)
		if oauthErr.Status == http.StatusUnauthorized {
			w.Header().Add("WWW-Authenticate", `Bearer realm="`+s.Issuer+`"`)
		}
		s.fail(w, r, oauthErr)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Service) introspect(w http.ResponseWriter, r *http.Request) (introspection, error) {
	form, oauthErr := parseForm(r)
	if oauthErr != nil {
		return introspection{}, oauthErr
	}
	client, oauthErr := s.authenticate(w, r, form)
	if oauthErr != nil {
		return introspection{}, oauthErr
	}
	if client.Public() {
		return introspection{}, invalidClient().because(errors.New("a public client cannot introspect")).by(idp.RuleClientConfidential)
	}
	raw := form.get("token")
	if raw == "" {
		return introspection{}, invalidRequest("token is missing")
	}
	found, err := s.find(r.Context(), raw)
	if errors.Is(err, errDead) || err == nil && !found.visibleTo(client) {
		return introspection{}, nil
	}
	return s.present(found), err
}

// errDead says that a token is none of ours, expired, revoked or refused by
// the gate; which of these is nobody's business.
var errDead = errors.New("token is not active")

// found is a token that lives.
type found struct {
	token   idp.AccessToken
	user    *idp.User      // nil for client credentials
	claims  map[string]any // asked for by name at userinfo
	refresh bool

	memberships idp.Memberships // of the user
}

// Bearer returns the access token if it lives, as userinfo and introspection
// see it: idp.ErrExpired for everything else, idp.ErrUnavailable when the
// database cannot tell.
func (s *Service) Bearer(ctx context.Context, raw string) (idp.Bearer, error) {
	if strings.HasPrefix(raw, refreshPrefix) {
		return idp.Bearer{}, idp.ErrExpired
	}
	f, err := s.find(ctx, raw)
	if errors.Is(err, errDead) {
		return idp.Bearer{}, idp.ErrExpired
	}
	return idp.Bearer{Token: f.token, User: f.user, Memberships: f.memberships}, err
}

// visibleTo reports whether the client may know of the token.
func (f found) visibleTo(c *idp.Client) bool {
	if f.token.ClientID == c.ClientID {
		return true
	}
	return !f.refresh && slices.ContainsFunc(f.token.Audience, func(aud string) bool { return slices.Contains(c.ResourceServerOf, aud) })
}

// find recognises a token by its shape and returns it if it lives. It returns
// errDead or, when the database cannot tell, an error that wraps
// idp.ErrUnavailable.
func (s *Service) find(ctx context.Context, raw string) (found, error) {
	switch {
	case strings.HasPrefix(raw, refreshPrefix):
		return s.findRefresh(ctx, raw)
	case strings.HasPrefix(raw, accessPrefix):
		return s.findOpaque(ctx, raw)
	}
	return s.findJWT(ctx, raw)
}

// The prefixes by which opaque tokens are told apart.
const (
	refreshPrefix = "idp_rt_"
	accessPrefix  = "idp_at_"
)

func (s *Service) findJWT(ctx context.Context, raw string) (found, error) {
	t, err := s.Signer.VerifyAccessToken(raw)
	if err != nil {
		return found{}, errDead
	}
	if !t.Grant.IsZero() {
		state, err := s.Grants.GrantState(ctx, t.Grant)
		return s.alive(t, &state, err)
	}
	revoked, err := s.Tokens.AccessTokenRevoked(ctx, t.ID, idp.DayOf(t.ExpiresAt))
	if err == nil && revoked {
		return found{}, errDead
	}
	return s.alive(t, nil, err)
}

func (s *Service) findOpaque(ctx context.Context, raw string) (found, error) {
	parsed, err := s.Opaque.ParseOpaque(idp.KindAccess, raw)
	if err != nil || !s.Opaque.VerifyOpaque(raw, nil) {
		return found{}, errDead
	}
	state, err := s.Tokens.AccessTokenState(ctx, parsed.ExpiresOn, parsed.ID)
	if err == nil && (!state.RevokedAt.IsZero() || !s.now().Before(state.Token.ExpiresAt)) {
		return found{}, errDead
	}
	if err == nil && !state.Token.Grant.IsZero() && state.Grant == nil {
		return found{}, errDead // its grant is gone
	}
	return s.alive(state.Token, state.Grant, err)
}

func (s *Service) findRefresh(ctx context.Context, raw string) (found, error) {
	state, err := s.loadGrant(ctx, idp.KindRefresh, raw)
	if err != nil {
		return s.alive(idp.AccessToken{}, nil, err)
	}
	parsed, err := s.Opaque.ParseOpaque(idp.KindRefresh, raw)
	g := state.Grant
	if err != nil || parsed.Generation != g.Generation || !s.now().Before(g.IdleExpiresAt) {
		return found{}, errDead
	}
	f, err := s.alive(idp.AccessToken{
		ClientID: g.ClientID, Subject: s.subjectOfGrant(g), Audience: g.Resources, Scopes: g.Scopes,
		IssuedAt: g.RotatedAt, ExpiresAt: earlier(g.IdleExpiresAt, g.ExpiresAt),
		AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR,
	}, &state, nil)
	f.refresh = true
	return f, err
}

// alive applies the gate to a token that was found, or says why it was not. A
// scope that its person lost the role for is not there any more.
func (s *Service) alive(t idp.AccessToken, state *idp.GrantState, err error) (found, error) {
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		return found{}, err
	case err != nil:
		return found{}, errDead
	}
	client, ok := s.Directory.Client(t.ClientID)
	if !ok || client.Gate(t.IssuedAt) != nil || !idp.Begun(t.IssuedAt, s.now()) || !s.entitled(client, t, state != nil) {
		return found{}, errDead
	}
	if state == nil {
		return found{token: t}, nil
	}
	if state.Gate(client, s.now()) != nil {
		return found{}, errDead
	}
	t.Scopes = s.permitted(target{scopes: t.Scopes, resources: s.resourcesOf(t.Audience)}, state.Memberships)
	f := found{token: t, user: &state.User, memberships: state.Memberships}
	if state.Grant.Claims != nil {
		f.claims = state.User.Requested(state.Memberships, state.Grant.Claims.Userinfo, client.Scopes(), s.claimRules())
	}
	return f, nil
}

// resourcesOf returns the registered resources of an audience.
func (s *Service) resourcesOf(audience []string) []*idp.Resource {
	var out []*idp.Resource
	for _, aud := range audience {
		if r, ok := s.Directory.Resource(aud); ok {
			out = append(out, r)
		}
	}
	return out
}

// entitled reports whether the client may still have what the token gives: who
// takes a grant type, a scope or a resource away from it means the tokens that
// are out as well.
func (s *Service) entitled(c *idp.Client, t idp.AccessToken, personal bool) bool {
	grantType := idp.GrantClientCredentials
	if personal {
		grantType = idp.GrantAuthorizationCode
	}
	return c.HasGrantType(grantType) && subset(t.Scopes, c.Scopes()) &&
		!slices.ContainsFunc(t.Audience, func(aud string) bool { return aud != s.Issuer && !slices.Contains(c.Audience, aud) })
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (s *Service) present(f found) introspection {
	t := f.token
	out := introspection{
		Active: true, Iss: s.Issuer, Sub: t.Subject, ClientID: t.ClientID, Scope: joinScopes(t.Scopes),
		Exp: t.ExpiresAt.Unix(), Iat: t.IssuedAt.Unix(),
		ACR: t.ACR, AMR: t.AMR, Groups: t.Groups, Roles: t.Roles, Entitlements: t.Entitlements,
	}
	switch len(t.Audience) {
	case 0:
	case 1:
		out.Aud = t.Audience[0]
	default:
		out.Aud = t.Audience
	}
	if !t.AuthTime.IsZero() {
		out.AuthTime = t.AuthTime.Unix()
	}
	if f.user != nil && t.Subject == f.user.ID { // a name would undo a pseudonym
		out.Username = f.user.Username
	}
	if !f.refresh {
		out.TokenType, out.Jti = "Bearer", t.ID.String()
	}
	return out
}
