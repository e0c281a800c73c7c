package console

import "idp/web"

// Setting is a value of the configuration, which every node has in its file or
// its environment: administrators see it, and operators change it there.
type Setting struct {
	Key      string // such as keys.rotate_every
	Variable string // of the environment
	Value    string // empty for nothing
	Default  bool
}

// settings show what is configured under the keys, each behind what it is called.
func (v *visit) settings(title string, named ...[2]string) web.ConsoleFacts {
	facts := web.ConsoleFacts{
		ID: "settings", Title: title,
		Lead: "From the configuration of the server. To change it: set the key in the file or the variable in the environment of every node, and start it again.",
	}
	for _, n := range named {
		s := v.console.Setting(n[1])
		fact := web.ConsoleFact{Name: n[0], Hint: s.Key}
		cell := web.ConsoleCell{Text: s.Value, Code: true, Note: s.Variable}
		switch {
		case s.Value == "":
			cell.Text, cell.Code = "Not set", false
		case s.Default:
			cell.Note = "as it comes · " + s.Variable
		}
		fact.Values = []web.ConsoleCell{cell}
		facts.Facts = append(facts.Facts, fact)
	}
	return facts
}
