package grants

import (
	"context"
	"slices"

	"idp/internal/idp"
)

// loadClientCredentials decides the resource and the scopes that a client gets
// on its own behalf (RFC 6749 section 4.4). No database is asked. `audience`
// is an alias of `resource` that many clients know.
func loadClientCredentials(_ context.Context, u *unit) error {
	s := u.service
	scopes, ok := scopeList(u.form.get("scope"))
	if !ok {
		return invalidScope("scope is malformed")
	}
	if slices.ContainsFunc(scopes, idp.IsIdentityScope) {
		return invalidScope("scopes about a person cannot be granted without one").by(idp.RuleScopePerson)
	}
	wanted := slices.Clone(u.form.all("resource"))
	if audience := u.form.get("audience"); audience != "" && !slices.Contains(wanted, audience) {
		wanted = append(wanted, audience)
	}
	if len(wanted) == 0 && len(scopes) == 0 {
		switch len(u.client.Audience) {
		case 0:
		case 1:
			wanted = u.client.Audience
		default:
			return invalidTarget("the client has several resources; name one by resource").by(idp.RuleResourceOne, fact("audience", u.client.Audience...))
		}
	}
	if len(wanted) > 1 {
		return invalidTarget("ask for one resource per token").by(idp.RuleResourceOne)
	}
	t, err := s.resolve(u.client, scopes, wanted)
	switch {
	case err != nil:
		return err
	case len(t.resources) > 1:
		return invalidTarget("the scopes belong to several resources; ask for one per token").by(idp.RuleResourceOne, fact("resources", t.audiences()...))
	case len(t.resources) == 1:
		u.resource = t.resources[0]
	}
	if len(scopes) == 0 { // the default is what the client is registered for
		t.scopes = slices.DeleteFunc(u.client.Scopes(), idp.IsIdentityScope)
	}
	u.scopes = scopesFor(t.scopes, u.resource)
	u.rules = s.rules(u.client, u.resource)
	return nil
}
