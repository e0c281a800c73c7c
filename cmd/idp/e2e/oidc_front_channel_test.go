package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// outcome is what a client has in hands after a sign-in, wherever it came from.
type outcome struct {
	access, refresh string
	id              map[string]any // of the ID token that came first
	raw             string         // that ID token
	code            string
}

// The modules of the implicit and hybrid certification plans, and of the form
// post plans, for every response type that brings more than a code. Each
// subtest has its module's name.
func TestOIDC_implicit_and_hybrid(t *testing.T) {
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		erin := inst.everybody(t)
		const scopes = "openid profile email address phone offline_access"
		flags := []string{"--security-profile", "oidc-legacy", "--pkce-optional", "--skip-consent", "--scope", scopes}
		for _, rt := range responseTypes {
			flags = append(flags, "--response-type", rt)
		}
		client, other := inst.WebClient(t, flags...), inst.WebClient(t, flags...)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, client.Request(NewPKCE()), erin)

		for _, rt := range responseTypes[1:] {
			for _, mode := range []string{"", "form_post"} {
				t.Run(strings.ReplaceAll(rt, " ", "_")+" "+orDefault(mode, "fragment"), func(t *testing.T) {
					expected := orDefault(mode, "fragment")
					ask := func(b *Browser, c Client, changes ...string) *Answer {
						changes = append([]string{"code_challenge", "", "code_challenge_method", "", "response_type", rt, "response_mode", mode, "scope", "openid"}, changes...)
						return b.Get(t, "/oauth2/auth?"+c.Request(PKCE{}, changes...).Encode())
					}
					// finish takes what came by the browser, and redeems the code.
					finish := func(t *testing.T, c Client, page *Answer) outcome {
						t.Helper()
						got := b.answer(t, page, c, expected)
						if got.Get("error") != "" {
							t.Fatalf("%s: %s", got.Get("error"), got.Get("error_description"))
						}
						o := outcome{access: got.Get("access_token"), raw: got.Get("id_token"), code: got.Get("code")}
						if o.code != "" {
							tokens := node.Exchange(t, c, o.code, PKCE{}, "code_verifier", "").Tokens(t)
							o.access, o.refresh = tokens.Access, tokens.Refresh
							if o.raw == "" {
								o.raw = tokens.ID
							}
							second := node.Verify(t, tokens.ID, "JWT", "RS256")
							if second["sub"] != erin.Sub {
								t.Errorf("the token endpoint's ID token: %v", second)
							}
						}
						o.id = node.Verify(t, o.raw, "JWT", "RS256")
						if o.id["sub"] != erin.Sub || o.id["aud"] != c.ID || o.id["iss"] != inst.Issuer {
							t.Errorf("ID token: %v", o.id)
						}
						return o
					}
					signIn := func(t *testing.T, changes ...string) outcome {
						t.Helper()
						return finish(t, client, ask(b, client, changes...))
					}
					claimsOf := func(t *testing.T, o outcome) map[string]any {
						t.Helper()
						if rt == "id_token" {
							return o.id
						}
						return node.Userinfo(t, o.access).JSON(t)
					}

					first := signIn(t)
					for scope, claims := range scopeClaims {
						t.Run("oidcc-scope-"+scope, func(t *testing.T) {
							o := signIn(t, "scope", "openid "+scope)
							got := claimsOf(t, o)
							for _, claim := range claims {
								if got[claim] == nil {
									t.Errorf("%s is missing", claim)
								}
								if rt != "id_token" && o.id[claim] != nil {
									t.Errorf("%s is in the ID token, though userinfo can be asked", claim)
								}
							}
						})
					}
					t.Run("oidcc-scope-all", func(t *testing.T) {
						if got := claimsOf(t, signIn(t, "scope", "openid profile email address phone")); got["name"] == nil || got["email"] == nil || got["address"] == nil || got["phone_number"] == nil {
							t.Errorf("%v", got)
						}
					})
					for module, changes := range map[string][]string{
						"oidcc-alternate-happy-flow":                           {"scope", "email openid"},
						"oidcc-display-page":                                   {"display", "page"},
						"oidcc-display-popup":                                  {"display", "popup"},
						"oidcc-ensure-request-with-unknown-parameter-succeeds": {"extra", "foobar"},
						"oidcc-login-hint":                                     {"login_hint", erin.Username},
						"oidcc-ui-locales":                                     {"ui_locales", "se"},
						"oidcc-claims-locales":                                 {"claims_locales", "se"},
						"oidcc-ensure-request-with-acr-values-succeeds":        {"acr_values", "1"},
						"oidcc-prompt-none-logged-in":                          {"prompt", "none"},
						"oidcc-max-age-10000":                                  {"max_age", "10000"},
						"oidcc-id-token-hint":                                  {"prompt", "none", "id_token_hint", first.raw},
					} {
						t.Run(module, func(t *testing.T) {
							if o := signIn(t, changes...); o.id["auth_time"] != first.id["auth_time"] || o.id["acr"] != "1" {
								t.Errorf("%v after %v", o.id, first.id)
							}
						})
					}
					t.Run("oidcc-claims-essential", func(t *testing.T) {
						place := "userinfo"
						if rt == "id_token" {
							place = "id_token"
						}
						if got := claimsOf(t, signIn(t, "claims", `{"`+place+`":{"name":{"essential":true}}}`)); got["name"] != "Erin Everybody" {
							t.Errorf("%v", got)
						}
					})
					t.Run("oidcc-prompt-none-not-logged-in", func(t *testing.T) {
						if got := b.answer(t, ask(node.NewBrowser(t), client, "prompt", "none"), client, expected); got.Get("error") != "login_required" {
							t.Errorf("%v", got)
						}
					})
					t.Run("oidcc-ensure-registered-redirect-uri", func(t *testing.T) {
						if a := ask(b, client, "redirect_uri", "https://app.example/other"); a.Status != http.StatusBadRequest || !a.HasID("error") {
							t.Errorf("%d", a.Status)
						}
					})
					t.Run("oidcc-response-type-missing", func(t *testing.T) {
						mode := orDefault(mode, "query") // nothing says that a fragment is expected
						if got := b.answer(t, ask(b, client, "response_type", ""), client, mode); got.Get("error") != "unsupported_response_type" {
							t.Errorf("%v", got)
						}
					})
					t.Run("nonce", func(t *testing.T) {
						got := b.answer(t, ask(b, client, "nonce", ""), client, expected)
						if strings.Contains(rt, "id_token") { // oidcc-ensure-request-without-nonce-fails
							if got.Get("error") != "invalid_request" {
								t.Errorf("%v", got)
							}
						} else if got.Get("code") == "" { // oidcc-ensure-request-without-nonce-succeeds-for-code-flow
							t.Errorf("%v", got)
						}
					})
					if first.code != "" {
						t.Run("oidcc-codereuse", func(t *testing.T) {
							o := signIn(t)
							node.Exchange(t, client, o.code, PKCE{}, "code_verifier", "").WantError(t, http.StatusBadRequest, "invalid_grant")
							if a := node.Userinfo(t, o.access); a.Status != http.StatusUnauthorized {
								t.Errorf("the access token still works: %d", a.Status)
							}
						})
						t.Run("oidcc-refresh-token", func(t *testing.T) {
							o := signIn(t, "scope", "openid offline_access")
							second := finish(t, other, ask(b, other, "scope", "openid offline_access"))
							node.Refresh(t, other, second.refresh).Tokens(t)
							again := node.Verify(t, node.Refresh(t, client, o.refresh).Tokens(t).ID, "JWT", "RS256")
							for _, claim := range []string{"iss", "sub", "aud", "auth_time"} {
								if again[claim] != o.id[claim] {
									t.Errorf("%s is %v, was %v", claim, again[claim], o.id[claim])
								}
							}
						})
						t.Run("oidcc-ensure-request-with-valid-pkce-succeeds", func(t *testing.T) {
							p := NewPKCE()
							got := b.answer(t, ask(b, client, "code_challenge", p.Challenge, "code_challenge_method", "S256"), client, expected)
							node.Exchange(t, client, got.Get("code"), p).Tokens(t)
						})
					}
				})
			}
		}
		// What signs in anew comes last and once for all, as it moves auth_time.
		for _, rt := range responseTypes[1:] {
			t.Run(strings.ReplaceAll(rt, " ", "_")+" anew", func(t *testing.T) {
				request := func(changes ...string) string {
					changes = append([]string{"code_challenge", "", "code_challenge_method", "", "response_type", rt, "scope", "openid"}, changes...)
					return "/oauth2/auth?" + client.Request(PKCE{}, changes...).Encode()
				}
				for module, changes := range map[string][]string{"oidcc-prompt-login": {"prompt", "login"}, "oidcc-max-age-1": {"max_age", "1"}} {
					t.Run(module, func(t *testing.T) {
						if module == "oidcc-max-age-1" {
							time.Sleep(1100 * time.Millisecond)
						}
						asked := time.Now().Unix()
						page := b.Get(t, request(changes...))
						if !page.HasID("login-form") {
							t.Fatalf("no login form: %d", page.Status)
						}
						got := b.answer(t, b.Login(t, page, erin.Username, erin.Password), client, "fragment")
						raw := got.Get("id_token")
						if raw == "" {
							raw = node.Exchange(t, client, got.Get("code"), PKCE{}, "code_verifier", "").Tokens(t).ID
						}
						if id := node.Verify(t, raw, "JWT", "RS256"); id["auth_time"].(float64) < float64(asked) {
							t.Errorf("auth_time %v is before the request at %d", id["auth_time"], asked)
						}
					})
				}
			})
		}
	})
}
