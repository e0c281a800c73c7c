package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
)

// People make accounts with a passkey instead of a password, by an invitation
// and by themselves, and the pages on the way are for everybody.
func TestChromium_Registration(t *testing.T) {
	t.Parallel()
	checker, browser := axe(t), chromium(t)
	inst := Install(t, "sqlite", map[string]string{
		"IDP_TRUSTED_PROXIES": "", "IDP_ACCOUNTS_REGISTRATION": "open", "IDP_ACCOUNTS_REGISTRATION_DOMAINS": "example.com example.org",
		"IDP_ACCOUNTS_TERMS_URL": "https://id.example.com/terms", "IDP_ACCOUNTS_TERMS_VERSION": "2026-03",
	})
	inst.CLI(t, "", "migrate", "up")
	application := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(application.Close)
	wiki := inst.WebClient(t, "--name", "Team Wiki", "--redirect-uri", application.URL+"/callback")
	node := inst.Start(t)

	b := newTab(t, browser, true)
	b.expected = []string{"network: Failed to load resource: the server responded with a status of 4"}
	b.authenticator()
	b.withoutAutofill() // or the page would sign in by itself
	for _, one := range []struct {
		language, address string
		looks             []look
	}{
		{"ar", "dora@example.com", []look{{"light", 1280}, {"dark", 320}}},
		{"en", "erin@example.com", looks},
	} {
		seen := func(page string) {
			t.Helper()
			b.seenAs(page+"-"+one.language, checker, one.looks)
			b.clean(page)
		}
		// On the way to an application, whose link leads back to it.
		b.open(node.Issuer + "/display?to=/&language=" + one.language)
		b.open(node.Issuer + "/oauth2/auth?" + wiki.Request(NewPKCE(), "scope", "openid").Encode())
		seen("login-registration")
		b.press("register-link", http.StatusOK)
		seen("register")
		b.do(chromedp.SendKeys(chromedp.ID("email"), "dora@elsewhere.example"))
		b.press("register-submit", http.StatusUnprocessableEntity)
		seen("register-problem")
		b.do(chromedp.SetValue(chromedp.ID("email"), one.address))
		b.press("register-submit", http.StatusOK)
		seen("register-sent")
		var link string
		eventually(t, "a link", []*Node{node}, func(*Node) bool {
			var ok bool
			link, ok = inst.findWaitingLink(t, one.address)
			return ok
		})
		b.open(link)
		seen("register-account")

		// The passkey does without a password, not without the terms.
		b.do(chromedp.Click(chromedp.ID("passkey-submit")))
		b.at("/register/account")
		b.do(chromedp.Click(chromedp.ID("terms")), chromedp.SendKeys(chromedp.ID("name"), "Dora Diaz"))
		if one.language == "ar" {
			b.press("passkey-submit", http.StatusOK)
		} else {
			b.do(chromedp.SendKeys(chromedp.ID("password"), newPassword))
			b.press("invitation-submit", http.StatusOK)
		}
		b.press("consent-submit", http.StatusOK)
		if at := b.location(); !at.Query().Has("code") {
			t.Fatalf("the browser is at %s, want the application with a code", at)
		}
		if one.language == "ar" {
			b.open(node.Issuer + "/account/security")
			b.has("passkeys", "Passkey")
			b.until(`document.getElementById("password-form") && !document.getElementById("current-password")`) // it has none
			b.goes("remove the only way in", http.StatusUnprocessableEntity, chromedp.Click(chromedp.CSS(`#passkeys button[value="remove-passkey"]`)))
		}
		b.signOut(node)
	}

	// The one with a passkey signs in by it and by nothing else.
	b.open(node.Issuer + "/display?to=/&language=en")
	b.open(node.Issuer + "/login")
	b.do(chromedp.SendKeys(chromedp.ID("username"), "dora@example.com"), chromedp.SendKeys(chromedp.ID("password"), newPassword))
	b.press("login-submit", http.StatusUnprocessableEntity)
	b.press("passkey-submit", http.StatusOK)
	b.at("/account")
	b.signOut(node)

	// An invitation, with a passkey as well.
	inst.CLI(t, "", "user", "invite", "--email", "frida@example.com")
	b.open(inst.waitingLink(t, "frida@example.com"))
	b.do(chromedp.Click(chromedp.ID("terms")))
	b.press("passkey-submit", http.StatusOK)
	b.at("/invitation/done")
	b.goes("a dead invitation", http.StatusGone, chromedp.Navigate(inst.waitingLink(t, "frida@example.com")))
	b.seenAs("invitation-dead", checker, looks[:1])
	b.open(node.Issuer + "/login")
	b.press("passkey-submit", http.StatusOK)
	b.at("/account")
	b.clean("the end")
}
