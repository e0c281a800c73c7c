package idp

import (
	"slices"
	"time"
)

// Signature algorithms, RFC 7518 section 3.1 and RFC 8037.
const (
	AlgRS256 = "RS256"
	AlgPS256 = "PS256"
	AlgES256 = "ES256"
	AlgES384 = "ES384"
	AlgES512 = "ES512"
	AlgEdDSA = "EdDSA"
	// AlgHS256 is for client assertions alone.
	AlgHS256 = "HS256"
)

// Algorithms lists the algorithms that tokens can be signed with.
func Algorithms() []string {
	return []string{AlgES256, AlgRS256, AlgPS256, AlgEdDSA, AlgES384, AlgES512}
}

// Key management algorithms, RFC 7518 section 4.1.
const (
	AlgRSAOAEP256   = "RSA-OAEP-256"
	AlgECDHES       = "ECDH-ES"
	AlgECDHESA256KW = "ECDH-ES+A256KW"
)

// EncryptionAlgorithms lists how a content key can be given to a client.
func EncryptionAlgorithms() []string {
	return []string{AlgRSAOAEP256, AlgECDHES, AlgECDHESA256KW}
}

// Content encryption algorithms, RFC 7518 section 5.1.
const (
	EncA128CBCHS256 = "A128CBC-HS256"
	EncA256CBCHS512 = "A256CBC-HS512"
	EncA128GCM      = "A128GCM"
	EncA256GCM      = "A256GCM"
)

// ContentEncryptions lists how what is encrypted to a client can be encrypted.
func ContentEncryptions() []string {
	return []string{EncA128GCM, EncA256GCM, EncA128CBCHS256, EncA256CBCHS512}
}

// KeyState is where a key stands in its life.
type KeyState string

// next: published, not signing yet. active: signs. retiring: published until
// its last token has died. retired: no longer published.
const (
	KeyNext     KeyState = "next"
	KeyActive   KeyState = "active"
	KeyRetiring KeyState = "retiring"
	KeyRetired  KeyState = "retired"
)

// Key is a signing key as it is stored: the private half is sealed under the
// master key.
//
// Its state is a function of the clock and of its successors, never a column:
// all nodes see the same state at the same instant without telling each other.
type Key struct {
	KID           string
	Alg           string
	PublicJWK     []byte // RFC 7517, with kid, alg and use
	SealedPrivate []byte
	CreatedAt     time.Time
	ActiveFrom    time.Time // when it starts to sign
	RetiredAt     time.Time // set by hand: no longer published from then on; zero otherwise
}

// StatedKey is a key with its state at some instant.
type StatedKey struct {
	Key
	State KeyState
	// Until is when the state ends by itself; zero if it does not.
	Until time.Time
}

// KeyStates returns the state of every key at now, ordered by algorithm and
// then by ActiveFrom. Retain is how long a superseded key stays published: the
// longest life of a token plus the time that a JWKS may be cached.
func KeyStates(keys []Key, now time.Time, retain time.Duration) []StatedKey {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(a, b Key) int {
		if a.Alg != b.Alg {
			if a.Alg < b.Alg {
				return -1
			}
			return 1
		}
		if c := a.ActiveFrom.Compare(b.ActiveFrom); c != 0 {
			return c
		}
		if a.KID < b.KID {
			return -1
		}
		return 1
	})
	out := make([]StatedKey, len(sorted))
	for i, k := range sorted {
		out[i] = StatedKey{Key: k}
		switch {
		case !k.RetiredAt.IsZero() && !now.Before(k.RetiredAt):
			out[i].State = KeyRetired
			continue
		case now.Before(k.ActiveFrom):
			out[i].State, out[i].Until = KeyNext, k.ActiveFrom
			continue
		}
		successor := successorOf(sorted[i+1:], k.Alg, now)
		switch {
		case successor.IsZero():
			out[i].State = KeyActive
		case now.Before(successor.Add(retain)):
			out[i].State, out[i].Until = KeyRetiring, successor.Add(retain)
		default:
			out[i].State = KeyRetired
		}
	}
	return out
}

// successorOf returns when the first later key of the algorithm began to sign.
func successorOf(later []Key, alg string, now time.Time) time.Time {
	for _, k := range later {
		if k.Alg == alg && !now.Before(k.ActiveFrom) && (k.RetiredAt.IsZero() || k.RetiredAt.After(k.ActiveFrom)) {
			return k.ActiveFrom
		}
	}
	return time.Time{}
}
