package tokens

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

// The typ values of what this issuer signs. They keep one kind of token from
// passing for another (RFC 8725 section 3.11).
const (
	typAccessToken = "at+jwt" // RFC 9068 section 2.1
	typIDToken     = "JWT"
)

// maxTokenLength bounds what is looked at, before anything is decoded.
const maxTokenLength = 8 << 10

// protectedHeader returns the encoded header of the key's tokens of one type.
// It holds alg, kid and typ, if any, in one spelling.
func protectedHeader(alg, kid, typ string) string {
	var w claimWriter
	w.text("alg", alg)
	w.text("kid", kid)
	w.textIfAny("typ", typ)
	return base64.RawURLEncoding.EncodeToString(w.end())
}

// signCompact returns the JWS compact serialization (RFC 7515 section 3.1).
func (k *Keyring) signCompact(key *signingKey, header string, payload []byte) (string, error) {
	out := make([]byte, 0, len(header)+2+base64.RawURLEncoding.EncodedLen(len(payload))+base64.RawURLEncoding.EncodedLen(key.signatureSize()))
	out = append(out, header...)
	out = append(out, '.')
	out = base64.RawURLEncoding.AppendEncode(out, payload)
	started := k.cfg.Now()
	signature, err := key.sign(out)
	if k.cfg.Signed != nil {
		k.cfg.Signed(key.row.Alg, k.cfg.Now().Sub(started))
	}
	if err != nil {
		// The signer failing is an outage of ours, never the client's fault.
		return "", fmt.Errorf("sign with %s: %w: %w", key.row.KID, idp.ErrUnavailable, err)
	}
	out = append(out, '.')
	return string(base64.RawURLEncoding.AppendEncode(out, signature)), nil
}

// verifyCompact returns the payload of a token that one of the keys signed,
// looked up by the encoded header. A header that this issuer would not write
// finds no key, so alg, jwk, jku, x5u, crit and whatever else a header can say
// is never even read.
//
// ECDSA lets anyone turn a signature (r, s) into (r, -s), which verifies too.
// Nothing rests on it: a token is known by its jti, never by its signature.
func verifyCompact(keys map[string]*signingKey, raw string) ([]byte, error) {
	if len(raw) > maxTokenLength {
		return nil, malformed("too long")
	}
	header, rest, _ := strings.Cut(raw, ".")
	body, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil, malformed("not three segments")
	}
	key, ok := keys[header]
	if !ok {
		return nil, malformed("header or key is not ours")
	}
	for _, segment := range []string{body, signature} {
		if _, ok := decodeSegment(segment); !ok {
			return nil, malformed("not base64url")
		}
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.row.Alg)})
	if err != nil {
		return nil, malformed("not a JWS")
	}
	payload, err := jws.Verify(key.public)
	if err != nil {
		return nil, malformed("bad signature")
	}
	return payload, nil
}

// decodeSegment decodes unpadded base64url in its one spelling: the standard
// decoder would skip line breaks, and leave bits at the end alone if not strict.
func decodeSegment(s string) ([]byte, bool) {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return raw, err == nil
}
