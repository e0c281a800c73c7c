package mail_test

import (
	"context"
	"errors"
	"flag"
	"io"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"idp/internal/idp"
	"idp/internal/mail"
	"idp/internal/mail/mailtest"
	"idp/web"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var moment = time.Date(2026, 11, 22, 20, 13, 52, 0, time.UTC)

func samples() map[string]idp.MailMessage { return mail.Samples(moment) }

func catalogue(t testing.TB) *web.Words {
	t.Helper()
	words, err := web.NewWords("")
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func renderer(t testing.TB) *mail.Renderer {
	t.Helper()
	r, err := mail.NewRenderer("https://id.example.com", catalogue(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func config(s *mailtest.Server, change func(*mail.SMTPConfig)) mail.SMTPConfig {
	port, _ := strconv.Atoi(s.Port)
	cfg := mail.SMTPConfig{
		Host: s.Host, Port: port, TLS: mail.TLSStart, Roots: s.Roots, Domain: "id.example.com",
		From: netmail.Address{Name: "Beispiel GmbH – Kontó", Address: "accounts@example.com"},
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func transport(t testing.TB, s *mailtest.Server, change func(*mail.SMTPConfig)) *mail.SMTP {
	t.Helper()
	smtp, err := mail.NewSMTP(config(s, change))
	if err != nil {
		t.Fatal(err)
	}
	return smtp
}

func rendered(t testing.TB, to string, message idp.MailMessage) mail.Message {
	t.Helper()
	m, err := renderer(t).Render(idp.ID{1, 2, 3}, moment, idp.Mail{To: to, Name: "Alice Moreau", Zone: "Europe/Berlin", Message: message})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every kind of message arrives over STARTTLS as two forms of the same words.
func TestMessagesArrive(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Behaviour{})
	smtp := transport(t, server, func(c *mail.SMTPConfig) { c.ReplyTo = &netmail.Address{Address: "help@example.com"} })
	for name, message := range samples() {
		t.Run(name, func(t *testing.T) {
			to := name + "@example.com"
			outcome, err := smtp.Send(t.Context(), rendered(t, to, message))
			if err != nil || outcome != idp.MailSent {
				t.Fatal(outcome, err)
			}
			got := server.Wait(t, to, 1)[0]
			if !got.TLS || got.From != "accounts@example.com" || got.User != "" {
				t.Errorf("envelope %+v", got)
			}
			for field, want := range map[string]string{
				"To": "<" + to + ">", "Reply-To": "<help@example.com>", "Message-Id": "<01020300-0000-0000-0000-000000000000@id.example.com>",
				"Auto-Submitted": "auto-generated", "Mime-Version": "1.0", "Content-Language": "en", "Date": "Sun, 22 Nov 2026 20:13:52 +0000",
			} {
				if values := got.Header[field]; len(values) != 1 || values[0] != want {
					t.Errorf("%s: %q, want %q", field, values, want)
				}
			}
			from, err := got.Header.AddressList("From")
			if err != nil || len(from) != 1 || from[0].Name != "Beispiel GmbH – Kontó" || from[0].Address != "accounts@example.com" {
				t.Errorf("From: %v %v", from, err)
			}
			for field := range got.Header {
				if strings.HasPrefix(field, "List-") || strings.HasPrefix(field, "X-") || field == "User-Agent" || field == "Bcc" {
					t.Errorf("%s: %s", field, got.Header.Get(field))
				}
			}
			golden(t, name+".txt", "Subject: "+got.Subject+"\n\n"+got.Text)
			checkHTML(t, got)
		})
	}
}

// Every kind of message can be said in every language, and survives the way.
func TestMessagesInEveryLanguage(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Behaviour{})
	smtp := transport(t, server, nil)
	for _, language := range catalogue(t).Languages() {
		for name, message := range samples() {
			m, err := renderer(t).Render(idp.ID{}, moment, idp.Mail{To: "a@example.com", Name: "Zoé", Language: language.Tag + "-XX", Message: message})
			if err != nil {
				t.Fatalf("%s in %s: %v", name, language.Tag, err)
			}
			english := rendered(t, "a@example.com", message)
			if m.Lang != language.Tag || language.Tag != "en" && m.Subject == english.Subject || !strings.Contains(m.HTML, `<html lang="`+language.Tag+`" dir="`+language.Direction+`">`) {
				t.Errorf("%s in %s: %s %s", name, language.Tag, m.Lang, m.Subject)
			}
			if dir := os.Getenv("TEST_ARTIFACTS"); dir != "" { // to look at
				if err := errors.Join(os.MkdirAll(filepath.Join(dir, "mail"), 0o755),
					os.WriteFile(filepath.Join(dir, "mail", name+"."+language.Tag+".html"), []byte(m.HTML), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if name != "token_replayed" {
				continue
			}
			m.To = language.Tag + "@example.com"
			if _, err := smtp.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := server.Wait(t, m.To, 1)[0]
			if diff := cmp.Diff([]string{m.Subject, m.Text, m.HTML, language.Tag}, []string{got.Subject, got.Text, got.HTML, got.Header.Get("Content-Language")}); diff != "" {
				t.Errorf("%s did not arrive as it was: %s", language.Tag, diff)
			}
			for i, c := range got.Raw {
				if c > 126 {
					t.Fatalf("%s: not ASCII at %d", language.Tag, i)
				}
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s:\n%s", name, diff)
	}
}

// checkHTML checks that the HTML says what the text says, leads only to the
// issuer, and loads and runs nothing.
func checkHTML(t *testing.T, m mailtest.Mail) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(m.HTML))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for n := range root.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "title":
			words = append(words, n.Data)
		case n.Type == html.ElementNode:
			switch n.Data {
			case "script", "img", "link", "iframe", "object", "form", "svg", "video", "base", "input":
				t.Errorf("<%s>", n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "background" || strings.Contains(a.Val, "url(") {
					t.Errorf("%s=%q", a.Key, a.Val)
				}
				if a.Key == "href" && !strings.HasPrefix(a.Val, "https://id.example.com") {
					t.Errorf("a link to %q", a.Val)
				}
			}
		}
	}
	shown := squeeze(strings.Join(words, ""))
	for line := range strings.SplitSeq(m.Text, "\n") {
		line = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), ":"))
		inTable := strings.Replace(line, ": ", "", 1)
		if line != "--" && !strings.HasPrefix(line, "https://id.example.com/") && !strings.Contains(shown, squeeze(line)) && !strings.Contains(shown, squeeze(inTable)) {
			t.Errorf("the HTML does not say %q", line)
		}
	}
}

func squeeze(text string) string { return strings.Join(strings.Fields(text), "") }

func TestCredentials(t *testing.T) {
	t.Parallel()
	asAlice := func(password string) func(*mail.SMTPConfig) {
		return func(c *mail.SMTPConfig) { c.Username, c.Password = "alice", idp.Secret(password) }
	}
	for _, mechanisms := range []string{"PLAIN LOGIN", "LOGIN", "PLAIN", "CRAM-MD5 LOGIN"} {
		for name, server := range map[string]*mailtest.Server{
			mail.TLSStart:    mailtest.New(t, mailtest.Behaviour{Mechanisms: mechanisms, Password: "pa55 wörd"}),
			mail.TLSImplicit: mailtest.NewImplicit(t, mailtest.Behaviour{Mechanisms: mechanisms, Password: "pa55 wörd"}),
		} {
			with := func(change func(*mail.SMTPConfig)) func(*mail.SMTPConfig) {
				return func(c *mail.SMTPConfig) { c.TLS = name; change(c) }
			}
			if _, err := transport(t, server, with(asAlice("pa55 wörd"))).Send(t.Context(), rendered(t, "a@example.com", idp.TestMail{At: moment})); err != nil {
				t.Fatalf("%s, %s: %v", mechanisms, name, err)
			}
			if got := server.Wait(t, "a@example.com", 1)[0]; !got.TLS || got.User != "alice" {
				t.Errorf("%s, %s: %+v", mechanisms, name, got)
			}
			var said []string
			_, err := transport(t, server, with(func(c *mail.SMTPConfig) {
				asAlice("wr0ng")(c)
				c.Dialogue = func(line string) { said = append(said, line) }
			})).Send(t.Context(), rendered(t, "b@example.com", idp.TestMail{At: moment}))
			if !errors.Is(err, mail.ErrAway) || !strings.Contains(err.Error(), "535") {
				t.Errorf("%s, %s: wrong password: %v", mechanisms, name, err)
			}
			for _, secret := range []string{"wr0ng", "d3IwbmfC", "AGFsaWNlAHdyMG5n", "d3IwbmU"} {
				if strings.Contains(err.Error()+strings.Join(said, "\n"), secret) {
					t.Errorf("the password is shown: %v %q", err, said)
				}
			}
			if len(said) < 3 {
				t.Errorf("the dialogue is %q", said)
			}
		}
	}
}

// Without TLS nothing is sent where TLS is asked for, and credentials never.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	bare := mailtest.New(t, mailtest.Behaviour{NoTLS: true})
	if _, err := transport(t, bare, nil).Send(t.Context(), rendered(t, "a@example.com", idp.TestMail{At: moment})); !errors.Is(err, mail.ErrAway) {
		t.Errorf("STARTTLS is not offered: %v", err)
	}
	stranger := mailtest.New(t, mailtest.Behaviour{})
	for _, how := range []string{mail.TLSStart, mail.TLSImplicit} {
		s := stranger
		if how == mail.TLSImplicit {
			s = mailtest.NewImplicit(t, mailtest.Behaviour{})
		}
		if _, err := transport(t, s, func(c *mail.SMTPConfig) { c.TLS, c.Roots = how, nil }).Send(t.Context(), rendered(t, "a@example.com", idp.TestMail{At: moment})); !errors.Is(err, mail.ErrAway) {
			t.Errorf("%s: a certificate that nobody knows: %v", how, err)
		}
	}
	plain := transport(t, bare, func(c *mail.SMTPConfig) { c.TLS = mail.TLSNone })
	if _, err := plain.Send(t.Context(), rendered(t, "b@example.com", idp.TestMail{At: moment})); err != nil {
		t.Error(err)
	}
	if got := bare.To("b@example.com"); len(got) != 1 || got[0].TLS {
		t.Errorf("%+v", got)
	}
	if got := bare.To("a@example.com"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := mail.NewSMTP(config(bare, func(c *mail.SMTPConfig) { c.TLS, c.Username, c.Password = mail.TLSNone, "alice", "x" })); err == nil {
		t.Error("credentials in the clear were taken")
	}
}

func TestHowAttemptsFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		behave mailtest.Behaviour
		want   error // nil: later, this one alone
		sent   bool
	}{
		"no such mailbox":      {behave: mailtest.Behaviour{Replies: map[string]string{"RCPT": "550 5.1.1 no such user"}}, want: mail.ErrRefused},
		"greylisted":           {behave: mailtest.Behaviour{Replies: map[string]string{"RCPT": "451 4.7.1 come back"}}},
		"content refused":      {behave: mailtest.Behaviour{Replies: map[string]string{".": "554 5.6.0 spam"}}, want: mail.ErrRefused},
		"full":                 {behave: mailtest.Behaviour{Replies: map[string]string{".": "452 4.2.2 full"}}},
		"going down":           {behave: mailtest.Behaviour{Replies: map[string]string{"DATA": "421 4.3.2 going down"}}, want: mail.ErrAway},
		"sender refused":       {behave: mailtest.Behaviour{Replies: map[string]string{"MAIL": "550 5.7.1 not you"}}, want: mail.ErrAway},
		"closed for today":     {behave: mailtest.Behaviour{Replies: map[string]string{"CONNECT": "554 closed"}}, want: mail.ErrAway},
		"needs authentication": {behave: mailtest.Behaviour{Mechanisms: "PLAIN"}, want: mail.ErrAway},
		"hangs up":             {behave: mailtest.Behaviour{HangsUp: true}, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.New(t, c.behave)
			outcome, err := transport(t, server, nil).Send(t.Context(), rendered(t, "a@example.com", idp.TestMail{At: moment}))
			switch {
			case c.sent:
				if err != nil || outcome != idp.MailSent || len(server.Taken()) != 1 {
					t.Error(outcome, err)
				}
			case err == nil, c.want == nil && (errors.Is(err, mail.ErrAway) || errors.Is(err, mail.ErrRefused)), c.want != nil && !errors.Is(err, c.want):
				t.Error(err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		server := mailtest.New(t, mailtest.Behaviour{})
		server.Close()
		if _, err := transport(t, server, nil).Send(t.Context(), rendered(t, "a@example.com", idp.TestMail{})); !errors.Is(err, mail.ErrAway) {
			t.Error(err)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		t.Parallel()
		server := mailtest.New(t, mailtest.Behaviour{Hangs: true})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := transport(t, server, nil).Send(ctx, rendered(t, "a@example.com", idp.TestMail{})); !errors.Is(err, mail.ErrAway) {
			t.Error(err)
		}
	})
}

// What people choose never becomes a header, a recipient, markup, or something
// to click on.
func TestInjection(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Behaviour{})
	smtp := transport(t, server, nil)
	for i, name := range []string{
		"x\r\nBcc: eve@evil.example", "x\nSubject: y\n\nbody", "\"><img src=https://evil.example/x>", "<a href=https://evil.example>click</a>",
		"https://evil.example/login", "evil.example", "mail eve@evil.example now", "\u202eknab\u202c", "{host}", "{{.Link}}", "%s%n", "a\x00b\x1b[31m", "\xff\xfe",
		strings.Repeat("long ", 200), "mail.footer", "", "Ünïcode 名前 🎉",
	} {
		to := "n" + strconv.Itoa(i) + "@example.com"
		m, err := renderer(t).Render(idp.ID{byte(i)}, moment, idp.Mail{To: to, Name: name, Language: name, Zone: name, Message: idp.TokenReplayedMail{Application: name, At: moment}})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if _, err := smtp.Send(t.Context(), m); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		got := server.Wait(t, to, 1)[0]
		checkHTML(t, got)
		if len(got.Header["Subject"]) != 1 || got.Header.Get("Bcc") != "" || got.Header.Get("To") != "<"+to+">" || got.Subject != "Access to your account at id.example.com was ended" {
			t.Errorf("%q: %v", name, got.Header)
		}
		for _, part := range []string{got.Text, got.HTML} {
			for _, bad := range []string{"://evil", "evil.example", "@evil", "\u202e", "\x1b", "\x00", strings.Repeat("long ", 20)} {
				if strings.Contains(part, bad) {
					t.Errorf("%q: %q is in\n%s", name, bad, part)
				}
			}
		}
	}
	for _, commands := range server.Commands() {
		if strings.Contains(commands, "evil") {
			t.Error(commands)
		}
	}
	for _, to := range []string{"a@example.com\r\nRCPT TO:<eve@evil.example>", "a@example.com> <eve@evil.example"} {
		if _, err := smtp.Send(t.Context(), mail.Message{To: to, Mail: rendered(t, "a@example.com", idp.TestMail{}).Mail}); !errors.Is(err, mail.ErrRefused) {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// Links lead below the issuer and nowhere else.
func TestLinksLeadToTheIssuer(t *testing.T) {
	t.Parallel()
	for _, link := range []idp.MailLink{
		"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "evil", "/../../etc", "http:evil", "/%2e%2e/x", "/a\nb",
	} {
		if m, err := renderer(t).Render(idp.ID{}, moment, idp.Mail{To: "a@example.com", Message: idp.VerifyAddressMail{Link: link}}); err == nil {
			t.Errorf("%q became %s", string(link), m.Text)
		}
	}
	r, err := mail.NewRenderer("https://example.com/id", catalogue(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Render(idp.ID{}, moment, idp.Mail{To: "a@example.com", Message: idp.VerifyAddressMail{Link: "/verify?token=a%2Bb"}})
	if err != nil || !strings.Contains(m.Text, "\nhttps://example.com/id/verify?token=a%2Bb\n") {
		t.Error(err, m.Text)
	}
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	read, write := io.Pipe()
	go func() {
		outcome, err := mail.NewPrinter(write).Send(t.Context(), rendered(t, "a@example.com", samples()["reset_password"]))
		if outcome != idp.MailPrinted {
			err = errors.New(string(outcome))
		}
		write.CloseWithError(err)
	}()
	text, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mail | To: a@example.com\n", "mail | Subject: Choose a new password at id.example.com\n", "mail | https://id.example.com/recover/reset?token=sample-reset&x=1\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
