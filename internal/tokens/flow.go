package tokens

import (
	"encoding/base64"
	"fmt"

	"idp/internal/idp"
)

// maxFlowLength bounds the sealed flow that is looked at: more than a request
// line and a form may carry.
const maxFlowLength = 64 << 10

// SealFlow returns the flow as text for a link or a form field. Only OpenFlow
// of a server with the same master key reads it, and any change breaks it.
func (m *Master) SealFlow(f idp.Flow) (string, error) {
	plain, err := f.MarshalBinary()
	if err != nil {
		return "", fmt.Errorf("seal flow: %w", err)
	}
	sealed, err := m.Seal(PurposeFlow, plain, nil)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// OpenFlow reads what SealFlow wrote; anything else is idp.ErrMalformed. Age
// and browser are the caller's to check.
func (m *Master) OpenFlow(text string) (idp.Flow, error) {
	var f idp.Flow
	if len(text) > maxFlowLength {
		return f, fmt.Errorf("open flow: too long: %w", idp.ErrMalformed)
	}
	sealed, ok := decodeSegment(text)
	if !ok {
		return f, fmt.Errorf("open flow: %w", idp.ErrMalformed)
	}
	plain, err := m.Open(PurposeFlow, sealed, nil)
	if err != nil {
		return f, err
	}
	if err := f.UnmarshalBinary(plain); err != nil {
		return idp.Flow{}, fmt.Errorf("open flow: %w", idp.ErrMalformed)
	}
	return f, nil
}
