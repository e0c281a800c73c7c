package login

import (
	"net/http"

	"idp/web"
)

// ServeHome says who is signed in here.
func (l *Login) ServeHome(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showHome, nil)
}

func (l *Login) showHome(w http.ResponseWriter, r *http.Request) error {
	held, err := l.visitor(r, "")
	if err != nil {
		return err
	}
	page := web.HomePage{Layout: l.layout(r, held)}
	if held != nil {
		account := accountOnPage(held.User)
		page.Account = &account
	}
	l.render(w, r, http.StatusOK, page)
	return nil
}
