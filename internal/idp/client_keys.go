package idp

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// JWKSet is a JSON Web Key Set (RFC 7517 section 5) as a client registered it.
type JWKSet []byte

// MarshalJSON returns the set as it is.
func (s JWKSet) MarshalJSON() ([]byte, error) { return json.RawMessage(s).MarshalJSON() }

// UnmarshalJSON keeps the set as it is; what is in it is for others to judge.
func (s *JWKSet) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		*s = nil
		return nil
	}
	*s = slices.Clone(raw)
	return nil
}

// MarshalYAML shows the set as a YAML mapping.
func (s JWKSet) MarshalYAML() (any, error) {
	if len(s) == 0 {
		return nil, nil
	}
	var set map[string]any
	err := json.Unmarshal(s, &set)
	return set, err
}

// UnmarshalYAML reads the set from a YAML mapping.
func (s *JWKSet) UnmarshalYAML(unmarshal func(any) error) error {
	var set map[string]any
	if err := unmarshal(&set); err != nil {
		return err
	}
	if set == nil {
		*s = nil
		return nil
	}
	raw, err := json.Marshal(set)
	if err != nil {
		return errors.New("jwks is not a JSON Web Key Set")
	}
	*s = raw
	return nil
}

// AssertionAlgorithms lists what client assertions of private_key_jwt, and
// whatever else a client signs with its own key, may be signed with.
func AssertionAlgorithms() []string {
	return []string{AlgES256, AlgES384, AlgES512, AlgEdDSA, AlgPS256, AlgRS256}
}

// HasKeys reports whether the client registered keys of its own.
func (m *ClientMetadata) HasKeys() bool { return len(m.JWKS) > 0 || m.JWKSURI != "" }

// KeyAlgorithms lists the algorithms for which the server must have keys of its
// own to serve the client: what it signs for it where that is not the default,
// and what the client encrypts to it.
func (m *ClientMetadata) KeyAlgorithms() []string {
	var algs []string
	for _, alg := range []string{m.AccessTokenSigningAlg, m.IDTokenSignedResponseAlg, m.UserinfoSignedResponseAlg} {
		if slices.Contains(Algorithms(), alg) {
			algs = append(algs, alg)
		}
	}
	if slices.Contains(EncryptionAlgorithms(), m.RequestObjectEncryptionAlg) {
		algs = append(algs, m.RequestObjectEncryptionAlg)
	}
	return algs
}

// ClientAssertion is a verified JWT by which a client proved who it is
// (RFC 7523 section 3).
type ClientAssertion struct {
	ClientID  string
	ID        string // jti
	ExpiresAt time.Time
}

// AudienceRule says which aud values a client may address this issuer by.
type AudienceRule struct {
	Accepted []string
	// Single takes aud as one string only, not as an array.
	Single bool
}
