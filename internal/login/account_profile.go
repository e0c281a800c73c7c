package login

import (
	"errors"
	"net/http"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

func (l *Login) showProfile(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	return l.profilePage(w, r, http.StatusOK, v, idp.ChangeOf(v.held.User.Profile), "", nil)
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
	page := web.ProfilePage{Frame: frame, Email: v.held.User.Profile.Email, Locale: c.Locale}
	for _, f := range []web.ProfileField{
		{Claim: "name", Label: web.Say("profile.name"), Value: c.Name, Autocomplete: "name"},
		{Claim: "given_name", Label: web.Say("profile.given_name"), Value: c.GivenName, Autocomplete: "given-name"},
		{Claim: "family_name", Label: web.Say("profile.family_name"), Value: c.FamilyName, Autocomplete: "family-name"},
		{Claim: "nickname", Label: web.Say("profile.nickname"), Value: c.Nickname, Autocomplete: "off"},
		{Claim: "website", Label: web.Say("profile.website"), Hint: web.Say("profile.website_hint"), Value: c.Website, Autocomplete: "off", Left: true},
		{Claim: "birthdate", Label: web.Say("profile.birthdate"), Hint: web.Say("profile.birthdate_hint"), Value: c.Birthdate, Autocomplete: "off", Left: true},
		{Claim: "zoneinfo", Label: web.Say("profile.zoneinfo"), Hint: web.Say("profile.zoneinfo_hint"), Value: c.Zoneinfo, Autocomplete: "off", Left: true},
	} {
		f.Faulty = f.Claim == faulty
		page.Fields = append(page.Fields, f)
	}
	l.render(w, r, status, page)
	return nil
}

func (l *Login) changeProfile(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, never)
	if v == nil || err != nil {
		return err
	}
	// What is not on the form stays, whatever else was sent.
	change := idp.ChangeOf(v.held.User.Profile)
	for claim, to := range map[string]*string{
		"name": &change.Name, "given_name": &change.GivenName, "family_name": &change.FamilyName, "nickname": &change.Nickname,
		"website": &change.Website, "birthdate": &change.Birthdate, "zoneinfo": &change.Zoneinfo, "locale": &change.Locale,
	} {
		if form.Has(claim) {
			*to = strings.TrimSpace(form.Get(claim))
		}
	}
	err = l.Own.SaveProfile(r.Context(), v.held.User, l.from(r, v), change)
	var invalid *idp.InvalidError
	switch {
	case errors.As(err, &invalid):
		return l.profilePage(w, r, http.StatusUnprocessableEntity, v, change, invalid.Field, web.Say("profile.refused"))
	case errors.Is(err, idp.ErrConflict):
		return l.profilePage(w, r, http.StatusConflict, v, idp.ChangeOf(v.held.User.Profile), "", web.Say("own.changed"))
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
