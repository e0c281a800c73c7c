package audit

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"idp/internal/idp"
)

// instant writes times with all their six digits.
const instant = "2006-01-02T15:04:05.000000Z"

// Line returns what an event says as one line of JSON without its end: every
// column, the names in order, no white space, and nothing but printable ASCII.
// It is the line of an export, and what the leaf of the event is the hash of.
//
// The form never changes. Python's json.dumps(event, sort_keys=True,
// separators=(",", ":")) gives the same bytes.
func Line(e idp.Event) []byte {
	out := make([]byte, 0, 512)
	out = appendText(append(out, `{"at":`...), e.At.UTC().Format(instant))
	out = appendText(append(out, `,"client_id":`...), e.ClientID)
	out = append(out, `,"detail":{`...)
	for i, name := range slices.Sorted(maps.Keys(e.Detail)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendText(append(appendText(out, name), ':'), e.Detail[name])
	}
	out = appendText(append(out, `},"event_id":`...), e.ID.UUID())
	out = appendText(append(out, `,"grant_id":`...), e.GrantID)
	out = appendText(append(out, `,"kind":`...), string(e.Kind))
	out = appendText(append(out, `,"remote_addr":`...), e.RemoteAddr)
	out = appendText(append(out, `,"request_id":`...), e.RequestID)
	out = appendText(append(out, `,"session_id":`...), e.SessionID)
	out = appendText(append(out, `,"user_id":`...), e.UserID)
	return append(out, '}')
}

// appendText writes a JSON string in ASCII. A byte that is no UTF-8 becomes a
// lone surrogate, so that no two texts are written alike.
func appendText(out []byte, s string) []byte {
	out = append(out, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\udc%02x`, s[i])
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\b':
			out = append(out, `\b`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r >= ' ' && r <= '~':
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return append(out, '"')
}

// leaf returns what stands for an event in the log (RFC 6962 section 2.1).
func leaf(e idp.Event) idp.Leaf {
	return idp.Leaf{EventID: e.ID, Hash: tlog.RecordHash(Line(e))}
}
