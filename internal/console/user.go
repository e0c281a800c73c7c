package console

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/web"
)

// Attributes know what the operator declared of accounts beyond the standard
// claims. Implemented by *attributes.Schema.
type Attributes interface {
	Declared() []idp.Attribute
	// Parse reads a value as it is typed.
	Parse(name, typed string) (json.RawMessage, error)
}

const usersPath = "/console/users"

// pathOf is the address of one thing below that of all of them.
func pathOf(all, name string) string {
	return all + "/" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

func userPath(u *idp.User) string { return pathOf(usersPath, u.ID) }

// userStates are the states of accounts, in words.
var userStates = []struct {
	state idp.UserState
	badge web.ConsoleBadge
}{
	{idp.UserActive, web.ConsoleBadge{Text: "Active", Tone: "good"}},
	{idp.UserInvited, web.ConsoleBadge{Text: "Invited"}},
	{idp.UserLocked, web.ConsoleBadge{Text: "Locked", Tone: "warn"}},
	{idp.UserDisabled, web.ConsoleBadge{Text: "Disabled", Tone: "bad"}},
}

func stateBadge(state idp.UserState) web.ConsoleBadge {
	for _, s := range userStates {
		if s.state == state {
			return s.badge
		}
	}
	return web.ConsoleBadge{Text: string(state)}
}

// userCells are a person in a list. That somebody can sign in is not worth a
// word there.
func userCells(u *idp.User) []web.ConsoleCell {
	name := web.ConsoleCell{Text: u.DisplayName(), To: userPath(u)}
	switch {
	case u.State != idp.UserActive:
		name.Badge = stateBadge(u.State)
	case !u.DeletionRequestedAt.IsZero():
		name.Badge = web.ConsoleBadge{Text: "Wants to go", Tone: "warn"}
	}
	return []web.ConsoleCell{name, code(u.Username), plain(u.Profile.Email)}
}

func listUsers(v *visit) error {
	p := v.frame(usersPath, "People")
	p.Lead = "Who can sign in."
	p.Actions = []web.ConsoleLink{{Title: "Create an account", To: "/console/new-user"}}
	if v.admin.Invites() {
		p.Actions = append(p.Actions, web.ConsoleLink{Title: "Invite somebody", To: "/console/new-invitation", Primary: true})
	} else {
		p.Actions[0].Primary = true
	}
	query := v.URL.Query()
	search, state := strings.TrimSpace(query.Get("search")), query.Get("state")
	found, err := v.admin.FindUsers(v.Context(), idp.UserFilter{Search: search, State: idp.UserState(state)}, query.Get("after"), pageSize+1)
	if err != nil {
		return err
	}
	t := web.ConsoleTable{ID: "users", Columns: []string{"Name", "User name", "E-mail address", "Since"}, Empty: "There is nobody yet."}
	if len(found) > pageSize {
		found = found[:pageSize]
		query.Set("after", found[pageSize-1].Username)
		query.Del("done")
		t.Next = usersPath + "?" + query.Encode()
	}
	options := []web.ConsoleOption{{Label: "Any state"}}
	for _, s := range userStates {
		options = append(options, web.ConsoleOption{Value: string(s.state), Label: s.badge.Text})
	}
	t.Search = &web.ConsoleSearch{To: usersPath, Active: search+state != "", Fields: []web.ConsoleField{
		{Kind: web.FieldSearch, Name: "search", Label: "Name, user name or e-mail address", Value: search},
		{Kind: web.FieldSelect, Name: "state", Label: "State", Value: state, Options: options},
	}}
	if t.Search.Active {
		t.Empty = "Nobody is like that."
	}
	for _, u := range found {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: append(userCells(&u), web.ConsoleCell{At: u.CreatedAt})})
	}
	p.Parts = []web.ConsolePart{t}
	return v.show(p)
}

// showNewUser asks for what an account begins with. Its password is for the
// person to choose: nobody else should ever have known it.
func showNewUser(v *visit) error {
	p := v.frame(usersPath, "Create an account")
	p.Trail = []web.ConsoleLink{{Title: "People", To: usersPath}}
	p.Lead = "For somebody whom you hand a link, with which they choose their password."
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "user", To: "/console/new-user", Submit: "Create the account", Cancel: usersPath,
		Groups: append([]web.ConsoleGroup{{Fields: []web.ConsoleField{
			must(v.line("username", "User name", "What they sign in with, such as alice.", "")),
			v.line("name", "Name", "", ""),
			v.line("email", "E-mail address", "Where mail goes to.", ""),
			v.tick("email_verified", "The address is known to be theirs", "", false),
		}}}, v.attributeGroup(nil)...),
	}}
	return v.show(p)
}

func createUser(v *visit) error {
	given, err := v.attributes(nil)
	if err != nil {
		return err
	}
	u, err := v.admin.CreateUser(v.Context(), admin.UserInput{
		Username:   strings.TrimSpace(v.form.Get("username")),
		Profile:    idp.Profile{Name: v.text("name"), Email: v.text("email"), EmailVerified: v.form.Get("email_verified") != ""},
		Attributes: given,
	})
	if err != nil {
		return err
	}
	return v.handOver(&u, idp.LinkSetup, "The account is there")
}

func showInvitation(v *visit) error {
	p := v.frame(usersPath, "Invite somebody")
	p.Trail = []web.ConsoleLink{{Title: "People", To: usersPath}}
	p.Lead = "They choose user name, and password or passkey, themselves."
	form := web.ConsoleForm{ID: "invitation", To: "/console/new-invitation", Submit: "Send the invitation", Cancel: usersPath}
	address := must(v.line("email", "E-mail address", "An invitation goes there. Its link is good once, for seven days.", ""))
	if !v.console.SendsMail {
		form.Submit, address.Hint = "Make the invitation", "No mail is sent from here: you are shown a link to hand over, good once, for seven days."
	}
	options, err := groups(v)
	if err != nil {
		return err
	}
	form.Groups = []web.ConsoleGroup{{Fields: []web.ConsoleField{address, v.line("name", "Name", "", "")}}}
	if len(options) > 0 {
		form.Groups = append(form.Groups, web.ConsoleGroup{Fields: []web.ConsoleField{v.ticks("groups", "Groups", "They are in them from the beginning.", nil, options...)}})
	}
	form.Groups = append(form.Groups, v.attributeGroup(nil)...)
	p.Parts = []web.ConsolePart{form}
	return v.show(p)
}

func invite(v *visit) error {
	groups := v.chosen("groups")
	if slices.Contains(groups, idp.AdminGroup) && !v.who.Confirmed {
		return errStale
	}
	given, err := v.attributes(nil)
	if err != nil {
		return err
	}
	u, err := v.admin.CreateInvited(v.Context(), admin.UserInput{
		Profile: idp.Profile{Name: v.text("name"), Email: v.text("email")}, Attributes: given,
	}, groups...)
	if err != nil {
		return err
	}
	return v.inviteAgain(&u)
}

// inviteAgain sends an invitation, or shows its link where no mail is sent.
func (v *visit) inviteAgain(u *idp.User) error {
	if !v.console.SendsMail {
		return v.handOver(u, idp.LinkInvitation, "Invited")
	}
	if err := v.admin.Invite(v.Context(), u.ID, v.who.User.DisplayName()); err != nil {
		return err
	}
	return v.see(userPath(u), "invited")
}

// handOver shows a link to hand to the person, this once.
func (v *visit) handOver(u *idp.User, kind idp.LinkKind, title string) error {
	path, link, err := v.admin.HandOver(v.Context(), u.ID, kind)
	if err != nil {
		return err
	}
	p := v.frame(usersPath, title)
	p.Trail = userTrail(u)
	what := map[idp.LinkKind]string{
		idp.LinkSetup:      "they choose a password",
		idp.LinkReset:      "they choose a new password",
		idp.LinkInvitation: "they take the account over",
	}[kind]
	p.Lead = "Hand this link to " + u.DisplayName() + ", by a way that nobody else reads: with it " + what + "."
	p.Parts = []web.ConsolePart{
		web.ConsoleSecret{
			ID: "link", Title: "The link", Value: v.console.Issuer + string(path),
			Hint: "It works once, until " + link.ExpiresAt.UTC().Format("2 January, 15:04") + " UTC, and is shown this once. A newer one ends it.",
		},
		web.ConsoleText{Links: []web.ConsoleLink{{Title: "Go to the account", To: userPath(u), Primary: true}, {Title: "Back to all people", To: usersPath}}},
	}
	return v.show(p)
}

// user is the person whom the address names: by their identifier, so that each
// has one address.
func (v *visit) user() (idp.User, error) {
	id := v.PathValue("user_id")
	u, err := v.admin.User(v.Context(), id)
	if err == nil && u.ID != id {
		return idp.User{}, errNobody
	}
	return u, err
}

var errNobody = notFound("There is nobody of this identifier.")

func userTrail(u *idp.User) []web.ConsoleLink {
	return []web.ConsoleLink{{Title: "People", To: usersPath}, {Title: u.DisplayName(), To: userPath(u)}}
}

// person is a page about somebody: one of the tabs.
func (v *visit) person(u *idp.User, tab string) web.ConsolePage {
	p := v.frame(usersPath, u.DisplayName())
	p.Trail = userTrail(u)[:1]
	p.Badges = []web.ConsoleBadge{stateBadge(u.State)}
	at := userPath(u)
	for _, t := range []web.ConsoleLink{
		{Title: "Profile", To: at},
		{Title: "Groups and roles", To: at + "/groups"},
		{Title: "Sign-in", To: at + "/sign-in"},
		{Title: "Sessions", To: at + "/sessions"},
		{Title: "Applications", To: at + "/consents"},
		{Title: "Audit", To: at + "/audit"},
	} {
		t.Current = t.To == at+tab
		p.Tabs = append(p.Tabs, t)
	}
	if u.State == idp.UserActive || u.State == idp.UserInvited {
		p.Actions = append(p.Actions, web.ConsoleLink{Title: "Disable", To: at + "/disable"})
	} else {
		p.Actions = append(p.Actions, web.ConsoleLink{Title: "Enable", To: at + "/enable", Primary: true})
	}
	p.Actions = append(p.Actions, web.ConsoleLink{Title: "Delete", To: at + "/delete", Danger: true})
	if !u.DeletionRequestedAt.IsZero() {
		n := web.ConsoleNotice{ID: "deletion", Tone: "warn", Text: "They want their account deleted, and wait for somebody to do it."}
		if !u.DeletionDueAt.IsZero() {
			n.Text = "They want their account deleted. It is, on " + u.DeletionDueAt.UTC().Format("2 January 2006") + ", unless they keep it by signing in."
		}
		p.Parts = append(p.Parts, n)
	}
	return p
}

// claim is a standard claim as a field.
type claim struct {
	name, label, hint string
	of                func(*idp.Profile) *string
}

// claims are those that a form shows: first what most accounts have.
func claims() (usual, further, address []claim) {
	type p = idp.Profile
	place := func(of func(*idp.Address) *string) func(*p) *string {
		return func(p *p) *string {
			if p.Address == nil {
				p.Address = new(idp.Address)
			}
			return of(p.Address)
		}
	}
	return []claim{
		{"name", "Name", "", func(p *p) *string { return &p.Name }},
		{"given_name", "Given name", "", func(p *p) *string { return &p.GivenName }},
		{"family_name", "Family name", "", func(p *p) *string { return &p.FamilyName }},
	}, []claim{
		{"middle_name", "Middle name", "", func(p *p) *string { return &p.MiddleName }},
		{"nickname", "Nickname", "", func(p *p) *string { return &p.Nickname }},
		{"preferred_username", "Preferred user name", "What applications are told; empty is the user name.", func(p *p) *string { return &p.PreferredUsername }},
		{"locale", "Language", "Such as en-US. Mail and pages follow it.", func(p *p) *string { return &p.Locale }},
		{"zoneinfo", "Time zone", "Such as Europe/Paris.", func(p *p) *string { return &p.Zoneinfo }},
		{"birthdate", "Birthdate", "YYYY-MM-DD", func(p *p) *string { return &p.Birthdate }},
		{"gender", "Gender", "", func(p *p) *string { return &p.Gender }},
		{"website", "Website", "", func(p *p) *string { return &p.Website }},
		{"profile", "Profile page", "", func(p *p) *string { return &p.Profile }},
		{"picture", "Address of a picture", "Unless they upload one.", func(p *p) *string { return &p.Picture }},
	}, []claim{
		{"address.street_address", "Street and number", "", place(func(a *idp.Address) *string { return &a.StreetAddress })},
		{"address.postal_code", "Postal code", "", place(func(a *idp.Address) *string { return &a.PostalCode })},
		{"address.locality", "City", "", place(func(a *idp.Address) *string { return &a.Locality })},
		{"address.region", "State or province", "", place(func(a *idp.Address) *string { return &a.Region })},
		{"address.country", "Country", "", place(func(a *idp.Address) *string { return &a.Country })},
	}
}

func showUser(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	p := v.person(&u, "")
	usual, further, address := claims()
	profile := u.Profile
	if profile.Address != nil {
		own := *profile.Address
		profile.Address = &own
	}
	fields := func(claims []claim) (fields []web.ConsoleField) {
		for _, c := range claims {
			fields = append(fields, v.line(c.name, c.label, c.hint, *c.of(&profile)))
		}
		return fields
	}
	first := append([]web.ConsoleField{must(v.line("username", "User name", "What they sign in with.", u.Username))}, fields(usual)...)
	contact := []web.ConsoleField{
		v.line("email", "E-mail address", "", u.Profile.Email),
		v.tick("email_verified", "The address is known to be theirs", "With it they sign in, and get back in.", u.Profile.EmailVerified),
		v.line("phone_number", "Telephone", "Such as +1 604 555 1234.", u.Profile.PhoneNumber),
		v.tick("phone_number_verified", "The number is known to be theirs", "", u.Profile.PhoneNumberVerified),
	}
	form := web.ConsoleForm{
		ID: "profile", To: userPath(&u), Submit: "Save",
		Groups: append([]web.ConsoleGroup{{Fields: first}, {Title: "Mail and telephone", Fields: contact}}, v.attributeGroup(u.Attributes)...),
	}
	form.Groups = append(form.Groups,
		web.ConsoleGroup{Title: "Further claims", Folded: true, Fields: fields(further)},
		web.ConsoleGroup{Title: "Postal address", Folded: true, Fields: fields(address)})
	facts := web.ConsoleFacts{ID: "facts", Facts: []web.ConsoleFact{
		{Name: "Subject identifier", Hint: "How applications know them.", Values: []web.ConsoleCell{code(u.ID)}},
		{Name: "Created", Values: []web.ConsoleCell{{At: u.CreatedAt}}},
		{Name: "Last changed", Values: []web.ConsoleCell{{At: u.UpdatedAt}}},
	}}
	p.Parts = append(p.Parts, form, facts)
	if !u.PictureID.IsZero() {
		p.Parts = append(p.Parts, web.ConsoleForm{ID: "picture", Title: "Picture", Lead: "They uploaded one.", To: userPath(&u), Submit: "Take it away", Hidden: action("remove-picture")})
	}
	return v.show(p)
}

func changeUser(v *visit) error {
	u, err := v.user()
	if err != nil {
		return err
	}
	if v.form.Get("action") == "remove-picture" {
		return v.then(v.admin.RemovePicture(v.Context(), u.ID), userPath(&u), "saved")
	}
	given, err := v.attributes(u.Attributes)
	if err != nil {
		return err
	}
	_, err = v.admin.UpdateUser(v.Context(), u.ID, func(c *admin.UserChange) {
		usual, further, address := claims()
		for _, claim := range slices.Concat(usual, further, address) {
			if v.form.Has(claim.name) {
				*claim.of(&c.Profile) = v.text(claim.name)
			}
		}
		c.Username = v.text("username")
		c.Profile.Email, c.Profile.EmailVerified = v.text("email"), v.form.Get("email_verified") != ""
		c.Profile.PhoneNumber, c.Profile.PhoneNumberVerified = v.text("phone_number"), v.form.Get("phone_number_verified") != ""
		c.Attributes = c.Attributes.With(given)
	})
	return v.then(err, userPath(&u), "saved")
}

const attributePrefix = "attributes."

// attributeGroup holds the attributes that the operator declared, if there are
// any.
func (v *visit) attributeGroup(there idp.Attributes) []web.ConsoleGroup {
	group := web.ConsoleGroup{Title: "Attributes"}
	for _, a := range v.console.Attributes.Declared() {
		value := ""
		if raw, ok := there[a.Name]; ok {
			value = idp.TextOf(raw)
		}
		f := v.line(attributePrefix+a.Name, a.Title("en"), a.Hint, value)
		choices := a.Choices
		switch a.Kind {
		case idp.AttributeBoolean:
			choices = []string{"true", "false"}
		case idp.AttributeInteger:
			f.Kind = web.FieldNumber
		case idp.AttributeJSON:
			f.Kind = web.FieldCode
		}
		if len(choices) > 0 {
			f.Kind, f.Options = web.FieldSelect, []web.ConsoleOption{{Label: "–"}}
			if !slices.Contains(choices, value) && value != "" { // it fits no more, and stays
				f.Options = append(f.Options, web.ConsoleOption{Value: value, Label: value})
			}
			for _, choice := range choices {
				f.Options = append(f.Options, web.ConsoleOption{Value: choice, Label: choice})
			}
		}
		group.Fields = append(group.Fields, f)
	}
	if len(group.Fields) == 0 {
		return nil
	}
	return []web.ConsoleGroup{group}
}

// attributes reads those that were changed in the form: null takes one away.
func (v *visit) attributes(there idp.Attributes) (idp.Attributes, error) {
	changed := idp.Attributes{}
	var faults []error
	for _, a := range v.console.Attributes.Declared() {
		raw, has := there[a.Name]
		typed := v.text(attributePrefix + a.Name)
		switch {
		case !v.form.Has(attributePrefix + a.Name), has && typed == strings.TrimSpace(strings.ReplaceAll(idp.TextOf(raw), "\r\n", "\n")):
		case typed == "" && has:
			changed[a.Name] = json.RawMessage("null")
		case typed != "":
			value, err := v.console.Attributes.Parse(a.Name, typed)
			if err != nil {
				faults = append(faults, err)
			}
			changed[a.Name] = value
		}
	}
	return changed, errors.Join(faults...)
}
