package idp

import (
	"encoding/json"
	"time"
)

// Flow is an authorization request on its way through the pages: what the
// client asked, when, in which browser, and what the person has answered. It
// travels sealed in the pages' links and forms, so nothing is stored until
// something is granted, and every node can go on with it.
type Flow struct {
	// Request is the authorization request, urlencoded; empty for somebody who
	// just wants to sign in here.
	Request     string    `json:"r,omitempty"`
	RequestedAt time.Time `json:"t"`
	// Pushed is the opaque part of the request_uri, when the client sent the
	// request ahead (RFC 9126).
	Pushed string `json:"p,omitempty"`
	// Signed says that the request came in a request object, whose signature by
	// the client was verified (RFC 9101).
	Signed bool `json:"j,omitempty"`
	// Browser is the hash of the browser's binding cookie: a flow in another
	// browser's hands is worthless.
	Browser []byte `json:"b"`
	// Logout is what an application said when it asked to sign the person out,
	// urlencoded; empty for anything else.
	Logout string `json:"l,omitempty"`
	// Here is the path and query of a page that must not repeat them, to come
	// back to when another language or theme was chosen.
	Here string `json:"h,omitempty"`
	// Denied says that the person refused.
	Denied bool `json:"d,omitempty"`
	// AccountChosen is the session in which the person chose to go on.
	AccountChosen string `json:"a,omitempty"`
	// To is the path of a page here that the person wants to see once signed in;
	// only without a Request.
	To string `json:"o,omitempty"`
	// Link is the secret of a link that the person opened.
	Link string `json:"k,omitempty"`
	// Fresh says that the page in To wants a sign-in made since RequestedAt, and
	// ACR the class that it wants; empty for any.
	Fresh bool   `json:"n,omitempty"`
	ACR   string `json:"c,omitempty"`
	// Proof is what the person has proven so far, while that is not enough for
	// a session.
	Proof *Proof `json:"f,omitempty"`
	// Unreachable is an authentication context class that was asked for and
	// that the person has nothing to reach it with.
	Unreachable string `json:"u,omitempty"`
	// Shown is a digest of what a consent page showed: approving allows that
	// and nothing else.
	Shown []byte `json:"s,omitempty"`
}

// MarshalBinary encodes the flow for sealing.
func (f Flow) MarshalBinary() ([]byte, error) { return json.Marshal(f) }

// UnmarshalBinary reads what MarshalBinary wrote.
func (f *Flow) UnmarshalBinary(data []byte) error { return json.Unmarshal(data, f) }

// Interaction is what the sign-in and consent pages need to know of a flow.
type Interaction struct {
	Client    *Client // nil for a flow without a request
	LoginHint string
	UILocales string
	// SelectAccount says that the request asks the person to choose an account.
	SelectAccount bool
	// ACR is the class of sign-in that the session still has to reach; empty
	// for none. SetUp says that the person has to set up a factor for it, if
	// there is none: the policy asks for it.
	ACR   string
	SetUp bool
	// Scopes and Resources are what the person is asked to allow.
	Scopes      []ConsentScope
	Resources   []string // audiences, for storing
	RedirectURI string
	// NewScopes is what was not allowed before.
	NewScopes []string
}

// ConsentScope is one line of the consent page.
type ConsentScope struct {
	Name        string
	Description string
	Resource    string // the resource's display name; empty for the issuer's own
}
