package idp

import "time"

// GrantHandle finds a grant: the day of its absolute end names the partition,
// the ID the row.
type GrantHandle struct {
	ExpiresOn Day
	ID        ID
}

// IsZero reports whether the handle names no grant, as for client credentials.
func (h GrantHandle) IsZero() bool { return h.ID.IsZero() }

// Grant is what one authorization leaves behind: the authorization code, and
// the family of refresh tokens that its exchange starts, in one row.
//
// A code is used once: CodeUsedAt moves from zero by one conditional
// statement. A refresh family is a chain: Generation counts its links and
// moves by one conditional statement, the token of a generation derives from
// the handle, Salt and the generation, so nothing replayable is stored and a
// lost answer can be given again.
type Grant struct {
	Handle    GrantHandle
	ClientID  string
	UserID    string
	SessionID ID
	// LogoutSubject is the sub that the client knows the person by, kept for
	// the logout token; empty for a client that does not hear of logouts. It
	// is written with the grant and not read back.
	LogoutSubject string

	Scopes      []string // what was granted
	Resources   []string // audiences it may be used for; empty for the issuer alone
	RedirectURI string   // as sent to the authorization endpoint
	// RedirectURIOmitted says that the request relied on the only registered
	// URI, so the token request need not name it (RFC 6749 section 4.1.3).
	RedirectURIOmitted bool
	Nonce              string
	CodeChallenge      string // S256; empty when a confidential client went without
	AuthTime           time.Time
	ACR                string
	AMR                []string
	Claims             *ClaimsRequest // claims asked for by name; nil for none

	Salt          []byte
	CreatedAt     time.Time
	CodeExpiresAt time.Time
	CodeUsedAt    time.Time // zero while unused
	Generation    uint32    // of the refresh token that is good now; 0 before the first
	RotatedAt     time.Time // when Generation last moved
	IdleExpiresAt time.Time // when the current refresh token dies of disuse
	ExpiresAt     time.Time // absolute end of everything issued under the grant
	RevokedAt     time.Time // zero while it lives
}

// GrantState is a grant with all that decides whether it still lives, as one
// read of the database gives it.
type GrantState struct {
	Grant              Grant
	User               User
	Memberships        Memberships
	SessionEndedAt     time.Time // zero while nobody ended it
	ConsentWithdrawnAt time.Time // the last withdrawal; zero for none
}

// CodeRedemption is the one use of an authorization code.
type CodeRedemption struct {
	Handle        GrantHandle
	At            time.Time
	Refreshable   bool      // start the refresh family at generation 1
	IdleExpiresAt time.Time // of the first refresh token
}

// RefreshRotation moves a family from one generation to the next.
type RefreshRotation struct {
	Handle        GrantHandle
	From          uint32 // the generation that was presented
	At            time.Time
	IdleExpiresAt time.Time // of the successor
}
