package demo_test

import (
	"bytes"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/demo"
)

// world is an issuer, the API, the application and a log, each on its own port.
type world struct {
	*issuer
	app  *httptest.Server
	logs *safeBuffer
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{issuer: newIssuer(t), logs: &safeBuffer{}}
	logger := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	api := httptest.NewServer(newAPI(w.issuer, time.Now))
	t.Cleanup(api.Close)
	w.app = httptest.NewUnstartedServer(nil)
	w.app.Config.Handler = demo.New(demo.Config{
		Issuer: w.URL, ClientID: clientID, ClientSecret: clientSecret,
		RedirectURL: "http://" + w.app.Listener.Addr().String() + "/callback",
		APIURL:      api.URL, Audience: audience, Scopes: []string{"openid", "profile", "demo:read"},
		Logger: logger, Now: time.Now,
	})
	w.app.Start()
	t.Cleanup(w.app.Close)
	return w
}

// browser follows redirects and keeps cookies.
type browser struct {
	*http.Client
	t *testing.T
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{Client: &http.Client{Jar: jar}, t: t}
}

type page struct {
	status int
	body   string
	at     *url.URL
	header http.Header
}

// element returns the unescaped text inside the element with that id, up to
// the first end tag of its kind.
func (p page) element(id string) string {
	m := regexp.MustCompile(`<(\w+)[^>]* id="` + id + `"[^>]*>`).FindStringSubmatchIndex(p.body)
	if m == nil {
		return ""
	}
	inside, _, _ := strings.Cut(p.body[m[1]:], "</"+p.body[m[2]:m[3]]+">")
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(inside, ""))
}

func (b *browser) do(resp *http.Response, err error) page {
	b.t.Helper()
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return page{status: resp.StatusCode, body: string(body), at: resp.Request.URL, header: resp.Header}
}

func (b *browser) get(u string) page {
	b.t.Helper()
	return b.do(b.Get(u))
}

func (b *browser) post(u string) page {
	b.t.Helper()
	return b.do(b.PostForm(u, url.Values{}))
}

func TestSignInCallRefreshSignOut(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)

	p := b.get(w.app.URL)
	require.Contains(t, p.body, `id="signin"`)
	require.NotContains(t, p.body, `id="signout"`)

	p = b.post(w.app.URL + "/login")
	require.Equal(t, http.StatusOK, p.status, p.body)
	require.Equal(t, "/", p.at.Path)
	require.Empty(t, p.at.RawQuery, "code and state are gone from the address")
	require.Equal(t, "Alice Example", p.element("user-name"), "userinfo gives the name that the ID token lacks")
	require.Equal(t, "u-1", p.element("subject"))
	require.Contains(t, p.element("api-answer"), "200 OK")
	require.Contains(t, p.element("api-answer"), `"message": "Hello, u-1. The token is good."`)
	for _, id := range []string{"id-token", "access-token", "refresh", "call-api", "signout"} {
		require.Contains(t, p.body, `id="`+id+`"`)
	}
	require.Contains(t, html.UnescapeString(p.body), `at+jwt`)
	require.Equal(t, "no-store", p.header.Get("Cache-Control"))

	require.Equal(t, "S256", w.params.Get("code_challenge_method"))
	require.Equal(t, audience, w.params.Get("resource"))
	require.Equal(t, "openid profile demo:read", w.params.Get("scope"))
	require.Len(t, w.params.Get("state"), 43)
	require.Len(t, w.params.Get("nonce"), 43)
	require.Equal(t, audience, w.tokenForms[0].Get("resource"))

	before := p.element("access-token-raw")
	p = b.post(w.app.URL + "/call")
	require.Contains(t, p.body, "The API was called.")
	require.Equal(t, before, p.element("access-token-raw"))

	p = b.post(w.app.URL + "/refresh")
	require.Contains(t, p.body, "New tokens arrived.")
	require.Equal(t, "1", p.element("refreshes"))
	require.NotEqual(t, before, p.element("access-token-raw"))
	require.Contains(t, p.element("api-answer"), "200 OK")
	require.Equal(t, "Alice Example", p.element("user-name"))
	require.NotContains(t, b.get(w.app.URL).body, "New tokens arrived.", "notices show once")

	p = b.post(w.app.URL + "/logout")
	require.Contains(t, p.body, `id="signin"`)
	require.NotContains(t, p.body, "Alice")

	logs := w.logs.String()
	for _, secret := range []string{before, clientSecret, w.refresh, w.tokenForms[0].Get("code"), w.tokenForms[0].Get("code_verifier")} {
		require.NotContains(t, logs, secret)
	}
}

func TestEachSignInIsFresh(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	b.post(w.app.URL + "/login")
	first := w.params
	b.get(w.app.URL + "/login?prompt=select_account")
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		require.NotEqual(t, first.Get(name), w.params.Get(name), name)
	}
	require.Equal(t, "select_account", w.params.Get("prompt"))
	b.get(w.app.URL + "/login?prompt=anything+else")
	require.False(t, w.params.Has("prompt"))
}

// What a response must not get away with. The sign-in ends on an error page
// and no session comes of it.
func TestCallbackRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		respond  func(url.Values)
		idClaims map[string]any
		refuse   string
		status   int
		says     string
	}{
		"another state":     {respond: func(q url.Values) { q.Set("state", "x") }, status: 400, says: "This sign-in is over"},
		"no state":          {respond: func(q url.Values) { q.Del("state") }, status: 400, says: "This sign-in is over"},
		"two codes":         {respond: func(q url.Values) { q.Add("code", "x") }, status: 400, says: "more than once"},
		"another issuer":    {respond: func(q url.Values) { q.Set("iss", "https://evil.example.test") }, status: 400, says: "somebody else"},
		"no issuer":         {respond: func(q url.Values) { q.Del("iss") }, status: 400, says: "somebody else"},
		"another code":      {respond: func(q url.Values) { q.Set("code", "x") }, status: 502, says: "invalid_grant"},
		"client refused":    {refuse: "invalid_client", status: 502, says: "invalid_client"},
		"another nonce":     {idClaims: map[string]any{"nonce": "x"}, status: 502, says: "checks"},
		"another audience":  {idClaims: map[string]any{"aud": "someone"}, status: 502, says: "checks"},
		"ID token's issuer": {idClaims: map[string]any{"iss": "https://evil.example.test"}, status: 502, says: "checks"},
		"another at_hash":   {idClaims: map[string]any{"at_hash": "AAAA"}, status: 502, says: "checks"},
		"expired ID token":  {idClaims: map[string]any{"exp": 1}, status: 502, says: "checks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, b := newWorld(t), newBrowser(t)
			w.respond, w.idClaims, w.refuse = tc.respond, tc.idClaims, tc.refuse
			p := b.post(w.app.URL + "/login")
			require.Equal(t, tc.status, p.status)
			require.Contains(t, p.element("error"), tc.says)
			require.NotContains(t, p.body, "<b>the test</b>", "the issuer's words are escaped")
			require.Contains(t, b.get(w.app.URL).body, `id="signin"`, "nobody is signed in")
		})
	}
}

// RFC 6749 section 4.1.2.1: errors of the issuer are shown to the person; RFC
// 9207 section 2.4: but only when they are the issuer's.
func TestIssuerErrorsAreShown(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	w.respond = func(q url.Values) {
		q.Del("code")
		q.Set("error", "access_denied")
		q.Set("error_description", "You said <no>.\x00")
	}
	p := b.post(w.app.URL + "/login")
	require.Equal(t, http.StatusForbidden, p.status)
	require.Contains(t, p.element("error"), "Access was not allowed")
	require.Contains(t, p.element("error"), "access_denied")
	require.Contains(t, p.body, "You said &lt;no&gt;.")

	w.respond = func(q url.Values) {
		q.Del("code")
		q.Set("error", "access_denied")
		q.Set("error_description", "Call this number")
		q.Set("iss", "https://evil.example.test")
	}
	require.NotContains(t, b.post(w.app.URL+"/login").body, "Call this number")
}

// A response is good in the browser that asked for it, and there once: or else
// somebody could sign another person in to an account of their own.
func TestResponseIsBoundToTheBrowser(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	var landed string
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			landed = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	b.post(w.app.URL + "/login")
	require.NotEmpty(t, landed)

	other := newBrowser(t)
	other.get(w.app.URL + "/login") // has a cookie of its own
	p := newBrowser(t).get(landed)
	require.Contains(t, p.element("error"), "This sign-in is over")
	require.Contains(t, other.get(landed).element("error"), "This sign-in is over")

	b.CheckRedirect = nil
	require.Contains(t, b.get(landed).body, `id="signout"`, "the browser that asked is signed in")
	require.Contains(t, b.get(landed).element("error"), "This sign-in is over", "once")
}

func TestRefreshRefusedEndsTheSession(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	b.post(w.app.URL + "/login")
	w.mu.Lock()
	w.refresh = "revoked"
	w.mu.Unlock()
	p := b.post(w.app.URL + "/refresh")
	require.Contains(t, p.element("error"), "Your sign-in has ended")
	require.Contains(t, b.get(w.app.URL).body, `id="signin"`)
}

// OpenID Connect Core section 12.2: the subject of a refreshed ID token is the
// one of the first.
func TestOIDCCore12_2_RefreshKeepsTheSubject(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	b.post(w.app.URL + "/login")
	w.mu.Lock()
	w.idClaims = map[string]any{"sub": "u-2"}
	w.mu.Unlock()
	p := b.post(w.app.URL + "/refresh")
	require.Equal(t, http.StatusBadGateway, p.status)
	require.Equal(t, "u-1", b.get(w.app.URL).element("subject"))
}

func TestTwoRefreshesAtOnceSpendTwoTokens(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	b.post(w.app.URL + "/login")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			resp, err := b.PostForm(w.app.URL+"/refresh", url.Values{})
			if err == nil {
				resp.Body.Close()
			}
		})
	}
	both.Wait()
	require.Equal(t, "2", b.get(w.app.URL).element("refreshes"))
}

func TestIssuerAwayIsSaid(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	w.Close()
	p := b.post(w.app.URL + "/login")
	require.Equal(t, http.StatusBadGateway, p.status)
	require.Contains(t, p.element("error"), "The issuer does not answer")
}

func TestOneAddressOnly(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	named := strings.Replace(w.app.URL, "127.0.0.1", "localhost", 1)
	p := b.get(named)
	require.Equal(t, strings.TrimPrefix(w.app.URL, "http://"), p.at.Host)
	p = b.post(named + "/login")
	require.Equal(t, http.StatusMisdirectedRequest, p.status)
	require.Contains(t, p.element("error"), w.app.URL)
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	b.post(w.app.URL + "/login")
	for _, path := range []string{"/login", "/refresh", "/call", "/logout"} {
		r, err := http.NewRequest(http.MethodPost, w.app.URL+path, nil)
		require.NoError(t, err)
		r.Header.Set("Origin", "https://evil.example.test")
		require.Equal(t, http.StatusForbidden, b.do(b.Do(r)).status, path)
	}
	require.Contains(t, b.get(w.app.URL).body, `id="signout"`)
}

func TestHeadersAndCookies(t *testing.T) {
	t.Parallel()
	w, b := newWorld(t), newBrowser(t)
	p := b.get(w.app.URL)
	policy := p.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "form-action 'self' "+w.URL)
	require.NotContains(t, policy, "unsafe")
	require.NotContains(t, p.body, "<script")
	require.NotContains(t, p.body, " style=")
	require.Contains(t, b.get(w.app.URL+"/static/style.css").header.Get("Content-Type"), "text/css")
	require.Contains(t, b.get(w.app.URL+"/static/icon.svg").header.Get("Content-Type"), "image/svg+xml")
	require.Equal(t, http.StatusNotFound, b.get(w.app.URL+"/nothing").status)

	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	var session *http.Cookie
	for _, c := range (&http.Response{Header: b.post(w.app.URL + "/login").header}).Cookies() {
		if c.Name == "demo_session" {
			session = c
		}
	}
	require.NotNil(t, session)
	require.True(t, session.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, session.SameSite)
	require.Len(t, session.Value, 43, "256 bits in base64url")
}

func TestOverHTTPSCookiesAreTiedToTheHost(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	app := demo.New(demo.Config{Issuer: i.URL, ClientID: clientID, RedirectURL: "https://app.example.test/callback", Now: time.Now})
	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://app.example.test/login", nil))
	require.Equal(t, http.StatusSeeOther, w.Code)
	c := w.Result().Cookies()[0]
	require.Equal(t, "__Host-demo_browser", c.Name)
	require.True(t, c.Secure)
	require.Contains(t, w.Header().Get("Location"), "scope=openid&", "openid is always asked for")
}
