package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// What a request may weigh.
const (
	maxBody    = 64 << 10
	maxURL     = 8 << 10
	maxHeaders = 16 << 10
	maxCookies = 50
)

// refusal says what is wrong with a request whatever it asks for, or nil.
func (p *public) refusal(r *http.Request) *Fault {
	switch {
	case !knownMethod(r.Method):
		// CONNECT and TRACE among them. Upgrade and the headers that override a
		// method are not looked at by anything here (RFC 9110 section 7.8).
		return &Fault{Status: http.StatusMethodNotAllowed, Message: "This method is not answered here."}
	case p.hostname(r.Host) != p.issuerHost:
		return &Fault{Status: http.StatusMisdirectedRequest, Message: "This server answers under another address only.", Link: p.issuer}
	case len(r.RequestURI) > maxURL:
		return &Fault{Status: http.StatusRequestURITooLong, Message: fmt.Sprintf("The address is longer than %d bytes.", maxURL)}
	case cookies(r.Header["Cookie"]) > maxCookies:
		return &Fault{Status: http.StatusRequestHeaderFieldsTooLarge, Message: fmt.Sprintf("The browser sent more than %d cookies.", maxCookies)}
	}
	return nil
}

func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

func cookies(lines []string) int {
	n := 0
	for _, line := range lines {
		n += 1 + strings.Count(line, ";")
	}
	return n
}

// readBody takes the whole body in before the handler runs, so that no handler
// meets one that is too large, compressed, cut off or slow, and answers
// differently from the next.
func (p *public) readBody(w http.ResponseWriter, r *http.Request, most int64) *Fault {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	for _, coding := range r.Header["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
			w.Header().Set("Connection", "close")
			return &Fault{Status: http.StatusUnsupportedMediaType, Message: "The request body must not be compressed."}
		}
	}
	tooLarge := &Fault{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("The request body is larger than %d bytes.", most)}
	if r.ContentLength > most {
		w.Header().Set("Connection", "close")
		return tooLarge
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return &Fault{Status: http.StatusRequestTimeout, Message: "The request body took too long."}
	case err != nil:
		w.Header().Set("Connection", "close")
		return &Fault{Status: http.StatusBadRequest, Message: "The request body is incomplete or malformed."}
	}
	r.Body = io.NopCloser(&body)
	r.ContentLength = int64(body.Len())
	return nil
}
