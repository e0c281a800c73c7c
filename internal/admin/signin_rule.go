package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"idp/internal/idp"
)

// SignInPolicyStore keeps the sign-in policy; it is read through the Directory.
// Implemented by *store.Store.
type SignInPolicyStore interface {
	ChangeSignInPolicy(ctx context.Context, change func(idp.SignInPolicy) (idp.SignInPolicy, error), event idp.Event) error
}

// SignInRules returns what is asked of sign-ins, by name.
func (s *Service) SignInRules(ctx context.Context) (idp.SignInPolicy, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("admin: list sign-in rules: %w", err)
	}
	return slices.Clone(s.directory.SignInPolicy()), nil
}

// SignInRule returns one rule.
func (s *Service) SignInRule(ctx context.Context, name string) (idp.SignInRule, error) {
	rules, err := s.SignInRules(ctx)
	if err != nil {
		return idp.SignInRule{}, err
	}
	i := slices.IndexFunc(rules, named(name))
	if i < 0 {
		return idp.SignInRule{}, missing("sign-in rule", name)
	}
	return rules[i], nil
}

// CreateSignInRule adds a rule. Sessions from before are held to it from the
// next authorization on.
func (s *Service) CreateSignInRule(ctx context.Context, rule idp.SignInRule) error {
	if err := s.checkSignInRule(ctx, rule); err != nil {
		return err
	}
	return s.changePolicy(ctx, rule.Name, "created", func(policy idp.SignInPolicy) (idp.SignInPolicy, error) {
		if slices.ContainsFunc(policy, named(rule.Name)) {
			return nil, taken("sign-in rule", rule.Name)
		}
		policy = append(policy, rule)
		slices.SortFunc(policy, func(a, b idp.SignInRule) int { return strings.Compare(a.Name, b.Name) })
		return policy, nil
	})
}

// UpdateSignInRule lets change alter a rule, but for its name, and stores it
// when the whole is valid.
func (s *Service) UpdateSignInRule(ctx context.Context, name string, change func(*idp.SignInRule)) (idp.SignInRule, error) {
	before, err := s.SignInRule(ctx, name)
	if err != nil {
		return idp.SignInRule{}, err
	}
	rule := before
	rule.Groups, rule.Clients = slices.Clone(rule.Groups), slices.Clone(rule.Clients)
	change(&rule)
	rule.Name = name
	if err := s.checkSignInRule(ctx, rule); err != nil {
		return idp.SignInRule{}, err
	}
	return rule, s.changePolicy(ctx, name, "updated", func(policy idp.SignInPolicy) (idp.SignInPolicy, error) {
		i := slices.IndexFunc(policy, named(name))
		if i < 0 {
			return nil, missing("sign-in rule", name)
		}
		if len(changedFields(before, policy[i])) > 0 {
			return nil, changedMeanwhile("sign-in rule", name)
		}
		policy[i] = rule
		return policy, nil
	})
}

// DeleteSignInRule removes a rule.
func (s *Service) DeleteSignInRule(ctx context.Context, name string) error {
	return s.changePolicy(ctx, name, "deleted", func(policy idp.SignInPolicy) (idp.SignInPolicy, error) {
		if !slices.ContainsFunc(policy, named(name)) {
			return nil, missing("sign-in rule", name)
		}
		return slices.DeleteFunc(policy, named(name)), nil
	})
}

func named(name string) func(idp.SignInRule) bool {
	return func(r idp.SignInRule) bool { return r.Name == name }
}

func (s *Service) changePolicy(ctx context.Context, name, change string, apply func(idp.SignInPolicy) (idp.SignInPolicy, error)) error {
	event := with(with(s.event(ctx, s.now(), idp.EventSettingChanged, "sign_in_policy"), "rule", name), "change", change)
	if err := s.store.ChangeSignInPolicy(ctx, apply, event); err != nil {
		return fmt.Errorf("admin: change the sign-in policy: %w", err)
	}
	return nil
}

func (s *Service) checkSignInRule(ctx context.Context, rule idp.SignInRule) error {
	if err := s.directory.Refresh(ctx); err != nil {
		return fmt.Errorf("admin: save a sign-in rule: %w", err)
	}
	var f faults
	checkGroupName(&f, "name", rule.Name)
	if err := s.checkGroupsExist(ctx, &f, rule.Groups); err != nil {
		return err
	}
	for _, id := range rule.Clients {
		if _, ok := s.directory.Client(id); !ok {
			f.add("clients", "no client %s exists", quoted(id))
		}
	}
	if rule.ACR != "" && !slices.Contains(idp.ACRs(), rule.ACR) {
		f.add("acr", "is none of %s", strings.Join(idp.ACRs(), ", "))
	}
	if rule.MaxAge < 0 || rule.MaxAge > 0 && rule.MaxAge < 60 {
		f.add("max_age", "is at least 60 seconds, or 0 for none")
	}
	if rule.ACR == "" && rule.MaxAge == 0 {
		f.add("acr", "is needed when there is no max_age: the rule would ask for nothing")
	}
	return f.err()
}
