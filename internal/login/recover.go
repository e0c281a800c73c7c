package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

// Recovery lets people back in who forgot their password. Implemented by
// *users.Accounts.
type Recovery interface {
	// Recover says nothing of whether there is such an account. Its errors are
	// idp.ErrThrottled, as those of Authenticator, and idp.ErrUnavailable.
	Recover(ctx context.Context, login string) error
	// ResetPassword is *idp.InvalidError for a password that is not accepted.
	ResetPassword(ctx context.Context, link string, password idp.Secret) (idp.User, error)
	PasswordMinLength() int
}

// Links tells what links that people were sent are good for, and changes
// nothing. Implemented by *users.Accounts.
type Links interface {
	Look(ctx context.Context, link string) (idp.LinkState, error)
}

// ServeRecover asks who wants to get back in.
func (l *Login) ServeRecover(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showRecover, l.recover)
}

// ServeNewPassword is where the links for a new password lead.
func (l *Login) ServeNewPassword(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showNewPassword, l.setNewPassword)
}

// ServeOutcome says how something ended that was about a link.
func (l *Login) ServeOutcome(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showOutcome, nil)
}

func (l *Login) showRecover(w http.ResponseWriter, r *http.Request) error {
	flow, err := l.linkedOrNew(w, r)
	if err != nil {
		return err
	}
	return l.recoverPage(w, r, http.StatusOK, flow, web.RecoverPage{})
}

func (l *Login) recoverPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, page web.RecoverPage) error {
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	page.Layout, page.Flow = l.layoutOf(r, nil, "/recover?flow="+url.QueryEscape(sealed)), sealed
	l.render(w, r, status, page)
	return nil
}

func (l *Login) recover(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	username := strings.TrimSpace(form.Get("username"))
	switch {
	case username == "":
		return l.recoverPage(w, r, http.StatusUnprocessableEntity, flow, web.RecoverPage{Problem: web.Say("login.username_missing")})
	case !acceptable(username):
		return l.recoverPage(w, r, http.StatusBadRequest, flow, web.RecoverPage{Problem: web.Say("login.username_unusable", "count", maxUsername)})
	}
	err = l.Accounts.Recover(r.Context(), username)
	if errors.Is(err, idp.ErrThrottled) {
		request := idp.RequestFrom(r.Context())
		request.Outcome, request.Cause = "recovery_throttled", err
		return l.recoverPage(w, r, http.StatusTooManyRequests, flow, web.RecoverPage{Username: username, Problem: throttled(w, err)})
	}
	if err != nil {
		return err
	}
	return l.see(w, r, "/recover/sent", flow, nil)
}

// opened returns the flow of a page that somebody came to by a link. The link's
// secret leaves the address before anything is shown: the flow is nil when the
// browser was sent on.
func (l *Login) opened(w http.ResponseWriter, r *http.Request, page string) (*idp.Flow, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["link"]) > 1 {
		return nil, idp.ErrMalformed
	}
	if query.Has("link") {
		flow := idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r), Link: clip(query.Get("link"), maxLink)}
		return nil, l.see(w, r, page, flow, nil)
	}
	flow, _, err := l.linked(r)
	if err != nil {
		return nil, err
	}
	return &flow, nil
}

// maxLink is longer than any link's secret, in bytes.
const maxLink = 128

// deadLink is the one page for a link that does not work, whatever is wrong
// with it. next is where the person goes from there.
func (l *Login) deadLink(w http.ResponseWriter, r *http.Request, err error, message *web.Text, next string, nextText *web.Text) error {
	if !errors.Is(err, idp.ErrAlreadyUsed) && !errors.Is(err, idp.ErrExpired) && !errors.Is(err, idp.ErrNotFound) && !errors.Is(err, idp.ErrMalformed) {
		return err
	}
	request := idp.RequestFrom(r.Context())
	request.Outcome, request.Cause = "link_refused", err
	l.render(w, r, http.StatusGone, web.NoticePage{
		Layout: l.layoutOf(r, nil, ""), Title: web.Say("link.dead_title"), Message: message, Problem: true,
		Next: l.base + next, NextText: nextText,
	})
	return nil
}

// deadAccountLink is the page for a link of somebody who has an account.
func (l *Login) deadAccountLink(w http.ResponseWriter, r *http.Request, err error) error {
	return l.deadLink(w, r, err, web.Say("link.dead"), "/recover", web.Say("link.again"))
}

func (l *Login) showNewPassword(w http.ResponseWriter, r *http.Request) error {
	flow, err := l.opened(w, r, "/recover/password")
	if flow == nil || err != nil {
		return err
	}
	return l.newPasswordPage(w, r, http.StatusOK, *flow, nil)
}

func (l *Login) newPasswordPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, problem *web.Text) error {
	state, err := l.Accounts.Look(r.Context(), flow.Link)
	if err == nil && state.Link.Kind != idp.LinkReset && state.Link.Kind != idp.LinkSetup {
		err = idp.ErrMalformed
	}
	if err != nil {
		return l.deadAccountLink(w, r, err)
	}
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	l.render(w, r, status, web.NewPasswordPage{
		Layout: l.layoutFor(r, &state.User, "/recover/password?flow="+url.QueryEscape(sealed)), Flow: sealed,
		Username: state.User.Username, MinLength: l.Accounts.PasswordMinLength(), Problem: problem,
	})
	return nil
}

func (l *Login) setNewPassword(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	_, err = l.Accounts.ResetPassword(r.Context(), flow.Link, idp.Secret(form.Get("password")))
	var refused *idp.InvalidError
	switch {
	case err == nil:
		return l.see(w, r, "/recover/done", idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: flow.Browser}, nil)
	case errors.As(err, &refused):
		return l.newPasswordPage(w, r, http.StatusUnprocessableEntity, flow, passwordRefused(refused))
	case errors.Is(err, idp.ErrThrottled):
		return l.newPasswordPage(w, r, http.StatusTooManyRequests, flow, throttled(w, err))
	}
	return l.deadAccountLink(w, r, err)
}

// showOutcome shows what the path names. Nothing happens here, so anybody may
// look.
func (l *Login) showOutcome(w http.ResponseWriter, r *http.Request) error {
	flow, err := l.linkedOrNew(w, r)
	if err != nil {
		return err
	}
	next, nextText := "/login", web.Say("outcome.sign_in")
	var title, message, hint *web.Text
	switch r.URL.Path {
	case "/recover/sent":
		title, message = web.Say("recover.sent_title"), web.Say("recover.sent", "count", int(idp.LinkReset.Life().Minutes()))
		hint, nextText = web.Say("recover.sent_hint"), web.Say("recover.back")
	case "/recover/done":
		title, message = web.Say("recover.done_title"), web.Say("recover.done")
	case "/invitation/done":
		title, message = web.Say("invitation.done_title"), web.Say("invitation.done")
	case "/register/sent":
		title, message = web.Say("recover.sent_title"), web.Say("register.sent", "count", int(idp.LinkRegistration.Life().Hours()))
		hint, nextText = web.Say("register.sent_hint"), web.Say("recover.back")
	case "/register/done":
		title, message = web.Say("invitation.done_title"), web.Say("register.done")
	case "/verify/done":
		title, message = web.Say("verify.done_title"), web.Say("verify.done")
		next, nextText = "/", web.Say("outcome.go_on")
	case "/verify/undone":
		title, message = web.Say("undo.done_title"), web.Say("undo.done")
		next, nextText = "/recover", web.Say("undo.next")
	default:
		return idp.ErrNotFound
	}
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	page := web.NoticePage{
		Layout: l.layoutOf(r, nil, r.URL.Path+"?flow="+url.QueryEscape(sealed)), Title: title, Message: message, Hint: hint,
		Next: l.base + next, NextText: nextText,
	}
	if next != "/" {
		page.Next += "?flow=" + url.QueryEscape(sealed)
	}
	l.render(w, r, http.StatusOK, page)
	return nil
}

// ServeChangePassword leads password managers to where a password is changed (A
// Well-Known URL for Changing Passwords).
func (l *Login) ServeChangePassword(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, l.base+pathSecurity+"#password", http.StatusSeeOther)
		return nil
	}, nil)
}
