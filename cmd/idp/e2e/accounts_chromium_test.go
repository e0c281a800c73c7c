package e2e

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// The pages that links lead to, in both themes, at both widths, and from right
// to left.
func TestChromium_Accounts(t *testing.T) {
	t.Parallel()
	checker, browser := axe(t), chromium(t)
	inst := Install(t, "sqlite", nil)
	inst.CLI(t, "", "migrate", "up")
	node := inst.Start(t)
	for _, one := range []struct {
		language string
		looks    []look
	}{
		{"en", looks},
		{"ar", []look{{"light", 1280}, {"dark", 320}}},
	} {
		t.Run(one.language, func(t *testing.T) {
			alice := inst.NewUser(t)
			var link struct{ Link string }
			inst.JSON(t, &link, "", "user", "link", alice.Username)
			b := newTab(t, browser, true)
			b.expected = []string{"network: Failed to load resource: the server responded with a status of 4"}
			b.open(node.Issuer + "/display?to=/&language=" + one.language)
			seen := func(page string) {
				t.Helper()
				b.seenAs(page+"-"+one.language, checker, one.looks)
				b.clean(page)
			}
			b.open(node.Issuer + "/login")
			b.press("recover-link", http.StatusOK)
			seen("recover")
			b.do(chromedp.SendKeys(chromedp.ID("username"), alice.Username))
			b.press("recover-submit", http.StatusOK)
			seen("recover-sent")
			b.open(link.Link)
			seen("new-password")
			b.do(chromedp.SendKeys(chromedp.ID("password"), "short"))
			b.press("new-password-submit", http.StatusUnprocessableEntity)
			seen("new-password-problem")
			b.do(chromedp.SendKeys(chromedp.ID("password"), newPassword))
			b.press("new-password-submit", http.StatusOK)
			seen("recover-done")
			b.goes("a dead link", http.StatusGone, chromedp.Navigate(link.Link))
			seen("link-dead")

			address := one.language + "@example.com"
			inst.CLI(t, "", "user", "invite", "--email", address)
			b.open(inst.waitingLink(t, address))
			seen("invitation")
			b.do(chromedp.SendKeys(chromedp.ID("password"), "short"))
			b.press("invitation-submit", http.StatusUnprocessableEntity)
			seen("invitation-problem")
			b.do(chromedp.SendKeys(chromedp.ID("password"), newPassword))
			b.press("invitation-submit", http.StatusOK)
			seen("invitation-done")
		})
	}
}
