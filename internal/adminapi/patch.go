package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// patch reads the body, a patch of either kind, and returns what applies it to
// a document. Hydra's clients send JSON Patch as application/json.
func (c *call) patch() (func(document any) (map[string]json.RawMessage, error), error) {
	data, mediaType, err := c.body(typeMergePatch, typeJSONPatch, typeJSON)
	if err != nil {
		return nil, err
	}
	if mediaType == typeMergePatch {
		changes, err := parseTree(data)
		if _, ok := changes.(map[string]any); err != nil || !ok {
			return nil, invalid("a merge patch must be one JSON object")
		}
		return patched(func(tree any) (any, error) { return mergePatch(tree, changes), nil }), nil
	}
	operations, err := parseJSONPatch(data)
	if err != nil {
		return nil, err
	}
	return patched(func(tree any) (any, error) { return jsonPatch(tree, operations) }), nil
}

// patched applies a change to the JSON form of a document.
func patched(change func(tree any) (any, error)) func(any) (map[string]json.RawMessage, error) {
	return func(document any) (map[string]json.RawMessage, error) {
		before, err := json.Marshal(document)
		if err != nil {
			return nil, err
		}
		tree, err := parseTree(before)
		if err != nil {
			return nil, err
		}
		if tree, err = change(tree); err != nil {
			return nil, err
		}
		after, err := json.Marshal(tree)
		if err != nil {
			return nil, err
		}
		return parseObject(after)
	}
}

// parseTree reads one JSON value. Numbers stay as they are written.
func parseTree(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return tree, nil
}

// mergePatch is the algorithm of RFC 7396 section 2.
func mergePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = mergePatch(object[name], value)
	}
	return object
}

// patchOperation is one operation of a JSON Patch (RFC 6902 section 4).
type patchOperation struct {
	Op    string          `json:"op"`
	Path  *string         `json:"path"`
	From  *string         `json:"from"`
	Value json.RawMessage `json:"value"`

	path, from []string
	value      any
}

const (
	maxOperations = 100
	maxCopied     = 64 << 10 // bytes that all copies of a patch may have
)

func parseJSONPatch(data []byte) ([]patchOperation, error) {
	var operations []patchOperation
	if err := json.Unmarshal(data, &operations); err != nil || operations == nil {
		return nil, invalid("a JSON patch must be an array of operations (RFC 6902)")
	}
	if len(operations) > maxOperations {
		return nil, invalid("a JSON patch has at most " + strconv.Itoa(maxOperations) + " operations")
	}
	for i := range operations {
		if fault := operations[i].read(); fault != "" {
			return nil, invalid("operation " + strconv.Itoa(i) + " of the JSON patch " + fault)
		}
	}
	return operations, nil
}

// read takes the operation's parts apart, or says what is wrong with them.
func (o *patchOperation) read() string {
	moves := o.Op == "move" || o.Op == "copy"
	valued := o.Op == "add" || o.Op == "replace" || o.Op == "test"
	if !moves && !valued && o.Op != "remove" {
		return "is none of add, remove, replace, move, copy, test"
	}
	ok := o.Path != nil
	if ok {
		o.path, ok = pointer(*o.Path)
	}
	if !ok {
		return "has no path that is a JSON Pointer"
	}
	if moves {
		if ok = o.From != nil; ok {
			o.from, ok = pointer(*o.From)
		}
		if !ok {
			return "has no from that is a JSON Pointer"
		}
		if o.Op == "move" && len(o.from) < len(o.path) && slices.Equal(o.from, o.path[:len(o.from)]) {
			return "moves a value into itself"
		}
	}
	if valued {
		if len(o.Value) == 0 {
			return "has no value"
		}
		value, err := parseTree(o.Value)
		if err != nil {
			return "has no value"
		}
		o.value = value
	}
	return ""
}

// pointer splits a JSON Pointer (RFC 6901 section 3).
func pointer(text string) ([]string, bool) {
	if text == "" {
		return nil, true
	}
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return nil, false
	}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
	}
	return parts, true
}

var errNoPlace = errors.New("no such place")

// jsonPatch applies the operations one after the other; the first that fails
// fails all (RFC 6902 section 5).
func jsonPatch(tree any, operations []patchOperation) (any, error) {
	copied := 0
	for i, o := range operations {
		fail := func(status int, code, fault string) error {
			return newProblem(status, code, "operation "+strconv.Itoa(i)+" of the JSON patch "+fault)
		}
		value, err := o.value, error(nil)
		if o.Op == "move" || o.Op == "copy" {
			if value, err = at(tree, o.from); err == nil {
				value, copied, err = cloned(value, copied)
			}
		}
		if err == nil {
			switch o.Op {
			case "test":
				var current any
				if current, err = at(tree, o.path); err == nil && !reflect.DeepEqual(current, value) {
					return nil, fail(http.StatusConflict, "conflict", "tests for a value that is not there")
				}
			case "remove":
				tree, err = removed(tree, o.path)
			case "replace":
				if _, err = at(tree, o.path); err == nil {
					tree, err = placed(tree, o.path, value, true)
				}
			case "move":
				if tree, err = removed(tree, o.from); err == nil {
					tree, err = placed(tree, o.path, value, false)
				}
			default:
				tree, err = placed(tree, o.path, value, false)
			}
		}
		if err != nil {
			return nil, fail(http.StatusBadRequest, "invalid_request", "names a place that is not there")
		}
	}
	return tree, nil
}

// cloned returns a copy that shares nothing, as long as copies do not pile up.
func cloned(value any, copied int) (any, int, error) {
	data, err := json.Marshal(value)
	if err != nil || copied+len(data) > maxCopied {
		return nil, copied, errNoPlace
	}
	value, err = parseTree(data)
	return value, copied + len(data), err
}

// at returns the value at the path.
func at(tree any, path []string) (any, error) {
	for _, part := range path {
		switch container := tree.(type) {
		case map[string]any:
			value, ok := container[part]
			if !ok {
				return nil, errNoPlace
			}
			tree = value
		case []any:
			i, ok := index(part, len(container)-1)
			if !ok {
				return nil, errNoPlace
			}
			tree = container[i]
		default:
			return nil, errNoPlace
		}
	}
	return tree, nil
}

// placed returns the tree with the value at the path: in an array it moves
// what follows, unless it replaces.
func placed(tree any, path []string, value any, replace bool) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	part, last := path[0], len(path) == 1
	switch container := tree.(type) {
	case map[string]any:
		inner, ok := container[part]
		if !ok && !last {
			return nil, errNoPlace
		}
		inner, err := placed(inner, path[1:], value, replace)
		container[part] = inner
		return container, err
	case []any:
		if last && part == "-" && !replace {
			return append(container, value), nil
		}
		if last && !replace {
			i, ok := index(part, len(container))
			if !ok {
				return nil, errNoPlace
			}
			return slices.Insert(container, i, value), nil
		}
		i, ok := index(part, len(container)-1)
		if !ok {
			return nil, errNoPlace
		}
		inner, err := placed(container[i], path[1:], value, replace)
		container[i] = inner
		return container, err
	}
	return nil, errNoPlace
}

// removed returns the tree without what is at the path.
func removed(tree any, path []string) (any, error) {
	if len(path) == 0 {
		return nil, nil
	}
	part, last := path[0], len(path) == 1
	switch container := tree.(type) {
	case map[string]any:
		inner, ok := container[part]
		if !ok {
			return nil, errNoPlace
		}
		if last {
			delete(container, part)
			return container, nil
		}
		inner, err := removed(inner, path[1:])
		container[part] = inner
		return container, err
	case []any:
		i, ok := index(part, len(container)-1)
		if !ok {
			return nil, errNoPlace
		}
		if last {
			return slices.Delete(container, i, i+1), nil
		}
		inner, err := removed(container[i], path[1:])
		container[i] = inner
		return container, err
	}
	return nil, errNoPlace
}

// index reads an array index (RFC 6901 section 4): digits without leading
// zeros, up to most.
func index(text string, most int) (int, bool) {
	i, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(i) != text || i < 0 || i > most {
		return 0, false
	}
	return i, true
}
