package demo

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// Config says which client of which issuer the application is.
type Config struct {
	Issuer       string // discovery is fetched at the first sign-in, not before
	ClientID     string
	ClientSecret string   // empty for a public client
	RedirectURL  string   // absolute, path /callback; its origin is where the application is reached
	APIURL       string   // called with the access token; empty for no API
	Audience     string   // sent as resource (RFC 8707); empty sends none
	Scopes       []string // openid is added when it is missing

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // required
	// HTTPClient reaches the issuer and the API. Nil takes one with a timeout
	// of ten seconds that follows no redirects.
	HTTPClient *http.Client
}

// App is the demo application.
type App struct {
	cfg      Config
	origin   *url.URL // where the application is reached, from RedirectURL
	secure   bool     // reached over https
	client   *http.Client
	log      *slog.Logger
	sessions *sessions
	pages    *template.Template
	handler  http.Handler

	mu    sync.Mutex // guards party
	party *party     // nil until discovery succeeded
}

// New returns the application. It does not talk to the issuer yet.
func New(cfg Config) *App {
	if cfg.Now == nil {
		panic("demo: Config.Now is required")
	}
	a := &App{
		cfg:      cfg,
		origin:   &url.URL{},
		client:   clientOr(cfg.HTTPClient),
		log:      loggerOr(cfg.Logger),
		sessions: newSessions(cfg.Now),
		pages:    template.Must(template.ParseFS(templateFiles, "templates/*.html")),
	}
	if u, err := url.Parse(cfg.RedirectURL); err == nil {
		a.origin = &url.URL{Scheme: u.Scheme, Host: u.Host}
		a.secure = u.Scheme == "https"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /refresh", a.refresh)
	mux.HandleFunc("POST /call", a.call)
	mux.HandleFunc("POST /call-sensitive", a.callSensitive)
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("GET "+SignedOutPath, a.signedOut)
	mux.HandleFunc("POST "+BackchannelLogoutPath, a.heard)
	mux.HandleFunc("/", a.notFound)
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))

	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(a.crossOrigin))
	a.handler = a.secured(a.atOrigin(csrf.Handler(mux)))
	return a
}

// ServeHTTP serves the application.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// secured sets the headers that every answer carries.
func (a *App) secured(next http.Handler) http.Handler {
	// Browsers apply form-action to the redirects that answer a form, and the
	// sign-in form is answered by one to the issuer.
	policy := "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
	if u, err := url.Parse(a.cfg.Issuer); err == nil && !strings.Contains(u.Host, "[") {
		policy += "; form-action 'self' " + u.Scheme + "://" + u.Host
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "no-cache")
		} else {
			h.Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// atOrigin keeps the application at one address. Cookies set for localhost are
// not sent to 127.0.0.1, so a sign-in that started at the other name could
// never end; and a name that somebody else points here is refused.
func (a *App) atOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == a.origin.Host || strings.HasPrefix(r.URL.Path, "/static/"):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet && r.URL.Path == "/" && a.origin.Host != "":
			http.Redirect(w, r, a.origin.String()+"/", http.StatusTemporaryRedirect)
		default:
			a.fail(w, http.StatusMisdirectedRequest, problem{
				Title:  "This is not my address",
				Detail: "The application is reached at " + a.origin.String() + " and nowhere else.",
			})
		}
	})
}

func (a *App) home(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	if !ok {
		a.render(w, http.StatusOK, "home", homePage{Issuer: a.cfg.Issuer, SignedOut: r.URL.Query().Get("signed-out")})
		return
	}
	s.mu.Lock()
	page := a.sessionPage(s)
	s.notice = ""
	s.mu.Unlock()
	a.render(w, http.StatusOK, "session", page)
}

func (a *App) notFound(w http.ResponseWriter, _ *http.Request) {
	a.fail(w, http.StatusNotFound, problem{Title: "There is no such page", Detail: "The application has one page, and it is the front page."})
}

func (a *App) crossOrigin(w http.ResponseWriter, _ *http.Request) {
	a.fail(w, http.StatusForbidden, problem{
		Title:  "That came from somewhere else",
		Detail: "Another site sent this form, so it was not acted upon.",
	})
}

// homePage is what somebody sees who is not signed in.
type homePage struct {
	Issuer    string
	SignedOut string // how far: here, everywhere, or not at all
}

// sessionPage is what somebody sees who is signed in.
type sessionPage struct {
	Issuer, ClientID, Audience string
	Name, Initial, Email       string
	Subject                    string
	Notice                     string
	API                        *apiAnswer
	Setup                      string // where to set up a second factor that the API asks for; empty for no need
	IDToken, AccessToken       decodedToken
	RawAccessToken             string
	TokenScope                 string
	ExpiresAt                  string
	CanRefresh, CanCall        bool
	Refreshes                  int
}

// problem is what went wrong, for the person in front of the screen.
type problem struct {
	Title       string
	Detail      string
	Code        string // the OAuth error code, if there is one
	Description string // the issuer's own words
	Retry       bool   // offer to sign in again
}

func (a *App) fail(w http.ResponseWriter, status int, p problem) {
	a.render(w, status, "error", p)
}

func (a *App) render(w http.ResponseWriter, status int, name string, page any) {
	var buf bytes.Buffer
	if err := a.pages.ExecuteTemplate(&buf, name, page); err != nil {
		a.log.Error("demo: rendering a page", "page", name, "error", err)
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}

func clientOr(c *http.Client) *http.Client {
	if c != nil {
		return c
	}
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func loggerOr(l *slog.Logger) *slog.Logger {
	if l != nil {
		return l
	}
	return slog.New(slog.DiscardHandler)
}

// scopes returns the scopes to ask for: the configured ones and openid.
func (a *App) scopes() []string {
	for _, s := range a.cfg.Scopes {
		if s == oidc.ScopeOpenID {
			return a.cfg.Scopes
		}
	}
	return append([]string{oidc.ScopeOpenID}, a.cfg.Scopes...)
}
