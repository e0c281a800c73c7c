package grants

import (
	"context"
	"errors"

	"idp/internal/idp"
)

// Describe tells the pages what a flow is about. Who is nil while nobody is
// signed in.
func (s *Service) Describe(_ context.Context, flow idp.Flow, who *idp.AuthorizationContext) (idp.Interaction, error) {
	if flow.Request == "" {
		return idp.Interaction{}, nil
	}
	form, err := parseParameters(flow.Request)
	if err != nil {
		return idp.Interaction{}, err
	}
	req, problem := s.trust(form)
	if problem != nil {
		return idp.Interaction{}, errors.New(problem.reason)
	}
	if err := s.check(req, form); err != nil {
		return idp.Interaction{}, err
	}
	i := idp.Interaction{
		Client: req.client, LoginHint: req.loginHint, UILocales: req.uiLocales,
		SelectAccount: req.prompts("select_account"), RedirectURI: req.redirectURI, Resources: req.target.audiences(),
	}
	if who == nil {
		return i, nil
	}
	f := s.facts(req, flow, who)
	if !f.needsLogin() {
		lack := f.lacks()
		i.ACR, i.SetUp = lack.acr, lack.policy
	}
	for _, scope := range f.asked {
		i.Scopes = append(i.Scopes, describeScope(scope, req.target.resources))
		if who.Consent == nil || !who.Consent.Stands() || !hasScope(who.Consent.Scopes, scope) {
			i.NewScopes = append(i.NewScopes, scope)
		}
	}
	return i, nil
}

// describeScope finds a scope's words for the consent page; the issuer's own
// scopes have theirs on the page itself.
func describeScope(name string, resources []*idp.Resource) idp.ConsentScope {
	if idp.IsIdentityScope(name) {
		return idp.ConsentScope{Name: name}
	}
	for _, r := range resources {
		if scope, ok := r.Scope(name); ok {
			return idp.ConsentScope{Name: name, Description: scope.Description, Resource: r.DisplayName()}
		}
	}
	return idp.ConsentScope{Name: name}
}
