package idp

import (
	"slices"
	"strings"
)

// The scopes of the admin API. They belong to the issuer, as the API does:
// nobody can register others of their kind.
const (
	ScopeAdmin       = "idp.admin"      // everything
	ScopeAdminRead   = "idp.admin.read" // reading everything
	ScopeClients     = "idp.clients"
	ScopeClientsRead = "idp.clients.read"
	ScopeUsers       = "idp.users"
	ScopeUsersRead   = "idp.users.read"
	ScopeGroups      = "idp.groups"
	ScopeGroupsRead  = "idp.groups.read"
	ScopeRoles       = "idp.roles"
	ScopeRolesRead   = "idp.roles.read"
	// ScopeResources is for the APIs that take tokens of this issuer.
	ScopeResources     = "idp.resources"
	ScopeResourcesRead = "idp.resources.read"
	ScopeKeys          = "idp.keys"
	ScopeKeysRead      = "idp.keys.read"
	// ScopeSignInRules is for what is asked of people who sign in.
	ScopeSignInRules     = "idp.sign_in_rules"
	ScopeSignInRulesRead = "idp.sign_in_rules.read"
	ScopeAuditRead       = "idp.audit.read"
)

// adminScopePrefix begins every scope of the admin API, those that are yet to
// come among them.
const adminScopePrefix = "idp."

// IsAdminScope reports whether the scope is one of the admin API's, or would be.
func IsAdminScope(scope string) bool { return strings.HasPrefix(scope, adminScopePrefix) }

// AdminGroup is the group that a person must be in for the admin API to answer
// an application that acts for them.
const AdminGroup = "idp-admins"

// AdminAudience is what access tokens for the admin API are for.
func AdminAudience(issuer string) string { return issuer + "/admin" }

// AdminResource is the admin API as clients name it. It is there without
// anybody having registered it.
func AdminResource(issuer string) *Resource {
	return &Resource{
		Audience: AdminAudience(issuer),
		ResourceMetadata: ResourceMetadata{
			Name: "Administration",
			Scopes: []ResourceScope{
				{Name: ScopeAdmin, Description: "Manage everything here"},
				{Name: ScopeAdminRead, Description: "See everything that is managed here"},
				{Name: ScopeClients, Description: "Manage applications"},
				{Name: ScopeClientsRead, Description: "See applications"},
				{Name: ScopeUsers, Description: "Manage people and their sessions"},
				{Name: ScopeUsersRead, Description: "See people and their sessions"},
				{Name: ScopeGroups, Description: "Manage groups and who is in them"},
				{Name: ScopeGroupsRead, Description: "See groups and who is in them"},
				{Name: ScopeRoles, Description: "Manage roles and who holds them"},
				{Name: ScopeRolesRead, Description: "See roles"},
				{Name: ScopeResources, Description: "Manage APIs"},
				{Name: ScopeResourcesRead, Description: "See APIs"},
				{Name: ScopeKeys, Description: "Rotate and retire signing keys"},
				{Name: ScopeKeysRead, Description: "See signing keys"},
				{Name: ScopeSignInRules, Description: "Manage what is asked of people who sign in"},
				{Name: ScopeSignInRulesRead, Description: "See what is asked of people who sign in"},
				{Name: ScopeAuditRead, Description: "See what happened"},
			},
			AccessTokenFormat: FormatJWT,
		},
	}
}

// Authority is what somebody may do who manages things here: the scopes of the
// admin API that they hold. Nil is the operator at the machine, who may do all.
type Authority []string

// Holds reports whether the authority covers a scope of the admin API: it is
// held itself, or one that holds more.
func (a Authority) Holds(scope string) bool {
	if a == nil || slices.Contains(a, ScopeAdmin) || slices.Contains(a, scope) {
		return true
	}
	area, read := strings.CutSuffix(scope, ".read")
	return read && (slices.Contains(a, ScopeAdminRead) || slices.Contains(a, area))
}

// Bearer is a live access token, and the person behind it.
type Bearer struct {
	Token       AccessToken
	User        *User // nil for client credentials
	Memberships Memberships
}
