package users

// What somebody chooses whose account begins: by an invitation, or because they
// registered.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"idp/internal/idp"
)

// Terms are what newcomers have to accept.
func (a *Accounts) Terms() idp.Terms { return a.terms }

// FirstPasskey asks for a passkey instead of a password of whoever has a link to
// an account of their own; idp.ErrNotFound where there are none. The browser is
// the flow's mark of it: the answer counts in no other.
func (a *Accounts) FirstPasskey(state idp.LinkState, browser []byte) (idp.Ceremony, error) {
	if a.factors == nil {
		return idp.Ceremony{}, fmt.Errorf("users: first passkey: %w", idp.ErrNotFound)
	}
	person := state.User
	person.Username = cmp.Or(state.Link.Address, person.Profile.Email) // what they will be called is not chosen yet
	return a.factors.BeginFirstPasskey(person, handleOf(state.Link), browser)
}

// handleOf is the name under which authenticators know who comes by the link:
// the same each time the page is shown, and told to nobody else.
func handleOf(l idp.Link) []byte {
	sum := sha256.Sum256(append([]byte("user handle\x00"), l.Salt...))
	return sum[:userHandle]
}

// arrive returns the state of the link of somebody who cannot have the server
// hash without end.
func (a *Accounts) arrive(ctx context.Context, secret string, kind idp.LinkKind, n idp.Newcomer) (idp.LinkState, error) {
	if err := checkSize(n.Password.Reveal()); err != nil {
		return idp.LinkState{}, err
	}
	if err := take(ctx, a.throttle, a.now(), "link:address:"+subscriber(idp.RequestFrom(ctx).RemoteAddr), usesPerAddress); err != nil {
		return idp.LinkState{}, err
	}
	return a.look(ctx, secret, kind)
}

// settled is a newcomer whose choice is accepted.
type settled struct {
	user    idp.User
	passkey *idp.FirstPasskey // nil with a password
	factors []idp.Factor      // proven by it
	events  []idp.Event
}

// settle checks what a newcomer chose. The event of that kind tells of it.
func (a *Accounts) settle(ctx context.Context, state idp.LinkState, browser []byte, n idp.Newcomer, kind idp.EventKind) (settled, error) {
	in := settled{user: state.User}
	// 1. The name. Nobody takes one that looks like another's address, but may keep
	// what an operator gave the account.
	in.user.Username, in.user.Profile.Name = strings.TrimSpace(n.Username), strings.TrimSpace(n.Name)
	if err := idp.CheckName(in.user.Profile.Name); err != nil {
		return settled{}, err
	}
	if err := idp.CheckUsername(in.user.Username); err != nil {
		return settled{}, err
	}
	if strings.Contains(in.user.Username, "@") && !strings.EqualFold(in.user.Username, state.Link.Address) && !strings.EqualFold(in.user.Username, state.User.Username) {
		return settled{}, idp.Invalid("username", "is an address, and not the one of the link")
	}
	switch found, err := a.store.UserByLogin(ctx, in.user.Username); {
	case err == nil && found.ID != in.user.ID:
		return settled{}, idp.Invalid("username", "is taken")
	case err != nil && !errors.Is(err, idp.ErrNotFound):
		return settled{}, fmt.Errorf("users: settle: %w", err)
	}
	// 2. The terms that hold now.
	detail := map[string]string{"with": string(idp.FactorPassword)}
	if a.terms.URL != "" {
		if n.Terms != a.terms.Version {
			return settled{}, idp.Invalid("terms", "must be accepted")
		}
		detail["terms"] = a.terms.Version
	}
	// 3. What lets them in.
	var err error
	if n.Passkey == nil {
		in.factors = []idp.Factor{idp.FactorPassword}
		in.user.PasswordHash, err = a.hasher.HashNew(ctx, in.user, n.Password)
		in.events = []idp.Event{a.event(ctx, kind, in.user.ID, detail)}
		return in, err
	}
	if a.factors == nil {
		return settled{}, idp.ErrFactor
	}
	passkey, factors, added, err := a.factors.FinishFirstPasskey(ctx, in.user, handleOf(state.Link), browser, *n.Passkey)
	detail["with"] = string(idp.FactorPasskey)
	in.passkey, in.factors, in.events = &passkey, factors, []idp.Event{a.event(ctx, kind, in.user.ID, detail), added}
	return in, err
}
