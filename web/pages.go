package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

//go:embed templates/*.html
var templates embed.FS

// Layout is what every page has in common.
type Layout struct {
	Lang string // the tag of a language of the catalogue; any other is its fallback
	Base string // the issuer's path, without a slash at its end
	Host string // the issuer's host, as people know it
	// Here is the path and query of the page, to come back to when another
	// language or theme was chosen. Without it the page offers no choice.
	Here  string
	Theme string // light or dark; empty is what the device prefers
}

func (l Layout) language() string { return l.Lang }

// Client is the application that a person comes from.
type Client struct {
	Name    string
	Initial string // stands in for a logo
	Logo    string // an address, or empty
	// RemoteLogo says that the logo comes from the application's own host.
	RemoteLogo bool
	// Site, Policy and Terms are https addresses, or empty.
	Site, Policy, Terms string
	// Unverified says that the application registered itself.
	Unverified bool
}

// Account is a person who is signed in.
type Account struct {
	Name     string
	Username string // empty when Name says it already
	Initial  string
}

// LoginPage asks for user name and password.
type LoginPage struct {
	Layout
	Client   *Client // nil for somebody who signs in to the issuer itself
	Flow     string
	Username string
	// Problem says what went wrong with the attempt before; nil for none.
	Problem *Text
	// Passkey asks for one; nil where there cannot be any.
	Passkey *Passkey
	// Registration says that people may make accounts for themselves.
	Registration bool
	// UsernameProblem and PasswordProblem say what is wrong with one field.
	UsernameProblem, PasswordProblem *Text
}

// Failed reports whether the page comes back with something to put right.
func (p LoginPage) Failed() bool {
	return p.Problem != nil || p.UsernameProblem != nil || p.PasswordProblem != nil
}

// Passkey is what a script asks the browser for.
type Passkey struct {
	Options string // JSON of Web Authentication Level 3 section 5.1.10
	State   string // sealed, goes back with the answer
}

// SecondFactorPage asks for what a password is not enough without.
type SecondFactorPage struct {
	Layout
	Client  *Client // nil for somebody who signs in to the issuer itself
	Account Account
	// Flow goes with the answer, SwitchFlow with the wish to be somebody else.
	Flow, SwitchFlow string
	Method           string   // code, passkey or recovery
	Others           []string // the methods to choose instead
	Passkey          *Passkey // for that method
	Trustable        bool     // the person may ask not to be asked again here
	TrustDays        int
	StepUp           bool  // the person is signed in, and more is asked for
	Problem          *Text // what went wrong with the attempt before; nil for none
}

// SetupPage offers the second factors that there are.
type SetupPage struct {
	Layout
	Client                 *Client // nil for nobody who waits
	Account                Account
	Flow                   string
	Required               bool // nothing goes on without one
	Authenticator, Passkey bool
}

// SetupAuthenticatorPage shows a secret, and asks for a code made of it.
type SetupAuthenticatorPage struct {
	Layout
	Account   Account
	Flow      string
	Enrolment string // sealed
	Secret    string // in groups
	Link      template.URL
	QRSize    int
	QRPath    string
	Name      string
	Problem   *Text
}

// SetupPasskeyPage registers a passkey.
type SetupPasskeyPage struct {
	Layout
	Account Account
	Flow    string
	Passkey Passkey
	Name    string
	Problem *Text
}

// RecoveryCodesPage offers recovery codes, or shows them, once.
type RecoveryCodesPage struct {
	Layout
	Account Account
	Flow    string
	Left    int      // of those made before
	Codes   []string // just made
}

// RecoverPage asks who wants to get back in.
type RecoverPage struct {
	Layout
	Flow     string
	Username string
	Problem  *Text // what was wrong with the attempt before; nil for nothing
}

// NewPasswordPage asks for a new password.
type NewPasswordPage struct {
	Layout
	Flow      string
	Username  string
	MinLength int
	Problem   *Text
}

// RegisterPage asks whose address an account is to have.
type RegisterPage struct {
	Layout
	Client  *Client // nil for nobody who waits
	Flow    string
	Email   string
	Domains string // whose addresses may have one; empty for all
	Problem *Text  // what went wrong with the attempt before; nil for nothing
	// EmailProblem says what is wrong with the address.
	EmailProblem *Text
}

// Failed reports whether the page comes back with something to put right.
func (p RegisterPage) Failed() bool { return p.Problem != nil || p.EmailProblem != nil }

// InvitationPage lets somebody take over the account that waits for them, or
// make the one that they asked for.
type InvitationPage struct {
	Layout
	Registers bool // nobody invited them: they asked for it
	// Administers says that they become an administrator, and Fixed that the
	// account is there already and only gets a new password.
	Administers, Fixed bool
	Flow               string
	Email              string
	Name               string
	Username           string
	MinLength          int
	Passkey            *Passkey // instead of a password; nil where there cannot be any
	// Terms is the address of what has to be accepted; empty for nothing.
	Terms, TermsVersion string
	TermsAccepted       bool
	Problem             *Text // what went wrong with the attempt before; nil for nothing
	// The others say what is wrong with one field.
	NameProblem, UsernameProblem, PasswordProblem, TermsProblem *Text
}

// Failed reports whether the page comes back with something to put right.
func (p InvitationPage) Failed() bool {
	return p.Problem != nil || p.NameProblem != nil || p.UsernameProblem != nil || p.PasswordProblem != nil || p.TermsProblem != nil
}

// Heading says what the page is for.
func (p InvitationPage) Heading() *Text {
	if p.Administers {
		return Say("administrator.title")
	}
	return Say("invitation.title")
}

// Action is where the form goes.
func (p InvitationPage) Action() string {
	if p.Registers {
		return "/register/account"
	}
	if p.Administers {
		return "/setup/admin"
	}
	return "/invitation"
}

// VerifyPage asks whether an address is the person's.
type VerifyPage struct {
	Layout
	Flow    string
	Account Account
	Address string
	Undo    bool // it was the account's, and becomes that again
}

// NoticePage says how something ended.
type NoticePage struct {
	Layout
	Title, Message *Text
	Hint           *Text // nil for none
	Problem        bool
	Next           string // an address to go on at
	NextText       *Text  // nil for none
}

// AccountPage lets a person who is signed in go on, or sign in as another.
type AccountPage struct {
	Layout
	Client  *Client
	Account Account
	Flow    string
}

// ConsentPage asks whether an application may have what it wants.
type ConsentPage struct {
	Layout
	Client  Client
	Account Account
	// Flow goes with the answer, SwitchFlow with the wish to be somebody else.
	Flow, SwitchFlow string
	Groups           []ScopeGroup
	Offline          bool  // the application wants to go on while the person is away
	ReturnsTo        *Text // where either answer leads; nil for not known
	Rememberable     bool  // the answer can be kept for next time
	Changed          bool  // what was shown before is not what is asked now
}

// ScopeGroup holds the scopes of one resource.
type ScopeGroup struct {
	Name   string // empty for the issuer's own
	Scopes []Scope
}

// Scope is one permission in a person's words.
type Scope struct {
	Label  *Text
	Detail *Text // nil for none
	New    bool  // not allowed before, while others were
}

// LogoutPage asks whether to sign out.
type LogoutPage struct {
	Layout
	Client  *Client // the application that asks for it; nil for none
	Account Account
	Flow    string
}

// SignedOutPage says that the session has ended.
type SignedOutPage struct {
	Layout
	Client *Client      // the application that asked for it; nil for none
	Back   template.URL // where the application wants the person; empty for nowhere
	GoesOn bool         // without being asked
	Frames []string     // pages by which applications hear of it
}

// CheckSessionPage is a frame in other sites' pages that tells their scripts
// whether the session is the one they know.
type CheckSessionPage struct {
	Layout
	Cookie string // the name of the cookie that changes with the session
}

// HomePage is for people who are not signed in; others see their account.
type HomePage struct{ Layout }

// FormPostPage carries an answer to the application (OAuth 2.0 Form Post
// Response Mode): at once where scripts run, by a button elsewhere.
type FormPostPage struct {
	Layout
	Action string // an http or https address
	Fields []Field
}

// Field is one hidden field of a form.
type Field struct{ Name, Value string }

// ErrorPage says what went wrong and what to do about it.
type ErrorPage struct {
	Layout
	Heading   *Text
	Message   *Text
	Code      string // for the person's developer; empty for none
	RequestID string
	Again     string // where to start over; empty when there is no such place
}

// ErrorReturnPage says what went wrong, and lets the person decide whether to
// go back to an application that nobody vouches for.
type ErrorReturnPage struct {
	Layout
	Heading   *Text
	Client    Client
	Message   *Text
	Code      string       // for the person's developer
	ReturnsTo *Text        // where going back leads; nil for not known
	Link      template.URL // by a link; empty when it is a form
	Action    string       // by a form; empty when it is a link
	Fields    []Field      // of the form
	RequestID string
}

func (LoginPage) template() string              { return "login.html" }
func (AccountPage) template() string            { return "account.html" }
func (SecondFactorPage) template() string       { return "second_factor.html" }
func (SetupPage) template() string              { return "setup.html" }
func (SetupAuthenticatorPage) template() string { return "setup_authenticator.html" }
func (SetupPasskeyPage) template() string       { return "setup_passkey.html" }
func (RecoveryCodesPage) template() string      { return "setup_recovery_codes.html" }
func (RecoverPage) template() string            { return "recover.html" }
func (NewPasswordPage) template() string        { return "new_password.html" }
func (InvitationPage) template() string         { return "invitation.html" }
func (RegisterPage) template() string           { return "register.html" }
func (VerifyPage) template() string             { return "verify.html" }
func (NoticePage) template() string             { return "notice.html" }
func (ConsentPage) template() string            { return "consent.html" }
func (LogoutPage) template() string             { return "logout.html" }
func (SignedOutPage) template() string          { return "signed_out.html" }
func (CheckSessionPage) template() string       { return "check_session.html" }
func (HomePage) template() string               { return "home.html" }
func (ProfilePage) template() string            { return "account_profile.html" }
func (AddressesPage) template() string          { return "account_email.html" }
func (SecurityPage) template() string           { return "account_security.html" }
func (SessionsPage) template() string           { return "account_sessions.html" }
func (ApplicationsPage) template() string       { return "account_applications.html" }
func (DataPage) template() string               { return "account_data.html" }
func (FormPostPage) template() string           { return "form_post.html" }
func (ErrorPage) template() string              { return "error.html" }
func (ErrorReturnPage) template() string        { return "error_return.html" }

// page is one of this package's page structs.
type page interface {
	template() string
	language() string
}

// Config is how the pages differ from one installation to the next. The zero
// value is fine.
type Config struct {
	// DefaultLanguage is for people of whom nothing better is known: a tag of
	// the catalogue; empty is English.
	DefaultLanguage string
	// Directory holds the operator's own templates, words and static files,
	// which go over ours; nil for none.
	Directory fs.FS
	// Accent and AccentDark colour what matters, as #RRGGBB; empty for ours.
	Accent, AccentDark string
}

// Pages renders the pages and serves the files that they refer to.
type Pages struct {
	*Words
	templates map[string]map[string]*template.Template // by language, then by name
	static    *static
}

// New parses the templates, reads the words and hashes the static files. What
// is wrong with the operator's part is a *[Fault] that names file and line.
func New(cfg Config) (*Pages, error) {
	p := &Pages{templates: map[string]map[string]*template.Template{}}
	var further []fs.FS
	if cfg.Directory != nil {
		if err := checkDirectory(cfg.Directory); err != nil {
			return nil, &Fault{"directory", err}
		}
		further = []fs.FS{cfg.Directory}
	}
	var err error
	if p.Words, err = NewWords("", further...); err != nil {
		return nil, &Fault{"directory", err}
	}
	if err := p.Words.fallBackTo(cfg.DefaultLanguage); err != nil {
		return nil, &Fault{"default_language", err}
	}
	look, err := accents(cfg.Accent, cfg.AccentDark)
	if err != nil {
		return nil, err
	}
	if p.static, err = newStatic(append([]fs.FS{staticFiles}, further...), map[string][]byte{"look.css": look}); err != nil {
		return nil, &Fault{"directory", err}
	}
	if err := p.parseAll(append([]fs.FS{templates}, further...)); err != nil {
		return nil, &Fault{"directory", templateFault(err)}
	}
	if cfg.Directory != nil {
		if err := p.try(); err != nil {
			return nil, &Fault{"directory", templateFault(err)}
		}
	}
	return p, nil
}

// templateFault takes off what comes before the file in an error of a template.
func templateFault(err error) error {
	said := err.Error()
	for _, prefix := range []string{"web: ", "html/template: ", "html/template:", "template: "} {
		said = strings.TrimPrefix(said, prefix)
	}
	return errors.New("templates/" + said)
}

// parseAll parses the template of every page. Of two files of a name, the one
// in the later directory counts.
func (p *Pages) parseAll(directories []fs.FS) error {
	layout, err := parseLast(template.New("layout.html").Funcs(p.functions(p.fallback)).Option("missingkey=error"), directories, "layout.html")
	if err != nil {
		return err
	}
	for _, page := range []page{
		LoginPage{},
		SecondFactorPage{},
		SetupPage{},
		SetupAuthenticatorPage{},
		SetupPasskeyPage{},
		RecoveryCodesPage{},
		RecoverPage{},
		NewPasswordPage{},
		VerifyPage{},
		InvitationPage{},
		RegisterPage{},
		NoticePage{},
		AccountPage{},
		ConsentPage{},
		LogoutPage{},
		SignedOutPage{},
		CheckSessionPage{},
		HomePage{},
		FormPostPage{},
		ProfilePage{},
		AddressesPage{},
		SecurityPage{},
		SessionsPage{},
		ApplicationsPage{},
		DataPage{},
		ErrorPage{},
		ErrorReturnPage{},
	} {
		if err := p.parse(layout, directories, page.template()); err != nil {
			return err
		}
	}
	return p.parseConsole()
}

func parseLast(t *template.Template, directories []fs.FS, name string) (*template.Template, error) {
	for _, directory := range slices.Backward(directories) {
		raw, err := fs.ReadFile(directory, "templates/"+name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return t.New(name).Parse(string(raw))
	}
	return nil, fmt.Errorf("%s: no such file", name)
}

// parse reads one page's template, and binds its functions to each language.
func (p *Pages) parse(layout *template.Template, directories []fs.FS, name string) error {
	all, err := layout.Clone()
	if err != nil {
		return err
	}
	if _, err = parseLast(all, directories, name); err != nil {
		return err
	}
	for tag, l := range p.languages {
		one, err := all.Clone()
		if err != nil {
			return err
		}
		if p.templates[tag] == nil {
			p.templates[tag] = map[string]*template.Template{}
		}
		p.templates[tag][name] = one.Funcs(p.functions(l))
	}
	return nil
}

// functions are what templates may call.
//
//	{{t "login.continue_to" "client" .Name}}  a text of the catalogue, as markup
//	{{t .Problem}}                            a *Text, as markup
//	{{plain "login.title"}}                   the same without markup, for <title>
//	{{say "login.title"}}                     a *Text, to put into another
//	{{date .At}} {{moment .At}}               a time.Time in a <time>
//	{{language}} {{languages}}                the page's own, and all there are
//	{{asset "style.css"}}                     the address of a static file, below the issuer's
//	{{with optional "extra.css"}}             the same, empty when there is no such file
//	{{logo.Light}} {{logo.Dark}}              the address of the operator's logo; empty for none
func (p *Pages) functions(l *language) template.FuncMap {
	text := func(what any, values []any) (*Text, error) {
		switch what := what.(type) {
		case string:
			return Say(what, values...), nil
		case *Text:
			return what, nil
		}
		return nil, fmt.Errorf("a %T is no text", what)
	}
	return template.FuncMap{
		"t": func(what any, values ...any) (template.HTML, error) {
			said, err := text(what, values)
			if err != nil {
				return "", err
			}
			return l.html(said)
		},
		"plain": func(what any, values ...any) (string, error) {
			said, err := text(what, values)
			if err != nil {
				return "", err
			}
			return l.plain(said)
		},
		"say":       Say,
		"date":      func(at time.Time) template.HTML { return timeElement(at, l.date(at)) },
		"moment":    func(at time.Time) template.HTML { return timeElement(at, l.moment(at)) },
		"language":  func() Language { return l.Language },
		"languages": p.Languages,
		"asset":     func(name string) (string, error) { return p.static.asset(name) },
		"optional":  func(name string) string { address, _ := p.static.asset(name); return address },
		"logo":      func() Logo { return p.static.logo() },
	}
}

// Render writes the page to w, or, when the page cannot be rendered, returns an
// error and writes nothing. The page is one of this package's page structs.
func (p *Pages) Render(w io.Writer, what any) error {
	named, ok := what.(page)
	if !ok {
		return fmt.Errorf("web: %T is not a page", what)
	}
	tag := strings.ToLower(p.Language(named.language()).Tag)
	var body bytes.Buffer
	if err := p.templates[tag][named.template()].Execute(&body, what); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	_, err := body.WriteTo(w)
	return err
}
