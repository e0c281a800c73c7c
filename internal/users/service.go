package users

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"idp/internal/idp"
)

// Finder finds accounts by user name or verified e-mail address, compared
// without case; idp.ErrNotFound when there is none. Implemented by *store.Store.
type Finder interface {
	UserByLogin(ctx context.Context, login string) (idp.User, error)
}

// Rehasher replaces a password's hash by a better one of the same password,
// only while the old one is still there: somebody may be setting another
// password at the same moment. Implemented by *store.Store.
type Rehasher interface {
	ReplacePasswordHash(ctx context.Context, userID, old, replacement string) error
}

// Noter takes audit events without waiting. Implemented by *audit.Recorder.
type Noter interface {
	Note(ctx context.Context, event idp.Event)
}

// Config is what a Service needs.
type Config struct {
	Store    Finder
	Rehash   Rehasher // nil leaves old hashes alone
	Hasher   *Hasher
	Throttle Throttle
	// FailuresPerMinute is how many sign-ins may fail in a minute over all
	// accounts, addresses and nodes; 0 is 300.
	FailuresPerMinute int
	Audit             Noter
	Logger            *slog.Logger
	Now               func() time.Time
}

// Service decides who may sign in with a password.
type Service struct {
	store    Finder
	rehash   Rehasher
	hasher   *Hasher
	throttle Throttle
	all      limit // of the whole installation
	braked   brake
	turns    chan struct{}
	audit    Noter
	logger   *slog.Logger
	now      func() time.Time
}

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{
		store: cfg.Store, rehash: cfg.Rehash, hasher: cfg.Hasher, throttle: cfg.Throttle,
		all: perMinute(300), turns: make(chan struct{}, turnsPerProcessor*runtime.GOMAXPROCS(0)), audit: cfg.Audit, logger: cfg.Logger, now: cfg.Now,
	}
	if cfg.FailuresPerMinute > 0 {
		s.all = perMinute(cfg.FailuresPerMinute)
	}
	return s
}

const (
	// turnsPerProcessor is how many sign-ins ask the database at once: half of
	// the connections that a node has to it.
	turnsPerProcessor = 2
	// maxQueue is how long one waits for that.
	maxQueue = 10 * time.Second
)

// maxUsername is longer than any user name that exists, in bytes.
const maxUsername = 256

// Why a sign-in failed; for the audit, never for the person.
const (
	reasonUnknownUser   = "unknown_user"
	reasonNoPassword    = "no_password"
	reasonUnusableHash  = "unusable_hash"
	reasonWrongPassword = "wrong_password"
	reasonDisabled      = "disabled"
	reasonAddress       = "address"
	reasonAccount       = "account"
	reasonDevice        = "device"
	reasonAll           = "installation"
)

// Authenticate returns the user whose name, or verified e-mail address, and
// password these are. The client's address comes from idp.RequestFrom(ctx).
// device answers which device of the user's the request comes from, proven, or
// nil for none; a nil function knows no devices. An attempt from a known device
// takes from that device's limit and from no other, so that guesses from
// elsewhere keep nobody from an account that is theirs.
//
// Errors: idp.ErrCredentials for an unknown or disabled user, a missing and a
// wrong password alike, after the same work; *ThrottledError when there were too
// many attempts, before anything is evaluated; *idp.InvalidError for a password
// over 1024 bytes; idp.ErrUnavailable.
func (s *Service) Authenticate(ctx context.Context, username, password string, device func(idp.User) (*idp.Device, error)) (idp.User, error) {
	// 1. Refuse what would be expensive to hash.
	if err := checkSize(password); err != nil {
		return idp.User{}, err
	}

	// 2. Find the user, and take one attempt from everything that limits it.
	user, exists, attempt, err := s.admit(ctx, username, device)
	if err != nil {
		return idp.User{}, err
	}

	// 3. Do the same work for everybody.
	ok, rehash, err := s.hasher.Verify(ctx, user.PasswordHash, password)
	if err != nil && !errors.Is(err, idp.ErrMalformed) {
		s.giveBack(ctx, attempt, false)
		return idp.User{}, err
	}

	// 4. Decide.
	var reason string
	switch {
	case !exists:
		reason = reasonUnknownUser
	case user.PasswordHash == "":
		reason = reasonNoPassword
	case err != nil:
		reason = reasonUnusableHash
	case !ok:
		reason = reasonWrongPassword
	case user.State != idp.UserActive:
		reason = reasonDisabled
	default:
		s.giveBack(ctx, attempt, true)
		s.succeeded(ctx, user, password, rehash)
		return user, nil
	}
	s.note(ctx, idp.EventLoginFailed, user.ID, reason)
	return idp.User{}, idp.ErrCredentials
}

// admit returns the user, nobody if there is none, and what the attempt took.
func (s *Service) admit(ctx context.Context, username string, device func(idp.User) (*idp.Device, error)) (user idp.User, exists bool, attempt []share, err error) {
	// 1. In turn: a storm must leave the database to others, too.
	leave, err := s.enter(ctx)
	if err != nil {
		return idp.User{}, false, nil, err
	}
	defer leave()

	// 2. Find the user, whose device this may be; nobody has no password hash and
	// no device.
	if user, err = s.find(ctx, username); err != nil && !errors.Is(err, idp.ErrNotFound) {
		return idp.User{}, false, nil, fmt.Errorf("users: authenticate: %w", err)
	}
	exists = err == nil
	var known *idp.Device
	if device != nil {
		if known, err = device(user); err != nil {
			return idp.User{}, false, nil, fmt.Errorf("users: authenticate: device: %w", err)
		}
	}

	// 3. Take one attempt from all the limits.
	attempt = s.attempt(ctx, username, user, known)
	return user, exists, attempt, s.take(ctx, attempt)
}

// enter waits for a turn to ask the database.
func (s *Service) enter(ctx context.Context) (leave func(), err error) {
	timer := time.NewTimer(maxQueue)
	defer timer.Stop()
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-timer.C:
		return nil, fmt.Errorf("users: too many sign-ins at once: %w", idp.ErrUnavailable)
	case <-ctx.Done():
		return nil, fmt.Errorf("users: waiting to sign in: %w: %w", idp.ErrUnavailable, context.Cause(ctx))
	}
}

// find returns the user. Names that no user can have are not asked for: a
// database refuses some of them with an error, which would tell them apart.
func (s *Service) find(ctx context.Context, username string) (idp.User, error) {
	if username == "" || len(username) > maxUsername || !utf8.ValidString(username) || strings.ContainsRune(username, 0) {
		return idp.User{}, idp.ErrNotFound
	}
	user, err := s.store.UserByLogin(ctx, username)
	if err != nil {
		return idp.User{}, err
	}
	return user, nil
}

// succeeded improves an old hash. The person is in whatever becomes of that.
func (s *Service) succeeded(ctx context.Context, user idp.User, password string, rehash bool) {
	if !rehash || s.rehash == nil {
		return
	}
	replacement, err := s.hasher.hash(ctx, password)
	if err == nil {
		err = s.rehash.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, replacement)
	}
	if err != nil {
		s.logger.WarnContext(ctx, "password hash not renewed", "user_id", user.ID, "error", err)
	}
}

// note tells the audit and the request's trace why somebody does not get in.
func (s *Service) note(ctx context.Context, kind idp.EventKind, userID, reason string) {
	decide(ctx, ruleOf(reason), userID, idp.Fact{Name: "reason", Value: reason})
	s.audit.Note(ctx, idp.Event{At: s.now(), Kind: kind, UserID: userID, Detail: map[string]string{"reason": reason}})
}

// ruleOf is the rule that a reason comes of.
func ruleOf(reason string) idp.Rule {
	switch reason {
	case reasonUnknownUser:
		return idp.RuleUserKnown
	case reasonNoPassword, reasonUnusableHash:
		return idp.RulePasswordSet
	case reasonWrongPassword:
		return idp.RulePasswordCorrect
	case reasonDisabled:
		return idp.RuleUserActive
	}
	return idp.RuleSignInAttempts
}

// decide tells the request's trace which rule somebody does not meet.
func decide(ctx context.Context, rule idp.Rule, userID string, facts ...idp.Fact) {
	if userID != "" {
		facts = append(facts, idp.Fact{Name: "user_id", Value: userID})
	}
	idp.Decide(ctx, rule, idp.Failed, facts...)
}
