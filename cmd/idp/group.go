package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) groupCommand() *cobra.Command {
	return noun("group", "Groups of people", anywhere(
		a.groupCreate(), a.groupList(),
		a.actionOn("group", "GROUP", "delete", "Delete a group", "deleted", func(ctx context.Context, o *objects, name string) error {
			return o.DeleteGroup(ctx, name)
		}),
		a.groupMembers(),
		a.groupMemberVerb("add-member", "Put people into a group", "is in", groupObjects.AddMember),
		a.groupMemberVerb("remove-member", "Take people out of a group", "is not in", groupObjects.RemoveMember))...)
}

type groupView struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
}

func (a *app) groupCreate() *cobra.Command {
	c := &cobra.Command{
		Use:   "create GROUP",
		Short: "Create a group",
		Args:  exactly("GROUP"),
	}
	description := c.Flags().String("description", "", "what the group is for")
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, args []string) error {
		g, err := o.CreateGroup(ctx, args[0], *description)
		if err != nil {
			return err
		}
		v := groupView(g)
		return a.show(v, v.Name, func(t *table) {
			t.field("name", v.Name)
			t.field("description", v.Description)
			t.field("created_at", when(v.CreatedAt))
		})
	})
	a.outputFlags(c)
	return c
}

func (a *app) groupList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List all groups",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			groups, err := o.Groups(ctx)
			if err != nil {
				return err
			}
			var views []groupView
			for _, g := range groups {
				views = append(views, groupView(g))
			}
			return showList(a, views, func(v groupView) string { return v.Name },
				"There are no groups yet. Create one: idp group create NAME", func(t *table) {
					t.row("NAME", "DESCRIPTION")
					for _, v := range views {
						t.row(v.Name, orDash(v.Description))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) groupMembers() *cobra.Command {
	c := &cobra.Command{
		Use:   "members GROUP",
		Short: "List the people in a group",
		Args:  exactly("GROUP"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			members, err := o.Members(ctx, args[0])
			if err != nil {
				return err
			}
			type member struct {
				Sub      string `json:"sub"`
				Username string `json:"username"`
			}
			var views []member
			for _, u := range members {
				views = append(views, member{u.ID, u.Username})
			}
			return showList(a, views, func(v member) string { return v.Sub },
				"Nobody is in this group.", func(t *table) {
					t.row("USERNAME", "SUB")
					for _, v := range views {
						t.row(v.Username, v.Sub)
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) groupMemberVerb(verb, short, done string, do func(groupObjects, context.Context, string, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " GROUP USER...",
		Short: short,
		Args:  atLeast("GROUP", "USER..."),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			for _, user := range args[1:] {
				if err := do(o, ctx, args[0], user); err != nil {
					return err
				}
				a.say("%s %s %s", printable(user), done, args[0])
			}
			return nil
		}),
	}
}
