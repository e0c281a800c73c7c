package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// TestTogether keeps all of several changes or none, sees its own, and undoes a
// part that failed without the rest.
func TestTogether(t *testing.T) {
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		ctx := t.Context()
		var mirrored []string
		s := storetest.Migrated(t, store.Config{URL: url(t), Now: time.Now, Mirror: func(e idp.Event) { mirrored = append(mirrored, e.Detail["target"]) }})
		outside, err := s.LoadDirectory(ctx)
		require.NoError(t, err)
		event := func(target string) idp.Event {
			return idp.Event{Kind: idp.EventGroupChanged, Detail: map[string]string{"target": target}}
		}
		client := func(id string) idp.Client {
			return idp.Client{ClientID: id, ClientMetadata: idp.ClientMetadata{GrantTypes: []string{idp.GrantClientCredentials}}}
		}
		all := func(part *store.Store) error {
			inside, err := part.LoadDirectory(ctx)
			require.NoError(t, err)
			if err := part.CreateGroup(ctx, idp.Group{Name: "staff"}, event("staff")); err != nil {
				return err
			}
			if err := part.CreateClient(ctx, client("one"), event("one")); err != nil {
				return err
			}
			require.Len(t, inside.Clients(), 1)
			require.Empty(t, outside.Clients())

			// What fails leaves nothing behind, and the rest goes on.
			err = part.CreateUser(ctx, idp.User{ID: "a", Username: "Alice"}, event("a"))
			require.NoError(t, err)
			err = part.CreateUser(ctx, idp.User{ID: "b", Username: "alice"}, event("b"))
			require.ErrorIs(t, err, idp.ErrConflict)
			err = part.Attempt(ctx, func() error {
				require.NoError(t, part.CreateClient(ctx, client("two"), event("two")))
				require.Len(t, inside.Clients(), 2)
				return idp.ErrNotFound
			})
			require.ErrorIs(t, err, idp.ErrNotFound)
			require.Len(t, inside.Clients(), 1)
			require.NoError(t, part.Attempt(ctx, func() error { return part.CreateClient(ctx, client("three"), event("three")) }))
			require.Len(t, inside.Clients(), 2)
			return part.AddMember(ctx, "staff", "a", event("member"))
		}
		none := func() {
			t.Helper()
			groups, err := s.Groups(ctx)
			require.NoError(t, err)
			require.Empty(t, groups)
			require.NoError(t, outside.Refresh(ctx))
			require.Empty(t, outside.Clients())
			require.Empty(t, mirrored)
			events, err := s.Events(ctx, idp.ID{}, 10)
			require.NoError(t, err)
			require.Empty(t, events)
		}

		require.NoError(t, s.Together(ctx, func(part *store.Store) (bool, error) { return false, all(part) }))
		none()
		broken := errors.New("broken")
		require.ErrorIs(t, s.Together(ctx, func(part *store.Store) (bool, error) { return true, errors.Join(all(part), broken) }), broken)
		none()
		require.NoError(t, s.Together(ctx, func(part *store.Store) (bool, error) { return true, all(part) }))
		members, err := s.Members(ctx, "staff")
		require.NoError(t, err)
		require.Len(t, members, 1)
		require.Len(t, outside.Clients(), 2)
		require.Equal(t, []string{"staff", "one", "a", "three", "member"}, mirrored)
		events, err := s.Events(ctx, idp.ID{}, 10)
		require.NoError(t, err)
		require.Len(t, events, 5)
	})
}

// TestTogetherOneAfterTheOther lets two decide on what the other did.
func TestTogetherOneAfterTheOther(t *testing.T) {
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		ctx := t.Context()
		all := nodes(t, url(t), nil)
		errs := parallel(4, func(i int) error {
			return all[i%len(all)].Together(ctx, func(part *store.Store) (bool, error) {
				groups, err := part.Groups(ctx)
				if err != nil || len(groups) > 0 {
					return false, errors.Join(err, idp.ErrConflict)
				}
				return true, part.CreateGroup(ctx, idp.Group{Name: "only"})
			})
		})
		requireOneWinner(t, errs, idp.ErrConflict)
	})
}
