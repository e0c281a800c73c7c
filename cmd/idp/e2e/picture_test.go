package e2e

import (
	"bytes"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// upload sends the form for a picture as a browser does, without what it says
// of where the form came from if forged.
func (b *Browser) upload(t testing.TB, n *Node, flow string, file []byte, header ...string) *Answer {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if flow != "" {
		if err := form.WriteField("flow", flow); err != nil {
			t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile("picture", "holiday.png")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, n.Issuer+"/account/picture", &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Origin", n.Issuer)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.follow(t, r)
}

// A person's picture is painted anew, served under an address that nobody
// guesses, becomes the picture claim, and goes.
func TestPicture(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		alice := inst.NewUser(t, "--picture", "https://intranet.example/alice.png")
		app := inst.WebClient(t)
		node := inst.Start(t)
		b := node.NewBrowser(t)
		picture := func() string {
			info, _ := node.Userinfo(t, b.tokens(t, app, alice, "scope", "openid profile").Access).JSON(t)["picture"].(string)
			return info
		}
		if got := picture(); got != "https://intranet.example/alice.png" {
			t.Errorf("the operator's picture: %q", got)
		}

		var file bytes.Buffer
		if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 500, 400))); err != nil {
			t.Fatal(err)
		}
		page := b.Get(t, "/account")
		flow := page.Form(t, "picture-form").Fields.Get("flow")
		wantAccount(t, b.upload(t, node, flow, file.Bytes()), "picture")
		first := picture()
		if !strings.HasPrefix(first, node.Issuer+"/pictures/") {
			t.Fatalf("the claim: %q", first)
		}
		anybody := node.NewBrowser(t)
		served := anybody.Get(t, first)
		size, format, err := image.DecodeConfig(strings.NewReader(served.Body))
		if err != nil || format != "jpeg" || size.Width != 256 || size.Height != 256 || served.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("the picture: %v %s %v %v", err, format, size, served.Header)
		}
		for name, want := range map[string]string{
			"Cache-Control": "immutable", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Cross-Origin-Resource-Policy": "cross-origin",
		} {
			if got := served.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %q", name, got)
			}
		}
		if page := b.Get(t, "/account"); !strings.Contains(page.Body, `src="/pictures/`) {
			t.Error("the page does not show the picture")
		}

		// Another one has another address, and the first is gone.
		wantAccount(t, b.upload(t, node, flow, file.Bytes()), "picture")
		second := picture()
		if second == first || anybody.Get(t, first).Status != http.StatusNotFound {
			t.Errorf("the first picture is still there: %s, %s", first, second)
		}

		// What cannot be used changes nothing; nor does a form that is not ours.
		for name, bad := range map[string][]byte{"text": []byte("hello"), "script": []byte("<svg onload=alert(1)>"), "empty": {}} {
			if page := b.upload(t, node, flow, bad); page.Status != http.StatusUnprocessableEntity || !page.HasID("problem") {
				t.Errorf("%s: status %d", name, page.Status)
			}
		}
		if page := b.upload(t, node, flow, make([]byte, 1<<20+32<<10)); page.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("too large: status %d", page.Status)
		}
		if page := b.upload(t, node, "", file.Bytes()); page.Status != http.StatusForbidden {
			t.Errorf("without a flow: status %d", page.Status)
		}
		if page := b.upload(t, node, flow, file.Bytes(), "Sec-Fetch-Site", "cross-site"); page.Status != http.StatusForbidden {
			t.Errorf("from elsewhere: status %d", page.Status)
		}
		if page := anybody.upload(t, node, flow, file.Bytes()); page.Status < 400 {
			t.Errorf("in another browser: status %d", page.Status)
		}
		if got := picture(); got != second {
			t.Errorf("the picture changed to %q", got)
		}

		wantAccount(t, b.act(t, "/account", "remove", "", nil), "picture-removed")
		if got := picture(); got != "https://intranet.example/alice.png" || anybody.Get(t, second).Status != http.StatusNotFound {
			t.Errorf("after removal: %q", got)
		}
		wantAccount(t, b.upload(t, node, flow, file.Bytes()), "picture")
		inst.CLI(t, "", "user", "remove-picture", alice.Username)
		if got := picture(); got != "https://intranet.example/alice.png" {
			t.Errorf("after the operator's removal: %q", got)
		}
	})
}
