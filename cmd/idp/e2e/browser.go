package e2e

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser is a person at a browser without scripts: it keeps cookies, follows
// redirects within the issuer, fills in forms.
type Browser struct {
	Node   *Node
	Client *http.Client
}

// NewBrowser returns a browser with an empty cookie jar and an address of its
// own.
func (n *Node) NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := n.Client("")
	c.Jar = jar
	return &Browser{n, c}
}

// At returns the same browser, cookies and all, in front of another node.
func (b *Browser) At(n *Node) *Browser {
	c := n.Client("")
	c.Jar = b.Client.Jar
	return &Browser{n, c}
}

// Get opens a URL (a path is taken at the issuer) and follows redirects as
// long as they stay at the issuer.
func (b *Browser) Get(t testing.TB, target string) *Answer {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.Node.Issuer + target
	}
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.follow(t, r)
}

func (b *Browser) follow(t testing.TB, r *http.Request) *Answer {
	t.Helper()
	for range 12 {
		a := Do(t, b.Client, r)
		if a.Status < 300 || a.Status > 399 || a.Status == http.StatusNotModified {
			return a
		}
		next, err := r.URL.Parse(a.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(next.String(), b.Node.Issuer+"/") {
			return a // it leaves the issuer: the caller looks at Location
		}
		if r, err = http.NewRequest(http.MethodGet, next.String(), nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("too many redirects")
	return nil
}

// Form is a form on a page.
type Form struct {
	Action string
	Fields url.Values // what the page filled in
}

// Form returns the page's form with that id.
func (a *Answer) Form(t testing.TB, id string) Form {
	t.Helper()
	form, ok := a.FindForm(id)
	if !ok {
		t.Fatalf("no form %q on the page %s (status %d):\n%s", id, a.URL, a.Status, a.Body)
	}
	return form
}

// FindForm looks for the page's form with that id.
func (a *Answer) FindForm(id string) (Form, bool) {
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		return Form{}, false
	}
	node := findID(root, id)
	if node == nil || node.Data != "form" {
		return Form{}, false
	}
	form := Form{Action: attr(node, "action"), Fields: url.Values{}}
	if form.Action == "" {
		form.Action = a.URL.String()
	}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && n.Data == "input" && attr(n, "name") != "" {
			switch kind := attr(n, "type"); kind {
			case "submit", "button":
			case "checkbox", "radio":
				if hasAttr(n, "checked") {
					form.Fields.Add(attr(n, "name"), orDefault(attr(n, "value"), "on"))
				}
			default:
				form.Fields.Add(attr(n, "name"), attr(n, "value"))
			}
		}
		if n.Type == html.ElementNode && n.Data == "textarea" {
			var text strings.Builder
			for c := range n.Descendants() {
				text.WriteString(c.Data)
			}
			form.Fields.Add(attr(n, "name"), text.String())
		}
		if n.Type == html.ElementNode && n.Data == "select" {
			chosen, found := "", false
			for c := range n.Descendants() {
				if c.Data == "option" && (!found || hasAttr(c, "selected")) {
					chosen, found = attr(c, "value"), true
				}
			}
			form.Fields.Add(attr(n, "name"), chosen)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(node)
	return form, true
}

// HasID reports whether the page holds an element with that id.
func (a *Answer) HasID(id string) bool {
	root, err := html.Parse(strings.NewReader(a.Body))
	return err == nil && findID(root, id) != nil
}

// Button returns the name and value of the button or input with that id.
func (a *Answer) Button(t testing.TB, id string) (name, value string) {
	t.Helper()
	n := a.element(t, id)
	return attr(n, "name"), attr(n, "value")
}

// element returns the element with that id.
func (a *Answer) element(t testing.TB, id string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	n := findID(root, id)
	if n == nil {
		t.Fatalf("nothing called %q on the page:\n%s", id, a.Body)
	}
	return n
}

func findID(n *html.Node, id string) *html.Node {
	if n.Type == html.ElementNode && attr(n, "id") == id {
		return n
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if found := findID(c, id); found != nil {
			return found
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// Submit sends a form as a browser would: with an Origin, from the page it is
// on.
func (b *Browser) Submit(t testing.TB, page *Answer, form Form, fields url.Values) *Answer {
	t.Helper()
	values := url.Values{}
	for k, v := range form.Fields {
		values[k] = v
	}
	for k, v := range fields {
		values[k] = v
	}
	action, err := page.URL.Parse(form.Action)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.Node.Issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.follow(t, r)
}

// Login fills in the login form on the page.
func (b *Browser) Login(t testing.TB, page *Answer, username, password string) *Answer {
	t.Helper()
	return b.Submit(t, page, page.Form(t, "login-form"), url.Values{"username": {username}, "password": {password}})
}

// Allow presses the consent page's allow button.
func (b *Browser) Allow(t testing.TB, page *Answer) *Answer {
	t.Helper()
	return b.press(t, page, "consent-submit")
}

// Deny presses the consent page's deny button.
func (b *Browser) Deny(t testing.TB, page *Answer) *Answer {
	t.Helper()
	return b.press(t, page, "consent-deny")
}

func (b *Browser) press(t testing.TB, page *Answer, button string) *Answer {
	t.Helper()
	fields := url.Values{}
	if name, value := page.Button(t, button); name != "" {
		fields.Set(name, value)
	}
	return b.Submit(t, page, page.Form(t, "consent-form"), fields)
}

// Authorize goes through an authorization request, signing in and allowing
// whatever is asked on the way, and returns the address that the browser is
// sent back to. An answer by form post is delivered to the application.
func (b *Browser) Authorize(t testing.TB, request url.Values, u User) *url.URL {
	t.Helper()
	page := b.Get(t, "/oauth2/auth?"+request.Encode())
	for range 4 {
		switch {
		case page.Status >= 300 && page.Status <= 399:
			location, err := url.Parse(page.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			return location
		case page.HasID("login-form"):
			page = b.Login(t, page, u.Username, u.Password)
		case page.HasID("consent-form"):
			page = b.Allow(t, page)
		case page.HasID("form-post"):
			return deliver(t, page.Form(t, "form-post"))
		default:
			t.Fatalf("an unexpected page at %s, status %d:\n%s", page.URL, page.Status, page.Body)
		}
	}
	t.Fatalf("the sign-in goes in circles at %s", page.URL)
	return nil
}

// deliver posts a form to an application that listens.
func deliver(t testing.TB, form Form) *url.URL {
	t.Helper()
	res, err := http.PostForm(form.Action, form.Fields)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s answers a form post with %d", form.Action, res.StatusCode)
	}
	return res.Request.URL
}
