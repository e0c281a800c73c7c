package login

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"idp/internal/idp"
	"idp/web"
)

func (l *Login) showSessions(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	page := web.SessionsPage{}
	if page.Frame, err = l.frame(w, r, v, "sessions"); err != nil {
		return err
	}
	place := zone(v.held.User)
	sessions, err := l.Own.Sessions(r.Context(), v.held.User)
	if err != nil {
		return err
	}
	current := func(s idp.Session) int {
		if s.ID == v.held.Session.ID {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(sessions, func(a, b idp.Session) int {
		return cmp.Or(cmp.Compare(current(a), current(b)), b.LastSeenAt.Compare(a.LastSeenAt))
	})
	for _, s := range sessions {
		page.Sessions = append(page.Sessions, web.OwnSession{
			ID: s.ID.String(), Browser: deviceInWords(s.UserAgent), Address: s.RemoteAddr, Current: current(s) == 0,
			CreatedAt: s.CreatedAt.In(place), LastSeenAt: s.LastSeenAt.In(place),
		})
	}
	page.Others = len(page.Sessions) > 1
	devices, err := l.Own.TrustedDevices(r.Context(), v.held.User)
	if err != nil {
		return err
	}
	for _, d := range devices {
		page.Devices = append(page.Devices, web.OwnDevice{
			ID: d.ID.String(), Browser: deviceInWords(d.UserAgent), Address: d.RemoteAddr,
			LastSeenAt: d.LastSeenAt.In(place), TrustedUntil: d.TrustedUntil.In(place),
		})
	}
	l.render(w, r, http.StatusOK, page)
	return nil
}

func (l *Login) changeSessions(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, func(form url.Values) bool { return form.Get("action") == "end-others" })
	if v == nil || err != nil {
		return err
	}
	from := l.from(r, v)
	switch form.Get("action") {
	case "end-others":
		if err := l.Own.EndOtherSessions(r.Context(), v.held.User, from); err != nil {
			return err
		}
		return l.backToPage(w, r, "others")
	case "end":
		id, err := idOf(form)
		if err != nil {
			return err
		}
		if id == v.held.Session.ID { // that is signing out, with all that belongs to it
			http.Redirect(w, r, l.base+"/logout", http.StatusSeeOther)
			return nil
		}
		if err := l.Own.EndSession(r.Context(), v.held.User, from, id); err != nil {
			return unknown(err)
		}
		return l.backToPage(w, r, "ended")
	case "distrust":
		id, err := idOf(form)
		if err != nil {
			return err
		}
		if err := l.Own.Distrust(r.Context(), v.held.User, from, id); err != nil {
			return unknown(err)
		}
		return l.backToPage(w, r, "distrusted")
	}
	return l.backToPage(w, r, "")
}
