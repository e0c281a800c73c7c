package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// What others name stays: groups, scopes, resources.
func TestWhatIsNamedIsNotDeleted(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		const api = "https://api.example"
		_, err := w.CreateGroup(t.Context(), "staff", "Employees")
		require.NoError(t, err)
		_, err = w.CreateGroup(t.Context(), "staff", "")
		require.ErrorIs(t, err, idp.ErrConflict)
		_, err = w.CreateGroup(t.Context(), "st\naff", "")
		require.NotEmpty(t, faultsOf(t, err)["name"])
		_, err = w.CreateResource(t.Context(), api, idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "notes:read"}, {Name: "notes:write"}}})
		require.NoError(t, err)
		_, err = w.CreateResource(t.Context(), api, idp.ResourceMetadata{})
		require.ErrorIs(t, err, idp.ErrConflict)
		require.NoError(t, w.CreateRole(t.Context(), idp.Role{Name: "writer", Groups: []string{"staff"}, Scopes: []idp.RoleScope{{Audience: api, Scope: "notes:write"}}}))
		require.ErrorIs(t, w.CreateRole(t.Context(), idp.Role{Name: "writer"}), idp.ErrConflict)
		m := client()
		m.Audience, m.Scope, m.AllowedGroups = []string{api}, "openid notes:read", []string{"staff"}
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: m})
		require.NoError(t, err)

		require.ErrorIs(t, w.DeleteGroup(t.Context(), "staff"), idp.ErrConflict)
		require.ErrorContains(t, w.DeleteResource(t.Context(), api), "client notes")
		_, err = w.UpdateResource(t.Context(), api, func(m *idp.ResourceMetadata) { m.Scopes = m.Scopes[1:] })
		require.ErrorContains(t, err, "client notes")
		_, err = w.UpdateResource(t.Context(), api, func(m *idp.ResourceMetadata) { m.Scopes = m.Scopes[:1] })
		require.ErrorContains(t, err, "role writer")
		_, err = w.UpdateResource(t.Context(), api, func(m *idp.ResourceMetadata) { m.Name = "Notes" })
		require.NoError(t, err)
		require.Equal(t, map[string]string{"target": api, "actor": "command", "change": "updated", "fields": "name"}, w.last(t).Detail)

		require.NoError(t, w.DeleteClient(t.Context(), "notes"))
		require.ErrorContains(t, w.DeleteGroup(t.Context(), "staff"), "role writer")
		require.ErrorContains(t, w.DeleteResource(t.Context(), api), "role writer")
		require.NoError(t, w.DeleteRole(t.Context(), "writer"))
		require.NoError(t, w.DeleteGroup(t.Context(), "staff"))
		require.NoError(t, w.DeleteResource(t.Context(), api))
		require.ErrorIs(t, w.DeleteResource(t.Context(), api), idp.ErrNotFound)
		require.ErrorIs(t, w.DeleteGroup(t.Context(), "staff"), idp.ErrNotFound)
		require.ErrorIs(t, w.DeleteRole(t.Context(), "writer"), idp.ErrNotFound)
	})
}

// A resource owns its scopes and no others.
func TestResourceRules(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		scope := func(names ...string) []idp.ResourceScope {
			var all []idp.ResourceScope
			for _, n := range names {
				all = append(all, idp.ResourceScope{Name: n})
			}
			return all
		}
		for _, tc := range []struct {
			field, audience string
			m               idp.ResourceMetadata
		}{
			{"audience", "https://issuer.example/", idp.ResourceMetadata{}},
			{"audience", "api", idp.ResourceMetadata{}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("openid")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("a b")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("a", "a")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "a", Description: "x\u202Ey"}}}},
			{"claims", "https://api.example", idp.ResourceMetadata{Claims: []string{"email"}}},
			{"access_token_format", "https://api.example", idp.ResourceMetadata{AccessTokenFormat: "paseto"}},
			{"access_token_signing_alg", "https://api.example", idp.ResourceMetadata{AccessTokenSigningAlg: "none"}},
			{"access_token_lifetime", "https://api.example", idp.ResourceMetadata{AccessTokenLifetime: 1}},
		} {
			_, err := w.CreateResource(t.Context(), tc.audience, tc.m)
			fields := faultsOf(t, err)
			require.Len(t, fields, 1, "%v", err)
			require.NotEmpty(t, fields[tc.field], "%v", err)
		}
		for _, audience := range []string{"https://a.example", "https://b.example"} {
			_, err := w.CreateResource(t.Context(), audience, idp.ResourceMetadata{Scopes: scope("read")})
			require.NoError(t, err, "two resources may have a scope of one name")
		}
	})
}

// Roles reach people directly and by groups.
func TestRolesAndMembers(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice"})
		require.NoError(t, err)
		_, err = w.CreateGroup(t.Context(), "staff", "")
		require.NoError(t, err)
		err = w.CreateRole(t.Context(), idp.Role{Name: "writer", Groups: []string{"nobody"}, Scopes: []idp.RoleScope{{Audience: "https://api.example", Scope: "x"}}})
		fields := faultsOf(t, err)
		require.NotEmpty(t, fields["groups"])
		require.NotEmpty(t, fields["scopes"])
		require.NoError(t, w.CreateRole(t.Context(), idp.Role{Name: "writer"}))
		require.NoError(t, w.CreateRole(t.Context(), idp.Role{Name: "reader"}))

		require.ErrorIs(t, w.AddMember(t.Context(), "nobody", "alice"), idp.ErrNotFound)
		require.ErrorIs(t, w.AddMember(t.Context(), "staff", "nobody"), idp.ErrNotFound)
		require.NoError(t, w.AddMember(t.Context(), "staff", "alice"))
		require.Equal(t, "member_added", w.last(t).Detail["change"])
		require.Equal(t, u.ID, w.last(t).UserID)
		members, err := w.Members(t.Context(), "staff")
		require.NoError(t, err)
		require.Len(t, members, 1)

		require.NoError(t, w.GiveRoleToGroup(t.Context(), "writer", "staff"))
		require.NoError(t, w.AssignRole(t.Context(), "reader", "alice"))
		require.ErrorIs(t, w.AssignRole(t.Context(), "nobody", "alice"), idp.ErrNotFound)
		held := func() []string {
			m, err := w.Memberships(t.Context(), "alice")
			require.NoError(t, err)
			roles, err := w.Roles(t.Context())
			require.NoError(t, err)
			return m.EffectiveRoles(roles)
		}
		require.Equal(t, []string{"reader", "writer"}, held())
		require.NoError(t, w.TakeRoleFromGroup(t.Context(), "writer", "staff"))
		require.NoError(t, w.UnassignRole(t.Context(), "reader", "alice"))
		require.Empty(t, held())
		require.NoError(t, w.RemoveMember(t.Context(), "staff", "alice"))
		members, err = w.Members(t.Context(), "staff")
		require.NoError(t, err)
		require.Empty(t, members)
	})
}
