// Package idp holds the nouns that the RFCs name: client, user, session,
// consent, grant, token, key, resource, role, and the audit events about them.
//
// It promises pure values and pure decisions: nothing here reads a clock, a
// disk, a socket or a random source. Every other package speaks in these types
// and none of them knows its siblings; package main wires them.
//
// Read grant.go first (what a sign-in leaves behind), then gate.go (the one
// place that says whether it still lives).
package idp
