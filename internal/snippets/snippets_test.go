package snippets_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"idp/internal/idp"
	"idp/internal/snippets"
)

var update = flag.Bool("update", false, "write docs/integrations anew")

const (
	issuer = "https://id.example.com"
	orders = "https://api.example.com"
)

func apis() []idp.Resource {
	return []idp.Resource{
		{Audience: orders, ResourceMetadata: idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "orders:read"}}}},
		{Audience: "https://files.example.com", ResourceMetadata: idp.ResourceMetadata{
			Scopes: []idp.ResourceScope{{Name: "files:read"}}, AccessTokenSigningAlg: idp.AlgPS256, AccessTokenFormat: idp.FormatOpaque,
		}},
	}
}

func web(redirects ...string) *idp.Client {
	return &idp.Client{ClientID: "wiki", ClientMetadata: idp.ClientMetadata{
		ClientName: "Wiki", ApplicationType: "web", TokenEndpointAuthMethod: idp.AuthClientSecretBasic,
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"}, RedirectURIs: redirects, Scope: "openid profile email",
	}}
}

func changed(c *idp.Client, change func(*idp.Client)) *idp.Client {
	change(c)
	return c
}

// fitting are clients that are just right for their stacks.
func fitting() map[string]*idp.Client {
	groups := func(c *idp.Client) { c.Scope += " groups" }
	post := func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthClientSecretPost }
	public := func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthNone }
	native := func(c *idp.Client) {
		c.TokenEndpointAuthMethod, c.ApplicationType = idp.AuthNone, idp.ApplicationNative
	}
	proxied := changed(web("https://wiki.example.com/oauth2/callback"), groups)
	service := &idp.Client{ClientID: "batch", ClientMetadata: idp.ClientMetadata{
		ClientName: "Batch", TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: []string{"client_credentials"}, Audience: []string{orders}, Scope: "orders:read",
	}}
	all := map[string]*idp.Client{
		"spring":          web("https://wiki.example.com/login/oauth2/code/idp"),
		"aspnet":          changed(web("https://wiki.example.com/signin-oidc"), post),
		"express":         web("https://wiki.example.com/callback"),
		"authjs":          web("https://wiki.example.com/api/auth/callback/idp"),
		"better-auth":     web("https://wiki.example.com/api/auth/oauth2/callback/idp"),
		"django-allauth":  web("https://wiki.example.com/accounts/oidc/idp/login/callback/"),
		"django-mozilla":  web("https://wiki.example.com/oidc/callback/"),
		"rails":           web("https://wiki.example.com/auth/idp/callback"),
		"laravel":         changed(web("https://wiki.example.com/auth/callback"), post),
		"go":              web("https://wiki.example.com/callback"),
		"curl":            web("https://wiki.example.com/callback"),
		"oauth2-proxy":    proxied,
		"nginx":           proxied,
		"traefik":         proxied,
		"caddy":           proxied,
		"grafana":         changed(web("https://grafana.example.com/login/generic_oauth"), groups),
		"gitlab":          changed(web("https://gitlab.example.com/users/auth/openid_connect/callback"), groups),
		"argocd":          changed(web("https://argocd.example.com/auth/callback"), groups),
		"vault":           changed(web("https://vault.example.com/ui/vault/auth/oidc/oidc/callback", "http://localhost:8250/oidc/callback"), groups),
		"gitea":           changed(changed(web("https://gitea.example.com/user/oauth2/idp/callback"), func(c *idp.Client) { c.PKCEOptional = true }), groups),
		"nextcloud":       changed(changed(web("https://cloud.example.com/apps/user_oidc/code"), post), groups),
		"spa":             changed(changed(web("https://shop.example.com/callback"), public), func(c *idp.Client) { c.AllowedCORSOrigins = []string{"https://shop.example.com"} }),
		"appauth-android": changed(web("com.example.shop:/callback"), native),
		"appauth-ios":     changed(web("com.example.shop:/callback"), native),
		"kubernetes":      changed(changed(web("http://localhost:8000", "http://localhost:18000"), native), groups),
	}
	for _, name := range snippets.Stacks() {
		if strings.HasPrefix(name, "service-") || strings.HasPrefix(name, "api-") {
			all[name] = service
		}
	}
	return all
}

func snippetFor(t *testing.T, stack string, c *idp.Client) snippets.Snippet {
	t.Helper()
	all := snippets.For(issuer, c, apis())
	i := slices.IndexFunc(all, func(s snippets.Snippet) bool { return s.Stack == stack })
	require.GreaterOrEqual(t, i, 0, "%s does not suit the client", stack)
	return all[i]
}

// A client that is right for a stack is told of no problem, and the pages of the
// documentation are these texts.
func TestIntegrationPagesAreCurrent(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "integrations")
	clients := fitting()
	pages := map[string]string{}
	index := "# Integrations\n\nWhat to paste into which stack, with the values of an example. `idp client snippet CLIENT_ID --stack STACK` fills in those of a client,\n" +
		"and says what is wrong with the client for the stack.\n\nThese pages are generated: `go test ./internal/snippets -run Pages -update`.\n"
	var use snippets.Use
	for _, name := range snippets.Stacks() {
		require.Contains(t, clients, name)
		s := snippetFor(t, name, clients[name])
		require.Empty(t, s.Problems, name)
		require.NotEmpty(t, s.Files, name)
		if s.Use != use {
			use = s.Use
			index += fmt.Sprintf("\n## %s\n\n| stack | | mind |\n|---|---|---|\n", use)
		}
		index += fmt.Sprintf("| [`%s`](%s.md) | %s | %s |\n", name, name, s.Title, s.Trap)
		page := fmt.Sprintf("# %s\n\n%s. Mind: %s\n", s.Title, s.Use, s.Trap)
		for _, f := range s.Files {
			require.NotContains(t, f.Text, "<no value>", name)
			require.True(t, strings.HasSuffix(f.Text, "\n"), f.Name)
			page += fmt.Sprintf("\n`%s`:\n\n```%s\n%s```\n", f.Name, f.Language, f.Text)
		}
		pages[name+".md"] = page
	}
	pages["README.md"] = index
	if *update {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for name, text := range pages {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
	}
	there, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, there, len(pages))
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got), "%s: write it anew with -update", name)
	}
}

// Every kind of client gets what suits it, and nothing else.
func TestEachKindGetsItsOwn(t *testing.T) {
	clients := fitting()
	names := func(c *idp.Client) (out []string) {
		for _, s := range snippets.For(issuer, c, apis()) {
			out = append(out, s.Stack)
		}
		return out
	}
	require.Equal(t, []string{"spa", "argocd", "curl"}, names(clients["spa"]))
	require.Equal(t, []string{"appauth-android", "appauth-ios", "kubernetes", "argocd", "curl"}, names(clients["appauth-ios"]))
	for _, name := range names(clients["service-go"]) {
		require.Regexp(t, "^(service|api)-", name)
	}
	for _, name := range names(clients["go"]) {
		require.NotRegexp(t, "^(service|api|appauth)-|^(spa|kubernetes)$", name)
	}
	require.Empty(t, names(&idp.Client{ClientID: "nothing"}))
}

// What does not fit is said, in a sentence that names what to change.
func TestProblemsAreTold(t *testing.T) {
	plain := func() *idp.Client { return web("https://wiki.example.com/callback") }
	for _, tt := range []struct {
		stack  string
		change func(*idp.Client)
		says   string
	}{
		{"authjs", nil, "/api/auth/callback/NAME"},
		{"grafana", nil, "/login/generic_oauth"},
		{"aspnet", nil, "client_secret_post, and the client is registered for client_secret_basic"},
		{"aspnet", func(c *idp.Client) { c.IDTokenSignedResponseAlg = "ES256" }, "expect RS256"},
		{"spring", func(c *idp.Client) { c.IDTokenSignedResponseAlg = "EdDSA" }, "set id_token_signed_response_alg"},
		{"spring", func(c *idp.Client) { c.Scope = "openid a${b}" }, "${"},
		{"django-mozilla", func(c *idp.Client) { c.UserinfoSignedResponseAlg = "RS256" }, "plain JSON"},
		{"gitea", nil, "pkce_optional"},
		{"grafana", nil, "scope lacks groups"},
		{"argocd", nil, "scope lacks groups"},
		{"oauth2-proxy", func(c *idp.Client) { c.Scope = "openid" }, "lacks email"},
		{"go", func(c *idp.Client) { c.Scope = "profile" }, "lacks openid"},
		{"go", func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthPrivateKeyJWT }, "private_key_jwt"},
		{"go", func(c *idp.Client) { c.IDTokenEncryptedResponseAlg = idp.AlgECDHES }, "encrypted"},
		{"go", func(c *idp.Client) { c.RequirePushedAuthorizationRequests = true }, "RFC 9126"},
		{"go", func(c *idp.Client) { c.RequireSignedRequestObject = true }, "RFC 9101"},
		{"go", func(c *idp.Client) { c.Disabled = true }, "disabled"},
		{"spa", func(c *idp.Client) { c.TokenEndpointAuthMethod = idp.AuthNone }, "lacks https://wiki.example.com"},
		{"kubernetes", func(c *idp.Client) { c.TokenEndpointAuthMethod, c.ApplicationType = idp.AuthNone, "native" }, "http://localhost:8000"},
		{"api-go", func(c *idp.Client) { c.Audience = []string{"https://files.example.com"} }, "introspect"},
		{"api-spring", func(c *idp.Client) { c.Audience, c.AccessTokenSigningAlg = []string{orders}, "EdDSA" }, "access_token_signing_alg"},
	} {
		c := plain()
		if tt.change != nil {
			tt.change(c)
		}
		require.Contains(t, strings.Join(snippetFor(t, tt.stack, c).Problems, "\n"), tt.says, tt.stack)
	}
	// Those that need no groups do without.
	for _, stack := range []string{"gitlab", "oauth2-proxy", "vault", "gitea", "nextcloud"} {
		s := snippetFor(t, stack, plain())
		require.NotContains(t, strings.Join(s.Problems, "\n"), "groups", stack)
		require.NotContains(t, s.Files[0].Text, "groups", stack)
	}
	// One that can push does.
	pushes := snippetFor(t, "express", changed(plain(), func(c *idp.Client) { c.RequirePushedAuthorizationRequests = true }))
	require.Empty(t, pushes.Problems)
	require.Contains(t, pushes.Files[0].Text, "buildAuthorizationUrlWithPAR")
}

// The right redirect URI is found among several, and says what the issuer is
// called there.
func TestTheRedirectURIThatFits(t *testing.T) {
	s := snippetFor(t, "authjs", web("https://wiki.example.com/other", "https://wiki.example.com/api/auth/callback/company"))
	require.Empty(t, s.Problems)
	require.Contains(t, s.Files[0].Text, `id: "company"`)
}

// A token is for one API: a client of two asks for the scopes of the first.
func TestScopesOfOneAPI(t *testing.T) {
	c := changed(web("https://wiki.example.com/callback"), func(c *idp.Client) {
		c.Scope, c.Audience = "openid orders:read files:read", []string{orders, "https://files.example.com"}
	})
	require.Contains(t, snippetFor(t, "express", c).Files[0].Text, `scope: "openid orders:read"`)
}

// Nobody comes out of a value, whatever the names of a client hold: neither to
// the next line nor to the language around it.
func TestHostileNamesStayValues(t *testing.T) {
	const evil = "x\"'`\\u000a\\\n\r\u2028#{puts 1}${A}$(id)`id`%0a?>*/ --></script>\u202e{{.}} \\(1)\\"
	for name, plain := range fitting() {
		hostile := *plain
		hostile.ClientName, hostile.ClientID = evil, evil
		hostile.Scope = "openid email " + strings.ReplaceAll(strings.Join(strings.Fields(evil), "_"), "\u2028", "_")
		if len(plain.Audience) > 0 {
			hostile.Audience = []string{"https://api.example.com/" + evil}
		}
		mild := *plain
		mild.ClientName, mild.ClientID, mild.Scope, mild.Audience = "x", "x", "openid email y", plain.Audience
		hostileID := "https://id.example.com/" + evil
		for i, file := range find(snippets.For(hostileID, &hostile, nil), name).Files {
			other := find(snippets.For(issuer, &mild, nil), name).Files[i]
			where := name + "/" + file.Name
			require.NotContains(t, file.Text, "\u202e", where)
			require.NotContains(t, file.Text, "\u2028", where)
			require.Equal(t, strings.Count(other.Text, "\n"), strings.Count(file.Text, "\n"), where)
			require.Equal(t, parts(t, other), parts(t, file), where)
			switch values := valuesIn(t, file); {
			case values == nil, !strings.Contains(other.Text, `"x"`):
			default:
				require.Contains(t, values, evil, where)
			}
		}
	}
}

func find(all []snippets.Snippet, stack string) snippets.Snippet {
	i := slices.IndexFunc(all, func(s snippets.Snippet) bool { return s.Stack == stack })
	return all[i]
}

// parts is a text with its values taken out, as its language reads them.
func parts(t *testing.T, f snippets.File) string {
	t.Helper()
	var out strings.Builder
	var quote rune
	for line := range strings.SplitSeq(f.Text, "\n") {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "//") {
			out.WriteString("comment\n")
			continue
		}
		escaped := false
		doubles := f.Language != "sh"
		for _, r := range line {
			switch {
			case escaped:
				escaped = false
			case r == '\\' && (quote == '"' || quote == '\'' && doubles):
				escaped = true
			case quote != 0 && r == quote:
				quote = 0
				out.WriteByte('_')
			case quote != 0:
			case r == '\'', r == '"' && doubles:
				quote = r
			case r == '\\' && !doubles: // an escaped quote between two words of a shell
				escaped = true
			default:
				out.WriteRune(r)
			}
		}
		if doubles { // only a shell's go on in the next line
			require.Zero(t, quote, "%s: an open quote in %s", f.Name, line)
		}
		out.WriteByte('\n')
	}
	require.Zero(t, quote, "%s: an open quote", f.Name)
	if f.Language == "sh" { // '…'\''…' is one word
		return strings.NewReplacer("__", "_").Replace(squeeze(out.String()))
	}
	return out.String()
}

func squeeze(s string) string {
	for strings.Contains(s, "__") {
		s = strings.ReplaceAll(s, "__", "_")
	}
	return s
}

// valuesIn returns the texts that the file's own parser finds; nil for languages
// that none is here for.
func valuesIn(t *testing.T, f snippets.File) []string {
	t.Helper()
	var found []string
	switch f.Language {
	case "yaml":
		var document any
		require.NoError(t, yaml.Unmarshal([]byte(f.Text), &document), f.Text)
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				for key, value := range v {
					found = append(found, key)
					walk(value)
				}
			case []any:
				for _, value := range v {
					walk(value)
				}
			case string:
				found = append(found, strings.TrimPrefix(v, "--oidc-client-id="), strings.ReplaceAll(v, "$$", "$"))
				var inner any
				if strings.Contains(v, "clientID:") && yaml.Unmarshal([]byte(v), &inner) == nil {
					walk(inner)
				}
			}
		}
		walk(document)
	case "go":
		file, err := parser.ParseFile(token.NewFileSet(), f.Name, f.Text, 0)
		require.NoError(t, err, f.Text)
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				found = append(found, text)
			}
			return true
		})
	case "javascript", "typescript", "python", "csharp", "java": // their texts are JSON's
		for rest := f.Text; ; {
			_, after, ok := strings.Cut(rest, `"`)
			if !ok {
				return found
			}
			decoder := json.NewDecoder(strings.NewReader(`"` + after))
			var text string
			if decoder.Decode(&text) == nil {
				found = append(found, text)
				after = after[decoder.InputOffset()-1:]
			}
			rest = after
		}
	case "sh":
		cmd := exec.CommandContext(t.Context(), "sh", "-n")
		cmd.Stdin = strings.NewReader(f.Text)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", out, f.Text)
	}
	return found
}

// The texts read what a parser can read, as they are for any client.
func TestTextsParse(t *testing.T) {
	for name, c := range fitting() {
		for _, f := range snippetFor(t, name, c).Files {
			valuesIn(t, f)
		}
	}
}
