package grants

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"idp/internal/idp"
)

// Userinfo answers GET and POST /userinfo (OpenID Connect Core section 5.3):
// the claims about the person that the granted scopes open, read as they are
// now.
func (s *Service) Userinfo(w http.ResponseWriter, r *http.Request) {
	claims, client, err := s.userinfo(r)
	if err != nil {
		s.challenge(w, r, err)
		return
	}
	if client.UserinfoSignedResponseAlg == "" && client.UserinfoEncryptedResponseAlg == "" {
		writeJSON(w, http.StatusOK, claims)
		return
	}
	raw, fault := s.sealUserinfo(r.Context(), client, claims)
	if fault != nil {
		s.challenge(w, r, toError(fault))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/jwt")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = io.WriteString(w, raw)
}

// sealUserinfo signs the claims and then encrypts them, each if the client
// registered so (OpenID Connect Core section 5.3.2).
func (s *Service) sealUserinfo(ctx context.Context, client *idp.Client, claims map[string]any) (string, error) {
	raw, err := "", error(nil)
	if client.UserinfoSignedResponseAlg != "" {
		raw, err = signed(s.Signer.SignUserinfo(client.UserinfoSignedResponseAlg, client.ClientID, claims))
	} else {
		var text []byte
		text, err = json.Marshal(claims)
		raw = string(text)
	}
	if err != nil || client.UserinfoEncryptedResponseAlg == "" {
		return raw, err
	}
	return s.Encrypter.Encrypt(ctx, client, client.UserinfoEncryptedResponseAlg, client.UserinfoEncryptedResponseEnc, raw)
}

func (s *Service) userinfo(r *http.Request) (map[string]any, *idp.Client, *Error) {
	raw, oauthErr := bearer(r)
	if oauthErr != nil {
		return nil, nil, oauthErr
	}
	dead := oauthError(http.StatusUnauthorized, "invalid_token", "the access token is expired, revoked or not one of ours")
	if strings.HasPrefix(raw, refreshPrefix) {
		return nil, nil, dead
	}
	f, err := s.find(r.Context(), raw)
	switch {
	case errors.Is(err, errDead):
		return nil, nil, dead
	case err != nil:
		return nil, nil, toError(err)
	}
	record := idp.RequestFrom(r.Context())
	record.ClientID, record.Subject = f.token.ClientID, f.token.Subject
	if f.user != nil {
		record.Subject = f.user.ID
	}
	if f.user == nil || !hasScope(f.token.Scopes, idp.ScopeOpenID) {
		return nil, nil, oauthError(http.StatusForbidden, "insufficient_scope", "the access token lacks the scope openid")
	}
	if !slices.Contains(f.token.Audience, s.Issuer) {
		return nil, nil, dead
	}
	client, ok := s.Directory.Client(f.token.ClientID)
	if !ok {
		return nil, nil, dead
	}
	claims := f.user.Claims(f.memberships, f.token.Scopes, s.claimRules())
	maps.Copy(claims, f.claims)
	claims["sub"] = f.token.Subject
	return claims, client, nil
}

// bearer takes the access token out of a request by exactly one of the ways of
// RFC 6750 section 2; the URL is not one of them.
func bearer(r *http.Request) (string, *Error) {
	if r.URL.Query().Has("access_token") {
		return "", invalidRequest("an access token does not belong in a URL")
	}
	var fromBody string
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && mediaType == "application/x-www-form-urlencoded" {
		form, err := parseBody(r)
		if err != nil {
			return "", err
		}
		if len(form.duplicated) > 0 {
			return "", invalidRequest("a parameter came more than once")
		}
		fromBody = form.get("access_token")
	}
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) > 1 || len(headers) == 1 && fromBody != "":
		return "", invalidRequest("the access token came more than once")
	case fromBody != "":
		return fromBody, nil
	case len(headers) == 0:
		return "", oauthError(http.StatusUnauthorized, "", "no access token")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", oauthError(http.StatusUnauthorized, "", "no access token")
	}
	return token, nil
}

// challenge answers as RFC 6750 section 3 asks: what is wrong stands in
// WWW-Authenticate, and nothing at all when no token came.
func (s *Service) challenge(w http.ResponseWriter, r *http.Request, err *Error) {
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = err.Code, err
	header := `Bearer realm="` + s.Issuer + `"`
	if err.Code != "" {
		header += `, error="` + err.Code + `", error_description="` + err.Description + `"`
	}
	if err.Code == "insufficient_scope" {
		header += `, scope="openid"`
	}
	h := w.Header()
	if err.Status < http.StatusInternalServerError {
		h.Set("WWW-Authenticate", header)
	}
	if err.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(err.RetryAfter))
	}
	if err.Code == "" {
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(err.Status)
		return
	}
	writeJSON(w, err.Status, map[string]string{"error": err.Code, "error_description": err.Description})
}
