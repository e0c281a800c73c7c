package users

import (
	"context"
	"fmt"
	"time"

	"idp/internal/idp"
)

// InvitationStore hands invited accounts over. Implemented by *store.Store.
type InvitationStore interface {
	AcceptInvitation(ctx context.Context, l idp.Link, u idp.User, passkey *idp.FirstPasskey, at time.Time, events ...idp.Event) error
}

const pageInvitation = "/invitation"

// Invite sends an invitation to take an invited account over to its address,
// which ends the one from before. by is whose name it bears, or empty.
func (a *Accounts) Invite(ctx context.Context, user idp.User, by string) error {
	if user.State != idp.UserInvited {
		return idp.Invalid("user", "is not invited but "+string(user.State))
	}
	link, path := a.link(idp.LinkInvitation, user.ID, user.Profile.Email, pageInvitation)
	event, err := a.mailing(a.event(ctx, idp.EventUserInvited, user.ID, nil), idp.Mail{
		To: user.Profile.Email, Name: user.Profile.Name, Language: user.Language(), Zone: user.Profile.Zoneinfo, UserID: user.ID,
		Message: idp.InvitationMail{InvitedBy: by, Link: path, ExpiresAt: link.ExpiresAt},
	})
	if err != nil {
		return err
	}
	if err := a.store.CreateLink(ctx, link, event); err != nil {
		return fmt.Errorf("users: invite: %w", err)
	}
	return nil
}

// AcceptInvitation uses up an invitation. The person is not signed in by it. The
// browser is that of FirstPasskey.
//
// Errors, beside those of a link: *idp.InvalidError that names "name",
// "username", "password" or "terms", and idp.ErrFactor for a passkey that was not
// accepted, with the invitation unused; idp.ErrConflict when the address belongs
// to another account by now; *ThrottledError.
func (a *Accounts) AcceptInvitation(ctx context.Context, secret string, browser []byte, n idp.Newcomer) (idp.User, error) {
	// 1. Somebody with an invitation.
	state, err := a.arrive(ctx, secret, idp.LinkInvitation, n)
	if err != nil {
		return idp.User{}, err
	}
	if state.User.State != idp.UserInvited {
		return idp.User{}, fmt.Errorf("users: the account is not waiting: %w", idp.ErrAlreadyUsed)
	}
	// 2. What they chose.
	in, err := a.settle(ctx, state, browser, n, idp.EventUserAccepted)
	if err != nil {
		return idp.User{}, err
	}
	// 3. Theirs, if nobody was faster.
	if err := a.store.AcceptInvitation(ctx, state.Link, in.user, in.passkey, a.now(), in.events...); err != nil {
		return idp.User{}, a.used(ctx, state, err)
	}
	return in.user, nil
}
