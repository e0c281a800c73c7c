package web_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"idp/web"
)

// What an operator puts over ours is shown, and the rest stays.
func TestLook_Overrides(t *testing.T) {
	own := fstest.MapFS{
		"templates/home.html": {Data: []byte(`{{define "title"}}{{plain "home.title_out"}}{{end}}{{define "main"}}<h1>{{t "home.heading_out"}}</h1><p id="own">Help: 555</p>{{end}}`)},
		"words/en.json":       {Data: []byte(`{"home.heading_out": "Welcome to the workshop"}`)},
		"static/logo.svg":     {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)},
		"static/extra.css":    {Data: []byte(`.card { border: 1px solid; }`)},
	}
	p, err := web.New(web.Config{Directory: own, Accent: "#7a1fa2", DefaultLanguage: "de"})
	if err != nil {
		t.Fatal(err)
	}
	page := render(t, p, samples()["home"])
	for _, want := range []string{"Welcome to the workshop", `id="own"`, `class="own-logo on-light" src="/static/logo.`, `href="/static/look.`, `href="/static/extra.`, `href="/static/style.`} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, `class="mark"`) {
		t.Error("our mark is there beside the logo")
	}
	w := httptest.NewRecorder()
	p.Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, regexp.MustCompile(`/static/look\.[0-9a-f]+\.css`).FindString(page), nil))
	if body := w.Body.String(); !strings.Contains(body, "--accent: #7a1fa2; ") || !strings.Contains(body, "--on-accent: #ffffff;") {
		t.Errorf("%d %s", w.Code, body)
	}
	if page := render(t, p, web.HomePage{}); !strings.Contains(page, `<html lang="de"`) {
		t.Errorf("a language that is not known is %.80s", page)
	}
}

// What cannot be served is refused, with the file and the line, or the ratio.
func TestLook_Refused(t *testing.T) {
	file := func(name, body string) web.Config {
		return web.Config{Directory: fstest.MapFS{name: {Data: []byte(body)}}}
	}
	for name, test := range map[string]struct {
		cfg            web.Config
		setting, fault string
	}{
		"syntax":             {file("templates/login.html", "{{define \"main\"}}\n\n{{if}}{{end}}{{end}}"), "directory", "templates/login.html:3: missing value for if"},
		"no such field":      {file("templates/consent.html", "{{define \"title\"}}{{end}}{{define \"main\"}}\n{{.Nonsense}}{{end}}"), "directory", "templates/consent.html:2:"},
		"no such text":       {file("templates/home.html", "{{define \"title\"}}{{end}}{{define \"main\"}}\n{{t \"home.nonsense\"}}{{end}}"), "directory", `no text "home.nonsense"`},
		"no such file":       {file("templates/home.html", "{{define \"title\"}}{{end}}{{define \"main\"}}{{asset \"photo.png\"}}{{end}}"), "directory", `no static file "photo.png"`},
		"unsafe place":       {file("templates/home.html", "{{define \"title\"}}{{end}}{{define \"main\"}}\n<p class={{if .Host}}\"a{{end}}>{{end}}"), "directory", "templates/home.html"},
		"no such page":       {file("templates/logn.html", ""), "directory", "templates/logn.html: no page has such a template"},
		"words":              {file("words/de.json", "{\n\"login.titel\": \"\"}"), "directory", "words/de.json:2: "},
		"static name":        {file("static/a b.css", "x"), "directory", "static/a b.css: static files have plain names"},
		"program":            {file("static/a.exe", "x"), "directory", "static/a.exe: "},
		"folder":             {file("style/a.css", "x"), "directory", "style: there are templates, words and static"},
		"language":           {web.Config{DefaultLanguage: "tlh"}, "default_language", `there are no words in "tlh"`},
		"no colour":          {web.Config{Accent: "red"}, "accent", "#RRGGBB"},
		"unreadable":         {web.Config{Accent: "#ffcc00"}, "accent", "#ffcc00: as text on #ffffff it has a contrast of 1.51:1, and 4.5:1 is needed"},
		"unreadable in dark": {web.Config{AccentDark: "#0b5c55"}, "accent_dark", "as text on #1b1e21 it has a contrast of"},
	} {
		_, err := web.New(test.cfg)
		fault, ok := errors.AsType[*web.Fault](err)
		if !ok || fault.Setting != test.setting || !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the colour, the pairs that the style sheet makes of it can be read.
func TestLook_EveryAccentIsReadable(t *testing.T) {
	var directory fs.FS = fstest.MapFS{}
	for _, colours := range [][2]string{{"#000000", ""}, {"#0b5c55", "#6cd0c0"}, {"#767676", ""}, {"#c2185b", ""}, {"#1a73e8", ""}, {"", "#ffd54f"}, {"", "#8a8f98"}, {"#0000ff", "#ffffff"}} {
		p, err := web.New(web.Config{Directory: directory, Accent: colours[0], AccentDark: colours[1]})
		if err != nil {
			t.Fatal(err)
		}
		page := render(t, p, samples()["home"])
		w := httptest.NewRecorder()
		p.Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, regexp.MustCompile(`/static/look\.[0-9a-f]+\.css`).FindString(page), nil))
		themes := strings.SplitN(w.Body.String(), "@media", 2)
		for i, surface := range []string{"#ffffff", "#1b1e21"} {
			value := func(property string) string {
				found := regexp.MustCompile(`--` + property + `: (#[0-9a-f]{6})`).FindStringSubmatch(themes[i])
				if found == nil {
					t.Fatalf("%v: no %s in %s", colours, property, themes[i])
				}
				return found[1]
			}
			for _, pair := range [][2]string{
				{value("accent"), surface},
				{value("accent-hover"), surface},
				{value("on-accent"), value("accent")},
				{value("on-accent"), value("accent-hover")},
				{value("on-tint"), value("tint")},
			} {
				if ratio := web.Contrast(pair[0], pair[1]); ratio < 4.5 {
					t.Errorf("%v: %s on %s has a contrast of %.2f", colours, pair[0], pair[1], ratio)
				}
			}
		}
	}
}
