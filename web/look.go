package web

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Fault is something in the operator's look that cannot be served.
type Fault struct {
	Setting string // the field of Config, as the configuration spells it
	Reason  error
}

func (f *Fault) Error() string { return f.Reason.Error() }
func (f *Fault) Unwrap() error { return f.Reason }

// Logo is the operator's own: addresses below the issuer's, empty for the mark
// that comes with the program.
type Logo struct{ Light, Dark string }

// logo looks for logo.svg or logo.png, and for the dark theme logo-dark.
func (s *static) logo() Logo {
	find := func(name string) string {
		for _, extension := range []string{".svg", ".png"} {
			if address, err := s.asset(name + extension); err == nil {
				return address
			}
		}
		return ""
	}
	l := Logo{find("logo"), find("logo-dark")}
	if l.Dark == "" {
		l.Dark = l.Light
	}
	return l
}

var (
	staticName   = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`)
	staticSuffix = []string{".css", ".js", ".svg", ".png", ".jpg", ".webp", ".ico"}
)

// checkDirectory refuses what nothing would ever look at: a template of no page
// and a static file that cannot be served.
func checkDirectory(directory fs.FS) error {
	entries, err := fs.ReadDir(directory, ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !slices.Contains([]string{"templates", "words", "static"}, entry.Name()) && !strings.HasPrefix(entry.Name(), ".") {
			return fmt.Errorf("%s: there are templates, words and static, and nothing else is read", entry.Name())
		}
	}
	for _, folder := range []string{"templates", "words", "static"} {
		entries, err := fs.ReadDir(directory, folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			name := path.Join(folder, entry.Name())
			switch extension := path.Ext(name); {
			case strings.HasPrefix(entry.Name(), "."):
			case entry.IsDir():
				return fmt.Errorf("%s: folders in %s are not read", name, folder)
			case folder == "templates":
				if _, err := fs.Stat(templates, name); err != nil {
					return fmt.Errorf("%s: no page has such a template", name)
				}
			case folder == "words" && extension != ".json":
				return fmt.Errorf("%s: files of words end in .json", name)
			case folder == "static" && (!staticName.MatchString(entry.Name()) || !slices.Contains(staticSuffix, extension)):
				return fmt.Errorf("%s: static files have plain names that end in %s", name, strings.Join(staticSuffix, ", "))
			}
		}
	}
	return nil
}

// try renders every page in every language, so that a template that cannot be
// rendered is found before a person meets it.
func (p *Pages) try() error {
	for _, l := range p.Languages() {
		for _, page := range specimens(l.Tag) {
			if err := p.Render(io.Discard, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// specimens are pages with nothing on them that need not be, and with all.
func specimens(tag string) []any {
	text := Verbatim("text")
	layout := Layout{Lang: tag, Base: "/base", Host: "host", Here: "/base/here", Theme: "dark"}
	client := Client{Name: "name", Initial: "n", Logo: "https://a.example", Site: "https://a.example", Policy: "https://a.example", Terms: "https://a.example", Unverified: true}
	account := Account{Name: "name", Username: "username", Initial: "n"}
	fields := []Field{{"name", "value"}}
	passkey := Passkey{Options: "{}", State: "sealed"}
	bare := Layout{Lang: tag}
	frame := Frame{Layout: layout, Account: account, Flow: "flow", Section: "security", Confirmed: true, Done: text, Problem: text}
	return []any{
		LoginPage{Layout: bare},
		LoginPage{
			Layout: layout, Client: &client, Flow: "flow", Username: "username", Passkey: &passkey, Registration: true,
			Problem: text, UsernameProblem: text, PasswordProblem: text,
		},
		SecondFactorPage{Layout: bare, Method: "code"},
		SecondFactorPage{
			Layout: layout, Client: &client, Account: account, Flow: "flow", SwitchFlow: "flow", Method: "passkey",
			Others: []string{"code", "recovery"}, Passkey: &passkey, Trustable: true, TrustDays: 30, StepUp: true, Problem: text,
		},
		SetupPage{Layout: bare},
		SetupPage{Layout: layout, Client: &client, Account: account, Flow: "flow", Required: true, Authenticator: true, Passkey: true},
		SetupAuthenticatorPage{Layout: bare},
		SetupAuthenticatorPage{
			Layout: layout, Account: account, Flow: "flow", Enrolment: "sealed", Secret: "AAAA BBBB", Link: "otpauth://totp/name",
			QRSize: 33, QRPath: "M0 0h1v1z", Name: "name", Problem: text,
		},
		SetupPasskeyPage{Layout: bare},
		SetupPasskeyPage{Layout: layout, Account: account, Flow: "flow", Passkey: passkey, Name: "name", Problem: text},
		RecoveryCodesPage{Layout: bare},
		RecoveryCodesPage{Layout: layout, Account: account, Flow: "flow", Left: 3},
		RecoveryCodesPage{Layout: layout, Account: account, Flow: "flow", Codes: []string{"aaaa-bbbb-cccc"}},
		AccountPage{Layout: bare},
		AccountPage{layout, &client, account, "flow"},
		RecoverPage{Layout: bare},
		RecoverPage{layout, "flow", "username", text},
		NewPasswordPage{Layout: bare},
		NewPasswordPage{layout, "flow", "username", 12, text},
		InvitationPage{Layout: bare},
		InvitationPage{layout, true, true, true, "flow", "name@a.example", "name", "username", 12, &passkey, "https://a.example", "1", true, text, text, text, text, text},
		RegisterPage{Layout: bare},
		RegisterPage{layout, &client, "flow", "name@a.example", "a.example", text, text},
		VerifyPage{Layout: bare},
		VerifyPage{layout, "flow", account, "name@a.example", true},
		NoticePage{Layout: bare, Title: text, Message: text},
		NoticePage{layout, text, text, text, true, "/next", text},
		ConsentPage{Layout: bare},
		ConsentPage{layout, client, account, "flow", "flow", []ScopeGroup{{"name", []Scope{{text, text, true}}}}, true, text, true, true},
		LogoutPage{Layout: bare},
		LogoutPage{layout, &client, account, "flow"},
		SignedOutPage{Layout: bare},
		SignedOutPage{layout, &client, template.URL("https://a.example"), true, []string{"https://a.example"}},
		CheckSessionPage{layout, "cookie"},
		HomePage{Layout: bare},
		ProfilePage{Frame: Frame{Layout: bare}},
		ProfilePage{
			Frame: frame, Locale: "tlh", Email: "email", Picture: "/base/pictures/a", PictureFaulty: true, Fields: []ProfileField{{"name", "value", text, text, "name", true, true, "text", "text", 200, nil}, {Claim: "nickname", Label: text}},
			Attributes: []ProfileField{{Claim: "a", Value: "odd", Label: text, Choices: []Choice{{"value", text}}}}, Kept: []KeptAttribute{{text, text}},
		},
		AddressesPage{Frame: Frame{Layout: bare}},
		AddressesPage{
			Frame: frame, Typed: "typed", AddressProblem: text,
			Addresses: []OwnAddress{{Address: "name@a.example", Primary: true}, {Address: "b@a.example", Verified: true}, {Address: "c@a.example"}},
		},
		SecurityPage{Frame: Frame{Layout: bare}},
		SecurityPage{
			Frame: frame, Username: "username", HasPassword: true, MinPassword: 12, CurrentProblem: text, PasswordProblem: text, SetupFlow: "flow",
			PasskeysAvailable: true, Passkeys: []OwnFactor{{ID: "a", Name: "name", Provider: "provider", Synced: true, Used: true}, {ID: "b"}},
			Authenticators: []OwnFactor{{ID: "c", Name: "name", Used: true}}, RecoveryCodes: 3,
			Events: []OwnEvent{{What: text, Address: "address"}}, Accepted: "{}",
		},
		SessionsPage{Frame: Frame{Layout: bare}},
		SessionsPage{
			Frame: frame, Sessions: []OwnSession{{ID: "a", Browser: text, Address: "address", Current: true}, {ID: "b", Browser: text}}, Others: true,
			Devices: []OwnDevice{{ID: "a", Browser: text, Address: "address"}},
		},
		ApplicationsPage{Frame: Frame{Layout: bare}},
		ApplicationsPage{Frame: frame, Applications: []OwnApplication{{ID: "a", Client: client, Scopes: []*Text{text}, Offline: true, Used: true}}},
		DataPage{Frame: Frame{Layout: bare}},
		DataPage{frame, true, 30, true, time.Unix(0, 0), "username", text, "flow"},
		DataPage{frame, true, 30, false, time.Time{}, "username", text, ""},
		FormPostPage{layout, "https://a.example", fields},
		ErrorPage{Layout: bare},
		ErrorPage{layout, text, text, "code", "request", "/again"},
		ErrorReturnPage{Layout: bare},
		ErrorReturnPage{Layout: layout, Heading: text, Client: client, Message: text, Code: "code", ReturnsTo: text, Link: "https://a.example", RequestID: "request"},
		ErrorReturnPage{Layout: layout, Heading: text, Client: client, Message: text, Code: "code", ReturnsTo: text, Action: "https://a.example", Fields: fields},
	}
}
