package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var images = flag.Bool("images", false, "rewrite the pictures in docs/images (takes the ports 8080 and 5555)")

// chromium starts a browser and returns the context to open tabs in. It is the
// one without windows where there is one, which starts faster and costs half.
func chromium(t *testing.T, further ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return startChromium(t, found, further)
		}
	}
	t.Fatal("no Chromium: run scripts/test install, or apt-get install chromium")
	return nil
}

// wholeChromium starts the browser that people have.
func wholeChromium(t *testing.T) context.Context {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return startChromium(t, found, nil)
		}
	}
	t.Fatal("no Chromium: run scripts/test install, or apt-get install chromium")
	return nil
}

func startChromium(t *testing.T, path string, further []chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WSURLReadTimeout(time.Minute), // a busy machine loads it slowly
		chromedp.NoSandbox,                     // it shows our own pages, maybe as root
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true),
		// The defaults, and no pages kept for the way back.
		chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,BackForwardCache,PaintHolding"),
	)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(options, further...)...)
	t.Cleanup(stop)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return ctx
}

// unpainted is a browser of which nobody takes pictures: hundreds of sign-ins
// cost less when no thread of its own waits for frames.
func unpainted() chromedp.ExecAllocatorOption {
	return chromedp.Flag("disable-threaded-compositing", true)
}

// tab is a person at a browser with an empty profile.
type tab struct {
	t   *testing.T
	ctx context.Context

	expected []string // beginnings of faults that belong to what is done

	mu     sync.Mutex
	faults []string // of console, Content-Security-Policy and the like
}

func newTab(t *testing.T, browser context.Context, scripts bool) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		var fault string
		switch event := event.(type) {
		case *cdplog.EventEntryAdded:
			if event.Entry.Level == cdplog.EntryLevelError || event.Entry.Level == cdplog.EntryLevelWarning {
				fault = string(event.Entry.Source) + ": " + event.Entry.Text + " " + event.Entry.URL
			}
		case *runtime.EventConsoleAPICalled:
			fault = "console." + string(event.Type)
		case *runtime.EventExceptionThrown:
			fault = (&chromedp.ExceptionError{ExceptionDetails: event.ExceptionDetails}).Error()
		case *audits.EventIssueAdded:
			raw, _ := json.Marshal(event.Issue)
			fault = "issue: " + string(raw)
		}
		if fault != "" {
			b.mu.Lock()
			b.faults = append(b.faults, fault)
			b.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = chromedp.Call(ctx, audits.Enable, cdp.Empty{})
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.appear(looks[0])
	return b
}

// look is how a page is seen.
type look struct {
	theme string
	width int64
}

var looks = []look{{"light", 1280}, {"dark", 320}}

func (b *tab) appear(l look) {
	b.t.Helper()
	viewport := chromedp.EmulateViewport(l.width, 800)
	if l.width < 600 {
		viewport = chromedp.EmulateViewport(l.width, 640, chromedp.EmulateMobile)
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	if err == nil {
		err = chromedp.Do(b.ctx, viewport)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	// The page follows a moment later; a click before that would miss.
	b.until(fmt.Sprintf(`matchMedia("(width: %dpx) and (prefers-color-scheme: %s)").matches`, l.width, l.theme))
}

// until waits for what comes a moment after the page.
func (b *tab) until(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](condition))
		if err != nil {
			b.t.Fatalf("%s: %v", condition, err)
		}
		if holds {
			return
		}
	}
	b.t.Errorf("never true: %s", condition)
}

// open goes to an address.
func (b *tab) open(address string) {
	b.t.Helper()
	b.goes("open "+address, http.StatusOK, chromedp.Navigate(address))
}

// press clicks what leads to another page, which must have that status.
func (b *tab) press(id string, status int) {
	b.t.Helper()
	b.goes("press "+id, status, chromedp.Click(chromedp.ID(id)))
}

func (b *tab) goes(what string, status int, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	res, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		if picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot()); err == nil {
			_ = os.WriteFile(filepath.Join(ArtifactDir(b.t), "stuck.png"), picture, 0o644)
		}
		b.t.Fatalf("%s at %s: %v (see stuck.png)", what, b.location(), err)
	}
	if int(res.Status) != status {
		b.t.Fatalf("%s: status %d, want %d", what, res.Status, status)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// step limits how long one step waits for what it needs.
func (b *tab) step() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, 15*time.Second)
}

// text returns what the element says.
func (b *tab) text(id string) string {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.ID(id)))
	if err != nil {
		b.t.Fatalf("text of %s: %v", id, err)
	}
	return text
}

// has checks that the element holds each text.
func (b *tab) has(id string, texts ...string) {
	b.t.Helper()
	got := b.text(id)
	for _, text := range texts {
		if !strings.Contains(got, text) {
			b.t.Errorf("%s does not say %q:\n%s", id, text, got)
		}
	}
}

func (b *tab) location() *url.URL {
	b.t.Helper()
	at, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// clean checks that the browser found nothing wrong but what is expected.
func (b *tab) clean(page string) {
	b.t.Helper()
	b.mu.Lock()
	faults := b.faults
	b.faults = nil
	b.mu.Unlock()
	for _, fault := range faults {
		if !slices.ContainsFunc(b.expected, func(begin string) bool { return strings.HasPrefix(fault, begin) }) {
			b.t.Errorf("%s: the browser says: %s", page, fault)
		}
	}
}

// axe is the accessibility checker.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(npmDir(t), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// accessible checks the page with axe-core.
func (b *tab) accessible(page, source string) {
	b.t.Helper()
	loaded, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`typeof axe === "object"`)) // when the page was looked at before
	if err == nil && !loaded {
		_, err = chromedp.Run(b.ctx, chromedp.Evaluate[json.RawMessage](source+"; null"))
	}
	if err != nil {
		b.t.Fatalf("axe-core: %v", err)
	}
	type violation struct {
		ID, Help string
		Nodes    []string
	}
	// Preloading would fetch style sheets by script, which the policy of the
	// pages refuses.
	violations, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]violation](`axe.run(document, {
		preload: false,
		runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice']},
	}).then(r => r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => n.html + ' ' + n.failureSummary)})))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: axe-core: %v", page, err)
	}
	for _, v := range violations {
		b.t.Errorf("%s: axe-core: %s: %s\n%s", page, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
	}
}

// seen keeps pictures of the page, wide and narrow, light and dark, checks that
// nothing sticks out of it, and its accessibility. TestChromium_Pages looks
// at every page in more ways.
func (b *tab) seen(page, axeSource string) {
	b.t.Helper()
	for i := range looks {
		b.seenAs(page, axeSource, looks[i:i+1])
	}
}

// seenAs is seen in other looks; of these only the first is for axe-core.

func (b *tab) seenAs(page, axeSource string, looks []look) {
	b.t.Helper()
	for i, l := range looks {
		b.appear(l)
		name := fmt.Sprintf("%s-%s-%d", page, l.theme, l.width)
		picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(ArtifactDir(b.t), name+".png"), picture, 0o644); err != nil {
			b.t.Fatal(err)
		}
		// WCAG 1.4.10: a page at 320 px scrolls in one direction only.
		width, err := chromedp.Run(b.ctx, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`))
		if err != nil {
			b.t.Fatal(err)
		}
		if width > l.width {
			b.t.Errorf("%s: the page is %d px wide", name, width)
		}
		if i == 0 {
			b.accessible(name, axeSource)
		}
	}
	b.appear(looks[0])
}

// A person signs in to the demo application, says no, says yes, uses it and
// leaves, with scripts and without.
func TestChromium(t *testing.T) {
	t.Parallel()
	checker := axe(t)
	browser := wholeChromium(t)
	for _, scripts := range []bool{true, false} {
		name := map[bool]string{true: "scripts", false: "no scripts"}[scripts]
		t.Run(name, func(t *testing.T) {
			d, _ := startDev(t, "127.0.0.1:0", "127.0.0.1:0")
			alice := d.Users[0]
			b := newTab(t, browser, scripts)
			// A browser reports pages that come with an error status.
			const failed = "network: Failed to load resource: the server responded with a status of "
			b.expected = []string{
				failed + "422 (Unprocessable Entity) " + d.Issuer + "/login",
				failed + "403 (Forbidden) " + d.DemoApp + "/callback",
				failed + "400 (Bad Request) " + d.Issuer + "/oauth2/auth",
			}
			// Axe is a script, and pictures of the same pages are enough once.
			look := func(page string) {
				t.Helper()
				if scripts {
					b.seen(page, checker)
				}
			}

			b.open(d.DemoApp)
			look("demo-home")
			b.press("signin", http.StatusOK)
			if at := b.location(); at.Scheme+"://"+at.Host != d.Issuer {
				t.Fatalf("signing in leads to %s", at)
			}
			look("login")
			b.clean("login")
			b.focused("username")

			b.do(chromedp.SendKeys(chromedp.ID("username"), alice.Username), chromedp.SendKeys(chromedp.ID("password"), "wrong "+alice.Password))
			b.toggles(scripts)
			b.press("login-submit", http.StatusUnprocessableEntity)
			look("login-problem")
			b.clean("login-problem")
			b.focused("password") // the user name is still there
			b.goes("enter", http.StatusOK, chromedp.SendKeys(chromedp.ID("password"), alice.Password+kb.Enter))

			b.has("consent-form", "Allow", "Deny")
			look("consent")
			b.press("consent-deny", http.StatusForbidden)
			b.has("error", "Access was not allowed", "access_denied")
			look("demo-denied")
			b.clean("demo-denied")

			// Signed in already: only the consent is asked again.
			b.press("signin", http.StatusOK)
			b.press("consent-submit", http.StatusOK)
			if at := b.location(); at.String() != d.DemoApp+"/" {
				t.Errorf("allowing leads to %s", at)
			}
			b.has("user-name", "Alice Example")
			b.has("api-answer", "200", "The token is good.", alice.Sub)
			b.has("id-token", `"typ": "JWT"`, alice.Sub, "demo-web")
			b.has("access-token", `"typ": "at+jwt"`, alice.Sub, d.ResourceAPI.Audience)
			look("demo-session")
			b.clean("demo-session")

			before := b.text("access-token-raw")
			b.press("refresh", http.StatusOK)
			b.has("refreshes", "1")
			b.has("api-answer", "200")
			if b.text("access-token-raw") == before {
				t.Error("refreshing brought no other access token")
			}
			look("demo-refreshed")
			b.press("call-api", http.StatusOK)
			b.has("api-answer", "200", "The token is good.")

			// Who is still signed in at the issuer chooses, and is not asked again.
			b.open(d.DemoApp + "/login?prompt=select_account")
			look("account")
			b.press("account-continue", http.StatusOK)
			b.has("api-answer", "200")
			b.clean("account")

			// Signing out of the application is signing out of the issuer.
			b.press("signout", http.StatusOK)
			if at := b.location(); at.String() != d.DemoApp+"/?signed-out=everywhere" {
				t.Errorf("signing out leads to %s", at)
			}
			look("demo-signed-out")
			b.press("signin-other", http.StatusOK)
			b.has("login-form", "Password")
			b.do(chromedp.SendKeys(chromedp.ID("username"), alice.Username), chromedp.SendKeys(chromedp.ID("password"), alice.Password))
			b.press("login-submit", http.StatusOK)
			b.has("user-name", "Alice Example")
			b.clean("demo-signed-out")

			// And the application hears of a sign-out at the issuer.
			b.open(d.Issuer + "/")
			look("home")
			b.open(d.Issuer + "/logout")
			look("logout")
			b.press("logout-yes", http.StatusOK)
			look("home-signed-out")
			b.clean("logout")
			b.goes("a request of nobody", http.StatusBadRequest, chromedp.Navigate(d.AuthorizationEndpoint+"?client_id=nobody&response_type=code"))
			b.has("error", "is not registered")
			look("error")
			b.clean("error")
			for heard := false; !heard; {
				b.open(d.DemoApp)
				var err error
				if heard, err = chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.getElementById("signin") !== null`)); err != nil {
					t.Fatalf("the application hears nothing of the sign-out: %v", err)
				}
			}
			b.press("signin", http.StatusOK)
			b.has("login-form", "Password") // signing out was meant
			b.clean("the end")
		})
	}
	t.Run("an application that nobody checked", func(t *testing.T) {
		node := Install(t, "sqlite", map[string]string{"IDP_REGISTRATION_MODE": "open", "IDP_TRUSTED_PROXIES": ""}).Start(t)
		answers := make(chan string, 8)
		application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/callback" {
				answers <- r.Method + " " + r.FormValue("error") + " from " + r.Referer()
			}
		}))
		t.Cleanup(application.Close)
		stranger := node.Register(t, "", fields{"client_name": "Free calendar", "redirect_uris": []string{"https://calendar.free.example/callback"}})
		local := node.Register(t, "", fields{"application_type": "native", "redirect_uris": []string{application.URL + "/callback"}})
		b := newTab(t, browser, true)
		b.expected = []string{"network: Failed to load resource: the server responded with a status of 400 (Bad Request) " + node.Issuer + "/oauth2/auth"}
		refused := func(c Registered, mode string) {
			t.Helper()
			request := c.Request(NewPKCE(), "scope", "admin", "response_mode", mode)
			b.goes("a request that fails", http.StatusBadRequest, chromedp.Navigate(node.Issuer+"/oauth2/auth?"+request.Encode()))
			b.has("error", "something that it may not have")
		}
		for mode, want := range map[string]string{"query": "GET invalid_scope from ", "form_post": "POST invalid_scope from "} {
			refused(local, mode)
			b.has("returns-to", "a program on this computer")
			b.press("go-on", http.StatusOK)
			if got := <-answers; got != want {
				t.Errorf("%s brings %q, want %q", mode, got, want)
			}
		}
		// Who is vouched for hears of it by itself: the form posts itself under
		// the pages' own policy, or by its button where no scripts run.
		known := node.Register(t, node.InitialToken(t, "--verified"), fields{"application_type": "native", "redirect_uris": []string{application.URL + "/callback"}})
		request := node.Issuer + "/oauth2/auth?" + known.Request(NewPKCE(), "scope", "admin", "response_mode", "form_post").Encode()
		b.do(chromedp.Navigate(request))
		if got := <-answers; got != "POST invalid_scope from " {
			t.Errorf("the form that posts itself brings %q", got)
		}
		b.clean("form_post")
		plain := newTab(t, browser, false)
		plain.open(request)
		plain.press("form-post-submit", http.StatusOK)
		if got := <-answers; got != "POST invalid_scope from " {
			t.Errorf("the form's button brings %q", got)
		}
		plain.clean("form_post without scripts")
		refused(stranger, "query")
		b.has("error", "Free calendar")
		b.has("returns-to", "calendar.free.example")
		b.seen("error-return", checker)
		b.clean("error-return")
		b.press("stay", http.StatusOK)
		if at := b.location(); at.String() != node.Issuer+"/" {
			t.Errorf("staying leads to %s", at)
		}
	})
	if *images {
		t.Run("images", func(t *testing.T) { takeImages(t, browser) })
	}
}

// takeImages takes the pictures of the documentation.
func takeImages(t *testing.T, browser context.Context) {
	d, _ := startDev(t, "127.0.0.1:8080", "127.0.0.1:5555")
	b := newTab(t, browser, true)
	take := func(name string, width, height int64) {
		t.Helper()
		b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1.5)))
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if len(picture) > 200<<10 {
			t.Errorf("%s has %d bytes: more than a page should load", name, len(picture))
		}
		if err := os.WriteFile(filepath.Join(moduleRoot(), "docs", "images", name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.open(d.DemoApp)
	b.press("signin", http.StatusOK)
	b.do(chromedp.SendKeys(chromedp.ID("username"), d.Users[0].Username), chromedp.SendKeys(chromedp.ID("password"), d.Users[0].Password))
	take("sign-in.png", 880, 560)
	b.press("login-submit", http.StatusOK)
	b.press("consent-submit", http.StatusOK)
	take("demo.png", 1040, 780)
}

// focused checks that typing goes to the element.
func (b *tab) focused(id string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.activeElement.id === %q`, id))
}

// toggles shows the password, which only scripts can.
func (b *tab) toggles(scripts bool) {
	b.t.Helper()
	kind := func() string {
		b.t.Helper()
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.getElementById("password").type`))
		if err != nil {
			b.t.Fatal(err)
		}
		return v
	}
	if !scripts {
		b.do(chromedp.WaitNotVisible(chromedp.ID("password-toggle")))
		return
	}
	b.do(chromedp.Click(chromedp.ID("password-toggle")))
	if kind() != "text" {
		b.t.Error("the password does not show")
	}
	b.do(chromedp.Click(chromedp.ID("password-toggle")))
	if kind() != "password" {
		b.t.Error("the password does not hide")
	}
}
