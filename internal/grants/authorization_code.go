package grants

import (
	"context"
	"errors"
	"time"

	"idp/internal/idp"
)

// loadCode reads the grant that an authorization code stands for (RFC 6749
// section 4.1.3). fosite checks the expiry, the redirect URI, the client and
// the verifier afterwards.
func loadCode(ctx context.Context, u *unit) error {
	s := u.service
	code := u.form.get("code")
	if code == "" {
		return invalidRequest("code is missing")
	}
	state, err := s.loadGrant(ctx, idp.KindCode, code)
	if err != nil {
		return err
	}
	if state.Grant.ClientID != u.client.ClientID {
		// A stranger's attempt must not burn or kill what is not its own.
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(errors.New("code of another client")).
			by(idp.RuleGrantClient, fact("granted_to", state.Grant.ClientID), fact("presented_by", u.client.ClientID))
	}
	u.state = &state
	if !state.Grant.CodeUsedAt.IsZero() {
		return nil // fosite recognises the replay, and the grant dies
	}
	return s.admit(u)
}

// loadGrant parses an opaque token, reads its grant and checks the proof.
func (s *Service) loadGrant(ctx context.Context, kind idp.TokenKind, raw string) (idp.GrantState, error) {
	parsed, err := s.Opaque.ParseOpaque(kind, raw)
	if err != nil {
		return idp.GrantState{}, err
	}
	state, err := s.Grants.GrantState(ctx, idp.GrantHandle{ExpiresOn: parsed.ExpiresOn, ID: parsed.ID})
	if err != nil {
		return idp.GrantState{}, err
	}
	if !s.Opaque.VerifyOpaque(raw, state.Grant.Salt) {
		return idp.GrantState{}, idp.ErrMalformed
	}
	return state, nil
}

// admit applies the gate and our policy to the unit's grant, and decides the
// resource and the scopes of the access token.
func (s *Service) admit(u *unit) error {
	g := u.state.Grant
	if err := u.state.Gate(u.client, u.now); err != nil {
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(err)
	}
	// Tokens count in whole seconds: in its last one a grant has none to give.
	if !u.now.Truncate(time.Second).Before(g.ExpiresAt.Truncate(time.Second)) {
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(idp.RefusedGrantExpired)
	}
	if !subset(g.Scopes, u.client.Scopes()) {
		return invalidGrant("the grant is invalid, expired, revoked or was used before").
			because(errors.New("the client lost a granted scope")).
			by(idp.RuleGrantScope, fact("granted", g.Scopes...), fact("allowed", u.client.Scopes()...))
	}
	wanted, ok := scopeList(u.form.get("scope"))
	switch {
	case !ok:
		return invalidScope("scope is malformed")
	case !subset(wanted, g.Scopes):
		return invalidScope("the scope goes beyond what was granted").by(idp.RuleScopeGranted, fact("granted", g.Scopes...))
	case len(wanted) == 0:
		wanted = g.Scopes
	}
	audience, oauthErr := chosenResource(g.Resources, u.form.all("resource"))
	if oauthErr != nil {
		return oauthErr
	}
	if audience != "" {
		resource, oauthErr := s.resource(u.client, audience)
		if oauthErr != nil {
			return invalidGrant("the grant is invalid, expired, revoked or was used before").because(oauthErr)
		}
		u.resource = resource
	}
	t := target{scopes: scopesFor(wanted, u.resource)}
	if u.resource != nil {
		t.resources = []*idp.Resource{u.resource}
	}
	u.scopes = s.permitted(t, u.state.Memberships)
	u.rules = s.rules(u.client, u.resource)
	return nil
}

// chosenResource picks the one resource that an access token is for, out of
// those granted (RFC 8707 section 2.2): the one asked for, else the first.
func chosenResource(granted, wanted []string) (string, *Error) {
	switch {
	case len(wanted) > 1:
		return "", invalidTarget("ask for one resource per token").by(idp.RuleResourceOne)
	case len(wanted) == 1 && !subset(wanted, granted):
		return "", invalidTarget("the resource goes beyond what was granted").by(idp.RuleResourceGranted, fact("granted", granted...))
	case len(wanted) == 1:
		return wanted[0], nil
	case len(granted) > 0:
		return granted[0], nil
	}
	return "", nil
}

// burn ends a grant whose code came from the right client with the wrong
// redirect URI or verifier: whoever holds the code is guessing, and gets no
// second guess (RFC 9700 sections 4.5 and 4.8).
func (u *unit) burn(err error) {
	if u.grantType == idp.GrantAuthorizationCode && u.kill == nil && toError(err).Code == "invalid_grant" {
		u.kill = &kill{idp.EventCodeBurned, "wrong redirect_uri or code_verifier"}
	}
}

// flushRedemption uses the code. Whoever comes second learns it here, and the
// grant dies with the first one's tokens (RFC 6749 section 4.1.2).
func (u *unit) flushRedemption(ctx context.Context) error {
	idle, _ := u.service.refreshLifetimes(u.client)
	err := u.service.Grants.RedeemCode(ctx, idp.CodeRedemption{
		Handle: u.state.Grant.Handle, At: u.now,
		Refreshable: u.refreshable(), IdleExpiresAt: u.now.Add(idle),
	}, u.row(), u.issued())
	if errors.Is(err, idp.ErrAlreadyUsed) {
		u.kill = &kill{idp.EventCodeReplayed, "authorization code used twice"}
	}
	return err
}
