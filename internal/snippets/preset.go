package snippets

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"idp/internal/idp"
)

// Preset returns what a client for a stack is registered with, so that nothing
// is wrong with it for the stack but what nobody can know beforehand. As JSON it
// is a merge patch (RFC 7396) of a client's metadata. Complete goes on once the
// redirect URIs are known. A service lacks its audience still. There is no preset
// for what guards an API: it is the API that is registered, not the guard.
func Preset(name string) (m idp.ClientMetadata, ok bool) {
	s, ok := find(name)
	if !ok || s.use == GuardAPI {
		return m, false
	}
	kinds := []idp.ClientMetadata{
		{TokenEndpointAuthMethod: idp.AuthClientSecretBasic},
		{TokenEndpointAuthMethod: idp.AuthNone},
		{TokenEndpointAuthMethod: idp.AuthNone, ApplicationType: idp.ApplicationNative},
	}
	for i := range kinds {
		kinds[i].GrantTypes = []string{idp.GrantAuthorizationCode}
	}
	kinds = append(kinds, idp.ClientMetadata{TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: []string{idp.GrantClientCredentials}})
	i := slices.IndexFunc(kinds, func(m idp.ClientMetadata) bool { return s.suits(&idp.Client{ClientMetadata: m}) })
	if i < 0 {
		return m, false
	}
	m = kinds[i]
	if s.use == CallAPI {
		return m, true
	}
	if len(s.methods) > 0 && !slices.Contains(s.methods, m.TokenEndpointAuthMethod) {
		m.TokenEndpointAuthMethod = s.methods[0]
	}
	if len(s.algs) > 0 {
		m.IDTokenSignedResponseAlg = s.algs[0]
	}
	scopes := []string{idp.ScopeOpenID, idp.ScopeProfile, idp.ScopeEmail}
	if s.groups {
		scopes = append(scopes, idp.ScopeMemberships)
	}
	if m.ApplicationType == idp.ApplicationNative { // nobody signs in on a telephone every hour
		scopes = append(scopes, idp.ScopeOfflineAccess)
		m.GrantTypes = append(m.GrantTypes, idp.GrantRefreshToken)
	}
	m.Scope, m.PKCEOptional = strings.Join(scopes, " "), s.noPKCE
	return m, true
}

// Complete adds to metadata that began with a stack's preset what follows from
// its redirect URIs: the path that the stack is called back at to those that are
// an origin alone, the stack's other redirect URIs, and the origin that the
// scripts of a page call from.
func Complete(name string, m *idp.ClientMetadata) {
	s, ok := find(name)
	if !ok || s.use != SignIn {
		return
	}
	at := strings.ReplaceAll(cmp.Or(s.says, "/callback"), "NAME", "idp")
	redirects := slices.Clone(m.RedirectURIs)
	var origins []string
	for i, uri := range redirects {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || slices.Contains(s.alsoAt, uri) {
			continue
		}
		origin := u.Scheme + "://" + u.Host
		if uri == origin || uri == origin+"/" {
			redirects[i] = origin + at
		}
		if !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	for _, uri := range s.alsoAt {
		if !slices.Contains(redirects, uri) {
			redirects = append(redirects, uri)
		}
	}
	m.RedirectURIs = redirects
	if m.TokenEndpointAuthMethod == idp.AuthNone && m.ApplicationType != idp.ApplicationNative && m.AllowedCORSOrigins == nil {
		m.AllowedCORSOrigins = origins
	}
}

func find(name string) (stack, bool) {
	all := stacks()
	i := slices.IndexFunc(all, func(s stack) bool { return s.name == name })
	if i < 0 {
		return stack{}, false
	}
	return all[i], true
}
