package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"idp/internal/idp"
)

// AuditStore keeps what happened. Implemented by *store.Store.
type AuditStore interface {
	// Events are those after the given one, oldest first; EventsBefore those
	// before it, newest first.
	Events(ctx context.Context, after idp.ID, limit int) ([]idp.Event, error)
	EventsBefore(ctx context.Context, before idp.ID, limit int) ([]idp.Event, error)
}

const (
	eventsAtOnce = 1000 // read from the database
	// eventsLooked is how many events one search goes through for those that are
	// asked for; the next one goes on behind them.
	eventsLooked = 20 * eventsAtOnce
	// lateBy is how much later than their name most events are committed at most.
	lateBy = 2 * time.Minute
)

// Events returns up to size events that are asked for. It also returns behind
// which the search goes on, zero when there is no more: a search that finds
// little stops before it is through.
func (s *Service) Events(ctx context.Context, q idp.EventQuery, size int) ([]idp.Event, idp.ID, error) {
	next, read, over := q.After, s.store.EventsBefore, func(at time.Time) bool { return at.Before(q.Since.Add(-lateBy)) }
	if q.Forward {
		read, over = s.store.Events, func(at time.Time) bool { return !q.Until.IsZero() && at.After(q.Until.Add(lateBy)) }
		if next.IsZero() && !q.Since.IsZero() {
			next = idp.FirstID(q.Since.Add(-lateBy))
		}
	} else if next.IsZero() && !q.Until.IsZero() {
		next = idp.FirstID(q.Until.Add(lateBy))
	}
	var found []idp.Event
	for looked := 0; looked < eventsLooked; looked += eventsAtOnce {
		part, err := read(ctx, next, eventsAtOnce)
		if err != nil {
			return nil, idp.ID{}, fmt.Errorf("admin: read the audit: %w", err)
		}
		for _, e := range part {
			if q.Match(e) {
				found = append(found, e)
			}
			if next = e.ID; len(found) == size {
				return found, next, nil
			}
		}
		if len(part) < eventsAtOnce || over(next.Time()) {
			return found, idp.ID{}, nil
		}
	}
	return found, next, nil
}

// Event returns one event.
func (s *Service) Event(ctx context.Context, id idp.ID) (idp.Event, error) {
	part, err := s.store.Events(ctx, below(id), 1)
	switch {
	case err != nil:
		return idp.Event{}, fmt.Errorf("admin: read the audit: %w", err)
	case len(part) == 0 || part[0].ID != id:
		return idp.Event{}, missing("event", id.UUID())
	}
	return part[0], nil
}

// below is the identifier next to another one, below it.
func below(id idp.ID) idp.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]--; id[i] != 0xff {
			break
		}
	}
	return id
}

// EachEvent calls use with all events that are asked for, oldest first, in
// parts, and stops at the first error.
func (s *Service) EachEvent(ctx context.Context, f idp.EventFilter, use func([]idp.Event) error) error {
	var after idp.ID
	if !f.Since.IsZero() {
		after = idp.FirstID(f.Since.Add(-lateBy))
	}
	for {
		part, err := s.store.Events(ctx, after, eventsAtOnce)
		if err != nil {
			return fmt.Errorf("admin: read the audit: %w", err)
		}
		if len(part) == 0 {
			return nil
		}
		after = part[len(part)-1].ID
		var found []idp.Event
		for _, e := range part {
			if f.Match(e) {
				found = append(found, e)
			}
		}
		if err := use(found); err != nil {
			return err
		}
		if len(part) < eventsAtOnce || !f.Until.IsZero() && after.Time().After(f.Until.Add(lateBy)) {
			return nil
		}
	}
}

// LastTokens returns when each of the clients was last issued a token, as far
// back as one search goes, and the instant that this is; zero if it went through
// all that there is.
func (s *Service) LastTokens(ctx context.Context, clientIDs []string) (map[string]time.Time, time.Time, error) {
	last := map[string]time.Time{}
	var before idp.ID
	for looked := 0; looked < eventsLooked && len(last) < len(clientIDs); looked += eventsAtOnce {
		part, err := s.store.EventsBefore(ctx, before, eventsAtOnce)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("admin: read the audit: %w", err)
		}
		for _, e := range part {
			if _, known := last[e.ClientID]; !known && e.Kind == idp.EventTokenIssued && slices.Contains(clientIDs, e.ClientID) {
				last[e.ClientID] = e.At
			}
			before = e.ID
		}
		if len(part) < eventsAtOnce {
			return last, time.Time{}, nil
		}
	}
	return last, before.Time(), nil
}
