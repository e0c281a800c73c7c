package grants

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"idp/internal/idp"
)

// Preview returns what a client would be told of somebody who signs in to it
// now with a password and allows all that it may ask for: for a resource of its
// audience, or for none where that is empty. It is made as tokens are made, and
// thrown away: nothing is issued and nothing stored.
func (s *Service) Preview(ctx context.Context, clientID, audience string, user idp.User, m idp.Memberships) (idp.Preview, error) {
	registered, ok := s.Directory.Client(clientID)
	if !ok {
		return idp.Preview{}, fmt.Errorf("grants: preview: %w", idp.ErrNotFound)
	}
	client := *registered
	client.IDTokenEncryptedResponseAlg = "" // to be read here
	now := idp.Instant(s.Now())
	var resource *idp.Resource
	t := target{scopes: client.Scopes()}
	if audience != "" {
		found, fault := s.resource(&client, audience)
		if fault != nil {
			return idp.Preview{}, idp.Invalid("audience", "is none that the client may ask for")
		}
		resource, t.resources = found, []*idp.Resource{found}
	}
	t.scopes = scopesFor(t.scopes, resource)
	scopes := s.permitted(t, m)
	u := &unit{
		service: s, client: &client, grantType: idp.GrantAuthorizationCode, now: now, resource: resource, scopes: scopes,
		state: &idp.GrantState{User: user, Memberships: m, Grant: idp.Grant{
			ClientID: client.ClientID, UserID: user.ID, SessionID: newID(), Scopes: scopes, AuthTime: now,
			ACR: idp.ACRPassword, AMR: []string{"pwd"}, ExpiresAt: now.Add(s.Lifetimes.RefreshAbsolute),
			Handle: idp.GrantHandle{ExpiresOn: idp.DayOf(now.Add(s.Lifetimes.RefreshAbsolute)), ID: newID()},
		}},
	}
	u.rules = s.rules(&client, resource)
	p := idp.Preview{Opaque: u.rules.format == idp.FormatOpaque}
	p.Withheld = slices.DeleteFunc(t.scopes, func(scope string) bool { return slices.Contains(scopes, scope) })
	u.rules.format = idp.FormatJWT // the same claims are what introspection tells
	raw, err := u.signAccessToken()
	if err == nil {
		p.AccessToken, err = payload(raw)
	}
	if err != nil || !hasScope(scopes, idp.ScopeOpenID) {
		return p, err
	}
	if raw, err = u.signIDToken(ctx, raw, "", false); err == nil {
		p.IDToken, err = payload(raw)
	}
	if err != nil {
		return p, err
	}
	claims := user.Claims(m, scopes, s.claimRules())
	claims["sub"] = u.token.Subject
	p.Userinfo, err = json.Marshal(claims)
	return p, err
}

// payload is what a JWS says, without its signature.
func payload(raw string) (json.RawMessage, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errors.New("grants: preview: not a JWS")
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}
