package attributes

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"idp/internal/idp"
)

var english = message.NewPrinter(language.English)

// fault is what is wrong with one attribute, or with all together where name is
// empty.
type fault struct{ name, reason string }

func (f fault) err() error {
	if f.name == "" {
		return idp.Invalid("attributes", f.reason)
	}
	return idp.Invalid("attributes."+f.name, f.reason)
}

const (
	notDeclared = "is no attribute that accounts.attributes_schema declares"
	// maxAttributes bounds what one account says, in bytes: it is read with
	// every token.
	maxAttributes = 16 << 10
)

// faults lists what is wrong with values, in a stable order.
func (c *compiled) faults(values idp.Attributes) []fault {
	var all []fault
	size := 0
	document := make(map[string]any, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		size += len(name) + len(values[name])
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(values[name]))
		switch {
		case !slices.ContainsFunc(c.declared, func(a idp.Attribute) bool { return a.Name == name }):
			all = append(all, fault{name, notDeclared})
			continue
		case err != nil:
			all = append(all, fault{name, "must be JSON"})
			continue
		case deceives(value):
			all = append(all, fault{name, "holds a character that cannot be seen or turns the reading direction"})
			continue
		}
		document[name] = value
	}
	if size > maxAttributes {
		all = append(all, fault{"", "are longer than 16 KiB"})
	}
	if c.schema == nil {
		return all
	}
	err := c.schema.Validate(document)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		all = append(all, leaves(invalid)...)
	} else if err != nil {
		all = append(all, fault{"", "cannot be checked"})
	}
	slices.SortFunc(all, func(a, b fault) int { return strings.Compare(a.name+"\n"+a.reason, b.name+"\n"+b.reason) })
	return slices.Compact(all)
}

// leaves are the single rules that are broken.
func leaves(v *jsonschema.ValidationError) []fault {
	var all []fault
	for _, cause := range v.Causes {
		all = append(all, leaves(cause)...)
	}
	if len(v.Causes) > 0 {
		return all
	}
	if len(v.InstanceLocation) > 0 {
		reason := v.ErrorKind.LocalizedString(english)
		if within := v.InstanceLocation[1:]; len(within) > 0 {
			reason = strings.Join(within, ".") + ": " + reason
		}
		return []fault{{v.InstanceLocation[0], reason}}
	}
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			all = append(all, fault{name, "is required"})
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			all = append(all, fault{name, "is required beside " + k.Prop})
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			all = append(all, fault{name, notDeclared})
		}
	default:
		all = append(all, fault{"", v.ErrorKind.LocalizedString(english)})
	}
	return all
}

// deceives finds, in any text of a value, characters that hide or turn what
// stands around them.
func deceives(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.ContainsFunc(v, func(r rune) bool {
			return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' || unicode.In(r, unicode.Zl, unicode.Zp)
		})
	case []any:
		return slices.ContainsFunc(v, deceives)
	case map[string]any:
		for name, member := range v {
			if deceives(name) || deceives(member) {
				return true
			}
		}
	}
	return false
}

// same reports whether two values mean the same, however they are written.
func same(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	va, errA := jsonschema.UnmarshalJSON(bytes.NewReader(a))
	vb, errB := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	return errA == nil && errB == nil && reflect.DeepEqual(va, vb)
}
