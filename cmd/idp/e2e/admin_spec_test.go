package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"idp/internal/server"
)

// adminSpec is the description of the admin API, as a node serves it.
type adminSpec struct {
	document map[string]any
	compiler *jsonschema.Compiler
}

func readAdminSpec(t testing.TB, text string) *adminSpec {
	t.Helper()
	var raw any
	if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	s := &adminSpec{document: document.(map[string]any), compiler: jsonschema.NewCompiler()}
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("spec.json", document); err != nil {
		t.Fatal(err)
	}
	return s
}

// at returns what a path of names leads to, through references, and where that
// is; nil for nothing.
func (s *adminSpec) at(names ...string) (map[string]any, string) {
	value, place := any(s.document), ""
	for _, name := range names {
		value = value.(map[string]any)[name]
		place += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		object, ok := value.(map[string]any)
		if !ok {
			return nil, ""
		}
		if ref, ok := object["$ref"].(string); ok {
			place = strings.TrimPrefix(ref, "#")
			value, _ = s.at(strings.Split(strings.Trim(place, "/"), "/")...)
		}
	}
	return value.(map[string]any), place
}

// operation finds what describes a request: its path in the specification.
func (s *adminSpec) path(requested string) string {
	paths, _ := s.at("paths")
	for path := range paths {
		pattern := regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`)
		if regexp.MustCompile("^" + pattern + "$").MatchString(requested) {
			return path
		}
	}
	return ""
}

// operations lists METHOD and path of all that is described.
func (s *adminSpec) operations() []string {
	var out []string
	paths, _ := s.at("paths")
	for path, item := range paths {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				out = append(out, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(out)
	return out
}

// check compares an answer with what the specification says of it.
func (s *adminSpec) check(t testing.TB, method, requested string, status int, header http.Header, body []byte) {
	t.Helper()
	what := method + " " + requested + ": " + strconv.Itoa(status)
	var answer map[string]any
	var place string
	if path := s.path(requested); path != "" {
		if method == http.MethodHead {
			method, body = http.MethodGet, nil
		}
		answer, place = s.at("paths", path, strings.ToLower(method), "responses", strconv.Itoa(status))
		if answer == nil {
			answer, place = s.at("paths", path, strings.ToLower(method), "responses", "default")
		}
	}
	if answer == nil { // a place or method that is not described
		answer, place = s.at("components", "responses", "Problem")
		if status < 400 {
			t.Errorf("%s is not described", what)
		}
	}
	headers, _ := answer["headers"].(map[string]any)
	for name, value := range headers {
		described := value.(map[string]any)
		if ref, ok := described["$ref"].(string); ok {
			described, _ = s.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		if described["required"] == true && header.Get(name) == "" {
			t.Errorf("%s: %s is missing", what, name)
		}
	}
	content, _ := answer["content"].(map[string]any)
	mediaType := header.Get("Content-Type")
	if (content == nil) != (mediaType == "") || content != nil && content[mediaType] == nil {
		t.Errorf("%s: content type %q, described are %v", what, mediaType, content)
		return
	}
	if len(body) == 0 || !strings.HasSuffix(mediaType, "json") {
		return
	}
	schema, err := s.compiler.Compile("spec.json#" + place + "/content/" + strings.ReplaceAll(mediaType, "/", "~1") + "/schema")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", what, err, body)
	}
}

// watched checks every answer of the admin API that passes.
type watched struct {
	t    testing.TB
	spec *adminSpec
	next http.RoundTripper
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.EscapedPath(), "/admin/") || r.Host != "" && r.Host != r.URL.Host {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	if err == nil {
		w.spec.check(w.t, r.Method, r.URL.EscapedPath(), res.StatusCode, res.Header, body)
	}
	return res, err
}

// Watch lets the node's client compare every answer of the admin API with what
// the node says of it.
func (n *Node) Watch(t testing.TB) *adminSpec {
	t.Helper()
	a := n.JSONRequest(t, http.MethodGet, "/admin/openapi.yaml", "", nil)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/yaml" {
		t.Fatalf("the specification: %d %s", a.Status, a.Body)
	}
	spec := readAdminSpec(t, a.Body)
	n.HTTP.Transport = watched{t, spec, n.HTTP.Transport}
	return spec
}

// adminRoutes are the routes of the admin API, by the table of all routes.
func adminRoutes() []server.Route {
	var h server.Handlers
	for _, field := range reflect.ValueOf(&h).Elem().Fields() {
		if field.Type() == reflect.TypeFor[http.Handler]() {
			field.Set(reflect.ValueOf(http.NotFoundHandler()))
		}
	}
	return slices.DeleteFunc(server.Routes(h), func(r server.Route) bool { return !strings.HasPrefix(r.Path, "/admin/") })
}

var variable = regexp.MustCompile(`\{([a-z_]+):[^/]*\}`)

// named is a route's path as the specification writes it.
func named(r server.Route) string { return variable.ReplaceAllString(r.Path, "{$1}") }

// with fills in a route's variables.
func with(r server.Route, values map[string]string) string {
	return variable.ReplaceAllStringFunc(r.Path, func(v string) string {
		return url.PathEscape(cmp.Or(values[variable.FindStringSubmatch(v)[1]], "none"))
	})
}
