// Package users knows how people prove who they are: passwords (service.go),
// and the second factors and passkeys of factors.go.
//
// It promises that nobody learns from an answer, or from the work behind it,
// whether an account exists, is disabled, or has no password; that of any
// number of parallel guesses exactly the allowed number are evaluated, over
// all nodes; and that neither the number nor the length of passwords makes the
// process use more memory than it was given; that a code, a recovery code and a
// challenge are good once, over all nodes (RFC 6238 section 5.2), that secrets
// of factors are in the database only sealed or as keyed hashes, and that a
// passkey's answer is checked to the letter of Web Authentication Level 3,
// section 7.
//
// It promises as well that a link works once, for the newest mail, and that
// asking for one tells nobody who has an account (recovery.go).
//
// It refuses passwords of more than 1024 bytes before hashing, and new ones
// that are short or among those that guessers try first (password.go, NIST SP
// 800-63B section 3.1.1.2); it asks for no composition rules. Imported hashes of other kinds are
// accepted once and replaced at the next sign-in; until then, the work of
// checking them differs.
//
// Read service.go first, then factors.go and accounts.go.
package users
