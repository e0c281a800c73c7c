package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// The server as programs with coreos/go-oidc and golang.org/x/oauth2 see it.
func TestClients_Go(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=See your orders"}, "--name", "Orders")
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com", "--email-verified")
		scope := []string{"--scope", "openid profile email offline_access orders:read", "--audience", api}
		basic := inst.WebClient(t, scope...)
		post := inst.WebClient(t, append(scope, "--token-endpoint-auth-method", "client_secret_post")...)
		native := inst.WebClient(t, append(scope, "--public", "--application-type", "native", "--redirect-uri", "http://127.0.0.1/callback")...)
		native.RedirectURI = "http://127.0.0.1:52814/callback" // RFC 8252 section 7.3: any port
		curve := inst.WebClient(t, append(scope, "--id-token-signed-response-alg", "ES256")...)
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		node := inst.Start(t)
		browser := node.NewBrowser(t) // one person, who stays signed in

		ctx := oidc.ClientContext(t.Context(), node.HTTP)
		provider, err := oidc.NewProvider(ctx, inst.Issuer)
		if err != nil {
			t.Fatalf("discovery: %v", err)
		}
		// An API that validates offline knows issuer, audience and keys.
		accessTokens := provider.Verifier(&oidc.Config{ClientID: api, SupportedSigningAlgs: []string{oidc.ES256}})

		for _, tt := range []struct {
			name  string
			c     Client
			style oauth2.AuthStyle
		}{
			{"client_secret_basic", basic, oauth2.AuthStyleInHeader},
			{"client_secret_post", post, oauth2.AuthStyleInParams},
			{"public client", native, oauth2.AuthStyleInParams},
			// It tries the header first and then the body: being refused once
			// must not spend the code.
			{"client_secret_post found out", post, oauth2.AuthStyleAutoDetect},
			{"ID tokens with ES256", curve, oauth2.AuthStyleInHeader},
		} {
			t.Run(tt.name, func(t *testing.T) {
				endpoint := provider.Endpoint()
				endpoint.AuthStyle = tt.style
				conf := &oauth2.Config{
					ClientID: tt.c.ID, ClientSecret: tt.c.Secret, Endpoint: endpoint, RedirectURL: tt.c.RedirectURI,
					Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess, "orders:read"},
				}
				state, nonce, verifier := Token(), Token(), oauth2.GenerateVerifier()
				request, err := url.Parse(conf.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", api)))
				if err != nil {
					t.Fatal(err)
				}
				back := browser.Authorize(t, request.Query(), alice)
				if got := back.Query(); got.Get("state") != state || got.Get("iss") != inst.Issuer || !strings.HasPrefix(back.String(), tt.c.RedirectURI+"?") {
					t.Fatalf("came back to %s", back)
				}
				token, err := conf.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
				if err != nil {
					t.Fatalf("code exchange: %v", err)
				}
				if token.Type() != "Bearer" || token.RefreshToken == "" || time.Until(token.Expiry) < 9*time.Minute {
					t.Errorf("token type %s, refresh token %t, expires %s", token.Type(), token.RefreshToken != "", token.Expiry)
				}

				first := verifyID(t, ctx, provider, tt.c, token)
				if first.Subject != alice.Sub || first.Nonce != nonce {
					t.Errorf("the ID token is about %s with nonce %s", first.Subject, first.Nonce)
				}
				if _, err := provider.Verifier(&oidc.Config{ClientID: service.ID}).Verify(ctx, token.Extra("id_token").(string)); err == nil {
					t.Error("the ID token verifies for another client")
				}
				verifyAccess(t, ctx, accessTokens, token.AccessToken, alice.Sub, tt.c.ID)

				info, err := provider.UserInfo(ctx, conf.TokenSource(ctx, token))
				if err != nil {
					t.Fatalf("userinfo: %v", err)
				}
				var profile struct {
					Name     string `json:"name"`
					Username string `json:"preferred_username"`
				}
				if err := info.Claims(&profile); err != nil {
					t.Fatal(err)
				}
				if info.Subject != alice.Sub || info.Email != "alice@example.com" || !info.EmailVerified || profile.Name != "Alice Example" || profile.Username != alice.Username {
					t.Errorf("userinfo: %+v %+v", info, profile)
				}

				// An expired access token makes the token source refresh.
				expired := *token
				expired.Expiry = time.Now().Add(-time.Minute)
				second, err := conf.TokenSource(ctx, &expired).Token()
				if err != nil {
					t.Fatalf("refresh: %v", err)
				}
				if second.AccessToken == token.AccessToken || second.RefreshToken == token.RefreshToken || second.RefreshToken == "" {
					t.Error("the refresh gave nothing new")
				}
				again := verifyID(t, ctx, provider, tt.c, second)
				if again.Subject != first.Subject {
					t.Errorf("the refreshed ID token is about %s", again.Subject)
				}
				verifyAccess(t, ctx, accessTokens, second.AccessToken, alice.Sub, tt.c.ID)
			})
		}

		t.Run("client credentials", func(t *testing.T) {
			conf := &clientcredentials.Config{ClientID: service.ID, ClientSecret: service.Secret, TokenURL: provider.Endpoint().TokenURL, Scopes: []string{"orders:read"}}
			token, err := conf.Token(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if token.RefreshToken != "" || token.Extra("scope") != "orders:read" {
				t.Errorf("refresh token %t, scope %v", token.RefreshToken != "", token.Extra("scope"))
			}
			verifyAccess(t, ctx, accessTokens, token.AccessToken, service.ID, service.ID)

			conf.ClientSecret += "x"
			_, err = conf.Token(ctx)
			refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok || refusal.ErrorCode != "invalid_client" || refusal.Response.StatusCode != http.StatusUnauthorized {
				t.Errorf("a wrong secret: %v", err)
			}
		})
	})
}

// verifyID checks an ID token and its at_hash with go-oidc.
func verifyID(t *testing.T, ctx context.Context, provider *oidc.Provider, c Client, token *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token came")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: c.ID}).Verify(ctx, raw)
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	return id
}

// verifyAccess checks a JWT access token as an API does, offline.
func verifyAccess(t *testing.T, ctx context.Context, v *oidc.IDTokenVerifier, raw, subject, clientID string) {
	t.Helper()
	token, err := v.Verify(ctx, raw)
	if err != nil {
		t.Fatalf("access token: %v", err)
	}
	var claims struct {
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
	}
	if err := token.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if token.Subject != subject || claims.ClientID != clientID || !slices.Contains(strings.Fields(claims.Scope), "orders:read") {
		t.Errorf("access token of %s: %+v", token.Subject, claims)
	}
}

// application is a program with go-oidc that listens: at its callback for
// answers by form post, and at its back channel.
type application struct {
	*httptest.Server
	answers chan url.Values
	logouts chan string
}

func newApplication(t *testing.T) *application {
	a := &application{answers: make(chan url.Values, 1), logouts: make(chan string, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /callback", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" || r.ParseForm() != nil {
			t.Errorf("the answer came with %s", r.URL)
		}
		a.answers <- r.PostForm
	})
	mux.HandleFunc("POST /logout", func(_ http.ResponseWriter, r *http.Request) { a.logouts <- r.PostFormValue("logout_token") })
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// opener opens answers that are encrypted, before go-oidc reads them: it knows
// signed userinfo, and leaves decrypting to the application.
type opener struct {
	t    *testing.T
	key  *ClientKey
	next http.RoundTripper
}

func (o opener) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := o.next.RoundTrip(r)
	if err != nil || res.Header.Get("Content-Type") != "application/jwt" {
		return res, err
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	res.Body.Close()
	res.Body = io.NopCloser(strings.NewReader(o.key.Open(o.t, string(raw), "A256GCM", "JWT")))
	return res, nil
}

// A program with go-oidc, golang.org/x/oauth2 and go-jose that wants all there
// is: it registers itself, signs its requests and pushes them, authenticates
// with its key, opens what is encrypted to it, takes the answer by form post,
// signs out, and hears of it. All addresses come from the metadata.
func TestClients_GoWantsAll(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "open", "IDP_OUTBOUND_ALLOW": outside["IDP_OUTBOUND_ALLOW"]})
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com")
		node := inst.Start(t)
		app := newApplication(t)
		signing, encryption := NewClientKey(t, "ES256"), NewClientKey(t, "ECDH-ES+A256KW")

		ctx := oidc.ClientContext(t.Context(), node.HTTP)
		provider, err := oidc.NewProvider(ctx, inst.Issuer)
		if err != nil {
			t.Fatalf("discovery: %v", err)
		}
		var endpoints struct {
			Registration string `json:"registration_endpoint"`
			Push         string `json:"pushed_authorization_request_endpoint"`
			EndSession   string `json:"end_session_endpoint"`
		}
		if err := provider.Claims(&endpoints); err != nil {
			t.Fatal(err)
		}
		registered := readRegistered(t, node.JSONRequest(t, http.MethodPost, endpoints.Registration, "", fields{
			"redirect_uris": []string{app.URL + "/callback"}, "post_logout_redirect_uris": []string{app.URL + "/bye"},
			"backchannel_logout_uri": app.URL + "/logout", "backchannel_logout_session_required": true,
			"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(JWKS(signing, encryption)),
			"id_token_signed_response_alg": "ES384", "id_token_encrypted_response_alg": encryption.Alg, "id_token_encrypted_response_enc": "A256GCM",
			"userinfo_signed_response_alg": "ES256", "userinfo_encrypted_response_alg": encryption.Alg, "userinfo_encrypted_response_enc": "A256GCM",
			"request_object_signing_alg": signing.Alg, "require_signed_request_object": true, "require_pushed_authorization_requests": true,
		}))
		if registered.ID == "" {
			t.Fatalf("registration: %v", registered.Fields)
		}
		asserted := func() url.Values {
			return Asserted(url.Values{"client_id": {registered.ID}}, signing.Sign(t, AssertionClaims(registered.ID, inst.Issuer, nil)))
		}
		verifier := provider.Verifier(&oidc.Config{ClientID: registered.ID, SupportedSigningAlgs: []string{oidc.ES384}})

		// The request: signed, pushed, answered by form post.
		endpoint := provider.Endpoint()
		endpoint.AuthStyle = oauth2.AuthStyleInParams
		conf := &oauth2.Config{ClientID: registered.ID, Endpoint: endpoint, RedirectURL: app.URL + "/callback", Scopes: []string{oidc.ScopeOpenID, "email"}}
		state, nonce, proof := Token(), Token(), oauth2.GenerateVerifier()
		request := mustURL(t, conf.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(proof), oauth2.SetAuthURLParam("response_mode", "form_post")))
		push := asserted()
		push.Set("request", signing.Sign(t, registered.ObjectClaims(inst.Issuer, request.Query(), nil), "typ", "oauth-authz-req+jwt"))
		res, err := node.HTTP.PostForm(endpoints.Push, push)
		if err != nil {
			t.Fatal(err)
		}
		var pushed struct {
			RequestURI string `json:"request_uri"`
		}
		if err := json.NewDecoder(res.Body).Decode(&pushed); err != nil || res.StatusCode != http.StatusCreated {
			t.Fatalf("pushed: status %d, %v", res.StatusCode, err)
		}
		res.Body.Close()
		browser := node.NewBrowser(t)
		if back := browser.Authorize(t, registered.ByReference(pushed.RequestURI), alice); back.String() != conf.RedirectURL {
			t.Errorf("the browser came out at %s", back)
		}
		answer := <-app.answers
		if answer.Get("state") != state || answer.Get("iss") != inst.Issuer {
			t.Fatalf("the answer is %v", answer)
		}

		// The tokens.
		var options []oauth2.AuthCodeOption
		for name, values := range asserted() {
			options = append(options, oauth2.SetAuthURLParam(name, values[0]))
		}
		token, err := conf.Exchange(ctx, answer.Get("code"), append(options, oauth2.VerifierOption(proof))...)
		if err != nil {
			t.Fatalf("code exchange: %v", err)
		}
		sealed, _ := token.Extra("id_token").(string)
		if _, err := verifier.Verify(ctx, sealed); err == nil {
			t.Error("the ID token is not encrypted")
		}
		raw := encryption.Open(t, sealed, "A256GCM", "JWT")
		id, err := verifier.Verify(ctx, raw)
		if err != nil {
			t.Fatalf("ID token: %v", err)
		}
		var session struct {
			ID string `json:"sid"`
		}
		if err := id.Claims(&session); err != nil || id.Subject != alice.Sub || id.Nonce != nonce || session.ID == "" {
			t.Errorf("ID token of %s in session %q: %v", id.Subject, session.ID, err)
		}
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			t.Errorf("at_hash: %v", err)
		}
		opening := *node.HTTP
		opening.Transport = opener{t, encryption, node.HTTP.Transport}
		info, err := provider.UserInfo(oidc.ClientContext(t.Context(), &opening), oauth2.StaticTokenSource(token))
		if err != nil {
			t.Fatalf("userinfo: %v", err)
		}
		if info.Subject != alice.Sub || info.Email != "alice@example.com" {
			t.Errorf("userinfo: %+v", info)
		}

		// The end.
		bye := browser.Get(t, endpoints.EndSession+"?"+url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {app.URL + "/bye"}, "state": {state}}.Encode())
		if got := bye.Header.Get("Location"); got != app.URL+"/bye?state="+state {
			t.Errorf("signed out to %q, status %d", got, bye.Status)
		}
		select {
		case heard := <-app.logouts:
			out, err := verifier.VerifyLogout(ctx, encryption.Open(t, heard, "A256GCM", "JWT"))
			if err != nil {
				t.Fatalf("logout token: %v", err)
			}
			if out.Issuer != inst.Issuer || out.Subject != alice.Sub || out.SessionID != session.ID {
				t.Errorf("logout token: %+v", out)
			}
			if _, err := verifier.VerifyLogout(ctx, raw); err == nil {
				t.Error("an ID token passes for a logout token")
			}
		case <-time.After(15 * time.Second):
			t.Error("the application heard nothing of the logout")
		}
	})
}
