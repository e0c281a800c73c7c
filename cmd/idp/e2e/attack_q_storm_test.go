package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A storm of sign-ins costs as many hashes as the limits allow, and as much
// memory as the hashes that run at once; the other endpoints stay quick. Not
// parallel: it measures.
func TestAttack_Q06_LoginStorm(t *testing.T) {
	const (
		atOnce    = 2         // hashes of 64 MiB each
		heapLimit = 320 << 20 // bytes
		memoryCap = 448 << 20 // and what is not heap
		slowdown  = 5
		// A machine that is busy with other things, too, makes anything slow.
		unnoticed = 250 * time.Millisecond
	)
	EachEngineAlone(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{
			"IDP_PASSWORDS_MEMORY_KIB": "65536", "IDP_PASSWORDS_MAX_CONCURRENT": fmt.Sprint(atOnce),
			"IDP_SIGN_IN_FAILURES_PER_MINUTE": "1000000", "IDP_LOG_LEVEL": "error", "GOMEMLIMIT": fmt.Sprint(heapLimit),
		})
		alice, bob := inst.NewUser(t), inst.NewUser(t)
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		flow := b.Get(t, "/login").Form(t, "login-form").Fields["flow"]
		binding := "idp_browser=" + cookie(t, b, "idp_browser")
		signIn := func(name, password string) (*Answer, error) {
			body := url.Values{"flow": flow, "username": {name}, "password": {password}}
			r, err := http.NewRequest(http.MethodPost, inst.Issuer+"/login", strings.NewReader(body.Encode()))
			if err != nil {
				return nil, err
			}
			r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Cookie": {binding}, "Origin": {inst.Issuer}, "X-Forwarded-For": {NextAddress()}}
			return Send(node.HTTP, r)
		}
		others := map[string]func() error{
			"JWKS": func() error {
				r, err := http.NewRequest(http.MethodGet, inst.Issuer+"/.well-known/jwks.json", nil)
				if err != nil {
					return err
				}
				return wantStatus(Send(node.HTTP, r))
			},
			"token": func() error {
				return wantStatus(node.TryPost("/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}))
			},
		}
		// storm signs in many times at once, and returns the answers by status and
		// the most memory that the server used meanwhile.
		storm := func(t *testing.T, count int, name func(i int) string) (answers map[int][]*Answer, took map[string][]time.Duration, memory int) {
			t.Helper()
			answers, took = map[int][]*Answer{}, map[string][]time.Duration{}
			var mu sync.Mutex
			var storm, watch sync.WaitGroup
			over := make(chan struct{})
			for what, ask := range others {
				watch.Go(func() {
					for {
						start := time.Now()
						err := ask()
						mu.Lock()
						took[what] = append(took[what], time.Since(start))
						if err != nil {
							t.Errorf("%s during the storm: %v", what, err)
						}
						mu.Unlock()
						select {
						case <-over:
							return
						case <-time.After(5 * time.Millisecond):
						}
					}
				})
			}
			watch.Go(func() {
				for {
					memory = max(memory, node.rss(t))
					select {
					case <-over:
						return
					case <-time.After(20 * time.Millisecond):
					}
				}
			})
			for i := range count {
				storm.Go(func() {
					a, err := signIn(name(i), "wrong password")
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Errorf("no answer: %v", err)
						return
					}
					answers[a.Status] = append(answers[a.Status], a)
				})
			}
			storm.Wait()
			close(over)
			watch.Wait()
			return answers, took, memory
		}
		_, before, _ := storm(t, 20, func(i int) string { return fmt.Sprint("calm-", i) })

		wantQuick := func(t *testing.T, during map[string][]time.Duration) {
			t.Helper()
			for what := range others {
				calm, now := median(before[what]), median(during[what])
				t.Logf("%s: median %s before, %s during the storm (%d)", what, calm, now, len(during[what]))
				if now > slowdown*calm && now > unnoticed {
					t.Errorf("%s: the median goes from %s to %s during a storm of sign-ins", what, calm, now)
				}
			}
		}
		t.Run("OneAccount", func(t *testing.T) {
			const parallel, limit = 200, 5
			start := time.Now()
			answers, during, memory := storm(t, parallel, func(int) string { return alice.Username })
			evaluated, refused := len(answers[http.StatusUnprocessableEntity]), len(answers[http.StatusTooManyRequests])
			most := limit + int(time.Since(start)/(10*time.Second))
			t.Logf("%d evaluated, %d refused, %d MiB", evaluated, refused, memory>>20)
			if evaluated < limit || evaluated > most || evaluated+refused != parallel {
				t.Errorf("%d evaluated and %d refused, want %d to %d of %d", evaluated, refused, limit, most, parallel)
			}
			if memory > memoryCap {
				t.Errorf("%d MiB used, more than %d", memory>>20, memoryCap>>20)
			}
			wantQuick(t, during)
		})
		t.Run("ManyAccounts", func(t *testing.T) {
			const parallel = 1000
			answers, during, memory := storm(t, parallel, func(i int) string { return fmt.Sprint("nobody-", i) })
			evaluated, busy := len(answers[http.StatusUnprocessableEntity]), answers[http.StatusServiceUnavailable]
			t.Logf("%d evaluated, %d sent away, %d MiB", evaluated, len(busy), memory>>20)
			if evaluated == 0 || len(busy) == 0 || evaluated+len(busy) != parallel {
				t.Errorf("%d evaluated and %d sent away of %d", evaluated, len(busy), parallel)
			}
			for _, a := range busy {
				if !regexp.MustCompile(`^[1-9][0-9]?$`).MatchString(a.Header.Get("Retry-After")) || !a.HasID("login-form") {
					t.Fatalf("sent away with Retry-After %q: %.300s", a.Header.Get("Retry-After"), a.Body)
				}
			}
			if memory > memoryCap {
				t.Errorf("%d MiB used, more than %d", memory>>20, memoryCap>>20)
			}
			wantQuick(t, during)
		})
		if a, err := signIn(bob.Username, bob.Password); err != nil || a.Status != http.StatusSeeOther {
			t.Errorf("a sign-in after the storms: %v %+v", err, a)
		}
		node.wantQuiet(t, alice.Password, bob.Password)
	})
}

func wantStatus(a *Answer, err error) error {
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", a.Status, a.Body)
	}
	return err
}
