package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

var responseTypes = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}

// answer reads an authorization response in whatever mode it came, and checks
// that nothing came by another.
func (b *Browser) answer(t *testing.T, page *Answer, c Client, mode string) url.Values {
	t.Helper()
	if mode == "form_post" {
		form := page.Form(t, "form-post")
		if form.Action != c.RedirectURI {
			t.Errorf("the form posts to %s", form.Action)
		}
		return form.Fields
	}
	back, err := url.Parse(page.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), c.RedirectURI) {
		t.Fatalf("came back to %q: %v", page.Header.Get("Location"), err)
	}
	values := back.Query()
	other := back.Fragment
	if mode == "fragment" {
		values, err = url.ParseQuery(back.Fragment)
		other = back.RawQuery
	}
	if err != nil || other != "" {
		t.Errorf("%s: unexpected %q beside the answer, %v", back, other, err)
	}
	return values
}

func halfHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// oidcc-server, and oidcc-formpost: every response type in its default mode and
// as a form post.
func TestOIDC_oidcc_server(t *testing.T) {
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com")
		flags := []string{"--security-profile", "oidc-legacy", "--pkce-optional", "--skip-consent", "--scope", "openid profile email offline_access"}
		for _, rt := range responseTypes {
			flags = append(flags, "--response-type", rt)
		}
		legacy := inst.WebClient(t, flags...)
		baseline := inst.WebClient(t)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Authorize(t, legacy.Request(NewPKCE()), alice)

		ask := func(c Client, changes ...string) *Answer {
			return b.Get(t, "/oauth2/auth?"+c.Request(PKCE{}, append([]string{"code_challenge", "", "code_challenge_method", ""}, changes...)...).Encode())
		}
		for _, rt := range responseTypes {
			for _, mode := range []string{"", "form_post"} {
				t.Run(strings.ReplaceAll(rt, " ", "_")+"_"+mode, func(t *testing.T) {
					expected := mode
					if mode == "" && rt == "code" {
						expected = "query"
					} else if mode == "" {
						expected = "fragment"
					}
					nonce := Token()
					got := b.answer(t, ask(legacy, "response_type", rt, "response_mode", mode, "scope", "openid email", "nonce", nonce, "state", "s1"), legacy, expected)
					if got.Get("state") != "s1" || got.Get("iss") != inst.Issuer {
						t.Errorf("state or iss: %v", got)
					}
					for part, wanted := range map[string]bool{
						"code": strings.Contains(rt, "code"), "id_token": strings.Contains(rt, "id_token"),
						"access_token": strings.HasSuffix(rt, " token"), "token_type": strings.HasSuffix(rt, " token"),
					} {
						if got.Has(part) != wanted {
							t.Errorf("%s is there: %v, want %v", part, got.Has(part), wanted)
						}
					}
					if raw := got.Get("id_token"); raw != "" {
						id := node.Verify(t, raw, "JWT", "RS256")
						if id["sub"] != alice.Sub || id["nonce"] != nonce || id["aud"] != legacy.ID {
							t.Errorf("ID token: %v", id)
						}
						// oidcc-scope-email: in the ID token when nothing else comes.
						if (id["email"] != nil) != (rt == "id_token") {
							t.Errorf("email in the ID token: %v", id["email"])
						}
						for claim, part := range map[string]string{"c_hash": "code", "at_hash": "access_token"} {
							want := any(nil)
							if got.Has(part) {
								want = halfHash(got.Get(part))
							}
							if id[claim] != want {
								t.Errorf("%s is %v, want %v", claim, id[claim], want)
							}
						}
					}
					if at := got.Get("access_token"); at != "" {
						if info := node.Userinfo(t, at).JSON(t); info["sub"] != alice.Sub || info["email"] != "alice@example.com" {
							t.Errorf("userinfo: %v", info)
						}
					}
					if code := got.Get("code"); code != "" {
						tokens := node.Exchange(t, legacy, code, PKCE{}, "code_verifier", "").Tokens(t)
						if id := node.Verify(t, tokens.ID, "JWT", "RS256"); id["sub"] != alice.Sub || id["nonce"] != nonce {
							t.Errorf("ID token of the token endpoint: %v", id)
						}
					}
				})
			}
		}
		t.Run("oidcc-ensure-request-without-nonce-fails", func(t *testing.T) {
			got := b.answer(t, ask(legacy, "response_type", "id_token", "nonce", ""), legacy, "fragment")
			if got.Get("error") != "invalid_request" {
				t.Errorf("%v", got)
			}
		})
		t.Run("oidcc-ensure-request-without-nonce-succeeds-for-code-flow", func(t *testing.T) {
			if got := b.answer(t, ask(legacy, "nonce", ""), legacy, "query"); !got.Has("code") {
				t.Errorf("%v", got)
			}
		})
		t.Run("oidcc-response-type-missing", func(t *testing.T) {
			if got := b.answer(t, ask(legacy, "response_type", ""), legacy, "query"); got.Get("error") != "unsupported_response_type" {
				t.Errorf("%v", got)
			}
		})
		t.Run("errors come by form post too", func(t *testing.T) {
			got := b.answer(t, ask(legacy, "response_type", "code id_token", "response_mode", "form_post", "scope", "openid nonsense"), legacy, "form_post")
			if got.Get("error") != "invalid_scope" || got.Get("state") == "" {
				t.Errorf("%v", got)
			}
		})
		// Attack B04: tokens do not travel in a query.
		t.Run("query is refused for tokens", func(t *testing.T) {
			got := b.answer(t, ask(legacy, "response_type", "code id_token", "response_mode", "query"), legacy, "fragment")
			if got.Get("error") != "invalid_request" || got.Has("id_token") {
				t.Errorf("%v", got)
			}
		})
		// Attack B02: a client of the baseline profile gets a code and nothing else.
		t.Run("baseline clients", func(t *testing.T) {
			p := NewPKCE()
			for _, rt := range append([]string{"token", "none", "code code"}, responseTypes[1:]...) {
				page := b.Get(t, "/oauth2/auth?"+baseline.Request(p, "response_type", rt).Encode())
				if got := b.answer(t, page, baseline, "query"); got.Get("error") != "unsupported_response_type" {
					t.Errorf("%s: %v", rt, got)
				}
			}
			_, stderr, code := inst.Try(t, "", "client", "update", baseline.ID, "--response-type", "id_token")
			if code == 0 || !strings.Contains(stderr, "oidc-legacy") {
				t.Errorf("registered: exit %d, %s", code, stderr)
			}
		})
		// No refresh token is promised where none can come.
		t.Run("offline_access without a code", func(t *testing.T) {
			got := b.answer(t, ask(legacy, "response_type", "id_token token", "scope", "openid offline_access"), legacy, "fragment")
			if got.Get("scope") != "openid" {
				t.Errorf("scope %q", got.Get("scope"))
			}
			if a := node.Post(t, "/oauth2/revoke", legacy, url.Values{"token": {got.Get("access_token")}}); a.Status != http.StatusOK {
				t.Errorf("revocation: %d", a.Status)
			}
			if node.Active(t, legacy, got.Get("access_token")) {
				t.Error("a front-channel token outlives its revocation")
			}
		})
	})
}
