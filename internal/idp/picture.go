package idp

// Picture is one that a person uploaded of themselves, as it is served. Its ID
// is random, and another one for another picture: it is the address.
type Picture struct {
	ID          ID
	ContentType string
	Body        []byte
}
