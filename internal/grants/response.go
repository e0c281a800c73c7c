package grants

import (
	"net/http"
	"net/url"
	"strings"

	"idp/internal/idp"
)

// checkResponse reads response_type and response_mode. It comes first, so that
// every later error reaches the client the way it asked to be answered.
func checkResponse(req *authorizationRequest, form parameters) *Error {
	raw := form.get("response_type")
	responseType, known := idp.ParseResponseType(raw)
	unsupported := oauthError(http.StatusBadRequest, "unsupported_response_type", "the client may not use this response type").
		by(idp.RuleResponseType, fact("asked", responseType.String()), fact("registered", req.client.ResponseTypes...))
	req.responseType, req.responseMode = responseType, responseType.DefaultMode()
	allowed := known && req.client.AllowsResponseType(responseType.String())
	if !allowed && req.client.SecurityProfile != idp.ProfileOIDCLegacy {
		req.responseMode = idp.ModeQuery // such a client knows nothing else
	}
	if !known && req.client.SecurityProfile == idp.ProfileOIDCLegacy && strings.Contains(raw, "token") {
		req.responseMode = idp.ModeFragment // where such a client looks for the error
	}
	mode := form.get("response_mode")
	switch {
	case mode == "" || hasScope(form.duplicated, "response_mode"):
	case mode == "web_message":
		return oauthError(http.StatusBadRequest, "unsupported_response_mode", "this response mode is not supported")
	case mode == idp.ModeQuery && req.responseMode == idp.ModeFragment:
		return invalidRequest("tokens do not travel in a query").by(idp.RuleResponseMode)
	case mode == idp.ModeFormPost && !isWeb(req.redirectURI):
		return invalidRequest("form_post needs an http or https redirect_uri").by(idp.RuleResponseMode)
	case mode == idp.ModeQuery, mode == idp.ModeFragment, mode == idp.ModeFormPost:
		req.responseMode = mode
	default:
		return invalidRequest("the response modes are query, fragment and form_post").by(idp.RuleResponseMode)
	}
	if !allowed {
		return unsupported
	}
	if responseType.IDToken && form.get("nonce") == "" { // OpenID Connect Core section 3.2.2.1
		return invalidRequest("nonce is missing: it is required when an ID token comes through the browser").by(idp.RuleNonce)
	}
	if responseType.IDToken && !hasScope(strings.Fields(form.get("scope")), idp.ScopeOpenID) {
		return invalidScope("an ID token needs the scope openid")
	}
	return nil
}

func isWeb(uri string) bool {
	return strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://")
}

// complete adds what every answer carries: iss (RFC 9207 section 2), and state
// as it came.
func (s *Service) complete(req *authorizationRequest, answer url.Values) {
	if req.state != "" {
		answer.Set("state", req.state)
	}
	answer.Set("iss", s.Issuer)
}

// location is where the answer is, unless it is posted.
func (req *authorizationRequest) location(answer url.Values) string {
	separator := "?"
	switch {
	case req.responseMode == idp.ModeFragment:
		separator = "#"
	case strings.Contains(req.redirectURI, "?"):
		separator = "&"
	}
	return req.redirectURI + separator + answer.Encode()
}

// respond answers the client through the browser, in the response mode that it
// asked for.
func (s *Service) respond(w http.ResponseWriter, r *http.Request, req *authorizationRequest, answer url.Values) {
	s.complete(req, answer)
	// Scripts that watch the session belong to the older ways of signing in.
	if req.client.SecurityProfile == idp.ProfileOIDCLegacy && !answer.Has("error") && hasScope(req.target.scopes, idp.ScopeOpenID) {
		if state := s.Browser.SessionState(w, r, req.client.ClientID, req.redirectURI); state != "" {
			answer.Set("session_state", state)
		}
	}
	if req.responseMode == idp.ModeFormPost {
		s.Browser.FormPost(w, r, req.redirectURI, answer)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", req.location(answer))
	w.WriteHeader(http.StatusSeeOther)
}
