package e2e

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	jose "github.com/go-jose/go-jose/v4"
)

// The modules of the config, dynamic and third-party-initiated login plans.
// Clients register themselves and authenticate with a key of theirs.

// keyed is the metadata of a client with a key, with changes.
func (r *run) keyed(changes fields) fields {
	set := fields{"keys": []any{r.static.key.JWK()}}
	metadata := fields{"token_endpoint_auth_method": "private_key_jwt", "jwks": set}
	if changes["jwks_uri"] != nil {
		delete(metadata, "jwks")
	}
	for name, v := range changes {
		metadata[name] = v
	}
	return metadata
}

// asks is the module's client from now on: one with a key.
func (r *run) asks(changes fields) fields {
	r.Helper()
	f := r.registers(r.keyed(changes))
	r.client.key = r.static.key
	return f
}

// dynamically is a module of other plans with clients that registered
// themselves.
func dynamically(name string) module {
	i := slices.IndexFunc(coreModules, func(m module) bool { return m.name == name })
	m := coreModules[i]
	inner := m.run
	m.run = func(r *run) {
		r.asks(nil)
		r.other = r.client
		r.asks(nil)
		inner(r)
	}
	return m
}

// shown is a module of what a client registered for its pages.
func shown(name, field, path, content, found string) module {
	return module{name: name, run: func(r *run) {
		uri := r.party.put(path, content)
		r.asks(fields{field: uri})
		s := r.who.visit(r.address(r.request()))
		if !s.has("login-form") {
			r.Fatalf("no login form at %s:\n%s", s.At, s.Text)
		}
		there, err := chromedp.Run(r.who.ctx, chromedp.Evaluate[bool](strings.ReplaceAll(found, "URI", uri)))
		if err != nil || !there {
			page, _ := chromedp.Run(r.who.ctx, chromedp.OuterHTML("html"))
			r.Errorf("%s is not on the login page: %v\n%s", field, err, page)
		}
	}}
}

func picture() string {
	var out bytes.Buffer
	_ = png.Encode(&out, image.NewRGBA(image.Rect(0, 0, 40, 40)))
	return out.String()
}

// sentToPage is a module of a redirect_uri that must lead to an error page.
func sentToPage(name string, registered []string, sent string) module {
	return module{name: name, run: func(r *run) {
		var uris []string
		for _, path := range registered {
			uris = append(uris, r.party.url+path)
		}
		r.asks(fields{"redirect_uris": uris})
		if sent != "" {
			sent = r.party.url + sent
		}
		r.refusedOnPage(r.who.visit(r.address(r.request("redirect_uri", sent))))
	}}
}

var discoveryModule = module{name: "oidcc-discovery-endpoint-verification", run: func(r *run) {
	meta := r.metadata(r.T)
	if meta["issuer"] != r.Issuer {
		r.Errorf("issuer %v", meta["issuer"])
	}
	for _, field := range []string{
		"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "registration_endpoint", "scopes_supported",
		"response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported", "claims_supported",
	} {
		if meta[field] == nil {
			r.Errorf("no %s", field)
		}
	}
	for field, values := range map[string][]string{
		"id_token_signing_alg_values_supported": {"RS256"},
		"response_types_supported":              responseTypes,
		"scopes_supported":                      strings.Fields(identityScopes),
		"subject_types_supported":               {"public", "pairwise"},
		"grant_types_supported":                 {"authorization_code", "implicit", "refresh_token"},
		"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
	} {
		for _, value := range values {
			if !r.advertises(r.T, field, value) {
				r.Errorf("%s lacks %s", field, value)
			}
		}
	}
	for field, value := range meta {
		address, isText := value.(string)
		if isText && (strings.HasSuffix(field, "_endpoint") || strings.HasSuffix(field, "_uri") || strings.HasSuffix(field, "_iframe")) && !strings.HasPrefix(address, "https://") {
			r.Errorf("%s is %s", field, address)
		}
	}
	kids := map[string]bool{}
	for _, key := range r.keys() {
		public, isRSA := key.Key.(*rsa.PublicKey)
		if !key.Valid() || !key.IsPublic() || key.KeyID == "" || kids[key.KeyID] || isRSA && public.N.BitLen() < 2048 {
			r.Errorf("key %s of %s", key.KeyID, key.Algorithm)
		}
		kids[key.KeyID] = true
	}
}}

// keys is the key set that the metadata names.
func (r *run) keys() []jose.JSONWebKey {
	r.Helper()
	var set jose.JSONWebKeySet
	address := text(r.metadata(r.T)["jwks_uri"])
	if err := json.Unmarshal([]byte(Do(r.T, r.HTTP, get(r.T, address)).Body), &set); err != nil {
		r.Fatal(err)
	}
	return set.Keys
}

var dynamicModules = []module{
	{name: "oidcc-server", run: func(r *run) {
		f := r.asks(nil)
		for _, field := range []string{"client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"} {
			if f[field] == nil {
				r.Errorf("no %s", field)
			}
		}
		r.happy()
	}},
	{name: "oidcc-idtoken-rs256", run: func(r *run) {
		r.asks(fields{"id_token_signed_response_alg": "RS256"})
		r.happy()
	}},
	dynamically("oidcc-idtoken-unsigned"),
	{name: "oidcc-userinfo-rs256", only: withAccess, run: func(r *run) {
		r.asks(fields{"userinfo_signed_response_alg": "RS256"})
		r.happy()
	}},
	dynamically("oidcc-ensure-request-object-with-redirect-uri"),
	dynamically("oidcc-refresh-token"),
	discoveryModule,
	sentToPage("oidcc-ensure-redirect-uri-in-authorization-request", []string{"/cb", "/cb2"}, ""),
	{name: "oidcc-redirect-uri-query-OK", run: func(r *run) {
		r.asks(fields{"redirect_uris": []string{r.party.url + "/cb?foo=bar"}})
		r.happy()
	}},
	sentToPage("oidcc-redirect-uri-query-mismatch", []string{"/cb?foo=bar"}, "/cb?foo=baz"),
	sentToPage("oidcc-redirect-uri-query-added", []string{"/cb"}, "/cb?foo=bar"),
	{name: "oidcc-redirect-uri-regfrag", run: func(r *run) {
		r.refuses(r.keyed(fields{"redirect_uris": []string{r.party.url + "/cb#foobar"}}), "invalid_redirect_uri")
	}},
	// The picture comes from the client's host or was copied from there.
	shown("oidcc-registration-logo-uri", "logo_uri", "/logo.png", picture(), `Array.from(document.images).some(i => i.naturalWidth === 40)`),
	shown("oidcc-registration-policy-uri", "policy_uri", "/policy", "policy", `Array.from(document.links).some(a => a.href === "URI")`),
	shown("oidcc-registration-tos-uri", "tos_uri", "/tos", "terms", `Array.from(document.links).some(a => a.href === "URI")`),
	{name: "oidcc-registration-jwks-uri", run: func(r *run) {
		r.asks(fields{"jwks_uri": r.party.put("/jwks/"+Token(), JWKS(r.static.key))})
		r.happy()
	}},
	{name: "oidcc-registration-sector-uri", run: func(r *run) {
		uri := r.party.put("/sector/"+Token(), mustJSON(r.T, []string{r.party.url + "/cb"}))
		f := r.asks(fields{"sector_identifier_uri": uri})
		if f["sector_identifier_uri"] != uri {
			r.Errorf("%v", f)
		}
		r.happy()
	}},
	{name: "oidcc-registration-sector-bad", run: func(r *run) {
		uri := r.party.put("/sector/"+Token(), mustJSON(r.T, []string{"https://elsewhere.example/cb"}))
		r.refuses(r.keyed(fields{"sector_identifier_uri": uri}), "invalid_client_metadata")
	}},
	{name: "oidcc-server-rotate-keys", run: func(r *run) {
		kids := func() []string {
			var all []string
			for _, key := range r.keys() {
				all = append(all, key.KeyID)
			}
			return all
		}
		r.asks(nil)
		first, before := r.happy(), kids()
		r.inst.CLI(r.T, "", "key", "rotate", "--alg", "RS256", "--immediately")
		var after []string
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && len(after) <= len(before); time.Sleep(20 * time.Millisecond) {
			after = kids()
		}
		if len(after) <= len(before) {
			r.Fatalf("no new key among %v", after)
		}
		for _, kid := range before {
			if !slices.Contains(after, kid) {
				r.Errorf("the key %s is gone", kid)
			}
		}
		second := r.complete(r.silently("prompt", "none"))
		r.Verify(r.T, first.raw, "JWT", jose.RS256)
		if one, two := kidOf(r.T, first.raw), kidOf(r.T, second.raw); one == two {
			r.Errorf("%s still signs", one)
		}
	}},
	{name: "oidcc-refresh-token-rp-key-rotation", only: withCode, run: func(r *run) {
		path := "/jwks/" + Token()
		r.asks(fields{"jwks_uri": r.party.put(path, JWKS(r.static.key))})
		o := r.happy("scope", "openid offline_access", "prompt", "consent")
		r.client.key = NewClientKey(r.T, "RS256")
		r.party.put(path, JWKS(r.client.key))
		tokens := r.token(r.T, r.client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {o.tokens.Refresh}}).Tokens(r.T)
		r.userinfo(tokens.Access)
	}},
	// Skipped by the certification, as the metadata knows of no unsigned objects.
	dynamically("oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported").as("oidcc-request-uri-unsigned"),
	{name: "oidcc-request-uri-signed-rs256", run: func(r *run) {
		meta := r.metadata(r.T)
		if meta["request_uri_parameter_supported"] != true || !r.advertises(r.T, "request_object_signing_alg_values_supported", "RS256") {
			r.Errorf("%v", meta)
		}
		uri := r.party.put("/object/"+Token(), "")
		r.asks(fields{"request_uris": []string{uri}, "request_object_signing_alg": "RS256"})
		inside := r.request()
		r.party.put(mustURL(r.T, uri).Path, r.client.key.Sign(r.T, r.client.ObjectClaims(r.Issuer, inside, nil)))
		outside := url.Values{"client_id": {r.client.ID}, "response_type": {r.responseType}, "scope": {"openid"}, "request_uri": {uri}}
		r.complete(r.back(r.who.through(r.who.visit(r.address(outside)), r.erin), inside))
	}},
	{name: "oidcc-ensure-client-assertion-with-iss-aud-succeeds", only: withCode, run: func(r *run) {
		r.asks(nil)
		a := r.authorize()
		c := r.client.Client
		assertion := r.client.key.Sign(r.T, AssertionClaims(c.ID, r.Issuer, nil))
		r.Post(r.T, "/oauth2/token", Client{}, Asserted(CodeForm(c, a.Get("code"), PKCE{}, "code_verifier", ""), assertion)).Tokens(r.T)
	}},
}

// as is the module by another name.
func (m module) as(name string) module {
	m.name = name
	return m
}

func kidOf(t testing.TB, raw string) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Header.KeyID
}

var thirdPartyModules = []module{
	{name: "oidcc-3rd_party-init-login", run: func(r *run) {
		uri := r.party.url + "/start"
		f := r.asks(fields{"initiate_login_uri": uri})
		got := r.JSONRequest(r.T, http.MethodGet, text(f["registration_client_uri"]), text(f["registration_access_token"]), nil)
		if got.Status != http.StatusOK || got.JSON(r.T)["initiate_login_uri"] != uri {
			r.Errorf("%d %s", got.Status, got.Body)
		}
		r.happy()
	}},
	{name: "oidcc-3rd_party-init-login-nohttps", run: func(r *run) {
		r.refuses(r.keyed(fields{"initiate_login_uri": "http://app.example/start"}), "invalid_client_metadata")
	}},
}
