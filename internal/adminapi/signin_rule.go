package adminapi

import (
	"context"
	"net/http"

	"idp/internal/admin"
	"idp/internal/idp"
)

func signInRules() named[idp.SignInRule] {
	return named[idp.SignInRule]{
		path: "sign-in-rules", value: "rule", name: func(r idp.SignInRule) string { return r.Name },
		all: func(s *admin.Service, ctx context.Context) ([]idp.SignInRule, error) { return s.SignInRules(ctx) },
		one: (*admin.Service).SignInRule, add: (*admin.Service).CreateSignInRule,
		change: (*admin.Service).UpdateSignInRule, remove: (*admin.Service).DeleteSignInRule,
	}
}

// SignInRules answers /admin/sign-in-rules.
func (a *API) SignInRules(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeSignInRulesRead, signInRules().list},
		http.MethodPost: {idp.ScopeSignInRules, signInRules().create},
	})
}

// SignInRule answers /admin/sign-in-rules/{rule}.
func (a *API) SignInRule(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeSignInRulesRead, signInRules().get},
		http.MethodPut:    {idp.ScopeSignInRules, signInRules().replace},
		http.MethodPatch:  {idp.ScopeSignInRules, signInRules().patch},
		http.MethodDelete: {idp.ScopeSignInRules, signInRules().delete},
	})
}
