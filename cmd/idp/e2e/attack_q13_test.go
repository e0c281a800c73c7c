package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Who has a second factor gets nothing by the password alone, whatever way is
// taken around the step, and nobody's code stands for another's.
func TestAttack_Q13_NoWayAroundTheSecondStep(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice, mallory := inst.NewUser(t), inst.NewUser(t)
		web := inst.WebClient(t, "--skip-consent", "--security-profile", "oidc-legacy", "--response-type", "code", "--response-type", "code id_token")
		node := inst.Start(t)
		enrol := func(u User) *app {
			b := node.NewBrowser(t)
			a, _, _ := b.setUpAuthenticator(t, b.Login(t, b.Get(t, "/setup/authenticator"), u.Username, u.Password))
			return a
		}
		enrol(alice)
		code := enrol(mallory).code(t) // good once
		half := func(t *testing.T, b *Browser, u User) *Answer {
			t.Helper()
			page := b.Login(t, b.Get(t, "/oauth2/auth?"+web.Request(NewPKCE()).Encode()), u.Username, u.Password)
			wantSecondFactor(t, page, http.StatusOK)
			return page
		}

		t.Run("the step is left out", func(t *testing.T) {
			b := node.NewBrowser(t)
			half(t, b, alice)
			for name, changes := range map[string][]string{
				"again": nil, "none": {"prompt", "none"}, "a hint": {"login_hint", alice.Username}, "hybrid": {"response_type", "code id_token", "prompt", "none"}, "acr 1": {"acr_values", "1"},
			} {
				request := web.Request(NewPKCE(), changes...)
				a := node.authorize(t, b.Client, request)
				if got := a.Header.Get("Location"); a.Status/100 == 3 && hasAny(got, "code", "id_token") {
					t.Errorf("%s: %s", name, got)
				}
			}
			pushed := node.Post(t, "/oauth2/par", web, web.Request(NewPKCE()))
			reference, _ := pushed.JSON(t)["request_uri"].(string)
			a := node.authorize(t, b.Client, url.Values{"client_id": {web.ID}, "request_uri": {reference}})
			if reference == "" || a.Status >= http.StatusBadRequest {
				t.Fatalf("pushed: %s, then status %d", pushed.Body, a.Status)
			}
			if got := a.Header.Get("Location"); a.Status/100 == 3 && hasAny(got, "code", "id_token") {
				t.Errorf("pushed: %s", got)
			}
			for _, path := range []string{"/account", "/account/security", "/setup/authenticator", "/setup/recovery-codes"} {
				b.Get(t, path).wantLogin(t)
			}
		})

		t.Run("another's code", func(t *testing.T) {
			b := node.NewBrowser(t)
			page := half(t, b, alice)
			wantSecondFactor(t, b.prove(t, page, code), http.StatusUnprocessableEntity)
		})

		t.Run("another's step", func(t *testing.T) {
			b := node.NewBrowser(t)
			hers := half(t, b, alice)
			his := half(t, b, mallory)
			// His code goes with his step, and signs in nobody but him: her step in the
			// same browser stays where it is.
			form := his.Form(t, "second-factor-form")
			swapped := b.Submit(t, hers, hers.Form(t, "second-factor-form"), url.Values{"code": {code}, "username": {alice.Username}, "sub": {alice.Sub}})
			wantSecondFactor(t, swapped, http.StatusUnprocessableEntity)
			done := b.Submit(t, his, form, url.Values{"code": {code}, "username": {alice.Username}})
			if done.Status == http.StatusUnprocessableEntity {
				t.Fatalf("his own step: status %d", done.Status)
			}
			page := b.Get(t, "/account")
			if page.Status != http.StatusOK || !strings.Contains(page.Body, mallory.Username) || strings.Contains(page.Body, alice.Username) {
				t.Errorf("signed in as somebody else: status %d at %s", page.Status, page.URL)
			}
		})

		t.Run("the password changed in between", func(t *testing.T) {
			b := node.NewBrowser(t)
			page := half(t, b, mallory)
			inst.CLI(t, "another velvet anchor of his\n", "user", "set-password", mallory.Username, "--password-stdin")
			b.prove(t, page, code).wantLogin(t)
		})
	})
}

// hasAny reports whether an address carries one of the parameters, in query or
// fragment.
func hasAny(address string, names ...string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	fragment, _ := url.ParseQuery(u.Fragment)
	return slices.ContainsFunc(names, func(n string) bool { return u.Query().Has(n) || fragment.Has(n) })
}
