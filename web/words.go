package web

import (
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed words/*.json
var wordFiles embed.FS

// source is the language that every other is measured by: what it lacks is
// said in it.
const source = "en"

// Text is something to say to a person: a key of the catalogue, and values for
// the placeholders of its text. Nil says nothing.
type Text struct {
	key    string
	values []any
}

// Say returns the text of that key. Names and values of placeholders take
// turns, as with slog: Say("login.continue_to", "client", name). A value is a
// string (a name, which is set apart from the words around it), an int (which
// chooses the plural form when it is called count), a [time.Time] or a *Text.
func Say(key string, values ...any) *Text { return &Text{key, values} }

// Verbatim returns words that are not in the catalogue, because somebody else
// chose them.
func Verbatim(words string) *Text { return &Text{"", []any{words}} }

// String is for logs; people read what [Words] makes of it.
func (t *Text) String() string {
	switch {
	case t == nil:
		return ""
	case t.key == "":
		return fmt.Sprint(t.values...)
	}
	return t.key
}

// Words is the catalogue: the same texts in several languages.
type Words struct {
	languages map[string]*language // by tag in lower case
	fallback  *language
}

// Language is one that pages can be read in.
type Language struct {
	Tag       string // BCP 47
	Name      string // in the language itself
	Direction string // ltr or rtl
}

type language struct {
	Language
	dates dates
	texts map[string]text
	words *Words
}

// text holds the forms of one text by plural category; one without plurals is
// all "other".
type text map[string][]piece

// piece is literal, then a placeholder; either may be empty.
type piece struct{ literal, placeholder string }

// NewWords reads the embedded catalogue, and words/*.json of each further
// directory over it, key by key. A file of a language that is not there yet
// adds that language. fallback is the language for people of whom nothing
// better is known; empty is English.
func NewWords(fallback string, further ...fs.FS) (*Words, error) {
	w := &Words{languages: map[string]*language{}}
	for _, directory := range append([]fs.FS{wordFiles}, further...) {
		if err := w.read(directory); err != nil {
			return nil, err
		}
	}
	return w, w.fallBackTo(fallback)
}

func (w *Words) fallBackTo(tag string) error {
	found, ok := w.languages[strings.ToLower(cmp.Or(tag, source))]
	if !ok {
		return fmt.Errorf("there are no words in %q; there are some in %s", tag, strings.Join(w.Tags(), ", "))
	}
	w.fallback = found
	return nil
}

// Languages lists the languages by tag.
func (w *Words) Languages() []Language {
	var all []Language
	for _, tag := range slices.Sorted(maps.Keys(w.languages)) {
		all = append(all, w.languages[tag].Language)
	}
	return all
}

// Tags lists the tags of the languages.
func (w *Words) Tags() []string {
	var tags []string
	for _, l := range w.Languages() {
		tags = append(tags, l.Tag)
	}
	return tags
}

// Match returns the tag of the first language that is wanted and there: the
// very one, else the nearest that is less particular (RFC 4647 section 3.4),
// else any of the same base language. ok is false when there is none.
func (w *Words) Match(wanted ...string) (tag string, ok bool) {
	for _, want := range wanted {
		want = strings.ToLower(strings.ReplaceAll(want, "_", "-"))
		for rest := want; rest != ""; {
			if l, there := w.languages[rest]; there {
				return l.Tag, true
			}
			rest = rest[:max(0, strings.LastIndexByte(rest, '-'))]
		}
		base, _, _ := strings.Cut(want, "-")
		for _, l := range w.Languages() {
			if strings.HasPrefix(strings.ToLower(l.Tag), base+"-") && base != "" {
				return l.Tag, true
			}
		}
	}
	return w.fallback.Tag, false
}

// Language returns the language with that tag, or the fallback.
func (w *Words) Language(tag string) Language { return w.language(tag).Language }

func (w *Words) language(tag string) *language {
	if l, ok := w.languages[strings.ToLower(tag)]; ok {
		return l
	}
	return w.fallback
}

// Plain returns a text in a language (a tag that Match returned) as plain text,
// for a subject line or the text part of a mail.
func (w *Words) Plain(tag string, t *Text) (string, error) { return w.language(tag).plain(t) }

// HTML returns a text in a language as markup: its words and values escaped,
// each name in a <bdi>, each time in a <time>.
func (w *Words) HTML(tag string, t *Text) (template.HTML, error) { return w.language(tag).html(t) }

// Date writes a day as people of the language do.
func (w *Words) Date(tag string, at time.Time) string { return w.language(tag).date(at) }

// Moment writes a day and a time, with its zone, as people of the language do.
func (w *Words) Moment(tag string, at time.Time) string { return w.language(tag).moment(at) }

func (l *language) plain(t *Text) (string, error) {
	return l.say(t, func(literal string) string { return literal }, func(value any) (string, error) {
		switch value := value.(type) {
		case string:
			if l.Direction == "rtl" { // what bdi does, for text without markup
				return "\u2068" + value + "\u2069", nil
			}
			return value, nil
		case int:
			return strconv.Itoa(value), nil
		case time.Time:
			return l.moment(value), nil
		case *Text:
			return l.plain(value)
		}
		return "", fmt.Errorf("a value is a %T", value)
	})
}

func (l *language) html(t *Text) (template.HTML, error) {
	said, err := l.say(t, template.HTMLEscapeString, func(value any) (string, error) {
		switch value := value.(type) {
		case string:
			return `<bdi class="name">` + template.HTMLEscapeString(value) + `</bdi>`, nil
		case int:
			return strconv.Itoa(value), nil
		case time.Time:
			return string(timeElement(value, l.moment(value))), nil
		case *Text:
			said, err := l.html(value)
			return string(said), err
		}
		return "", fmt.Errorf("a value is a %T", value)
	})
	return template.HTML(said), err //nolint:gosec // every part of it was escaped above
}

// say puts a text together: literal for its words, value for what goes into
// placeholders.
func (l *language) say(t *Text, literal func(string) string, value func(any) (string, error)) (string, error) {
	switch {
	case t == nil:
		return "", nil
	case t.key == "":
		return literal(fmt.Sprint(t.values...)), nil
	case len(t.values)%2 != 0:
		return "", fmt.Errorf("text %s: names and values do not pair up", t.key)
	}
	found, in, err := l.text(t.key)
	if err != nil {
		return "", err
	}
	values, form := map[string]any{}, "other"
	for i := 0; i < len(t.values); i += 2 {
		name, ok := t.values[i].(string)
		if !ok {
			return "", fmt.Errorf("text %s: the name of a value is a %T", t.key, t.values[i])
		}
		values[name] = t.values[i+1]
		if count, ok := t.values[i+1].(int); ok && name == "count" {
			form = plural(in.Tag, count)
		}
	}
	pieces, ok := found[form]
	if !ok {
		pieces = found["other"]
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(literal(p.literal))
		if p.placeholder == "" {
			continue
		}
		v, ok := values[p.placeholder]
		if !ok {
			return "", fmt.Errorf("text %s: no value for {%s}", t.key, p.placeholder)
		}
		written, err := value(v)
		if err != nil {
			return "", fmt.Errorf("text %s: {%s}: %w", t.key, p.placeholder, err)
		}
		b.WriteString(written)
	}
	return b.String(), nil
}

// text returns the text with that key and the language it is in: this one, or
// the source for what is not translated.
func (l *language) text(key string) (text, *language, error) {
	for _, in := range []*language{l, l.words.languages[source]} {
		if found, ok := in.texts[key]; ok {
			return found, in, nil
		}
	}
	return nil, nil, fmt.Errorf("no text %q", key)
}

// plural returns the category of a whole number in a language, as the Unicode
// CLDR has it for cardinals.
func plural(tag string, n int) string {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	n = max(n, -n)
	tens, hundreds := n%10, n%100
	switch base {
	case "ar":
		switch {
		case n == 0:
			return "zero"
		case n == 1:
			return "one"
		case n == 2:
			return "two"
		case hundreds >= 3 && hundreds <= 10:
			return "few"
		case hundreds >= 11:
			return "many"
		}
		return "other"
	case "fr", "pt":
		switch {
		case n <= 1:
			return "one"
		case n%1_000_000 == 0:
			return "many"
		}
		return "other"
	case "es", "it", "ca":
		switch {
		case n == 1:
			return "one"
		case n != 0 && n%1_000_000 == 0:
			return "many"
		}
		return "other"
	case "ru", "uk", "be":
		switch {
		case tens == 1 && hundreds != 11:
			return "one"
		case tens >= 2 && tens <= 4 && (hundreds < 12 || hundreds > 14):
			return "few"
		}
		return "many"
	case "pl":
		switch {
		case n == 1:
			return "one"
		case tens >= 2 && tens <= 4 && (hundreds < 12 || hundreds > 14):
			return "few"
		}
		return "many"
	case "cs", "sk":
		switch {
		case n == 1:
			return "one"
		case n >= 2 && n <= 4:
			return "few"
		}
		return "other"
	case "ja", "zh", "ko", "vi", "th", "id", "ms":
		return "other"
	case "hi", "fa", "bn":
		if n <= 1 {
			return "one"
		}
		return "other"
	}
	if n == 1 {
		return "one"
	}
	return "other"
}

// categories are all that plural may return.
var categories = []string{"zero", "one", "two", "few", "many", "other"}

// dates is how a language writes times. The zero value writes ISO 8601.
type dates struct {
	Months []string `json:"months"` // twelve
	// Date holds {day}, {month} and {year}, Moment {date}, {time} and {zone}.
	Date   string `json:"date"`
	Moment string `json:"moment"`
}

func (l *language) date(at time.Time) string {
	if len(l.dates.Months) != 12 || l.dates.Date == "" {
		return at.Format(time.DateOnly)
	}
	return strings.NewReplacer(
		"{day}", strconv.Itoa(at.Day()), "{month}", l.dates.Months[at.Month()-1], "{year}", strconv.Itoa(at.Year()),
	).Replace(l.dates.Date)
}

func (l *language) moment(at time.Time) string {
	return strings.NewReplacer(
		"{date}", l.date(at), "{time}", at.Format("15:04"), "{zone}", at.Format("MST"),
	).Replace(cmp.Or(l.dates.Moment, "{date} {time} {zone}"))
}

// timeElement lets machines read a time that is written for people.
func timeElement(at time.Time, words string) template.HTML {
	return template.HTML(`<time datetime="` + at.Format(time.RFC3339) + `">` + template.HTMLEscapeString(words) + `</time>`) //nolint:gosec // digits and escaped words
}
