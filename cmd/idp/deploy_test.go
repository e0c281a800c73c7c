package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"idp/internal/tokens"
)

// What we ship to run idp with configures it without a fault: a key that is
// renamed, or a secret that is, shows here.
func TestShippedConfigurations(t *testing.T) {
	t.Parallel()
	shipped := func(path string) []byte {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	credentials := t.TempDir()
	secrets := map[string]string{"master_key": tokens.GenerateMasterKey(), "database_url": "postgres://idp:secret@db/idp"}
	for name, secret := range secrets {
		if err := os.WriteFile(filepath.Join(credentials, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(from, text string, env ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "idp.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(sources{File: file, Env: env, NeedIssuer: true})
		if err != nil {
			t.Errorf("%s: %v", from, err)
		} else if cfg.Embedded() || cfg.MasterKey == "" && cfg.MasterKeyFile == "" {
			t.Errorf("%s: a secret does not arrive", from)
		}
	}

	objects := yaml.NewDecoder(bytes.NewReader(shipped("deploy/kubernetes/idp.yaml")))
	found := false
	for {
		var object struct {
			Kind string            `yaml:"kind"`
			Data map[string]string `yaml:"data"`
		}
		if err := objects.Decode(&object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if object.Kind == "ConfigMap" {
			found = true
			check("deploy/kubernetes", object.Data["idp.yaml"], "CREDENTIALS_DIRECTORY="+credentials)
		}
	}
	if !found {
		t.Error("deploy/kubernetes/idp.yaml has no ConfigMap")
	}

	var values struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(shipped("deploy/helm/idp/values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	values.Config["issuer"] = "https://id.example.com"
	text, err := yaml.Marshal(values.Config)
	if err != nil {
		t.Fatal(err)
	}
	check("deploy/helm", string(text), "CREDENTIALS_DIRECTORY="+credentials)

	var compose struct {
		Services map[string]struct {
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(shipped("docker-compose.yml"), &compose); err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"IDP_MASTER_KEY": secrets["master_key"], "POSTGRES_PASSWORD": "secret"}
	// The block that .env.example offers is filled in as it stands.
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.+)$`).FindAllSubmatch(shipped(".env.example"), -1) {
		given[string(m[1])] = string(m[2])
	}
	reference := regexp.MustCompile(`\$\{(\w+)(:[-?][^}]*)?\}`)
	var env []string
	for name, value := range compose.Services["idp"].Environment {
		env = append(env, name+"="+reference.ReplaceAllStringFunc(value, func(ref string) string {
			m := reference.FindStringSubmatch(ref)
			if set, ok := given[m[1]]; ok {
				return set
			}
			return strings.TrimPrefix(m[2], ":-")
		}))
	}
	check("docker-compose.yml", "", env...)

	unit := string(shipped("deploy/systemd/idp.service"))
	var loaded []string
	for _, m := range regexp.MustCompile(`(?m)^LoadCredential=([^:]+):`).FindAllStringSubmatch(unit, -1) {
		loaded = append(loaded, m[1])
	}
	if slices.Sort(loaded); !slices.Equal(loaded, slices.Sorted(maps.Keys(secrets))) {
		t.Errorf("deploy/systemd/idp.service loads %q", loaded)
	}
	env = []string{"IDP_ISSUER=https://id.example.com", "CREDENTIALS_DIRECTORY=" + credentials}
	for _, m := range regexp.MustCompile(`(?m)^Environment=(.+)$`).FindAllStringSubmatch(unit, -1) {
		env = append(env, m[1])
	}
	check("deploy/systemd", "", env...)
}
