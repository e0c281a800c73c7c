// Package snippets writes, for one client, what its developers paste into the
// stack that they use: filled with the client's own values, with the stack's
// trap in one sentence, and with what is wrong with the client for that stack.
//
// It promises that a value never leaves the place that it stands in, whatever
// characters somebody put into it. It never sees a secret: each text takes it
// from the environment (OIDC_CLIENT_SECRET).
//
// The texts are in stacks, a folder for each; stacks.go says for whom they are.
// Read snippets.go first.
package snippets
