package snippets

// How values are written so that they stay values: every text is made for a
// parser that gives some character a meaning.

import (
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"unicode"
)

var quoting = template.FuncMap{
	"comment": comment,
	"quote":   quote,
	"list":    list,
	"single":  single,
	"sh":      shell,
	"compose": func(s string) string { return strings.ReplaceAll(quote(s), "$", "$$") },
	"kotlin":  func(s string) string { return strings.ReplaceAll(quote(s), "$", `\$`) },
	"swift":   swift,
	"goquote": strconv.Quote,
	"host":    host,
}

// quote writes the text between double quotes, with the escapes that JSON, YAML,
// JavaScript, Python, C# and Java have in common.
func quote(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`) // in Java \u000a is a line end before it is a character
		case r == '\r':
			out.WriteString(`\r`)
		case hidden(r) && r <= 0xFFFF:
			fmt.Fprintf(&out, `\u%04x`, r)
		case hidden(r): // no escape is the same everywhere, and nothing needs it
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// hidden reports characters that a line end, a terminal or an eye could take
// for something else.
func hidden(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Cf, r)
}

// list writes texts as an array of JSON, which YAML, JavaScript and Python read
// as well.
func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// single writes the text between single quotes of Ruby or PHP, where only these
// and the backslash mean something.
func single(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(visible(s)) + "'"
}

// shell writes the text as one word of a POSIX shell.
func shell(s string) string {
	return "'" + strings.ReplaceAll(visible(s), `'`, `'\''`) + "'"
}

// visible leaves out what has no escape between single quotes.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

func swift(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(visible(s)) + `"`
}

// comment keeps of a text what means nothing in any language's comments: no end
// of a line, of a block or of a program, and no escape that is read before them.
func comment(s string) string {
	kept := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.,:/@+()~|", r) {
			return r
		}
		return ' '
	}, s)
	return strings.NewReplacer("/*", "/", "*/", "/").Replace(strings.Join(strings.Fields(kept), " "))
}

// host keeps what a host and its port are made of.
func host(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:[]", r) {
			return r
		}
		return -1
	}, s)
}
