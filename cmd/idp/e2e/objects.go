package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// User is a person with an account.
type User struct {
	Username, Password, Sub string
}

// Client is a registered application.
type Client struct {
	ID, Secret, RedirectURI string
	Public                  bool
}

var counter atomic.Uint32

func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, counter.Add(1)) }

// Token is an unguessable text.
func Token() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// NewUser creates a user by command.
func (i *Installation) NewUser(t testing.TB, args ...string) User {
	t.Helper()
	u := User{Username: unique("user"), Password: "correct horse battery " + Token()[:6]}
	var out struct {
		Sub string `json:"sub"`
	}
	i.JSON(t, &out, u.Password+"\n", append([]string{"user", "create", u.Username, "--password-stdin"}, args...)...)
	u.Sub = out.Sub
	return u
}

// NewClient registers a client by command; args are further flags.
func (i *Installation) NewClient(t testing.TB, args ...string) Client {
	t.Helper()
	c := Client{ID: unique("client")}
	for k, a := range args {
		if a == "--redirect-uri" && c.RedirectURI == "" {
			c.RedirectURI = args[k+1]
		}
		if a == "--public" {
			c.Public = true
		}
	}
	var out struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	i.JSON(t, &out, "", append([]string{"client", "create", c.ID}, args...)...)
	c.ID, c.Secret = out.ClientID, out.ClientSecret
	return c
}

// WebClient registers a confidential client for code and refresh; args are
// further flags, or replace the defaults. Nodes that run already need Settle.
func (i *Installation) WebClient(t testing.TB, args ...string) Client {
	t.Helper()
	for _, d := range [][]string{
		{"--redirect-uri", "https://app.example/cb"},
		{"--grant-type", "authorization_code", "--grant-type", "refresh_token"},
		{"--scope", "openid profile email offline_access"},
	} {
		if !slices.Contains(args, d[0]) {
			args = append(args, d...)
		}
	}
	return i.NewClient(t, args...)
}

// NewResource registers an API by command. Scopes are its permissions.
func (i *Installation) NewResource(t testing.TB, scopes []string, args ...string) string {
	t.Helper()
	audience := "https://" + unique("api") + ".example"
	flags := []string{"resource", "create", audience}
	for _, s := range scopes {
		flags = append(flags, "--scope", s)
	}
	i.CLI(t, "", append(flags, args...)...)
	return audience
}

// PKCE is a verifier with its S256 challenge.
type PKCE struct{ Verifier, Challenge string }

// NewPKCE draws a verifier.
func NewPKCE() PKCE {
	v := Token()
	sum := sha256.Sum256([]byte(v))
	return PKCE{v, base64.RawURLEncoding.EncodeToString(sum[:])}
}

// Request is an authorization request of the client, with changes: an empty
// value leaves a parameter out.
func (c Client) Request(p PKCE, changes ...string) url.Values {
	v := url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {c.RedirectURI},
		"scope": {"openid offline_access"}, "state": {"state-" + Token()}, "nonce": {Token()},
		"code_challenge": {p.Challenge}, "code_challenge_method": {"S256"},
	}
	for k := 0; k+1 < len(changes); k += 2 {
		if changes[k+1] == "" {
			v.Del(changes[k])
			continue
		}
		v.Set(changes[k], changes[k+1])
	}
	return v
}

// Post sends a form to an endpoint of the node, authenticated as the client.
func (n *Node) Post(t testing.TB, path string, c Client, form url.Values) *Answer {
	t.Helper()
	a, err := n.TryPost(path, c, form)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TryPost is Post for goroutines, and for nodes that may be gone.
func (n *Node) TryPost(path string, c Client, form url.Values) (*Answer, error) {
	values := url.Values{}
	for k, v := range form {
		values[k] = v
	}
	if c.Public {
		values.Set("client_id", c.ID)
	}
	r, err := http.NewRequest(http.MethodPost, n.Issuer+path, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !c.Public && c.ID != "" {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return Send(n.HTTP, r)
}

// Code signs the user in to the client in a fresh browser and returns the code.
func (n *Node) Code(t testing.TB, c Client, u User, p PKCE, changes ...string) string {
	t.Helper()
	back := n.NewBrowser(t).Authorize(t, c.Request(p, changes...), u)
	code := back.Query().Get("code")
	if code == "" {
		t.Fatalf("no code in %s", back)
	}
	return code
}

// Exchange redeems a code.
func (n *Node) Exchange(t testing.TB, c Client, code string, p PKCE, changes ...string) *Answer {
	t.Helper()
	return n.Post(t, "/oauth2/token", c, CodeForm(c, code, p, changes...))
}

// CodeForm is the token request for a code.
func CodeForm(c Client, code string, p PKCE, changes ...string) url.Values {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.RedirectURI}, "code_verifier": {p.Verifier},
	}
	for k := 0; k+1 < len(changes); k += 2 {
		if changes[k+1] == "" {
			form.Del(changes[k])
			continue
		}
		form.Set(changes[k], changes[k+1])
	}
	return form
}

// Tokens is a successful token answer.
type Tokens struct {
	Access, Refresh, ID, Scope string
	ExpiresIn                  float64
}

// SignIn goes all the way: login, consent, code, tokens.
func (n *Node) SignIn(t testing.TB, c Client, u User, changes ...string) Tokens {
	t.Helper()
	p := NewPKCE()
	return n.Exchange(t, c, n.Code(t, c, u, p, changes...), p).Tokens(t)
}

// Tokens reads a successful token answer.
func (a *Answer) Tokens(t testing.TB) Tokens {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("no tokens: status %d: %s", a.Status, a.Body)
	}
	body := a.JSON(t)
	text := func(name string) string { s, _ := body[name].(string); return s }
	expires, _ := body["expires_in"].(float64)
	return Tokens{text("access_token"), text("refresh_token"), text("id_token"), text("scope"), expires}
}

// Refresh uses a refresh token.
func (n *Node) Refresh(t testing.TB, c Client, token string, changes ...string) *Answer {
	t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for k := 0; k+1 < len(changes); k += 2 {
		form.Set(changes[k], changes[k+1])
	}
	return n.Post(t, "/oauth2/token", c, form)
}

// Active introspects a token as the client that owns it.
func (n *Node) Active(t testing.TB, c Client, token string) bool {
	t.Helper()
	a := n.Post(t, "/oauth2/introspect", c, url.Values{"token": {token}})
	if a.Status != http.StatusOK {
		t.Fatalf("introspection: status %d: %s", a.Status, a.Body)
	}
	active, _ := a.JSON(t)["active"].(bool)
	return active
}

// Userinfo calls userinfo with an access token.
func (n *Node) Userinfo(t testing.TB, token string) *Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, n.Issuer+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return Do(t, n.HTTP, r)
}

// WantError checks an OAuth error answer: status and code.
func (a *Answer) WantError(t testing.TB, status int, code string) {
	t.Helper()
	if a.Status != status {
		t.Errorf("status %d, want %d: %s", a.Status, status, a.Body)
		return
	}
	if got := a.JSON(t)["error"]; got != code {
		t.Errorf("error %v, want %s: %s", got, code, a.Body)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", a.Header.Get("Cache-Control"))
	}
}
