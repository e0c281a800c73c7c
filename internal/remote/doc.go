// Package remote is package admin at a distance: what an operator rules, done
// on another machine by its admin API. Its methods have the names, inputs and
// answers of admin.Service, so that whoever uses the one can use the other.
//
// It promises that what goes wrong there reads as it would have here: an
// *idp.InvalidError for each fault of an input, idp.ErrNotFound, idp.ErrConflict
// and idp.ErrForbidden with the words of the service, and idp.ErrUnavailable
// where nothing answers. What is read and then changed is changed only as it
// was read (RFC 9110 section 13.1.1), and what is made is made once, also when
// the answer is lost on the way (Idempotency-Key).
//
// It sends the access token to the one server that it was made for, over TLS or
// to this machine, follows no redirects, and puts the token into no URL, error or
// log.
//
// Read service.go first.
package remote
