package login_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const stateCookie = "__Host-idp_session_state"

// sessionState asks as the authorization endpoint does, and keeps the cookie.
func (b *browser) sessionState(s *site, redirectURI string) (string, *http.Cookie) {
	r := httptest.NewRequest(http.MethodGet, issuer+"/oauth2/auth", nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	state := s.login.SessionState(w, r, "calendar", redirectURI)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
		return state, c
	}
	return state, nil
}

// OpenID Connect Session Management section 2: the state is a salted hash of
// the client, its origin as browsers write it, and what the cookie says.
func TestSessionManagement_2_SessionState(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	state, c := b.sessionState(s, "https://Calendar.example:443/callback?a=b")
	if c == nil || c.Name != stateCookie || !c.Secure || c.HttpOnly || c.SameSite != http.SameSiteNoneMode || c.Path != "/" || len(c.Value) < 22 {
		t.Fatalf("cookie %+v", c)
	}
	hash, salt, _ := strings.Cut(state, ".")
	sum := sha256.Sum256([]byte("calendar https://calendar.example " + c.Value + " " + salt))
	if hash != hex.EncodeToString(sum[:]) {
		t.Errorf("session_state %q", state)
	}
	again, c := b.sessionState(s, "https://calendar.example/callback")
	if c != nil || again == state {
		t.Errorf("another cookie %v, or the same salt: %s", c, again)
	}
	if state, _ := b.sessionState(s, "com.example.app:/callback"); state != "" {
		t.Errorf("a state for no web page: %s", state)
	}
}

// The browser's state tells watching scripts of another person and of none, and
// of nothing else.
func TestSessionManagement_4_2_StateChanges(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	b.get("/login?prompt=login")
	if b.cookies[stateCookie] != "" {
		t.Error("a cookie though nobody watches")
	}
	b.sessionState(s, "https://calendar.example/callback")
	changed := func(act func()) bool {
		before := b.cookies[stateCookie]
		act()
		return b.cookies[stateCookie] != before && b.cookies[stateCookie] != ""
	}
	if changed(func() { b.post("/login", credentials(b.flow(""))) }) {
		t.Error("changed for the same person in the same session")
	}
	if !changed(func() {
		b.post("/login", url.Values{"flow": {b.flow("")}, "username": {"eve"}, "password": {"correct horse"}})
	}) {
		t.Error("not changed for another person")
	}
	if !changed(func() { b.post("/logout", url.Values{"flow": {b.get("/logout").shown(t)}}) }) {
		t.Error("not changed at the sign-out")
	}
}
