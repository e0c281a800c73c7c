package decisions_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/decisions"
	"idp/internal/idp"
)

// shelf keeps what is written, unless it is away.
type shelf struct {
	mu     sync.Mutex
	err    error
	traces []idp.Trace
}

func (s *shelf) AppendTraces(_ context.Context, traces []idp.Trace) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.traces = append(s.traces, traces...)
	}
	return s.err
}

func request(id, outcome string, steps ...idp.Step) *idp.Request {
	return &idp.Request{ID: id, Outcome: outcome, Steps: steps}
}

var (
	at     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	passed = idp.Step{Rule: idp.RuleClientKnown, Outcome: idp.Passed}
	failed = idp.Step{Rule: idp.RuleClientSecret, Outcome: idp.Failed, Facts: []idp.Fact{{Name: "client_id", Value: "web"}, {Name: "user_id", Value: "u"}}}
)

func recorder(s *shelf, successes bool) *decisions.Recorder {
	return decisions.New(decisions.Config{Store: s, Successes: successes, Logger: slog.New(slog.DiscardHandler)})
}

// What was decided is written, whom it was about if it is known, and nothing of
// requests that decided nothing.
func TestAnsweredIsWritten(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	r := recorder(s, true)
	r.Answered("/oauth2/token", 200, at, request("good", "", passed))
	r.Answered("/oauth2/token", 401, at, request("bad", "invalid_client", failed))
	r.Answered("/", 200, at, request("none", ""))
	r.Close(t.Context())
	require.Len(t, s.traces, 2)
	for _, trace := range s.traces {
		if trace.RequestID == "bad" {
			require.Equal(t, idp.Trace{
				RequestID: "bad", At: at, Endpoint: "/oauth2/token", Status: 401, Error: "invalid_client", ClientID: "web", UserID: "u", Steps: []idp.Step{failed},
			}, trace)
		}
	}
	require.Zero(t, r.Dropped())
	r.Answered("/oauth2/token", 200, at, request("late", "", passed))
	require.EqualValues(t, 1, r.Dropped(), "nothing is taken any more")
	r.Close(t.Context())
}

func TestSuccessesAreLeftOut(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	r := recorder(s, false)
	r.Answered("/oauth2/token", 200, at, request("good", "", passed))
	r.Answered("/login", 422, at, request("unfilled", "", failed))
	r.Close(t.Context())
	require.Len(t, s.traces, 1)
	require.Equal(t, "unfilled", s.traces[0].RequestID)
	require.Zero(t, r.Dropped())
}

// Nobody waits for a database that is away; what does not fit is counted, and
// what was refused is kept before what was not.
func TestAFloodIsDropped(t *testing.T) {
	t.Parallel()
	s := &shelf{err: fmt.Errorf("away: %w", idp.ErrUnavailable)}
	r := recorder(s, true)
	const many = 10_000
	for i := range many {
		r.Answered("/oauth2/token", 200, at, request(fmt.Sprint("good", i), "", passed))
	}
	for i := range 100 {
		r.Answered("/oauth2/token", 401, at, request(fmt.Sprint("bad", i), "invalid_client", failed))
	}
	require.Positive(t, r.Dropped())
	s.mu.Lock()
	s.err = nil
	s.mu.Unlock()
	r.Close(t.Context())
	refused := 0
	for _, trace := range s.traces {
		if trace.Refused() {
			refused++
		}
	}
	require.Equal(t, 100, refused)
	require.EqualValues(t, many+100, int64(len(s.traces))+r.Dropped())
}

// What the database refuses is not tried again, and closing has an end.
func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"refused": errors.New("no such table"), "away": idp.ErrUnavailable} {
		s := &shelf{err: err}
		r := recorder(s, true)
		r.Answered("/oauth2/token", 200, at, request("one", "", passed))
		r.Close(t.Context())
		require.EqualValues(t, 1, r.Dropped(), name)
	}
}
