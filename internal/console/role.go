package console

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

// changeMember changes who is in a group.
func (v *visit) changeMember(group, who string, change func(ctx context.Context, group, who string) error) error {
	if err := v.mayChange(group); err != nil {
		return err
	}
	return change(v.Context(), group, who)
}

// roleScope is a permission of a role in one text: neither part has spaces.
func roleScope(s idp.RoleScope) string { return s.Audience + " " + s.Scope }

func listRoles(v *visit) error {
	p := v.frame(rolesPath, "Roles")
	p.Lead = "Roles bundle permissions of APIs. People hold them by a group, or directly."
	p.Actions = []web.ConsoleLink{{Title: "Make a role", To: "/console/new-role", Primary: true}}
	all, err := v.admin.Roles(v.Context())
	if err != nil {
		return err
	}
	search := v.URL.Query().Get("search")
	all = slices.DeleteFunc(all, func(r idp.Role) bool { return !matches(search, r.Name, r.Description) })
	part, next := pageOf(v, rolesPath, all, func(r idp.Role) string { return r.Name })
	t := web.ConsoleTable{ID: "roles", Columns: []string{"Name", "What it is for", "Grants", "Held by groups"}, Next: next, Empty: "There are no roles yet.", Search: v.search(rolesPath, "Name")}
	for _, r := range part {
		var scopes []string
		for _, s := range r.Scopes {
			scopes = append(scopes, s.Scope)
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			{Text: r.Name, To: pathOf(rolesPath, r.Name)}, plain(r.Description), some(scopes), some(r.Groups),
		}})
	}
	if t.Search.Active {
		t.Empty = "No role is like that."
	}
	p.Parts = []web.ConsolePart{t}
	return v.show(p)
}

// some is a list in a cell, shortened.
func some(texts []string) web.ConsoleCell {
	const most = 4
	if len(texts) > most {
		return web.ConsoleCell{Text: strings.Join(texts[:most], " "), Code: true, Note: "and others"}
	}
	return code(strings.Join(texts, " "))
}

// roleFields ask for what a role is.
func (v *visit) roleFields(r idp.Role) ([]web.ConsoleField, error) {
	resources, err := v.admin.Resources(v.Context())
	if err != nil {
		return nil, err
	}
	fields := []web.ConsoleField{v.line("description", "What it is for", "", r.Description)}
	var held []string
	for _, s := range r.Scopes {
		held = append(held, roleScope(s))
	}
	var options []web.ConsoleOption
	for _, api := range resources {
		for _, s := range api.Scopes {
			if !idp.IsAdminScope(s.Name) {
				options = append(options, web.ConsoleOption{
					Value: roleScope(idp.RoleScope{Audience: api.Audience, Scope: s.Name}), Label: s.Name, Hint: strings.TrimPrefix(s.Description+" · "+api.DisplayName(), " · "),
				})
			}
		}
	}
	if len(options) > 0 {
		fields = append(fields, v.ticks("scopes", "What it grants", "", held, options...))
	}
	options, err = groups(v)
	if len(options) > 0 {
		fields = append(fields, v.ticks("groups", "Groups whose members hold it", "", r.Groups, options...))
	}
	return fields, err
}

// readRole reads what roleFields asked for.
func (v *visit) readRole(r *idp.Role) {
	r.Description, r.Groups, r.Scopes = v.text("description"), v.chosen("groups"), nil
	for _, chosen := range v.chosen("scopes") {
		audience, scope, _ := strings.Cut(chosen, " ")
		r.Scopes = append(r.Scopes, idp.RoleScope{Audience: audience, Scope: scope})
	}
}

func showNewRole(v *visit) error {
	fields, err := v.roleFields(idp.Role{})
	if err != nil {
		return err
	}
	p := v.frame(rolesPath, "Make a role")
	p.Trail = []web.ConsoleLink{{Title: "Roles", To: rolesPath}}
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "role", To: "/console/new-role", Submit: "Make it", Cancel: rolesPath,
		Groups: []web.ConsoleGroup{{Fields: append([]web.ConsoleField{must(v.line("name", "Name", "Such as editor. It stays: applications may know it.", ""))}, fields...)}},
	}}
	return v.show(p)
}

func createRole(v *visit) error {
	r := idp.Role{Name: v.text("name")}
	v.readRole(&r)
	return v.then(v.admin.CreateRole(v.Context(), r), pathOf(rolesPath, r.Name), "saved")
}

func (v *visit) role() (idp.Role, error) { return v.admin.Role(v.Context(), v.PathValue("role")) }

func showRole(v *visit) error {
	r, err := v.role()
	if err != nil {
		return err
	}
	fields, err := v.roleFields(r)
	if err != nil {
		return err
	}
	holders, err := v.admin.Holders(v.Context(), r.Name)
	if err != nil {
		return err
	}
	at := pathOf(rolesPath, r.Name)
	p := v.frame(rolesPath, r.Name)
	p.Trail = []web.ConsoleLink{{Title: "Roles", To: rolesPath}}
	p.Lead = r.Description
	p.Actions = []web.ConsoleLink{{Title: "Delete", To: at + "/delete", Danger: true}}
	table := v.memberTable(at, "Take away", holders, "It was given to nobody directly.")
	table.Title, table.Lead = "Given directly", "Who is in one of its groups holds it as well, and is not here."
	p.Parts = []web.ConsolePart{
		web.ConsoleForm{ID: "role", To: at, Hidden: action("save"), Submit: "Save", Groups: []web.ConsoleGroup{{Fields: fields}}},
		table,
		web.ConsoleForm{ID: "add", Title: "Give it to somebody", To: at, Hidden: action("add"), Submit: "Give", Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			must(v.line("user", "User name", "", "")),
		}}}},
	}
	return v.show(p)
}

func changeRole(v *visit) error {
	r, err := v.role()
	if err != nil {
		return err
	}
	at := pathOf(rolesPath, r.Name)
	switch v.form.Get("action") {
	case "add":
		who, err := v.named("user")
		if err != nil {
			return err
		}
		return v.then(v.admin.AssignRole(v.Context(), r.Name, who), at, "added")
	case "remove":
		return v.then(v.admin.UnassignRole(v.Context(), r.Name, v.form.Get("member")), at, "removed")
	}
	_, err = v.admin.UpdateRole(v.Context(), r.Name, v.readRole)
	return v.then(err, at, "saved")
}

func askDeleteRole(v *visit) error {
	r, err := v.role()
	if err != nil {
		return err
	}
	p := v.confirmation(rolesPath, "Delete the role "+r.Name+"?", "Everybody who holds it loses what it grants.", "Delete", pathOf(rolesPath, r.Name))
	p.Trail = []web.ConsoleLink{{Title: "Roles", To: rolesPath}, {Title: r.Name, To: pathOf(rolesPath, r.Name)}}
	return v.show(p)
}

func deleteRole(v *visit) error {
	return v.then(v.admin.DeleteRole(v.Context(), v.PathValue("role")), rolesPath, "deleted")
}

// What a person is in, and holds.

func showUserGroups(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	m, err := v.admin.Memberships(v.Context(), u.ID)
	if err != nil {
		return err
	}
	all, err := v.admin.Groups(v.Context())
	if err != nil {
		return err
	}
	roles, err := v.admin.Roles(v.Context())
	if err != nil {
		return err
	}
	at := userPath(&u) + "/groups"
	p := v.person(&u, "/groups")
	in := web.ConsoleTable{ID: "groups", Title: "Groups", Columns: []string{"Group", "What it is for", "Actions"}, Empty: "They are in none."}
	others := []web.ConsoleOption{{Label: "–"}}
	for _, g := range all {
		if !slices.Contains(m.Groups, g.Name) {
			others = append(others, web.ConsoleOption{Value: g.Name, Label: g.Name})
			continue
		}
		in.Rows = append(in.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{{Text: g.Name, To: pathOf(groupsPath, g.Name)}, plain(g.Description)}, Actions: []web.ConsoleButton{{
			Title: "Remove", Label: "Remove from " + g.Name, To: at, Danger: true, Fields: append(action("leave"), web.Field{Name: "group", Value: g.Name}),
		}}})
	}
	p.Parts = append(p.Parts, in)
	if len(others) > 1 {
		p.Parts = append(p.Parts, web.ConsoleForm{ID: "join", Title: "Add to a group", To: at, Hidden: action("join"), Submit: "Add", Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			v.choice("group", "Group", "", "", others...),
		}}}})
	}
	held := web.ConsoleTable{ID: "roles", Title: "Roles", Columns: []string{"Role", "Held", "Grants", "Actions"}, Empty: "They hold none."}
	free := []web.ConsoleOption{{Label: "–"}}
	for _, r := range roles {
		directly := slices.Contains(m.Roles, r.Name)
		if !directly {
			free = append(free, web.ConsoleOption{Value: r.Name, Label: r.Name})
		}
		by := slices.DeleteFunc(slices.Clone(r.Groups), func(g string) bool { return !slices.Contains(m.Groups, g) })
		if !directly && len(by) == 0 {
			continue
		}
		var grants []string
		for _, s := range r.Scopes {
			grants = append(grants, s.Scope)
		}
		how := plain("Directly")
		if len(by) > 0 {
			how = plain(cmp.Or(map[bool]string{true: "Directly, and by "}[directly], "By ") + strings.Join(by, ", "))
		}
		row := web.ConsoleRow{Cells: []web.ConsoleCell{{Text: r.Name, To: pathOf(rolesPath, r.Name)}, how, some(grants)}}
		if directly {
			row.Actions = []web.ConsoleButton{{
				Title: "Take away", Label: "Take away " + r.Name, To: at, Danger: true, Fields: append(action("take"), web.Field{Name: "role", Value: r.Name}),
			}}
		}
		held.Rows = append(held.Rows, row)
	}
	p.Parts = append(p.Parts, held)
	if len(free) > 1 {
		p.Parts = append(p.Parts, web.ConsoleForm{ID: "give", Title: "Give a role", To: at, Hidden: action("give"), Submit: "Give", Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			v.choice("role", "Role", "", "", free...),
		}}}})
	}
	return v.show(p)
}

func changeUserGroups(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	at := userPath(&u) + "/groups"
	group, role := v.form.Get("group"), v.form.Get("role")
	what := v.form.Get("action")
	switch {
	case what == "join" && group == "":
		return idp.Invalid("group", "is not chosen")
	case what == "give" && role == "":
		return idp.Invalid("role", "is not chosen")
	case what == "join":
		return v.then(v.changeMember(group, u.ID, v.admin.AddMember), at, "added")
	case what == "leave":
		return v.then(v.changeMember(group, u.ID, v.admin.RemoveMember), at, "removed")
	case what == "give":
		return v.then(v.admin.AssignRole(v.Context(), role, u.ID), at, "added")
	case what == "take":
		return v.then(v.admin.UnassignRole(v.Context(), role, u.ID), at, "removed")
	}
	return v.see(at, "")
}
