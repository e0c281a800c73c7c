package registration

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"idp/internal/idp"
)

// attested puts what a software statement says over the plain fields (RFC 7591
// section 2.3). It says no more than a client may: see clientFields.
func (s *Service) attested(ctx context.Context, fields map[string]json.RawMessage) error {
	written, ok := fields["software_statement"]
	if !ok || string(written) == "null" {
		if s.Policy.Statements == StatementsRequired {
			return invalidStatement("a software statement is needed", nil)
		}
		return nil
	}
	if s.Policy.Statements != StatementsOptional && s.Policy.Statements != StatementsRequired {
		return unapprovedStatement(nil)
	}
	var raw string
	if err := json.Unmarshal(written, &raw); err != nil {
		return invalidStatement("the software statement is no text", err)
	}
	claims, err := s.Statements.VerifySoftwareStatement(ctx, s.Policy.StatementIssuers, s.Policy.StatementAlgs, s.Issuer, raw)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return unapprovedStatement(err)
	case err != nil:
		return invalidStatement("the software statement is not one that its issuer signed for now", err)
	}
	for _, name := range clientFields {
		if value, ok := claims[name]; ok && name != "software_statement" {
			fields[name] = value
		}
	}
	return nil
}

// The errors of RFC 7591 section 3.2.2.

func invalidStatement(description string, cause error) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_software_statement", Description: description, cause: cause}
}

func unapprovedStatement(cause error) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "unapproved_software_statement", Description: "the issuer of the software statement is not trusted here", cause: cause}
}
