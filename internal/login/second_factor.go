package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Factors decides what people can prove besides the password. Implemented by
// *users.Factors.
type Factors interface {
	Of(ctx context.Context, userID string) (idp.Factors, error)
	// VerifyCode and VerifyRecoveryCode answer with the factor that was proven,
	// idp.ErrFactor for a code that was not accepted, or idp.ErrThrottled.
	VerifyCode(ctx context.Context, user idp.User, code string) (idp.Factor, error)
	VerifyRecoveryCode(ctx context.Context, user idp.User, code string) (idp.Factor, error)
	Passkeys
}

// People reads accounts. Implemented by *store.Store.
type People interface {
	User(ctx context.Context, id string) (idp.User, error)
}

// The ways to prove a second factor, as the forms name them.
const (
	methodCode     = "code"
	methodPasskey  = "passkey"
	methodRecovery = "recovery"
)

// maxCode is longer than any code that a person types, in bytes.
const maxCode = 64

// challenge is somebody who has to prove more: with a password just typed and
// no session yet, or in a session that is not enough.
type challenge struct {
	user    idp.User
	proof   *idp.Proof
	factors idp.Factors
	acr     string                    // the class to reach
	held    *idp.AuthorizationContext // the session to raise; nil for none
	// interaction is what the application that waits is and wants.
	interaction idp.Interaction
}

// ServeSecondFactor asks for what a password is not enough without.
func (l *Login) ServeSecondFactor(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showSecondFactor, l.proveSecondFactor)
}

// proved goes on after the person has proven something: into a session if that
// is enough, to the second factor if not. The device stands in for it while
// the person trusts the device, but where a page asks for the factor itself.
func (l *Login) proved(w http.ResponseWriter, r *http.Request, flow idp.Flow, user idp.User, proof *idp.Proof, held *idp.AuthorizationContext) error {
	device, err := l.knownDevice(r, user)
	if err != nil {
		return err
	}
	trusted := device != nil && device.Trusted(&user, l.Now()) && flow.ACR == ""
	if !idp.ACRSatisfies(proof.ACR(), idp.ACRMultiFactor) && !trusted {
		factors, err := l.Factors.Of(r.Context(), user.ID)
		if err != nil {
			return err
		}
		if factors.SecondFactor() {
			flow.Proof = proof
			idp.Decide(r.Context(), idp.RuleFactorNeeded, idp.Asked, idp.Fact{Name: "user_id", Value: user.ID})
			return l.see(w, r, "/login/second-factor", flow, nil)
		}
	}
	return l.enter(w, r, flow, user, proof, held, device, time.Time{})
}

// enter starts the session that the proof is good for, and goes back to where
// the next step is decided. Who signs in has chosen the account.
func (l *Login) enter(w http.ResponseWriter, r *http.Request, flow idp.Flow, user idp.User, proof *idp.Proof,
	held *idp.AuthorizationContext, device *idp.Device, trustedUntil time.Time,
) error {
	session, err := l.startSession(w, r, flow, user, proof, held)
	if err != nil {
		return err
	}
	l.rememberDevice(w, r, user, device, trustedUntil)
	flow.Proof, flow.AccountChosen = nil, session.ID.String()
	if !user.DeletionDueAt.IsZero() { // perhaps they want to keep it
		return l.see(w, r, pathData, flow, nil)
	}
	return l.goOn(w, r, flow)
}

// see sends the browser on to a page of the flow.
func (l *Login) see(w http.ResponseWriter, r *http.Request, path string, flow idp.Flow, query url.Values) error {
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	if query == nil {
		query = url.Values{}
	}
	query.Set("flow", sealed)
	http.Redirect(w, r, l.base+path+"?"+query.Encode(), http.StatusSeeOther)
	return nil
}

// stepUp leads a person whose session is not enough to what is missing. Who
// has nothing to reach it with sets something up where the policy asks for it;
// the application's own wish is answered as well as it can be.
func (l *Login) stepUp(w http.ResponseWriter, r *http.Request, flow idp.Flow, interaction idp.Interaction, held *idp.AuthorizationContext) error {
	factors, err := l.Factors.Of(r.Context(), held.User.ID)
	switch {
	case err != nil:
		return err
	case l.reaches(&factors, interaction.ACR):
		return l.see(w, r, "/login/second-factor", flow, nil)
	case interaction.SetUp:
		return l.see(w, r, "/setup", flow, nil)
	}
	flow.Unreachable = interaction.ACR
	return l.goOn(w, r, flow)
}

// reaches is Factors.Reaches without the passkeys that no browser would offer
// here.
func (l *Login) reaches(factors *idp.Factors, acr string) bool {
	if !l.Factors.PasskeysAvailable() {
		usable := *factors
		usable.Passkeys = nil
		factors = &usable
	}
	return factors.Reaches(acr)
}

// challenged finds out who has to prove what. It is nil when nobody does.
func (l *Login) challenged(r *http.Request, flow idp.Flow) (*challenge, error) {
	held, err := l.visitor(r, clientOf(flow))
	if err != nil {
		return nil, err
	}
	c := &challenge{}
	if c.interaction, err = l.describe(r.Context(), flow, held); err != nil {
		c.interaction = idp.Interaction{} // for decoration: whether it stands is decided elsewhere
	}
	switch {
	case flow.Proof != nil:
		// The password was right, and nothing happened to the account since.
		c.user, err = l.People.User(r.Context(), flow.Proof.UserID)
		switch {
		case errors.Is(err, idp.ErrNotFound):
			return nil, nil
		case err != nil:
			return nil, err
		case c.user.Gate(flow.Proof.At) != nil || l.Now().Sub(flow.Proof.At) > l.Lifetimes.Flow:
			return nil, nil
		}
		c.proof, c.acr = flow.Proof, idp.ACRMultiFactor
		if held, err = l.proven(r, ""); err != nil { // which the sign-in may renew
			return nil, err
		}
		c.held = held
	case held != nil && c.interaction.ACR != "":
		c.user, c.proof, c.acr, c.held = held.User, idp.ProofOf(&held.Session), c.interaction.ACR, held
	default:
		return nil, nil
	}
	c.factors, err = l.Factors.Of(r.Context(), c.user.ID)
	return c, err
}

// methods are the ways that lead to the class, those used last first.
func (l *Login) methods(c *challenge) []string {
	type way struct {
		method string
		used   time.Time
	}
	var ways []way
	passkeys := slices.DeleteFunc(slices.Clone(c.factors.Passkeys), func(p idp.Passkey) bool {
		return c.acr == idp.ACRHardwareProtected && p.BackupEligible
	})
	if len(passkeys) > 0 && l.Factors.PasskeysAvailable() {
		last := way{method: methodPasskey}
		for _, p := range passkeys {
			if p.LastUsedAt.After(last.used) {
				last.used = p.LastUsedAt
			}
		}
		ways = append(ways, last)
	}
	if idp.ACRSatisfies(idp.ACRMultiFactor, c.acr) {
		if len(c.factors.Authenticators) > 0 {
			last := way{method: methodCode}
			for _, a := range c.factors.Authenticators {
				if a.LastUsedAt.After(last.used) {
					last.used = a.LastUsedAt
				}
			}
			ways = append(ways, last)
		}
		if c.factors.RecoveryCodes > 0 && c.factors.SecondFactor() {
			ways = append(ways, way{method: methodRecovery})
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return b.used.Compare(a.used) })
	var methods []string
	for _, w := range ways {
		methods = append(methods, w.method)
	}
	return methods
}

func (l *Login) showSecondFactor(w http.ResponseWriter, r *http.Request) error {
	flow, ok, err := l.linked(r)
	if err != nil {
		return err
	}
	if !ok {
		return l.toLogin(w, r)
	}
	c, err := l.challenged(r, flow)
	if err != nil {
		return err
	}
	if c == nil {
		flow.Proof = nil
		return l.goOn(w, r, flow)
	}
	return l.secondFactorPage(w, r, http.StatusOK, flow, c, r.URL.Query().Get("method"), nil)
}

func (l *Login) toLogin(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, l.base+"/login", http.StatusSeeOther)
	return nil
}

// secondFactorPage shows one way, and offers the others.
func (l *Login) secondFactorPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, c *challenge, method string, problem *web.Text) error {
	methods := l.methods(c)
	if len(methods) == 0 { // taken away a moment ago
		flow.Proof = nil
		return l.goOn(w, r, flow)
	}
	if !slices.Contains(methods, method) {
		method = methods[0]
	}
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	page := web.SecondFactorPage{
		Layout:  l.layoutFor(r, &c.user, "/login/second-factor?"+url.Values{"flow": {sealed}, "method": {method}}.Encode()),
		Client:  l.clientOnPage(c.interaction.Client),
		Account: accountOnPage(c.user), Flow: sealed, Method: method, Problem: problem,
		Trustable: l.trustable(flow), TrustDays: int(l.Lifetimes.TrustedDevice / (24 * time.Hour)),
		StepUp: flow.Proof == nil,
	}
	if page.SwitchFlow, err = l.switchFlow(flow); err != nil {
		return err
	}
	for _, m := range methods {
		if m != method {
			page.Others = append(page.Others, m)
		}
	}
	if method == methodPasskey {
		if page.Passkey, err = l.passkeyRequest(r, flow, c.user.ID); err != nil {
			return err
		}
	}
	allowRedirects(w.Header())
	allowLogo(w.Header(), page.Client)
	l.render(w, r, status, page)
	return nil
}

// trustable reports whether the person may ask not to be asked again: at a
// sign-in, not where something demands a second factor.
func (l *Login) trustable(flow idp.Flow) bool {
	return l.Lifetimes.TrustedDevice >= 24*time.Hour && flow.Proof != nil
}

// switchFlow is the flow for somebody else, who has proven nothing yet.
func (l *Login) switchFlow(flow idp.Flow) (string, error) {
	flow.Proof = nil
	return l.Flows.SealFlow(flow)
}

func (l *Login) proveSecondFactor(w http.ResponseWriter, r *http.Request) error {
	// 1. A form of ours, in this browser.
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	// 2. Who has to prove what: the flow or the session says it, never the form.
	// What comes of it counts from now: a reset that comes meanwhile ends it.
	proven := idp.Instant(l.Now())
	c, err := l.challenged(r, flow)
	if err != nil {
		return err
	}
	if c == nil {
		flow.Proof = nil
		return l.goOn(w, r, flow)
	}
	method := form.Get("method")
	if !slices.Contains(l.methods(c), method) {
		return l.secondFactorPage(w, r, http.StatusUnprocessableEntity, flow, c, "", nil)
	}
	// 3. The factor.
	factors, err := l.verify(r.Context(), flow, c, method, form)
	if err != nil {
		return l.factorRefused(w, r, flow, c, method, err)
	}
	idp.Pass(r.Context(), idp.RuleFactorCorrect)
	// 4. Into the session, or a step up in it.
	if flow.Proof == nil {
		return l.raise(w, r, flow, c, factors)
	}
	device, err := l.knownDevice(r, c.user)
	if err != nil {
		return err
	}
	var trusted time.Time
	if form.Get("trust") == "yes" && l.trustable(flow) {
		trusted = proven.Add(l.Lifetimes.TrustedDevice)
	}
	return l.enter(w, r, flow, c.user, c.proof.With(proven, factors...), c.held, device, trusted)
}

// raise adds what was proven to the session. When the person last proved all
// of it stays what it was: the older factor was not proven again.
func (l *Login) raise(w http.ResponseWriter, r *http.Request, flow idp.Flow, c *challenge, factors []idp.Factor) error {
	device, err := l.knownDevice(r, c.user)
	if err != nil {
		return err
	}
	proof := c.proof.With(c.proof.At, factors...)
	return l.enter(w, r, flow, c.user, proof, c.held, device, time.Time{})
}

func (l *Login) verify(ctx context.Context, flow idp.Flow, c *challenge, method string, form url.Values) ([]idp.Factor, error) {
	if method == methodPasskey {
		user, factors, err := l.finishPasskey(ctx, flow, form)
		if err == nil && user.ID != c.user.ID {
			err = idp.ErrFactor
		}
		return factors, err
	}
	code := strings.TrimSpace(form.Get("code"))
	if code == "" || len(code) > maxCode {
		return nil, idp.ErrFactor
	}
	var factor idp.Factor
	var err error
	if method == methodRecovery {
		factor, err = l.Factors.VerifyRecoveryCode(ctx, c.user, code)
	} else {
		factor, err = l.Factors.VerifyCode(ctx, c.user, code)
	}
	return []idp.Factor{factor}, err
}

// factorRefused asks again, saying no more than that it was not accepted.
func (l *Login) factorRefused(w http.ResponseWriter, r *http.Request, flow idp.Flow, c *challenge, method string, err error) error {
	request := idp.RequestFrom(r.Context())
	status, problem := http.StatusUnprocessableEntity, notAccepted(method)
	switch {
	case errors.Is(err, idp.ErrFactor):
		request.Outcome = "second_factor_failed"
	case errors.Is(err, idp.ErrThrottled):
		status = http.StatusTooManyRequests
		request.Outcome, problem = "login_throttled", throttled(w, err)
	default:
		return err
	}
	request.Cause = err
	return l.secondFactorPage(w, r, status, flow, c, method, problem)
}

func notAccepted(method string) *web.Text {
	switch method {
	case methodPasskey:
		return web.Say("passkey.refused")
	case methodRecovery:
		return web.Say("second_factor.refused_recovery")
	}
	return web.Say("second_factor.refused_code")
}
