package users

// The first administrator, and whoever the operator at the machine makes one:
// they come by a link, not by a password that somebody chose before them.

import (
	"context"
	"fmt"

	"idp/internal/idp"
)

// AdministratorStore appoints administrators. Implemented by *store.Store.
type AdministratorStore interface {
	// Appoint uses up a link: the account of u is there from now on, or gets the
	// new password if it is there already, and is in the group of administrators.
	Appoint(ctx context.Context, l idp.Link, u idp.User, passkey *idp.FirstPasskey, events ...idp.Event) error
}

const pageAdministrator = "/setup/admin"

// AdministratorLink makes a link, good for an hour, with which the user becomes an
// administrator and chooses a new password; of nobody in particular, with which
// whoever comes first makes the first administrator's account, while there is
// none. It ends those from before.
func (a *Accounts) AdministratorLink(ctx context.Context, user idp.User) (idp.MailLink, idp.Link, error) {
	if user.ID != "" && user.State != idp.UserActive && user.State != idp.UserLocked {
		return "", idp.Link{}, idp.Invalid("user", "is "+string(user.State))
	}
	link, path := a.link(idp.LinkAdministrator, user.ID, "", pageAdministrator)
	event := a.event(ctx, idp.EventLinkCreated, user.ID, map[string]string{"link": string(link.Kind), "actor": "command"})
	if err := a.store.CreateLink(ctx, link, event); err != nil {
		return "", idp.Link{}, fmt.Errorf("users: make a link: %w", err)
	}
	return path, link, nil
}

// BecomeAdministrator uses up such a link, and returns what was proven by it. Of
// an account that was there all sessions and tokens from before end, and its
// second factors stay.
//
// Errors are those of AcceptInvitation.
func (a *Accounts) BecomeAdministrator(ctx context.Context, secret string, browser []byte, n idp.Newcomer) (idp.Registered, error) {
	// 1. Somebody with a link.
	state, err := a.arrive(ctx, secret, idp.LinkAdministrator, n)
	if err != nil {
		return idp.Registered{}, err
	}
	// 2. What they chose.
	var in settled
	if state.Link.UserID == "" {
		state.User.CreatedAt = a.now()
		state.User.UpdatedAt = state.User.CreatedAt
		in, err = a.settle(ctx, state, browser, n, idp.EventUserCreated)
	} else {
		in = settled{user: state.User, factors: []idp.Factor{idp.FactorPassword}, events: []idp.Event{
			a.event(ctx, idp.EventUserPasswordSet, state.User.ID, map[string]string{"link": string(state.Link.Kind)}),
			a.event(ctx, idp.EventSessionEnded, state.User.ID, map[string]string{"reason": "password set"}),
		}}
		in.user.PasswordHash, err = a.hasher.HashNew(ctx, state.User, n.Password)
	}
	if err != nil {
		return idp.Registered{}, err
	}
	in.events = append(in.events, a.event(ctx, idp.EventGroupChanged, in.user.ID, map[string]string{
		"target": idp.AdminGroup, "change": "member_added", "link": string(state.Link.Kind),
	}))
	// 3. Theirs, if nobody was faster.
	if err := a.store.Appoint(ctx, state.Link, in.user, in.passkey, in.events...); err != nil {
		return idp.Registered{}, a.used(ctx, state, err)
	}
	return idp.Registered{User: in.user, Factors: in.factors}, nil
}

// firstAdministrator is who the holder of a link will be: the same each time the
// page is shown.
func firstAdministrator(l idp.Link) idp.User {
	return idp.User{ID: l.ID.UUID(), State: idp.UserActive}
}
