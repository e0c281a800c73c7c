package idp

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Passkey is a WebAuthn credential with which a person signs in (Web
// Authentication Level 3 section 4).
type Passkey struct {
	ID         []byte // the credential id
	UserID     string
	Name       string // what the person calls it
	PublicKey  []byte // COSE_Key (RFC 9052 section 7)
	SignCount  uint32
	AAGUID     [16]byte // the model of the authenticator
	Transports []string
	// UserVerified says that the authenticator checked who the person was when
	// the passkey was made, or later together with another factor (uvInitialized
	// in section 4). Before that its word that it did proves nothing: whoever
	// finds a security key without a PIN can set one.
	UserVerified   bool
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
	UserVerified bool // once true it stays
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

// Enrolment is what a page shows of an authenticator that is being set up. All
// of it but Sealed gives the secret away, and none of it is stored yet. It
// prints as a placeholder.
type Enrolment struct {
	// Sealed is for a hidden field: ConfirmAuthenticator and ResumeAuthenticator
	// want it back. It is good for half an hour.
	Sealed string
	// Secret is for typing: base32 in groups of four.
	Secret Secret
	// URL is an otpauth: link, for a person whose app is on the same device.
	URL Secret
	QR  QR
}

// Format prints a placeholder, whatever the verb.
func (Enrolment) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[enrolment]") }

// QR is a QR code (ISO/IEC 18004) as one SVG path, for a template:
//
//	<svg viewBox="0 0 {{.Size}} {{.Size}}" role="img" aria-label="…" shape-rendering="crispEdges">
//	<rect width="{{.Size}}" height="{{.Size}}" fill="#fff"/><path d="{{.Path}}" fill="#000"/></svg>
//
// Dark on light also on a dark page, or cameras fail; the quiet zone is inside.
type QR struct {
	Size int
	Path string
}

// PasskeyRequest says how a passkey is asked for.
type PasskeyRequest struct {
	// Browser is the mark of the flow's browser: Flow.Browser.
	Browser []byte
	// UserID is whose passkey it has to be, when that was proven before; empty
	// lets the person choose among all that the device has. Never fill it from
	// what somebody typed: the answer would tell who has passkeys.
	UserID string
	// Verification refuses passkeys that do not check who uses them.
	Verification bool
}

// Ceremony is what a page needs to ask the browser for a passkey.
type Ceremony struct {
	// Options is the JSON object {"publicKey": …}, to be put where a script
	// finds it: that member is for PublicKeyCredential.parseCreationOptionsFromJSON
	// or parseRequestOptionsFromJSON, and a member "mediation" goes to create()
	// beside it. It holds no secret.
	Options json.RawMessage
	// Sealed is for a hidden field; the Finish methods want it back beside the
	// credential's toJSON(). It is good once, for five minutes, and in the
	// browser it was made for.
	Sealed string
}
