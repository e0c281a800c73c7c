// Package foreign reads what other authorization servers export, as objects that
// package declared makes here: a realm of Keycloak, a list of clients of Ory
// Hydra, a configuration of Dex; and a table of people for any other.
//
// It promises to leave nothing out silently: what cannot be had here is a note of
// its object, or an object that is skipped. Subject identifiers stay what
// applications know people by, and password hashes are written anew in the form
// that this server checks; nothing is hashed or decided here.
//
// Read reader.go first, then the file of a source.
package foreign
