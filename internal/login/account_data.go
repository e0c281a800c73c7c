package login

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

func (l *Login) showData(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	// Somebody who wants the account deleted comes here after a sign-in, and an
	// application may wait.
	next := ""
	if flow, ok, err := l.linked(r); ok && err == nil && flow.Request != "" {
		next = r.URL.Query().Get("flow")
	}
	return l.dataPage(w, r, http.StatusOK, v, next, nil)
}

func (l *Login) dataPage(w http.ResponseWriter, r *http.Request, status int, v *visit, next string, usernameProblem *web.Text) error {
	frame, err := l.frame(w, r, v, "data")
	if err != nil {
		return err
	}
	user, rule := v.held.User, l.Own.DeletionRule()
	page := web.DataPage{
		Frame: frame, Deletable: rule.Mode == idp.DeletionRequest || rule.Mode == idp.DeletionSelf,
		Requested: !user.DeletionRequestedAt.IsZero(), DueAt: user.DeletionDueAt, Username: user.Username, UsernameProblem: usernameProblem, Next: next,
	}
	if rule.Mode == idp.DeletionSelf {
		page.Days = max(1, int(rule.After/(24*time.Hour)))
	}
	if !page.DueAt.IsZero() {
		page.DueAt = page.DueAt.In(zone(user))
	}
	l.render(w, r, status, page)
	return nil
}

// takeData gives a person what is stored about them, as a file, or notes that
// they want it deleted.
func (l *Login) takeData(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, func(form url.Values) bool { return form.Get("action") != "keep" })
	if v == nil || err != nil {
		return err
	}
	switch form.Get("action") {
	case "export":
		return l.export(w, r, v)
	case "delete":
		return l.requestDeletion(w, r, form, v)
	case "keep":
		if err := l.Own.KeepAccount(r.Context(), v.held.User, l.from(r, v)); err != nil && !errors.Is(err, idp.ErrNotFound) {
			return err
		}
		if flow, err := l.open(r, form.Get("next")); err == nil {
			return l.goOn(w, r, flow)
		}
		return l.backToPage(w, r, "kept")
	}
	return l.backToPage(w, r, "")
}

func (l *Login) requestDeletion(w http.ResponseWriter, r *http.Request, form url.Values, v *visit) error {
	if !strings.EqualFold(strings.TrimSpace(form.Get("username")), v.held.User.Username) {
		return l.dataPage(w, r, http.StatusUnprocessableEntity, v, "", web.Say("data.delete_username_wrong"))
	}
	due, err := l.Own.RequestDeletion(r.Context(), v.held.User, l.from(r, v))
	switch {
	case errors.Is(err, idp.ErrConflict):
		return l.backToPage(w, r, "changed")
	case err != nil:
		return unknown(err)
	case due.IsZero():
		return l.backToPage(w, r, "deletion")
	}
	l.changeState(w, r)
	l.dropCookie(w, sessionCookie)
	l.render(w, r, http.StatusOK, web.NoticePage{
		Layout: l.layoutFor(r, &v.held.User, ""), Title: web.Say("data.left_title"),
		Message: web.Say("data.left", "day", due.In(zone(v.held.User))), Hint: web.Say("data.left_hint"),
	})
	return nil
}

func (l *Login) export(w http.ResponseWriter, r *http.Request, v *visit) error {
	document, err := l.Own.Export(r.Context(), v.held.User, l.from(r, v))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="account.json"`)
	h.Set("Content-Length", strconv.Itoa(len(document)))
	_, _ = w.Write(document)
	return nil
}
