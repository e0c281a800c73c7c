package adminapi

import (
	"net/http"

	"idp/internal/idp"
)

// Roles answers /admin/roles.
func (a *API) Roles(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeRolesRead, listRoles},
		http.MethodPost: {idp.ScopeRoles, createRole},
	})
}

// Role answers /admin/roles/{role}.
func (a *API) Role(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeRolesRead, getRole},
		http.MethodPut:    {idp.ScopeRoles, replaceRole},
		http.MethodPatch:  {idp.ScopeRoles, patchRole},
		http.MethodDelete: {idp.ScopeRoles, deleteRole},
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

func listRoles(c *call) (answer, error) {
	p, err := c.page("roles")
	if err != nil {
		return answer{}, err
	}
	all, err := c.admin.Roles(c.Context())
	if err != nil {
		return answer{}, err
	}
	return listed(c, p, sorted(all, roleName), roleName)
}

func roleName(r idp.Role) string { return r.Name }

func createRole(c *call) (answer, error) {
	var in idp.Role
	if err := c.input(&in); err != nil {
		return answer{}, err
	}
	if err := c.admin.CreateRole(c.Context(), in); err != nil {
		return answer{}, err
	}
	return c.created(in, "roles", in.Name), nil
}

func getRole(c *call) (answer, error) {
	found, err := c.admin.Role(c.Context(), c.PathValue("role"))
	if err != nil {
		return answer{}, err
	}
	return shown(found), nil
}

func replaceRole(c *call) (answer, error) {
	return c.changeRole(func(idp.Role) (in idp.Role, err error) { return in, c.input(&in) })
}

func patchRole(c *call) (answer, error) {
	return c.changeRole(func(before idp.Role) (in idp.Role, err error) { return in, c.patched(before, &in) })
}

func (c *call) changeRole(read func(before idp.Role) (idp.Role, error)) (answer, error) {
	before, err := c.admin.Role(c.Context(), c.PathValue("role"))
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(before)); err != nil {
		return answer{}, err
	}
	in, err := read(before)
	if err != nil {
		return answer{}, err
	}
	if in.Name != "" && in.Name != before.Name {
		return answer{}, invalidMember("name", "is another one than the address names")
	}
	after, err := c.admin.UpdateRole(c.Context(), before.Name, func(r *idp.Role) { *r = in })
	if err != nil {
		return answer{}, err
	}
	return shown(after), nil
}

func deleteRole(c *call) (answer, error) {
	found, err := c.admin.Role(c.Context(), c.PathValue("role"))
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(found)); err != nil {
		return answer{}, err
	}
	return gone(c.admin.DeleteRole(c.Context(), found.Name))
}
