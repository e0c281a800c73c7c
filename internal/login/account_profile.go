package login

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

func (l *Login) showProfile(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	return l.profilePage(w, r, http.StatusOK, v, idp.ChangeOf(v.held.User), "", nil)
}

// profilePage shows what the person has typed, or what is there. faulty is the
// claim that could not be used.
func (l *Login) profilePage(w http.ResponseWriter, r *http.Request, status int, v *visit, c idp.ProfileChange, faulty string, problem *web.Text) error {
	frame, err := l.frame(w, r, v, "overview")
	if err != nil {
		return err
	}
	if problem != nil {
		frame.Problem = problem
	}
	page := web.ProfilePage{Frame: frame, Email: v.held.User.Profile.Email, Locale: c.Locale, PictureFaulty: faulty == "picture"}
	if id := v.held.User.PictureID; !id.IsZero() {
		page.Picture = l.base + "/pictures/" + id.String()
	}
	for _, f := range []web.ProfileField{
		{Claim: "name", Label: web.Say("profile.name"), Value: c.Name, Autocomplete: "name"},
		{Claim: "given_name", Label: web.Say("profile.given_name"), Value: c.GivenName, Autocomplete: "given-name"},
		{Claim: "family_name", Label: web.Say("profile.family_name"), Value: c.FamilyName, Autocomplete: "family-name"},
		{Claim: "nickname", Label: web.Say("profile.nickname"), Value: c.Nickname, Autocomplete: "off"},
		{Claim: "website", Label: web.Say("profile.website"), Hint: web.Say("profile.website_hint"), Value: c.Website, Autocomplete: "off", Left: true},
		{Claim: "birthdate", Label: web.Say("profile.birthdate"), Hint: web.Say("profile.birthdate_hint"), Value: c.Birthdate, Autocomplete: "off", Left: true},
		{Claim: "zoneinfo", Label: web.Say("profile.zoneinfo"), Hint: web.Say("profile.zoneinfo_hint"), Value: c.Zoneinfo, Autocomplete: "off", Left: true},
	} {
		f.Faulty, f.Limit = f.Claim == faulty, idp.MaxName
		page.Fields = append(page.Fields, f)
	}
	l.addAttributes(r, v, c.Attributes, faulty, &page)
	l.render(w, r, status, page)
	return nil
}

// attributePrefix is before the names of attributes in the form.
const attributePrefix = "attributes."

// addAttributes puts what the operator declared on the page.
func (l *Login) addAttributes(r *http.Request, v *visit, typed map[string]string, faulty string, page *web.ProfilePage) {
	language := l.language(r, &v.held.User)
	for _, a := range l.Attributes.Declared() {
		label := web.Verbatim(a.Title(language))
		if !a.Own {
			if value, ok := v.held.User.Attributes[a.Name]; ok {
				page.Kept = append(page.Kept, web.KeptAttribute{Label: label, Value: attributeInWords(a, idp.TextOf(value))})
			}
			continue
		}
		f := web.ProfileField{Claim: attributePrefix + a.Name, Label: label, Value: typed[a.Name], Autocomplete: "off"}
		f.Faulty = f.Claim == faulty
		if a.Hint != "" {
			f.Hint = web.Verbatim(a.Hint)
		}
		choices := a.Choices
		switch a.Kind {
		case idp.AttributeBoolean:
			choices = []string{"true", "false"}
		case idp.AttributeInteger:
			f.Mode, f.Left = "numeric", true
		case idp.AttributeNumber:
			f.Mode, f.Left = "decimal", true
		case idp.AttributeDate:
			// What is there and is no date would not be shown, and lost.
			if _, err := time.Parse(time.DateOnly, f.Value); err == nil || f.Value == "" {
				f.Type = "date"
			}
			f.Left = true
		}
		if len(choices) > 0 {
			f.Choices = []web.Choice{{Label: web.Say("profile.not_set")}}
			for _, choice := range choices {
				f.Choices = append(f.Choices, web.Choice{Value: choice, Label: attributeInWords(a, choice)})
			}
		}
		page.Attributes = append(page.Attributes, f)
	}
}

// attributeInWords is a value as people read it.
func attributeInWords(a idp.Attribute, text string) *web.Text {
	switch {
	case a.Kind == idp.AttributeBoolean && text == "true":
		return web.Say("profile.yes")
	case a.Kind == idp.AttributeBoolean && text == "false":
		return web.Say("profile.no")
	}
	return web.Verbatim(text)
}

func (l *Login) changeProfile(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, never)
	if v == nil || err != nil {
		return err
	}
	// What is not on the form stays, whatever else was sent.
	change := idp.ChangeOf(v.held.User)
	for claim, to := range map[string]*string{
		"name": &change.Name, "given_name": &change.GivenName, "family_name": &change.FamilyName, "nickname": &change.Nickname,
		"website": &change.Website, "birthdate": &change.Birthdate, "zoneinfo": &change.Zoneinfo, "locale": &change.Locale,
	} {
		if form.Has(claim) {
			*to = strings.TrimSpace(form.Get(claim))
		}
	}
	for name, values := range form {
		if attribute, ok := strings.CutPrefix(name, attributePrefix); ok {
			change.Attributes[attribute] = strings.TrimSpace(values[0])
		}
	}
	err = l.Own.SaveProfile(r.Context(), v.held.User, l.from(r, v), change)
	var invalid *idp.InvalidError
	switch {
	case errors.As(err, &invalid):
		return l.profilePage(w, r, http.StatusUnprocessableEntity, v, change, invalid.Field, web.Say("profile.refused"))
	case errors.Is(err, idp.ErrConflict):
		return l.profilePage(w, r, http.StatusConflict, v, idp.ChangeOf(v.held.User), "", web.Say("own.changed"))
	case err != nil:
		return err
	}
	if change.Locale != v.held.User.Profile.Locale {
		if err := l.followProfile(w, r, v.held.User); err != nil {
			return err
		}
	}
	return l.backToPage(w, r, "saved")
}
