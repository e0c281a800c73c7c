package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/web"
)

// visit is one request of an administrator, on its way through a page.
type visit struct {
	*http.Request
	w       http.ResponseWriter
	console *Console
	page    page
	who     *idp.Visit
	admin   *admin.Service // within what administrators may do
	form    url.Values     // what was sent; nil for nothing

	// What the page says of the form that was sent.
	status  int
	problem string
	faults  []*idp.InvalidError
	stale   bool // it takes a sign-in of a moment ago
}

// sections are the navigation: the path of each page's section, by its title.
var sections = []web.ConsoleSection{
	{Links: []web.ConsoleLink{{Title: "Home", To: "/console"}}},
	{Title: "Applications", Links: []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}, {Title: "APIs", To: resourcesPath}}},
	{Title: "People", Links: []web.ConsoleLink{{Title: "People", To: usersPath}, {Title: "Groups", To: groupsPath}, {Title: "Roles", To: rolesPath}}},
	{Title: "This server", Links: []web.ConsoleLink{{Title: "Sign-in policy", To: "/console/sign-in-rules"}, {Title: "Signing keys", To: "/console/keys"}, {Title: "Mail", To: "/console/mail"}, {Title: "Look and words", To: "/console/branding"}, {Title: "API access", To: "/console/api-access"}}},
	{Title: "What happened", Links: []web.ConsoleLink{{Title: "Audit", To: "/console/audit"}, {Title: "Why did this fail?", To: "/console/traces"}}},
}

// done are the words of what a form did, by what stands in the address after.
var done = map[string]string{
	"saved":   "Saved.",
	"deleted": "Deleted.",

	"retired": "The key is retired.",
	"rotated": "There are new keys.",
	"ended":   "Ended.",

	"invited":    "The invitation is on its way.",
	"added":      "Added.",
	"removed":    "Removed.",
	"signed-out": "They are signed out there, and what was issued there is dead.",
	"withdrawn":  "Withdrawn. What the application was issued is dead.",
	"factors":    "They have no second factor any more, and their sessions have ended.",
	"locked":     "Locked. Only a new password by a link lets them in.",
	"disabled":   "Disabled. Their sessions and tokens are dead.",
	"enabled":    "Enabled.",
}

// frame is a page of the section, for show.
func (v *visit) frame(section, title string) web.ConsolePage {
	p := web.ConsolePage{Title: title, Problem: v.problem}
	for _, s := range sections {
		links := slices.Clone(s.Links)
		for i := range links {
			links[i].Current = links[i].To == section
		}
		p.Sections = append(p.Sections, web.ConsoleSection{Title: s.Title, Links: links})
	}
	if v.Method != http.MethodPost {
		p.Done = done[v.URL.Query().Get("done")]
	}
	return p
}

// show shows a page, with what is wrong in the form that was sent.
func (v *visit) show(p web.ConsolePage) error {
	p.Layout, p.Person = v.console.Frame.Layout(v.Request, v.who)
	var err error
	if p.Flow, err = v.console.Door.Sealed(v.w, v.Request, v.who); err != nil {
		return err
	}
	if v.stale {
		p.Parts = append([]web.ConsolePart{web.ConsoleNotice{
			ID: "stale", Tone: "warn", Text: "This takes a fresh sign-in. Nothing was done yet, and what you typed is still here: sign in, come back to this tab, and send it again.",
			To: &web.ConsoleLink{Title: "Sign in again", To: "/console/fresh"}, Apart: true,
		}}, p.Parts...)
	}
	v.mark(&p)
	v.console.Frame.Page(v.w, v.Request, v.status, p)
	return nil
}

// mark puts what is wrong next to the fields, and the rest above all.
func (v *visit) mark(p *web.ConsolePage) {
	var rest []string
	for _, fault := range v.faults {
		if !markField(p, fault) {
			rest = append(rest, fault.Field+" "+fault.Reason)
		}
	}
	if len(rest) > 0 {
		p.Problem = strings.TrimSpace(p.Problem + " " + sentence(strings.Join(rest, "; ")))
	}
}

func markField(p *web.ConsolePage, fault *idp.InvalidError) bool {
	for _, part := range p.Parts {
		form, ok := part.(web.ConsoleForm)
		if !ok {
			continue
		}
		for g := range form.Groups {
			for f := range form.Groups[g].Fields {
				if field := &form.Groups[g].Fields[f]; field.Name == fault.Field {
					if field.Problem != "" {
						field.Problem += "; "
					}
					field.Problem += fault.Reason
					return true
				}
			}
		}
	}
	return false
}

// see sends the browser to a page below the issuer, with word of what was done.
func (v *visit) see(path, what string) error {
	layout, _ := v.console.Frame.Layout(v.Request, v.who)
	to := layout.Base + path
	if what != "" {
		to += "?done=" + what
	}
	http.Redirect(v.w, v.Request, to, http.StatusSeeOther)
	return nil
}

// then is see after what may have failed.
func (v *visit) then(err error, path, what string) error {
	if err != nil {
		return err
	}
	return v.see(path, what)
}

// text is what was filled into a field, without white space around it.
func (v *visit) text(name string) string {
	return strings.TrimSpace(strings.ReplaceAll(v.form.Get(name), "\r\n", "\n"))
}

// action is what a form on a page of several is for.
func action(name string) []web.Field { return []web.Field{{Name: "action", Value: name}} }

// must is a field that has to be filled in.
func must(f web.ConsoleField) web.ConsoleField {
	f.Required = true
	return f
}

// typed is what was typed into a field, or what is there before anything was.
func (v *visit) typed(name, there string) string {
	if v.form == nil {
		return there
	}
	return strings.ReplaceAll(v.form.Get(name), "\r\n", "\n")
}

// ticked is typed for a tick.
func (v *visit) ticked(name string, there bool) string {
	if v.form != nil {
		there = v.form.Get(name) != ""
	}
	if there {
		return "on"
	}
	return ""
}

// reads keeps in the audit that the administrator reads about people: whom, if it
// is one person. What cannot be kept must not be shown.
func (v *visit) reads(what, userID string) error {
	return v.console.Reads.Record(v.Context(), v.admin.Read(v.Context(), what, userID))
}

// line, lines, choice and tick are fields with what was typed, or is there.

func (v *visit) line(name, label, hint, there string) web.ConsoleField {
	return web.ConsoleField{Name: name, Label: label, Hint: hint, Value: v.typed(name, there)}
}

func (v *visit) lines(name, label, hint string, there []string) web.ConsoleField {
	return web.ConsoleField{
		Kind: web.FieldLines, Name: name, Label: label, Hint: hint, Value: v.typed(name, strings.Join(there, "\n")), Mono: true, Rows: max(2, len(there)+1),
	}
}

func (v *visit) choice(name, label, hint, there string, options ...web.ConsoleOption) web.ConsoleField {
	return web.ConsoleField{Kind: web.FieldSelect, Name: name, Label: label, Hint: hint, Value: v.typed(name, there), Options: options}
}

func (v *visit) tick(name, label, hint string, there bool) web.ConsoleField {
	return web.ConsoleField{Kind: web.FieldTick, Name: name, Label: label, Hint: hint, Value: v.ticked(name, there)}
}

// ticks is a field of several options, each ticked or not.
func (v *visit) ticks(name, label, hint string, there []string, options ...web.ConsoleOption) web.ConsoleField {
	for i := range options {
		options[i].Chosen = v.ticked(name+"."+options[i].Value, slices.Contains(there, options[i].Value)) != ""
	}
	return web.ConsoleField{Kind: web.FieldTicks, Name: name, Label: label, Hint: hint, Options: options}
}

// list is what was typed into several lines, without empty ones.
func (v *visit) list(name string) []string {
	var list []string
	for line := range strings.Lines(v.form.Get(name)) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// chosen are the options of a field that are ticked, sorted.
func (v *visit) chosen(name string) []string {
	var chosen []string
	for field := range v.form {
		if value, ok := strings.CutPrefix(field, name+"."); ok {
			chosen = append(chosen, value)
		}
	}
	slices.Sort(chosen)
	return chosen
}

// number reads a field of digits; 0 for an empty one.
func (v *visit) number(name string) (int, error) {
	typed := strings.TrimSpace(v.form.Get(name))
	if typed == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(typed)
	if err != nil || n < 0 {
		return 0, idp.Invalid(name, "must be a whole number")
	}
	return n, nil
}

// What tables and facts hold.

func plain(text string) web.ConsoleCell { return web.ConsoleCell{Text: text} }
func code(text string) web.ConsoleCell  { return web.ConsoleCell{Text: text, Code: true} }

func codes(texts []string) []web.ConsoleCell {
	var cells []web.ConsoleCell
	for _, text := range texts {
		cells = append(cells, code(text))
	}
	return cells
}

// pageOf cuts a list that is searched and sorted into pages, of which after is
// the last name before the one that is asked for.
const pageSize = 50

func pageOf[T any](v *visit, path string, all []T, name func(T) string) (part []T, next string) {
	query := v.URL.Query()
	begin := 0
	if after := query.Get("after"); after != "" {
		for begin < len(all) && name(all[begin]) <= after {
			begin++
		}
	}
	end := min(begin+pageSize, len(all))
	if end < len(all) {
		query.Set("after", name(all[end-1]))
		query.Del("done")
		next = path + "?" + query.Encode()
	}
	return all[begin:end], next
}

// matches reports whether one of the texts holds what is searched for.
func matches(search string, texts ...string) bool {
	search = strings.ToLower(strings.TrimSpace(search))
	return search == "" || slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), search) })
}

func showFresh(v *visit) error {
	p := v.frame("", "You are signed in afresh")
	p.Lead = "You can close this tab, go back to the one you came from, and send it again."
	return v.show(p)
}

// confirmation asks whether to do what is dangerous, on the page that does it.
func (v *visit) confirmation(section, title, question, submit, cancel string, fields ...web.ConsoleField) web.ConsolePage {
	p := v.frame(section, title)
	f := web.ConsoleForm{ID: "confirm", Lead: question, To: v.URL.EscapedPath(), Submit: submit, Danger: true, Cancel: cancel}
	if len(fields) > 0 {
		f.Groups = []web.ConsoleGroup{{Fields: fields}}
	}
	p.Parts = []web.ConsolePart{f}
	return p
}
