package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// The media types of bodies.
const (
	typeJSON       = "application/json"
	typeMergePatch = "application/merge-patch+json" // RFC 7396
	typeJSONPatch  = "application/json-patch+json"  // RFC 6902
)

// body reads the whole body, which the server has bounded, if it is of one of
// the types.
func (c *call) body(types ...string) (data []byte, mediaType string, err error) {
	mediaType, _, err = mime.ParseMediaType(c.Header.Get("Content-Type"))
	known := false
	for _, t := range types {
		known = known || err == nil && mediaType == t
	}
	if !known {
		return nil, "", unsupportedMediaType(strings.Join(types, " or "))
	}
	data, err = c.read()
	switch {
	case err != nil:
		return nil, "", err
	case !utf8.Valid(data):
		return nil, "", invalid("the body is not UTF-8 (RFC 8259 section 8.1)")
	}
	return data, mediaType, nil
}

func (c *call) read() ([]byte, error) {
	data, err := io.ReadAll(c.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, newProblem(http.StatusRequestEntityTooLarge, "request_entity_too_large", "the body is too large")
	case err != nil:
		return nil, invalid("the body could not be read")
	}
	return data, nil
}

// object reads a body that is one JSON object.
func (c *call) object() (map[string]json.RawMessage, error) {
	data, _, err := c.body(typeJSON)
	if err != nil {
		return nil, err
	}
	return parseObject(data)
}

// input reads a body that is one JSON object into a struct. Members named in
// passed are the server's to say: they may be sent back.
func (c *call) input(into any, passed ...string) error {
	members, err := c.object()
	if err != nil {
		return err
	}
	for _, name := range passed {
		delete(members, name)
	}
	return decode(members, into)
}

// patched applies the patch in the body to a document and reads the result
// into a struct, as input does.
func (c *call) patched(document, into any, passed ...string) error {
	apply, err := c.patch()
	if err != nil {
		return err
	}
	members, err := apply(document)
	if err != nil {
		return err
	}
	for _, name := range passed {
		delete(members, name)
	}
	return decode(members, into)
}

// parseObject takes a JSON object apart. A member that is there twice is
// refused: two readers could take different ones (RFC 8259 section 4). One that
// is null counts as left out.
func parseObject(data []byte) (map[string]json.RawMessage, error) {
	malformed := invalid("the body must be one JSON object")
	decoder := json.NewDecoder(bytes.NewReader(data))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, malformed
	}
	members, seen := map[string]json.RawMessage{}, map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, malformed
		}
		if seen[text] {
			return nil, invalidMember(text, "is there twice")
		}
		seen[text] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, malformed
		}
		if string(value) != "null" {
			members[text] = value
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, malformed
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	return members, nil
}

// decode reads the members into a struct. All must be fields of it, by their
// exact names.
func decode(members map[string]json.RawMessage, into any) error {
	known := memberNames(reflect.TypeOf(into).Elem())
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !known[name] {
			return invalidMember(name, "is not known here")
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: members[name]})
		if err == nil {
			decoder := json.NewDecoder(bytes.NewReader(one))
			decoder.DisallowUnknownFields() // also below
			err = decoder.Decode(into)
		}
		if err != nil {
			return invalidMember(name, "is of the wrong type, or holds what is not known here")
		}
	}
	return nil
}

// memberNames returns the names that a struct's fields have in JSON.
func memberNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}
