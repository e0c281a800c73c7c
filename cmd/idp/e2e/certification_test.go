package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// The certification's plans, module by module, against one deployment over
// https, with people at Chromium. This file is the deployment, the relying
// party and the person; the modules are in the files beside it.

// authority is a certificate authority for one test, and what it certified.
type authority struct {
	file  string // its own certificate
	roots *x509.CertPool
	leaf  tls.Certificate // of everything on loopback
	pin   string          // of the leaf's key, as Chromium wants it
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
		raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	root, rootKey := issue(&x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, leafKey := issue(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{{127, 0, 0, 1}}}, root, rootKey)
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem"), roots: x509.NewCertPool()}
	a.roots.AddCert(root)
	a.leaf = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey, Leaf: leaf}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	a.pin = base64.StdEncoding.EncodeToString(sum[:])
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// overTLS makes the server end TLS itself.
func (i *Installation) overTLS(t *testing.T, a *authority) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(a.leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for setting, block := range map[string]*pem.Block{
		"IDP_TLS_CERT": {Type: "CERTIFICATE", Bytes: a.leaf.Certificate[0]}, "IDP_TLS_KEY": {Type: "PRIVATE KEY", Bytes: key},
	} {
		i.env[setting] = filepath.Join(t.TempDir(), "tls.pem")
		if err := os.WriteFile(i.env[setting], pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i.Issuer = strings.Replace(i.Issuer, "http:", "https:", 1)
	i.env["IDP_ISSUER"] = i.Issuer
	i.roots = a.roots
}

// party is the relying party's host: it shows what browsers bring along, keeps
// what frames and servers tell it, and serves the documents that a test puts
// there.
type party struct {
	url string

	mu        sync.Mutex
	documents map[string]string
	heard     map[string]chan *http.Request // by path
}

// received is what a browser brought to the relying party. The fragment, which
// a browser keeps for itself, is the page's.
type received struct {
	Method, ContentType string
	Query, Form         url.Values
}

func newParty(t *testing.T, a *authority) *party {
	t.Helper()
	p := &party{documents: map[string]string{}, heard: map[string]chan *http.Request{}}
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, r *http.Request) {
		got := received{Method: r.Method, ContentType: r.Header.Get("Content-Type"), Query: r.URL.Query()}
		_ = r.ParseForm()
		got.Form = r.PostForm
		text, _ := json.Marshal(got) // safe in a page: it escapes what would end the element
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>relying party</title><p>back</p><script type="application/json" id="received">%s</script>`, text)
	}
	mux.HandleFunc("/cb", show)
	mux.HandleFunc("/cb2", show)
	mux.HandleFunc("/bye", show)
	mux.HandleFunc("/heard/", func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		p.hears(r.URL.Path) <- r
	})
	// A page of the application that sends the browser on by POST.
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		to := r.URL.Query()
		fmt.Fprintf(w, `<!doctype html><title>relying party</title><form method="post" action="%s">`, to.Get("action"))
		for name, values := range to {
			if name != "action" {
				fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, name, values[0])
			}
		}
		fmt.Fprint(w, `<button id="go">go</button></form>`)
	})
	mux.HandleFunc("/watch", watchSession)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		document, ok := p.documents[r.URL.Path]
		p.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, document)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.leaf}}
	server.StartTLS()
	t.Cleanup(server.Close)
	p.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return p
}

// watchSession is an application's page that asks the issuer's frame whether
// the session is still the same.
func watchSession(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>relying party</title><iframe id="op" src="%[1]s/oauth2/sessions/check"></iframe><script>
window.addEventListener("message", function (e) {
  if (e.origin !== %[1]q) return;
  var p = document.createElement("p");
  p.id = "answer";
  p.textContent = e.data;
  document.body.append(p);
});
document.getElementById("op").addEventListener("load", function () {
  this.contentWindow.postMessage(%[2]q, %[1]q);
});
</script>`, q.Get("issuer"), q.Get("client_id")+" "+q.Get("session_state"))
}

// put serves a document and returns its address.
func (p *party) put(path, document string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.documents[path] = document
	return p.url + path
}

// hears returns what comes to a path below /heard/.
func (p *party) hears(path string) chan *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard[path] == nil {
		p.heard[path] = make(chan *http.Request, 16)
	}
	return p.heard[path]
}

// person is somebody at a browser with an empty profile.
type person struct {
	t      *testing.T
	ctx    context.Context
	loaded chan struct{} // holds one when a document has loaded
	began  float64       // the document that was seen last
}

// person opens an empty profile. A new one costs a process, so those of people
// who left are emptied and used again. All steps together may take as long as
// the test; each has its own limit.
func (s *suite) person(t *testing.T) *person {
	t.Helper()
	var p *person
	if last := len(s.empty) - 1; last >= 0 {
		p, s.empty = s.empty[last], s.empty[:last]
		p.t = t
	} else {
		ctx, closes := chromedp.NewContext(s.browser, chromedp.WithNewBrowserContext())
		s.t.Cleanup(closes)
		p = &person{t: t, ctx: ctx, loaded: make(chan struct{}, 1)}
		if err := chromedp.Listen(ctx, p.hear); err != nil {
			t.Fatal(err)
		}
	}
	headers := network.Headers{"X-Forwarded-For": NextAddress()} // so that nobody shares a limit
	if _, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *person) hear(event any) {
	if _, ok := event.(*page.EventLoadEventFired); ok {
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	}
}

// leaves empties the profile of somebody who is done.
func (s *suite) leaves(p *person) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		p.t.Fatal(err)
	}
	s.empty = append(s.empty, p)
}

// sight is the page that a person sees.
type sight struct {
	At       string
	Status   int
	IDs      []string
	Text     string
	Began    float64
	Ready    bool
	Received *received // at the relying party
}

const glance = `({
	at: location.href, began: performance.timeOrigin, ready: document.readyState === "complete",
	status: performance.getEntriesByType("navigation")[0].responseStatus,
	ids: Array.from(document.querySelectorAll("[id]"), e => e.id),
	text: document.body ? document.body.innerText : "",
	received: JSON.parse(document.getElementById("received")?.textContent ?? "null"),
})`

func (s *sight) has(id string) bool { return slices.Contains(s.IDs, id) }

// arrived says that nothing goes on by itself any more.
func arrived(s *sight) bool { return !s.has("form-post") }

// see waits for another document than the last, and one that will do. It looks
// when a document has loaded: asking all the time would keep the browser busy.
func (p *person) see(enough func(*sight) bool) *sight {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	var s sight
	var err error
	for ctx.Err() == nil {
		// A document that goes away under the question answers with an error.
		s, err = chromedp.Run(ctx, chromedp.Evaluate[sight](glance))
		if err == nil && s.Ready && s.Began != p.began && s.At != "about:blank" && enough(&s) {
			p.began = s.Began
			return &s
		}
		select {
		case <-p.loaded:
		case <-time.After(200 * time.Millisecond): // should it have loaded before it was the last
		case <-ctx.Done():
		}
	}
	p.stuck(fmt.Sprintf("at %s, status %d: %v\n%s", s.At, s.Status, err, s.Text))
	return nil
}

func (p *person) stuck(why string) {
	p.t.Helper()
	name := "stuck-" + strings.Map(func(r rune) rune {
		if strings.ContainsRune(" /", r) {
			return '_'
		}
		return r
	}, p.t.Name()) + ".png"
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	if picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(filepath.Join(ArtifactDir(p.t), name), picture, 0o644)
	}
	p.t.Fatalf("stuck %s (see %s)", why, name)
}

// visit opens an address.
func (p *person) visit(address string) *sight {
	p.t.Helper()
	p.opens(address)
	return p.see(arrived)
}

func (p *person) opens(address string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if res, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: address}); err != nil || res.ErrorText != "" {
		p.stuck(fmt.Sprintf("on the way to %s: %v %s", address, err, res.ErrorText))
	}
}

// press clicks on what leads to another page.
func (p *person) press(id string, enough func(*sight) bool) *sight {
	p.t.Helper()
	p.click(id)
	return p.see(enough)
}

func (p *person) click(id string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`(e => {
		e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		return e.contains(document.elementFromPoint(x, y)) ? [x, y] : [];
	})(document.getElementById("`+id+`"))`))
	switch {
	case err == nil && len(at) == 2:
		err = chromedp.Do(ctx, chromedp.MouseClickXY(at[0], at[1]))
	case err == nil:
		err = errors.New("it is not to be seen")
	}
	if err != nil {
		p.stuck(fmt.Sprintf("before clicking on %s: %v", id, err))
	}
}

func (p *person) enter(id, text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	// What is there already, such as the name of who was here, gives way.
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(e => { e.focus(); e.select(); return true })(document.getElementById("`+id+`"))`))
	if err == nil {
		_, err = chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text})
	}
	if err != nil {
		p.stuck(fmt.Sprintf("entering %s: %v", id, err))
	}
}

// login fills in the login form that is shown.
func (p *person) login(u User) *sight {
	p.t.Helper()
	p.enter("username", u.Username)
	p.enter("password", u.Password)
	return p.press("login-submit", arrived)
}

// through signs in and allows whatever is asked.
func (p *person) through(s *sight, u User) *sight {
	p.t.Helper()
	for range 3 {
		switch {
		case s.has("login-form"):
			s = p.login(u)
		case s.has("consent-form"):
			s = p.press("consent-submit", arrived)
		default:
			return s
		}
	}
	return s
}

// suite is one deployment that offers what all plans need.
type suite struct {
	*Node
	inst    *Installation
	t       *testing.T
	party   *party
	browser context.Context
	empty   []*person // profiles that nobody is at
	erin    User

	static, second, post rp     // registered by the operator
	vouching             string // initial access token of clients that register themselves
}

// rp is a client of the suite with its way to authenticate.
type rp struct {
	Client
	auth string     // client_secret_basic when empty
	key  *ClientKey // for private_key_jwt
}

// token sends a token request.
func (s *suite) token(t testing.TB, c rp, form url.Values) *Answer {
	t.Helper()
	switch c.auth {
	case "client_secret_post":
		form = mergeValues(form, url.Values{"client_id": {c.ID}, "client_secret": {c.Secret}})
	case "private_key_jwt":
		form = Asserted(form, c.key.Sign(t, AssertionClaims(c.ID, s.Issuer, nil)))
	default:
		return s.Post(t, "/oauth2/token", c.Client, form)
	}
	return s.Post(t, "/oauth2/token", Client{}, form)
}

func mergeValues(all ...url.Values) url.Values {
	merged := url.Values{}
	for _, values := range all {
		for name, v := range values {
			merged[name] = v
		}
	}
	return merged
}

const identityScopes = "openid profile email address phone offline_access"

func newSuite(t *testing.T, engine string) *suite {
	t.Helper()
	a := newAuthority(t)
	inst := Install(t, engine, map[string]string{
		"IDP_OUTBOUND_CA_FILE": a.file, "IDP_OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
		"IDP_REGISTRATION_MODE": "open", "IDP_REGISTRATION_SECURITY_PROFILE": "oidc-legacy", "IDP_REGISTRATION_PER_HOUR": "10000",
		"IDP_REGISTRATION_REMOTE_LOGOS": "true",
	})
	inst.overTLS(t, a)
	inst.CLI(t, "", "migrate", "up")
	s := &suite{t: t, inst: inst, party: newParty(t, a), erin: inst.everybody(t)}
	flags := []string{
		"--security-profile", "oidc-legacy", "--pkce-optional", "--scope", identityScopes,
		"--redirect-uri", s.party.url + "/cb", "--post-logout-redirect-uri", s.party.url + "/bye",
	}
	for _, rt := range responseTypes {
		flags = append(flags, "--response-type", rt)
	}
	s.static.key = NewClientKey(t, "RS256")
	s.static.Client = inst.WebClient(t, append(flags, "--jwks-file", KeyFile(t, s.static.key))...)
	s.second.Client = inst.WebClient(t, flags...)
	s.post = rp{Client: inst.WebClient(t, append(flags, "--token-endpoint-auth-method", "client_secret_post")...), auth: "client_secret_post"}
	// People are asked before an error leads to a client that nobody vouches for.
	s.vouching = strings.TrimSpace(inst.CLI(t, "", "client", "registration-token", "create", "--verified", "--uses", "10000", "--quiet"))
	s.Node = inst.Start(t)
	s.browser = chromium(t, unpainted(), chromedp.Flag("ignore-certificate-errors-spki-list", a.pin))
	return s
}

// variant is how a plan runs its modules.
type variant struct {
	responseType string
	responseMode string // "" is the default of the response type
}

func (v variant) String() string { return v.responseType }

// in is how answers come.
func (v variant) in() string {
	switch {
	case v.responseMode != "":
		return v.responseMode
	case v.responseType == "code":
		return "query"
	}
	return "fragment"
}

func (v variant) brings(part string) bool {
	return slices.Contains(strings.Fields(v.responseType), part)
}

// module is a module of the certification.
type module struct {
	name string
	// before is what has to be some time ago when run runs.
	before func(*run)
	wait   time.Duration
	run    func(*run)
	only   func(variant) bool // nil is all
}

// run is one module on its way: a variant, a client and a person of its own.
type run struct {
	*testing.T
	*suite
	variant
	client rp
	other  rp
	who    *person
	first  outcome // what before kept
	since  time.Time
}

func (s *suite) start(t *testing.T, v variant) *run {
	return &run{T: t, suite: s, variant: v, client: s.static, other: s.second, who: s.person(t)}
}

// begin does what has to be some time ago.
func (m module) begin(r *run) *run {
	m.before(r)
	r.since = time.Now()
	return r
}

// plan is a certification plan.
type plan struct {
	name     string
	variants []variant
	modules  []module
	// dealt plans run each module on both engines, but each response type on one
	// of them: no engine knows of response types.
	dealt bool
}

// on returns the variants that the plan runs on an engine.
func (p plan) on(engine string) []variant {
	if !p.dealt {
		return p.variants
	}
	var own []variant
	for i, v := range p.variants {
		if Engines[i%len(Engines)] == engine {
			own = append(own, v)
		}
	}
	return own
}

func (m module) applies(v variant) bool { return m.only == nil || m.only(v) }

// late are the modules whose wait would hold up their own variant: they begin
// first of all and are looked at last of all.
func (m module) late() bool { return m.wait > 10*time.Second }

// The certification's plans.
var (
	implicit = []string{"id_token", "id_token token"}
	hybrid   = []string{"code id_token", "code token", "code id_token token"}
	plans    = []plan{
		{name: "basic", variants: variants("", "code"), modules: coreModules},
		{name: "implicit", variants: variants("", implicit...), modules: coreModules},
		{name: "hybrid", variants: variants("", hybrid...), modules: coreModules},
		{name: "config", variants: variants("", "code"), modules: []module{discoveryModule}},
		{name: "dynamic", variants: variants("", "code", "code token", "id_token", "id_token token", "code id_token", "code id_token token"), modules: dynamicModules, dealt: true},
		{name: "3rdparty-init-login", variants: variants("", "code"), modules: thirdPartyModules},
		{name: "rp-initiated-logout", variants: variants("", "code"), modules: rpInitiatedLogoutModules},
		{name: "backchannel-rp-initiated-logout", variants: variants("", "code"), modules: backchannelModules},
		{name: "frontchannel-rp-initiated-logout", variants: variants("", "code"), modules: frontchannelModules},
		{name: "session-management", variants: variants("", "code"), modules: sessionModules},
		{name: "formpost-basic", variants: variants("form_post", "code"), modules: coreModules},
		{name: "formpost-implicit", variants: variants("form_post", implicit...), modules: coreModules, dealt: true},
		{name: "formpost-hybrid", variants: variants("form_post", hybrid...), modules: coreModules, dealt: true},
	}
)

func variants(mode string, responseTypes ...string) []variant {
	var all []variant
	for _, rt := range responseTypes {
		all = append(all, variant{rt, mode})
	}
	return all
}

// The modules of the certification's plans, each with its name. They take
// longest of all: as tests of their own they begin before the tests of every
// engine, which wait for all those that are not.
func TestOIDC_Plans(t *testing.T) {
	t.Parallel()
	plansOn(t, "sqlite")
}

func TestOIDC_PlansOnPostgres(t *testing.T) {
	t.Parallel()
	plansOn(t, "postgres")
}

func plansOn(t *testing.T, engine string) {
	t.Run(engine, func(t *testing.T) {
		s := newSuite(t, engine)
		type begun struct {
			name string
			module
			*run
		}
		complete := func(t *testing.T, b begun) {
			t.Run(b.name, func(t *testing.T) {
				time.Sleep(time.Until(b.since.Add(b.wait)))
				b.run.T, b.who.t = t, t
				b.module.run(b.run)
			})
		}
		var late []begun
		for _, p := range plans {
			for _, v := range p.on(engine) {
				for _, m := range p.modules {
					if m.late() && m.applies(v) {
						r := m.begin(s.start(t, v))
						s.leaves(r.who)
						late = append(late, begun{p.name + "/" + v.String() + "/" + m.name, m, r})
					}
				}
			}
		}
		for _, p := range plans {
			for _, v := range p.on(engine) {
				t.Run(p.name+"/"+v.String(), func(t *testing.T) {
					var waiting []begun
					for _, m := range p.modules {
						if m.before != nil && !m.late() && m.applies(v) {
							waiting = append(waiting, begun{m.name, m, m.begin(s.start(t, v))})
						}
					}
					for _, m := range p.modules {
						if m.before == nil && m.applies(v) {
							t.Run(m.name, func(t *testing.T) {
								r := s.start(t, v)
								defer s.leaves(r.who)
								m.run(r)
							})
						}
					}
					for _, b := range waiting {
						complete(t, b)
						s.leaves(b.who)
					}
				})
			}
		}
		for _, b := range late {
			complete(t, b)
		}
	})
}
