package login

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"idp/internal/idp"
	"idp/web"
)

func (l *Login) showSecurity(w http.ResponseWriter, r *http.Request) error {
	v, err := l.visiting(w, r)
	if v == nil || err != nil {
		return err
	}
	page := web.SecurityPage{}
	if r.URL.Query().Get("done") == "passkey-removed" {
		if page.Accepted, err = l.acceptedPasskeys(r.Context(), v.held.User.ID); err != nil {
			return err
		}
	}
	return l.securityPage(w, r, http.StatusOK, v, page)
}

// acceptedPasskeys is what the browser is told after a removal, so that it
// offers no passkey that is worthless.
func (l *Login) acceptedPasskeys(ctx context.Context, userID string) (string, error) {
	if !l.Factors.PasskeysAvailable() {
		return "", nil
	}
	accepted, err := l.Enrolments.AcceptedPasskeys(ctx, userID)
	return string(accepted), err
}

func (l *Login) securityPage(w http.ResponseWriter, r *http.Request, status int, v *visit, page web.SecurityPage) error {
	problem := page.Problem
	var err error
	if page.Frame, err = l.frame(w, r, v, "security"); err != nil {
		return err
	}
	if problem != nil {
		page.Problem = problem
	}
	user, place := v.held.User, zone(v.held.User)
	page.Username, page.HasPassword, page.MinPassword = user.Username, user.PasswordHash != "", l.Own.MinPassword()
	page.PasskeysAvailable, page.RecoveryCodes = l.Factors.PasskeysAvailable(), v.factors.RecoveryCodes
	// Whoever comes from here to set something up comes back here.
	if page.SetupFlow, err = l.Flows.SealFlow(idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: v.browser, To: pathSecurity}); err != nil {
		return err
	}
	for _, p := range v.factors.Passkeys {
		page.Passkeys = append(page.Passkeys, web.OwnFactor{
			ID: base64.RawURLEncoding.EncodeToString(p.ID), Name: p.Name, Provider: l.Own.PasskeyProvider(p), Synced: p.BackupState,
			CreatedAt: p.CreatedAt.In(place), LastUsedAt: p.LastUsedAt.In(place), Used: !p.LastUsedAt.IsZero(),
		})
	}
	for _, a := range v.factors.Authenticators {
		page.Authenticators = append(page.Authenticators, web.OwnFactor{
			ID: a.ID.String(), Name: a.Name, CreatedAt: a.CreatedAt.In(place), LastUsedAt: a.LastUsedAt.In(place), Used: !a.LastUsedAt.IsZero(),
		})
	}
	events, err := l.Own.RecentEvents(r.Context(), user)
	if err != nil {
		return err
	}
	for i, e := range events {
		if what := l.inWords(e); what != nil && !raised(e, events[i+1:]) {
			page.Events = append(page.Events, web.OwnEvent{What: what, At: e.At.In(place), Address: e.RemoteAddr})
		}
	}
	l.render(w, r, status, page)
	return nil
}

// raised reports whether the event tells of a sign-in that older ones tell of,
// too: its session was only raised.
func raised(e idp.Event, older []idp.Event) bool {
	return e.Kind == idp.EventLoginSucceeded && slices.ContainsFunc(older, func(o idp.Event) bool {
		return o.Kind == e.Kind && o.SessionID == e.SessionID && o.At.Equal(e.At)
	})
}

// inWords says what happened; nil for what a person need not know.
func (l *Login) inWords(e idp.Event) *web.Text {
	switch e.Kind {
	case idp.EventLoginSucceeded:
		return web.Say("event.signed_in")
	case idp.EventLoginFailed:
		return web.Say("event.sign_in_failed")
	case idp.EventFactorFailed:
		return web.Say("event.factor_failed")
	case idp.EventDeviceAdded:
		return web.Say("event.device_added")
	case idp.EventDeviceDistrusted:
		return web.Say("event.device_distrusted")
	case idp.EventSessionEnded:
		return web.Say("event.session_ended")
	case idp.EventConsentGranted:
		return web.Say("event.consent_granted", "client", l.clientName(e.ClientID))
	case idp.EventConsentWithdrawn:
		return web.Say("event.consent_withdrawn", "client", l.clientName(e.ClientID))
	case idp.EventUserPasswordSet:
		return web.Say("event.password_set")
	case idp.EventUserUpdated:
		return web.Say("event.profile_changed")
	case idp.EventUserDisabled:
		return web.Say("event.disabled")
	case idp.EventUserEnabled:
		return web.Say("event.enabled")
	case idp.EventUserFactorsReset:
		return web.Say("event.factors_reset")
	case idp.EventUserExported:
		return web.Say("event.exported")
	case idp.EventAddressAdded:
		return web.Say("event.address_added")
	case idp.EventAddressVerified:
		return web.Say("event.address_verified")
	case idp.EventAddressPreferred:
		return web.Say("event.address_preferred")
	case idp.EventAddressRemoved:
		return web.Say("event.address_removed")
	case idp.EventAddressRestored:
		return web.Say("event.address_restored")
	case idp.EventFactorAdded:
		return factorInWords(e, "mail.passkey_added", "mail.authenticator_added", "mail.codes_added")
	case idp.EventFactorRemoved:
		return factorInWords(e, "mail.passkey_removed", "mail.authenticator_removed", "mail.codes_removed")
	}
	return nil
}

// factorInWords takes the words of the notices, which say the same.
func factorInWords(e idp.Event, passkey, authenticator, codes string) *web.Text {
	switch idp.Factor(e.Detail["factor"]) {
	case idp.FactorPasskey:
		return web.Say(passkey)
	case idp.FactorTOTP:
		return web.Say(authenticator)
	case idp.FactorRecoveryCode:
		return web.Say(codes)
	}
	return nil
}

// clientName is what people know an application by, also one that is gone.
func (l *Login) clientName(id string) string {
	if client, ok := l.Clients.Client(id); ok {
		return client.DisplayName()
	}
	return id
}

func (l *Login) changeSecurity(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, always)
	if v == nil || err != nil {
		return err
	}
	switch form.Get("action") {
	case "password":
		return l.changePassword(w, r, v, form)
	case "rename-passkey", "remove-passkey":
		return l.changePasskey(w, r, v, form)
	case "rename-authenticator", "remove-authenticator":
		return l.changeAuthenticator(w, r, v, form)
	}
	return l.backToPage(w, r, "")
}

func (l *Login) changePassword(w http.ResponseWriter, r *http.Request, v *visit, form url.Values) error {
	current, replacement := form.Get("current_password"), form.Get("new_password")
	var page web.SecurityPage
	status := http.StatusUnprocessableEntity
	if current == "" && v.held.User.PasswordHash != "" {
		page.CurrentProblem = web.Say("security.current_missing")
	}
	if replacement == "" {
		page.PasswordProblem = web.Say("security.new_missing")
	}
	if page.CurrentProblem != nil || page.PasswordProblem != nil {
		return l.securityPage(w, r, status, v, page)
	}
	at, err := l.Own.ChangePassword(r.Context(), v.held.User, l.from(r, v), current, replacement,
		func(user idp.User) (*idp.Device, error) { return l.knownDevice(r, user) })
	var invalid *idp.InvalidError
	switch {
	case errors.As(err, &invalid):
		page.PasswordProblem = passwordRefused(invalid)
	case errors.Is(err, idp.ErrCredentials):
		page.CurrentProblem = web.Say("security.current_wrong")
	case errors.Is(err, idp.ErrThrottled):
		status, page.Problem = http.StatusTooManyRequests, throttled(w, err)
	case err != nil:
		return err
	default:
		// This session goes on, under another secret.
		proof := idp.ProofOf(&v.held.Session).With(at, idp.FactorPassword)
		if _, err := l.startSession(w, r, idp.Flow{}, v.held.User, proof, v.held); err != nil {
			return err
		}
		return l.backToPage(w, r, "password")
	}
	idp.RequestFrom(r.Context()).Cause = err
	return l.securityPage(w, r, status, v, page)
}

func (l *Login) changePasskey(w http.ResponseWriter, r *http.Request, v *visit, form url.Values) error {
	id, err := base64.RawURLEncoding.Strict().DecodeString(form.Get("id"))
	if err != nil || len(id) == 0 {
		return unknown(idp.ErrNotFound)
	}
	if form.Get("action") == "remove-passkey" {
		err := l.Own.RemovePasskey(r.Context(), v.held.User, l.from(r, v), id)
		var invalid *idp.InvalidError
		switch {
		case errors.As(err, &invalid):
			return l.securityPage(w, r, http.StatusUnprocessableEntity, v, web.SecurityPage{Frame: web.Frame{Problem: web.Say("security.last_way")}})
		case err != nil:
			return unknown(err)
		}
		return l.backToPage(w, r, "passkey-removed")
	}
	return l.renamed(w, r, v, l.Own.RenamePasskey(r.Context(), v.held.User, id, form.Get("name")))
}

func (l *Login) changeAuthenticator(w http.ResponseWriter, r *http.Request, v *visit, form url.Values) error {
	id, err := idOf(form)
	if err != nil {
		return err
	}
	if form.Get("action") == "remove-authenticator" {
		if err := l.Own.RemoveAuthenticator(r.Context(), v.held.User, l.from(r, v), id); err != nil {
			return unknown(err)
		}
		return l.backToPage(w, r, "removed")
	}
	return l.renamed(w, r, v, l.Own.RenameAuthenticator(r.Context(), v.held.User, id, form.Get("name")))
}

func (l *Login) renamed(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	var invalid *idp.InvalidError
	switch {
	case errors.As(err, &invalid):
		return l.securityPage(w, r, http.StatusUnprocessableEntity, v, web.SecurityPage{Frame: web.Frame{Problem: web.Say("setup.name_refused")}})
	case err != nil:
		return unknown(err)
	}
	return l.backToPage(w, r, "renamed")
}

// PasskeyList tells a browser which passkeys are still good. Implemented by
// *users.Factors.
type PasskeyList interface {
	AcceptedPasskeys(ctx context.Context, userID string) (json.RawMessage, error)
}
