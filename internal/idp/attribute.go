package idp

import (
	"encoding/json"
	"maps"
	"slices"
)

// Attributes are what an account says beyond the standard claims: values as
// JSON, by the names that the operator declared. A value may stay that does not
// fit what is declared any more.
type Attributes map[string]json.RawMessage

// With returns the attributes with changes, of which null takes one away.
func (a Attributes) With(changes Attributes) Attributes {
	changed := Attributes{}
	maps.Copy(changed, a)
	for name, value := range changes {
		if changed[name] = value; string(value) == "null" {
			delete(changed, name)
		}
	}
	return changed
}

// AttributeKind says how a value of an attribute is written.
type AttributeKind string

// The kinds of attributes. One of AttributeJSON is a list, an object, or
// something of several kinds.
const (
	AttributeText    AttributeKind = "text"
	AttributeDate    AttributeKind = "date" // YYYY-MM-DD
	AttributeInteger AttributeKind = "integer"
	AttributeNumber  AttributeKind = "number"
	AttributeBoolean AttributeKind = "boolean"
	AttributeJSON    AttributeKind = "json"
)

// Attribute is one that the operator declared.
type Attribute struct {
	Name    string
	Kind    AttributeKind
	Choices []string          // the texts that there are; nil for any
	Titles  map[string]string // by language (BCP 47); "" is for all others
	Hint    string            // for whoever edits it; may be empty
	// Own says that the people themselves may change it.
	Own bool
	// Claim is what it is called in ID tokens and userinfo, where Scope is
	// granted; empty for an attribute that nobody is told.
	Claim, Scope string
}

// Title returns what the attribute is called in a language.
func (a *Attribute) Title(language string) string {
	for tag := language; tag != ""; tag = parentTag(tag) {
		if title, ok := a.Titles[tag]; ok {
			return title
		}
	}
	return firstOf(a.Titles[""], a.Name)
}

// parentTag is a language tag without its last part: "de" for "de-CH".
func parentTag(tag string) string {
	for i := len(tag) - 1; i >= 0; i-- {
		if tag[i] == '-' {
			return tag[:i]
		}
	}
	return ""
}

// TextOf returns a JSON value as it is typed: a text without its quotes.
func TextOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// IsReservedClaim reports whether a claim means something already, so that no
// attribute may be called so.
func IsReservedClaim(name string) bool {
	_, standard := claimScopes[name]
	return standard || slices.Contains(reservedClaims, name)
}

// Claims of tokens, userinfo and introspection that are not about the person
// (RFC 7519, RFC 7662, RFC 7800, RFC 8417, RFC 8693, RFC 9068, OpenID Connect
// Core and its logout specifications), and our own.
var reservedClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "auth_time", "at_hash", "c_hash", "s_hash", "acr", "amr", "sid",
	"sub_jwk", "_claim_names", "_claim_sources", "active", "scope", "client_id", "username", "token_type", "expires_in", "cnf", "act", "may_act",
	"events", "toe", "txn", "sub_id", "trust_framework", "verified_claims", "authorization_details",
	ClaimRoles, ClaimEntitlements, "gid",
}

// ClaimRules say what becomes of an account beyond the standard claims.
type ClaimRules struct {
	Attributes []Attribute
	Pictures   string // the address that the pictures of people are under, with a slash
}

// scope returns the scope that opens a claim, empty for none. A resource's scope
// opens nothing by the name of a claim: nobody would have been asked for it.
func (r ClaimRules) scope(claim string) string {
	if scope, ok := claimScopes[claim]; ok {
		return scope
	}
	for i := range r.Attributes {
		if a := &r.Attributes[i]; a.Claim == claim && IsIdentityScope(a.Scope) {
			return a.Scope
		}
	}
	return ""
}

// picture returns the address of a person's picture: the one they uploaded, or
// the one that the operator wrote down.
func (r ClaimRules) picture(u *User) string {
	if u.PictureID.IsZero() {
		return u.Profile.Picture
	}
	return r.Pictures + u.PictureID.String()
}

// Names lists the claims of attributes, sorted.
func (r ClaimRules) Names() []string {
	names := map[string]bool{}
	for i := range r.Attributes {
		if r.Attributes[i].Claim != "" {
			names[r.Attributes[i].Claim] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// add puts the attributes that a scope opens into claims.
func (r ClaimRules) add(claims map[string]any, scope string, attributes Attributes) {
	for i := range r.Attributes {
		a := &r.Attributes[i]
		if value, ok := attributes[a.Name]; ok && a.Claim != "" && a.Scope == scope {
			claims[a.Claim] = value
		}
	}
}
