package admin

// Collecting what is wrong with an input, and the checks that several nouns
// share.

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
)

// faults are all that is wrong with one input.
type faults struct{ all []error }

func (f *faults) add(field, format string, args ...any) {
	f.all = append(f.all, idp.Invalid(field, fmt.Sprintf(format, args...)))
}

// addIf adds a fault when there is a reason.
func (f *faults) addIf(field, reason string) {
	if reason != "" {
		f.add(field, "%s", reason)
	}
}

func (f *faults) err() error { return errors.Join(f.all...) }

const (
	maxName        = 200  // bytes
	maxDescription = 1000 // bytes
)

// name checks a text that people are shown in one line.
func (f *faults) name(field, text string) { f.addIf(field, textFault(text, maxName, "")) }

// description checks a longer text that people are shown.
func (f *faults) description(field, text string) {
	f.addIf(field, textFault(text, maxDescription, ""))
}

// textFault says what is wrong with a text for people. Control characters and
// those that turn the reading direction or are not seen let one text pass for
// another. Those in allowed are let through.
func textFault(text string, maxBytes int, allowed string) string {
	switch {
	case len(text) > maxBytes:
		return fmt.Sprintf("is longer than %d bytes", maxBytes)
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	case strings.TrimSpace(text) != text:
		return "begins or ends with white space"
	}
	for _, c := range text {
		if deceives(c) && !strings.ContainsRune(allowed, c) {
			return fmt.Sprintf("holds the character %U, which cannot be seen or turns the reading direction", c)
		}
	}
	return ""
}

// deceives reports control characters, line separators, bidirectional
// controls, and characters without width. The two joiners stay allowed:
// several scripts need them.
func deceives(c rune) bool {
	switch {
	case unicode.IsControl(c), c == '\u2028', c == '\u2029':
		return true
	case c == '\u061C', c == '\u200E', c == '\u200F', c >= '\u202A' && c <= '\u202E', c >= '\u2066' && c <= '\u2069':
		return true
	case c == '\u00AD', c == '\u200B', c == '\u2060', c == '\uFEFF', c >= 0xE0000 && c <= 0xE007F:
		return true
	}
	return false
}

// madeOf reports whether text is of 1 to most letters, digits and characters
// of others, all ASCII.
func madeOf(text, others string, most int) bool {
	if text == "" || len(text) > most {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// scopeToken reports whether text is a scope-token of RFC 6749 section 3.3, of
// at most 128 characters.
func scopeToken(text string) bool {
	if text == "" || len(text) > 128 {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// repeated returns the first value that occurs twice, or "".
func repeated(values []string) string {
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if seen[v] {
			return v
		}
		seen[v] = true
	}
	return ""
}
