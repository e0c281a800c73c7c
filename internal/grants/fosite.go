package grants

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/pkce"

	"idp/internal/idp"
)

// This file is the only one that speaks fosite. Its handlers check the inner
// protocol of each grant: which client a code belongs to, the redirect URI,
// the PKCE verifier, expiry, reuse. What surrounds them is ours: parsing,
// client authentication, policy, tokens, storage, answers. The handlers are
// called directly, without fosite's own endpoint code.
//
// A unit of work travels in the context. What fosite reads comes out of it,
// what fosite writes is recorded in it; the database is asked before the
// handlers run and written to after they have all agreed.

type (
	authorizeHandler = fosite.AuthorizeEndpointHandler
	tokenHandler     = fosite.TokenEndpointHandler
)

// Every interface that fosite looks up by type assertion, or that we mean to
// satisfy, named so that a change breaks the build and not the behaviour.
var (
	_ oauth2.CoreStorage            = vault{}
	_ oauth2.TokenRevocationStorage = vault{}
	_ pkce.PKCERequestStorage       = vault{}
	_ oauth2.CoreStrategy           = strategy{}
	_ fosite.Client                 = client{}
	_ fosite.Session                = (*session)(nil)
	_ tokenHandler                  = idTokens{}
)

func (s *Service) wireFosite() {
	cfg := handlerConfig{&fosite.Config{
		ScopeStrategy:            fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy,
		RefreshTokenScopes:       []string{idp.ScopeOfflineAccess},
		SanitationWhiteList:      []string{"redirect_uri"},
		RedirectSecureChecker:    func(context.Context, *url.URL) bool { return true }, // registration decided
		OmitRedirectScopeParam:   true,
	}}
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: strategy{}, RefreshTokenStrategy: strategy{}, AuthorizeCodeStrategy: strategy{},
		CoreStorage: vault{}, TokenRevocationStorage: vault{}, Config: cfg,
	}
	proofKey := &pkce.Handler{AuthorizeCodeStrategy: strategy{}, Storage: vault{}, Config: cfg}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy: strategy{}, RefreshTokenStrategy: strategy{}, TokenRevocationStorage: vault{}, Config: cfg,
	}
	credentials := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: strategy{}, AccessTokenStorage: vault{}, Config: cfg},
		Config:       cfg,
	}
	// The order matters: PKCE looks at the code that the code handler made, the
	// ID token hashes the access token.
	s.authorizeHandlers = []authorizeHandler{code, proofKey}
	s.grantTypes = map[string]grantType{}
	for _, g := range []grantType{
		{
			name: idp.GrantAuthorizationCode, load: loadCode, handlers: []tokenHandler{code, proofKey, idTokens{}},
			loaded:  []idp.Rule{idp.RuleGrantClient, idp.RuleGrantAlive, idp.RuleScopeGranted},
			checked: []idp.Rule{idp.RuleCodeUnused, idp.RuleCodeFresh, idp.RuleRedirectSame, idp.RulePKCEVerifier},
		},
		{
			name: idp.GrantRefreshToken, load: loadRefresh, handlers: []tokenHandler{refresh, idTokens{}},
			loaded:  []idp.Rule{idp.RuleGrantClient, idp.RuleGrantAlive, idp.RuleScopeGranted},
			checked: []idp.Rule{idp.RuleRefreshCurrent, idp.RuleRefreshFresh},
		},
		{
			name: idp.GrantClientCredentials, load: loadClientCredentials, handlers: []tokenHandler{credentials},
			loaded: []idp.Rule{idp.RuleScopeAllowed, idp.RuleResourceAllowed},
		},
	} {
		s.grantTypes[g.name] = g
	}
}

// runTokenHandlers lets the handlers check the request and then build the
// answer.
func (s *Service) runTokenHandlers(ctx context.Context, u *unit, handlers []tokenHandler) (*tokenResponse, error) {
	request := fosite.NewAccessRequest(&session{})
	request.GrantTypes = fosite.Arguments{u.grantType}
	request.Client = client{u.client}
	request.Form = u.form.values
	request.RequestedAt = u.now
	if u.state == nil {
		request.RequestedScope, request.GrantedScope = u.scopes, u.scopes
	}
	for _, h := range handlers {
		if err := h.HandleTokenEndpointRequest(ctx, request); err != nil && !errors.Is(err, fosite.ErrUnknownRequest) {
			return nil, err
		}
	}
	answer := fosite.NewAccessResponse()
	for _, h := range handlers {
		if err := h.PopulateTokenEndpointResponse(ctx, request, answer); err != nil && !errors.Is(err, fosite.ErrUnknownRequest) {
			return nil, err
		}
	}
	extra := func(name string) string {
		v, _ := answer.GetExtra(name).(string)
		return v
	}
	return &tokenResponse{
		AccessToken:  answer.GetAccessToken(),
		TokenType:    "Bearer",
		ExpiresIn:    u.expiresIn(),
		Scope:        joinScopes(u.token.Scopes),
		RefreshToken: extra("refresh_token"),
		IDToken:      extra("id_token"),
	}, nil
}

// runAuthorizeHandlers lets the handlers issue the code for a grant that our
// policy has agreed to, and returns the code.
func (s *Service) runAuthorizeHandlers(ctx context.Context, a *issuance, redirectURI *url.URL) (string, error) {
	request := fosite.NewAuthorizeRequest()
	request.ResponseTypes = fosite.Arguments{"code"}
	request.RedirectURI = redirectURI
	request.Client = client{a.client}
	request.Form = url.Values{}
	if a.grant.CodeChallenge != "" {
		request.Form.Set("code_challenge", a.grant.CodeChallenge)
		request.Form.Set("code_challenge_method", "S256")
	}
	request.RequestedAt = a.grant.CreatedAt
	request.RequestedScope, request.GrantedScope = a.grant.Scopes, a.grant.Scopes
	request.RequestedAudience, request.GrantedAudience = a.grant.Resources, a.grant.Resources
	request.Session = &session{}
	answer := fosite.NewAuthorizeResponse()
	ctx = context.WithValue(ctx, issuanceKey{}, a)
	for _, h := range s.authorizeHandlers {
		if err := h.HandleAuthorizeEndpointRequest(ctx, request, answer); err != nil {
			return "", err
		}
	}
	return answer.GetCode(), nil
}

// handlerConfig answers per client what fosite can only be told for all.
type handlerConfig struct{ *fosite.Config }

func (handlerConfig) GetEnforcePKCE(ctx context.Context) bool {
	if u := unitFrom(ctx); u != nil {
		return u.client.RequiresPKCE()
	}
	if a, ok := ctx.Value(issuanceKey{}).(*issuance); ok {
		return a.client.RequiresPKCE()
	}
	return true
}

// client shows a client to fosite. It never shows a secret: authentication is
// over when fosite sees it.
type client struct{ *idp.Client }

func (c client) GetID() string                      { return c.ClientID }
func (c client) GetHashedSecret() []byte            { return nil }
func (c client) GetRedirectURIs() []string          { return c.RedirectURIs }
func (c client) GetGrantTypes() fosite.Arguments    { return c.GrantTypes }
func (c client) GetResponseTypes() fosite.Arguments { return c.ResponseTypes }
func (c client) GetScopes() fosite.Arguments        { return c.Scopes() }
func (c client) IsPublic() bool                     { return c.Public() }
func (c client) GetAudience() fosite.Arguments      { return c.Audience }

// session is the little that fosite insists on; what counts is in the unit.
type session struct{}

func (*session) SetExpiresAt(fosite.TokenType, time.Time)    {}
func (*session) GetExpiresAt(fosite.TokenType) (t time.Time) { return t }
func (*session) GetUsername() string                         { return "" }
func (*session) GetSubject() string                          { return "" }
func (s *session) Clone() fosite.Session                     { return s }

// strategy mints and validates tokens from what the unit holds.
type strategy struct{}

func (strategy) AuthorizeCodeSignature(context.Context, string) string { return "code" }
func (strategy) AccessTokenSignature(context.Context, string) string   { return "access" }
func (strategy) RefreshTokenSignature(context.Context, string) string  { return "refresh" }

func (st strategy) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (string, string, error) {
	a, ok := ctx.Value(issuanceKey{}).(*issuance)
	if !ok {
		return "", "", errors.New("no grant is being issued")
	}
	code := a.service.Opaque.MintOpaque(idp.OpaqueToken{
		Kind: idp.KindCode, ExpiresOn: a.grant.Handle.ExpiresOn, ID: a.grant.Handle.ID,
	}, a.grant.Salt)
	return code, "code", nil
}

// ValidateAuthorizeCode checks what the row says of time; format and proof
// were checked when it was read.
func (strategy) ValidateAuthorizeCode(ctx context.Context, _ fosite.Requester, _ string) error {
	u := unitFrom(ctx)
	if !u.now.Before(u.state.Grant.CodeExpiresAt) {
		return fosite.ErrTokenExpired
	}
	return nil
}

func (strategy) GenerateAccessToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	raw, err := unitFrom(ctx).signAccessToken()
	return raw, "access", err
}

// ValidateAccessToken is never called: introspection is ours.
func (strategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return fosite.ErrInactiveToken
}

func (strategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	return unitFrom(ctx).successor(), "refresh", nil
}

func (strategy) ValidateRefreshToken(ctx context.Context, _ fosite.Requester, _ string) error {
	u := unitFrom(ctx)
	if !u.now.Before(u.state.Grant.IdleExpiresAt) {
		return fosite.ErrTokenExpired
	}
	return nil
}

// vault is fosite's storage: reads come from the unit, writes go into it.
type vault struct{}

// stored shows the grant as the request that fosite believes it stored.
func stored(u *unit) fosite.Requester {
	g := u.state.Grant
	r := fosite.NewRequest()
	r.ID = g.Handle.ID.String()
	r.RequestedAt = g.CreatedAt
	r.Client = client{u.client}
	r.RequestedScope, r.GrantedScope = slices.Clone(g.Scopes), slices.Clone(g.Scopes)
	r.RequestedAudience, r.GrantedAudience = slices.Clone(g.Resources), slices.Clone(g.Resources)
	r.Session = &session{}
	if !g.RedirectURIOmitted {
		r.Form.Set("redirect_uri", g.RedirectURI)
	}
	if g.CodeChallenge != "" {
		r.Form.Set("code_challenge", g.CodeChallenge)
		r.Form.Set("code_challenge_method", "S256")
	}
	return r
}

// CreateAuthorizeCodeSession has nothing to do: the grant is in the issuance.
func (vault) CreateAuthorizeCodeSession(context.Context, string, fosite.Requester) error { return nil }

func (vault) GetAuthorizeCodeSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	u := unitFrom(ctx)
	if !u.state.Grant.CodeUsedAt.IsZero() {
		u.kill = &kill{idp.EventCodeReplayed, "authorization code used twice"}
		return stored(u), fosite.ErrInvalidatedAuthorizeCode
	}
	return stored(u), nil
}

func (vault) InvalidateAuthorizeCodeSession(ctx context.Context, _ string) error {
	unitFrom(ctx).redeem = true
	return nil
}

func (vault) CreatePKCERequestSession(context.Context, string, fosite.Requester) error { return nil }

// GetPKCERequestSession answers for as long as the row has a challenge, so a
// wrong verifier cannot be followed by none.
func (vault) GetPKCERequestSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	u := unitFrom(ctx)
	if u.state.Grant.CodeChallenge == "" {
		return nil, fosite.ErrNotFound
	}
	return stored(u), nil
}

func (vault) DeletePKCERequestSession(context.Context, string) error { return nil }

// The unit knows by itself whether the token needs a row.
func (vault) CreateAccessTokenSession(context.Context, string, fosite.Requester) error { return nil }

func (vault) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}
func (vault) DeleteAccessTokenSession(context.Context, string) error { return nil }

func (vault) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}

func (vault) GetRefreshTokenSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	u := unitFrom(ctx)
	if u.from != u.state.Grant.Generation && !u.retry {
		u.kill = &kill{idp.EventRefreshReplayed, "refresh token replayed"}
		return stored(u), fosite.ErrInactiveToken
	}
	return stored(u), nil
}

func (vault) DeleteRefreshTokenSession(context.Context, string) error { return nil }

func (vault) RotateRefreshToken(ctx context.Context, _, _ string) error {
	u := unitFrom(ctx)
	u.rotate = !u.retry
	return nil
}

// The kill is recorded where the replay is seen; fosite asks twice more.
func (vault) RevokeRefreshToken(context.Context, string) error { return nil }
func (vault) RevokeAccessToken(context.Context, string) error  { return nil }

// idTokens adds the ID token to the answers of the grants that people stand
// behind (OpenID Connect Core sections 3.1.3.3 and 12.2).
type idTokens struct{}

func (idTokens) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }
func (idTokens) CanHandleTokenEndpointRequest(context.Context, fosite.AccessRequester) bool {
	return true
}

func (idTokens) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error { return nil }

func (idTokens) PopulateTokenEndpointResponse(ctx context.Context, _ fosite.AccessRequester, answer fosite.AccessResponder) error {
	u := unitFrom(ctx)
	if !hasScope(u.scopes, idp.ScopeOpenID) {
		return nil
	}
	raw, err := u.signIDToken(ctx, answer.GetAccessToken(), "", false)
	if err != nil {
		return err
	}
	answer.SetExtra("id_token", raw)
	return nil
}
