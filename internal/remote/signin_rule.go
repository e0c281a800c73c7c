package remote

import (
	"context"
	"net/http"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

// CreateSignInRule is admin.Service.CreateSignInRule.
func (s *Service) CreateSignInRule(ctx context.Context, rule idp.SignInRule) error {
	return done(s.api.CreateSignInRuleWithBody(ctx, nil, asJSON, body(rule)))
}

// SignInRule is admin.Service.SignInRule.
func (s *Service) SignInRule(ctx context.Context, name string) (idp.SignInRule, error) {
	r, _, err := s.rule(ctx, name)
	return r, err
}

func (s *Service) rule(ctx context.Context, name string) (r idp.SignInRule, header http.Header, err error) {
	if name == "" {
		return idp.SignInRule{}, nil, missing("sign-in rule", name)
	}
	header, err = answer(&r)(s.api.GetSignInRule(ctx, name, nil))
	return r, header, err
}

// SignInRules is admin.Service.SignInRules.
func (s *Service) SignInRules(ctx context.Context) (idp.SignInPolicy, error) {
	return all[idp.SignInRule](func(page *string) (*http.Response, error) {
		return s.api.ListSignInRules(ctx, &adminclient.ListSignInRulesParams{PageToken: page})
	})
}

// UpdateSignInRule is admin.Service.UpdateSignInRule.
func (s *Service) UpdateSignInRule(ctx context.Context, name string, change func(*idp.SignInRule)) (idp.SignInRule, error) {
	r, header, err := s.rule(ctx, name)
	if err != nil {
		return idp.SignInRule{}, err
	}
	change(&r)
	r.Name = name
	var after idp.SignInRule
	_, err = answer(&after)(s.api.ReplaceSignInRuleWithBody(ctx, name, &adminclient.ReplaceSignInRuleParams{IfMatch: as(header)}, asJSON, body(r)))
	return after, err
}

// DeleteSignInRule is admin.Service.DeleteSignInRule.
func (s *Service) DeleteSignInRule(ctx context.Context, name string) error {
	if name == "" {
		return missing("sign-in rule", name)
	}
	return done(s.api.DeleteSignInRule(ctx, name, nil))
}
