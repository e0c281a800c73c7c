package idp

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Grant types, RFC 6749 sections 4.1, 4.2, 4.4 and 6. The implicit one is a word
// of metadata only: response types say what a client gets that way.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantImplicit          = "implicit"
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
)

// Client authentication methods, RFC 7591 section 2.
const (
	AuthNone              = "none"
	AuthClientSecretBasic = "client_secret_basic"
	AuthClientSecretPost  = "client_secret_post"
	AuthClientSecretJWT   = "client_secret_jwt"
	AuthPrivateKeyJWT     = "private_key_jwt"
)

// Application types, OpenID Connect Dynamic Client Registration section 2.
const (
	ApplicationWeb    = "web"
	ApplicationNative = "native"
)

// Security profiles: how strict the protocol is towards a client.
const (
	// ProfileBaseline is what RFC 9700 and OAuth 2.1 ask: code and PKCE only.
	ProfileBaseline = "baseline"
	// ProfileOIDCLegacy also allows what OpenID Connect Core defines and newer
	// advice discourages: the implicit and hybrid response types.
	ProfileOIDCLegacy = "oidc-legacy"
)

// SecurityProfiles lists the profiles.
func SecurityProfiles() []string { return []string{ProfileBaseline, ProfileOIDCLegacy} }

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

	// The client's own public keys: JWKS or JWKSURI, never both.
	JWKS    JWKSet `json:"jwks,omitempty" yaml:"jwks,omitempty"`
	JWKSURI string `json:"jwks_uri,omitempty" yaml:"jwks_uri,omitempty"`
	// TokenEndpointAuthSigningAlg is the one algorithm that its assertions may
	// be signed with; empty allows all of AssertionAlgorithms that its keys fit.
	TokenEndpointAuthSigningAlg string `json:"token_endpoint_auth_signing_alg,omitempty" yaml:"token_endpoint_auth_signing_alg,omitempty"`

	IDTokenSignedResponseAlg string `json:"id_token_signed_response_alg,omitempty" yaml:"id_token_signed_response_alg,omitempty"`
	// With an encryption alg, ID tokens and userinfo are encrypted to the
	// client's key after they were signed; an empty enc is A128CBC-HS256.
	IDTokenEncryptedResponseAlg  string `json:"id_token_encrypted_response_alg,omitempty" yaml:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEncryptedResponseEnc  string `json:"id_token_encrypted_response_enc,omitempty" yaml:"id_token_encrypted_response_enc,omitempty"`
	UserinfoSignedResponseAlg    string `json:"userinfo_signed_response_alg,omitempty" yaml:"userinfo_signed_response_alg,omitempty"`
	UserinfoEncryptedResponseAlg string `json:"userinfo_encrypted_response_alg,omitempty" yaml:"userinfo_encrypted_response_alg,omitempty"`
	UserinfoEncryptedResponseEnc string `json:"userinfo_encrypted_response_enc,omitempty" yaml:"userinfo_encrypted_response_enc,omitempty"`

	DefaultMaxAge   *int `json:"default_max_age,omitempty" yaml:"default_max_age,omitempty"` // seconds
	RequireAuthTime bool `json:"require_auth_time,omitempty" yaml:"require_auth_time,omitempty"`

	// RequestURIs are where it keeps request objects, RequestObjectSigningAlg is
	// the one algorithm that they may be signed with; empty allows all of
	// AssertionAlgorithms (RFC 9101, OpenID Connect Core section 6).
	RequestURIs             []string `json:"request_uris,omitempty" yaml:"request_uris,omitempty"`
	RequestObjectSigningAlg string   `json:"request_object_signing_alg,omitempty" yaml:"request_object_signing_alg,omitempty"`
	// RequestObjectEncryptionAlg is how it may encrypt them to the server after
	// signing; empty allows no encryption, an empty enc all ContentEncryptions.
	RequestObjectEncryptionAlg string `json:"request_object_encryption_alg,omitempty" yaml:"request_object_encryption_alg,omitempty"`
	RequestObjectEncryptionEnc string `json:"request_object_encryption_enc,omitempty" yaml:"request_object_encryption_enc,omitempty"`
	// RequireSignedRequestObject refuses its authorization requests that are not
	// in a signed request object (RFC 9101 section 10.5).
	RequireSignedRequestObject bool `json:"require_signed_request_object,omitempty" yaml:"require_signed_request_object,omitempty"`

	// InitiateLoginURI is where others may send people to sign in at the client
	// (OpenID Connect Core section 4).
	InitiateLoginURI    string   `json:"initiate_login_uri,omitempty" yaml:"initiate_login_uri,omitempty"`
	SectorIdentifierURI string   `json:"sector_identifier_uri,omitempty" yaml:"sector_identifier_uri,omitempty"`
	SubjectType         string   `json:"subject_type,omitempty" yaml:"subject_type,omitempty"`
	DefaultACRValues    []string `json:"default_acr_values,omitempty" yaml:"default_acr_values,omitempty"`
	SoftwareID          string   `json:"software_id,omitempty" yaml:"software_id,omitempty"`
	SoftwareVersion     string   `json:"software_version,omitempty" yaml:"software_version,omitempty"`

	// SoftwareStatement is what it registered with, as it was presented (RFC 7591
	// section 2.3). What it says is in the other fields already.
	SoftwareStatement string `json:"software_statement,omitempty" yaml:"software_statement,omitempty"`

	// MetadataDocument says that its client_id is the address of a document, and
	// that all this is read from there.
	MetadataDocument bool `json:"metadata_document,omitempty" yaml:"metadata_document,omitempty"`

	// SelfRegistered says that nobody here looked at it: it registered itself
	// (RFC 7591). Registration sets it.
	SelfRegistered bool `json:"self_registered,omitempty" yaml:"self_registered,omitempty"`
	// Verified says that an operator vouches for it nevertheless.
	Verified bool `json:"verified,omitempty" yaml:"verified,omitempty"`

	// SecurityProfile is one of SecurityProfiles; empty is baseline.
	SecurityProfile string `json:"security_profile,omitempty" yaml:"security_profile,omitempty"`
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
	// RequirePushedAuthorizationRequests refuses its authorization requests that
	// were not pushed (RFC 9126 section 6).
	RequirePushedAuthorizationRequests bool `json:"require_pushed_authorization_requests,omitempty" yaml:"require_pushed_authorization_requests,omitempty"`

	// PostLogoutRedirectURIs are where a sign-out may send people back to
	// (OpenID Connect RP-Initiated Logout section 3.1).
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty" yaml:"post_logout_redirect_uris,omitempty"`
	// FrontchannelLogoutURI is loaded in the person's browser when the session
	// ends there (OpenID Connect Front-Channel Logout section 2).
	FrontchannelLogoutURI             string `json:"frontchannel_logout_uri,omitempty" yaml:"frontchannel_logout_uri,omitempty"`
	FrontchannelLogoutSessionRequired bool   `json:"frontchannel_logout_session_required,omitempty" yaml:"frontchannel_logout_session_required,omitempty"`
	// BackchannelLogoutURI is sent a logout token however the session ends
	// (OpenID Connect Back-Channel Logout section 2.2).
	BackchannelLogoutURI             string `json:"backchannel_logout_uri,omitempty" yaml:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired bool   `json:"backchannel_logout_session_required,omitempty" yaml:"backchannel_logout_session_required,omitempty"`

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
	Logo             string // hash of the picture that is stored for it; empty for none
	Disabled         bool
	TokensValidAfter time.Time // tokens issued before are dead; zero for none
	CreatedAt        time.Time
	UpdatedAt        time.Time
}

// ClientSecret is one secret of a client, as it is stored. Two live side by
// side while a secret is rotated.
type ClientSecret struct {
	ID   ID
	Hash string // "hmac-sha256:<base64url>" for generated ones, a PHC string for imported ones
	// Sealed is the secret itself under the master key, for clients of
	// client_secret_jwt alone: an HMAC cannot be checked with a hash.
	Sealed    []byte
	CreatedAt time.Time
	ExpiresAt time.Time // zero for never
}

// Unverified reports whether nobody vouches for the client. People are told so,
// and sent to it only where they chose to go.
func (c *ClientMetadata) Unverified() bool { return c.SelfRegistered && !c.Verified }

// Public reports whether the client holds no credentials (RFC 6749 section 2.1).
func (c *Client) Public() bool { return c.TokenEndpointAuthMethod == AuthNone }

// AssertsItself reports whether the client authenticates by signing a JWT.
// Subject types, OpenID Connect Core section 8.
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// Sector names the clients that know people by the same pairwise identifiers
// (OpenID Connect Core section 8.1): the host of sector_identifier_uri, or of
// the redirect URIs if all have the same and it is nobody else's, as the
// loopback is. It is empty for a client of public subjects, and for one whose
// sector cannot be told.
func (c *ClientMetadata) Sector() string {
	if c.SubjectType != SubjectPairwise {
		return ""
	}
	uris := c.RedirectURIs
	if c.SectorIdentifierURI != "" {
		uris = []string{c.SectorIdentifierURI}
	}
	sector := ""
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || sector != "" && sector != u.Hostname() {
			return ""
		}
		sector = u.Hostname()
	}
	return sector
}

func (c *Client) AssertsItself() bool {
	return c.TokenEndpointAuthMethod == AuthPrivateKeyJWT || c.TokenEndpointAuthMethod == AuthClientSecretJWT
}

// HasGrantType reports whether the client is registered for the grant type.
func (c *Client) HasGrantType(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// Scopes returns the scopes that the client may ask for.
func (c *Client) Scopes() []string { return strings.Fields(c.Scope) }

// RequiresPKCE reports whether an authorization request without a code
// challenge is refused. Public clients cannot be excused (RFC 9700 section 2.1.1).
func (c *Client) RequiresPKCE() bool { return c.Public() || !c.PKCEOptional }

// AllowsResponseType reports whether the client is registered for a response
// type in its canonical spelling (see ResponseType.String).
func (c *Client) AllowsResponseType(responseType string) bool {
	if responseType != "code" && c.SecurityProfile != ProfileOIDCLegacy {
		return false
	}
	return slices.Contains(c.ResponseTypes, responseType) || len(c.ResponseTypes) == 0 && responseType == "code"
}

// HearsOfLogout reports whether the client wants to be told that a session
// ended in which it was granted something.
func (c *Client) HearsOfLogout() bool {
	return c.BackchannelLogoutURI != "" || c.FrontchannelLogoutURI != ""
}

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
