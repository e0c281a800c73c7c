package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Guesses at an account do not keep its owner out where they signed in before,
// and a stranger to the device stays out.
func TestAttack_Q05_LockoutAsAWeapon(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_SIGN_IN_FAILURES_PER_MINUTE": "10"})
		alice, mallory := inst.NewUser(t), inst.NewUser(t)
		node := inst.Start(t)
		home, theirs := node.NewBrowser(t), node.NewBrowser(t)
		signIn := func(b *Browser, name, password string) *Answer {
			return b.Login(t, b.Get(t, "/login?prompt=login"), name, password)
		}
		for b, u := range map[*Browser]User{home: alice, theirs: mallory} {
			if a := signIn(b, u.Username, u.Password); a.Status != http.StatusOK {
				t.Fatalf("the first sign-in: %d %.300s", a.Status, a.Body)
			}
		}

		// guess tries wrong passwords of names, from an address of its own each
		// time, until it is held up: so is then everybody else without a device.
		guess := func(name func(i int) string) {
			t.Helper()
			for i := range 60 {
				if a := signIn(node.NewBrowser(t), name(i), "wrong password"); a.Status == http.StatusTooManyRequests {
					return
				}
			}
			t.Fatal("the guesser was never held up")
		}
		atAlice := func(int) string { return alice.Username }
		atAll := func(i int) string { return fmt.Sprint("nobody-", i) }
		for _, b := range []*Browser{node.NewBrowser(t), theirs} {
			guess(atAlice)
			if a := signIn(b, alice.Username, alice.Password); a.Status != http.StatusTooManyRequests {
				t.Errorf("a device that alice never used: %d", a.Status)
			}
		}
		guess(atAll)
		if a := signIn(home, alice.Username, "wrong password"); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong password on alice's device: %d", a.Status)
		}
		if a := signIn(home, alice.Username, alice.Password); a.Status != http.StatusOK {
			t.Errorf("alice on her device: %d %.300s", a.Status, a.Body)
		}
		// Her device is nothing to other accounts, and another one's under the name
		// of hers is not hers.
		guess(atAll)
		if a := signIn(home, mallory.Username, "wrong password"); a.Status != http.StatusTooManyRequests {
			t.Errorf("another account on alice's device: %d", a.Status)
		}
		forger, issuer := node.NewBrowser(t), mustURL(t, inst.Issuer)
		device := func(b *Browser) *http.Cookie {
			for _, c := range b.Client.Jar.Cookies(issuer) {
				if strings.HasPrefix(c.Name, "idp_device_") {
					return c
				}
			}
			t.Fatal("no device is known")
			return nil
		}
		forger.Client.Jar.SetCookies(issuer, []*http.Cookie{{Name: device(home).Name, Value: device(theirs).Value, Path: "/"}})
		guess(atAlice)
		if a := signIn(forger, alice.Username, alice.Password); a.Status != http.StatusTooManyRequests {
			t.Errorf("mallory's device under the name of alice's: %d", a.Status)
		}
		// The account asks for the password as the sign-in does.
		page := home.Get(t, "/account/security")
		a := home.Submit(t, page, page.formWith(t, "password", ""), url.Values{"current_password": {alice.Password}, "new_password": {newPassword}})
		wantAccount(t, a, "password")
	})
}

// Whatever a proxy says of the client's address, the password is asked for and
// guesses are counted: what cannot be read skips nothing.
func TestAttack_Q04_UnreadableAddresses(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		fields := b.Get(t, "/login").Form(t, "login-form").Fields
		binding := "idp_browser=" + cookie(t, b, "idp_browser")
		try := func(name, password string, headers http.Header) *Answer {
			body := url.Values{"flow": fields["flow"], "username": {name}, "password": {password}}
			h := headers.Clone()
			h.Set("Content-Type", "application/x-www-form-urlencoded")
			h.Set("Cookie", binding)
			h.Set("Origin", inst.Issuer)
			return node.request(t, node.HTTP, http.MethodPost, "/login", body.Encode(), h)
		}
		unreadable := []http.Header{
			{"X-Forwarded-For": {"nonsense"}},
			{"X-Forwarded-For": {","}},
			{"X-Forwarded-For": {"1.2.3.4.5, 999.1.1.1"}},
			{"X-Forwarded-For": {"[::1"}},
			{"X-Forwarded-For": {"unknown", "_hidden"}},
			{"X-Forwarded-For": {"198.18.0.1%00"}},
			{"X-Forwarded-For": {"' OR 1=1 --"}},
			{"Forwarded": {`for="[nonsense"`}, "X-Forwarded-For": {" "}},
			{"Forwarded": {"by=1;;;=,for"}, "X-Forwarded-For": {"-"}},
			{"Forwarded": {`for="_gazonk"`}, "X-Forwarded-For": {"198.18.0.1"}},
			{"X-Real-Ip": {"198.18.0.9"}, "X-Forwarded-For": {"\t"}},
		}
		seen := map[int]int{}
		for i := range 3 * len(unreadable) { // more than one address may
			headers := unreadable[i%len(unreadable)]
			for _, name := range []string{fmt.Sprint("nobody-", i), alice.Username} {
				a := try(name, "wrong password", headers)
				seen[a.Status]++
				if a.Status != http.StatusUnprocessableEntity && a.Status != http.StatusTooManyRequests {
					t.Fatalf("%v: status %d %.200s", headers, a.Status, a.Body)
				}
				for _, c := range a.Header.Values("Set-Cookie") {
					t.Fatalf("%v: a cookie for a wrong password: %.20s", headers, c)
				}
			}
		}
		// They share one address, so that most were held up.
		if seen[http.StatusUnprocessableEntity] > 25 || seen[http.StatusTooManyRequests] < 40 {
			t.Errorf("statuses %v: headers that cannot be read give attempts of their own", seen)
		}
		if a := try(alice.Username, alice.Password, http.Header{"X-Forwarded-For": {"nonsense"}}); a.Status != http.StatusTooManyRequests {
			t.Errorf("the right password from an unreadable address that is held up: %d", a.Status)
		}
	})
}

// sealedText is what is made anew each time: sealed state and challenges, whose
// length goes by the digits of the time in them.
var sealedText = regexp.MustCompile(`[A-Za-z0-9_-]{22,}`)

// Nothing that asks who somebody is tells whether there is such an account:
// another answer, header, cookie, address or option of a passkey.
func TestAttack_Q01_SameAnswers(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice, gone := inst.NewUser(t, "--email", "alice@example.com", "--email-verified"), inst.NewUser(t)
		inst.CLI(t, "", "user", "disable", gone.Username)
		web := inst.WebClient(t)
		node := inst.Start(t)
		unknown := "x" + alice.Username[1:]
		seen := func(a *Answer, name string) string {
			lines := []string{fmt.Sprint(a.Status, " ", a.URL.Path)}
			for key, values := range a.Header {
				if key != "X-Request-Id" && key != "Date" && key != "Content-Length" {
					lines = append(lines, key+": "+strings.Join(values, ", "))
				}
			}
			slices.Sort(lines)
			text := strings.Join(lines, "\n") + "\n" + a.Body
			return strings.ReplaceAll(sealedText.ReplaceAllString(text, "…"), name, "NAME")
		}
		for what, ask := range map[string]func(name string) []*Answer{
			"the page that a client hints a name to": func(name string) []*Answer {
				b, request := node.NewBrowser(t), web.Request(NewPKCE(), "login_hint", name)
				return []*Answer{b.Get(t, "/oauth2/auth?"+request.Encode())}
			},
			"a wrong password": func(name string) []*Answer {
				b := node.NewBrowser(t)
				return []*Answer{b.Login(t, b.Get(t, "/login"), name, "wrong password")}
			},
			"a passkey that nobody has": func(name string) []*Answer {
				b := node.NewBrowser(t)
				page := b.Get(t, "/login?prompt=login")
				return []*Answer{b.Submit(t, page, page.Form(t, "login-form"), url.Values{
					"username": {name}, "action": {"passkey"}, "passkey_response": {`{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{}}`},
				})}
			},
			"a new password": func(name string) []*Answer {
				b := node.NewBrowser(t)
				page := b.Get(t, "/recover")
				return []*Answer{b.Submit(t, page, page.Form(t, "recover-form"), url.Values{"username": {name}})}
			},
			"the second factor of nobody": func(string) []*Answer {
				return []*Answer{node.NewBrowser(t).Get(t, "/login/second-factor")}
			},
		} {
			want := ask(unknown)
			for _, name := range []string{alice.Username, gone.Username} {
				for i, a := range ask(name) {
					if got, want := seen(a, name), seen(want[i], unknown); got != want {
						t.Errorf("%s tells of %s:\n%s\n\nand of nobody:\n%s", what, name, got, want)
					}
				}
			}
		}
	})
}
