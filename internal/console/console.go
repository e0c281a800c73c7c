package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/web"
)

// Door knows who is at a page, and lets forms in. Implemented by *login.Login.
type Door interface {
	// Enter is nil when the browser was sent to sign in first.
	Enter(w http.ResponseWriter, r *http.Request) (*idp.Visit, error)
	// Submitted is Enter for a form of ours, with its fields.
	Submitted(w http.ResponseWriter, r *http.Request, files bool) (url.Values, *idp.Visit, error)
	// Sealed is what forms carry.
	Sealed(w http.ResponseWriter, r *http.Request, v *idp.Visit) (string, error)
	// Prove sends the browser to prove what is demanded, and back; without a
	// demand a sign-in of a moment ago.
	Prove(w http.ResponseWriter, r *http.Request, v *idp.Visit, d idp.Demand) error
}

// Frame is what all pages of the issuer have in common. Implemented by
// *login.Login.
type Frame interface {
	Layout(r *http.Request, v *idp.Visit) (web.Layout, web.Account)
	Page(w http.ResponseWriter, r *http.Request, status int, page any)
	// Refuse shows what kept somebody from a page.
	Refuse(w http.ResponseWriter, r *http.Request, err error)
}

// Directory is the view of clients and rules that requests use. Implemented by
// *store.Directory.
type Directory interface {
	SignInPolicy() idp.SignInPolicy
}

// Reads keeps in the audit what is read about people. Implemented by
// *audit.Recorder.
type Reads interface {
	// Record may fail; what it was to tell of must not be shown then.
	Record(ctx context.Context, event idp.Event) error
}

// Config is what a Console is made of; every field is needed.
type Config struct {
	Issuer    string // exactly as published, without a trailing slash
	Door      Door
	Frame     Frame
	Admin     *admin.Service
	Directory Directory
	Preview   Preview
	Counter   Counter
	// Status asks how the server does.
	Status func(context.Context) Status
	Now    func() time.Time

	Line    func(idp.Event) []byte // as which an event is exported; audit.Line
	Keys    Keys
	Setting func(key string) Setting // what is configured
	// RotateEvery and PublishAhead are how keys change by themselves.
	RotateEvery, PublishAhead time.Duration

	Attributes  Attributes
	SessionIdle time.Duration
	SendsMail   bool

	Mail      Mail
	Minter    Minter
	Reads     Reads
	Languages []web.Language // of pages and messages
}

// Preview is what a client would be told of somebody who signs in to it for an
// API, empty for none. Nothing is issued. Implemented by *grants.Service.
type Preview interface {
	Preview(ctx context.Context, clientID, audience string, u idp.User, m idp.Memberships) (idp.Preview, error)
}

// Console answers the routes below /console.
type Console struct {
	Config
	followers followers
}

// New returns a Console.
func New(cfg Config) *Console { return &Console{Config: cfg} }

// Page is one page of the console, as a route.
type Page struct {
	Path    string // names in braces stand for parts of it
	Body    int64  // how many bytes a form may have; 0 is what the server allows
	Handler http.Handler
}

// page says what a page shows, and what its form does; act is nil where there
// is none. One that is dangerous is for people who signed in a moment ago.
type page struct {
	show, act func(*visit) error
	dangerous bool
	files     int64 // how many bytes a form with a file may have; 0 for none
}

// table holds all pages by their paths. A path that ends in a word is before
// one that ends in a name, and names stand where nothing else does.
func table() map[string]page {
	return map[string]page{
		"/console":       {show: showHome},
		"/console/fresh": {show: showFresh, dangerous: true},

		"/console/clients":                      {show: listClients},
		"/console/clients/{client_id}":          {show: showClient},
		"/console/clients/{client_id}/claims":   {show: showClaims},
		"/console/clients/{client_id}/delete":   {show: askDeleteClient, act: deleteClient, dangerous: true},
		"/console/clients/{client_id}/disable":  {show: askDisableClient, act: disableClient, dangerous: true},
		"/console/clients/{client_id}/json":     {show: showClientJSON, act: saveClientJSON},
		"/console/clients/{client_id}/logo":     {show: showClientLogo, act: saveClientLogo, files: admin.MaxLogo + 16<<10},
		"/console/clients/{client_id}/revoke":   {show: askRevokeClient, act: revokeClient, dangerous: true},
		"/console/clients/{client_id}/rotate":   {show: askRotate, act: rotateSecret, dangerous: true},
		"/console/clients/{client_id}/score":    {show: showScore, act: applyFix},
		"/console/clients/{client_id}/secrets":  {show: showClientSecrets},
		"/console/clients/{client_id}/settings": {show: showClientSettings, act: saveClientSettings},
		"/console/clients/{client_id}/snippets": {show: showSnippets},
		"/console/clients/{client_id}/try":      {show: tryClient},
		"/console/new-client":                   {show: chooseKind},
		"/console/new-client/{kind}":            {show: askNewClient, act: registerClient},

		"/console/audit":            {show: listEvents},
		"/console/audit/{event_id}": {show: showEvent},
		"/console/audit-export":     {show: exportEvents},

		"/console/traces":              {show: findTrace},
		"/console/traces/{request_id}": {show: showTrace},

		"/console/api-access":                            {show: showAccess},
		"/console/new-registration-token":                {show: askInitialToken, act: makeInitialToken, dangerous: true},
		"/console/registration-tokens/{token_id}/delete": {show: askDeleteInitialToken, act: deleteInitialToken, dangerous: true},

		"/console/branding": {show: showBranding},

		"/console/keys":              {show: listKeys},
		"/console/keys/{kid}":        {show: showKey},
		"/console/keys/{kid}/retire": {show: askRetireKey, act: retireKey, dangerous: true},
		"/console/rotate-keys":       {show: askRotateKeys, act: rotateKeys, dangerous: true},

		"/console/mail":                  {show: showMail, act: sendTest},
		"/console/mail/{message}":        {show: showSample},
		"/console/mail/{message}/html":   {show: showSampleHTML},
		"/console/unsent-mail/{mail_id}": {show: readMail, dangerous: true},

		"/console/new-sign-in-rule":            {show: askNewRule, act: addRule, dangerous: true},
		"/console/sign-in-rules":               {show: listRules},
		"/console/sign-in-rules/{rule}":        {show: askRule, act: saveRule, dangerous: true},
		"/console/sign-in-rules/{rule}/delete": {show: askDeleteRule, act: deleteRule, dangerous: true},

		"/console/users":                         {show: listUsers},
		"/console/new-user":                      {show: showNewUser, act: createUser},
		"/console/new-invitation":                {show: showInvitation, act: invite},
		"/console/users/{user_id}":               {show: showUser, act: changeUser},
		"/console/users/{user_id}/sign-in":       {show: showSignIn, act: changeSignIn},
		"/console/users/{user_id}/sessions":      {show: showUserSessions, act: endUserSessions},
		"/console/users/{user_id}/consents":      {show: showUserConsents, act: withdrawConsent},
		"/console/users/{user_id}/audit":         {show: showUserAudit},
		"/console/users/{user_id}/link":          passwordLink(),
		"/console/users/{user_id}/reset-factors": resetFactors(),
		"/console/users/{user_id}/lock":          lockUser(),
		"/console/users/{user_id}/disable":       disableUser(),
		"/console/users/{user_id}/enable":        enableUser(),
		"/console/users/{user_id}/delete":        deleteUser(),
		"/console/users/{user_id}/groups":        {show: showUserGroups, act: changeUserGroups},

		"/console/groups":                {show: listGroups},
		"/console/groups/{group}":        {show: showGroup, act: changeGroup},
		"/console/groups/{group}/delete": {show: askDeleteGroup, act: deleteGroup, dangerous: true},
		"/console/new-group":             {show: showNewGroup, act: createGroup},
		"/console/new-role":              {show: showNewRole, act: createRole},
		"/console/new-resource":          {show: showNewResource, act: createResource},
		"/console/roles":                 {show: listRoles},
		"/console/roles/{role}":          {show: showRole, act: changeRole},
		"/console/roles/{role}/delete":   {show: askDeleteRole, act: deleteRole, dangerous: true},

		"/console/resources":                                {show: listResources},
		"/console/resources/{audience}":                     {show: showResource, act: saveResource},
		"/console/resources/{audience}/delete":              {show: askDeleteResource, act: deleteResource, dangerous: true},
		"/console/resources/{audience}/permissions":         {show: showPermissions, act: changePermissions},
		"/console/resources/{audience}/permissions/{scope}": {show: showPermission, act: changePermission},
	}
}

// Pages returns all pages.
func (c *Console) Pages() []Page {
	var pages []Page
	for path, p := range table() {
		pages = append(pages, Page{path, p.files, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, p) })})
	}
	slices.SortFunc(pages, func(a, b Page) int { return cmp.Compare(a.Path, b.Path) })
	return pages
}

// serve is the one way in: 1 somebody who is signed in, with a form of ours if
// they send one · 2 who is an administrator now · 3 as the sign-in rules have it
// · 4 the page, or what its form does.
func (c *Console) serve(w http.ResponseWriter, r *http.Request, p page) {
	v := &visit{Request: r, w: w, console: c, page: p, status: http.StatusOK}
	err := v.enter()
	if err == nil && v.who != nil {
		err = v.serve()
	}
	if err != nil {
		v.fail(err)
	}
}

// enter fills in who is at the page. There is nobody when the browser was sent
// elsewhere.
func (v *visit) enter() error {
	var who *idp.Visit
	var err error
	if v.Method == http.MethodPost {
		v.form, who, err = v.console.Door.Submitted(v.w, v.Request, v.page.files > 0)
	} else {
		who, err = v.console.Door.Enter(v.w, v.Request)
	}
	if who == nil || err != nil {
		return err
	}
	if !slices.Contains(who.Memberships.Groups, idp.AdminGroup) {
		v.outsider(who)
		return nil
	}
	demand := v.console.Directory.SignInPolicy().Demands("", who.Memberships)
	if demand.ACR != "" && !idp.ACRSatisfies(who.Session.ACR, demand.ACR) || demand.MaxAge > 0 && v.console.Now().Sub(who.Session.AuthTime) > demand.MaxAge {
		return v.console.Door.Prove(v.w, v.Request, who, demand)
	}
	v.who = who
	v.admin = v.console.Admin.Within(idp.Authority{idp.ScopeAdmin})
	return nil
}

// serve shows the page or does what its form says. What is wrong with the form
// is shown on the page.
func (v *visit) serve() error {
	post := v.Method == http.MethodPost
	switch {
	case post && v.page.act == nil:
		v.w.Header().Set("Allow", "GET, HEAD")
		return &refusal{http.StatusMethodNotAllowed, "This page has no form.", nil}
	case v.page.dangerous && !v.who.Confirmed && !post:
		return v.console.Door.Prove(v.w, v.Request, v.who, idp.Demand{})
	case v.page.dangerous && !v.who.Confirmed:
		v.status, v.stale = http.StatusForbidden, true
		return v.page.show(v)
	case !post:
		return v.page.show(v)
	}
	err := v.page.act(v)
	if errors.Is(err, errStale) {
		v.status, v.stale = http.StatusForbidden, true
		return v.page.show(v)
	}
	if v.faults = idp.Faults(err); len(v.faults) > 0 {
		v.status = http.StatusUnprocessableEntity
	} else if errors.Is(err, idp.ErrConflict) {
		v.status, v.problem = http.StatusConflict, sentence(said(err, idp.ErrConflict))
	} else {
		return err
	}
	record := idp.RequestFrom(v.Context())
	record.Outcome, record.Cause = "invalid_input", err
	return v.page.show(v)
}

// errStale is of an act that is dangerous because of what was filled in, by
// somebody who did not sign in a moment ago.
var errStale = errors.New("it takes a fresh sign-in")

// refusal is an error with the words that an administrator is shown.
type refusal struct {
	status  int
	message string
	cause   error
}

// notFound is for what the service has no words for.
func notFound(message string) error {
	return &refusal{http.StatusNotFound, message, idp.ErrNotFound}
}

func (r *refusal) Error() string { return r.message }
func (r *refusal) Unwrap() error { return r.cause }

// said is what the service said of it: words that it made for operators.
func said(err, sentinel error) string {
	return strings.TrimSuffix(err.Error(), ": "+sentinel.Error())
}

// sentence makes one of what an error says.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// fail shows what kept a page from being shown.
func (v *visit) fail(err error) {
	record := idp.RequestFrom(v.Context())
	record.Cause = err
	shown, ok := errors.AsType[*refusal](err)
	switch {
	case ok:
	case v.who == nil, errors.Is(err, idp.ErrUnavailable):
		v.console.Frame.Refuse(v.w, v.Request, err)
		return
	case errors.Is(err, idp.ErrNotFound):
		shown = &refusal{http.StatusNotFound, sentence(said(err, idp.ErrNotFound)), err}
	case errors.Is(err, idp.ErrForbidden):
		shown = &refusal{http.StatusForbidden, sentence(said(err, idp.ErrForbidden)), err}
	case errors.Is(err, idp.ErrConflict):
		shown = &refusal{http.StatusConflict, sentence(said(err, idp.ErrConflict)), err}
	default:
		v.console.Frame.Refuse(v.w, v.Request, err)
		return
	}
	record.Outcome = map[int]string{http.StatusNotFound: "not_found", http.StatusForbidden: "access_denied", http.StatusConflict: "conflict"}[shown.status]
	v.status, v.problem, v.faults = shown.status, shown.message, nil
	page := v.frame("", "This cannot be shown")
	page.Actions = []web.ConsoleLink{{Title: "Back to the start", To: "/console"}}
	if err := v.show(page); err != nil {
		v.console.Frame.Refuse(v.w, v.Request, err)
	}
}

// outsider says to somebody who is signed in what they lack.
func (v *visit) outsider(who *idp.Visit) {
	record := idp.RequestFrom(v.Context())
	record.Outcome = "access_denied"
	layout, _ := v.console.Frame.Layout(v.Request, who)
	v.console.Frame.Page(v.w, v.Request, http.StatusForbidden, web.NoticePage{
		Layout: layout, Title: web.Say("error.heading_not_allowed"), Problem: true,
		Message: web.Say("console.outsider", "group", idp.AdminGroup), Next: layout.Base + "/account", NextText: web.Say("console.to_account"),
	})
}
