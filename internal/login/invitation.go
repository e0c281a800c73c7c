package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"idp/internal/idp"
	"idp/web"
)

// Invitations hands invited accounts over. Implemented by *users.Accounts.
type Invitations interface {
	// AcceptInvitation is *idp.InvalidError for a field that is not accepted, and
	// idp.ErrConflict for an address that is another account's.
	AcceptInvitation(ctx context.Context, link, name, username string, password idp.Secret) (idp.User, error)
}

// ServeInvitation is where invitations lead.
func (l *Login) ServeInvitation(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showInvitation, l.acceptInvitation)
}

func (l *Login) showInvitation(w http.ResponseWriter, r *http.Request) error {
	flow, err := l.opened(w, r, "/invitation")
	if flow == nil || err != nil {
		return err
	}
	return l.invitationPage(w, r, http.StatusOK, *flow, nil)
}

// invitationPage shows the form, with what was typed before, if there was
// anything.
func (l *Login) invitationPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, typed *web.InvitationPage) error {
	state, err := l.Accounts.Look(r.Context(), flow.Link)
	if err == nil && (state.Link.Kind != idp.LinkInvitation || state.User.State != idp.UserInvited) {
		err = idp.ErrMalformed
	}
	if err != nil {
		return l.deadLink(w, r, err)
	}
	page := web.InvitationPage{Name: state.User.Profile.Name, Username: state.User.Username}
	if typed != nil {
		page = *typed
	}
	if page.Flow, err = l.Flows.SealFlow(flow); err != nil {
		return err
	}
	page.Layout = l.layoutOf(r, nil, "/invitation?flow="+url.QueryEscape(page.Flow))
	page.Email, page.MinLength = state.Link.Address, l.Accounts.PasswordMinLength()
	l.render(w, r, status, page)
	return nil
}

func (l *Login) acceptInvitation(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	page := web.InvitationPage{Name: clip(form.Get("name"), 4*idp.MaxName), Username: clip(form.Get("username"), maxUsername)}
	_, err = l.Accounts.AcceptInvitation(r.Context(), flow.Link, form.Get("name"), form.Get("username"), idp.Secret(form.Get("password")))
	var refused *idp.InvalidError
	switch {
	case err == nil:
		return l.see(w, r, "/invitation/done", idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: flow.Browser}, nil)
	case errors.As(err, &refused):
		switch refused.Field {
		case "name":
			page.NameProblem = web.Say("invitation.name_refused", "count", idp.MaxName)
		case "username":
			page.UsernameProblem = web.Say("invitation.username_refused")
		default:
			page.PasswordProblem = passwordRefused(refused)
		}
		return l.invitationPage(w, r, http.StatusUnprocessableEntity, flow, &page)
	case errors.Is(err, idp.ErrThrottled):
		page.Problem = throttled(w, err)
		return l.invitationPage(w, r, http.StatusTooManyRequests, flow, &page)
	}
	return l.addressChanged(w, r, flow, "", err)
}
