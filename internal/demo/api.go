package demo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// APIConfig says whose access tokens the API takes.
type APIConfig struct {
	Issuer   string
	Audience string // the API's identifier, an absolute URI (RFC 8707)
	Scope    string // required of every token; empty for none

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // required
	// HTTPClient fetches the issuer's metadata and keys. Nil takes one with a
	// timeout of ten seconds that follows no redirects.
	HTTPClient *http.Client
}

// API is the demo resource server.
type API struct {
	cfg         APIConfig
	log         *slog.Logger
	metadata    []byte
	metadataURL string // empty when the audience is no http address
	handler     http.Handler

	mu   sync.Mutex // guards keys
	keys oidc.KeySet
}

// NewAPI returns the API. It fetches the issuer's keys when the first token
// comes, and again when a token names a key that it does not know.
func NewAPI(cfg APIConfig) *API {
	if cfg.Now == nil {
		panic("demo: APIConfig.Now is required")
	}
	a := &API{cfg: cfg, log: loggerOr(cfg.Logger), metadataURL: metadataURL(cfg.Audience)}
	described := protectedResource{
		Resource: cfg.Audience, Name: "Demo API",
		AuthorizationServers: []string{cfg.Issuer}, BearerMethods: []string{"header"},
	}
	if cfg.Scope != "" {
		described.Scopes = []string{cfg.Scope}
	}
	var err error
	if a.metadata, err = json.Marshal(described); err != nil {
		panic(err) // strings only
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.hello)
	mux.HandleFunc("GET "+sensitivePath, a.sensitive)
	mux.HandleFunc("GET "+wellKnown, a.describe)
	// RFC 9728 section 3.1: a resource with a path has it after the well-known
	// part.
	mux.HandleFunc("GET "+wellKnown+"/{path...}", a.describe)
	a.handler = mux
	return a
}

// ServeHTTP serves the API.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	a.handler.ServeHTTP(w, r)
}

const wellKnown = "/.well-known/oauth-protected-resource"

// protectedResource is the metadata of RFC 9728 section 2.
type protectedResource struct {
	Resource             string   `json:"resource"`
	Name                 string   `json:"resource_name"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

func (a *API) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.metadata)
}

// metadataURL puts the well-known part between host and path (RFC 9728
// section 3.1).
func metadataURL(resource string) string {
	u, err := url.Parse(resource)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.Path = wellKnown + strings.TrimSuffix(u.Path, "/")
	return u.String()
}

// greeting is the API's answer: what it learned from the token.
type greeting struct {
	Message      string   `json:"message"`
	Subject      string   `json:"sub"`
	ClientID     string   `json:"client_id"`
	Scope        string   `json:"scope"`
	Audience     []string `json:"aud"`
	ExpiresAt    string   `json:"expires_at"`
	Groups       []string `json:"groups,omitempty"`
	Roles        []string `json:"roles,omitempty"`
	Entitlements []string `json:"entitlements,omitempty"`
	ACR          string   `json:"acr,omitempty"`
}

func (a *API) hello(w http.ResponseWriter, r *http.Request) {
	c, err := a.authorize(r)
	if err != nil {
		a.refuse(w, err)
		return
	}
	message := "Hello, " + c.Subject + ". The token is good."
	if c.Subject == c.ClientID {
		message = "Hello, service " + c.ClientID + ". The token is good."
	}
	writeJSON(w, http.StatusOK, greeting{
		Message: message, Subject: c.Subject, ClientID: c.ClientID, Scope: c.Scope, Audience: c.Audience,
		ExpiresAt: time.Unix(c.Expiry, 0).UTC().Format(time.RFC3339),
		Groups:    c.Groups, Roles: c.Roles, Entitlements: c.Entitlements,
	})
}

// sensitivePath is the part of the API that wants two factors.
const sensitivePath = "/sensitive"

// strong are the authentication context classes that are good enough for it.
var strong = []string{"2", "phr", "phrh"}

// sensitive is hello for those who proved more than a password. To others it
// says what to ask the issuer for (RFC 9470 section 3).
func (a *API) sensitive(w http.ResponseWriter, r *http.Request) {
	c, err := a.authorize(r)
	if err == nil && !slices.Contains(strong, c.ACR) {
		err = &refusal{
			status: http.StatusUnauthorized, code: insufficientAuthentication,
			description: "a sign-in with two factors is needed here", acrValues: strings.Join(strong, " "),
		}
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	writeJSON(w, http.StatusOK, greeting{
		Message: "Hello, " + c.Subject + ". This is for people who proved more than a password.",
		Subject: c.Subject, ClientID: c.ClientID, Scope: c.Scope, Audience: c.Audience, ACR: c.ACR,
		ExpiresAt: time.Unix(c.Expiry, 0).UTC().Format(time.RFC3339),
	})
}

// insufficientAuthentication is the error code of RFC 9470 section 3.
const insufficientAuthentication = "insufficient_user_authentication"

// refusal is an answer of RFC 6750 section 3.1.
type refusal struct {
	status      int
	code        string // empty when the request held no token at all
	description string
	scope       string
	acrValues   string // RFC 9470 section 3
}

func (r *refusal) Error() string { return r.code + ": " + r.description }

func invalidToken(why string) error {
	return &refusal{status: http.StatusUnauthorized, code: "invalid_token", description: why}
}

// errIssuerAway says that no key could be fetched. It must not be told as a
// fault of the token: the caller would throw a good one away.
var errIssuerAway = errors.New("the issuer's keys are out of reach")

func (a *API) refuse(w http.ResponseWriter, err error) {
	denied, ok := errors.AsType[*refusal](err)
	if !ok {
		a.log.Warn("demo API: cannot validate", "error", err)
		w.Header().Set("Retry-After", "5")
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{
			"error": "temporarily_unavailable", "error_description": "The issuer's keys cannot be fetched just now.",
		})
		return
	}
	a.log.Info("demo API: refused", "error", denied.code, "reason", denied.description)
	challenge := `Bearer realm="demo-api"`
	body := map[string]string{"error": "unauthorized", "error_description": "An access token is needed."}
	if denied.code != "" {
		challenge += fmt.Sprintf(`, error=%q, error_description=%q`, denied.code, denied.description)
		body = map[string]string{"error": denied.code, "error_description": denied.description}
	}
	if denied.scope != "" {
		challenge += fmt.Sprintf(`, scope=%q`, denied.scope)
	}
	if denied.acrValues != "" {
		challenge += fmt.Sprintf(`, acr_values=%q`, denied.acrValues)
	}
	if a.metadataURL != "" {
		challenge += fmt.Sprintf(`, resource_metadata=%q`, a.metadataURL)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeJSON(w, denied.status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// claims are the claims of a JWT access token (RFC 9068 section 2.2).
type claims struct {
	Issuer       string   `json:"iss"`
	Subject      string   `json:"sub"`
	Audience     audience `json:"aud"`
	ClientID     string   `json:"client_id"`
	ID           string   `json:"jti"`
	Scope        string   `json:"scope"`
	Expiry       int64    `json:"exp"`
	IssuedAt     int64    `json:"iat"`
	NotBefore    int64    `json:"nbf"`
	Groups       []string `json:"groups"`
	Roles        []string `json:"roles"`
	Entitlements []string `json:"entitlements"`
	ACR          string   `json:"acr"`
}

// audience is a string or an array of strings (RFC 7519 section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// maxToken is longer than any token that this API would be sent.
const maxToken = 8 << 10

// clockSkew is how far the issuer's clock may be ahead of ours.
const clockSkew = 10 * time.Second

// authorize takes the token out of the request and checks it (RFC 9068
// section 4): form, typ, algorithm, signature, issuer, audience, time, scope.
func (a *API) authorize(r *http.Request) (*claims, error) {
	raw, err := bearerToken(r)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(raw); err != nil {
		return nil, err
	}
	payload, err := a.verify(r.Context(), raw)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, invalidToken("the claims are malformed")
	}
	if err := a.check(&c); err != nil {
		return nil, err
	}
	if a.cfg.Scope != "" && !slices.Contains(strings.Fields(c.Scope), a.cfg.Scope) {
		return nil, &refusal{
			status: http.StatusForbidden, code: "insufficient_scope",
			description: "the token lacks the scope that this needs", scope: a.cfg.Scope,
		}
	}
	return &c, nil
}

// bearerToken reads the Authorization header (RFC 6750 section 2.1). Tokens in
// the query or the body are not looked for.
func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return "", &refusal{status: http.StatusBadRequest, code: "invalid_request", description: "more than one Authorization header"}
	}
	if len(values) == 0 {
		return "", &refusal{status: http.StatusUnauthorized}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &refusal{status: http.StatusUnauthorized}
	}
	if token == "" || len(token) > maxToken {
		return "", invalidToken("the token is malformed")
	}
	return token, nil
}

// algorithms that the API takes: asymmetric ones only, so that a public key
// can never be mistaken for a shared secret.
var algorithms = []string{oidc.ES256, oidc.RS256, oidc.PS256, oidc.EdDSA}

// checkHeader checks form, typ and algorithm before any signature is. The typ
// keeps ID tokens and other JWTs of the issuer out (RFC 9068 section 4).
func checkHeader(raw string) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return invalidToken("the token is not a JWT")
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return invalidToken("the token is not a JWT")
	}
	var header struct {
		Type      string `json:"typ"`
		Algorithm string `json:"alg"`
	}
	if err := json.Unmarshal(decoded, &header); err != nil {
		return invalidToken("the token is not a JWT")
	}
	if strings.TrimPrefix(strings.ToLower(header.Type), "application/") != "at+jwt" {
		return invalidToken("the token is not an access token")
	}
	if !slices.Contains(algorithms, header.Algorithm) {
		return invalidToken("the token's algorithm is not accepted")
	}
	return nil
}

// verify checks the signature and returns the claims' JSON.
func (a *API) verify(ctx context.Context, raw string) ([]byte, error) {
	keys, err := a.keySet(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIssuerAway, err)
	}
	payload, err := keys.VerifySignature(ctx, raw)
	if err != nil {
		if _, away := errors.AsType[*url.Error](err); away || ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", errIssuerAway, err)
		}
		return nil, invalidToken("the signature is not the issuer's")
	}
	return payload, nil
}

// keySet finds the issuer's keys by discovery, once.
func (a *API) keySet(ctx context.Context) (oidc.KeySet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys != nil {
		return a.keys, nil
	}
	client := clientOr(a.cfg.HTTPClient)
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), a.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var metadata struct {
		JWKSURI string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if metadata.JWKSURI == "" {
		return nil, errors.New("discovery: no jwks_uri")
	}
	limited := *client
	limited.Transport = &keyTransport{next: client.Transport, now: a.cfg.Now}
	a.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), &limited), metadata.JWKSURI)
	return a.keys, nil
}

// check checks the claims (RFC 9068 sections 2.2 and 4).
func (a *API) check(c *claims) error {
	now := a.cfg.Now()
	switch {
	case c.Issuer != a.cfg.Issuer:
		return invalidToken("the token is from another issuer")
	case !slices.Contains(c.Audience, a.cfg.Audience):
		return invalidToken("the token is for another API")
	case c.Subject == "" || c.ClientID == "" || c.ID == "" || c.Expiry == 0 || c.IssuedAt == 0:
		return invalidToken("a required claim is missing")
	case !now.Before(time.Unix(c.Expiry, 0)):
		return invalidToken("the token has expired")
	case now.Add(clockSkew).Before(time.Unix(max(c.IssuedAt, c.NotBefore), 0)):
		return invalidToken("the token is not valid yet")
	}
	return nil
}
