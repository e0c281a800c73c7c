package login

import (
	"bytes"
	"cmp"
	"errors"
	"html/template"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// problem is an error with the words that a person is shown.
type problem struct {
	status  int
	code    string
	message *web.Text
}

func (p *problem) Error() string { return p.message.String() }

const databaseRetry = 5 * time.Second

// fail is the one place that turns errors into pages. The person learns what
// to do; what really happened goes to the request's log record.
func (l *Login) fail(w http.ResponseWriter, r *http.Request, err error) {
	request := idp.RequestFrom(r.Context())
	request.Cause = err
	shown, ok := errors.AsType[*problem](err)
	if !ok {
		shown = explain(err)
	}
	request.Outcome = shown.code
	request.Refused(broken(err))
	if shown.status == http.StatusServiceUnavailable {
		retryAfter(w, databaseRetry)
	}
	l.errorPage(w, r, shown.status, web.ErrorPage{Message: shown.message, Code: shown.code, Again: l.again(err)})
}

// again is where a person whose flow expired goes on, empty for any other
// error: what was asked stands.
func (l *Login) again(err error) string {
	expired, ok := errors.AsType[*expiredFlow](err)
	switch {
	case !ok:
		return ""
	case expired.flow.Request == "":
		return l.base + cmp.Or(expired.flow.To, "/login")
	}
	return l.base + "/oauth2/auth?flow=" + url.QueryEscape(expired.sealed)
}

func explain(err error) *problem {
	switch {
	case errors.Is(err, errFlowExpired):
		return &problem{http.StatusBadRequest, "invalid_request", web.Say("error.flow_expired")}
	case errors.Is(err, errCrossOrigin):
		return &problem{http.StatusForbidden, "access_denied", web.Say("error.cross_origin")}
	case errors.Is(err, errOtherBrowser), errors.Is(err, errFlowMissing):
		return &problem{http.StatusForbidden, "access_denied", web.Say("error.other_browser")}
	case errors.Is(err, idp.ErrUnavailable):
		return &problem{http.StatusServiceUnavailable, "temporarily_unavailable", web.Say("error.unavailable")}
	case errors.Is(err, idp.ErrNotFound), errors.Is(err, idp.ErrMalformed), errors.Is(err, idp.ErrExpired):
		return &problem{http.StatusBadRequest, "invalid_request", web.Say("error.no_longer_possible")}
	}
	return &problem{http.StatusInternalServerError, "server_error", web.Say("error.internal")}
}

// broken is the rule that an error comes of, for the request's trace.
func broken(err error) idp.Step {
	rule := idp.RuleServerWorks
	var facts []idp.Fact
	expired, late := errors.AsType[*expiredFlow](err)
	said, told := errors.AsType[*problem](err)
	switch {
	case late:
		rule, facts = idp.RuleFlowFresh, []idp.Fact{begun(expired.flow)}
	case errors.Is(err, errCrossOrigin):
		rule = idp.RuleFormOrigin
	case errors.Is(err, errOtherBrowser):
		rule = idp.RuleFlowBrowser
	case errors.Is(err, errFlowMissing):
		rule = idp.RuleFlowKnown
	case errors.Is(err, idp.ErrUnavailable):
		rule = idp.RuleServerAvailable
	case told && said.status < http.StatusInternalServerError:
		rule = idp.RuleFormFilled
	case errors.Is(err, idp.ErrNotFound), errors.Is(err, idp.ErrMalformed), errors.Is(err, idp.ErrExpired):
		rule = idp.RuleFlowKnown
	}
	return idp.Step{Rule: rule, Outcome: idp.Failed, Facts: facts}
}

func begun(flow idp.Flow) idp.Fact {
	return idp.Fact{Name: "begun_at", Value: flow.RequestedAt.UTC().Format(time.RFC3339)}
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(wait, time.Second).Seconds()))))
}

// ErrorPage shows a person what went wrong, and never redirects. saying is for
// the person, code (of RFC 6749, or empty) for the person's developer.
func (l *Login) ErrorPage(w http.ResponseWriter, r *http.Request, status int, code string, saying idp.Saying) {
	l.protect(w.Header())
	l.errorPage(w, r, status, web.ErrorPage{Message: web.Say(string(saying)), Code: code})
}

// FaultPage is the ErrorPage of a request that no page was reached by.
func (l *Login) FaultPage(w http.ResponseWriter, r *http.Request, status int) {
	saying := idp.SayWrongUse
	switch status {
	case http.StatusNotFound:
		saying = idp.SayNotFound
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestEntityTooLarge:
		saying = idp.SayTooLong
	case http.StatusRequestTimeout:
		saying = idp.SayTimeout
	case http.StatusServiceUnavailable:
		saying = idp.SayUnavailable
	}
	l.ErrorPage(w, r, status, "", saying)
}

// AskToReturn shows a person that an application was refused, and lets them
// decide whether to go back to it. It never redirects.
func (l *Login) AskToReturn(w http.ResponseWriter, r *http.Request, back idp.ErrorReturn) {
	l.protect(w.Header())
	client := l.clientOnPage(back.Client)
	client.Logo = "" // chosen by whom nobody knows
	page := web.ErrorReturnPage{
		Layout: l.layoutOf(r, nil, ""), Heading: heading(back.Status), Client: *client, Message: refusal(back.Code), Code: back.Code,
		ReturnsTo: destination(back.RedirectURI), RequestID: idp.RequestFrom(r.Context()).ID,
	}
	if back.Post != nil {
		allowRedirects(w.Header())
		page.Action, page.Fields = back.Location, fieldsOf(back.Post)
	} else {
		page.Link = template.URL(back.Location) //nolint:gosec // registered for the client, byte for byte
	}
	l.render(w, r, back.Status, page)
}

// refusal says in a person's words what an application was refused for.
func refusal(code string) *web.Text {
	switch code {
	case "login_required", "interaction_required", "account_selection_required":
		return web.Say("error_return.not_silently")
	case "consent_required":
		return web.Say("error_return.no_consent")
	case "invalid_scope", "invalid_target":
		return web.Say("error_return.may_not_have")
	case "access_denied":
		return web.Say("error_return.access_denied")
	case "temporarily_unavailable", "server_error":
		return web.Say("error_return.unavailable")
	}
	return web.Say("error_return.mistake")
}

// FormPost shows the page that posts the fields to the client (OAuth 2.0 Form
// Post Response Mode).
func (l *Login) FormPost(w http.ResponseWriter, r *http.Request, action string, fields url.Values) {
	l.protect(w.Header())
	allowRedirects(w.Header())
	l.render(w, r, http.StatusOK, web.FormPostPage{Layout: l.layoutOf(r, nil, ""), Action: action, Fields: fieldsOf(fields)})
}

func fieldsOf(values url.Values) []web.Field {
	var fields []web.Field
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fields = append(fields, web.Field{Name: name, Value: values.Get(name)})
	}
	return fields
}

func (l *Login) errorPage(w http.ResponseWriter, r *http.Request, status int, page web.ErrorPage) {
	page.Layout, page.Heading, page.RequestID = l.layoutOf(r, nil, ""), heading(status), idp.RequestFrom(r.Context()).ID
	page.Here = l.sealedHere(r)
	l.render(w, r, status, page)
}

func heading(status int) *web.Text {
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return web.Say("error.heading_not_allowed")
	case http.StatusNotFound:
		return web.Say("error.heading_not_found")
	case http.StatusTooManyRequests:
		return web.Say("error.heading_wait")
	case http.StatusServiceUnavailable:
		return web.Say("error.heading_unavailable")
	}
	if status >= http.StatusInternalServerError {
		return web.Say("error.heading_internal")
	}
	return web.Say("error.heading")
}

// render writes the page whole or, should it not render, no page at all.
func (l *Login) render(w http.ResponseWriter, r *http.Request, status int, page any) {
	var body bytes.Buffer
	if err := l.Pages.Render(&body, page); err != nil {
		l.Logger.ErrorContext(r.Context(), "page not rendered", "error", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = body.WriteTo(w)
	}
}
