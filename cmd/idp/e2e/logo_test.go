package e2e

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// pictureFile writes a picture of that size for --logo.
func pictureFile(t testing.TB, format string, width, height int) (path string, body []byte) {
	t.Helper()
	drawn := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			drawn.Set(x, y, color.RGBA{uint8(200 * x / width), 90, uint8(220 * y / height), 255})
		}
	}
	var out bytes.Buffer
	var err error
	switch format {
	case "jpeg":
		err = jpeg.Encode(&out, drawn, nil)
	case "gif":
		err = gif.Encode(&out, drawn, nil)
	default:
		err = png.Encode(&out, drawn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, out.Bytes()), out.Bytes()
}

func writeFile(t testing.TB, body []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var imageTag = regexp.MustCompile(`<img class="logo" src="([^"]*)"`)

// People see the picture that the operator stored for a client, from here and
// from nowhere else.
func TestClientLogos(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		shop := inst.WebClient(t, "--name", "Shop", "--logo-uri", "https://shop.example/logo.png")
		plain := inst.WebClient(t, "--name", "Plain", "--logo-uri", "https://plain.example/logo.png")
		file, body := pictureFile(t, "png", 96, 96)
		inst.CLI(t, "", "client", "update", shop.ID, "--logo", file)
		node := inst.Start(t)
		page := func(c Client) *Answer {
			return node.NewBrowser(t).Get(t, "/oauth2/auth?"+c.Request(NewPKCE(), "scope", "openid").Encode())
		}
		shown := func(t *testing.T, a *Answer) string {
			t.Helper()
			if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self';") {
				t.Errorf("pictures of others are let through: %s", policy)
			}
			if m := imageTag.FindStringSubmatch(a.Body); m != nil {
				return m[1]
			}
			return ""
		}
		picture := func(t *testing.T, path string) *Answer {
			t.Helper()
			return node.JSONRequest(t, http.MethodGet, path, "", nil)
		}

		t.Run("shown and served", func(t *testing.T) {
			path := shown(t, page(shop))
			a := picture(t, path)
			h := a.Header
			if a.Status != http.StatusOK || a.Body != string(body) || h.Get("Content-Type") != "image/png" || h.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(h.Get("Cache-Control"), "immutable") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %v", path, a.Status, h)
			}
			b := node.NewBrowser(t)
			consent := b.Login(t, b.Get(t, "/oauth2/auth?"+shop.Request(NewPKCE()).Encode()), alice.Username, alice.Password)
			if got := shown(t, consent); got != path || !consent.HasID("consent-form") {
				t.Errorf("consent shows %q", got)
			}
		})
		t.Run("a letter stands in", func(t *testing.T) {
			a := page(plain)
			if got := shown(t, a); got != "" || strings.Contains(a.Body, "plain.example") {
				t.Errorf("shows %q", got)
			}
		})
		t.Run("nothing else is served", func(t *testing.T) {
			for _, path := range []string{"/logos/" + strings.Repeat("0", 64), "/logos/" + strings.Repeat("A", 64), "/logos/", "/logos/x"} {
				if a := picture(t, path); a.Status != http.StatusNotFound {
					t.Errorf("%s: %d", path, a.Status)
				}
			}
		})
		t.Run("what is no picture is refused", func(t *testing.T) {
			gifFile, _ := pictureFile(t, "gif", 8, 8)
			wide, _ := pictureFile(t, "png", 1025, 2)
			for name, file := range map[string]string{
				"SVG": writeFile(t, []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)), "GIF": gifFile, "too wide": wide,
				"HTML": writeFile(t, []byte("<html>")), "cut off": writeFile(t, body[:len(body)/2]), "empty": writeFile(t, nil),
				"too long":          writeFile(t, append(bytes.Clone(body), make([]byte, 256<<10)...)),
				"a WebP of no size": writeFile(t, []byte("RIFF\x04\x00\x00\x00WEBP")), "none": filepath.Join(t.TempDir(), "missing"),
			} {
				if _, stderr, code := inst.Try(t, "", "client", "update", plain.ID, "--logo", file); code == 0 || stderr == "" {
					t.Errorf("%s: exit %d, %s", name, code, stderr)
				}
			}
		})
		t.Run("changed and removed", func(t *testing.T) {
			before := shown(t, page(shop))
			webp, err := base64.StdEncoding.DecodeString("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
			if err != nil {
				t.Fatal(err)
			}
			inst.CLI(t, "", "client", "update", shop.ID, "--logo", writeFile(t, webp))
			photo, _ := pictureFile(t, "jpeg", 40, 40)
			inst.CLI(t, "", "client", "update", plain.ID, "--logo", photo)
			Settle()
			if after := shown(t, page(shop)); after == before || picture(t, after).Header.Get("Content-Type") != "image/webp" || picture(t, before).Status != http.StatusNotFound {
				t.Errorf("%s, then %s", before, after)
			}
			if path := shown(t, page(plain)); picture(t, path).Header.Get("Content-Type") != "image/jpeg" {
				t.Errorf("%s", path)
			}
			last := shown(t, page(plain))
			inst.CLI(t, "", "client", "update", shop.ID, "--logo", "")
			inst.CLI(t, "", "client", "delete", plain.ID)
			Settle()
			if got := shown(t, page(shop)); got != "" {
				t.Errorf("still shows %s", got)
			}
			if a := picture(t, last); a.Status != http.StatusNotFound {
				t.Errorf("the picture of a deleted client: %d", a.Status)
			}
		})
	})
}

// How the picture looks where people see it.
func TestClientLogos_InChromium(t *testing.T) {
	t.Parallel()
	checker, browser := axe(t), chromium(t)
	inst := Install(t, "sqlite", nil)
	alice := inst.NewUser(t, "--name", "Alice Example")
	shop := inst.WebClient(t, "--name", "Shop")
	file, _ := pictureFile(t, "png", 200, 120)
	inst.CLI(t, "", "client", "update", shop.ID, "--logo", file)
	inst.Start(t)
	b := newTab(t, browser, true)
	b.open(inst.Issuer + "/oauth2/auth?" + shop.Request(NewPKCE()).Encode())
	loaded := func(page string) {
		t.Helper()
		width, err := chromedp.Run(b.ctx, chromedp.Evaluate[int64](`document.querySelector('img.logo').naturalWidth`))
		if err != nil || width != 200 {
			t.Errorf("%s: the picture is %d wide, %v", page, width, err)
		}
		b.seen(page, checker)
		b.clean(page)
	}
	loaded("login-logo")
	b.do(chromedp.SendKeys(chromedp.ID("username"), alice.Username), chromedp.SendKeys(chromedp.ID("password"), alice.Password))
	b.press("login-submit", http.StatusOK)
	loaded("consent-logo")
}
