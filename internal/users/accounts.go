package users

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"idp/internal/idp"
)

// AccountStore keeps accounts, in the parts that the files of this package
// declare. Implemented by *store.Store.
//
// Every method that takes events stores them, with their mail, in the same
// transaction, if and only if it changed something. The use of a link is decided
// by one statement: of any number at once one gets nil and the others
// idp.ErrAlreadyUsed.
type AccountStore interface {
	Finder
	RecoveryStore
	LinkStore
	EmailAddressStore
	InvitationStore
	RegistrationStore
	AdministratorStore
}

// LinkStore keeps links that people were sent. Implemented by *store.Store.
type LinkStore interface {
	CreateLink(ctx context.Context, l idp.Link, events ...idp.Event) error
	LinkState(ctx context.Context, id idp.ID) (idp.LinkState, error)
}

// Sealer makes and reads the secrets of links, and seals mail and what links
// were asked for with. Implemented by *tokens.Master.
type Sealer interface {
	LinkSealer
	MintOpaque(t idp.OpaqueToken, salt []byte) string
	ParseOpaque(kind idp.TokenKind, s string) (idp.OpaqueToken, error)
	VerifyOpaque(s string, salt []byte) bool
	SealMail(at time.Time, mail idp.Mail) (idp.SealedMail, error)
}

// AccountsConfig is what Accounts need. Every field but Logger and those of
// newcomers is needed.
type AccountsConfig struct {
	Store    AccountStore
	Sealer   Sealer
	Hasher   *Hasher
	Throttle Throttle
	Audit    Noter
	Now      func() time.Time
	Logger   *slog.Logger

	// Factors lets newcomers begin with a passkey; nil lets them have passwords
	// only.
	Factors *Factors
	// Domains are those whose addresses may register themselves: as MailDomain
	// returns them, or AnyDomain. None lets nobody.
	Domains []string
	// Terms are what newcomers have to accept.
	Terms idp.Terms
}

// Accounts decides about what people do with their accounts without an
// operator: getting in for the first time, getting back in, and their addresses. It is safe for use by many
// goroutines, on any number of nodes. Run does what nobody may wait for.
//
// A link is a path with a secret, sent to somebody. Look tells what it is good
// for and changes nothing, as often as a mail scanner likes; the method of its
// kind uses it up. A link that does not work, whatever is wrong with it, is
// idp.ErrAlreadyUsed, idp.ErrExpired, idp.ErrNotFound or idp.ErrMalformed.
type Accounts struct {
	store    AccountStore
	sealer   Sealer
	hasher   *Hasher
	throttle Throttle
	audit    Noter
	now      func() time.Time
	logger   *slog.Logger

	factors *Factors // nil for none
	domains []string
	terms   idp.Terms

	errands chan errand
}

// NewAccounts returns Accounts.
func NewAccounts(cfg AccountsConfig) *Accounts {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Accounts{
		store: cfg.Store, sealer: cfg.Sealer, hasher: cfg.Hasher, throttle: cfg.Throttle, audit: cfg.Audit,
		now: func() time.Time { return idp.Instant(cfg.Now()) }, logger: cfg.Logger,
		factors: cfg.Factors, domains: cfg.Domains, terms: cfg.Terms,
		errands: make(chan errand, maxErrands),
	}
}

// PasswordMinLength is how many characters a new password has at least.
func (a *Accounts) PasswordMinLength() int { return a.hasher.rules.minLength }

// Look returns what a link is good for. It works, now. That of somebody who
// registers has the user as they will be if they change nothing.
func (a *Accounts) Look(ctx context.Context, secret string) (idp.LinkState, error) {
	return a.look(ctx, secret)
}

// look returns the state of a link of one of the kinds; any kind if none is given.
func (a *Accounts) look(ctx context.Context, secret string, kinds ...idp.LinkKind) (idp.LinkState, error) {
	token, err := a.sealer.ParseOpaque(idp.KindLink, secret)
	if err != nil {
		return idp.LinkState{}, err
	}
	state, err := a.store.LinkState(ctx, token.ID)
	if err != nil {
		return idp.LinkState{}, fmt.Errorf("users: read a link: %w", err)
	}
	if !a.sealer.VerifyOpaque(secret, state.Link.Salt) {
		return idp.LinkState{}, idp.ErrMalformed
	}
	ok := len(kinds) == 0
	for _, kind := range kinds {
		ok = ok || state.Link.Kind == kind
	}
	if !ok {
		return idp.LinkState{}, idp.ErrMalformed
	}
	if err := state.Check(a.now()); err != nil {
		a.linkRefused(ctx, state, err)
		return idp.LinkState{}, err
	}
	if state.Link.Kind == idp.LinkRegistration {
		state.User = applicant(state.Link)
	}
	if state.Link.Kind == idp.LinkAdministrator && state.Link.UserID == "" {
		state.User = firstAdministrator(state.Link)
	}
	return state, nil
}

// linkRefused tells the audit of somebody who has a link of ours that is dead.
func (a *Accounts) linkRefused(ctx context.Context, state idp.LinkState, err error) {
	reason := "used"
	if errors.Is(err, idp.ErrExpired) {
		reason = "expired"
	}
	a.audit.Note(ctx, idp.Event{
		At: a.now(), Kind: idp.EventLinkRefused, UserID: state.Link.UserID,
		Detail: map[string]string{"link": string(state.Link.Kind), "reason": reason},
	})
}

// used is the error of a method that tried to use a link.
func (a *Accounts) used(ctx context.Context, state idp.LinkState, err error) error {
	if errors.Is(err, idp.ErrAlreadyUsed) {
		a.linkRefused(ctx, state, err)
	}
	return err
}

// link makes a link, and the path under which it is found.
func (a *Accounts) link(kind idp.LinkKind, userID, address, page string) (idp.Link, idp.MailLink) {
	return newLink(a.sealer, a.now(), kind, userID, address, page)
}

func newLink(sealer Sealer, now time.Time, kind idp.LinkKind, userID, address, page string) (idp.Link, idp.MailLink) {
	l := idp.Link{
		ID: newID(now), Kind: kind, UserID: userID, Address: address, Salt: make([]byte, 16), CreatedAt: now, ExpiresAt: now.Add(kind.Life()),
	}
	_, _ = rand.Read(l.Salt) // never fails: crypto/rand
	secret := sealer.MintOpaque(idp.OpaqueToken{Kind: idp.KindLink, ExpiresOn: idp.DayOf(l.ExpiresAt), ID: l.ID}, l.Salt)
	return l, idp.MailLink(page + "?" + url.Values{"link": {secret}}.Encode())
}

// event says what happened to an account, with the mail that tells of it.
func (a *Accounts) event(ctx context.Context, kind idp.EventKind, userID string, detail map[string]string) idp.Event {
	request, now := idp.RequestFrom(ctx), a.now()
	return idp.Event{
		ID: newID(now), At: now, Kind: kind, UserID: userID, RequestID: request.ID, RemoteAddr: request.RemoteAddr, Detail: detail,
	}
}

// telling hangs a message on an event. There is none for somebody without an
// address that is known to be theirs.
func (a *Accounts) telling(e idp.Event, u idp.User, message idp.MailMessage) (idp.Event, error) {
	mail, ok := u.Mail(message)
	if !ok {
		return e, nil
	}
	return a.mailing(e, mail)
}

func (a *Accounts) mailing(e idp.Event, mail idp.Mail) (idp.Event, error) {
	sealed, err := a.sealer.SealMail(e.At, mail)
	if err != nil {
		return e, fmt.Errorf("users: seal a mail: %w", err)
	}
	e.Mail = append(e.Mail, sealed)
	return e, nil
}
