package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

// npmDir returns the folder of the JavaScript clients.
func npmDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(moduleRoot(), "cmd", "idp", "e2e", "testdata", "npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		t.Fatalf("%v\nrun: scripts/test install, or npm ci in %s", err, dir)
	}
	return dir
}

// runScript runs a JavaScript client of testdata/npm. Its person opens each
// address that it asks for, and tells where the browser came out.
func runScript(t *testing.T, name string, settings any, person func(address string) string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", name)
	cmd.Dir = npmDir(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(bufio.NewReader(stdout))
	for said := mustJSON(t, settings); ; {
		if _, err := stdin.Write([]byte(said + "\n")); err != nil {
			t.Fatal(err)
		}
		var message struct {
			URL string `json:"url"`
			OK  bool   `json:"ok"`
		}
		if err := lines.Decode(&message); err != nil {
			_ = cmd.Wait()
			t.Fatalf("%s: %v\n%s", name, err, &stderr)
		}
		if message.OK {
			break
		}
		said = person(message.URL)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
}

// opens is a person who signs in wherever an application sends them.
func (b *Browser) opens(t *testing.T, u User) func(address string) string {
	return func(address string) string {
		request := mustURL(t, address)
		if got := request.Scheme + "://" + request.Host + request.Path; got != b.Node.Issuer+"/oauth2/auth" {
			t.Fatalf("the application sends people to %s", got)
		}
		return b.Authorize(t, request.Query(), u).String()
	}
}

// The server as JavaScript programs with openid-client and jose see it.
func TestClients_OpenIDClient(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=See your orders"}, "--name", "Orders")
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com", "--email-verified")
		scope := []string{"--scope", "openid profile email offline_access orders:read", "--audience", api}
		clients := map[string]Client{
			"client_secret_basic": inst.WebClient(t, scope...),
			"client_secret_post":  inst.WebClient(t, append(scope, "--token-endpoint-auth-method", "client_secret_post")...),
			"none":                inst.WebClient(t, append(scope, "--public")...),
		}
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read")
		node := inst.Start(t)

		for method, c := range clients {
			t.Run(method, func(t *testing.T) {
				runScript(t, "client.mjs", fields{
					"issuer": inst.Issuer, "audience": api,
					"user":    fields{"sub": alice.Sub, "name": "Alice Example", "email": "alice@example.com"},
					"client":  fields{"id": c.ID, "secret": c.Secret, "method": method, "redirectURI": c.RedirectURI},
					"service": fields{"id": service.ID, "secret": service.Secret, "method": "client_secret_basic"},
				}, node.NewBrowser(t).opens(t, alice))
			})
		}
	})
}

// openid-client authenticates with a key, and opens what is encrypted to it.
func TestClients_OpenIDClientWithKeys(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t, "--name", "Alice Example", "--email", "alice@example.com")
		signing, encryption := NewClientKey(t, "ES256"), NewClientKey(t, "RSA-OAEP-256")
		c := inst.WebClient(t, "--token-endpoint-auth-method", "private_key_jwt", "--jwks-file", KeyFile(t, signing, encryption),
			"--id-token-encrypted-response-alg", "RSA-OAEP-256", "--id-token-encrypted-response-enc", "A256GCM", "--id-token-signed-response-alg", "ES512",
			"--userinfo-signed-response-alg", "EdDSA", "--userinfo-encrypted-response-alg", "RSA-OAEP-256", "--userinfo-encrypted-response-enc", "A256GCM")
		hmac := inst.NewClient(t, "--grant-type", "client_credentials", "--token-endpoint-auth-method", "client_secret_jwt")
		node := inst.Start(t)
		runScript(t, "keys.mjs", fields{
			"issuer": inst.Issuer, "redirectURI": c.RedirectURI, "client": c.ID,
			"user":       fields{"sub": alice.Sub, "email": "alice@example.com"},
			"signing":    privateJWK(signing),
			"encryption": jose.JSONWebKey{Key: encryption.Private, KeyID: encryption.KID, Algorithm: encryption.Alg, Use: "enc"},
			"hmac":       fields{"id": hmac.ID, "secret": hmac.Secret},
		}, node.NewBrowser(t).opens(t, alice))
	})
}

// openid-client registers itself, and pushes a request object.
func TestClients_OpenIDClientRegistersAndPushes(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "token"})
		alice := inst.NewUser(t)
		token := strings.TrimSpace(inst.CLI(t, "", "client", "registration-token", "create", "--quiet"))
		node := inst.Start(t)
		runScript(t, "register.mjs", fields{
			"issuer": inst.Issuer, "initialAccessToken": token, "redirectURI": "https://app.example/cb",
			"user": fields{"sub": alice.Sub}, "signing": privateJWK(NewClientKey(t, "ES256")),
		}, node.NewBrowser(t).opens(t, alice))
	})
}

// openid-client signs in by a form post, signs out, and hears of it at its back
// channel.
func TestClients_OpenIDClientListens(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		port := FreePort(t)
		listener := "http://127.0.0.1:" + port
		app := inst.WebClient(t, "--redirect-uri", listener+"/callback", "--post-logout-redirect-uri", goodbye, "--backchannel-logout-uri", listener+"/logout")
		b := inst.Start(t).NewBrowser(t)
		settings := fields{
			"issuer": inst.Issuer, "port": port, "user": fields{"sub": alice.Sub},
			"client": fields{"id": app.ID, "secret": app.Secret, "redirectURI": app.RedirectURI, "bye": goodbye},
		}
		runScript(t, "application.mjs", settings, func(address string) string {
			if strings.HasPrefix(address, inst.Issuer+endSession) {
				return b.Get(t, address).Header.Get("Location")
			}
			return b.opens(t, alice)(address)
		})
		if b.signedIn(t, app) {
			t.Error("the session goes on")
		}
	})
}
