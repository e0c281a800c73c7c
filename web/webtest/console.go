package webtest

import (
	"time"

	"idp/web"
)

// console holds pages of the console: every part that they are made of, and
// every shape of it.
func console(layout web.Layout, person web.Account, day time.Time) map[string]any {
	page := func(title string, parts ...web.ConsolePart) web.ConsolePage {
		return web.ConsolePage{
			Layout: layout, Person: person, Title: title, Flow: "sealed", Parts: parts,
			Sections: []web.ConsoleSection{
				{Links: []web.ConsoleLink{{Title: "Home", To: "/console"}}},
				{Title: "Applications", Links: []web.ConsoleLink{{Title: "Clients", To: "/console/clients", Current: true}}},
			},
		}
	}
	badge := web.ConsoleBadge{Text: "Disabled", Tone: "bad"}

	list := page("Clients", web.ConsoleTable{
		ID: "clients", Columns: []string{"Name", "Kind", "Client ID", "Registered", "Actions"}, Next: "/console/clients?after=wiki",
		Search: &web.ConsoleSearch{To: "/console/clients", Active: true, Fields: []web.ConsoleField{
			{Kind: web.FieldSearch, Name: "search", Label: "Name or client ID", Value: "cal"},
			{Kind: web.FieldSelect, Name: "kind", Label: "Kind", Options: []web.ConsoleOption{{Label: "All kinds"}, {Value: "web", Label: "Web application"}}},
		}, More: []web.ConsoleField{{Kind: web.FieldDate, Name: "since", Label: "From (UTC)", Value: "2026-03-01T08:00"}}},
		Rows: []web.ConsoleRow{
			{Cells: []web.ConsoleCell{{Text: "Calendar", To: "/console/clients/calendar"}, {Text: "Web application"}, {Text: "calendar", Code: true}, {At: day}}, Actions: []web.ConsoleButton{
				{Title: "Remove", To: "/console/clients", Label: "Remove Calendar", Danger: true, Fields: []web.Field{{Name: "id", Value: "calendar"}}},
			}},
			{Cells: []web.ConsoleCell{{Text: "Nightly report", To: "/console/clients/nightly", Badge: badge}, {Text: "Service", Note: "by a key of its own"}, {Text: "nightly", Code: true}, {At: day}}},
		},
	})
	list.Lead = "Applications and services that people sign in to, or that ask for tokens."
	list.Actions = []web.ConsoleLink{{Title: "Register a client", To: "/console/new-client", Primary: true}}

	detail := page("Calendar",
		web.ConsoleNotice{ID: "note", Text: "It registered itself, and nobody here vouches for it.", Tone: "warn", To: &web.ConsoleLink{Title: "Look at its settings", To: "/console"}},
		web.ConsoleFacts{ID: "facts", Title: "At a glance", Lead: "What it is registered with.", Facts: []web.ConsoleFact{
			{Name: "Client ID", Values: []web.ConsoleCell{{Text: "calendar", Code: true}}, Hint: "What it calls itself."},
			{Name: "Redirect URIs", Values: []web.ConsoleCell{{Text: "https://calendar.example/callback", Code: true}, {Text: "https://calendar.example/other", Code: true}}},
			{Name: "Registered", Values: []web.ConsoleCell{{At: day}}},
			{Name: "Colour", Hint: "pages.accent", Values: []web.ConsoleCell{{Text: "#7a1f5c", Code: true, Colour: "#7a1f5c", Note: "IDP_PAGES_ACCENT"}}},
			{Name: "Contacts"},
		}},
		web.ConsoleCode{ID: "claims", Title: "ID token", Lead: "For Alice Moreau.", Text: "{\n  \"iss\": \"https://login.example.com\",\n  \"sub\": \"alice\"\n}"},
		web.ConsoleCode{Title: "Where each claim comes from", Text: "sub: the account", Fold: true},
		web.ConsoleText{ID: "end", Title: "Delete it", Paragraphs: []string{"Everything it was issued stops working."}, Links: []web.ConsoleLink{{Title: "Delete…", To: "/console", Danger: true}}},
	)
	detail.Trail = []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}}
	detail.Badges, detail.Done = []web.ConsoleBadge{badge}, "Saved."
	detail.Tabs = []web.ConsoleLink{{Title: "Overview", To: "/console", Current: true}, {Title: "Settings", To: "/console"}, {Title: "Secrets", To: "/console"}, {Title: "Claims", To: "/console"}, {Title: "JSON", To: "/console"}}

	form := page("Settings", web.ConsoleForm{
		ID: "settings", Title: "About it", Lead: "What people see when they sign in.", To: "/console", Submit: "Save", Cancel: "/console", Upload: true,
		Hidden: []web.Field{{Name: "seen", Value: "1"}}, Buttons: []web.Field{{Name: "remove", Value: "Remove the picture"}},
		Groups: []web.ConsoleGroup{
			{Fields: []web.ConsoleField{
				{Name: "client_name", Label: "Name", Value: "Calendar", Required: true},
				{Kind: web.FieldLines, Name: "redirect_uris", Label: "Redirect URIs", Value: "http://calendar.example/callback", Hint: "One per line.", Problem: `"http://calendar.example/callback": must be https`, Mono: true},
				{Kind: web.FieldFile, Name: "logo", Label: "Picture", Accept: "image/png"},
			}},
			{Title: "Tokens", Hint: "Empty is what the server is set to.", Fields: []web.ConsoleField{
				{Kind: web.FieldSelect, Name: "format", Label: "Access tokens", Value: "jwt", Options: []web.ConsoleOption{{Value: "jwt", Label: "JWT"}, {Value: "opaque", Label: "Opaque"}}},
				{Kind: web.FieldNumber, Name: "lifetime", Label: "They live for", Unit: "seconds", Value: "600"},
				{Kind: web.FieldTicks, Name: "scope", Label: "Scopes", Hint: "What it may ask for.", Options: []web.ConsoleOption{{Value: "openid", Label: "openid", Hint: "Who the person is", Chosen: true}, {Value: "email", Label: "email"}}},
			}},
			{Title: "Further", Folded: true, Fields: []web.ConsoleField{
				{Kind: web.FieldTick, Name: "par", Label: "Requests have to be pushed", Value: "on", Hint: "RFC 9126."},
				{Kind: web.FieldCode, Name: "jwks", Label: "Keys", Rows: 5, Value: "{}"},
				{Kind: web.FieldDate, Name: "until", Label: "Until"},
			}},
		},
	}, web.ConsoleForm{ID: "delete", Title: "Delete it", To: "/console", Submit: "Delete", Danger: true})

	created := page("Calendar is registered",
		web.ConsoleSecret{ID: "secret", Title: "Client secret", Value: "vN2uYl7oXq0cWmT5r8JkB4dGzH1sPfEa", Hint: "It is shown this once. Keep it where the application reads it."},
	)
	home := page("Home",
		web.ConsoleChecks{ID: "steps", Title: "First steps", Lead: "Two of five are done.", Checks: []web.ConsoleCheck{
			{Tone: "good", Word: "Done", Title: "Register an application"},
			{Word: "To do", Title: "Add a passkey", Text: "You sign in with a password only.", To: &web.ConsoleLink{Title: "Add one", To: "/setup/passkey"}},
			{Tone: "warn", Word: "Soon", Title: "Keys", Text: "The next one is not there yet.", Fix: &web.ConsoleButton{Title: "Fix it", To: "/console"}},
			{Tone: "bad", Word: "Refused", Title: "The redirect_uri is one of those registered.", Text: "redirect_uri.exact · RFC 9700 section 4.1.3", Facts: []web.ConsoleFact{
				{Name: "sent", Values: []web.ConsoleCell{{Text: "https://app.example.com/callback/of/another/application", Code: true}}}, {Name: "differs in", Values: []web.ConsoleCell{{Text: "path", Code: true}}},
			}},
			{Tone: "bad", Word: "Problem", Title: "Mail", Text: "Three messages could not be sent.", To: &web.ConsoleLink{Title: "Read more", To: "/console"}, Apart: true},
		}},
		web.ConsoleBars{ID: "days", Title: "Sign-ins", Lead: "Of the last days.", Names: [2]string{"Succeeded", "Failed"}, Bars: []web.ConsoleBar{{Label: "27 Feb", Counts: [2]int{120, 4}}, {Label: "28 Feb", Counts: [2]int{80, 31}}, {Label: "1 Mar", Counts: [2]int{0, 0}}}},
		web.ConsoleTable{ID: "failing", Title: "Clients that fail", Columns: []string{"Client"}, Empty: "None did."},
		web.ConsoleChoices{ID: "kinds", Title: "What next?", Choices: []web.ConsoleChoice{{Title: "Web application", Text: "It runs on a server and keeps a secret.", To: "/console"}, {Title: "Service", Text: "No person is there.", To: "/console"}}},
	)
	return map[string]any{
		"console_home": home, "console_list": list, "console_detail": detail, "console_form_problem": form, "console_created": created,
	}
}
