package attributes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"idp/internal/idp"
)

// Schema is what the operator declares in a file, read again by Reload. It is
// safe for use by many goroutines.
type Schema struct {
	path    string
	current atomic.Pointer[compiled]
}

// compiled is a schema as it was read. Its declared ones are sorted by name.
type compiled struct {
	raw      []byte
	schema   *jsonschema.Schema
	declared []idp.Attribute
}

// Open reads the schema in a file; the empty path declares nothing. Its errors
// name the place in the file.
func Open(path string) (*Schema, error) {
	s := &Schema{path: path}
	s.current.Store(&compiled{})
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// maxSchema bounds the file, in bytes.
const maxSchema = 1 << 20

// Reload reads the file now and reports whether it had changed. On an error the
// schema stays what it was.
func (s *Schema) Reload() (changed bool, err error) {
	if s.path == "" {
		return false, nil
	}
	raw, err := os.ReadFile(s.path)
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return false, fmt.Errorf("%s cannot be read: %w", s.path, err)
	}
	if was := s.current.Load(); bytes.Equal(was.raw, raw) {
		return false, nil
	}
	c, err := compile(raw)
	if err != nil {
		return false, fmt.Errorf("%s:%w", s.path, err)
	}
	s.current.Store(c)
	return true, nil
}

// Declared returns the attributes there are, sorted by name. Nobody changes
// them.
func (s *Schema) Declared() []idp.Attribute { return s.current.Load().declared }

// Check refuses, as *idp.InvalidError for each attribute, what was changed and
// does not fit, and what fits no more because of the change. What did not fit
// before stays as it is.
func (s *Schema) Check(before, after idp.Attributes) error {
	c := s.current.Load()
	changed := map[string]bool{}
	for name, value := range after {
		if !same(before[name], value) {
			changed[name] = true
		}
	}
	old := map[fault]bool{}
	for _, f := range c.faults(before) {
		old[f] = true
	}
	var refused []error
	for _, f := range c.faults(after) {
		if changed[f.name] || !old[f] {
			refused = append(refused, f.err())
		}
	}
	return errors.Join(refused...)
}

// Faults says which of an account's attributes do not fit, each as an
// *idp.InvalidError.
func (s *Schema) Faults(values idp.Attributes) []error {
	var all []error
	for _, f := range s.current.Load().faults(values) {
		all = append(all, f.err())
	}
	return all
}

// Parse reads the value of an attribute as somebody typed it: a text as it
// is, all else as JSON. The error is an *idp.InvalidError. Whether the value is
// allowed, Check says.
func (s *Schema) Parse(name, typed string) (json.RawMessage, error) {
	for _, a := range s.Declared() {
		if a.Name != name {
			continue
		}
		if a.Kind == idp.AttributeText || a.Kind == idp.AttributeDate {
			return json.Marshal(typed)
		}
		var value bytes.Buffer
		if err := json.Compact(&value, []byte(typed)); err != nil {
			if a.Kind == idp.AttributeJSON && len(typed) > 0 && typed[0] != '{' && typed[0] != '[' && typed[0] != '"' {
				return json.Marshal(typed) // one of several kinds
			}
			return nil, fault{name, "must be " + kindsInWords[a.Kind]}.err()
		}
		return value.Bytes(), nil
	}
	return nil, fault{name, notDeclared}.err()
}

var kindsInWords = map[idp.AttributeKind]string{
	idp.AttributeInteger: "a whole number",
	idp.AttributeNumber:  "a number",
	idp.AttributeBoolean: "true or false",
	idp.AttributeJSON:    "JSON",
}
