package login

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"idp/web"
)

// OpenID Connect Session Management 1.0: scripts of an application learn from a
// frame of ours whether the person at this browser is still who they were.

const (
	// stateCookie is the browser state of section 4.2: random, telling nothing,
	// readable by the script of the frame. It is there once an application
	// watches, and changes when another person signs in and at sign-out.
	stateCookie = "idp_session_state"
	stateSize   = 16 // bytes
)

// SessionState returns the session_state of section 2 for a client at a
// redirect URI; empty for a redirect that leads to no web page.
func (l *Login) SessionState(w http.ResponseWriter, r *http.Request, clientID, redirectURI string) string {
	origin := webOrigin(redirectURI)
	if origin == "" {
		return ""
	}
	state, ok := l.readCookie(r, stateCookie)
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(state); !ok || err != nil || len(raw) != stateSize {
		state = l.newState(w)
	}
	salt := hex.EncodeToString(random(8))
	sum := sha256.Sum256([]byte(clientID + " " + origin + " " + state + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}

// newState sets the cookie anew: readable by scripts and, over TLS, in frames
// on other sites.
func (l *Login) newState(w http.ResponseWriter) string {
	c := l.cookie(stateCookie, base64.RawURLEncoding.EncodeToString(random(stateSize)))
	c.HttpOnly = false
	if l.Secure {
		c.SameSite = http.SameSiteNoneMode
	}
	http.SetCookie(w, c)
	return c.Value
}

// changeState tells the scripts that watch that somebody signed in or out. The
// cookie is replaced, not removed: a frame that sees none may just not be
// allowed to, and has nothing to say.
func (l *Login) changeState(w http.ResponseWriter, r *http.Request) {
	if len(r.CookiesNamed(l.cookieName(stateCookie))) > 0 {
		l.newState(w)
	}
}

// webOrigin is the origin of an address as browsers write it (RFC 6454 section
// 6.2); empty for what is no web address.
func webOrigin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), port)
}

// ServeCheckSession answers GET /oauth2/sessions/check, the frame of section
// 3.2. It is the one page that others may frame: it shows nothing and takes no
// input but a question that it answers with one word.
func (l *Login) ServeCheckSession(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Del("Cross-Origin-Opener-Policy")
		h.Del("X-Frame-Options")
		l.render(w, r, http.StatusOK, web.CheckSessionPage{Layout: l.layout(r, nil), Cookie: l.cookieName(stateCookie)})
		return nil
	}, nil)
}
