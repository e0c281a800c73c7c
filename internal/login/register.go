package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Registration lets people make accounts for themselves. Implemented by
// *users.Accounts.
type Registration interface {
	// Domains are those whose addresses may register; none for all.
	Domains() []string
	// Register says nothing of whether somebody has the address. Its errors are
	// *idp.InvalidError, which names "email" or "domain", idp.ErrThrottled, as
	// those of Authenticator, and idp.ErrUnavailable.
	Register(ctx context.Context, address, language string, from idp.Flow) error
	// CompleteRegistration has the errors of AcceptInvitation.
	CompleteRegistration(ctx context.Context, link string, browser []byte, n idp.Newcomer) (idp.Registered, error)
}

// ServeRegister asks whose address an account is to have.
func (l *Login) ServeRegister(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showRegister, l.register)
}

// ServeNewAccount is where the links lead of people who register.
func (l *Login) ServeNewAccount(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showNewcomer(byRegistration), l.completeRegistration)
}

func (l *Login) showRegister(w http.ResponseWriter, r *http.Request) error {
	flow, err := l.linkedOrNew(w, r)
	if err != nil {
		return err
	}
	interaction, err := l.describe(r.Context(), flow, nil)
	if err != nil {
		return l.decideAgain(w, r, flow, err)
	}
	page := web.RegisterPage{}
	if idp.CheckMailAddress(interaction.LoginHint) == nil {
		page.Email = interaction.LoginHint
	}
	return l.registerPage(w, r, http.StatusOK, flow, interaction, page)
}

func (l *Login) registerPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, interaction idp.Interaction, page web.RegisterPage) error {
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	page.Layout, page.Flow = l.layoutOf(r, nil, "/register?flow="+url.QueryEscape(sealed)), sealed
	page.Client, page.Domains = l.clientOnPage(interaction.Client), strings.Join(l.Registration.Domains(), ", ")
	allowLogo(w.Header(), page.Client)
	l.render(w, r, status, page)
	return nil
}

func (l *Login) register(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	address := strings.TrimSpace(form.Get("email"))
	// Where they were, without anything that was proven on the way.
	from := idp.Flow{
		Request: flow.Request, RequestedAt: flow.RequestedAt, Pushed: flow.Pushed, Signed: flow.Signed, Browser: flow.Browser, To: flow.To,
	}
	err = l.Registration.Register(r.Context(), address, l.language(r, nil), from)
	if err == nil {
		return l.see(w, r, "/register/sent", flow, nil)
	}
	page, status := web.RegisterPage{Email: clip(address, maxUsername)}, http.StatusUnprocessableEntity
	var refused *idp.InvalidError
	switch {
	case errors.As(err, &refused) && refused.Field == "domain":
		_, domain, _ := strings.Cut(page.Email, "@")
		page.EmailProblem = web.Say("register.domain_refused", "domain", domain)
	case errors.As(err, &refused):
		page.EmailProblem = web.Say("register.email_refused")
	case errors.Is(err, idp.ErrThrottled):
		request := idp.RequestFrom(r.Context())
		request.Outcome, request.Cause = "registration_throttled", err
		status, page.Problem = http.StatusTooManyRequests, throttled(w, err)
	default:
		return err
	}
	interaction, err := l.describe(r.Context(), flow, nil)
	if err != nil {
		interaction = idp.Interaction{}
	}
	return l.registerPage(w, r, status, flow, interaction, page)
}

// completeRegistration makes the account. Who is still in the browser in which
// they asked for it goes on to where they were: signed in, for they have just
// proven all that there is to prove. Anybody else signs in.
func (l *Login) completeRegistration(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	proven := idp.Instant(l.Now())
	made, err := l.Registration.CompleteRegistration(r.Context(), flow.Link, flow.Browser, newcomer(form))
	if err != nil {
		return l.newcomerRefused(w, r, flow, byRegistration, form, err)
	}
	from := made.From
	if subtle.ConstantTimeCompare(from.Browser, flow.Browser) != 1 {
		return l.see(w, r, "/register/done", idp.Flow{RequestedAt: proven, Browser: flow.Browser}, nil)
	}
	if from.Pushed == "" { // which ends when it ends
		from.RequestedAt = proven // reading mail takes its time
	}
	proof := &idp.Proof{UserID: made.User.ID}
	return l.enter(w, r, from, made.User, proof.With(proven, made.Factors...), held, nil, time.Time{})
}
