package declared

import (
	"fmt"
	"strings"

	"idp/internal/admin"
	"idp/internal/idp"
)

// Kind is a kind of objects.
type Kind string

// The kinds, in the order in which they are made: nothing comes before what it
// names.
const (
	KindGroup      Kind = "group"
	KindResource   Kind = "resource"
	KindRole       Kind = "role"
	KindClient     Kind = "client"
	KindSignInRule Kind = "sign-in rule"
	KindUser       Kind = "user"
	// KindOther is what cannot be had here. It is there to be reported.
	KindOther Kind = "other"
)

// kinds are those that can be made, in that order.
var kinds = []Kind{KindGroup, KindResource, KindRole, KindClient, KindSignInRule, KindUser}

// Object is one thing that is wanted. Of the last fields its kind has one.
type Object struct {
	Kind  Kind
	Name  string // group and role name, audience, client_id, rule name, user name
	Where string // the place in what was read: FILE:LINE and whatever else helps
	// Places are those of single fields, and of values in lists by "field value".
	Places map[string]string
	// Notes say what of it does not come along, and what to do about it.
	Notes []string
	// Faults were found while reading. A field that has one is not judged again.
	Faults []Fault
	// Skip says why it is left out, if it is.
	Skip string

	Group      idp.Group
	Resource   idp.Resource
	Role       idp.Role
	Client     Client
	SignInRule idp.SignInRule
	User       User
}

// Client is a client that is wanted. Its secret is for one that is not there yet.
type Client struct {
	admin.ClientInput
	Disabled *bool // nil leaves it as it is
	// Unsecret makes a secret that nobody is told, so that the client can do
	// nothing until it is given another.
	Unsecret bool
}

// User is a person who is wanted.
type User struct {
	admin.UserInput
	Disabled       bool
	Groups, Roles  []string
	Authenticators []Authenticator
}

// Authenticator is an app of a person that shows codes: SHA-1, six digits, 30
// seconds.
type Authenticator struct {
	Name   string
	Secret []byte
}

// Fault is one thing wrong with an object.
type Fault struct {
	Where  string
	Object string // its kind and name; empty for a fault of the document
	Field  string
	Reason string
}

func (f Fault) String() string {
	parts := make([]string, 0, 4)
	for _, part := range []string{f.Where, f.Object, f.Field, f.Reason} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Faults are all that is wrong with a document.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// fault returns a fault of a field, at its place.
func (o *Object) fault(field, reason string) Fault {
	where := o.Where
	if place, ok := o.Places[field]; ok {
		where = place
	}
	for value, place := range o.Places {
		if rest, ok := strings.CutPrefix(value, field+" "); ok && strings.HasPrefix(reason, fmt.Sprintf("%+q", rest)) {
			where = place
		}
	}
	return Fault{Where: where, Object: strings.TrimSpace(string(o.Kind) + " " + o.Name), Field: field, Reason: reason}
}

// faulty reports whether a field was found wrong while reading.
func (o *Object) faulty(field string) bool {
	for _, f := range o.Faults {
		if f.Field == field || strings.HasPrefix(f.Field, field+".") || strings.HasPrefix(f.Field, field+"[") {
			return true
		}
	}
	return false
}
