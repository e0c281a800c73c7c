package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// watcher is an application that watches the session from a frame and hears of
// its end in another.
type watcher struct {
	url      string
	issuer   string
	clientID string
	heard    chan *http.Request
}

// newWatcher serves the application on the issuer's own site: browsers keep
// cookies from the frames of others, and then the frame has nothing to say.
func newWatcher(t *testing.T, issuer string) *watcher {
	t.Helper()
	w := &watcher{issuer: issuer, heard: make(chan *http.Request, 8)}
	mux := http.NewServeMux()
	mux.HandleFunc("/cb", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `<p id="there">back</p>`) })
	mux.HandleFunc("/bye", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `<p id="bye">signed out</p>`) })
	mux.HandleFunc("/front", func(_ http.ResponseWriter, r *http.Request) { w.heard <- r })
	mux.HandleFunc("/watch", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, `<p id="answer"></p><iframe id="op" src="%s/oauth2/sessions/check"></iframe><script>
window.addEventListener("message", function (e) {
  if (e.origin === %q) document.getElementById("answer").textContent = e.data;
});
document.getElementById("op").addEventListener("load", function () {
  this.contentWindow.postMessage(%q, %q);
});
</script>`, w.issuer, w.issuer, w.clientID+" "+r.URL.Query().Get("session_state"), w.issuer)
	})
	start := httptest.NewServer
	if strings.HasPrefix(issuer, "https:") {
		start = httptest.NewTLSServer
	}
	server := start(mux)
	t.Cleanup(server.Close)
	w.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return w
}

// Sign-in, session management and front-channel logout in a real browser, whose
// policies a program without scripts knows nothing of.
func TestOIDC_LogoutInChromium(t *testing.T) {
	t.Parallel()
	browser := chromium(t, unpainted(), chromedp.IgnoreCertErrors)
	EachEngine(t, func(t *testing.T, engine string) {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme, func(t *testing.T) { logoutInChromium(t, browser, engine, scheme == "https") })
		}
	})
}

func logoutInChromium(t *testing.T, browser context.Context, engine string, overTLS bool) {
	inst := Install(t, engine, nil)
	if overTLS {
		inst.overTLS(t, newAuthority(t))
	}
	inst.CLI(t, "", "migrate", "up")
	alice := inst.NewUser(t)
	w := newWatcher(t, inst.Issuer)
	app := inst.WebClient(t, "--security-profile", "oidc-legacy", "--skip-consent", "--redirect-uri", w.url+"/cb",
		"--post-logout-redirect-uri", w.url+"/bye", "--frontchannel-logout-uri", w.url+"/front", "--frontchannel-logout-session-required")
	w.clientID = app.ID
	n := inst.Start(t)
	for _, way := range []string{"oidcc-frontchannel-rp-initiated-logout", "asked on a page", "no application asked"} {
		t.Run(way, func(t *testing.T) {
			ctx, leave := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
			t.Cleanup(leave)
			do := func(steps ...chromedp.Action[chromedp.Void]) (at string) {
				t.Helper()
				err := chromedp.Do(ctx, steps...)
				at, _ = chromedp.Run(ctx, chromedp.Location())
				if err != nil {
					body, _ := chromedp.Run(ctx, chromedp.OuterHTML("html"))
					t.Fatalf("at %s: %v\n%s", at, err, body)
				}
				return at
			}
			signIn := func() (url.Values, Tokens) {
				p := NewPKCE()
				at := do(
					chromedp.Navigate(inst.Issuer+"/oauth2/auth?"+app.Request(p).Encode()),
					chromedp.SendKeys("#username", alice.Username), chromedp.SendKeys("#password", alice.Password),
					chromedp.Click("#login-submit"), chromedp.WaitVisible("#there"),
				)
				back := mustURL(t, at).Query()
				return back, n.Exchange(t, app, back.Get("code"), p).Tokens(t)
			}
			back, tokens := signIn()
			hint := tokens.ID
			if way == "asked on a page" { // the ID token of another session proves the application, not the person
				inst.CLI(t, "", "session", "revoke", "--user", alice.Username)
				back, tokens = signIn()
			}
			sid := n.Verify(t, tokens.ID, "JWT", "RS256")["sid"]
			watch := func(want string) {
				t.Helper()
				do(chromedp.Navigate(w.url + "/watch?session_state=" + url.QueryEscape(back.Get("session_state"))))
				answer, err := chromedp.Run(ctx, chromedp.Poll[string](`document.getElementById("answer").textContent`))
				if err != nil {
					t.Fatal(err)
				}
				if answer != want {
					t.Errorf("the frame says %s, want %s", answer, want)
				}
			}
			watch("unchanged")

			query := url.Values{"post_logout_redirect_uri": {w.url + "/bye"}, "state": {"s1"}, "client_id": {app.ID}, "id_token_hint": {hint}}
			var at string
			switch way {
			case "asked on a page":
				at = do(chromedp.Navigate(inst.Issuer+endSession+"?"+query.Encode()), chromedp.Click("#logout-yes"), chromedp.WaitVisible("#bye"))
			case "no application asked":
				at = do(chromedp.Navigate(inst.Issuer+"/logout"), chromedp.Click("#logout-yes"), chromedp.WaitVisible(`p[role="status"]`))
			default:
				at = do(chromedp.Navigate(inst.Issuer+endSession+"?"+query.Encode()), chromedp.WaitVisible("#bye"))
			}
			if want := w.url + "/bye?state=s1"; way != "no application asked" && at != want {
				t.Errorf("came out at %s, want %s", at, want)
			}
			select {
			case r := <-w.heard:
				if got := r.URL.Query(); got.Get("iss") != inst.Issuer || got.Get("sid") != sid || r.Header.Get("Sec-Fetch-Dest") != "iframe" {
					t.Errorf("the application heard %s, %v", r.URL, r.Header)
				}
			case <-time.After(10 * time.Second):
				t.Error("the application heard nothing")
			}
			watch("changed")
			wantDead(t, app, tokens, n)
		})
	}
}
