package login

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

// Addresses keeps the e-mail addresses of accounts. An address is good for
// something once its person has opened the link that was sent there; whether it
// is somebody else's shows in no answer. Implemented by *users.Accounts.
type Addresses interface {
	EmailAddresses(ctx context.Context, userID string) ([]idp.EmailAddress, error)
	// AddEmailAddress sends another link to an address that is there and not
	// verified; idp.ErrConflict is one that is.
	AddEmailAddress(ctx context.Context, user idp.User, address string) error
	// SetPrimaryEmailAddress tells the address from before, which can undo it;
	// idp.ErrThrottled, as of AddEmailAddress, is too many messages.
	SetPrimaryEmailAddress(ctx context.Context, user idp.User, address string) error
	RemoveEmailAddress(ctx context.Context, userID, address string) error
}

func (l *Login) showAddresses(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	return l.addressesPage(w, r, http.StatusOK, v, web.AddressesPage{})
}

// addressesPage shows the addresses, and what came of the form before.
func (l *Login) addressesPage(w http.ResponseWriter, r *http.Request, status int, v *visit, page web.AddressesPage) error {
	problem := page.Problem
	var err error
	if page.Frame, err = l.frame(w, r, v, "email"); err != nil {
		return err
	}
	if problem != nil {
		page.Problem = problem
	}
	addresses, err := l.Accounts.EmailAddresses(r.Context(), v.held.User.ID)
	if err != nil {
		return err
	}
	place := zone(v.held.User)
	for _, a := range addresses {
		page.Addresses = append(page.Addresses, web.OwnAddress{
			Address: a.Address, Primary: a.Primary, Verified: a.Verified(), CreatedAt: a.CreatedAt.In(place), VerifiedAt: a.VerifiedAt.In(place),
		})
	}
	l.render(w, r, status, page)
	return nil
}

// changeAddresses takes a recent sign-in for all it does: whoever has an
// address of the account gets into it.
func (l *Login) changeAddresses(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, always)
	if v == nil || err != nil {
		return err
	}
	address := strings.TrimSpace(form.Get("email"))
	switch form.Get("action") {
	case "add":
		return l.addAddress(w, r, v, address)
	case "prefer":
		err := l.Accounts.SetPrimaryEmailAddress(r.Context(), v.held.User, address)
		switch {
		case errors.Is(err, idp.ErrThrottled):
			idp.RequestFrom(r.Context()).Cause = err
			return l.addressesPage(w, r, http.StatusTooManyRequests, v, web.AddressesPage{Frame: web.Frame{Problem: throttled(w, err)}})
		case err != nil:
			return unknown(err)
		}
		return l.backToPage(w, r, "preferred")
	case "remove":
		if err := l.Accounts.RemoveEmailAddress(r.Context(), v.held.User.ID, address); err != nil {
			return unknown(err)
		}
		return l.backToPage(w, r, "address-removed")
	}
	return l.backToPage(w, r, "")
}

func (l *Login) addAddress(w http.ResponseWriter, r *http.Request, v *visit, address string) error {
	err := l.Accounts.AddEmailAddress(r.Context(), v.held.User, address)
	status, page := http.StatusUnprocessableEntity, web.AddressesPage{Typed: clip(address, maxUsername)}
	var invalid *idp.InvalidError
	switch {
	case err == nil:
		return l.backToPage(w, r, "sent")
	case errors.As(err, &invalid) && invalid.Limit > 0:
		page.AddressProblem = web.Say("addresses.too_many", "count", invalid.Limit)
	case errors.As(err, &invalid):
		page.AddressProblem = web.Say("addresses.unusable")
	case errors.Is(err, idp.ErrConflict):
		page.AddressProblem = web.Say("addresses.present")
	case errors.Is(err, idp.ErrThrottled):
		status, page.AddressProblem = http.StatusTooManyRequests, throttled(w, err)
	default:
		return err
	}
	idp.RequestFrom(r.Context()).Cause = err
	return l.addressesPage(w, r, status, v, page)
}
