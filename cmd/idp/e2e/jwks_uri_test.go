package e2e

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// oidcc-registration-jwks-uri and oidcc-refresh-token-rp-key-rotation: keys are
// read from the client's own address, and new ones are found there.
func TestOIDC_oidcc_refresh_token_rp_key_rotation(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		host := NewHost(t)
		inst := Install(t, engine, host.Outbound())
		alice := inst.NewUser(t)
		first, second, third := NewClientKey(t, "RS256"), NewClientKey(t, "RS256"), NewClientKey(t, "RS256")
		host.ServeJSON(JWKS(first))
		c := inst.WebClient(t, "--token-endpoint-auth-method", "private_key_jwt", "--jwks-uri", host.URL+"/jwks.json")
		node := inst.Start(t)
		asserted := func(key *ClientKey, form url.Values) *Answer {
			return node.anonymous(t, "/oauth2/token", Asserted(form, key.Sign(t, AssertionClaims(c.ID, inst.Issuer, nil))))
		}
		p := NewPKCE()
		tokens := asserted(first, CodeForm(c, node.Code(t, c, alice, p), p)).Tokens(t)
		refresh := func() url.Values {
			return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}}
		}
		tokens = asserted(first, refresh()).Tokens(t)
		if hits := host.Hits.Load(); hits != 1 {
			t.Errorf("the keys were read %d times for two requests", hits)
		}

		// The application changes its keys. The new one is unknown, so the set is
		// read again; the old one is gone with that.
		host.ServeJSON(JWKS(second))
		tokens = asserted(second, refresh()).Tokens(t)
		asserted(first, refresh()).WantError(t, http.StatusUnauthorized, "invalid_client")
		// Whoever makes up keys does not make the server read again and again.
		host.ServeJSON(JWKS(second, third))
		for range 3 {
			asserted(third, refresh()).WantError(t, http.StatusUnauthorized, "invalid_client")
		}
		if hits := host.Hits.Load(); hits != 2 {
			t.Errorf("the keys were read %d times", hits)
		}
		asserted(second, refresh()).Tokens(t)
	})
}

// A jwks_uri that hangs, lies, redirects or leads inside keeps its own client
// out, and nobody else; the caller is told nothing of it.
func TestAttack_G14_BadKeyHosts(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		host := NewHost(t)
		other, err := net.Listen("tcp", "127.0.0.2:0") // a service inside, not listed
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		var inside sync.Once
		reached := make(chan struct{})
		go func() {
			if conn, err := other.Accept(); err == nil {
				conn.Close()
				inside.Do(func() { close(reached) })
			}
		}()
		inst := Install(t, engine, host.Outbound())
		api := inst.NewResource(t, []string{"orders:read"})
		key := NewClientKey(t, "ES256")
		release := make(chan struct{})
		defer close(release)
		host.Serve(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/good":
				_, _ = w.Write([]byte(JWKS(key)))
			case "/hang":
				<-release
			case "/html":
				_, _ = w.Write([]byte("<html>" + JWKS(key) + "</html>"))
			case "/huge":
				_, _ = w.Write([]byte(strings.TrimSuffix(JWKS(key), "}") + strings.Repeat(" ", 1<<20) + "}"))
			case "/redirect":
				http.Redirect(w, r, "/good", http.StatusFound)
			case "/inside":
				http.Redirect(w, r, "https://"+other.Addr().String()+"/", http.StatusFound)
			case "/private":
				_, _ = w.Write([]byte(`{"keys":[` + mustJSON(t, privateJWK(key)) + `]}`))
			case "/encryption":
				jwk := key.JWK()
				jwk.Use = "enc"
				_, _ = w.Write([]byte(`{"keys":[` + mustJSON(t, jwk) + `]}`))
			default:
				http.NotFound(w, r)
			}
		})
		client := func(uri string) Client { return assertingClient(t, inst, api, "--jwks-uri", uri) }
		good := client(host.URL + "/good")
		_, port, _ := net.SplitHostPort(other.Addr().String())
		bad := map[string]Client{}
		for _, path := range []string{"/hang", "/html", "/huge", "/redirect", "/inside", "/private", "/encryption", "/missing"} {
			bad[path] = client(host.URL + path)
		}
		bad["inside"] = client("https://" + other.Addr().String() + "/jwks")
		bad["named inside"] = client("https://localhost.localdomain:" + port + "/jwks")
		bad["metadata"] = client("https://169.254.169.254/latest/meta-data/")
		bad["closed"] = client("https://127.0.0.1:1/jwks")
		node := inst.Start(t)
		form := url.Values{"grant_type": {"client_credentials"}}
		ask := func(n *http.Client, c Client) (*Answer, time.Duration, error) {
			r, err := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader(Asserted(form, key.Sign(t, AssertionClaims(c.ID, inst.Issuer, nil))).Encode()))
			if err != nil {
				return nil, 0, err
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			started := time.Now()
			a, err := Send(n, r)
			return a, time.Since(started), err
		}

		var all sync.WaitGroup
		var mu sync.Mutex
		answers := map[string]int{}
		for name, c := range bad {
			all.Go(func() {
				a, took, err := ask(node.Client(""), c)
				switch {
				case err != nil:
					t.Errorf("%s: %v", name, err)
				case a.Status != http.StatusUnauthorized:
					t.Errorf("%s: %d %s", name, a.Status, a.Body)
				case took < 4*time.Second && name != "/private" && name != "/encryption":
					t.Errorf("%s: refused after %v, which tells what was found there", name, took)
				}
				if a != nil {
					mu.Lock()
					answers[a.Body]++
					mu.Unlock()
				}
			})
		}
		// Meanwhile, others are served.
		for range 20 {
			a, took, err := ask(node.HTTP, good)
			if err != nil || a.Status != http.StatusOK {
				t.Fatalf("%+v %v", a, err)
			}
			if took > 3*time.Second {
				t.Errorf("waited %v for somebody else's host", took)
			}
		}
		all.Wait()
		if len(answers) != 1 {
			t.Errorf("answers differ: %v", answers)
		}
		select {
		case <-reached:
			t.Error("a connection was made to an address inside")
		default:
		}
		if !strings.Contains(node.Logs(), "a registered address failed") {
			t.Error("the operator is told nothing")
		}
		for name, c := range bad {
			if name != "/private" && name != "/encryption" { // what was there is no key, but was there
				wantEventsAtLeast(t, 1, node, "outbound.failed", "client_id", c.ID)
			}
		}
	})
}
