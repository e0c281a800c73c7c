package backchannel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"idp/internal/backchannel"
	"idp/internal/idp"
)

// outbox keeps notices as the database does.
type outbox struct {
	mu      sync.Mutex
	notices []idp.LogoutNotice
	due     map[string]time.Time // by session and client
	events  []idp.Event
}

func name(n idp.LogoutNotice) string { return n.SessionID.String() + " " + n.ClientID }

func (o *outbox) add(clientID string, session byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := idp.LogoutNotice{SessionID: idp.ID{session}, ClientID: clientID, Subject: "alice", EndedAt: time.Now()}
	o.notices = append(o.notices, n)
	o.due[name(n)] = n.EndedAt
}

func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.notices)
}

func (o *outbox) told(kind idp.EventKind) []idp.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.events), func(e idp.Event) bool { return e.Kind != kind })
}

func (o *outbox) DueLogouts(_ context.Context, now time.Time, perClient, limit int) ([]idp.LogoutNotice, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var due []idp.LogoutNotice
	count := map[string]int{}
	for _, n := range o.notices {
		if !o.due[name(n)].After(now) && count[n.ClientID] < perClient && len(due) < limit {
			due = append(due, n)
			count[n.ClientID]++
		}
	}
	return due, nil
}

func (o *outbox) ClaimLogout(_ context.Context, n idp.LogoutNotice, until time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.notices, n)
	if i < 0 {
		return false, nil
	}
	o.notices[i].Attempts++
	o.due[name(n)] = until
	return true, nil
}

func (o *outbox) PostponeLogout(_ context.Context, n idp.LogoutNotice, until time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due[name(n)] = until
	return nil
}

func (o *outbox) PostponeLogouts(_ context.Context, clientID string, until time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.notices {
		if n.ClientID == clientID && o.due[name(n)].Before(until) {
			o.due[name(n)] = until
		}
	}
	return nil
}

func (o *outbox) FinishLogout(_ context.Context, n idp.LogoutNotice, events ...idp.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.notices)
	o.notices = slices.DeleteFunc(o.notices, func(other idp.LogoutNotice) bool { return name(other) == name(n) })
	if len(o.notices) < before {
		o.events = append(o.events, events...)
	}
	return nil
}

// clients all hear of logouts at an address that names them, but for "deaf".
type clients struct{}

func (clients) Client(id string) (*idp.Client, bool) {
	c := &idp.Client{ClientID: id, ClientMetadata: idp.ClientMetadata{BackchannelLogoutURI: "https://" + id + ".example/"}}
	switch id {
	case "gone":
		return nil, false
	case "deaf":
		c.BackchannelLogoutURI = ""
	case "disabled":
		c.Disabled = true
	}
	return c, true
}

type signer struct{}

func (signer) SignLogoutToken(_ string, t idp.LogoutToken) (string, error) {
	return t.ClientID + " " + t.SessionID.String() + " " + t.ID.String(), nil
}

// network answers as each host is told to.
type network struct {
	mu     sync.Mutex
	answer map[string]func(ctx context.Context, attempt int) (int, error)
	posted map[string][]time.Time
	tokens []string
}

func (n *network) PostForm(ctx context.Context, address string, form url.Values) (int, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	n.mu.Lock()
	n.posted[u.Host] = append(n.posted[u.Host], time.Now())
	n.tokens = append(n.tokens, form.Get("logout_token"))
	answer, attempt := n.answer[u.Host], len(n.posted[u.Host])
	n.mu.Unlock()
	if answer == nil {
		return http.StatusOK, nil
	}
	return answer(ctx, attempt)
}

func (n *network) times(host string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.posted[host])
}

func hang(ctx context.Context, _ int) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// run starts a notifier in a bubble of made-up time.
func run(t *testing.T, test func(t *testing.T, o *outbox, n *network)) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{due: map[string]time.Time{}}
		n := &network{answer: map[string]func(context.Context, int) (int, error){}, posted: map[string][]time.Time{}}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		notifier := backchannel.New(backchannel.Config{Store: o, Clients: clients{}, Signer: signer{}, Poster: n, Now: time.Now})
		go func() {
			notifier.Run(ctx)
			close(done)
		}()
		test(t, o, n)
		stop()
		<-done
	})
}

func TestDelivers(t *testing.T) {
	run(t, func(t *testing.T, o *outbox, n *network) {
		for _, id := range []string{"mail", "wiki", "gone", "deaf", "disabled"} {
			o.add(id, 1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if o.left() != 0 || len(n.tokens) != 2 || len(o.told(idp.EventLogoutDelivered)) != 2 {
			t.Errorf("%d left, sent %v, events %+v", o.left(), n.tokens, o.events)
		}
	})
}

// Attack O05: one client that hangs, however much there is to tell it, delays no
// other, and is not asked again and again.
func TestAttack_O05_OneHangs(t *testing.T) {
	run(t, func(t *testing.T, o *outbox, n *network) {
		n.answer["silent.example"] = hang
		for session := range byte(200) {
			o.add("silent", session)
		}
		for session := range byte(40) {
			o.add("mail", session)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := len(n.times("mail.example")); got != 40 {
			t.Errorf("mail was told %d times within 2 s, want 40", got)
		}
		time.Sleep(58 * time.Second)
		if got := len(n.times("silent.example")); got < 2 || got > 5 {
			t.Errorf("the silent one was tried %d times in a minute", got)
		}
	})
}

// Attack O05: many more clients hang than are served at once, and sessions with
// them end all the time. The others wait for one round of them at most, and then
// not at all: who does not answer is left alone, whatever there is to tell.
func TestAttack_O05_ManyHang(t *testing.T) {
	run(t, func(t *testing.T, o *outbox, n *network) {
		const silent = 400
		for i := range silent {
			n.answer[fmt.Sprintf("silent-%d.example", i)] = hang
		}
		end := func(session byte) {
			for i := range silent {
				o.add(fmt.Sprintf("silent-%d", i), session)
			}
		}
		told := func(session byte, within time.Duration) {
			t.Helper()
			o.add("mail", session)
			time.Sleep(within)
			synctest.Wait()
			if got := len(n.times("mail.example")); got != int(session) {
				t.Errorf("mail was told %d times, want %d within %s", got, session, within)
			}
		}
		end(1)
		told(1, 21*time.Second) // 400 hang for 5 s each, 128 at once
		for session := byte(2); session < 12; session++ {
			end(session)
			told(session, time.Second)
			time.Sleep(15 * time.Second)
		}
		// Who is tried again is chance while so many wait for few slots.
		all := 0
		for i := range silent {
			got := len(n.times(fmt.Sprintf("silent-%d.example", i)))
			if all += got; got < 1 || got > 7 {
				t.Errorf("a silent one was tried %d times in three minutes", got)
			}
		}
		if all < 2*silent {
			t.Errorf("%d silent ones were tried %d times in three minutes", silent, all)
		}
	})
}

// It is tried for an hour, less and less often, with a token of its own each
// time, and then the audit says that nobody heard.
func TestGivesUpAfterAnHour(t *testing.T) {
	for name, answer := range map[string]func(context.Context, int) (int, error){
		"unreachable": func(context.Context, int) (int, error) { return 0, errors.New("no route") },
		"fails":       func(context.Context, int) (int, error) { return http.StatusBadGateway, nil },
		"refuses":     func(context.Context, int) (int, error) { return http.StatusBadRequest, nil },
		"redirects":   func(context.Context, int) (int, error) { return http.StatusFound, nil },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, o *outbox, n *network) {
				n.answer["mail.example"] = answer
				o.add("mail", 1)
				time.Sleep(59 * time.Minute)
				if o.left() != 1 {
					t.Error("given up within the hour")
				}
				time.Sleep(15 * time.Minute)
				synctest.Wait()
				undelivered := o.told(idp.EventLogoutUndelivered)
				if o.left() != 0 || len(undelivered) != 1 || undelivered[0].Detail["error"] == "" || undelivered[0].ClientID != "mail" {
					t.Errorf("%d left, events %+v", o.left(), o.events)
				}
				tries := n.times("mail.example")
				if len(tries) < 8 || len(tries) > 20 {
					t.Errorf("%d attempts", len(tries))
				}
				seen := map[string]bool{}
				for _, token := range n.tokens {
					if seen[token] {
						t.Error("the same token twice")
					}
					seen[token] = true
				}
			})
		})
	}
}

// A refusal of one notice holds up no other; a client that comes back hears all.
func TestGoesOn(t *testing.T) {
	run(t, func(t *testing.T, o *outbox, n *network) {
		n.answer["picky.example"] = func(_ context.Context, attempt int) (int, error) {
			if attempt == 1 {
				return http.StatusBadRequest, nil
			}
			return http.StatusNoContent, nil
		}
		n.answer["back.example"] = func(_ context.Context, attempt int) (int, error) {
			if attempt <= 3 {
				return http.StatusServiceUnavailable, nil
			}
			return http.StatusOK, nil
		}
		for session := range byte(5) {
			o.add("picky", session)
			o.add("back", session)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(n.times("picky.example")); got != 5 {
			t.Errorf("picky was asked %d times, want 5", got)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if o.left() != 0 || len(o.told(idp.EventLogoutDelivered)) != 10 {
			t.Errorf("%d left, %d delivered", o.left(), len(o.told(idp.EventLogoutDelivered)))
		}
	})
}
