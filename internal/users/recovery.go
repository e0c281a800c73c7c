package users

// Getting back in without the password: a link to the address that is known to
// be the person's.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"idp/internal/idp"
)

// RecoveryStore sets passwords by links. Implemented by *store.Store.
type RecoveryStore interface {
	// ResetPassword is idp.ErrNotFound when the user may not have a new password.
	ResetPassword(ctx context.Context, l idp.Link, hash string, at time.Time, events ...idp.Event) error
}

// The page of a link for a new password.
const pageNewPassword = "/recover/password"

var (
	// recoveriesPerAccount keeps one link after the other from burying the person
	// in mail.
	recoveriesPerAccount = limit{interval: 5 * time.Minute, burst: 3}
	// usesPerAddress bounds what somebody with a link can have hashed.
	usesPerAddress = limit{interval: 6 * time.Second, burst: 20}
)

// Why nobody was sent a link; for the audit alone.
const (
	reasonNoAddress = "no_address"
	reasonInactive  = "inactive"
	reasonOverall   = "overall"
)

// Recover sends a link for a new password to the account of that name or
// verified address, if there is one. Who asks does not learn whether: all of
// that happens afterwards, in Run.
//
// Errors: *ThrottledError for too many from one address or at all, whoever they
// are for; idp.ErrUnavailable.
func (a *Accounts) Recover(ctx context.Context, login string) error {
	if err := a.admit(ctx, "recover", idp.EventRecoveryThrottled); err != nil {
		return err
	}
	return a.later(ctx, "no link for a new password was sent", func(ctx context.Context) error { return a.recover(ctx, login) })
}

func (a *Accounts) recover(ctx context.Context, login string) error {
	event := a.event(ctx, idp.EventRecoveryRequested, "", nil)
	refused := func(userID, reason string) error {
		event.UserID, event.Detail = userID, map[string]string{"reason": reason}
		a.audit.Note(ctx, event)
		return nil
	}
	// 1. Whose it is.
	if login == "" || len(login) > maxUsername || !utf8.ValidString(login) || strings.ContainsRune(login, 0) {
		return refused("", reasonUnknownUser)
	}
	user, err := a.store.UserByLogin(ctx, login)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return refused("", reasonUnknownUser)
	case err != nil:
		return err
	case user.State != idp.UserActive && user.State != idp.UserLocked:
		return refused(user.ID, reasonInactive)
	}
	// 2. Not too often.
	switch err := take(ctx, a.throttle, a.now(), "recover:account:"+hashed(user.ID), recoveriesPerAccount); {
	case errors.Is(err, idp.ErrThrottled):
		return refused(user.ID, reasonAccount)
	case err != nil:
		return err
	}
	// 3. A link to an address that is known to be the person's: the one that was
	// typed, or the primary one.
	link, path := a.link(idp.LinkReset, user.ID, "", pageNewPassword)
	mail, ok := user.Mail(idp.ResetPasswordMail{Username: user.Username, Link: path, ExpiresAt: link.ExpiresAt})
	if !strings.EqualFold(login, user.Username) {
		addresses, err := a.EmailAddresses(ctx, user.ID)
		if err != nil {
			return err
		}
		// As it was verified: what was typed may only look the same.
		if i := indexOf(addresses, login); i >= 0 && addresses[i].Verified() {
			mail.To, ok = addresses[i].Address, true
		}
	}
	if !ok {
		return refused(user.ID, reasonNoAddress)
	}
	event.UserID, event.Detail = user.ID, map[string]string{"link": string(link.Kind)}
	if event, err = a.mailing(event, mail); err != nil {
		return err
	}
	return a.store.CreateLink(ctx, link, event)
}

// HandOver makes a link that an operator hands to the person: for a new password,
// good for a quarter of an hour as idp.LinkReset, for a day as idp.LinkSetup, or
// to take an invited account over, as idp.LinkInvitation, which says nothing of
// its address. It ends those of its kind from before.
func (a *Accounts) HandOver(ctx context.Context, user idp.User, kind idp.LinkKind) (idp.MailLink, idp.Link, error) {
	page, states := pageNewPassword, []idp.UserState{idp.UserActive, idp.UserLocked}
	switch kind {
	case idp.LinkReset, idp.LinkSetup:
	case idp.LinkInvitation:
		page, states = pageInvitation, []idp.UserState{idp.UserInvited}
	default:
		return "", idp.Link{}, idp.Invalid("kind", "must be reset, setup or invitation")
	}
	if !slices.Contains(states, user.State) {
		return "", idp.Link{}, idp.Invalid("user", "is "+string(user.State))
	}
	link, path := a.link(kind, user.ID, "", page)
	actor := cmp.Or(idp.RequestFrom(ctx).Subject, idp.RequestFrom(ctx).ClientID, "command")
	event := a.event(ctx, idp.EventLinkCreated, user.ID, map[string]string{"link": string(kind), "actor": actor})
	if err := a.store.CreateLink(ctx, link, event); err != nil {
		return "", idp.Link{}, fmt.Errorf("users: make a link: %w", err)
	}
	return path, link, nil
}

// ResetPassword uses up a link for a new password. All sessions and tokens from
// before end; nobody is signed in by it, and second factors stay as they are.
//
// Errors, beside those of a link: *idp.InvalidError that names "password", with
// the link unused; *ThrottledError; idp.ErrUnavailable.
func (a *Accounts) ResetPassword(ctx context.Context, secret string, password idp.Secret) (idp.User, error) {
	// 1. Somebody with a link, who cannot have the server hash without end.
	if err := checkSize(password.Reveal()); err != nil {
		return idp.User{}, err
	}
	if err := take(ctx, a.throttle, a.now(), "link:address:"+subscriber(idp.RequestFrom(ctx).RemoteAddr), usesPerAddress); err != nil {
		return idp.User{}, err
	}
	state, err := a.look(ctx, secret, idp.LinkReset, idp.LinkSetup)
	if err != nil {
		return idp.User{}, err
	}
	// 2. The password.
	user := state.User
	hash, err := a.hasher.HashNew(ctx, user, password)
	if err != nil {
		return idp.User{}, err
	}
	// 3. Set by whoever is first, and told to the person.
	now := a.now()
	event := a.event(ctx, idp.EventUserPasswordSet, user.ID, map[string]string{"link": string(state.Link.Kind)})
	if event, err = a.telling(event, user, idp.PasswordChangedMail{At: now, RemoteAddr: event.RemoteAddr}); err != nil {
		return idp.User{}, err
	}
	events := []idp.Event{event, a.event(ctx, idp.EventSessionEnded, user.ID, map[string]string{"reason": "password set"})}
	if user.State == idp.UserLocked {
		events = append(events, a.event(ctx, idp.EventUserUnlocked, user.ID, nil))
	}
	if err := a.store.ResetPassword(ctx, state.Link, hash, now, events...); err != nil {
		return idp.User{}, a.used(ctx, state, err)
	}
	return user, nil
}
