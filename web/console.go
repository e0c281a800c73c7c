package web

import (
	"embed"
	"html/template"
	"time"
)

// The pages on which administrators manage what there is: the console. They are
// in English only, and an operator's directory does not change them.

//go:embed console/*.html
var consoleTemplates embed.FS

// ConsolePage is a page of the console: a heading, and parts below each other.
// Addresses on it are below the issuer's, and begin with a slash.
type ConsolePage struct {
	Layout
	Person   Account
	Sections []ConsoleSection // the navigation
	Trail    []ConsoleLink    // the pages above this one
	Title    string
	Badges   []ConsoleBadge
	Lead     string // empty for none
	Tabs     []ConsoleLink
	Actions  []ConsoleLink // what can be done here, on pages of its own
	Flow     string        // that every form sends along
	// Done and Problem say what came of the form before; empty for nothing.
	Done, Problem string
	Parts         []ConsolePart
}

func (ConsolePage) template() string { return "console.html" }
func (ConsolePage) language() string { return "en" }

// ConsoleSection is a part of the navigation.
type ConsoleSection struct {
	Title string // empty for what stands above all sections
	Links []ConsoleLink
}

// ConsoleLink leads to another page. Current says that this is it, Primary that
// it is what most people want, Danger that nothing undoes it.
type ConsoleLink struct {
	Title, To                string
	Current, Primary, Danger bool
}

// ConsoleBadge says what state a thing is in.
type ConsoleBadge struct {
	Text string
	Tone string // good, warn, bad or empty
}

// ConsolePart is one of the parts that pages are made of: ConsoleText,
// ConsoleNotice, ConsoleFacts, ConsoleTable, ConsoleForm, ConsoleCode,
// ConsoleSecret, ConsoleChoices, ConsoleChecks and ConsoleBars.
type ConsolePart interface{ Kind() string }

// ConsoleText is a heading with sentences.
type ConsoleText struct {
	ID, Title  string
	Paragraphs []string
	Links      []ConsoleLink
}

// ConsoleNotice is something to know before going on.
type ConsoleNotice struct {
	ID   string
	Text string
	Tone string // good, warn, bad or empty
	To   *ConsoleLink
	// Apart opens the link in a tab of its own, so that nothing is lost here.
	Apart bool
}

// ConsoleFacts are names with values.
type ConsoleFacts struct {
	ID, Title, Lead string
	Facts           []ConsoleFact
}

// ConsoleFact is a name with its values.
type ConsoleFact struct {
	Name   string
	Values []ConsoleCell // none is shown as a dash
	Hint   string
}

// ConsoleCell is something in a table, or the value of a fact.
type ConsoleCell struct {
	Text  string
	Code  bool         // is written as in a program
	Note  string       // below the text, smaller
	To    string       // where it leads; empty for nowhere
	At    time.Time    // instead of a text
	Badge ConsoleBadge // behind the text

	Colour string // such as #0b5c55: is shown before the text
}

// ConsoleTable is a list of things. The first cell of a row names it.
type ConsoleTable struct {
	ID, Title, Lead string
	Search          *ConsoleSearch // nil for none
	Columns         []string
	Rows            []ConsoleRow
	Empty           string // what is said where there are no rows
	Next            string // where more of them are; empty for nowhere
}

// ConsoleRow is one thing of a table, with what can be done to it.
type ConsoleRow struct {
	Cells   []ConsoleCell
	Actions []ConsoleButton
}

// ConsoleButton sends a form that has nothing to fill in.
type ConsoleButton struct {
	Title, To string
	Label     string // for whoever does not see the row; empty is Title
	Fields    []Field
	Danger    bool
}

// ConsoleSearch narrows a list, by an address that can be kept.
type ConsoleSearch struct {
	To     string
	Fields []ConsoleField
	More   []ConsoleField // shown when asked for, or when one of them is filled in
	Active bool           // something is narrowed
	Submit string         // what the button says; empty is Search
}

// Deep reports whether something is narrowed by what is not shown at first.
func (s ConsoleSearch) Deep() bool {
	for _, f := range s.More {
		if f.Value != "" {
			return true
		}
	}
	return false
}

// ConsoleForm asks for something.
type ConsoleForm struct {
	ID, Title, Lead string
	To              string // a POST to it
	Hidden          []Field
	Groups          []ConsoleGroup
	Submit          string
	Danger          bool
	Cancel          string  // where nothing is done; empty for no such link
	Upload          bool    // it sends a file
	Buttons         []Field // further buttons: Name and Value are sent, Value is shown
}

// ConsoleGroup holds fields that belong together.
type ConsoleGroup struct {
	Title, Hint string
	Folded      bool // shown when asked for, or when something in it is wrong
	Fields      []ConsoleField
}

// Faulty reports whether a field of the group is wrong.
func (g ConsoleGroup) Faulty() bool {
	for _, f := range g.Fields {
		if f.Problem != "" {
			return true
		}
	}
	return false
}

// The kinds of fields.
const (
	FieldText   = ""       // one line
	FieldLines  = "lines"  // several lines
	FieldCode   = "code"   // several lines of a program
	FieldNumber = "number" // with a unit
	FieldSelect = "select" // one of the options
	FieldTick   = "tick"   // yes or no
	FieldTicks  = "ticks"  // any of the options; each is a field NAME.VALUE
	FieldFile   = "file"
	FieldSearch = "search"
	FieldDate   = "datetime-local"
)

// ConsoleField is one field of a form.
type ConsoleField struct {
	Name, Label, Hint string
	Kind              string // one of the kinds above
	Value             string
	Unit              string
	Options           []ConsoleOption
	Required, Mono    bool
	Problem           string // what is wrong with it; empty for nothing
	Rows              int    // of several lines; 0 is 3
	Accept            string // of a file
}

// ConsoleOption is one of the values that there are.
type ConsoleOption struct {
	Value, Label, Hint string
	Chosen             bool
}

// ConsoleCode is a text for a program. Fold shows it when asked for.
type ConsoleCode struct {
	ID, Title, Lead, Text string
	Fold                  bool
}

// ConsoleSecret is what is shown once.
type ConsoleSecret struct {
	ID, Title, Value, Hint string
}

// ConsoleChoices lead on, each with a sentence.
type ConsoleChoices struct {
	ID, Title, Lead string
	Choices         []ConsoleChoice
}

// ConsoleChoice is one of the ways on.
type ConsoleChoice struct{ Title, Text, To string }

// ConsoleChecks are things that are as they should be, or not.
type ConsoleChecks struct {
	ID, Title, Lead string
	Checks          []ConsoleCheck
}

// ConsoleCheck is one of them. Fix does something about it.
type ConsoleCheck struct {
	Tone  string // good, warn, bad or empty
	Word  string // the tone in a word, such as Done
	Title string
	Text  string
	Facts []ConsoleFact // what it was judged by
	To    *ConsoleLink
	Fix   *ConsoleButton
	Apart bool // the link leads out of the console
}

// ConsoleBars are counts, such as by day.
type ConsoleBars struct {
	ID, Title, Lead string
	Names           [2]string // what is counted
	Bars            []ConsoleBar
}

// ConsoleBar holds two counts of one day.
type ConsoleBar struct {
	Label  string
	Counts [2]int
}

// Share returns how much of the longest bar a count is, from 0 to 100.
func (b ConsoleBars) Share(count int) int {
	most := 1
	for _, bar := range b.Bars {
		most = max(most, bar.Counts[0], bar.Counts[1])
	}
	return count * 100 / most
}

func (ConsoleText) Kind() string    { return "text" }
func (ConsoleNotice) Kind() string  { return "notice" }
func (ConsoleFacts) Kind() string   { return "facts" }
func (ConsoleTable) Kind() string   { return "table" }
func (ConsoleForm) Kind() string    { return "form" }
func (ConsoleCode) Kind() string    { return "code" }
func (ConsoleSecret) Kind() string  { return "secret" }
func (ConsoleChoices) Kind() string { return "choices" }
func (ConsoleChecks) Kind() string  { return "checks" }
func (ConsoleBars) Kind() string    { return "bars" }

// placed is something on a page of the console, with the page, for templates.
type placed struct {
	Page *ConsolePage
	On   any // what stands above it
	It   any
}

// Faults counts the fields that are wrong.
func (p ConsolePage) Faults() int {
	count := 0
	for _, part := range p.Parts {
		form, _ := part.(ConsoleForm)
		for _, group := range form.Groups {
			for _, field := range group.Fields {
				if field.Problem != "" {
					count++
				}
			}
		}
	}
	return count
}

// Failed reports whether the page comes back with something to put right.
func (p ConsolePage) Failed() bool { return p.Problem != "" || p.Faults() > 0 }

// parseConsole reads the console's templates, which are in English alone.
func (p *Pages) parseConsole() error {
	english := p.languages["en"]
	functions := p.functions(english)
	functions["placed"] = func(page ConsolePage, on, it any) placed { return placed{&page, on, it} }
	t, err := template.New("layout.html").Funcs(functions).Option("missingkey=error").ParseFS(templates, "templates/layout.html")
	if err == nil {
		t, err = t.ParseFS(consoleTemplates, "console/*.html")
	}
	if err == nil {
		p.templates["en"][ConsolePage{}.template()] = t.Lookup(ConsolePage{}.template())
	}
	return err
}
