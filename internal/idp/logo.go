package idp

import (
	"crypto/sha256"
	"encoding/hex"
)

// ClientLogo is a picture that stands for a client, as it is served.
type ClientLogo struct {
	ContentType string // of a picture that runs nothing
	Body        []byte
}

// Hash is the picture's name: another picture has another one.
func (l *ClientLogo) Hash() string {
	sum := sha256.Sum256(l.Body)
	return hex.EncodeToString(sum[:])
}
