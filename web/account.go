package web

import "time"

// The pages on which people see and change their own accounts.

// Frame is what all of them have in common.
type Frame struct {
	Layout
	Account Account
	Flow    string
	Section string // overview, email, security, sessions, applications or data
	// Confirmed says that the person may do what is dangerous now; they are
	// asked to prove who they are first where they may not.
	Confirmed     bool
	Done, Problem *Text // what came of the form before; nil for nothing
}

// ProfilePage shows a person's profile, to change it.
type ProfilePage struct {
	Frame
	Fields        []ProfileField
	Locale        string
	Email         string
	Picture       string // where the one is that they uploaded; empty for none
	PictureFaulty bool   // the one that was sent cannot be used
	// Attributes are those that the person may change, Kept those that somebody
	// else keeps.
	Attributes []ProfileField
	Kept       []KeptAttribute
}

// ProfileField is one claim of the profile.
type ProfileField struct {
	Claim, Value string
	Label, Hint  *Text // the hint may be nil
	Autocomplete string
	Left         bool // is written from left to right in every language
	Faulty       bool
	Type         string // of the input, such as date; empty is text
	Mode         string // of the keyboard, such as decimal; empty is any
	Limit        int    // in characters; 0 is none
	Choices      []Choice
}

// Choice is one of the values that a field may have.
type Choice struct {
	Value string
	Label *Text
}

// Odd reports whether the value is none of the choices: it is kept.
func (f ProfileField) Odd() bool {
	for _, c := range f.Choices {
		if c.Value == f.Value {
			return false
		}
	}
	return true
}

// KeptAttribute is what somebody else says of the person.
type KeptAttribute struct{ Label, Value *Text }

// Spoken reports whether one of the languages that there are is chosen: another
// one is kept.
func (p ProfilePage) Spoken(languages []Language) bool {
	for _, l := range languages {
		if l.Tag == p.Locale {
			return true
		}
	}
	return p.Locale == ""
}

// AddressesPage shows a person's e-mail addresses.
type AddressesPage struct {
	Frame
	Addresses      []OwnAddress
	Typed          string // an address that is not there
	AddressProblem *Text  // what is wrong with it; nil for nothing
}

// Failed reports whether the page comes back with something to put right.
func (p AddressesPage) Failed() bool { return p.Problem != nil || p.AddressProblem != nil }

// OwnAddress is one of the account's e-mail addresses.
type OwnAddress struct {
	Address               string
	Primary, Verified     bool
	CreatedAt, VerifiedAt time.Time
}

// SecurityPage shows what a person signs in with.
type SecurityPage struct {
	Frame
	Username    string
	HasPassword bool
	MinPassword int
	// CurrentProblem and PasswordProblem say what is wrong with one field.
	CurrentProblem, PasswordProblem *Text
	SetupFlow                       string // for what is set up on pages of its own
	PasskeysAvailable               bool
	Passkeys, Authenticators        []OwnFactor
	RecoveryCodes                   int // that are left
	Events                          []OwnEvent
	// Accepted tells the browser which passkeys are still good, as JSON of Web
	// Authentication Level 3 section 5.1.10; empty for nothing to tell.
	Accepted string
}

// Failed reports whether the page comes back with something to put right.
func (p SecurityPage) Failed() bool {
	return p.Problem != nil || p.CurrentProblem != nil || p.PasswordProblem != nil
}

// OwnFactor is a passkey or an authenticator app.
type OwnFactor struct {
	ID, Name   string
	Provider   string // what keeps it; empty for not known
	Synced     bool
	CreatedAt  time.Time
	LastUsedAt time.Time
	Used       bool
}

// OwnEvent is something that happened to the account.
type OwnEvent struct {
	What    *Text
	At      time.Time
	Address string // network address; empty for not known
}

// SessionsPage shows where a person is signed in.
type SessionsPage struct {
	Frame
	Sessions []OwnSession
	Others   bool // there are some besides this one
	Devices  []OwnDevice
}

// OwnSession is a browser in which the person is signed in.
type OwnSession struct {
	ID         string
	Browser    *Text
	Address    string
	Current    bool
	CreatedAt  time.Time
	LastSeenAt time.Time
}

// OwnDevice is a browser that stands in for a second factor.
type OwnDevice struct {
	ID           string
	Browser      *Text
	Address      string
	LastSeenAt   time.Time
	TrustedUntil time.Time
}

// ApplicationsPage shows which applications may use the account.
type ApplicationsPage struct {
	Frame
	Applications []OwnApplication
}

// OwnApplication is an application that may use the account.
type OwnApplication struct {
	ID        string
	Client    Client
	Scopes    []*Text
	Offline   bool // also while the person is away
	GrantedAt time.Time
	// LastUsedAt is when it was last given access, if it is known to be Used.
	LastUsedAt time.Time
	Used       bool
}

// DataPage gives a person what is stored about them, and lets them have it
// deleted.
type DataPage struct {
	Frame
	Deletable bool      // the person may ask for it
	Days      int       // until it is done; 0 where an operator does it
	Requested bool      // the person has asked
	DueAt     time.Time // when it is done then
	Username  string    // that is typed to confirm
	// UsernameProblem says that something else was typed; nil for nothing.
	UsernameProblem *Text
	Next            string // sealed: what an application waits for; empty for nothing
}
