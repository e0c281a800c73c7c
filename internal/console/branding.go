package console

import (
	"strings"

	"idp/web"
)

func showBranding(v *visit) error {
	p := v.frame("/console/branding", "Look and words")
	p.Lead = "What the pages that people see look like, and how they speak."
	p.Actions = []web.ConsoleLink{{Title: "See your account", To: "/account"}}
	var languages []string
	for _, l := range v.console.Languages {
		languages = append(languages, l.Name)
	}
	look := v.settings("How they look",
		[2]string{"Colour", "pages.accent"}, [2]string{"Colour in the dark", "pages.accent_dark"},
		[2]string{"Templates, words and pictures", "pages.directory"}, [2]string{"Language where none is asked for", "pages.default_language"},
		[2]string{"Pictures from clients' own hosts", "registration.remote_logos"},
	)
	for i := range look.Facts {
		if cell := &look.Facts[i].Values[0]; strings.HasPrefix(cell.Text, "#") {
			cell.Colour = cell.Text
		}
	}
	p.Parts = []web.ConsolePart{
		look,
		web.ConsoleFacts{ID: "languages", Title: "Languages", Lead: "People get the one that they chose, or that their browser asks for.", Facts: []web.ConsoleFact{
			{Name: "There are", Values: []web.ConsoleCell{plain(strings.Join(languages, ", "))}},
		}},
		web.ConsoleText{ID: "how", Title: "What the directory holds", Paragraphs: []string{
			"static/logo.svg, and logo-dark.svg for the dark theme, take the place of the mark. static/look.css is read after our own style. Files in templates take the place of pages by name, files in words add to what is said, or say it in another way.",
			"Each is checked when the server starts: a template that cannot be shown, or a colour that nobody could read, keeps it from starting.",
		}},
	}
	return v.show(p)
}
