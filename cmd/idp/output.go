package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// outputFlags gives a command -o and --quiet.
func (a *app) outputFlags(commands ...*cobra.Command) {
	for _, c := range commands {
		c.Flags().StringVarP(&a.output, "output", "o", "table", "how to print: table, json or yaml")
		c.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "print the id alone")
		run := c.RunE
		c.RunE = func(cmd *cobra.Command, args []string) error {
			switch a.output {
			case "table", "json", "yaml":
				return run(cmd, args)
			}
			return usage("-o %s: must be table, json or yaml", a.output)
		}
	}
}

// show prints one value: its id alone, as JSON, as YAML, or for people.
func (a *app) show(value any, id string, people func(*table)) error {
	switch {
	case a.quiet:
		if id != "" {
			fmt.Fprintln(a.Stdout, id)
		}
		return nil
	case a.output == "json":
		return writeJSON(a.Stdout, value)
	case a.output == "yaml":
		return writeYAML(a.Stdout, value)
	}
	var t table
	people(&t)
	t.write(a.Stdout)
	return nil
}

// showList prints many values; id names each, empty is the sentence for none.
func showList[T any](a *app, values []T, id func(T) string, empty string, people func(*table)) error {
	switch {
	case a.quiet:
		for _, v := range values {
			fmt.Fprintln(a.Stdout, id(v))
		}
		return nil
	case a.output == "json" && values == nil:
		return writeJSON(a.Stdout, []T{})
	case a.output == "yaml" && values == nil:
		return writeYAML(a.Stdout, []T{})
	case a.output == "table" && len(values) == 0:
		fmt.Fprintln(a.Stdout, empty)
		return nil
	}
	return a.show(values, "", people)
}

// say tells a person what was done; machine formats stay silent.
func (a *app) say(format string, args ...any) {
	if !a.quiet && a.output == "table" {
		fmt.Fprintf(a.Stdout, format+"\n", args...)
	}
}

func writeJSON(w io.Writer, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(w, escapeControls(text.String()))
	return err
}

// escapeControls writes as an escape, which quoted texts of JSON and YAML have in
// common, what steers a terminal and their encoders let through.
func escapeControls(text string) string {
	if !strings.ContainsFunc(text, steers) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if r != '\n' && steers(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// writeYAML prints what JSON would hold, so that one set of names rules both.
func writeYAML(w io.Writer, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(escapeControls(text.String())), &document); err != nil {
		return err
	}
	plain(&document)
	text.Reset()
	if err := encodeYAML(&text, &document); err != nil {
		return err
	}
	_, err := io.WriteString(w, escapeControls(text.String()))
	return err
}

func encodeYAML(w io.Writer, node *yaml.Node) error {
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return err
	}
	return encoder.Close()
}

// plain takes JSON's braces and quotes off; the encoder puts back the quotes
// that are needed.
func plain(node *yaml.Node) {
	if len(node.Content) > 0 || node.Kind == yaml.ScalarNode {
		node.Style = 0
	}
	if strings.ContainsFunc(node.Value, steers) {
		node.Style = yaml.DoubleQuotedStyle // the one that has escapes
	}
	for _, child := range node.Content {
		plain(child)
	}
}

// table lines up cells in columns. A row of one cell stands by itself.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// field adds a line "name  value" unless the value is empty.
func (t *table) field(name string, value ...string) {
	text := strings.Join(value, " ")
	if text != "" {
		t.row(name, text)
	}
}

func (t *table) write(w io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row[:max(len(row)-1, 0)] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(printable(cell))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+3))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// printable keeps names that people chose from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) {
			return '�'
		}
		return r
	}, text)
}

// steers reports whether a character acts on the terminal, or on the direction
// of what stands beside it.
func steers(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// when writes an instant for people, to the second.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// orDash shows that a cell is empty on purpose.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
