package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"idp/internal/idp"
)

const (
	// pollEvery is how late a node sees that there is something to send.
	pollEvery = 500 * time.Millisecond
	// attemptTimeout covers one attempt, from the look-up of the server's name
	// to its last answer.
	attemptTimeout = time.Minute
	// claimFor is how long other nodes leave a mail alone: longer than an
	// attempt takes.
	claimFor = 3 * time.Minute

	// stopPatience is how long a stop waits for what is under way.
	stopPatience = 3 * time.Second

	firstRest   = 5 * time.Second
	longestRest = 15 * time.Minute

	// atOnce is how many mails are sent at the same time.
	atOnce  = 4
	perPoll = 64
	// longestFailure bounds what is kept of a server's words.
	longestFailure = 300
)

// Store keeps the mails. Implemented by *store.Store.
type Store interface {
	// DueMails returns mails that it is time to send, the longest due first.
	DueMails(ctx context.Context, now time.Time, limit int) ([]idp.SealedMail, error)
	// ClaimMail counts an attempt and reports false when somebody else was
	// first; others leave the mail alone until then.
	ClaimMail(ctx context.Context, m idp.SealedMail, until time.Time) (bool, error)
	// PostponeMail is about one mail, PostponeMails about all.
	PostponeMail(ctx context.Context, m idp.SealedMail, until time.Time, failure string) error
	PostponeMails(ctx context.Context, until time.Time) error
	FinishMail(ctx context.Context, m idp.SealedMail, outcome idp.MailOutcome, failure string, events ...idp.Event) error
}

// Opener opens sealed mail. Implemented by *tokens.Master.
type Opener interface {
	OpenMail(m idp.SealedMail) (idp.Mail, error)
}

// Transport takes messages away: SMTP or Printer. An error is final where it
// wraps ErrRefused; where it wraps ErrAway, no other message would have better
// luck.
type Transport interface {
	Send(ctx context.Context, m Message) (idp.MailOutcome, error)
}

// How a transport fails.
var (
	// ErrRefused says that this message will never be taken.
	ErrRefused = errors.New("refused")
	// ErrAway says that nobody is there to take messages, or not from us.
	ErrAway = errors.New("the mail server is away")
)

// Config is what a Sender is made of. Every field but Logger is needed.
type Config struct {
	Store     Store
	Opener    Opener
	Renderer  *Renderer
	Transport Transport
	Now       func() time.Time
	Logger    *slog.Logger
}

// Sender sends the mails of the database.
type Sender struct {
	Config
}

// New returns a Sender; Run starts it.
func New(cfg Config) *Sender {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sender{cfg}
}

// Run sends until ctx ends, and returns when what was under way is over.
func (s *Sender) Run(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.poll(ctx)
		if err != nil && !away && ctx.Err() == nil {
			s.Logger.Warn("mail waits", "cause", err)
		}
		away = err != nil
	}
}

// poll sends the mails that are due. Once the server is seen to be away, the
// others of this time are left for later.
func (s *Sender) poll(ctx context.Context) error {
	due, err := s.Store.DueMails(ctx, idp.Instant(s.Now()), perPoll)
	if err != nil {
		return err
	}
	var away atomic.Bool
	var mu sync.Mutex
	var faults []error
	var workers sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, m := range due {
		slots <- struct{}{}
		if away.Load() || ctx.Err() != nil {
			break
		}
		workers.Go(func() {
			defer func() { <-slots }()
			goOn, err := s.deliver(ctx, m)
			if !goOn {
				away.Store(true)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, err)
			}
		})
	}
	workers.Wait()
	return errors.Join(faults...)
}

// deliver makes one attempt: 1 is it still worth it · 2 claim · 3 open, put into
// words and send · 4 note how it went. It reports whether the next may be tried.
func (s *Sender) deliver(ctx context.Context, m idp.SealedMail) (goOn bool, err error) {
	now := idp.Instant(s.Now())
	mine, err := s.Store.ClaimMail(ctx, m, now.Add(claimFor))
	if err != nil || !mine {
		return err == nil, err
	}
	running := ctx
	ctx = context.WithoutCancel(ctx) // how it went is noted, even when the node is told to stop
	if !now.Before(m.ExpiresAt) {
		failure := m.Failure
		if failure == "" {
			failure = "it was too late to send it"
		}
		return true, s.giveUp(ctx, m, failure)
	}
	m.Attempts++
	outcome, failure := s.send(running, m)
	now = idp.Instant(s.Now())
	switch {
	case failure == nil:
		return true, s.Store.FinishMail(ctx, m, outcome, "", s.event(idp.EventMailSent, m, string(outcome)))
	case errors.Is(failure, ErrRefused):
		return true, s.giveUp(ctx, m, words(failure))
	case !now.Before(m.ExpiresAt):
		return true, s.giveUp(ctx, m, words(failure))
	}
	until := now.Add(rest(m.Attempts))
	s.Logger.Warn("mail not sent, trying again later", "mail", m.ID, "kind", m.Kind, "attempts", m.Attempts, "again", until, "cause", failure)
	err = s.Store.PostponeMail(ctx, m, until, words(failure))
	if errors.Is(failure, ErrAway) && err == nil {
		return false, s.Store.PostponeMails(ctx, until)
	}
	return err == nil, err
}

func (s *Sender) send(ctx context.Context, m idp.SealedMail) (idp.MailOutcome, error) {
	opened, err := s.Opener.OpenMail(m)
	if err != nil {
		return "", fmt.Errorf("%w: it cannot be opened: %w", ErrRefused, err)
	}
	message, err := s.Renderer.Render(m.ID, m.CreatedAt, opened)
	if err != nil {
		return "", fmt.Errorf("%w: it cannot be put into words: %w", ErrRefused, err)
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopPatience, cancel) })()
	return s.Transport.Send(sending, message)
}

// giveUp leaves the mail for the operator to see.
func (s *Sender) giveUp(ctx context.Context, m idp.SealedMail, failure string) error {
	s.Logger.Error("mail not sent, and not tried any more", "mail", m.ID, "kind", m.Kind, "attempts", m.Attempts, "cause", failure)
	e := s.event(idp.EventMailUndelivered, m, string(idp.MailUndelivered))
	e.Detail["error"] = failure
	return s.Store.FinishMail(ctx, m, idp.MailUndelivered, failure, e)
}

func (s *Sender) event(kind idp.EventKind, m idp.SealedMail, outcome string) idp.Event {
	return idp.Event{
		Kind: kind, At: idp.Instant(s.Now()), UserID: m.UserID,
		Detail: map[string]string{"mail": m.ID.String(), "target": string(m.Kind), "attempts": fmt.Sprint(m.Attempts), "outcome": outcome},
	}
}

// words is a failure as it is kept.
func words(failure error) string { return oneLine(failure.Error(), longestFailure) }

// rest doubles with every attempt.
func rest(attempts uint32) time.Duration {
	pause := firstRest
	for ; attempts > 1 && pause < longestRest; attempts-- {
		pause *= 2
	}
	return min(pause, longestRest)
}
