package idp

import (
	"slices"
	"time"
)

// The scopes that belong to the issuer itself (OpenID Connect Core sections
// 5.4 and 11, and groups, which many applications know). Every other scope
// belongs to one resource.
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeAddress       = "address"
	ScopePhone         = "phone"
	ScopeMemberships   = "groups"
	ScopeOfflineAccess = "offline_access"
)

// IdentityScopes lists the issuer's own scopes.
func IdentityScopes() []string {
	return []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress, ScopePhone, ScopeMemberships, ScopeOfflineAccess}
}

// IsIdentityScope reports whether the scope is one of the issuer's own.
func IsIdentityScope(scope string) bool { return slices.Contains(IdentityScopes(), scope) }

// Authorization claims that a resource may ask for in its access tokens
// (RFC 9068 section 2.2.3.1). The scope groups opens the first to clients.
const (
	ClaimGroups       = "groups"
	ClaimRoles        = "roles"
	ClaimEntitlements = "entitlements"
)

// Resource is an API that takes access tokens (RFC 8707). It rules their
// audience, scopes, format, algorithm and lifetime.
type Resource struct {
	Audience string `json:"audience" yaml:"audience"` // an absolute URI without fragment
	ResourceMetadata
	CreatedAt time.Time `json:"-" yaml:"-"`
	UpdatedAt time.Time `json:"-" yaml:"-"`
}

// ResourceMetadata is what a resource is registered with.
type ResourceMetadata struct {
	Name                  string          `json:"name,omitempty" yaml:"name,omitempty"`
	Scopes                []ResourceScope `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	Claims                []string        `json:"claims,omitempty" yaml:"claims,omitempty"` // of groups, roles, entitlements
	AccessTokenFormat     string          `json:"access_token_format,omitempty" yaml:"access_token_format,omitempty"`
	AccessTokenSigningAlg string          `json:"access_token_signing_alg,omitempty" yaml:"access_token_signing_alg,omitempty"`
	AccessTokenLifetime   int             `json:"access_token_lifetime,omitempty" yaml:"access_token_lifetime,omitempty"` // seconds; 0 is the default
}

// ResourceScope is one permission of a resource.
type ResourceScope struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"` // for the consent page
	// RequiresRole grants the scope to a person only who holds a role that
	// bundles it.
	RequiresRole bool `json:"requires_role,omitempty" yaml:"requires_role,omitempty"`
}

// Scope returns the resource's scope of that name.
func (r *Resource) Scope(name string) (ResourceScope, bool) {
	i := slices.IndexFunc(r.Scopes, func(s ResourceScope) bool { return s.Name == name })
	if i < 0 {
		return ResourceScope{}, false
	}
	return r.Scopes[i], true
}

// DisplayName is the name that people are shown.
func (r *Resource) DisplayName() string { return firstOf(r.Name, r.Audience) }

// Role bundles scopes of resources. Users hold it directly or by a group.
type Role struct {
	Name        string      `json:"name" yaml:"name"`
	Description string      `json:"description,omitempty" yaml:"description,omitempty"`
	Scopes      []RoleScope `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	Groups      []string    `json:"groups,omitempty" yaml:"groups,omitempty"` // whose members hold the role
}

// RoleScope names one scope of one resource.
type RoleScope struct {
	Audience string `json:"audience" yaml:"audience"`
	Scope    string `json:"scope" yaml:"scope"`
}

// Group is a named set of users.
type Group struct {
	Name        string
	Description string
	CreatedAt   time.Time
}

// Memberships are the groups that a person is in and the roles given to the
// person directly. Both sorted.
type Memberships struct {
	Groups []string
	Roles  []string
}

// maxTokenGroups bounds what groups add to a token, in bytes of JSON: signed,
// encrypted and beside everything else it stays below 8 KiB, which headers,
// cookies and addresses still carry.
const maxTokenGroups = 3 << 10

// TokenGroups returns the groups as a token tells them: all, or none when they
// take too much room. Never some: who reads a list takes what is not in it for
// what the person is not.
func (m Memberships) TokenGroups() (groups []string, ok bool) {
	size := len("[]")
	for _, name := range m.Groups {
		size += len(name) + len(`"",`)
	}
	if size > maxTokenGroups {
		return nil, false
	}
	return m.Groups, true
}

// EffectiveRoles returns the sorted names of the roles that somebody with these
// memberships holds, directly or by a group.
func (m Memberships) EffectiveRoles(all []Role) []string {
	var names []string
	for _, role := range all {
		if slices.Contains(m.Roles, role.Name) || slices.ContainsFunc(role.Groups, func(g string) bool { return slices.Contains(m.Groups, g) }) {
			names = append(names, role.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Entitlements returns the sorted scopes of the audience that the roles bundle.
func Entitlements(all []Role, held []string, audience string) []string {
	var scopes []string
	for _, role := range all {
		if !slices.Contains(held, role.Name) {
			continue
		}
		for _, s := range role.Scopes {
			if s.Audience == audience {
				scopes = append(scopes, s.Scope)
			}
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
