package users

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/webauthn"

	"idp/internal/idp"
)

// FactorStore keeps what people can sign in with besides the password, in the
// parts that the files of this package declare. Implemented by *store.Store.
//
// Every method that takes an event stores it in the same transaction, if and
// only if it changed something. A use is decided by one statement: of any
// number at once one gets nil and the others idp.ErrAlreadyUsed. Sessions and
// tokens from before validAfter die; the zero time keeps them.
type FactorStore interface {
	Factors(ctx context.Context, userID string) (idp.Factors, error)
	AuthenticatorStore
	RecoveryCodeStore
	PasskeyStore
	PasskeyListStore
}

// Vault keeps secrets unreadable for whoever has the database alone: sealed for
// one place, or as a keyed hash. Implemented by *tokens.Master.
type Vault interface {
	SealFactor(place string, plaintext []byte) ([]byte, error)
	OpenFactor(place string, sealed []byte) ([]byte, error)
	HashRecoveryCode(userID, code string) string
}

// FactorsConfig is what Factors need.
type FactorsConfig struct {
	Store    FactorStore
	Vault    Vault
	Throttle Throttle
	Audit    Noter
	Mail     MailSealer   // nil tells nobody of what is set up, taken away or guessed
	Logger   *slog.Logger // needed with Mail
	Issuer   string       // the issuer's URL
	// Name is what authenticators show people as the place where to sign in;
	// the issuer's host if empty.
	Name string
	Now  func() time.Time
}

// Factors decides about second factors and passkeys: it sets them up, tells
// whether one was proven, and takes them away. It is safe for use by many
// goroutines, on any number of nodes.
//
// How a page uses it:
//
//   - Of says what a person has, to offer it.
//   - VerifyCode and VerifyRecoveryCode answer a typed code with the idp.Factor
//     to add to the idp.Proof (Proof.With), or with idp.ErrFactor: show that the
//     code was not accepted and ask again. *ThrottledError says how long to
//     wait. Whose code it is comes from the proof, never from the form.
//   - Authenticators are set up by BeginAuthenticator, ResumeAuthenticator and
//     ConfirmAuthenticator; the only state in between is a sealed form field.
//   - MakeRecoveryCodes gives a new list, to be shown once.
//   - Passkeys are asked for by BeginPasskeySignIn, on the first page without a
//     user and on the second with the user of the proof; FinishPasskeySignIn
//     says who it is and which factors to add to the proof.
//   - BeginPasskeyRegistration and FinishPasskeyRegistration add a passkey;
//     BeginPasskeyUpgrade offers one after a password.
//
// Errors of the database wrap idp.ErrUnavailable and are never a refusal of
// what was typed.
type Factors struct {
	store    FactorStore
	vault    Vault
	throttle Throttle
	mail     MailSealer
	logger   *slog.Logger
	audit    Noter
	name     string
	now      func() time.Time

	rp       *webauthn.WebAuthn // nil where there are no passkeys
	rpIDHash []byte
	origin   string
}

// NewFactors returns Factors. An issuer that is no URL is an error.
func NewFactors(cfg FactorsConfig) (*Factors, error) {
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Hostname() == "" {
		return nil, idp.Invalid("issuer", "must be a URL")
	}
	f := &Factors{
		store: cfg.Store, vault: cfg.Vault, throttle: cfg.Throttle, audit: cfg.Audit, mail: cfg.Mail, logger: cfg.Logger,
		name: firstOf(cfg.Name, issuer.Hostname()), now: func() time.Time { return idp.Instant(cfg.Now()) },
	}
	if f.rp, f.origin, err = relyingParty(issuer, f.name); err != nil {
		return nil, fmt.Errorf("users: passkeys: %w", err)
	}
	if f.rp != nil {
		hash := sha256.Sum256([]byte(f.rp.Config.RPID))
		f.rpIDHash = hash[:]
	}
	return f, nil
}

// Of returns what the person can sign in with besides the password, the oldest
// first, in one round trip. The secrets in it are sealed.
func (f *Factors) Of(ctx context.Context, userID string) (idp.Factors, error) {
	factors, err := f.store.Factors(ctx, userID)
	if err != nil {
		return idp.Factors{}, fmt.Errorf("users: read factors: %w", err)
	}
	return factors, nil
}

// Why a code was not accepted; for the audit, never for the person.
const (
	reasonWrongCode = "wrong_code"
	reasonReplayed  = "replayed"
	reasonNotSetUp  = "not_set_up"
	reasonFactor    = "factor"
)

// The names of factors in audit events: those of idp.Factor.
const (
	detailFactor = "factor"
	detailReason = "reason"
	detailTarget = "target"
)

func (f *Factors) event(kind idp.EventKind, userID string, factor idp.Factor) idp.Event {
	return idp.Event{At: f.now(), Kind: kind, UserID: userID, Detail: map[string]string{detailFactor: string(factor)}}
}

// telling adds to the event a notice to the person, if there is an address that
// is known to be theirs: whoever adds a way in should not be the only one to know.
func (f *Factors) telling(ctx context.Context, event idp.Event, user idp.User, factor idp.MailFactor, change idp.MailChange) idp.Event {
	if f.mail == nil {
		return event
	}
	request := idp.RequestFrom(ctx)
	event.Mail = notice(ctx, f.mail, f.logger, event.At, &user, idp.FactorChangedMail{
		Factor: factor, Change: change, At: event.At, Device: idp.DeviceName(request.UserAgent), RemoteAddr: request.RemoteAddr,
	})
	return event
}

// attempt takes one attempt at the person's codes. All kinds of codes share
// them; passkeys, which nobody can guess, take none, so that whoever has one is
// not locked out by others' guesses. Who guesses knows the password, so the
// owner of the account is told.
func (f *Factors) attempt(ctx context.Context, user idp.User, factor idp.Factor) error {
	err := take(ctx, f.throttle, f.now(), factorKey(user.ID), perCode)
	switch {
	case errors.Is(err, idp.ErrThrottled):
		e := f.event(idp.EventLoginThrottled, user.ID, factor)
		e.Detail[detailReason] = reasonFactor
		decide(ctx, idp.RuleSignInAttempts, user.ID, idp.Fact{Name: "reason", Value: reasonFactor})
		e.Mail = f.warning(ctx, e.At, &user)
		f.audit.Note(ctx, e)
		return err
	case err != nil:
		return fmt.Errorf("users: verify a code: %w", err)
	}
	return nil
}

// warning is the notice of guessed codes: one a day, however many there are.
func (f *Factors) warning(ctx context.Context, at time.Time, user *idp.User) []idp.SealedMail {
	if f.mail == nil || take(ctx, f.throttle, at, "factor:warned:"+hashed(user.ID), perWarning) != nil {
		return nil
	}
	request := idp.RequestFrom(ctx)
	return notice(ctx, f.mail, f.logger, at, user, idp.CodesGuessedMail{
		At: at, Device: idp.DeviceName(request.UserAgent), RemoteAddr: request.RemoteAddr,
	})
}

// refuse tells the audit why, and the caller only that.
func (f *Factors) refuse(ctx context.Context, userID string, factor idp.Factor, reason string) error {
	e := f.event(idp.EventFactorFailed, userID, factor)
	e.Detail[detailReason] = reason
	f.audit.Note(ctx, e)
	decide(ctx, idp.RuleFactorCorrect, userID, idp.Fact{Name: "factor", Value: string(factor)}, idp.Fact{Name: "reason", Value: reason})
	return idp.ErrFactor
}

// accepted gives the attempts back. The person is in whatever becomes of that.
func (f *Factors) accepted(ctx context.Context, userID string) {
	_ = f.throttle.Release(ctx, factorKey(userID))
}

// factorKey names the throttle of a person's codes.
func factorKey(userID string) string { return "factor:account:" + hashed(userID) }

// seal returns a value as text for a form field that only open of the same
// place reads.
func (f *Factors) seal(place string, value any) (string, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	sealed, err := f.vault.SealFactor(place, plain)
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// open reads what seal wrote; anything else is idp.ErrMalformed.
func (f *Factors) open(place, text string, value any) error {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // the decoder skips line breaks
		return fmt.Errorf("users: sealed field: %w", idp.ErrMalformed)
	}
	plain, err := f.vault.OpenFactor(place, sealed)
	if err != nil {
		return fmt.Errorf("users: sealed field: %w", err)
	}
	if err := json.Unmarshal(plain, value); err != nil {
		return fmt.Errorf("users: sealed field: %w", idp.ErrMalformed)
	}
	return nil
}

// newID returns a time-ordered identifier.
func newID(at time.Time) idp.ID {
	var random idp.ID
	fillRandom(random[:])
	return idp.TimeOrderedID(at, random)
}

// maxFactorName is the length of the longest name of a factor, in characters.
const maxFactorName = 64

// checkFactorName returns the name that a person gave a factor, or the fallback
// for none. It is an *idp.InvalidError for what is too long or no line of text.
func checkFactorName(name, fallback string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return fallback, nil
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", idp.Invalid("name", "must be one line of text")
	case utf8.RuneCountInString(name) > maxFactorName:
		return "", idp.Invalid("name", fmt.Sprintf("is longer than %d characters", maxFactorName))
	}
	return name, nil
}
