package server

import (
	"cmp"
	"net/http"
	"net/http/pprof" // its own registration is on a mux that nothing serves
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/mux"
)

// Handlers are what the routes lead to. A nil one takes its routes away. They
// see the path as the table shows it, whatever path the issuer has; Static
// sees what follows /static.
type Handlers struct {
	OpenIDConfiguration         http.Handler
	AuthorizationServerMetadata http.Handler
	JWKS                        http.Handler
	WebFinger                   http.Handler
	SecurityTxt                 http.Handler
	PasskeyEndpoints            http.Handler // where password managers find the pages of passkeys

	Authorize  http.Handler
	Push       http.Handler // pushed authorization requests
	Token      http.Handler
	Revoke     http.Handler
	Introspect http.Handler
	Userinfo   http.Handler

	Register           http.Handler
	ManageRegistration http.Handler

	Login        http.Handler
	SecondFactor http.Handler
	// Setup… let a person set up second factors.
	Setup              http.Handler
	SetupAuthenticator http.Handler
	SetupPasskey       http.Handler
	SetupRecoveryCodes http.Handler
	SetupAdministrator http.Handler // where the link of an administrator leads

	// What people do without being signed in: asking for a link, and what the
	// links lead to. Outcome says how it ended.
	Recover        http.Handler
	NewPassword    http.Handler
	Invitation     http.Handler
	SignUp         http.Handler // where people ask for an account of their own
	NewAccount     http.Handler
	Verify         http.Handler
	Undo           http.Handler
	Outcome        http.Handler
	ChangePassword http.Handler // where password managers ask for the page to change one

	Consent http.Handler
	Logout  http.Handler
	Account http.Handler
	Home    http.Handler
	Display http.Handler
	// EndSession and CheckSession are those of OpenID Connect RP-Initiated
	// Logout and Session Management.
	EndSession   http.Handler
	CheckSession http.Handler
	Static       http.Handler
	Logo         http.Handler // the picture of a client, under its hash

	// The admin API, and the text that describes it.
	AdminSpecification http.Handler
	AdminClients       http.Handler
	AdminClient        http.Handler
	AdminClientSecret  http.Handler
	AdminClientLives   http.Handler
	AdminClientScore   http.Handler
	AdminUsers         http.Handler
	AdminUser          http.Handler
	AdminUserPassword  http.Handler
	AdminUserFactors   http.Handler
	AdminUserPicture   http.Handler
	AdminUserSessions  http.Handler
	AdminUserSession   http.Handler
	AdminUserConsents  http.Handler
	AdminUserConsent   http.Handler
	AdminGroups        http.Handler
	AdminGroup         http.Handler
	AdminGroupMembers  http.Handler
	AdminGroupMember   http.Handler
	AdminRoles         http.Handler
	AdminRole          http.Handler
	AdminRoleMember    http.Handler
	AdminResources     http.Handler
	AdminResource      http.Handler
	AdminSignInRules   http.Handler
	AdminSignInRule    http.Handler
	AdminKeys          http.Handler
	AdminKeyRotation   http.Handler
	AdminKeyRetirement http.Handler
	AdminSettings      http.Handler
	AdminAuditEvents   http.Handler
	AdminTrace         http.Handler
	Picture            http.Handler // the picture of a person, under its name

	Console []Page // what administrators see

	// Fault shows a person what went wrong before any of the above was reached,
	// such as an unknown page. Nil shows a plain page.
	Fault func(w http.ResponseWriter, r *http.Request, f Fault)
}

// Page is one page of a part of the server that has a table of its own.
type Page struct {
	Path    string // names in braces stand for a part that names a thing
	Body    int64  // as in a Route
	Handler http.Handler
}

// Route is one line of the table.
type Route struct {
	Path    string   // relative to the issuer, or to the host if Inserted or AtHost
	Methods []string // sorted; OPTIONS is answered besides where CORS is on
	Handler http.Handler
	CORS    bool  // scripts of registered origins may call it
	Browser bool  // a person sees its faults, so they are pages
	Body    int64 // how many bytes a body may have; 0 is 64 KiB
	// Inserted says that Path stands between host and issuer path (RFC 8414
	// section 3.1).
	Inserted bool
	// AtHost says that Path belongs to the host, whatever path the issuer has
	// (RFC 8615 section 3).
	AtHost bool
}

// Routes lists everything the public listener answers. HEAD goes with every
// GET but authorize's, which hands out a code and is no mere reading.
func Routes(h Handlers) []Route {
	var (
		read     = []string{http.MethodGet, http.MethodHead}
		post     = []string{http.MethodPost}
		page     = []string{http.MethodGet, http.MethodHead, http.MethodPost}
		eitherOf = []string{http.MethodGet, http.MethodPost}
		manage   = []string{http.MethodDelete, http.MethodGet, http.MethodPut}

		// Of the admin API: many things, one of them, one that is not changed, and
		// whether one belongs to another.
		list   = page
		one    = []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPut}
		remove = []string{http.MethodDelete, http.MethodGet, http.MethodHead}
		member = []string{http.MethodDelete, http.MethodPut}
	)
	all := []Route{
		{Path: "/.well-known/openid-configuration", Methods: read, Handler: h.OpenIDConfiguration, CORS: true},
		{Path: "/.well-known/openid-configuration", Methods: read, Handler: h.OpenIDConfiguration, CORS: true, Inserted: true},
		{Path: "/.well-known/oauth-authorization-server", Methods: read, Handler: h.AuthorizationServerMetadata, CORS: true},
		{Path: "/.well-known/oauth-authorization-server", Methods: read, Handler: h.AuthorizationServerMetadata, CORS: true, Inserted: true},
		{Path: "/.well-known/jwks.json", Methods: read, Handler: h.JWKS, CORS: true},
		{Path: "/.well-known/webfinger", Methods: read, Handler: h.WebFinger, AtHost: true},
		{Path: "/.well-known/change-password", Methods: read, Handler: h.ChangePassword, Browser: true, AtHost: true},
		{Path: "/.well-known/security.txt", Methods: read, Handler: h.SecurityTxt, AtHost: true},
		{Path: "/.well-known/passkey-endpoints", Methods: read, Handler: h.PasskeyEndpoints, AtHost: true},

		{Path: "/oauth2/auth", Methods: eitherOf, Handler: h.Authorize, Browser: true},
		{Path: "/oauth2/par", Methods: post, Handler: h.Push},
		{Path: "/oauth2/register", Methods: post, Handler: h.Register},
		{Path: "/oauth2/register/{client_id:[A-Za-z0-9._~-]+}", Methods: manage, Handler: h.ManageRegistration},
		{Path: "/oauth2/token", Methods: post, Handler: h.Token, CORS: true},
		{Path: "/oauth2/revoke", Methods: post, Handler: h.Revoke, CORS: true},
		{Path: "/oauth2/introspect", Methods: post, Handler: h.Introspect},
		{Path: "/oauth2/sessions/logout", Methods: eitherOf, Handler: h.EndSession, Browser: true},
		{Path: "/oauth2/sessions/check", Methods: read, Handler: h.CheckSession, Browser: true},
		{Path: "/userinfo", Methods: page, Handler: h.Userinfo, CORS: true},

		{Path: "/admin/openapi.yaml", Methods: read, Handler: h.AdminSpecification},
		{Path: "/admin/clients", Methods: list, Handler: h.AdminClients},
		{Path: "/admin/clients/{client_id:" + segment + "}", Methods: one, Handler: h.AdminClient},
		{Path: "/admin/clients/{client_id:" + segment + "}/secrets/rotate", Methods: post, Handler: h.AdminClientSecret},
		{Path: "/admin/clients/{client_id:" + segment + "}/score", Methods: read, Handler: h.AdminClientScore},
		{Path: "/admin/clients/{client_id:" + segment + "}/lifespans", Methods: []string{http.MethodPut}, Handler: h.AdminClientLives},
		{Path: "/admin/users", Methods: list, Handler: h.AdminUsers},
		{Path: "/admin/users/{user_id:" + segment + "}", Methods: []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch}, Handler: h.AdminUser},
		{Path: "/admin/users/{user_id:" + segment + "}/password", Methods: []string{http.MethodPut}, Handler: h.AdminUserPassword},
		{Path: "/admin/users/{user_id:" + segment + "}/factors", Methods: remove, Handler: h.AdminUserFactors},
		{Path: "/admin/users/{user_id:" + segment + "}/picture", Methods: []string{http.MethodDelete}, Handler: h.AdminUserPicture},
		{Path: "/admin/users/{user_id:" + segment + "}/sessions", Methods: remove, Handler: h.AdminUserSessions},
		{Path: "/admin/users/{user_id:" + segment + "}/sessions/{sid:" + segment + "}", Methods: []string{http.MethodDelete}, Handler: h.AdminUserSession},
		{Path: "/admin/users/{user_id:" + segment + "}/consents", Methods: read, Handler: h.AdminUserConsents},
		{Path: "/admin/users/{user_id:" + segment + "}/consents/{client_id:" + segment + "}", Methods: []string{http.MethodDelete}, Handler: h.AdminUserConsent},
		{Path: "/admin/groups", Methods: list, Handler: h.AdminGroups},
		{Path: "/admin/groups/{group:" + segment + "}", Methods: remove, Handler: h.AdminGroup},
		{Path: "/admin/groups/{group:" + segment + "}/members", Methods: read, Handler: h.AdminGroupMembers},
		{Path: "/admin/groups/{group:" + segment + "}/members/{user_id:" + segment + "}", Methods: member, Handler: h.AdminGroupMember},
		{Path: "/admin/roles", Methods: list, Handler: h.AdminRoles},
		{Path: "/admin/roles/{role:" + segment + "}", Methods: one, Handler: h.AdminRole},
		{Path: "/admin/roles/{role:" + segment + "}/members/{user_id:" + segment + "}", Methods: member, Handler: h.AdminRoleMember},
		{Path: "/admin/resources", Methods: list, Handler: h.AdminResources},
		{Path: "/admin/resources/{audience:" + segment + "}", Methods: one, Handler: h.AdminResource},
		{Path: "/admin/sign-in-rules", Methods: list, Handler: h.AdminSignInRules},
		{Path: "/admin/sign-in-rules/{rule:" + segment + "}", Methods: one, Handler: h.AdminSignInRule},
		{Path: "/admin/keys", Methods: read, Handler: h.AdminKeys},
		{Path: "/admin/keys/rotate", Methods: post, Handler: h.AdminKeyRotation},
		{Path: "/admin/keys/{kid:" + segment + "}/retire", Methods: post, Handler: h.AdminKeyRetirement},
		{Path: "/admin/settings", Methods: []string{http.MethodGet, http.MethodHead, http.MethodPatch}, Handler: h.AdminSettings},
		{Path: "/admin/audit-events", Methods: read, Handler: h.AdminAuditEvents},
		{Path: "/admin/traces/{request_id:" + segment + "}", Methods: read, Handler: h.AdminTrace},

		{Path: "/login", Methods: page, Handler: h.Login, Browser: true},
		{Path: "/login/second-factor", Methods: page, Handler: h.SecondFactor, Browser: true},
		{Path: "/setup", Methods: read, Handler: h.Setup, Browser: true},
		{Path: "/setup/authenticator", Methods: page, Handler: h.SetupAuthenticator, Browser: true},
		{Path: "/setup/passkey", Methods: page, Handler: h.SetupPasskey, Browser: true},
		{Path: "/setup/recovery-codes", Methods: page, Handler: h.SetupRecoveryCodes, Browser: true},
		{Path: "/setup/admin", Methods: page, Handler: h.SetupAdministrator, Browser: true},
		{Path: "/recover", Methods: page, Handler: h.Recover, Browser: true},
		{Path: "/recover/password", Methods: page, Handler: h.NewPassword, Browser: true},
		{Path: "/recover/{outcome:sent|done}", Methods: read, Handler: h.Outcome, Browser: true},
		{Path: "/invitation", Methods: page, Handler: h.Invitation, Browser: true},
		{Path: "/invitation/done", Methods: read, Handler: h.Outcome, Browser: true},
		{Path: "/register", Methods: page, Handler: h.SignUp, Browser: true},
		{Path: "/register/account", Methods: page, Handler: h.NewAccount, Browser: true},
		{Path: "/register/{outcome:sent|done}", Methods: read, Handler: h.Outcome, Browser: true},
		{Path: "/verify", Methods: page, Handler: h.Verify, Browser: true},
		{Path: "/verify/undo", Methods: page, Handler: h.Undo, Browser: true},
		{Path: "/verify/{outcome:done|undone}", Methods: read, Handler: h.Outcome, Browser: true},
		{Path: "/consent", Methods: page, Handler: h.Consent, Browser: true},
		{Path: "/logout", Methods: page, Handler: h.Logout, Browser: true},
		{Path: "/account", Methods: page, Handler: h.Account, Browser: true},
		{Path: "/account/picture", Methods: page, Handler: h.Account, Browser: true, Body: 1<<20 + 16<<10},
		{Path: "/account/{page:[a-z-]+}", Methods: page, Handler: h.Account, Browser: true},
		{Path: "/display", Methods: read, Handler: h.Display, Browser: true},
		{Path: "/", Methods: read, Handler: h.Home, Browser: true},
		{Path: "/logos/{hash:[0-9a-f]{64}}", Methods: read, Handler: h.Logo, Browser: true},
		{Path: "/pictures/{picture:[A-Za-z0-9_-]{22}}", Methods: read, Handler: h.Picture, Browser: true},
		// Plain names only: no listings, no dot files, no way up.
		{Path: "/static/{file:(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*}", Methods: read, Handler: stripStatic(h.Static), Browser: true},
	}
	for _, p := range h.Console {
		all = append(all, Route{Path: strings.ReplaceAll(p.Path, "}", ":"+segment+"}"), Methods: page, Handler: p.Handler, Browser: true, Body: p.Body})
	}
	return slices.DeleteFunc(all, func(r Route) bool { return r.Handler == nil })
}

// segment is a part of a path that names a thing. The handler gets it decoded,
// as the request's path value.
const segment = `(?:[A-Za-z0-9._~:@$&+=-]|%[0-9A-F]{2})+`

// plainly decodes such a part. What needs no percent-encoding must have none,
// so that a thing has one address.
func plainly(part string) (string, bool) {
	decoded, err := url.PathUnescape(part)
	if err != nil || !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, unicode.IsControl) {
		return "", false
	}
	encoded := strings.NewReplacer(":", "%3A", "@", "%40", "$", "%24", "&", "%26", "+", "%2B", "=", "%3D").Replace(part)
	return decoded, encoded == strings.ReplaceAll(url.QueryEscape(decoded), "+", "%20")
}

func stripStatic(h http.Handler) http.Handler {
	if h == nil {
		return nil
	}
	return http.StripPrefix("/static", h)
}

// mount builds the router. A path has one spelling: it is matched as it was
// sent, percent-encoding, doubled and trailing slashes included, and nothing is
// redirected to a cleaner one, because a redirected POST loses its body or
// repeats its secrets.
func (p *public) mount(routes []Route) http.Handler {
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	router.NotFoundHandler = http.HandlerFunc(p.notFound)
	for _, route := range routes {
		path, strip := p.issuerPath+route.Path, p.issuerPath
		if route.Inserted {
			if p.issuerPath == "" {
				continue // the same as the other form
			}
			path, strip = route.Path+p.issuerPath, ""
		}
		if route.AtHost {
			path, strip = route.Path, ""
		}
		handler := p.endpoint(route, path, strip)
		router.Path(path).Handler(handler)
		if route.Path == "/" && p.issuerPath != "" {
			router.Path(p.issuerPath).Handler(handler) // the issuer itself is what people type
		}
	}
	return router
}

// endpoint puts around a route what depends on the route: its name for the
// log, CORS, the method, the body.
func (p *public) endpoint(route Route, pattern, strip string) http.Handler {
	allow := slices.Clone(route.Methods)
	if route.CORS {
		allow = append(allow, http.MethodOptions)
	}
	slices.Sort(allow)
	allowed := strings.Join(allow, ", ")

	handler := route.Handler
	if strip != "" {
		handler = stripIssuer(strip, handler)
	}
	var inner http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, part := range mux.Vars(r) {
			if !strings.Contains(part, "%") {
				r.SetPathValue(name, part)
			} else if decoded, ok := plainly(part); ok {
				r.SetPathValue(name, decoded)
			} else {
				p.notFound(w, r)
				return
			}
		}
		if !slices.Contains(route.Methods, r.Method) {
			w.Header().Set("Allow", allowed)
			if route.CORS && r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			p.fault(w, r, Fault{Status: http.StatusMethodNotAllowed, Message: "This address answers " + allowed + " only."}, route.Browser)
			return
		}
		if f := p.readBody(w, r, cmp.Or(route.Body, maxBody)); f != nil {
			p.fault(w, r, *f, route.Browser)
			return
		}
		handler.ServeHTTP(w, r)
	})
	if route.CORS {
		inner = p.cors(route.Methods, inner)
	}
	name := routeName(route.Path)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeFrom(r.Context())
		x.route, x.name = pattern, name
		if route.CORS {
			// Without it a page that isolates itself could not read what CORS allows it to.
			w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		}
		inner.ServeHTTP(w, r)
	})
}

// routeName is a path of the table without what its variables may be:
// /pictures/{picture:[A-Za-z0-9_-]{22}} is /pictures/{picture}.
func routeName(path string) string {
	var name strings.Builder
	depth, hidden := 0, false
	for _, c := range path {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
			hidden = hidden && depth > 0
		case ':':
			hidden = hidden || depth > 0
		}
		if !hidden {
			name.WriteRune(c)
		}
	}
	return name.String()
}

// stripIssuer takes the issuer's path off, and leaves the root as a slash.
func stripIssuer(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, path), "/")
		if r.URL.RawPath != "" {
			inner.URL.RawPath = "/" + strings.TrimPrefix(strings.TrimPrefix(r.URL.RawPath, path), "/")
		}
		h.ServeHTTP(w, inner)
	})
}

// notFound is a page for people and JSON for programs, told apart by the part
// of the path that only programs call, then by Accept.
func (p *public) notFound(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, p.issuerPath)
	program := false
	for _, prefix := range []string{"/.well-known/", "/oauth2/", "/userinfo", "/admin/"} {
		program = program || strings.HasPrefix(path, prefix)
	}
	p.fault(w, r, Fault{Status: http.StatusNotFound, Message: "There is nothing at this address."}, !program && wantsPage(r))
}

// managementRoutes lists what the management listener answers.
func managementRoutes(m *Management, c ManagementConfig) http.Handler {
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	router.Path("/healthz").Methods(http.MethodGet, http.MethodHead).HandlerFunc(m.healthz)
	router.Path("/readyz").Methods(http.MethodGet, http.MethodHead).HandlerFunc(m.readyz)
	if c.Metrics != nil {
		router.Path("/metrics").Methods(http.MethodGet, http.MethodHead).Handler(c.Metrics)
	}
	if c.Profile {
		router.Path("/debug/pprof/profile").Methods(http.MethodGet).HandlerFunc(pprof.Profile)
		router.Path("/debug/pprof/trace").Methods(http.MethodGet).HandlerFunc(pprof.Trace)
		router.PathPrefix("/debug/pprof/").Methods(http.MethodGet).HandlerFunc(pprof.Index)
	}
	return router
}
