package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"idp/internal/admin"
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
		Submit: "Show", To: clientPath(c.ClientID) + "/claims", Fields: []web.ConsoleField{
			{Name: "user", Label: "User name", Value: person, Kind: web.FieldSearch},
			{Name: "audience", Label: "For the API", Value: audience, Kind: web.FieldSelect, Options: options},
		},
	}}
	if person == "" {
		person = v.who.User.ID
	}
	u, err := v.admin.User(v.Context(), person)
	if errors.Is(err, idp.ErrNotFound) {
		p.Parts = []web.ConsolePart{t, web.ConsoleNotice{Tone: "warn", Text: "There is nobody of that name."}}
		return v.show(p)
	}
	if err != nil {
		return err
	}
	p.Parts = []web.ConsolePart{t, web.ConsoleNotice{ID: "shown", Text: "Shown for " + u.DisplayName() + "."}}
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
		ID: "stack", Lead: "The secret is taken from the environment (" + snippets.SecretVariable + "), and stands in none of these.",
		Search: &web.ConsoleSearch{Submit: "Show", To: clientPath(c.ClientID) + "/snippets", Fields: []web.ConsoleField{
			{Name: "stack", Label: "Stack", Kind: web.FieldSelect, Value: s.Stack, Options: options},
		}},
	}}
	p.Parts = append(p.Parts, web.ConsoleNotice{ID: "trap", Text: s.Trap})
	for _, problem := range s.Problems {
		p.Parts = append(p.Parts, web.ConsoleNotice{Tone: "warn", Text: problem})
	}
	for i, f := range s.Files {
		p.Parts = append(p.Parts, web.ConsoleCode{ID: "file-" + string(rune('a'+i)), Title: f.Name, Text: f.Text})
	}
	return v.show(p)
}

// showScore judges the client, and offers to make what is wrong right.
func showScore(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	score, err := v.admin.ScoreClient(v.Context(), c.ClientID)
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "score")
	list := web.ConsoleChecks{
		ID: "findings", Title: "Grade " + score.Grade + ", " + strconv.Itoa(score.Score) + " of 100",
		Lead: "Judged by RFC 9700, OAuth 2.1 and RFC 8252. What is applied is saved at once.",
	}
	for _, f := range score.Findings {
		check := web.ConsoleCheck{Title: f.Sentence, Text: strings.TrimSpace(strings.Join(f.Concerns, " ") + " " + f.Mind), Word: map[admin.Severity]string{
			admin.SeverityHigh: "High", admin.SeverityMedium: "Medium", admin.SeverityLow: "Low", admin.SeverityAdvice: "Advice",
		}[f.Severity]}
		check.Tone = map[admin.Severity]string{admin.SeverityHigh: "bad", admin.SeverityMedium: "warn", admin.SeverityLow: "warn"}[f.Severity]
		check.Text = strings.TrimSpace(check.Text + " " + f.Reference + ".")
		if len(f.Fix) > 0 {
			check.Fix = &web.ConsoleButton{
				Title: "Apply the fix", Label: "Apply the fix: " + f.Sentence, To: clientPath(c.ClientID) + "/score", Fields: []web.Field{{Name: "finding", Value: f.ID}},
			}
		}
		list.Checks = append(list.Checks, check)
	}
	if len(list.Checks) == 0 {
		list.Checks = []web.ConsoleCheck{{Tone: "good", Word: "Good", Title: "There is nothing to do better."}}
	}
	p.Parts = []web.ConsolePart{list}
	return v.show(p)
}

func applyFix(v *visit) error {
	if _, err := v.admin.FixClient(v.Context(), v.PathValue("client_id"), v.form.Get("finding")); err != nil {
		return err
	}
	return v.see(clientPath(v.PathValue("client_id"))+"/score", "saved")
}
