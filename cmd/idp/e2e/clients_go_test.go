package e2e

import (
	"context"
	"errors"
	"net/http"
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
