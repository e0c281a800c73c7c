package mail

import (
	"time"

	"idp/internal/idp"
)

// Samples are messages of every kind, and what they look like when little is
// known, by name. Nothing in them is anybody's, and their links lead nowhere.
func Samples(at time.Time) map[string]idp.MailMessage {
	return map[string]idp.MailMessage{
		"invitation":            idp.InvitationMail{InvitedBy: "Bob Builder", Link: "/invite?token=sample-invite", ExpiresAt: at.Add(72 * time.Hour)},
		"invitation_nobody":     idp.InvitationMail{Link: "/invite?token=sample-invite", ExpiresAt: at.Add(72 * time.Hour)},
		"registration":          idp.RegistrationMail{Link: "/register/account?link=sample-registration", ExpiresAt: at.Add(24 * time.Hour)},
		"account_exists":        idp.AccountExistsMail{Username: "alice"},
		"verify_address":        idp.VerifyAddressMail{Link: "/verify?token=sample-verify", ExpiresAt: at.Add(time.Hour)},
		"reset_password":        idp.ResetPasswordMail{Username: "alice", Link: "/recover/reset?token=sample-reset&x=1", ExpiresAt: at.Add(15 * time.Minute)},
		"password_changed":      idp.PasswordChangedMail{At: at, Device: "Firefox on Linux", RemoteAddr: "2001:db8::17"},
		"password_changed_bare": idp.PasswordChangedMail{At: at},
		"factor_added":          idp.FactorChangedMail{Factor: idp.MailFactorPasskey, Change: idp.MailFactorAdded, At: at, Device: "Safari on iPhone", RemoteAddr: "192.0.2.17"},
		"factor_removed":        idp.FactorChangedMail{Factor: idp.MailFactorAuthenticator, Change: idp.MailFactorRemoved, At: at},
		"factor_codes":          idp.FactorChangedMail{Factor: idp.MailFactorRecoveryCodes, Change: idp.MailFactorAdded, At: at},
		"new_device":            idp.NewDeviceMail{At: at, Device: "Chrome on Windows", RemoteAddr: "192.0.2.17"},
		"address_changed":       idp.AddressChangedMail{NewAddress: "mallory@elsewhere.example", At: at, Undo: "/account/undo?token=sample-undo", ExpiresAt: at.Add(72 * time.Hour)},
		"address_added":         idp.AddressAddedMail{NewAddress: "mallory@elsewhere.example", At: at},
		"token_replayed":        idp.TokenReplayedMail{Application: "Team Wiki", At: at},
		"token_strange":         idp.TokenReplayedMail{Application: "Team Wiki", Misuse: idp.MailRefreshStrange, At: at},
		"code_replayed":         idp.TokenReplayedMail{Application: "Team Wiki", Misuse: idp.MailCodeReplayed, At: at},
		"codes_guessed":         idp.CodesGuessedMail{At: at, Device: "Firefox on Linux", RemoteAddr: "2001:db8::17"},
		"account_disabled":      idp.AccountDisabledMail{At: at},
		"deletion_requested":    idp.DeletionRequestedMail{At: at, Device: "Firefox, Linux", RemoteAddr: "192.0.2.7"},
		"deletion_due":          idp.DeletionRequestedMail{At: at, DueAt: at.AddDate(0, 0, 30)},
		"test":                  idp.TestMail{At: at},
	}
}
