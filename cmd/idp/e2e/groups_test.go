package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The scope groups tells an application the names of the person's groups, in the
// ID token and at userinfo, and nothing else does.
func TestGroupsClaim(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice, many := User{Username: unique("user"), Password: Token()}, User{Username: unique("user"), Password: Token()}
		orders := inst.NewResource(t, []string{"orders:read"}, "--claim", "groups")
		const scope = "openid profile groups offline_access orders:read"
		app := inst.WebClient(t, "--scope", scope, "--audience", orders)
		narrow := inst.WebClient(t)
		// Forty such names do not fit into a token.
		name := func(i int) string { return fmt.Sprintf("department-of-%02d-%s", i, strings.Repeat("x", 64)) }
		var declared strings.Builder
		declared.WriteString("groups:\n")
		var all []string
		for i := range 40 {
			all = append(all, name(i))
			fmt.Fprintf(&declared, "  - name: %s\n", name(i))
		}
		declared.WriteString("users:\n")
		for _, u := range []struct {
			User
			groups []string
		}{{alice, []string{name(7), name(3)}}, {many, all}} {
			password := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(password, []byte(u.Password), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&declared, "  - username: %s\n    password_file: %s\n    groups: [%s]\n", u.Username, password, strings.Join(u.groups, ", "))
		}
		inst.CLI(t, declared.String(), "apply", "-f", "-")
		node := inst.Start(t)

		metadata := node.document(t, "/.well-known/openid-configuration").JSON(t)
		for _, list := range []string{"scopes_supported", "claims_supported"} {
			if supported, _ := metadata[list].([]any); !slices.Contains(supported, any("groups")) {
				t.Errorf("%s lacks groups: %v", list, supported)
			}
		}

		want := func(t *testing.T, what string, claims map[string]any, groups any) {
			t.Helper()
			if got := claims["groups"]; !reflect.DeepEqual(got, groups) {
				t.Errorf("%s: groups %v, want %v", what, got, groups)
			}
		}
		id := func(tokens Tokens) map[string]any { return node.Verify(t, tokens.ID, "JWT", "RS256") }
		b := node.NewBrowser(t)
		sorted := []any{name(3), name(7)}

		tokens := b.tokens(t, app, alice, "scope", scope)
		want(t, "ID token", id(tokens), sorted)
		want(t, "userinfo", node.Userinfo(t, tokens.Access).JSON(t), sorted)
		want(t, "access token", node.Verify(t, tokens.Access, "at+jwt", "ES256"), sorted)

		// Who leaves a group is out of it at the next answer, and an empty list says
		// that there is none.
		for _, left := range []string{name(3), name(7)} {
			inst.CLI(t, "", "group", "remove-member", left, alice.Username)
		}
		refreshed := node.Refresh(t, app, tokens.Refresh).Tokens(t)
		want(t, "ID token of a refresh", id(refreshed), []any{})
		want(t, "userinfo", node.Userinfo(t, tokens.Access).JSON(t), []any{})
		// A refresh for less gets less.
		less := node.Refresh(t, app, refreshed.Refresh, "scope", "openid profile").Tokens(t)
		want(t, "ID token without the scope", id(less), nil)
		want(t, "userinfo without the scope", node.Userinfo(t, less.Access).JSON(t), nil)
		inst.CLI(t, "", "group", "add-member", name(3), alice.Username)

		// Without the scope there are none, by whatever name they are asked for.
		tokens = b.tokens(t, app, alice, "scope", "openid profile")
		want(t, "ID token without the scope", id(tokens), nil)
		want(t, "userinfo without the scope", node.Userinfo(t, tokens.Access).JSON(t), nil)
		const asked = `{"id_token":{"groups":null},"userinfo":{"groups":{"essential":true}}}`
		tokens = b.tokens(t, narrow, alice, "scope", "openid", "claims", asked)
		want(t, "ID token of a client without the scope", id(tokens), nil)
		want(t, "userinfo of a client without the scope", node.Userinfo(t, tokens.Access).JSON(t), nil)
		refused := b.Get(t, "/oauth2/auth?"+narrow.Request(NewPKCE(), "scope", "openid groups").Encode())
		if back, err := url.Parse(refused.Header.Get("Location")); err != nil || back.Query().Get("error") != "invalid_scope" {
			t.Errorf("a client without the scope: %s %v", refused.Header.Get("Location"), err)
		}
		// One that may ask for the scope may ask for the claim, and the person is
		// asked as for the scope.
		tokens = b.tokens(t, app, alice, "scope", "openid", "claims", `{"id_token":{"groups":null}}`)
		want(t, "ID token", id(tokens), []any{name(3)})
		want(t, "userinfo", node.Userinfo(t, tokens.Access).JSON(t), nil)
		fresh := node.NewBrowser(t)
		page := fresh.Get(t, "/oauth2/auth?"+app.Request(NewPKCE(), "scope", "openid", "claims", `{"userinfo":{"groups":null}}`).Encode())
		page = fresh.Login(t, page, many.Username, many.Password)
		if !page.HasID("consent-form") || !strings.Contains(page.Body, "which groups you are in") {
			t.Errorf("the consent page does not speak of groups:\n%s", page.Body)
		}

		// More than a token can carry is left to userinfo, as a whole.
		tokens = fresh.tokens(t, app, many, "scope", scope)
		want(t, "ID token of somebody in many groups", id(tokens), nil)
		want(t, "access token of somebody in many groups", node.Verify(t, tokens.Access, "at+jwt", "ES256"), nil)
		if told, _ := node.Userinfo(t, tokens.Access).JSON(t)["groups"].([]any); len(told) != len(all) {
			t.Errorf("userinfo tells %d groups, want %d", len(told), len(all))
		}
	})
}
