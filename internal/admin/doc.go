// Package admin creates, changes, disables and deletes what an operator rules:
// clients, users, groups, roles, resources, consents and sessions. Commands,
// an API and a console use this one service, so the same input meets the same
// checks and leaves the same audit row whichever way it came.
//
// It promises that nothing is registered that the server would have to refuse
// later: redirect URIs are exact, unambiguous and end at the client (RFC 6749
// section 3.1.2, RFC 9700 section 4.1, RFC 8252 section 7), scopes belong to
// a resource of the client's audience, and everything named exists. All faults
// of an input are reported together, each as an *idp.InvalidError with the
// name that RFC 7591 gives the field.
//
// It refuses to hand out a secret twice: a client secret is returned when it
// is made, and only a keyed hash is kept. Deleting a client or user leaves
// nothing that another one of the same name could inherit. What somebody else
// still names (a group, a resource, a scope) is not deleted.
//
// Read service.go first, then client_metadata.go and redirect_uri.go.
package admin
