package attributes_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/attributes"
	"idp/internal/idp"
)

func open(t *testing.T, text string) (*attributes.Schema, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "attributes.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	s, err := attributes.Open(path)
	return s, path, err
}

const staff = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"required": ["cost_center"],
	"$defs": {"size": {"enum": ["S", "M", "L"]}},
	"properties": {
		"cost_center": {"type": "string", "pattern": "^[0-9]{4}$", "title": "Cost center", "x-idp-title": {"de": "Kostenstelle"}, "x-idp-claim": "cost_center"},
		"shirt": {"$ref": "#/$defs/size", "x-idp-edit": "person"},
		"since": {"type": "string", "format": "date", "x-idp-edit": "person", "x-idp-claim": "https://example.com/since", "x-idp-scope": "email"},
		"floor": {"type": "integer", "minimum": 0, "maximum": 20},
		"badge": {"type": "number"},
		"warden": {"type": "boolean"},
		"skills": {"type": "array", "items": {"type": "string"}}
	}
}`

func TestSchema_Declares(t *testing.T) {
	t.Parallel()
	s, _, err := open(t, staff)
	require.NoError(t, err)
	all := map[string]idp.Attribute{}
	for _, a := range s.Declared() {
		all[a.Name] = a
	}
	require.Len(t, all, 7)
	center := all["cost_center"]
	require.Equal(t, "Kostenstelle", center.Title("de-CH"))
	require.Equal(t, "Cost center", center.Title("fr"))
	require.Equal(t, "profile", center.Scope)
	require.False(t, center.Own)
	shirt := all["shirt"]
	require.Equal(t, idp.AttributeText, shirt.Kind)
	require.Equal(t, []string{"S", "M", "L"}, shirt.Choices)
	require.True(t, shirt.Own)
	require.Equal(t, "shirt", shirt.Title("de"))
	require.Equal(t, idp.AttributeDate, all["since"].Kind)
	require.Equal(t, "email", all["since"].Scope)
	require.Equal(t, idp.AttributeInteger, all["floor"].Kind)
	require.Equal(t, idp.AttributeBoolean, all["warden"].Kind)
	require.Equal(t, idp.AttributeJSON, all["skills"].Kind)

	none, err := attributes.Open("")
	require.NoError(t, err)
	require.Empty(t, none.Declared())
	require.Error(t, none.Check(nil, idp.Attributes{"x": json.RawMessage(`1`)}))
}

// What the schema cannot mean is refused at its place.
func TestSchema_Refused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{\n\"type\": \"object\",\n,}": ":3: is not JSON",
		`[]`:                           "must be a JSON Schema of an object",
		`{"type":"array"}`:             `#/type: must be "object"`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`:                   "#/$schema",
		`{"type":"object","properties":{"a":{"type":"text"}}}`:                                    "#/properties/a/type: is no JSON Schema",
		`{"type":"object","properties":{"a b":{}}}`:                                               "#/properties/a b: the name",
		`{"type":"object","properties":{"a":{"$ref":"https://example.com/x.json"}}}`:              "references to other documents are not followed",
		`{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`:                      "references to other documents are not followed",
		`{"type":"object","properties":{"a":{"x-idp-claim":"sub"}}}`:                              "#/properties/a/x-idp-claim: sub means something already",
		`{"type":"object","properties":{"a":{"x-idp-claim":"email_verified"}}}`:                   "means something already",
		`{"type":"object","properties":{"a":{"x-idp-claim":"groups"}}}`:                           "means something already",
		`{"type":"object","properties":{"a":{"x-idp-claim":"x"},"b":{"x-idp-claim":"x"}}}`:        "is also the claim of a",
		`{"type":"object","properties":{"a":{"x-idp-scope":"email"}}}`:                            "is for a claim",
		`{"type":"object","properties":{"a":{"x-idp-claim":"x","x-idp-scope":"offline_access"}}}`: "x-idp-scope: must be",
		`{"type":"object","properties":{"a":{"x-idp-edit":"anybody"}}}`:                           "must be person or operator",
		`{"type":"object","properties":{"a":{"x-idp-edit":true}}}`:                                "must be a text",
		`{"type":"object","properties":{"a":{"type":"object","x-idp-edit":"person"}}}`:            "people can change",
		`{"type":"object","properties":{"a":{"x-idp-edits":"person"}}}`:                           "x-idp-edits: is no annotation",
		`{"type":"object","properties":{"a":{"x-idp-title":"A"}}}`:                                "x-idp-title: must be an object",
		`{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}`:                    "pattern",
		`{"type":"object","title":"` + strings.Repeat("x", 1<<20) + `"}`:                          "is longer than 1024 KiB",
	} {
		_, path, err := open(t, text)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, path)
	}
	_, err := attributes.Open("/does/not/exist.json")
	require.ErrorContains(t, err, "cannot be read: no such file")
}

func values(pairs ...string) idp.Attributes {
	a := idp.Attributes{}
	for i := 0; i < len(pairs); i += 2 {
		a[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return a
}

// What is written has to fit; what was there may stay, whatever it is.
func TestSchema_Check(t *testing.T) {
	t.Parallel()
	s, path, err := open(t, staff)
	require.NoError(t, err)
	good := values("cost_center", `"4711"`)
	for _, c := range []struct {
		name          string
		before, after idp.Attributes
		want          string // empty for nothing
	}{
		{"good", nil, good, ""},
		{"nothing new is missing", nil, values("floor", `3`), ""},
		{"pattern", good, values("cost_center", `"x"`), "attributes.cost_center: 'x' does not match"},
		{"type", good, good.With(values("floor", `"3"`)), "attributes.floor: got string, want integer"},
		{"range", good, good.With(values("floor", `21`)), "attributes.floor: maximum"},
		{"enum", good, good.With(values("shirt", `"XXL"`)), "attributes.shirt: value must be one of"},
		{"format", good, good.With(values("since", `"yesterday"`)), "attributes.since: 'yesterday' is not valid date"},
		{"within", good, good.With(values("skills", `["a", 1]`)), "attributes.skills: 1: got number, want string"},
		{"unknown", good, good.With(values("admin", `true`)), "attributes.admin: is no attribute"},
		{"turned text", good, good.With(values("skills", "[\"\u202e\"]")), "attributes.skills: holds a character"},
		{"no JSON", good, good.With(values("floor", `nope`)), "attributes.floor: must be JSON"},
		{"required", good, values(), "attributes.cost_center: is required"},
		{"long", good, good.With(values("skills", `["`+strings.Repeat("x", 17<<10)+`"]`)), "attributes: are longer than 16 KiB"},
		{"kept", values("cost_center", `"old"`, "gone", `1`), values("cost_center", `"old"`, "gone", `1`, "floor", `3`), ""},
		{"kept and put right", values("cost_center", `"old"`), good, ""},
		{"kept and changed", values("gone", `1`), values("gone", `2`), "attributes.gone: is no attribute"},
		{"the same, written otherwise", values("skills", `["a",1]`), values("skills", `["a", 1]`), ""},
	} {
		err := s.Check(c.before, c.after)
		if c.want == "" {
			require.NoError(t, err, c.name)
			continue
		}
		require.ErrorContains(t, err, c.want, c.name)
		var invalid *idp.InvalidError
		require.ErrorAs(t, err, &invalid, c.name)
	}
	require.Len(t, s.Faults(values("cost_center", `"old"`, "gone", `1`)), 2)
	require.Len(t, s.Faults(nil), 1)

	// Another schema holds once it was read, and a broken one never.
	require.NoError(t, os.WriteFile(path, []byte(`{`), 0o600))
	_, err = s.Reload()
	require.Error(t, err)
	require.Len(t, s.Declared(), 7)
	require.NoError(t, os.WriteFile(path, []byte(`{"type":"object","properties":{"gone":{"type":"integer"}}}`), 0o600))
	changed, err := s.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.NoError(t, s.Check(values("gone", `1`), values("gone", `2`)))
	changed, err = s.Reload()
	require.NoError(t, err)
	require.False(t, changed)
}

func TestSchema_Parse(t *testing.T) {
	t.Parallel()
	s, _, err := open(t, staff)
	require.NoError(t, err)
	for _, c := range []struct{ name, typed, want string }{
		{"cost_center", "4711", `"4711"`},
		{"floor", "3", `3`},
		{"badge", "12345678901234567890.5", `12345678901234567890.5`},
		{"warden", "true", `true`},
		{"skills", `["a",  "b"]`, `["a","b"]`},
		{"since", "2021-04-01", `"2021-04-01"`},
	} {
		value, err := s.Parse(c.name, c.typed)
		require.NoError(t, err)
		require.Equal(t, c.want, string(value))
	}
	_, err = s.Parse("floor", "third")
	require.ErrorContains(t, err, "attributes.floor: must be a whole number")
	_, err = s.Parse("nothing", "x")
	require.ErrorContains(t, err, "attributes.nothing: is no attribute")
}
