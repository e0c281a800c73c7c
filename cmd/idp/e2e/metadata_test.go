package e2e

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// metadataSchema is what metadata may say, by the specifications.
func metadataSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "metadata.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("metadata.schema.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("metadata.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// Both metadata documents say nothing that no specification knows, and every
// address that they name answers as what it is (OpenID Connect Discovery
// section 3, RFC 8414 section 2).
func TestOIDC_oidcc_discovery_endpoint_verification(t *testing.T) {
	t.Parallel()
	schema := metadataSchema(t)
	EachEngine(t, func(t *testing.T, engine string) {
		for name, settings := range map[string]map[string]string{
			"default": nil,
			"oidc-legacy with registration": {
				"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_SECURITY_PROFILE": "oidc-legacy",
			},
			"all that there is": {
				"IDP_REGISTRATION_MODE": "token", "IDP_REQUIRE_PUSHED_AUTHORIZATION_REQUESTS": "true",
				"IDP_SECURITY_TXT_CONTACT": "mailto:security@example.com",
			},
		} {
			t.Run(name, func(t *testing.T) {
				inst, trust := installTLS(t, engine)
				maps.Copy(inst.env, settings)
				if name != "default" {
					inst.CLI(t, "", "migrate", "up")
					inst.NewResource(t, []string{"orders:read=See your orders"})
				}
				inst.Start(t)
				client := &http.Client{
					Transport:     &http.Transport{TLSClientConfig: trust},
					CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
				}
				for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
					a := Do(t, client, get(t, inst.Issuer+path))
					if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
						t.Fatalf("%s: status %d, %v", path, a.Status, a.Header)
					}
					document, err := jsonschema.UnmarshalJSON(strings.NewReader(a.Body))
					if err == nil {
						err = schema.Validate(document)
					}
					if err != nil {
						t.Errorf("%s: %v", path, err)
					}
					metadata := a.JSON(t)
					if metadata["issuer"] != inst.Issuer {
						t.Errorf("%s: the issuer is %v", path, metadata["issuer"])
					}
					wantEndpointsAnswer(t, client, metadata)
				}
			})
		}
	})
}

// wantEndpointsAnswer calls all that the metadata names.
func wantEndpointsAnswer(t *testing.T, client *http.Client, metadata fields) {
	t.Helper()
	answers := 0
	for member, value := range metadata {
		address, _ := value.(string)
		if !strings.HasSuffix(member, "_endpoint") && member != "jwks_uri" && member != "check_session_iframe" {
			continue
		}
		answers++
		a := Do(t, client, get(t, address))
		var ok bool
		switch member {
		case "authorization_endpoint":
			ok = a.Status == http.StatusBadRequest && a.HasID("error")
		case "end_session_endpoint":
			ok = a.Status == http.StatusOK && strings.Contains(a.Body, "You are signed out")
		case "check_session_iframe":
			ok = a.Status == http.StatusOK && strings.Contains(a.Body, "<script")
		case "userinfo_endpoint":
			ok = a.Status == http.StatusUnauthorized && strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer")
		case "jwks_uri":
			keys, _ := a.JSON(t)["keys"].([]any)
			ok = a.Status == http.StatusOK && len(keys) > 0
		default: // for programs, who post
			if a.Status != http.StatusMethodNotAllowed || !slices.Contains(strings.Split(a.Header.Get("Allow"), ", "), http.MethodPost) {
				t.Errorf("GET %s %s: status %d, Allow %q", member, address, a.Status, a.Header.Get("Allow"))
			}
			body, kind := url.Values{}.Encode(), "application/x-www-form-urlencoded"
			if member == "registration_endpoint" {
				body, kind = "{}", "application/json"
			}
			r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", kind)
			a = Do(t, client, r)
			code, _ := a.JSON(t)["error"].(string)
			ok = (a.Status == http.StatusBadRequest || a.Status == http.StatusUnauthorized) && code != ""
		}
		if !ok {
			t.Errorf("%s %s: status %d, %v: %.300s", member, address, a.Status, a.Header, a.Body)
		}
	}
	if answers < 9 {
		t.Errorf("the metadata names %d endpoints only", answers)
	}
}

// The schema refuses what the specifications do.
func TestMetadataSchemaIsStrict(t *testing.T) {
	t.Parallel()
	schema := metadataSchema(t)
	good := func() fields {
		return fields{
			"issuer": "https://id.example", "authorization_endpoint": "https://id.example/auth", "token_endpoint": "https://id.example/token",
			"jwks_uri": "https://id.example/keys", "response_types_supported": []any{"code"}, "subject_types_supported": []any{"public"},
			"id_token_signing_alg_values_supported": []any{"RS256"}, "scopes_supported": []any{"openid"}, "claims_supported": []any{"sub"},
			"code_challenge_methods_supported": []any{"S256"}, "authorization_response_iss_parameter_supported": true, "request_uri_parameter_supported": false,
		}
	}
	if err := schema.Validate(good()); err != nil {
		t.Fatal(err)
	}
	faults := fields{
		"unheard_of": true, "issuer": "https://id.example?a=b", "token_endpoint": "http://id.example/token", "jwks_uri": "https://id.example/keys#1",
		"id_token_signing_alg_values_supported": []any{"ES256"}, "userinfo_signing_alg_values_supported": []any{"none"},
		"code_challenge_methods_supported": []any{"S256", "plain"}, "acr_values_supported": []any{}, "scopes_supported": []any{"openid", "openid"},
		"token_endpoint_auth_methods_supported": []any{"private_key_jwt"}, "claims_parameter_supported": "true",
		"require_pushed_authorization_requests": true, "id_token_encryption_alg_values_supported": []any{"ECDH-ES"},
	}
	for member, value := range faults {
		bad := good()
		bad[member] = value
		if schema.Validate(bad) == nil {
			t.Errorf("%s: %v is let through", member, value)
		}
	}
}
