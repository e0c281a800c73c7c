package idp

import "errors"

// What the domain can say. Packages below wrap these with %w; callers ask with
// errors.Is, never by text.
var (
	// ErrNotFound says that no such thing exists, or that it may not be seen.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that a name or identifier is taken, or that the thing
	// changed since it was read.
	ErrConflict = errors.New("conflict")
	// ErrChanged is the ErrConflict with somebody who was faster.
	ErrChanged error = changed{}
	// ErrAlreadyUsed says that a single-use thing lost its one use to somebody
	// else: a code, a refresh generation.
	ErrAlreadyUsed = errors.New("already used")
	// ErrExpired says that a thing was good and is no longer.
	ErrExpired = errors.New("expired")
	// ErrMalformed says that a token, handle or document cannot have come from
	// this issuer.
	ErrMalformed = errors.New("malformed")
	// ErrUnavailable says that a dependency is away: try again later. It must
	// never be answered as a refusal of the caller's credentials.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrThrottled says that too many attempts were made. An error that wraps it
	// and has RetryAfter() time.Duration says how long to wait.
	ErrThrottled = errors.New("too many attempts")
	// ErrForbidden says that it is known who asks, and that they may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrCredentials says that user name or password is wrong, without saying
	// which.
	ErrCredentials = errors.New("user name or password is wrong")
	// ErrFactor says that a code or the answer of a passkey does not prove what
	// it should, without saying why.
	ErrFactor = errors.New("the code or passkey was not accepted")
)

type changed struct{}

func (changed) Error() string { return ErrConflict.Error() }
func (changed) Unwrap() error { return ErrConflict }

// InvalidError says which field of an input is wrong and why, in words for the
// person who typed it.
type InvalidError struct {
	Field  string // the RFC's name of the field, e.g. "redirect_uris"
	Reason string // one sentence without a capital or a full stop
	// Rule is what a new password breaks, for pages that say it in the person's
	// language; empty for all else. Limit is how much there may be, where that is
	// the reason.
	Rule  PasswordRule
	Limit int
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

// PasswordRule is a rule that new passwords are judged by.
type PasswordRule string

// The rules for new passwords.
const (
	PasswordTooShort PasswordRule = "too_short" // fewer than Limit characters
	PasswordTooLong  PasswordRule = "too_long"  // more than Limit bytes
	PasswordUnusable PasswordRule = "unusable"  // not text
	PasswordRepeated PasswordRule = "repeated"  // a few characters over and over
	PasswordSequence PasswordRule = "sequence"  // a row of keys, letters or digits
	PasswordPersonal PasswordRule = "personal"  // the person's names
	PasswordService  PasswordRule = "service"   // this service's names
	PasswordCommon   PasswordRule = "common"    // among those that are tried first
	PasswordBreached PasswordRule = "breached"  // leaked elsewhere
)

// Invalid returns an InvalidError.
func Invalid(field, reason string) error { return &InvalidError{Field: field, Reason: reason} }

// Faults returns all that an error says of an input, field by field.
func Faults(err error) []*InvalidError {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []*InvalidError
		for _, e := range joined.Unwrap() {
			all = append(all, Faults(e)...)
		}
		return all
	}
	var one *InvalidError
	if errors.As(err, &one) {
		return []*InvalidError{one}
	}
	return nil
}
