package users

// What whoever asks may not see the outcome of, nor how long it took: it is done
// afterwards, out of their sight.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"idp/internal/idp"
)

const (
	// maxErrands is how many wait to be done.
	maxErrands = 64
	// errandPatience is how long the database may take over one.
	errandPatience = 10 * time.Second
)

// How often anything of the kind may be asked for, by a subscriber and at all.
var (
	errandsPerAddress = limit{interval: time.Minute, burst: 5}
	errandsOverall    = limit{interval: time.Second, burst: 120}
)

// errand is what somebody asked for.
type errand struct {
	do       func(ctx context.Context) error
	undone   string // what the log says when it fails
	id, addr string // of the request
}

// admit takes one attempt of what anybody may ask for, from the subscriber and
// from all: *ThrottledError, told to the audit, when there is none left.
func (a *Accounts) admit(ctx context.Context, what string, throttled idp.EventKind) error {
	for _, l := range []struct {
		key    string
		limit  limit
		reason string
	}{
		{what + ":address:" + subscriber(idp.RequestFrom(ctx).RemoteAddr), errandsPerAddress, reasonAddress},
		{what + ":all", errandsOverall, reasonOverall},
	} {
		err := take(ctx, a.throttle, a.now(), l.key, l.limit)
		if errors.Is(err, idp.ErrThrottled) {
			a.audit.Note(ctx, idp.Event{At: a.now(), Kind: throttled, Detail: map[string]string{"reason": l.reason}})
			return err
		}
		if err != nil {
			return fmt.Errorf("users: %s: %w", what, err)
		}
	}
	return nil
}

// later leaves it to Run; idp.ErrUnavailable when too much waits there.
func (a *Accounts) later(ctx context.Context, undone string, do func(ctx context.Context) error) error {
	request := idp.RequestFrom(ctx)
	select {
	case a.errands <- errand{do, undone, request.ID, request.RemoteAddr}:
		return nil
	default:
		return fmt.Errorf("users: too many errands wait: %w", idp.ErrUnavailable)
	}
}

// Run does what was asked for until ctx ends, and what was asked for before
// that.
func (a *Accounts) Run(ctx context.Context) {
	background := context.WithoutCancel(ctx)
	for {
		select {
		case e := <-a.errands:
			a.run(background, e)
			continue
		default:
		}
		select {
		case e := <-a.errands:
			a.run(background, e)
		case <-ctx.Done():
			return
		}
	}
}

func (a *Accounts) run(ctx context.Context, e errand) {
	ctx, cancel := context.WithTimeout(idp.WithRequest(ctx, &idp.Request{ID: e.id, RemoteAddr: e.addr}), errandPatience)
	defer cancel()
	if err := e.do(ctx); err != nil {
		a.logger.ErrorContext(ctx, e.undone, "request_id", e.id, "cause", err)
	}
}
