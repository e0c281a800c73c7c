package audit

import (
	"crypto/ed25519"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"idp/internal/idp"
)

// Checkpoint says what the log was at some size, signed: a note in the format of
// https://c2sp.org/tlog-checkpoint, which witnesses of any make understand.
type Checkpoint struct {
	Origin string // names the log
	Size   int64
	Root   tlog.Hash
	Note   string // with its signatures
}

// Origin returns the name of an issuer's log.
func Origin(issuer string) string {
	_, name, _ := strings.Cut(issuer, "://")
	return strings.NewReplacer("+", "%2B", " ", "%20").Replace(strings.TrimSuffix(name, "/")) + "/audit"
}

// LogOrigin returns the name of the log that ends with a seal: it keeps it when
// the issuer changes.
func LogOrigin(last idp.Seal) string {
	origin, _, _ := strings.Cut(last.Checkpoint, "\n")
	return origin
}

// VerifierKey returns the key that a log's checkpoints are checked with, in the
// form that notes know (https://c2sp.org/signed-note).
func VerifierKey(origin string, key ed25519.PublicKey) (string, error) {
	return note.NewEd25519VerifierKey(origin, key)
}

// Verifier checks the checkpoints of one log.
type Verifier struct{ by note.Verifier }

// NewVerifier reads what VerifierKey wrote.
func NewVerifier(key string) (Verifier, error) {
	by, err := note.NewVerifier(key)
	if err != nil {
		return Verifier{}, fmt.Errorf("%w: no key of a log: %w", idp.ErrMalformed, err)
	}
	return Verifier{by}, nil
}

// Open reads a checkpoint. What the log's key did not sign is
// idp.ErrMalformed. Signatures of others do no harm.
func (v Verifier) Open(text string) (Checkpoint, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(v.by))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: not signed by the key of %s", idp.ErrMalformed, v.by.Name())
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != v.by.Name() {
		return Checkpoint{}, fmt.Errorf("%w: no checkpoint of %s", idp.ErrMalformed, v.by.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint without a size", idp.ErrMalformed)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint without a root", idp.ErrMalformed)
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root, Note: text}, nil
}

// signer signs as the log.
type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (s signer) Sign(text []byte) ([]byte, error) { return ed25519.Sign(s.key, text), nil }

func newSigner(origin string, key ed25519.PrivateKey) (signer, error) {
	verifierKey, err := VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return signer{}, err
	}
	by, err := note.NewVerifier(verifierKey)
	return signer{by, key}, err
}

// checkpoint signs what the tree is now.
func (s signer) checkpoint(t *tree) (string, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", s.Name(), t.size, t.root())
	signed, err := note.Sign(&note.Note{Text: text}, s)
	return string(signed), err
}
