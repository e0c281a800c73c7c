package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// TraceStore keeps how requests were decided, for a while. Implemented by
// *store.Store.
type TraceStore interface {
	// Traces returns those of requests whose identifiers begin so, sorted by them,
	// the newest of each first.
	Traces(ctx context.Context, prefix string, limit int) ([]idp.Trace, error)
	TraceRetention() time.Duration
}

const (
	minRequestID = 6 // characters of an identifier that one is looked for by
	maxRequestID = 64
	// maxFits is how many requests are named that an identifier fits.
	maxFits = 5
)

// Explain says how a request was decided, by its identifier or by the beginning
// of it. A proxy may have given the same to several requests: then it is the
// newest.
func (s *Service) Explain(ctx context.Context, requestID string) (idp.Explanation, error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	if len(requestID) < minRequestID || len(requestID) > maxRequestID || strings.Trim(requestID, letters) != "" {
		return idp.Explanation{}, idp.Invalid("request_id", fmt.Sprintf("must be what X-Request-Id and error pages say, or at least its first %d characters", minRequestID))
	}
	traces, err := s.store.Traces(ctx, requestID, maxFits+1)
	switch {
	case err != nil:
		return idp.Explanation{}, fmt.Errorf("admin: read how a request was decided: %w", err)
	case len(traces) == 0:
		return idp.Explanation{}, fmt.Errorf("nothing is kept of a request %s: %s: %w", requestID, s.traceRetention(), idp.ErrNotFound)
	}
	var ids []string
	for _, t := range traces {
		ids = append(ids, t.RequestID)
	}
	if ids = slices.Compact(ids); len(ids) > 1 && ids[0] != requestID {
		return idp.Explanation{}, idp.Invalid("request_id", "is the beginning of several: "+strings.Join(ids[:min(len(ids), maxFits)], ", "))
	}
	return traces[0].Explain(), nil
}

// traceRetention says for how long there is an answer.
func (s *Service) traceRetention() string {
	kept := s.store.TraceRetention()
	const day = 24 * time.Hour
	switch {
	case kept <= 0:
		return "traces.retention says that nothing is kept"
	case kept%day == 0:
		return fmt.Sprintf("how requests were decided is kept for %d days", kept/day)
	}
	return "how requests were decided is kept for " + kept.String()
}
