// Package console is the face of internal/admin that administrators see in a
// browser, below /console.
//
// It promises that nobody gets in who is not signed in, is not in the group
// idp-admins at that moment, or has not met the sign-in rules that apply; that
// what is dangerous (deleting, disabling, secrets, keys, rules, administrators)
// takes a sign-in of a moment ago; that a secret is shown once, in the answer to
// the form that made it, and never stands in an address; and that everything
// works by links and forms.
//
// It decides nothing itself: rules live in internal/admin, which commands and
// the admin API use as well. Its pages are in English only.
//
// A page is a line in the table of console.go: a function that shows it, and
// one that acts on its form. What goes wrong in the form comes back on the same
// page, with all that was typed.
//
// Read console.go first, then page.go.
package console
