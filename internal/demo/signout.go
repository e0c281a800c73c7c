package demo

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Where the application is to be registered for the end of sessions, at the
// origin of its RedirectURL: where people come back to (OpenID Connect
// RP-Initiated Logout section 2), and where the issuer tells of other ways that
// a session ended (OpenID Connect Back-Channel Logout section 2.5).
const (
	SignedOutPath         = "/signed-out"
	BackchannelLogoutPath = "/backchannel-logout"
)

// maxLogoutNotice bounds what is read of a back-channel logout request.
const maxLogoutNotice = 16 << 10

// logout forgets the session here and sends the browser to the issuer, to end
// it there. When the issuer has no place for that, its session goes on.
func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	a.end(w, r)
	if !ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	p, err := a.relyingParty(r.Context())
	if err != nil || p.endSession == "" {
		http.Redirect(w, r, "/?signed-out=here", http.StatusSeeOther)
		return
	}
	s.mu.Lock()
	hint := s.idToken
	s.ended = true
	s.mu.Unlock()
	state := randomToken()
	a.setCookie(w, signOutCookie, state, flowLifetime)
	separator := "?"
	if strings.Contains(p.endSession, "?") {
		separator = "&"
	}
	query := url.Values{
		"id_token_hint": {hint}, "client_id": {a.cfg.ClientID},
		"post_logout_redirect_uri": {a.origin.String() + SignedOutPath}, "state": {state},
	}
	http.Redirect(w, r, p.endSession+separator+query.Encode(), http.StatusSeeOther)
}

// signedOut is where the issuer sends the browser back to. Only the state that
// this browser left with proves that it was there.
func (a *App) signedOut(w http.ResponseWriter, r *http.Request) {
	state := a.cookie(r, signOutCookie)
	a.setCookie(w, signOutCookie, "", 0)
	if state == "" || subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("state")), []byte(state)) == 0 {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, "/?signed-out=everywhere", http.StatusSeeOther)
}

// heard takes a logout token and ends the sessions that it names (OpenID
// Connect Back-Channel Logout sections 2.6 to 2.8).
func (a *App) heard(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutNotice)
	p, err := a.relyingParty(r.Context())
	if err != nil {
		a.log.Warn("demo: issuer out of reach", "error", err)
		http.Error(w, "", http.StatusServiceUnavailable)
		return
	}
	token, err := p.verifier.VerifyLogout(oidc.ClientContext(r.Context(), a.client), r.PostFormValue("logout_token"))
	if err != nil {
		a.log.Warn("demo: not a logout token", "error", err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"the logout token does not verify"}` + "\n"))
		return
	}
	ended := a.sessions.removeAll(func(s *session) bool {
		return (token.SessionID == "" || token.SessionID == s.sid) && (token.Subject == "" || token.Subject == s.subject)
	})
	a.log.Info("demo: the issuer ended a session", "sub", token.Subject, "ended_here", ended)
}

// end forgets the browser's session.
func (a *App) end(w http.ResponseWriter, r *http.Request) {
	a.sessions.remove(a.cookie(r, sessionCookie))
	a.setCookie(w, sessionCookie, "", time.Duration(0))
}
