package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// seenWithin is how soon every node acts on what another one, or a command,
// has changed.
const seenWithin = 2 * time.Second

// eventually polls until every node says yes, and fails after seenWithin.
func eventually(t *testing.T, what string, nodes []*Node, seen func(n *Node) bool) {
	t.Helper()
	started := time.Now()
	for _, n := range nodes {
		for !seen(n) {
			if time.Since(started) > seenWithin {
				t.Fatalf("%s: not seen at %s within %s", what, n.Addr, seenWithin)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// Several servers on one database are one issuer.
func TestNodesActAsOne(t *testing.T) {
	t.Parallel()
	inst := Install(t, "postgres", nil)
	api := inst.NewResource(t, []string{"orders:read"})
	alice, bob := inst.NewUser(t), inst.NewUser(t)
	web := inst.WebClient(t, "--scope", "openid email offline_access orders:read", "--audience", api)
	other := inst.WebClient(t)
	service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
	credentials := url.Values{"grant_type": {"client_credentials"}}
	a := inst.Start(t)
	b := inst.Start(t)
	both := []*Node{a, b}
	each := []struct{ here, there *Node }{{a, b}, {b, a}}

	t.Run("a code from one is redeemed at the other", func(t *testing.T) {
		for _, n := range each {
			p := NewPKCE()
			code := n.here.Code(t, web, alice, p)
			tokens := n.there.Exchange(t, web, code, p).Tokens(t)
			n.here.Verify(t, tokens.Access, "at+jwt", jose.ES256)
			// Its second use is refused where it was issued, and ends what the first gave.
			n.here.Exchange(t, web, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
			if n.there.Active(t, web, tokens.Access) {
				t.Error("a token of a replayed code is active")
			}
		}
	})

	t.Run("a refresh family is one family", func(t *testing.T) {
		first := a.SignIn(t, web, alice)
		second := b.Refresh(t, web, first.Refresh).Tokens(t)
		if again := a.Refresh(t, web, first.Refresh).Tokens(t); again.Refresh != second.Refresh {
			t.Error("a lost answer asked for again at the other node gives another successor")
		}
		third := a.Refresh(t, web, second.Refresh).Tokens(t)
		b.Refresh(t, web, first.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		a.Refresh(t, web, third.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
	})

	t.Run("a sign-in started at one is finished at the other", func(t *testing.T) {
		p := NewPKCE()
		request := other.Request(p)
		browser := a.NewBrowser(t)
		page := browser.Get(t, "/oauth2/auth?"+request.Encode())
		page = browser.At(b).Login(t, page, bob.Username, bob.Password)
		if !page.HasID("consent-form") {
			t.Fatalf("no consent page: %d %s", page.Status, page.Body)
		}
		back := browser.At(a).Allow(t, page)
		location, err := url.Parse(back.Header.Get("Location"))
		if err != nil || location.Query().Get("code") == "" || location.Query().Get("state") != request.Get("state") {
			t.Fatalf("came back with %d to %s", back.Status, location)
		}
		b.Exchange(t, other, location.Query().Get("code"), p).Tokens(t)
		// Signed in is signed in everywhere, and so is signed out.
		silent := browser.At(b).Get(t, "/oauth2/auth?"+other.Request(NewPKCE(), "prompt", "none").Encode())
		if !strings.Contains(silent.Header.Get("Location"), "code=") {
			t.Errorf("prompt=none at the other node: %d %s", silent.Status, silent.Header.Get("Location"))
		}
		inst.CLI(t, "", "session", "revoke", "--user", bob.Username)
		eventually(t, "the end of a session", both, func(n *Node) bool {
			silent := browser.At(n).Get(t, "/oauth2/auth?"+other.Request(NewPKCE(), "prompt", "none").Encode())
			return strings.Contains(silent.Header.Get("Location"), "error=login_required")
		})
	})

	t.Run("a revocation", func(t *testing.T) {
		for _, n := range each {
			tokens := n.here.SignIn(t, web, alice)
			if !n.there.Active(t, web, tokens.Access) {
				t.Fatal("not active before")
			}
			if got := n.here.Post(t, "/oauth2/revoke", web, url.Values{"token": {tokens.Access}}); got.Status != http.StatusOK {
				t.Fatalf("revocation: %d", got.Status)
			}
			for _, at := range both { // at once: it is asked of the database
				if at.Active(t, web, tokens.Access) || at.Active(t, web, tokens.Refresh) || at.Userinfo(t, tokens.Access).Status != http.StatusUnauthorized {
					t.Errorf("revoked at %s, alive at %s", n.here.Addr, at.Addr)
				}
			}
		}
	})

	t.Run("a revoked client-credentials token", func(t *testing.T) {
		tokens := a.Post(t, "/oauth2/token", service, credentials).Tokens(t)
		b.Post(t, "/oauth2/revoke", service, url.Values{"token": {tokens.Access}})
		for _, n := range both {
			if n.Active(t, service, tokens.Access) {
				t.Errorf("alive at %s", n.Addr)
			}
		}
	})

	t.Run("a disabled user", func(t *testing.T) {
		tokens := a.SignIn(t, web, bob)
		inst.CLI(t, "", "user", "disable", bob.Username)
		eventually(t, "a disabled user", both, func(n *Node) bool {
			return n.Userinfo(t, tokens.Access).Status == http.StatusUnauthorized && !n.Active(t, web, tokens.Access)
		})
		for _, n := range both {
			n.Refresh(t, web, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		inst.CLI(t, "", "user", "enable", bob.Username)
	})

	t.Run("a disabled client", func(t *testing.T) {
		tokens := a.Post(t, "/oauth2/token", service, credentials).Tokens(t)
		resource := inst.NewClient(t, "--grant-type", "client_credentials", "--resource-server-of", api)
		eventually(t, "a new client", both, func(n *Node) bool {
			return n.elsewhere().Post(t, "/oauth2/introspect", resource, url.Values{"token": {tokens.Access}}).JSON(t)["active"] == true
		})
		inst.CLI(t, "", "client", "disable", service.ID)
		eventually(t, "a disabled client", both, func(n *Node) bool {
			return n.elsewhere().Post(t, "/oauth2/token", service, credentials).Status == http.StatusUnauthorized && !n.Active(t, resource, tokens.Access)
		})
		inst.CLI(t, "", "client", "enable", service.ID)
		eventually(t, "an enabled client", both, func(n *Node) bool {
			return n.elsewhere().Post(t, "/oauth2/token", service, credentials).Status == http.StatusOK
		})
	})

	t.Run("a changed client", func(t *testing.T) {
		moved := other
		moved.RedirectURI = "https://moved.example/cb"
		if got := a.NewBrowser(t).Get(t, "/oauth2/auth?"+moved.Request(NewPKCE()).Encode()); got.Status != http.StatusBadRequest {
			t.Fatalf("an address that is not registered yet: %d", got.Status)
		}
		inst.CLI(t, "", "client", "update", other.ID, "--redirect-uri", moved.RedirectURI)
		eventually(t, "a new redirect URI", both, func(n *Node) bool {
			return n.NewBrowser(t).Get(t, "/oauth2/auth?"+moved.Request(NewPKCE()).Encode()).HasID("login-form") &&
				n.NewBrowser(t).Get(t, "/oauth2/auth?"+other.Request(NewPKCE()).Encode()).Status == http.StatusBadRequest
		})
	})

	t.Run("a new secret", func(t *testing.T) {
		var out struct {
			ClientSecret string `json:"client_secret"`
		}
		inst.JSON(t, &out, "", "client", "rotate-secret", other.ID)
		renewed := other
		renewed.Secret = out.ClientSecret
		eventually(t, "a new secret", both, func(n *Node) bool {
			return n.elsewhere().Post(t, "/oauth2/introspect", renewed, url.Values{"token": {"x"}}).Status == http.StatusOK
		})
	})

	t.Run("a new scope in discovery", func(t *testing.T) {
		inst.NewResource(t, []string{"stock:count"})
		eventually(t, "a new resource's scope", both, func(n *Node) bool {
			scopes, _ := n.document(t, "/.well-known/openid-configuration").JSON(t)["scopes_supported"].([]any)
			return slices.Contains(scopes, any("stock:count"))
		})
		if a.document(t, "/.well-known/openid-configuration").Body != b.document(t, "/.well-known/openid-configuration").Body {
			t.Error("the nodes publish different metadata")
		}
	})

	t.Run("a key rotated on schedule", func(t *testing.T) {
		// What a verifier fetched just before the rotation must verify all
		// tokens for as long as it may keep it: five minutes.
		answer := b.document(t, "/.well-known/jwks.json")
		if got := answer.Header.Get("Cache-Control"); !strings.Contains(got, "max-age=300") {
			t.Errorf("the key set's Cache-Control is %q, want five minutes", got)
		}
		cached := answer.keys(t)
		old := a.Post(t, "/oauth2/token", service, credentials).Tokens(t)
		var made []struct {
			KID        string    `json:"kid"`
			Alg        string    `json:"alg"`
			State      string    `json:"state"`
			ActiveFrom time.Time `json:"active_from"`
		}
		inst.JSON(t, &made, "", "key", "rotate", "--alg", "ES256")
		if len(made) != 1 || made[0].State != "next" {
			t.Fatalf("made %+v", made)
		}
		if wait := time.Until(made[0].ActiveFrom); wait < 5*time.Minute {
			t.Errorf("the new key signs in %s already", wait)
		}
		eventually(t, "a new key", both, func(n *Node) bool {
			return len(n.document(t, "/.well-known/jwks.json").keys(t).Key(made[0].KID)) == 1
		})
		for _, n := range each {
			raw := n.here.Post(t, "/oauth2/token", service, credentials).Tokens(t).Access
			if !verifies(t, cached, raw) {
				t.Error("a token does not verify with a key set of before the rotation")
			}
			n.there.Verify(t, old.Access, "at+jwt", jose.ES256)
		}
	})

	t.Run("a key rotated at once", func(t *testing.T) {
		old := a.Post(t, "/oauth2/token", service, credentials).Tokens(t)
		before := b.document(t, "/.well-known/jwks.json").keys(t)
		var made []struct {
			KID string `json:"kid"`
		}
		inst.JSON(t, &made, "", "key", "rotate", "--alg", "ES256", "--immediately")
		eventually(t, "a new signing key", both, func(n *Node) bool {
			return keyID(t, n.Post(t, "/oauth2/token", service, credentials).Tokens(t).Access) == made[0].KID
		})
		for _, n := range each {
			raw := n.here.Post(t, "/oauth2/token", service, credentials).Tokens(t).Access
			if verifies(t, before, raw) {
				t.Error("signed with an old key")
			}
			n.there.Verify(t, raw, "at+jwt", jose.ES256)
			if !n.there.Active(t, service, raw) || !n.there.Active(t, service, old.Access) {
				t.Error("a token of the new or of the old key is not active at the other node")
			}
		}
		// After a leak the old key goes, and with it what it signed.
		inst.CLI(t, "", "key", "retire", keyID(t, old.Access))
		eventually(t, "a retired key", both, func(n *Node) bool {
			return len(n.document(t, "/.well-known/jwks.json").keys(t).Key(keyID(t, old.Access))) == 0 && !n.Active(t, service, old.Access)
		})
	})

	t.Run("all tokens revoked", func(t *testing.T) {
		tokens := a.SignIn(t, web, alice)
		inst.CLI(t, "", "token", "revoke", "--all")
		eventually(t, "the revocation of everything", both, func(n *Node) bool {
			return !n.Active(t, web, tokens.Access) && !n.Active(t, web, tokens.Refresh)
		})
		a.Refresh(t, web, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
	})

	for _, n := range both {
		n.neverFailed(t)
		n.wantQuiet(t, alice.Password, bob.Password, web.Secret, other.Secret, service.Secret)
	}
}

// Nodes that start at the same moment on an empty database agree on one schema
// and one key set.
func TestNodesStartTogetherOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	for range 4 {
		inst := InstallEmpty(t, "postgres", map[string]string{"IDP_MIGRATE": "auto"})
		held, err := net.Listen("tcp", strings.TrimPrefix(inst.Issuer, "http://")) // each takes a port of its own
		if err != nil {
			t.Fatal(err)
		}
		nodes := make([]*Node, 3)
		for i := range nodes {
			nodes[i] = inst.Launch(t, nil)
		}
		held.Close()
		var sets sync.Map
		for _, n := range nodes {
			n.WaitReady(t)
			answer := n.document(t, "/.well-known/jwks.json")
			if keys := answer.keys(t).Keys; len(keys) != 2 {
				t.Errorf("%d keys, want one for ES256 and one for RS256", len(keys))
			}
			sets.Store(answer.Body, n.Addr)
		}
		different := 0
		sets.Range(func(any, any) bool { different++; return true })
		if different != 1 {
			t.Errorf("%d different key sets", different)
		}
		for _, n := range nodes {
			n.neverFailed(t)
			n.Stop(t)
		}
	}
}

// elsewhere is the node as seen from another address, which made no failed
// attempts yet.
func (n *Node) elsewhere() *Node {
	m := *n
	m.HTTP = n.Client("")
	return &m
}

// document gets a document that everybody may read.
func (n *Node) document(t testing.TB, path string) *Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Issuer+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := Do(t, n.HTTP, r)
	if a.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.Status, a.Body)
	}
	return a
}

func (a *Answer) keys(t testing.TB) *jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.Body), &set); err != nil {
		t.Fatal(err)
	}
	return &set
}

func keyID(t testing.TB, raw string) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Header.KeyID
}

// verifies reports whether a key of the set signed the token.
func verifies(t testing.TB, set *jose.JSONWebKeySet, raw string) bool {
	t.Helper()
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Key(jws.Signatures[0].Header.KeyID) {
		if _, err := jws.Verify(key); err == nil {
			return true
		}
	}
	return false
}

// neverFailed checks that no request ended in an internal error, and that the
// log has no error at all.
func (n *Node) neverFailed(t testing.TB) {
	t.Helper()
	for _, r := range n.Records(t) {
		status, _ := r["status"].(float64)
		if status >= 500 && status != http.StatusServiceUnavailable || r["level"] == "ERROR" {
			t.Errorf("%s logged %v", n.Addr, r)
		}
	}
}
