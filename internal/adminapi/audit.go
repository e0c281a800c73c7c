package adminapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"idp/internal/idp"
)

// Audit reads what happened; implemented by *store.Store.
type Audit interface {
	EventsBefore(ctx context.Context, before idp.ID, limit int) ([]idp.Event, error)
}

// event is an audit event as the API shows it.
type event struct {
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

// AuditEvents answers /admin/audit-events.
func (a *API) AuditEvents(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeAuditRead, listEvents}})
}

const (
	eventsAtOnce = 1000 // read from the database
	// eventsLooked is how many events one request goes through in search of
	// those that are asked for; the next page goes on behind them.
	eventsLooked = 20 * eventsAtOnce
	// lateBy is how much later than their name most events are committed at most.
	lateBy = 2 * time.Minute
)

func listEvents(c *call) (answer, error) {
	p, err := c.page("audit events", "kind", "client_id", "user_id", "remote_addr", "request_id", "actor", "refused", "since", "until")
	if err != nil {
		return answer{}, err
	}
	filter, err := p.events()
	if err != nil {
		return answer{}, err
	}
	var next idp.ID
	switch {
	case p.after != "":
		if next, err = idp.ParseUUID(p.after); err != nil {
			return answer{}, invalidMember("page_token", "is not one of this list with this filter")
		}
	case !filter.Until.IsZero():
		next = idp.FirstID(filter.Until.Add(lateBy))
	}
	views, last, err := c.events(filter, next, p.size)
	if err != nil {
		return answer{}, err
	}
	result := answer{status: http.StatusOK, body: views}
	if !last.IsZero() {
		result.header, err = c.next(p, last.UUID())
	}
	return result, err
}

// events returns up to size events before the given one, and behind which they
// go on; the zero ID when there are no more.
func (c *call) events(filter idp.EventFilter, next idp.ID, size int) ([]event, idp.ID, error) {
	views := []event{}
	for looked := 0; looked < eventsLooked; looked += eventsAtOnce {
		part, err := c.api.Audit.EventsBefore(c.Context(), next, eventsAtOnce)
		if err != nil {
			return nil, idp.ID{}, err
		}
		for _, e := range part {
			if filter.Match(e) {
				views = append(views, event{e.ID.UUID(), e.At, e.Kind, e.ClientID, e.UserID, e.SessionID, e.GrantID, e.RequestID, e.RemoteAddr, e.Detail})
			}
			if next = e.ID; len(views) == size {
				return views, next, nil
			}
		}
		if len(part) < eventsAtOnce || next.Time().Before(filter.Since.Add(-lateBy)) {
			return views, idp.ID{}, nil
		}
	}
	return views, next, nil
}

// events reads the filters of a list of events.
func (p page) events() (f idp.EventFilter, err error) {
	f = idp.EventFilter{
		Kinds: strings.Fields(p.filter.Get("kind")), ClientID: p.filter.Get("client_id"), UserID: p.filter.Get("user_id"),
		RemoteAddr: p.filter.Get("remote_addr"), RequestID: p.filter.Get("request_id"), Actor: p.filter.Get("actor"),
	}
	switch refused := p.filter.Get("refused"); refused {
	case "":
	case "true", "false":
		yes := refused == "true"
		f.Refused = &yes
	default:
		return f, invalidMember("refused", "must be true or false")
	}
	for _, bound := range []struct {
		name string
		into *time.Time
	}{{"since", &f.Since}, {"until", &f.Until}} {
		text := p.filter.Get(bound.name)
		if text == "" {
			continue
		}
		if *bound.into, err = time.Parse(time.RFC3339, text); err != nil {
			return f, invalidMember(bound.name, "must be a time such as 2026-11-23T08:00:00Z")
		}
	}
	return f, nil
}
