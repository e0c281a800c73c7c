package login

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

// ServeConsent asks the person whether the application may have what it wants.
func (l *Login) ServeConsent(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showConsent, l.decide)
}

func (l *Login) showConsent(w http.ResponseWriter, r *http.Request) error {
	flow, ok, err := l.linked(r)
	if err != nil {
		return err
	}
	if !ok || flow.Request == "" {
		return errFlowMissing
	}
	held, err := l.visitor(r, clientOf(flow))
	if err != nil {
		return err
	}
	if held == nil {
		return l.goOn(w, r, flow)
	}
	interaction, err := l.describe(r.Context(), flow, held)
	if err != nil {
		return l.decideAgain(w, r, flow, err)
	}
	return l.consentPage(w, r, http.StatusOK, flow, interaction, held, false)
}

func (l *Login) consentPage(w http.ResponseWriter, r *http.Request, status int, flow idp.Flow, interaction idp.Interaction, held *idp.AuthorizationContext, changed bool) error {
	if interaction.Client == nil {
		return idp.ErrNotFound
	}
	flow.Denied, flow.Shown = false, nil
	anew, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	if flow.Shown, err = digest(interaction, held); err != nil {
		return err
	}
	sealed, err := l.Flows.SealFlow(flow)
	if err != nil {
		return err
	}
	groups, offline := scopesOnPage(interaction, held.User)
	allowRedirects(w.Header())
	allowLogo(w.Header(), l.clientOnPage(interaction.Client))
	l.render(w, r, status, web.ConsentPage{
		Layout: l.layoutOf(r, held, "/consent?flow="+url.QueryEscape(anew)), Client: *l.clientOnPage(interaction.Client), Account: accountOnPage(held.User),
		Flow: sealed, SwitchFlow: anew, Groups: groups, Offline: offline,
		ReturnsTo:    destination(interaction.RedirectURI),
		Rememberable: interaction.Client.ImpersonationProof(interaction.RedirectURI),
		Changed:      changed,
	})
	return nil
}

func (l *Login) decide(w http.ResponseWriter, r *http.Request) error {
	// 1. A form of ours, in this browser, with one of two answers.
	form, flow, err := l.submitted(w, r)
	if err != nil {
		return err
	}
	decision := form.Get("decision")
	if flow.Request == "" || decision != "allow" && decision != "deny" {
		return badForm(http.StatusBadRequest, "error.no_answer")
	}
	// 2. By somebody who is signed in.
	held, err := l.visitor(r, clientOf(flow))
	if err != nil {
		return err
	}
	if held == nil {
		flow.Shown = nil
		return l.goOn(w, r, flow)
	}
	interaction, err := l.describe(r.Context(), flow, held)
	if err != nil {
		return l.decideAgain(w, r, flow, err)
	}
	if interaction.Client == nil {
		return idp.ErrNotFound
	}
	// 3. No.
	if decision == "deny" {
		return l.deny(w, r, flow, interaction, held)
	}
	// 4. Yes: to what was shown, and nothing else.
	asked, err := digest(interaction, held)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(asked, flow.Shown) != 1 {
		return l.consentPage(w, r, http.StatusUnprocessableEntity, flow, interaction, held, true)
	}
	return l.allow(w, r, flow, interaction, held, form.Get("remember") == "yes")
}

func (l *Login) allow(w http.ResponseWriter, r *http.Request, flow idp.Flow, interaction idp.Interaction, held *idp.AuthorizationContext, remember bool) error {
	consent := idp.Consent{
		UserID: held.User.ID, ClientID: interaction.Client.ClientID,
		Scopes: scopeNames(interaction), Resources: sorted(interaction.Resources),
		RedirectOrigins: []string{idp.RedirectOrigin(interaction.RedirectURI)},
		// An answer to a client that anybody can impersonate is good once
		// (RFC 8252 section 8.6).
		Remembered: remember && interaction.Client.ImpersonationProof(interaction.RedirectURI),
		GrantedAt:  idp.Instant(l.Now()),
	}
	granted := event(r, idp.EventConsentGranted, consent.GrantedAt)
	granted.ClientID, granted.UserID, granted.SessionID = consent.ClientID, consent.UserID, held.Session.ID.String()
	granted.Detail = map[string]string{"scope": strings.Join(consent.Scopes, " "), "audience": strings.Join(consent.Resources, " ")}
	if err := l.Store.SaveConsent(r.Context(), consent, granted); err != nil {
		return err
	}
	idp.Pass(r.Context(), idp.RuleConsentGiven)
	return l.goOn(w, r, flow)
}

func (l *Login) deny(w http.ResponseWriter, r *http.Request, flow idp.Flow, interaction idp.Interaction, held *idp.AuthorizationContext) error {
	denied := event(r, idp.EventConsentDenied, idp.Instant(l.Now()))
	denied.ClientID, denied.UserID, denied.SessionID = interaction.Client.ClientID, held.User.ID, held.Session.ID.String()
	denied.Detail = map[string]string{"scope": strings.Join(scopeNames(interaction), " "), "audience": strings.Join(sorted(interaction.Resources), " ")}
	l.Audit.Note(r.Context(), denied)
	flow.Denied, flow.Shown = true, nil
	return l.goOn(w, r, flow)
}

// digest stands for all that a person agrees to: who lets whom have what, where
// the answer goes, and in which session.
func digest(interaction idp.Interaction, held *idp.AuthorizationContext) ([]byte, error) {
	if interaction.Client == nil {
		return nil, idp.ErrNotFound
	}
	scopes := make([]string, 0, len(interaction.Scopes))
	for _, s := range interaction.Scopes {
		scopes = append(scopes, s.Name+" "+s.Resource) // a scope holds no space
	}
	slices.Sort(scopes)
	plain, err := json.Marshal([]any{
		interaction.Client.ClientID, scopes, sorted(interaction.Resources), interaction.RedirectURI,
		held.User.ID, held.Session.ID.String(),
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plain)
	return sum[:], nil
}

func scopeNames(interaction idp.Interaction) []string {
	names := make([]string, 0, len(interaction.Scopes))
	for _, s := range interaction.Scopes {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// scopesOnPage groups the scopes by resource, the issuer's own first, in the
// order in which they were asked. offline_access is explained apart.
func scopesOnPage(interaction idp.Interaction, user idp.User) (groups []web.ScopeGroup, offline bool) {
	grown := len(interaction.NewScopes) < len(interaction.Scopes)
	own := web.ScopeGroup{}
	for _, s := range interaction.Scopes {
		if s.Resource == "" && s.Name == idp.ScopeOfflineAccess {
			offline = true
			continue
		}
		line := web.Scope{Label: web.Verbatim(cmp.Or(s.Description, s.Name)), New: grown && slices.Contains(interaction.NewScopes, s.Name)}
		if s.Resource == "" {
			line.Label, line.Detail = identityScope(s, user)
			own.Scopes = append(own.Scopes, line)
			continue
		}
		i := slices.IndexFunc(groups, func(g web.ScopeGroup) bool { return g.Name == s.Resource })
		if i < 0 {
			groups, i = append(groups, web.ScopeGroup{Name: s.Resource}), len(groups)
		}
		groups[i].Scopes = append(groups[i].Scopes, line)
	}
	if len(own.Scopes) > 0 {
		groups = append([]web.ScopeGroup{own}, groups...)
	}
	return groups, offline
}

// identityScope puts the issuer's own scopes into words, with the data that
// they open where it is short.
func identityScope(s idp.ConsentScope, user idp.User) (label, detail *web.Text) {
	switch s.Name {
	case idp.ScopeOpenID:
		return web.Say("scope.openid"), web.Say("scope.openid_detail")
	case idp.ScopeProfile:
		return web.Say("scope.profile"), web.Say("scope.profile_detail")
	case idp.ScopeEmail:
		return web.Say("scope.email"), verbatim(user.Profile.Email)
	case idp.ScopePhone:
		return web.Say("scope.phone"), verbatim(user.Profile.PhoneNumber)
	case idp.ScopeAddress:
		return web.Say("scope.address"), nil
	case idp.ScopeMemberships:
		return web.Say("scope.groups"), web.Say("scope.groups_detail")
	}
	if s.Description != "" {
		return web.Verbatim(s.Description), web.Verbatim(s.Name)
	}
	return web.Verbatim(s.Name), nil
}

// verbatim says nothing for nothing.
func verbatim(words string) *web.Text {
	if words == "" {
		return nil
	}
	return web.Verbatim(words)
}

// destination says in words where a redirect URI leads.
func destination(redirectURI string) *web.Text {
	u, err := url.Parse(redirectURI)
	if err != nil || redirectURI == "" {
		return nil
	}
	switch u.Scheme {
	case "https", "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return web.Say("place.computer")
		}
		return web.Verbatim(u.Host)
	}
	return web.Say("place.device")
}
