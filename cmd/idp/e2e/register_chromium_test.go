package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
)

// People make accounts with a passkey instead of a password, by themselves on
// the way to an application and by an invitation.
func TestChromium_Registration(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	inst := Install(t, "sqlite", map[string]string{
		"IDP_TRUSTED_PROXIES": "", "IDP_ACCOUNTS_REGISTRATION": "open", "IDP_ACCOUNTS_REGISTRATION_DOMAINS": "example.com",
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
	b.open(node.Issuer + "/oauth2/auth?" + wiki.Request(NewPKCE(), "scope", "openid").Encode())
	b.press("register-link", http.StatusOK)
	b.do(chromedp.SendKeys(chromedp.ID("email"), "dora@elsewhere.example"))
	b.press("register-submit", http.StatusUnprocessableEntity)
	b.do(chromedp.SetValue(chromedp.ID("email"), "dora@example.com"))
	b.press("register-submit", http.StatusOK)
	b.at("/register/sent")
	var link string
	eventually(t, "a link", []*Node{node}, func(*Node) bool {
		var ok bool
		link, ok = inst.findWaitingLink(t, "dora@example.com")
		return ok
	})
	b.open(link)

	// The passkey does without a password, not without the terms.
	b.do(chromedp.Click(chromedp.ID("passkey-submit")))
	b.at("/register/account")
	b.do(chromedp.Click(chromedp.ID("terms")), chromedp.SendKeys(chromedp.ID("name"), "Dora Diaz"))
	b.press("passkey-submit", http.StatusOK)
	b.press("consent-submit", http.StatusOK)
	if at := b.location(); !at.Query().Has("code") {
		t.Fatalf("the browser is at %s, want the application with a code", at)
	}

	// There is no password to be asked for, and the passkey stays.
	b.open(node.Issuer + "/account/security")
	b.until(`document.getElementById("password-form") && !document.getElementById("current-password")`)
	b.goes("remove the only way in", http.StatusUnprocessableEntity, chromedp.Click(chromedp.CSS(`#passkeys button[value="remove-passkey"]`)))
	b.has("passkeys", "Passkey")
	b.signOut(node)
	b.open(node.Issuer + "/login")
	b.do(chromedp.SendKeys(chromedp.ID("username"), "dora@example.com"), chromedp.SendKeys(chromedp.ID("password"), newPassword))
	b.press("login-submit", http.StatusUnprocessableEntity)
	b.press("passkey-submit", http.StatusOK)
	b.at("/account")
	b.signOut(node)

	inst.CLI(t, "", "user", "invite", "--email", "frida@example.com")
	invitation := inst.waitingLink(t, "frida@example.com")
	b.open(invitation)
	b.do(chromedp.Click(chromedp.ID("terms")))
	b.press("passkey-submit", http.StatusOK)
	b.at("/invitation/done")
	b.goes("a dead invitation", http.StatusGone, chromedp.Navigate(invitation))
	b.has("error", "whoever invited you")
	b.open(node.Issuer + "/login")
	b.press("passkey-submit", http.StatusOK)
	b.at("/account")
	b.clean("the end")
}
