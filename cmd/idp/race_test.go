package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
	"idp/internal/idp"
)

// wired builds a server that is asked without a network, and follows what
// others change.
func (w *clockwork) wired(t *testing.T) *node {
	t.Helper()
	a := &app{Stdin: strings.NewReader(""), Env: w.env, Now: time.Now}
	cfg, err := loadConfig(sources{Env: w.env, NeedIssuer: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.openDatabase(t.Context(), cfg, slog.New(slog.DiscardHandler), w.engine == "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	var following sync.WaitGroup
	following.Go(func() { n.follow(t.Context()) })
	t.Cleanup(func() {
		following.Wait()
		_ = n.close()
		d.close()
	})
	return n
}

// ask sends one request, from an address of its own. An empty form is a GET.
func (n *node) ask(path string, form url.Values, prepare func(*http.Request)) *httptest.ResponseRecorder {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r := httptest.NewRequest(method, n.cfg.Issuer+path, strings.NewReader(form.Encode()))
	r.RemoteAddr = e2e.NextAddress() + ":1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	prepare(r)
	answer := httptest.NewRecorder()
	n.handler.ServeHTTP(answer, r)
	return answer
}

func as(c e2e.Client) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(c.ID, c.Secret) }
}

// raced is one round: what somebody had, and what was issued while it was
// being taken away.
type raced struct {
	client   e2e.Client
	user     string
	session  idp.Session
	grant    idp.Grant
	proof    e2e.PKCE
	ended    time.Time
	issued   []string // tokens
	code     string   // a new one
	byClient bool
}

const (
	raceRounds = 1000
	raceBatch  = 100
	raceAPI    = "https://api.example"
)

// Whatever is issued while its user, client or session is being disabled is
// dead when that has happened, on every node, and stays dead when they are
// enabled again.
func TestAttack_H12_IssuedWhileDisabled(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		w := newClockwork(t, engine)
		w.run(t, "", "resource", "create", raceAPI, "--scope", "orders:read")
		reader := e2e.Client{ID: "reader", Secret: "a-secret-that-guards-nothing-either"}
		w.run(t, reader.Secret+"\n", "client", "create", reader.ID, "--secret-stdin", "--grant-type", "client_credentials", "--resource-server-of", raceAPI)
		here := w.wired(t) // issues
		there := here      // disables
		if engine == "postgres" {
			there = w.wired(t)
		}

		dead := func(n *node, r *raced) string {
			for _, token := range r.issued {
				a := n.ask("/oauth2/introspect", url.Values{"token": {token}}, as(reader))
				if !strings.HasPrefix(token, "idp_rt_") && (a.Code != http.StatusOK || a.Body.String() != `{"active":false}`) {
					return fmt.Sprintf("an access token: introspection says %d %s", a.Code, a.Body)
				}
				if strings.HasPrefix(token, "idp_rt_") {
					a := n.ask("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, as(r.client))
					if a.Code == http.StatusOK || a.Code >= 500 {
						return fmt.Sprintf("a refresh token: %d %s", a.Code, a.Body)
					}
				}
			}
			if r.code != "" {
				a := n.ask("/oauth2/token", e2e.CodeForm(r.client, r.code, r.proof), as(r.client))
				if a.Code == http.StatusOK || a.Code >= 500 {
					return fmt.Sprintf("a code: %d %s", a.Code, a.Body)
				}
			}
			return ""
		}
		var all []*raced
		var seen []time.Duration // from a client's end to its sight on the other node
		for first := 0; first < raceRounds; first += raceBatch {
			batch := make([]*raced, raceBatch)
			rounds := make(chan int)
			go func() {
				defer close(rounds)
				for i := range batch {
					rounds <- i
				}
			}()
			var workers sync.WaitGroup
			for range 4 {
				workers.Go(func() {
					for i := range rounds {
						batch[i] = w.race(t, here, there, first+i)
					}
				})
			}
			workers.Wait()
			if t.Failed() {
				return
			}
			var last time.Time
			for _, r := range batch {
				if r.ended.After(last) && r.byClient {
					last = r.ended
				}
				if fault := dead(there, r); fault != "" {
					t.Fatalf("where it was disabled, at once: %s", fault)
				}
			}
			eventually(t, "the end of the clients at the other node", func() bool {
				for _, r := range batch {
					if c, ok := here.directory.Client(r.client.ID); r.byClient && (!ok || !c.Disabled) {
						return false
					}
				}
				return true
			})
			seen = append(seen, time.Since(last))
			for _, r := range batch {
				if fault := dead(here, r); fault != "" {
					t.Fatalf("at the other node, when it knows: %s", fault)
				}
			}
			all = append(all, batch...)
		}
		slices.Sort(seen)
		if median := seen[len(seen)/2]; median > time.Second {
			t.Errorf("the end of a client is seen after %s", median)
		}

		// The sweep: also when all are enabled again.
		won := 0
		for _, r := range all {
			if len(r.issued) > 0 || r.code != "" {
				won++
			}
			if r.byClient {
				if err := there.admin.EnableClient(t.Context(), r.client.ID); err != nil {
					t.Fatal(err)
				}
			} else if err := there.admin.EnableUser(t.Context(), r.user); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "that the clients are enabled", func() bool {
			for _, r := range all {
				if c, ok := here.directory.Client(r.client.ID); !ok || c.Disabled {
					return false
				}
			}
			return true
		})
		for _, r := range all {
			if fault := dead(here, r); fault != "" {
				t.Fatalf("enabled again: %s", fault)
			}
		}
		t.Logf("%d of %d rounds were won by the request; a client's end was seen after %s (median)", won, len(all), seen[len(seen)/2])
		if won == 0 || won == len(all) {
			t.Error("there was no race: nothing was shown")
		}
	})
}

// race lets a request and an end meet.
func (w *clockwork) race(t *testing.T, here, there *node, round int) *raced {
	ctx := t.Context()
	fail := func(err error) bool {
		if err != nil {
			t.Error(err)
		}
		return err != nil
	}
	id := func() (id idp.ID) { _, _ = rand.Read(id[:]); return id }
	now := idp.Instant(time.Now())
	event := func(kind idp.EventKind) idp.Event {
		return idp.Event{ID: idp.TimeOrderedID(now, id()), At: now, Kind: kind}
	}
	request, end := []string{"refresh", "code", "authorize", "credentials"}[round%4], []string{"user", "client", "session"}[round/4%3]
	if request == "credentials" {
		end = "client"
	}
	r := &raced{user: fmt.Sprint("user-", round), byClient: end == "client", proof: e2e.NewPKCE()}
	format := []string{"jwt", "opaque"}[round/16%2]

	// A client of the round's own, a person, a session, and consent.
	r.client = w.client
	if format == "opaque" {
		r.client = w.opaque
	}
	template, _ := here.directory.Client(r.client.ID)
	c := *template
	c.ClientID, c.TokensValidAfter = fmt.Sprint("client-", round), now
	c.GrantTypes = append(slices.Clone(c.GrantTypes), idp.GrantClientCredentials)
	c.Scope, c.Audience = "openid offline_access orders:read", []string{raceAPI}
	for i := range c.Secrets {
		c.Secrets = slices.Clone(c.Secrets)
		c.Secrets[i].ID = id()
	}
	r.client.ID = c.ClientID
	if fail(here.store.CreateClient(ctx, c, event(idp.EventClientCreated))) {
		return r
	}
	u := idp.User{ID: r.user, Username: r.user, State: idp.UserActive, CreatedAt: now, UpdatedAt: now}
	r.session = idp.Session{
		ID: id(), UserID: u.ID, Salt: []byte(rand.Text())[:16], AuthTime: now, ACR: idp.ACRPassword, AMR: []string{"pwd"},
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour),
	}
	scopes := []string{"openid", "offline_access", "orders:read"}
	r.grant = idp.Grant{
		Handle: idp.GrantHandle{ExpiresOn: idp.DayOf(now.Add(24 * time.Hour)), ID: id()}, ClientID: c.ClientID, UserID: u.ID, SessionID: r.session.ID,
		Scopes: scopes, Resources: []string{raceAPI}, RedirectURI: r.client.RedirectURI, CodeChallenge: r.proof.Challenge,
		AuthTime: now, ACR: idp.ACRPassword, AMR: []string{"pwd"}, Salt: r.session.Salt, CreatedAt: now, CodeExpiresAt: now.Add(time.Minute), ExpiresAt: now.Add(24 * time.Hour),
	}
	kind := idp.KindCode
	if request == "refresh" {
		kind = idp.KindRefresh
		r.grant.CodeUsedAt, r.grant.Generation, r.grant.RotatedAt, r.grant.IdleExpiresAt = now, 1, now, now.Add(time.Hour)
	}
	if fail(here.store.CreateUser(ctx, u, event(idp.EventUserCreated))) ||
		fail(here.store.CreateSession(ctx, r.session, idp.ID{}, event(idp.EventLoginSucceeded))) ||
		fail(here.store.CreateGrant(ctx, r.grant, now, event(idp.EventCodeIssued))) ||
		request == "authorize" && fail(here.store.SaveConsent(ctx, idp.Consent{
			UserID: u.ID, ClientID: c.ClientID, Scopes: scopes, Resources: []string{raceAPI}, RedirectOrigins: []string{"https://app.example"}, Remembered: true, GrantedAt: now,
		}, event(idp.EventConsentGranted))) {
		return r
	}
	if _, err := there.admin.Client(ctx, c.ClientID); fail(err) || fail(there.directory.Refresh(ctx)) || fail(here.directory.Refresh(ctx)) {
		return r
	}
	held := here.master.MintOpaque(idp.OpaqueToken{Kind: kind, ExpiresOn: r.grant.Handle.ExpiresOn, ID: r.grant.Handle.ID, Generation: r.grant.Generation}, r.grant.Salt)
	cookie := here.master.MintOpaque(idp.OpaqueToken{Kind: idp.KindSession, ExpiresOn: idp.DayOf(r.session.ExpiresAt), ID: r.session.ID}, r.session.Salt)

	var answer *httptest.ResponseRecorder
	var meeting sync.WaitGroup
	start := make(chan struct{})
	meeting.Go(func() {
		<-start
		time.Sleep(mathrand.N(4 * time.Millisecond)) // an end asks more often than a request: before, between and after
		switch request {
		case "refresh":
			answer = here.ask("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {held}}, as(r.client))
		case "code":
			answer = here.ask("/oauth2/token", e2e.CodeForm(r.client, held, r.proof), as(r.client))
		case "authorize":
			answer = here.ask("/oauth2/auth?"+r.client.Request(r.proof, "scope", strings.Join(scopes, " ")).Encode(), nil, func(q *http.Request) {
				q.AddCookie(&http.Cookie{Name: "idp_session", Value: cookie})
			})
		default:
			answer = here.ask("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}}, as(r.client))
		}
	})
	meeting.Go(func() {
		<-start
		switch end {
		case "user":
			fail(there.admin.DisableUser(ctx, u.ID))
		case "client":
			fail(there.admin.DisableClient(ctx, c.ClientID))
		default:
			fail(there.admin.EndSession(ctx, r.session.ID))
		}
		r.ended = time.Now()
	})
	close(start)
	meeting.Wait()

	if answer.Code >= 500 {
		t.Errorf("%s while the %s ends: %d %s", request, end, answer.Code, answer.Body)
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if answer.Code == http.StatusOK && request != "authorize" {
		fail(json.Unmarshal(answer.Body.Bytes(), &tokens))
		for _, token := range []string{tokens.Access, tokens.Refresh} {
			if token != "" {
				r.issued = append(r.issued, token)
			}
		}
	}
	if back, err := url.Parse(answer.Header().Get("Location")); err == nil {
		r.code = back.Query().Get("code")
	}
	return r
}
