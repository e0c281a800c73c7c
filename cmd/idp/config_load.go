package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"idp/internal/idp"
)

// sources is where a configuration comes from, weakest first: the file, the
// credentials of systemd, the environment, the flags.
type sources struct {
	File  string            // path of the YAML file; empty for none
	Env   []string          // as os.Environ gives it
	Flags map[string]string // by key path: the flags that were given

	// NeedIssuer makes a missing issuer a fault: a server needs one, most
	// commands do not.
	NeedIssuer bool
}

// fault is one thing wrong with a configuration.
type fault struct {
	Where  string // idp.yaml:3, IDP_LISTEN, --listen
	Key    string // the path of keys; empty for a fault of the file as a whole
	Value  string // as it was written, quoted; empty for none or a secret
	Reason string // what is allowed
}

func (f fault) String() string {
	parts := make([]string, 0, 4)
	for _, part := range []string{f.Where, f.Key, f.Value, f.Reason} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// configError is a configuration that does not load, with all its faults.
type configError struct{ Faults []fault }

func (e *configError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// loader fills a Config and collects what is wrong on the way. One setter
// serves all sources, so the same mistake reads the same wherever it was made.
type loader struct {
	config     *Config
	fields     map[string]field
	order      []string          // key paths as the struct has them
	origin     map[string]string // where a key was last set; absent for defaults
	written    map[string]string // what was written there
	faults     []fault
	needIssuer bool
}

// field is one leaf of Config.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// loadConfig reads the configuration. The error is a *configError, or says
// that a file cannot be read.
func loadConfig(src sources) (*Config, error) {
	l, err := load(src)
	if err != nil {
		return nil, err
	}
	return l.config, nil
}

// newLoader starts with the defaults.
func newLoader() *loader {
	config := defaultConfig()
	l := &loader{config: &config, fields: map[string]field{}, origin: map[string]string{}, written: map[string]string{}}
	l.collect(reflect.ValueOf(&config).Elem(), "")
	return l
}

func load(src sources) (*loader, error) {
	l := newLoader()
	l.needIssuer = src.NeedIssuer
	if src.File != "" {
		if err := l.loadFile(src.File); err != nil {
			return nil, err
		}
	}
	l.loadCredentials(src.Env)
	l.loadEnv(src.Env)
	for _, key := range l.order {
		if text, ok := src.Flags[key]; ok {
			l.set(key, text, "--"+strings.ReplaceAll(strings.ReplaceAll(key, ".", "-"), "_", "-"))
		}
	}
	l.validate()
	if len(l.faults) > 0 {
		return nil, &configError{Faults: l.faults}
	}
	return l, nil
}

// collect lists the leaves of a struct under their key paths.
func (l *loader) collect(v reflect.Value, prefix string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("yaml") == "-" {
			continue
		}
		key := prefix + f.Tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct {
			l.collect(v.Field(i), key+".")
			continue
		}
		l.fields[key] = field{value: v.Field(i), tag: f.Tag}
		l.order = append(l.order, key)
	}
}

// loadFile reads the YAML file. It walks the nodes itself because the faults
// of all lines are wanted together, each with its line.
func (l *loader) loadFile(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return &configError{Faults: []fault{{Where: path, Reason: "cannot be read: " + fileReason(err)}}}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(raw)))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if len(strings.TrimSpace(string(raw))) == 0 || err.Error() == "EOF" {
			return nil // nothing but comments
		}
		l.faults = append(l.faults, syntaxFault(path, err))
		return nil
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		l.faults = append(l.faults, fault{Where: at(path, second.Line), Reason: "one document is allowed, this starts a second"})
	}
	if len(document.Content) == 1 {
		l.mapping(path, "", document.Content[0])
	}
	return nil
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)

func syntaxFault(path string, err error) fault {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return fault{Where: path, Reason: "is not YAML"}
	}
	where := path
	if m[1] != "" {
		where += ":" + m[1]
	}
	return fault{Where: where, Reason: "is not YAML: " + m[2]}
}

func at(path string, line int) string { return path + ":" + strconv.Itoa(line) }

// mapping walks one section of the file.
func (l *loader) mapping(path, prefix string, node *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	section := strings.TrimSuffix(prefix, ".")
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return // a section with every line commented out
	}
	if node.Kind != yaml.MappingNode {
		l.faults = append(l.faults, fault{Where: at(path, node.Line), Key: section, Value: quoteNode(node), Reason: "must be a section of keys: " + strings.Join(l.keysUnder(prefix), ", ")})
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key, where := prefix+name.Value, at(path, name.Line)
		if line, twice := seen[name.Value]; twice {
			l.faults = append(l.faults, fault{Where: where, Key: key, Reason: fmt.Sprintf("is set twice, first on line %d", line)})
			continue
		}
		seen[name.Value] = name.Line
		_, leaf := l.fields[key]
		switch {
		case key == "bootstrap":
			l.config.Bootstrap = BootstrapSection{path, value}
		case leaf:
			l.leaf(path, key, value)
		case len(l.keysUnder(key+".")) > 0:
			l.mapping(path, key+".", value)
		default:
			l.faults = append(l.faults, fault{Where: where, Key: key, Reason: "is no key" + l.suggestKey(prefix, name.Value)})
		}
	}
}

// leaf sets one value of the file.
func (l *loader) leaf(path, key string, node *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	_, list := l.fields[key].value.Interface().([]netip.Prefix)
	tag := "!!str"
	switch l.fields[key].value.Interface().(type) {
	case int:
		tag = "!!int"
	case bool:
		tag = "!!bool"
	}
	refuse := func() {
		value := quoteNode(node)
		if l.isSecret(key) {
			value = ""
		}
		l.faults = append(l.faults, fault{Where: at(path, node.Line), Key: key, Value: value, Reason: l.allowed(key)})
	}
	switch {
	case list && node.Kind == yaml.SequenceNode:
		items := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
				l.faults = append(l.faults, fault{Where: at(path, item.Line), Key: key, Value: quoteNode(item), Reason: l.allowed(key)})
				continue
			}
			if _, err := parseNetwork(item.Value); err != nil {
				l.faults = append(l.faults, fault{Where: at(path, item.Line), Key: key, Value: quoteNode(item), Reason: err.Error()})
				continue
			}
			items = append(items, item.Value)
		}
		l.set(key, strings.Join(items, ","), at(path, node.Line))
	case node.Kind != yaml.ScalarNode, list, node.Tag != tag:
		refuse()
	default:
		l.set(key, node.Value, at(path, node.Line))
	}
}

// loadEnv reads the IDP_* variables. An empty one counts as unset: compose
// files and unit files pass those on.
func (l *loader) loadEnv(environ []string) {
	names := map[string]string{} // variable → key
	for _, key := range l.order {
		names[variable(key)] = key
	}
	environ = slices.Sorted(slices.Values(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "IDP_") || value == "" || isForeignVariable(name, value) {
			continue
		}
		if key, ok := names[name]; ok {
			l.set(key, value, name)
			continue
		}
		l.faults = append(l.faults, fault{Where: name, Reason: "is no variable of idp" + didYouMean(name, slices.Sorted(maps.Keys(names)))})
	}
}

// loadCredentials takes the secrets that systemd hands over: a credential with
// the name of a secret's key stands for its file.
func (l *loader) loadCredentials(environ []string) {
	directory := ""
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, "CREDENTIALS_DIRECTORY="); ok {
			directory = value
		}
	}
	if directory == "" {
		return
	}
	for _, key := range l.order {
		name, file := strings.CutSuffix(key, "_file")
		if _, ok := l.fields[name]; !file || !ok || !l.isSecret(name) {
			continue
		}
		path := filepath.Join(directory, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			l.set(key, path, "credential "+name)
		}
	}
}

// variable returns the environment variable of a key.
func variable(key string) string {
	return "IDP_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// kubernetesVariable matches what Kubernetes and Docker links put into the
// environment of every container beside a service whose name starts with idp.
var kubernetesVariable = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// isForeignVariable reports whether an IDP_* variable is not the
// configuration's: the path of the file, the token for --endpoint, what tests
// read, what orchestrators inject.
func isForeignVariable(name, value string) bool {
	return name == "IDP_CONFIG" || name == "IDP_TOKEN" || name == "IDP_TOKEN_FILE" || strings.HasPrefix(name, "IDP_TEST_") || kubernetesVariable.MatchString(name) ||
		(strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://"))
}

// isSecret reports whether the key's value must not be shown.
func (l *loader) isSecret(key string) bool {
	switch l.fields[key].value.Interface().(type) {
	case idp.Secret, DatabaseURL:
		return true
	}
	return false
}

// faulty reports whether a key already has a fault, so that its value says
// nothing.
func (l *loader) faulty(key string) bool {
	return slices.ContainsFunc(l.faults, func(f fault) bool { return f.Key == key })
}

// faultAt records a fault of a key where it was set, the first one only.
func (l *loader) faultAt(key, reason string) {
	if l.faulty(key) {
		return
	}
	f := fault{Where: l.origin[key], Key: key, Reason: reason}
	if text, ok := l.written[key]; ok && !l.isSecret(key) {
		f.Value = strconv.Quote(text)
	}
	l.faults = append(l.faults, f)
}

// bothSet records that a secret was given by value and by file.
func (l *loader) bothSet(key string) {
	l.faults = append(l.faults, fault{Where: l.origin[key+"_file"], Key: key + "_file", Reason: "is set together with " + key + " (" + l.origin[key] + "): set one of the two"})
}

// secretFile reads the _FILE twin of a secret, without its last line end.
func (l *loader) secretFile(key, value, path string, put func(string)) {
	switch {
	case path == "":
	case value != "":
		l.bothSet(key)
	default:
		raw, err := os.ReadFile(path)
		if err != nil {
			l.faultAt(key+"_file", "cannot be read: "+fileReason(err))
			return
		}
		put(strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"))
	}
}

// fileReason is what is wrong with a file, without its path.
func fileReason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// keysUnder lists the keys directly under a prefix.
func (l *loader) keysUnder(prefix string) []string {
	var names []string
	for _, key := range l.order {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// suggestKey ends a fault about an unknown key: another place of the same
// name, or a name nearly the same.
func (l *loader) suggestKey(prefix, name string) string {
	for _, key := range l.order {
		if strings.HasSuffix(key, "."+name) || key == name {
			return ", did you mean " + key + "?"
		}
	}
	return didYouMean(name, l.keysUnder(prefix))
}

// quoteNode shows what stands in the file, shortened to its kind when it is
// not one value.
func quoteNode(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	if node.Tag == "!!null" {
		return "nothing"
	}
	return strconv.Quote(node.Value)
}
