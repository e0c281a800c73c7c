package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"idp/internal/tokens"
)

// writeConfig writes a configuration file and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "idp.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// faultsOf loads a configuration and returns its faults, with the file's
// directory cut off.
func faultsOf(t *testing.T, src sources) []string {
	t.Helper()
	_, err := loadConfig(src)
	if err == nil {
		return nil
	}
	if code := exitCode(err); code != exitConfiguration {
		t.Errorf("exit code %d, want %d", code, exitConfiguration)
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if src.File != "" {
			line = strings.ReplaceAll(line, filepath.Dir(src.File)+"/", "")
		}
		lines = append(lines, line)
	}
	return lines
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file string
		env  []string
		want []string
	}{
		"nothing": {},
		"only comments": {
			file: "# issuer: https://id.example.com\nlifetimes:\n  # code: 1m\n",
		},
		"unknown keys at every level": {
			file: "isuer: https://id.example.com\nlifetimes:\n  acess_token: 5m\nmin_length: 3\n",
			want: []string{
				`idp.yaml:1: isuer: is no key, did you mean issuer?`,
				`idp.yaml:3: lifetimes.acess_token: is no key, did you mean access_token?`,
				`idp.yaml:4: min_length: is no key, did you mean passwords.min_length?`,
			},
		},
		"wrong types": {
			file: "lifetimes:\n  code: 60\npasswords:\n  memory_kib: lots\n  iterations: 3.5\ntrusted_proxies: 10.0.0.0/8\naudit: strict\nlisten: [a]\n",
			want: []string{
				`idp.yaml:2: lifetimes.code: "60": must be a duration from 1s to 10m`,
				`idp.yaml:4: passwords.memory_kib: "lots": must be a whole number from 19456 to 4194304`,
				`idp.yaml:5: passwords.iterations: "3.5": must be a whole number from 2 to 100`,
				`idp.yaml:6: trusted_proxies: "10.0.0.0/8": must be networks such as 10.0.0.0/8 or single addresses`,
				`idp.yaml:7: audit: "strict": must be a section of keys: mode, retention`,
				`idp.yaml:8: listen: a list: must be HOST:PORT, :PORT or unix:PATH`,
			},
		},
		"values out of bounds": {
			file: "audit:\n  mode: lazy\n  retention: 1h\nlifetimes:\n  code: 1h\n  access_token: ten\nlog:\n  level: loud\nmigrate: perhaps\npasswords:\n  parallelism: 0\n",
			want: []string{
				`idp.yaml:2: audit.mode: "lazy": must be strict or relaxed`,
				`idp.yaml:3: audit.retention: "1h": must be a duration of 1d or more, such as 90s, 10m, 12h or 30d`,
				`idp.yaml:5: lifetimes.code: "1h": must be a duration from 1s to 10m`,
				`idp.yaml:6: lifetimes.access_token: "ten": must be a duration such as 90s, 10m, 12h or 30d`,
				`idp.yaml:8: log.level: "loud": must be debug, info, warn or error`,
				`idp.yaml:9: migrate: "perhaps": must be auto, check or off`,
				`idp.yaml:11: passwords.parallelism: "0": must be a whole number from 1 to 255`,
			},
		},
		"accounts": {
			file: "accounts:\n  registration: open\n  registration_domains: example.com https://example.org\n  terms_url: http://example.com/terms\n  terms_version: \" 1\"\n",
			want: []string{
				`idp.yaml:3: accounts.registration_domains: "example.com https://example.org": "https://example.org" is no domain: must be domains of mail addresses separated by spaces, such as example.com, or * for all`,
				`idp.yaml:4: accounts.terms_url: "http://example.com/terms": must be an https URL`,
				`idp.yaml:5: accounts.terms_version: " 1": must be a version of the terms such as 2026-03, in at most 64 printable characters`,
			},
		},
		"accounts for nobody in particular": {
			file: "accounts:\n  registration: open\n  terms_url: https://example.com/terms\n",
			want: []string{
				`idp.yaml:2: accounts.registration: "open": open needs accounts.registration_domains: whose mail addresses may have an account, or * for all`,
				`idp.yaml:3: accounts.terms_url: "https://example.com/terms": needs accounts.terms_version: which terms somebody accepted`,
			},
		},
		"passwords that are not to be set": {
			file: "passwords:\n  denied_file: /nowhere/denied.txt\n  breach_url: https://passwords.example/range\nsign_in:\n  failures_per_minute: 0\n",
			want: []string{
				`idp.yaml:5: sign_in.failures_per_minute: "0": must be a whole number from 10 to 1000000`,
				`idp.yaml:2: passwords.denied_file: "/nowhere/denied.txt": no such file or directory`,
				`idp.yaml:3: passwords.breach_url: "https://passwords.example/range": must be an https URL ending in a slash, such as https://api.pwnedpasswords.com/range/`,
			},
		},
		"networks": {
			file: "trusted_proxies:\n  - 10.0.0.0/8\n  - 10.1.2.3/8\n  - nonsense\n",
			want: []string{
				`idp.yaml:3: trusted_proxies: "10.1.2.3/8": has bits outside its mask: write 10.0.0.0/8`,
				`idp.yaml:4: trusted_proxies: "nonsense": must be a network such as 10.0.0.0/8 or an address`,
			},
		},
		"outbound": {
			file: "outbound:\n  allow: [127.0.0.1, 10.1.2.3/8]\n  ca_file: testdata/script/key.txtar\n",
			want: []string{
				`idp.yaml:2: outbound.allow: "10.1.2.3/8": has bits outside its mask: write 10.0.0.0/8`,
				`idp.yaml:3: outbound.ca_file: "testdata/script/key.txtar": holds no certificate in PEM`,
			},
		},
		"authorities that are away": {
			file: "outbound:\n  ca_file: /nowhere/ca.pem\n",
			want: []string{`idp.yaml:2: outbound.ca_file: "/nowhere/ca.pem": cannot be read: no such file or directory`},
		},
		"twice": {
			file: "listen: :8080\nlisten: :8081\n",
			want: []string{`idp.yaml:2: listen: is set twice, first on line 1`},
		},
		"two documents": {
			file: "listen: :8080\n---\nlisten: :8081\n",
			want: []string{`idp.yaml:2: one document is allowed, this starts a second`},
		},
		"not YAML": {
			file: "listen: :8080\n  issuer: x\n",
			want: []string{`idp.yaml:2: is not YAML: mapping values are not allowed in this context`},
		},
		"empty value": {
			file: "issuer:\n",
			want: []string{`idp.yaml:1: issuer: nothing: must be an absolute https URL without query, fragment, user or trailing slash, such as https://id.example.com`},
		},
		"values that contradict each other": {
			file: "tls_cert: cert.pem\nlifetimes:\n  session_idle: 2d\n  refresh_absolute: 1d\n",
			want: []string{
				`idp.yaml:1: tls_cert: "cert.pem": tls_cert and tls_key are set together`,
				`idp.yaml:4: lifetimes.refresh_absolute: "1d": must not be shorter than lifetimes.refresh_idle (7d)`,
				`idp.yaml:3: lifetimes.session_idle: "2d": must not be longer than lifetimes.session_absolute (12h)`,
			},
		},
		"a certificate from an authority": {
			file: "issuer: https://localhost\ntls:\n  acme:\n    accept_terms: true\n    directory_url: http://ca\n    email: me\n",
			want: []string{
				`idp.yaml:5: tls.acme.directory_url: "http://ca": must be the https URL of an authority's directory`,
				`idp.yaml:6: tls.acme.email: "me": must be an address such as admin@example.com`,
				`idp.yaml:4: tls.acme.accept_terms: "true": needs an https issuer with a host name that the authority finds, such as https://id.example.com`,
			},
		},
		"a certificate from everywhere": {
			file: "tls_cert: cert.pem\ntls_key: key.pem\ntls:\n  acme:\n    accept_terms: true\n",
			want: []string{`idp.yaml:5: tls.acme.accept_terms: "true": the certificate is in tls_cert already: leave one of them out`},
		},
		"an authority whose terms nobody accepted": {
			file: "tls:\n  acme:\n    email: me@example.com\n",
			want: []string{`tls.acme.accept_terms: set it to true to have a certificate from there: you accept the authority's terms with it`},
		},
		"environment": {
			env: []string{"IDP_LISEN=:80", "IDP_LIFETIMES_CODE=soon", "IDP_ISSUER=", "IDP_TEST_DATABASE_URL=x", "IDP_CONFIG=", "PATH=/bin"},
			want: []string{
				`IDP_LIFETIMES_CODE: lifetimes.code: "soon": must be a duration such as 90s, 10m, 12h or 30d`,
				`IDP_LISEN: is no variable of idp, did you mean IDP_LISTEN?`,
			},
		},
		"what Kubernetes injects beside a service named idp": {
			env: []string{"IDP_PORT=tcp://10.0.0.1:8080", "IDP_SERVICE_HOST=10.0.0.1", "IDP_SERVICE_PORT=8080", "IDP_SERVICE_PORT_HTTP=8080", "IDP_PORT_8080_TCP=tcp://10.0.0.1:8080", "IDP_PORT_8080_TCP_ADDR=10.0.0.1"},
		},
		"secrets given twice": {
			file: "master_key_file: master.key\n",
			env:  []string{"IDP_MASTER_KEY=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "IDP_DATABASE_URL=sqlite:x.db", "IDP_DATABASE_URL_FILE=url"},
			want: []string{
				`IDP_DATABASE_URL_FILE: database_url_file: is set together with database_url (IDP_DATABASE_URL): set one of the two`,
				`idp.yaml:1: master_key_file: is set together with master_key (IDP_MASTER_KEY): set one of the two`,
			},
		},
		"secrets are not repeated": {
			env: []string{"IDP_MASTER_KEY=hunter2hunter2", "IDP_DATABASE_URL=mysql://root:hunter2@db/idp"},
			want: []string{
				`IDP_DATABASE_URL: database_url: must start with postgres:// or sqlite:`,
				`IDP_MASTER_KEY: master_key: must be at least 32 random bytes in base64 or hex: idp key generate-master makes one`,
			},
		},
		"secret of a wrong type": {
			file: "master_key: 12345678\n",
			want: []string{`idp.yaml:1: master_key: must be at least 32 random bytes in base64 or hex, as idp key generate-master makes them`},
		},
		"http beyond this machine": {
			file: "listen: :8080\nissuer: http://id.example.com\n",
			want: []string{`idp.yaml:2: issuer: "http://id.example.com": http is for loopback hosts only: change the line to issuer: https://id.example.com`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := sources{Env: test.env}
			if test.file != "" {
				src.File = writeConfig(t, test.file)
			}
			if diff := cmp.Diff(test.want, faultsOf(t, src)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFileThatIsAway(t *testing.T) {
	t.Parallel()
	got := faultsOf(t, sources{File: "/nowhere/idp.yaml"})
	if diff := cmp.Diff([]string{"idp.yaml: cannot be read: no such file or directory"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigPrecedence(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig(sources{
		File:  writeConfig(t, "listen: :1001\nmanagement_listen: :1002\ndata_dir: file\nlifetimes:\n  access_token: 1d12h\n"),
		Env:   []string{"IDP_LISTEN=:2001", "IDP_DATA_DIR=env", "IDP_TRUSTED_PROXIES=10.0.0.0/8, 192.168.1.1"},
		Flags: map[string]string{"listen": ":3001"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{cfg.Listen, cfg.DataDir, cfg.ManagementListen, cfg.TrustedProxies[1].String()}
	if diff := cmp.Diff([]string{":3001", "env", ":1002", "192.168.1.1/32"}, got); diff != "" {
		t.Error(diff)
	}
	if d := cfg.idpLifetimes().AccessToken; d != 36*time.Hour {
		t.Errorf("access token lives %s, want 36h", d)
	}
}

func TestConfigSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, key := filepath.Join(dir, "url"), filepath.Join(dir, "key")
	for path, text := range map[string]string{url: "postgres://idp:p%40ss@db/idp\n", key: tokens.GenerateMasterKey() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := sources{Env: []string{"IDP_DATABASE_URL_FILE=" + url, "IDP_MASTER_KEY_FILE=" + key}}
	cfg, err := loadConfig(src)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Database(); got != "postgres://idp:p%40ss@db/idp" {
		t.Errorf("database URL %q", got)
	}
	if got := cfg.DatabaseURL.String(); strings.Contains(got, "ss@") {
		t.Errorf("printing shows the password: %s", got)
	}
	if master, err := configuredMasterKey(cfg); err != nil || len(master) != 32 {
		t.Errorf("master key of %d bytes, %v", len(master), err)
	}

	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"IDP_MASTER_KEY_FILE: master_key_file: \"" + key + "\": can be read by everybody on this machine: run chmod 600 " + key + " (in Kubernetes: defaultMode: 0400)"}
	if diff := cmp.Diff(want, faultsOf(t, src)); diff != "" {
		t.Error(diff)
	}
}

// Credentials of systemd count like the files of secrets: more than what the
// YAML file names, and not beside a value.
func TestConfigSecretsFromCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("database_url", "postgres://idp:p%40ss@db/idp\n")
	write("mail.password", "hunter22\n")
	write("listen", "127.0.0.1:1") // no secret's name
	file := write("idp.yaml", "database_url_file: elsewhere\nmail:\n  host: mail.example.com\n  from: idp@example.com\n  username: idp\n")
	src := sources{File: file, Env: []string{"CREDENTIALS_DIRECTORY=" + dir}}
	cfg, err := loadConfig(src)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Database() != "postgres://idp:p%40ss@db/idp" || cfg.Mail.Password.Reveal() != "hunter22" || cfg.Listen != ":8080" || cfg.MasterKeyFile != "" {
		t.Errorf("%q, listen %q, master key %q", cfg.Database(), cfg.Listen, cfg.MasterKeyFile)
	}
	src.Env = append(src.Env, "IDP_DATABASE_URL=sqlite:x.db")
	want := []string{"credential database_url: database_url_file: is set together with database_url (IDP_DATABASE_URL): set one of the two"}
	if diff := cmp.Diff(want, faultsOf(t, src)); diff != "" {
		t.Error(diff)
	}
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	for issuer, wantFault := range map[string]string{
		"https://id.example.com":             "",
		"https://id.example.com:8443/tenant": "",
		"http://localhost:8080":              "",
		"http://127.0.0.1:8080":              "",
		"http://[::1]:8080":                  "",
		"http://id.example.com":              "change the line to issuer: https://id.example.com",
		"http://localhost.example.com":       "http is for loopback hosts only",
		"https://id.example.com/":            "write https://id.example.com",
		"https://id.example.com?":            "no query",
		"https://id.example.com#x":           "no fragment",
		"https://user@id.example.com":        "must not name a user",
		"https://ID.example.com":             "lower case",
		"HTTPS://id.example.com":             "spelled plainly",
		"https://id.example.com/a/../b":      "dot segments",
		"https://id.example.com//b":          "empty or dot segments",
		"id.example.com":                     "absolute",
		"https://":                           "absolute",
		"https://:443":                       "absolute",
		"ftp://id.example.com":               "absolute",
	} {
		got := issuerFault(issuer)
		if (got == "") != (wantFault == "") || !strings.Contains(got, wantFault) {
			t.Errorf("%s: fault %q, want %q", issuer, got, wantFault)
		}
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "10m": 10 * time.Minute, "12h": 12 * time.Hour, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0": 0, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond} {
		got, err := parseDuration(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%s is %s, %v; want %s", text, time.Duration(got), err, want)
		}
		if again, err := parseDuration(got.String()); err != nil || again != got {
			t.Errorf("%s prints as %q, which reads as %s, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "10", "-1h", "1w", "d", "99999d999999h", "1d-2h"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("%q is read as %s", text, d)
		}
	}
}
