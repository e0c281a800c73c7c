package login

import (
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"idp/internal/idp"
	"idp/web"
)

const (
	maxForm   = 64 << 10       // bytes
	maxUpload = 1<<20 + 16<<10 // bytes, of a form with a picture
)

// What can be wrong with a form or a link before it is looked at closer.
var (
	errCrossOrigin  = errors.New("form from another origin")
	errFlowMissing  = errors.New("no flow, or one that was not sealed here")
	errOtherBrowser = errors.New("flow belongs to another browser")
	errFlowExpired  = errors.New("flow expired")
)

// expiredFlow is this browser's own flow, only too old: the person may start
// again with what was asked, not with what was answered.
type expiredFlow struct {
	sealed string
	flow   idp.Flow
}

func (*expiredFlow) Error() string { return errFlowExpired.Error() }
func (*expiredFlow) Unwrap() error { return errFlowExpired }

// anew is the flow with what was asked and nothing of what was answered.
func (e *expiredFlow) anew(now time.Time) idp.Flow {
	f := e.flow
	return idp.Flow{
		Request: f.Request, Signed: f.Signed, To: f.To, Fresh: f.Fresh, ACR: f.ACR,
		Browser: f.Browser, RequestedAt: idp.Instant(now),
	}
}

// submitted is the one gate of all forms. It returns the fields and the flow
// of a form that a page of ours showed in this browser, not too long ago.
func (l *Login) submitted(w http.ResponseWriter, r *http.Request) (url.Values, idp.Flow, error) {
	return l.submittedWith(w, r, r.URL.Path == pathPicture)
}

// submittedWith is submitted for a form that may hold files.
func (l *Login) submittedWith(w http.ResponseWriter, r *http.Request, files bool) (url.Values, idp.Flow, error) {
	// 1. From here, as the browser says.
	if !l.sameOrigin(r) {
		return nil, idp.Flow{}, l.forged(r, errCrossOrigin)
	}
	// 2. A form, small, in one spelling, each field once.
	form, err := readForm(w, r, files)
	if err != nil {
		return nil, idp.Flow{}, err
	}
	// 3. With the flow that this browser was given.
	flow, err := l.open(r, form.Get("flow"))
	if err != nil && !errors.Is(err, errFlowExpired) {
		err = l.forged(r, err)
	}
	return form, flow, err
}

// sameOrigin takes the word of Sec-Fetch-Site, and in browsers that do not send
// it that of Origin. http.CrossOriginProtection is laxer in two ways: there
// http://host passes for https://host, and a trusted Origin outweighs a
// Sec-Fetch-Site that says cross-site.
func (l *Login) sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		return origin == "" || origin == l.origin
	}
	return false
}

// forgeries names in the audit why a form was not believed.
var forgeries = map[error]string{
	errCrossOrigin:  "cross_origin",
	errFlowMissing:  "no_flow",
	errOtherBrowser: "other_browser",
}

// forged records that somebody may have tried to act in a person's name.
func (l *Login) forged(r *http.Request, why error) error {
	e := event(r, idp.EventCSRFRejected, idp.Instant(l.Now()))
	e.Detail = map[string]string{"reason": forgeries[why], "target": r.URL.Path}
	l.Audit.Note(r.Context(), e)
	return why
}

// linked returns the flow named in the page's address; ok is false when none is.
func (l *Login) linked(r *http.Request) (flow idp.Flow, ok bool, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["flow"]) > 1 {
		return idp.Flow{}, true, errFlowMissing
	}
	if !query.Has("flow") {
		return idp.Flow{}, false, nil
	}
	flow, err = l.open(r, query.Get("flow"))
	return flow, true, err
}

// open unseals a flow and checks that it is this browser's and still alive.
func (l *Login) open(r *http.Request, sealed string) (idp.Flow, error) {
	if sealed == "" {
		return idp.Flow{}, errFlowMissing
	}
	flow, err := l.Flows.OpenFlow(sealed)
	if err != nil {
		return idp.Flow{}, errFlowMissing
	}
	bound := l.Bound(r)
	if len(bound) == 0 || subtle.ConstantTimeCompare(bound, flow.Browser) != 1 {
		return idp.Flow{}, errOtherBrowser
	}
	// What a link leads to can be done for as long as the link works, which is
	// asked when it is.
	if flow.Link == "" && !l.Now().Before(flow.RequestedAt.Add(l.Lifetimes.Flow)) {
		return idp.Flow{}, &expiredFlow{sealed, flow}
	}
	return flow, nil
}

func readForm(w http.ResponseWriter, r *http.Request, files bool) (url.Values, error) {
	contentType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && contentType == "multipart/form-data" && files {
		return readUpload(w, r)
	}
	if err != nil || contentType != "application/x-www-form-urlencoded" {
		return nil, badForm(http.StatusUnsupportedMediaType, "error.form_format")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, badForm(http.StatusRequestEntityTooLarge, "error.form_too_large")
		}
		return nil, badForm(http.StatusBadRequest, "error.form_unreadable")
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			return nil, badForm(http.StatusBadRequest, "error.form_field_twice")
		}
	}
	return r.PostForm, nil
}

// maxParts bounds how many fields a form with a file has.
const maxParts = 8

// readUpload reads a form with a file (RFC 7578), which is a field like others.
func readUpload(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	unreadable := badForm(http.StatusBadRequest, "error.form_unreadable")
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, unreadable
	}
	form := url.Values{}
	for range maxParts {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return form, nil
		}
		if err != nil {
			return nil, unreadable
		}
		value, err := io.ReadAll(part)
		switch name := part.FormName(); {
		case err != nil, name == "":
			return nil, unreadable
		case form.Has(name):
			return nil, badForm(http.StatusBadRequest, "error.form_field_twice")
		default:
			form.Set(name, string(value))
		}
	}
	return nil, unreadable
}

// badForm is a request that cannot be used, and the key of why.
func badForm(status int, key string) error {
	return &problem{status: status, code: "invalid_request", message: web.Say(key)}
}
