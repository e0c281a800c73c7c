package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"idp/internal/idp"
	"idp/internal/snippets"
	"idp/web"
)

// showClaims shows what the client would be told of a person.
func showClaims(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "claims")
	query := v.URL.Query()
	person, audience := strings.TrimSpace(query.Get("user")), query.Get("audience")
	if !query.Has("audience") && len(c.Audience) > 0 {
		audience = c.Audience[0]
	}
	options := []web.ConsoleOption{{Label: "None"}}
	for _, a := range c.Audience {
		options = append(options, web.ConsoleOption{Value: a, Label: a})
	}
	t := web.ConsoleTable{ID: "person", Lead: "What it would be told of somebody who signs in and allows everything. Nothing is issued by looking.", Search: &web.ConsoleSearch{
		To: clientPath(c.ClientID) + "/claims", Fields: []web.ConsoleField{
			{Name: "user", Label: "User name", Value: person, Kind: web.FieldSearch},
			{Name: "audience", Label: "For the API", Value: audience, Kind: web.FieldSelect, Options: options},
		},
	}}
	if person == "" {
		person = v.who.User.ID
		t.Empty = "Shown for yourself."
	}
	u, err := v.admin.User(v.Context(), person)
	if errors.Is(err, idp.ErrNotFound) {
		t.Empty = "There is nobody of that name."
		p.Parts = []web.ConsolePart{t}
		return v.show(p)
	}
	if err != nil {
		return err
	}
	if t.Empty == "" {
		t.Empty = "Shown for " + u.DisplayName() + "."
	}
	p.Parts = []web.ConsolePart{t}
	m, err := v.admin.Memberships(v.Context(), u.ID)
	if err != nil {
		return err
	}
	warn := func(text string) {
		p.Parts = append(p.Parts, web.ConsoleNotice{Tone: "warn", Text: text})
	}
	if u.State != idp.UserActive {
		warn("The account is " + string(u.State) + ": nobody can sign in with it now.")
	}
	if len(c.AllowedGroups) > 0 && !slices.ContainsFunc(c.AllowedGroups, func(g string) bool { return slices.Contains(m.Groups, g) }) {
		warn("The person is in none of the groups that may sign in to it (" + strings.Join(c.AllowedGroups, ", ") + "): the sign-in would be refused.")
	}
	preview, err := v.console.Preview.Preview(v.Context(), c.ClientID, audience, u, m)
	if err != nil {
		return err
	}
	if len(preview.Withheld) > 0 {
		warn("For want of a role the person would not be given: " + strings.Join(preview.Withheld, " "))
	}
	show := func(id, title, lead string, claims json.RawMessage) {
		if claims == nil {
			return
		}
		var text bytes.Buffer
		if json.Indent(&text, claims, "", "  ") == nil {
			p.Parts = append(p.Parts, web.ConsoleCode{ID: id, Title: title, Lead: lead, Text: text.String()})
		}
	}
	show("id-token", "ID token", "", preview.IDToken)
	lead := ""
	if preview.Opaque {
		lead = "It is opaque: the client sees nothing of it, and introspection tells this."
	}
	show("access-token", "Access token", lead, preview.AccessToken)
	show("userinfo", "Userinfo", "", preview.Userinfo)
	return v.show(p)
}

// showSnippets shows what the client's developers paste into the stack that they
// use: one of those that suit it.
func showSnippets(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	apis, err := v.admin.Resources(v.Context())
	if err != nil {
		return err
	}
	all := snippets.For(v.console.Issuer, &c, apis)
	p := v.clientPage(&c, "snippets")
	if len(all) == 0 {
		p.Parts = []web.ConsolePart{web.ConsoleNotice{Text: "There is no text for a client like this one."}}
		return v.show(p)
	}
	wanted := v.URL.Query().Get("stack")
	chosen := max(0, slices.IndexFunc(all, func(s snippets.Snippet) bool { return s.Stack == wanted }))
	var options []web.ConsoleOption
	for _, s := range all {
		options = append(options, web.ConsoleOption{Value: s.Stack, Label: s.Title + " – " + strings.ToLower(string(s.Use))})
	}
	s := all[chosen]
	p.Parts = []web.ConsolePart{web.ConsoleTable{
		ID: "stack", Lead: "The secret is taken from the environment (" + snippets.SecretVariable + "), and stands in none of these.", Empty: s.Trap,
		Search: &web.ConsoleSearch{To: clientPath(c.ClientID) + "/snippets", Fields: []web.ConsoleField{
			{Name: "stack", Label: "Stack", Kind: web.FieldSelect, Value: s.Stack, Options: options},
		}},
	}}
	for _, problem := range s.Problems {
		p.Parts = append(p.Parts, web.ConsoleNotice{Tone: "warn", Text: problem})
	}
	for i, f := range s.Files {
		p.Parts = append(p.Parts, web.ConsoleCode{ID: "file-" + string(rune('a'+i)), Title: f.Name, Text: f.Text})
	}
	return v.show(p)
}
