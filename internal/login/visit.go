package login

import (
	"errors"
	"net/http"
	"net/url"

	"idp/internal/idp"
	"idp/web"
)

// What pages elsewhere need that only people see who are signed in: the same
// session, the same forms, the same errors.

// Enter finds out who is at the page. It is nil when the browser was sent to
// sign in first, from where it comes back.
func (l *Login) Enter(w http.ResponseWriter, r *http.Request) (*idp.Visit, error) {
	l.protect(w.Header())
	held, err := l.visitor(r, "")
	switch {
	case err != nil:
		return nil, err
	case held == nil:
		return nil, l.see(w, r, "/login", idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r), To: to(r)}, nil)
	}
	factors, err := l.Factors.Of(r.Context(), held.User.ID)
	if err != nil {
		return nil, err
	}
	return &idp.Visit{AuthorizationContext: *held, Confirmed: l.confirmed(held, &factors)}, nil
}

// to is where the browser comes back to: the page, and of a form the page that
// it is on.
func to(r *http.Request) string {
	if r.Method == http.MethodPost {
		return r.URL.EscapedPath()
	}
	return r.URL.RequestURI()
}

// Submitted is Enter for a form of ours, with its fields: it was shown in this
// browser, to the person who is signed in now. With files, there may be some
// among the fields.
func (l *Login) Submitted(w http.ResponseWriter, r *http.Request, files bool) (url.Values, *idp.Visit, error) {
	l.protect(w.Header())
	form, flow, err := l.submittedWith(w, r, files)
	if expired, ok := errors.AsType[*expiredFlow](err); ok {
		flow, err = expired.flow, nil // what was typed is good for as long as the session is
	}
	if err != nil {
		return nil, nil, err
	}
	v, err := l.Enter(w, r)
	if v != nil && flow.AccountChosen != v.Session.ID.String() {
		return nil, nil, l.forged(r, errOtherBrowser)
	}
	return form, v, err
}

// Sealed is what forms on the page carry, so that Submitted takes them.
func (l *Login) Sealed(w http.ResponseWriter, r *http.Request, v *idp.Visit) (string, error) {
	return l.Flows.SealFlow(idp.Flow{
		RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r), AccountChosen: v.Session.ID.String(),
	})
}

// Prove sends the browser to prove what is missing, and back to the page. An
// empty demand is for a sign-in of a moment ago, with all that the person has.
func (l *Login) Prove(w http.ResponseWriter, r *http.Request, v *idp.Visit, d idp.Demand) error {
	factors, err := l.Factors.Of(r.Context(), v.User.ID)
	if err != nil {
		return err
	}
	if d == (idp.Demand{}) {
		return l.confirm(w, r, &v.AuthorizationContext, &factors, idp.Flow{To: to(r)})
	}
	return l.see(w, r, "/login", idp.Flow{
		RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r), To: to(r), ACR: d.ACR,
		Fresh: d.MaxAge > 0 && l.Now().Sub(v.Session.AuthTime) > d.MaxAge,
	}, nil)
}

// Page shows a page to somebody. Its address is empty where nobody can return.
func (l *Login) Page(w http.ResponseWriter, r *http.Request, status int, page any) {
	l.protect(w.Header())
	l.render(w, r, status, page)
}

// Layout is what pages for somebody who is signed in have in common.
func (l *Login) Layout(r *http.Request, v *idp.Visit) (web.Layout, web.Account) {
	here := ""
	if r.Method != http.MethodPost {
		here = r.URL.RequestURI()
	}
	return l.layoutOf(r, &v.AuthorizationContext, here), accountOnPage(v.User)
}

// Refuse shows what went wrong before somebody got in.
func (l *Login) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	l.protect(w.Header())
	l.fail(w, r, err)
}
