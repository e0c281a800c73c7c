package tokens

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

// maxEncryptedLength bounds what is decrypted, in bytes, before it is read.
const maxEncryptedLength = 16 << 10

// openedHeader are the members that the header of something encrypted to this
// issuer may have. Compression is not among them, nor a password's hash, nor
// anything that has keys come from elsewhere.
var openedHeader = []string{"alg", "enc", "kid", "epk", "apu", "apv", "cty", "typ"}

// Decrypt opens a compact JWE (RFC 7516 section 7.1) that a client encrypted to
// one of the published keys with the algorithm that it registered; an empty enc
// allows all of idp.ContentEncryptions. Only a nested JWT can be inside.
// Anything else is idp.ErrMalformed; an empty alg allows nothing.
func (k *Keyring) Decrypt(raw, alg, enc string) (string, error) {
	kid, enc, err := readEncrypted(raw, alg, enc)
	if err != nil {
		return "", err
	}
	jwe, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)}, []jose.ContentEncryption{jose.ContentEncryption(enc)})
	if err != nil {
		return "", malformed("not a JWE")
	}
	s, _ := k.current()
	for _, key := range s.openers {
		if key.row.Alg != alg || kid != "" && key.row.KID != kid {
			continue
		}
		if content, err := jwe.Decrypt(key.private); err == nil {
			return string(content), nil
		}
	}
	return "", malformed("not encrypted to one of the keys")
}

// readEncrypted judges a JWE by its form alone, and returns the key and the
// content encryption that it names.
func readEncrypted(raw, alg, enc string) (kid, contentEncryption string, err error) {
	if !isEncryption(alg) {
		return "", "", malformed("encryption is not registered")
	}
	if len(raw) > maxEncryptedLength {
		return "", "", malformed("too long")
	}
	segments := strings.SplitN(raw, ".", 6)
	if len(segments) != 5 {
		return "", "", malformed("not five segments")
	}
	var parts [5][]byte
	for i, segment := range segments {
		if i == 1 && alg == idp.AlgECDHES && segment == "" {
			continue // the key is agreed on, none is sent
		}
		var ok bool
		if parts[i], ok = decodeSegment(segment); !ok {
			return "", "", malformed("not base64url")
		}
	}
	r, err := readClaims(parts[0])
	if err != nil {
		return "", "", err
	}
	for name := range r.claims {
		if !slices.Contains(openedHeader, name) {
			return "", "", malformed("a header parameter is not supported")
		}
	}
	named := r.text("enc", true)
	if got := r.text("alg", true); got != alg || enc != "" && named != enc || !slices.Contains(idp.ContentEncryptions(), named) {
		return "", "", malformed("encrypted with algorithms that are not allowed")
	}
	kid = r.text("kid", false)
	if cty := r.text("cty", false); cty != "" && !strings.EqualFold(cty, "JWT") {
		return "", "", malformed("what is inside is no JWT")
	}
	iv, tag := 12, 16 // RFC 7518 section 5.3
	switch named {
	case idp.EncA128CBCHS256: // section 5.2.3
		iv = 16
	case idp.EncA256CBCHS512: // section 5.2.5
		iv, tag = 16, 32
	}
	if r.err == nil && (len(parts[2]) != iv || len(parts[4]) != tag) {
		return "", "", malformed("initialization vector or tag is of the wrong length")
	}
	return kid, named, r.err
}
