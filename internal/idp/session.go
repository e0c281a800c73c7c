package idp

import "time"

// Session is one browser in which a person is signed in. The browser holds an
// opaque token whose proof derives from Salt; nothing replayable is stored.
type Session struct {
	ID         ID // its String is the sid of OpenID Connect
	UserID     string
	Salt       []byte
	AuthTime   time.Time // when the person last proved who they are
	ACR        string
	AMR        []string
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time // absolute end
	EndedAt    time.Time // zero while nobody ended it
	RemoteAddr string
	UserAgent  string
}

// Live reports whether the session still counts as signed in at now.
func (s *Session) Live(now time.Time, idle time.Duration) bool {
	return s.EndedAt.IsZero() && Begun(s.CreatedAt, now) && now.Before(s.ExpiresAt) && now.Before(s.LastSeenAt.Add(idle))
}

// State is what has become of the session at now: live, idle for too long,
// ended or expired.
func (s *Session) State(now time.Time, idle time.Duration) string {
	switch {
	case !s.EndedAt.IsZero():
		return "ended"
	case s.Live(now, idle):
		return "live"
	case now.Before(s.ExpiresAt):
		return "idle"
	}
	return "expired"
}

// StatedSession is a session with its state at some instant.
type StatedSession struct {
	Session
	State string // as Session.State says
}

// Consent is what a person allowed a client. One row per pair; it grows as
// more is allowed, and withdrawing it kills what was issued under it.
type Consent struct {
	UserID    string
	ClientID  string
	Scopes    []string
	Resources []string
	// RedirectOrigins are where the client may send the person back to under
	// this consent, as RedirectOrigin gives them: a client that moves to
	// another host has to ask again.
	RedirectOrigins []string
	Remembered      bool // false: good for the request it was given in only
	GrantedAt       time.Time
	// WithdrawnAt is the last withdrawal, zero for none. It stays when the
	// person allows the client anew, so that what was issued before stays dead.
	WithdrawnAt time.Time
}

// Stands reports whether the consent was not withdrawn since it was given.
func (c *Consent) Stands() bool { return c.WithdrawnAt.Before(c.GrantedAt) }

// AuthorizationContext is all that deciding an authorization request needs to
// know about the browser that sent it: one read.
type AuthorizationContext struct {
	Session     Session
	User        User
	Memberships Memberships
	Consent     *Consent // nil when the person never allowed this client anything
}

// Visit is somebody who is signed in, at a page that is for them.
type Visit struct {
	AuthorizationContext
	// Confirmed says that the person has proven a moment ago, with all they
	// have, who they are.
	Confirmed bool
}
