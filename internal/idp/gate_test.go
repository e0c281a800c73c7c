package idp_test

import (
	"errors"
	"testing"
	"time"

	"idp/internal/idp"
)

// Whatever is taken away after a grant was made, the gate sees it.
func TestGateRefusesWhatWasTakenAway(t *testing.T) {
	born := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := born.Add(time.Minute)
	for _, tc := range []struct {
		name   string
		change func(*idp.GrantState, *idp.Client)
		want   error
	}{
		{"nothing", func(*idp.GrantState, *idp.Client) {}, nil},
		{"client disabled", func(_ *idp.GrantState, c *idp.Client) { c.Disabled = true }, idp.RefusedClientDisabled},
		{"client reset", func(_ *idp.GrantState, c *idp.Client) { c.TokensValidAfter = now }, idp.RefusedClientReset},
		{"client reset earlier", func(_ *idp.GrantState, c *idp.Client) { c.TokensValidAfter = born }, nil},
		{"user disabled", func(s *idp.GrantState, _ *idp.Client) { s.User.State = idp.UserDisabled }, idp.RefusedUserDisabled},
		{"user of unknown state", func(s *idp.GrantState, _ *idp.Client) { s.User.State = "" }, idp.RefusedUserDisabled},
		{"user reset", func(s *idp.GrantState, _ *idp.Client) { s.User.TokensValidAfter = now }, idp.RefusedUserReset},
		{"groups limited", func(_ *idp.GrantState, c *idp.Client) { c.AllowedGroups = []string{"staff"} }, idp.RefusedUserGroups},
		{"in the group", func(s *idp.GrantState, c *idp.Client) {
			c.AllowedGroups, s.Memberships.Groups = []string{"staff"}, []string{"all", "staff"}
		}, nil},
		{"session ended", func(s *idp.GrantState, _ *idp.Client) { s.SessionEndedAt = now }, idp.RefusedSessionEnded},
		{"consent withdrawn", func(s *idp.GrantState, _ *idp.Client) { s.ConsentWithdrawnAt = now }, idp.RefusedConsentWithdrawn},
		{"consent withdrawn before", func(s *idp.GrantState, _ *idp.Client) { s.ConsentWithdrawnAt = born.Add(-time.Second) }, nil},
		{"grant revoked", func(s *idp.GrantState, _ *idp.Client) { s.Grant.RevokedAt = now }, idp.RefusedGrantRevoked},
		{"grant over", func(s *idp.GrantState, _ *idp.Client) { s.Grant.ExpiresAt = now }, idp.RefusedGrantExpired},
		{"made by a clock a little ahead", func(s *idp.GrantState, _ *idp.Client) { s.Grant.CreatedAt = now.Add(2 * idp.ClockTolerance) }, nil},
		{"made in the future", func(s *idp.GrantState, _ *idp.Client) { s.Grant.CreatedAt = now.Add(2*idp.ClockTolerance + 1) }, idp.RefusedNotBegun},
	} {
		t.Run(tc.name, func(t *testing.T) {
			state := &idp.GrantState{
				Grant: idp.Grant{CreatedAt: born, AuthTime: born, ExpiresAt: born.Add(time.Hour)},
				User:  idp.User{State: idp.UserActive},
			}
			client := &idp.Client{}
			tc.change(state, client)
			if err := state.Gate(client, now); !errors.Is(err, tc.want) {
				t.Errorf("Gate says %v, want %v", err, tc.want)
			}
		})
	}
}
