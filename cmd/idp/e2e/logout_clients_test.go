package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Sign-out as JavaScript programs with openid-client and jose know it. The
// script is testdata/npm/logout.mjs; the test is the person at the browser.
func TestClients_OpenIDClientLogout(t *testing.T) {
	npm := npmDir(t)
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		port := freePort(t)
		app := inst.WebClient(t, "--skip-consent", "--post-logout-redirect-uri", goodbye, "--backchannel-logout-uri", "http://127.0.0.1:"+port+"/logout")
		b := inst.Start(t).NewBrowser(t)

		cmd := exec.CommandContext(t.Context(), "node", "logout.mjs")
		cmd.Dir = npm
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
		hear := func(into any) {
			t.Helper()
			if err := lines.Decode(into); err != nil {
				_ = cmd.Wait()
				t.Fatalf("logout.mjs: %v\n%s", err, &stderr)
			}
		}
		say := func(line string) {
			t.Helper()
			if _, err := stdin.Write([]byte(line + "\n")); err != nil {
				t.Fatal(err)
			}
		}
		settings, err := json.Marshal(map[string]any{
			"issuer": inst.Issuer, "port": port,
			"client": map[string]string{"id": app.ID, "secret": app.Secret, "redirectURI": app.RedirectURI, "bye": goodbye},
		})
		if err != nil {
			t.Fatal(err)
		}
		say(string(settings))
		var next struct {
			URL string `json:"url"`
			OK  bool   `json:"ok"`
		}
		hear(&next)
		say(b.Authorize(t, mustURL(t, next.URL).Query(), alice).String())
		hear(&next)
		say(b.Get(t, next.URL).Header.Get("Location"))
		hear(&next)
		if err := cmd.Wait(); err != nil || !next.OK {
			t.Fatalf("logout.mjs: %v\n%s", err, &stderr)
		}
		if b.signedIn(t, app) {
			t.Error("the session goes on")
		}
	})
}

// A logout token as go-oidc verifies it.
func TestClients_GoOIDCLogout(t *testing.T) {
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, outside)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t)
		told := newReceiver(t, always(http.StatusOK))
		app := inst.WebClient(t, append(legacy, "--backchannel-logout-uri", told.URL+"/?keep=1")...)
		n := inst.Start(t)
		ctx := oidc.ClientContext(t.Context(), n.HTTP)
		provider, err := oidc.NewProvider(ctx, inst.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		verifier := provider.VerifierContext(ctx, &oidc.Config{ClientID: app.ID})
		b := n.NewBrowser(t)
		tokens := b.tokens(t, app, alice)
		b.signOut(t, "id_token_hint", tokens.ID).wantSignedOut(t)
		token, err := verifier.VerifyLogout(ctx, told.next(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		sid, _ := n.Verify(t, tokens.ID, "JWT", "RS256")["sid"].(string)
		if token.Subject != alice.Sub || token.SessionID != sid || token.Issuer != inst.Issuer {
			t.Errorf("%+v", token)
		}
		// RFC 8725 section 3.11: a logout token is no ID token, and the other way
		// round.
		if _, err := verifier.VerifyLogout(ctx, tokens.ID); err == nil {
			t.Error("an ID token passes for a logout token")
		}
	})
}
