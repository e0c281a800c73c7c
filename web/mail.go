package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"path"
	"regexp"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
)

//go:embed mail/*.html mail/*.txt mail/*.json
var mailFiles embed.FS

// Letter is a message to one person. What it says are texts of the catalogue
// that are named after its kind: mail.KIND.subject, .title, .before, .button and
// .after, of which all but the first two may be missing. A blank line in
// a text ends a paragraph.
type Letter struct {
	Kind string
	// Variants take the place of the texts that they are named after, if the
	// catalogue has them: "before": "added" is mail.KIND.before.added.
	Variants map[string]string
	Lang     string // BCP 47; English where there are no words in it
	Host     string // the issuer's host, as people know it
	Home     string // the issuer's address
	Name     string // of the person; may be empty
	// Words stand in the texts where these have their names in braces.
	Words map[string]string
	// Terms do so too, being names of texts themselves, and Times, in the
	// language's way of writing them.
	Terms map[string]string
	Times map[string]time.Time
	Facts []LetterFact
	Link  string // where the button leads; empty for none
	// Secret says that the link is the message's own: it is shown in full as
	// well, for where buttons do not work.
	Secret bool
}

// LetterFact is one line of what happened: mail.fact.NAME, and a time if there
// is one, else a text.
type LetterFact struct {
	Name string
	Text string
	Time time.Time
}

// Mail is a rendered letter.
type Mail struct {
	Lang, Subject, Text, HTML string
}

// Mails renders letters.
type Mails struct {
	html  *template.Template
	text  *texttemplate.Template
	words map[string]map[string]string // language → name → text
}

// NewMails parses the embedded templates and catalogues. It fails only when the
// program was built with a broken one.
func NewMails() (*Mails, error) {
	m := &Mails{words: map[string]map[string]string{}}
	var err error
	if m.html, err = template.ParseFS(mailFiles, "mail/layout.html"); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if m.text, err = texttemplate.ParseFS(mailFiles, "mail/layout.txt"); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	entries, err := mailFiles.ReadDir("mail")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, entry := range entries {
		language, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		raw, err := mailFiles.ReadFile(path.Join("mail", entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		words := map[string]string{}
		if err := json.Unmarshal(raw, &words); err != nil {
			return nil, fmt.Errorf("web: mail/%s: %w", entry.Name(), err)
		}
		m.words[language] = words
	}
	return m, nil
}

// Languages lists the languages that there are words in.
func (m *Mails) Languages() []string {
	var out []string
	for language := range m.words {
		out = append(out, language)
	}
	slices.Sort(out)
	return out
}

const fallbackLanguage = "en"

// language returns the one of Languages that is nearest to a wish: de for
// de-AT, en for what is not known.
func (m *Mails) language(wish string) string {
	for wish = strings.ReplaceAll(wish, "_", "-"); wish != ""; {
		for known := range m.words {
			if strings.EqualFold(known, wish) {
				return known
			}
		}
		i := strings.LastIndexByte(wish, '-')
		if i < 0 {
			break
		}
		wish = wish[:i]
	}
	return fallbackLanguage
}

// rightToLeft are the languages that are written from the right.
var rightToLeft = []string{"ar", "fa", "he", "ur"}

// sheet is what a layout is filled with. S is string for the text and
// template.HTML for HTML, where what stands in braces is set apart, so that its
// direction does not spill.
type sheet[S ~string] struct {
	Lang, Dir, Host, Home, Subject, Link string
	Secret                               bool
	Title, Greeting, Button              S
	LinkHint, Footer                     S
	Before, After                        []S
	Facts                                []sheetFact
}

type sheetFact struct{ Label, Value string }

// Render writes a letter in both forms. A text that is missing, or one that
// names what the letter does not have, is an error.
func (m *Mails) Render(l Letter) (Mail, error) {
	w := &writer{letter: l, language: m.language(l.Lang)}
	w.texts = m.words[w.language]
	plain := fill(w, func(s string) string { return s }, func(s string) string { return s })
	rich := fill(w, func(s string) template.HTML { return template.HTML(template.HTMLEscapeString(s)) },
		func(s string) template.HTML {
			return template.HTML("<bdi>" + template.HTMLEscapeString(s) + "</bdi>")
		})
	if w.err != nil {
		return Mail{}, fmt.Errorf("web: mail %s in %s: %w", l.Kind, w.language, w.err)
	}
	var text, html bytes.Buffer
	if err := m.text.Execute(&text, plain); err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	if err := m.html.Execute(&html, rich); err != nil {
		return Mail{}, fmt.Errorf("web: %w", err)
	}
	return Mail{Lang: w.language, Subject: plain.Subject, Text: text.String(), HTML: html.String()}, nil
}

// writer finds the texts of one letter. It keeps the first error.
type writer struct {
	letter   Letter
	language string
	texts    map[string]string
	err      error
}

func fill[S ~string](w *writer, plain, value func(string) S) sheet[S] {
	l := w.letter
	s := sheet[S]{
		Lang: w.language, Dir: "ltr", Host: l.Host, Home: l.Home, Link: l.Link, Secret: l.Secret,
		Subject: say(w, w.own("subject"), func(s string) string { return s }, func(s string) string { return s }),
		Title:   say(w, w.own("title"), plain, value),
		Footer:  say(w, "mail.footer", plain, value),
	}
	if slices.Contains(rightToLeft, w.language) {
		s.Dir = "rtl"
	}
	greeting := "mail.greeting"
	if l.Name == "" {
		greeting = "mail.greeting.nameless"
	}
	s.Greeting = say(w, greeting, plain, value)
	if l.Link != "" {
		s.LinkHint = say(w, "mail.link", plain, value)
		button := w.own("button")
		if !w.has(button) {
			button = "mail.account"
		}
		s.Button = say(w, button, plain, value)
	}
	s.Before, s.After = paragraphs(w, "before", plain, value), paragraphs(w, "after", plain, value)
	for _, f := range l.Facts {
		fact := sheetFact{Label: w.text("mail.fact." + f.Name), Value: f.Text}
		if !f.Time.IsZero() {
			fact.Value = w.time(f.Time)
		}
		s.Facts = append(s.Facts, fact)
	}
	return s
}

// own names a text of the letter's kind, or its variant.
func (w *writer) own(part string) string {
	name := "mail." + w.letter.Kind + "." + part
	if variant := w.letter.Variants[part]; variant != "" {
		return name + "." + variant
	}
	return name
}

func (w *writer) has(name string) bool { return w.texts[name] != "" }

func (w *writer) text(name string) string {
	if !w.has(name) {
		w.fail(fmt.Errorf("there is no text %s", name))
	}
	return w.texts[name]
}

func (w *writer) time(t time.Time) string { return t.Format(w.text("mail.time")) }

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

var braces = regexp.MustCompile(`\{[a-z_]+\}`)

// say returns a text with what its braces name.
func say[S ~string](w *writer, name string, plain, value func(string) S) S {
	return fillIn(w, w.text(name), plain, value)
}

func fillIn[S ~string](w *writer, text string, plain, value func(string) S) S {
	var out S
	for {
		at := braces.FindStringIndex(text)
		if at == nil {
			return out + plain(text)
		}
		out += plain(text[:at[0]]) + value(w.word(text[at[0]+1:at[1]-1]))
		text = text[at[1]:]
	}
}

// word returns what a name in braces stands for.
func (w *writer) word(name string) string {
	switch name {
	case "host":
		return w.letter.Host
	case "name":
		return w.letter.Name
	}
	if t, ok := w.letter.Times[name]; ok {
		return w.time(t)
	}
	if text, ok := w.letter.Terms[name]; ok {
		return w.text(text)
	}
	word, ok := w.letter.Words[name]
	if !ok {
		w.fail(fmt.Errorf("nothing is called {%s}", name))
	}
	return word
}

// paragraphs returns a text of the letter's kind, or nothing if there is none.
func paragraphs[S ~string](w *writer, part string, plain, value func(string) S) []S {
	name := w.own(part)
	if !w.has(name) {
		if w.letter.Variants[part] != "" {
			w.text(name)
		}
		return nil
	}
	var out []S
	for paragraph := range strings.SplitSeq(w.texts[name], "\n\n") {
		out = append(out, fillIn(w, paragraph, plain, value))
	}
	return out
}
