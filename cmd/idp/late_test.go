package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
	"idp/internal/idp"
)

// Whoever took longer than a page is good for goes on where they were, with
// what they typed (WCAG 2.2.1).
func TestLatePagesGoOn(t *testing.T) {
	t.Parallel()
	w := newClockwork(t, "sqlite")
	n := w.start(t, 0)

	own, guest, deep, reset := n.NewBrowser(t), n.NewBrowser(t), n.NewBrowser(t), n.NewBrowser(t)
	profile := own.Login(t, own.Get(t, "/account"), n.user.Username, n.user.Password)
	signIn := guest.Get(t, "/oauth2/auth?"+w.client.Request(e2e.NewPKCE()).Encode())
	security := deep.Get(t, "/account/security")
	code, link, stderr := command(t, w.env, "", "user", "link", "--kind", "setup", "--quiet", n.user.Username)
	if code != exitOK {
		t.Fatal(stderr)
	}
	forgotten := reset.Get(t, strings.TrimSpace(link))

	n.clock.step(idp.DefaultLifetimes().Flow + time.Minute)

	saved := own.Submit(t, profile, profile.Form(t, "profile-form"), url.Values{"nickname": {"Late"}})
	if saved.Status != http.StatusOK || !saved.HasID("done") || !strings.Contains(saved.Body, `value="Late"`) {
		t.Errorf("a late profile: status %d at %s", saved.Status, saved.URL)
	}

	late := guest.Login(t, signIn, n.user.Username, n.user.Password)
	if late.Status != http.StatusUnprocessableEntity || !strings.Contains(late.Body, `value="`+n.user.Username+`"`) || strings.Contains(late.Body, n.user.Password) {
		t.Fatalf("a late sign-in: status %d\n%s", late.Status, late.Body)
	}
	if asked := guest.Login(t, late, n.user.Username, n.user.Password); !asked.HasID("consent-form") {
		t.Errorf("after it: status %d at %s", asked.Status, asked.URL)
	}

	// A tab that is loaded anew, and leads where it led.
	again := deep.Get(t, "/login?flow="+url.QueryEscape(security.Form(t, "login-form").Fields.Get("flow")))
	if there := deep.Login(t, again, n.user.Username, n.user.Password); !strings.HasSuffix(there.URL.Path, "/account/security") {
		t.Errorf("a late visit ends at %s", there.URL)
	}

	// A link works as long as it says itself.
	const password = "another good long password"
	if done := reset.Submit(t, forgotten, forgotten.Form(t, "new-password-form"), url.Values{"password": {password}}); !strings.HasSuffix(done.URL.Path, "/recover/done") {
		t.Errorf("a late password: status %d at %s", done.Status, done.URL)
	}
}
