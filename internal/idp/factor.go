package idp

import "time"

// Passkey is a WebAuthn credential with which a person signs in (Web
// Authentication Level 3 section 4).
type Passkey struct {
	ID             []byte // the credential id
	UserID         string
	Name           string // what the person calls it
	PublicKey      []byte // COSE_Key (RFC 9052 section 7)
	SignCount      uint32
	AAGUID         [16]byte // the model of the authenticator
	Transports     []string
	BackupEligible bool // may be copied to other devices; fixed at creation
	BackupState    bool // has been
	CreatedAt      time.Time
	LastUsedAt     time.Time // zero before the first use
}

// PasskeyState is a passkey with what decides whether it may be used: one read.
type PasskeyState struct {
	Passkey Passkey
	// Handle is the name under which authenticators know the person.
	Handle []byte
	User   User
}

// PasskeyUse is what one signature of a passkey changes.
type PasskeyUse struct {
	CredentialID []byte
	UserID       string
	SignCount    uint32
	BackupState  bool
	At           time.Time
}

// Challenge is what a passkey signs: good once, until it expires.
type Challenge struct {
	Value     string
	ExpiresAt time.Time
}

// Authenticator is an app that shows time-based codes (RFC 6238).
type Authenticator struct {
	ID         ID
	UserID     string
	Name       string // what the person calls it
	Secret     []byte // sealed; the clear never leaves internal/users
	LastStep   int64  // the newest time step that was accepted; a step is good once
	CreatedAt  time.Time
	LastUsedAt time.Time // zero before the first use
}

// Factors are what a person can sign in with besides the password.
type Factors struct {
	Passkeys       []Passkey
	Authenticators []Authenticator
	RecoveryCodes  int // how many are left
}

// SecondFactor reports whether the person has set up anything that a password
// can be combined with. Recovery codes alone do not count: they stand in for
// something else.
func (f *Factors) SecondFactor() bool { return len(f.Passkeys) > 0 || len(f.Authenticators) > 0 }
