package grants

import (
	"encoding/json"
	"testing"
)

// What a request object says survives as parameters, and nothing that belongs
// to the JWT gets among them.
func FuzzObjectParameters(f *testing.F) {
	for _, s := range []string{
		`{"iss":"c","aud":"i","state":"s","max_age":100}`, `{"claims":{"userinfo":{"name":null}},"resource":["a","b"]}`,
		`{"resource":[1]}`, `{"max_age":1e309,"x":null,"y":true}`, `{"scope":"openid\u0000"}`, `{"resource":"one","prompt":["a"]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var claims map[string]json.RawMessage
		if json.Unmarshal([]byte(raw), &claims) != nil {
			return
		}
		p, err := objectParameters(claims)
		if err != nil {
			return
		}
		for name, values := range p.values {
			if name == "iss" || name == "aud" || name == "exp" {
				t.Errorf("%s of the JWT is a parameter", name)
			}
			if len(values) > 1 && !repeatable(name) || values[0] == "" {
				t.Errorf("%q holds %q", name, values)
			}
			var text string
			if json.Unmarshal(claims[name], &text) == nil && string(claims[name]) != "null" && values[0] != text {
				t.Errorf("%q was %q and became %q", name, text, values[0])
			}
		}
		again, err := parseParameters(p.values.Encode())
		if err != nil || again.values.Encode() != p.values.Encode() {
			t.Errorf("%q does not survive encoding: %v", raw, err)
		}
	})
}
