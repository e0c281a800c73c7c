package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// sealedReturn is where the menu of languages leads back to: sealed anew each
// time, and as long as the digits of the time in it.
var sealedReturn = regexp.MustCompile(`name="to" value="[A-Za-z0-9_-]+"`)

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// wantAlike sends two kinds of request by turns and compares the medians of how
// long they take. A busy machine gets another chance; a difference that the
// server makes is there each time.
func wantAlike(t *testing.T, rounds int, limit time.Duration, one, other func(i int) *http.Request, client *http.Client, status int) {
	t.Helper()
	measure := func(r *http.Request) time.Duration {
		start := time.Now()
		a := Do(t, client, r)
		took := time.Since(start)
		if a.Status != status {
			t.Fatalf("%s: status %d, want %d: %.300s", r.URL.Path, a.Status, status, a.Body)
		}
		return took
	}
	for attempt := 1; ; attempt++ {
		var first, second []time.Duration
		for i := range rounds {
			if i%2 == 0 {
				first = append(first, measure(one(i)))
				second = append(second, measure(other(i)))
			} else {
				second = append(second, measure(other(i)))
				first = append(first, measure(one(i)))
			}
		}
		a, b := median(first), median(second)
		t.Logf("%d pairs: medians %s and %s", rounds, a, b)
		if (a - b).Abs() < limit {
			return
		}
		if attempt == 8 {
			t.Errorf("medians of %d pairs are %s and %s, %d times over", rounds, a, b, attempt)
			return
		}
	}
}

// What is unknown and what is there but refused take the same time. Not
// parallel: it measures.
func TestAttack_Timing(t *testing.T) {
	EachEngineAlone(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_LOG_LEVEL": "error"}) // thousands of requests
		web, disabled := inst.WebClient(t), inst.WebClient(t)
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		inst.CLI(t, "", "client", "disable", disabled.ID)
		node := inst.Start(t)
		addresses := 0
		// address is another one each time, so that no limit cuts in.
		address := func() string {
			addresses++
			return fmt.Sprintf("10.%d.%d.%d", addresses>>16&0xff, addresses>>8&0xff, addresses&0xff)
		}
		post := func(path string, form url.Values) *http.Request {
			r, err := http.NewRequest(http.MethodPost, inst.Issuer+path, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Forwarded-For", address())
			return r
		}

		t.Run("A01_UnknownClient", func(t *testing.T) {
			ask := func(id string) func(int) *http.Request {
				request := web.Request(NewPKCE(), "client_id", id)
				return func(int) *http.Request {
					r, err := http.NewRequest(http.MethodGet, inst.Issuer+"/oauth2/auth?"+request.Encode(), nil)
					if err != nil {
						t.Fatal(err)
					}
					return r
				}
			}
			unknown := "x" + disabled.ID[1:]
			wantAlike(t, 2000, time.Millisecond, ask(unknown), ask(disabled.ID), node.HTTP, http.StatusBadRequest)
			seen := func(id string) string {
				a := Do(t, node.HTTP, ask(id)(0))
				var lines []string
				for name, values := range a.Header {
					if name != "X-Request-Id" && name != "Date" && name != "Content-Length" {
						lines = append(lines, name+": "+strings.Join(values, ", "))
					}
				}
				slices.Sort(lines)
				body := strings.ReplaceAll(a.Body, a.Header.Get("X-Request-Id"), "")
				return strings.Join(lines, "\n") + sealedReturn.ReplaceAllString(body, "")
			}
			if a, b := seen(unknown), seen(disabled.ID); a != b {
				t.Errorf("unknown:\n%s\ndisabled:\n%s", a, b)
			}
		})
		t.Run("G05_UnknownClient", func(t *testing.T) {
			guess := func(id string) func(int) *http.Request {
				return func(int) *http.Request {
					r := post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
					r.SetBasicAuth(id, service.Secret[:len(service.Secret)-1]+"~")
					return r
				}
			}
			wantAlike(t, 10_000, time.Millisecond, guess("x"+service.ID[1:]), guess(service.ID), node.HTTP, http.StatusUnauthorized)
		})
	})
}
