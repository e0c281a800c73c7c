package login

import (
	"net/http"
	"strconv"

	"idp/web"
)

func (l *Login) showData(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	frame, err := l.frame(w, r, v, "data")
	if err != nil {
		return err
	}
	l.render(w, r, http.StatusOK, web.DataPage{Frame: frame})
	return nil
}

// takeData gives a person what is stored about them, as a file.
func (l *Login) takeData(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, always)
	if v == nil || err != nil {
		return err
	}
	if form.Get("action") != "export" {
		return l.backToPage(w, r, "")
	}
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
