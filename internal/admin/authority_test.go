package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

const adminAPI = "https://issuer.example/admin"

func manager(scope string) idp.ClientMetadata {
	return idp.ClientMetadata{GrantTypes: []string{idp.GrantClientCredentials}, Audience: []string{adminAPI}, Scope: scope}
}

// Who may not do a thing cannot have it done by a client that they make or take
// over.
func TestNobodyRulesOverMoreThanTheyHold(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, _, err := w.CreateClient(ctx, admin.ClientInput{ClientID: "root", ClientMetadata: manager("idp.admin")})
		require.NoError(t, err)
		limited := w.Within(idp.Authority{idp.ScopeClients})
		before := w.events(t)

		for _, scope := range []string{"idp.admin", "idp.admin.read", "idp.clients idp.admin.read"} {
			_, _, err = limited.CreateClient(ctx, admin.ClientInput{ClientMetadata: manager(scope)})
			require.ErrorIs(t, err, idp.ErrForbidden, scope)
		}
		_, err = limited.UpdateClient(ctx, "root", func(m *idp.ClientMetadata) { m.Scope = "" })
		require.ErrorIs(t, err, idp.ErrForbidden, "taking it away")
		_, err = limited.RotateSecret(ctx, "root", time.Hour)
		require.ErrorIs(t, err, idp.ErrForbidden)
		for _, act := range []func() error{
			func() error { return limited.DisableClient(ctx, "root") },
			func() error { return limited.DeleteClient(ctx, "root") },
			func() error { return limited.RevokeClientTokens(ctx, "root") },
		} {
			require.ErrorIs(t, act(), idp.ErrForbidden)
		}
		require.Equal(t, before, w.events(t))

		_, _, err = limited.CreateClient(ctx, admin.ClientInput{ClientID: "peer", ClientMetadata: manager("idp.clients idp.clients.read")})
		require.NoError(t, err)
		_, err = limited.UpdateClient(ctx, "peer", func(m *idp.ClientMetadata) { m.Scope = "idp.admin" })
		require.ErrorIs(t, err, idp.ErrForbidden)
		require.NoError(t, limited.DeleteClient(ctx, "peer"))
		require.NoError(t, w.Within(idp.Authority{idp.ScopeAdmin}).DeleteClient(ctx, "root"))
		_, _, err = w.Within(idp.Authority{}).CreateClient(ctx, admin.ClientInput{ClientMetadata: manager("idp.clients.read")})
		require.ErrorIs(t, err, idp.ErrForbidden, "no authority is not all of it")
	})
}

// The admin API is there without anybody having registered it, and no client
// gets at it by registering itself.
func TestAdminAPIIsNobodysToRegister(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for _, audience := range []string{adminAPI, adminAPI + "/"} {
			_, err := w.CreateResource(ctx, audience, idp.ResourceMetadata{})
			require.Contains(t, faultsOf(t, err), "audience")
		}
		_, err := w.CreateResource(ctx, "https://api.example", idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "idp.anything"}}})
		require.Contains(t, faultsOf(t, err), "scopes")
		require.ErrorIs(t, w.DeleteResource(ctx, adminAPI), idp.ErrNotFound)

		m := client()
		m.SelfRegistered, m.Verified = true, true
		m.Audience, m.Scope = []string{adminAPI}, "openid idp.admin"
		_, _, err = w.RegisterClient(ctx, m, idp.Registration{ID: idp.ID{1}, Salt: make([]byte, 16)})
		require.Contains(t, faultsOf(t, err), "audience")
		require.Contains(t, faultsOf(t, err), "scope")
		err = w.RegisterDocumentClient(ctx, "https://app.example/client.json", m, idp.Registration{ID: idp.ID{2}, Salt: make([]byte, 16)})
		require.Contains(t, faultsOf(t, err), "audience")
	})
}

// Of two changes to the same state of a client, one happens.
func TestClientChangedAtTheSameTime(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, _, err := w.CreateClient(ctx, admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, err = w.ChangeClient(ctx, "notes", func(c *idp.Client) error {
			c.ClientName = "Late"
			_, err := w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) { m.ClientName = "First" })
			return err
		})
		require.ErrorIs(t, err, idp.ErrConflict)
		c, err := w.Client(ctx, "notes")
		require.NoError(t, err)
		require.Equal(t, "First", c.ClientName)
	})
}

// People who are administrators are out of reach for whoever may not do
// everything, and the last of them stays.
func TestAdministratorsAreOutOfReach(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, err := w.CreateGroup(ctx, idp.AdminGroup, "")
		require.NoError(t, err)
		for _, name := range []string{"ada", "bob", "eve"} {
			_, err := w.CreateUser(ctx, admin.UserInput{ID: name, Username: name})
			require.NoError(t, err)
		}
		require.NoError(t, w.AddMember(ctx, idp.AdminGroup, "ada"))
		limited := w.Within(idp.Authority{idp.ScopeUsers, idp.ScopeGroups, idp.ScopeRoles, idp.ScopeAdminRead})
		before := w.events(t)
		for name, act := range map[string]func() error{
			"update": func() error {
				_, err := limited.UpdateUser(ctx, "ada", func(u *admin.UserChange) { u.Profile.Email = "eve@example.com" })
				return err
			},
			"password":         func() error { return limited.SetPassword(ctx, "ada", phrase) },
			"disable":          func() error { return limited.DisableUser(ctx, "ada") },
			"lock":             func() error { return limited.LockUser(ctx, "ada") },
			"enable":           func() error { return limited.EnableUser(ctx, "ada") },
			"delete":           func() error { return limited.DeleteUser(ctx, "ada") },
			"factors":          func() error { return limited.ResetFactors(ctx, "ada") },
			"sessions":         func() error { _, err := limited.EndSessions(ctx, "ada"); return err },
			"session":          func() error { return limited.EndSessionOf(ctx, "ada", idp.ID{1}) },
			"consent":          func() error { return limited.WithdrawConsent(ctx, "ada", "notes") },
			"add themselves":   func() error { return limited.AddMember(ctx, idp.AdminGroup, "eve") },
			"remove":           func() error { return limited.RemoveMember(ctx, idp.AdminGroup, "ada") },
			"delete the group": func() error { return limited.DeleteGroup(ctx, idp.AdminGroup) },
		} {
			require.ErrorIs(t, act(), idp.ErrForbidden, name)
		}
		require.Equal(t, before, w.events(t))
		require.NoError(t, limited.SetPassword(ctx, "bob", phrase))

		full := w.Within(idp.Authority{idp.ScopeAdmin})
		require.ErrorIs(t, full.RemoveMember(ctx, idp.AdminGroup, "ada"), idp.ErrConflict)
		require.ErrorIs(t, full.DisableUser(ctx, "ada"), idp.ErrConflict)
		require.ErrorIs(t, full.DeleteUser(ctx, "ada"), idp.ErrConflict)
		require.NoError(t, full.AddMember(ctx, idp.AdminGroup, "bob"))
		require.NoError(t, full.DisableUser(ctx, "ada"))
		require.ErrorIs(t, full.DeleteUser(ctx, "bob"), idp.ErrConflict, "the other one cannot sign in")
		require.NoError(t, full.RemoveMember(ctx, idp.AdminGroup, "ada"))
		require.NoError(t, w.RemoveMember(ctx, idp.AdminGroup, "bob"), "the operator at the machine may")
	})
}
