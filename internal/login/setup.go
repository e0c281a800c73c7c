package login

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// freshness is how recent a sign-in has to be for what could lock its owner
// out, or let somebody else in.
const freshness = 5 * time.Minute

// Enrolments sets second factors up. Implemented by *users.Factors.
type Enrolments interface {
	BeginAuthenticator(user idp.User) (idp.Enrolment, error)
	// ResumeAuthenticator shows the same secret again after a wrong code.
	ResumeAuthenticator(user idp.User, sealed string) (idp.Enrolment, error)
	// ConfirmAuthenticator is idp.ErrFactor for a wrong code.
	ConfirmAuthenticator(ctx context.Context, user idp.User, sealed, name, code string) (idp.Authenticator, error)
	BeginPasskeyRegistration(ctx context.Context, user idp.User, browser []byte) (idp.Ceremony, error)
	// FinishPasskeyRegistration is idp.ErrFactor for whatever was not accepted.
	FinishPasskeyRegistration(ctx context.Context, user idp.User, browser []byte, sealed, name string, response []byte) (idp.Passkey, []idp.Factor, error)
	MakeRecoveryCodes(ctx context.Context, user idp.User) ([]idp.Secret, error)
	PasskeyList
}

// ServeSetup offers the second factors that a person may set up.
func (l *Login) ServeSetup(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showSetup, nil)
}

// ServeSetupAuthenticator sets up an app that shows codes.
func (l *Login) ServeSetupAuthenticator(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showSetupAuthenticator, l.setUpAuthenticator)
}

// ServeSetupRecoveryCodes gives a person codes for emergencies.
func (l *Login) ServeSetupRecoveryCodes(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showSetupRecoveryCodes, l.makeRecoveryCodes)
}

// setup is somebody who may set up a factor: signed in, a moment ago.
type setup struct {
	flow        idp.Flow
	sealed      string
	held        *idp.AuthorizationContext
	interaction idp.Interaction
}

// settingUp finds out who sets something up. It is nil when the browser was
// sent to sign in first.
func (l *Login) settingUp(w http.ResponseWriter, r *http.Request, flow idp.Flow) (*setup, error) {
	held, err := l.visitor(r, clientOf(flow))
	if err != nil {
		return nil, err
	}
	var factors idp.Factors
	if held != nil {
		if factors, err = l.Factors.Of(r.Context(), held.User.ID); err != nil {
			return nil, err
		}
	}
	if held == nil || !l.confirmed(held, &factors) {
		return nil, l.confirmToSetUp(w, r, flow, held, &factors)
	}
	s := &setup{flow: flow, held: held}
	if s.interaction, err = l.describe(r.Context(), flow, held); err != nil {
		s.interaction = idp.Interaction{}
	}
	s.sealed, err = l.Flows.SealFlow(flow)
	return s, err
}

// openSetup is settingUp for whoever opens a page.
func (l *Login) openSetup(w http.ResponseWriter, r *http.Request) (*setup, error) {
	flow, err := l.linkedOrNew(w, r)
	if err != nil {
		return nil, err
	}
	return l.settingUp(w, r, flow)
}

// submittedSetup is settingUp for whoever sends a form, with its fields.
func (l *Login) submittedSetup(w http.ResponseWriter, r *http.Request) (url.Values, *setup, error) {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return nil, nil, err
	}
	s, err := l.settingUp(w, r, flow)
	return form, s, err
}

// confirmToSetUp sends the browser to prove what is missing, and back to the
// page, or to the application that waits, which leads there again.
func (l *Login) confirmToSetUp(w http.ResponseWriter, r *http.Request, flow idp.Flow, held *idp.AuthorizationContext, factors *idp.Factors) error {
	if flow.Request != "" {
		if held != nil && l.reaches(factors, idp.ACRMultiFactor) {
			flow.ACR = idp.ACRMultiFactor
		}
		return l.see(w, r, "/login", flow, url.Values{"prompt": {"login"}})
	}
	flow.RequestedAt = idp.Instant(l.Now())
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	return l.confirm(w, r, held, factors, idp.Flow{Browser: flow.Browser, To: r.URL.Path + "?flow=" + url.QueryEscape(sealed)})
}

// linkedOrNew is linked, and a new flow where the address names none.
func (l *Login) linkedOrNew(w http.ResponseWriter, r *http.Request) (idp.Flow, error) {
	flow, ok, err := l.linked(r)
	if err == nil && !ok {
		flow = idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r)}
	}
	return flow, err
}

func (s *setup) here(path string) string { return path + "?flow=" + url.QueryEscape(s.sealed) }

func (l *Login) showSetup(w http.ResponseWriter, r *http.Request) error {
	s, err := l.openSetup(w, r)
	if s == nil || err != nil {
		return err
	}
	authenticator := s.interaction.ACR == "" || idp.ACRSatisfies(idp.ACRMultiFactor, s.interaction.ACR)
	passkey := l.Factors.PasskeysAvailable()
	if !authenticator && !passkey {
		return &problem{http.StatusForbidden, "access_denied", web.Say("setup.impossible")}
	}
	l.render(w, r, http.StatusOK, web.SetupPage{
		Layout: l.layoutOf(r, s.held, s.here("/setup")), Client: l.clientOnPage(s.interaction.Client),
		Account: accountOnPage(s.held.User), Flow: s.sealed,
		Required: s.interaction.SetUp, Authenticator: authenticator, Passkey: passkey,
	})
	return nil
}

func (l *Login) showSetupAuthenticator(w http.ResponseWriter, r *http.Request) error {
	s, err := l.openSetup(w, r)
	if s == nil || err != nil {
		return err
	}
	enrolment, err := l.Enrolments.BeginAuthenticator(s.held.User)
	if err != nil {
		return err
	}
	return l.authenticatorPage(w, r, http.StatusOK, s, enrolment, "", nil)
}

func (l *Login) authenticatorPage(w http.ResponseWriter, r *http.Request, status int, s *setup, e idp.Enrolment, name string, problem *web.Text) error {
	allowRedirects(w.Header())
	l.render(w, r, status, web.SetupAuthenticatorPage{
		Layout: l.layoutOf(r, s.held, s.here("/setup/authenticator")), Account: accountOnPage(s.held.User), Flow: s.sealed,
		Enrolment: e.Sealed, Secret: e.Secret.Reveal(), Link: template.URL(e.URL.Reveal()), QRSize: e.QR.Size, QRPath: e.QR.Path,
		Name: name, Problem: problem,
	})
	return nil
}

func (l *Login) setUpAuthenticator(w http.ResponseWriter, r *http.Request) error {
	form, s, err := l.submittedSetup(w, r)
	if s == nil || err != nil {
		return err
	}
	name := form.Get("name")
	_, err = l.Enrolments.ConfirmAuthenticator(r.Context(), s.held.User, form.Get("enrolment"), name, form.Get("code"))
	var invalid *idp.InvalidError
	switch {
	case err == nil, errors.Is(err, idp.ErrConflict): // sent twice
		return l.setUp(w, r, s, idp.FactorTOTP)
	case errors.Is(err, idp.ErrFactor):
		return l.enrolAgain(w, r, s, form, web.Say("setup.code_refused"))
	case errors.As(err, &invalid):
		return l.enrolAgain(w, r, s, form, web.Say("setup.name_refused"))
	}
	return err
}

// enrolAgain shows the same secret once more; the app has it already.
func (l *Login) enrolAgain(w http.ResponseWriter, r *http.Request, s *setup, form url.Values, problem *web.Text) error {
	enrolment, err := l.Enrolments.ResumeAuthenticator(s.held.User, form.Get("enrolment"))
	if err != nil {
		return err
	}
	return l.authenticatorPage(w, r, http.StatusUnprocessableEntity, s, enrolment, form.Get("name"), problem)
}

// setUp goes on after a factor was set up, which proves it, too: the session is
// raised, and whoever has no recovery codes is offered some.
func (l *Login) setUp(w http.ResponseWriter, r *http.Request, s *setup, factors ...idp.Factor) error {
	proof := idp.ProofOf(&s.held.Session)
	if _, err := l.startSession(w, r, s.flow, s.held.User, proof.With(proof.At, factors...), s.held); err != nil {
		return err
	}
	has, err := l.Factors.Of(r.Context(), s.held.User.ID)
	if err != nil {
		return err
	}
	if has.RecoveryCodes == 0 {
		return l.see(w, r, "/setup/recovery-codes", s.flow, nil)
	}
	return l.goOn(w, r, s.flow)
}

func (l *Login) showSetupRecoveryCodes(w http.ResponseWriter, r *http.Request) error {
	s, err := l.openSetup(w, r)
	if s == nil || err != nil {
		return err
	}
	has, err := l.Factors.Of(r.Context(), s.held.User.ID)
	if err != nil {
		return err
	}
	l.recoveryCodesPage(w, r, s, web.RecoveryCodesPage{Left: has.RecoveryCodes})
	return nil
}

func (l *Login) recoveryCodesPage(w http.ResponseWriter, r *http.Request, s *setup, page web.RecoveryCodesPage) {
	page.Layout, page.Account, page.Flow = l.layoutOf(r, s.held, ""), accountOnPage(s.held.User), s.sealed
	allowRedirects(w.Header())
	l.render(w, r, http.StatusOK, page)
}

func (l *Login) makeRecoveryCodes(w http.ResponseWriter, r *http.Request) error {
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	switch form.Get("action") {
	case "done":
		return l.goOn(w, r, flow)
	case "download":
		return l.downloadRecoveryCodes(w, r, form.Get("codes"))
	}
	s, err := l.settingUp(w, r, flow)
	if s == nil || err != nil {
		return err
	}
	codes, err := l.Enrolments.MakeRecoveryCodes(r.Context(), s.held.User)
	if err != nil {
		return err
	}
	page := web.RecoveryCodesPage{}
	for _, code := range codes {
		page.Codes = append(page.Codes, code.Reveal())
	}
	l.recoveryCodesPage(w, r, s, page)
	return nil
}

// recoveryCodesForm lets through what codes are made of, and no text of anybody's.
var recoveryCodesForm = regexp.MustCompile(`^[a-z0-9]+([ -][a-z0-9]+){0,99}$`)

// downloadRecoveryCodes gives the codes on the page, which brings them along, as
// a file: they are not known here any more.
func (l *Login) downloadRecoveryCodes(w http.ResponseWriter, r *http.Request, codes string) error {
	if !recoveryCodesForm.MatchString(codes) {
		return badForm(http.StatusBadRequest, "error.form_unreadable")
	}
	held, err := l.visitor(r, "")
	switch {
	case err != nil:
		return err
	case held == nil:
		return errFlowMissing
	}
	about, err := l.Pages.Plain(l.language(r, &held.User), web.Say("recovery_codes.file", "account", held.User.Username, "host", l.host))
	if err != nil {
		return err
	}
	document := about + "\n\n" + strings.ReplaceAll(codes, " ", "\n") + "\n"
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	h.Set("Content-Length", strconv.Itoa(len(document)))
	_, _ = w.Write([]byte(document))
	return nil
}
