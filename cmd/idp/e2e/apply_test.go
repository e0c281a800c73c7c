package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const declaredObjects = `
groups:
  - name: staff
    description: Everybody
  - name: buyers
resources:
  - audience: https://orders.example
    name: Orders
    scopes:
      - name: orders:read
      - {name: orders:write, requires_role: true}
    claims: [roles]
roles:
  - name: buyer
    scopes:
      - {audience: https://orders.example, scope: orders:write}
      - {audience: https://orders.example, scope: orders:read}
    groups: [buyers]
clients:
  - client_id: shop
    client_name: Shop
    redirect_uris: [https://app.example/cb]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile offline_access orders:read
    audience: [https://orders.example]
    allowed_groups: [staff]
    skip_consent: true
    jwks:
      keys:
        - {kty: EC, kid: b, crv: P-256, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}
  - client_id: batch
    client_secret_file: SECRET
    grant_types: [client_credentials]
    audience: [https://orders.example]
    scope: orders:read
sign_in_rules:
  - {name: buying, groups: [buyers], clients: [shop], max_age: 3600}
users:
  - username: alice
    sub: alice-of-old
    name: Alice Example
    email: alice@example.com
    email_verified: true
    password_file: PASSWORD
    groups: [staff, buyers]
    roles: [buyer]
`

// declaration is a document with the secrets that it names.
type declaration struct {
	directory, text, secret string
	alice                   User
}

func declare(t *testing.T) declaration {
	t.Helper()
	d := declaration{directory: t.TempDir(), secret: Token(), alice: User{Username: "alice", Password: "correct horse battery", Sub: "alice-of-old"}}
	d.text = declaredObjects
	for name, content := range map[string]string{"SECRET": d.secret, "PASSWORD": d.alice.Password} {
		path := filepath.Join(d.directory, name)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.text = strings.Replace(d.text, name, path, 1)
	}
	return d
}

// TestApply brings an installation to what a document declares: shown first,
// done whole, and done once.
func TestApply(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		d := declare(t)
		inst.CLI(t, "", "migrate", "up")

		plan := inst.CLI(t, d.text, "apply", "-f", "-", "--dry-run")
		if !strings.Contains(plan, "+   client shop") || !strings.Contains(plan, "Nothing was changed") || len(inst.lines(t)) > 0 {
			t.Errorf("the plan: %s\n%s", plan, inst.lines(t))
		}
		secrets := filepath.Join(d.directory, "secrets")
		out := inst.CLI(t, d.text, "apply", "-f", "-", "--secrets-to", secrets)
		raw, err := os.ReadFile(filepath.Join(secrets, "shop"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(secrets, "shop"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file of a secret: %v, %v", info, err)
		}
		shop := Client{ID: "shop", Secret: strings.TrimSpace(string(raw)), RedirectURI: "https://app.example/cb"}
		if files, _ := os.ReadDir(secrets); len(files) != 1 || strings.Contains(out, shop.Secret) || strings.Contains(out, d.secret) {
			t.Errorf("secrets: %v\n%s", files, out)
		}
		before := inst.lines(t)
		if out := inst.CLI(t, d.text, "apply", "-f", "-", "--prune"); out != "There is nothing to change.\n" || !slices.Equal(inst.lines(t), before) {
			t.Errorf("a second time: %s", out)
		}

		node := inst.Start(t)
		if a := node.Post(t, "/oauth2/token", Client{ID: "batch", Secret: d.secret}, url.Values{"grant_type": {"client_credentials"}}); a.Status != http.StatusOK {
			t.Errorf("the service: %s", a.Body)
		}
		tokens := node.SignIn(t, shop, d.alice, "scope", "openid offline_access orders:read")
		if sub := node.Verify(t, tokens.ID, "JWT", "RS256")["sub"]; sub != d.alice.Sub {
			t.Errorf("sub %v", sub)
		}

		// Whoever takes a scope away takes it from all that name it.
		changed := strings.NewReplacer("orders:write", "orders:change", "Everybody", "All", "client_name: Shop", "client_name: The shop").Replace(d.text)
		changed = changed[:strings.Index(changed, "  - client_id: batch")] + changed[strings.Index(changed, "sign_in_rules"):]
		out = inst.CLI(t, changed, "apply", "-f", "-", "--prune", "-o", "json")
		var rows []struct {
			Result, Kind, Name string
			Fields             []struct{ Field, Before, After any }
		}
		if err := json.Unmarshal([]byte(out), &rows); err != nil {
			t.Fatal(err, out)
		}
		var done []string
		for _, r := range rows {
			fields := ""
			for _, f := range r.Fields {
				fields += " " + f.Field.(string)
			}
			done = append(done, r.Result+" "+r.Kind+" "+r.Name+fields)
		}
		want := []string{
			"updated group staff description", "updated resource https://orders.example scopes", "updated role buyer scopes",
			"updated client shop client_name", "deleted client batch",
		}
		if !slices.Equal(done, want) {
			t.Errorf("changed: %q, want %q", done, want)
		}
		if out := inst.CLI(t, changed, "apply", "-f", "-", "--prune"); out != "There is nothing to change.\n" {
			t.Errorf("after the change: %s", out)
		}
	})
}

// TestApplyRefuses changes nothing when anything is wrong, and says of all faults
// together which line each is on.
func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		d := declare(t)
		inst.CLI(t, "", "migrate", "up")
		before := inst.lines(t)
		secrets := filepath.Join(d.directory, "secrets")
		last := d.text + "  - username: alice2\n    email: alice@example.com\n    email_verified: true\n" // of which only the database knows
		lines := strings.Count(last, "\n")
		for name, c := range map[string]struct {
			text string
			want []string
		}{
			"the last object": {last, []string{"-:" + strconv.Itoa(lines-2) + ": user alice2: "}},
			"many faults": {strings.NewReplacer("client_name", "client_nme", "[https://app.example/cb]", "\n      - https://app.example/cb\n      - http://app.example/*",
				"max_age: 3600", "max_age: soon", "name: orders:read", "name: openid").Replace(d.text), []string{
				": client shop: client_nme: is no field of a client", `: client shop: redirect_uris: "http://app.example/*": `,
				": sign-in rule buying: max_age: must be a whole number", ": resource https://orders.example: scopes: openid belongs to the issuer",
			}},
			"a subject twice":     {d.text + "  - username: bob\n    sub: alice-of-old\n", []string{": user bob: sub: is there twice, first at -:"}},
			"a thing twice":       {d.text + "  - username: alice\n", []string{"is there twice, first at -:"}},
			"an unknown section":  {d.text + "colours: [red]\n", []string{": colours: is no section"}},
			"what nobody may set": {strings.Replace(d.text, "client_name: Shop", "self_registered: true", 1), []string{": client shop: self_registered: is not to be set"}},
			"no YAML":             {"clients: [", []string{"-:1: is not YAML"}},
			"two documents":       {d.text + "---\ngroups: []\n", []string{"one document is allowed"}},
			"an admin scope":      {strings.ReplaceAll(d.text, "orders:read", "idp.admin"), []string{"names that begin with idp. belong to the admin API"}},
		} {
			stdout, stderr, code := inst.Try(t, c.text, "apply", "-f", "-", "--secrets-to", secrets)
			if code != 1 || !strings.Contains(stderr, "nothing was changed") || stdout != "" {
				t.Errorf("%s: exit %d, %s%s", name, code, stdout, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%s: %q is missing in:\n%s", name, want, stderr)
				}
			}
			if strings.Contains(stderr, d.secret) || strings.Contains(stderr, d.alice.Password) {
				t.Errorf("%s: a secret is shown", name)
			}
		}
		if got := inst.lines(t); !slices.Equal(got, before) {
			t.Errorf("something was changed: %s", got)
		}
		if files, err := os.ReadDir(secrets); len(files) > 0 {
			t.Errorf("secrets of clients that are not there: %v, %v", files, err)
		}
	})
}
