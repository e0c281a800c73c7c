package tokens

// SealACME encrypts what nodes share to get a TLS certificate, among it its
// private key, for the row of that name.
func (m *Master) SealACME(name string, plaintext []byte) ([]byte, error) {
	return m.Seal(PurposeACME, plaintext, []byte(name))
}

// OpenACME decrypts what SealACME made for the same name. Anything else is
// idp.ErrMalformed.
func (m *Master) OpenACME(name string, sealed []byte) ([]byte, error) {
	return m.Open(PurposeACME, sealed, []byte(name))
}
