package e2e

import (
	"net/http"
	"strings"
	"testing"

	"idp/internal/mail/mailtest"
)

// A person hears of an access that was ended because somebody else may have
// had it, and of codes that are guessed: once each.
func TestNoticesOfMisuse(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{})
		inst := Install(t, engine, mailing(t, server))
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--email", "alice@example.com", "--email-verified")
		bob := inst.NewUser(t, "--email", "bob@example.com", "--email-verified")
		wiki, thief := inst.WebClient(t, "--name", "Team Wiki"), inst.WebClient(t, "--name", "Thief")
		node := inst.Start(t)
		b := node.NewBrowser(t)

		p := NewPKCE()
		code := b.code(t, wiki, alice, p)
		node.Exchange(t, thief, code, p).WantError(t, http.StatusBadRequest, "invalid_grant") // ends nothing
		node.Exchange(t, wiki, code, p).Tokens(t)
		for range 3 {
			node.Exchange(t, wiki, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		replayed := server.Wait(t, "alice@example.com", 1)[0]
		if !strings.HasPrefix(replayed.Subject, "Access to your account") || !strings.Contains(replayed.Text, "Team Wiki signed you in") || strings.Contains(replayed.Text, code) {
			t.Errorf("%s\n%s", replayed.Subject, replayed.Text)
		}

		refresh := b.tokens(t, wiki, alice, "scope", "openid offline_access").Refresh
		for range 3 {
			node.Refresh(t, thief, refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		strange := server.Wait(t, "alice@example.com", 2)[1]
		if !strings.Contains(strange.Text, "Team Wiki could use your account") || !strings.Contains(strange.Text, "Another application") || strings.Contains(strange.Text, "Thief") {
			t.Error(strange.Text)
		}

		// Guesses come from a browser that only knows the password.
		own := node.NewBrowser(t)
		phone, _, _ := own.setUpAuthenticator(t, own.Login(t, own.Get(t, "/setup/authenticator"), bob.Username, bob.Password))
		before := len(server.Wait(t, "bob@example.com", 2)) // of the app and the codes
		stranger := node.NewBrowser(t)
		page := stranger.Login(t, stranger.Get(t, "/login"), bob.Username, bob.Password)
		wantSecondFactor(t, page, http.StatusOK)
		guesses := 0
		for page.Status != http.StatusTooManyRequests {
			if guesses++; guesses > 30 {
				t.Fatal("codes may be guessed without end")
			}
			page = stranger.prove(t, page, phone.wrongCode(t))
		}
		for range 3 {
			page = stranger.prove(t, page, phone.wrongCode(t))
		}
		guessed := server.Wait(t, "bob@example.com", before+1)[before]
		if !strings.HasPrefix(guessed.Subject, "Somebody may know your password") || !strings.Contains(guessed.Text, "198.18.") {
			t.Errorf("%s\n%s", guessed.Subject, guessed.Text)
		}
		eventually(t, "nothing waits", []*Node{node}, func(*Node) bool { return len(inst.letters(t)) == 0 })
		if all := server.Taken(); len(all) != before+3 {
			t.Errorf("%d messages, want %d", len(all), before+3)
		}
	})
}
