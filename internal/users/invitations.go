package users

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"idp/internal/idp"
)

// InvitationStore hands invited accounts over. Implemented by *store.Store.
type InvitationStore interface {
	AcceptInvitation(ctx context.Context, l idp.Link, u idp.User, at time.Time, events ...idp.Event) error
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
		To: user.Profile.Email, Name: user.Profile.Name, Language: user.Profile.Locale, Zone: user.Profile.Zoneinfo, UserID: user.ID,
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

// AcceptInvitation uses up an invitation. The person is not signed in by it.
//
// Errors, beside those of a link: *idp.InvalidError that names "name",
// "username" or "password", with the invitation unused; idp.ErrConflict when the
// address belongs to another account by now; *ThrottledError.
func (a *Accounts) AcceptInvitation(ctx context.Context, secret, name, username string, password idp.Secret) (idp.User, error) {
	// 1. Somebody with an invitation.
	if err := checkSize(password.Reveal()); err != nil {
		return idp.User{}, err
	}
	if err := take(ctx, a.throttle, a.now(), "link:address:"+subscriber(idp.RequestFrom(ctx).RemoteAddr), usesPerAddress); err != nil {
		return idp.User{}, err
	}
	state, err := a.look(ctx, secret, idp.LinkInvitation)
	if err != nil {
		return idp.User{}, err
	}
	user := state.User
	if user.State != idp.UserInvited {
		return idp.User{}, fmt.Errorf("users: the account is not waiting: %w", idp.ErrAlreadyUsed)
	}
	// 2. What they chose. Nobody takes a name that looks like another's address.
	user.Username, user.Profile.Name = strings.TrimSpace(username), strings.TrimSpace(name)
	if err := idp.CheckName(user.Profile.Name); err != nil {
		return idp.User{}, err
	}
	if err := idp.CheckUsername(user.Username); err != nil {
		return idp.User{}, err
	}
	if strings.Contains(user.Username, "@") && !strings.EqualFold(user.Username, state.Link.Address) {
		return idp.User{}, idp.Invalid("username", "is an address, and not the one of the invitation")
	}
	switch found, err := a.store.UserByLogin(ctx, user.Username); {
	case err == nil && found.ID != user.ID:
		return idp.User{}, idp.Invalid("username", "is taken")
	case err != nil && !errors.Is(err, idp.ErrNotFound):
		return idp.User{}, fmt.Errorf("users: accept an invitation: %w", err)
	}
	if user.PasswordHash, err = a.hasher.HashNew(ctx, user, password); err != nil {
		return idp.User{}, err
	}
	// 3. Theirs, if nobody was faster.
	if err := a.store.AcceptInvitation(ctx, state.Link, user, a.now(), a.event(ctx, idp.EventUserAccepted, user.ID, nil)); err != nil {
		return idp.User{}, a.used(ctx, state, err)
	}
	return user, nil
}
