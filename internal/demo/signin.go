package demo

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// party is the relying party as discovery configured it.
type party struct {
	provider    *oidc.Provider
	verifier    *oidc.IDTokenVerifier
	oauth       oauth2.Config
	sendsIssuer bool   // the issuer promises iss in its responses (RFC 9207 section 3)
	endSession  string // where people sign out of the issuer; empty when it has no such place
}

// relyingParty fetches the issuer's metadata at the first sign-in and keeps it.
func (a *App) relyingParty(ctx context.Context) (*party, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.party != nil {
		return a.party, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, a.client), a.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var metadata struct {
		SendsIssuer bool   `json:"authorization_response_iss_parameter_supported"`
		EndSession  string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	endpoint := provider.Endpoint()
	// Named outright: probing would send a refused code a second time.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if a.cfg.ClientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	a.party = &party{
		provider: provider,
		verifier: provider.Verifier(&oidc.Config{ClientID: a.cfg.ClientID, Now: a.cfg.Now}),
		oauth: oauth2.Config{
			ClientID:     a.cfg.ClientID,
			ClientSecret: a.cfg.ClientSecret,
			Endpoint:     endpoint,
			RedirectURL:  a.cfg.RedirectURL,
			Scopes:       a.scopes(),
		},
		sendsIssuer: metadata.SendsIssuer,
		endSession:  metadata.EndSession,
	}
	return a.party, nil
}

// login sends the browser to the issuer. The form may ask for a prompt (OpenID
// Connect Core section 3.1.2.1), to change accounts.
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	var options []oauth2.AuthCodeOption
	if prompt := r.FormValue("prompt"); slices.Contains([]string{"login", "consent", "select_account"}, prompt) {
		options = append(options, oauth2.SetAuthURLParam("prompt", prompt))
	}
	a.signIn(w, r, false, options...)
}

// signIn starts a sign-in; sensitive says that the API asked for it.
func (a *App) signIn(w http.ResponseWriter, r *http.Request, sensitive bool, options ...oauth2.AuthCodeOption) {
	p, err := a.relyingParty(r.Context())
	if err != nil {
		a.unreachable(w, err)
		return
	}
	browser := a.cookie(r, browserCookie)
	if len(browser) != len(randomToken()) {
		browser = randomToken()
	}
	a.setCookie(w, browserCookie, browser, flowLifetime)

	nonce, verifier := randomToken(), oauth2.GenerateVerifier()
	options = append(append(options, a.resource()...), oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	http.Redirect(w, r, p.oauth.AuthCodeURL(a.sessions.begin(browser, nonce, verifier, sensitive), options...), http.StatusSeeOther)
}

// callback takes the issuer's answer: 1 one of each parameter · 2 state, in
// the browser that started · 3 issuer · 4 error · 5 code for tokens · 6 ID
// token · 7 a new session.
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	p, err := a.relyingParty(r.Context())
	if err != nil {
		a.unreachable(w, err)
		return
	}
	query := r.URL.Query()
	for _, name := range []string{"state", "iss", "code", "error"} {
		if len(query[name]) > 1 {
			a.fail(w, http.StatusBadRequest, problem{Title: "That answer makes no sense", Detail: "The parameter " + name + " came more than once.", Retry: true})
			return
		}
	}
	flow, ok := a.sessions.finish(query.Get("state"), a.cookie(r, browserCookie))
	if !ok {
		a.fail(w, http.StatusBadRequest, problem{
			Title:  "This sign-in is over",
			Detail: "It was finished already, took too long, or was started in another browser. Nothing happened.",
			Retry:  true,
		})
		return
	}
	// RFC 9207 section 2.4: an answer of another issuer must not get the code
	// sent to this one.
	if iss := query.Get("iss"); iss != a.cfg.Issuer && (iss != "" || p.sendsIssuer) {
		a.log.Warn("demo: response of another issuer", "iss", iss)
		a.fail(w, http.StatusBadRequest, problem{
			Title:  "The answer came from somebody else",
			Detail: "The application asked " + a.cfg.Issuer + " and does not take an answer from anyone else.",
			Retry:  true,
		})
		return
	}
	if code := query.Get("error"); code != "" {
		a.refused(w, code, query.Get("error_description"))
		return
	}
	s, err := a.exchange(r.Context(), p, query.Get("code"), flow)
	if err != nil {
		a.exchangeFailed(w, err)
		return
	}
	s.answer = a.callAPI(r.Context(), s.accessToken, flow.sensitive)
	if old := a.cookie(r, sessionCookie); old != "" {
		a.sessions.remove(old)
	}
	a.setCookie(w, sessionCookie, a.sessions.add(s), sessionLifetime)
	a.log.Info("demo: signed in", "sub", s.subject)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// exchange turns a code into a verified session.
func (a *App) exchange(ctx context.Context, p *party, code string, f flow) (*session, error) {
	ctx = oidc.ClientContext(ctx, a.client)
	token, err := p.oauth.Exchange(ctx, code, append(a.resource(), oauth2.VerifierOption(f.verifier))...)
	if err != nil {
		return nil, err
	}
	s := &session{nonce: f.nonce}
	id, err := a.verify(ctx, p, s, token)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) == 0 {
		return nil, errors.New("the ID token is not for this sign-in: nonce differs")
	}
	var at struct {
		SID string `json:"sid"`
	}
	if err := id.Claims(&at); err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	s.subject, s.sid = id.Subject, at.SID
	s.take(token, id)
	a.describe(ctx, p, s, token)
	return s, nil
}

// verify checks the token response's ID token (OpenID Connect Core sections
// 3.1.3.7 and 12.2).
func (a *App) verify(ctx context.Context, p *party, s *session, token *oauth2.Token) (*oidc.IDToken, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the token response holds no ID token")
	}
	id, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, fmt.Errorf("ID token: at_hash: %w", err)
		}
	}
	switch {
	case s.subject != "" && id.Subject != s.subject:
		return nil, errors.New("the ID token is about somebody else")
	case s.nonce != "" && id.Nonce != "" && id.Nonce != s.nonce:
		return nil, errors.New("the ID token is not for this sign-in: nonce differs")
	}
	return id, nil
}

// take puts a verified token response into the session.
func (s *session) take(token *oauth2.Token, id *oidc.IDToken) {
	s.accessToken, s.expiresAt = token.AccessToken, token.Expiry
	if token.RefreshToken != "" {
		s.refreshToken = token.RefreshToken
	}
	if scope, ok := token.Extra("scope").(string); ok {
		s.scope = scope
	}
	if id != nil {
		s.idToken, _ = token.Extra("id_token").(string)
		var who struct {
			Name     string `json:"name"`
			Username string `json:"preferred_username"`
			Email    string `json:"email"`
		}
		if id.Claims(&who) == nil {
			s.name, s.email = firstOf(who.Name, who.Username, s.name), firstOf(who.Email, s.email)
		}
	}
}

// describe asks userinfo for a name that the ID token does not give (OpenID
// Connect Core section 5.4). Without one the subject has to do.
func (a *App) describe(ctx context.Context, p *party, s *session, token *oauth2.Token) {
	if s.name != "" || p.provider.UserInfoEndpoint() == "" {
		return
	}
	info, err := p.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		a.log.Info("demo: userinfo", "error", err)
		return
	}
	var who struct {
		Name     string `json:"name"`
		Username string `json:"preferred_username"`
	}
	// OpenID Connect Core section 5.3.2: the subject must be the same.
	if info.Subject != s.subject || info.Claims(&who) != nil {
		return
	}
	s.name, s.email = firstOf(who.Name, who.Username), firstOf(s.email, info.Email)
}

// refresh gets new tokens for the refresh token.
func (a *App) refresh(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	if !ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	p, err := a.relyingParty(r.Context())
	if err != nil {
		a.unreachable(w, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refreshToken == "" || s.ended {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	ctx := oidc.ClientContext(r.Context(), a.client)
	token, err := p.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: s.refreshToken}).Token()
	var id *oidc.IDToken
	if err == nil && token.Extra("id_token") != nil {
		id, err = a.verify(ctx, p, s, token)
	}
	if err != nil {
		// RFC 6749 section 5.2: the grant is gone, and with it the sign-in.
		if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refusal.ErrorCode == "invalid_grant" {
			s.ended = true
			a.end(w, r)
		}
		a.exchangeFailed(w, err)
		return
	}
	s.take(token, id)
	s.refreshes++
	s.notice = "New tokens arrived. The old refresh token is spent."
	s.answer = a.callAPI(r.Context(), s.accessToken, false)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// call calls the API again with the access token at hand.
func (a *App) call(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.session(r); ok {
		s.mu.Lock()
		s.answer = a.callAPI(r.Context(), s.accessToken, false)
		s.notice = "The API was called."
		s.mu.Unlock()
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// callSensitive calls the part of the API that asks for more than a password.
// When it challenges, the person proves more at the issuer, and the call is
// made again with what comes of that (RFC 9470 section 4).
func (a *App) callSensitive(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	if !ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.mu.Lock()
	s.answer = a.callAPI(r.Context(), s.accessToken, true)
	wanted := s.answer.acrValues()
	s.notice = "The API was called."
	s.mu.Unlock()
	if wanted != "" {
		a.signIn(w, r, true, oauth2.SetAuthURLParam("acr_values", wanted))
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// resource is the parameter of RFC 8707 section 2.
func (a *App) resource() []oauth2.AuthCodeOption {
	if a.cfg.Audience == "" {
		return nil
	}
	return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("resource", a.cfg.Audience)}
}

// refused shows an error response of the issuer (RFC 6749 section 4.1.2.1).
func (a *App) refused(w http.ResponseWriter, code, description string) {
	p := problem{Code: code, Description: readable(description), Retry: true}
	status := http.StatusBadRequest
	switch code {
	case "access_denied":
		status = http.StatusForbidden
		p.Title, p.Detail = "Access was not allowed", "You, or a rule of the issuer, said no. The application got nothing."
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		p.Title, p.Detail = "The issuer wants to ask you something", "Sign in once more, and it will."
	case "temporarily_unavailable", "server_error":
		status = http.StatusBadGateway
		p.Title, p.Detail = "The issuer has a problem", "It could not answer just now. Try again in a moment."
	default:
		p.Title, p.Detail = "The sign-in did not work", "The issuer refused the request. How this application is registered may be the reason."
	}
	a.log.Info("demo: the issuer refused", "error", code)
	a.fail(w, status, p)
}

func (a *App) unreachable(w http.ResponseWriter, err error) {
	a.log.Warn("demo: issuer out of reach", "error", err)
	a.fail(w, http.StatusBadGateway, problem{
		Title:  "The issuer does not answer",
		Detail: "The application could not read the metadata of " + a.cfg.Issuer + ". Is it running?",
		Retry:  true,
	})
}

func (a *App) exchangeFailed(w http.ResponseWriter, err error) {
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refusal.ErrorCode != "" {
		a.log.Info("demo: the token endpoint refused", "error", refusal.ErrorCode)
		p := problem{
			Title: "No tokens this time", Detail: "The issuer refused to give tokens.",
			Code: refusal.ErrorCode, Description: readable(refusal.ErrorDescription), Retry: true,
		}
		if refusal.ErrorCode == "invalid_grant" {
			p.Title, p.Detail = "Your sign-in has ended", "It expired, or was ended at the issuer. Sign in again to go on."
		}
		a.fail(w, http.StatusBadGateway, p)
		return
	}
	// The cause may quote what the issuer sent: it is for the log, without the
	// response that a RetrieveError carries.
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		err = fmt.Errorf("token endpoint answered %s", refusal.Response.Status)
	}
	a.log.Warn("demo: sign-in failed", "error", err)
	a.fail(w, http.StatusBadGateway, problem{
		Title:  "The sign-in did not work",
		Detail: "What the issuer sent did not pass the application's checks, or did not arrive.",
		Retry:  true,
	})
}

func (a *App) sessionPage(s *session) sessionPage {
	name := firstOf(s.name, s.email, s.subject)
	page := sessionPage{
		Issuer: a.cfg.Issuer, ClientID: a.cfg.ClientID, Audience: a.cfg.Audience,
		Name: name, Initial: initial(name), Email: s.email, Subject: s.subject,
		Notice: s.notice, API: s.answer, Setup: a.setup(s.answer),
		IDToken: decodeToken(s.idToken), AccessToken: decodeToken(s.accessToken), RawAccessToken: s.accessToken,
		TokenScope: s.scope, CanRefresh: s.refreshToken != "", CanCall: a.cfg.APIURL != "", Refreshes: s.refreshes,
	}
	if !s.expiresAt.IsZero() {
		page.ExpiresAt = s.expiresAt.UTC().Format("15:04:05 UTC")
		if !a.cfg.Now().Before(s.expiresAt) {
			page.ExpiresAt += ", which has passed"
		}
	}
	return page
}

// setup is where the person sets up what the API still asks for after a sign-in
// for it; empty when it asks for nothing.
func (a *App) setup(answer *apiAnswer) string {
	if answer.acrValues() == "" {
		return ""
	}
	return a.cfg.Issuer + "/setup"
}

// initial is the letter in the picture's place.
func initial(name string) string {
	for _, r := range name {
		return string(unicode.ToUpper(r))
	}
	return "?"
}

// readable keeps of an error_description what RFC 6749 section 4.1.2.1 allows,
// and no more than a screen takes.
func readable(s string) string {
	if len(s) > 300 {
		s = s[:300]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// indent formats JSON for reading; what is not JSON stays as it is.
func indent(raw []byte) (string, bool) {
	var v json.RawMessage
	if json.Unmarshal(raw, &v) != nil {
		return string(raw), false
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return string(raw), false
	}
	return string(out), true
}
