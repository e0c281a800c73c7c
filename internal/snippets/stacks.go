package snippets

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"idp/internal/idp"
)

// stack is a way to build an application, or an application itself.
type stack struct {
	name, title string
	use         Use
	files       []string // in the folder of its name
	trap        string
	suits       func(*idp.Client) bool

	// callback is the path that it is called back at, with a group around what
	// names the issuer there; empty for any. Says is the same for people, or what
	// it is called back at by default.
	callback, says string
	methods        []string // how it authenticates; nil for a secret in header or body
	algs           []string // of ID tokens that it verifies; nil for all
	pushes         bool     // it can push authorization requests
	noPKCE         bool     // it cannot send PKCE
	groups         bool     // its text maps groups to rights
	alsoAt         []string // further redirect URIs that it has in any case
	check          func(c *idp.Client, v values) []string
}

const slash = "The issuer is compared byte for byte: without a slash at its end."

// stacks lists all of them, by use.
func stacks() []stack {
	jose := []string{idp.AlgRS256, idp.AlgPS256, idp.AlgES256, idp.AlgES384, idp.AlgES512} // all but EdDSA
	inBody := []string{idp.AuthClientSecretPost}
	list := []stack{
		{
			name: "spring", title: "Spring Security", files: []string{"application.yaml", "SecurityConfig.java"}, suits: webApplication,
			trap:     "It expects RS256 and sends no PKCE unless it is told, and compares the issuer byte for byte; groups and roles need a converter of claims.",
			callback: `^/login/oauth2/code/([^/]+)$`, says: "/login/oauth2/code/NAME", algs: jose, check: noPlaceholders,
		},
		{
			name: "aspnet", title: "ASP.NET Core", files: []string{"Program.cs"}, suits: webApplication,
			trap: "It renames claims unless MapInboundClaims is false, sends the secret in the body, and wants RS256 of most libraries around it.",
			says: "/signin-oidc", algs: jose, methods: inBody, pushes: true,
			check: func(_ *idp.Client, v values) []string {
				if v.IDTokenAlg != idp.AlgRS256 {
					return []string{"Many .NET libraries expect RS256, and this client's ID tokens are signed with " + v.IDTokenAlg + ": leave id_token_signed_response_alg empty unless you know yours."}
				}
				return nil
			},
		},
		{
			name: "express", title: "Express with openid-client", files: []string{"oidc.mjs", "app.mjs"}, suits: webApplication,
			trap: "Behind a proxy that ends TLS it needs trust proxy, or the session cookie with secure is never set.", pushes: true,
		},
		{
			name: "authjs", title: "Next.js with Auth.js", files: []string{"auth.ts", "route.ts"}, suits: webApplication,
			trap:     "The provider's id ends the redirect URI, /api/auth/callback/NAME; both have to be the same.",
			callback: `^/api/auth/callback/([^/]+)$`, says: "/api/auth/callback/NAME",
		},
		{
			name: "better-auth", title: "Better Auth", files: []string{"auth.ts"}, suits: webApplication,
			trap:     "The provider's id ends the redirect URI: /api/auth/oauth2/callback/NAME, or /api/auth/callback/NAME from 1.8 on.",
			callback: `^/api/auth/(?:oauth2/)?callback/([^/]+)$`, says: "/api/auth/oauth2/callback/NAME",
		},
		{
			name: "django-allauth", title: "Django with allauth", files: []string{"settings.py"}, suits: webApplication,
			trap:     "PKCE is off unless OAUTH_PKCE_ENABLED is set, and it asks for a scope groups unless SCOPE is; the redirect URI ends in a slash.",
			callback: `/oidc/([^/]+)/login/callback/$`, says: "/accounts/oidc/NAME/login/callback/", algs: jose,
		},
		{
			name: "django-mozilla", title: "Django with mozilla-django-oidc", files: []string{"settings.py", "urls.py"}, suits: webApplication,
			trap:     "It expects HS256 unless OIDC_RP_SIGN_ALGO is set, and does not read the discovery document.",
			callback: `^/oidc/callback/$`, says: "/oidc/callback/", algs: []string{idp.AlgRS256, idp.AlgES256}, check: plainUserinfo,
		},
		{
			name: "rails", title: "Rails with omniauth_openid_connect", files: []string{"omniauth.rb"}, suits: webApplication,
			trap:     slash + " The sign-in begins with a POST, or OmniAuth refuses it.",
			callback: `/auth/([^/]+)/callback$`, says: "/auth/NAME/callback", algs: jose,
		},
		{
			name: "laravel", title: "Laravel with Socialite", files: []string{"IdpProvider.php", "services.php", "AppServiceProvider.php"}, suits: webApplication,
			trap:    "Socialite reads userinfo and no ID token, and sends the secret in the body; PKCE is off unless usesPKCE is true.",
			methods: inBody, check: plainUserinfo,
		},
		{
			name: "go", title: "Go with go-oidc", files: []string{"main.go"}, suits: webApplication,
			trap: "In containers the program has to reach the issuer by the same address as browsers do: go-oidc compares the issuer with the one it asked.",
		},
		{
			name: "spa", title: "Single-page application with oidc-client-ts", files: []string{"auth.js"}, suits: inBrowser,
			trap:    "The token endpoint is called from the page: its origin has to be among allowed_cors_origins.",
			methods: []string{idp.AuthNone}, algs: nil,
			check: func(c *idp.Client, v values) []string {
				var out []string
				if !slices.Contains(c.AllowedCORSOrigins, v.RedirectOrigin) {
					out = append(out, fmt.Sprintf("allowed_cors_origins lacks %s: the page's scripts cannot call the token endpoint.", v.RedirectOrigin))
				}
				if slices.Contains(c.Scopes(), idp.ScopeOfflineAccess) {
					out = append(out, "offline_access gives the page a refresh token that lives for weeks: a short session and prompt=none are safer.")
				}
				return out
			},
		},
		{
			name: "appauth-android", title: "Android with AppAuth", files: []string{"SignIn.kt", "build.gradle.kts"}, suits: onDevice,
			trap:    "The private scheme has to stand in the manifest as well, and is a reversed domain name (RFC 8252 section 7.1).",
			methods: []string{idp.AuthNone}, check: ownScheme,
		},
		{
			name: "appauth-ios", title: "iOS and macOS with AppAuth", files: []string{"SignIn.swift"}, suits: onDevice,
			trap:    "The private scheme has to stand in Info.plist as well, and is a reversed domain name (RFC 8252 section 7.1).",
			methods: []string{idp.AuthNone}, check: ownScheme,
		},
		{
			name: "oauth2-proxy", title: "oauth2-proxy", files: []string{"compose.yaml"}, suits: webApplication,
			trap:     "Its cookies hold tokens: large ones need larger header buffers in front of it; cookie_domain decides which hosts share the sign-in.",
			callback: `/oauth2/callback$`, says: "/oauth2/callback",
			check: func(c *idp.Client, _ values) []string {
				if !slices.Contains(c.Scopes(), idp.ScopeEmail) {
					return []string{"scope lacks email, and oauth2-proxy lets nobody in without an address."}
				}
				return nil
			},
		},
		{
			name: "nginx", title: "nginx before oauth2-proxy", files: []string{"site.conf"}, suits: webApplication,
			trap:     "Its answers are larger than nginx' buffers: raise proxy_buffer_size, or people see 502 after they signed in.",
			callback: `/oauth2/callback$`, says: "/oauth2/callback",
		},
		{
			name: "traefik", title: "Traefik before oauth2-proxy", files: []string{"dynamic.yaml"}, suits: webApplication,
			trap:     "The path /oauth2/ needs a router of its own, without the middleware, or the sign-in goes round in circles.",
			callback: `/oauth2/callback$`, says: "/oauth2/callback",
		},
		{
			name: "caddy", title: "Caddy before oauth2-proxy", files: []string{"Caddyfile"}, suits: webApplication,
			trap:     "The path /oauth2/ comes before forward_auth, or the sign-in goes round in circles.",
			callback: `/oauth2/callback$`, says: "/oauth2/callback",
		},
		{
			name: "kubernetes", title: "Kubernetes with kubelogin", files: []string{"authentication.yaml", "kubeconfig.yaml"}, suits: onDevice,
			trap:    "Names need a prefix, or somebody could be called like a user of the system; groups have to be a list; the issuer has to be https.",
			methods: []string{idp.AuthNone}, algs: jose, groups: true, alsoAt: []string{"http://localhost:8000", "http://localhost:18000"},
			check: func(c *idp.Client, v values) []string {
				var out []string
				if v.Insecure {
					out = append(out, "The issuer is http, and Kubernetes takes https only.")
				}
				if !slices.Contains(c.RedirectURIs, "http://localhost:8000") {
					out = append(out, "redirect_uris lacks http://localhost:8000, where kubelogin waits (and http://localhost:18000, if that port is taken).")
				}
				return out
			},
		},
		{
			name: "grafana", title: "Grafana", files: []string{"compose.yaml"}, suits: webApplication,
			trap:     "Everybody is a viewer unless a group is mapped to a role.",
			callback: `/login/generic_oauth$`, says: "/login/generic_oauth", groups: true, check: plainUserinfo,
		},
		{
			name: "gitlab", title: "GitLab", files: []string{"gitlab.rb"}, suits: webApplication,
			trap:     slash + " The name openid_connect is part of the redirect URI.",
			callback: `/users/auth/(openid_connect)/callback$`, says: "/users/auth/openid_connect/callback", algs: jose,
		},
		{
			name: "argocd", title: "Argo CD", files: []string{"argocd-cm.yaml", "argocd-rbac-cm.yaml"}, suits: signsPeopleIn,
			trap:     "Older versions run PKCE in the browser: they need a public client and the redirect URI /pkce/verify. Everybody reads unless a group is mapped to a role.",
			callback: `/auth/callback$`, says: "/auth/callback", groups: true, methods: []string{idp.AuthNone, idp.AuthClientSecretBasic, idp.AuthClientSecretPost},
		},
		{
			name: "vault", title: "Vault", files: []string{"setup.sh"}, suits: webApplication,
			trap:     "The browser and the command line have redirect URIs of their own: …/ui/vault/auth/oidc/oidc/callback and http://localhost:8250/oidc/callback.",
			callback: `/oidc/callback$`, says: "/ui/vault/auth/oidc/oidc/callback", algs: jose, alsoAt: []string{"http://localhost:8250/oidc/callback"},
			check: func(c *idp.Client, _ values) []string {
				if !slices.Contains(c.RedirectURIs, "http://localhost:8250/oidc/callback") {
					return []string{"redirect_uris lacks http://localhost:8250/oidc/callback, which vault login needs."}
				}
				return nil
			},
		},
		{
			name: "gitea", title: "Gitea", files: []string{"setup.sh"}, suits: webApplication,
			trap:     "Gitea sends no PKCE; the source's name is part of the redirect URI, with its case.",
			callback: `/user/oauth2/([^/]+)/callback$`, says: "/user/oauth2/NAME/callback", algs: jose, noPKCE: true,
		},
		{
			name: "nextcloud", title: "Nextcloud with user_oidc", files: []string{"setup.sh"}, suits: webApplication,
			trap:     "It sends the secret in the body, and PKCE is off unless use_pkce is set; with the scope groups, who is in a group called admin administers it.",
			callback: `/apps/user_oidc/code$`, says: "/apps/user_oidc/code", algs: jose, methods: inBody,
		},
		{
			name: "curl", title: "curl, step by step", files: []string{"sign-in.sh"}, suits: signsPeopleIn,
			trap:    "For learning what travels; idp token get does it in one step, and verifies the ID token.",
			methods: []string{idp.AuthNone, idp.AuthClientSecretBasic, idp.AuthClientSecretPost},
		},
	}
	for i := range list {
		list[i].use = SignIn
	}
	const once = "A token is good for minutes: keep it until it runs out, and get none for each call."
	for _, s := range []stack{
		{name: "service-curl", title: "curl", files: []string{"token.sh"}, trap: "A secret among the arguments can be seen by every process of the machine: it goes by stdin."},
		{name: "service-go", title: "Go with x/oauth2", files: []string{"main.go"}, trap: once + " The client of the library does so."},
		{name: "service-node", title: "Node.js with openid-client", files: []string{"service.mjs"}, trap: once},
		{name: "service-spring", title: "Spring Security", files: []string{"application.yaml"}, trap: "It cannot name a resource: the scope has to belong to one API of the client alone.", check: noPlaceholders},
		{name: "service-dotnet", title: ".NET", files: []string{"TokenClient.cs"}, trap: once},
		{name: "service-python", title: "Python with Authlib", files: []string{"service.py"}, trap: once},
	} {
		s.use, s.suits = CallAPI, service
		list = append(list, s)
	}
	const typ = "An ID token is no access token: look at typ, which is at+jwt."
	for _, s := range []stack{
		{name: "api-go", title: "Go with go-oidc", files: []string{"access.go"}, trap: typ},
		{name: "api-spring", title: "Spring Security", files: []string{"AccessTokens.java"}, algs: jose, trap: typ + " Spring refuses that typ unless it is told."},
		{name: "api-dotnet", title: "ASP.NET Core", files: []string{"Program.cs"}, algs: jose, trap: typ + " MapInboundClaims renames scope unless it is false."},
		{name: "api-node", title: "Node.js with jose", files: []string{"access.mjs"}, trap: typ},
		{name: "api-python", title: "Python with PyJWT", files: []string{"access.py"}, trap: typ + " PyJWT does not by itself."},
		{name: "api-authlib", title: "Python with Authlib", files: []string{"access.py"}, trap: typ + " The validator of RFC 9068 does; that of RFC 7523 does not."},
		{name: "api-envoy", title: "Envoy", files: []string{"http-filters.yaml"}, trap: typ + " Envoy does not, so it looks for client_id, which ID tokens lack."},
	} {
		s.use, s.suits, s.methods = GuardAPI, hasAPI, anyMethod
		list = append(list, s)
	}
	return list
}

// anyMethod stands for stacks in which the client does not authenticate.
var anyMethod = []string{}

func signsPeopleIn(c *idp.Client) bool  { return c.HasGrantType(idp.GrantAuthorizationCode) }
func webApplication(c *idp.Client) bool { return signsPeopleIn(c) && !c.Public() }
func inBrowser(c *idp.Client) bool {
	return signsPeopleIn(c) && c.Public() && c.ApplicationType != idp.ApplicationNative
}

func onDevice(c *idp.Client) bool {
	return signsPeopleIn(c) && c.Public() && c.ApplicationType == idp.ApplicationNative
}
func service(c *idp.Client) bool { return c.HasGrantType(idp.GrantClientCredentials) }
func hasAPI(c *idp.Client) bool  { return len(c.Audience)+len(c.ResourceServerOf) > 0 }

// callbackOf makes the redirect URI the one that fits the stack, and reports
// whether there is one.
func (s stack) callbackOf(v *values) bool {
	if s.callback == "" {
		return true
	}
	at := regexp.MustCompile(s.callback)
	for _, uri := range v.Redirects {
		u, err := url.Parse(uri)
		if err != nil {
			continue
		}
		if found := at.FindStringSubmatch(u.Path); found != nil {
			v.redirectTo(uri)
			if len(found) > 1 {
				v.Provider = found[1]
			}
			return true
		}
	}
	return false
}

// problems says what is wrong with the client for the stack.
func (s stack) problems(c *idp.Client, v values, called bool) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if c.Disabled {
		add("The client is disabled: it is refused everything.")
	}
	if s.use != GuardAPI {
		methods := s.methods
		if methods == nil {
			methods = []string{idp.AuthClientSecretBasic, idp.AuthClientSecretPost}
		}
		if !slices.Contains(methods, v.Method) {
			add("It authenticates with %s, and the client is registered for %s: set token_endpoint_auth_method.", strings.Join(methods, " or "), v.Method)
		}
	}
	switch s.use {
	case SignIn:
		if !called {
			add("It is called back at a path that ends in %s, and no redirect URI does: add one to redirect_uris.", s.says)
		}
		if !slices.Contains(c.Scopes(), idp.ScopeOpenID) {
			add("scope lacks openid: there is no ID token without it.")
		}
		if s.groups && !slices.Contains(c.Scopes(), idp.ScopeMemberships) {
			add("scope lacks groups, by which this text decides what people may do: nobody is in any.")
		}
		if len(s.algs) > 0 && !slices.Contains(s.algs, v.IDTokenAlg) {
			add("It verifies ID tokens signed with %s, and the client's are signed with %s: set id_token_signed_response_alg.", strings.Join(s.algs, ", "), v.IDTokenAlg)
		}
		if s.noPKCE && !c.PKCEOptional {
			add("%s sends no PKCE, and the client has to: set pkce_optional for it, and for it alone.", s.title)
		}
		if c.IDTokenEncryptedResponseAlg != "" {
			add("The client's ID tokens are encrypted, and this text does not open them.")
		}
		if c.RequirePushedAuthorizationRequests && !s.pushes {
			add("The client has to push its authorization requests (RFC 9126), which this stack does not.")
		}
		if c.RequireSignedRequestObject {
			add("The client has to sign its authorization requests (RFC 9101), which this text does not.")
		}
		if len(c.ResponseTypes) > 0 && !slices.Contains(c.ResponseTypes, "code") {
			add("response_types lacks code.")
		}
	case CallAPI:
		if v.Audience == "" {
			add("The client has no audience: register the API, and name it.")
		}
	case GuardAPI:
		if v.Opaque {
			add("Access tokens for %s are opaque: ask %s/oauth2/introspect about them.", v.Audience, v.Issuer)
		} else if len(s.algs) > 0 && !slices.Contains(s.algs, v.TokenAlg) {
			add("It verifies %s, and access tokens for %s are signed with %s: set access_token_signing_alg.", strings.Join(s.algs, ", "), v.Audience, v.TokenAlg)
		}
	}
	if s.check != nil {
		out = append(out, s.check(c, v)...)
	}
	return out
}

// plainUserinfo is for stacks that read userinfo as JSON.
func plainUserinfo(c *idp.Client, _ values) []string {
	if c.UserinfoSignedResponseAlg != "" || c.UserinfoEncryptedResponseAlg != "" {
		return []string{"It reads userinfo as plain JSON, and this client's is signed or encrypted."}
	}
	return nil
}

// noPlaceholders is for stacks that put other values in the place of ${…}.
func noPlaceholders(_ *idp.Client, v values) []string {
	if strings.Contains(fmt.Sprint(v), "${") {
		return []string{"A value of the client holds ${, which Spring takes for the name of another value."}
	}
	return nil
}

// ownScheme is for applications that the system calls by their scheme.
func ownScheme(c *idp.Client, v values) []string {
	if v.RedirectScheme == "http" {
		return []string{"The redirect URI is of the loopback: applications on a telephone need one of a private scheme, such as com.example.app:/callback, or an https address that is theirs."}
	}
	return nil
}
