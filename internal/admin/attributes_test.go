package admin_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/attributes"
	"idp/internal/idp"
)

// declared is a schema of two attributes, none of them required.
func declared(t *testing.T) *attributes.Schema {
	t.Helper()
	file := filepath.Join(t.TempDir(), "attributes.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"type":"object","properties":{
		"cost_center":{"type":"string","pattern":"^[0-9]{4}$"},
		"floor":{"type":"integer","maximum":20}}}`), 0o600))
	schema, err := attributes.Open(file)
	require.NoError(t, err)
	return schema
}

func TestUserAttributes(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice", Attributes: idp.Attributes{
			"cost_center": json.RawMessage(`"x"`), "shoe_size": json.RawMessage(`44`),
		}})
		require.ErrorContains(t, err, "attributes.cost_center: 'x' does not match pattern")
		require.ErrorContains(t, err, "attributes.shoe_size: is no attribute")

		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice", Attributes: idp.Attributes{"cost_center": json.RawMessage(`"4711"`)}})
		require.NoError(t, err)
		u, err = w.UpdateUser(t.Context(), u.ID, func(c *admin.UserChange) { c.Attributes["floor"] = json.RawMessage(`3`) })
		require.NoError(t, err)
		require.Equal(t, "attributes.floor", w.last(t).Detail["fields"])
		read, err := w.User(t.Context(), u.ID)
		require.NoError(t, err)
		require.Equal(t, idp.Attributes{"cost_center": json.RawMessage(`"4711"`), "floor": json.RawMessage(`3`)}, read.Attributes)

		before := len(w.events(t))
		_, err = w.UpdateUser(t.Context(), u.ID, func(c *admin.UserChange) { c.Attributes["floor"] = json.RawMessage(`3`) })
		require.NoError(t, err)
		require.Len(t, w.events(t), before, "nothing changed")
	})
}
