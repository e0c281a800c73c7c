package demo_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// OpenID Connect RP-Initiated Logout section 2: the browser goes to the issuer
// with what proves who asks, and comes back.
func TestSignOutAtTheIssuer(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	w.signOut = url.Values{}
	p := b.post(w.app.URL + "/login")
	require.Contains(t, p.body, `id="signout"`)

	p = b.post(w.app.URL + "/logout")
	require.Equal(t, "/?signed-out=everywhere", p.at.RequestURI())
	require.Contains(t, p.body, "signed out, here and at the issuer")
	require.Equal(t, w.app.URL+"/signed-out", w.signOut.Get("post_logout_redirect_uri"))
	require.Equal(t, clientID, w.signOut.Get("client_id"))
	require.Equal(t, 2, strings.Count(w.signOut.Get("id_token_hint"), "."))
	require.Len(t, w.signOut.Get("state"), 43)

	// The way back is good once, in the browser that left.
	for _, state := range []string{w.signOut.Get("state"), "", "guessed"} {
		require.Equal(t, "/", b.get(w.app.URL+"/signed-out?state="+state).at.RequestURI())
	}
	require.NotContains(t, w.logs.String(), w.signOut.Get("id_token_hint"))
}

// OpenID Connect Back-Channel Logout section 2.6: a good logout token ends the
// sessions that it names, and nothing else does.
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.idClaims = map[string]any{"sid": "s-1"}
	one, other := newBrowser(t), newBrowser(t)
	one.post(w.app.URL + "/login")
	w.idClaims = map[string]any{"sid": "s-2"}
	other.post(w.app.URL + "/login")
	signedIn := func(b *browser) bool { return strings.Contains(b.get(w.app.URL).body, `id="signout"`) }
	require.True(t, signedIn(one) && signedIn(other))

	token := func(changes map[string]any) string {
		claims := map[string]any{
			"iss": w.URL, "aud": clientID, "sub": "u-1", "sid": "s-1", "jti": "j", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}
		maps.Copy(claims, changes)
		maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
		return w.sign("logout+jwt", claims)
	}
	hear := func(token string) int {
		resp, err := http.PostForm(w.app.URL+"/backchannel-logout", url.Values{"logout_token": {token}})
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		return resp.StatusCode
	}
	for name, bad := range map[string]string{
		"nothing": "", "another issuer": token(map[string]any{"iss": "https://evil.example.test"}), "another client": token(map[string]any{"aud": "other"}),
		"no event": token(map[string]any{"events": nil}), "a nonce": token(map[string]any{"nonce": "n"}), "expired": token(map[string]any{"exp": 1}),
		"nobody": token(map[string]any{"sub": nil, "sid": nil}), "changed": token(nil) + "x", "an access token": w.accessToken(nil),
	} {
		require.Equal(t, http.StatusBadRequest, hear(bad), name)
	}
	require.Equal(t, http.StatusOK, hear(token(map[string]any{"sub": "u-2"})))
	require.True(t, signedIn(one) && signedIn(other))

	require.Equal(t, http.StatusOK, hear(token(nil)))
	require.False(t, signedIn(one))
	require.True(t, signedIn(other))
	require.Equal(t, http.StatusOK, hear(token(map[string]any{"sid": nil})))
	require.False(t, signedIn(other))
}
