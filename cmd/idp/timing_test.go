package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
	"idp/internal/idp"
)

var flowField = regexp.MustCompile(`name="flow" value="([^"]+)"`)

// How long a refused sign-in takes does not tell whether there is such an
// account: the medians of attempts by turns, over the whole server but the
// wire, are less than 5 ms apart. A busy machine is measured for longer.
//
// By default that is a hundred pairs at the least cost of a hash that can be
// configured. IDP_TEST_TIMING_PAIRS=2000 measures so many whatever comes, and
// IDP_TEST_TIMING_COST=default at the cost that people get, for some minutes:
//
//	IDP_TEST_TIMING_PAIRS=2000 IDP_TEST_TIMING_COST=default go test ./cmd/idp -run TestAttack_Q01_Timing -v -timeout 1h
func TestAttack_Q01_Timing(t *testing.T) {
	const (
		limit  = 5 * time.Millisecond
		rounds = 10
	)
	pairs, _ := strconv.Atoi(os.Getenv("IDP_TEST_TIMING_PAIRS"))
	atMost := 1
	if pairs == 0 {
		pairs, atMost = 100, rounds
	}
	for _, engine := range e2e.Engines { // not parallel: it measures
		t.Run(engine, func(t *testing.T) {
			w := newClockwork(t, engine)
			w.env = append(w.env, "IDP_SIGN_IN_FAILURES_PER_MINUTE=1000000", "IDP_LOG_LEVEL=error")
			if os.Getenv("IDP_TEST_TIMING_COST") == "default" {
				w.env = slices.DeleteFunc(w.env, func(s string) bool { return strings.HasPrefix(s, "IDP_PASSWORDS_") })
			}
			n := w.wired(t)
			hash, err := n.hasher.HashNew(t.Context(), idp.User{}, "velvet anchor of somebody")
			if err != nil {
				t.Fatal(err)
			}
			page := n.ask("/login", nil, func(*http.Request) {})
			flow := flowField.FindStringSubmatch(page.Body.String())
			if flow == nil {
				t.Fatalf("no form: %d %.300s", page.Code, page.Body)
			}
			binding := strings.SplitN(page.Header().Get("Set-Cookie"), ";", 2)[0]
			attempt := func(name string) time.Duration {
				form := url.Values{"flow": {flow[1]}, "username": {name}, "password": {"wrong password"}}
				start := time.Now()
				a := n.ask("/login", form, func(r *http.Request) {
					r.Header.Set("Cookie", binding)
					r.Header.Set("Origin", w.issuer)
				})
				took := time.Since(start)
				if a.Code != http.StatusUnprocessableEntity {
					t.Fatalf("%s: status %d %.300s", name, a.Code, a.Body)
				}
				return took
			}

			var known, unknown []time.Duration
			for round := 1; ; round++ {
				// Nobody is tried twice, so that no limit cuts in.
				var names []string
				for i := range pairs {
					u := idp.User{ID: fmt.Sprintf("u-%d-%d", round, i), Username: fmt.Sprintf("person-%d-%d", round, i), PasswordHash: hash, State: idp.UserActive}
					if err := n.store.CreateUser(t.Context(), u); err != nil {
						t.Fatal(err)
					}
					names = append(names, u.Username)
				}
				for i, name := range names {
					if i%2 == 0 {
						known = append(known, attempt(name))
					}
					unknown = append(unknown, attempt("nobody"+name[6:]))
					if i%2 == 1 {
						known = append(known, attempt(name))
					}
				}
				a, b := middle(known), middle(unknown)
				t.Logf("%d pairs: medians %s for known and %s for unknown accounts, %s apart", len(known), a, b, (a - b).Abs())
				if (a - b).Abs() < limit {
					return
				}
				if round == atMost {
					t.Fatalf("the medians are %s apart", (a - b).Abs())
				}
			}
		})
	}
}

func middle(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}
