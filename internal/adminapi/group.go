package adminapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// group is a group as the API shows it.
type group struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
}

// member is a person as one in a list of members.
type member struct {
	Sub      string `json:"sub"`
	Username string `json:"username"`
}

// Groups answers /admin/groups.
func (a *API) Groups(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeGroupsRead, listGroups},
		http.MethodPost: {idp.ScopeGroups, createGroup},
	})
}

// Group answers /admin/groups/{group}.
func (a *API) Group(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeGroupsRead, getGroup},
		http.MethodDelete: {idp.ScopeGroups, deleteGroup},
	})
}

// GroupMembers answers /admin/groups/{group}/members.
func (a *API) GroupMembers(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeGroupsRead, personal("members", listMembers)}})
}

// GroupMember answers /admin/groups/{group}/members/{user_id}.
func (a *API) GroupMember(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodPut: {idp.ScopeGroups, func(c *call) (answer, error) {
			return c.member(func(userID string) error { return c.admin.AddMember(c.Context(), c.PathValue("group"), userID) })
		}},
		http.MethodDelete: {idp.ScopeGroups, func(c *call) (answer, error) {
			return c.member(func(userID string) error { return c.admin.RemoveMember(c.Context(), c.PathValue("group"), userID) })
		}},
	})
}

// member does something with the person that the address names.
func (c *call) member(do func(userID string) error) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	return gone(do(u.ID))
}

func viewGroup(g idp.Group) group { return group{g.Name, g.Description, g.CreatedAt} }

// sorted returns the values by name, as pages need them.
func sorted[T any](all []T, name func(T) string) []T {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return all
}

func listGroups(c *call) (answer, error) {
	p, err := c.page("groups")
	if err != nil {
		return answer{}, err
	}
	all, err := c.admin.Groups(c.Context())
	if err != nil {
		return answer{}, err
	}
	var views []group
	for _, g := range all {
		views = append(views, viewGroup(g))
	}
	name := func(g group) string { return g.Name }
	return listed(c, p, sorted(views, name), name)
}

func createGroup(c *call) (answer, error) {
	var in group
	if err := c.input(&in, "created_at"); err != nil {
		return answer{}, err
	}
	made, err := c.admin.CreateGroup(c.Context(), in.Name, in.Description)
	if err != nil {
		return answer{}, err
	}
	return c.created(viewGroup(made), "groups", made.Name), nil
}

func getGroup(c *call) (answer, error) {
	found, err := c.admin.Group(c.Context(), c.PathValue("group"))
	if err != nil {
		return answer{}, err
	}
	return shown(viewGroup(found)), nil
}

func deleteGroup(c *call) (answer, error) {
	return gone(c.admin.DeleteGroup(c.Context(), c.PathValue("group")))
}

func listMembers(c *call) (answer, error) {
	p, err := c.page("members of " + c.PathValue("group"))
	if err != nil {
		return answer{}, err
	}
	all, err := c.admin.Members(c.Context(), c.PathValue("group"))
	if err != nil {
		return answer{}, err
	}
	var views []member
	for _, u := range all {
		views = append(views, member{u.ID, u.Username})
	}
	sub := func(m member) string { return m.Sub }
	return listed(c, p, sorted(views, sub), sub)
}
