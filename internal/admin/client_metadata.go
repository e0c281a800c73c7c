package admin

import (
	"context"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"idp/internal/idp"
)

const (
	maxURI         = 2048 // bytes
	maxList        = 64   // entries
	maxScope       = 4096 // bytes
	minTokenLife   = 60
	maxTokenLife   = 86400
	maxRefreshLife = 90 * 86400
	maxAuthAge     = 365 * 86400
)

// WithDefaults returns the metadata as they are stored: with what is given a
// default.
func WithDefaults(m idp.ClientMetadata) idp.ClientMetadata {
	withDefaults(&m)
	return m
}

// withDefaults fills in what RFC 7591 section 2 and OpenID Connect Dynamic
// Client Registration section 2 give a default.
func withDefaults(m *idp.ClientMetadata) {
	if m.ApplicationType == "" {
		m.ApplicationType = idp.ApplicationWeb
	}
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = idp.AuthClientSecretBasic
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{idp.GrantAuthorizationCode}
	}
	if len(m.ResponseTypes) == 0 && slices.Contains(m.GrantTypes, idp.GrantAuthorizationCode) {
		m.ResponseTypes = []string{"code"}
	}
}

// checkClient adds all faults of the metadata. Its error is one of reading
// what the metadata is compared with.
func (s *Service) checkClient(ctx context.Context, f *faults, m idp.ClientMetadata) error {
	f.name("client_name", m.ClientName)
	checkFlows(f, m)
	checkRedirectURIs(f, m)
	s.checkClientScopes(f, m)
	checkClientTokens(f, m)
	s.checkClientKeys(f, m)
	checkClientPages(f, m)
	checkLogoutURIs(f, m)
	checkOrigins(f, m.AllowedCORSOrigins)
	checkRequests(f, m)
	return s.checkAllowedGroups(ctx, f, m.AllowedGroups)
}

// checkFlows checks what the client may do and how it proves who it is.
func checkFlows(f *faults, m idp.ClientMetadata) {
	if m.ApplicationType != idp.ApplicationWeb && m.ApplicationType != idp.ApplicationNative {
		f.add("application_type", "must be web or native")
	}
	if !slices.Contains(authMethods(), m.TokenEndpointAuthMethod) {
		f.add("token_endpoint_auth_method", "must be one of %s", strings.Join(authMethods(), ", "))
	}
	public := m.TokenEndpointAuthMethod == idp.AuthNone
	known := []string{idp.GrantAuthorizationCode, idp.GrantClientCredentials, idp.GrantRefreshToken}
	for _, g := range m.GrantTypes {
		if !slices.Contains(known, g) {
			f.add("grant_types", "%q is not one of %s", g, strings.Join(known, ", "))
		}
	}
	if g := repeated(m.GrantTypes); g != "" {
		f.add("grant_types", "names %q twice", g)
	}
	code := slices.Contains(m.GrantTypes, idp.GrantAuthorizationCode)
	if public && slices.Contains(m.GrantTypes, idp.GrantClientCredentials) {
		f.add("grant_types", "client_credentials needs a client that authenticates (RFC 6749 section 4.4)")
	}
	if !code && slices.Contains(m.GrantTypes, idp.GrantRefreshToken) {
		f.add("grant_types", "refresh_token needs authorization_code: no other grant gives refresh tokens")
	}
	checkResponseTypes(f, m, code)
	if m.SecurityProfile != "" && !slices.Contains(idp.SecurityProfiles(), m.SecurityProfile) {
		f.add("security_profile", "must be one of %s", strings.Join(idp.SecurityProfiles(), ", "))
	}
	if public && m.PKCEOptional {
		f.add("pkce_optional", "a public client cannot go without PKCE (RFC 9700 section 2.1.1)")
	}
	if public && len(m.ResourceServerOf) > 0 {
		f.add("resource_server_of", "needs a client that authenticates (RFC 7662 section 2.1)")
	}
}

// checkResponseTypes lets through what the client's profile allows, in the
// canonical spelling.
func checkResponseTypes(f *faults, m idp.ClientMetadata, code bool) {
	if !code && len(m.ResponseTypes) > 0 {
		f.add("response_types", "must be empty without the authorization_code grant")
		return
	}
	if code && len(m.ResponseTypes) == 0 {
		f.add("response_types", "must name code, unless security_profile allows others")
	}
	for _, name := range m.ResponseTypes {
		t, ok := idp.ParseResponseType(name)
		switch {
		case !ok:
			f.add("response_types", "%q is not one of code, id_token, id_token token, code id_token, code token, code id_token token", name)
		case t.String() != name:
			f.add("response_types", "%q is written %q", name, t)
		case t.FrontChannel() && m.SecurityProfile != idp.ProfileOIDCLegacy:
			f.add("response_types", "%q needs security_profile oidc-legacy: tokens in a URL leak (RFC 9700 section 2.1.2)", name)
		}
	}
	if name := repeated(m.ResponseTypes); name != "" {
		f.add("response_types", "names %q twice", name)
	}
}

func checkRedirectURIs(f *faults, m idp.ClientMetadata) {
	code := slices.Contains(m.GrantTypes, idp.GrantAuthorizationCode)
	switch {
	case code && len(m.RedirectURIs) == 0:
		f.add("redirect_uris", "at least one is needed for the authorization_code grant")
	case !code && len(m.RedirectURIs) > 0:
		f.add("redirect_uris", "must be empty without the authorization_code grant")
	case len(m.RedirectURIs) > maxList:
		f.add("redirect_uris", "more than %d", maxList)
		return
	}
	if u := repeated(m.RedirectURIs); u != "" {
		f.add("redirect_uris", "%s: given twice", quoted(u))
	}
	for _, u := range m.RedirectURIs {
		if reason := redirectURIFault(u, m.ApplicationType == idp.ApplicationNative); reason != "" {
			f.add("redirect_uris", "%s: %s", quoted(u), reason)
		}
	}
}

// checkClientScopes checks that everything the client may ask for exists.
func (s *Service) checkClientScopes(f *faults, m idp.ClientMetadata) {
	resources := s.directory.Resources()
	if s.issuer != "" && !m.SelfRegistered { // nobody gets at the admin API by registering themselves
		resources = append(resources, idp.AdminResource(s.issuer))
	}
	find := func(audience string) *idp.Resource {
		i := slices.IndexFunc(resources, func(r *idp.Resource) bool { return r.Audience == audience })
		if i < 0 {
			return nil
		}
		return resources[i]
	}
	var own []*idp.Resource
	for _, list := range []struct {
		field     string
		audiences []string
	}{{"audience", m.Audience}, {"resource_server_of", m.ResourceServerOf}} {
		if len(list.audiences) > maxList {
			f.add(list.field, "more than %d", maxList)
			continue
		}
		if a := repeated(list.audiences); a != "" {
			f.add(list.field, "%s: given twice", quoted(a))
		}
		for _, a := range list.audiences {
			switch r := find(a); {
			case m.SelfRegistered && a == idp.AdminAudience(s.issuer):
				f.add(list.field, "the admin API is not for clients that register themselves")
			case r == nil:
				f.add(list.field, "no resource %s is registered", quoted(a))
			case list.field == "audience":
				own = append(own, r)
			}
		}
	}

	if len(m.Scope) > maxScope {
		f.add("scope", "is longer than %d bytes", maxScope)
		return
	}
	scopes := strings.Fields(m.Scope)
	if strings.Join(scopes, " ") != m.Scope {
		f.add("scope", "must be scopes with one space between them")
	}
	if sc := repeated(scopes); sc != "" {
		f.add("scope", "names %s twice", quoted(sc))
	}
	code := slices.Contains(m.GrantTypes, idp.GrantAuthorizationCode)
	for _, sc := range scopes {
		switch {
		case !scopeToken(sc):
			f.add("scope", "%s is not a scope (RFC 6749 section 3.3)", quoted(sc))
		case idp.IsIdentityScope(sc) && !code:
			f.add("scope", "%s is about a person and needs the authorization_code grant", sc)
		case sc == idp.ScopeOfflineAccess && !slices.Contains(m.GrantTypes, idp.GrantRefreshToken):
			f.add("scope", "offline_access needs the refresh_token grant")
		case idp.IsIdentityScope(sc):
		case !slices.ContainsFunc(own, func(r *idp.Resource) bool { _, ok := r.Scope(sc); return ok }):
			f.add("scope", "%s belongs to no resource in the client's audience%s", quoted(sc), ownersHint(resources, sc))
		}
	}
}

// ownersHint names the resources that have the scope, for a client that forgot
// to list one.
func ownersHint(resources []*idp.Resource, scope string) string {
	var owners []string
	for _, r := range resources {
		if _, ok := r.Scope(scope); ok {
			owners = append(owners, r.Audience)
		}
	}
	if len(owners) == 0 {
		return ", and no resource has it"
	}
	return "; add to audience: " + strings.Join(owners, " or ")
}

func checkClientTokens(f *faults, m idp.ClientMetadata) {
	algorithm(f, "id_token_signed_response_alg", m.IDTokenSignedResponseAlg)
	algorithm(f, "access_token_signing_alg", m.AccessTokenSigningAlg)
	tokenFormat(f, "access_token_format", m.AccessTokenFormat)
	seconds(f, "access_token_lifetime", m.AccessTokenLifetime, maxTokenLife)
	seconds(f, "refresh_token_idle", m.RefreshTokenIdle, maxRefreshLife)
	seconds(f, "refresh_token_lifetime", m.RefreshTokenLifetime, maxRefreshLife)
	if m.RefreshTokenIdle > m.RefreshTokenLifetime && m.RefreshTokenLifetime > 0 {
		f.add("refresh_token_idle", "is longer than refresh_token_lifetime")
	}
	if m.DefaultMaxAge != nil && (*m.DefaultMaxAge < 0 || *m.DefaultMaxAge > maxAuthAge) {
		f.add("default_max_age", "must be from 0 to %d seconds", maxAuthAge)
	}
}

func algorithm(f *faults, field, alg string) {
	if alg != "" && !slices.Contains(idp.Algorithms(), alg) {
		f.add(field, "must be one of %s", strings.Join(idp.Algorithms(), ", "))
	}
}

func tokenFormat(f *faults, field, format string) {
	if format != "" && format != idp.FormatJWT && format != idp.FormatOpaque {
		f.add(field, "must be jwt or opaque")
	}
}

// seconds checks a lifetime; 0 stands for the server's default.
func seconds(f *faults, field string, value, most int) {
	if value != 0 && (value < minTokenLife || value > most) {
		f.add(field, "must be from %d to %d seconds, or 0 for the default", minTokenLife, most)
	}
}

func checkClientPages(f *faults, m idp.ClientMetadata) {
	for _, page := range []struct{ field, uri string }{
		{"client_uri", m.ClientURI},
		{"logo_uri", m.LogoURI},
		{"policy_uri", m.PolicyURI},
		{"tos_uri", m.TosURI},
	} {
		if page.uri != "" {
			f.addIf(page.field, webURLFault(page.uri))
		}
	}
	if len(m.Contacts) > 10 {
		f.add("contacts", "more than 10")
	}
	for _, c := range m.Contacts {
		f.addIf("contacts", emailFault(c))
	}
}

// checkLogoutURIs checks where a sign-out leads and who hears of it (OpenID
// Connect RP-Initiated Logout section 3.1, Front-Channel Logout section 2,
// Back-Channel Logout section 2.2).
func checkLogoutURIs(f *faults, m idp.ClientMetadata) {
	if len(m.PostLogoutRedirectURIs) > maxList {
		f.add("post_logout_redirect_uris", "more than %d", maxList)
		return
	}
	if u := repeated(m.PostLogoutRedirectURIs); u != "" {
		f.add("post_logout_redirect_uris", "%s: given twice", quoted(u))
	}
	for _, u := range m.PostLogoutRedirectURIs {
		if reason := redirectURIFault(u, m.ApplicationType == idp.ApplicationNative); reason != "" {
			f.add("post_logout_redirect_uris", "%s: %s", quoted(u), reason)
		}
	}
	code := slices.Contains(m.GrantTypes, idp.GrantAuthorizationCode)
	for _, hears := range []struct {
		field, uri string
		session    bool
		fault      func(string, idp.ClientMetadata) string
	}{
		{"frontchannel_logout_uri", m.FrontchannelLogoutURI, m.FrontchannelLogoutSessionRequired, frontchannelFault},
		{"backchannel_logout_uri", m.BackchannelLogoutURI, m.BackchannelLogoutSessionRequired, func(uri string, _ idp.ClientMetadata) string { return webURLFault(uri) }},
	} {
		switch {
		case hears.uri == "" && hears.session:
			f.add(strings.Replace(hears.field, "_uri", "_session_required", 1), "needs %s", hears.field)
		case hears.uri == "":
		case !code:
			f.add(hears.field, "needs the authorization_code grant: nobody signs in to this client")
		default:
			f.addIf(hears.field, hears.fault(hears.uri, m))
		}
	}
}

// frontchannelFault says why the URL cannot be loaded in people's browsers: it
// has to be where the client lives already, and to leave room for what the
// server adds.
func frontchannelFault(uri string, m idp.ClientMetadata) string {
	if reason := webURLFault(uri); reason != "" {
		return reason
	}
	_, raw, _ := strings.Cut(uri, "?")
	query, err := url.ParseQuery(raw)
	if err != nil || query.Has("iss") || query.Has("sid") {
		return "the query must be readable, and not hold iss or sid, which the server sets"
	}
	if !slices.ContainsFunc(m.RedirectURIs, func(redirect string) bool { return sameOrigin(redirect, uri) }) {
		return "scheme, host and port must be those of a redirect URI"
	}
	return ""
}

func sameOrigin(a, b string) bool {
	one, err := url.Parse(a)
	if err != nil {
		return false
	}
	other, err := url.Parse(b)
	return err == nil && one.Scheme == other.Scheme && one.Host == other.Host
}

func checkOrigins(f *faults, origins []string) {
	if len(origins) > maxList {
		f.add("allowed_cors_origins", "more than %d", maxList)
		return
	}
	if o := repeated(origins); o != "" {
		f.add("allowed_cors_origins", "%s: given twice", quoted(o))
	}
	for _, o := range origins {
		if reason := originFault(o); reason != "" {
			f.add("allowed_cors_origins", "%s: %s", quoted(o), reason)
		}
	}
}

func (s *Service) checkAllowedGroups(ctx context.Context, f *faults, names []string) error {
	if len(names) == 0 {
		return nil
	}
	groups, err := s.store.Groups(ctx)
	if err != nil {
		return fmt.Errorf("admin: read groups: %w", err)
	}
	for _, name := range names {
		if !slices.ContainsFunc(groups, func(g idp.Group) bool { return g.Name == name }) {
			f.add("allowed_groups", "no group %s exists", quoted(name))
		}
	}
	if name := repeated(names); name != "" {
		f.add("allowed_groups", "%s: given twice", quoted(name))
	}
	return nil
}

// emailFault checks an address as RFC 5322 writes it, without a display name.
func emailFault(address string) string {
	if reason := textFault(address, 254, ""); reason != "" {
		return reason
	}
	if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
		return quoted(address) + " is not an e-mail address"
	}
	return ""
}

// quoted shows the input in a message, short and without anything that could
// act on a terminal.
func quoted(input string) string {
	const most = 120
	if len(input) > most {
		return fmt.Sprintf("%+q…", input[:most])
	}
	return fmt.Sprintf("%+q", input)
}
