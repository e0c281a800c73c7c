package users

// People who make accounts for themselves. Until somebody shows by a link that
// an address is theirs there is no account, so that nobody takes an address from
// whose it is.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"idp/internal/idp"
)

// RegistrationStore makes the accounts of people who register. Implemented by
// *store.Store.
type RegistrationStore interface {
	Register(ctx context.Context, l idp.Link, u idp.User, passkey *idp.FirstPasskey, events ...idp.Event) error
	AppendEvents(ctx context.Context, events []idp.Event) error
}

// LinkSealer keeps what links were asked for with. Implemented by
// *tokens.Master.
type LinkSealer interface {
	SealLink(id idp.ID, plaintext []byte) ([]byte, error)
	OpenLink(id idp.ID, sealed []byte) ([]byte, error)
}

const pageRegistration = "/register/account"

// AnyDomain lets the addresses of all domains register themselves.
const AnyDomain = "*"

// registrationsPerAddress bounds the mail that strangers have sent to somebody.
var registrationsPerAddress = limit{interval: time.Hour, burst: 3}

// reasonExists is why somebody was told of the account that they have.
const reasonExists = "account_exists"

// MailDomain returns the one spelling of a domain of mail addresses, in ASCII
// and lower case (RFC 5891), and *idp.InvalidError for what is none.
func MailDomain(domain string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || ascii == "" || strings.HasPrefix(ascii, ".") || strings.HasSuffix(ascii, ".") {
		return "", idp.Invalid("domain", "must be a domain such as example.com")
	}
	return ascii, nil
}

// Domains are those whose addresses may register themselves; none for all.
func (a *Accounts) Domains() []string {
	if slices.Contains(a.domains, AnyDomain) {
		return nil
	}
	return a.domains
}

// application is what a link to register is asked for with.
type application struct {
	Language string   `json:"language,omitempty"`
	From     idp.Flow `json:"from"`
}

// Register sends a link to make an account to an address, or, if somebody has
// it, a message that says so. Who asks does not learn which: all of that happens
// afterwards, in Run. language is the one that they read, and from where they
// were when they asked.
//
// Errors: *idp.InvalidError that names "email" for what is no address, and
// "domain" for one that may not have an account, which is no secret;
// *ThrottledError for too many from one address or at all; idp.ErrUnavailable.
func (a *Accounts) Register(ctx context.Context, address, language string, from idp.Flow) error {
	address, err := a.admissible(address)
	if err != nil {
		return err
	}
	if err := a.admit(ctx, "register", idp.EventRegistrationThrottled); err != nil {
		return err
	}
	asked := application{Language: language, From: from}
	return a.later(ctx, "nobody was sent a link to make an account", func(ctx context.Context) error { return a.register(ctx, address, asked) })
}

// admissible returns the one spelling of an address that may have an account.
func (a *Accounts) admissible(address string) (string, error) {
	if err := idp.CheckMailAddress(address); err != nil {
		return "", err
	}
	at := strings.LastIndexByte(address, '@')
	local := address[:at]
	// Of letters that look alike some are compared as the same: only one of
	// those addresses could have an account.
	if strings.ContainsFunc(local, func(r rune) bool { return r > '~' }) {
		return "", idp.Invalid("email", "must have ASCII before the @")
	}
	domain, err := MailDomain(address[at+1:])
	if err != nil {
		return "", idp.Invalid("email", "has a domain that is none")
	}
	if !slices.Contains(a.domains, AnyDomain) && !slices.Contains(a.domains, domain) { // and no domain below one
		return "", idp.Invalid("domain", "may not register")
	}
	return local + "@" + domain, nil
}

func (a *Accounts) register(ctx context.Context, address string, asked application) error {
	event := a.event(ctx, idp.EventRegistrationRequested, "", nil)
	refused := func(userID, reason string) error {
		event.UserID, event.Detail = userID, map[string]string{"reason": reason}
		a.audit.Note(ctx, event)
		return nil
	}
	// 1. Whose it is.
	user, err := a.store.UserByLogin(ctx, address)
	var own *idp.EmailAddress
	switch {
	case errors.Is(err, idp.ErrNotFound):
	case err != nil:
		return err
	default:
		addresses, err := a.EmailAddresses(ctx, user.ID)
		if err != nil {
			return err
		}
		if i := indexOf(addresses, address); i >= 0 {
			own = &addresses[i]
		}
	}
	// 2. Not too often.
	switch err := take(ctx, a.throttle, a.now(), "register:to:"+hashed(strings.ToLower(address)), registrationsPerAddress); {
	case errors.Is(err, idp.ErrThrottled):
		return refused(user.ID, reasonAccount)
	case err != nil:
		return err
	}
	// 3. A message to whose it is, or a link to whoever reads mail there.
	switch {
	case own != nil && user.State == idp.UserInvited:
		return a.Invite(ctx, user, "")
	case own != nil && own.Verified() && user.State == idp.UserDisabled:
		return refused(user.ID, reasonInactive)
	case own != nil && own.Verified():
		event.UserID, event.Detail = user.ID, map[string]string{"reason": reasonExists}
		mail, _ := user.Mail(idp.AccountExistsMail{Username: user.Username})
		mail.To = own.Address
		if event, err = a.mailing(event, mail); err != nil {
			return err
		}
		return a.store.AppendEvents(ctx, []idp.Event{event})
	}
	link, path := a.link(idp.LinkRegistration, newID(a.now()).UUID(), address, pageRegistration)
	plain, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	if link.Sealed, err = a.sealer.SealLink(link.ID, plain); err != nil {
		return err
	}
	event.Detail = map[string]string{"link": string(link.Kind)}
	// No name: strangers would have their words delivered.
	event, err = a.mailing(event, idp.Mail{To: address, Language: asked.Language, Message: idp.RegistrationMail{Link: path, ExpiresAt: link.ExpiresAt}})
	if err != nil {
		return err
	}
	return a.store.CreateLink(ctx, link, event)
}

// applicant is who the holder of a link will be if they change nothing.
func applicant(l idp.Link) idp.User {
	return idp.User{
		ID: l.UserID, Username: l.Address, State: idp.UserActive, Profile: idp.Profile{Email: l.Address, EmailVerified: true},
	}
}

// CompleteRegistration uses up a link to make an account, and makes it. Its
// errors are those of AcceptInvitation.
func (a *Accounts) CompleteRegistration(ctx context.Context, secret string, browser []byte, n idp.Newcomer) (idp.Registered, error) {
	// 1. Somebody with a link, to an address that may still have an account.
	state, err := a.arrive(ctx, secret, idp.LinkRegistration, n)
	if err != nil {
		return idp.Registered{}, err
	}
	if _, err := a.admissible(state.Link.Address); err != nil {
		return idp.Registered{}, fmt.Errorf("users: the address may not register any more: %w", idp.ErrExpired)
	}
	plain, err := a.sealer.OpenLink(state.Link.ID, state.Link.Sealed)
	if err != nil {
		return idp.Registered{}, fmt.Errorf("users: complete a registration: %w", err)
	}
	var asked application
	if err := json.Unmarshal(plain, &asked); err != nil {
		return idp.Registered{}, fmt.Errorf("users: complete a registration: %w", idp.ErrMalformed)
	}
	// 2. What they chose.
	state.User.Preferences.Language, state.User.CreatedAt = asked.Language, a.now()
	state.User.UpdatedAt = state.User.CreatedAt
	in, err := a.settle(ctx, state, browser, n, idp.EventUserRegistered)
	if err != nil {
		return idp.Registered{}, err
	}
	// 3. Theirs, if nobody was faster.
	if err := a.store.Register(ctx, state.Link, in.user, in.passkey, in.events...); err != nil {
		return idp.Registered{}, a.used(ctx, state, err)
	}
	return idp.Registered{User: in.user, Factors: in.factors, From: asked.From}, nil
}
