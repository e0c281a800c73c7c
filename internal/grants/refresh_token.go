package grants

import (
	"context"
	"errors"
	"time"

	"idp/internal/idp"
)

// loadRefresh reads the family that a refresh token belongs to (RFC 6749
// section 6) and decides whether the presented generation is the good one, a
// lost answer asked for again, or a replay.
func loadRefresh(ctx context.Context, u *unit) error {
	s := u.service
	raw := u.form.get("refresh_token")
	if raw == "" {
		return invalidRequest("refresh_token is missing")
	}
	state, err := s.loadGrant(ctx, idp.KindRefresh, raw)
	if err != nil {
		return err
	}
	u.state = &state
	parsed, err := s.Opaque.ParseOpaque(idp.KindRefresh, raw)
	if err != nil {
		return err
	}
	u.from = parsed.Generation
	if state.Grant.ClientID != u.client.ClientID {
		// A refresh token in another client's hands has leaked.
		u.kill = &kill{idp.EventRefreshWrongClient, "refresh token presented by another client"}
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(errors.New("refresh token of another client")).
			by(idp.RuleGrantClient, fact("granted_to", state.Grant.ClientID), fact("presented_by", u.client.ClientID))
	}
	switch s.standing(&state.Grant, u.from, u.now) {
	case replayed:
		return nil // fosite recognises the replay, and the family dies
	case retried:
		u.retry = true
	}
	return s.admit(u)
}

// The ways in which a presented refresh generation may stand to its family.
type standing int

const (
	current  standing = iota
	retried           // its successor was issued a moment ago and not used: the answer was lost
	replayed          // anything else: the family dies (RFC 9700 section 4.14.2)
)

func (s *Service) standing(g *idp.Grant, presented uint32, now time.Time) standing {
	switch {
	case presented == g.Generation:
		return current
	case presented+1 == g.Generation && now.Sub(g.RotatedAt).Abs() < s.Lifetimes.RefreshGrace: // either clock may be ahead
		return retried
	}
	return replayed
}

// misuses are the ends of a grant that the person is told of: somebody else
// may have had what the application was given.
var misuses = map[idp.EventKind]idp.MailMisuse{
	idp.EventRefreshReplayed:    idp.MailRefreshReplayed,
	idp.EventRefreshWrongClient: idp.MailRefreshStrange,
	idp.EventCodeReplayed:       idp.MailCodeReplayed,
}

// replayNotice tells the person that somebody may have had their access. It is
// hung on the event that the end of the grant leaves behind, so a grant has one
// notice. Without a verified address there is none.
func (s *Service) replayNotice(u *unit, misuse idp.MailMisuse) []idp.SealedMail {
	name := u.state.Grant.ClientID // which need not be the client that asks
	if client, ok := s.Directory.Client(name); ok {
		name = client.DisplayName()
	}
	m, ok := u.state.User.Mail(idp.TokenReplayedMail{Application: name, Misuse: misuse, At: u.now})
	if !ok {
		return nil
	}
	sealed, err := s.Mail.SealMail(u.now, m)
	if err != nil { // the family dies all the same
		s.Logger.Error("no notice of a misused grant", "user_id", u.state.User.ID, "cause", err)
		return nil
	}
	return []idp.SealedMail{sealed}
}

// successor is the refresh token that the request answers with. It derives
// from the generation, so that all who ask for it get the same one.
func (u *unit) successor() string {
	g := u.state.Grant
	generation := uint32(1)
	if u.grantType == idp.GrantRefreshToken {
		generation = u.from + 1
	}
	return u.service.Opaque.MintOpaque(idp.OpaqueToken{
		Kind: idp.KindRefresh, ExpiresOn: g.Handle.ExpiresOn, ID: g.Handle.ID, Generation: generation,
	}, g.Salt)
}

// flushRotation moves the family on. A request that lost the race to its own
// twin gets the same successor; one that lost to a thief's later use finds the
// family moved further, and it dies.
func (u *unit) flushRotation(ctx context.Context) error {
	s := u.service
	idle, _ := s.refreshLifetimes(u.client)
	err := s.Grants.RotateRefresh(ctx, idp.RefreshRotation{
		Handle: u.state.Grant.Handle, From: u.from, At: u.now, IdleExpiresAt: u.now.Add(idle),
	}, u.row(), u.issued())
	if !errors.Is(err, idp.ErrAlreadyUsed) {
		return err
	}
	lost := err
	state, err := s.Grants.GrantState(ctx, u.state.Grant.Handle)
	if err != nil {
		return err
	}
	if err := state.Gate(u.client, u.now); err != nil {
		return invalidGrant("the grant is invalid, expired, revoked or was used before").because(err)
	}
	switch s.standing(&state.Grant, u.from, u.now) {
	case retried:
		return s.Tokens.AppendTokens(ctx, u.row(), u.issued())
	case replayed:
		u.kill = &kill{idp.EventRefreshReplayed, "refresh token replayed"}
	}
	return lost
}
