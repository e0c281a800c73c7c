package adminapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// Requests keep what was answered to requests that may come again; implemented
// by *store.Store.
type Requests interface {
	ClaimRequest(ctx context.Context, r idp.RepeatableRequest) (first idp.RepeatableRequest, err error)
	AnswerRequest(ctx context.Context, r idp.RepeatableRequest) error
	ReleaseRequest(ctx context.Context, r idp.RepeatableRequest) error
}

const (
	answerPurpose = "answers"
	maxRequestKey = 255 // characters
	// doneWithin is how long a request takes at most, or nobody knows any more
	// how it ended.
	doneWithin = 30 * time.Second
)

// kept is what is sealed of a request. A request may hold a password and its
// answer a secret, so neither lies in the open, and nor does a hash of them.
type kept struct {
	Request []byte      `json:"request"` // a hash of all that decides what it does
	Answer  *keptAnswer `json:"answer,omitempty"`
}

type keptAnswer struct {
	Status int               `json:"status"`
	Body   json.RawMessage   `json:"body,omitempty"`
	ETag   string            `json:"etag,omitempty"`
	Header map[string]string `json:"header,omitempty"`
}

// once does what a request asks for, unless the caller sent it before under the
// same Idempotency-Key: then it gives the answer of that time, secrets included,
// because it may have been lost on the way. 1 what the request is · 2 is it the
// first · 3 the operation, to its end even if the caller hangs up · 4 keep the
// answer, or let go of a request that changed nothing.
func (c *call) once(do func(*call) (answer, error)) (answer, error) {
	// 1.
	keys := c.Header.Values("Idempotency-Key")
	if c.Method != http.MethodPost {
		return answer{}, invalid("Idempotency-Key is for POST: repeat others as they are, with If-Match where it matters")
	}
	if len(keys) != 1 || !requestKey(keys[0]) {
		return answer{}, invalid("Idempotency-Key must be there once, with 1 to 255 visible ASCII characters")
	}
	body, err := c.read()
	if err != nil {
		return answer{}, err
	}
	c.Body = io.NopCloser(bytes.NewReader(body))
	asked := c.asked(body)
	r := idp.RepeatableRequest{Key: sha256.Sum256([]byte(c.caller + "\x00" + keys[0])), BeganAt: idp.Instant(c.api.Now())}
	if r.Sealed, err = c.seal(r, kept{Request: asked}); err != nil {
		return answer{}, err
	}

	// 2.
	first, err := c.api.Requests.ClaimRequest(c.Context(), r)
	if errors.Is(err, idp.ErrNotFound) { // it ended just now, and changed nothing
		return answer{}, inFlight(r, r.BeganAt)
	}
	if err != nil {
		return answer{}, err
	}
	if !first.BeganAt.IsZero() {
		return c.again(first, asked, r.BeganAt)
	}

	// 3.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), doneWithin)
	defer cancel()
	c.Request = c.WithContext(ctx)
	result, failure := do(c)
	if failure != nil {
		if toProblem(failure).Status < 500 {
			_ = c.api.Requests.ReleaseRequest(ctx, r) // else the key stays taken, which harms nobody
		}
		return answer{}, failure
	}

	// 4.
	given := keptAnswer{Status: result.status, ETag: result.etag, Header: result.header}
	if result.body != nil {
		if given.Body, err = json.Marshal(result.body); err != nil {
			return answer{}, err
		}
	}
	if r.Sealed, err = c.seal(r, kept{Request: asked, Answer: &given}); err == nil {
		err = c.api.Requests.AnswerRequest(ctx, r)
	}
	if err != nil { // it was done, and the caller is told
		idp.RequestFrom(ctx).Cause = fmt.Errorf("the answer is not kept: %w", err)
	}
	return result, nil
}

// again answers a request that came before.
func (c *call) again(first idp.RepeatableRequest, asked []byte, now time.Time) (answer, error) {
	text, err := c.api.Sealer.Open(answerPurpose, first.Sealed, first.Key[:])
	if err != nil {
		return answer{}, err
	}
	var before kept
	if err := json.Unmarshal(text, &before); err != nil {
		return answer{}, err
	}
	switch given := before.Answer; {
	case !bytes.Equal(before.Request, asked):
		return answer{}, newProblem(http.StatusUnprocessableEntity, "idempotency_key_reused", "another request came under this Idempotency-Key: use a new one for each")
	case given == nil:
		return answer{}, inFlight(first, now)
	default:
		result := answer{status: given.Status, etag: given.ETag, header: given.Header}
		if given.Body != nil {
			result.body = given.Body
		}
		return result, nil
	}
}

// inFlight says that the first request with the key has no answer yet, or that
// it will have none: its node died, or the database was away.
func inFlight(first idp.RepeatableRequest, now time.Time) *problem {
	if now.Sub(first.BeganAt) > doneWithin {
		return newProblem(http.StatusConflict, "outcome_unknown",
			"a request came under this Idempotency-Key and it is not known how it ended: see whether it was done, and use a new one")
	}
	p := newProblem(http.StatusConflict, "request_in_flight", "the first request with this Idempotency-Key is not answered yet; try again")
	p.retryAfter = 1
	return p
}

// asked is a hash of all that decides what the request does. The scopes of the
// token are among it: who holds less than before is told nothing of it.
func (c *call) asked(body []byte) []byte {
	scopes := slices.Sorted(slices.Values(c.scopes))
	hash := sha256.New()
	for _, part := range []string{c.Method, c.URL.EscapedPath(), c.URL.RawQuery, c.Header.Get("Content-Type"), c.Header.Get("If-Match"), strings.Join(scopes, " ")} {
		hash.Write([]byte(part + "\x00")) // none of them has a NUL
	}
	hash.Write(body)
	return hash.Sum(nil)
}

func (c *call) seal(r idp.RepeatableRequest, k kept) ([]byte, error) {
	text, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return c.api.Sealer.Seal(answerPurpose, text, r.Key[:])
}

func requestKey(text string) bool {
	return text != "" && len(text) <= maxRequestKey && !strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e })
}
