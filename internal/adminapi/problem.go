package adminapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"idp/internal/idp"
)

// problem is what a caller is told of what went wrong (RFC 9457). Code is the
// part of type that programs compare; type leads to the text that explains it.
type problem struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Code      string        `json:"code"`
	Detail    string        `json:"detail"`
	RequestID string        `json:"request_id"`
	Errors    []memberFault `json:"errors,omitempty"`

	challenge  string // what follows the realm in WWW-Authenticate; " " for the realm alone
	retryAfter int    // seconds; 0 for none
	cause      error
}

// memberFault says what is wrong with one member of the body, or with one
// query parameter.
type memberFault struct {
	Member string `json:"member"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func (p *problem) Unwrap() error { return p.cause }

func newProblem(status int, code, detail string) *problem {
	return &problem{Status: status, Code: code, Detail: detail}
}

func invalid(detail string) *problem {
	return newProblem(http.StatusBadRequest, "invalid_request", detail)
}

// invalidMember is about one member of the body or one query parameter.
func invalidMember(member, detail string) *problem {
	p := newProblem(http.StatusBadRequest, "invalid_input", member+" "+detail)
	p.Errors = []memberFault{{member, detail}}
	return p
}

func noToken() *problem {
	p := newProblem(http.StatusUnauthorized, "no_token", "an access token is needed")
	p.challenge = " "
	return p
}

func invalidToken() *problem {
	p := newProblem(http.StatusUnauthorized, "invalid_token", "the access token is expired, revoked or not for this API")
	p.challenge = `, error="invalid_token", error_description="` + p.Detail + `"`
	return p
}

func insufficientScope(scope string) *problem {
	p := newProblem(http.StatusForbidden, "insufficient_scope", "the access token lacks the scope "+scope)
	p.challenge = `, error="insufficient_scope", error_description="` + p.Detail + `", scope="` + scope + `"`
	return p
}

func notAdministrator() *problem {
	p := newProblem(http.StatusForbidden, "not_an_administrator", "the person is not in the group "+idp.AdminGroup)
	p.challenge = `, error="insufficient_scope", error_description="` + p.Detail + `"`
	return p
}

func notAllowed() *problem {
	return newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this address does not answer this method")
}

func notAcceptable() *problem {
	return newProblem(http.StatusNotAcceptable, "not_acceptable", "answers are application/json")
}

func unsupportedMediaType(accepted string) *problem {
	return newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "the content type must be "+accepted)
}

func preconditionFailed() *problem {
	return newProblem(http.StatusPreconditionFailed, "precondition_failed", "it is not as If-Match says any more: read it again")
}

// toProblem maps whatever went wrong to what the caller is told.
func toProblem(err error) *problem {
	var own *problem
	if errors.As(err, &own) {
		return own
	}
	var p *problem
	switch faults := inputFaults(err); {
	case len(faults) > 0:
		p = newProblem(http.StatusBadRequest, "invalid_input", "the input is not accepted")
		p.Errors = faults
	case errors.Is(err, idp.ErrNotFound):
		p = newProblem(http.StatusNotFound, "not_found", said(err, idp.ErrNotFound))
	case errors.Is(err, idp.ErrForbidden):
		p = newProblem(http.StatusForbidden, "beyond_authority", said(err, idp.ErrForbidden))
	case errors.Is(err, idp.ErrConflict):
		p = newProblem(http.StatusConflict, "conflict", said(err, idp.ErrConflict))
	case errors.Is(err, idp.ErrUnavailable):
		p = newProblem(http.StatusServiceUnavailable, "temporarily_unavailable", "the server cannot answer just now; try again")
		p.retryAfter = 1
	default:
		p = newProblem(http.StatusInternalServerError, "server_error", "something went wrong here")
	}
	p.cause = err
	return p
}

// said is what the service said of it: words that it made for operators.
func said(err, sentinel error) string {
	return strings.TrimSuffix(err.Error(), ": "+sentinel.Error())
}

// inputFaults returns all that the error says of the input.
func inputFaults(err error) []memberFault {
	var all []memberFault
	for _, fault := range idp.Faults(err) {
		all = append(all, memberFault{fault.Field, fault.Reason})
	}
	return all
}

// fail writes what went wrong and fills the request's log record: the one way
// out of everything that did not work.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *toProblem(err)
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = p.Code, err
	p.Type = a.Issuer + "/admin/openapi.yaml#" + p.Code
	p.Title, p.RequestID = http.StatusText(p.Status), record.ID
	h := w.Header()
	if p.challenge != "" {
		h.Set("WWW-Authenticate", `Bearer realm="`+a.Issuer+`"`+strings.TrimSpace(p.challenge))
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	write(w, p.Status, "application/problem+json", p)
}
