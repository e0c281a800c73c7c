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

// Response types and modes beyond what the certification's plans ask of them.
func TestOIDC_ResponseTypesAndModes(t *testing.T) {
	t.Parallel()
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
