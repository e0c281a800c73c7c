package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Document says which features are on. Paths begin with a slash and are
// relative to the issuer; an empty one says that the endpoint does not exist,
// and what belongs to it is then left out as well.
type Document struct {
	Issuer string // as configured, byte for byte

	AuthorizationPath       string
	TokenPath               string
	UserinfoPath            string
	JWKSPath                string
	RevocationPath          string
	IntrospectionPath       string
	RegistrationPath        string // RFC 7591
	PushedAuthorizationPath string // RFC 9126
	DeviceAuthorizationPath string // RFC 8628
	EndSessionPath          string // OpenID Connect RP-Initiated Logout 1.0
	CheckSessionPath        string // OpenID Connect Session Management 1.0

	// FrontchannelLogout and BackchannelLogout say that clients are told of the
	// end of a session, by its sid.
	FrontchannelLogout bool // OpenID Connect Front-Channel Logout 1.0
	BackchannelLogout  bool // OpenID Connect Back-Channel Logout 1.0

	// RequestObjectAlgs are what clients may sign request objects with (RFC 9101);
	// none says that there are no request objects.
	RequestObjectAlgs []string
	// RequirePushedAuthorizationRequests says that every client has to push
	// (RFC 9126 section 5).
	RequirePushedAuthorizationRequests bool

	Scopes        []string // all that may be asked for, those of resources included
	Claims        []string // what userinfo and ID tokens may tell of a person
	ACRValues     []string
	GrantTypes    []string
	ResponseTypes []string
	ResponseModes []string
	PromptValues  []string
	UILocales     []string // BCP 47

	TokenAuthMethods         []string
	RevocationAuthMethods    []string
	IntrospectionAuthMethods []string
	AuthSigningAlgs          []string // of client assertions, at all of these endpoints

	MetadataDocuments bool // client_id may be the address of a metadata document
	ClaimsParameter   bool // the claims request parameter (OIDC Core section 5.5)

	IDTokenSigningAlgs  []string // RS256 must be among them (OIDC Discovery section 3)
	UserinfoSigningAlgs []string
	EncryptionAlgs      []string // of ID tokens, userinfo and request objects
	EncryptionEncs      []string

	ServiceDocumentation string // URL for developers
	PolicyURI            string
	TosURI               string
}

// Page is one rendered document.
type Page struct {
	Body []byte
	ETag string // strong, as it goes on the wire
}

// Pages holds both documents.
type Pages struct {
	OpenIDConfiguration         Page
	AuthorizationServerMetadata Page
}

// metadata is the wire form. Lists without elements are left out (RFC 8414
// section 3.2). All names are in the "OAuth Authorization Server Metadata"
// registry; resource indicators (RFC 8707) have none there.
type metadata struct {
	Issuer                             string `json:"issuer"`
	AuthorizationEndpoint              string `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                      string `json:"token_endpoint,omitempty"`
	UserinfoEndpoint                   string `json:"userinfo_endpoint,omitempty"`
	JWKSURI                            string `json:"jwks_uri,omitempty"`
	RegistrationEndpoint               string `json:"registration_endpoint,omitempty"`
	RevocationEndpoint                 string `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint              string `json:"introspection_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint,omitempty"`
	DeviceAuthorizationEndpoint        string `json:"device_authorization_endpoint,omitempty"`
	EndSessionEndpoint                 string `json:"end_session_endpoint,omitempty"`
	CheckSessionIframe                 string `json:"check_session_iframe,omitempty"`

	FrontchannelLogout        bool `json:"frontchannel_logout_supported,omitempty"`
	FrontchannelLogoutSession bool `json:"frontchannel_logout_session_supported,omitempty"`
	BackchannelLogout         bool `json:"backchannel_logout_supported,omitempty"`
	BackchannelLogoutSession  bool `json:"backchannel_logout_session_supported,omitempty"`

	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported []string `json:"response_types_supported"`
	ResponseModesSupported []string `json:"response_modes_supported,omitempty"`
	GrantTypesSupported    []string `json:"grant_types_supported,omitempty"`
	PromptValuesSupported  []string `json:"prompt_values_supported,omitempty"`
	ACRValuesSupported     []string `json:"acr_values_supported,omitempty"`
	SubjectTypesSupported  []string `json:"subject_types_supported"`
	ClaimTypesSupported    []string `json:"claim_types_supported,omitempty"`
	ClaimsSupported        []string `json:"claims_supported,omitempty"`
	UILocalesSupported     []string `json:"ui_locales_supported,omitempty"`

	IDTokenSigningAlgs            []string `json:"id_token_signing_alg_values_supported,omitempty"`
	IDTokenEncryptionAlgs         []string `json:"id_token_encryption_alg_values_supported,omitempty"`
	IDTokenEncryptionEncs         []string `json:"id_token_encryption_enc_values_supported,omitempty"`
	UserinfoSigningAlgs           []string `json:"userinfo_signing_alg_values_supported,omitempty"`
	UserinfoEncryptionAlgs        []string `json:"userinfo_encryption_alg_values_supported,omitempty"`
	UserinfoEncryptionEncs        []string `json:"userinfo_encryption_enc_values_supported,omitempty"`
	CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported,omitempty"`
	TokenAuthMethods              []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenAuthSigningAlgs          []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationAuthMethods         []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationAuthSigningAlgs     []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionAuthMethods      []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionAuthSigningAlgs  []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`

	// Written even when false: request_uri_parameter_supported would otherwise
	// default to true (OIDC Discovery section 3).
	AuthorizationResponseIss bool `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter          bool `json:"claims_parameter_supported"`
	MetadataDocuments        bool `json:"client_id_metadata_document_supported,omitempty"`
	RequestParameter         bool `json:"request_parameter_supported"`
	RequestURIParameter      bool `json:"request_uri_parameter_supported"`
	// No address is read that was not registered.
	RequireRequestURIRegistration bool     `json:"require_request_uri_registration,omitempty"`
	RequestObjectSigningAlgs      []string `json:"request_object_signing_alg_values_supported,omitempty"`
	RequestObjectEncryptionAlgs   []string `json:"request_object_encryption_alg_values_supported,omitempty"`
	RequestObjectEncryptionEncs   []string `json:"request_object_encryption_enc_values_supported,omitempty"`

	RequirePushedAuthorizationRequests bool `json:"require_pushed_authorization_requests,omitempty"`

	ServiceDocumentation string `json:"service_documentation,omitempty"`
	OPPolicyURI          string `json:"op_policy_uri,omitempty"`
	OPTosURI             string `json:"op_tos_uri,omitempty"`
}

// Render builds both documents. They are the same bytes: RFC 8414's registry
// took in the names of OpenID Connect, and one document cannot contradict
// itself. The same Document always gives the same bytes and the same ETag, on
// every node.
func Render(d Document) Pages {
	// A slash that ends the issuer is removed before a path is appended (OIDC
	// Discovery section 4.1).
	base := strings.TrimSuffix(d.Issuer, "/")
	endpoint := func(path string) string {
		if path == "" {
			return ""
		}
		return base + path
	}
	m := metadata{
		Issuer:                             d.Issuer,
		AuthorizationEndpoint:              endpoint(d.AuthorizationPath),
		TokenEndpoint:                      endpoint(d.TokenPath),
		UserinfoEndpoint:                   endpoint(d.UserinfoPath),
		JWKSURI:                            endpoint(d.JWKSPath),
		RegistrationEndpoint:               endpoint(d.RegistrationPath),
		RevocationEndpoint:                 endpoint(d.RevocationPath),
		IntrospectionEndpoint:              endpoint(d.IntrospectionPath),
		PushedAuthorizationRequestEndpoint: endpoint(d.PushedAuthorizationPath),
		DeviceAuthorizationEndpoint:        endpoint(d.DeviceAuthorizationPath),
		EndSessionEndpoint:                 endpoint(d.EndSessionPath),
		CheckSessionIframe:                 endpoint(d.CheckSessionPath),
		FrontchannelLogout:                 d.FrontchannelLogout,
		FrontchannelLogoutSession:          d.FrontchannelLogout,
		BackchannelLogout:                  d.BackchannelLogout,
		BackchannelLogoutSession:           d.BackchannelLogout,
		ScopesSupported:                    d.Scopes,
		ResponseTypesSupported:             d.ResponseTypes,
		ResponseModesSupported:             d.ResponseModes,
		GrantTypesSupported:                d.GrantTypes,
		PromptValuesSupported:              d.PromptValues,
		ACRValuesSupported:                 d.ACRValues,
		SubjectTypesSupported:              []string{"public", "pairwise"},
		ClaimTypesSupported:                []string{"normal"},
		ClaimsParameter:                    d.ClaimsParameter,
		MetadataDocuments:                  d.MetadataDocuments,
		ClaimsSupported:                    d.Claims,
		UILocalesSupported:                 d.UILocales,
		IDTokenSigningAlgs:                 d.IDTokenSigningAlgs,
		ServiceDocumentation:               d.ServiceDocumentation,
		OPPolicyURI:                        d.PolicyURI,
		OPTosURI:                           d.TosURI,

		RequirePushedAuthorizationRequests: d.RequirePushedAuthorizationRequests,
	}
	if m.ResponseTypesSupported == nil {
		m.ResponseTypesSupported = []string{} // required, even when there are none
	}
	if m.AuthorizationEndpoint != "" {
		m.CodeChallengeMethodsSupported = []string{"S256"} // RFC 9700 section 2.1.1: never plain
		m.AuthorizationResponseIss = true                  // RFC 9207 section 3
	}
	if len(m.IDTokenSigningAlgs) > 0 {
		m.IDTokenEncryptionAlgs, m.IDTokenEncryptionEncs = d.EncryptionAlgs, d.EncryptionEncs
	}
	if m.UserinfoEndpoint != "" {
		m.UserinfoSigningAlgs = d.UserinfoSigningAlgs
		m.UserinfoEncryptionAlgs, m.UserinfoEncryptionEncs = d.EncryptionAlgs, d.EncryptionEncs
	}
	if m.AuthorizationEndpoint != "" && len(d.RequestObjectAlgs) > 0 {
		m.RequestParameter, m.RequestURIParameter, m.RequireRequestURIRegistration = true, true, true
		m.RequestObjectSigningAlgs = d.RequestObjectAlgs
		m.RequestObjectEncryptionAlgs, m.RequestObjectEncryptionEncs = d.EncryptionAlgs, d.EncryptionEncs
	}
	if m.TokenEndpoint != "" {
		m.TokenAuthMethods, m.TokenAuthSigningAlgs = d.TokenAuthMethods, d.AuthSigningAlgs
	}
	if m.RevocationEndpoint != "" {
		m.RevocationAuthMethods, m.RevocationAuthSigningAlgs = d.RevocationAuthMethods, d.AuthSigningAlgs
	}
	if m.IntrospectionEndpoint != "" {
		m.IntrospectionAuthMethods, m.IntrospectionAuthSigningAlgs = d.IntrospectionAuthMethods, d.AuthSigningAlgs
	}
	page := render(m)
	return Pages{OpenIDConfiguration: page, AuthorizationServerMetadata: page}
}

func render(m metadata) Page {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // URLs stay readable; the media type is JSON and nosniff is set
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		panic(err) // strings, lists of strings and booleans always encode
	}
	return Page{Body: body.Bytes(), ETag: etagOf(body.Bytes())}
}

func etagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}
