package grants

import (
	"context"
	"errors"
	"net/http"

	"idp/internal/idp"
)

// Discovery makes clients known that describe themselves in a document whose
// address is their client_id, and passes others over
// (draft-ietf-oauth-client-id-metadata-document). Implemented by
// *registration.Service.
type Discovery interface {
	Ensure(ctx context.Context, clientID string) error
}

// discover reads the client's document where its client_id is the address of
// one. Why one cannot be used is told to nobody but the operator.
func (s *Service) discover(ctx context.Context, clientID string) *problem {
	err := s.Discovery.Ensure(ctx, clientID)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, idp.ErrUnavailable):
		return &problem{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", message: idp.SayUnavailable, reason: err.Error(), cause: err}
	}
	return &problem{status: http.StatusBadRequest, code: "invalid_client", message: idp.SayClientUnknown, reason: "no metadata document can be used", cause: err, step: failed(idp.RuleClientDocument)}
}
