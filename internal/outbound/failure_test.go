package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"idp/internal/outbound"
)

// A subject is told of at once, and then once a minute with what came between.
func TestTally(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var told []string
	tally := outbound.NewTally(func() time.Time { return now }, func(_ context.Context, s string, f outbound.Failure, count int) {
		told = append(told, fmt.Sprintf("%s %s %d", s, f.Reason, count))
	})
	fail := func(s string) { tally.Count(t.Context(), s, outbound.Failure{Reason: outbound.ReasonTimeout}) }
	for range 5 {
		fail("a")
	}
	fail("b")
	now = now.Add(59 * time.Second)
	fail("a")
	now = now.Add(time.Second)
	fail("a")
	if got := fmt.Sprint(told); got != "[a timeout 1 b timeout 1 a timeout 6]" {
		t.Error(got)
	}
	told = nil
	for i := range 10_000 { // no more are kept in mind than can be
		fail(fmt.Sprint(i))
	}
	if len(told) > 4096 {
		t.Errorf("told %d times", len(told))
	}
	now = now.Add(time.Minute)
	told = nil
	fail("new")
	if len(told) != 1 {
		t.Error("nothing is told after the flood")
	}
}

func TestFailuresAreSorted(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	var last outbound.Failure
	failed := func(_ context.Context, f outbound.Failure) { last = f }
	trusting, _ := fetcherTelling(server, failed)
	strange, _ := fetcherTelling(nil, failed)
	for name, c := range map[string]struct {
		fetcher         *outbound.Fetcher
		address, reason string
	}{
		"gone":     {trusting, server.URL + "/gone?secret=1", outbound.ReasonAnswer},
		"hangs":    {trusting, server.URL + "/hang", outbound.ReasonTimeout},
		"strange":  {strange, server.URL, outbound.ReasonTLS},
		"closed":   {trusting, "https://127.0.0.1:1/", outbound.ReasonConnect},
		"inside":   {trusting, "https://10.0.0.1/", outbound.ReasonAddress},
		"nonsense": {trusting, "gopher://x/", outbound.ReasonAddress},
	} {
		if _, err := c.fetcher.Get(t.Context(), c.address); !errors.Is(err, outbound.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
		if last.Reason != c.reason || last.Cause == nil || len(last.Address) > len(server.URL)+5 {
			t.Errorf("%s: %+v, want %s", name, last, c.reason)
		}
	}
}
