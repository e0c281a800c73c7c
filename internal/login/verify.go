package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"idp/internal/idp"
	"idp/web"
)

// Verification uses up links about e-mail addresses. idp.ErrConflict is an
// address that is another account's. Implemented by *users.Accounts.
type Verification interface {
	VerifyEmailAddress(ctx context.Context, link string) (idp.LinkState, error)
	RestoreEmailAddress(ctx context.Context, link string) (idp.LinkState, error)
}

// ServeVerify is where the links lead with which people show that an address is
// theirs.
func (l *Login) ServeVerify(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showVerify(idp.LinkVerifyAddress, "/verify"), l.verifyAddress)
}

// ServeUndo is where the links lead that undo a change of address.
func (l *Login) ServeUndo(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showVerify(idp.LinkUndoAddress, "/verify/undo"), l.restoreAddress)
}

func (l *Login) showVerify(kind idp.LinkKind, path string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		flow, err := l.opened(w, r, path)
		if flow == nil || err != nil {
			return err
		}
		state, err := l.Accounts.Look(r.Context(), flow.Link)
		if err == nil && state.Link.Kind != kind {
			err = idp.ErrMalformed
		}
		if err != nil {
			return l.deadAddressLink(w, r, kind, err)
		}
		sealed, err := l.Flows.SealFlow(*flow)
		if err != nil {
			return err
		}
		l.render(w, r, http.StatusOK, web.VerifyPage{
			Layout: l.layoutFor(r, &state.User, path+"?flow="+url.QueryEscape(sealed)), Flow: sealed, Account: accountOnPage(state.User),
			Address: state.Link.Address, Undo: kind == idp.LinkUndoAddress,
		})
		return nil
	}
}

func (l *Login) verifyAddress(w http.ResponseWriter, r *http.Request) error {
	_, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	_, err = l.Accounts.VerifyEmailAddress(r.Context(), flow.Link)
	return l.addressChanged(w, r, flow, idp.LinkVerifyAddress, err)
}

func (l *Login) restoreAddress(w http.ResponseWriter, r *http.Request) error {
	_, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	_, err = l.Accounts.RestoreEmailAddress(r.Context(), flow.Link)
	return l.addressChanged(w, r, flow, idp.LinkUndoAddress, err)
}

func (l *Login) addressChanged(w http.ResponseWriter, r *http.Request, flow idp.Flow, kind idp.LinkKind, err error) error {
	switch {
	case err == nil:
		done := "/verify/done"
		if kind == idp.LinkUndoAddress {
			done = "/verify/undone"
		}
		return l.see(w, r, done, idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: flow.Browser}, nil)
	case errors.Is(err, idp.ErrConflict):
		l.render(w, r, http.StatusConflict, web.NoticePage{
			Layout: l.layoutOf(r, nil, ""), Title: web.Say("verify.taken_title"), Message: web.Say("verify.taken"), Problem: true,
			Next: l.base + "/", NextText: web.Say("outcome.go_on"),
		})
		return nil
	}
	return l.deadAddressLink(w, r, kind, err)
}

// deadAddressLink leads to where a person gets another link to confirm an
// address. Who could undo a change by one needs a new password now.
func (l *Login) deadAddressLink(w http.ResponseWriter, r *http.Request, kind idp.LinkKind, err error) error {
	if kind == idp.LinkVerifyAddress {
		return l.deadLink(w, r, err, web.Say("link.dead"), pathEmail, web.Say("link.again"))
	}
	return l.deadAccountLink(w, r, err)
}
