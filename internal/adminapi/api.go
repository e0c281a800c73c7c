package adminapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	_ "embed"

	"idp/internal/admin"
	"idp/internal/idp"
)

// Tokens says whether an access token lives, and whose it is; implemented by
// *grants.Service.
type Tokens interface {
	Bearer(ctx context.Context, raw string) (idp.Bearer, error)
}

// Sealer keeps what goes through the caller's hands as it is; implemented by
// *tokens.Master.
type Sealer interface {
	Seal(purpose string, plaintext, additional []byte) ([]byte, error)
	Open(purpose string, sealed, additional []byte) ([]byte, error)
}

// Config is what an API is made of; every field is needed.
type Config struct {
	Issuer  string // exactly as published, without a trailing slash
	Tokens  Tokens
	Sealer  Sealer
	Secrets Secrets
	// Requests are those that may come again.
	Requests Requests
	Admin    *admin.Service
	Keys     Keys
	Reads    Reads
	// Configuration is what this node runs with, as JSON has it; secrets are left
	// out.
	Configuration map[string]any
	// SessionIdle is how long a session lives that nobody uses.
	SessionIdle time.Duration
	Now         func() time.Time
}

// API answers the routes below /admin.
type API struct{ Config }

// New returns an API.
func New(cfg Config) *API { return &API{cfg} }

//go:embed openapi.yaml
var specification []byte

// Specification answers GET /admin/openapi.yaml. It is the same for everybody
// and holds nothing of this installation, so it needs no token.
func (a *API) Specification(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/yaml") // RFC 9512
	h.Set("Content-Length", strconv.Itoa(len(specification)))
	_, _ = w.Write(specification)
}

// call is one request that passed the door.
type call struct {
	*http.Request
	api    *API
	admin  *admin.Service // within what the caller may do
	caller string         // whom a page token belongs to
	scopes []string       // of the access token
}

// answer is what a request leads to. A nil body is none at all.
type answer struct {
	status int
	body   any
	etag   string // of the thing, where it has one
	header map[string]string
}

// operation is one method of a route: what it takes to call it, and what it does.
type operation struct {
	scope string
	do    func(*call) (answer, error)
}

// serve runs the operation of the request's method: 1 what the answer may be ·
// 2 the door · 3 the operation · 4 the answer. HEAD is GET; the server keeps
// the body back, and lets no other method through than the route has.
func (a *API) serve(w http.ResponseWriter, r *http.Request, operations map[string]operation) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	result, err := a.run(r, operations[method])
	if err != nil {
		a.fail(w, r, err)
		return
	}
	h := w.Header()
	for name, value := range result.header {
		h.Set(name, value)
	}
	if result.etag != "" {
		h.Set("ETag", result.etag)
		if method == http.MethodGet && matches(r.Header.Values("If-None-Match"), result.etag, true) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if result.body == nil {
		w.WriteHeader(result.status)
		return
	}
	write(w, result.status, "application/json", result.body)
}

func (a *API) run(r *http.Request, o operation) (answer, error) {
	if o.do == nil {
		return answer{}, notAllowed()
	}
	if !acceptsJSON(r.Header.Values("Accept")) {
		return answer{}, notAcceptable()
	}
	c, err := a.admit(r, o.scope)
	if err != nil {
		return answer{}, err
	}
	if len(r.Header.Values("Idempotency-Key")) > 0 {
		return c.once(o.do)
	}
	result, err := o.do(c)
	if c.conditional() && errors.Is(err, idp.ErrChanged) { // by somebody who was faster
		err = preconditionFailed()
	}
	return result, err
}

// acceptsJSON reports whether the caller takes JSON (RFC 9110 section 12.5.1).
func acceptsJSON(lines []string) bool {
	if len(lines) == 0 {
		return true
	}
	for _, part := range strings.Split(strings.Join(lines, ","), ",") {
		mediaType, parameters, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(mediaType)) {
		case "application/json", "application/*", "*/*":
			if q := strings.ReplaceAll(parameters, " ", ""); q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000" {
				return true
			}
		}
	}
	return false
}

// etag is a strong validator of what a GET of the thing answers.
func etag(body any) string {
	data, err := json.Marshal(body)
	if err != nil {
		panic("adminapi: an answer without a JSON form: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
}

// matches reports whether one of the entity tags of an If-Match or
// If-None-Match header is the one that there is. A weak one counts only where
// weak is true (RFC 9110 section 8.8.3.2).
func matches(lines []string, current string, weak bool) bool {
	for _, tag := range strings.Split(strings.Join(lines, ","), ",") {
		tag = strings.TrimSpace(tag)
		if weak {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if tag == current || tag == "*" {
			return true
		}
	}
	return false
}

// unchanged refuses a request that is about an earlier state of the thing.
func (c *call) unchanged(current string) error {
	if c.conditional() && !matches(c.Header.Values("If-Match"), current, false) {
		return preconditionFailed()
	}
	return nil
}

// still reports whether what is about to be changed is what If-Match was compared
// with; where it is not, a change has to leave it alone.
func (c *call) still(compared, now any) bool { return !c.conditional() || etag(compared) == etag(now) }

func (c *call) conditional() bool { return len(c.Header.Values("If-Match")) > 0 }

func write(w http.ResponseWriter, status int, contentType string, body any) {
	data, err := json.Marshal(body)
	if err != nil { // only types of ours come here
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
