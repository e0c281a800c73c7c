package console

import (
	"net/url"
	"slices"

	"idp/internal/idp"
	"idp/web"
)

// kinds are what sorts of applications there are, in the order of the wizard.
var kinds = []struct{ name, title string }{
	{"web", "Web application"},
	{"spa", "Single-page application"},
	{"native", "Mobile or desktop app"},
	{"service", "Service"},
	{"other", "Other"},
}

// kindOf says what sort of application a client is, by what it was registered
// with.
func kindOf(c *idp.Client) string {
	switch {
	case !c.HasGrantType(idp.GrantAuthorizationCode) && c.HasGrantType(idp.GrantClientCredentials):
		return "service"
	case !c.HasGrantType(idp.GrantAuthorizationCode):
		return "other"
	case c.ApplicationType == idp.ApplicationNative:
		return "native"
	case c.Public():
		return "spa"
	}
	return "web"
}

func kindTitle(kind string) string {
	for _, k := range kinds {
		if k.name == kind {
			return k.title
		}
	}
	return "Other"
}

func clientPath(id string) string { return "/console/clients/" + url.QueryEscape(id) }

func listClients(v *visit) error {
	p := v.frame("/console/clients", "Clients")
	p.Lead = "Applications and services that people sign in to, or that ask for tokens."
	p.Actions = []web.ConsoleLink{{Title: "Register a client", To: "/console/new-client", Primary: true}}
	all, err := v.admin.Clients(v.Context())
	if err != nil {
		return err
	}
	query := v.URL.Query()
	search, kind := query.Get("search"), query.Get("kind")
	all = slices.DeleteFunc(all, func(c idp.Client) bool {
		return !matches(search, c.ClientID, c.ClientName) || kind != "" && kindOf(&c) != kind
	})
	part, next := pageOf(v, "/console/clients", all, func(c idp.Client) string { return c.ClientID })
	t := web.ConsoleTable{ID: "clients", Columns: []string{"Name", "Kind", "Client ID", "Registered"}, Next: next, Empty: "There are no clients yet."}
	options := []web.ConsoleOption{{Label: "All kinds"}}
	for _, k := range kinds {
		options = append(options, web.ConsoleOption{Value: k.name, Label: k.title})
	}
	t.Search = &web.ConsoleSearch{To: "/console/clients", Active: search+kind != "", Fields: []web.ConsoleField{
		{Kind: web.FieldSearch, Name: "search", Label: "Name or client ID", Value: search},
		{Kind: web.FieldSelect, Name: "kind", Label: "Kind", Value: kind, Options: options},
	}}
	if t.Search.Active {
		t.Empty = "No client is like that."
	}
	for _, c := range part {
		name := web.ConsoleCell{Text: c.DisplayName(), To: clientPath(c.ClientID)}
		switch {
		case c.Disabled:
			name.Badge = web.ConsoleBadge{Text: "Disabled", Tone: "bad"}
		case c.Unverified():
			name.Badge = web.ConsoleBadge{Text: "Registered itself", Tone: "warn"}
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{name, plain(kindTitle(kindOf(&c))), code(c.ClientID), {At: c.CreatedAt}}})
	}
	p.Parts = []web.ConsolePart{t}
	return v.show(p)
}

// client is the one that the address names.
func (v *visit) client() (idp.Client, error) {
	return v.admin.Client(v.Context(), v.PathValue("client_id"))
}

func askDeleteClient(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.confirmation("/console/clients", "Delete "+c.DisplayName()+"?",
		"Nobody can sign in to it any more, and everything that it was issued stops working at once. Nothing brings it back.", "Delete", clientPath(c.ClientID))
	p.Trail = clientTrail(&c)
	return v.show(p)
}

func clientTrail(c *idp.Client) []web.ConsoleLink {
	return []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}, {Title: c.DisplayName(), To: clientPath(c.ClientID)}}
}

func deleteClient(v *visit) error {
	if err := v.admin.DeleteClient(v.Context(), v.PathValue("client_id")); err != nil {
		return err
	}
	return v.see("/console/clients", "deleted")
}
