package admin

import (
	"context"

	"idp/internal/idp"
)

// The checks of single values, for tables of what is let in.
var (
	WebURLFault   = webURLFault
	AudienceFault = audienceFault
	NewClientID   = newClientID
	NewSecret     = newSecret
	ValidClientID = validClientID
	CloneClient   = cloneClient
)

// CheckClient says what is wrong with metadata that is to be registered.
func CheckClient(ctx context.Context, s *Service, m idp.ClientMetadata) error {
	var f faults
	withDefaults(&m)
	if err := s.checkClient(ctx, &f, m); err != nil {
		return err
	}
	return f.err()
}
