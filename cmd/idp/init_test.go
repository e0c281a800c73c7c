package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"idp/docs"
	"idp/internal/store/storetest"
)

// TestCommentedConfigHoldsEveryDefault uncomments what idp init writes: it is
// every key there is, and changes nothing.
func TestCommentedConfigHoldsEveryDefault(t *testing.T) {
	t.Parallel()
	text, err := commentedConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := regexp.MustCompile(`(?m)^ *#[a-z_]+: (""|\[\])\n`)
	uncommented := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAllString(empty.ReplaceAllString(string(text), ""), "$1$2")
	cfg, err := loadConfig(sources{File: writeConfig(t, uncommented)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaultConfig(), *cfg); diff != "" {
		t.Error(diff)
	}
	for _, key := range newLoader().order {
		name := key[strings.LastIndexByte(key, '.')+1:]
		if !strings.Contains(string(text), "#"+name+": ") {
			t.Errorf("%s is not in the file", key)
		}
	}
}

// TestEveryKeyIsDocumented holds configuration.md to what there is.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	said := docs.Settings()
	known := newLoader().fields
	for key := range known {
		// The _file twin of a secret stands in the row of the secret, as a variable.
		if secret, twin := strings.CutSuffix(key, "_file"); twin {
			if _, isSecret := known[secret]; isSecret {
				continue
			}
		}
		if _, ok := said[key]; !ok {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
	}
	for key := range said {
		if _, ok := known[key]; !ok && !strings.ContainsAny(key, " <") {
			t.Errorf("docs/configuration.md has a row for %s, which is no key", key)
		}
	}
}

// TestInitAndServe goes from an empty directory to a server on PostgreSQL, with
// the lines that idp init prints.
func TestInitAndServe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "idp of ours")
	code, out, stderr := command(t, nil, storetest.Postgres(t)+"\n", "init", dir, "--issuer", "https://id.example.com", "--database-url-stdin")
	if code != exitOK || !strings.Contains(out, "export IDP_CONFIG='"+dir+"/idp.yaml'\n  idp config check\n") {
		t.Fatalf("exit %d, %s%s", code, out, stderr)
	}
	for name, want := range map[string]os.FileMode{"idp.yaml": 0o644, "master.key": 0o600, "database_url": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, want mode %o: %v", name, info, want, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "idp.yaml")); err != nil || strings.Contains(string(text), "postgres://idp") {
		t.Errorf("the configuration holds a secret: %v", err)
	}
	env := []string{"IDP_CONFIG=" + filepath.Join(dir, "idp.yaml")}
	if code, _, stderr := command(t, env, "", "config", "check"); code != exitOK {
		t.Fatalf("idp config check: exit %d, %s", code, stderr)
	}
	_, stop := startServe(t, append(env, "IDP_LISTEN=127.0.0.1:0", "IDP_MANAGEMENT_LISTEN=off")...)
	if code := stop(); code != exitOK {
		t.Errorf("idp serve: exit %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "idp-data")); !os.IsNotExist(err) {
		t.Errorf("a data directory was made beside PostgreSQL: %v", err)
	}
}
