// Package attributes reads what the operator declares of accounts beyond the
// standard claims: a JSON Schema (draft 2020-12) of one object, whose properties
// are the attributes.
//
// Beside the vocabulary of JSON Schema a property says who may change it
// (x-idp-edit), which claim it becomes (x-idp-claim) where which scope is granted
// (x-idp-scope), and what it is called in other languages (x-idp-title).
//
// It refuses a schema that could not be kept to: properties that are not
// declared, claims that mean something already, references to other documents.
// It never refuses values because they are there: a value that fits no more is
// told of, and refused only where it is written.
//
// Read schema.go first.
package attributes
