package login

import (
	"context"
	"net/http"

	"idp/internal/idp"
)

// Administrators makes people administrators. Implemented by *users.Accounts.
type Administrators interface {
	// BecomeAdministrator has the errors of AcceptInvitation.
	BecomeAdministrator(ctx context.Context, link string, browser []byte, n idp.Newcomer) (idp.Registered, error)
}

var byAppointment = beginning{idp.LinkAdministrator, "/setup/admin"}

// ServeSetupAdministrator is where the link of an administrator leads.
func (l *Login) ServeSetupAdministrator(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showNewcomer(byAppointment), l.becomeAdministrator)
}

// becomeAdministrator signs the person in, with a second factor if they have
// one, and goes on to the console.
func (l *Login) becomeAdministrator(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	made, err := l.Accounts.BecomeAdministrator(r.Context(), flow.Link, flow.Browser, newcomer(form))
	if err != nil {
		return l.newcomerRefused(w, r, flow, byAppointment, form, err)
	}
	proven := idp.Instant(l.Now()) // not before the password was set, which ends what was proven by then
	proof := &idp.Proof{UserID: made.User.ID}
	to := idp.Flow{RequestedAt: proven, Browser: flow.Browser, To: "/console"}
	return l.proved(w, r, to, made.User, proof.With(proven, made.Factors...), held)
}
