package adminapi

import (
	"net/http"

	"idp/internal/admin"
	"idp/internal/idp"
)

func roles() named[idp.Role] {
	return named[idp.Role]{
		path: "roles", value: "role", name: func(r idp.Role) string { return r.Name },
		all: (*admin.Service).Roles, one: (*admin.Service).Role, add: (*admin.Service).CreateRole,
		change: (*admin.Service).UpdateRole, remove: (*admin.Service).DeleteRole,
	}
}

// Roles answers /admin/roles.
func (a *API) Roles(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeRolesRead, roles().list},
		http.MethodPost: {idp.ScopeRoles, roles().create},
	})
}

// Role answers /admin/roles/{role}.
func (a *API) Role(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeRolesRead, roles().get},
		http.MethodPut:    {idp.ScopeRoles, roles().replace},
		http.MethodPatch:  {idp.ScopeRoles, roles().patch},
		http.MethodDelete: {idp.ScopeRoles, roles().delete},
	})
}

// RoleMember answers /admin/roles/{role}/members/{user_id}: who holds the role
// directly.
func (a *API) RoleMember(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodPut: {idp.ScopeRoles, func(c *call) (answer, error) {
			return c.member(func(userID string) error { return c.admin.AssignRole(c.Context(), c.PathValue("role"), userID) })
		}},
		http.MethodDelete: {idp.ScopeRoles, func(c *call) (answer, error) {
			return c.member(func(userID string) error { return c.admin.UnassignRole(c.Context(), c.PathValue("role"), userID) })
		}},
	})
}
