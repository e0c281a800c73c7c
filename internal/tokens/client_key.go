package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

const (
	// maxKeySet bounds a client's key set, in bytes, and maxClientKeys in keys.
	maxKeySet     = 64 << 10
	maxClientKeys = 50
	// maxTriedKeys bounds how many keys a signature is checked with.
	maxTriedKeys = 10

	minRSABits = 2048
	maxRSABits = 8192
)

// The uses of a key (RFC 7517 section 4.2).
const (
	useSignature  = "sig"
	useEncryption = "enc"
)

// errForeignKey says that a key is sound for all that can be told, and of no
// use here.
var errForeignKey = errors.New("is of a kind that is not supported")

// clientKey is one public key of a client that is fit for use.
type clientKey struct {
	kid    string
	use    string   // empty for any
	alg    string   // empty for any that fits
	ops    []string // key_ops; nil for any
	public crypto.PublicKey
}

// parseKeySet reads a client's key set. What is no key set at all is the
// error. Keys that must not be used come back as faults: a set may hold keys
// of kinds that only others understand.
func parseKeySet(raw []byte) (keys []clientKey, faults []error, err error) {
	if len(raw) > maxKeySet {
		return nil, nil, fmt.Errorf("is longer than %d bytes", maxKeySet)
	}
	set, err := readClaims(raw)
	if err != nil {
		return nil, nil, errors.New("is not a JSON Web Key Set")
	}
	var members []json.RawMessage
	if set.read("keys", &members, true); set.err != nil {
		return nil, nil, errors.New("is not a JSON Web Key Set")
	}
	if len(members) > maxClientKeys {
		return nil, nil, fmt.Errorf("holds more than %d keys", maxClientKeys)
	}
	for i, member := range members {
		key, err := parseClientKey(member)
		if err != nil {
			faults = append(faults, fmt.Errorf("key %d %w", i+1, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, faults, nil
}

// parseClientKey reads one public key (RFC 7517 section 4).
func parseClientKey(raw []byte) (clientKey, error) {
	members, err := readClaims(raw)
	if err != nil {
		return clientKey{}, errors.New("is not a JSON object, or has a member twice")
	}
	kty := members.text("kty", true)
	key := clientKey{kid: members.text("kid", false), use: members.text("use", false), alg: members.text("alg", false), ops: members.list("key_ops")}
	if members.err != nil {
		return clientKey{}, errors.New("has a member of the wrong type")
	}
	if kty == "oct" {
		return clientKey{}, errors.New("is a symmetric key: only public keys may be registered")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, ok := members.claims[private]; ok {
			return clientKey{}, errors.New("holds a private key: it is no longer secret, make a new one")
		}
	}
	crv := members.text("crv", false)
	known := kty == "RSA" || kty == "EC" && slices.Contains([]string{"P-256", "P-384", "P-521"}, crv) || kty == "OKP" && crv == "Ed25519"
	if !known || key.alg != "" && !slices.Contains(idp.AssertionAlgorithms(), key.alg) && !slices.Contains(idp.EncryptionAlgorithms(), key.alg) {
		return clientKey{}, errForeignKey
	}
	// Only the numbers are read by the library: no certificate, no URL.
	bare := map[string]json.RawMessage{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if value, ok := members.claims[name]; ok {
			bare[name] = value
		}
	}
	text, err := json.Marshal(bare)
	if err != nil {
		return clientKey{}, errors.New("is not a JWK")
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil || !jwk.Valid() {
		return clientKey{}, fmt.Errorf("is not a valid public key of type %s", kty)
	}
	key.public = jwk.Key
	if p, ok := key.public.(*rsa.PublicKey); ok {
		err = rsaFault(p)
	}
	if err == nil && key.alg != "" && !slices.Contains(key.algorithms(), key.alg) {
		err = errors.New("has an alg that its type does not fit")
	}
	return key, err
}

// algorithms lists what the key's type is good for.
func (k *clientKey) algorithms() []string {
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return []string{idp.AlgRS256, idp.AlgPS256, idp.AlgRSAOAEP256}
	case *ecdsa.PublicKey:
		algs := []string{idp.AlgECDHES, idp.AlgECDHESA256KW}
		for alg, curve := range curves {
			if p.Curve == curve {
				algs = append(algs, alg)
			}
		}
		return algs
	case ed25519.PublicKey:
		return []string{idp.AlgEdDSA}
	}
	return nil
}

// serves reports whether the key may be used for the purpose with the
// algorithm.
func (k *clientKey) serves(use, alg string) bool {
	ops := []string{"verify"}
	if use == useEncryption {
		ops = []string{"encrypt", "wrapKey", "deriveKey", "deriveBits"}
	}
	return (k.use == "" || k.use == use) && (k.alg == "" || k.alg == alg) &&
		(k.ops == nil || slices.ContainsFunc(k.ops, func(op string) bool { return slices.Contains(ops, op) })) &&
		slices.Contains(k.algorithms(), alg)
}

// rsaFault says why an RSA key must not be trusted.
func rsaFault(key *rsa.PublicKey) error {
	switch bits := key.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return fmt.Errorf("is an RSA key of %d bits, which must be %d to %d", bits, minRSABits, maxRSABits)
	case key.E != 65537:
		return errors.New("is an RSA key whose exponent is not 65537")
	case smallFactor(key.N):
		return errors.New("is an RSA key with small factors")
	case infineonKey(key.N):
		return errors.New("is an RSA key from a generator that is known to be weak (CVE-2017-15361)")
	case closePrimes(key.N):
		return errors.New("is an RSA key whose primes are too close to each other (CVE-2022-26320)")
	}
	return nil
}

// smallPrimes are the odd primes up to 167: those by which the fingerprint of
// CVE-2017-15361 shows.
var smallPrimes = []int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
	127, 131, 137, 139, 149, 151, 157, 163, 167,
}

func smallFactor(n *big.Int) bool {
	return n.Bit(0) == 0 || slices.ContainsFunc(smallPrimes, func(p int64) bool {
		return new(big.Int).Mod(n, big.NewInt(p)).Sign() == 0
	})
}

// infineonKey recognises moduli of the generator behind CVE-2017-15361: modulo
// every small prime they are a power of 65537. A good key is so once in 2^27.
func infineonKey(n *big.Int) bool {
	for _, p := range smallPrimes {
		residue := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for power != residue {
			if power = power * (65537 % p) % p; power == 1 {
				return false
			}
		}
	}
	return true
}

// closePrimes factors n by Fermat's method, as far as a few steps get: they
// suffice when the primes share their upper half.
func closePrimes(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) == 0 {
		return true
	}
	one := big.NewInt(1)
	for range 100 {
		a.Add(a, one)
		b2 := new(big.Int).Sub(new(big.Int).Mul(a, a), n)
		b := new(big.Int).Sqrt(b2)
		if b.Mul(b, b).Cmp(b2) == 0 {
			return true
		}
	}
	return false
}
