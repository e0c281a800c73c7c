package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"idp/web"
	"idp/web/webtest"
)

// gallery serves the samples of the pages at /LANGUAGE/NAME.
type gallery struct {
	pages *web.Pages
	names []string // in the order in which they are shown
	kept  string   // where their pictures are
}

// unwatched is a page that nobody sees.
const unwatched = "check_session"

func newGallery(t *testing.T) *gallery {
	t.Helper()
	pages, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g := &gallery{pages: pages, kept: pictures(t), names: slices.Sorted(maps.Keys(webtest.Samples("en")))}
	g.names = slices.DeleteFunc(g.names, func(name string) bool { return name == unwatched })
	return g
}

func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Nothing leaves the gallery: not a page that goes on by itself, no frame.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'")
	part := strings.Split(r.URL.Path, "/")
	switch {
	case strings.Contains(r.URL.Path, "/form_post.") || strings.Contains(r.URL.Path, "/signed_out."):
		w.Header().Set("Content-Type", "text/javascript")
	case strings.HasPrefix(r.URL.Path, "/static/"):
		g.pages.Static().ServeHTTP(w, r)
	case r.URL.Path == "/sheet":
		w.Header().Del("Content-Security-Policy")
		_ = sheetPage.Execute(w, slices.DeleteFunc(slices.Clone(g.names), func(name string) bool { return !g.spoken(name) }))
	case strings.HasPrefix(r.URL.Path, "/kept/"):
		http.StripPrefix("/kept/", http.FileServer(http.Dir(g.kept))).ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/pictures/"):
		_ = png.Encode(w, portrait())
	case len(part) == 3 && webtest.Samples(part[1])[part[2]] != nil:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = g.pages.Render(w, webtest.Samples(part[1])[part[2]])
	default:
		http.NotFound(w, r)
	}
}

// spoken reports whether the page is there in every language.
func (g *gallery) spoken(name string) bool { return webtest.Samples("ar")[name] != nil }

// portrait is somebody's picture: a face against the light.
func portrait() image.Image {
	p := image.NewNRGBA(image.Rect(0, 0, 128, 128))
	within := func(x, y, cx, cy, r int) bool { return (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r }
	for y := range 128 {
		for x := range 128 {
			c := color.NRGBA{R: 0xf2, G: uint8(0xb0 + y/4), B: 0x7a, A: 255}
			if within(x, y, 64, 50, 26) || within(x, y, 64, 136, 52) {
				c = color.NRGBA{R: 0x3a, G: 0x2f, B: 0x4b, A: 255}
			}
			p.SetNRGBA(x, y, c)
		}
	}
	return p
}

// Every page in every shape: in both themes, wide and at 320 px, from right to
// left, in the colours that somebody's system forces, without scripts, without
// motion.
func TestChromium_Pages(t *testing.T) {
	t.Parallel()
	checker, g := axe(t), newGallery(t)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	browser := chromium(t) // ends before the server, which waits for its connections
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	origin := "http://localhost:" + at.Port() // passkeys know names only

	t.Run("pages", func(t *testing.T) { g.visit(t, browser, origin, checker) })
	if *images {
		t.Run("sheet", func(t *testing.T) { g.sheet(t, browser, origin) })
	}
}

func (g *gallery) visit(t *testing.T, browser context.Context, origin, checker string) {
	wide, narrow := int64(840), int64(320)
	for language, visit := range map[string]func(t *testing.T, b *tab, name string){
		"en": func(t *testing.T, b *tab, name string) {
			wide := wide
			if !g.spoken(name) { // the console is as wide as the window
				wide = 1280
			}
			b.open(origin + "/en/" + name)
			b.kept(name, look{"light", wide})
			b.forced(name, wide)
			b.kept(name, look{"dark", narrow})
			b.accessible(name, checker)
		},
		"ar": func(t *testing.T, b *tab, name string) {
			b.open(origin + "/ar/" + name)
			b.kept(name+"-ar", look{"light", narrow})
		},
		"plain": func(t *testing.T, b *tab, name string) {
			b.open(origin + "/en/" + name)
			b.kept(name+"-plain", look{"light", narrow})
			b.worksWithoutScripts(name)
		},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			b := newTab(t, browser, language != "plain")
			// A frame that may not load holds a page of the browser's own, which is old-fashioned.
			b.expected = []string{`security: Framing 'https://mail.example/'`, `issue: {"code":"ContentSecurityPolicyIssue"`, `issue: {"code":"QuirksModeIssue"`}
			for _, name := range g.names {
				if language == "ar" && !g.spoken(name) {
					continue
				}
				visit(t, b, name)
				b.found(name, "has no doctype", `document.compatMode === "CSS1Compat" ? [] : ["!"]`)
				b.clean(name)
			}
		})
	}
}

// kept shows the page in that look, keeps a picture, and checks that the page
// scrolls in one direction only (WCAG 1.4.10).
func (b *tab) kept(name string, l look) {
	b.t.Helper()
	b.appear(l)
	name = fmt.Sprintf("%s-%s-%d", name, l.theme, l.width)
	b.picture(name)
	width, err := chromedp.Run(b.ctx, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`))
	if err != nil {
		b.t.Fatal(err)
	}
	if width > l.width {
		b.t.Errorf("%s: the page is %d px wide", name, width)
	}
}

// pictures is where the pictures of the gallery are kept.
func pictures(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(ArtifactDir(t), "pages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (b *tab) picture(name string) {
	b.t.Helper()
	yes := true
	taken, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &yes, OptimizeForSpeed: &yes})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures(b.t), name+".png"), taken.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// found evaluates an expression that lists what is wrong.
func (b *tab) found(page, what, expression string) {
	b.t.Helper()
	wrong, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", page, err)
	}
	for _, one := range wrong {
		b.t.Errorf("%s: %s: %s", page, what, one)
	}
}

// forced shows the page in the few colours of somebody's system: whatever only
// a background tells must have an outline there. Nothing moves on it either.
func (b *tab) forced(name string, width int64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "forced-colors", Value: "active"}, {Name: "prefers-color-scheme", Value: "dark"}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	if err == nil {
		err = chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.until(fmt.Sprintf(`matchMedia("(forced-colors: active) and (width: %dpx)").matches`, width))
	if *images {
		b.picture(name + "-forced")
	}
	b.found(name, "has no outline in forced colours", `[...document.querySelectorAll(
		"main.card, .button, .choice, .notice, .badge, .locked, .secret, input:not([type=hidden], [type=checkbox]), select, [aria-current]")]
		.filter(e => e.checkVisibility()).filter(e => {
			const s = getComputedStyle(e)
			return s.borderTopStyle === "none" || s.borderTopWidth === "0px" || s.borderTopColor === s.backgroundColor
		}).map(e => e.outerHTML.slice(0, 120))`)
	b.found(name, "moves where motion is not wanted", `[...document.querySelectorAll("*")].filter(e => {
			const s = getComputedStyle(e)
			return s.transitionDuration !== "0s" || s.animationName !== "none"
		}).map(e => e.outerHTML.slice(0, 120))`)
}

// worksWithoutScripts checks that what is offered can be done by forms and
// links, and that a page which cannot do without scripts says so.
func (b *tab) worksWithoutScripts(page string) {
	b.t.Helper()
	b.found(page, "does nothing without scripts", `[...document.querySelectorAll("button")].filter(e => e.checkVisibility()).filter(e =>
			e.disabled ? !e.form.querySelector("noscript .notice") : e.type !== "submit" || !e.form.hasAttribute("action")
		).map(e => e.outerHTML.slice(0, 120))`)
}

// sheet puts the pictures together into one.
func (g *gallery) sheet(t *testing.T, browser context.Context, origin string) {
	b := newTab(t, browser, true)
	b.open(origin + "/sheet")
	b.appear(look{"light", 1640})
	b.until(`[...document.images].every(i => i.complete && i.naturalWidth > 0)`)
	raw, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	full, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&file, inFewColours(full)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(moduleRoot(), "docs", "images", "pages.png"), file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sheetPage shows each sample wide and light, narrow and dark, and from right
// to left.
var sheetPage = template.Must(template.New("").Funcs(template.FuncMap{"words": func(name string) string { return strings.ReplaceAll(name, "_", " ") }}).Parse(`<!doctype html>
<html lang="en"><title>Pages</title>
<style>
body { margin: 32px; display: grid; grid-template-columns: repeat(3, 508px); gap: 26px; background: #dcdad4; font: 14px system-ui, "Noto Sans", sans-serif; color: #333; }
figure { margin: 0; display: grid; grid-template-columns: 252px 122px 122px; gap: 6px; }
figcaption { grid-column: 1 / -1; }
div { block-size: 300px; overflow: hidden; border-radius: 6px; }
img { inline-size: 100%; display: block; }
.light { background: #f5f4f0; } .dark { background: #1b1e21; } .narrow.light { background: #fff; }
</style>
{{range .}}<figure>
<div class="light"><img src="/kept/{{.}}-light-840.png" alt=""></div>
<div class="narrow dark"><img src="/kept/{{.}}-dark-320.png" alt=""></div>
<div class="narrow light"><img src="/kept/{{.}}-ar-light-320.png" alt=""></div>
<figcaption>{{words .}}</figcaption>
</figure>{{end}}</html>`))

// inFewColours keeps the colours that are seen most, and the nearest of them
// for the others: pages have few.
func inFewColours(full image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	bounds := full.Bounds()
	at := func(x, y int) color.RGBA {
		r, g, b, _ := full.At(x, y).RGBA()
		return color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}
	}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			count[at(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var palette color.Palette
	for _, c := range most[:min(len(most), 256)] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for c := range count {
		index[c] = uint8(palette.Index(c))
	}
	few := image.NewPaletted(bounds, palette)
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			few.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	return few
}
