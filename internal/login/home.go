package login

import (
	"net/http"

	"idp/web"
)

// ServeHome leads people to their account, and others to the sign-in.
func (l *Login) ServeHome(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showHome, nil)
}

func (l *Login) showHome(w http.ResponseWriter, r *http.Request) error {
	held, err := l.visitor(r, "")
	if err != nil {
		return err
	}
	if held != nil {
		http.Redirect(w, r, l.base+pathAccount, http.StatusSeeOther)
		return nil
	}
	l.render(w, r, http.StatusOK, web.HomePage{Layout: l.layout(r, nil)})
	return nil
}
