package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// demonstration is what idp dev --json promises to print.
type demonstration struct {
	Issuer                string `json:"issuer"`
	Discovery             string `json:"discovery"`
	JWKS                  string `json:"jwks"`
	TokenEndpoint         string `json:"token_endpoint"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	DataDir               string `json:"data_dir"`
	DemoApp               string `json:"demo_app"`
	ResourceAPI           struct {
		URL      string   `json:"url"`
		Audience string   `json:"audience"`
		Scopes   []string `json:"scopes"`
	} `json:"resource_api"`
	Users []struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Sub      string `json:"sub"`
	} `json:"users"`
	Clients []struct {
		ClientID     string   `json:"client_id"`
		ClientSecret string   `json:"client_secret"`
		GrantTypes   []string `json:"grant_types"`
		RedirectURIs []string `json:"redirect_uris"`
		Scopes       []string `json:"scopes"`
		Audience     []string `json:"audience"`
	} `json:"clients"`

	raw []byte
}

// startDev runs idp dev on free ports and returns what it printed, and how
// long that took.
func startDev(t *testing.T, listen, demoListen string) (demonstration, time.Duration) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(Binary(t), "dev", "--json", "--listen", listen, "--demo-listen", demoListen, "--management-listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"))
	cmd.Dir = dir
	var d demonstration
	logs := &logBuffer{}
	cmd.Stderr = logs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("idp dev ended with %v", err)
		}
		secrets := []string{"panic:", "idp_ac_", "idp_rt_", "idp_s_", "eyJhbGciOi"} // the beginnings of codes, tokens and cookies
		for _, u := range d.Users {
			secrets = append(secrets, u.Password)
		}
		for _, c := range d.Clients {
			if c.ClientSecret != "" {
				secrets = append(secrets, c.ClientSecret)
			}
		}
		for _, bad := range secrets {
			if strings.Contains(logs.String(), bad) {
				t.Errorf("the log of idp dev holds %q", bad)
			}
		}
		if t.Failed() {
			t.Logf("log of idp dev:\n%s", logs)
		}
	})
	var raw json.RawMessage
	if err := json.NewDecoder(stdout).Decode(&raw); err != nil {
		t.Fatalf("idp dev printed no JSON: %v", err)
	}
	took := time.Since(started)
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	d.raw = raw
	return d, took
}

// idp dev is ready within three seconds, prints what it promises, and the
// service among its clients gets a token that the published keys verify.
func TestDev(t *testing.T) {
	d, took := startDev(t, "127.0.0.1:0", "127.0.0.1:0")
	t.Logf("idp dev was ready after %s", took.Round(time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("idp dev was ready after %s, promised are 3 s", took)
	}

	// A program that reads the object relies on its keys, and on no others.
	want := map[string]bool{}
	for _, key := range []string{
		"issuer", "discovery", "jwks", "token_endpoint", "authorization_endpoint", "data_dir", "demo_app", "console.url", "console.link", "console.expires_at",
		"resource_api.url", "resource_api.audience", "resource_api.scopes", "users.username", "users.password", "users.sub",
		"clients.client_id", "clients.client_secret", "clients.grant_types", "clients.redirect_uris", "clients.scopes", "clients.audience",
	} {
		want[key] = true
	}
	var printed any
	if err := json.Unmarshal(d.raw, &printed); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	collectKeys(printed, "", got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of idp dev --json (-want +got):\n%s", diff)
	}

	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, d.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	var metadata struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		t.Fatal(err)
	}
	if d.Discovery != d.Issuer+"/.well-known/openid-configuration" || d.JWKS != metadata.JWKS || d.TokenEndpoint != endpoint.TokenURL || d.AuthorizationEndpoint != endpoint.AuthURL {
		t.Errorf("idp dev prints other endpoints than discovery: %s", d.raw)
	}
	for _, c := range d.Clients {
		if c.ClientID != "demo-service" {
			continue
		}
		conf := &clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret, TokenURL: d.TokenEndpoint, Scopes: []string{"demo:read"}, AuthStyle: oauth2.AuthStyleInHeader}
		token, err := conf.Token(ctx)
		if err != nil {
			t.Fatal(err)
		}
		verified, err := oidc.NewVerifier(d.Issuer, oidc.NewRemoteKeySet(ctx, d.JWKS), &oidc.Config{ClientID: d.ResourceAPI.Audience, SupportedSigningAlgs: []string{oidc.ES256}}).Verify(ctx, token.AccessToken)
		if err != nil {
			t.Fatalf("offline verification: %v", err)
		}
		if verified.Subject != "demo-service" {
			t.Errorf("sub is %s", verified.Subject)
		}
		res, err := conf.Client(ctx).Get(d.ResourceAPI.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("the demo API answers %s", res.Status)
		}
		return
	}
	t.Error("there is no client demo-service")
}

// collectKeys notes the path of each key, those of a list's elements together.
func collectKeys(v any, path string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			collectKeys(value, strings.TrimPrefix(path+"."+key, "."), into)
		}
	case []any:
		objects := false
		for _, value := range v {
			if _, ok := value.(map[string]any); ok {
				collectKeys(value, path, into)
				objects = true
			}
		}
		if !objects {
			into[path] = true
		}
	default:
		into[path] = true
	}
}
