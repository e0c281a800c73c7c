package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

// Bounds of what is kept in memory.
const (
	maxSessions     = 1024
	maxFlows        = 1024
	sessionLifetime = 12 * time.Hour
	flowLifetime    = 30 * time.Minute
)

// session is one signed-in browser. Its mutex is held while tokens are
// refreshed, so that a refresh token is not spent twice.
type session struct {
	startedAt time.Time
	subject   string // of the ID token that it began with, as sid
	sid       string // of the session at the issuer; empty when it does not say

	mu           sync.Mutex // guards what follows
	nonce        string
	name         string
	email        string
	idToken      string
	accessToken  string
	refreshToken string
	scope        string
	expiresAt    time.Time // of the access token
	answer       *apiAnswer
	notice       string // shown once
	refreshes    int
	ended        bool
}

// flow is one sign-in on its way, good for one answer in one browser.
type flow struct {
	startedAt time.Time
	browser   [sha256.Size]byte // hash of the browser's cookie
	nonce     string
	verifier  string // PKCE
	sensitive bool   // the API asked for this sign-in
}

// sessions holds the signed-in browsers and the sign-ins on their way. When it
// is full, the oldest goes.
type sessions struct {
	now func() time.Time

	mu    sync.Mutex
	live  map[[sha256.Size]byte]*session // by the hash of the cookie
	flows map[string]flow                // by state
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, live: map[[sha256.Size]byte]*session{}, flows: map[string]flow{}}
}

// begin remembers a sign-in and returns its state.
func (s *sessions) begin(browser, nonce, verifier string, sensitive bool) string {
	state := randomToken()
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.flows, maxFlows, func(f flow) time.Time { return f.startedAt })
	s.flows[state] = flow{startedAt: s.now(), browser: sha256.Sum256([]byte(browser)), nonce: nonce, verifier: verifier, sensitive: sensitive}
	return state
}

// finish takes the sign-in of that state out, if this browser started it. An
// answer in another browser leaves it where it is.
func (s *sessions) finish(state, browser string) (flow, bool) {
	got := sha256.Sum256([]byte(browser))
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.flows[state]
	if !ok || subtle.ConstantTimeCompare(got[:], f.browser[:]) == 0 {
		return flow{}, false
	}
	delete(s.flows, state)
	return f, s.now().Before(f.startedAt.Add(flowLifetime))
}

// add keeps a new session and returns the cookie's value for it.
func (s *sessions) add(n *session) string {
	token := randomToken()
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.live, maxSessions, func(v *session) time.Time { return v.startedAt })
	n.startedAt = s.now()
	s.live[sha256.Sum256([]byte(token))] = n
	return token
}

func (s *sessions) get(token string) (*session, bool) {
	key := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.live[key]
	if ok && !s.now().Before(v.startedAt.Add(sessionLifetime)) {
		delete(s.live, key)
		return nil, false
	}
	return v, ok
}

func (s *sessions) remove(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, sha256.Sum256([]byte(token)))
}

// removeAll forgets the sessions that match, and counts them.
func (s *sessions) removeAll(match func(*session) bool) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.live {
		if match(v) {
			delete(s.live, key)
			removed++
		}
	}
	return removed
}

// makeRoom drops the oldest entry of a full map.
func makeRoom[K comparable, V any](m map[K]V, limit int, startedAt func(V) time.Time) {
	for len(m) >= limit {
		var oldest K
		var at time.Time
		for k, v := range m {
			if t := startedAt(v); at.IsZero() || t.Before(at) {
				oldest, at = k, t
			}
		}
		delete(m, oldest)
	}
}

// randomToken returns 256 random bits as base64url.
func randomToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// Cookies. Over https the prefix keeps other hosts from setting them.
const (
	sessionCookie = "demo_session"
	browserCookie = "demo_browser"
	signOutCookie = "demo_signout"
)

func (a *App) cookieName(name string) string {
	if a.secure {
		return "__Host-" + name
	}
	return name
}

func (a *App) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(a.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

func (a *App) setCookie(w http.ResponseWriter, name, value string, maxAge time.Duration) {
	age := int(maxAge / time.Second)
	if age <= 0 {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.cookieName(name), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteLaxMode,
	})
}

// session finds the session of the request's browser.
func (a *App) session(r *http.Request) (*session, bool) {
	token := a.cookie(r, sessionCookie)
	if token == "" {
		return nil, false
	}
	return a.sessions.get(token)
}
