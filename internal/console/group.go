package console

import (
	"errors"
	"slices"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

const (
	groupsPath = "/console/groups"
	rolesPath  = "/console/roles"
)

// mayChange refuses to make an administrator, or to make somebody none any more,
// by a sign-in that is not of a moment ago.
func (v *visit) mayChange(group string) error {
	if group == idp.AdminGroup && !v.who.Confirmed {
		return errStale
	}
	return nil
}

// named is the person that a form names.
func (v *visit) named(field string) (string, error) {
	u, err := v.admin.User(v.Context(), v.text(field))
	if errors.Is(err, idp.ErrNotFound) {
		return "", idp.Invalid(field, "is nobody's user name")
	}
	return u.ID, err
}

// memberTable lists people who can be taken out of something.
func (v *visit) memberTable(path, verb string, members []idp.User, empty string) web.ConsoleTable {
	part, next := pageOf(v, path, members, func(u idp.User) string { return strings.ToLower(u.Username) })
	t := web.ConsoleTable{ID: "members", Columns: []string{"Name", "User name", "E-mail address", "Actions"}, Empty: empty, Next: next}
	for _, u := range part {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: userCells(&u), Actions: []web.ConsoleButton{{
			Title: verb, Label: verb + " " + u.DisplayName(), To: path, Danger: true, Fields: append(action("remove"), web.Field{Name: "member", Value: u.ID}),
		}}})
	}
	return t
}

func listGroups(v *visit) error {
	p := v.frame(groupsPath, "Groups")
	p.Lead = "Groups hold roles, and open applications to those who are in them. Applications may be told of them."
	p.Actions = []web.ConsoleLink{{Title: "Make a group", To: "/console/new-group", Primary: true}}
	all, err := v.admin.Groups(v.Context())
	if err != nil {
		return err
	}
	search := v.URL.Query().Get("search")
	all = slices.DeleteFunc(all, func(g idp.Group) bool { return !matches(search, g.Name, g.Description) })
	part, next := pageOf(v, groupsPath, all, func(g idp.Group) string { return g.Name })
	t := web.ConsoleTable{ID: "groups", Columns: []string{"Name", "What it is for", "Since"}, Next: next, Empty: "There are no groups yet.", Search: v.search(groupsPath, "Name")}
	for _, g := range part {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{{Text: g.Name, To: pathOf(groupsPath, g.Name)}, plain(g.Description), {At: g.CreatedAt}}})
	}
	if t.Search.Active {
		t.Empty = "No group is like that."
	}
	p.Parts = []web.ConsolePart{t}
	return v.show(p)
}

// search is a search by name alone.
func (v *visit) search(path, label string) *web.ConsoleSearch {
	typed := v.URL.Query().Get("search")
	return &web.ConsoleSearch{To: path, Active: typed != "", Fields: []web.ConsoleField{{Kind: web.FieldSearch, Name: "search", Label: label, Value: typed}}}
}

func showNewGroup(v *visit) error {
	p := v.frame(groupsPath, "Make a group")
	p.Trail = []web.ConsoleLink{{Title: "Groups", To: groupsPath}}
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "group", To: "/console/new-group", Submit: "Make it", Cancel: groupsPath,
		Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			must(v.line("name", "Name", "Such as sales/emea. It stays: applications may know it.", "")),
			v.line("description", "What it is for", "", ""),
		}}},
	}}
	return v.show(p)
}

func createGroup(v *visit) error {
	if err := v.mayChange(v.text("name")); err != nil {
		return err
	}
	g, err := v.admin.CreateGroup(v.Context(), v.text("name"), v.text("description"))
	return v.then(err, pathOf(groupsPath, g.Name), "saved")
}

func (v *visit) group() (idp.Group, error) { return v.admin.Group(v.Context(), v.PathValue("group")) }

func showGroup(v *visit) error {
	g, err := v.group()
	if err != nil {
		return err
	}
	members, err := v.admin.Members(v.Context(), g.Name)
	if err != nil {
		return err
	}
	roles, err := v.admin.Roles(v.Context())
	if err != nil {
		return err
	}
	clients, err := v.admin.Clients(v.Context())
	if err != nil {
		return err
	}
	at := pathOf(groupsPath, g.Name)
	p := v.frame(groupsPath, g.Name)
	p.Trail = []web.ConsoleLink{{Title: "Groups", To: groupsPath}}
	p.Lead = g.Description
	if g.Name == idp.AdminGroup {
		p.Badges = []web.ConsoleBadge{{Text: "Administrators", Tone: "warn"}}
	} else {
		p.Actions = []web.ConsoleLink{{Title: "Delete", To: at + "/delete", Danger: true}}
	}
	opens := web.ConsoleFacts{ID: "opens", Title: "What it opens", Facts: []web.ConsoleFact{{Name: "Roles"}, {Name: "Applications", Hint: "Of those that let in certain groups only."}}}
	for _, r := range roles {
		if slices.Contains(r.Groups, g.Name) {
			opens.Facts[0].Values = append(opens.Facts[0].Values, web.ConsoleCell{Text: r.Name, To: pathOf(rolesPath, r.Name)})
		}
	}
	for _, c := range clients {
		if slices.Contains(c.AllowedGroups, g.Name) {
			opens.Facts[1].Values = append(opens.Facts[1].Values, web.ConsoleCell{Text: c.DisplayName(), To: clientPath(c.ClientID)})
		}
	}
	table := v.memberTable(at, "Remove", members, "Nobody is in it yet.")
	table.Title = "Members"
	p.Parts = []web.ConsolePart{
		table,
		web.ConsoleForm{ID: "add", Title: "Add somebody", To: at, Hidden: action("add"), Submit: "Add", Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			must(v.line("user", "User name", "", "")),
		}}}},
		opens,
		web.ConsoleForm{ID: "group", Title: "What it is for", To: at, Hidden: action("save"), Submit: "Save", Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			v.line("description", "In a sentence", "", g.Description),
		}}}},
	}
	return v.show(p)
}

func changeGroup(v *visit) error {
	g, err := v.group()
	if err != nil {
		return err
	}
	at := pathOf(groupsPath, g.Name)
	switch v.form.Get("action") {
	case "add":
		who, err := v.named("user")
		if err != nil {
			return err
		}
		return v.then(v.changeMember(g.Name, who, v.admin.AddMember), at, "added")
	case "remove":
		return v.then(v.changeMember(g.Name, v.form.Get("member"), v.admin.RemoveMember), at, "removed")
	}
	_, err = v.admin.UpdateGroup(v.Context(), g.Name, func(g *idp.Group) { g.Description = v.text("description") })
	return v.then(err, at, "saved")
}

func askDeleteGroup(v *visit) error {
	g, err := v.group()
	if err != nil {
		return err
	}
	p := v.confirmation(groupsPath, "Delete the group "+g.Name+"?",
		"What it opened to its members is shut to them. A group that an application or a role names stays until they name it no more.", "Delete", pathOf(groupsPath, g.Name))
	p.Trail = []web.ConsoleLink{{Title: "Groups", To: groupsPath}, {Title: g.Name, To: pathOf(groupsPath, g.Name)}}
	return v.show(p)
}

func deleteGroup(v *visit) error {
	return v.then(v.admin.DeleteGroup(v.Context(), v.PathValue("group")), groupsPath, "deleted")
}
