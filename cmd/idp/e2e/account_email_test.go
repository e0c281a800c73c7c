package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"idp/internal/mail/mailtest"
)

// addAddress asks for another address of the account.
func (b *Browser) addAddress(t testing.TB, address string) *Answer {
	t.Helper()
	page := b.Get(t, "/account/email")
	return b.Submit(t, page, page.Form(t, "address-form"), url.Values{"action": {"add"}, "email": {address}})
}

// addressForm returns the form of one address on the page.
func (a *Answer) addressForm(t testing.TB, address string) Form {
	t.Helper()
	form := a.formWith(t, "remove", "")
	form.Fields.Set("email", address)
	return form
}

// confirm presses the button on the page of a link about an address.
func (b *Browser) confirm(t testing.TB, link string) *Answer {
	t.Helper()
	page := b.Get(t, link)
	return b.Submit(t, page, page.Form(t, "verify-form"), nil)
}

// confirmation returns the link to the address that works now. Of several
// messages any may arrive first.
func (b *Browser) confirmation(t *testing.T, server *mailtest.Server, address string, count int) string {
	t.Helper()
	for _, m := range b.Node.lettersWith(t, server, address, "/verify", count) {
		if link := linkIn(t, m, b.Node.Issuer, "/verify"); b.Get(t, link).HasID("verify-form") {
			return link
		}
	}
	t.Fatalf("no link to %s works", address)
	return ""
}

// A new address counts when its owner has confirmed it; the old one is told of
// the change and can undo it, which ends everything that was signed in. Whose an
// address is shows nowhere, and each link is good once, by its button alone.
func TestAttack_Q21_AddressConfirmedAndOldOneTold(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, mailing(t, server))
		inst.CLI(t, "", "migrate", "up")
		const old, added, taken = "alice@example.com", "moreau@example.net", "bob@example.com"
		alice := inst.NewUser(t, "--email", old, "--email-verified", "--name", "Alice Moreau")
		bob := inst.NewUser(t, "--email", taken, "--email-verified")
		app := inst.WebClient(t, "--skip-consent")
		node := inst.Start(t)
		b := node.NewBrowser(t)
		tokens := b.tokens(t, app, alice, "scope", "openid email offline_access")

		// What is no address, and what is there already.
		for _, bad := range []string{"", "alice", "a@b.example, c@d.example", "Alice <a@b.example>", "a@b.example\r\nBcc: c@d.example", old, strings.ToUpper(old)} {
			if a := b.addAddress(t, bad); a.Status != http.StatusUnprocessableEntity || !a.HasID("email-problem") {
				t.Errorf("%q: status %d", bad, a.Status)
			}
		}

		// Another person's address is answered like one that is nobody's. It gets
		// the same message, and cannot be confirmed.
		answers := map[string]string{}
		for _, address := range []string{taken, added} {
			a := b.addAddress(t, address)
			wantAccount(t, a, "sent")
			answers[address] = regexp.MustCompile(`<time.*?</time>|(flow=|value=")[^"]*`).ReplaceAllString(strings.ReplaceAll(a.Body, address, "ADDRESS"), "")
			wantAccount(t, b.Submit(t, a, a.addressForm(t, address), url.Values{"action": {"remove"}}), "address-removed")
		}
		if answers[taken] != answers[added] {
			t.Errorf("the answers differ:\n%s\n%s", answers[taken], answers[added])
		}
		wantAccount(t, b.addAddress(t, taken), "sent")
		stranger := node.NewBrowser(t)
		if a := stranger.confirm(t, stranger.confirmation(t, server, taken, 2)); a.Status != http.StatusConflict {
			t.Errorf("another person's address: status %d", a.Status)
		}

		// Until it is confirmed it signs nobody in, and cannot be the main one.
		page := b.addAddress(t, strings.ToUpper(added[:1])+added[1:])
		wantAccount(t, page, "sent")
		for _, login := range []string{added, taken} {
			a := stranger.Login(t, stranger.Get(t, "/login"), login, alice.Password)
			if a.Status != http.StatusUnprocessableEntity {
				t.Errorf("signed in by %s: status %d", login, a.Status)
			}
		}
		for _, address := range []string{added, taken, "nobody@example.com"} {
			if a := b.Submit(t, page, page.addressForm(t, address), url.Values{"action": {"prefer"}}); a.Status != http.StatusNotFound {
				t.Errorf("%s as the main address: status %d", address, a.Status)
			}
		}
		if a := b.Submit(t, page, page.addressForm(t, old), url.Values{"action": {"remove"}}); a.Status != http.StatusNotFound {
			t.Errorf("the main address is removed: status %d", a.Status)
		}

		// Looking at the link does nothing, as often as a scanner likes; the newest
		// one works, once, in whichever browser.
		first := stranger.confirmation(t, server, "Moreau@example.net", 1)
		wantAccount(t, b.addAddress(t, added), "sent")
		link := stranger.confirmation(t, server, "Moreau@example.net", 2)
		dead := stranger.Get(t, first)
		wantDeadLink(t, dead)
		if next := dead.link(t, "next"); next != node.Issuer+"/account/email" {
			t.Errorf("from a dead link it goes on to %s", next)
		}
		for range 3 {
			if a := stranger.Get(t, link); a.Status != http.StatusOK || strings.Contains(a.URL.String(), "link=") {
				t.Fatalf("the page of the link: status %d at %s", a.Status, a.URL)
			}
		}
		if strings.Contains(b.Get(t, "/account/email").Body, `value="prefer"`) {
			t.Error("looking at a link confirms the address")
		}
		wantPage(t, stranger.confirm(t, link), http.StatusOK, "/verify/done")
		wantDeadLink(t, stranger.Get(t, link))
		if claims := node.Userinfo(t, tokens.Access).JSON(t); claims["email"] != old {
			t.Errorf("the main address is %v", claims["email"])
		}

		// The main address hears of the other one.
		var notices []string
		eventually(t, "word of the other address", []*Node{node}, func(*Node) bool {
			notices = nil
			for _, m := range server.To(old) {
				if strings.Contains(m.Subject, "An address was added") {
					notices = append(notices, m.Text)
				}
			}
			return len(notices) > 0
		})
		if len(notices) != 1 || strings.Contains(notices[0], "Moreau@example.net") {
			t.Errorf("word of the other address: %q", notices)
		}

		// The main one, of which the old one hears. Applications see it at once.
		page = b.Get(t, "/account/email")
		page = b.Submit(t, page, page.formWith(t, "prefer", ""), nil)
		wantAccount(t, page, "preferred")
		if claims := node.Userinfo(t, tokens.Access).JSON(t); claims["email"] != "Moreau@example.net" || claims["email_verified"] != true {
			t.Errorf("claims after the change: %v", claims)
		}
		told := node.lettersWith(t, server, old, "/verify/undo", 1)[0]
		if !strings.Contains(told.Text, "Alice Moreau") || strings.Contains(told.Text, "Moreau@example.net") {
			t.Errorf("the old address is told:\n%s", told.Text)
		}
		undo := linkIn(t, told, node.Issuer, "/verify/undo")
		wantAccount(t, b.Submit(t, page, page.addressForm(t, old), url.Values{"action": {"remove"}}), "address-removed")

		// A page of long ago asks first, and no form is good for another person.
		inst.staleSignIns(t, alice)
		locked := b.Get(t, "/account/email")
		if locked.HasID("address-form") || !locked.HasID("confirm-form") {
			t.Errorf("a page of long ago:\n%s", locked.Body)
		}
		flow := locked.Form(t, "confirm-form").Fields
		for _, action := range []string{"add", "prefer", "remove"} {
			a := b.Submit(t, locked, Form{Action: "/account/email", Fields: flow}, url.Values{"action": {action}, "email": {added}})
			a.wantLogin(t)
		}
		page = b.Login(t, b.Submit(t, locked, locked.Form(t, "confirm-form"), url.Values{"action": {"confirm"}}), alice.Username, alice.Password)
		wantPage(t, page, http.StatusOK, "/account/email")
		form := page.Form(t, "address-form")
		form.Fields.Set("action", "add")
		form.Fields.Set("email", "evil@example.com")
		other := node.NewBrowser(t)
		other.Login(t, other.Get(t, "/login"), bob.Username, bob.Password)
		for name, a := range map[string]*Answer{
			"in another browser": node.NewBrowser(t).Submit(t, page, form, nil),
			"by another person":  other.Submit(t, page, form, nil),
			"without a flow":     b.Submit(t, page, form, url.Values{"flow": {""}}),
		} {
			if a.Status != http.StatusForbidden {
				t.Errorf("the form %s: status %d", name, a.Status)
			}
		}

		// Whoever has only the session has it ended by the owner of the old address,
		// and keeps no address.
		if a := stranger.Get(t, undo); a.Status != http.StatusOK || !b.signedIn(t, app) {
			t.Errorf("looking at the link that undoes: status %d", a.Status)
		}
		wantPage(t, stranger.confirm(t, undo), http.StatusOK, "/verify/undone")
		wantDeadLink(t, stranger.Get(t, undo))
		wantDead(t, app, tokens, node)
		b.Get(t, "/account/email").wantLogin(t)
		var account struct {
			Email         string
			EmailVerified bool `json:"email_verified"`
		}
		inst.JSON(t, &account, "", "user", "get", alice.Username)
		if account.Email != old || !account.EmailVerified {
			t.Errorf("after undoing: %+v", account)
		}
		if page = b.Login(t, b.Get(t, "/account/email"), old, alice.Password); !strings.Contains(page.Body, old) || strings.Contains(page.Body, added) || strings.Contains(page.Body, taken) {
			t.Errorf("the addresses after undoing:\n%s", page.Body)
		}

		page = b.Get(t, "/account/security")
		happened := page.textOf(t, "events")
		for _, want := range []string{"was added", "was confirmed", "main e-mail address was changed", "was removed", "was undone"} {
			if !strings.Contains(happened, want) {
				t.Errorf("the events do not say %q:\n%s", want, happened)
			}
		}

		// Not without end: neither from one account nor to one address.
		if a := b.addAddress(t, added); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
			t.Errorf("a fourth link to one address: status %d", a.Status)
		}
		var statuses []int
		for i := range 6 {
			statuses = append(statuses, other.addAddress(t, fmt.Sprintf("bob%d@example.org", i)).Status)
		}
		if !slices.Equal(statuses, []int{200, 200, 200, 200, 200, 429}) {
			t.Errorf("six links from one account: %v", statuses)
		}
		for _, secret := range []string{link[len("/verify?link="):], undo[len("/verify/undo?link="):]} {
			if strings.Contains(node.Logs(), secret) {
				t.Error("the log holds the secret of a link")
			}
		}
	})
}

// An account has only so many addresses, and one without any gets its first.
func TestAddresses_FirstAndLast(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		b.Login(t, b.Get(t, "/account/email"), alice.Username, alice.Password)
		wantAccount(t, b.addAddress(t, "alice@example.com"), "sent")
		wantPage(t, b.confirm(t, inst.waitingLink(t, "alice@example.com")), http.StatusOK, "/verify/done")
		page := b.Get(t, "/account/email")
		if !strings.Contains(page.textOf(t, "addresses"), "Main address") {
			t.Errorf("the first address is not the main one:\n%s", page.Body)
		}
		// The others are there as if they had been added over days.
		for i := range 9 {
			inst.execute(t, fmt.Sprintf(`INSERT INTO email_addresses (user_id, address_key, address, is_primary, created_at, verified_at)
				SELECT user_id, '%[1]d@example.com', '%[1]d@example.com', false, created_at, created_at FROM users WHERE user_id = '%[2]s'`, i, alice.Sub))
		}
		if a := b.addAddress(t, "eleventh@example.com"); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.textOf(t, "email-problem"), "10") {
			t.Errorf("an eleventh address: status %d", a.Status)
		}
		// Each change sends a message, so there are only so many.
		page = b.Get(t, "/account/email")
		for i := range 6 {
			a := b.Submit(t, page, page.addressForm(t, fmt.Sprintf("%d@example.com", i)), url.Values{"action": {"prefer"}})
			if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 5]; a.Status != want {
				t.Errorf("change %d of the main address: status %d, want %d", i, a.Status, want)
			}
		}
	})
}
