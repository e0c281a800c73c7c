package login

import (
	"errors"
	"net/http"

	"idp/internal/idp"
	"idp/web"
)

// ServeLogout asks whether to sign out, and does it only on a POST of its form.
func (l *Login) ServeLogout(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showLogout, l.signOut)
}

func (l *Login) showLogout(w http.ResponseWriter, r *http.Request) error {
	held, err := l.visitor(r, "")
	if err != nil {
		return err
	}
	flow := idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r)}
	if held == nil {
		return l.goOn(w, r, flow)
	}
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	l.render(w, r, http.StatusOK, web.LogoutPage{
		Layout: l.layout("Sign out?"), Account: accountOnPage(held.User), Flow: sealed,
	})
	return nil
}

func (l *Login) signOut(w http.ResponseWriter, r *http.Request) error {
	_, flow, err := l.submitted(w, r)
	if errors.Is(err, errFlowExpired) {
		http.Redirect(w, r, l.base+"/logout", http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	// The cookie goes only when the session has gone: whoever cannot be signed
	// out now must be able to try again.
	if held != nil {
		now := idp.Instant(l.Now())
		ended := event(r, idp.EventSessionEnded, now)
		ended.UserID, ended.SessionID = held.User.ID, held.Session.ID.String()
		ended.Detail = map[string]string{"reason": "signed_out"}
		if err := l.Store.EndSession(r.Context(), held.Session.ID, now, ended); err != nil {
			return err
		}
	}
	l.dropCookie(w, sessionCookie)
	return l.goOn(w, r, flow)
}
