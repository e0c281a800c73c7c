package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) resourceCommand() *cobra.Command {
	return noun("resource", "Resources: the APIs that take access tokens", anywhere(
		a.resourceCreate(), a.resourceList(), a.resourceGet(), a.resourceUpdate(),
		a.actionOn("resource", "AUDIENCE", "delete", "Delete a resource", "deleted", func(ctx context.Context, o *objects, audience string) error {
			return o.DeleteResource(ctx, audience)
		}))...)
}

// resourceDocument is a resource as create and update read it from a file.
type resourceDocument struct {
	Audience             string `yaml:"audience"`
	idp.ResourceMetadata `yaml:",inline"`
}

func resourceFlags(cmd *cobra.Command) *fieldFlags[idp.ResourceMetadata] {
	type m = idp.ResourceMetadata
	f := flagsOf[m](cmd)
	f.text("name", "what people see", func(m *m) *string { return &m.Name })
	f.text("access-token-format", "access_token_format: jwt or opaque", func(m *m) *string { return &m.AccessTokenFormat })
	f.text("access-token-signing-alg", "access_token_signing_alg: ES256, RS256, PS256, EdDSA, ES384 or ES512", func(m *m) *string { return &m.AccessTokenSigningAlg })
	f.seconds("access-token-lifetime", "access_token_lifetime", func(m *m, s int) { m.AccessTokenLifetime = s })
	f.list("claim", "claims about the person in its tokens: groups, roles, entitlements", func(m *m) *[]string { return &m.Claims })
	scopes := cmd.Flags().StringArray("scope", nil, "scope, as NAME or NAME=DESCRIPTION (repeatable)")
	restricted := cmd.Flags().StringArray("restricted-scope", nil, "scope that a person only gets by a role (repeatable)")
	set := func(m *m) error {
		m.Scopes = append(resourceScopes(*scopes, false), resourceScopes(*restricted, true)...)
		return nil
	}
	f.add("scope", set)
	f.add("restricted-scope", set)
	return f
}

func resourceScopes(texts []string, restricted bool) []idp.ResourceScope {
	var out []idp.ResourceScope
	for _, text := range nonEmpty(texts) {
		name, description, _ := strings.Cut(text, "=")
		out = append(out, idp.ResourceScope{Name: name, Description: description, RequiresRole: restricted})
	}
	return out
}

func (a *app) showResource(r idp.Resource) error {
	return a.show(r, r.Audience, func(t *table) {
		t.field("audience", r.Audience)
		t.field("name", r.Name)
		for _, s := range r.Scopes {
			line := s.Name
			if s.Description != "" {
				line += "   " + s.Description
			}
			if s.RequiresRole {
				line += "   (by role only)"
			}
			t.field("scope", line)
		}
		t.field("claims", r.Claims...)
		t.field("access_token_format", r.AccessTokenFormat)
		t.field("access_token_signing_alg", r.AccessTokenSigningAlg)
		t.field("access_token_lifetime", seconds(r.AccessTokenLifetime))
		t.field("created_at", when(r.CreatedAt))
		t.field("updated_at", when(r.UpdatedAt))
	})
}

func (a *app) resourceCreate() *cobra.Command {
	c := &cobra.Command{
		Use:     "create [AUDIENCE]",
		Short:   "Register a resource",
		Long:    "Registers an API. AUDIENCE is an absolute URI; it becomes aud of the API's access tokens, and clients name it as resource (RFC 8707).",
		Example: "  idp resource create https://api.example.com --name Orders --scope 'orders:read=See your orders' --restricted-scope orders:approve",
		Args:    atMost(1),
	}
	flags := resourceFlags(c)
	file := c.Flags().StringP("file", "f", "", "read the resource from a YAML or JSON file (- for stdin); flags go before it")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var document resourceDocument
		if *file != "" {
			if err := a.readDocument(*file, &document); err != nil {
				return err
			}
		}
		if len(args) == 1 {
			document.Audience = args[0]
		}
		if document.Audience == "" {
			return usage("%s needs an AUDIENCE, such as https://api.example.com", cmd.CommandPath())
		}
		if err := flags.apply(&document.ResourceMetadata); err != nil {
			return err
		}
		return a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			r, err := o.CreateResource(ctx, document.Audience, document.ResourceMetadata)
			if err != nil {
				return err
			}
			return a.showResource(r)
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) resourceList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List all resources",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			resources, err := o.Resources(ctx)
			if err != nil {
				return err
			}
			return showList(a, resources, func(r idp.Resource) string { return r.Audience },
				"There are no resources yet. Register one: idp resource create --help", func(t *table) {
					t.row("AUDIENCE", "NAME", "SCOPES")
					for _, r := range resources {
						var scopes []string
						for _, s := range r.Scopes {
							scopes = append(scopes, s.Name)
						}
						t.row(r.Audience, orDash(r.Name), orDash(strings.Join(scopes, " ")))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) resourceGet() *cobra.Command {
	c := &cobra.Command{
		Use:   "get AUDIENCE",
		Short: "Show one resource",
		Args:  exactly("AUDIENCE"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			r, err := o.Resource(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showResource(r)
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) resourceUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:   "update AUDIENCE",
		Short: "Change what the flags name, and nothing else",
		Long:  "Changes the fields whose flags are given. Scopes are replaced as a whole, by --scope and --restricted-scope together.",
		Args:  exactly("AUDIENCE"),
	}
	flags := resourceFlags(c)
	file := c.Flags().StringP("file", "f", "", "replace the resource by a YAML or JSON file (- for stdin); flags go before it")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var document *resourceDocument
		if *file != "" {
			document = &resourceDocument{}
			if err := a.readDocument(*file, document); err != nil {
				return err
			}
			if document.Audience != "" && document.Audience != args[0] {
				return usage("%s is about audience %q, not %q", *file, document.Audience, args[0])
			}
		}
		var trial idp.ResourceMetadata
		if err := flags.apply(&trial); err != nil {
			return err
		}
		return a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			r, err := o.UpdateResource(ctx, args[0], func(m *idp.ResourceMetadata) {
				if document != nil {
					*m = document.ResourceMetadata
				}
				_ = flags.apply(m) // did not fail above
			})
			if err != nil {
				return err
			}
			return a.showResource(r)
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}
