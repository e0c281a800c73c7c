// Package declared brings an installation to what somebody wrote down: clients,
// resources, groups, roles, sign-in rules, and people who are not there yet.
//
// It promises that all faults are found together, each with its place in what
// was read; that a second time changes nothing; and that nobody is shown or told
// a secret but the one who asked. Everything goes through the service that
// commands and the admin API use, so the same input meets the same rules and
// leaves the same audit rows.
//
// It does not make the whole a unit: its caller runs Apply in a transaction and
// keeps that only without faults.
//
// People are made when they are not there, and never changed: an account belongs
// to its person from then on.
//
// Read object.go first, then apply.go; document.go reads YAML.
package declared
