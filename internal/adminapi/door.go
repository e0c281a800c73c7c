package adminapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"idp/internal/idp"
)

// admit lets a request in: 1 it brings one bearer token in the one place for
// it · 2 the token lives · 3 it is for this API · 4 its person, if there is
// one, is an administrator · 5 it holds the scope. Every route passes here,
// and nothing is read or looked up for a request before.
func (a *API) admit(r *http.Request, scope string) (*call, error) {
	if r.URL.Query().Has("access_token") {
		return nil, invalid("an access token does not belong in a URL (RFC 9700 section 4.3.2)")
	}
	raw, err := bearer(r)
	if err != nil {
		return nil, err
	}
	b, err := a.Tokens.Bearer(r.Context(), raw)
	if errors.Is(err, idp.ErrExpired) || err == nil && !slices.Contains(b.Token.Audience, idp.AdminAudience(a.Issuer)) {
		return nil, invalidToken()
	}
	if err != nil {
		return nil, err
	}
	record := idp.RequestFrom(r.Context())
	record.ClientID, record.Subject = b.Token.ClientID, ""
	caller := b.Token.ClientID
	if b.User != nil {
		record.Subject = b.User.ID
		caller += " " + b.User.ID
		if !slices.Contains(b.Memberships.Groups, idp.AdminGroup) {
			return nil, notAdministrator()
		}
	}
	authority := append(idp.Authority{}, b.Token.Scopes...) // never nil, which would be everything
	if !authority.Holds(scope) {
		return nil, insufficientScope(scope)
	}
	return &call{Request: r, api: a, admin: a.Admin.Within(authority), caller: caller, scopes: b.Token.Scopes}, nil
}

// bearer takes the access token out of the Authorization header (RFC 6750
// section 2.1), which is the only place for it here.
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", invalid("the access token came more than once")
	}
	if len(headers) == 0 {
		return "", noToken()
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", noToken()
	}
	return token, nil
}
