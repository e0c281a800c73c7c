// Package adminclient is the admin API as a program calls it: one method for
// each operation that openapi.yaml describes, and the types of what is sent.
// All but this file is generated from that text, by
//
//	go generate ./internal/adminapi/adminclient
//
// which also writes down which text it was. It promises the addresses and the
// parameters; what an answer means is for the caller to read.
package adminclient

//go:generate go tool oapi-codegen -config generate.yaml ../openapi.yaml
//go:generate sh -c "sha256sum <../openapi.yaml >openapi.sha256"
