package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"idp/internal/idp"
)

// complete fills in what the caller may leave out of an event.
func (s *Store) complete(ctx context.Context, e idp.Event) idp.Event {
	e.At = s.orNow(e.At)
	if e.ID.IsZero() {
		e.ID = newEventID(s.now())
	}
	request := idp.RequestFrom(ctx)
	if e.RequestID == "" {
		e.RequestID = request.ID
	}
	if e.RemoteAddr == "" {
		e.RemoteAddr = request.RemoteAddr
	}
	return e
}

func (s *Store) completeAll(ctx context.Context, events []idp.Event) []idp.Event {
	out := make([]idp.Event, len(events))
	for i, e := range events {
		out[i] = s.complete(ctx, e)
	}
	return out
}

// mirror tells of events that are committed.
func (s *Store) mirror(events ...idp.Event) {
	if s.cfg.Mirror == nil {
		return
	}
	for _, e := range events {
		s.cfg.Mirror(e)
	}
}

// newEventID returns an identifier that sorts by time.
func newEventID(now time.Time) idp.ID {
	var random idp.ID
	_, _ = rand.Read(random[:]) // never fails
	return idp.TimeOrderedID(now, random)
}

func eventArgs(e idp.Event) []any {
	detail := document{}
	if len(e.Detail) > 0 {
		detail.value = e.Detail
	}
	return []any{
		e.ID, idp.DayOf(e.At), e.At, e.Kind, e.ClientID, e.UserID, e.SessionID, e.GrantID, e.RequestID, e.RemoteAddr, detail,
	}
}

const insertEvent = `
INSERT INTO audit_events (event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

func eventStatement(e idp.Event) statement { return statement{insertEvent, eventArgs(e)} }

func eventStatements(events []idp.Event) []statement {
	out := make([]statement, 0, len(events))
	for _, e := range events {
		out = append(out, eventStatement(e))
		out = append(out, mailStatements(e)...)
	}
	return out
}

// AppendEvents writes events that belong to no other change, in one round trip
// and one transaction.
func (s *Store) AppendEvents(ctx context.Context, events []idp.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, nil, events...)
}

// write runs unconditional statements and their events as one batch.
func (s *Store) write(ctx context.Context, statements []statement, events ...idp.Event) error {
	completed := s.completeAll(ctx, events)
	if _, err := s.port.batch(ctx, append(statements, eventStatements(completed)...)); err != nil {
		return err
	}
	s.mirror(completed...)
	return nil
}

// change runs f and writes the events in one transaction. f says whether it
// changed anything; if not, no event is written.
func (s *Store) change(ctx context.Context, events []idp.Event, f func(q querier) (bool, error)) error {
	completed := s.completeAll(ctx, events)
	var written bool
	err := s.port.inTx(ctx, func(q querier) error {
		var err error
		if written, err = f(q); err != nil || !written {
			return err
		}
		for _, e := range completed {
			for _, st := range eventStatements([]idp.Event{e}) {
				if _, err := q.exec(ctx, st.sql, st.args...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil && written {
		s.mirror(completed...)
	}
	return err
}

const selectEvents = `
SELECT event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, CAST(detail AS text)
FROM audit_events
WHERE event_id > $1
ORDER BY event_id
LIMIT $2`

// Events returns up to limit events after the given one, oldest first. The zero
// ID begins at the beginning.
func (s *Store) Events(ctx context.Context, after idp.ID, limit int) ([]idp.Event, error) {
	return s.events(ctx, selectEvents, after[:], limit)
}

const selectEventsBefore = `
SELECT event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, CAST(detail AS text)
FROM audit_events
WHERE event_id < $1
ORDER BY event_id DESC
LIMIT $2`

// EventsBefore returns up to limit events before the given one, newest first.
// The zero ID begins at the end.
func (s *Store) EventsBefore(ctx context.Context, before idp.ID, limit int) ([]idp.Event, error) {
	if before.IsZero() {
		for i := range before {
			before[i] = 0xff
		}
	}
	return s.events(ctx, selectEventsBefore, before[:], limit)
}

func (s *Store) events(ctx context.Context, sql string, args ...any) ([]idp.Event, error) {
	rows, err := s.auditRows(ctx, sql, args...)
	var events []idp.Event
	for _, r := range rows {
		events = append(events, r.Event)
	}
	return events, err
}

func (s *Store) auditRows(ctx context.Context, sql string, args ...any) ([]idp.AuditRow, error) {
	var rows []idp.AuditRow
	err := s.port.query(ctx, func(r row) error {
		var e idp.AuditRow
		var detail string
		err := r.Scan(&e.ID, &e.OccurredOn, &e.At, &e.Kind, &e.ClientID, &e.UserID, &e.SessionID, &e.GrantID, &e.RequestID, &e.RemoteAddr, &detail)
		if err != nil {
			return err
		}
		if e.Detail, err = parseDetail(detail); err != nil {
			e.Unreadable = true
		}
		rows = append(rows, e)
		return nil
	}, sql, args...)
	return rows, err
}

// parseDetail reads an object of texts. What says a thing twice, or anything
// else than texts, was not written here.
func parseDetail(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	if !utf8.ValidString(text) {
		return nil, idp.ErrMalformed
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return nil, idp.ErrMalformed
	}
	detail := map[string]string{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, idp.ErrMalformed
		}
		value, err := decoder.Token()
		if err != nil {
			return nil, idp.ErrMalformed
		}
		key, named := name.(string)
		fact, ok := value.(string)
		if _, twice := detail[key]; !named || !ok || twice {
			return nil, idp.ErrMalformed
		}
		detail[key] = fact
	}
	if _, err := decoder.Token(); err != nil { // the brace
		return nil, idp.ErrMalformed
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, idp.ErrMalformed
	}
	return detail, nil
}

// The limit bounds the work on a busy server.
const countEvents = `
SELECT occurred_on, kind, client_id, count(*)
FROM (SELECT occurred_on, kind, client_id FROM audit_events WHERE event_id > $1 AND occurred_on >= $2 ORDER BY event_id DESC LIMIT $3) e
WHERE kind IN ('login.succeeded', 'login.failed', 'login.throttled', 'client.auth_failed', 'token.refused', 'authz.rejected', 'authz.refused')
GROUP BY occurred_on, kind, client_id`

// CountEvents counts, among the newest limit events since then, how sign-ins
// ended and what clients were refused.
func (s *Store) CountEvents(ctx context.Context, since time.Time, limit int) ([]idp.EventCount, error) {
	var counts []idp.EventCount
	first := idp.FirstID(since)
	err := s.port.query(ctx, func(r row) error {
		var c idp.EventCount
		if err := r.Scan(&c.OccurredOn, &c.Kind, &c.ClientID, &c.Count); err != nil {
			return err
		}
		counts = append(counts, c)
		return nil
	}, countEvents, first[:], idp.DayOf(since), limit)
	return counts, err
}
