package grants

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// target is what a request asks for, resolved against what is registered:
// scopes that exist and that the client may have, and the resources they are
// for.
type target struct {
	scopes    []string
	resources []*idp.Resource
}

func (t target) audiences() []string {
	var out []string
	for _, r := range t.resources {
		out = append(out, r.Audience)
	}
	return out
}

// resolve checks the requested scopes and resources (RFC 8707 section 2)
// against the client's registration. Without a resource, the scopes name it:
// each belongs to one of the client's resources.
func (s *Service) resolve(c *idp.Client, scopes, audiences []string) (target, *Error) {
	t := target{scopes: scopes}
	for _, audience := range audiences {
		r, err := s.resource(c, audience)
		if err != nil {
			return t, err
		}
		if !slices.Contains(t.resources, r) {
			t.resources = append(t.resources, r)
		}
	}
	allowed := c.Scopes()
	implied := len(audiences) == 0
	for _, scope := range scopes {
		if !slices.Contains(allowed, scope) {
			return t, invalidScope("the client may not ask for one of the scopes").by(idp.RuleScopeAllowed, typed("scope", scope), fact("allowed", allowed...))
		}
		if idp.IsIdentityScope(scope) {
			continue
		}
		owners := slices.DeleteFunc(slices.Clone(s.Directory.ScopeOwner(scope)), func(r *idp.Resource) bool {
			return !slices.Contains(c.Audience, r.Audience)
		})
		switch {
		case slices.ContainsFunc(owners, func(r *idp.Resource) bool { return slices.Contains(t.resources, r) }):
		case !implied || len(owners) == 0:
			return t, invalidScope("one of the scopes belongs to none of the requested resources").by(idp.RuleScopeAllowed, fact("scope", scope), fact("audience", c.Audience...))
		case len(owners) > 1:
			return t, invalidTarget("one of the scopes belongs to several resources; name one by resource").by(idp.RuleResourceOne, fact("scope", scope))
		default:
			t.resources = append(t.resources, owners[0])
		}
	}
	return t, nil
}

// resource returns the registered resource that the client may ask for.
func (s *Service) resource(c *idp.Client, audience string) (*idp.Resource, *Error) {
	u, err := url.Parse(audience)
	if err != nil || !u.IsAbs() || strings.Contains(audience, "#") {
		return nil, invalidTarget("resource must be an absolute URI without a fragment")
	}
	r, ok := s.Directory.Resource(audience)
	if !ok || !slices.Contains(c.Audience, audience) {
		return nil, invalidTarget("the client may not ask for this resource").by(idp.RuleResourceAllowed,
			fact("resource", address(audience)), fact("registered", yesNo(ok)), fact("audience", c.Audience...))
	}
	return r, nil
}

// permitted drops the scopes that need a role which the person does not hold.
func (s *Service) permitted(t target, m idp.Memberships) []string {
	roles := s.Directory.Roles()
	held := m.EffectiveRoles(roles)
	return slices.DeleteFunc(slices.Clone(t.scopes), func(scope string) bool {
		if idp.IsIdentityScope(scope) {
			return false
		}
		for _, r := range t.resources {
			rs, ok := r.Scope(scope)
			if !ok {
				continue
			}
			if !rs.RequiresRole || slices.Contains(idp.Entitlements(roles, held, r.Audience), scope) {
				return false
			}
		}
		return true
	})
}

// rules are how the token for one resource is made: the resource's word goes
// before the client's, the client's before the server's default.
type rules struct {
	format   string
	alg      string
	lifetime time.Duration
}

func (s *Service) rules(c *idp.Client, r *idp.Resource) rules {
	out := rules{format: idp.FormatJWT, alg: idp.AlgES256, lifetime: s.Lifetimes.AccessToken}
	apply := func(format, alg string, seconds int) {
		if format != "" {
			out.format = format
		}
		if alg != "" {
			out.alg = alg
		}
		if seconds > 0 {
			out.lifetime = time.Duration(seconds) * time.Second
		}
	}
	apply(c.AccessTokenFormat, c.AccessTokenSigningAlg, c.AccessTokenLifetime)
	if r != nil {
		apply(r.AccessTokenFormat, r.AccessTokenSigningAlg, r.AccessTokenLifetime)
	}
	return out
}

// refreshLifetimes returns how long a refresh token of the client may lie
// unused, and how long its grant lives in all.
func (s *Service) refreshLifetimes(c *idp.Client) (idle, absolute time.Duration) {
	idle, absolute = s.Lifetimes.RefreshIdle, s.Lifetimes.RefreshAbsolute
	if c.RefreshTokenIdle > 0 {
		idle = time.Duration(c.RefreshTokenIdle) * time.Second
	}
	if c.RefreshTokenLifetime > 0 {
		absolute = min(absolute, time.Duration(c.RefreshTokenLifetime)*time.Second)
	}
	return idle, absolute
}

// scopesFor returns those of the scopes that a token for the resource carries:
// the resource's own and the issuer's.
func scopesFor(scopes []string, r *idp.Resource) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool {
		if idp.IsIdentityScope(scope) {
			return false
		}
		if r == nil {
			return true
		}
		_, ok := r.Scope(scope)
		return !ok
	})
}

// subset reports whether every one of some is in all.
func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
