package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// languageOf returns the language and the direction that a page says it is in.
func languageOf(t *testing.T, a *Answer) string {
	t.Helper()
	_, rest, ok := strings.Cut(a.Body, `<html lang="`)
	if !ok {
		t.Fatalf("no page at %s (status %d):\n%s", a.URL, a.Status, a.Body)
	}
	tag, rest, _ := strings.Cut(rest, `" dir="`)
	direction, _, _ := strings.Cut(rest, `"`)
	return tag + " " + direction
}

// OpenID Connect Core section 3.1.2.1 and RP-Initiated Logout section 2:
// ui_locales says in which languages the pages shall be, by preference, and one
// that there are no words in is no error.
func TestOIDC_oidcc_ui_locales_change_the_page(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		i := Install(t, engine, nil)
		app, person := i.WebClient(t), i.NewUser(t)
		n := i.Start(t)
		authorize := func(changes ...string) string {
			return "/oauth2/auth?" + app.Request(NewPKCE(), changes...).Encode()
		}

		var metadata struct {
			Supported []string `json:"ui_locales_supported"`
		}
		if err := json.Unmarshal([]byte(n.NewBrowser(t).Get(t, "/.well-known/openid-configuration").Body), &metadata); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(metadata.Supported, []string{"ar", "de", "en", "es", "fr"}) {
			t.Errorf("ui_locales_supported %v", metadata.Supported)
		}
		for locales, want := range map[string]string{
			"": "en ltr", "de": "de ltr", "fr-CA fr en": "fr ltr", "se ar": "ar rtl", "se": "en ltr", "ES": "es ltr", "de-AT-x-wien": "de ltr", `"><b>`: "en ltr",
		} {
			a := n.NewBrowser(t).Get(t, authorize("ui_locales", locales))
			if got := languageOf(t, a); got != want || a.Status != http.StatusOK {
				t.Errorf("ui_locales=%s: %s, status %d", locales, got, a.Status)
			}
		}

		// It holds for every page of the flow, and for its errors.
		b := n.NewBrowser(t)
		a := b.Get(t, authorize("ui_locales", "ar", "prompt", "login consent"))
		if a = b.Login(t, a, person.Username, "wrong"); languageOf(t, a) != "ar rtl" || a.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong password: %s, status %d", languageOf(t, a), a.Status)
		}
		if a = b.Login(t, a, person.Username, person.Password); languageOf(t, a) != "ar rtl" || !a.HasID("consent-form") {
			t.Errorf("consent: %s", languageOf(t, a))
		}
		// What the person chooses holds against what the application asks.
		to := a.Form(t, "display-form").Fields.Get("to")
		if a = b.Get(t, "/display?language=es&to="+url.QueryEscape(to)); languageOf(t, a) != "es ltr" || !a.HasID("consent-form") {
			t.Errorf("chosen: %s", languageOf(t, a))
		}
		// Signing out asks anew.
		fresh := n.NewBrowser(t)
		fresh.Login(t, fresh.Get(t, "/login"), person.Username, person.Password)
		if a = fresh.Get(t, "/oauth2/sessions/logout?ui_locales=de"); languageOf(t, a) != "de ltr" || !a.HasID("logout-form") {
			t.Fatalf("logout: %s", languageOf(t, a))
		}
		if a = fresh.Submit(t, a, a.Form(t, "logout-form"), nil); languageOf(t, a) != "de ltr" {
			t.Errorf("signed out: %s", languageOf(t, a))
		}
		if a = n.NewBrowser(t).Get(t, "/oauth2/auth?client_id=nobody&ui_locales=fr"); languageOf(t, a) != "fr ltr" || a.Status != http.StatusBadRequest {
			t.Errorf("error: %s", languageOf(t, a))
		}
		// The menu leads back to the error, and nowhere else.
		sealed := a.Form(t, "display-form").Fields.Get("to")
		if a = n.NewBrowser(t).Get(t, "/display?language=de&to="+url.QueryEscape(sealed)); languageOf(t, a) != "de ltr" || a.Status != http.StatusBadRequest {
			t.Errorf("error after the menu: %s, status %d", languageOf(t, a), a.Status)
		}
		for _, to := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)", "", sealed + "x"} {
			r, err := http.NewRequest(http.MethodGet, n.Issuer+"/display?language=de&to="+url.QueryEscape(to), nil)
			if err != nil {
				t.Fatal(err)
			}
			a := Do(t, n.Client(""), r)
			if location := a.Header.Get("Location"); location != "/" && a.Status != http.StatusForbidden {
				t.Errorf("to %q: %d %s", to, a.Status, location)
			}
		}
	})
}

// The pages in a language from right to left, in one with long words, and in
// the theme that was chosen against the device's.
func TestChromium_Words(t *testing.T) {
	t.Parallel()
	checker, browser := axe(t), chromium(t)
	d, _ := startDev(t, "127.0.0.1:0", "127.0.0.1:0")
	for _, one := range []struct {
		language, theme string
		looks           []look
	}{
		{"ar", "auto", []look{{"light", 1280}, {"dark", 320}}},
		{"de", "dark", []look{{"light", 1280}, {"light", 320}}},
	} {
		t.Run(one.language, func(t *testing.T) {
			b := newTab(t, browser, true)
			b.expected = []string{"network: Failed to load resource: the server responded with a status of 4"}
			b.open(d.Issuer + "/display?to=/&theme=" + one.theme + "&language=" + one.language)
			seen := func(page string) {
				t.Helper()
				b.seenAs(page+"-"+one.language, checker, one.looks)
				b.clean(page)
			}
			b.open(d.DemoApp)
			b.press("signin", http.StatusOK)
			b.do(chromedp.Click(chromedp.ID("display-language")))
			b.until(`document.querySelector("#display-form details").open`)
			seen("login")
			b.do(chromedp.SendKeys(chromedp.ID("username"), d.Users[0].Username), chromedp.SendKeys(chromedp.ID("password"), "wrong"))
			b.press("login-submit", http.StatusUnprocessableEntity)
			seen("login-problem")
			b.do(chromedp.SendKeys(chromedp.ID("password"), d.Users[0].Password))
			b.press("login-submit", http.StatusOK)
			seen("consent")
			b.press("consent-deny", http.StatusForbidden)
			b.open(d.Issuer + "/logout")
			seen("logout")
			b.press("logout-yes", http.StatusOK)
			seen("signed-out")
			b.goes("a request of nobody", http.StatusBadRequest, chromedp.Navigate(d.AuthorizationEndpoint+"?client_id=nobody&response_type=code"))
			seen("error")
		})
	}
}
