package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var updateReference = flag.Bool("update-reference", false, "write docs/reference anew")

const howToUpdate = "This page is generated: `go test ./cmd/idp -run Reference -update-reference`.\n\n"

func reference(t *testing.T, name string, page *bytes.Buffer) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "reference", name)
	if *updateReference {
		require.NoError(t, os.WriteFile(path, page.Bytes(), 0o644))
	}
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	if string(written) != page.String() { // long pages: what differs, git diff shows better
		t.Errorf("docs/reference/%s is not what the program says: generate it anew with -update-reference", name)
	}
}

// The reference of the commands says what the commands say of themselves.
func TestReferenceOfCommands(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# Commands\n\nWhat each command says with `--help`. Exit codes are on the page of [errors](errors.md#exit-codes).\n\n" + howToUpdate)
	root := (&app{}).root()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		if c.Runnable() || c == root {
			describeCommand(&page, c)
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
	reference(t, "commands.md", &page)
}

func describeCommand(page *bytes.Buffer, c *cobra.Command) {
	fmt.Fprintf(page, "## `%s`\n\n", c.CommandPath())
	fmt.Fprintf(page, "%s\n\n", cmp.Or(c.Long, c.Short))
	if c.Runnable() {
		fmt.Fprintf(page, "    %s\n\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(page, "Examples:\n\n```sh\n%s\n```\n\n", strings.Trim(regexp.MustCompile(`(?m)^  `).ReplaceAllString(c.Example, ""), "\n"))
	}
	flags := c.NonInheritedFlags()
	if !flags.HasAvailableFlags() {
		return
	}
	page.WriteString("| flag | | |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default `" + f.DefValue + "`)"
		}
		fmt.Fprintf(page, "| %s | %s | %s |\n", name, kind, strings.ReplaceAll(usage, "|", `\|`))
	})
	page.WriteString("\n")
}

// The reference of the events has a sentence for each of them.
func TestReferenceOfEvents(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "internal", "idp", "event.go"), nil, parser.ParseComments)
	require.NoError(t, err)
	var page bytes.Buffer
	page.WriteString("# Audit events\n\nTheir names stay. [What is done with them](../audit.md) has a page of its own.\n\n" + howToUpdate + "| event | |\n|---|---|\n")
	var rows []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Event") {
			return true
		}
		name := unquoted(spec.Values[0])
		require.NotEmpty(t, spec.Comment.Text(), "a sentence about %s", name)
		rows = append(rows, fmt.Sprintf("| <a id=\"%s\"></a>`%s` | %s |\n", name, name, sentence(spec.Comment.Text())))
		return false
	})
	require.NotEmpty(t, rows)
	page.WriteString(strings.Join(rows, ""))
	reference(t, "events.md", &page)
}

func sentence(s string) string {
	s = strings.TrimSpace(s)
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

func unquoted(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

// wording is what an expression says; what is known at run time alone is "…".
func wording(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return unquoted(e)
	case *ast.BinaryExpr:
		return wording(e.X) + wording(e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return regexp.MustCompile(`%[a-z]`).ReplaceAllString(unquoted(e.Args[0]), "…")
		}
	}
	return "…"
}

// said maps the codes of errors to the texts that the package says with them.
// makers are the functions that make errors: a code, or "" for their first or
// second argument, whichever the text follows.
func said(t *testing.T, pkg string, makers map[string]string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	files, err := filepath.Glob(filepath.Join("..", "..", "internal", pkg, "*.go"))
	require.NoError(t, err)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, ok := call.Fun.(*ast.Ident)
			if !ok {
				return true
			}
			code, ok := makers[name.Name]
			if !ok {
				return true
			}
			var words []string
			for _, a := range call.Args {
				words = append(words, wording(a))
			}
			text := words[len(words)-1]
			switch {
			case code == "" && len(words) >= 2:
				code = words[len(words)-2]
			case len(words) == 2: // a member, and what is wrong with it
				text = words[0] + " " + text
			}
			if code == "…" || code == "" || strings.Trim(text, "… ") == "" {
				return true
			}
			if !slices.Contains(all[code], text) {
				all[code] = append(all[code], text)
			}
			return true
		})
	}
	require.NotEmpty(t, all, pkg)
	return all
}

// meaning is what a code means to those who get it.
type meaning struct{ What, Do, Source string }

// The reference of the errors has every code, what it means and what to do, and
// every text that comes with it, each with an address of its own.
func TestReferenceOfErrors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "errors.yaml"))
	require.NoError(t, err)
	var meanings struct {
		OAuth, Registration, Admin map[string]meaning
		Exit                       map[int]meaning
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&meanings))

	var page bytes.Buffer
	page.WriteString("# Errors\n\nEvery code and every text that comes with it, each with an address that stays.\n" +
		"Each answer carries `X-Request-Id`, and each page shows it: [what was decided and why](../explain.md) is found by it.\n\n" + howToUpdate)
	for _, part := range []struct {
		title, intro, prefix string
		said                 map[string][]string
		means                map[string]meaning
	}{
		{
			"OAuth and OpenID Connect", "`error` and `error_description` of the token endpoint and its neighbours, of the redirect back to an application, and of the page that is shown when there is nowhere to redirect to.", "",
			said(t, "grants", map[string]string{
				"invalidRequest": "invalid_request", "invalidGrant": "invalid_grant", "invalidScope": "invalid_scope", "invalidTarget": "invalid_target",
				"unauthorizedClient": "unauthorized_client", "accessDenied": "access_denied", "oauthError": "",
			}), meanings.OAuth,
		},
		{"Registration", "`error` of `/oauth2/register`.", "registration-", said(t, "registration", map[string]string{"invalidMetadata": "invalid_client_metadata"}), meanings.Registration},
		{"Admin API", "`code` of the problem documents of `/admin/…` (RFC 9457).", "admin-", said(t, "adminapi", map[string]string{"newProblem": "", "invalid": "invalid_request", "invalidMember": "invalid_input"}), meanings.Admin},
	} {
		fmt.Fprintf(&page, "## %s\n\n%s\n\n", part.title, part.intro)
		for _, code := range slices.Sorted(maps.Keys(part.means)) {
			m := part.means[code]
			require.NotEmpty(t, m.What, code)
			fmt.Fprintf(&page, "<a id=\"%s%s\"></a>\n### `%s`\n\n%s", part.prefix, code, code, m.What)
			if m.Do != "" {
				page.WriteString(" **What to do:** " + m.Do)
			}
			if m.Source != "" {
				page.WriteString(" (" + m.Source + ")")
			}
			page.WriteString("\n\n")
			slices.Sort(part.said[code])
			for _, text := range part.said[code] {
				fmt.Fprintf(&page, "* <a id=\"%s%s--%s\"></a>%s\n", part.prefix, code, slug(text), text)
			}
			if len(part.said[code]) > 0 {
				page.WriteString("\n")
			}
		}
		for code := range part.said {
			require.Contains(t, part.means, code, "what does it mean? testdata/errors.yaml")
		}
	}
	page.WriteString("## Exit codes\n\n| code | | |\n|---|---|---|\n")
	for _, code := range slices.Sorted(maps.Keys(meanings.Exit)) {
		fmt.Fprintf(&page, "| <a id=\"exit-%d\"></a>%d | %s | %s |\n", code, code, meanings.Exit[code].What, meanings.Exit[code].Do)
	}
	for _, code := range []int{exitOK, exitFailure, exitUsage, exitUnavailable, exitTryAgain, exitConfiguration} {
		require.Contains(t, meanings.Exit, code)
	}
	reference(t, "errors.md", &page)
}

func slug(s string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(s), "-"), "-")
}

// The reference of the admin API lists what its description describes.
func TestReferenceOfTheAdminAPI(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "internal", "adminapi", "openapi.yaml"))
	require.NoError(t, err)
	var description struct {
		Paths map[string]map[string]yaml.Node
	}
	require.NoError(t, yaml.Unmarshal(raw, &description))
	var page bytes.Buffer
	page.WriteString("# Admin API: operations\n\nFrom [openapi.yaml](../../internal/adminapi/openapi.yaml), which a server answers at `/admin/openapi.yaml` with all members, bounds and examples.\n" +
		"[How it is used](../admin-api.md) has a page of its own.\n\n" + howToUpdate + "| | | | scopes, any of |\n|---|---|---|---|\n")
	for _, path := range slices.Sorted(maps.Keys(description.Paths)) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			node, ok := description.Paths[path][method]
			if !ok {
				continue
			}
			var operation struct {
				Summary  string
				Security []map[string][]string
			}
			require.NoError(t, node.Decode(&operation))
			require.NotEmpty(t, operation.Summary, "%s %s", method, path)
			var scopes []string
			for _, way := range operation.Security {
				for _, list := range way {
					scopes = append(scopes, list...)
				}
			}
			cell := "none needed"
			if len(scopes) > 0 {
				cell = "`" + strings.Join(scopes, "`, `") + "`"
			}
			fmt.Fprintf(&page, "| `%s` | `%s` | %s | %s |\n", strings.ToUpper(method), path, operation.Summary, cell)
		}
	}
	reference(t, "admin-api.md", &page)
}

// A link in the documentation leads somewhere, to the very heading.
func TestDocumentationLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	anchors := func(path string) map[string]bool {
		found := map[string]bool{}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
			s := strings.ToLower(strings.NewReplacer("`", "", "*", "").Replace(heading[1]))
			s = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(s, "")
			found[strings.ReplaceAll(s, " ", "-")] = true
		}
		for _, a := range regexp.MustCompile(`<a id="([^"]+)">`).FindAllStringSubmatch(string(text), -1) {
			found[a[1]] = true
		}
		return found
	}
	var pages []string
	for _, top := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".md" {
				pages = append(pages, path)
			}
			return err
		})
		require.NoError(t, err)
	}
	require.Greater(t, len(pages), 5)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		bare := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`").ReplaceAllString(string(text), "")
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(bare, -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, ":") {
				continue // elsewhere in the world
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s leads to %s, which is not there", page, link[1])
				continue
			}
			if anchor != "" && filepath.Ext(path) == ".md" && !anchors(path)[anchor] {
				t.Errorf("%s leads to %s, where no heading is called so", page, link[1])
			}
		}
	}
}
