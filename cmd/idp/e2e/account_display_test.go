package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// chooses presses a button of the menu at the foot of a page, which is on a page
// of that site.
func (b *Browser) chooses(t testing.TB, site string, choice url.Values) *Answer {
	t.Helper()
	choice.Set("to", "/account")
	r := get(t, b.Node.Issuer+"/display?"+choice.Encode())
	r.Header.Set("Sec-Fetch-Site", site)
	return b.follow(t, r)
}

// looksLike is the language and the theme of a page.
func looksLike(t *testing.T, a *Answer) string {
	t.Helper()
	tag, _, _ := strings.Cut(languageOf(t, a), " ")
	for _, theme := range []string{"light", "dark"} {
		if strings.Contains(a.Body, `data-theme="`+theme+`"`) {
			return tag + " " + theme
		}
	}
	return tag
}

// What a person chooses in the menu holds wherever they are signed in, in pages
// and mail; what an application asks for comes first, and whoever is not signed
// in sees what the browser was told.
func TestPreferences(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--locale", "es")
		bob := inst.NewUser(t)
		wiki := inst.WebClient(t)
		node := inst.Start(t)
		want := func(what, looks string, a *Answer) {
			t.Helper()
			if got := looksLike(t, a); got != looks || a.Status >= http.StatusBadRequest {
				t.Errorf("%s is %q with status %d, want %q", what, got, a.Status, looks)
			}
		}
		b, other := node.NewBrowser(t), node.NewBrowser(t)
		want("the account by its profile", "es", b.Login(t, b.Get(t, "/account"), alice.Username, alice.Password))
		want("after the menu", "fr", b.chooses(t, "same-origin", url.Values{"language": {"fr"}}))
		want("after both menus", "fr dark", b.chooses(t, "same-origin", url.Values{"theme": {"dark"}}))

		// In another browser, once it is known who is there.
		page := other.Get(t, "/account")
		want("the sign-in elsewhere", "en", page)
		page = other.Login(t, page, alice.Username, alice.Password)
		want("the account elsewhere", "fr dark", page)
		want("the consent elsewhere", "fr dark", other.Get(t, "/oauth2/auth?"+wiki.Request(NewPKCE()).Encode()))
		want("the consent in the application's language", "de dark", other.Get(t, "/oauth2/auth?"+wiki.Request(NewPKCE(), "ui_locales", "de").Encode()))
		inst.staleSignIns(t, alice)
		page = other.Get(t, "/account/email")
		page = other.Submit(t, page, page.Form(t, "confirm-form"), url.Values{"action": {"confirm"}})
		want("the sign-in of who is known", "fr dark", page)
		if wrong := other.Login(t, page, alice.Username, "wrong"); looksLike(t, wrong) != "fr dark" {
			t.Errorf("the sign-in that failed is %q", looksLike(t, wrong))
		}
		want("the addresses", "fr dark", other.Login(t, page, alice.Username, alice.Password))

		// Mail, and the page that it leads to.
		wantAccount(t, other.addAddress(t, "alice@example.com"), "sent")
		if text := inst.CLI(t, "", "mail", "show", inst.letters(t)[0].ID); !strings.Contains(text, "Confirmez votre adresse") {
			t.Errorf("the mail:\n%s", text)
		}
		want("the page of the link", "fr dark", node.NewBrowser(t).Get(t, inst.waitingLink(t, "alice@example.com")))

		// Another site's link tells the browser, and not the person.
		other.chooses(t, "cross-site", url.Values{"language": {"ar"}, "theme": {"light"}})
		want("after another site's link", "fr dark", b.Get(t, "/account"))

		// What the device prefers can be chosen against another browser's choice,
		// and the profile against the menu.
		want("like the device", "fr", other.chooses(t, "same-origin", url.Values{"theme": {"auto"}, "language": {"fr"}}))
		want("like the device elsewhere", "fr", b.Get(t, "/account"))
		page = b.Get(t, "/account")
		want("after the profile", "de", b.Submit(t, page, page.Form(t, "profile-form"), url.Values{"locale": {"de"}}))

		// It is the person's: another one in the same browser sees their own, and
		// nobody what the browser was told.
		out := node.NewBrowser(t)
		want("signed out", "ar dark", out.chooses(t, "same-origin", url.Values{"language": {"ar"}, "theme": {"dark"}}))
		want("another person", "ar dark", out.Login(t, out.Get(t, "/account"), bob.Username, bob.Password))
		elsewhere := node.NewBrowser(t)
		want("another person elsewhere", "en", elsewhere.Login(t, elsewhere.Get(t, "/account"), bob.Username, bob.Password))
	})
}
