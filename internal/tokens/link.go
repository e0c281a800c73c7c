package tokens

import "idp/internal/idp"

// SealLink encrypts what somebody asked for a link with, for the row of that
// link.
func (m *Master) SealLink(id idp.ID, plaintext []byte) ([]byte, error) {
	return m.Seal(PurposeLinks, plaintext, id[:])
}

// OpenLink decrypts what SealLink made for the same link. Anything else is
// idp.ErrMalformed.
func (m *Master) OpenLink(id idp.ID, sealed []byte) ([]byte, error) {
	return m.Open(PurposeLinks, sealed, id[:])
}
