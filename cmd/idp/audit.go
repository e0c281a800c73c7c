package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/audit"
	"idp/internal/idp"
)

func (a *app) auditCommand() *cobra.Command {
	return noun("audit", "What happened, and proof that it is still told as it was",
		append(anywhere(a.auditList(), a.auditTail(), a.auditExport()), a.auditVerify(), a.auditCheckpoint(), a.auditKey(), a.auditSeal())...)
}

const (
	auditPage = 1000 // events read at once
	// lateBy is how much later than their name most events are committed at most.
	lateBy = 2 * time.Minute
)

type eventView struct {
	ID         string            `json:"event_id"`
	At         time.Time         `json:"at"`
	Kind       idp.EventKind     `json:"kind"`
	ClientID   string            `json:"client_id,omitempty"`
	UserID     string            `json:"user_id,omitempty"`
	SessionID  string            `json:"session_id,omitempty"`
	GrantID    string            `json:"grant_id,omitempty"`
	RequestID  string            `json:"request_id,omitempty"`
	RemoteAddr string            `json:"remote_addr,omitempty"`
	Detail     map[string]string `json:"detail,omitempty"`
}

func viewEvent(e idp.Event) eventView {
	return eventView{e.ID.UUID(), e.At, e.Kind, e.ClientID, e.UserID, e.SessionID, e.GrantID, e.RequestID, e.RemoteAddr, e.Detail}
}

// cells are an event in columns for people.
func (v eventView) cells() []string {
	var facts []string
	for _, name := range slices.Sorted(maps.Keys(v.Detail)) {
		fact := v.Detail[name]
		if fact == "" || strings.ContainsAny(fact, " =\"") {
			fact = strconv.Quote(fact)
		}
		facts = append(facts, name+"="+fact)
	}
	return []string{when(v.At), string(v.Kind), orDash(v.UserID), orDash(v.ClientID), orDash(v.RemoteAddr), strings.Join(facts, " ")}
}

// auditFlags gives a command the filters. The function reads them.
func (a *app) auditFlags(c *cobra.Command) func(ctx context.Context, o *objects) (idp.EventQuery, error) {
	kinds := c.Flags().StringArray("kind", nil, "kind of event, such as login.failed or client.* (repeatable)")
	user := c.Flags().String("user", "", "events about this person")
	client := c.Flags().String("client", "", "events about this client")
	ip := c.Flags().String("ip", "", "events from this address")
	actor := c.Flags().String("actor", "", "changes by this person or client; command for those from the command line")
	request := c.Flags().String("request", "", "events of the request with this id")
	result := c.Flags().String("result", "", "ok or refused")
	since := c.Flags().String("since", "", "from then on: a time such as 2026-11-23T08:00:00Z, a day, or how long ago, such as 2h")
	until := c.Flags().String("until", "", "before then: a time, a day, or how long ago")
	after := c.Flags().String("after", "", "go on behind the event with this id")
	return func(ctx context.Context, o *objects) (q idp.EventQuery, err error) {
		q.EventFilter = idp.EventFilter{Kinds: *kinds, ClientID: *client, RemoteAddr: *ip, RequestID: *request, Actor: *actor}
		switch *result {
		case "":
		case "ok", "refused":
			refused := *result == "refused"
			q.Refused = &refused
		default:
			return q, usage("--result %s: must be ok or refused", *result)
		}
		if q.Since, err = parseWhen("--since", *since, a.Now()); err != nil {
			return q, err
		}
		if q.Until, err = parseWhen("--until", *until, a.Now()); err != nil {
			return q, err
		}
		if *after != "" {
			if q.After, err = idp.ParseUUID(*after); err != nil {
				return q, usage("--after %s: must be the id of an event", *after)
			}
		}
		if *user != "" {
			// People who are gone are still in the audit, by their sub.
			q.UserID = *user
			if person, err := o.User(ctx, *user); err == nil {
				q.UserID = person.ID
			}
		}
		return q, nil
	}
}

// parseWhen reads an instant, a day, or a time ago.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := parseDuration(text); err == nil {
		return now.Add(-ago.std()), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("%s %s: must be a time such as 2026-11-23T08:00:00Z, a day such as 2026-11-23, or how long ago, such as 90m or 2d", flag, text)
}

// Events calls use with what is asked for, until there is no more or use says
// that it is enough.
func (d *database) Events(ctx context.Context, q idp.EventQuery, use func(idp.Event) (more bool, err error)) error {
	next, read := q.After, d.store.EventsBefore
	if q.Forward {
		read = d.store.Events
		if start := idp.FirstID(q.Since.Add(-lateBy)); next.IsZero() && !q.Since.IsZero() {
			next = start
		}
	} else if next.IsZero() && !q.Until.IsZero() {
		next = idp.FirstID(q.Until.Add(lateBy))
	}
	for {
		page, err := read(ctx, next, auditPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			if !q.Match(e) {
				continue
			}
			if more, err := use(e); err != nil || !more {
				return err
			}
		}
		next = page[len(page)-1].ID
		switch f := q.EventFilter; {
		case q.Forward && !f.Until.IsZero() && next.Time().After(f.Until.Add(lateBy)),
			!q.Forward && next.Time().Before(f.Since.Add(-lateBy)):
			return nil
		}
	}
}

func (a *app) auditList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List events, newest first",
		Example: "  idp audit list --user alice --since 1d\n  idp audit list --kind 'login.*' --result refused --ip 192.0.2.7",
		Args:    exactly(),
	}
	query := a.auditFlags(c)
	limit := c.Flags().Int("limit", 50, "how many at most")
	forward := c.Flags().Bool("oldest-first", false, "list the oldest first")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *limit < 1 {
			return usage("--limit %d: must be at least 1", *limit)
		}
		return a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			q, err := query(ctx, o)
			if err != nil {
				return err
			}
			q.Forward = *forward
			var views []eventView
			more := false
			err = o.Events(ctx, q, func(e idp.Event) (bool, error) {
				if more = len(views) == *limit; !more {
					views = append(views, viewEvent(e))
				}
				return !more, nil
			})
			if err != nil {
				return err
			}
			return showList(a, views, func(v eventView) string { return v.ID }, "There are no such events.", func(t *table) {
				t.row("TIME", "EVENT", "USER", "CLIENT", "FROM", "DETAIL")
				for _, v := range views {
					t.row(v.cells()...)
				}
				if more {
					t.row("There are more: --after " + views[len(views)-1].ID)
				}
			})
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) auditTail() *cobra.Command {
	c := &cobra.Command{
		Use:   "tail",
		Short: "Show the last events, and those that come",
		Long:  "Shows the last events, oldest first. With --follow it goes on until it is interrupted; -o json prints one event per line.",
		Args:  exactly(),
	}
	query := a.auditFlags(c)
	lines := c.Flags().IntP("lines", "n", 10, "how many to begin with")
	follow := c.Flags().BoolP("follow", "f", false, "go on with what comes")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			q, err := query(ctx, o)
			if err != nil {
				return err
			}
			return a.tail(ctx, o, q, *lines, *follow)
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) tail(ctx context.Context, o *objects, q idp.EventQuery, lines int, follow bool) error {
	// What is committed later than it is named comes behind others: seen holds
	// what was there already, as far back as that may happen.
	seen, looked := map[idp.ID]bool{}, a.Now()
	fresh := func() ([]idp.Event, error) {
		now, recent := a.Now(), q
		recent.Forward, recent.After = true, idp.FirstID(looked.Add(-lateBy))
		var events []idp.Event
		err := o.Events(ctx, recent, func(e idp.Event) (bool, error) {
			if !seen[e.ID] {
				seen[e.ID] = true
				events = append(events, e)
			}
			return true, nil
		})
		if err != nil {
			return events, err
		}
		for id := range seen {
			if id.Time().Before(looked.Add(-lateBy)) {
				delete(seen, id)
			}
		}
		looked = now
		return events, nil
	}
	if follow {
		if _, err := fresh(); err != nil {
			return err
		}
	}
	var last []idp.Event
	if lines > 0 {
		err := o.Events(ctx, q, func(e idp.Event) (bool, error) {
			last = append(last, e)
			seen[e.ID] = true
			return len(last) < lines, nil
		})
		if err != nil {
			return err
		}
	}
	slices.Reverse(last)
	if err := a.printEvents(last); err != nil || !follow {
		return err
	}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		events, err := fresh()
		if printed := a.printEvents(events); printed != nil {
			return printed
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, idp.ErrUnavailable):
			return err
		}
	}
}

// printEvents prints events as they come: no column waits for the next row.
func (a *app) printEvents(events []idp.Event) error {
	for _, e := range events {
		v := viewEvent(e)
		var err error
		switch {
		case a.quiet:
			_, err = fmt.Fprintln(a.Stdout, v.ID)
		case a.output == "json":
			_, err = fmt.Fprintf(a.Stdout, "%s\n", audit.Line(e))
		case a.output == "yaml":
			err = writeYAML(a.Stdout, []eventView{v})
		default:
			c := v.cells()
			for i, width := range []int{20, 20, 22, 12, 12} {
				c[i] = fmt.Sprintf("%-*s", width, printable(c[i]))
			}
			_, err = fmt.Fprintln(a.Stdout, strings.TrimRight(printable(strings.Join(c, "  ")), " "))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
