package attributes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"idp/internal/idp"
)

// Our own keywords of a property.
const (
	keyEdit  = "x-idp-edit"
	keyClaim = "x-idp-claim"
	keyScope = "x-idp-scope"
	keyTitle = "x-idp-title"
)

// location is what the schema calls itself; it is never read from anywhere.
const location = "urn:idp:attributes"

// noOthers refuses references to other documents.
type noOthers struct{}

func (noOthers) Load(url string) (any, error) {
	return nil, errors.New("references to other documents are not followed")
}

// schemaError is something wrong with the schema, with its place.
func schemaError(place, format string, args ...any) error {
	return fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...))
}

func compile(raw []byte) (*compiled, error) {
	if len(raw) > maxSchema {
		return nil, schemaError(" ", "is longer than %d KiB", maxSchema>>10)
	}
	if err := json.Unmarshal(raw, new(any)); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line := 1 + bytes.Count(raw[:min(int(syntax.Offset), len(raw))], []byte("\n"))
			return nil, schemaError(strconv.Itoa(line), "is not JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		return nil, schemaError(" ", "is not JSON: %v", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, schemaError(" ", "is not JSON: %v", err)
	}
	root, ok := document.(map[string]any)
	if !ok {
		return nil, schemaError(" ", "must be a JSON Schema of an object")
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noOthers{})
	if err := compiler.AddResource(location, document); err != nil {
		return nil, schemaError(" ", "%v", err)
	}
	schema, err := compiler.Compile(location)
	if err != nil {
		return nil, compileError(err)
	}
	if schema.DraftVersion != 2020 {
		return nil, schemaError("#/$schema", "must be https://json-schema.org/draft/2020-12/schema")
	}
	if root["type"] != "object" {
		return nil, schemaError("#/type", `must be "object"`)
	}
	c := &compiled{raw: raw, schema: schema}
	properties, _ := root["properties"].(map[string]any)
	claims := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		place := "#/properties/" + name
		if !attributeName.MatchString(name) {
			return nil, schemaError(place, "the name must be 1 to 64 letters, digits and . _ -, with a letter first")
		}
		annotations, _ := properties[name].(map[string]any)
		a, err := declare(place, name, annotations, schema.Properties[name])
		if err != nil {
			return nil, err
		}
		if other, taken := claims[a.Claim]; a.Claim != "" && taken {
			return nil, schemaError(place+"/"+keyClaim, "is also the claim of %s", other)
		}
		claims[a.Claim] = name
		c.declared = append(c.declared, a)
	}
	return c, nil
}

// compileError finds the place in what the library says of a schema.
func compileError(err error) error {
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if v, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			for len(v.Causes) > 0 {
				v = v.Causes[0]
			}
			place := "#"
			for _, step := range v.InstanceLocation {
				place += "/" + step
			}
			return schemaError(place, "is no JSON Schema: %s", v.ErrorKind.LocalizedString(english))
		}
	}
	return schemaError(" ", "%s", strings.ReplaceAll(err.Error(), location, ""))
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,63}$`)
	claimName     = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,200}$`)
	languageTag   = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`)
)

// declare reads one property.
func declare(place, name string, annotations map[string]any, schema *jsonschema.Schema) (idp.Attribute, error) {
	a := idp.Attribute{Name: name, Titles: map[string]string{}}
	a.Kind, a.Choices = kindOf(schema)

	// 1. Only what is known, so that a slip does not open anything.
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(key, "x-idp-") && !slices.Contains([]string{keyEdit, keyClaim, keyScope, keyTitle}, key) {
			return a, schemaError(place+"/"+key, "is no annotation; there are %s, %s, %s and %s", keyEdit, keyClaim, keyScope, keyTitle)
		}
	}
	text := func(key string) (string, error) {
		value, given := annotations[key]
		t, ok := value.(string)
		if given && (!ok || t == "") {
			return "", schemaError(place+"/"+key, "must be a text")
		}
		return t, nil
	}
	var err error
	// 2. Who may change it.
	switch edit, err := text(keyEdit); {
	case err != nil:
		return a, err
	case edit == "person" && a.Kind == idp.AttributeJSON:
		return a, schemaError(place+"/"+keyEdit, "people can change texts, numbers, booleans and dates, and nothing else")
	case edit != "" && edit != "person" && edit != "operator":
		return a, schemaError(place+"/"+keyEdit, "must be person or operator")
	default:
		a.Own = edit == "person"
	}
	// 3. Who is told.
	if a.Claim, err = text(keyClaim); err != nil {
		return a, err
	}
	if a.Scope, err = text(keyScope); err != nil {
		return a, err
	}
	switch {
	case a.Claim == "" && a.Scope != "":
		return a, schemaError(place+"/"+keyScope, "is for a claim: set %s", keyClaim)
	case a.Claim == "":
	case !claimName.MatchString(a.Claim):
		return a, schemaError(place+"/"+keyClaim, "must be 1 to 200 printable ASCII characters without quotes and backslashes")
	case idp.IsReservedClaim(a.Claim):
		return a, schemaError(place+"/"+keyClaim, "%s means something already", a.Claim)
	case a.Scope == "":
		a.Scope = idp.ScopeProfile
	case !claimName.MatchString(a.Scope), a.Scope == idp.ScopeOfflineAccess:
		return a, schemaError(place+"/"+keyScope, "must be openid, profile, email, phone, address or a scope of a resource")
	}
	// 4. What it is called.
	if a.Titles[""], err = text("title"); err != nil {
		return a, err
	}
	if a.Hint, err = text("description"); err != nil {
		return a, err
	}
	titles, given := annotations[keyTitle].(map[string]any)
	if _, there := annotations[keyTitle]; there && !given {
		return a, schemaError(place+"/"+keyTitle, `must be an object such as {"de": "Kostenstelle"}`)
	}
	for tag, title := range titles {
		t, ok := title.(string)
		if !languageTag.MatchString(tag) || !ok || t == "" {
			return a, schemaError(place+"/"+keyTitle+"/"+tag, "must be a text under the tag of a language")
		}
		a.Titles[tag] = t
	}
	return a, nil
}

// kindOf says how values are written, and which texts there are to choose from.
func kindOf(s *jsonschema.Schema) (idp.AttributeKind, []string) {
	var types []string
	var format string
	var choices []string
	for ; s != nil; s = s.Ref {
		if types == nil && s.Types != nil {
			types = s.Types.ToStrings()
		}
		if format == "" && s.Format != nil {
			format = s.Format.Name
		}
		if choices == nil && s.Enum != nil {
			for _, value := range s.Enum.Values {
				raw, err := json.Marshal(value)
				if err == nil && value != nil {
					choices = append(choices, idp.TextOf(raw))
				}
			}
			if types == nil && allTexts(s.Enum.Values) {
				types = []string{"string"}
			}
		}
	}
	if len(types) != 1 {
		return idp.AttributeJSON, nil
	}
	switch {
	case types[0] == "string" && format == "date" && choices == nil:
		return idp.AttributeDate, nil
	case types[0] == "string":
		return idp.AttributeText, choices
	case types[0] == "integer":
		return idp.AttributeInteger, choices
	case types[0] == "number":
		return idp.AttributeNumber, choices
	case types[0] == "boolean":
		return idp.AttributeBoolean, nil
	}
	return idp.AttributeJSON, nil
}

func allTexts(values []any) bool {
	return !slices.ContainsFunc(values, func(v any) bool { _, ok := v.(string); return !ok })
}
