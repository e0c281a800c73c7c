package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

// RSA moduli in bits. RS256 is there for clients that know nothing else, and
// signing with 2048 costs a third of 3072.
const (
	rs256Bits = 2048
	ps256Bits = 3072
)

// signingKey is a key that was unsealed and found to be what its row says.
type signingKey struct {
	row          idp.Key
	private      crypto.Signer
	public       crypto.PublicKey
	accessHeader string // encoded protected headers, one for each typ
	idHeader     string
	plainHeader  string // without a typ
}

// generateKey makes a key for the algorithm and seals its private half.
func generateKey(m *Master, alg string, createdAt, activeFrom time.Time) (idp.Key, error) {
	private, err := generatePrivate(alg)
	if err != nil {
		return idp.Key{}, err
	}
	kid, err := thumbprint(private.Public())
	if err != nil {
		return idp.Key{}, err
	}
	if kid[0] == '-' { // people give it to commands, which take a hyphen for a flag
		return generateKey(m, alg, createdAt, activeFrom)
	}
	jwk, err := json.Marshal(publicJWK(alg, kid, private.Public()))
	if err != nil {
		return idp.Key{}, fmt.Errorf("generate %s key: %w", alg, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return idp.Key{}, fmt.Errorf("generate %s key: %w", alg, err)
	}
	sealed, err := m.Seal(PurposeSigningKeys, der, keyPlace(kid, alg))
	if err != nil {
		return idp.Key{}, err
	}
	return idp.Key{KID: kid, Alg: alg, PublicJWK: jwk, SealedPrivate: sealed, CreatedAt: createdAt, ActiveFrom: activeFrom}, nil
}

func generatePrivate(alg string) (crypto.Signer, error) {
	switch alg {
	case idp.AlgES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case idp.AlgES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case idp.AlgES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case idp.AlgRS256:
		return rsa.GenerateKey(rand.Reader, rs256Bits)
	case idp.AlgPS256, idp.AlgRSAOAEP256:
		return rsa.GenerateKey(rand.Reader, ps256Bits)
	case idp.AlgECDHES, idp.AlgECDHESA256KW:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case idp.AlgEdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, idp.Invalid("alg", fmt.Sprintf("%q is none of %v", alg, idp.Algorithms()))
}

// openKey unseals a stored key. Everything about it has to fit together: a row
// that somebody wrote who lacks the master key is refused, so its public half
// never gets published.
func openKey(m *Master, row idp.Key) (*signingKey, error) {
	fault := func(what string) error {
		return fmt.Errorf("signing key %s (%s): %s: %w", row.KID, row.Alg, what, idp.ErrMalformed)
	}
	der, err := m.Open(PurposeSigningKeys, row.SealedPrivate, keyPlace(row.KID, row.Alg))
	if err != nil {
		return nil, fault("does not open; either the master key is not the one it was sealed with, or the stored key was altered")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fault("private key is not PKCS #8")
	}
	private, ok := parsed.(crypto.Signer)
	if !ok || !fits(row.Alg, private.Public()) {
		return nil, fault("private key is not for the algorithm")
	}
	if kid, err := thumbprint(private.Public()); err != nil || kid != row.KID {
		return nil, fault("private key is another key's")
	}
	var stored jose.JSONWebKey
	if err := stored.UnmarshalJSON(row.PublicJWK); err != nil || !stored.IsPublic() {
		return nil, fault("public key is not a public JWK")
	}
	if kid, err := thumbprint(stored.Key); err != nil || kid != row.KID {
		return nil, fault("public key is another key's")
	}
	return &signingKey{
		row:          row,
		private:      private,
		public:       private.Public(),
		accessHeader: protectedHeader(row.Alg, row.KID, typAccessToken),
		idHeader:     protectedHeader(row.Alg, row.KID, typIDToken),
		plainHeader:  protectedHeader(row.Alg, row.KID, ""),
	}, nil
}

// sameRow reports whether the key was opened from a row like this one.
func (k *signingKey) sameRow(row idp.Key) bool {
	return k.row.Alg == row.Alg && bytes.Equal(k.row.SealedPrivate, row.SealedPrivate) && bytes.Equal(k.row.PublicJWK, row.PublicJWK)
}

// keyPlace ties a sealed private key to its row.
func keyPlace(kid, alg string) []byte { return []byte("signing_keys|" + kid + "|" + alg) }

// curves has the curve of each ECDSA algorithm (RFC 7518 section 3.4).
var curves = map[string]elliptic.Curve{
	idp.AlgES256: elliptic.P256(), idp.AlgES384: elliptic.P384(), idp.AlgES512: elliptic.P521(),
}

// hashOf returns the hash function of a signature algorithm. Ed25519 hashes
// with SHA-512 (RFC 8032 section 5.1).
func hashOf(alg string) crypto.Hash {
	switch alg {
	case idp.AlgES384:
		return crypto.SHA384
	case idp.AlgES512, idp.AlgEdDSA:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// fits reports whether a key of ours is for the algorithm, and strong enough.
func fits(alg string, public crypto.PublicKey) bool {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if isEncryption(alg) {
			return alg != idp.AlgRSAOAEP256 && p.Curve == elliptic.P256()
		}
		return curves[alg] != nil && p.Curve == curves[alg]
	case *rsa.PublicKey:
		return alg == idp.AlgRS256 && p.N.BitLen() >= rs256Bits || (alg == idp.AlgPS256 || alg == idp.AlgRSAOAEP256) && p.N.BitLen() >= ps256Bits
	case ed25519.PublicKey:
		return alg == idp.AlgEdDSA
	}
	return false
}

// thumbprint is the key identifier: the SHA-256 thumbprint of RFC 7638.
func thumbprint(public crypto.PublicKey) (string, error) {
	jwk := jose.JSONWebKey{Key: public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("key thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

func publicJWK(alg, kid string, public crypto.PublicKey) jose.JSONWebKey {
	use := useSignature
	if isEncryption(alg) {
		use = useEncryption
	}
	return jose.JSONWebKey{Key: public, KeyID: kid, Algorithm: alg, Use: use}
}

// isEncryption reports whether keys of the algorithm are for others to encrypt
// to: they never sign, and nothing is verified with them.
func isEncryption(alg string) bool { return slices.Contains(idp.EncryptionAlgorithms(), alg) }

// keyAlgorithms lists everything that the server may have keys for.
func keyAlgorithms() []string { return append(idp.Algorithms(), idp.EncryptionAlgorithms()...) }

// signatureSize returns the length of the key's signatures in bytes.
func (k *signingKey) signatureSize() int {
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return p.Size()
	case *ecdsa.PublicKey:
		return 2 * scalarSize(p.Curve)
	}
	return ed25519.SignatureSize
}

// scalarSize returns the length of a curve's coordinates and scalars in bytes.
func scalarSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// sign returns the JWS signature of input (RFC 7518 sections 3.3 to 3.5,
// RFC 8037 section 3.1).
func (k *signingKey) sign(input []byte) ([]byte, error) {
	if private, ok := k.private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(private, input), nil
	}
	h := hashOf(k.row.Alg).New()
	h.Write(input)
	digest := h.Sum(nil)
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest)
		if err != nil {
			return nil, err
		}
		size := scalarSize(private.Curve)
		signature := make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature, nil
	case *rsa.PrivateKey:
		if k.row.Alg == idp.AlgPS256 {
			return rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest)
	}
	return nil, errors.New("key of an unknown type")
}
