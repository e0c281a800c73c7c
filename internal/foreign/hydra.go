package foreign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"idp/internal/declared"
	"idp/internal/idp"
)

// hydraClient is a client as Ory Hydra's list and its admin API show it: the
// names of RFC 7591, and its own.
type hydraClient struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`

	ClientName              string     `json:"client_name"`
	RedirectURIs            []string   `json:"redirect_uris"`
	GrantTypes              []string   `json:"grant_types"`
	ResponseTypes           []string   `json:"response_types"`
	Scope                   string     `json:"scope"`
	Audience                []string   `json:"audience"`
	TokenEndpointAuthMethod string     `json:"token_endpoint_auth_method"`
	SigningAlg              string     `json:"token_endpoint_auth_signing_alg"`
	ClientURI               string     `json:"client_uri"`
	LogoURI                 string     `json:"logo_uri"`
	PolicyURI               string     `json:"policy_uri"`
	TosURI                  string     `json:"tos_uri"`
	Contacts                []string   `json:"contacts"`
	JWKS                    idp.JWKSet `json:"jwks"`
	JWKSURI                 string     `json:"jwks_uri"`
	SubjectType             string     `json:"subject_type"`
	SectorIdentifierURI     string     `json:"sector_identifier_uri"`
	RequestURIs             []string   `json:"request_uris"`
	RequestObjectSigningAlg string     `json:"request_object_signing_alg"`
	UserinfoSigningAlg      string     `json:"userinfo_signed_response_alg"`
	PostLogoutRedirectURIs  []string   `json:"post_logout_redirect_uris"`
	FrontchannelLogoutURI   string     `json:"frontchannel_logout_uri"`
	FrontchannelSession     bool       `json:"frontchannel_logout_session_required"`
	BackchannelLogoutURI    string     `json:"backchannel_logout_uri"`
	BackchannelSession      bool       `json:"backchannel_logout_session_required"`

	AllowedCORSOrigins []string        `json:"allowed_cors_origins"`
	SkipConsent        bool            `json:"skip_consent"`
	AccessTokens       string          `json:"access_token_strategy"`
	Owner              string          `json:"owner"`
	Metadata           json.RawMessage `json:"metadata"`

	CodeAccessTokenLife    string `json:"authorization_code_grant_access_token_lifespan"`
	ServiceAccessTokenLife string `json:"client_credentials_grant_access_token_lifespan"`
	CodeRefreshTokenLife   string `json:"authorization_code_grant_refresh_token_lifespan"`
}

// hydra reads what `hydra list clients --format json` prints, an array of
// clients, or one client after the other.
func (h Here) hydra(t *text) ([]declared.Object, error) {
	all, err := t.hydraClients()
	if err != nil {
		return nil, err
	}
	var objects []declared.Object
	for i, m := range all {
		o := declared.Object{Kind: declared.KindClient, Where: fmt.Sprintf("%s clients[%d]", t.at(m.begin), i)}
		var c hydraClient
		if t.decode(&o, m, &c) {
			h.hydraClient(&o, c)
		}
		o.Name = c.ClientID
		objects = append(objects, o)
	}
	return objects, nil
}

func (t *text) hydraClients() ([]member, error) {
	var all []member
	for begin := 0; ; {
		begin += len(t.raw[begin:]) - len(bytes.TrimLeft(t.raw[begin:], " \t\r\n"))
		if begin == len(t.raw) {
			return all, nil
		}
		decoder := json.NewDecoder(bytes.NewReader(t.raw[begin:]))
		value := member{begin: begin}
		if err := decoder.Decode(&value.raw); err != nil {
			return nil, t.syntax(member{raw: t.raw[begin:], begin: begin}, err)
		}
		begin += int(decoder.InputOffset())
		if value.raw[0] != '{' {
			items, err := t.members(value)
			if err != nil || value.raw[0] != '[' {
				return nil, fmt.Errorf("%s: must be a list of clients, as hydra list clients --format json prints it", t.at(value.begin))
			}
			all = append(all, items...)
			continue
		}
		members, err := t.members(value)
		if err != nil {
			return nil, err
		}
		switch i := slices.IndexFunc(members, func(m member) bool { return m.name == "items" }); {
		case i >= 0:
			items, err := t.members(members[i])
			if err != nil {
				return nil, err
			}
			all = append(all, items...)
		case slices.ContainsFunc(members, func(m member) bool { return m.name == "client_id" }):
			all = append(all, value)
		default:
			return nil, fmt.Errorf("%s: is neither a list of clients nor a client", t.at(value.begin))
		}
	}
}

func (h Here) hydraClient(o *declared.Object, c hydraClient) {
	w := &o.Client
	w.ClientID, w.ClientName = c.ClientID, strings.TrimSpace(c.ClientName)
	w.TokenEndpointAuthMethod = c.TokenEndpointAuthMethod
	if w.TokenEndpointAuthMethod == "" {
		w.TokenEndpointAuthMethod = idp.AuthClientSecretBasic
	}
	public := w.TokenEndpointAuthMethod == idp.AuthNone
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{idp.GrantAuthorizationCode}
	}
	implicit := false
	for _, g := range c.GrantTypes {
		switch g {
		case idp.GrantAuthorizationCode, idp.GrantRefreshToken, idp.GrantClientCredentials:
			w.GrantTypes = append(w.GrantTypes, g)
		case idp.GrantImplicit:
			implicit = true
		default:
			note(o, "grant type %s is left out: it is not to be had here", shown(g))
		}
	}
	if implicit && !slices.Contains(w.GrantTypes, idp.GrantAuthorizationCode) {
		w.GrantTypes = append(w.GrantTypes, idp.GrantAuthorizationCode) // response types say the rest
	}
	if slices.Contains(w.GrantTypes, idp.GrantAuthorizationCode) {
		responseTypes(o, c.ResponseTypes)
		if public && isNative(c.RedirectURIs) {
			w.ApplicationType = idp.ApplicationNative
		}
		native := w.ApplicationType == idp.ApplicationNative
		w.RedirectURIs = redirectURIs(o, "redirect_uris", c.RedirectURIs, native)
		w.PostLogoutRedirectURIs = redirectURIs(o, "post_logout_redirect_uris", c.PostLogoutRedirectURIs, native)
		w.FrontchannelLogoutURI, w.FrontchannelLogoutSessionRequired = c.FrontchannelLogoutURI, c.FrontchannelSession
		w.BackchannelLogoutURI, w.BackchannelLogoutSessionRequired = c.BackchannelLogoutURI, c.BackchannelSession
		pkce(o)
	}
	h.scopes(o, strings.Fields(c.Scope), c.Audience)

	w.ClientURI, w.LogoURI = page(o, "client_uri", c.ClientURI), page(o, "logo_uri", c.LogoURI)
	w.PolicyURI, w.TosURI = page(o, "policy_uri", c.PolicyURI), page(o, "tos_uri", c.TosURI)
	w.Contacts = c.Contacts
	w.AllowedCORSOrigins = origins(o, "allowed_cors_origins", c.AllowedCORSOrigins)
	w.JWKSURI = c.JWKSURI
	if set := string(c.JWKS); set != "{}" && set != "" {
		w.JWKS = c.JWKS
	}
	w.TokenEndpointAuthSigningAlg = c.SigningAlg
	w.RequestURIs, w.RequestObjectSigningAlg = c.RequestURIs, c.RequestObjectSigningAlg
	if c.UserinfoSigningAlg != "none" {
		w.UserinfoSignedResponseAlg = c.UserinfoSigningAlg
	}
	w.SkipConsent = c.SkipConsent
	switch c.AccessTokens {
	case idp.FormatJWT, idp.FormatOpaque:
		w.AccessTokenFormat = c.AccessTokens
	}
	if c.SubjectType == idp.SubjectPairwise {
		w.SubjectType, w.SectorIdentifierURI = idp.SubjectPairwise, c.SectorIdentifierURI
		note(o, "subject_type is pairwise: the application sees other identifiers than before, which nobody can carry over")
	}
	if slices.Contains(w.GrantTypes, idp.GrantAuthorizationCode) {
		w.AccessTokenLifetime = duration(o, "authorization_code_grant_access_token_lifespan", c.CodeAccessTokenLife, maxAccessToken)
	} else {
		w.AccessTokenLifetime = duration(o, "client_credentials_grant_access_token_lifespan", c.ServiceAccessTokenLife, maxAccessToken)
	}
	w.RefreshTokenLifetime = duration(o, "authorization_code_grant_refresh_token_lifespan", c.CodeRefreshTokenLife, maxRefreshToken)
	if c.Owner != "" {
		note(o, "owner is left out")
	}
	if text := string(c.Metadata); text != "" && text != "{}" && text != "null" {
		note(o, "metadata is left out")
	}
	secret(o, c.ClientSecret)
}

// duration reads how long something lives, in seconds.
func duration(o *declared.Object, field, text string, most int) int {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		d = -1
	}
	return lifetime(o, field, int(d/time.Second), most)
}
