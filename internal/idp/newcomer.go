package idp

// Newcomer is how somebody wants their own account to be, who has a link to one.
type Newcomer struct {
	Name, Username string
	Password       Secret         // empty with a passkey
	Passkey        *PasskeyAnswer // instead of a password; nil for none
	Terms          string         // the version of the terms that they accepted
}

// PasskeyAnswer is what a browser brings back from a Ceremony.
type PasskeyAnswer struct {
	Sealed   string // of the Ceremony
	Response []byte // the JSON of the credential
}

// FirstPasskey is the passkey that an account begins with.
type FirstPasskey struct {
	Passkey
	// Handle is the name under which authenticators know the person.
	Handle    []byte
	Challenge Challenge
}

// Terms are what people accept who come to an account; without an address there
// are none.
type Terms struct {
	URL     string
	Version string
}

// Registered is an account that somebody made for themselves.
type Registered struct {
	User    User
	Factors []Factor // proven by making it
	// From is where they asked for it: in which browser, and on the way to what.
	From Flow
}
