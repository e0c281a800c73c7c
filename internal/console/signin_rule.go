package console

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// classes are what a sign-in can amount to, as people know it.
var classes = []web.ConsoleOption{
	{Label: "Any sign-in"},
	{Value: idp.ACRPassword, Label: "One factor (1)"},
	{Value: idp.ACRMultiFactor, Label: "Two factors (2)"},
	{Value: idp.ACRPhishingResistant, Label: "A passkey (phr)"},
	{Value: idp.ACRHardwareProtected, Label: "A passkey that stays in its device (phrh)"},
}

func rulePath(name string) string { return "/console/sign-in-rules/" + url.QueryEscape(name) }

func listRules(v *visit) error {
	rules, err := v.admin.SignInRules(v.Context())
	if err != nil {
		return err
	}
	p := v.frame("/console/sign-in-rules", "Sign-in policy")
	p.Lead = "What is asked of people who sign in. A sign-in meets every rule that applies."
	p.Actions = []web.ConsoleLink{{Title: "Add a rule", To: "/console/new-sign-in-rule", Primary: true}}
	t := web.ConsoleTable{
		ID: "rules", Title: "Rules", Columns: []string{"Rule", "For", "At", "Asks for"},
		Empty: "There are no rules: a password is enough, and whoever set up a second factor uses it.",
	}
	for _, r := range rules {
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			{Text: r.Name, To: rulePath(r.Name)}, someOf(r.Groups, "Everybody"), someOf(r.Clients, "All applications"), asks(r),
		}})
	}
	p.Parts = []web.ConsolePart{t, v.settings("Passwords, sessions and accounts",
		[2]string{"Shortest password", "passwords.min_length"}, [2]string{"Passwords that nobody may have", "passwords.denied_file"}, [2]string{"Asked for leaked passwords", "passwords.breach_url"},
		[2]string{"Wrong passwords a minute, of all people", "sign_in.failures_per_minute"},
		[2]string{"A session that nobody uses ends after", "lifetimes.session_idle"}, [2]string{"Any session ends after", "lifetimes.session_absolute"},
		[2]string{"A device is trusted for", "lifetimes.trusted_device"},
		[2]string{"Who makes accounts", "accounts.registration"}, [2]string{"Whose addresses may have one", "accounts.registration_domains"},
		[2]string{"Deleting one's own account", "accounts.deletion"},
	)}
	return v.show(p)
}

// someOf names some things, or all of them.
func someOf(names []string, all string) web.ConsoleCell {
	if len(names) == 0 {
		return plain(all)
	}
	return plain(strings.Join(names, ", "))
}

// asks is what a rule asks for in words.
func asks(r idp.SignInRule) web.ConsoleCell {
	var cell web.ConsoleCell
	for _, c := range classes {
		if c.Value == r.ACR && r.ACR != "" {
			cell.Text = c.Label
		}
	}
	if r.MaxAge > 0 {
		age := "not longer than " + briefly(r.MaxAge) + " ago"
		if cell.Text == "" {
			cell.Text = "A sign-in " + age
		} else {
			cell.Note = age
		}
	}
	return cell
}

// briefly writes seconds as people would: 8h, 1h30m, 90s.
func briefly(seconds int) string {
	text := (time.Duration(seconds) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ruleFields are the fields of a rule, but for its name.
func (v *visit) ruleFields(r idp.SignInRule) ([]web.ConsoleField, error) {
	groups, err := v.admin.Groups(v.Context())
	if err != nil {
		return nil, err
	}
	var options []web.ConsoleOption
	for _, g := range groups {
		options = append(options, web.ConsoleOption{Value: g.Name, Label: g.Name, Hint: g.Description})
	}
	for _, there := range r.Groups { // what is gone can be taken off
		if !slices.ContainsFunc(options, func(o web.ConsoleOption) bool { return o.Value == there }) {
			options = append(options, web.ConsoleOption{Value: there, Label: there})
		}
	}
	age := ""
	if r.MaxAge > 0 {
		age = briefly(r.MaxAge)
	}
	members := v.ticks("groups", "For the members of", "None ticked is for everybody.", r.Groups, options...)
	if len(options) == 0 {
		members.Hint = "There are no groups: the rule is for everybody."
	}
	return []web.ConsoleField{
		members,
		v.lines("clients", "At these applications", "One client ID per line. Empty is for all.", r.Clients),
		v.choice("acr", "It asks for at least", "People who lack what is asked for are led to set it up.", r.ACR, classes...),
		v.line("max_age", "The sign-in is at most this long ago", "Such as 30m or 8h. Empty is for any time.", age),
	}, nil
}

// rule takes a rule out of the form.
func (v *visit) rule(name string) (idp.SignInRule, error) {
	r := idp.SignInRule{Name: name, Groups: v.chosen("groups"), Clients: v.list("clients"), ACR: v.form.Get("acr")}
	if age := strings.TrimSpace(v.form.Get("max_age")); age != "" {
		d, err := time.ParseDuration(age)
		if err != nil || d%time.Second != 0 {
			return r, idp.Invalid("max_age", "must be a time such as 30m or 8h")
		}
		r.MaxAge = int(d / time.Second)
	}
	return r, nil
}

var policyTrail = []web.ConsoleLink{{Title: "Sign-in policy", To: "/console/sign-in-rules"}}

func askNewRule(v *visit) error {
	fields, err := v.ruleFields(idp.SignInRule{})
	if err != nil {
		return err
	}
	name := v.line("name", "Name", "Such as admins.", "")
	name.Required = true
	p := v.frame("/console/sign-in-rules", "Add a sign-in rule")
	p.Trail = policyTrail
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "rule", To: "/console/new-sign-in-rule", Submit: "Add", Cancel: "/console/sign-in-rules",
		Lead:   "It holds from the next sign-in on, and for sessions from before as soon as they are used to sign in somewhere.",
		Groups: []web.ConsoleGroup{{Fields: append([]web.ConsoleField{name}, fields...)}},
	}}
	return v.show(p)
}

func addRule(v *visit) error {
	r, err := v.rule(strings.TrimSpace(v.form.Get("name")))
	if err == nil {
		err = v.admin.CreateSignInRule(v.Context(), r)
	}
	if err != nil {
		return err
	}
	return v.see("/console/sign-in-rules", "saved")
}

func askRule(v *visit) error {
	r, err := v.admin.SignInRule(v.Context(), v.PathValue("rule"))
	if err != nil {
		return err
	}
	fields, err := v.ruleFields(r)
	if err != nil {
		return err
	}
	p := v.frame("/console/sign-in-rules", r.Name)
	p.Trail = policyTrail
	p.Actions = []web.ConsoleLink{{Title: "Delete…", To: rulePath(r.Name) + "/delete", Danger: true}}
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "rule", To: rulePath(r.Name), Submit: "Save", Cancel: "/console/sign-in-rules", Groups: []web.ConsoleGroup{{Fields: fields}},
	}}
	return v.show(p)
}

func saveRule(v *visit) error {
	changed, err := v.rule(v.PathValue("rule"))
	if err != nil {
		return err
	}
	if _, err := v.admin.UpdateSignInRule(v.Context(), changed.Name, func(r *idp.SignInRule) { *r = changed }); err != nil {
		return err
	}
	return v.see("/console/sign-in-rules", "saved")
}

func askDeleteRule(v *visit) error {
	r, err := v.admin.SignInRule(v.Context(), v.PathValue("rule"))
	if err != nil {
		return err
	}
	p := v.confirmation("/console/sign-in-rules", "Delete the rule "+r.Name+"?", "What it asks for is not asked for any more.", "Delete", rulePath(r.Name))
	p.Trail = append(policyTrail[:1:1], web.ConsoleLink{Title: r.Name, To: rulePath(r.Name)})
	return v.show(p)
}

func deleteRule(v *visit) error {
	if err := v.admin.DeleteSignInRule(v.Context(), v.PathValue("rule")); err != nil {
		return err
	}
	return v.see("/console/sign-in-rules", "deleted")
}
