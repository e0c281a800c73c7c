package declared

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"idp/internal/idp"
)

// Document is what somebody wrote down.
type Document struct {
	Objects []Object
	// Sections are the kinds that it speaks of, with objects or without.
	Sections []Kind
	// Faults are about the document. Those of its objects are theirs.
	Faults Faults
}

// sections are the keys of a document, with what an item of each looks like.
var sections = []struct {
	key    string
	kind   Kind
	fields any
	name   string // the field that names an object
}{
	{"groups", KindGroup, groupFields{}, "name"},
	{"resources", KindResource, resourceFields{}, "audience"},
	{"roles", KindRole, idp.Role{}, "name"},
	{"clients", KindClient, clientFields{}, "client_id"},
	{"sign_in_rules", KindSignInRule, idp.SignInRule{}, "name"},
	{"users", KindUser, userFields{}, "username"},
}

// The fields of objects have the names of the admin API's documents.
type groupFields struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
}

type resourceFields struct {
	Audience             string `yaml:"audience"`
	idp.ResourceMetadata `yaml:",inline"`
}

type clientFields struct {
	ClientID           string `yaml:"client_id"`
	ClientSecretFile   string `yaml:"client_secret_file"`
	Disabled           *bool  `yaml:"disabled"`
	idp.ClientMetadata `yaml:",inline"`
}

type userFields struct {
	Sub              string         `yaml:"sub"`
	Username         string         `yaml:"username"`
	PasswordFile     string         `yaml:"password_file"`
	PasswordHashFile string         `yaml:"password_hash_file"`
	Attributes       map[string]any `yaml:"attributes"`
	Groups           []string       `yaml:"groups"`
	Roles            []string       `yaml:"roles"`
	idp.Profile      `yaml:",inline"`
}

// notYours are fields of clients that nobody may wish for.
var notYours = []string{"metadata_document", "self_registered", "software_statement"}

// Read reads a YAML or JSON document. What is wrong with it is in it.
func Read(path string, raw []byte) Document {
	d := Document{}
	decoder := yaml.NewDecoder(strings.NewReader(string(raw)))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return d
	case err != nil:
		d.Faults = append(d.Faults, syntaxFault(path, err))
		return d
	}
	if decoder.Decode(&second) == nil {
		d.Faults = append(d.Faults, Fault{Where: at(path, second.Line), Reason: "one document is allowed, this starts a second"})
	}
	return d.read(path, root.Content[0])
}

// ReadNode reads a document that is a part of another one.
func ReadNode(path string, node *yaml.Node) Document { return Document{}.read(path, node) }

var syntaxLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)

func syntaxFault(path string, err error) Fault {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return Fault{Where: path, Reason: "is not YAML"}
	}
	line, _ := strconv.Atoi(m[1])
	return Fault{Where: at(path, max(line, 1)), Reason: "is not YAML: " + m[2]}
}

func at(path string, line int) string { return path + ":" + strconv.Itoa(line) }

func (d Document) read(path string, node *yaml.Node) Document {
	node = meant(node)
	if isNull(node) {
		return d
	}
	var known []string
	for _, s := range sections {
		known = append(known, s.key)
	}
	if node.Kind != yaml.MappingNode {
		d.Faults = append(d.Faults, Fault{Where: at(path, node.Line), Reason: "must be a mapping of " + strings.Join(known, ", ")})
		return d
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, items := node.Content[i], meant(node.Content[i+1])
		where := at(path, key.Line)
		n := slices.Index(known, key.Value)
		line, twice := seen[key.Value]
		seen[key.Value] = key.Line
		switch {
		case n < 0:
			d.Faults = append(d.Faults, Fault{Where: where, Field: key.Value, Reason: "is no section, known are " + strings.Join(known, ", ")})
			continue
		case twice:
			d.Faults = append(d.Faults, Fault{Where: where, Field: key.Value, Reason: fmt.Sprintf("is there twice, first on line %d", line)})
			continue
		}
		s := sections[n]
		d.Sections = append(d.Sections, s.kind)
		switch {
		case isNull(items):
			continue
		case items.Kind != yaml.SequenceNode:
			d.Faults = append(d.Faults, Fault{Where: at(path, items.Line), Field: key.Value, Reason: "must be a list"})
			continue
		}
		for _, item := range items.Content {
			r := reader{path: path, object: Object{Kind: s.kind, Where: at(path, item.Line), Places: map[string]string{}}}
			fields := reflect.New(reflect.TypeOf(s.fields))
			r.item(meant(item), fields, s.name)
			d.Objects = append(d.Objects, r.object)
		}
	}
	return d
}

// meant is the node that an alias stands for.
func meant(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// reader reads one object.
type reader struct {
	path   string
	object Object
}

// refuse adds a fault at a line.
func (r *reader) refuse(line int, field, reason string) {
	r.object.Faults = append(r.object.Faults, Fault{Where: at(r.path, line), Field: field, Reason: reason})
}

func (r *reader) item(node *yaml.Node, fields reflect.Value, name string) {
	r.mapping("", node, fields.Elem())
	switch f := fields.Interface().(type) {
	case *groupFields:
		r.object.Name, r.object.Group = f.Name, idp.Group{Name: f.Name, Description: f.Description}
	case *resourceFields:
		r.object.Name, r.object.Resource = f.Audience, idp.Resource{Audience: f.Audience, ResourceMetadata: f.ResourceMetadata}
	case *idp.Role:
		r.object.Name, r.object.Role = f.Name, *f
	case *clientFields:
		r.object.Name = f.ClientID
		r.client(f)
	case *idp.SignInRule:
		r.object.Name, r.object.SignInRule = f.Name, *f
	case *userFields:
		r.object.Name = f.Username
		r.user(f)
	}
	if r.object.Name == "" && !r.object.faulty(name) && node.Kind == yaml.MappingNode {
		r.refuse(node.Line, name, "is missing")
	}
	for i := range r.object.Faults {
		r.object.Faults[i].Object = strings.TrimSpace(string(r.object.Kind) + " " + r.object.Name)
	}
}

func (r *reader) client(f *clientFields) {
	for _, field := range notYours {
		if place, ok := r.object.Places[field]; ok {
			r.object.Faults = append(r.object.Faults, Fault{Where: place, Field: field, Reason: "is not to be set"})
		}
	}
	c := &r.object.Client
	c.ClientID, c.ClientMetadata, c.Disabled = f.ClientID, f.ClientMetadata, f.Disabled
	c.Secret = r.secret("client_secret_file", f.ClientSecretFile)
}

func (r *reader) user(f *userFields) {
	u := &r.object.User
	u.ID, u.Username, u.Profile, u.Groups, u.Roles = f.Sub, f.Username, f.Profile, f.Groups, f.Roles
	u.Password = r.secret("password_file", f.PasswordFile)
	u.PasswordHash = r.secret("password_hash_file", f.PasswordHashFile)
	for name, value := range f.Attributes {
		raw, err := json.Marshal(value)
		if err != nil {
			r.object.Faults = append(r.object.Faults, r.object.fault("attributes", "must be what JSON can say"))
			continue
		}
		if u.Attributes == nil {
			u.Attributes = idp.Attributes{}
		}
		u.Attributes[name] = raw
	}
}

// maxSecretFile bounds a file with a secret, in bytes.
const maxSecretFile = 64 << 10

// secret reads a file without its last line end.
func (r *reader) secret(field, path string) idp.Secret {
	if path == "" {
		return ""
	}
	refuse := func(reason string) idp.Secret {
		r.object.Faults = append(r.object.Faults, Fault{Where: r.object.Places[field], Field: field, Reason: reason})
		return ""
	}
	file, err := os.Open(path)
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return refuse("cannot be read: " + err.Error())
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	switch {
	case err != nil:
		return refuse("cannot be read")
	case len(raw) > maxSecretFile:
		return refuse("is too long")
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if secret == "" {
		return refuse("is empty")
	}
	return idp.Secret(secret)
}

// fieldsIn lists the fields of a struct by the names they have in YAML.
func fieldsIn(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case option == "inline", name == "" && v.Type().Field(i).Anonymous:
			fieldsIn(v.Field(i), into)
		case name != "" && name != "-":
			into[name] = v.Field(i)
		}
	}
}

// mapping reads a mapping into a struct. path is that of the struct, with a dot
// at its end.
func (r *reader) mapping(path string, node *yaml.Node, into reflect.Value) {
	if node.Kind != yaml.MappingNode {
		r.refuse(node.Line, strings.TrimSuffix(path, "."), "must be a mapping")
		return
	}
	fields := map[string]reflect.Value{}
	fieldsIn(into, fields)
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], meant(node.Content[i+1])
		target, ok := fields[key.Value]
		line, twice := seen[key.Value]
		seen[key.Value] = key.Line
		switch name := path + key.Value; {
		case !ok:
			r.refuse(key.Line, name, "is no field of a "+string(r.object.Kind)+suggestion(key.Value, fields))
		case twice:
			r.refuse(key.Line, name, fmt.Sprintf("is there twice, first on line %d", line))
		default:
			if path == "" {
				r.object.Places[name] = at(r.path, key.Line)
			}
			r.value(name, value, target)
		}
	}
}

// value reads one value. A null is as if it were not there.
func (r *reader) value(name string, node *yaml.Node, into reflect.Value) {
	if isNull(node) {
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	scalar := func(tag, reason string) {
		if node.Kind != yaml.ScalarNode || node.Tag != tag || node.Decode(into.Addr().Interface()) != nil {
			r.refuse(node.Line, name, reason)
		}
	}
	switch {
	case into.Type() == reflect.TypeFor[idp.JWKSet](), into.Kind() == reflect.Map:
		if node.Kind != yaml.MappingNode || node.Decode(into.Addr().Interface()) != nil {
			r.refuse(node.Line, name, "must be a mapping")
		}
	case into.Kind() == reflect.Struct:
		r.mapping(name+".", node, into)
	case into.Kind() == reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			r.refuse(node.Line, name, "must be a list")
			return
		}
		list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
		for i, item := range node.Content {
			item = meant(item)
			if item.Kind == yaml.ScalarNode {
				r.object.Places[name+" "+item.Value] = at(r.path, item.Line)
			}
			if isNull(item) {
				r.refuse(item.Line, fmt.Sprintf("%s[%d]", name, i), "is empty")
				continue
			}
			r.value(fmt.Sprintf("%s[%d]", name, i), item, list.Index(i))
		}
		into.Set(list)
	case into.Kind() == reflect.String:
		scalar("!!str", "must be a text, in quotes if it looks like something else")
	case into.Kind() == reflect.Bool:
		scalar("!!bool", "must be true or false")
	default:
		scalar("!!int", "must be a whole number")
	}
}

// suggestion ends a fault about an unknown field: what was meant if it is hardly
// misspelt, or what there is if that is little.
func suggestion(name string, fields map[string]reflect.Value) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)), "s")
	}
	known := slices.Sorted(maps.Keys(fields))
	if i := slices.IndexFunc(known, func(k string) bool { return plain(k) == plain(name) }); i >= 0 {
		return ", did you mean " + known[i] + "?"
	}
	if len(known) <= 8 {
		return ", known are " + strings.Join(known, ", ")
	}
	return ""
}
