package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// OwnAccount is what people may do to their own accounts. What belongs to
// somebody else is idp.ErrNotFound, and what cannot be is *idp.InvalidError.
// Implemented by *users.Self.
type OwnAccount interface {
	// SaveProfile is idp.ErrConflict when the account was changed meanwhile.
	SaveProfile(ctx context.Context, user idp.User, from idp.Whereabouts, change idp.ProfileChange) error
	SavePreferences(ctx context.Context, user idp.User, p idp.Preferences) error
	// SetPicture makes an uploaded file the person's picture.
	SetPicture(ctx context.Context, user idp.User, from idp.Whereabouts, file []byte) error
	RemovePicture(ctx context.Context, user idp.User, from idp.Whereabouts) error
	Export(ctx context.Context, user idp.User, from idp.Whereabouts) ([]byte, error)
	OwnDeletion
	OwnFactors
	OwnSessions
	OwnConsents
}

// Attributes knows what the operator declared of accounts beyond the standard
// claims. Implemented by *attributes.Schema.
type Attributes interface {
	Declared() []idp.Attribute
}

// OwnDeletion is about accounts that their people want deleted. Implemented by
// *users.Self.
type OwnDeletion interface {
	DeletionRule() idp.DeletionRule
	// RequestDeletion returns when the account is deleted, and ends all sessions;
	// zero where an operator does it. It is idp.ErrConflict for a second time.
	RequestDeletion(ctx context.Context, user idp.User, from idp.Whereabouts) (time.Time, error)
	// KeepAccount is idp.ErrNotFound where nobody wants anything deleted.
	KeepAccount(ctx context.Context, user idp.User, from idp.Whereabouts) error
}

// OwnFactors changes what somebody signs in with. Implemented by *users.Self.
type OwnFactors interface {
	// ChangePassword returns when the session has to be renewed with to go on.
	// Its errors are those of the sign-in.
	ChangePassword(ctx context.Context, user idp.User, from idp.Whereabouts, current, replacement string,
		device func(idp.User) (*idp.Device, error)) (time.Time, error)
	MinPassword() int
	OwnPasskeys
	OwnAuthenticators
	RecentEvents(ctx context.Context, user idp.User) ([]idp.Event, error)
}

// OwnPasskeys changes somebody's passkeys. Implemented by *users.Self.
type OwnPasskeys interface {
	RenamePasskey(ctx context.Context, user idp.User, credentialID []byte, name string) error
	// RemovePasskey ends all sessions but this one; *idp.InvalidError for the only
	// way in.
	RemovePasskey(ctx context.Context, user idp.User, from idp.Whereabouts, credentialID []byte) error
	// PasskeyProvider names what keeps the passkey, if that is known.
	PasskeyProvider(p idp.Passkey) string
}

// OwnAuthenticators changes somebody's authenticators. Implemented by
// *users.Self.
type OwnAuthenticators interface {
	RenameAuthenticator(ctx context.Context, user idp.User, id idp.ID, name string) error
	// RemoveAuthenticator ends all sessions but this one.
	RemoveAuthenticator(ctx context.Context, user idp.User, from idp.Whereabouts, id idp.ID) error
}

// OwnSessions says where somebody is signed in, and ends it. Implemented by
// *users.Self.
type OwnSessions interface {
	Sessions(ctx context.Context, user idp.User) ([]idp.Session, error)
	EndSession(ctx context.Context, user idp.User, from idp.Whereabouts, id idp.ID) error
	EndOtherSessions(ctx context.Context, user idp.User, from idp.Whereabouts) error
	TrustedDevices(ctx context.Context, user idp.User) ([]idp.Device, error)
	Distrust(ctx context.Context, user idp.User, from idp.Whereabouts, id idp.ID) error
}

// OwnConsents says what somebody allowed applications, and takes it back.
// Implemented by *users.Self.
type OwnConsents interface {
	Consents(ctx context.Context, user idp.User) ([]idp.Consent, error)
	// LastGrants is by client: when it was last given a code, or tokens for a
	// refresh token.
	LastGrants(ctx context.Context, user idp.User) (map[string]time.Time, error)
	Withdraw(ctx context.Context, user idp.User, from idp.Whereabouts, clientID string) error
}

// Resources knows the resources. Implemented by *store.Directory.
type Resources interface {
	Resource(audience string) (*idp.Resource, bool)
}

// The account pages.
const (
	pathAccount      = "/account"
	pathEmail        = "/account/email"
	pathSecurity     = "/account/security"
	pathSessions     = "/account/sessions"
	pathApplications = "/account/applications"
	pathData         = "/account/data"
	pathPicture      = "/account/picture"
)

// ServeAccount answers what people see and change of their own accounts.
func (l *Login) ServeAccount(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case pathAccount:
		l.serve(w, r, l.showProfile, l.changeProfile)
	case pathEmail:
		l.serve(w, r, l.showAddresses, l.changeAddresses)
	case pathPicture:
		l.serve(w, r, l.showPicture, l.changePicture)
	case pathSecurity:
		l.serve(w, r, l.showSecurity, l.changeSecurity)
	case pathSessions:
		l.serve(w, r, l.showSessions, l.changeSessions)
	case pathApplications:
		l.serve(w, r, l.showApplications, l.changeApplications)
	case pathData:
		l.serve(w, r, l.showData, l.takeData)
	default:
		l.FaultPage(w, r, http.StatusNotFound)
	}
}

// ServePasskeyEndpoints answers /.well-known/passkey-endpoints (W3C "A
// Well-Known URL for Relying Party Passkey Endpoints").
func (l *Login) ServePasskeyEndpoints(w http.ResponseWriter, r *http.Request) {
	l.protect(w.Header())
	if !l.Factors.PasskeysAvailable() {
		l.FaultPage(w, r, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"enroll":"` + l.Issuer + `/setup/passkey","manage":"` + l.Issuer + pathSecurity + `"}` + "\n"))
}

// visit is somebody at a page of their own account.
type visit struct {
	held    *idp.AuthorizationContext
	factors idp.Factors
	// confirmed says that the person has proven a moment ago, with all they
	// have, who they are.
	confirmed bool
	browser   []byte // to which flows are bound, once the page has its frame
}

// from says where the person does what they do.
func (l *Login) from(r *http.Request, v *visit) idp.Whereabouts {
	from := idp.Whereabouts{Session: v.held.Session}
	if device, err := l.Pages.Plain(l.language(r, &v.held.User), deviceInWords(idp.RequestFrom(r.Context()).UserAgent)); err == nil {
		from.Device = device
	}
	return from
}

// visiting finds out who is at the page. It is nil when the browser was sent to
// sign in first.
func (l *Login) visiting(w http.ResponseWriter, r *http.Request) (*visit, error) {
	held, err := l.visitor(r, "")
	if err != nil {
		return nil, err
	}
	if held == nil {
		return nil, l.see(w, r, "/login", idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r), To: r.URL.Path}, nil)
	}
	v := &visit{held: held}
	if v.factors, err = l.Factors.Of(r.Context(), held.User.ID); err != nil {
		return nil, err
	}
	v.confirmed = l.confirmed(held, &v.factors)
	return v, nil
}

// acting is the gate of all forms of the account: a form of ours, in this
// browser, shown to the person who is signed in now. A dangerous one takes a
// sign-in of a moment ago. visit is nil when the browser was sent elsewhere.
func (l *Login) acting(w http.ResponseWriter, r *http.Request, dangerous func(url.Values) bool) (url.Values, *visit, error) {
	form, flow, err := l.submitted(w, r)
	if expired, ok := errors.AsType[*expiredFlow](err); ok {
		flow, err = expired.flow, nil // what was typed is good for as long as the session is
	}
	if err != nil {
		return nil, nil, err
	}
	v, err := l.visiting(w, r)
	switch {
	case v == nil || err != nil:
		return nil, nil, err
	case flow.AccountChosen != v.held.Session.ID.String():
		return nil, nil, l.backToPage(w, r, "changed")
	case form.Get("action") == "confirm" || !v.confirmed && dangerous(form):
		return nil, nil, l.confirm(w, r, v.held, &v.factors, idp.Flow{To: r.URL.Path})
	}
	return form, v, nil
}

func always(url.Values) bool { return true }
func never(url.Values) bool  { return false }

// confirmed reports whether the sign-in is recent, and made with a second
// factor by whoever has one: a trusted device does not stand in for it here.
func (l *Login) confirmed(held *idp.AuthorizationContext, factors *idp.Factors) bool {
	return l.recent(held) && (idp.ACRSatisfies(held.Session.ACR, idp.ACRMultiFactor) || !l.reaches(factors, idp.ACRMultiFactor))
}

func (l *Login) recent(held *idp.AuthorizationContext) bool {
	return l.Now().Sub(held.Session.AuthTime) <= freshness
}

// confirm sends the browser to prove what is missing, and to come back to
// where the flow leads.
func (l *Login) confirm(w http.ResponseWriter, r *http.Request, held *idp.AuthorizationContext, factors *idp.Factors, flow idp.Flow) error {
	flow.RequestedAt = idp.Instant(l.Now())
	if flow.Browser == nil {
		flow.Browser = l.Bind(w, r)
	}
	flow.Fresh = held == nil || !l.recent(held)
	if held != nil && l.reaches(factors, idp.ACRMultiFactor) {
		flow.ACR = idp.ACRMultiFactor
	}
	return l.see(w, r, "/login", flow, nil)
}

// backToPage shows the page anew, with word of what happened.
func (l *Login) backToPage(w http.ResponseWriter, r *http.Request, done string) error {
	to := l.base + r.URL.Path
	if done != "" {
		to += "?done=" + done
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// frame is what all pages of the account have in common.
func (l *Login) frame(w http.ResponseWriter, r *http.Request, v *visit, section string) (web.Frame, error) {
	v.browser = l.Bind(w, r)
	sealed, err := l.Flows.SealFlow(idp.Flow{
		RequestedAt: idp.Instant(l.Now()), Browser: v.browser, AccountChosen: v.held.Session.ID.String(),
	})
	f := web.Frame{
		Layout: l.layoutOf(r, v.held, r.URL.Path), Account: accountOnPage(v.held.User), Flow: sealed, Section: section,
		Confirmed: v.confirmed,
	}
	if r.Method == http.MethodPost {
		return f, err // it says itself how it went
	}
	switch r.URL.Query().Get("done") {
	case "changed":
		f.Problem = web.Say("own.changed")
	case "saved":
		f.Done = web.Say("own.saved")
	case "sent":
		f.Done = web.Say("addresses.sent")
	case "preferred":
		f.Done = web.Say("addresses.preferred")
	case "address-removed":
		f.Done = web.Say("addresses.removed")
	case "deletion":
		f.Done = web.Say("data.deletion_noted")
	case "kept":
		f.Done = web.Say("data.kept")
	case "picture":
		f.Done = web.Say("profile.picture_saved")
	case "picture-removed":
		f.Done = web.Say("profile.picture_removed")
	case "password":
		f.Done = web.Say("security.password_done")
	case "renamed":
		f.Done = web.Say("security.renamed")
	case "removed", "passkey-removed":
		f.Done = web.Say("security.removed")
	case "ended":
		f.Done = web.Say("sessions.ended")
	case "others":
		f.Done = web.Say("sessions.others_ended")
	case "distrusted":
		f.Done = web.Say("sessions.distrusted")
	case "withdrawn":
		f.Done = web.Say("applications.withdrawn")
	}
	return f, err
}

// unknown is a thing on a form that is not the person's, or not any more.
func unknown(err error) error {
	if errors.Is(err, idp.ErrNotFound) {
		return &problem{http.StatusNotFound, "not_found", web.Say("own.not_found")}
	}
	return err
}

// idOf reads an identifier from a form.
func idOf(form url.Values) (idp.ID, error) {
	id, err := idp.ParseID(form.Get("id"))
	if err != nil {
		return id, unknown(idp.ErrNotFound)
	}
	return id, nil
}

// zone is where the person lives, for the times on their pages.
func zone(user idp.User) *time.Location {
	if user.Profile.Zoneinfo == "" || strings.EqualFold(user.Profile.Zoneinfo, "local") {
		return time.UTC
	}
	if place, err := time.LoadLocation(user.Profile.Zoneinfo); err == nil {
		return place
	}
	return time.UTC
}

// deviceInWords is what a browser says of itself, in words for people.
func deviceInWords(userAgent string) *web.Text {
	browser, system := idp.DescribeUserAgent(userAgent)
	switch {
	case browser != "" && system != "":
		return web.Say("own.browser_on_system", "browser", browser, "system", system)
	case browser+system != "":
		return web.Verbatim(browser + system)
	}
	return web.Say("own.unknown_browser")
}
