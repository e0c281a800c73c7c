// Package webtest holds the pages that tests of all kinds look at.
package webtest

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"idp/web"
)

// Samples holds every page in every shape that its template knows, by the name
// of its golden file.
func Samples(language string) map[string]any {
	layout := func(here string) web.Layout {
		return web.Layout{Lang: language, Host: "login.example.com", Here: here}
	}
	client := web.Client{
		Name: "Calendar", Initial: "C",
		Site: "https://calendar.example", Policy: "https://calendar.example/privacy", Terms: "https://calendar.example/terms",
	}
	account := web.Account{Name: "Alice Moreau", Username: "alice@example.com", Initial: "A"}
	passkey := web.Passkey{Options: `{"publicKey":{"challenge":"Y2hhbGxlbmdl","rpId":"localhost"}}`, State: "sealed"}
	day := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	locked := func(section, here string) web.Frame {
		return web.Frame{Layout: layout(here), Account: account, Flow: "sealed", Section: section}
	}
	own := func(section, here string) web.Frame {
		f := locked(section, here)
		f.Confirmed, f.Done = true, web.Say("own.saved")
		return f
	}
	samples := map[string]any{
		"login":              web.LoginPage{Layout: layout("/login?flow=sealed"), Client: &client, Flow: "sealed", Passkey: &passkey},
		"login_registration": web.LoginPage{Layout: layout("/login?flow=sealed"), Client: &client, Flow: "sealed", Passkey: &passkey, Registration: true},
		"login_problem": web.LoginPage{
			Layout: layout("/login?flow=sealed"), Client: &client, Flow: "sealed", Username: "alice",
			Problem: web.Say("login.no_match"),
		},
		"login_fields": web.LoginPage{
			Layout: layout("/login?flow=sealed"), Flow: "sealed",
			UsernameProblem: web.Say("login.username_missing"), PasswordProblem: web.Say("login.password_missing"),
		},
		"account": web.AccountPage{Layout: layout("/login?flow=sealed"), Client: &client, Account: account, Flow: "sealed"},
		"second_factor_code": web.SecondFactorPage{
			Layout: layout("/login/second-factor?flow=sealed"), Client: &client, Account: account, Flow: "sealed", SwitchFlow: "anew", Method: "code",
			Others: []string{"passkey", "recovery"}, Trustable: true, TrustDays: 30,
		},
		"second_factor_passkey": web.SecondFactorPage{
			Layout: layout("/login/second-factor?flow=sealed"), Client: &client, Account: account, Flow: "sealed", SwitchFlow: "anew", Method: "passkey",
			Others: []string{"code"}, Passkey: &passkey, StepUp: true,
		},
		"second_factor_problem": web.SecondFactorPage{
			Layout: layout("/login/second-factor?flow=sealed"), Account: account, Flow: "sealed", SwitchFlow: "anew", Method: "recovery",
			Problem: web.Say("second_factor.refused_recovery"),
		},
		"setup": web.SetupPage{
			Layout: layout("/setup?flow=sealed"), Client: &client, Account: account, Flow: "sealed", Required: true, Authenticator: true, Passkey: true,
		},
		"setup_authenticator": web.SetupAuthenticatorPage{
			Layout: layout("/setup/authenticator?flow=sealed"), Account: account, Flow: "sealed", Enrolment: "sealed",
			Secret: "JBSW Y3DP EHPK 3PXP", Link: "otpauth://totp/login.example.com:alice", QRSize: qrSize, QRPath: qrPath(),
		},
		"setup_authenticator_problem": web.SetupAuthenticatorPage{
			Layout: layout("/setup/authenticator?flow=sealed"), Account: account, Flow: "sealed", Enrolment: "sealed",
			Secret: "JBSW Y3DP EHPK 3PXP", Link: "otpauth://totp/login.example.com:alice", QRSize: qrSize, QRPath: qrPath(), Name: "Alice Moreau",
			Problem: web.Say("setup.code_refused"),
		},
		"setup_passkey": web.SetupPasskeyPage{Layout: layout("/setup/passkey?flow=sealed"), Account: account, Flow: "sealed", Passkey: passkey},
		"setup_passkey_problem": web.SetupPasskeyPage{
			Layout: layout("/setup/passkey?flow=sealed"), Account: account, Flow: "sealed", Passkey: passkey, Problem: web.Say("passkey.refused"),
		},
		"recovery_codes": web.RecoveryCodesPage{
			Layout: layout(""), Account: account, Flow: "sealed", Codes: []string{
				"4ym7-mnrg-hdkw", "64cy-vpg7-mj4m", "nmcp-vxkg-feed", "gjdt-gvyg-kxht", "mduv-fwck-7kpf",
				"e6wq-taf4-zjtj", "7anm-n3gx-yr3r", "nxfn-krhj-kx7c", "4t8j-m3xw-xhrn", "p2ch-9dzn-wq5t",
			},
		},
		"recovery_codes_offer": web.RecoveryCodesPage{Layout: layout(""), Account: account, Flow: "sealed", Left: 3},
		"recover":              web.RecoverPage{Layout: layout("/recover?flow=sealed"), Flow: "sealed"},
		"recover_problem": web.RecoverPage{
			Layout: layout("/recover?flow=sealed"), Flow: "sealed", Problem: web.Say("login.username_missing"),
		},
		"recover_sent": web.NoticePage{
			Layout: layout("/recover/sent?flow=sealed"), Title: web.Say("recover.sent_title"), Message: web.Say("recover.sent", "count", 15),
			Hint: web.Say("recover.sent_hint"), Next: "/login?flow=sealed", NextText: web.Say("recover.back"),
		},
		"link_problem": web.NoticePage{
			Layout: layout(""), Title: web.Say("link.dead_title"), Message: web.Say("link.dead"), Problem: true,
			Next: "/recover", NextText: web.Say("link.again"),
		},
		"new_password": web.NewPasswordPage{Layout: layout("/recover/password?flow=sealed"), Flow: "sealed", Username: "alice", MinLength: 12},
		"new_password_problem": web.NewPasswordPage{
			Layout: layout("/recover/password?flow=sealed"), Flow: "sealed", Username: "alice", MinLength: 12,
			Problem: web.Say("password.too_short", "count", 12),
		},
		"invitation": web.InvitationPage{
			Layout: layout("/invitation?flow=sealed"), Flow: "sealed", Email: "alice@example.com", Username: "alice@example.com", MinLength: 12,
		},
		"invitation_fields": web.InvitationPage{
			Layout: layout("/invitation?flow=sealed"), Flow: "sealed", Email: "alice@example.com", Name: "Alice", Username: "bob", MinLength: 12,
			NameProblem: web.Say("invitation.name_refused", "count", 200), UsernameProblem: web.Say("invitation.username_refused"),
			PasswordProblem: web.Say("password.too_short", "count", 12),
		},
		"administrator": web.InvitationPage{
			Layout: layout("/setup/admin?flow=sealed"), Administers: true, Flow: "sealed", MinLength: 12,
			Passkey: &web.Passkey{Options: `{"publicKey":{}}`, State: "sealed"},
		},
		"administrator_again": web.InvitationPage{
			Layout: layout("/setup/admin?flow=sealed"), Administers: true, Fixed: true, Flow: "sealed", Username: "alice@example.com", MinLength: 12,
		},
		"invitation_passkey": web.InvitationPage{
			Layout: layout("/invitation?flow=sealed"), Flow: "sealed", Email: "alice@example.com", Username: "alice@example.com", MinLength: 12,
			Passkey: &web.Passkey{Options: `{"publicKey":{}}`, State: "sealed"}, Terms: "https://login.example.com/terms", TermsVersion: "2026-03",
		},
		"register": web.RegisterPage{Layout: layout("/register?flow=sealed"), Client: &client, Flow: "sealed", Domains: "example.com, example.org"},
		"register_problem": web.RegisterPage{
			Layout: layout("/register?flow=sealed"), Flow: "sealed", Email: "alice@elsewhere.example",
			EmailProblem: web.Say("register.domain_refused", "domain", "elsewhere.example"),
		},
		"register_sent": web.NoticePage{
			Layout: layout("/register/sent?flow=sealed"), Title: web.Say("recover.sent_title"), Message: web.Say("register.sent", "count", 24),
			Hint: web.Say("register.sent_hint"), Next: "/login?flow=sealed", NextText: web.Say("recover.back"),
		},
		"register_account": web.InvitationPage{
			Layout: layout("/register/account?flow=sealed"), Registers: true, Flow: "sealed", Email: "alice@example.com", Username: "alice@example.com", MinLength: 12,
			Passkey: &web.Passkey{Options: `{"publicKey":{}}`, State: "sealed"},
		},
		"register_account_fields": web.InvitationPage{
			Layout: layout("/register/account?flow=sealed"), Registers: true, Flow: "sealed", Email: "alice@example.com", Username: "alice", MinLength: 12,
			Terms: "https://login.example.com/terms", TermsVersion: "2026-03", TermsProblem: web.Say("newcomer.terms_refused"),
		},
		"verify": web.VerifyPage{Layout: layout("/verify?flow=sealed"), Flow: "sealed", Account: account, Address: "alice@new.example"},
		"undo":   web.VerifyPage{Layout: layout("/verify/undo?flow=sealed"), Flow: "sealed", Account: account, Address: "alice@example.com", Undo: true},
		"consent": web.ConsentPage{
			Layout: layout("/consent?flow=anew"), Client: client, Account: account, Flow: "sealed", SwitchFlow: "anew",
			Groups: []web.ScopeGroup{
				{Scopes: []web.Scope{{Label: web.Say("scope.email"), Detail: web.Verbatim("alice@example.com")}}},
				{Name: "Calendar API", Scopes: []web.Scope{{Label: web.Verbatim("Read your events")}, {Label: web.Verbatim("Change your events"), New: true}}},
			},
			Offline: true, ReturnsTo: web.Verbatim("calendar.example"), Rememberable: true,
		},
		"consent_changed": web.ConsentPage{
			Layout: layout("/consent?flow=anew"), Client: web.Client{Name: "<script>alert(1)</script>", Initial: "S"},
			Account: web.Account{Name: "bob", Initial: "B"}, Flow: "sealed", SwitchFlow: "anew",
			Groups: []web.ScopeGroup{{Scopes: []web.Scope{{Label: web.Say("scope.openid")}}}}, Changed: true,
		},
		"logout":        web.LogoutPage{Layout: layout("/logout"), Account: account, Flow: "sealed"},
		"logout_client": web.LogoutPage{Layout: layout("/logout"), Client: &client, Account: account, Flow: "sealed"},
		"signed_out":    web.SignedOutPage{Layout: layout("/")},
		"signed_out_back": web.SignedOutPage{
			Layout: layout("/"), Client: &client, Back: "com.example.app:/bye?state=1", GoesOn: true,
			Frames: []string{"https://mail.example/bye?iss=https%3A%2F%2Flogin.example.com&sid=s"},
		},
		"home": web.HomePage{Layout: layout("/")},
		"own_profile": web.ProfilePage{
			Frame: own("overview", "/account"), Email: "alice@example.com", Locale: "de",
			Fields: []web.ProfileField{
				{Claim: "name", Label: web.Say("profile.name"), Value: "Alice Moreau", Autocomplete: "name", Limit: 200},
				{Claim: "zoneinfo", Label: web.Say("profile.zoneinfo"), Hint: web.Say("profile.zoneinfo_hint"), Autocomplete: "off", Left: true, Limit: 200},
			},
		},
		"own_profile_attributes": web.ProfilePage{
			Frame: own("overview", "/account"), Email: "alice@example.com", Locale: "de", Picture: "/pictures/AAAAAAAAAAAAAAAAAAAAAA",
			Fields: []web.ProfileField{{Claim: "name", Label: web.Say("profile.name"), Value: "Alice Moreau", Autocomplete: "name", Limit: 200}},
			Attributes: []web.ProfileField{
				{Claim: "attributes.desk", Label: web.Verbatim("Calendar 1"), Value: "4.12", Autocomplete: "off", Mode: "decimal", Left: true},
				{Claim: "attributes.shirt", Label: web.Verbatim("Calendar 2"), Hint: web.Verbatim("Calendar"), Value: "2", Autocomplete: "off", Choices: []web.Choice{
					{Label: web.Say("profile.not_set")}, {Value: "1", Label: web.Verbatim("1")}, {Value: "2", Label: web.Verbatim("2")},
				}},
				{Claim: "attributes.since", Label: web.Verbatim("Calendar 3"), Value: "2021-04-01", Autocomplete: "off", Type: "date", Left: true},
			},
			Kept: []web.KeptAttribute{
				{Label: web.Verbatim("Calendar 4"), Value: web.Verbatim("4711")}, {Label: web.Verbatim("Calendar 5"), Value: web.Say("profile.yes")},
			},
		},
		"own_email": web.AddressesPage{
			Frame: own("email", "/account/email"),
			Addresses: []web.OwnAddress{
				{Address: "alice@example.com", Primary: true, Verified: true, CreatedAt: day, VerifiedAt: day},
				{Address: "alice@example.com", Verified: true, CreatedAt: day, VerifiedAt: day},
				{Address: "alice@example.com", CreatedAt: day},
			},
		},
		"own_email_locked": web.AddressesPage{
			Frame: locked("email", "/account/email"), Addresses: []web.OwnAddress{{Address: "alice@example.com", Primary: true, CreatedAt: day}},
		},
		"own_email_problem": web.AddressesPage{
			Frame: own("email", "/account/email"), Typed: "alice at example", AddressProblem: web.Say("addresses.unusable"),
		},
		"own_security": web.SecurityPage{
			Frame: own("security", "/account/security"), Username: "alice@example.com", HasPassword: true, MinPassword: 12, SetupFlow: "setup",
			PasskeysAvailable: true,
			Passkeys:          []web.OwnFactor{{ID: "cGFzc2tleQ", Name: "Calendar", Provider: "Calendar", Synced: true, CreatedAt: day, LastUsedAt: day, Used: true}},
			Authenticators:    []web.OwnFactor{{ID: "YXBw", Name: "Calendar", CreatedAt: day}},
			RecoveryCodes:     3,
			Events:            []web.OwnEvent{{What: web.Say("event.consent_granted", "client", "Calendar"), At: day, Address: "192.0.2.1"}},
			Accepted:          `{"rpId":"login.example.com"}`,
		},
		"own_security_locked": web.SecurityPage{Frame: locked("security", "/account/security"), Username: "alice", HasPassword: true, MinPassword: 12},
		"own_security_problem": web.SecurityPage{
			Frame: own("security", "/account/security"), Username: "alice", HasPassword: true, MinPassword: 12,
			CurrentProblem: web.Say("security.current_wrong"), PasswordProblem: web.Say("password.common"),
		},
		"own_sessions": web.SessionsPage{
			Frame: own("sessions", "/account/sessions"), Others: true,
			Sessions: []web.OwnSession{
				{ID: "b25l", Browser: web.Say("own.browser_on_system", "browser", "Firefox", "system", "Linux"), Address: "192.0.2.1", Current: true, CreatedAt: day, LastSeenAt: day},
				{ID: "dHdv", Browser: web.Say("own.unknown_browser"), CreatedAt: day, LastSeenAt: day},
			},
			Devices: []web.OwnDevice{{ID: "b25l", Browser: web.Say("own.unknown_browser"), Address: "192.0.2.1", LastSeenAt: day, TrustedUntil: day}},
		},
		"own_applications": web.ApplicationsPage{
			Frame:        own("applications", "/account/applications"),
			Applications: []web.OwnApplication{{ID: "calendar", Client: client, Scopes: []*web.Text{web.Say("scope.email")}, Offline: true, GrantedAt: day, LastUsedAt: day, Used: true}},
		},
		"own_data":        web.DataPage{Frame: own("data", "/account/data")},
		"own_data_locked": web.DataPage{Frame: locked("data", "/account/data"), Deletable: true, Username: "alice"},
		"own_data_delete": web.DataPage{
			Frame: own("data", "/account/data"), Deletable: true, Days: 30, Username: "alice@example.com", UsernameProblem: web.Say("data.delete_username_wrong"),
		},
		"own_data_deletion": web.DataPage{Frame: own("data", "/account/data"), Deletable: true, Requested: true, DueAt: day, Next: "sealed"},
		"error": web.ErrorPage{
			Layout: layout("/oauth2/auth?x=1"), Heading: web.Say("error.heading"), Message: web.Say("error.client_unknown"),
			Code: "invalid_request", RequestID: "req-1",
		},
		"error_again": web.ErrorPage{
			Layout: layout(""), Heading: web.Say("error.heading"), Message: web.Say("error.flow_expired"),
			Again: "/oauth2/auth?flow=sealed", RequestID: "req-1",
		},
		"error_return": web.ErrorReturnPage{
			Layout: layout(""), Heading: web.Say("error.heading"), Client: client, Message: web.Say("error_return.may_not_have"),
			Code: "invalid_scope", ReturnsTo: web.Verbatim("calendar.example"), RequestID: "req-1",
			Link: "https://calendar.example/cb?error=invalid_scope&state=1",
		},
		"error_return_post": web.ErrorReturnPage{
			Layout: layout(""), Heading: web.Say("error.heading"), Client: web.Client{Name: "<b>Bank</b>", Initial: "B"}, Message: web.Say("error_return.may_not_have"),
			Code: "invalid_scope", ReturnsTo: web.Say("place.computer"), RequestID: "req-1",
			Action: "https://evil.example/cb", Fields: []web.Field{{Name: "error", Value: "invalid_scope"}, {Name: "state", Value: `"><script>`}},
		},
		"form_post": web.FormPostPage{
			Layout: layout(""), Action: "https://calendar.example/callback", Fields: []web.Field{{Name: "code", Value: "c&d"}},
		},
		"check_session": web.CheckSessionPage{Layout: layout(""), Cookie: "idp_session_state"},
		"error_bare":    web.ErrorPage{Layout: layout("/nowhere"), Heading: web.Say("error.heading_internal"), Message: web.Say("error.internal")},
		"outsider_problem": web.NoticePage{
			Layout: layout("/console"), Title: web.Say("error.heading_not_allowed"), Message: web.Say("console.outsider", "group", "idp-admins"), Problem: true,
			Next: "/account", NextText: web.Say("console.to_account"),
		},
	}
	if language == "en" { // which the console is in
		maps.Copy(samples, console(layout("/console"), account, day))
	}
	return samples
}

const qrSize = 33

// qrPath draws what looks like a QR code and holds nothing.
func qrPath() string {
	var path strings.Builder
	const quiet, side = 4, qrSize - 8
	square := func(x, y, size int) {
		fmt.Fprintf(&path, "M%d %dh%dv%dh-%dz", x, y, size, size, size)
	}
	finder := func(x, y int) bool { return x < 8 && (y < 8 || y > side-9) || x > side-9 && y < 8 }
	for y := range side {
		for x := range side {
			if !finder(x, y) && (x*x*7+y*y*5+x*y*3+x^y)%11 < 5 {
				square(quiet+x, quiet+y, 1)
			}
		}
	}
	for _, at := range [][2]int{{0, 0}, {side - 7, 0}, {0, side - 7}} {
		x, y := quiet+at[0], quiet+at[1]
		fmt.Fprintf(&path, "M%d %dh7v7h-7zm1 1v5h5v-5z", x, y)
		square(x+2, y+2, 3)
	}
	return path.String()
}
