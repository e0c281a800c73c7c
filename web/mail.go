package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	texttemplate "text/template"
	"time"
)

//go:embed mail/*.html mail/*.txt
var mailFiles embed.FS

// Letter is a message to one person.
type Letter struct {
	Lang string // BCP 47, as the person has it; the catalogue's fallback where it has no such words
	Host string // the issuer's host, as people know it
	Home string // the issuer's address

	Subject, Title, Greeting *Text
	Before                   []*Text // paragraphs before the button
	Button                   *Text   // nil for none
	Link                     string  // where the button leads
	// Secret says that the link is the message's own: it is shown in full as
	// well, for where buttons do not work.
	Secret bool
	Facts  []LetterFact
	After  []*Text // paragraphs behind
}

// LetterFact is one line of what happened: a time if there is one, else a text.
type LetterFact struct {
	Label *Text
	Text  string
	Time  time.Time
}

// Mail is a rendered letter.
type Mail struct {
	Lang, Subject, Text, HTML string
}

// Mails renders letters.
type Mails struct {
	words *Words
	html  *template.Template
	text  *texttemplate.Template
}

// NewMails parses the embedded templates. It fails only when the program was
// built with a broken one.
func NewMails(words *Words) (*Mails, error) {
	m := &Mails{words: words}
	var err error
	if m.html, err = template.ParseFS(mailFiles, "mail/layout.html"); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if m.text, err = texttemplate.ParseFS(mailFiles, "mail/layout.txt"); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return m, nil
}

// sheet is what a layout is filled with: S is string for the text and
// template.HTML for HTML.
type sheet[S any] struct {
	Lang, Dir, Host, Home, Subject, Link string
	Secret                               bool
	Title, Greeting, Button              S
	LinkHint, Footer                     S
	Before, After                        []S
	Facts                                []sheetFact[S]
}

type sheetFact[S any] struct {
	Label S
	Value string
}

// Render writes a letter in both forms, in the language that is nearest to its
// own. A text that is not in the catalogue is an error.
func (m *Mails) Render(l Letter) (Mail, error) {
	lang, _ := m.words.Match(l.Lang)
	subject, err := m.words.Plain(lang, l.Subject)
	if err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	out := Mail{Lang: lang, Subject: subject}
	plain, err := fill(m.words, lang, subject, l, m.words.Plain)
	if err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	rich, err := fill(m.words, lang, subject, l, m.words.HTML)
	if err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	var text, html bytes.Buffer
	if err := m.text.Execute(&text, plain); err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	if err := m.html.Execute(&html, rich); err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	out.Text, out.HTML = text.String(), html.String()
	return out, nil
}

// fill says the texts of a letter. It keeps the first error.
func fill[S any](words *Words, lang, subject string, l Letter, in func(tag string, t *Text) (S, error)) (sheet[S], error) {
	var fault error
	say := func(t *Text) S {
		said, err := in(lang, t)
		if err != nil && fault == nil {
			fault = err
		}
		return said
	}
	sayAll := func(all []*Text) (out []S) {
		for _, t := range all {
			out = append(out, say(t))
		}
		return out
	}
	s := sheet[S]{
		Lang: lang, Dir: words.Language(lang).Direction, Host: l.Host, Home: l.Home, Subject: subject, Link: l.Link, Secret: l.Secret,
		Title: say(l.Title), Greeting: say(l.Greeting), Button: say(l.Button),
		LinkHint: say(Say("mail.link")), Footer: say(Say("mail.footer", "host", l.Host)),
		Before: sayAll(l.Before), After: sayAll(l.After),
	}
	for _, f := range l.Facts {
		fact := sheetFact[S]{Label: say(f.Label), Value: f.Text}
		if !f.Time.IsZero() {
			fact.Value = words.Moment(lang, f.Time)
		}
		s.Facts = append(s.Facts, fact)
	}
	return s, fault
}
