package grants

import "idp/internal/idp"

// Pseudonyms are the identifiers by which some clients know people; implemented
// by *tokens.Master.
type Pseudonyms interface {
	PairwiseSubject(sector, userID string) string
}

// subject returns what the client knows the person by: sub, wherever it stands
// (OpenID Connect Core section 8).
func (s *Service) subject(c *idp.Client, userID string) string {
	if sector := c.Sector(); sector != "" {
		return s.Pseudonyms.PairwiseSubject(sector, userID)
	}
	return userID
}

// subjectOfGrant is subject for a client that may be gone.
func (s *Service) subjectOfGrant(g idp.Grant) string {
	if c, ok := s.Directory.Client(g.ClientID); ok {
		return s.subject(c, g.UserID)
	}
	return g.UserID
}
