package admin

import (
	"context"
	"errors"

	"idp/internal/idp"
)

// Letters gives people the links with which they come to their accounts.
// Implemented by *users.Accounts.
type Letters interface {
	// Invite sends a link to the address of an invited account; by is whose name
	// it bears, or empty.
	Invite(ctx context.Context, user idp.User, by string) error
	// HandOver makes a link that an operator hands over.
	HandOver(ctx context.Context, user idp.User, kind idp.LinkKind) (idp.MailLink, idp.Link, error)
}

// CreateInvited makes an account that waits for the person at its address, in
// these groups. One that waits for that person already is returned as it is, in
// the groups besides. Nobody hears of it before Invite or HandOver.
func (s *Service) CreateInvited(ctx context.Context, in UserInput, groups ...string) (idp.User, error) {
	in.Invited, in.Username = true, in.Profile.Email
	if err := s.mayInvite(); err != nil {
		return idp.User{}, err
	}
	if err := idp.CheckMailAddress(in.Profile.Email); err != nil {
		return idp.User{}, err
	}
	if in.Profile.EmailVerified {
		return idp.User{}, idp.Invalid("email_verified", "is what the invitation shows: leave it out")
	}
	for _, group := range groups {
		if err := errors.Join(s.groupExists(ctx, group), s.mayRuleGroup(group)); err != nil {
			return idp.User{}, err
		}
	}
	u, err := s.User(ctx, in.Username)
	if errors.Is(err, idp.ErrNotFound) {
		u, err = s.CreateUser(ctx, in)
	}
	if err != nil {
		return idp.User{}, err
	}
	if u.State != idp.UserInvited {
		return idp.User{}, idp.Invalid("email", "is the user name of an account that is "+string(u.State))
	}
	for _, group := range groups {
		if err := s.AddMember(ctx, group, u.ID); err != nil {
			return idp.User{}, err
		}
	}
	return u, nil
}

// Invite sends the person of an invited account a link to take it over, good
// once, which ends the one from before. by is whose name it bears, or empty.
func (s *Service) Invite(ctx context.Context, idOrUsername, by string) error {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return err
	}
	if err := errors.Join(s.mayInvite(), s.mayRuleUser(ctx, u.ID)); err != nil {
		return err
	}
	return s.letters.Invite(ctx, u, by)
}

// HandOver makes a link that is handed to the person by a way that nobody else
// reads: to choose a password, or to take an invited account over.
func (s *Service) HandOver(ctx context.Context, idOrUsername string, kind idp.LinkKind) (idp.MailLink, idp.Link, error) {
	u, err := s.User(ctx, idOrUsername)
	if err != nil {
		return "", idp.Link{}, err
	}
	if err := s.mayRuleUser(ctx, u.ID); err != nil {
		return "", idp.Link{}, err
	}
	if kind == idp.LinkInvitation {
		if err := s.mayInvite(); err != nil {
			return "", idp.Link{}, err
		}
	}
	return s.letters.HandOver(ctx, u, kind)
}

// Invites reports whether people can be invited.
func (s *Service) Invites() bool { return s.invites }

func (s *Service) mayInvite() error {
	if !s.invites {
		return idp.Invalid("accounts.registration", "is off: nobody could follow the link. Set it to invited, or create the account")
	}
	return nil
}
