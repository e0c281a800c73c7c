package idp

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// ID is 128 bits that name one thing: a grant, a session, an opaque access
// token, an audit event. The program makes it; no database does.
type ID [16]byte

// idText is the length of an ID's String.
const idText = 22

// String returns the ID as 22 characters of unpadded base64url.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// UUID returns the ID in the form of RFC 9562.
func (id ID) UUID() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseUUID reads what UUID wrote, and nothing else.
func ParseUUID(s string) (ID, error) {
	var id ID
	raw, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || copy(id[:], raw) != len(id) || id.UUID() != s {
		return ID{}, ErrMalformed
	}
	return id, nil
}

// IsZero reports whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String wrote, and nothing else.
func ParseID(s string) (ID, error) {
	var id ID
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(id) || len(s) != idText { // the decoder skips line breaks
		return id, ErrMalformed
	}
	copy(id[:], raw)
	return id, nil
}

// TimeOrderedID turns 128 random bits into an ID of RFC 9562 version 7: its
// first 48 bits are the milliseconds of t, so that later IDs sort after
// earlier ones.
func TimeOrderedID(t time.Time, random ID) ID {
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		random[i] = byte(ms >> (40 - 8*i))
	}
	random[6] = random[6]&0x0f | 0x70
	random[8] = random[8]&0x3f | 0x80
	return random
}

// FirstID returns what sorts before all time-ordered identifiers of t.
func FirstID(t time.Time) ID {
	if t.UnixMilli() < 0 {
		return ID{}
	}
	id := TimeOrderedID(t, ID{})
	clear(id[6:])
	return id
}

// Time returns the instant of a time-ordered identifier, to the millisecond.
func (id ID) Time() time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// Secret is a value that must not be shown: printing, logging or encoding it
// gives a placeholder. Reveal is the one way out.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
