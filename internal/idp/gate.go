package idp

import (
	"slices"
	"time"
)

// Refusal says why somebody may not get tokens any more. It is for logs and
// the audit; the client is told invalid_grant or sees an inactive token.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Why the gate refuses.
const (
	RefusedClientDisabled   Refusal = "client disabled"
	RefusedClientReset      Refusal = "client's tokens were invalidated"
	RefusedUserDisabled     Refusal = "user disabled"
	RefusedUserReset        Refusal = "user's sessions were invalidated"
	RefusedUserGroups       Refusal = "user is in none of the client's groups"
	RefusedSessionEnded     Refusal = "session ended"
	RefusedConsentWithdrawn Refusal = "consent withdrawn"
	RefusedGrantRevoked     Refusal = "grant revoked"
	RefusedGrantExpired     Refusal = "grant expired"
	RefusedNotBegun         Refusal = "issued in the future: a clock is wrong"
)

// Rule is the rule that the refusal comes of.
func (r Refusal) Rule() Rule {
	switch r {
	case RefusedClientDisabled:
		return RuleClientEnabled
	case RefusedClientReset:
		return RuleClientReset
	case RefusedUserDisabled:
		return RuleUserActive
	case RefusedUserReset:
		return RuleUserReset
	case RefusedUserGroups:
		return RuleClientGroups
	case RefusedSessionEnded:
		return RuleSessionRunning
	case RefusedConsentWithdrawn:
		return RuleGrantConsent
	case RefusedGrantExpired:
		return RuleGrantFresh
	case RefusedNotBegun:
		return RuleServerClock
	}
	return RuleGrantAlive
}

// Gate answers the one question that every grant, introspection and userinfo
// asks: may this client, on behalf of this subject, under this grant, still
// get or use tokens at now? It returns nil or a Refusal.
func (s *GrantState) Gate(c *Client, now time.Time) error {
	if err := c.Gate(s.Grant.CreatedAt); err != nil {
		return err
	}
	if err := s.User.Gate(s.Grant.AuthTime); err != nil {
		return err
	}
	switch {
	case !c.Admits(s.Memberships):
		return RefusedUserGroups
	case !s.SessionEndedAt.IsZero():
		return RefusedSessionEnded
	case !s.ConsentWithdrawnAt.IsZero() && !s.ConsentWithdrawnAt.Before(s.Grant.CreatedAt):
		return RefusedConsentWithdrawn
	case !s.Grant.RevokedAt.IsZero():
		return RefusedGrantRevoked
	case !now.Before(s.Grant.ExpiresAt):
		return RefusedGrantExpired
	case !Begun(s.Grant.CreatedAt, now):
		return RefusedNotBegun
	}
	return nil
}

// Gate refuses a disabled client, and tokens issued before its reset.
func (c *Client) Gate(issuedAt time.Time) error {
	switch {
	case c.Disabled:
		return RefusedClientDisabled
	case !c.TokensValidAfter.IsZero() && issuedAt.Before(c.TokensValidAfter):
		return RefusedClientReset
	}
	return nil
}

// Gate refuses a disabled user, and what was proven before the user's reset.
func (u *User) Gate(authTime time.Time) error {
	switch {
	case u.State != UserActive:
		return RefusedUserDisabled
	case !u.TokensValidAfter.IsZero() && authTime.Before(u.TokensValidAfter):
		return RefusedUserReset
	}
	return nil
}

// Admits reports whether a person with these memberships may use the client.
func (c *Client) Admits(m Memberships) bool {
	return len(c.AllowedGroups) == 0 ||
		slices.ContainsFunc(c.AllowedGroups, func(g string) bool { return slices.Contains(m.Groups, g) })
}
