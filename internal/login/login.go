package login

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Store keeps sessions and consents. Implemented by *store.Store.
type Store interface {
	// AuthorizationContext reads the session with all that goes with it. The
	// session may have ended: the caller checks.
	AuthorizationContext(ctx context.Context, session idp.ID, clientID string) (idp.AuthorizationContext, error)
	// CreateSession stores s and ends the session that it replaces.
	CreateSession(ctx context.Context, s idp.Session, ends idp.ID, events ...idp.Event) error
	// RenewSession gives a session that goes on another salt and a fresh
	// sign-in; idp.ErrNotFound when it has ended.
	RenewSession(ctx context.Context, s idp.Session, events ...idp.Event) error
	EndSession(ctx context.Context, id idp.ID, at time.Time, event idp.Event) error
	// SessionClients returns the clients that want to be told when the session
	// ends.
	SessionClients(ctx context.Context, session idp.ID) ([]string, error)
	SaveConsent(ctx context.Context, c idp.Consent, event idp.Event) error
}

// Authenticator checks a password. Its errors are idp.ErrCredentials,
// idp.ErrThrottled (wrapped by an error with RetryAfter() time.Duration) and
// idp.ErrUnavailable. device answers which of the user's devices the request
// comes from, nil for none: guesses from elsewhere do not hold those up.
// Implemented by *users.Service.
type Authenticator interface {
	Authenticate(ctx context.Context, username, password string, device func(idp.User) (*idp.Device, error)) (idp.User, error)
}

// Sealer makes and reads what the browser holds. Implemented by *tokens.Master.
type Sealer interface {
	SealFlow(idp.Flow) (string, error)
	OpenFlow(string) (idp.Flow, error)
	// Bind is a keyed hash of the binding cookie's value.
	Bind(secret string) []byte
	MintOpaque(t idp.OpaqueToken, salt []byte) string
	ParseOpaque(kind idp.TokenKind, s string) (idp.OpaqueToken, error)
	VerifyOpaque(s string, salt []byte) bool
}

// Describer tells what a flow asks of the person. session is nil when nobody
// is signed in. Implemented by *grants.Authorize.
type Describer interface {
	Describe(ctx context.Context, flow idp.Flow, session *idp.AuthorizationContext) (idp.Interaction, error)
}

// Accounts lets people into accounts without a session, and keeps the addresses
// that it is done by. Implemented by
// *users.Accounts.
type Accounts interface {
	Links
	Recovery
	Verification
	Addresses
	Invitations
	Newcomers
	Administrators
}

// Logos keeps the pictures of clients under their hashes. Implemented by
// *store.Store.
type Logos interface {
	ClientLogo(ctx context.Context, hash string) (idp.ClientLogo, error)
}

// Noter records events that no state change carries. Implemented by
// *audit.Recorder.
type Noter interface {
	Note(ctx context.Context, event idp.Event)
}

// Config is what a Login is made of. Every field but Registration and Logger
// is needed.
type Config struct {
	Issuer string
	// Secure is false only for an issuer on http and loopback: cookies then do
	// without the Secure attribute and the __Host- prefix.
	Secure  bool
	Store   Store
	Devices Devices
	Mail    MailSealer
	People  People
	Factors Factors
	// Enrolments is usually the same as Factors.
	Enrolments Enrolments
	Users      Authenticator
	// Own is what people change of their own accounts, and Resources puts into
	// words what they allowed.
	Own OwnAccount
	// Attributes are what the operator declared of accounts beyond the standard
	// claims.
	Attributes Attributes
	Resources  Resources
	Accounts   Accounts
	// Registration is usually the same as Accounts; nil where nobody makes an
	// account for themselves.
	Registration Registration
	Flows        Sealer
	Requests     Describer
	Clients      Clients
	Logos        Logos
	Pictures     Pictures
	// RemoteLogos has browsers load the pictures of clients without a stored one
	// from where the client says: its host then learns who signs in when.
	RemoteLogos bool
	Hints       HintVerifier
	Audit       Noter
	Now         func() time.Time
	Lifetimes   idp.Lifetimes
	Pages       *web.Pages
	Logger      *slog.Logger
}

// Login serves the pages on which people act.
//
//	ServeHome          /                        who is signed in
//	ServeLogin         /login                   user name and password, choice of account
//	ServeConsent       /consent                 what an application may have
//	ServeLogout        /logout                  the end of a session
//	ServeEndSession    /oauth2/sessions/logout  the same, asked by an application
//	ServeCheckSession  /oauth2/sessions/check   has the session changed?
//	ServeDisplay       /display                 language and theme
//	ServeLogo          /logos/                  the picture of an application
//	ServeSecondFactor  /login/second-factor     what a password is not enough without
//	ServeSetup         /setup                   which second factors there are
//	ServeSetup…        /setup/…                 setting one up
//	ServeSetupAdm…     /setup/admin             where the link of an administrator leads
//	ServeRecover       /recover                 a link for a new password, please
//	ServeNewPassword   /recover/password        where that leads
//	ServeInvitation    /invitation              where an invitation leads
//	ServeRegister      /register                an account, please
//	ServeNewAccount    /register/account        where that leads
//	ServeVerify        /verify                  where the link to a new address leads
//	ServeUndo          /verify/undo             where the link to an old address leads
//	Static             /static/                 style, script, mark
type Login struct {
	Config
	base   string // the issuer's path, without a slash at its end
	host   string
	origin string // the issuer's, as browsers spell it
}

// New returns a Login.
func New(cfg Config) *Login {
	l := &Login{Config: cfg, host: cfg.Issuer}
	if cfg.Logger == nil {
		l.Logger = slog.New(slog.DiscardHandler)
	}
	if u, err := url.Parse(cfg.Issuer); err == nil && u.Host != "" {
		l.host, l.base = u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
		l.Secure = l.Secure || u.Scheme == "https"
		l.origin = u.Scheme + "://" + strings.TrimSuffix(u.Host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	}
	return l
}

// Static serves the files that the pages refer to.
func (l *Login) Static() http.Handler { return l.Pages.Static() }

// handler serves one method of one page. What it returns becomes an error page.
type handler func(w http.ResponseWriter, r *http.Request) error

// serve is the one way in: headers first, then the method, then the errors.
func (l *Login) serve(w http.ResponseWriter, r *http.Request, show, act handler) {
	l.protect(w.Header())
	var err error
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		err = show(w, r)
	case r.Method == http.MethodPost && act != nil:
		err = act(w, r)
	default:
		allow := "GET, HEAD"
		if act != nil {
			allow += ", POST"
		}
		w.Header().Set("Allow", allow)
		err = &problem{status: http.StatusMethodNotAllowed, code: "invalid_request", message: web.Say("error.wrong_use")}
	}
	if err != nil {
		l.fail(w, r, err)
	}
}

// proven returns the session that the browser proves to hold, alive or not, and
// nil for none.
func (l *Login) proven(r *http.Request, clientID string) (*idp.AuthorizationContext, error) {
	id, proves, ok := l.Session(r)
	if !ok {
		return nil, nil
	}
	held, err := l.Store.AuthorizationContext(r.Context(), id, clientID)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !proves(held.Session.Salt):
		return nil, nil
	}
	return &held, nil
}

// visitor returns who is signed in, and nil for nobody.
func (l *Login) visitor(r *http.Request, clientID string) (*idp.AuthorizationContext, error) {
	held, err := l.proven(r, clientID)
	if err != nil || held == nil || !l.live(held) {
		return nil, err
	}
	idp.RequestFrom(r.Context()).Subject = held.User.ID
	return held, nil
}

func (l *Login) live(held *idp.AuthorizationContext) bool {
	return held.Session.Live(l.Now(), l.Lifetimes.SessionIdle) && held.User.Gate(held.Session.AuthTime) == nil
}

// goOn sends the browser back to where the next step is decided. Always 303, so
// that no browser sends a password along (RFC 9700 section 4.12).
func (l *Login) goOn(w http.ResponseWriter, r *http.Request, flow idp.Flow) error {
	if flow.Request == "" {
		http.Redirect(w, r, l.base+cmp.Or(flow.To, "/"), http.StatusSeeOther)
		return nil
	}
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	http.Redirect(w, r, l.base+"/oauth2/auth?flow="+url.QueryEscape(sealed), http.StatusSeeOther)
	return nil
}

// decideAgain leaves a flow that cannot be described any more to the
// authorization endpoint, which finds the same fault and knows whether the
// client may be told.
func (l *Login) decideAgain(w http.ResponseWriter, r *http.Request, flow idp.Flow, err error) error {
	if errors.Is(err, idp.ErrUnavailable) {
		return err
	}
	idp.RequestFrom(r.Context()).Cause = err
	flow.Shown = nil
	return l.goOn(w, r, flow)
}

// describe tells what the flow asks: of one that nobody waits for, what the
// page asks that it leads to. Who has nothing to reach that with sets it up.
func (l *Login) describe(ctx context.Context, flow idp.Flow, held *idp.AuthorizationContext) (idp.Interaction, error) {
	if flow.Request == "" {
		var interaction idp.Interaction
		if held != nil && flow.ACR != "" && !idp.ACRSatisfies(held.Session.ACR, flow.ACR) {
			interaction.ACR, interaction.SetUp = flow.ACR, true
		}
		return interaction, nil
	}
	interaction, err := l.Requests.Describe(ctx, flow, held)
	if err == nil && interaction.Client != nil {
		idp.RequestFrom(ctx).ClientID = interaction.Client.ClientID
	}
	return interaction, err
}

// clientOf reads from the request which client waits for the flow's end.
func clientOf(flow idp.Flow) string {
	parameters, err := url.ParseQuery(flow.Request)
	if err != nil {
		return ""
	}
	return parameters.Get("client_id")
}
