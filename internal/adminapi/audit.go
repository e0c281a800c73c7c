package adminapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"idp/internal/idp"
)

// Reads keeps in the audit what is read; implemented by *audit.Recorder.
type Reads interface {
	// Record may fail; what it was to tell of must not be shown then.
	Record(ctx context.Context, event idp.Event) error
}

// personal is an operation that shows data about people, which leaves an event.
func personal(what string, do func(*call) (answer, error)) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		result, err := do(c)
		if err != nil {
			return answer{}, err
		}
		if err := c.api.Reads.Record(c.Context(), c.admin.Read(c.Context(), what, c.PathValue("user_id"))); err != nil {
			return answer{}, err
		}
		return result, nil
	}
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
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeAuditRead, personal("audit-events", listEvents)}})
}

func listEvents(c *call) (answer, error) {
	p, err := c.page("audit events", "kind", "client_id", "user_id", "remote_addr", "request_id", "actor", "refused", "since", "until", "after", "oldest_first")
	if err != nil {
		return answer{}, err
	}
	filter, err := p.events()
	if err != nil {
		return answer{}, err
	}
	forward, err := p.truth("oldest_first")
	if err != nil {
		return answer{}, err
	}
	q := idp.EventQuery{EventFilter: filter, Forward: forward != nil && *forward}
	switch {
	case p.after != "":
		if q.After, err = idp.ParseUUID(p.after); err != nil {
			return answer{}, invalidMember("page_token", "is not one of this list with this filter")
		}
	case p.filter.Has("after"):
		if q.After, err = idp.ParseUUID(p.filter.Get("after")); err != nil {
			return answer{}, invalidMember("after", "must be the event_id of an event")
		}
	}
	found, last, err := c.admin.Events(c.Context(), q, p.size)
	if err != nil {
		return answer{}, err
	}
	views := []event{}
	for _, e := range found {
		views = append(views, event{e.ID.UUID(), e.At, e.Kind, e.ClientID, e.UserID, e.SessionID, e.GrantID, e.RequestID, e.RemoteAddr, e.Detail})
	}
	result := answer{status: http.StatusOK, body: views}
	if !last.IsZero() {
		result.header, err = c.next(p, last.UUID())
	}
	return result, err
}

// events reads the filters of a list of events.
func (p page) events() (f idp.EventFilter, err error) {
	f = idp.EventFilter{
		Kinds: strings.Fields(p.filter.Get("kind")), ClientID: p.filter.Get("client_id"), UserID: p.filter.Get("user_id"),
		RemoteAddr: p.filter.Get("remote_addr"), RequestID: p.filter.Get("request_id"), Actor: p.filter.Get("actor"),
	}
	if f.Refused, err = p.truth("refused"); err != nil {
		return f, err
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

// truth reads a filter that is true or false; nil for one that is not there.
func (p page) truth(name string) (*bool, error) {
	switch text := p.filter.Get(name); text {
	case "":
		return nil, nil
	case "true", "false":
		return new(text == "true"), nil
	}
	return nil, invalidMember(name, "must be true or false")
}
