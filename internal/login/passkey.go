package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"idp/internal/idp"
	"idp/web"
)

// Passkeys asks browsers for passkeys. Implemented by *users.Factors.
type Passkeys interface {
	PasskeysAvailable() bool
	BeginPasskeySignIn(ctx context.Context, r idp.PasskeyRequest) (idp.Ceremony, error)
	// FinishPasskeySignIn is idp.ErrFactor for whatever was not accepted.
	FinishPasskeySignIn(ctx context.Context, browser []byte, sealed string, response []byte) (idp.User, []idp.Factor, error)
}

// The fields in which a form takes a passkey's answer.
const (
	passkeyState    = "passkey_state"
	passkeyResponse = "passkey_response"
)

// passkeyRequest asks for a passkey of the user whose password was right, or,
// for no user, for any that says who checked its owner.
func (l *Login) passkeyRequest(r *http.Request, flow idp.Flow, userID string) (*web.Passkey, error) {
	ceremony, err := l.Factors.BeginPasskeySignIn(r.Context(), idp.PasskeyRequest{
		Browser: flow.Browser, UserID: userID, Verification: userID == "",
	})
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &web.Passkey{Options: string(ceremony.Options), State: ceremony.Sealed}, nil
}

// finishPasskey returns whose passkey answered, and what that has proven.
func (l *Login) finishPasskey(ctx context.Context, flow idp.Flow, form url.Values) (idp.User, []idp.Factor, error) {
	return l.Factors.FinishPasskeySignIn(ctx, flow.Browser, form.Get(passkeyState), []byte(form.Get(passkeyResponse)))
}

// signInByPasskey is the sign-in of somebody who typed nothing.
func (l *Login) signInByPasskey(w http.ResponseWriter, r *http.Request, flow idp.Flow, form url.Values, held *idp.AuthorizationContext) error {
	proven := idp.Instant(l.Now())
	user, factors, err := l.finishPasskey(r.Context(), flow, form)
	switch {
	case errors.Is(err, idp.ErrFactor):
		request := idp.RequestFrom(r.Context())
		request.Outcome, request.Cause = "login_failed", err
		return l.askAgain(w, r, http.StatusUnprocessableEntity, flow, held, web.LoginPage{Problem: web.Say("passkey.refused")})
	case err != nil:
		return err
	}
	idp.Pass(r.Context(), idp.RuleFactorCorrect)
	proof := &idp.Proof{UserID: user.ID}
	return l.proved(w, r, flow, user, proof.With(proven, factors...), held)
}

// ServeSetupPasskey registers a passkey.
func (l *Login) ServeSetupPasskey(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showSetupPasskey, l.setUpPasskey)
}

func (l *Login) showSetupPasskey(w http.ResponseWriter, r *http.Request) error {
	s, err := l.openSetup(w, r)
	if s == nil || err != nil {
		return err
	}
	return l.setupPasskeyPage(w, r, http.StatusOK, s, "", nil)
}

func (l *Login) setupPasskeyPage(w http.ResponseWriter, r *http.Request, status int, s *setup, name string, problem *web.Text) error {
	ceremony, err := l.Enrolments.BeginPasskeyRegistration(r.Context(), s.held.User, s.flow.Browser)
	if err != nil {
		return err
	}
	allowRedirects(w.Header())
	l.render(w, r, status, web.SetupPasskeyPage{
		Layout: l.layoutOf(r, s.held, s.here("/setup/passkey")), Account: accountOnPage(s.held.User), Flow: s.sealed,
		Passkey: web.Passkey{Options: string(ceremony.Options), State: ceremony.Sealed}, Name: name, Problem: problem,
	})
	return nil
}

func (l *Login) setUpPasskey(w http.ResponseWriter, r *http.Request) error {
	form, s, err := l.submittedSetup(w, r)
	if s == nil || err != nil {
		return err
	}
	name := form.Get("name")
	_, factors, err := l.Enrolments.FinishPasskeyRegistration(r.Context(), s.held.User, s.flow.Browser,
		form.Get(passkeyState), name, []byte(form.Get(passkeyResponse)))
	var invalid *idp.InvalidError
	switch {
	case errors.Is(err, idp.ErrFactor):
		return l.setupPasskeyPage(w, r, http.StatusUnprocessableEntity, s, name, web.Say("passkey.refused"))
	case errors.As(err, &invalid):
		return l.setupPasskeyPage(w, r, http.StatusUnprocessableEntity, s, name, web.Say("setup.name_refused"))
	case err != nil:
		return err
	}
	return l.setUp(w, r, s, factors...)
}
