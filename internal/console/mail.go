package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Mail is how messages to people go out, and what they look like.
type Mail interface {
	// Test sends a message now, and returns what the mail server said.
	Test(ctx context.Context, to idp.Mail) (dialogue []string, err error)
	// Unsent are the messages that were not sent, newest first.
	Unsent(ctx context.Context) ([]UnsentMail, error)
	// Read is one of them with its words. The audit keeps who read it.
	Read(ctx context.Context, id idp.ID) (UnsentMail, web.Mail, error)
	// Samples are the names of messages to look at; Sample is one of them, in the
	// language or the one that is nearest to it.
	Samples() []string
	Sample(name, language string) (web.Mail, error)
}

// UnsentMail is a message to somebody that was not sent.
type UnsentMail struct {
	ID, To    string
	Kind      idp.MailKind
	State     string // waiting, printed or undelivered
	CreatedAt time.Time
	Attempts  uint32
	Failure   string // of the last attempt
}

func showMail(v *visit) error { return showMailWith(v) }

// showMailWith shows how mail goes out, below what came of a test.
func showMailWith(v *visit, outcome ...web.ConsolePart) error {
	unsent, err := v.console.Mail.Unsent(v.Context())
	if err == nil && len(unsent) > 0 {
		err = v.reads("mails", "")
	}
	if err != nil {
		return err
	}
	p := v.frame("/console/mail", "Mail")
	p.Lead = "How messages reach people, and what they say."
	p.Parts = outcome
	if v.console.Setting("mail.host").Value == "" {
		p.Parts = append(p.Parts, web.ConsoleNotice{
			ID: "no-server", Tone: "warn",
			Text: "No mail server is configured. Messages wait here, and whoever manages this server hands over what they say. Set mail.host and mail.from.",
		})
	} else {
		address := v.line("email", "Address", "", v.who.User.Profile.Email)
		address.Required = true
		p.Parts = append(p.Parts, web.ConsoleForm{
			ID: "test", Title: "Try it", Lead: "A message goes out now, and what the mail server says is shown.", To: "/console/mail", Submit: "Send a test message",
			Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{address}}},
		})
	}
	waiting := web.ConsoleTable{
		ID: "unsent", Title: "Not sent", Columns: []string{"Message", "To", "State", "Made"}, Empty: "Nothing waits.",
		Lead: "What waits is tried again for a day. What could not be sent stays here for a while.",
	}
	for _, m := range unsent {
		state := web.ConsoleCell{Badge: web.ConsoleBadge{Text: m.State}, Note: shortened(m.Failure, 120)}
		if m.State == string(idp.MailUndelivered) {
			state.Badge.Tone = "bad"
		}
		waiting.Rows = append(waiting.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			{Text: spaced(string(m.Kind)), To: "/console/unsent-mail/" + url.QueryEscape(m.ID)}, plain(m.To), state, {At: m.CreatedAt, Note: v.ago(m.CreatedAt)},
		}})
	}
	samples := web.ConsoleTable{ID: "samples", Title: "What people read", Lead: "Every message, in every language.", Columns: []string{"Message", "Subject"}}
	for _, name := range v.console.Mail.Samples() {
		m, err := v.console.Mail.Sample(name, "en")
		if err != nil {
			return err
		}
		samples.Rows = append(samples.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{{Text: spaced(name), To: "/console/mail/" + name}, plain(m.Subject)}})
	}
	p.Parts = append(p.Parts, waiting, samples, v.settings("The mail server",
		[2]string{"Server", "mail.host"}, [2]string{"Port", "mail.port"}, [2]string{"Protection", "mail.tls"}, [2]string{"User", "mail.username"},
		[2]string{"From", "mail.from"}, [2]string{"Answers go to", "mail.reply_to"}, [2]string{"Printed to the log instead", "mail.print_to_log"},
	))
	return v.show(p)
}

// spaced is a name as people read it.
func spaced(name string) string {
	name = strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(name[:1]) + name[1:]
}

// sendTest sends a message now. The page answers itself: what the server said is
// nowhere else.
func sendTest(v *visit) error {
	to := idp.Mail{To: strings.TrimSpace(v.form.Get("email")), Name: v.who.User.DisplayName(), Language: "en", Zone: v.who.User.Profile.Zoneinfo, UserID: v.who.User.ID}
	if err := idp.CheckMailAddress(to.To); err != nil {
		return err
	}
	dialogue, err := v.console.Mail.Test(v.Context(), to)
	outcome := web.ConsoleNotice{ID: "outcome", Tone: "good", Text: "The mail server took the message to " + to.To + "."}
	if err != nil {
		idp.RequestFrom(v.Context()).Cause = err
		v.status = http.StatusUnprocessableEntity
		outcome = web.ConsoleNotice{ID: "outcome", Tone: "bad", Text: "It was not sent: " + err.Error() + "."}
	}
	said := web.ConsoleCode{ID: "dialogue", Title: "What the mail server said", Text: strings.Join(dialogue, "\n")}
	if len(dialogue) == 0 {
		return showMailWith(v, outcome)
	}
	return showMailWith(v, outcome, said)
}

func readMail(v *visit) error {
	id, err := idp.ParseID(v.PathValue("mail_id"))
	if err != nil {
		return fmt.Errorf("there is no such message: %w", idp.ErrNotFound)
	}
	unsent, m, err := v.console.Mail.Read(v.Context(), id)
	if err != nil {
		return err
	}
	p := v.frame("/console/mail", m.Subject)
	p.Trail = mailTrail
	p.Parts = []web.ConsolePart{
		web.ConsoleNotice{ID: "handle", Tone: "warn", Text: "Whoever has a link in it can use it. The audit keeps that you read this."},
		web.ConsoleFacts{ID: "facts", Facts: []web.ConsoleFact{
			{Name: "To", Values: []web.ConsoleCell{plain(unsent.To)}},
			{Name: "State", Values: []web.ConsoleCell{{Badge: web.ConsoleBadge{Text: unsent.State}, Note: unsent.Failure}}},
			{Name: "Made", Values: []web.ConsoleCell{{At: unsent.CreatedAt, Note: v.ago(unsent.CreatedAt)}}},
		}},
		web.ConsoleCode{ID: "text", Title: "Text", Text: m.Text},
	}
	return v.show(p)
}

var mailTrail = []web.ConsoleLink{{Title: "Mail", To: "/console/mail"}}

// sample is the message that the address names, in the language that is asked for.
func (v *visit) sample() (web.Mail, error) {
	return v.console.Mail.Sample(v.PathValue("message"), v.URL.Query().Get("language"))
}

func showSample(v *visit) error {
	m, err := v.sample()
	if err != nil {
		return err
	}
	name := v.PathValue("message")
	p := v.frame("/console/mail", spaced(name))
	p.Trail = mailTrail
	p.Lead = "As somebody reads it. The links lead nowhere."
	for _, l := range v.console.Languages {
		p.Tabs = append(p.Tabs, web.ConsoleLink{Title: l.Name, To: "/console/mail/" + name + "?language=" + l.Tag, Current: l.Tag == m.Lang})
	}
	p.Actions = []web.ConsoleLink{{Title: "Look at it as HTML", To: "/console/mail/" + name + "/html?language=" + m.Lang}}
	p.Parts = []web.ConsolePart{
		web.ConsoleFacts{ID: "subject", Facts: []web.ConsoleFact{{Name: "Subject", Values: []web.ConsoleCell{plain(m.Subject)}}}},
		web.ConsoleCode{ID: "text", Title: "Text", Text: m.Text},
	}
	return v.show(p)
}

// showSampleHTML shows a message as a mail program does. It brings its own
// style, and nothing in it runs.
func showSampleHTML(v *visit) error {
	m, err := v.sample()
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, err = io.WriteString(v.w, m.HTML)
	return err
}
