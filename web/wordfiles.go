package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A file of words is one JSON object. Its key "@language" says what the
// language is called and how it is written; every other is the key of a text,
// with the text, or an object of its plural forms, as value.

var (
	tagPattern         = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	placeholderPattern = regexp.MustCompile(`^[a-z][a-z_]*$`)
)

// read takes in the files of words in a directory. A directory without any is
// fine.
func (w *Words) read(directory fs.FS) error {
	files, err := fs.Glob(directory, "words/*.json")
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b string) int { // the source first: others are checked against it
		if a == "words/"+source+".json" {
			return -1
		}
		if b == "words/"+source+".json" {
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, file := range files {
		raw, err := fs.ReadFile(directory, file)
		if err != nil {
			return err
		}
		if err := w.readFile(file, raw); err != nil {
			return err
		}
	}
	return nil
}

func (w *Words) readFile(file string, raw []byte) error {
	tag := strings.TrimSuffix(path.Base(file), ".json")
	if !tagPattern.MatchString(tag) {
		return fmt.Errorf("%s: the name of the file must be a language tag, such as pt-BR.json", file)
	}
	l, known := w.languages[strings.ToLower(tag)]
	if !known {
		l = &language{Language: Language{Tag: tag, Name: tag, Direction: "ltr"}, texts: map[string]text{}, words: w}
	}
	first := len(w.languages) == 0 // the source itself sets the measure
	seen := map[string]bool{}
	err := members(raw, func(key string, value json.RawMessage) error {
		if seen[key] {
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		if key == "@language" {
			return l.describe(value)
		}
		t, err := parseText(value)
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if !first {
			if err := w.fits(key, t); err != nil {
				return err
			}
		}
		l.texts[key] = t
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s:%w", file, err)
	}
	w.languages[strings.ToLower(tag)] = l
	return nil
}

// describe reads the value of "@language".
func (l *language) describe(value json.RawMessage) error {
	described := struct {
		Name      string `json:"name"`
		Direction string `json:"direction"`
		dates
	}{l.Name, l.Direction, l.dates}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&described); err != nil {
		return fmt.Errorf(`"@language": %w`, err)
	}
	if described.Direction != "ltr" && described.Direction != "rtl" {
		return errors.New(`"@language": the direction is ltr or rtl`)
	}
	l.Name, l.Direction, l.dates = described.Name, described.Direction, described.dates
	return nil
}

// fits checks a text against the one of the source: it must be one that is
// said somewhere, with values for its placeholders.
func (w *Words) fits(key string, t text) error {
	ours, ok := w.languages[source].texts[key]
	if !ok {
		return fmt.Errorf("%q: no page says this", key)
	}
	known := ours.placeholders()
	for _, placeholder := range t.placeholders() {
		if !slices.Contains(known, placeholder) {
			return fmt.Errorf("%q: there is no {%s}; there is %s", key, placeholder, listed(known))
		}
	}
	return nil
}

func listed(placeholders []string) string {
	if len(placeholders) == 0 {
		return "no placeholder at all"
	}
	return "{" + strings.Join(placeholders, "}, {") + "}"
}

func (t text) placeholders() []string {
	var all []string
	for _, category := range categories {
		for _, p := range t[category] {
			if p.placeholder != "" && !slices.Contains(all, p.placeholder) {
				all = append(all, p.placeholder)
			}
		}
	}
	return all
}

func parseText(value json.RawMessage) (text, error) {
	var one string
	if err := json.Unmarshal(value, &one); err == nil {
		pieces, err := parsePieces(one)
		return text{"other": pieces}, err
	}
	var forms map[string]string
	if err := json.Unmarshal(value, &forms); err != nil {
		return nil, errors.New("is neither a text nor plural forms")
	}
	if _, ok := forms["other"]; !ok {
		return nil, errors.New(`plural forms need an "other"`)
	}
	t := text{}
	for category, form := range forms {
		if !slices.Contains(categories, category) {
			return nil, fmt.Errorf("%q is no plural category: there are %s", category, strings.Join(categories, ", "))
		}
		pieces, err := parsePieces(form)
		if err != nil {
			return nil, err
		}
		t[category] = pieces
	}
	return t, nil
}

func parsePieces(s string) ([]piece, error) {
	var pieces []piece
	for s != "" {
		literal, rest, open := strings.Cut(s, "{")
		if !open {
			return append(pieces, piece{literal: literal}), nil
		}
		placeholder, after, closed := strings.Cut(rest, "}")
		if !closed || !placeholderPattern.MatchString(placeholder) {
			return nil, fmt.Errorf("after %q comes no {placeholder}", literal)
		}
		pieces, s = append(pieces, piece{literal, placeholder}), after
	}
	return pieces, nil
}

// members calls f with each member of a JSON object, in order. The error
// begins with the line it is on.
func members(raw []byte, f func(key string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	line := func(offset int64, err error) error {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			offset = syntax.Offset
		}
		return fmt.Errorf("%d: %w", 1+bytes.Count(raw[:min(offset, int64(len(raw)))], []byte("\n")), err)
	}
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return line(d.InputOffset(), cmpError(err, "is no JSON object"))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return line(d.InputOffset(), err)
		}
		at := d.InputOffset()
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return line(at, err)
		}
		if err := f(key.(string), value); err != nil {
			return line(at, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return line(d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return line(d.InputOffset(), errors.New("something follows the object"))
	}
	return nil
}

func cmpError(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}
