package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) roleCommand() *cobra.Command {
	return noun("role", "Roles: bundles of scopes that people hold", anywhere(
		a.roleCreate(), a.roleUpdate(), a.roleList(), a.roleGet(),
		a.actionOn("role", "ROLE", "delete", "Delete a role", "deleted", func(ctx context.Context, o *objects, name string) error {
			return o.DeleteRole(ctx, name)
		}),
		a.roleHolder("assign", "Give a role to a person or a group", "is held by",
			func(ctx context.Context, o *objects, role, user string) error {
				return o.AssignRole(ctx, role, user)
			},
			func(ctx context.Context, o *objects, role, group string) error {
				return o.GiveRoleToGroup(ctx, role, group)
			}),
		a.roleHolder("unassign", "Take a role from a person or a group", "is not held by",
			func(ctx context.Context, o *objects, role, user string) error {
				return o.UnassignRole(ctx, role, user)
			},
			func(ctx context.Context, o *objects, role, group string) error {
				return o.TakeRoleFromGroup(ctx, role, group)
			}))...)
}

// roleFlags are the fields of a role as flags.
type roleFlags struct {
	cmd         *cobra.Command
	description *string
	scopes      *[]string
	groups      *[]string
}

func newRoleFlags(cmd *cobra.Command) roleFlags {
	return roleFlags{
		cmd:         cmd,
		description: cmd.Flags().String("description", "", "what the role allows, in words"),
		scopes:      cmd.Flags().StringArray("scope", nil, "scope of a resource, as NAME or AUDIENCE#NAME (repeatable)"),
		groups:      cmd.Flags().StringArray("group", nil, "group whose members hold the role (repeatable)"),
	}
}

// apply sets what was given. Scopes by name alone are looked up.
func (f roleFlags) apply(ctx context.Context, o *objects, r *idp.Role) error {
	if f.cmd.Flags().Changed("description") {
		r.Description = *f.description
	}
	if f.cmd.Flags().Changed("group") {
		r.Groups = nonEmpty(*f.groups)
	}
	if !f.cmd.Flags().Changed("scope") {
		return nil
	}
	r.Scopes = nil
	for _, text := range nonEmpty(*f.scopes) {
		scope, err := roleScope(ctx, o, text)
		if err != nil {
			return err
		}
		r.Scopes = append(r.Scopes, scope)
	}
	return nil
}

// roleScope reads a scope by its name alone, when one resource has it, or
// behind the resource's audience, which never holds a `#` (RFC 8707 section 2).
func roleScope(ctx context.Context, o *objects, text string) (idp.RoleScope, error) {
	resources, err := o.Resources(ctx)
	if err != nil {
		return idp.RoleScope{}, err
	}
	owners := slices.DeleteFunc(resources, func(r idp.Resource) bool {
		_, has := r.Scope(text)
		return !has
	})
	if len(owners) == 1 {
		return idp.RoleScope{Audience: owners[0].Audience, Scope: text}, nil
	}
	if audience, name, ok := strings.Cut(text, "#"); ok && strings.Contains(audience, ":") {
		return idp.RoleScope{Audience: audience, Scope: name}, nil
	}
	if len(owners) > 1 {
		return idp.RoleScope{}, usage("--scope %s: several resources have it: write %s#%s", text, owners[0].Audience, text)
	}
	return idp.RoleScope{}, usage("--scope %s: no resource has it (see idp resource list)", text)
}

func (a *app) showRole(r idp.Role) error {
	return a.show(r, r.Name, func(t *table) {
		t.field("name", r.Name)
		t.field("description", r.Description)
		for _, s := range r.Scopes {
			t.field("scope", s.Audience+"#"+s.Scope)
		}
		t.field("groups", r.Groups...)
	})
}

func (a *app) roleCreate() *cobra.Command {
	c := &cobra.Command{
		Use:     "create ROLE",
		Short:   "Create a role",
		Example: "  idp role create buyer --scope orders:write --group purchasing",
		Args:    exactly("ROLE"),
	}
	flags := newRoleFlags(c)
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, args []string) error {
		r := idp.Role{Name: args[0]}
		if err := flags.apply(ctx, o, &r); err != nil {
			return err
		}
		if err := o.CreateRole(ctx, r); err != nil {
			return err
		}
		return a.showRole(r)
	})
	a.outputFlags(c)
	return c
}

func (a *app) roleUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:   "update ROLE",
		Short: "Change what the flags name, and nothing else",
		Long:  "Changes the fields whose flags are given. A list is replaced as a whole; giving its flag once with an empty value clears it.",
		Args:  exactly("ROLE"),
	}
	flags := newRoleFlags(c)
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, args []string) error {
		var trial idp.Role
		if err := flags.apply(ctx, o, &trial); err != nil {
			return err
		}
		r, err := o.UpdateRole(ctx, args[0], func(r *idp.Role) { _ = flags.apply(ctx, o, r) }) // did not fail above
		if err != nil {
			return err
		}
		return a.showRole(r)
	})
	a.outputFlags(c)
	return c
}

func (a *app) roleList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List all roles",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			roles, err := o.Roles(ctx)
			if err != nil {
				return err
			}
			return showList(a, roles, func(r idp.Role) string { return r.Name },
				"There are no roles yet. Create one: idp role create --help", func(t *table) {
					t.row("NAME", "SCOPES", "GROUPS", "DESCRIPTION")
					for _, r := range roles {
						var scopes []string
						for _, s := range r.Scopes {
							scopes = append(scopes, s.Scope)
						}
						t.row(r.Name, orDash(strings.Join(scopes, " ")), orDash(strings.Join(r.Groups, " ")), orDash(r.Description))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) roleGet() *cobra.Command {
	c := &cobra.Command{
		Use:   "get ROLE",
		Short: "Show one role",
		Args:  exactly("ROLE"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			r, err := o.Role(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showRole(r)
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) roleHolder(verb, short, done string, user, group func(ctx context.Context, o *objects, role, holder string) error) *cobra.Command {
	c := &cobra.Command{
		Use:   verb + " ROLE [USER...]",
		Short: short,
		Args:  atLeast("ROLE"),
	}
	groups := c.Flags().StringArray("group", nil, "a group instead of a person (repeatable)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && len(*groups) == 0 {
			return usage("%s needs a USER or --group (see %s --help)", cmd.CommandPath(), cmd.CommandPath())
		}
		return a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			for _, name := range args[1:] {
				if err := user(ctx, o, args[0], name); err != nil {
					return err
				}
				a.say("role %s %s %s", args[0], done, printable(name))
			}
			for _, name := range *groups {
				if err := group(ctx, o, args[0], name); err != nil {
					return err
				}
				a.say("role %s %s group %s", args[0], done, printable(name))
			}
			return nil
		})(cmd, args)
	}
	return c
}
