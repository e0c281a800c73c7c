package idp

import (
	"encoding/json"
	"time"
)

// TokenKind says what an opaque token stands for.
type TokenKind byte

// The kinds of opaque tokens.
const (
	KindCode    TokenKind = 'c'
	KindRefresh TokenKind = 'r'
	KindAccess  TokenKind = 'a'
	KindSession TokenKind = 's'
	KindPushed  TokenKind = 'p' // the request_uri of a pushed authorization request

	KindInitial      TokenKind = 'i' // lets clients register
	KindRegistration TokenKind = 'g' // lets one client change its registration
	KindDevice       TokenKind = 'd' // a browser that a person signed in with before
	KindLink         TokenKind = 'l' // a link that somebody was sent, good once
)

// OpaqueToken is what an opaque token says of itself before any database is
// asked. Its proof derives from these fields, the row's salt and the master key.
type OpaqueToken struct {
	Kind      TokenKind
	ExpiresOn Day // the day whose partition holds the row
	ID        ID
	// Generation of a refresh or registration access token. An initial token
	// has Vouching when the operator vouches for the clients that use it.
	Generation uint32
}

// Vouching is the Generation of an initial token whose clients are verified.
const Vouching = 1

// AccessToken is an access token's content, whatever its format: the claims of
// RFC 9068 section 2.2.
type AccessToken struct {
	ID        ID // jti
	Grant     GrantHandle
	ClientID  string
	Subject   string // the user, or the client itself for client credentials
	Audience  []string
	Scopes    []string
	IssuedAt  time.Time
	ExpiresAt time.Time

	AuthTime     time.Time // zero for client credentials, as the following are
	ACR          string
	AMR          []string
	Groups       []string
	Roles        []string
	Entitlements []string
}

// AccessTokenState is a stored (opaque) access token with what decides whether
// it lives.
type AccessTokenState struct {
	Token     AccessToken
	RevokedAt time.Time   // zero while it lives
	Grant     *GrantState // nil for client credentials
}

// IDToken holds the claims of an ID token (OpenID Connect Core section 2).
type IDToken struct {
	ClientID    string // aud
	Subject     string
	SessionID   ID // sid; zero leaves it out
	Nonce       string
	IssuedAt    time.Time
	ExpiresAt   time.Time
	AuthTime    time.Time
	ACR         string
	AMR         []string
	AccessToken string         // its hash becomes at_hash; empty for none
	Code        string         // its hash becomes c_hash; empty for none
	Claims      map[string]any // about the person; may not shadow the above
}

// Preview is what a client would be told of somebody: the claims of tokens that
// nobody got, as JSON. What the client would not get is nil.
type Preview struct {
	IDToken, AccessToken, Userinfo json.RawMessage
	// Opaque says that the client would get an access token that says nothing
	// itself: introspection tells the claims.
	Opaque bool
	// Withheld are the scopes that the person would not be given, for want of a
	// role.
	Withheld []string
}
