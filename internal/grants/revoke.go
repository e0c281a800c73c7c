package grants

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"idp/internal/idp"
)

// Revoke answers POST /oauth2/revoke (RFC 7009). Revoking any token of a grant,
// a rotated refresh token too, ends the whole grant; a token without a grant
// goes on the deny list until it would have expired.
func (s *Service) Revoke(w http.ResponseWriter, r *http.Request) {
	if err := s.revoke(w, r); err != nil {
		s.fail(w, r, toError(err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (s *Service) revoke(w http.ResponseWriter, r *http.Request) error {
	form, oauthErr := parseForm(r)
	if oauthErr != nil {
		return oauthErr
	}
	client, oauthErr := s.authenticate(w, r, form)
	if oauthErr != nil {
		return oauthErr
	}
	raw := form.get("token")
	if raw == "" {
		return invalidRequest("token is missing")
	}
	return s.revokeToken(r.Context(), client, raw)
}

// revokeToken ends what the token stands for. A token that means nothing here
// is as good as revoked (RFC 7009 section 2.2).
func (s *Service) revokeToken(ctx context.Context, client *idp.Client, raw string) error {
	t, err := s.owned(ctx, raw)
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		return err
	case err != nil:
		return nil
	}
	event := idp.Event{
		Kind: idp.EventTokenRevoked, At: s.now(), ClientID: client.ClientID, UserID: t.Subject,
		Detail: map[string]string{"reason": "revoked by the client"},
	}
	if client.Sector() != "" {
		event.UserID = "" // a pseudonym names nobody here; the grant does
	}
	if t.ClientID != client.ClientID {
		event.Kind, event.Detail["reason"] = idp.EventRevokeWrongClient, "token of another client"
		s.Audit.Note(ctx, event)
		return unauthorizedClient("the token belongs to another client")
	}
	if t.Grant.IsZero() {
		event.UserID, event.Detail["jti"] = "", t.ID.String()
		return s.Tokens.RevokeAccessToken(ctx, t.ID, idp.DayOf(t.ExpiresAt), s.now(), event)
	}
	event.GrantID = t.Grant.ID.String()
	return s.Grants.RevokeGrant(ctx, t.Grant, "revoked by the client", s.now(), event)
}

// owned returns whose token it is and which grant it belongs to, alive or not.
func (s *Service) owned(ctx context.Context, raw string) (idp.AccessToken, error) {
	switch {
	case strings.HasPrefix(raw, refreshPrefix):
		state, err := s.loadGrant(ctx, idp.KindRefresh, raw)
		if err != nil {
			return idp.AccessToken{}, err
		}
		return idp.AccessToken{ClientID: state.Grant.ClientID, Subject: state.Grant.UserID, Grant: state.Grant.Handle}, nil
	case strings.HasPrefix(raw, accessPrefix):
		parsed, err := s.Opaque.ParseOpaque(idp.KindAccess, raw)
		if err != nil || !s.Opaque.VerifyOpaque(raw, nil) {
			return idp.AccessToken{}, idp.ErrMalformed
		}
		state, err := s.Tokens.AccessTokenState(ctx, parsed.ExpiresOn, parsed.ID)
		return state.Token, err
	}
	return s.Signer.VerifyAccessToken(raw)
}
