package idp

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Grant types, RFC 6749 sections 4.1, 4.4 and 6.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
)

// Client authentication methods, RFC 7591 section 2.
const (
	AuthNone              = "none"
	AuthClientSecretBasic = "client_secret_basic"
	AuthClientSecretPost  = "client_secret_post"
)

// Application types, OpenID Connect Dynamic Client Registration section 2.
const (
	ApplicationWeb    = "web"
	ApplicationNative = "native"
)

// Access token formats.
const (
	FormatJWT    = "jwt"
	FormatOpaque = "opaque"
)

// ClientMetadata is what a client is registered with: the names of RFC 7591
// section 2, and this server's own below them.
type ClientMetadata struct {
	ClientName              string   `json:"client_name,omitempty" yaml:"client_name,omitempty"`
	ApplicationType         string   `json:"application_type,omitempty" yaml:"application_type,omitempty"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method" yaml:"token_endpoint_auth_method"`
	GrantTypes              []string `json:"grant_types" yaml:"grant_types"`
	ResponseTypes           []string `json:"response_types,omitempty" yaml:"response_types,omitempty"`
	RedirectURIs            []string `json:"redirect_uris,omitempty" yaml:"redirect_uris,omitempty"`
	Scope                   string   `json:"scope,omitempty" yaml:"scope,omitempty"` // space-separated: what it may ask for
	ClientURI               string   `json:"client_uri,omitempty" yaml:"client_uri,omitempty"`
	LogoURI                 string   `json:"logo_uri,omitempty" yaml:"logo_uri,omitempty"`
	PolicyURI               string   `json:"policy_uri,omitempty" yaml:"policy_uri,omitempty"`
	TosURI                  string   `json:"tos_uri,omitempty" yaml:"tos_uri,omitempty"`
	Contacts                []string `json:"contacts,omitempty" yaml:"contacts,omitempty"`

	IDTokenSignedResponseAlg string `json:"id_token_signed_response_alg,omitempty" yaml:"id_token_signed_response_alg,omitempty"`
	DefaultMaxAge            *int   `json:"default_max_age,omitempty" yaml:"default_max_age,omitempty"` // seconds
	RequireAuthTime          bool   `json:"require_auth_time,omitempty" yaml:"require_auth_time,omitempty"`

	// Audience lists the resources (RFC 8707) that it may ask tokens for.
	Audience []string `json:"audience,omitempty" yaml:"audience,omitempty"`
	// ResourceServerOf lists the audiences whose tokens it may introspect.
	ResourceServerOf []string `json:"resource_server_of,omitempty" yaml:"resource_server_of,omitempty"`
	// AllowedCORSOrigins lists the origins whose scripts may call the token,
	// userinfo and revocation endpoints for it.
	AllowedCORSOrigins []string `json:"allowed_cors_origins,omitempty" yaml:"allowed_cors_origins,omitempty"`
	// AllowedGroups limits who may sign in to it; empty means everybody.
	AllowedGroups []string `json:"allowed_groups,omitempty" yaml:"allowed_groups,omitempty"`
	// SkipConsent is for the company's own applications. It holds only where the
	// redirect proves that it is they who ask: see ImpersonationProof.
	SkipConsent bool `json:"skip_consent,omitempty" yaml:"skip_consent,omitempty"`
	// PKCEOptional lets a confidential client leave PKCE out; S256 stays the
	// only method.
	PKCEOptional bool `json:"pkce_optional,omitempty" yaml:"pkce_optional,omitempty"`

	AccessTokenFormat     string `json:"access_token_format,omitempty" yaml:"access_token_format,omitempty"`
	AccessTokenSigningAlg string `json:"access_token_signing_alg,omitempty" yaml:"access_token_signing_alg,omitempty"`
	AccessTokenLifetime   int    `json:"access_token_lifetime,omitempty" yaml:"access_token_lifetime,omitempty"`   // seconds; 0 is the default
	RefreshTokenIdle      int    `json:"refresh_token_idle,omitempty" yaml:"refresh_token_idle,omitempty"`         // seconds; 0 is the default
	RefreshTokenLifetime  int    `json:"refresh_token_lifetime,omitempty" yaml:"refresh_token_lifetime,omitempty"` // seconds; 0 is the default
}

// Client is a registered application (RFC 6749 section 2). Values handed out
// by the directory are shared between requests: nobody changes them.
type Client struct {
	ClientID string
	ClientMetadata
	Secrets          []ClientSecret
	Disabled         bool
	TokensValidAfter time.Time // tokens issued before are dead; zero for none
	CreatedAt        time.Time
	UpdatedAt        time.Time
}

// ClientSecret is one secret of a client, as it is stored. Two live side by
// side while a secret is rotated.
type ClientSecret struct {
	ID        ID
	Hash      string // "hmac-sha256:<base64url>" for generated ones, a PHC string for imported ones
	CreatedAt time.Time
	ExpiresAt time.Time // zero for never
}

// Public reports whether the client holds no credentials (RFC 6749 section 2.1).
func (c *Client) Public() bool { return c.TokenEndpointAuthMethod == AuthNone }

// HasGrantType reports whether the client is registered for the grant type.
func (c *Client) HasGrantType(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// Scopes returns the scopes that the client may ask for.
func (c *Client) Scopes() []string { return strings.Fields(c.Scope) }

// RequiresPKCE reports whether an authorization request without a code
// challenge is refused. Public clients cannot be excused (RFC 9700 section 2.1.1).
func (c *Client) RequiresPKCE() bool { return c.Public() || !c.PKCEOptional }

// DisplayName is the name that people are shown.
func (c *Client) DisplayName() string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return c.ClientID
}

// MatchRedirectURI reports whether requested is one of the client's registered
// redirect URIs. The comparison is exact, byte for byte (RFC 9700 section
// 2.1), but for the port of a native client's loopback IP redirect, which may
// be any (RFC 8252 section 7.3).
func (c *Client) MatchRedirectURI(requested string) bool {
	if slices.Contains(c.RedirectURIs, requested) {
		return true
	}
	if c.ApplicationType != ApplicationNative {
		return false
	}
	rest, ok := withoutLoopbackPort(requested)
	if !ok {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		r, ok := withoutLoopbackPort(registered)
		return ok && r == rest
	})
}

// withoutLoopbackPort cuts the port out of an http redirect URI to a loopback
// IP literal, working on the bytes so that no other spelling slips through.
func withoutLoopbackPort(raw string) (string, bool) {
	for _, origin := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, ok := strings.CutPrefix(raw, origin)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			digits := len(port) - len(strings.TrimLeft(port, "0123456789"))
			if digits == 0 || digits > 5 {
				return "", false
			}
			rest = port[digits:]
		}
		if rest != "" && rest[0] != '/' && rest[0] != '?' {
			return "", false
		}
		return origin + rest, true
	}
	return "", false
}

// RedirectOrigin returns whom a redirect URI hands the person to: scheme and
// host, without the port of a loopback address, or a private-use scheme alone.
func RedirectOrigin(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	switch {
	case u.Host == "":
		return u.Scheme + ":"
	case u.Scheme == "http":
		return u.Scheme + "://" + u.Hostname()
	}
	return u.Scheme + "://" + u.Host
}

// ImpersonationProof reports whether a redirect to uri can only reach the
// client itself, so that a remembered consent may be applied without asking
// again (RFC 6749 section 10.2, RFC 8252 section 8.6).
func (c *Client) ImpersonationProof(uri string) bool {
	if !c.Public() {
		return true
	}
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "https"
}
