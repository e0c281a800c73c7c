package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// areas are kinds of events that belong together, as people look for them.
var areas = []struct{ pattern, title string }{
	{"", "Everything"},
	{"login.*", "Sign-ins"},
	{"session.*", "Sessions"},
	{"factor.* webauthn.*", "Second factors"},
	{"user.* address.* link.* recovery.* registration.*", "Accounts"},
	{"consent.*", "Consents"},
	{"authz.* code.*", "Authorization"},
	{"token.* refresh.* revoke.*", "Tokens"},
	{"client.* registration_token.*", "Clients"},
	{"group.* role.* resource.*", "Groups, roles, resources"},
	{"key.* setting.* database.*", "Keys and settings"},
	{"mail.* logout.* outbound.*", "Messages that went out"},
	{"admin.* mail.shown", "What administrators read"},
	{"csrf.* proxy.*", "Attempts to get around"},
}

// filters are the fields of the search, which stand in addresses.
var filters = []string{"kind", "user", "client", "result", "ip", "actor", "target", "request", "since", "until"}

const (
	// followFor is how long a page goes on to show what is new: an open tab does
	// not keep a session alive for ever.
	followFor   = 10 * time.Minute
	followEvery = 5 * time.Second
	// inputTime is how browsers write a field of date and time.
	inputTime = "2006-01-02T15:04"
)

// eventFilter is what the search asks for.
func (v *visit) eventFilter() (f idp.EventFilter, err error) {
	query := v.URL.Query()
	get := func(name string) string { return strings.TrimSpace(query.Get(name)) }
	f = idp.EventFilter{
		Kinds: strings.Fields(get("kind")), ClientID: get("client"), RemoteAddr: get("ip"), RequestID: get("request"),
		UserID: v.subject(get("user")), Actor: v.subject(get("actor")), Target: v.subject(get("target")),
	}
	switch result := get("result"); result {
	case "ok", "refused":
		refused := result == "refused"
		f.Refused = &refused
	}
	for _, bound := range []struct {
		name string
		into *time.Time
	}{{"since", &f.Since}, {"until", &f.Until}} {
		text := get(bound.name)
		if text == "" {
			continue
		}
		if *bound.into, err = time.Parse(inputTime, text[:min(len(text), len(inputTime))]); err != nil {
			return f, idp.Invalid(bound.name, "must be a time such as 2026-11-23T08:00")
		}
	}
	return f, nil
}

// subject is the sub of a person whose user name was typed. People who are gone
// are still in the audit, by their sub.
func (v *visit) subject(typed string) string {
	if typed == "" {
		return ""
	}
	if person, err := v.admin.User(v.Context(), typed); err == nil {
		return person.ID
	}
	return typed
}

// narrowed is an address with the search, and with more.
func (v *visit) narrowed(path string, more ...string) string {
	query := url.Values{}
	for _, name := range filters {
		if value := v.URL.Query().Get(name); value != "" {
			query.Set(name, value)
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

func listEvents(v *visit) error {
	filter, err := v.eventFilter()
	if err != nil {
		return v.refuseSearch(err)
	}
	query := v.URL.Query()
	var after idp.ID
	if text := query.Get("after"); text != "" {
		if after, err = idp.ParseUUID(text); err != nil {
			return v.refuseSearch(idp.Invalid("after", "is no event"))
		}
	}
	events, last, err := v.admin.Events(v.Context(), idp.EventQuery{EventFilter: filter, After: after}, pageSize)
	if err != nil {
		return err
	}
	t := v.eventTable(events)
	t.Search = v.eventSearch()
	t.Empty = "There are no such events."
	if !last.IsZero() {
		t.Next = v.narrowed("/console/audit", "after", last.UUID())
		t.Empty = "There are no such events among the newest. There may be older ones."
	}
	p := v.frame("/console/audit", "Audit")
	p.Lead = "Who did what, when, and how it ended. Nothing here can be changed; idp audit verify proves it."
	p.Parts = []web.ConsolePart{t}
	now := v.console.Now()
	until := time.Unix(number64(query.Get("follow")), 0)
	followed := after.IsZero() && now.Before(until) && until.Sub(now) <= followFor
	if !followed || v.console.followers.begins(v.who.Session.ID, now) {
		if err := v.reads("audit-events", ""); err != nil {
			return err
		}
	}
	switch {
	case !after.IsZero():
		p.Actions = append(p.Actions, web.ConsoleLink{Title: "Newest", To: v.narrowed("/console/audit")})
	case followed:
		v.w.Header().Set("Refresh", strconv.Itoa(int(followEvery/time.Second)))
		p.Badges = []web.ConsoleBadge{{Text: "Live", Tone: "good"}}
		p.Actions = append(p.Actions, web.ConsoleLink{Title: "Stop", To: v.narrowed("/console/audit"), Primary: true})
	default:
		p.Actions = append(p.Actions,
			web.ConsoleLink{Title: "Newer", To: v.narrowed("/console/audit")},
			web.ConsoleLink{Title: "Follow live", To: v.narrowed("/console/audit", "follow", strconv.FormatInt(now.Add(followFor).Unix(), 10))})
	}
	p.Actions = append(p.Actions, web.ConsoleLink{Title: "Export", To: v.narrowed("/console/audit-export")})
	return v.show(p)
}

// followers are the sessions that follow the audit, since when: that somebody
// reads it is kept once for all the time, not with every refresh.
type followers struct {
	mu    sync.Mutex
	since map[idp.ID]time.Time
}

// begins reports whether the session did not follow until now.
func (f *followers) begins(session idp.ID, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.since, func(_ idp.ID, since time.Time) bool { return now.Sub(since) > followFor })
	if _, follows := f.since[session]; follows {
		return false
	}
	if f.since == nil {
		f.since = map[idp.ID]time.Time{}
	}
	f.since[session] = now
	return true
}

// number64 is 0 for what is none.
func number64(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// refuseSearch shows the search with what is wrong in it.
func (v *visit) refuseSearch(err error) error {
	v.status, v.faults = http.StatusUnprocessableEntity, idp.Faults(err)
	p := v.frame("/console/audit", "Audit")
	p.Parts = []web.ConsolePart{web.ConsoleTable{ID: "events", Search: v.eventSearch(), Empty: "Nothing was looked for."}}
	return v.show(p)
}

func (v *visit) eventSearch() *web.ConsoleSearch {
	query := v.URL.Query()
	search := &web.ConsoleSearch{To: "/console/audit"}
	for _, name := range filters {
		search.Active = search.Active || query.Get(name) != ""
	}
	kinds := web.ConsoleField{Kind: web.FieldSelect, Name: "kind", Label: "About", Value: query.Get("kind")}
	for _, a := range areas {
		kinds.Options = append(kinds.Options, web.ConsoleOption{Value: a.pattern, Label: a.title})
	}
	if !slices.ContainsFunc(kinds.Options, func(o web.ConsoleOption) bool { return o.Value == kinds.Value }) {
		kinds.Options = append(kinds.Options, web.ConsoleOption{Value: kinds.Value, Label: kinds.Value})
	}
	line := func(name, label string) web.ConsoleField {
		return web.ConsoleField{Name: name, Label: label, Value: query.Get(name)}
	}
	at := func(name, label string) web.ConsoleField {
		return web.ConsoleField{Kind: web.FieldDate, Name: name, Label: label, Value: query.Get(name)}
	}
	search.Fields = []web.ConsoleField{
		kinds,
		{Kind: web.FieldSelect, Name: "result", Label: "Result", Value: query.Get("result"), Options: []web.ConsoleOption{
			{Label: "Any"}, {Value: "refused", Label: "Failed or refused"}, {Value: "ok", Label: "Done"},
		}},
		line("user", "Person"), line("client", "Client ID"),
	}
	search.More = []web.ConsoleField{
		at("since", "From (UTC)"), at("until", "Before (UTC)"), line("ip", "Address"),
		line("actor", "Changed by"), line("target", "What was changed"), line("request", "Request ID"),
	}
	return search
}

// eventTable shows events, newest first.
func (v *visit) eventTable(events []idp.Event) web.ConsoleTable {
	t := web.ConsoleTable{ID: "events", Columns: []string{"Event", "When (UTC)", "Person", "Client", "Address"}}
	people := v.people()
	for _, e := range events {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			eventName(e), plain(e.At.UTC().Format("2 Jan 2006, 15:04:05")), people(e.UserID), clientOf(e), plain(cmp.Or(e.RemoteAddr, "–")),
		}})
	}
	return t
}

// eventName names an event, with what tells it from others of its kind.
func eventName(e idp.Event) web.ConsoleCell {
	c := web.ConsoleCell{Text: string(e.Kind), To: "/console/audit/" + e.ID.UUID()}
	if e.Kind.Refused() {
		c.Badge = web.ConsoleBadge{Text: "Refused", Tone: "bad"}
	}
	var facts []string
	for _, name := range []string{"error", "reason", "target", "fields", "grant_type", "scope", "method", "actor"} {
		if fact := e.Detail[name]; fact != "" && fact != e.ClientID && fact != e.UserID {
			facts = append(facts, name+" "+shortened(fact, 60))
		}
	}
	c.Note = strings.Join(facts[:min(len(facts), 3)], " · ")
	return c
}

// shortened is a text as it fits into a table.
func shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

func clientOf(e idp.Event) web.ConsoleCell {
	if e.ClientID == "" {
		return plain("–")
	}
	return web.ConsoleCell{Text: shortened(e.ClientID, 40), Code: true, To: "/console/audit?client=" + url.QueryEscape(e.ClientID)}
}

// people names who is in events: each is looked up once.
func (v *visit) people() func(sub string) web.ConsoleCell {
	names := map[string]string{}
	return func(sub string) web.ConsoleCell {
		if sub == "" {
			return plain("–")
		}
		name, known := names[sub]
		if !known {
			if person, err := v.admin.User(v.Context(), sub); err == nil && person.ID == sub {
				name = person.Username
			}
			names[sub] = name
		}
		return web.ConsoleCell{Text: cmp.Or(name, shortened(sub, 13)), Code: name == "", To: "/console/audit?user=" + url.QueryEscape(sub)}
	}
}

func showEvent(v *visit) error {
	id, err := idp.ParseUUID(v.PathValue("event_id"))
	if err != nil {
		return fmt.Errorf("there is no event %s: %w", v.PathValue("event_id"), idp.ErrNotFound)
	}
	e, err := v.admin.Event(v.Context(), id)
	if err != nil {
		return err
	}
	if err := v.reads("audit-event", e.UserID); err != nil {
		return err
	}
	p := v.frame("/console/audit", string(e.Kind))
	p.Trail = []web.ConsoleLink{{Title: "Audit", To: "/console/audit"}}
	if e.Kind.Refused() {
		p.Badges = []web.ConsoleBadge{{Text: "Refused", Tone: "bad"}}
	}
	facts := []web.ConsoleFact{{Name: "When", Values: []web.ConsoleCell{{At: e.At, Note: e.At.UTC().Format(time.RFC3339Nano)}}}}
	fact := func(name string, cell web.ConsoleCell, is string) {
		if is != "" {
			facts = append(facts, web.ConsoleFact{Name: name, Values: []web.ConsoleCell{cell}})
		}
	}
	person := v.people()(e.UserID)
	if !person.Code {
		person.Note = e.UserID
	}
	by := func(name, value string) web.ConsoleCell {
		return web.ConsoleCell{Text: value, Code: true, To: "/console/audit?" + name + "=" + url.QueryEscape(value)}
	}
	fact("Person", person, e.UserID)
	fact("Client", by("client", e.ClientID), e.ClientID)
	fact("Address", by("ip", e.RemoteAddr), e.RemoteAddr)
	fact("Request", by("request", e.RequestID), e.RequestID)
	if e.RequestID != "" {
		p.Actions = []web.ConsoleLink{{Title: "How it was decided", To: tracesPath + "/" + url.QueryEscape(e.RequestID)}}
	}
	fact("Session", code(e.SessionID), e.SessionID)
	fact("Grant", code(e.GrantID), e.GrantID)
	fact("Event", code(e.ID.UUID()), "id")
	p.Parts = []web.ConsolePart{web.ConsoleFacts{ID: "event", Facts: facts}}
	if len(e.Detail) > 0 {
		detail := web.ConsoleFacts{ID: "detail", Title: "Detail"}
		for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
			detail.Facts = append(detail.Facts, web.ConsoleFact{Name: name, Values: []web.ConsoleCell{code(e.Detail[name])}})
		}
		p.Parts = append(p.Parts, detail)
	}
	return v.show(p)
}

// exportEvents writes what is searched for as lines of JSON, oldest first, as
// idp audit export does.
func exportEvents(v *visit) error {
	filter, err := v.eventFilter()
	if err != nil {
		return v.refuseSearch(err)
	}
	if err := v.reads("audit-events", ""); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Content-Disposition", `attachment; filename="audit-`+v.console.Now().UTC().Format("20060102-150405")+`.ndjson"`)
	if v.Method == http.MethodHead {
		return nil
	}
	connection := http.NewResponseController(v.w)
	started := false
	err = v.admin.EachEvent(v.Context(), filter, func(events []idp.Event) error {
		_ = connection.SetWriteDeadline(v.console.Now().Add(partTimeout)) // where there is one to move
		for _, e := range events {
			started = true
			if _, err := v.w.Write(append(v.console.Line(e), '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil && started:
		idp.RequestFrom(v.Context()).Cause = err
		panic(http.ErrAbortHandler) // half an export must not look like a whole one
	case err != nil:
		h.Del("Content-Disposition")
	}
	return err
}

// partTimeout is how long a part of an export may take on its way.
const partTimeout = 15 * time.Second
