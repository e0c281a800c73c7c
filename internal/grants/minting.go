package grants

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// signAccessToken completes the unit's access token (RFC 9068 section 2.2) and
// returns it as the client gets it.
func (u *unit) signAccessToken() (string, error) {
	s := u.service
	issued := u.now.Truncate(time.Second)
	t := idp.AccessToken{
		ID: newID(), ClientID: u.client.ClientID, Subject: u.client.ClientID,
		Audience: u.audience(), Scopes: u.scopes,
		IssuedAt: issued, ExpiresAt: issued.Add(u.rules.lifetime),
	}
	if u.state != nil {
		g := u.state.Grant
		t.Grant, t.Subject = g.Handle, s.subject(u.client, u.state.User.ID)
		t.AuthTime, t.ACR, t.AMR = g.AuthTime, g.ACR, g.AMR
		if end := g.ExpiresAt.Truncate(time.Second); end.Before(t.ExpiresAt) {
			t.ExpiresAt = end
		}
		u.authorize(&t)
	}
	u.token = t
	if u.rules.format == idp.FormatOpaque {
		return s.Opaque.MintOpaque(idp.OpaqueToken{
			Kind: idp.KindAccess, ExpiresOn: idp.DayOf(t.ExpiresAt), ID: t.ID,
		}, nil), nil
	}
	return signed(s.Signer.SignAccessToken(u.rules.alg, t))
}

// signed says of a key that does not sign that the server cannot answer now:
// nothing is wrong with the request, and nothing was stored yet.
func signed(raw string, err error) (string, error) {
	if err != nil {
		return "", fmt.Errorf("sign: %w: %w", idp.ErrUnavailable, err)
	}
	return raw, nil
}

// audience is the resource, and the issuer itself when the token opens
// userinfo or nothing else.
func (u *unit) audience() []string {
	var out []string
	if u.resource != nil {
		out = append(out, u.resource.Audience)
	}
	if u.resource == nil || hasScope(u.scopes, idp.ScopeOpenID) {
		out = append(out, u.service.Issuer)
	}
	return out
}

// authorize adds the authorization claims that the resource asks for.
func (u *unit) authorize(t *idp.AccessToken) {
	if u.resource == nil {
		return
	}
	roles := u.service.Directory.Roles()
	held := u.state.Memberships.EffectiveRoles(roles)
	for _, claim := range u.resource.Claims {
		switch claim {
		case idp.ClaimGroups:
			t.Groups, _ = u.state.Memberships.TokenGroups()
		case idp.ClaimRoles:
			t.Roles = held
		case idp.ClaimEntitlements:
			t.Entitlements = idp.Entitlements(roles, held, u.resource.Audience)
		}
	}
}

// expiresIn is the access token's life in seconds.
func (u *unit) expiresIn() int64 {
	return int64(u.token.ExpiresAt.Sub(u.token.IssuedAt) / time.Second)
}

// signIDToken returns the ID token for the unit's grant, bound to the access
// token and code that travel with it (empty for none). The nonce goes into the
// first one only: a refresh answers no authentication request. It is encrypted
// for clients that registered so.
func (u *unit) signIDToken(ctx context.Context, accessToken, code string, alone bool) (string, error) {
	s := u.service
	g := u.state.Grant
	issued := u.now.Truncate(time.Second)
	t := idp.IDToken{
		ClientID: u.client.ClientID, Subject: s.subject(u.client, u.state.User.ID), SessionID: g.SessionID,
		IssuedAt: issued, ExpiresAt: issued.Add(s.Lifetimes.IDToken),
		AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR, AccessToken: accessToken, Code: code,
	}
	if u.grantType == idp.GrantAuthorizationCode {
		t.Nonce = g.Nonce
	}
	t.Claims = u.idTokenClaims(alone)
	alg := u.client.IDTokenSignedResponseAlg
	if alg == "" {
		alg = idp.AlgRS256 // OpenID Connect Dynamic Client Registration section 2
	}
	raw, err := signed(s.Signer.SignIDToken(alg, t))
	if err != nil || u.client.IDTokenEncryptedResponseAlg == "" {
		return raw, err
	}
	return s.Encrypter.Encrypt(ctx, u.client, u.client.IDTokenEncryptedResponseAlg, u.client.IDTokenEncryptedResponseEnc, raw)
}

// idTokenClaims are what the ID token says of the person: what was asked for by
// name, and the claims of the scopes when there will be no userinfo to ask
// (OpenID Connect Core section 5.4). The groups are there with their scope in
// any case: what decides about rights by them reads nothing but the ID token.
func (u *unit) idTokenClaims(alone bool) map[string]any {
	user, m, rules := &u.state.User, u.state.Memberships, u.service.claimRules()
	claims := map[string]any{}
	switch {
	case alone:
		claims = user.Claims(m, u.scopes, rules)
	case hasScope(u.scopes, idp.ScopeMemberships):
		claims = user.Claims(m, []string{idp.ScopeMemberships}, rules)
	}
	if asked := u.state.Grant.Claims; asked != nil {
		maps.Copy(claims, user.Requested(m, asked.IDToken, u.client.Scopes(), rules))
	}
	if _, ok := m.TokenGroups(); !ok {
		delete(claims, idp.ClaimGroups) // userinfo tells them
	}
	return claims
}

func hasScope(scopes []string, scope string) bool { return slices.Contains(scopes, scope) }

func joinScopes(scopes []string) string { return strings.Join(scopes, " ") }
