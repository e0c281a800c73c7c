package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// explanation is how a request was decided, as the admin API tells it.
type explanation struct {
	RequestID string `json:"request_id"`
	Endpoint  string `json:"endpoint"`
	Status    int    `json:"status"`
	Result    string `json:"result"`
	Error     string `json:"error"`
	Issued    string `json:"issued"`
	ClientID  string `json:"client_id"`
	UserID    string `json:"user_id"`
	Steps     []struct {
		Rule, Outcome, Sentence, Reference, Hint string

		Facts []struct{ Name, Value string }
	} `json:"steps"`
}

func (e explanation) rules(outcome string) (rules []string) {
	for _, s := range e.Steps {
		if s.Outcome == outcome {
			rules = append(rules, s.Rule)
		}
	}
	return rules
}

// fact returns a fact of the last step.
func (e explanation) fact(name string) string {
	for _, f := range e.Steps[len(e.Steps)-1].Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// explain asks how a request was decided, until it is known.
func (w *adminWorld) explain(t testing.TB, requestID string) (e explanation) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		a := w.call(t, w.root, http.MethodGet, "/admin/traces/"+requestID, "")
		if a.Status == http.StatusOK {
			if err := json.Unmarshal([]byte(a.Body), &e); err != nil {
				t.Fatal(err)
			}
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %s", requestID, a.Status, a.Body)
		}
	}
}

// once opens an address in the browser without following where it leads.
func (b *Browser) once(t testing.TB, target string) *Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.Node.Issuer+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Do(t, b.Client, r)
}

// Whoever has the id of a request learns by which rule it was refused, on what
// grounds, and what would change it.
func TestExplain(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newAdminWorld(t, engine, nil)
		inst := w.Installation
		inst.CLI(t, "", "group", "create", "staff")
		web, other := inst.WebClient(t), inst.WebClient(t)
		staff := inst.WebClient(t, "--allowed-group", "staff")
		strict := inst.WebClient(t)
		public := inst.WebClient(t, "--public")
		opaque := inst.WebClient(t, "--access-token-format", "opaque")
		service := inst.NewClient(t, "--grant-type", "client_credentials")
		alice, gone, ended := inst.NewUser(t), inst.NewUser(t), inst.NewUser(t)
		inst.CLI(t, "", "policy", "create", "strong", "--client", strict.ID, "--acr", "2")
		Settle()

		at := func(b *Browser, c Client, changes ...string) *Answer {
			t.Helper()
			return b.once(t, "/oauth2/auth?"+c.Request(NewPKCE(), changes...).Encode())
		}
		signedIn := w.NewBrowser(t)
		signedIn.Authorize(t, web.Request(NewPKCE()), alice)
		stranger := w.NewBrowser(t)

		p := NewPKCE()
		code := w.Code(t, web, alice, p)
		exchanged := w.Exchange(t, web, code, p)
		w.Exchange(t, web, code, p)
		refreshed := w.SignIn(t, opaque, alice)
		second := w.Refresh(t, opaque, refreshed.Refresh)
		third := w.Refresh(t, opaque, second.Tokens(t).Refresh)
		disabled := w.SignIn(t, web, gone)
		inst.CLI(t, "", "user", "disable", gone.Username)
		over := w.NewBrowser(t)
		over.Authorize(t, web.Request(NewPKCE()), ended)
		inst.execute(t, "UPDATE sessions SET expires_at = created_at WHERE user_id = '"+ended.Sub+"'")

		forged, swapped := web, web
		forged.Secret, swapped.ID, swapped.Secret = Token(), web.Secret, web.ID
		inBody := url.Values{"grant_type": {"client_credentials"}, "client_id": {service.ID}, "client_secret": {service.Secret}}
		typing := func(username, password string) *Answer {
			b := w.NewBrowser(t)
			return b.Login(t, b.Get(t, "/login"), username, password)
		}
		throttled := func() *Answer {
			for range 5 {
				typing("nobody-at-all", "wrong "+Token())
			}
			return typing("nobody-at-all", "wrong "+Token())
		}
		for _, c := range []struct {
			name   string
			answer *Answer
			status int
			code   string // empty for none
			rule   string // the last step's
			fact   string // of it: name=value, or name alone
			client string
			user   string
		}{
			{"unknown client", at(stranger, Client{ID: "no-such-client", RedirectURI: web.RedirectURI}), 400, "invalid_client", "client.known", "client_id=no-such-client", "", ""},
			{"wrong redirect_uri", at(stranger, web, "redirect_uri", web.RedirectURI+"/"), 400, "invalid_redirect_uri", "redirect_uri.exact", "differs_in=path", web.ID, ""},
			{"no challenge", at(stranger, public, "code_challenge", "", "code_challenge_method", ""), 303, "invalid_request", "pkce.challenge", "answer", public.ID, ""},
			{"scope that is not allowed", at(stranger, web, "scope", "openid payroll"), 303, "invalid_scope", "scope.allowed", "scope=payroll", web.ID, ""},
			{"response type", at(stranger, web, "response_type", "id_token"), 303, "unsupported_response_type", "response_type.allowed", "asked=id_token", web.ID, ""},
			{"nobody signed in, prompt=none", at(stranger, web, "prompt", "none"), 303, "login_required", "session.alive", "session=none", web.ID, ""},
			{"session over, prompt=none", at(over, web, "prompt", "none"), 303, "login_required", "session.alive", "session=expired", web.ID, ended.Sub},
			{"session over", at(over, web), 303, "", "session.alive", "session=expired", web.ID, ended.Sub},
			{"prompt=login", at(signedIn, web, "prompt", "login"), 303, "", "signin.recent", "prompt=login", web.ID, alice.Sub},
			{"group", at(signedIn, staff), 303, "access_denied", "client.groups", "allowed_groups=staff", staff.ID, alice.Sub},
			{"sign-in rule, prompt=none", at(signedIn, strict, "prompt", "none"), 303, "login_required", "signin.level", "rules=strong", strict.ID, alice.Sub},
			{"consent, prompt=none", at(signedIn, other, "prompt", "none"), 303, "consent_required", "consent.given", "reason=nothing was allowed yet", other.ID, alice.Sub},
			{"wrong secret", w.Exchange(t, forged, code, p), 401, "invalid_client", "client.secret", "secrets=1 good, 0 expired", web.ID, ""},
			{"secret and id exchanged", w.Exchange(t, swapped, code, p), 401, "invalid_client", "client.known", "presented", "", ""},
			{"wrong method", w.Post(t, "/oauth2/token", Client{}, inBody), 401, "invalid_client", "client.method", "registered=client_secret_basic", service.ID, ""},
			{"grant type", w.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), 400, "unauthorized_client", "grant_type.allowed", "asked=refresh_token", service.ID, ""},
			{"unknown grant type", w.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"password"}}), 400, "unsupported_grant_type", "grant_type.known", "answer", "", ""},
			{"used code", w.Exchange(t, web, code, p), 400, "invalid_grant", "code.unused", "used_at", web.ID, ""},
			{"code cut off", w.Exchange(t, web, code[:60], p), 400, "invalid_grant", "grant.readable", "answer", web.ID, ""},
			{"other client", w.Exchange(t, other, w.Code(t, web, alice, p), p), 400, "invalid_grant", "grant.client", "granted_to=" + web.ID, other.ID, ""},
			{"other verifier", w.Exchange(t, web, w.Code(t, web, alice, p), NewPKCE()), 400, "invalid_grant", "pkce.verifier", "verifier=43 characters", web.ID, ""},
			{"no verifier", w.Exchange(t, web, w.Code(t, web, alice, p), p, "code_verifier", ""), 400, "invalid_grant", "pkce.verifier", "verifier=none", web.ID, ""},
			{"other redirect_uri", w.Exchange(t, web, w.Code(t, web, alice, p), p, "redirect_uri", web.RedirectURI+"?a=b"), 400, "invalid_grant", "redirect_uri.same", "differs_in=query", web.ID, ""},
			{"old refresh token", w.Refresh(t, opaque, refreshed.Refresh), 400, "invalid_grant", "refresh.current", "presented=generation 1", opaque.ID, ""},
			{"end of the family", w.Refresh(t, opaque, third.Tokens(t).Refresh), 400, "invalid_grant", "grant.alive", "grant_id", opaque.ID, ""},
			{"disabled person's refresh token", w.Refresh(t, web, disabled.Refresh), 400, "invalid_grant", "user.active", "user_id=" + gone.Sub, web.ID, gone.Sub},
			{"more scope than was granted", w.Refresh(t, web, w.SignIn(t, web, alice, "scope", "openid offline_access").Refresh, "scope", "openid email"), 400, "invalid_scope", "scope.granted", "granted=openid offline_access", web.ID, ""},
			{"pushed request", w.Post(t, "/oauth2/par", web, web.Request(NewPKCE(), "scope", "payroll")), 400, "invalid_scope", "scope.allowed", "scope=payroll", web.ID, ""},
			{"introspection by a stranger", w.Post(t, "/oauth2/introspect", forged, url.Values{"token": {refreshed.Access}}), 401, "invalid_client", "client.secret", "answer", web.ID, ""},
			{"wrong password", typing(alice.Username, "wrong "+Token()), 422, "login_failed", "password.correct", "reason=wrong_password", "", alice.Sub},
			{"nobody", typing("nobody-"+Token(), "wrong "+Token()), 422, "login_failed", "user.known", "reason=unknown_user", "", ""},
			{"disabled person", typing(gone.Username, gone.Password), 422, "login_failed", "user.active", "reason=disabled", "", gone.Sub},
			{"too many", throttled(), 429, "login_throttled", "signin.attempts", "reason=account", "", ""},
			{"another browser", w.NewBrowser(t).Get(t, strings.TrimPrefix(at(stranger, web).Header.Get("Location"), w.Issuer)), 403, "access_denied", "flow.browser", "", "", ""},
		} {
			id := c.answer.Header.Get("X-Request-Id")
			e := w.explain(t, id)
			result := "refused"
			if c.code == "" {
				result = "asked"
			}
			if c.answer.Status != c.status || e.RequestID != id || e.Status != c.status || e.Error != c.code || e.Result != result {
				t.Errorf("%s: %d %s\n%+v", c.name, c.answer.Status, c.answer.Body, e)
				continue
			}
			last := e.Steps[len(e.Steps)-1]
			if last.Rule != c.rule || last.Sentence == "" || last.Reference == "" || last.Hint == "" || slices.Contains(e.rules("passed"), c.rule) {
				t.Errorf("%s: %+v, want the rule %s", c.name, e.Steps, c.rule)
			}
			if name, value, exact := strings.Cut(c.fact, "="); name != "" && (e.fact(name) == "" || exact && e.fact(name) != value) {
				t.Errorf("%s: %+v, want the fact %s", c.name, last.Facts, c.fact)
			}
			if e.ClientID != c.client || c.user != "" && e.UserID != c.user {
				t.Errorf("%s: client %q, user %q; want %q, %q", c.name, e.ClientID, e.UserID, c.client, c.user)
			}
			if page := strings.HasPrefix(c.answer.Header.Get("Content-Type"), "text/html") && (c.status == 400 || c.status == 403); page && !strings.Contains(c.answer.Body, id) {
				t.Errorf("%s: the page does not say which request it was", c.name)
			}
		}

		// What went well is told as well.
		e := w.explain(t, exchanged.Header.Get("X-Request-Id"))
		want := []string{
			"client.secret", "grant_type.allowed", "grant.client", "grant.alive", "scope.granted",
			"code.unused", "code.fresh", "redirect_uri.same", "pkce.verifier",
		}
		if e.Result != "issued" || e.Issued != "access_token refresh_token id_token" || e.UserID != alice.Sub || cmp.Diff(want, e.rules("passed")) != "" {
			t.Errorf("a code that was exchanged: %+v", e)
		}

		// The command says the same, to those who know the beginning of the id, too.
		var told explanation
		inst.JSON(t, &told, "", "explain", e.RequestID[:12], "-o", "json")
		if d := cmp.Diff(e, told); d != "" {
			t.Errorf("the command says something else:\n%s", d)
		}
		if people := inst.CLI(t, "", "explain", e.RequestID); !strings.Contains(people, "pkce.verifier") || !strings.HasPrefix(people, "Handed out: access_token") {
			t.Errorf("for people:\n%s", people)
		}
		for id, want := range map[string]string{"AAAAAAAAAAAAAAAAAAAAAA": "kept for 3 days", "abc": "at least its first 6 characters", "'; DROP TABLE": "first 6 characters"} {
			if _, stderr, code := inst.Try(t, "", "explain", id); code != 1 || !strings.Contains(stderr, want) {
				t.Errorf("explain %s: %d %s, want %s", id, code, stderr, want)
			}
		}
		w.call(t, w.root, http.MethodGet, "/admin/traces/AAAAAAAAAAAAAAAAAAAAAA", "").refused(t, http.StatusNotFound, "not_found")
		w.call(t, w.token(t, w.clientsReader), http.MethodGet, "/admin/traces/"+e.RequestID, "").refused(t, http.StatusForbidden, "insufficient_scope")
	})
}

// Whatever is put wherever, how a request was decided holds no secret.
func TestAttack_S02_Decisions(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice, web, public := inst.NewUser(t), inst.WebClient(t), inst.WebClient(t, "--public")
		node := inst.Start(t)
		w := watching(node)
		w.saw(web.Secret, alice.Password)
		b := w.browser(t, node)

		// What goes well, and secrets where they belong.
		p := NewPKCE()
		request := web.Request(p)
		w.saw(request.Get("state"), request.Get("nonce"), p.Challenge)
		code := b.Authorize(t, request, alice).Query().Get("code")
		tokens := node.Exchange(t, web, code, p).Tokens(t)
		w.saw(code, tokens.Access, tokens.Refresh, tokens.ID)
		node.Exchange(t, web, code, p)
		pushed := node.Post(t, "/oauth2/par", web, web.Request(NewPKCE()))
		if requestURI, _ := pushed.JSON(t)["request_uri"].(string); requestURI != "" {
			w.saw(requestURI[strings.LastIndex(requestURI, ":")+1:])
			for range 2 {
				b.once(t, "/oauth2/auth?"+url.Values{"client_id": {web.ID}, "request_uri": {requestURI}}.Encode())
			}
			b.once(t, "/oauth2/auth?"+url.Values{"client_id": {public.ID}, "request_uri": {requestURI}}.Encode())
		}

		// Secrets where they do not belong: in every parameter of every endpoint.
		canary := map[string]string{
			"code": code, "access": tokens.Access, "refresh": tokens.Refresh, "id": tokens.ID, "secret": web.Secret, "password": alice.Password, "verifier": p.Verifier,
		}
		parameters := []string{
			"client_id", "client_secret", "client_assertion", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age",
			"acr_values", "claims", "login_hint", "id_token_hint", "request", "request_uri", "resource", "code_challenge", "code_challenge_method",
			"grant_type", "code", "refresh_token", "code_verifier", "token",
		}
		for name, secret := range canary {
			for _, parameter := range parameters {
				b.once(t, "/oauth2/auth?"+web.Request(NewPKCE(), parameter, secret).Encode())
				if name != "secret" && name != "refresh" {
					continue
				}
				b.once(t, "/oauth2/auth?"+web.Request(NewPKCE(), "redirect_uri", web.RedirectURI+"?"+parameter+"="+secret+"#"+secret).Encode())
				node.Post(t, "/oauth2/token", web, CodeForm(web, Token(), p, parameter, secret))
				node.Post(t, "/oauth2/par", web, web.Request(NewPKCE(), parameter, secret))
			}
			node.Post(t, "/oauth2/token", Client{ID: secret, Secret: web.ID}, url.Values{"grant_type": {"client_credentials"}})
			fresh := w.browser(t, node)
			fresh.Login(t, fresh.Get(t, "/login"), secret, secret)
		}
		node.Stop(t)

		var kept []string
		for line := range strings.Lines(rows(t, inst)) {
			if strings.HasPrefix(line, "traces") {
				kept = append(kept, line)
			}
		}
		if len(kept) < 200 {
			t.Fatalf("only %d traces are kept", len(kept))
		}
		all := strings.Join(kept, "")
		for _, secret := range w.all() {
			if strings.Contains(all, secret) {
				i := strings.Index(all, secret)
				t.Errorf("%q is kept: %s", secret, all[max(0, i-300):i])
			}
		}
	})
}

// A token that is inspected says what each of its claims comes from.
func TestTokenInspect_ClaimsComeFromSomewhere(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=Read"}, "--claim", "groups", "--claim", "roles", "--claim", "entitlements")
		alice := inst.NewUser(t)
		web := inst.WebClient(t, "--audience", api, "--scope", "openid orders:read")
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		inst.CLI(t, "", "group", "create", "warehouse")
		inst.CLI(t, "", "group", "add-member", "warehouse", alice.Username)
		inst.CLI(t, "", "role", "create", "clerk", "--scope", api+"#orders:read")
		inst.CLI(t, "", "role", "assign", "clerk", "--group", "warehouse")
		node := inst.Start(t)
		tokens := node.SignIn(t, web, alice, "scope", "openid orders:read")
		own := node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)

		type inspected struct {
			Kind   string `json:"kind"`
			Active bool   `json:"active"`
			Signed struct {
				Alg, State string
			} `json:"signed"`
			Claims []struct {
				Name, From string
				Value      any
			} `json:"claims"`
			Live []struct{ What, State string } `json:"live"`
		}
		inspect := func(token string) (v inspected, from, live map[string]string) {
			inst.JSON(t, &v, token, "token", "inspect", "-o", "json")
			from, live = map[string]string{}, map[string]string{}
			for _, c := range v.Claims {
				from[c.Name] = c.From
			}
			for _, l := range v.Live {
				live[l.What] = l.State
			}
			return v, from, live
		}
		want := func(what string, got map[string]string, pairs ...string) {
			t.Helper()
			for i := 0; i < len(pairs); i += 2 {
				if !strings.Contains(got[pairs[i]], pairs[i+1]) {
					t.Errorf("%s: %s is %q, want %q", what, pairs[i], got[pairs[i]], pairs[i+1])
				}
			}
		}
		v, from, live := inspect(tokens.Access)
		want("access token", from,
			"iss", "setting issuer", "sub", "the account of "+alice.Username, "aud", "parameter resource", "scope", "openid: asked for", "groups", "groups that the person is in",
			"roles", "clerk: by the group warehouse", "entitlements", "orders:read: by the role clerk", "auth_time", "the session", "gid", "the grant", "exp", "lifetimes.access_token")
		want("access token", live, "client", "alive", "user", "alive", "session", "alive", "consent", "alive", "grant", "alive")
		if !v.Active || v.Signed.Alg != "ES256" || v.Signed.State != "active" || len(v.Claims) < 14 {
			t.Errorf("access token: %+v", v)
		}
		_, from, live = inspect(tokens.ID)
		want("ID token", from, "sub", "the account of "+alice.Username, "nonce", "parameter nonce", "at_hash", "hash of the access token", "sid", "the session")
		want("ID token", live, "session", "alive", "user", "alive")
		_, from, live = inspect(own.Access)
		want("the client's own token", from, "sub", "the client itself", "scope", "orders:read: of ")
		want("the client's own token", live, "client", "alive")

		inst.CLI(t, "", "user", "disable", alice.Username)
		inst.CLI(t, "", "role", "unassign", "clerk", "--group", "warehouse")
		v, from, live = inspect(tokens.Access)
		want("a disabled person's token", live, "client", "alive", "user", "user disabled")
		want("a disabled person's token", from, "roles", "clerk: not held any more", "entitlements", "not by a role that the person holds")
		if v.Active {
			t.Error("it is active")
		}
		if people := inst.CLI(t, tokens.ID, "token", "inspect"); !strings.Contains(people, "from parameter nonce") || !strings.Contains(people, "its user") {
			t.Errorf("for people:\n%s", people)
		}
	})
}
