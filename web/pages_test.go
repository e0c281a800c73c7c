package web_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"idp/web"
	"idp/web/webtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samples are what webtest.Samples holds, in English.
func samples() map[string]any { return webtest.Samples("en") }

func pages(t *testing.T) *web.Pages {
	t.Helper()
	p, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func render(t *testing.T, p *web.Pages, page any) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Render(&b, page); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// assetHash changes with every change of a static file; what a page looks like
// in words does not.
var assetHash = regexp.MustCompile(`\.[0-9a-f]{12}\.`)

func TestPages_Golden(t *testing.T) {
	p := pages(t)
	for name, page := range samples() {
		t.Run(name, func(t *testing.T) {
			got := assetHash.ReplaceAllString(render(t, p, page), ".HASH.")
			file := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("page differs from %s; run with -update if that is meant (-want +got):\n%s", file, diff)
			}
		})
	}
}

// What people see is looked at from samples: each page has one.
func TestPages_EachHasASample(t *testing.T) {
	var shown []string
	for _, page := range samples() {
		shown = append(shown, web.PageKind(page))
	}
	for _, kind := range pages(t).PageKinds() {
		if !slices.Contains(shown, kind) {
			t.Errorf("no sample shows %s", kind)
		}
	}
}

// Nothing on a page may need an exception in the content security policy, and
// nothing may come from elsewhere.
func TestPages_NothingInlineNothingForeign(t *testing.T) {
	p := pages(t)
	for name, page := range samples() {
		t.Run(name, func(t *testing.T) {
			root, err := html.Parse(strings.NewReader(render(t, p, page)))
			if err != nil {
				t.Fatal(err)
			}
			for node := range root.Descendants() {
				if node.Type != html.ElementNode {
					continue
				}
				attributes := map[string]string{}
				for _, a := range node.Attr {
					attributes[a.Key] = a.Val
					// The template would take what stands in data-on… for a script, and quote it.
					if strings.HasPrefix(strings.TrimPrefix(a.Key, "data-"), "on") || a.Key == "style" || a.Key == "srcdoc" {
						t.Errorf("<%s> has the attribute %s", node.Data, a.Key)
					}
					if a.Key != "d" && strings.Contains(strings.ToLower(a.Val), "javascript:") {
						t.Errorf("<%s %s> holds a script", node.Data, a.Key)
					}
				}
				switch node.Data {
				case "iframe":
					if name != "signed_out_back" || !strings.HasPrefix(attributes["src"], "https://mail.example/") {
						t.Errorf("page frames %q", attributes["src"])
					}
				case "style", "base", "object", "embed":
					t.Errorf("page has a <%s>", node.Data)
				case "script":
					if node.FirstChild != nil || !strings.HasPrefix(attributes["src"], "/static/") {
						t.Errorf("script is inline or foreign: %v", attributes)
					}
				case "link", "img":
					if source := attributes["href"] + attributes["src"]; !strings.HasPrefix(source, "/static/") && !strings.HasPrefix(source, "/pictures/") {
						t.Errorf("<%s> loads %q", node.Data, source)
					}
				case "form":
					if own := strings.HasPrefix(attributes["action"], "/"); own == (name == "error_return_post" || name == "form_post") || attributes["method"] == "" {
						t.Errorf("form goes to %q by %q", attributes["action"], attributes["method"])
					}
				case "a":
					if strings.HasPrefix(attributes["href"], "https://") && attributes["rel"] != "noopener noreferrer" {
						t.Errorf("link to %q tells where it comes from", attributes["href"])
					}
				}
			}
		})
	}
}

// Every visible field has a label, every described-by names something that is
// there, every page has one h1 and a title that says so when it is an error.
func TestPages_Accessible(t *testing.T) {
	p := pages(t)
	for name, page := range samples() {
		if name == "check_session" {
			continue // nobody sees it
		}
		t.Run(name, func(t *testing.T) {
			root, err := html.Parse(strings.NewReader(render(t, p, page)))
			if err != nil {
				t.Fatal(err)
			}
			ids, labelled, h1, title := map[string]bool{}, map[string]bool{}, 0, ""
			for node := range root.Descendants() {
				if id := attribute(node, "id"); id != "" {
					if ids[id] {
						t.Errorf("id %q is there twice", id)
					}
					ids[id] = true
				}
				switch node.Data {
				case "label":
					labelled[attribute(node, "for")] = true
				case "h1":
					h1++
				case "title":
					if node.Parent.Data == "head" {
						title = node.FirstChild.Data
					}
				}
			}
			if h1 != 1 {
				t.Errorf("page has %d h1", h1)
			}
			if failed := strings.Contains(name, "problem") || strings.Contains(name, "fields") || strings.Contains(name, "error"); failed != strings.HasPrefix(title, "Error: ") {
				t.Errorf("title is %q", title)
			}
			for node := range root.Descendants() {
				for described := range strings.FieldsSeq(attribute(node, "aria-describedby")) {
					if !ids[described] {
						t.Errorf("aria-describedby names %q, which is not there", described)
					}
				}
				if kind := attribute(node, "type"); node.Data == "input" && kind != "hidden" && kind != "checkbox" && !labelled[attribute(node, "id")] {
					t.Errorf("field %q has no label", attribute(node, "name"))
				}
			}
		})
	}
}

func attribute(node *html.Node, key string) string {
	for _, a := range node.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestPages_BaseGoesIntoEveryAddress(t *testing.T) {
	p := pages(t)
	page := samples()["login"].(web.LoginPage)
	page.Base = "/tenant"
	got := render(t, p, page)
	for _, want := range []string{`action="/tenant/login"`, `href="/tenant/static/style.`, `src="/tenant/static/password.`, `href="/tenant/"`} {
		if !strings.Contains(got, want) {
			t.Errorf("page lacks %s", want)
		}
	}
}

func TestPages_RenderRefusesWhatIsNoPage(t *testing.T) {
	var b bytes.Buffer
	if err := pages(t).Render(&b, struct{}{}); err == nil || b.Len() != 0 {
		t.Errorf("error %v, %d bytes written", err, b.Len())
	}
}

func TestStatic(t *testing.T) {
	p := pages(t)
	style := regexp.MustCompile(`/static/style\.[0-9a-f]{12}\.css`).FindString(render(t, p, samples()["home"]))
	if style == "" {
		t.Fatal("page names no style")
	}
	get := func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		p.Static().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Result()
	}
	for _, path := range []string{style, "/tenant" + style} {
		if got := get(http.MethodGet, path); got.StatusCode != http.StatusOK ||
			got.Header.Get("Content-Type") != "text/css; charset=utf-8" ||
			!strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
	for _, path := range []string{"/static/style.css", "/static/", "/static/../pages.go", "/static/style.000000000000.css"} {
		if got := get(http.MethodGet, path); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	if got := get(http.MethodPost, style); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.StatusCode)
	}
}

// A page with everything it loads stays light, on connections that do not
// compress and on those that do: ours do not, whoever stands before us may.
func TestPages_Weight(t *testing.T) {
	p := pages(t)
	compressed := func(body []byte) int {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		return b.Len()
	}
	for name, sample := range samples() {
		page := render(t, p, sample)
		plain, small := len(page), compressed([]byte(page))
		for _, path := range regexp.MustCompile(`/static/[a-z_.0-9]+`).FindAllString(page, -1) {
			w := httptest.NewRecorder()
			p.Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			plain, small = plain+w.Body.Len(), small+compressed(w.Body.Bytes())
		}
		t.Logf("%-28s %6d bytes, %6d compressed", name, plain, small)
		mostPlain, mostSmall := 48<<10, 16<<10
		if strings.HasPrefix(name, "console") { // forms of many fields, for few people
			mostPlain, mostSmall = 96<<10, 24<<10
		}
		if plain > mostPlain || small > mostSmall {
			t.Errorf("%s weighs %d bytes, %d compressed", name, plain, small)
		}
	}
}
