package idp

import "time"

// LogoutNotice is what a client has still to be told: that a session in which
// it was granted something has ended.
type LogoutNotice struct {
	SessionID ID
	ClientID  string
	Subject   string // by which the client knows the person
	EndedAt   time.Time
	Attempts  uint32 // made so far
}

// LogoutToken holds the claims of a logout token (OpenID Connect Back-Channel
// Logout section 2.4).
type LogoutToken struct {
	ID        ID     // jti
	ClientID  string // aud
	Subject   string // sub; empty leaves it out
	SessionID ID     // sid
	IssuedAt  time.Time
	ExpiresAt time.Time
}
