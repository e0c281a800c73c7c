package users

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// EmailAddressStore keeps the addresses of accounts. Implemented by
// *store.Store.
type EmailAddressStore interface {
	EmailAddresses(ctx context.Context, userID string) ([]idp.EmailAddress, error)
	AddEmailAddress(ctx context.Context, userID string, a idp.EmailAddress, events ...idp.Event) error
	RemoveEmailAddress(ctx context.Context, userID, address string, event idp.Event) error
	SetPrimaryEmailAddress(ctx context.Context, userID, address string, at time.Time, undo *idp.Link, events ...idp.Event) error
	AddressLinkStore
}

// AddressLinkStore does what links about addresses are good for. Implemented by
// *store.Store.
type AddressLinkStore interface {
	VerifyEmailAddress(ctx context.Context, l idp.Link, at time.Time, events ...idp.Event) error
	RestoreEmailAddress(ctx context.Context, l idp.Link, at time.Time, events ...idp.Event) error
}

// The pages of links about addresses.
const (
	pageVerify = "/verify"
	pageUndo   = "/verify/undo"
)

// maxAddresses is how many addresses an account has at most.
const maxAddresses = 10

var (
	verificationsPerAccount = limit{interval: time.Minute, burst: 5}
	verificationsPerAddress = limit{interval: time.Hour, burst: 3} // of mail, whoever asks
	changesPerAccount       = limit{interval: 10 * time.Minute, burst: 5}
)

// EmailAddresses returns a person's addresses, the primary one first.
func (a *Accounts) EmailAddresses(ctx context.Context, userID string) ([]idp.EmailAddress, error) {
	addresses, err := a.store.EmailAddresses(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("users: read addresses: %w", err)
	}
	return addresses, nil
}

// AddEmailAddress adds an address to an account and sends a link there, with
// which the person shows that it is theirs. Until then it is good for nothing.
// One that is there and not verified is sent another link. The answer is the
// same for an address that is somebody else's.
//
// Errors: *idp.InvalidError; idp.ErrConflict for one that is verified already;
// *ThrottledError; idp.ErrUnavailable.
func (a *Accounts) AddEmailAddress(ctx context.Context, user idp.User, address string) error {
	if err := idp.CheckMailAddress(address); err != nil {
		return err
	}
	addresses, err := a.EmailAddresses(ctx, user.ID)
	if err != nil {
		return err
	}
	at := indexOf(addresses, address)
	switch {
	case at >= 0 && addresses[at].Verified():
		return fmt.Errorf("users: the address is verified: %w", idp.ErrConflict)
	case at < 0 && len(addresses) >= maxAddresses:
		return &idp.InvalidError{Field: "email", Reason: fmt.Sprintf("an account has at most %d addresses", maxAddresses), Limit: maxAddresses}
	}
	if at >= 0 {
		address = addresses[at].Address // what was typed may only look the same
	}
	for _, l := range []struct {
		key   string
		limit limit
	}{
		{"verify:account:" + hashed(user.ID), verificationsPerAccount},
		{"verify:to:" + hashed(strings.ToLower(address)), verificationsPerAddress},
	} {
		if err := take(ctx, a.throttle, a.now(), l.key, l.limit); err != nil {
			return err
		}
	}
	link, path := a.link(idp.LinkVerifyAddress, user.ID, address, pageVerify)
	sent, err := a.mailing(a.event(ctx, idp.EventLinkCreated, user.ID, map[string]string{"link": string(link.Kind)}), idp.Mail{
		To: address, Name: user.DisplayName(), Language: user.Language(), Zone: user.Profile.Zoneinfo, UserID: user.ID,
		Message: idp.VerifyAddressMail{Link: path, ExpiresAt: link.ExpiresAt},
	})
	if err != nil {
		return err
	}
	if at < 0 {
		added := a.event(ctx, idp.EventAddressAdded, user.ID, nil)
		if err := a.store.AddEmailAddress(ctx, user.ID, idp.EmailAddress{Address: address, CreatedAt: a.now()}, added); err != nil && !errors.Is(err, idp.ErrConflict) {
			return fmt.Errorf("users: add an address: %w", err)
		}
	}
	if err := a.store.CreateLink(ctx, link, sent); err != nil {
		return fmt.Errorf("users: add an address: %w", err)
	}
	return nil
}

// VerifyEmailAddress uses up a link that shows that an address is the person's.
// The primary one is told, as the other lets its reader choose a new password.
// Beside the errors of a link, idp.ErrConflict says that the address is another
// account's.
func (a *Accounts) VerifyEmailAddress(ctx context.Context, secret string) (idp.LinkState, error) {
	state, err := a.look(ctx, secret, idp.LinkVerifyAddress)
	if err != nil {
		return idp.LinkState{}, err
	}
	event, err := a.telling(a.event(ctx, idp.EventAddressVerified, state.Link.UserID, nil), state.User, idp.AddressAddedMail{
		NewAddress: state.Link.Address, At: a.now(),
	})
	if err != nil {
		return idp.LinkState{}, err
	}
	if err := a.store.VerifyEmailAddress(ctx, state.Link, a.now(), event); err != nil {
		return idp.LinkState{}, a.used(ctx, state, err)
	}
	return state, nil
}

// SetPrimaryEmailAddress makes a verified address the one that mail goes to and
// that applications are told. The one from before is told, with a link to undo
// it. idp.ErrNotFound is an address that is not there or not verified;
// *ThrottledError says that there were too many messages about that.
func (a *Accounts) SetPrimaryEmailAddress(ctx context.Context, user idp.User, address string) error {
	addresses, err := a.EmailAddresses(ctx, user.ID)
	if err != nil {
		return err
	}
	at := indexOf(addresses, address)
	if at < 0 || !addresses[at].Verified() {
		return fmt.Errorf("users: no such verified address: %w", idp.ErrNotFound)
	}
	if addresses[at].Primary {
		return nil
	}
	if err := take(ctx, a.throttle, a.now(), "prefer:account:"+hashed(user.ID), changesPerAccount); err != nil {
		return err
	}
	now, event := a.now(), a.event(ctx, idp.EventAddressPreferred, user.ID, nil)
	var undo *idp.Link
	if user.Profile.EmailVerified {
		link, path := a.link(idp.LinkUndoAddress, user.ID, user.Profile.Email, pageUndo)
		undo = &link
		if event, err = a.telling(event, user, idp.AddressChangedMail{
			NewAddress: addresses[at].Address, At: now, Undo: path, ExpiresAt: link.ExpiresAt,
		}); err != nil {
			return err
		}
	}
	if err := a.store.SetPrimaryEmailAddress(ctx, user.ID, address, now, undo, event); err != nil {
		return fmt.Errorf("users: change the primary address: %w", err)
	}
	return nil
}

// RestoreEmailAddress uses up the link that an address was sent when it ceased
// to be the primary one. It is that again, the account has no other, and all
// sessions and tokens have ended: whoever changed it may know the password.
// Beside the errors of a link, idp.ErrConflict says that the address is another
// account's by now.
func (a *Accounts) RestoreEmailAddress(ctx context.Context, secret string) (idp.LinkState, error) {
	state, err := a.look(ctx, secret, idp.LinkUndoAddress)
	if err != nil {
		return idp.LinkState{}, err
	}
	err = a.store.RestoreEmailAddress(ctx, state.Link, a.now(), a.event(ctx, idp.EventAddressRestored, state.Link.UserID, nil),
		a.event(ctx, idp.EventSessionEnded, state.Link.UserID, map[string]string{"reason": "address restored"}))
	if err != nil {
		return idp.LinkState{}, a.used(ctx, state, err)
	}
	return state, nil
}

// RemoveEmailAddress takes an address away; the primary one, and one that is not
// there, are idp.ErrNotFound.
func (a *Accounts) RemoveEmailAddress(ctx context.Context, userID, address string) error {
	if err := a.store.RemoveEmailAddress(ctx, userID, address, a.event(ctx, idp.EventAddressRemoved, userID, nil)); err != nil {
		return fmt.Errorf("users: remove an address: %w", err)
	}
	return nil
}

func indexOf(addresses []idp.EmailAddress, address string) int {
	key := strings.ToLower(address) // as the store compares them, which EqualFold does not
	return slices.IndexFunc(addresses, func(a idp.EmailAddress) bool { return strings.ToLower(a.Address) == key })
}
