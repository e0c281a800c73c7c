package login

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

func (l *Login) showApplications(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	page := web.ApplicationsPage{}
	if page.Frame, err = l.frame(w, r, v, "applications"); err != nil {
		return err
	}
	consents, err := l.Own.Consents(r.Context(), v.held.User)
	if err != nil {
		return err
	}
	last, err := l.Own.LastGrants(r.Context(), v.held.User)
	if err != nil {
		return err
	}
	place := zone(v.held.User)
	for _, c := range consents {
		a := web.OwnApplication{ID: c.ClientID, GrantedAt: c.GrantedAt.In(place), Offline: slices.Contains(c.Scopes, idp.ScopeOfflineAccess)}
		if at, ok := last[c.ClientID]; ok {
			a.Used, a.LastUsedAt = true, at.In(place)
		}
		client, ok := l.Clients.Client(c.ClientID)
		if !ok { // deleted: what it was called is not known any more
			client = &idp.Client{ClientID: c.ClientID}
		}
		a.Client = *l.clientOnPage(client)
		if a.Client.RemoteLogo {
			a.Client.Logo = "" // there may be many, and each host would learn of the visit
		}
		a.Scopes = l.allowedInWords(c, v.held.User)
		page.Applications = append(page.Applications, a)
	}
	slices.SortFunc(page.Applications, func(a, b web.OwnApplication) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Client.Name), strings.ToLower(b.Client.Name)), strings.Compare(a.ID, b.ID))
	})
	l.render(w, r, http.StatusOK, page)
	return nil
}

// allowedInWords says what an application may do. Offline access is said apart.
func (l *Login) allowedInWords(c idp.Consent, user idp.User) []*web.Text {
	var words []*web.Text
	for _, name := range c.Scopes {
		if name == idp.ScopeOfflineAccess {
			continue
		}
		said := idp.ConsentScope{Name: name}
		for _, audience := range c.Resources {
			resource, ok := l.Resources.Resource(audience)
			if !ok {
				continue
			}
			if s, ok := resource.Scope(name); ok {
				said.Description = s.Description
			}
		}
		label, _ := identityScope(said, user)
		words = append(words, label)
	}
	return words
}

func (l *Login) changeApplications(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, never)
	if v == nil || err != nil {
		return err
	}
	if form.Get("action") != "withdraw" {
		return l.backToPage(w, r, "")
	}
	if err := l.Own.Withdraw(r.Context(), v.held.User, l.from(r, v), form.Get("id")); err != nil {
		return unknown(err)
	}
	return l.backToPage(w, r, "withdrawn")
}
