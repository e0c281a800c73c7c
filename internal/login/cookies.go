package login

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"idp/internal/idp"
)

const (
	sessionCookie = "idp_session"
	browserCookie = "idp_browser"
	bindingSize   = 32 // bytes
)

// cookieName prefixes the name so that only this host, over TLS and for all
// paths, can set such a cookie (RFC 6265bis section 4.1.3.2).
func (l *Login) cookieName(name string) string {
	if l.Secure {
		return "__Host-" + name
	}
	return name
}

func (l *Login) setCookie(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, l.cookie(name, value))
}

func (l *Login) dropCookie(w http.ResponseWriter, name string) {
	c := l.cookie(name, "")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

// cookie ends with the browser's own session: how long it is good is decided
// here, not there.
func (l *Login) cookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: l.cookieName(name), Value: value, Path: "/",
		Secure: l.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// readCookie returns the one cookie of that name. Two are none: one of them
// was tossed in from elsewhere, and nothing says which.
func (l *Login) readCookie(r *http.Request, name string) (string, bool) {
	found := r.CookiesNamed(l.cookieName(name))
	if len(found) != 1 || found[0].Value == "" {
		return "", false
	}
	return found[0].Value, true
}

// Session returns the identifier of the session that the browser says it is
// in, and proves, which tells from the session's salt whether that is true.
// Nothing may be believed before proves has said so. ok is false when there is
// no session cookie, more than one, or one that this issuer cannot have set.
func (l *Login) Session(r *http.Request) (id idp.ID, proves func(salt []byte) bool, ok bool) {
	value, ok := l.readCookie(r, sessionCookie)
	if !ok {
		return idp.ID{}, nil, false
	}
	token, err := l.Flows.ParseOpaque(idp.KindSession, value)
	if err != nil {
		return idp.ID{}, nil, false
	}
	return token.ID, func(salt []byte) bool { return l.Flows.VerifyOpaque(value, salt) }, true
}

// Bound returns the hash of the cookie that binds flows to this browser, nil
// when the browser holds none.
func (l *Login) Bound(r *http.Request) []byte {
	value, ok := l.readCookie(r, browserCookie)
	if !ok {
		return nil
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(value); err != nil || len(raw) != bindingSize {
		return nil
	}
	return l.Flows.Bind(value)
}

// Bind is Bound, but sets a fresh cookie when the browser holds no good one. It
// must be called before the response's header is written.
func (l *Login) Bind(w http.ResponseWriter, r *http.Request) []byte {
	if bound := l.Bound(r); bound != nil {
		return bound
	}
	value := base64.RawURLEncoding.EncodeToString(random(bindingSize))
	l.setCookie(w, browserCookie, value)
	return l.Flows.Bind(value)
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}

// event starts an audit event about the request in ctx.
func event(r *http.Request, kind idp.EventKind, at time.Time) idp.Event {
	request := idp.RequestFrom(r.Context())
	return idp.Event{ID: idp.TimeOrderedID(at, idp.ID(random(16))), At: at, Kind: kind, RequestID: request.ID, RemoteAddr: request.RemoteAddr}
}
