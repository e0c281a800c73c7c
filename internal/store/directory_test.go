package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func clientOf(id string) idp.Client {
	age := 300
	now := idp.Instant(time.Now())
	return idp.Client{
		ClientID: id,
		ClientMetadata: idp.ClientMetadata{
			ClientName: "App <ä>", ApplicationType: idp.ApplicationWeb, TokenEndpointAuthMethod: idp.AuthClientSecretBasic,
			GrantTypes: []string{idp.GrantAuthorizationCode, idp.GrantRefreshToken}, RedirectURIs: []string{"https://app.example/cb?x=1&y=2"},
			Scope: "openid read", DefaultMaxAge: &age, AllowedCORSOrigins: []string{"https://" + id + ".example"}, SkipConsent: true,
		},
		CreatedAt: now, UpdatedAt: now,
	}
}

// The directory of another node must come to the same as one that is loaded
// anew, whatever was done.
func TestDirectoryFollows(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		address, ctx := url(t), t.Context()
		s := storetest.Migrated(t, store.Config{URL: address})
		other := storetest.Open(t, store.Config{URL: address})
		own, err := s.LoadDirectory(ctx)
		require.NoError(t, err)
		follower, err := other.LoadDirectory(ctx)
		require.NoError(t, err)
		check := func() {
			t.Helper()
			require.NoError(t, follower.Refresh(ctx))
			anew, err := storetest.Open(t, store.Config{URL: address}).LoadDirectory(ctx)
			require.NoError(t, err)
			for _, d := range []*store.Directory{own, follower} {
				same(t, anew.Clients(), d.Clients())
				same(t, anew.Resources(), d.Resources())
				same(t, anew.Roles(), d.Roles())
				require.Equal(t, anew.Revision("directory"), d.Revision("directory"))
				require.Equal(t, anew.Revision("keys"), d.Revision("keys"))
			}
		}
		now := idp.Instant(time.Now())
		a, b := clientOf("a"), clientOf("b")
		a.Secrets = []idp.ClientSecret{{ID: newID(t), Hash: "hmac-sha256:x", CreatedAt: now}}
		require.NoError(t, s.CreateClient(ctx, a, event(idp.EventClientCreated)))
		require.NoError(t, s.CreateClient(ctx, b, event(idp.EventClientCreated)))
		require.ErrorIs(t, s.CreateClient(ctx, b, event(idp.EventClientCreated)), idp.ErrConflict)
		check()
		same(t, []*idp.Client{&a, &b}, own.Clients())
		require.True(t, follower.OriginAllowed("https://a.example"))
		require.False(t, follower.OriginAllowed("https://c.example"))

		second := idp.ClientSecret{ID: newID(t), Hash: "hmac-sha256:y", CreatedAt: now.Add(time.Second)}
		require.NoError(t, s.AddClientSecret(ctx, "a", second, now.Add(time.Hour), event(idp.EventClientSecretRotated)))
		require.ErrorIs(t, s.AddClientSecret(ctx, "nobody", second, time.Time{}, event(idp.EventClientSecretRotated)), idp.ErrNotFound)
		check()
		got, ok := follower.Client("a")
		require.True(t, ok)
		require.Len(t, got.Secrets, 2)
		require.Equal(t, now.Add(time.Hour), got.Secrets[0].ExpiresAt)
		same(t, second, got.Secrets[1])

		b.Disabled, b.ClientName = true, "Renamed"
		b.TokensValidAfter = now.Add(time.Hour)
		seen := b.UpdatedAt
		b.UpdatedAt = now.Add(time.Minute)
		require.NoError(t, s.UpdateClient(ctx, b, seen, event(idp.EventClientUpdated)))
		require.ErrorIs(t, s.UpdateClient(ctx, b, seen, event(idp.EventClientUpdated)), idp.ErrConflict, "somebody else was first")
		require.ErrorIs(t, s.UpdateClient(ctx, clientOf("nobody"), seen, event(idp.EventClientUpdated)), idp.ErrConflict)
		check()
		got, _ = follower.Client("b")
		require.True(t, got.Disabled)
		require.False(t, follower.OriginAllowed("https://b.example"), "a disabled client opens nothing")

		require.NoError(t, s.ChangeTokensValidAfter(ctx, func(before time.Time) (time.Time, error) {
			require.Zero(t, before)
			return now.Add(time.Minute), nil
		}, event(idp.EventClientUpdated)))
		check()
		got, _ = follower.Client("a")
		require.Equal(t, now.Add(time.Minute), got.TokensValidAfter)
		got, _ = follower.Client("b")
		require.Equal(t, now.Add(time.Hour), got.TokensValidAfter, "the later one counts")

		read := idp.ResourceScope{Name: "read", Description: "Read", RequiresRole: true}
		api := idp.Resource{Audience: "https://api.example", ResourceMetadata: idp.ResourceMetadata{Name: "API", Scopes: []idp.ResourceScope{read}, Claims: []string{"groups"}}}
		require.NoError(t, s.SaveResource(ctx, api, true, time.Time{}, event(idp.EventResourceChanged)))
		require.ErrorIs(t, s.SaveResource(ctx, api, true, time.Time{}, event(idp.EventResourceChanged)), idp.ErrConflict)
		api.AccessTokenLifetime = 60
		require.NoError(t, s.SaveResource(ctx, api, false, time.Time{}, event(idp.EventResourceChanged)))
		require.NoError(t, s.CreateGroup(ctx, idp.Group{Name: "staff"}))
		role := idp.Role{Name: "reader", Scopes: []idp.RoleScope{{Audience: api.Audience, Scope: "read"}}, Groups: []string{"staff"}}
		require.ErrorIs(t, s.SaveRole(ctx, role, false, nil, event(idp.EventRoleChanged)), idp.ErrNotFound)
		require.NoError(t, s.SaveRole(ctx, role, true, nil, event(idp.EventRoleChanged)))
		require.ErrorIs(t, s.SaveRole(ctx, role, true, nil, event(idp.EventRoleChanged)), idp.ErrConflict)
		role.Description = "Reads"
		require.NoError(t, s.SaveRole(ctx, role, false, nil, event(idp.EventRoleChanged)))
		check()
		same(t, []idp.Role{role}, follower.Roles())
		stored, ok := follower.Resource(api.Audience)
		require.True(t, ok)
		same(t, api.ResourceMetadata, stored.ResourceMetadata)
		require.Equal(t, []*idp.Resource{stored}, follower.ScopeOwner("read"))

		require.NoError(t, s.DeleteClient(ctx, "b", event(idp.EventClientDeleted)))
		require.ErrorIs(t, s.DeleteClient(ctx, "b", event(idp.EventClientDeleted)), idp.ErrNotFound)
		require.ErrorIs(t, s.UpdateClient(ctx, b, b.UpdatedAt, event(idp.EventClientUpdated)), idp.ErrConflict)
		require.NoError(t, s.DeleteGroup(ctx, "staff", event(idp.EventGroupChanged)))
		require.NoError(t, s.DeleteResource(ctx, api.Audience, event(idp.EventResourceChanged)))
		check()
		_, ok = follower.Client("b")
		require.False(t, ok)
		same(t, []idp.Role{{Name: "reader", Description: "Reads"}}, follower.Roles())
		require.Equal(t, 1, countEvents(t, s, idp.EventClientDeleted))
	})
}

// An identifier may be taken again after its client was deleted; what the old
// client had stays dead.
func TestClientIdentifierTakenAgain(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		d, err := s.LoadDirectory(ctx)
		require.NoError(t, err)
		u := newUser(t, s, "alice")
		c := clientOf("web")
		c.Secrets = []idp.ClientSecret{{ID: newID(t), Hash: "old", CreatedAt: c.CreatedAt}}
		require.NoError(t, s.CreateClient(ctx, c, event(idp.EventClientCreated)))
		require.NoError(t, s.SaveConsent(ctx, idp.Consent{UserID: u.ID, ClientID: "web", Scopes: []string{"openid"}}, event(idp.EventConsentGranted)))
		require.NoError(t, s.DeleteClient(ctx, "web", event(idp.EventClientDeleted)))
		again := clientOf("web")
		again.CreatedAt = c.CreatedAt.Add(time.Hour)
		again.UpdatedAt = again.CreatedAt
		require.NoError(t, s.CreateClient(ctx, again, event(idp.EventClientCreated)))
		got, ok := d.Client("web")
		require.True(t, ok)
		again.TokensValidAfter = again.CreatedAt
		same(t, &again, got)
		consents, err := s.Consents(ctx, u.ID)
		require.NoError(t, err)
		require.Empty(t, consents)
	})
}

// Writers on several nodes at once: a follower that polls all the while ends up
// with everything.
func TestDirectoryMissesNothing(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		stores := nodes(t, url(t), nil)
		ctx := t.Context()
		d, err := stores[0].LoadDirectory(ctx)
		require.NoError(t, err)
		const n = 24
		errs := parallel(n+4, func(i int) error {
			if i >= n {
				return d.Refresh(ctx)
			}
			return stores[i%len(stores)].CreateClient(ctx, clientOf(fmt.Sprintf("c%02d", i)), event(idp.EventClientCreated))
		})
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.NoError(t, d.Refresh(ctx))
		require.Len(t, d.Clients(), n)
	})
}

// Two operators who change the policy at once both get their way, and the
// directories of all nodes see it.
func TestSignInPolicyChangesAddUp(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		s := open(t)
		directory, err := s.LoadDirectory(t.Context())
		require.NoError(t, err)
		require.Empty(t, directory.SignInPolicy())
		const writers = 8
		failures := make(chan error, writers)
		for i := range writers {
			go func() {
				failures <- s.ChangeSignInPolicy(t.Context(), func(p idp.SignInPolicy) (idp.SignInPolicy, error) {
					return append(p, idp.SignInRule{Name: fmt.Sprint(i), ACR: idp.ACRMultiFactor, Groups: []string{"staff"}}), nil
				}, event(idp.EventSettingChanged))
			}()
		}
		for range writers {
			require.NoError(t, <-failures)
		}
		require.Len(t, directory.SignInPolicy(), writers)
		require.Equal(t, idp.Demand{ACR: "2"}, directory.SignInPolicy().Demands("", idp.Memberships{Groups: []string{"staff"}}))

		refused := fmt.Errorf("refused")
		err = s.ChangeSignInPolicy(t.Context(), func(idp.SignInPolicy) (idp.SignInPolicy, error) { return nil, refused }, event(idp.EventSettingChanged))
		require.ErrorIs(t, err, refused)
		require.Len(t, directory.SignInPolicy(), writers)
	})
}
