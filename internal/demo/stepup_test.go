package demo_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The API says what a sign-in has to amount to, the application asks the issuer
// for it, and the call is made again (RFC 9470 sections 3 and 4).
func TestRFC9470_StepUp(t *testing.T) {
	w := newWorld(t)
	b := newBrowser(t)
	b.get(w.app.URL + "/login")

	// A person with nothing but a password is told what to do, and not sent around.
	p := b.post(w.app.URL + "/call-sensitive")
	require.Equal(t, http.StatusOK, p.status)
	require.Equal(t, "2 phr phrh", w.params.Get("acr_values"))
	require.Contains(t, p.element("api-answer"), "401")
	require.Contains(t, p.element("needs-setup"), "Set one up")

	w.mu.Lock()
	w.reaches = "phr"
	w.mu.Unlock()
	p = b.post(w.app.URL + "/call-sensitive")
	require.Equal(t, http.StatusOK, p.status)
	require.Contains(t, p.element("api-answer"), "proved more than a password")
	require.Empty(t, p.element("needs-setup"))

	// The token at hand is good enough now: nobody is asked.
	w.mu.Lock()
	w.params = nil
	w.mu.Unlock()
	p = b.post(w.app.URL + "/call-sensitive")
	require.Contains(t, p.element("api-answer"), "200")
	require.Empty(t, w.params)
}

func TestRFC9470_3_Challenge(t *testing.T) {
	i := newIssuer(t)
	api := newAPI(i, time.Now)
	ask := func(acr any) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/sensitive", nil)
		r.Header.Set("Authorization", "Bearer "+i.accessToken(map[string]any{"acr": acr}))
		recorder := httptest.NewRecorder()
		api.ServeHTTP(recorder, r)
		return recorder
	}
	for _, acr := range []any{nil, "", "1", "3", "urn:example:strong"} {
		answer := ask(acr)
		require.Equal(t, http.StatusUnauthorized, answer.Code, acr)
		challenge := answer.Header().Get("WWW-Authenticate")
		require.Contains(t, challenge, `error="insufficient_user_authentication"`)
		require.Contains(t, challenge, `acr_values="2 phr phrh"`)
	}
	for _, acr := range []any{"2", "phr", "phrh"} {
		require.Equal(t, http.StatusOK, ask(acr).Code, acr)
	}
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/sensitive", nil))
	require.Equal(t, http.StatusUnauthorized, recorder.Code)
	require.NotContains(t, recorder.Header().Get("WWW-Authenticate"), "error")
}
