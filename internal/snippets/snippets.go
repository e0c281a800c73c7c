package snippets

import (
	"embed"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"text/template"

	"idp/internal/idp"
)

// Use is what a snippet is for.
type Use string

// The uses, in the order in which snippets are listed.
const (
	SignIn   Use = "Sign people in"
	CallAPI  Use = "Call an API as a service"
	GuardAPI Use = "Let access tokens in to an API"
)

// SecretVariable is the environment variable that every text takes the secret
// from.
const SecretVariable = "OIDC_CLIENT_SECRET"

// Snippet is what one stack needs for one client.
type Snippet struct {
	Stack string `json:"stack"` // the name to ask for it by
	Title string `json:"title"`
	Use   Use    `json:"use"`
	// Trap is what people stumble over with this stack, in one sentence.
	Trap string `json:"trap"`
	// Problems are what is wrong with the client for this stack, a sentence each.
	Problems []string `json:"problems,omitempty"`
	Files    []File   `json:"files"`
}

// File is one text of a snippet.
type File struct {
	Name     string `json:"name"`
	Language string `json:"language"` // as in a fence of Markdown
	Text     string `json:"text"`
}

//go:embed stacks
var texts embed.FS

// For returns the snippets that suit the client's kind, for an issuer exactly
// as it is published. The APIs are those that are registered.
func For(issuer string, c *idp.Client, apis []idp.Resource) []Snippet {
	var out []Snippet
	for _, s := range stacks() {
		if s.suits(c) {
			out = append(out, s.fill(issuer, c, apis))
		}
	}
	return out
}

// Stacks returns the names of all stacks that there are.
func Stacks() []string {
	var names []string
	for _, s := range stacks() {
		names = append(names, s.name)
	}
	return names
}

// values are what the texts are filled with.
type values struct {
	Issuer, Host, Discovery                    string
	Authorize, Token, Userinfo, EndSession     string
	JWKS                                       string
	Insecure                                   bool // the issuer is http
	ClientID, Name, Method                     string
	Public, Basic, Pushes, Refreshes           bool
	Redirects                                  []string
	Redirect, RedirectOrigin, RedirectHost     string
	RedirectPath, RedirectScheme, SecureCookie string
	RedirectHTTPS                              bool
	Listen, PostLogout, Provider               string
	Scopes                                     []string // what is asked for when somebody signs in
	Scope, Identity                            string
	Extra                                      []string // Scopes without openid
	APIScopes                                  []string
	APIScope, FirstAPIScope                    string
	Audience, IDTokenAlg, TokenAlg             string
	Opaque                                     bool // tokens for the API are no JWTs
	Groups                                     bool // the client is told the groups of people
}

// fill writes the texts of a stack for a client.
func (s stack) fill(issuer string, c *idp.Client, apis []idp.Resource) Snippet {
	v := valuesOf(issuer, c, apis)
	called := s.callbackOf(&v)
	out := Snippet{Stack: s.name, Title: s.title, Use: s.use, Trap: s.trap, Problems: s.problems(c, v, called)}
	for _, name := range s.files {
		text, err := texts.ReadFile(path.Join("stacks", s.name, name+".tmpl"))
		if err != nil {
			panic("snippets: " + err.Error()) // the table and the folder belong together
		}
		var filled strings.Builder
		if err := template.Must(template.New(name).Funcs(quoting).Parse(string(text))).Execute(&filled, v); err != nil {
			panic("snippets: " + err.Error())
		}
		out.Files = append(out.Files, File{Name: name, Language: languageOf(name), Text: filled.String()})
	}
	return out
}

func valuesOf(issuer string, c *idp.Client, apis []idp.Resource) values {
	v := values{
		Issuer: issuer, Host: hostOf(issuer), Discovery: issuer + "/.well-known/openid-configuration",
		Authorize: issuer + "/oauth2/auth", Token: issuer + "/oauth2/token", Userinfo: issuer + "/userinfo",
		EndSession: issuer + "/oauth2/sessions/logout", JWKS: issuer + "/.well-known/jwks.json",
		Insecure: strings.HasPrefix(issuer, "http:"),
		ClientID: c.ClientID, Name: c.DisplayName(), Method: c.TokenEndpointAuthMethod,
		Public: c.Public(), Basic: c.TokenEndpointAuthMethod == idp.AuthClientSecretBasic,
		Pushes: c.RequirePushedAuthorizationRequests, Refreshes: slices.Contains(c.Scopes(), idp.ScopeOfflineAccess),
		Redirects: c.RedirectURIs, Provider: "idp", IDTokenAlg: c.IDTokenSignedResponseAlg, TokenAlg: c.AccessTokenSigningAlg,
	}
	if len(c.RedirectURIs) > 0 {
		v.redirectTo(c.RedirectURIs[0])
	}
	if len(c.PostLogoutRedirectURIs) > 0 {
		v.PostLogout = c.PostLogoutRedirectURIs[0]
	}
	if audiences := slices.Concat(c.ResourceServerOf, c.Audience); len(audiences) > 0 {
		v.Audience = audiences[0]
	}
	var api idp.Resource
	if i := slices.IndexFunc(apis, func(r idp.Resource) bool { return r.Audience == v.Audience }); i >= 0 {
		api = apis[i]
	}
	if api.AccessTokenSigningAlg != "" { // the API's word goes before the client's
		v.TokenAlg = api.AccessTokenSigningAlg
	}
	v.Opaque = api.AccessTokenFormat == idp.FormatOpaque || api.AccessTokenFormat == "" && c.AccessTokenFormat == idp.FormatOpaque
	if v.TokenAlg == "" {
		v.TokenAlg = idp.AlgES256
	}
	if v.IDTokenAlg == "" {
		v.IDTokenAlg = idp.AlgRS256
	}
	var identity []string
	for _, scope := range c.Scopes() {
		_, ofAPI := api.Scope(scope)
		switch {
		case scope == idp.ScopeOfflineAccess:
			v.Scopes = append(v.Scopes, scope)
		case idp.IsIdentityScope(scope):
			identity = append(identity, scope)
			v.Scopes = append(v.Scopes, scope)
		case ofAPI || len(c.Audience) <= 1: // a token is for one API
			v.Scopes = append(v.Scopes, scope)
			v.APIScopes = append(v.APIScopes, scope)
		}
	}
	v.Groups = slices.Contains(identity, idp.ScopeMemberships)
	v.Scope, v.Identity, v.APIScope = strings.Join(v.Scopes, " "), strings.Join(identity, " "), strings.Join(v.APIScopes, " ")
	if v.FirstAPIScope = "read"; len(v.APIScopes) > 0 {
		v.FirstAPIScope = v.APIScopes[0]
	}
	v.Extra = slices.DeleteFunc(slices.Clone(v.Scopes), func(scope string) bool { return scope == idp.ScopeOpenID })
	return v
}

// redirectTo makes the URI the one that the texts name.
func (v *values) redirectTo(uri string) {
	v.Redirect, v.Listen = uri, "127.0.0.1:8080"
	u, err := url.Parse(uri)
	if err != nil {
		return
	}
	v.RedirectScheme, v.RedirectHost, v.RedirectPath = u.Scheme, u.Host, u.Path
	v.RedirectOrigin, v.RedirectHTTPS = u.Scheme+"://"+u.Host, u.Scheme == "https"
	v.SecureCookie = fmt.Sprint(v.RedirectHTTPS)
	if v.RedirectPath == "" {
		v.RedirectPath = "/"
	}
	if u.Scheme == "http" && u.Port() != "" {
		v.Listen = u.Host
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// languageOf names a file's language by its extension.
func languageOf(name string) string {
	languages := map[string]string{
		".yaml": "yaml", ".java": "java", ".cs": "csharp", ".mjs": "javascript", ".js": "javascript", ".ts": "typescript", ".py": "python",
		".rb": "ruby", ".php": "php", ".go": "go", ".kt": "kotlin", ".kts": "kotlin", ".swift": "swift", ".conf": "nginx", ".sh": "sh",
	}
	if language, ok := languages[path.Ext(name)]; ok {
		return language
	}
	return "text"
}
