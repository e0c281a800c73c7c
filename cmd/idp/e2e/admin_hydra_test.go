package e2e

import (
	"net/http"
	"testing"

	hydra "github.com/ory/hydra-client-go/v2"
)

// Hydra's own client for Go, on which its Terraform provider rests, manages
// clients here.
func TestAdminAPI_HydraClient(t *testing.T) {
	t.Parallel()
	w := newAdminWorld(t, "sqlite", nil)
	cfg := hydra.NewConfiguration()
	cfg.Servers = hydra.ServerConfigurations{{URL: w.Issuer}}
	cfg.HTTPClient = w.HTTP
	cfg.DefaultHeader = map[string]string{"Authorization": "Bearer " + w.root}
	api := hydra.NewAPIClient(cfg).OAuth2API
	ctx := t.Context()
	ok := func(what string, res *http.Response, err error, status int) {
		t.Helper()
		if err != nil || res.StatusCode != status {
			t.Fatalf("%s: %v %v", what, res, err)
		}
		res.Body.Close()
	}

	c := *hydra.NewOAuth2Client()
	c.SetClientName("Terraform")
	c.SetGrantTypes([]string{"authorization_code", "refresh_token"})
	c.SetResponseTypes([]string{"code"})
	c.SetRedirectUris([]string{"https://app.example/cb"})
	c.SetScope("openid offline_access")
	c.SetMetadata(map[string]any{})
	c.SetAccessTokenStrategy("opaque")
	made, res, err := api.CreateOAuth2Client(ctx).OAuth2Client(c).Execute()
	ok("create", res, err, 201)
	if made.GetClientId() == "" || made.GetClientSecret() == "" || made.GetClientName() != "Terraform" {
		t.Errorf("%+v", made)
	}
	got, res, err := api.GetOAuth2Client(ctx, made.GetClientId()).Execute()
	ok("get", res, err, 200)
	if got.GetClientSecret() != "" || got.GetScope() != "openid offline_access" || got.GetCreatedAt() != made.GetCreatedAt() {
		t.Errorf("%+v", got)
	}
	list, res, err := api.ListOAuth2Clients(ctx).ClientName("Terraform").PageSize(50).Execute()
	ok("list", res, err, 200)
	if len(list) != 1 || list[0].GetClientId() != made.GetClientId() {
		t.Errorf("%+v", list)
	}
	// What was read is sent back, changed.
	got.SetClientName("Changed")
	set, res, err := api.SetOAuth2Client(ctx, made.GetClientId()).OAuth2Client(*got).Execute()
	ok("set", res, err, 200)
	if set.GetClientName() != "Changed" {
		t.Errorf("%+v", set)
	}
	patched, res, err := api.PatchOAuth2Client(ctx, made.GetClientId()).JsonPatch([]hydra.JsonPatch{{Op: "replace", Path: "/client_name", Value: "Patched"}}).Execute()
	ok("patch", res, err, 200)
	if patched.GetClientName() != "Patched" {
		t.Errorf("%+v", patched)
	}

	lives := *hydra.NewOAuth2ClientTokenLifespans()
	lives.SetAuthorizationCodeGrantAccessTokenLifespan("5m")
	lives.SetRefreshTokenGrantAccessTokenLifespan("5m0s")
	lives.SetRefreshTokenGrantRefreshTokenLifespan("24h")
	_, res, err = api.SetOAuth2ClientLifespans(ctx, made.GetClientId()).OAuth2ClientTokenLifespans(lives).Execute()
	ok("lifespans", res, err, 200)
	if stored := w.call(t, w.root, "GET", "/admin/clients/"+made.GetClientId(), "").wantStatus(t, 200); stored["access_token_lifetime"] != 300.0 || stored["refresh_token_idle"] != 86400.0 || stored["access_token_format"] != "opaque" {
		t.Errorf("%v", stored)
	}
	for _, body := range []string{
		`{"authorization_code_grant_access_token_lifespan":"5m","client_credentials_grant_access_token_lifespan":"6m"}`,
		`{"authorization_code_grant_id_token_lifespan":"5m"}`, `{"jwt_bearer_grant_access_token_lifespan":"5m"}`,
		`{"implicit_grant_access_token_lifespan":"-5m"}`, `{"implicit_grant_access_token_lifespan":300}`, `{"implicit_grant_access_token_lifespan":"5"}`,
	} {
		w.call(t, w.root, "PUT", "/admin/clients/"+made.GetClientId()+"/lifespans", body).refused(t, 400, "invalid_input")
	}
	w.call(t, w.root, "PUT", "/admin/clients/"+made.GetClientId()+"/lifespans", `{}`, "If-Match", `"old"`).refused(t, 412, "precondition_failed")
	if none := w.call(t, w.root, "PUT", "/admin/clients/"+made.GetClientId()+"/lifespans", `{}`).wantStatus(t, 200); none["access_token_lifetime"] != nil {
		t.Errorf("%v", none)
	}

	res, err = api.DeleteOAuth2Client(ctx, made.GetClientId()).Execute()
	ok("delete", res, err, 204)
	if _, res, err := api.GetOAuth2Client(ctx, made.GetClientId()).Execute(); err == nil || res.StatusCode != 404 {
		t.Errorf("a deleted client: %v %v", res, err)
	}
}
