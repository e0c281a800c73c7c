package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// configured is an installation with a configuration file that declares objects.
func configured(t *testing.T, inst *Installation, objects string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "idp.yaml")
	text := "log:\n  format: json\nbootstrap:\n" + strings.ReplaceAll(strings.TrimSuffix(objects, "\n"), "\n", "\n  ") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inst.env["IDP_CONFIG"] = path
}

// TestBootstrap starts with what the configuration declares: once, however many
// nodes start, and never again over what somebody changed.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		d := declare(t)
		path := filepath.Join(d.directory, "SHOP")
		shop := Client{ID: "shop", Secret: Token(), RedirectURI: "https://app.example/cb"}
		if err := os.WriteFile(path, []byte(shop.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		configured(t, inst, strings.Replace(d.text, "client_name: Shop", "client_name: Shop\n    client_secret_file: "+path, 1))
		nodes := []*Node{inst.Launch(t, nil)}
		if engine == "postgres" {
			for range 2 { // where nobody can be before them
				nodes = append(nodes, inst.Launch(t, map[string]string{"IDP_LISTEN": "127.0.0.1:" + FreePort(t)}))
			}
		}
		for _, n := range nodes {
			n.WaitReady(t)
		}
		tokens := nodes[0].SignIn(t, shop, d.alice, "scope", "openid offline_access orders:read")
		if sub := nodes[0].Verify(t, tokens.ID, "JWT", "RS256")["sub"]; sub != d.alice.Sub {
			t.Errorf("sub %v", sub)
		}
		var events []struct {
			Kind   string
			Detail map[string]string
		}
		out := inst.CLI(t, "", "audit", "list", "-o", "json", "--limit", "500")
		if err := json.Unmarshal([]byte(out), &events); err != nil {
			t.Fatal(err, out)
		}
		made := 0
		for _, e := range events {
			if e.Kind == "client.created" && e.Detail["actor"] == "bootstrap" {
				made++
			}
		}
		if made != 2 {
			t.Errorf("%d clients were made, want 2\n%s", made, out)
		}
		for _, n := range nodes {
			n.Stop(t)
		}

		inst.CLI(t, "", "client", "update", "shop", "--name", "Renamed")
		inst.CLI(t, "", "client", "delete", "batch")
		before := inst.lines(t)
		node := inst.Start(t)
		if a := node.Post(t, "/oauth2/token", Client{ID: "batch", Secret: d.secret}, url.Values{"grant_type": {"client_credentials"}}); a.Status != http.StatusOK {
			t.Errorf("what is missing is not made again: %s", a.Body)
		}
		after := inst.lines(t)
		for _, line := range before {
			if strings.Contains(line, "Renamed") && !slices.Contains(after, line) {
				t.Errorf("what was changed is changed back: %s", line)
			}
		}
	})
}

// TestBootstrapRefuses ends the start with every fault and its line, and makes
// nothing.
func TestBootstrapRefuses(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		d := declare(t)
		for name, c := range map[string]struct {
			text  string
			check int // what idp config check exits with
			want  []string
		}{
			"a secret for nobody": {d.text, 0, []string{"idp.yaml:23: bootstrap: client shop: client_secret_file: is missing"}},
			"unknown fields": {strings.NewReplacer("client_name", "client_nme", "description", "about").Replace(d.text), 78, []string{
				"idp.yaml:7: bootstrap: group staff: about: is no field", "idp.yaml:24: bootstrap: client shop: client_nme: is no field",
			}},
			"a wild redirection": {strings.Replace(d.text, "https://app.example/cb", "http://app.example/cb", 1), 0, []string{"idp.yaml:25: bootstrap: client shop: redirect_uris: "}},
			"no section":         {d.text + "colours: []\n", 78, []string{"bootstrap: colours: is no section"}},
		} {
			configured(t, inst, c.text)
			_, stderr, code := inst.Try(t, "", "serve")
			if code != 78 {
				t.Errorf("%s: exit %d, %s", name, code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%s: %q is missing in:\n%s", name, want, stderr)
				}
			}
			if _, stderr, code := inst.Try(t, "", "config", "check"); code != c.check {
				t.Errorf("%s: config check: exit %d, %s", name, code, stderr)
			}
			if left := inst.lines(t); len(left) > 0 {
				t.Fatalf("%s: something was made: %s", name, left)
			}
		}
	})
}
