package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// Accounts: time-ordered subjects by default, found by either name, unique
// without case.
func TestUsers(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "Alice", Password: phrase, Profile: idp.Profile{Email: "alice@example.com"}})
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, u.ID)
		require.NotContains(t, u.PasswordHash, phrase)
		_, err = w.CreateUser(t.Context(), admin.UserInput{Username: "aLICE"})
		require.ErrorIs(t, err, idp.ErrConflict)
		for _, name := range []string{u.ID, "alice", "ALICE"} {
			got, err := w.User(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, u.ID, got.ID)
		}
		_, err = w.User(t.Context(), "nobody")
		require.ErrorIs(t, err, idp.ErrNotFound)

		fixed, err := w.CreateUser(t.Context(), admin.UserInput{ID: "legacy|42", Username: "bob"})
		require.NoError(t, err)
		require.Equal(t, "legacy|42", fixed.ID)
		require.Empty(t, fixed.PasswordHash)
		_, err = w.CreateUser(t.Context(), admin.UserInput{ID: "legacy|42", Username: "carol"})
		require.ErrorIs(t, err, idp.ErrConflict)

		got, err := w.UpdateUser(t.Context(), "bob", func(c *admin.UserChange) {
			c.Username, c.Profile.Name = "robert", "Robert"
		})
		require.NoError(t, err)
		require.Equal(t, "robert", got.Username)
		require.Equal(t, "name username", w.last(t).Detail["fields"])
		require.Equal(t, "legacy|42", w.last(t).UserID)
		_, err = w.UpdateUser(t.Context(), "robert", func(c *admin.UserChange) { c.Username = "alice" })
		require.ErrorIs(t, err, idp.ErrConflict)

		all, err := w.Users(t.Context(), "", 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
		_, err = w.Users(t.Context(), "", 0)
		require.NotEmpty(t, faultsOf(t, err)["limit"])

		require.NoError(t, w.DeleteUser(t.Context(), "robert"))
		require.ErrorIs(t, w.DeleteUser(t.Context(), "robert"), idp.ErrNotFound)
		require.Equal(t, idp.EventUserDeleted, w.last(t).Kind)
	})
}

// What an account may not hold.
func TestUserRules(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for _, tc := range []struct {
			field string
			in    admin.UserInput
		}{
			{"username", admin.UserInput{Username: ""}},
			{"username", admin.UserInput{Username: "al ice"}},
			{"username", admin.UserInput{Username: "аlice"}}, // a Cyrillic a
			{"username", admin.UserInput{Username: "alice\n"}},
			{"id", admin.UserInput{Username: "alice", ID: "a b"}},
			{"password", admin.UserInput{Username: "alice", Password: "short"}},
			{"email", admin.UserInput{Username: "alice", Profile: idp.Profile{Email: "Alice <alice@example.com>"}}},
			{"email", admin.UserInput{Username: "alice", Profile: idp.Profile{Email: "a@b\r\nBcc: x@y"}}},
			{"email_verified", admin.UserInput{Username: "alice", Profile: idp.Profile{EmailVerified: true}}},
			{"name", admin.UserInput{Username: "alice", Profile: idp.Profile{Name: "Al\u202Eice"}}},
			{"picture", admin.UserInput{Username: "alice", Profile: idp.Profile{Picture: "javascript:alert(1)"}}},
			{"birthdate", admin.UserInput{Username: "alice", Profile: idp.Profile{Birthdate: "31.12.1999"}}},
			{"zoneinfo", admin.UserInput{Username: "alice", Profile: idp.Profile{Zoneinfo: "../etc/passwd"}}},
			{"locale", admin.UserInput{Username: "alice", Profile: idp.Profile{Locale: "english please"}}},
			{"phone_number", admin.UserInput{Username: "alice", Profile: idp.Profile{PhoneNumber: "call me"}}},
			{"address.country", admin.UserInput{Username: "alice", Profile: idp.Profile{Address: &idp.Address{Country: "\x1b[2J"}}}},
		} {
			_, err := w.CreateUser(t.Context(), tc.in)
			fields := faultsOf(t, err)
			require.Len(t, fields, 1, "%v", err)
			require.NotEmpty(t, fields[tc.field], "%v", err)
		}
		_, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice.o'hara+x@example.com", Profile: idp.Profile{
			Name: "Алиса دانشجوی\u200c خوب", Birthdate: "1999-12-31", Zoneinfo: "America/Argentina/Buenos_Aires", Locale: "zh-Hant-TW",
			PhoneNumber: "+1 (604) 555-1234;ext=5678", Picture: "https://cdn.example/a.png",
			Address: &idp.Address{Formatted: "1 Main Street\r\nSpringfield", Country: "US"},
		}})
		require.NoError(t, err)
		require.Empty(t, w.events(t)[1:], "refused inputs leave no row")
	})
}

// Subjects of users and clients do not meet: a service's token must not read
// like a person's (RFC 9068 section 5).
func TestRFC9068_5_SubjectsDoNotCollide(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, err := w.CreateUser(t.Context(), admin.UserInput{ID: "both", Username: "alice"})
		require.NoError(t, err)
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "both", ClientMetadata: client()})
		require.NotEmpty(t, faultsOf(t, err)["client_id"])
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, err = w.CreateUser(t.Context(), admin.UserInput{ID: "notes", Username: "bob"})
		require.NotEmpty(t, faultsOf(t, err)["id"])
	})
}
