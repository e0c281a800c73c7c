// Package e2e drives the built idp binary from outside: over HTTP, through its
// pages, by its commands, on SQLite and on a real Postgres. It knows nothing of
// the packages inside.
//
// harness.go starts nodes and runs commands; browser.go is a person at a
// browser without scripts; the tests lie beside them, one file per subject.
package e2e
