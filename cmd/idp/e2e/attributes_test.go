package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const staffSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"properties": {
		"cost_center": {"type": "string", "title": "Cost center", "x-idp-title": {"de": "Kostenstelle"}, "x-idp-claim": "cost_center"},
		"badge": {"type": "integer", "x-idp-claim": "https://example.com/badge", "x-idp-scope": "email"},
		"salary": {"type": "number"},
		"rank": {"type": "string", "x-idp-claim": "rank", "x-idp-scope": "hr"},
		"desk": {"type": "string", "pattern": "^[0-9]\\.[0-9]{2}$", "x-idp-edit": "person", "x-idp-claim": "desk"},
		"warden": {"type": "boolean", "x-idp-edit": "person"}
	}
}`

// Attributes of a schema become claims where their scope is granted, people
// change those that they may and no others, and another schema takes nothing
// away that is there.
func TestAttributes(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		schema := filepath.Join(t.TempDir(), "attributes.json")
		if err := os.WriteFile(schema, []byte(staffSchema), 0o600); err != nil {
			t.Fatal(err)
		}
		inst := Install(t, engine, map[string]string{"IDP_ACCOUNTS_ATTRIBUTES_SCHEMA": schema})
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--attribute", "cost_center=4711", "--attribute", "badge=12345678901234567890", "--attribute", "salary=1", "--attribute", "rank=major")
		app := inst.WebClient(t)
		node := inst.Start(t)

		supported, _ := node.document(t, "/.well-known/openid-configuration").JSON(t)["claims_supported"].([]any)
		for _, claim := range []any{"cost_center", "https://example.com/badge", "desk"} {
			if !slices.Contains(supported, claim) {
				t.Errorf("claims_supported lacks %s: %v", claim, supported)
			}
		}

		// Claims follow scopes, or are asked for by name as far as scopes allow.
		b := node.NewBrowser(t)
		info := node.Userinfo(t, b.tokens(t, app, alice, "scope", "openid profile").Access)
		if got := info.JSON(t); got["cost_center"] != "4711" || got["https://example.com/badge"] != nil || got["salary"] != nil || got["rank"] != nil {
			t.Errorf("userinfo with profile: %v", got)
		}
		info = node.Userinfo(t, b.tokens(t, app, alice, "scope", "openid email").Access)
		if !strings.Contains(info.Body, `"https://example.com/badge":12345678901234567890`) || info.JSON(t)["cost_center"] != nil {
			t.Errorf("userinfo with email: %s", info.Body)
		}
		id := node.Verify(t, b.tokens(t, app, alice, "scope", "openid", "claims", `{"id_token":{"cost_center":null,"rank":null,"salary":null}}`).ID, "JWT", "RS256")
		if id["cost_center"] != "4711" || id["rank"] != nil || id["salary"] != nil {
			t.Errorf("ID token: %v", id)
		}

		// The person's own page.
		page := b.Get(t, "/account")
		form := page.Form(t, "profile-form")
		if !strings.Contains(page.Body, "Cost center") || form.Fields.Has("attributes.cost_center") || !form.Fields.Has("attributes.desk") {
			t.Errorf("the profile:\n%s", page.Body)
		}
		refused := b.Submit(t, page, form, url.Values{"attributes.desk": {"in the attic"}})
		if refused.Status != http.StatusUnprocessableEntity || !strings.Contains(refused.Body, `value="in the attic"`) || !strings.Contains(refused.Body, `aria-invalid="true"`) {
			t.Errorf("a desk that is none: status %d\n%s", refused.Status, refused.Body)
		}
		page = b.Submit(t, page, form, url.Values{
			"attributes.desk": {"4.12"}, "attributes.warden": {"true"}, "attributes.cost_center": {"1"}, "attributes.badge": {"1"}, "attributes.nothing": {"1"},
		})
		wantAccount(t, page, "saved")
		var stored struct {
			Attributes map[string]any `json:"attributes"`
			Faults     []string       `json:"attribute_faults"`
		}
		inst.JSON(t, &stored, "", "user", "get", alice.Username)
		if a := stored.Attributes; a["desk"] != "4.12" || a["warden"] != true || a["cost_center"] != "4711" || len(a) != 6 || len(stored.Faults) != 0 {
			t.Errorf("stored: %v", stored)
		}
		if export := b.act(t, "/account/data", "export", "", nil); !strings.Contains(export.Body, `"desk": "4.12"`) {
			t.Errorf("the export: %s", export.Body)
		}

		// Another schema: what fits no more stays and is told of, the person still
		// signs in and changes the rest.
		narrower := strings.Replace(strings.Replace(staffSchema, "{2}$", "{3}$", 1), `"cost_center"}`, `"cost_centre"}`, 1)
		if err := os.WriteFile(schema, []byte(narrower), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(node.PID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another claim", []*Node{node}, func(n *Node) bool {
			return strings.Contains(n.document(t, "/.well-known/openid-configuration").Body, `"cost_centre"`)
		})
		if got := node.Userinfo(t, b.tokens(t, app, alice, "scope", "openid profile").Access).JSON(t); got["cost_centre"] != "4711" || got["desk"] != "4.12" {
			t.Errorf("userinfo after the change: %v", got)
		}
		page = b.Get(t, "/account")
		wantAccount(t, b.Submit(t, page, page.Form(t, "profile-form"), url.Values{"attributes.warden": {""}, "name": {"Alice"}}), "saved")
		stored.Attributes, stored.Faults = nil, nil
		inst.JSON(t, &stored, "", "user", "get", alice.Username)
		if stored.Attributes["desk"] != "4.12" || stored.Attributes["warden"] != nil || len(stored.Faults) != 1 || !strings.HasPrefix(stored.Faults[0], "attributes.desk: ") {
			t.Errorf("stored after the change: %v", stored)
		}
	})
}
