package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed templates/*.html
var templates embed.FS

// Layout is what every page has in common.
type Layout struct {
	Lang  string // BCP 47; empty is English
	Title string // of the document, without the issuer's name
	Base  string // the issuer's path, without a slash at its end
	Host  string // the issuer's host, as people know it
}

// Client is the application that a person comes from.
type Client struct {
	Name    string
	Initial string // stands in for a logo
	Logo    string // an https address, or empty
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
	// Problem says what went wrong with the attempt before; empty for none.
	Problem string
	// UsernameProblem and PasswordProblem say what is wrong with one field.
	UsernameProblem, PasswordProblem string
}

// Failed reports whether the page comes back with something to put right.
func (p LoginPage) Failed() bool {
	return p.Problem != "" || p.UsernameProblem != "" || p.PasswordProblem != ""
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
	Offline          bool   // the application wants to go on while the person is away
	ReturnsTo        string // in words, where either answer leads
	Rememberable     bool   // the answer can be kept for next time
	Changed          bool   // what was shown before is not what is asked now
}

// ScopeGroup holds the scopes of one resource.
type ScopeGroup struct {
	Name   string // empty for the issuer's own
	Scopes []Scope
}

// Scope is one permission in a person's words.
type Scope struct {
	Label  string
	Detail string // empty for none
	New    bool   // not allowed before, while others were
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

// HomePage says who is signed in.
type HomePage struct {
	Layout
	Account *Account // nil for nobody
}

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
	Message   string // for the person
	Code      string // for the person's developer; empty for none
	RequestID string
	Again     string // where to start over; empty when there is no such place
}

// ErrorReturnPage says what went wrong, and lets the person decide whether to
// go back to an application that nobody vouches for.
type ErrorReturnPage struct {
	Layout
	Client    Client
	Message   string       // for the person
	Code      string       // for the person's developer
	ReturnsTo string       // in words, where going back leads
	Link      template.URL // by a link; empty when it is a form
	Action    string       // by a form; empty when it is a link
	Fields    []Field      // of the form
	RequestID string
}

func (LoginPage) template() string        { return "login.html" }
func (AccountPage) template() string      { return "account.html" }
func (ConsentPage) template() string      { return "consent.html" }
func (LogoutPage) template() string       { return "logout.html" }
func (SignedOutPage) template() string    { return "signed_out.html" }
func (CheckSessionPage) template() string { return "check_session.html" }
func (HomePage) template() string         { return "home.html" }
func (FormPostPage) template() string     { return "form_post.html" }
func (ErrorPage) template() string        { return "error.html" }
func (ErrorReturnPage) template() string  { return "error_return.html" }

// Pages renders the pages and serves the files that they refer to.
type Pages struct {
	templates map[string]*template.Template
	static    *static
}

// New parses the embedded templates and hashes the static files. It fails only
// when the program was built with a broken template.
func New() (*Pages, error) {
	files, err := newStatic()
	if err != nil {
		return nil, err
	}
	p := &Pages{templates: map[string]*template.Template{}, static: files}
	layout, err := template.New("layout.html").
		Funcs(template.FuncMap{"asset": files.asset}).
		Option("missingkey=error").
		ParseFS(templates, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, page := range []interface{ template() string }{
		LoginPage{}, AccountPage{}, ConsentPage{}, LogoutPage{}, SignedOutPage{}, CheckSessionPage{}, HomePage{}, FormPostPage{}, ErrorPage{}, ErrorReturnPage{},
	} {
		t, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		if t, err = t.ParseFS(templates, "templates/"+page.template()); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		p.templates[page.template()] = t
	}
	return p, nil
}

// Render writes the page to w, or, when the page cannot be rendered, returns an
// error and writes nothing. The page is one of this package's page structs.
func (p *Pages) Render(w io.Writer, page any) error {
	named, ok := page.(interface{ template() string })
	if !ok {
		return fmt.Errorf("web: %T is not a page", page)
	}
	var body bytes.Buffer
	if err := p.templates[named.template()].Execute(&body, page); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	_, err := body.WriteTo(w)
	return err
}
