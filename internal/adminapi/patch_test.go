package adminapi

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A merge patch puts what it says in the place of what was there, and takes
// away what it says is null.
func TestRFC7396_2_MergePatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ document, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":{"b":"c","d":1}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d","d":1}}`},
		{`{"e":7}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}},"e":7}`},
		{`{"a":10000000000000000001}`, `{}`, `{"a":10000000000000000001}`},
	} {
		document, err := parseTree([]byte(tc.document))
		require.NoError(t, err)
		patch, err := parseTree([]byte(tc.patch))
		require.NoError(t, err)
		got, err := json.Marshal(mergePatch(document, patch))
		require.NoError(t, err)
		require.JSONEq(t, tc.want, string(got), tc.patch)
	}
}

// Each operation finds its place, and none makes one up.
func TestRFC6902_4_JSONPatch(t *testing.T) {
	t.Parallel()
	const document = `{"a":[1,2,3],"b":{"c/d":"x","~":"y"},"n":null}`
	for name, tc := range map[string]struct{ patch, want string }{
		"add a member":             {`[{"op":"add","path":"/z","value":{"k":[]}}]`, `{"a":[1,2,3],"b":{"c/d":"x","~":"y"},"n":null,"z":{"k":[]}}`},
		"add null":                 {`[{"op":"add","path":"/b","value":null}]`, `{"a":[1,2,3],"b":null,"n":null}`},
		"insert":                   {`[{"op":"add","path":"/a/1","value":9}]`, `{"a":[1,9,2,3],"b":{"c/d":"x","~":"y"},"n":null}`},
		"append":                   {`[{"op":"add","path":"/a/-","value":9},{"op":"add","path":"/a/4","value":10}]`, `{"a":[1,2,3,9,10],"b":{"c/d":"x","~":"y"},"n":null}`},
		"remove":                   {`[{"op":"remove","path":"/a/0"},{"op":"remove","path":"/b/c~1d"}]`, `{"a":[2,3],"b":{"~":"y"},"n":null}`},
		"replace":                  {`[{"op":"replace","path":"/a/2","value":9},{"op":"replace","path":"/b/~0","value":1}]`, `{"a":[1,2,9],"b":{"c/d":"x","~":1},"n":null}`},
		"replace all":              {`[{"op":"replace","path":"","value":{}}]`, `{}`},
		"move":                     {`[{"op":"move","from":"/a/0","path":"/a/2"}]`, `{"a":[2,3,1],"b":{"c/d":"x","~":"y"},"n":null}`},
		"copies share nothing":     {`[{"op":"copy","from":"/a","path":"/e"},{"op":"add","path":"/e/0","value":9}]`, `{"a":[1,2,3],"b":{"c/d":"x","~":"y"},"e":[9,1,2,3],"n":null}`},
		"test":                     {`[{"op":"test","path":"/b","value":{"~":"y","c/d":"x"}},{"op":"test","path":"/n","value":null}]`, document},
		"no such member":           {`[{"op":"remove","path":"/x"}]`, ""},
		"no such parent":           {`[{"op":"add","path":"/x/y","value":1}]`, ""},
		"replace nothing":          {`[{"op":"replace","path":"/x","value":1}]`, ""},
		"beyond the end":           {`[{"op":"add","path":"/a/4","value":1}]`, ""},
		"a leading zero":           {`[{"op":"remove","path":"/a/01"}]`, ""},
		"a sign":                   {`[{"op":"remove","path":"/a/-1"}]`, ""},
		"remove the end":           {`[{"op":"remove","path":"/a/-"}]`, ""},
		"into a value":             {`[{"op":"add","path":"/a/0/b","value":1}]`, ""},
		"into itself":              {`[{"op":"move","from":"/b","path":"/b/c"}]`, ""},
		"no slash":                 {`[{"op":"remove","path":"a"}]`, ""},
		"no path":                  {`[{"op":"remove"}]`, ""},
		"no value":                 {`[{"op":"add","path":"/x"}]`, ""},
		"another value":            {`[{"op":"test","path":"/a","value":[1,2]}]`, ""},
		"no operation":             {`[{"op":"","path":"/a"}]`, ""},
		"null":                     {`null`, ""},
		"the first that fails":     {`[{"op":"remove","path":"/a"},{"op":"remove","path":"/a"}]`, ""},
		"moving what is not there": {`[{"op":"move","from":"/x","path":"/y"}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := parseTree([]byte(document))
			require.NoError(t, err)
			operations, err := parseJSONPatch([]byte(tc.patch))
			if err == nil {
				tree, err = jsonPatch(tree, operations)
			}
			if tc.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			got, err := json.Marshal(tree)
			require.NoError(t, err)
			require.JSONEq(t, tc.want, string(got))
		})
	}
}

func FuzzJSONPatch(f *testing.F) {
	f.Add(`[{"op":"copy","from":"","path":"/x"},{"op":"move","from":"/x/a","path":"/a/-"}]`)
	f.Add(`[{"op":"add","path":"/a/0","value":{}},{"op":"remove","path":"/a/0"},{"op":"test","path":"/b","value":1}]`)
	f.Fuzz(func(t *testing.T, patch string) {
		tree, err := parseTree([]byte(`{"a":[1,{"b":2}],"b":{"c":"d"}}`))
		require.NoError(t, err)
		operations, err := parseJSONPatch([]byte(patch))
		if err != nil {
			return
		}
		tree, err = jsonPatch(tree, operations)
		if err != nil {
			return
		}
		data, err := json.Marshal(tree)
		require.NoError(t, err)
		require.LessOrEqual(t, len(data), 3*maxCopied+6*len(patch)) // what the patch brings, and copies within bounds
	})
}
