package tokens

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"idp/internal/idp"
)

// What Seal and Open can be asked for. Each has a key of its own.
const (
	PurposeSigningKeys = "signing-keys"
	PurposeFlow        = "flow"
	// PurposeClientSecrets is for the secrets of client_secret_jwt.
	PurposeClientSecrets = "client-secrets"
	// PurposeFactors is for the secrets of authenticators, and for what goes
	// through the browser while a factor is set up or used.
	PurposeFactors = "factors"
	// PurposeMail is for messages to people, which may hold links that work once.
	PurposeMail = "mail"
	// PurposeLinks is for what was asked for a link with.
	PurposeLinks = "links"
	// PurposePages is for where a list goes on.
	PurposePages = "pages"
	// PurposeAnswers is for answers that may be given again.
	PurposeAnswers = "answers"
	// PurposeACME is for the keys of TLS certificates.
	PurposeACME = "acme"
)

// What keyed hashes are made for. Each has a key of its own, and none of them
// ever encrypts.
const (
	purposeBrowser      = "browser"
	purposeClientSecret = "client-secret"
	purposeOpaque       = "opaque"
	purposePairwise     = "pairwise"
	purposeCheck        = "check"
	purposeRecovery     = "recovery-code"
	purposeAudit        = "audit"
)

const (
	masterKeySize = 32
	sealVersion   = 1
	sealSaltSize  = 16
	secretPrefix  = "hmac-sha256:"
)

// Master derives every secret of the server from the one key that the
// operator keeps. It prints as a placeholder.
type Master struct {
	keys map[string][]byte
}

// NewMaster derives the keys for all purposes from key, which has at least 32
// bytes of entropy (HKDF-SHA256, RFC 5869). The error does not show the key.
func NewMaster(key []byte) (*Master, error) {
	if len(key) < masterKeySize {
		return nil, fmt.Errorf("master key: %d bytes are too few, want at least %d", len(key), masterKeySize)
	}
	if bytes.Count(key, key[:1]) == len(key) {
		return nil, errors.New("master key: the same byte over and over is not a key")
	}
	m := &Master{keys: map[string][]byte{}}
	for _, purpose := range []string{PurposeSigningKeys, PurposeFlow, PurposeClientSecrets, PurposeFactors, PurposeMail, PurposeLinks, PurposePages, PurposeAnswers, PurposeACME, purposeBrowser, purposeClientSecret, purposeOpaque, purposePairwise, purposeCheck, purposeRecovery, purposeAudit} {
		subkey, err := hkdf.Key(sha256.New, key, nil, "idp/1/"+purpose, masterKeySize)
		if err != nil {
			return nil, fmt.Errorf("master key: derive the key for %s: %w", purpose, err)
		}
		m.keys[purpose] = subkey
	}
	return m, nil
}

// ParseMasterKey reads a master key of at least 32 bytes written as hex or as
// base64 of either alphabet, padded or not. White space around it is ignored.
// The error does not show the text.
func ParseMasterKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	body := strings.TrimRight(text, "=")
	decode := base64.RawStdEncoding.Strict().DecodeString
	switch {
	// Hex digits are base64 as well, but no base64 of a random key is hex.
	case strings.Trim(text, "0123456789abcdefABCDEF") == "":
		decode = hex.DecodeString
	case strings.ContainsAny(body, "-_"):
		decode = base64.RawURLEncoding.Strict().DecodeString
	}
	key, err := decode(body)
	switch {
	case err != nil || strings.ContainsAny(body, "\r\n") || len(text)-len(body) > 2:
		return nil, errors.New("master key: want base64 or hex")
	case len(key) < masterKeySize:
		return nil, fmt.Errorf("master key: %d bytes are too few, want at least %d as base64 or hex", len(key), masterKeySize)
	}
	return key, nil
}

// GenerateMasterKey returns a new master key, 32 random bytes in base64.
func GenerateMasterKey() string {
	key := make([]byte, masterKeySize)
	rand.Read(key) // ends the process when the system has no randomness
	return base64.StdEncoding.EncodeToString(key)
}

// Format prints a placeholder, whatever the verb.
func (*Master) Format(f fmt.State, _ rune) { io.WriteString(f, "[master key]") }

// Seal encrypts plaintext for a purpose with AES-256-GCM. Additional data is
// not stored: it ties the result to its place, and Open needs the same.
func (m *Master) Seal(purpose string, plaintext, additional []byte) ([]byte, error) {
	out := make([]byte, 1+sealSaltSize, 1+sealSaltSize+28+len(plaintext))
	out[0] = sealVersion
	rand.Read(out[1:])
	aead, err := m.aead(purpose, out)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, plaintext, additional), nil
}

// Open decrypts what Seal made for the same purpose and additional data.
// Anything else is idp.ErrMalformed.
func (m *Master) Open(purpose string, sealed, additional []byte) ([]byte, error) {
	if len(sealed) < 1+sealSaltSize || sealed[0] != sealVersion {
		return nil, fmt.Errorf("open %s: %w", purpose, idp.ErrMalformed)
	}
	aead, err := m.aead(purpose, sealed[:1+sealSaltSize])
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed[1+sealSaltSize:], additional)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", purpose, idp.ErrMalformed)
	}
	return plaintext, nil
}

// aead returns AES-256-GCM under a key for this one message. A random 96-bit
// nonce alone wears a key out after 2^32 messages (NIST SP 800-38D section
// 8.3), which a busy server seals; with 128 random bits in the key it lasts.
func (m *Master) aead(purpose string, head []byte) (cipher.AEAD, error) {
	switch purpose {
	case PurposeSigningKeys, PurposeFlow, PurposeClientSecrets, PurposeFactors, PurposeMail, PurposeLinks, PurposePages, PurposeAnswers, PurposeACME:
	default:
		return nil, fmt.Errorf("seal: unknown purpose %q", purpose)
	}
	block, err := aes.NewCipher(m.mac(purpose, head))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// CheckValue derives from the master key and may be stored in the open: where
// it differs from the stored one, the master key is a different one.
func (m *Master) CheckValue() []byte { return m.mac(purposeCheck, []byte("master key")) }

// AuditKey returns the key that signs the checkpoints of the audit's log.
func (m *Master) AuditKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(m.mac(purposeAudit, []byte("checkpoints")))
}

// PairwiseSubject returns the identifier by which the clients of a sector know a
// person (OpenID Connect Core section 8.1). It is the same for ever, and tells
// nothing of the person to whoever lacks the master key.
func (m *Master) PairwiseSubject(sector, userID string) string {
	return base64.RawURLEncoding.EncodeToString(m.mac(purposePairwise, []byte(sector), []byte{0}, []byte(userID)))
}

// Bind returns the keyed hash of the cookie that binds a flow to its browser.
func (m *Master) Bind(secret string) []byte { return m.mac(purposeBrowser, []byte(secret)) }

// HashSecret returns what is stored of a client secret that carries 256 bits
// of randomness: "hmac-sha256:" and the keyed hash in base64url. It is not for
// secrets that people think up.
func (m *Master) HashSecret(secret string) string {
	return secretPrefix + base64.RawURLEncoding.EncodeToString(m.mac(purposeClientSecret, []byte(secret)))
}

// VerifySecret reports, in constant time, whether hash is what HashSecret
// makes of presented. Nothing matches an empty hash, and an empty secret
// matches nothing.
func (m *Master) VerifySecret(hash, presented string) bool {
	if hash == "" || presented == "" {
		return false
	}
	return hmac.Equal([]byte(hash), []byte(m.HashSecret(presented)))
}

// SealSecret returns what is stored of a client secret that must be known
// again: the key of an HMAC cannot be checked against a hash.
func (m *Master) SealSecret(clientID string, id idp.ID, secret idp.Secret) ([]byte, error) {
	return m.Seal(PurposeClientSecrets, []byte(secret.Reveal()), secretPlace(clientID, id))
}

// OpenSecret returns a client secret that was sealed. One that is another
// client's, or another of its secrets, is idp.ErrMalformed.
func (m *Master) OpenSecret(clientID string, secret idp.ClientSecret) (idp.Secret, error) {
	text, err := m.Open(PurposeClientSecrets, secret.Sealed, secretPlace(clientID, secret.ID))
	return idp.Secret(text), err
}

// secretPlace ties a sealed client secret to its row.
func secretPlace(clientID string, id idp.ID) []byte {
	return []byte("client_secrets|" + clientID + "|" + id.String())
}

func (m *Master) mac(purpose string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, m.keys[purpose])
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}
