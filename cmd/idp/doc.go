// Command idp is an OAuth 2 and OpenID Connect authorization server, and the
// commands that operate it.
//
// It promises one static binary: the server (serve), a working demonstration on
// one machine (dev), and verbs on every object (client, user, group, role,
// resource, consent, session, key, token), which work on the configured
// database while a server runs on it. It refuses a configuration with faults,
// naming all of them at once with the place each came from, and it never takes
// a secret from its arguments.
//
// This package alone wires the others together and alone reads configuration,
// environment and clock. Read main.go first, then serve.go for how the parts
// make a server, then config.go for what can be set.
package main
