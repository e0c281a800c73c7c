package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Everybody is who passes for a person with every standard claim (OpenID
// Connect Core section 5.1).
func (i *Installation) everybody(t *testing.T) User {
	return i.NewUser(t,
		"--name", "Erin Everybody", "--given-name", "Erin", "--family-name", "Everybody", "--middle-name", "E.", "--nickname", "erin",
		"--preferred-username", "erin", "--profile", "https://people.example/erin", "--picture", "https://people.example/erin.png",
		"--website", "https://erin.example", "--gender", "female", "--birthdate", "1990-05-05", "--zoneinfo", "Europe/Berlin", "--locale", "de-DE",
		"--email", "erin@example.com", "--email-verified", "--phone-number", "+49 30 123456", "--phone-number-verified",
		"--address", "Hauptstr. 1, 10115 Berlin", "--street-address", "Hauptstr. 1", "--locality", "Berlin", "--postal-code", "10115", "--country", "DE")
}

// The claims that each scope opens, with the type that each must have.
var scopeClaims = map[string][]string{
	"profile": {
		"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
		"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// The modules of the basic certification plan that need no other test of ours.
// Each subtest has its module's name.
func TestOIDC_basic(t *testing.T) {
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		erin := inst.everybody(t)
		const scopes = "openid profile email address phone offline_access"
		web := inst.WebClient(t, "--scope", scopes, "--pkce-optional")
		second := inst.WebClient(t, "--scope", scopes, "--pkce-optional")
		post := inst.WebClient(t, "--scope", scopes, "--pkce-optional", "--token-endpoint-auth-method", "client_secret_post")
		node := inst.Start(t)

		plain := []string{"code_challenge", "", "code_challenge_method", ""}
		// signIn goes through a request in the browser and redeems the code.
		signIn := func(t *testing.T, b *Browser, c Client, changes ...string) (Tokens, map[string]any) {
			t.Helper()
			back := b.Authorize(t, c.Request(PKCE{}, append(plain, changes...)...), erin)
			if back.Query().Get("code") == "" {
				t.Fatalf("came back to %s", back)
			}
			tokens := node.Exchange(t, c, back.Query().Get("code"), PKCE{}, "code_verifier", "").Tokens(t)
			return tokens, node.Verify(t, tokens.ID, "JWT", "RS256")
		}
		ask := func(b *Browser, c Client, changes ...string) *Answer {
			return b.Get(t, "/oauth2/auth?"+c.Request(PKCE{}, append(plain, changes...)...).Encode())
		}
		b := node.NewBrowser(t)
		first, firstID := signIn(t, b, web)

		t.Run("oidcc-server-client-secret-post", func(t *testing.T) {
			code := b.Authorize(t, post.Request(PKCE{}, plain...), erin).Query().Get("code")
			form := CodeForm(post, code, PKCE{}, "code_verifier", "")
			form.Set("client_id", post.ID)
			form.Set("client_secret", post.Secret)
			node.Post(t, "/oauth2/token", Client{}, form).Tokens(t)
		})
		t.Run("oidcc-idtoken-signature", func(t *testing.T) {
			if firstID["sub"] != erin.Sub || firstID["name"] != nil || firstID["email"] != nil {
				t.Errorf("ID token: %v", firstID)
			}
		})
		t.Run("oidcc-userinfo", func(t *testing.T) {
			for name, send := range map[string]func(*http.Request) *http.Request{
				"get":         func(r *http.Request) *http.Request { return r },
				"post-header": func(r *http.Request) *http.Request { r.Method = http.MethodPost; return r },
				"post-body": func(*http.Request) *http.Request {
					r, _ := http.NewRequest(http.MethodPost, node.Issuer+"/userinfo", strings.NewReader(url.Values{"access_token": {first.Access}}.Encode()))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					return r
				},
			} {
				r, _ := http.NewRequest(http.MethodGet, node.Issuer+"/userinfo", nil)
				r.Header.Set("Authorization", "bEaReR "+first.Access)
				if a := Do(t, node.HTTP, send(r)); a.Status != http.StatusOK || a.JSON(t)["sub"] != erin.Sub {
					t.Errorf("oidcc-userinfo-%s: %d %s", name, a.Status, a.Body)
				}
			}
		})
		for scope, claims := range scopeClaims {
			t.Run("oidcc-scope-"+scope, func(t *testing.T) {
				tokens, _ := signIn(t, b, web, "scope", "openid "+scope)
				info := node.Userinfo(t, tokens.Access).JSON(t)
				for _, claim := range claims {
					if info[claim] == nil {
						t.Errorf("%s is missing", claim)
					}
				}
				if len(info) != len(claims)+1 {
					t.Errorf("more than asked for: %v", info)
				}
			})
		}
		t.Run("oidcc-scope-all", func(t *testing.T) {
			tokens, _ := signIn(t, b, web, "scope", scopes)
			info := node.Userinfo(t, tokens.Access).JSON(t)
			if _, ok := info["updated_at"].(float64); !ok {
				t.Errorf("updated_at is %T", info["updated_at"])
			}
			for _, claim := range []string{"email_verified", "phone_number_verified"} {
				if _, ok := info[claim].(bool); !ok {
					t.Errorf("%s is %T", claim, info[claim])
				}
			}
			if _, ok := info["address"].(map[string]any); !ok {
				t.Errorf("address is %T", info["address"])
			}
		})
		// Accepted without an error, and without effect on the outcome.
		for module, changes := range map[string][]string{
			"oidcc-alternate-happy-flow":                           {"scope", "phone address email profile openid"},
			"oidcc-display-page":                                   {"display", "page"},
			"oidcc-display-popup":                                  {"display", "popup"},
			"oidcc-ensure-request-with-unknown-parameter-succeeds": {"extra", "foobar"},
			"oidcc-login-hint":                                     {"login_hint", erin.Username},
			"oidcc-ui-locales":                                     {"ui_locales", "se"},
			"oidcc-claims-locales":                                 {"claims_locales", "se"},
			"oidcc-ensure-request-with-acr-values-succeeds":        {"acr_values", "1"},
		} {
			t.Run(module, func(t *testing.T) {
				_, id := signIn(t, b, web, changes...)
				if id["sub"] != erin.Sub || id["acr"] != "1" {
					t.Errorf("ID token: %v", id)
				}
			})
		}
		t.Run("oidcc-ensure-request-with-valid-pkce-succeeds", func(t *testing.T) {
			p := NewPKCE()
			node.Exchange(t, web, b.Authorize(t, web.Request(p), erin).Query().Get("code"), p).Tokens(t)
		})
		t.Run("oidcc-ensure-post-request-succeeds", func(t *testing.T) {
			request := web.Request(PKCE{}, plain...)
			r, _ := http.NewRequest(http.MethodPost, node.Issuer+"/oauth2/auth", strings.NewReader(request.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if a := b.follow(t, r); !strings.Contains(a.Header.Get("Location"), "code=") {
				t.Errorf("%d %s", a.Status, a.Header.Get("Location"))
			}
		})
		t.Run("oidcc-prompt-none-not-logged-in", func(t *testing.T) {
			if a := ask(node.NewBrowser(t), web, "prompt", "none"); !strings.Contains(a.Header.Get("Location"), "error=login_required") {
				t.Errorf("%d %s", a.Status, a.Header.Get("Location"))
			}
		})
		t.Run("oidcc-prompt-none-logged-in", func(t *testing.T) {
			if _, id := signIn(t, b, web, "prompt", "none"); id["sub"] != erin.Sub || id["auth_time"] != firstID["auth_time"] {
				t.Errorf("%v after %v", id, firstID)
			}
		})
		t.Run("oidcc-id-token-hint", func(t *testing.T) {
			if _, id := signIn(t, b, web, "prompt", "none", "id_token_hint", first.ID); id["sub"] != erin.Sub {
				t.Errorf("%v", id)
			}
		})
		t.Run("oidcc-max-age-10000", func(t *testing.T) {
			_, one := signIn(t, b, web, "max_age", "10000")
			if _, two := signIn(t, b, web, "max_age", "10000", "prompt", "none"); one["auth_time"] == nil || one["auth_time"] != two["auth_time"] {
				t.Errorf("auth_time %v, then %v", one["auth_time"], two["auth_time"])
			}
		})
		t.Run("oidcc-prompt-login", func(t *testing.T) {
			time.Sleep(1100 * time.Millisecond) // auth_time has whole seconds
			if page := ask(b, web, "prompt", "login"); !page.HasID("login-form") {
				t.Fatalf("no login form: %d", page.Status)
			}
			if _, id := signIn(t, b, web, "prompt", "login"); id["auth_time"].(float64) <= firstID["auth_time"].(float64) {
				t.Errorf("auth_time %v after %v", id["auth_time"], firstID["auth_time"])
			}
		})
		t.Run("oidcc-max-age-1", func(t *testing.T) {
			_, one := signIn(t, b, web, "max_age", "10000")
			time.Sleep(2100 * time.Millisecond)
			if page := ask(b, web, "max_age", "1"); !page.HasID("login-form") {
				t.Fatalf("no login form: %d", page.Status)
			}
			if _, two := signIn(t, b, web, "max_age", "1"); two["auth_time"].(float64) <= one["auth_time"].(float64) {
				t.Errorf("auth_time %v after %v", two["auth_time"], one["auth_time"])
			}
		})
		t.Run("oidcc-codereuse", func(t *testing.T) {
			code := b.Authorize(t, web.Request(PKCE{}, plain...), erin).Query().Get("code")
			tokens := node.Exchange(t, web, code, PKCE{}, "code_verifier", "").Tokens(t)
			node.Exchange(t, web, code, PKCE{}, "code_verifier", "").WantError(t, http.StatusBadRequest, "invalid_grant")
			if a := node.Userinfo(t, tokens.Access); a.Status != http.StatusUnauthorized {
				t.Errorf("the first access token still works: %d", a.Status)
			}
		})
		t.Run("oidcc-ensure-registered-redirect-uri", func(t *testing.T) {
			if a := ask(b, web, "redirect_uri", "https://app.example/other"); a.Status != http.StatusBadRequest || !a.HasID("error") {
				t.Errorf("%d", a.Status)
			}
		})
		t.Run("oidcc-refresh-token", func(t *testing.T) {
			tokens, id := signIn(t, b, web, "scope", "openid offline_access", "prompt", "consent")
			other, _ := signIn(t, b, second, "scope", "openid offline_access", "prompt", "consent")
			node.Refresh(t, second, other.Refresh).Tokens(t)
			renewed := node.Refresh(t, web, tokens.Refresh)
			if renewed.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", renewed.Header.Get("Cache-Control"))
			}
			again := node.Verify(t, renewed.Tokens(t).ID, "JWT", "RS256")
			for _, claim := range []string{"iss", "sub", "aud", "auth_time"} {
				if again[claim] != id[claim] {
					t.Errorf("%s is %v, was %v", claim, again[claim], id[claim])
				}
			}
			node.Refresh(t, second, renewed.Tokens(t).Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		})
		// oidcc-discovery-endpoint-verification of the config plan: every endpoint
		// that the metadata names is there.
		t.Run("oidcc-discovery-endpoint-verification", func(t *testing.T) {
			meta := b.Get(t, "/.well-known/openid-configuration").JSON(t)
			if meta["issuer"] != inst.Issuer {
				t.Errorf("issuer %v", meta["issuer"])
			}
			algs, _ := meta["id_token_signing_alg_values_supported"].([]any)
			if !slices.Contains(algs, any("RS256")) {
				t.Errorf("algorithms %v", algs)
			}
			for name, value := range meta {
				address, _ := value.(string)
				if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" && name != "check_session_iframe" {
					continue
				}
				r, _ := http.NewRequest(http.MethodOptions, address, nil)
				r.Header.Set("Origin", "https://nobody.example")
				if a := Do(t, node.HTTP, r); a.Status == http.StatusNotFound || !strings.HasPrefix(address, inst.Issuer) {
					t.Errorf("%s at %s answers %d", name, address, a.Status)
				}
			}
		})
	})
}
