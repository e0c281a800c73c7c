package adminapi

import (
	"net/http"

	"idp/internal/idp"
)

// SignInRules answers /admin/sign-in-rules.
func (a *API) SignInRules(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeSignInRulesRead, listSignInRules},
		http.MethodPost: {idp.ScopeSignInRules, createSignInRule},
	})
}

// SignInRule answers /admin/sign-in-rules/{rule}.
func (a *API) SignInRule(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeSignInRulesRead, getSignInRule},
		http.MethodPut:    {idp.ScopeSignInRules, replaceSignInRule},
		http.MethodPatch:  {idp.ScopeSignInRules, patchSignInRule},
		http.MethodDelete: {idp.ScopeSignInRules, deleteSignInRule},
	})
}

func listSignInRules(c *call) (answer, error) {
	p, err := c.page("sign-in rules")
	if err != nil {
		return answer{}, err
	}
	all, err := c.admin.SignInRules(c.Context())
	if err != nil {
		return answer{}, err
	}
	name := func(r idp.SignInRule) string { return r.Name }
	return listed(c, p, sorted([]idp.SignInRule(all), name), name)
}

func createSignInRule(c *call) (answer, error) {
	var in idp.SignInRule
	if err := c.input(&in); err != nil {
		return answer{}, err
	}
	if err := c.admin.CreateSignInRule(c.Context(), in); err != nil {
		return answer{}, err
	}
	return c.created(in, "sign-in-rules", in.Name), nil
}

func getSignInRule(c *call) (answer, error) {
	found, err := c.admin.SignInRule(c.Context(), c.PathValue("rule"))
	if err != nil {
		return answer{}, err
	}
	return shown(found), nil
}

func replaceSignInRule(c *call) (answer, error) {
	return c.changeSignInRule(func(idp.SignInRule) (in idp.SignInRule, err error) { return in, c.input(&in) })
}

func patchSignInRule(c *call) (answer, error) {
	return c.changeSignInRule(func(before idp.SignInRule) (in idp.SignInRule, err error) { return in, c.patched(before, &in) })
}

func (c *call) changeSignInRule(read func(before idp.SignInRule) (idp.SignInRule, error)) (answer, error) {
	before, err := c.admin.SignInRule(c.Context(), c.PathValue("rule"))
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(before)); err != nil {
		return answer{}, err
	}
	in, err := read(before)
	if err != nil {
		return answer{}, err
	}
	if in.Name != "" && in.Name != before.Name {
		return answer{}, invalidMember("name", "is another one than the address names")
	}
	after, err := c.admin.UpdateSignInRule(c.Context(), before.Name, func(r *idp.SignInRule) { *r = in })
	if err != nil {
		return answer{}, err
	}
	return shown(after), nil
}

func deleteSignInRule(c *call) (answer, error) {
	found, err := c.admin.SignInRule(c.Context(), c.PathValue("rule"))
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(found)); err != nil {
		return answer{}, err
	}
	return gone(c.admin.DeleteSignInRule(c.Context(), found.Name))
}
