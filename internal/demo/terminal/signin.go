package terminal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// SignIn is one sign-in that was begun.
type SignIn struct {
	URL string // where the person goes

	client                 *Client
	redirectURI            string
	state, nonce, verifier string
	used                   atomic.Bool // a code that is sent twice ends what it gave
}

// Begin prepares a sign-in that ends at the redirect URI.
func (c *Client) Begin(ctx context.Context, redirectURI string) (*SignIn, error) {
	s := &SignIn{client: c, redirectURI: redirectURI, state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	config := c.oauth
	config.RedirectURL = redirectURI
	address, err := url.Parse(config.AuthCodeURL(s.state, oidc.Nonce(s.nonce), oauth2.S256ChallengeOption(s.verifier)))
	if err != nil {
		return nil, fmt.Errorf("the issuer's authorization endpoint: %w", err)
	}
	request := address.Query()
	request["resource"] = c.cfg.Resources
	if c.cfg.Push || c.metadata.MustPush {
		if request, err = c.push(ctx, request); err != nil {
			return nil, err
		}
	}
	address.RawQuery = request.Encode()
	s.URL = address.String()
	return s, nil
}

// push sends the request ahead and returns what is left for the browser
// (RFC 9126 section 2).
func (c *Client) push(ctx context.Context, request url.Values) (url.Values, error) {
	if c.metadata.Pushed == "" {
		return nil, errors.New("the issuer takes no pushed authorization requests")
	}
	inHeader := c.cfg.Secret != "" && !c.cfg.InBody
	if c.cfg.InBody {
		request.Set("client_secret", c.cfg.Secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.metadata.Pushed, strings.NewReader(request.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if inHeader {
		r.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.Secret))
	}
	client := c.cfg.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var said struct {
		RequestURI  string `json:"request_uri"`
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, 1<<16)).Decode(&said); err != nil || said.RequestURI == "" {
		if said.Code == "" {
			return nil, fmt.Errorf("the issuer answered %s to the pushed request", res.Status)
		}
		return nil, refusedWith(said.Code, said.Description)
	}
	return url.Values{"client_id": {c.cfg.ClientID}, "request_uri": {said.RequestURI}}, nil
}

// errElsewhere is an answer to another sign-in, or to none.
var errElsewhere = errors.New("that address does not belong to this sign-in: its state is another one")

// Finish takes the address that the person came back to: 1 one of each
// parameter · 2 state · 3 issuer · 4 error · 5 code for tokens · 6 ID token.
func (s *SignIn) Finish(ctx context.Context, address string) (Tokens, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return Tokens{}, errors.New("that is no address")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Tokens{}, errors.New("that is no address")
	}
	for _, name := range []string{"state", "iss", "code", "error"} {
		if len(query[name]) > 1 {
			return Tokens{}, fmt.Errorf("that address holds %s more than once", name)
		}
	}
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(s.state)) == 0 {
		return Tokens{}, errElsewhere
	}
	if s.used.Swap(true) {
		return Tokens{}, errElsewhere
	}
	// RFC 9207 section 2.4
	if iss := query.Get("iss"); iss != s.client.cfg.Issuer && (iss != "" || s.client.metadata.SendsIssuer) {
		return Tokens{}, errors.New("the answer came from another issuer")
	}
	if query.Has("error") {
		return Tokens{}, refusedWith(query.Get("error"), query.Get("error_description"))
	}
	config := s.client.oauth
	config.RedirectURL = s.redirectURI
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(s.verifier)}
	if resources := s.client.cfg.Resources; len(resources) > 0 {
		options = append(options, oauth2.SetAuthURLParam("resource", resources[0]))
	}
	ctx = s.client.http(ctx)
	token, err := config.Exchange(ctx, query.Get("code"), options...)
	if err != nil {
		return Tokens{}, refusal(err)
	}
	return s.client.verified(ctx, token, s.nonce)
}

// Listen waits on the redirect URI's own address until the person is back. What
// comes there and does not belong to this sign-in is refused, and it goes on
// waiting.
func (s *SignIn) Listen(ctx context.Context, listener net.Listener) (Tokens, error) {
	place, err := url.Parse(s.redirectURI)
	if err != nil {
		return Tokens{}, err
	}
	path := place.EscapedPath()
	if path == "" {
		path = "/"
	}
	type result struct {
		tokens Tokens
		err    error
	}
	done := make(chan result, 1)
	answer := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Connection", "close")
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.EscapedPath() != path {
				answer(w, http.StatusNotFound, "There is nothing here.")
				return
			}
			tokens, err := s.Finish(ctx, r.URL.String()) // whatever the browser does meanwhile
			if errors.Is(err, errElsewhere) {
				answer(w, http.StatusBadRequest, "This does not belong to the sign-in that the terminal waits for.")
				return
			}
			if err != nil {
				answer(w, http.StatusBadRequest, "That did not work: the terminal says why. You can close this page.")
			} else {
				answer(w, http.StatusOK, "Signed in. You can close this page and go back to the terminal.")
			}
			select {
			case done <- result{tokens, err}:
			default:
			}
		}),
	}
	go func() { _ = server.Serve(listener) }()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(closing) // lets the last answer out
	}()
	select {
	case r := <-done:
		return r.tokens, r.err
	case <-ctx.Done():
		return Tokens{}, context.Cause(ctx)
	}
}
