package login

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
	"idp/web"
)

const (
	maxUsername  = 256  // bytes
	maxPassword  = 1024 // bytes
	maxUserAgent = 256  // bytes
	saltSize     = 16   // bytes
)

// ServeLogin asks who the person is, and starts a session for them.
func (l *Login) ServeLogin(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showLogin, l.signIn)
}

func (l *Login) showLogin(w http.ResponseWriter, r *http.Request) error {
	// 1. Which flow: the one in the address, or a new one of nobody's asking.
	flow, ok, err := l.linked(r)
	if again := l.again(err); again != "" { // nothing was typed yet
		http.Redirect(w, r, again, http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	if !ok {
		flow = idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r)}
	}
	// 2. Who is here already, and what is asked of them.
	held, err := l.visitor(r, clientOf(flow))
	if err != nil {
		return err
	}
	interaction, err := l.describe(r.Context(), flow, held)
	if err != nil {
		return l.decideAgain(w, r, flow, err)
	}
	// 3. The page that fits. Who has chosen an account and is back here has to
	// prove to be its owner.
	anew := r.URL.Query().Get("prompt") == "login"
	chosen := held != nil && flow.AccountChosen == held.Session.ID.String()
	stale := held != nil && flow.Fresh && held.Session.AuthTime.Before(flow.RequestedAt)
	switch {
	case stale: // the form, with the user name filled in
	case held != nil && !anew && flow.Request == "" && interaction.ACR == "":
		return l.goOn(w, r, flow)
	case held != nil && !anew && !chosen && interaction.SelectAccount:
		return l.showAccounts(w, r, flow, interaction, held)
	case held != nil && !anew && interaction.ACR != "":
		return l.stepUp(w, r, flow, interaction, held)
	}
	page := web.LoginPage{Username: interaction.LoginHint}
	if page.Username == "" && held != nil && !anew {
		page.Username = held.User.Username // asked to prove once more who they are
	}
	if !acceptable(page.Username) {
		page.Username = ""
	}
	if anew {
		held = nil // somebody else is expected
	}
	return l.loginPage(w, r, http.StatusOK, flow, interaction, held, page)
}

func (l *Login) showAccounts(w http.ResponseWriter, r *http.Request, flow idp.Flow, interaction idp.Interaction, held *idp.AuthorizationContext) error {
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	allowRedirects(w.Header())
	allowLogo(w.Header(), l.clientOnPage(interaction.Client))
	l.render(w, r, http.StatusOK, web.AccountPage{
		Layout: l.layoutOf(r, held, "/login?flow="+url.QueryEscape(sealed)), Client: l.clientOnPage(interaction.Client),
		Account: accountOnPage(held.User), Flow: sealed,
	})
	return nil
}

// loginPage fills in what every showing of the form has in common. held is who
// proves to be there still; nil for nobody.
func (l *Login) loginPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, interaction idp.Interaction,
	held *idp.AuthorizationContext, page web.LoginPage,
) error {
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	page.Layout = l.layoutOf(r, held, "/login?flow="+url.QueryEscape(sealed))
	page.Flow, page.Client, page.Registration = sealed, l.clientOnPage(interaction.Client), l.Registration != nil
	if page.Passkey, err = l.passkeyRequest(r, flow, ""); err != nil {
		return err
	}
	allowRedirects(w.Header())
	allowLogo(w.Header(), page.Client)
	l.render(w, r, status, page)
	return nil
}

func (l *Login) signIn(w http.ResponseWriter, r *http.Request) error {
	// 1. A form of ours, in this browser.
	form, flow, err := l.submitted(w, r)
	if expired, ok := errors.AsType[*expiredFlow](err); ok && expired.flow.Pushed == "" {
		return l.signInLate(w, r, form, expired)
	}
	if err != nil {
		return err
	}
	// 2. The session that this browser is in, which may go on or must end.
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	switch form.Get("action") {
	case "continue":
		return l.chooseAccount(w, r, flow, held)
	case "passkey":
		return l.signInByPasskey(w, r, flow, form, held)
	}
	// 3. What was typed, refused before any work is done on it.
	username, password := strings.TrimSpace(form.Get("username")), form.Get("password")
	if status, page := unreadable(username, password); status != 0 {
		idp.Decide(r.Context(), idp.RuleFormFilled, idp.Failed)
		return l.askAgain(w, r, status, flow, held, page)
	}
	// 4. The password, then whatever else has to be proven, then a session. It was
	// proven when it was looked at: of a password that is changed meanwhile, no
	// session comes.
	proven := idp.Instant(l.Now())
	user, err := l.Users.Authenticate(r.Context(), username, password, func(user idp.User) (*idp.Device, error) {
		return l.knownDevice(r, user)
	})
	if err != nil {
		return l.refused(w, r, flow, held, username, err)
	}
	idp.Pass(r.Context(), idp.RuleSignInAttempts, idp.RuleUserKnown, idp.RulePasswordCorrect, idp.RuleUserActive)
	proof := &idp.Proof{UserID: user.ID}
	return l.proved(w, r, flow, user, proof.With(proven, idp.FactorPassword), held)
}

// signInLate shows the form anew to somebody who took too long, with what they
// typed but the password (WCAG 2.2.1): nothing of it was looked at.
func (l *Login) signInLate(w http.ResponseWriter, r *http.Request, form url.Values, expired *expiredFlow) error {
	request := idp.RequestFrom(r.Context())
	request.Outcome, request.Cause = "flow_expired", expired
	idp.Decide(r.Context(), idp.RuleFlowFresh, idp.Failed, begun(expired.flow))
	page := web.LoginPage{Username: strings.TrimSpace(form.Get("username")), Problem: web.Say("login.late")}
	if !acceptable(page.Username) {
		page.Username = ""
	}
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	return l.askAgain(w, r, http.StatusUnprocessableEntity, expired.anew(l.Now()), held, page)
}

// chooseAccount goes on in the session that the browser is in.
func (l *Login) chooseAccount(w http.ResponseWriter, r *http.Request, flow idp.Flow, held *idp.AuthorizationContext) error {
	if held == nil || !l.live(held) {
		return l.askAgain(w, r, http.StatusUnprocessableEntity, flow, nil, web.LoginPage{Problem: web.Say("login.session_ended")})
	}
	flow.AccountChosen = held.Session.ID.String()
	return l.goOn(w, r, flow)
}

// startSession makes the cookie from before worthless: an identifier known
// before the sign-in is worth nothing after it. The same person goes on in the
// same session under a new secret, so that signing in anew for one application
// does not sign out of the others; anybody else gets a session of their own,
// and the one from before ends.
func (l *Login) startSession(w http.ResponseWriter, r *http.Request, flow idp.Flow, user idp.User, proof *idp.Proof, held *idp.AuthorizationContext) (idp.Session, error) {
	request, now := idp.RequestFrom(r.Context()), idp.Instant(l.Now())
	session := idp.Session{
		UserID: user.ID, Salt: random(saltSize),
		AuthTime: proof.At, ACR: proof.ACR(), AMR: proof.AMR(),
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(l.Lifetimes.SessionAbsolute),
		RemoteAddr: request.RemoteAddr, UserAgent: clip(request.UserAgent, maxUserAgent),
	}
	copy(session.ID[:], random(len(session.ID)))
	err := idp.ErrNotFound
	if held != nil && held.User.ID == user.ID && l.live(held) {
		renewed := session
		renewed.ID, renewed.CreatedAt = held.Session.ID, held.Session.CreatedAt
		if err = l.Store.RenewSession(r.Context(), renewed, succeeded(r, flow, renewed)); err == nil {
			session = renewed
		}
	}
	if errors.Is(err, idp.ErrNotFound) {
		l.changeState(w, r)
		err = l.createSession(r, flow, session, held)
	}
	if err != nil {
		return session, err
	}
	request.Subject = user.ID
	idp.Decide(r.Context(), idp.RuleSessionAlive, idp.Passed, idp.Fact{Name: "sid", Value: session.ID.String()}, idp.Fact{Name: "acr", Value: session.ACR})
	l.setCookie(w, sessionCookie, l.Flows.MintOpaque(idp.OpaqueToken{
		Kind: idp.KindSession, ExpiresOn: idp.DayOf(session.ExpiresAt), ID: session.ID,
	}, session.Salt))
	return session, nil
}

func (l *Login) createSession(r *http.Request, flow idp.Flow, session idp.Session, held *idp.AuthorizationContext) error {
	events := []idp.Event{succeeded(r, flow, session)}
	var ends idp.ID
	if held != nil && held.Session.EndedAt.IsZero() {
		ends = held.Session.ID
		ended := event(r, idp.EventSessionEnded, session.CreatedAt)
		ended.UserID, ended.SessionID = held.User.ID, ends.String()
		ended.Detail = map[string]string{"reason": "replaced"}
		events = append([]idp.Event{ended}, events...)
	}
	return l.Store.CreateSession(r.Context(), session, ends, events...)
}

func succeeded(r *http.Request, flow idp.Flow, session idp.Session) idp.Event {
	e := event(r, idp.EventLoginSucceeded, session.AuthTime)
	e.UserID, e.SessionID, e.ClientID = session.UserID, session.ID.String(), clientOf(flow)
	e.Detail = map[string]string{"amr": strings.Join(session.AMR, " ")}
	return e
}

// unreadable says what is wrong with the form as typed; 0 for nothing.
func unreadable(username, password string) (status int, page web.LoginPage) {
	page.Username = username
	if username == "" {
		status, page.UsernameProblem = http.StatusUnprocessableEntity, web.Say("login.username_missing")
	}
	if password == "" {
		status, page.PasswordProblem = http.StatusUnprocessableEntity, web.Say("login.password_missing")
	}
	if !acceptable(username) {
		status, page.Username = http.StatusBadRequest, ""
		page.UsernameProblem = web.Say("login.username_unusable", "count", maxUsername)
	}
	if len(password) > maxPassword {
		status, page.PasswordProblem = http.StatusBadRequest, web.Say("login.password_too_long", "count", maxPassword)
	}
	return status, page
}

func acceptable(username string) bool {
	return len(username) <= maxUsername && utf8.ValidString(username) && !strings.ContainsFunc(username, unicode.IsControl)
}

// refused answers a sign-in that failed. Nothing in it tells an unknown user
// from a wrong password.
func (l *Login) refused(w http.ResponseWriter, r *http.Request, flow idp.Flow, held *idp.AuthorizationContext, username string, err error) error {
	request := idp.RequestFrom(r.Context())
	page := web.LoginPage{Username: username}
	status := http.StatusUnprocessableEntity
	switch {
	case errors.Is(err, idp.ErrCredentials):
		request.Outcome, page.Problem = "login_failed", web.Say("login.no_match")
	case errors.Is(err, idp.ErrThrottled):
		status = http.StatusTooManyRequests
		request.Outcome, page.Problem = "login_throttled", throttled(w, err)
	case errors.Is(err, idp.ErrUnavailable):
		retryAfter(w, databaseRetry)
		status = http.StatusServiceUnavailable
		request.Outcome, page.Problem = "temporarily_unavailable", web.Say("login.unavailable")
		idp.Decide(r.Context(), idp.RuleServerAvailable, idp.Failed)
	default:
		return err
	}
	request.Cause = err
	return l.askAgain(w, r, status, flow, held, page)
}

// askAgain shows the form once more. What the flow asks is for decoration here:
// without it the form still works. held is the session that the browser is in,
// alive or not.
func (l *Login) askAgain(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, held *idp.AuthorizationContext, page web.LoginPage) error {
	interaction, err := l.describe(r.Context(), flow, nil)
	if err != nil {
		interaction = idp.Interaction{}
	}
	if held != nil && !l.live(held) {
		held = nil
	}
	return l.loginPage(w, r, status, flow, interaction, held, page)
}

// throttled says how long to wait, rounded up, to the browser and in words.
func throttled(w http.ResponseWriter, err error) *web.Text {
	wait := time.Minute
	var known interface{ RetryAfter() time.Duration }
	if errors.As(err, &known) {
		wait = known.RetryAfter()
	}
	retryAfter(w, wait)
	switch minutes := int(math.Ceil(wait.Minutes())); {
	case wait <= 30*time.Second:
		return web.Say("login.throttled_moment")
	case minutes < 60:
		return web.Say("login.throttled_minutes", "count", minutes)
	}
	return web.Say("login.throttled_hours", "count", int(math.Ceil(wait.Hours())))
}

func clip(s string, size int) string {
	if len(s) > size {
		s = s[:size]
	}
	return strings.ToValidUTF8(s, "")
}

func (l *Login) clientOnPage(c *idp.Client) *web.Client {
	if c == nil {
		return nil
	}
	name := c.DisplayName()
	picture, remote := l.logoOf(c)
	return &web.Client{
		Name: name, Initial: initial(name), Logo: picture, RemoteLogo: remote, Unverified: c.Unverified(),
		Site: address(c.ClientURI), Policy: address(c.PolicyURI), Terms: address(c.TosURI),
	}
}

func accountOnPage(u idp.User) web.Account {
	name := u.DisplayName()
	account := web.Account{Name: name, Initial: initial(name)}
	if name != u.Username {
		account.Username = u.Username
	}
	return account
}

// initial is the first letter or digit, standing in for a picture.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "•"
}

// address lets through what a page may link to.
func address(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Scheme == "https" && u.Host != "" {
		return raw
	}
	return ""
}
