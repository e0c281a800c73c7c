package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// authenticator plugs a passkey provider into the tab that verifies its owner.
func (b *tab) authenticator() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	_, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// withoutAutofill keeps the browser from offering passkeys where a user name is
// typed, until the function is called that it returns.
func (b *tab) withoutAutofill() func() {
	b.t.Helper()
	added, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `if (window.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = async () => false`,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() {
		b.t.Helper()
		if _, err := chromedp.Call(b.ctx, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams(added)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// signIn types user name and password.
func (b *tab) signIn(u User) {
	b.t.Helper()
	b.do(chromedp.SetValue(chromedp.ID("username"), u.Username), chromedp.SendKeys(chromedp.ID("password"), u.Password))
	b.press("login-submit", http.StatusOK)
}

func (b *tab) signOut(n *Node) {
	b.t.Helper()
	b.open(n.Issuer + "/logout")
	b.press("logout-yes", http.StatusOK)
}

// at checks where the browser is.
func (b *tab) at(path string) {
	b.t.Helper()
	if got := b.location().Path; got != path {
		b.t.Fatalf("the browser is at %s, want %s", got, path)
	}
}

// A person sets up a passkey and an authenticator app from the account, signs
// in with each, looks at everything there is, and does the same without
// scripts.
func TestChromium_SecondFactor(t *testing.T) {
	t.Parallel()
	checker := axe(t)
	browser := chromium(t)
	short := []look{{"light", 1280}, {"dark", 320}}
	inst := Install(t, "sqlite", map[string]string{"IDP_TRUSTED_PROXIES": ""})
	inst.CLI(t, "", "migrate", "up")
	alice := inst.NewUser(t, "--name", "Alice Moreau", "--email", "alice@example.com", "--email-verified")
	wiki := inst.WebClient(t, "--name", "Team Wiki", "--client-uri", "https://wiki.example")
	node := inst.Start(t)
	node.SignIn(t, wiki, alice, "scope", "openid profile email offline_access")

	b := newTab(t, browser, true)
	b.authenticator()
	offer := b.withoutAutofill() // or the page would sign in by itself

	b.open(node.Issuer + "/account/security")
	b.signIn(alice)
	b.at("/account/security")
	b.clean("account-security")

	// A passkey, and the codes that go with it.
	b.press("add-passkey", http.StatusOK)
	b.seenAs("setup-passkey", checker, short)
	b.do(chromedp.SendKeys(chromedp.ID("name"), "Laptop"))
	b.press("passkey-submit", http.StatusOK)
	b.at("/setup/recovery-codes")
	b.seenAs("recovery-codes-offer", checker, short)
	b.press("recovery-codes-make", http.StatusOK)
	codes := strings.Fields(b.text("recovery-codes"))
	b.seenAs("recovery-codes", checker, short)
	b.do(chromedp.WaitVisible(chromedp.ID("recovery-codes-copy")), chromedp.WaitVisible(chromedp.ID("print")))
	b.do(chromedp.Click(chromedp.ID("recovery-codes-saved"))) // which waits for the tick
	b.do(chromedp.Click(chromedp.ID("recovery-codes-kept")))
	b.press("recovery-codes-saved", http.StatusOK)
	b.at("/account/security")
	b.has("passkeys", "Laptop")
	for field, caps := range map[string]string{"current-password": "current-caps", "password": "caps"} {
		b.until(`document.getElementById("` + field + `").dispatchEvent(new KeyboardEvent("keydown", {key: "A", modifierCapsLock: true}))`)
		b.has(caps, "Caps Lock is on.")
		b.do(chromedp.Click(chromedp.ID(field + "-toggle")))
		b.until(`document.getElementById("` + field + `").type === "text"`)
		b.do(chromedp.Click(chromedp.ID(field + "-toggle")))
		b.until(`document.getElementById("` + field + `").type === "password"`)
	}

	// An app that shows codes.
	b.press("add-authenticator", http.StatusOK)
	b.seenAs("setup-authenticator", checker, short)
	secret, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.getElementById("secret").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	phone := &app{secret: strings.ReplaceAll(secret, " ", "")}
	b.do(chromedp.SendKeys(chromedp.ID("code"), phone.code(t)), chromedp.SendKeys(chromedp.ID("name"), "Phone"))
	b.press("setup-submit", http.StatusOK)
	b.at("/account/security")
	b.has("authenticators", "Phone")
	b.clean("setting up")

	// The account.
	pages := []string{"", "/email", "/security", "/sessions", "/applications", "/data"}
	for _, name := range pages {
		b.open(node.Issuer + "/account" + name)
		b.seen("account"+strings.ReplaceAll(name, "/", "-"), checker)
		b.clean("account" + name)
	}
	b.has("export-form", "Download")
	b.open(node.Issuer + "/account/applications")
	b.has("applications", "Team Wiki", "See your profile")

	// In by the passkey alone.
	b.signOut(node)
	b.open(node.Issuer + "/login")
	b.press("passkey-submit", http.StatusOK)
	b.at("/account")
	b.clean("passkey")

	// By the password and a second factor: the passkey, which was used last, then a code.
	b.signOut(node)
	b.open(node.Issuer + "/login")
	b.signIn(alice)
	b.at("/login/second-factor")
	b.seenAs("second-factor-passkey", checker, short)
	b.press("second-factor-submit", http.StatusOK)
	b.at("/account")
	b.signOut(node)
	b.open(node.Issuer + "/login")
	b.signIn(alice)
	b.other("code")
	b.seenAs("second-factor-code", checker, short)
	b.do(chromedp.SendKeys(chromedp.ID("code"), phone.code(t)))
	b.press("second-factor-submit", http.StatusOK)
	b.at("/account")
	b.clean("second factors")

	// After long the same page asks first.
	inst.staleSignIns(t, alice)
	b.open(node.Issuer + "/account/security")
	b.seenAs("account-security-locked", checker, short)
	offer()
	b.do(chromedp.Click(chromedp.ID("confirm"))) // and the browser offers the passkey at the user name
	b.do(chromedp.WaitVisible(chromedp.ID("password-form")))
	b.at("/account/security")

	// Without the passkey: it is gone here and at the browser.
	b.goes("remove the passkey", http.StatusOK, chromedp.Click(chromedp.CSS(`#passkeys button[value="remove-passkey"]`)))
	b.has("done", "removed")
	b.has("codes-left", "10 codes are left")
	b.clean("removal")

	// Without scripts: a recovery code, and another password.
	plain := newTab(t, browser, false)
	plain.open(node.Issuer + "/account/security")
	plain.signIn(alice)
	plain.at("/login/second-factor")
	plain.other("recovery")
	plain.do(chromedp.SendKeys(chromedp.ID("code"), codes[0]))
	plain.press("second-factor-submit", http.StatusOK)
	plain.at("/account/security")
	changed := "no scripts but staple"
	plain.do(chromedp.SendKeys(chromedp.ID("current-password"), alice.Password), chromedp.SendKeys(chromedp.ID("password"), changed))
	plain.press("password-submit", http.StatusOK)
	plain.has("done", "Your password is changed")
	plain.open(node.Issuer + "/account/sessions")
	plain.has("sessions", "This browser")
	plain.clean("without scripts")
}

// other chooses another second factor.
func (b *tab) other(method string) {
	b.t.Helper()
	b.goes("another way", http.StatusOK, chromedp.Click(chromedp.CSS(`#second-factor-other button[value="`+method+`"]`)))
}
