package login_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"idp/internal/idp"
	"idp/internal/login"
	"idp/internal/tokens"
	"idp/web"
)

const (
	issuer    = "https://login.example.com"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	request   = "client_id=calendar&state=af0ifjsldkj&nonce=n-0S6_WzA2Mj&code_challenge=" + challenge
)

// memory keeps sessions and consents as the database does.
type memory struct {
	users    map[string]idp.User
	sessions map[idp.ID]idp.Session
	consents []idp.Consent
	clients  map[string]*idp.Client
	hints    map[string]idp.IDToken // by what stands for the token
	told     []string               // clients that hear of a session's end
	events   []idp.Event
	fault    error
}

func (m *memory) AuthorizationContext(_ context.Context, id idp.ID, _ string) (idp.AuthorizationContext, error) {
	s, ok := m.sessions[id]
	switch {
	case m.fault != nil:
		return idp.AuthorizationContext{}, m.fault
	case !ok:
		return idp.AuthorizationContext{}, idp.ErrNotFound
	}
	return idp.AuthorizationContext{Session: s, User: m.users[s.UserID]}, nil
}

func (m *memory) CreateSession(_ context.Context, s idp.Session, ends idp.ID, events ...idp.Event) error {
	if m.fault != nil {
		return m.fault
	}
	if old, ok := m.sessions[ends]; ok {
		old.EndedAt = s.CreatedAt
		m.sessions[ends] = old
	}
	m.sessions[s.ID] = s
	m.events = append(m.events, events...)
	return nil
}

func (m *memory) RenewSession(_ context.Context, s idp.Session, events ...idp.Event) error {
	if m.fault != nil {
		return m.fault
	}
	if old, ok := m.sessions[s.ID]; !ok || !old.EndedAt.IsZero() || old.UserID != s.UserID {
		return idp.ErrNotFound
	}
	m.sessions[s.ID] = s
	m.events = append(m.events, events...)
	return nil
}

func (m *memory) EndSession(_ context.Context, id idp.ID, at time.Time, event idp.Event) error {
	if m.fault != nil {
		return m.fault
	}
	s := m.sessions[id]
	s.EndedAt = at
	m.sessions[id] = s
	m.events = append(m.events, event)
	return nil
}

func (m *memory) SessionClients(context.Context, idp.ID) ([]string, error) { return m.told, m.fault }

func (m *memory) Client(id string) (*idp.Client, bool) {
	c, ok := m.clients[id]
	return c, ok
}

func (m *memory) VerifyIDToken(raw string) (idp.IDToken, error) {
	t, ok := m.hints[raw]
	if !ok {
		return idp.IDToken{}, idp.ErrMalformed
	}
	return t, nil
}

func (m *memory) SaveConsent(_ context.Context, c idp.Consent, event idp.Event) error {
	if m.fault != nil {
		return m.fault
	}
	m.consents = append(m.consents, c)
	m.events = append(m.events, event)
	return nil
}

func (m *memory) Note(_ context.Context, event idp.Event) { m.events = append(m.events, event) }

func (m *memory) recorded(kind idp.EventKind) []idp.Event {
	var found []idp.Event
	for _, e := range m.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// accounts knows one password for everybody.
type accounts struct {
	memory *memory
	asked  int
	fault  error
}

func (a *accounts) Authenticate(_ context.Context, username, password string, _ func(idp.User) (*idp.Device, error)) (idp.User, error) {
	a.asked++
	if a.fault != nil {
		return idp.User{}, a.fault
	}
	for _, u := range a.memory.users {
		if u.Username == username && password == "correct horse" {
			return u, nil
		}
	}
	return idp.User{}, idp.ErrCredentials
}

// asks says of every flow that it asks the same.
type asks struct {
	idp.Interaction
	fault error
}

func (a *asks) Describe(context.Context, idp.Flow, *idp.AuthorizationContext) (idp.Interaction, error) {
	return a.Interaction, a.fault
}

type site struct {
	*memory
	login  *login.Login
	users  *accounts
	asks   *asks
	master *tokens.Master
	now    time.Time
	mux    http.Handler
}

func newSite(t *testing.T, change ...func(*login.Config)) *site {
	t.Helper()
	master, err := tokens.NewMaster([]byte("a master key made for these tests"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		memory: &memory{
			users: map[string]idp.User{
				"u-alice": {ID: "u-alice", Username: "alice", State: idp.UserActive, Profile: idp.Profile{Name: "Alice Moreau", Email: "alice@example.com"}},
				"u-eve":   {ID: "u-eve", Username: "eve", State: idp.UserActive},
			},
			sessions: map[idp.ID]idp.Session{},
		},
		asks: &asks{Interaction: idp.Interaction{
			Client: &idp.Client{ClientID: "calendar", ClientMetadata: idp.ClientMetadata{
				ClientName: "Calendar", TokenEndpointAuthMethod: idp.AuthClientSecretBasic,
				PolicyURI: "https://calendar.example/privacy", TosURI: "javascript:alert(1)",
			}},
			Scopes: []idp.ConsentScope{
				{Name: "openid"},
				{Name: "email"},
				{Name: "calendar:read", Description: "Read your events", Resource: "Calendar API"},
				{Name: "offline_access"},
			},
			Resources:   []string{"https://api.example.com"},
			RedirectURI: "https://calendar.example/callback",
			NewScopes:   []string{"openid", "email", "calendar:read", "offline_access"},
		}},
		master: master,
		now:    time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	s.users = &accounts{memory: s.memory}
	cfg := login.Config{
		Issuer: issuer, Secure: true,
		Store: s.memory, Devices: s.memory, People: s.memory, Factors: noFactors{}, Clients: s.memory, Hints: s.memory, Users: s.users, Flows: master, Requests: s.asks, Audit: s.memory,
		Now: func() time.Time { return s.now }, Lifetimes: idp.DefaultLifetimes(), Pages: pages,
	}
	for _, f := range change {
		f(&cfg)
	}
	s.login = login.New(cfg)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.login.ServeHome)
	mux.HandleFunc("/login", s.login.ServeLogin)
	mux.HandleFunc("/consent", s.login.ServeConsent)
	mux.HandleFunc("/logout", s.login.ServeLogout)
	mux.HandleFunc("/oauth2/sessions/logout", s.login.ServeEndSession)
	mux.HandleFunc("/oauth2/sessions/check", s.login.ServeCheckSession)
	s.mux = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := idp.WithRequest(r.Context(), &idp.Request{ID: "req-1", RemoteAddr: "192.0.2.7", UserAgent: "Browser/1"})
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
	return s
}

// browser holds cookies and never follows a redirect by itself.
type browser struct {
	t       *testing.T
	site    *site
	cookies map[string]string
}

func (s *site) browser(t *testing.T) *browser {
	return &browser{t: t, site: s, cookies: map[string]string{}}
}

type page struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.site.mux.ServeHTTP(w, r)
	response := w.Result()
	for _, c := range response.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{Response: response, body: string(body)}
}

func (b *browser) get(target string) page {
	b.t.Helper()
	return b.do(httptest.NewRequest(http.MethodGet, issuer+target, nil))
}

func form(target string, fields url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, issuer+target, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

func (b *browser) post(target string, fields url.Values) page {
	b.t.Helper()
	return b.do(form(target, fields))
}

// flow starts an authorization request in this browser.
func (b *browser) flow(request string) string {
	b.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, issuer+"/oauth2/auth", nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	bound := b.site.login.Bind(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
	}
	sealed, err := b.site.master.SealFlow(idp.Flow{Request: request, RequestedAt: b.site.now, Browser: bound})
	if err != nil {
		b.t.Fatal(err)
	}
	return sealed
}

var (
	flowField  = regexp.MustCompile(`name="flow" value="([^"]*)"`)
	linkedFlow = regexp.MustCompile(`name="to" value="[^"]*"`)
)

// shown returns the flow in the page's last form.
func (p page) shown(t *testing.T) string {
	t.Helper()
	found := flowField.FindAllStringSubmatch(p.body, -1)
	if len(found) == 0 {
		t.Fatalf("no flow on the page:\n%s", p.body)
	}
	return found[len(found)-1][1]
}

func (p page) is(t *testing.T, status int) page {
	t.Helper()
	if p.StatusCode != status {
		t.Fatalf("status %d, want %d:\n%s", p.StatusCode, status, p.body)
	}
	return p
}

func (p page) says(t *testing.T, words ...string) page {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(p.body, w) {
			t.Errorf("page lacks %q:\n%s", w, p.body)
		}
	}
	return p
}

// next opens the flow that a redirect to the authorization endpoint carries.
func (p page) next(t *testing.T, s *site) idp.Flow {
	t.Helper()
	p.is(t, http.StatusSeeOther)
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil || u.Path != "/oauth2/auth" || u.Fragment != "" || u.Host != "" {
		t.Fatalf("Location %q", p.Header.Get("Location"))
	}
	flow, err := s.master.OpenFlow(u.Query().Get("flow"))
	if err != nil {
		t.Fatal(err)
	}
	return flow
}

func credentials(flow string) url.Values {
	return url.Values{"flow": {flow}, "username": {"alice"}, "password": {"correct horse"}}
}

// signedIn is a browser in which alice is signed in.
func (s *site) signedIn(t *testing.T) *browser {
	t.Helper()
	b := s.browser(t)
	b.post("/login", credentials(b.flow(""))).is(t, http.StatusSeeOther)
	return b
}

const (
	sessionCookie = "__Host-idp_session"
	browserCookie = "__Host-idp_browser"
)

func TestLogin_SignsIn(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	flow := b.flow(request)
	shown := b.get("/login?flow="+flow).is(t, http.StatusOK).
		says(t, `id="login-form"`, `id="username"`, `id="password"`, `id="login-submit"`, `autocomplete="username"`, `autocomplete="current-password"`, "Calendar")
	got := b.post("/login", credentials(shown.shown(t)))
	next := got.next(t, s)
	if next.Request != request || !next.RequestedAt.Equal(s.now) {
		t.Errorf("flow changed on its way: %+v", next)
	}
	var session idp.Session
	for _, session = range s.sessions {
	}
	if len(s.sessions) != 1 || session.UserID != "u-alice" || session.ACR != "1" || len(session.AMR) != 1 || session.AMR[0] != "pwd" ||
		!session.AuthTime.Equal(s.now) || !session.ExpiresAt.Equal(s.now.Add(12*time.Hour)) || session.RemoteAddr != "192.0.2.7" {
		t.Errorf("session %+v", session)
	}
	if next.AccountChosen != session.ID.String() {
		t.Errorf("signing in is choosing: %q", next.AccountChosen)
	}
	events := s.recorded(idp.EventLoginSucceeded)
	if len(events) != 1 || events[0].UserID != "u-alice" || events[0].ClientID != "calendar" || events[0].RequestID != "req-1" {
		t.Errorf("events %+v", events)
	}
	r := httptest.NewRequest(http.MethodGet, issuer+"/oauth2/auth", nil)
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: b.cookies[sessionCookie]})
	id, proves, ok := s.login.Session(r)
	if !ok || id != session.ID || !proves(session.Salt) || proves(bytes.Repeat([]byte{1}, 16)) {
		t.Errorf("cookie does not prove its session")
	}
}

func TestLogin_WithoutRequestEndsAtHome(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	shown := b.get("/login").is(t, http.StatusOK)
	got := b.post("/login", credentials(shown.shown(t))).is(t, http.StatusSeeOther)
	if got.Header.Get("Location") != "/" {
		t.Errorf("Location %q", got.Header.Get("Location"))
	}
	if got := b.get("/").is(t, http.StatusSeeOther); got.Header.Get("Location") != "/account" {
		t.Errorf("Location %q", got.Header.Get("Location"))
	}
	b.get("/logout").says(t, "Alice Moreau")
	if got := b.get("/login"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("a person who is in is asked again: %d", got.StatusCode)
	}
}

func TestLogin_HintIsPrefilledAndEscaped(t *testing.T) {
	s := newSite(t)
	s.asks.LoginHint = `"><script>alert(1)</script>`
	s.asks.Client.ClientName = "<img src=x onerror=alert(1)>"
	b := s.browser(t)
	got := b.get("/login?flow="+b.flow(request)).says(t, "&lt;img src=x", "&#34;&gt;&lt;script&gt;")
	for _, bad := range []string{"<img", "<script>", "javascript:alert"} {
		if strings.Contains(got.body, bad) {
			t.Errorf("page holds %q", bad)
		}
	}
}

func TestLogin_ReauthenticationNamesTheAccount(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	flow := b.flow(request)
	b.get("/login?flow="+flow).is(t, http.StatusOK).says(t, `value="alice"`)
	if got := b.get("/login?prompt=login&flow="+flow).is(t, http.StatusOK); strings.Contains(got.body, `value="alice"`) {
		t.Error("somebody who wants to be another is named")
	}
}

func TestLogin_AccountChoice(t *testing.T) {
	s := newSite(t)
	s.asks.SelectAccount = true
	b := s.signedIn(t)
	shown := b.get("/login?flow="+b.flow(request)).is(t, http.StatusOK).says(t, "Choose an account", "Alice Moreau", `value="continue"`, "Use another account")
	flow := b.post("/login", url.Values{"flow": {shown.shown(t)}, "action": {"continue"}}).next(t, s)
	for id := range s.sessions {
		if flow.AccountChosen != id.String() {
			t.Errorf("chosen %q, want %q", flow.AccountChosen, id)
		}
	}

	// Sent back here after the choice: now only the password helps.
	sealed, err := s.master.SealFlow(flow)
	if err != nil {
		t.Fatal(err)
	}
	b.get("/login?flow="+sealed).is(t, http.StatusOK).says(t, `id="login-form"`, `value="alice"`)

	s.now = s.now.Add(2 * time.Hour) // idle for too long
	got := b.post("/login", url.Values{"flow": {b.flow(request)}, "action": {"continue"}}).is(t, http.StatusUnprocessableEntity)
	got.says(t, "Your session has ended", `id="login-form"`)
}

// An unknown user and a wrong password look the same.
func TestAttack_Q01_UnknownUserLooksLikeWrongPassword(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	var bodies []string
	for _, username := range []string{"alice", "nobody"} {
		got := b.post("/login", url.Values{"flow": {b.flow(request)}, "username": {username}, "password": {"wrong"}}).is(t, http.StatusUnprocessableEntity)
		got.says(t, "do not match", "Error: ", `role="alert"`)
		body := linkedFlow.ReplaceAllString(flowField.ReplaceAllString(got.body, ""), "")
		bodies = append(bodies, strings.ReplaceAll(body, `value="`+username+`"`, ""))
		if len(got.Cookies()) != 0 {
			t.Errorf("cookies %v", got.Cookies())
		}
	}
	if bodies[0] != bodies[1] {
		t.Error("the pages differ")
	}
	if s.users.asked != 2 {
		t.Errorf("%d passwords checked, want both", s.users.asked)
	}
}

type slowDown struct{}

func (slowDown) Error() string             { return "slow down" }
func (slowDown) Unwrap() error             { return idp.ErrThrottled }
func (slowDown) RetryAfter() time.Duration { return 90500 * time.Millisecond }

func TestLogin_Refusals(t *testing.T) {
	tests := map[string]struct {
		fault      error
		status     int
		retryAfter string
		words      string
	}{
		"throttled":   {slowDown{}, http.StatusTooManyRequests, "91", "Try again in 2 minutes"},
		"unavailable": {idp.ErrUnavailable, http.StatusServiceUnavailable, "5", "could not be checked right now"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.users.fault = test.fault
			b := s.browser(t)
			got := b.post("/login", credentials(b.flow(request))).is(t, test.status).says(t, test.words, `id="login-form"`, `value="alice"`)
			if got.Header.Get("Retry-After") != test.retryAfter {
				t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
			}
		})
	}
}

// What is too large is refused before anything is hashed.
func TestAttack_Q06_RefusedBeforeHashing(t *testing.T) {
	tests := map[string]struct {
		username, password string
		status             int
		words              string
	}{
		"one MiB password":     {"alice", strings.Repeat("x", 1<<20), http.StatusRequestEntityTooLarge, "too large"},
		"long password":        {"alice", strings.Repeat("x", 1025), http.StatusBadRequest, "at most 1024"},
		"long username":        {strings.Repeat("a", 257), "x", http.StatusBadRequest, "at most 256"},
		"control characters":   {"al\x00ice", "x", http.StatusBadRequest, "control characters"},
		"invalid UTF-8":        {"al\xffice", "x", http.StatusBadRequest, "control characters"},
		"no username":          {"", "x", http.StatusUnprocessableEntity, "Enter your user name"},
		"no password":          {"alice", "", http.StatusUnprocessableEntity, "Enter your password"},
		"longest good attempt": {strings.Repeat("a", 256), strings.Repeat("x", 1024), http.StatusUnprocessableEntity, "do not match"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser(t)
			b.post("/login", url.Values{"flow": {b.flow(request)}, "username": {test.username}, "password": {test.password}}).
				is(t, test.status).says(t, test.words)
			if want := name == "longest good attempt"; (s.users.asked > 0) != want {
				t.Errorf("%d passwords checked", s.users.asked)
			}
		})
	}
}

func TestForms_Strict(t *testing.T) {
	tests := map[string]struct {
		change func(*http.Request)
		status int
	}{
		"field twice": {func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("username=alice&username=eve"))
		}, http.StatusBadRequest},
		"bad escape":   {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("username=%zz")) }, http.StatusBadRequest},
		"multipart":    {func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }, http.StatusUnsupportedMediaType},
		"no type":      {func(r *http.Request) { r.Header.Del("Content-Type") }, http.StatusUnsupportedMediaType},
		"other method": {func(r *http.Request) { r.Method = http.MethodPut }, http.StatusMethodNotAllowed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser(t)
			r := form("/login", credentials(b.flow(request)))
			test.change(r)
			b.do(r).is(t, test.status).says(t, `id="error"`)
			if len(s.sessions) != 0 {
				t.Error("signed in")
			}
		})
	}
}

// Fields count from the body only: what stands in the address may have come
// from anywhere.
func TestForms_AddressIsNoField(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	fields := credentials("")
	fields.Del("flow")
	b.post("/login?flow="+b.flow(request), fields).is(t, http.StatusForbidden)
}

func TestFlow_Expired(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	flow := b.flow(request)
	sessions := len(s.sessions)
	s.now = s.now.Add(idp.DefaultLifetimes().Flow)
	again := "/oauth2/auth?flow=" + flow
	if to := b.get("/login?flow="+flow).is(t, http.StatusSeeOther).Header.Get("Location"); to != again {
		t.Errorf("a page that was opened late leads to %s", to)
	}
	b.get("/consent?flow="+flow).is(t, http.StatusBadRequest).says(t, `id="again" href="`+again+`"`)
	b.post("/consent", url.Values{"flow": {flow}, "decision": {"allow"}}).is(t, http.StatusBadRequest).says(t, "start again", `id="again" href="`+again+`"`)
	// Who typed for too long need not type it again, but for the password.
	got := b.post("/login", url.Values{"flow": {flow}, "username": {"alice"}, "password": {"correct horse"}})
	got.is(t, http.StatusUnprocessableEntity).says(t, "open for too long", `value="alice"`, `id="login-form"`)
	if strings.Contains(got.body, "correct horse") || got.shown(t) == flow {
		t.Error("the page keeps the password, or the flow")
	}
	if len(s.sessions) != sessions || len(s.consents) != 0 || s.users.asked != 1 {
		t.Error("an expired flow did something")
	}
	b.post("/login", url.Values{"flow": {got.shown(t)}, "username": {"alice"}, "password": {"correct horse"}}).is(t, http.StatusSeeOther)
	// Signing out late only asks once more.
	got = b.post("/logout", url.Values{"flow": {flow}}).is(t, http.StatusSeeOther)
	if got.Header.Get("Location") != "/logout" {
		t.Errorf("Location %q", got.Header.Get("Location"))
	}
}

func TestLogout(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	shown := b.get("/logout").is(t, http.StatusOK).says(t, `id="logout-form"`, `id="logout-yes"`, "Alice Moreau")
	b.get("/").is(t, http.StatusSeeOther) // asking ends nothing
	b.post("/logout", url.Values{"flow": {shown.shown(t)}}).is(t, http.StatusOK).says(t, "You are signed out")
	if b.cookies[sessionCookie] != "" {
		t.Errorf("cookies %v", b.cookies)
	}
	for _, session := range s.sessions {
		if session.EndedAt.IsZero() {
			t.Error("session lives on")
		}
	}
	if events := s.recorded(idp.EventSessionEnded); len(events) != 1 || events[0].UserID != "u-alice" {
		t.Errorf("events %+v", events)
	}
	b.get("/").says(t, "You are not signed in")
	b.get("/logout").is(t, http.StatusSeeOther)
}

// Who cannot be signed out now keeps what it takes to try again.
func TestLogout_StoreAway(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	shown := b.get("/logout")
	s.fault = idp.ErrUnavailable
	got := b.post("/logout", url.Values{"flow": {shown.shown(t)}}).is(t, http.StatusServiceUnavailable)
	if got.Header.Get("Retry-After") == "" || b.cookies[sessionCookie] == "" {
		t.Errorf("Retry-After %q, cookies %v", got.Header.Get("Retry-After"), b.cookies)
	}
}

func TestSession_Ends(t *testing.T) {
	tests := map[string]func(*site){
		"idle":     func(s *site) { s.now = s.now.Add(time.Hour) },
		"absolute": func(s *site) { s.now = s.now.Add(12 * time.Hour) },
		"disabled": func(s *site) {
			u := s.memory.users["u-alice"]
			u.State = idp.UserDisabled
			s.memory.users["u-alice"] = u
		},
		"reset": func(s *site) {
			u := s.memory.users["u-alice"]
			u.TokensValidAfter = s.now.Add(time.Second)
			s.memory.users["u-alice"] = u
		},
		"gone": func(s *site) { clear(s.sessions) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.signedIn(t)
			b.get("/").is(t, http.StatusSeeOther)
			change(s)
			b.get("/").is(t, http.StatusOK).says(t, "You are not signed in")
		})
	}
}

func TestIssuerWithPath(t *testing.T) {
	s := newSite(t, func(c *login.Config) { c.Issuer = issuer + "/tenant/" })
	b := s.browser(t)
	flow := b.flow(request)
	shown := b.get("/login?flow="+flow).says(t, `action="/tenant/login"`, `href="/tenant/static/`)
	got := b.post("/login", credentials(shown.shown(t))).is(t, http.StatusSeeOther)
	if !strings.HasPrefix(got.Header.Get("Location"), "/tenant/oauth2/auth?flow=") {
		t.Errorf("Location %q", got.Header.Get("Location"))
	}
}

func TestCookies_LoopbackIssuer(t *testing.T) {
	s := newSite(t, func(c *login.Config) { c.Issuer, c.Secure = "http://127.0.0.1:8080", false })
	b := s.browser(t)
	got := b.post("/login", credentials(b.flow(""))).is(t, http.StatusSeeOther)
	for _, c := range got.Cookies() {
		if c.Name != "idp_session" && !strings.HasPrefix(c.Name, "idp_device_") || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("cookie %+v", c)
		}
	}
	if got.Header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS over http")
	}
}

func TestBind(t *testing.T) {
	s := newSite(t)
	for name, cookies := range map[string][]string{"none": nil, "malformed": {"x"}, "short": {"AAAA"}, "two": {strings.Repeat("A", 43), strings.Repeat("B", 42) + "A"}} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, issuer+"/login", nil)
			for _, c := range cookies {
				r.AddCookie(&http.Cookie{Name: browserCookie, Value: c})
			}
			if s.login.Bound(r) != nil {
				t.Error("bound")
			}
			w := httptest.NewRecorder()
			bound := s.login.Bind(w, r)
			set := w.Result().Cookies()
			if len(bound) == 0 || len(set) != 1 || set[0].Name != browserCookie || !set[0].Secure || !set[0].HttpOnly ||
				set[0].SameSite != http.SameSiteLaxMode || set[0].Path != "/" || set[0].Domain != "" || set[0].MaxAge != 0 || !set[0].Expires.IsZero() {
				t.Fatalf("cookies %+v", set)
			}
			next := httptest.NewRequest(http.MethodGet, issuer+"/login", nil)
			next.AddCookie(&http.Cookie{Name: set[0].Name, Value: set[0].Value})
			if !bytes.Equal(s.login.Bound(next), bound) {
				t.Error("the cookie does not give the hash again")
			}
			w = httptest.NewRecorder()
			if !bytes.Equal(s.login.Bind(w, next), bound) || len(w.Result().Cookies()) != 0 {
				t.Error("a good cookie was replaced")
			}
		})
	}
}

func TestErrorPage(t *testing.T) {
	s := newSite(t)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, issuer+"/oauth2/auth", nil)
	r = r.WithContext(idp.WithRequest(r.Context(), &idp.Request{ID: "req-9"}))
	s.login.ErrorPage(w, r, http.StatusBadRequest, "invalid_request", idp.SayRedirectUnregistered)
	got := page{Response: w.Result(), body: w.Body.String()}
	got.is(t, http.StatusBadRequest).says(t, `id="error"`, "req-9", "invalid_request", "not registered for it")
	if got.Header.Get("Location") != "" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.Header)
	}
}

func TestHeaders_OnEveryPage(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t)
	flow := b.flow(request)
	pages := map[string]page{
		"home":        b.get("/"),
		"login":       b.get("/login?prompt=login&flow=" + flow),
		"consent":     b.get("/consent?flow=" + flow),
		"logout":      b.get("/logout"),
		"error":       b.get("/login?flow=x"),
		"csrf error":  b.post("/consent", nil),
		"redirect":    b.get("/login"),
		"not allowed": b.post("/", nil),
	}
	for name, got := range pages {
		t.Run(name, func(t *testing.T) {
			for header, want := range map[string]string{
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "no-referrer",
				"X-Frame-Options":              "DENY",
				"Cross-Origin-Opener-Policy":   "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Cache-Control":                "no-store",
				"Strict-Transport-Security":    "max-age=63072000; includeSubDomains",
			} {
				if got.Header.Get(header) != want {
					t.Errorf("%s: %q, want %q", header, got.Header.Get(header), want)
				}
			}
			policy := got.Header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("policy lacks %s: %s", want, policy)
				}
			}
			if strings.Contains(policy, "unsafe") {
				t.Errorf("policy %s", policy)
			}
			if interaction := name == "login" || name == "consent"; interaction == strings.Contains(policy, "form-action") {
				t.Errorf("form-action in %q", policy)
			}
		})
	}
}

var errDatabase = errors.New("pq: password authentication failed at db1.internal for SELECT secret FROM users")
