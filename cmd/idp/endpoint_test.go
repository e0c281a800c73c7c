package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"idp/cmd/idp/e2e"
)

// administrator is a client for the admin API, with a token of the node's.
func (w *clockwork) administrator(t *testing.T, n *timedNode, scope string) (token string) {
	t.Helper()
	c := e2e.Client{ID: "by-" + strings.ReplaceAll(scope, ".", "-"), Secret: "a-secret-that-guards-nothing-at-all"}
	w.run(t, c.Secret+"\n", "client", "create", c.ID, "--secret-stdin", "--grant-type", "client_credentials", "--audience", w.issuer+"/admin", "--scope", scope)
	e2e.Settle()
	return n.Post(t, "/oauth2/token", c, url.Values{"grant_type": {"client_credentials"}}).Tokens(t).Access
}

// varies are the parts of what a command prints that no two runs have in common.
var varies = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ][0-9:.]+Z|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9A-Za-z_-]{43}\b|\b[0-9A-Za-z_-]{22}\b`)

// A command does and prints the same at the machine and, with --endpoint, from
// anywhere else.
func TestCommandsAreTheSameFromAnywhere(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		w := newClockwork(t, engine)
		n := w.startAt(t, 0, strings.Replace(strings.TrimPrefix(w.issuer, "http://"), "localhost", "127.0.0.1", 1))
		away := []string{"IDP_DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "IDP_TOKEN=" + w.administrator(t, n, "idp.admin")}
		// both runs a command at the machine and from away; @ stands for a name
		// that only one of them uses. Without one it prints the same to the byte.
		both := func(line string, stdin ...string) {
			t.Helper()
			type result struct {
				Code        int
				Out, Stderr string
			}
			perform := func(env []string, name string, more ...string) result {
				args := append(strings.Fields(strings.ReplaceAll(line, "@", name)), more...)
				code, out, errs := command(t, env, strings.ReplaceAll(strings.Join(stdin, ""), "@", name), args...)
				alike := func(text string) string {
					if !strings.Contains(line, "@") {
						return text
					}
					return varies.ReplaceAllString(strings.ReplaceAll(text, name, "@"), "…")
				}
				return result{code, alike(out), alike(errs)}
			}
			here, there := perform(w.env, "yours"), perform(away, "there", "--endpoint", w.issuer)
			if diff := cmp.Diff(here, there); diff != "" {
				t.Errorf("idp %s: at the machine - and from away +:\n%s", line, diff)
			}
		}

		both("resource create https://@.example.com --name Orders --scope read=See --restricted-scope write@ --access-token-signing-alg ES384")
		both("resource update https://@.example.com --access-token-lifetime 5m --claim groups")
		both("resource get https://@.example.com")
		both("resource get https://@.example.com -o yaml")
		both("resource list -q")
		both("resource get https://nobody.example.com")
		both("resource create nonsense --scope openid")

		both("group create @ --description staff")
		both("group create @")
		both("group list -o json")
		both("role create @ --scope write@ --group @")
		both("role update @ --description buyers")
		both("role list")
		both("role get @ -o json")
		both("role create x@ --scope nothing")

		both("user create @ --name Some --email @@example.com --email-verified --password-stdin --locality Paris", "correct horse battery @")
		both("user create @ -q")
		both("user create bad/name --email nothing")
		both("user update @ --nickname N --username renamed@")
		both("user get renamed@")
		both("user get RENAMED@ -o json")
		both("user list -o yaml")
		both("user list --deletion-requested")
		both("user set-password renamed@ --password-stdin", "another horse battery @")
		both("user set-password renamed@ --password-stdin", "short")
		both("group add-member @ renamed@")
		both("group members @")
		both("role assign @ renamed@ --group @")
		both("user get renamed@ -o json")
		both("role unassign @ renamed@ --group @")
		both("group remove-member @ renamed@")
		both("group remove-member @ renamed@")
		both("user disable renamed@")
		both("user enable renamed@ -q")
		both("user lock nobody")
		both("user reset-factors renamed@")
		both("user remove-picture renamed@")

		both("client create c@ --name Wiki --redirect-uri https://wiki.example.com/cb --scope openid --contact it@example.com")
		both("client create c@ --redirect-uri https://wiki.example.com/cb")
		both("client create d@ --redirect-uri http://wiki.example.com/cb --audience https://nobody.example")
		both("client update c@ --scope profile --access-token-lifetime 1m")
		both("client get c@")
		both("client get c@ -o json")
		both("client list")
		both("client rotate-secret c@ --grace 1h")
		both("client disable c@")
		both("client enable c@")
		both("client get nobody")

		both("policy create @ --client c@ --acr 2 --max-age 1h")
		both("policy update @ --max-age 2h")
		both("policy get @ -o json")
		both("policy list")
		both("policy delete @")

		n.SignIn(t, w.client, n.user, "scope", "openid")
		both("session list " + n.user.Username)
		both("session list " + n.user.Username + " -o json")
		both("consent list " + n.user.Username)
		both("session revoke --user renamed@")
		both("consent revoke renamed@ " + w.client.ID)

		both("key list")
		both("key retire nothing")

		both("role delete @")
		both("client delete c@")
		both("client delete c@")
		both("user delete renamed@")
		both("group delete @")
		both("resource delete https://@.example.com")
		both("audit list --kind user.created --oldest-first -o json --limit 3")
		both("audit list --kind login.* --user " + n.user.Username)
		both("audit export --kind client.created")
		both("audit tail -n 3 --kind group.changed")
	})
}

// What goes wrong between here and there.
func TestEndpointRefusals(t *testing.T) {
	t.Parallel()
	w := newClockwork(t, "sqlite")
	n := w.startAt(t, 0, strings.Replace(strings.TrimPrefix(w.issuer, "http://"), "localhost", "127.0.0.1", 1))
	token, reader := w.administrator(t, n, "idp.admin"), w.administrator(t, n, "idp.admin.read")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	moved := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/admin/clients", http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler()) // nobody knows its certificate
	t.Cleanup(secure.Close)

	const alone = "works on this machine alone"
	for name, c := range map[string]struct {
		env  string
		args string
		code int
		says string
	}{
		"moved":                  {"IDP_TOKEN=" + token, "client list --endpoint " + moved.URL, exitFailure, "307"},
		"no token":               {"IDP_TOKEN=", "client list --endpoint " + w.issuer, exitUsage, "IDP_TOKEN"},
		"two tokens":             {"IDP_TOKEN_FILE=" + file + "\nIDP_TOKEN=" + token, "client list --endpoint " + w.issuer, exitUsage, "exclude each other"},
		"a token in a file":      {"IDP_TOKEN_FILE=" + file, "client list -q --endpoint " + w.issuer, exitOK, ""},
		"a wrong token":          {"IDP_TOKEN=wrong", "client list --endpoint " + w.issuer, exitFailure, "Unauthorized: the access token is expired, revoked or not for this API"},
		"no access token":        {"IDP_TOKEN=a b", "client list --endpoint " + w.issuer, exitUsage, "is no access token"},
		"too little":             {"IDP_TOKEN=" + reader, "group create x --endpoint " + w.issuer, exitFailure, "Forbidden: the access token lacks the scope idp.groups"},
		"in the clear":           {"IDP_TOKEN=" + token, "client list --endpoint http://id.example.com", exitUsage, "must be https"},
		"no URL":                 {"IDP_TOKEN=" + token, "client list --endpoint id.example.com", exitUsage, "must be the issuer's URL"},
		"a password in the URL":  {"IDP_TOKEN=" + token, "client list --endpoint https://a:b@id.example.com", exitUsage, "must be the issuer's URL"},
		"nobody there":           {"IDP_TOKEN=" + token, "client list --endpoint http://127.0.0.1:1", exitUnavailable, "http://127.0.0.1:1"},
		"an unknown certificate": {"IDP_TOKEN=" + token, "client list --endpoint " + secure.URL, exitUnavailable, "certificate"},
		"serve":                  {"IDP_TOKEN=" + token, "serve --endpoint " + w.issuer, exitUsage, alone},
		"backup":                 {"IDP_TOKEN=" + token, "backup x --endpoint " + w.issuer, exitUsage, alone},
		"a link":                 {"IDP_TOKEN=" + token, "--endpoint " + w.issuer + " user link alice", exitUsage, alone},
		"a picture":              {"IDP_TOKEN=" + token, "client update x --logo y --endpoint " + w.issuer, exitUsage, alone},
		"an attribute":           {"IDP_TOKEN=" + token, "user create x --attribute a=b --endpoint " + w.issuer, exitUsage, "--attributes-file"},
		"whose session":          {"IDP_TOKEN=" + token, "session revoke AAAAAAAAAAAAAAAAAAAAAA --endpoint " + w.issuer, exitUsage, "needs --user"},
	} {
		code, out, errs := command(t, strings.Split(c.env, "\n"), "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.says) || strings.Contains(out+errs, token) {
			t.Errorf("%s: %d, %s%s", name, code, out, errs)
		}
	}
	if asked.Load() != 0 {
		t.Error("the token went to where a redirect led")
	}
	if code, _, errs := command(t, []string{"IDP_TOKEN=" + token}, "", "client", "list", "--endpoint", elsewhere.URL); code != exitFailure || !strings.Contains(errs, "is this the admin API") {
		t.Errorf("another server: %d %s", code, errs)
	}
}
