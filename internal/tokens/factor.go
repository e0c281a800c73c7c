package tokens

import "encoding/base64"

// SealFactor encrypts the secret of a factor, or what the browser keeps while
// one is set up or used. The place ties it to one row or one form of one
// person: OpenFactor needs the same.
func (m *Master) SealFactor(place string, plaintext []byte) ([]byte, error) {
	return m.Seal(PurposeFactors, plaintext, []byte(place))
}

// OpenFactor decrypts what SealFactor made for the same place. Anything else is
// idp.ErrMalformed.
func (m *Master) OpenFactor(place string, sealed []byte) ([]byte, error) {
	return m.Open(PurposeFactors, sealed, []byte(place))
}

// HashRecoveryCode returns what is stored of a recovery code: its keyed hash.
// The same code of another person has another one.
func (m *Master) HashRecoveryCode(userID, code string) string {
	return secretPrefix + base64.RawURLEncoding.EncodeToString(m.mac(purposeRecovery, []byte(userID), []byte{0}, []byte(code)))
}
