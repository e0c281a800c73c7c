package idp

import "time"

// InitialToken lets its bearer register clients (the initial access token of
// RFC 7591 section 1.2): so often, and until then.
type InitialToken struct {
	ID        ID
	Label     string // for the operator
	Salt      []byte // the token's proof derives from it
	Uses      int64  // how many registrations are left
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Opaque is how the token is minted, once. Whether its bearer's clients are
// vouched for is in the token itself.
func (t *InitialToken) Opaque(vouches bool) OpaqueToken {
	o := OpaqueToken{Kind: KindInitial, ExpiresOn: DayOf(t.ExpiresAt), ID: t.ID}
	if vouches {
		o.Generation = Vouching
	}
	return o
}

// StatementIssuer is somebody whose software statements are believed (RFC 7591
// section 2.3), by keys that are at hand or behind an address.
type StatementIssuer struct {
	Issuer  string
	JWKS    JWKSet
	JWKSURI string
}

// Registration is what is kept of a client that registered itself, beside the
// client: who may read and change it (RFC 7592), and whether anybody uses it.
type Registration struct {
	ClientID string
	ID       ID     // of the registration access token
	Salt     []byte // its proof derives from it
	// Generation of the registration access token that is good now. It moves
	// when the client is changed.
	Generation uint32
	Initial    ID // the initial token that it was registered with; zero for none
	CreatedAt  time.Time
	LastUsedAt time.Time // when it last got a token; CreatedAt before the first
}
