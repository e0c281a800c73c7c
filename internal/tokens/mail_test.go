package tokens_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"idp/internal/idp"
)

func TestSealMail(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 1)
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	messages := []idp.MailMessage{
		idp.InvitationMail{InvitedBy: "Bob", Link: "/invite?token=canary", ExpiresAt: at.Add(time.Hour)},
		idp.RegistrationMail{Link: "/register/account?link=canary", ExpiresAt: at.Add(time.Hour)},
		idp.AccountExistsMail{Username: "alice"},
		idp.VerifyAddressMail{Link: "/verify?token=canary", ExpiresAt: at.Add(time.Hour)},
		idp.ResetPasswordMail{Username: "alice", Link: "/reset?token=canary", ExpiresAt: at.Add(15 * time.Minute)},
		idp.PasswordChangedMail{At: at, Device: "Firefox on Linux", RemoteAddr: "192.0.2.1"},
		idp.FactorChangedMail{Factor: idp.MailFactorPasskey, Change: idp.MailFactorAdded, At: at},
		idp.NewDeviceMail{At: at, Device: "Firefox on Linux", RemoteAddr: "192.0.2.1"},
		idp.AddressChangedMail{NewAddress: "new@example.com", At: at, Undo: "/undo?token=canary", ExpiresAt: at.Add(72 * time.Hour)},
		idp.AddressAddedMail{NewAddress: "new@example.com", At: at},
		idp.TokenReplayedMail{Application: "Wiki", At: at},
		idp.TokenReplayedMail{Application: "Wiki", Misuse: idp.MailCodeReplayed, At: at},
		idp.CodesGuessedMail{At: at, Device: "Firefox on Linux", RemoteAddr: "192.0.2.1"},
		idp.AccountDisabledMail{At: at},
		idp.DeletionRequestedMail{At: at, DueAt: at},
		idp.TestMail{At: at},
	}
	for _, message := range messages {
		t.Run(string(message.Kind()), func(t *testing.T) {
			want := idp.Mail{To: "alice@example.com", Name: "Alice", Language: "de", Zone: "Europe/Berlin", UserID: "u1", Message: message}
			sealed, err := m.SealMail(at, want)
			if err != nil {
				t.Fatal(err)
			}
			for _, shown := range []string{string(sealed.Sealed), fmt.Sprintf("%v %+v %#v %s", want, want, want, message)} {
				for _, secret := range []string{"canary", "alice@example.com"} {
					if bytes.Contains([]byte(shown), []byte(secret)) {
						t.Errorf("%q shows %q", shown, secret)
					}
				}
			}
			got, err := m.OpenMail(sealed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			expires := at.Add(idp.MailLife)
			if until := message.Until(); !until.IsZero() && until.Before(expires) {
				expires = until
			}
			if !sealed.ExpiresAt.Equal(expires) || !sealed.DueAt.Equal(at) || sealed.UserID != "u1" || sealed.Kind != message.Kind() {
				t.Errorf("sealed as %+v", sealed)
			}
			// What is sealed belongs to its row.
			for _, moved := range []idp.SealedMail{
				{ID: idp.ID{1}, Kind: sealed.Kind, UserID: "u1", Sealed: sealed.Sealed},
				{ID: sealed.ID, Kind: "other", UserID: "u1", Sealed: sealed.Sealed},
				{ID: sealed.ID, Kind: sealed.Kind, UserID: "u2", Sealed: sealed.Sealed},
			} {
				if _, err := m.OpenMail(moved); err == nil {
					t.Error("opened under another row")
				}
			}
		})
	}
}

func TestSealMailRefusesAddresses(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 1)
	for _, to := range []string{
		"", "alice", "@example.com", "alice@", "alice@example", "Alice <alice@example.com>", "<alice@example.com>",
		"alice@example.com, bob@example.com", "alice@example.com\r\nBcc: bob@example.com", "alice@example.com\n", " alice@example.com",
		"alice@exam\u202eple.com", "a\x00b@example.com", `"a b"@example.com`, "alice@[127.0.0.1]", "alice@example.com>", "(x)alice@example.com",
		"a@" + string(bytes.Repeat([]byte("x"), 260)) + ".com",
	} {
		if _, err := m.SealMail(time.Now(), idp.Mail{To: to, Message: idp.TestMail{}}); err == nil {
			t.Errorf("%q was taken", to)
		}
	}
	for _, to := range []string{"alice@example.com", "a.b+c_d-e'f@sub.example.co.uk", "jürgen@bücher.example", "root@localhost"} {
		if _, err := m.SealMail(time.Now(), idp.Mail{To: to, Message: idp.TestMail{}}); err != nil {
			t.Errorf("%q: %v", to, err)
		}
	}
}
