package grants

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/ory/fosite"

	"idp/internal/idp"
)

// Error is what a client is told. Description is fixed text for developers in
// the characters of RFC 6749 section 5.2; the cause goes to the log alone.
type Error struct {
	Code        string
	Description string
	Status      int
	RetryAfter  int // seconds; 0 for none
	cause       error
	rule        idp.Rule // that refused; empty for what the code or the cause says
	facts       []idp.Fact
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Description + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.cause }

// because returns a copy of e that remembers why.
func (e *Error) because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// by returns a copy of e that says which rule refused, and on what grounds.
func (e *Error) by(rule idp.Rule, facts ...idp.Fact) *Error {
	c := *e
	c.rule, c.facts = rule, facts
	return &c
}

func oauthError(status int, code, description string) *Error {
	return &Error{Code: code, Description: description, Status: status}
}

// The error codes of RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707 section 2 and
// OpenID Connect Core section 3.1.2.6.
func invalidRequest(description string) *Error {
	return oauthError(http.StatusBadRequest, "invalid_request", description)
}

func invalidGrant(description string) *Error {
	return oauthError(http.StatusBadRequest, "invalid_grant", description)
}

func invalidScope(description string) *Error {
	return oauthError(http.StatusBadRequest, "invalid_scope", description)
}

func invalidTarget(description string) *Error {
	return oauthError(http.StatusBadRequest, "invalid_target", description)
}

func invalidClient() *Error {
	return oauthError(http.StatusUnauthorized, "invalid_client", "client authentication failed")
}

func unauthorizedClient(description string) *Error {
	return oauthError(http.StatusBadRequest, "unauthorized_client", description)
}

func accessDenied(description string) *Error {
	return oauthError(http.StatusForbidden, "access_denied", description)
}

func unavailable(cause error) *Error {
	return &Error{
		Code: "temporarily_unavailable", Description: "the server cannot answer just now; try again",
		Status: http.StatusServiceUnavailable, RetryAfter: 1, cause: cause,
	}
}

func serverError(cause error) *Error {
	return oauthError(http.StatusInternalServerError, "server_error", "something went wrong here").because(cause)
}

// toError maps whatever went wrong to what the client is told. Our sentinels
// come before fosite's codes, because fosite wraps what storage says as
// server_error.
func toError(err error) *Error {
	var own *Error
	var inner *fosite.RFC6749Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, idp.ErrUnavailable):
		return unavailable(err)
	case errors.Is(err, idp.ErrAlreadyUsed), errors.Is(err, idp.ErrExpired), errors.Is(err, idp.ErrNotFound), errors.Is(err, idp.ErrMalformed):
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(err)
	case errors.As(err, &inner):
		return fromFosite(inner, err)
	}
	return serverError(err)
}

// fromFosite keeps the codes that RFC 6749 registers, with words of our own.
func fromFosite(inner *fosite.RFC6749Error, cause error) *Error {
	switch inner.ErrorField {
	case "invalid_request":
		return invalidRequest("the request is malformed or misses a parameter").because(cause)
	case "invalid_grant", "token_inactive", "not_found":
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(cause)
	case "invalid_scope", "scope_not_granted":
		return invalidScope("a requested scope is unknown or not allowed").because(cause)
	case "unauthorized_client":
		return unauthorizedClient("the client may not use this grant type").because(cause)
	case "invalid_client":
		return invalidClient().because(cause)
	}
	return serverError(cause)
}

// fail writes err as the JSON of RFC 6749 section 5.2 and fills the request's
// log record: the one way out of token, introspection and revocation.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err *Error) {
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = err.Code, err
	record.Decided(err.step())
	h := w.Header()
	if err.Status == http.StatusUnauthorized && err.Code == "invalid_client" {
		h.Add("WWW-Authenticate", `Basic realm="`+s.Issuer+`", charset="UTF-8"`)
	}
	if err.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(err.RetryAfter))
	}
	writeJSON(w, err.Status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{err.Code, err.Description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // only types of ours come here
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// readBody reads the whole body; the server has bounded it.
func readBody(r *http.Request) (string, *Error) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "", oauthError(http.StatusRequestEntityTooLarge, "invalid_request", "the request body is too large")
	case err != nil:
		return "", invalidRequest("the request body could not be read").because(err)
	}
	return string(body), nil
}
