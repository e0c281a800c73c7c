package tokens

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"idp/internal/idp"
)

// An opaque token is a prefix that names its kind to secret scanners, and 60
// bytes in base64url:
//
//	0      version
//	1      kind
//	2-3    day on which what it stands for ends
//	4-19   ID
//	20-23  generation
//	24-55  proof: HMAC-SHA256 over bytes 0 to 23 and the salt of the row
//	56-59  CRC-32 over bytes 0 to 55
//
// 60 bytes fill 80 characters without a bit to spare, so there is one spelling.
// The checksum lets garbage be refused before the database is asked; only the
// proof proves anything.
const (
	opaqueVersion  = 1
	opaqueClaims   = 24 // bytes that the proof covers
	opaqueChecked  = 56 // bytes that the checksum covers
	opaqueSize     = 60
	opaqueTextSize = 80
	opaqueMinSalt  = 16
)

var opaqueKinds = []idp.TokenKind{
	idp.KindCode, idp.KindRefresh, idp.KindAccess, idp.KindSession, idp.KindPushed, idp.KindInitial, idp.KindRegistration,
	idp.KindDevice, idp.KindLink,
}

func opaquePrefix(kind idp.TokenKind) string {
	switch kind {
	case idp.KindCode:
		return "idp_ac_"
	case idp.KindRefresh:
		return "idp_rt_"
	case idp.KindAccess:
		return "idp_at_"
	case idp.KindSession:
		return "idp_s_"
	case idp.KindPushed:
		return "idp_par_"
	case idp.KindInitial:
		return "idp_ri_"
	case idp.KindRegistration:
		return "idp_rr_"
	case idp.KindDevice:
		return "idp_d_"
	case idp.KindLink:
		return "idp_l_"
	}
	return ""
}

// salted reports whether a salt will do for the kind. Access tokens have none:
// nothing is derived from them again, so their rows carry only the ID.
func salted(kind idp.TokenKind, salt []byte) bool {
	if kind == idp.KindAccess {
		return len(salt) == 0
	}
	return len(salt) >= opaqueMinSalt
}

// MintOpaque returns the token that t describes. It is a pure function of t,
// the salt and the master key: the same link of a refresh family is the same
// token each time. Salt is the row's own, at least 16 random bytes, and none
// for an access token; any other, or a kind that does not exist, is a mistake
// in the program and panics.
func (m *Master) MintOpaque(t idp.OpaqueToken, salt []byte) string {
	prefix := opaquePrefix(t.Kind)
	if prefix == "" || !salted(t.Kind, salt) {
		panic(fmt.Sprintf("tokens: opaque token of kind %q with %d bytes of salt", byte(t.Kind), len(salt)))
	}
	var raw [opaqueSize]byte
	raw[0], raw[1] = opaqueVersion, byte(t.Kind)
	binary.BigEndian.PutUint16(raw[2:], uint16(t.ExpiresOn))
	copy(raw[4:], t.ID[:])
	binary.BigEndian.PutUint32(raw[20:], t.Generation)
	copy(raw[opaqueClaims:], m.mac(purposeOpaque, raw[:opaqueClaims], salt))
	binary.BigEndian.PutUint32(raw[opaqueChecked:], crc32.ChecksumIEEE(raw[:opaqueChecked]))
	text := make([]byte, 0, len(prefix)+opaqueTextSize)
	text = append(text, prefix...)
	return string(base64.RawURLEncoding.AppendEncode(text, raw[:]))
}

// ParseOpaque reads what a token of the kind says of itself. It proves
// nothing: look the row up, then ask VerifyOpaque. Whatever MintOpaque cannot
// have written is idp.ErrMalformed.
func (*Master) ParseOpaque(kind idp.TokenKind, s string) (idp.OpaqueToken, error) {
	t, _, ok := parseOpaque(kind, s)
	if !ok {
		return idp.OpaqueToken{}, fmt.Errorf("opaque token: %w", idp.ErrMalformed)
	}
	return t, nil
}

// VerifyOpaque reports, in constant time, whether s is a token that was minted
// with the salt.
func (m *Master) VerifyOpaque(s string, salt []byte) bool {
	for _, kind := range opaqueKinds {
		if _, raw, ok := parseOpaque(kind, s); ok {
			return salted(kind, salt) && hmac.Equal(raw[opaqueClaims:opaqueChecked], m.mac(purposeOpaque, raw[:opaqueClaims], salt))
		}
	}
	return false
}

func parseOpaque(kind idp.TokenKind, s string) (idp.OpaqueToken, [opaqueSize]byte, bool) {
	var raw [opaqueSize]byte
	prefix := opaquePrefix(kind)
	text, ok := strings.CutPrefix(s, prefix)
	if prefix == "" || !ok || len(text) != opaqueTextSize {
		return idp.OpaqueToken{}, raw, false
	}
	// A line break, which the decoder skips, leaves fewer than 60 bytes.
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(text))
	if err != nil || n != opaqueSize || raw[0] != opaqueVersion || raw[1] != byte(kind) ||
		binary.BigEndian.Uint32(raw[opaqueChecked:]) != crc32.ChecksumIEEE(raw[:opaqueChecked]) {
		return idp.OpaqueToken{}, raw, false
	}
	return idp.OpaqueToken{
		Kind:       kind,
		ExpiresOn:  idp.Day(binary.BigEndian.Uint16(raw[2:])),
		ID:         idp.ID(raw[4:20]),
		Generation: binary.BigEndian.Uint32(raw[20:]),
	}, raw, true
}
