package login

import (
	"context"
	"net/http"

	"idp/internal/idp"
)

// Invitations hands invited accounts over. Implemented by *users.Accounts.
type Invitations interface {
	// AcceptInvitation is *idp.InvalidError for a field that is not accepted,
	// idp.ErrFactor for a passkey that is not, and idp.ErrConflict for an address
	// that is another account's.
	AcceptInvitation(ctx context.Context, link string, browser []byte, n idp.Newcomer) (idp.User, error)
}

// ServeInvitation is where invitations lead.
func (l *Login) ServeInvitation(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showNewcomer(byInvitation), l.acceptInvitation)
}

func (l *Login) acceptInvitation(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	if _, err := l.Accounts.AcceptInvitation(r.Context(), flow.Link, flow.Browser, newcomer(form)); err != nil {
		return l.newcomerRefused(w, r, flow, byInvitation, form, err)
	}
	return l.see(w, r, "/invitation/done", idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: flow.Browser}, nil)
}
