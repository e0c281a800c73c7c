package login

import (
	"bytes"
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
	message string
}

func (p *problem) Error() string { return p.message }

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
	if shown.status == http.StatusServiceUnavailable {
		retryAfter(w, databaseRetry)
	}
	l.errorPage(w, r, shown.status, web.ErrorPage{Message: shown.message, Code: shown.code, Again: l.again(err)})
}

// again is where a person whose flow expired starts over, empty for any other
// error.
func (l *Login) again(err error) string {
	expired, ok := errors.AsType[*expiredFlow](err)
	switch {
	case !ok:
		return ""
	case expired.request == "":
		return l.base + "/login"
	}
	return l.base + "/oauth2/auth?flow=" + url.QueryEscape(expired.sealed)
}

func explain(err error) *problem {
	switch {
	case errors.Is(err, errFlowExpired):
		return &problem{http.StatusBadRequest, "invalid_request", "This page was open for too long, so nothing was done. Please start again."}
	case errors.Is(err, errCrossOrigin):
		return &problem{http.StatusForbidden, "access_denied", "This form was sent from another site, so nothing was done. Go back to the application and start again."}
	case errors.Is(err, errOtherBrowser), errors.Is(err, errFlowMissing):
		return &problem{http.StatusForbidden, "access_denied", "This page does not belong to a sign-in of this browser. Check that cookies are allowed, then go back to the application and start again."}
	case errors.Is(err, idp.ErrUnavailable):
		return &problem{http.StatusServiceUnavailable, "temporarily_unavailable", "The service cannot answer right now. Nothing is lost: try again in a moment."}
	case errors.Is(err, idp.ErrNotFound), errors.Is(err, idp.ErrMalformed), errors.Is(err, idp.ErrExpired):
		return &problem{http.StatusBadRequest, "invalid_request", "What the application asked for is no longer possible. Go back to it and start again."}
	}
	return &problem{http.StatusInternalServerError, "server_error", "Something went wrong on our side. Try again, and tell your administrator the request below if it happens again."}
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(wait, time.Second).Seconds()))))
}

// ErrorPage shows a person what went wrong, and never redirects. message is for
// the person, code (of RFC 6749, or empty) for the person's developer; neither
// may hold a secret or another's data.
func (l *Login) ErrorPage(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	l.protect(w.Header())
	l.errorPage(w, r, status, web.ErrorPage{Message: message, Code: code})
}

// AskToReturn shows a person that an application was refused, and lets them
// decide whether to go back to it. It never redirects.
func (l *Login) AskToReturn(w http.ResponseWriter, r *http.Request, back idp.ErrorReturn) {
	l.protect(w.Header())
	client := clientOnPage(back.Client)
	client.Logo = "" // chosen by whom nobody knows
	page := web.ErrorReturnPage{
		Layout: l.layout(heading(back.Status)), Client: *client, Message: refusal(back.Code), Code: back.Code,
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
func refusal(code string) string {
	switch code {
	case "login_required", "interaction_required", "account_selection_required":
		return "It asked to sign you in without showing you anything, and that is not possible now."
	case "consent_required":
		return "It asked to use your account without asking you, and you have not allowed that."
	case "invalid_scope", "invalid_target":
		return "It asked for something that it may not have."
	case "access_denied":
		return "You may not use it, or not with this account."
	case "temporarily_unavailable", "server_error":
		return "The service could not answer. Try again in a moment."
	}
	return "Its request has a mistake, or asks for what is not possible here."
}

// FormPost shows the page that posts the fields to the client (OAuth 2.0 Form
// Post Response Mode).
func (l *Login) FormPost(w http.ResponseWriter, r *http.Request, action string, fields url.Values) {
	l.protect(w.Header())
	allowRedirects(w.Header())
	l.render(w, r, http.StatusOK, web.FormPostPage{Layout: l.layout("Continue"), Action: action, Fields: fieldsOf(fields)})
}

func fieldsOf(values url.Values) []web.Field {
	var fields []web.Field
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fields = append(fields, web.Field{Name: name, Value: values.Get(name)})
	}
	return fields
}

func (l *Login) errorPage(w http.ResponseWriter, r *http.Request, status int, page web.ErrorPage) {
	page.Layout, page.RequestID = l.layout(heading(status)), idp.RequestFrom(r.Context()).ID
	l.render(w, r, status, page)
}

func heading(status int) string {
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return "This was not allowed"
	case http.StatusNotFound:
		return "There is no such page"
	case http.StatusTooManyRequests:
		return "Please wait a moment"
	case http.StatusServiceUnavailable:
		return "Temporarily unavailable"
	}
	if status >= http.StatusInternalServerError {
		return "Something went wrong"
	}
	return "This request cannot be completed"
}

func (l *Login) layout(title string) web.Layout {
	return web.Layout{Lang: "en", Title: title, Base: l.base, Host: l.host}
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
