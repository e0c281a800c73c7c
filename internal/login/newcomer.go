package login

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"idp/internal/idp"
	"idp/web"
)

// Newcomers are people whose account begins. Implemented by *users.Accounts.
type Newcomers interface {
	// Terms are what they have to accept.
	Terms() idp.Terms
	// FirstPasskey asks for a passkey instead of a password; idp.ErrNotFound where
	// there are none.
	FirstPasskey(state idp.LinkState, browser []byte) (idp.Ceremony, error)
}

// beginning is how an account begins: by an invitation, or because its person
// registered. Both end on one page, where they choose what the account is like.
type beginning struct {
	kind idp.LinkKind
	path string
}

var (
	byInvitation   = beginning{idp.LinkInvitation, "/invitation"}
	byRegistration = beginning{idp.LinkRegistration, "/register/account"}
)

func (l *Login) showNewcomer(b beginning) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		flow, err := l.opened(w, r, b.path)
		if flow == nil || err != nil {
			return err
		}
		return l.newcomerPage(w, r, http.StatusOK, *flow, b, nil)
	}
}

// newcomerPage shows the form, with what was typed before, if there was
// anything.
func (l *Login) newcomerPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, b beginning, typed *web.InvitationPage) error {
	state, err := l.Accounts.Look(r.Context(), flow.Link)
	if err == nil && (state.Link.Kind != b.kind || b == byInvitation && state.User.State != idp.UserInvited) {
		err = idp.ErrMalformed
	}
	if err != nil {
		return l.deadBeginning(w, r, b, err)
	}
	page := web.InvitationPage{Name: state.User.Profile.Name, Username: state.User.Username}
	if typed != nil {
		page = *typed
	}
	if page.Flow, err = l.Flows.SealFlow(flow); err != nil {
		return err
	}
	page.Administers, page.Fixed = b == byAppointment, b == byAppointment && state.Link.UserID != ""
	ceremony, err := l.Accounts.FirstPasskey(state, flow.Browser)
	switch {
	case page.Fixed: // whoever is there already adds passkeys to those that they have
		page.Name, page.Username, err = "", state.User.Username, nil
	case err == nil:
		page.Passkey = &web.Passkey{Options: string(ceremony.Options), State: ceremony.Sealed}
	case !errors.Is(err, idp.ErrNotFound):
		return err
	}
	terms := l.Accounts.Terms()
	page.Layout = l.layoutFor(r, &state.User, b.path+"?flow="+url.QueryEscape(page.Flow))
	page.Registers, page.Email, page.MinLength = b == byRegistration, cmp.Or(state.Link.Address, state.User.Profile.Email), l.Accounts.PasswordMinLength()
	page.Terms, page.TermsVersion = terms.URL, terms.Version
	if b == byRegistration {
		allowRedirects(w.Header()) // back to the application that waits
	}
	l.render(w, r, status, page)
	return nil
}

// newcomer reads the form.
func newcomer(form url.Values) idp.Newcomer {
	n := idp.Newcomer{
		Name: form.Get("name"), Username: form.Get("username"), Password: idp.Secret(form.Get("password")), Terms: form.Get("terms"),
	}
	if response := form.Get(passkeyResponse); response != "" {
		n.Passkey = &idp.PasskeyAnswer{Sealed: form.Get(passkeyState), Response: []byte(response)}
	}
	return n
}

// newcomerRefused shows the form again with what is wrong in it.
func (l *Login) newcomerRefused(w http.ResponseWriter, r *http.Request, flow idp.Flow, b beginning, form url.Values, err error) error {
	terms := l.Accounts.Terms()
	page := web.InvitationPage{
		Name: clip(form.Get("name"), 4*idp.MaxName), Username: clip(form.Get("username"), maxUsername),
		TermsAccepted: terms.URL != "" && form.Get("terms") == terms.Version,
	}
	status := http.StatusUnprocessableEntity
	var refused *idp.InvalidError
	switch {
	case errors.As(err, &refused):
		switch refused.Field {
		case "name":
			page.NameProblem = web.Say("invitation.name_refused", "count", idp.MaxName)
		case "username":
			page.UsernameProblem = web.Say("invitation.username_refused")
		case "terms":
			page.TermsProblem = web.Say("newcomer.terms_refused")
		default:
			page.PasswordProblem = passwordRefused(refused)
		}
	case errors.Is(err, idp.ErrFactor):
		page.Problem = web.Say("passkey.refused")
	case errors.Is(err, idp.ErrThrottled):
		status, page.Problem = http.StatusTooManyRequests, throttled(w, err)
	case errors.Is(err, idp.ErrConflict):
		l.render(w, r, http.StatusConflict, web.NoticePage{
			Layout: l.layoutOf(r, nil, ""), Title: web.Say("verify.taken_title"), Message: web.Say("newcomer.taken"), Problem: true,
			Next: l.base + "/login", NextText: web.Say("outcome.sign_in"),
		})
		return nil
	default:
		return l.deadBeginning(w, r, b, err)
	}
	return l.newcomerPage(w, r, status, flow, b, &page)
}

// deadBeginning is the page for a link to an account that does not work. Whoever
// has such a link has no account to get back into.
func (l *Login) deadBeginning(w http.ResponseWriter, r *http.Request, b beginning, err error) error {
	if b == byAppointment {
		return l.deadLink(w, r, err, web.Say("link.dead_administrator"), "/login", web.Say("outcome.sign_in"))
	}
	if b == byRegistration {
		return l.deadLink(w, r, err, web.Say("link.dead"), "/register", web.Say("link.again"))
	}
	return l.deadLink(w, r, err, web.Say("link.dead_invitation"), "/login", web.Say("outcome.sign_in"))
}
