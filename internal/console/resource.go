package console

import (
	"fmt"
	"slices"
	"strconv"

	"idp/internal/idp"
	"idp/web"
)

const resourcesPath = "/console/resources"

func listResources(v *visit) error {
	p := v.frame(resourcesPath, "APIs")
	p.Lead = "What access tokens are for. Each API has an audience, and permissions that applications ask for as scopes."
	p.Actions = []web.ConsoleLink{{Title: "Register an API", To: "/console/new-resource", Primary: true}}
	all, err := v.admin.Resources(v.Context())
	if err != nil {
		return err
	}
	search := v.URL.Query().Get("search")
	all = slices.DeleteFunc(all, func(r idp.Resource) bool {
		return !matches(search, r.Name, r.Audience) || r.Audience == idp.AdminAudience(v.console.Issuer)
	})
	part, next := pageOf(v, resourcesPath, all, func(r idp.Resource) string { return r.Audience })
	t := web.ConsoleTable{ID: "resources", Columns: []string{"Name", "Audience", "Permissions", "Registered"}, Next: next, Empty: "There are no APIs yet.", Search: v.search(resourcesPath, "Name or audience")}
	for _, r := range part {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			{Text: r.DisplayName(), To: pathOf(resourcesPath, r.Audience)}, code(r.Audience), plain(strconv.Itoa(len(r.Scopes))), {At: r.CreatedAt},
		}})
	}
	if t.Search.Active {
		t.Empty = "No API is like that."
	}
	p.Parts = []web.ConsolePart{t}
	return v.show(p)
}

func showNewResource(v *visit) error {
	p := v.frame(resourcesPath, "Register an API")
	p.Trail = []web.ConsoleLink{{Title: "APIs", To: resourcesPath}}
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "resource", To: "/console/new-resource", Submit: "Register", Cancel: resourcesPath,
		Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			must(v.line("audience", "Audience", "An address that names it, such as https://api.example.com. It stays: tokens say it.", "")),
			v.line("name", "Name", "What people see when they are asked.", ""),
		}}},
	}}
	return v.show(p)
}

func createResource(v *visit) error {
	r, err := v.admin.CreateResource(v.Context(), v.text("audience"), idp.ResourceMetadata{Name: v.text("name")})
	return v.then(err, pathOf(resourcesPath, r.Audience), "saved")
}

func (v *visit) resource() (idp.Resource, error) {
	return v.admin.Resource(v.Context(), v.PathValue("audience"))
}

func resourceTrail(r *idp.Resource) []web.ConsoleLink {
	return []web.ConsoleLink{{Title: "APIs", To: resourcesPath}, {Title: r.DisplayName(), To: pathOf(resourcesPath, r.Audience)}}
}

// api is a page about an API: one of the tabs.
func (v *visit) api(r *idp.Resource, tab string) web.ConsolePage {
	at := pathOf(resourcesPath, r.Audience)
	p := v.frame(resourcesPath, r.DisplayName())
	p.Trail = resourceTrail(r)[:1]
	p.Tabs = []web.ConsoleLink{{Title: "Settings", To: at}, {Title: "Permissions", To: at + "/permissions"}}
	for i := range p.Tabs {
		p.Tabs[i].Current = p.Tabs[i].To == at+tab
	}
	p.Actions = []web.ConsoleLink{{Title: "Delete", To: at + "/delete", Danger: true}}
	return p
}

func showResource(v *visit) error {
	r, err := v.resource()
	if err != nil {
		return err
	}
	clients, err := v.admin.Clients(v.Context())
	if err != nil {
		return err
	}
	p := v.api(&r, "")
	life := v.line("access_token_lifetime", "They live for", "", "")
	if r.AccessTokenLifetime > 0 && v.form == nil {
		life.Value = strconv.Itoa(r.AccessTokenLifetime)
	}
	life.Kind, life.Unit = web.FieldNumber, "seconds"
	form := web.ConsoleForm{
		ID: "resource", To: pathOf(resourcesPath, r.Audience), Submit: "Save",
		Groups: []web.ConsoleGroup{
			{Fields: []web.ConsoleField{v.line("name", "Name", "What people see when they are asked.", r.Name)}},
			{Title: "Access tokens", Hint: "What is empty is as the server is set, or the application.", Fields: []web.ConsoleField{
				v.choice("access_token_format", "Format", "JWTs are read by the API itself; opaque ones it asks this server about.", r.AccessTokenFormat, choices("", idp.FormatJWT, idp.FormatOpaque)...),
				v.choice("access_token_signing_alg", "Algorithm", "", r.AccessTokenSigningAlg, algorithms()...),
				life,
				v.ticks("claims", "What they say of the person besides", "", r.Claims,
					web.ConsoleOption{Value: idp.ClaimGroups, Label: "groups", Hint: "what they are in"},
					web.ConsoleOption{Value: idp.ClaimRoles, Label: "roles", Hint: "what they hold"},
					web.ConsoleOption{Value: idp.ClaimEntitlements, Label: "entitlements", Hint: "which of its permissions their roles grant"}),
			}},
		},
	}
	facts := web.ConsoleFacts{ID: "facts", Facts: []web.ConsoleFact{
		{Name: "Audience", Values: []web.ConsoleCell{code(r.Audience)}},
		{Name: "Asked for by", Hint: "Applications that may have tokens for it."},
		{Name: "Is", Hint: "Clients that ask this server about its tokens."},
		{Name: "Registered", Values: []web.ConsoleCell{{At: r.CreatedAt}}},
	}}
	for _, c := range clients {
		cell := web.ConsoleCell{Text: c.DisplayName(), To: clientPath(c.ClientID)}
		if slices.Contains(c.Audience, r.Audience) {
			facts.Facts[1].Values = append(facts.Facts[1].Values, cell)
		}
		if slices.Contains(c.ResourceServerOf, r.Audience) {
			facts.Facts[2].Values = append(facts.Facts[2].Values, cell)
		}
	}
	p.Parts = []web.ConsolePart{form, facts}
	return v.show(p)
}

func saveResource(v *visit) error {
	life, err := v.number("access_token_lifetime")
	if err != nil {
		return err
	}
	r, err := v.resource()
	if err != nil {
		return err
	}
	_, err = v.admin.UpdateResource(v.Context(), r.Audience, func(m *idp.ResourceMetadata) {
		m.Name, m.AccessTokenLifetime = v.text("name"), life
		m.AccessTokenFormat, m.AccessTokenSigningAlg = v.form.Get("access_token_format"), v.form.Get("access_token_signing_alg")
		m.Claims = inOrder(v.chosen("claims"), m.Claims)
	})
	return v.then(err, pathOf(resourcesPath, r.Audience), "saved")
}

func showPermissions(v *visit) error {
	r, err := v.resource()
	if err != nil {
		return err
	}
	at := pathOf(resourcesPath, r.Audience) + "/permissions"
	p := v.api(&r, "/permissions")
	t := web.ConsoleTable{ID: "permissions", Columns: []string{"Scope", "What people are asked", "For", "Actions"}, Empty: "There are none yet."}
	for _, s := range r.Scopes {
		who := plain("Everybody who allows it")
		if s.RequiresRole {
			who = plain("Those whose role grants it")
		}
		t.Rows = append(t.Rows, web.ConsoleRow{
			Cells: []web.ConsoleCell{{Text: s.Name, Code: true, To: pathOf(at, s.Name)}, plain(s.Description), who},
			Actions: []web.ConsoleButton{{
				Title: "Remove", Label: "Remove " + s.Name, To: at, Danger: true, Fields: append(action("remove"), web.Field{Name: "scope", Value: s.Name}),
			}},
		})
	}
	p.Parts = []web.ConsolePart{t, web.ConsoleForm{
		ID: "permission", Title: "Add a permission", To: at, Submit: "Add",
		Groups: []web.ConsoleGroup{{Fields: append([]web.ConsoleField{
			must(v.line("scope", "Scope", "What applications ask for, such as orders.read. It stays: tokens say it.", "")),
		}, v.permissionFields(idp.ResourceScope{})...)}},
	}}
	return v.show(p)
}

func (v *visit) permissionFields(s idp.ResourceScope) []web.ConsoleField {
	return []web.ConsoleField{
		v.line("description", "What people are asked", "Such as: Read your orders.", s.Description),
		v.tick("requires_role", "Only for people whose role grants it", "Applications get it for nobody else, whatever they ask.", s.RequiresRole),
	}
}

func changePermissions(v *visit) error {
	r, err := v.resource()
	if err != nil {
		return err
	}
	at, what := pathOf(resourcesPath, r.Audience)+"/permissions", "added"
	scope := idp.ResourceScope{Name: v.text("scope"), Description: v.text("description"), RequiresRole: v.form.Get("requires_role") != ""}
	_, there := r.Scope(scope.Name)
	remove := v.form.Get("action") == "remove"
	switch {
	case remove && !there:
		return notFound("There is no such permission.")
	case !remove && there:
		return fmt.Errorf("the permission %s is there already: %w", scope.Name, idp.ErrConflict)
	case remove:
		what = "removed"
	}
	_, err = v.admin.UpdateResource(v.Context(), r.Audience, func(m *idp.ResourceMetadata) {
		if remove {
			m.Scopes = slices.DeleteFunc(m.Scopes, func(s idp.ResourceScope) bool { return s.Name == scope.Name })
		} else {
			m.Scopes = append(m.Scopes, scope)
		}
	})
	return v.then(err, at, what)
}

// permission is the one that the address names.
func (v *visit) permission() (idp.Resource, idp.ResourceScope, error) {
	r, err := v.resource()
	if err != nil {
		return idp.Resource{}, idp.ResourceScope{}, err
	}
	s, ok := r.Scope(v.PathValue("scope"))
	if !ok {
		return idp.Resource{}, idp.ResourceScope{}, notFound("There is no such permission.")
	}
	return r, s, nil
}

func showPermission(v *visit) error {
	r, s, err := v.permission()
	if err != nil {
		return err
	}
	at := pathOf(resourcesPath, r.Audience) + "/permissions"
	p := v.frame(resourcesPath, s.Name)
	p.Trail = append(resourceTrail(&r), web.ConsoleLink{Title: "Permissions", To: at})
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "permission", To: pathOf(at, s.Name), Submit: "Save", Cancel: at, Groups: []web.ConsoleGroup{{Fields: v.permissionFields(s)}},
	}}
	return v.show(p)
}

func changePermission(v *visit) error {
	r, s, err := v.permission()
	if err != nil {
		return err
	}
	_, err = v.admin.UpdateResource(v.Context(), r.Audience, func(m *idp.ResourceMetadata) {
		for i := range m.Scopes {
			if m.Scopes[i].Name == s.Name {
				m.Scopes[i].Description, m.Scopes[i].RequiresRole = v.text("description"), v.form.Get("requires_role") != ""
			}
		}
	})
	return v.then(err, pathOf(resourcesPath, r.Audience)+"/permissions", "saved")
}

func askDeleteResource(v *visit) error {
	r, err := v.resource()
	if err != nil {
		return err
	}
	p := v.confirmation(resourcesPath, "Delete "+r.DisplayName()+"?",
		"Nobody can have a token for it any more. An API that a client or a role names stays until they name it no more.", "Delete", pathOf(resourcesPath, r.Audience))
	p.Trail = resourceTrail(&r)
	return v.show(p)
}

func deleteResource(v *visit) error {
	return v.then(v.admin.DeleteResource(v.Context(), v.PathValue("audience")), resourcesPath, "deleted")
}
