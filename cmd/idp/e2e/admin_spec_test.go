package e2e

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"idp/internal/server"
)

// adminSpec is the description of the admin API, as a node serves it.
type adminSpec struct{ document *openapi3.T }

func readAdminSpec(t testing.TB, text string) *adminSpec {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err == nil {
		err = document.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &adminSpec{document}
}

// path finds what describes a request: its path in the specification.
func (s *adminSpec) path(requested string) string {
	for path := range s.document.Paths.Map() {
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
	for path, item := range s.document.Paths.Map() {
		for method := range item.Operations() {
			out = append(out, method+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// check compares an answer with what the specification says of it.
func (s *adminSpec) check(t testing.TB, r *http.Request, status int, header http.Header, body []byte) {
	t.Helper()
	what := r.Method + " " + r.URL.EscapedPath() + ": " + strconv.Itoa(status)
	route := routers.Route{Spec: s.document, Path: s.path(r.URL.EscapedPath()), PathItem: &openapi3.PathItem{}, Method: r.Method}
	if r.Method == http.MethodHead {
		route.Method = http.MethodGet
	}
	if route.Path != "" {
		route.PathItem = s.document.Paths.Value(route.Path)
		route.Operation = route.PathItem.GetOperation(route.Method)
	}
	if route.Operation == nil { // a place or method that is not described
		if status < 400 {
			t.Errorf("%s is not described", what)
		}
		problem := s.document.Components.Responses["Problem"]
		route.Operation = &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithName("default", problem.Value))}
	}
	described := route.Operation.Responses.Status(status)
	if described == nil {
		described = route.Operation.Responses.Default()
	}
	if (len(described.Value.Content) == 0) != (header.Get("Content-Type") == "") {
		t.Errorf("%s: content type %q, described are %v", what, header.Get("Content-Type"), described.Value.Content)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: &route},
		Status:                 status, Header: header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: r.Method == http.MethodHead},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), answer.SetBodyBytes(body)); err != nil {
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
		w.spec.check(w.t, r, res.StatusCode, res.Header, body)
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
