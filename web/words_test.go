package web_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"idp/web"
	"idp/web/webtest"
)

// catalogue reads a language's file as it is: the texts by key, plural forms
// joined by a line break.
func catalogue(t *testing.T, tag string) map[string]map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("words", tag+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		t.Fatal(err)
	}
	texts := map[string]map[string]string{}
	for key, value := range values {
		var one string
		var forms map[string]string
		switch {
		case key == "@language":
		case json.Unmarshal(value, &one) == nil:
			texts[key] = map[string]string{"other": one}
		case json.Unmarshal(value, &forms) == nil:
			texts[key] = forms
		default:
			t.Fatalf("%s: %s", tag, value)
		}
	}
	return texts
}

var tags = []string{"ar", "de", "en", "es", "fr"}

// Every text is there in every language, with the placeholders of the English
// one and the plural forms that the language has.
func TestWords_Complete(t *testing.T) {
	forms := map[string][]string{
		"ar": {"few", "many", "one", "other", "two", "zero"}, "de": {"one", "other"}, "en": {"one", "other"},
		"es": {"many", "one", "other"}, "fr": {"many", "one", "other"},
	}
	english := catalogue(t, "en")
	for _, tag := range tags {
		texts := catalogue(t, tag)
		for key, ours := range english {
			theirs, ok := texts[key]
			if !ok {
				t.Errorf("%s lacks %s", tag, key)
				continue
			}
			if len(ours) > 1 {
				var have []string
				for form := range theirs {
					have = append(have, form)
				}
				slices.Sort(have)
				if !slices.Equal(have, forms[tag]) {
					t.Errorf("%s: %s has the forms %v, want %v", tag, key, have, forms[tag])
				}
			}
			for form, text := range theirs {
				if strings.TrimSpace(text) != text || text == "" {
					t.Errorf("%s: %s begins or ends with a space, or is empty", tag, key)
				}
				// Forms for one or two may do without the number.
				if want, got := placeholders(ours["other"]), placeholders(text); (form == "other" || form == "few" || form == "many") && !slices.Equal(want, got) {
					t.Errorf("%s: %s has the placeholders %v, want %v", tag, key, got, want)
				}
			}
		}
		for key := range texts {
			if _, ok := english[key]; !ok {
				t.Errorf("%s has %s, which is not in English", tag, key)
			}
		}
	}
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

func placeholders(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return found
}

// What is said somewhere is in the catalogue, and what is in the catalogue is
// said somewhere.
func TestWords_EachIsSaid(t *testing.T) {
	english, said := catalogue(t, "en"), map[string]bool{}
	say := func(where, key string) {
		if _, ok := english[key]; !ok {
			t.Errorf("%s says %q, which is not in the catalogue", where, key)
		}
		said[key] = true
	}
	inTemplate := regexp.MustCompile(`(?:\bt|plain|say) "([^"]+)"`)
	for _, name := range templateNames(t) {
		raw, err := os.ReadFile(filepath.Join("templates", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inTemplate.FindAllStringSubmatch(string(raw), -1) {
			say(name, found[1])
		}
	}
	for _, root := range []string{"../internal", "../cmd", "."} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.Name() == "testdata" || entry.Name() == "e2e":
				return fs.SkipDir
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.CallExpr:
					if key, ok := literal(node.Args, 0); ok && slices.Contains([]string{"Say", "badForm"}, name(node.Fun)) {
						say(path, key)
					} else if key, ok := literal(node.Args, 1); ok && name(node.Fun) == "badForm" {
						say(path, key)
					}
				case *ast.ValueSpec:
					if key, ok := literal(node.Values, 0); ok && node.Type != nil && name(node.Type) == "Saying" {
						say(path, key)
					}
				case *ast.BasicLit: // handed on before it is said
					if key, err := strconv.Unquote(node.Value); err == nil && node.Kind == token.STRING {
						said[key] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key := range english {
		if !said[key] {
			t.Errorf("nothing says %q", key)
		}
	}
}

func name(node ast.Expr) string {
	switch node := node.(type) {
	case *ast.Ident:
		return node.Name
	case *ast.SelectorExpr:
		return node.Sel.Name
	}
	return ""
}

func literal(list []ast.Expr, i int) (string, bool) {
	if i >= len(list) {
		return "", false
	}
	lit, ok := list[i].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

func templateNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Every page renders in every language, says which it is in, and, in a language
// that is not written with Latin letters, has none but in names, code and the
// menu of languages.
func TestPages_InEveryLanguage(t *testing.T) {
	p := pages(t)
	for _, tag := range tags {
		for name, page := range webtest.Samples(tag) {
			t.Run(tag+"/"+name, func(t *testing.T) {
				body := render(t, p, page)
				direction := map[bool]string{true: "rtl", false: "ltr"}[tag == "ar"]
				if name != "check_session" && !strings.Contains(body, `<html lang="`+tag+`" dir="`+direction+`">`) {
					t.Errorf("page begins with %.80s", body)
				}
				if tag != "ar" {
					return
				}
				root, err := html.ParseWithOptions(strings.NewReader(body), html.ParseOptionEnableScripting(false))
				if err != nil {
					t.Fatal(err)
				}
				for node := range root.Descendants() {
					switch {
					case node.Type == html.TextNode && !foreign(node):
						for _, name := range []string{"login.example.com", "Calendar", "Alice Moreau", "alice@example.com", "UTC"} {
							node.Data = strings.ReplaceAll(node.Data, name, "")
						}
						if i := strings.IndexFunc(node.Data, func(r rune) bool { return unicode.Is(unicode.Latin, r) }); i >= 0 {
							t.Errorf("not translated: %q", node.Data)
						}
					case node.Data == "iframe" || node.Data == "button" || node.Data == "ul" || node.Data == "summary":
						if label := strings.NewReplacer("Calendar", "", "alice@example.com", "").Replace(attribute(node, "aria-label") + attribute(node, "title")); strings.ContainsFunc(label, func(r rune) bool { return unicode.Is(unicode.Latin, r) }) {
							t.Errorf("not translated: %q", label)
						}
					}
				}
			})
		}
	}
}

// foreign reports whether a text stands in an element for what is not ours to
// translate.
func foreign(node *html.Node) bool {
	for parent := node.Parent; parent != nil; parent = parent.Parent {
		switch {
		case parent.Data == "bdi", parent.Data == "code", attribute(parent, "class") == "avatar", attribute(parent, "aria-hidden") == "true", (parent.Data == "button" || parent.Data == "option") && attribute(parent, "lang") != "":
			return true
		}
	}
	return false
}

func words(t *testing.T, further ...fs.FS) *web.Words {
	t.Helper()
	w, err := web.NewWords("", further...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// RFC 4647 section 3.4, in the order of the wishes.
func TestWords_Match(t *testing.T) {
	w := words(t, fstest.MapFS{"words/pt-BR.json": {Data: []byte(`{"login.title": "Entrar"}`)}})
	for _, test := range []struct {
		wanted []string
		tag    string
		ok     bool
	}{
		{[]string{"de"}, "de", true},
		{[]string{"DE-at"}, "de", true},
		{[]string{"fr_CA"}, "fr", true},
		{[]string{"zh-Hant-TW", "ar-EG"}, "ar", true},
		{[]string{"se", "es-419", "de"}, "es", true},
		{[]string{"pt-br"}, "pt-BR", true},
		{[]string{"pt"}, "pt-BR", true},
		{[]string{"pt-PT"}, "pt-BR", true},
		{[]string{"d", "dee", "", "-", "*"}, "en", false},
		{nil, "en", false},
	} {
		if tag, ok := w.Match(test.wanted...); tag != test.tag || ok != test.ok {
			t.Errorf("%q: %q, %v", test.wanted, tag, ok)
		}
	}
}

// The categories are those of the Unicode CLDR.
func TestWords_Plurals(t *testing.T) {
	w := words(t)
	for _, test := range []struct {
		tag   string
		count int
		want  string
	}{
		{"en", 1, "Too many attempts. Try again in a minute."},
		{"en", 0, "Too many attempts. Try again in 0 minutes."},
		{"de", 2, "Zu viele Versuche. Versuchen Sie es in 2 Minuten wieder."},
		{"fr", 0, "Trop de tentatives. Réessayez dans une minute."},
		{"fr", 2, "Trop de tentatives. Réessayez dans 2 minutes."},
		{"fr", 1_000_000, "Trop de tentatives. Réessayez dans 1000000 de minutes."},
		{"es", 1, "Demasiados intentos. Inténtelo de nuevo en un minuto."},
		{"ar", 1, "محاولات كثيرة جدًا. أعد المحاولة بعد دقيقة واحدة."},
		{"ar", 2, "محاولات كثيرة جدًا. أعد المحاولة بعد دقيقتين."},
		{"ar", 3, "محاولات كثيرة جدًا. أعد المحاولة بعد 3 دقائق."},
		{"ar", 110, "محاولات كثيرة جدًا. أعد المحاولة بعد 110 دقائق."},
		{"ar", 11, "محاولات كثيرة جدًا. أعد المحاولة بعد 11 دقيقة."},
		{"ar", 100, "محاولات كثيرة جدًا. أعد المحاولة بعد 100 دقيقة."},
	} {
		got, err := w.Plain(test.tag, web.Say("login.throttled_minutes", "count", test.count))
		if err != nil || got != test.want {
			t.Errorf("%s, %d: %q, %v", test.tag, test.count, got, err)
		}
	}
}

// A value is a value, whatever it holds; a name does not turn the words around
// it.
func TestWords_Values(t *testing.T) {
	w := words(t)
	evil := web.Say("login.continue_to", "client", `<script>{client}</script>`)
	if got, err := w.HTML("en", evil); err != nil || got != `to continue to <bdi class="name">&lt;script&gt;{client}&lt;/script&gt;</bdi>` {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := w.Plain("ar", web.Say("login.continue_to", "client", "Mail")); err != nil || got != "للمتابعة إلى \u2068Mail\u2069" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := w.Plain("de", web.Say("layout.title_error", "title", web.Say("login.title"))); err != nil || got != "Fehler: Anmelden" {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []*web.Text{web.Say("no.such"), web.Say("login.continue_to"), web.Say("login.continue_to", "client"), web.Say("login.continue_to", "client", 1.5)} {
		if got, err := w.HTML("en", text); err == nil {
			t.Errorf("%v says %q", text, got)
		}
	}
}

func TestWords_Dates(t *testing.T) {
	w, at := words(t), time.Date(2027, time.March, 4, 9, 5, 0, 0, time.UTC)
	for tag, want := range map[string]string{
		"en": "4 March 2027, 09:05 UTC", "de": "4. März 2027, 09:05 Uhr UTC", "fr": "4 mars 2027 à 09:05 UTC", "es": "4 de marzo de 2027, 09:05 UTC", "ar": "4 مارس 2027، 09:05 UTC",
	} {
		if diff := cmp.Diff(want, w.Moment(tag, at)); diff != "" {
			t.Error(diff)
		}
	}
}

// A file of an operator goes over ours key by key; what is wrong with one is
// said with its line.
func TestWords_FurtherFiles(t *testing.T) {
	w := words(t, fstest.MapFS{
		"words/de.json": {Data: []byte(`{"login.title": "Anmelden bei der Werkbank"}`)},
		"words/nl.json": {Data: []byte(`{"@language": {"name": "Nederlands"}, "login.title": "Inloggen"}`)},
	})
	for tag, want := range map[string][2]string{"de": {"Anmelden bei der Werkbank", "Passwort"}, "nl": {"Inloggen", "Password"}} {
		for i, key := range []string{"login.title", "login.password"} {
			if got, err := w.Plain(tag, web.Say(key)); err != nil || got != want[i] {
				t.Errorf("%s %s: %q, %v", tag, key, got, err)
			}
		}
	}
	if got := w.Language("nl"); got.Name != "Nederlands" || got.Direction != "ltr" {
		t.Errorf("%+v", got)
	}
	for file, fault := range map[string][2]string{
		"syntax":       {"{\n\"login.title\": \"A\",,\n}", "words/de.json:2: "},
		"unknown key":  {"{\n\n\"login.titel\": \"A\"}", `words/de.json:3: "login.titel": no page says this`},
		"placeholder":  {`{"login.continue_to": "zu {name}"}`, "there is no {name}; there is {client}"},
		"open":         {`{"login.continue_to": "zu {client"}`, "comes no {placeholder}"},
		"twice":        {"{\"login.title\": \"A\",\n\"login.title\": \"B\"}", `words/de.json:2: "login.title" is there twice`},
		"number":       {`{"login.title": 1}`, "neither a text nor plural forms"},
		"category":     {`{"login.throttled_hours": {"other": "x", "dual": "y"}}`, `"dual" is no plural category`},
		"no other":     {`{"login.throttled_hours": {"one": "x"}}`, `need an "other"`},
		"direction":    {`{"@language": {"direction": "up"}}`, "ltr or rtl"},
		"no object":    {`[]`, "is no JSON object"},
		"more follows": {"{}\n{}", "words/de.json:2: something follows"},
	} {
		_, err := web.NewWords("", fstest.MapFS{"words/de.json": {Data: []byte(fault[0])}})
		if err == nil || !strings.Contains(err.Error(), fault[1]) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := web.NewWords("tlh"); err == nil || !strings.Contains(err.Error(), "ar, de, en, es, fr") {
		t.Errorf("%v", err)
	}
}
