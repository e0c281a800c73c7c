package demo

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// decodedToken is a token made readable. Nothing here is verified: it is for
// the eye.
type decodedToken struct {
	Opaque bool // not a JWT: only its issuer can read it
	Header []span
	Claims []span
}

func decodeToken(raw string) decodedToken {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return decodedToken{Opaque: true}
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return decodedToken{Opaque: true}
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return decodedToken{Opaque: true}
	}
	return decodedToken{Header: spans(header), Claims: spans(claims)}
}

// span is a piece of JSON text with its class for the style sheet. The spans
// of a document add up to its text; Note is shown beside it.
type span struct {
	Class string // k(ey), s(tring), n(umber or literal), or empty for the rest
	Text  string
	Note  string
}

// spans cuts indented JSON into coloured pieces. What is not JSON comes back
// whole.
func spans(raw []byte) []span {
	text, ok := indent(raw)
	if !ok {
		return []span{{Text: text}}
	}
	var out []span
	lastKey := ""
	for text != "" {
		n := len(text) - len(strings.TrimLeft(text, " \n{}[],:"))
		if n > 0 {
			out, text = append(out, span{Text: text[:n]}), text[n:]
			continue
		}
		if text[0] == '"' {
			n = stringEnd(text)
			s := span{Class: "s", Text: text[:n]}
			if strings.HasPrefix(text[n:], ":") {
				s.Class, lastKey = "k", strings.Trim(s.Text, `"`)
			}
			out, text = append(out, s), text[n:]
			continue
		}
		n = strings.IndexAny(text, " \n{}[],:")
		if n < 0 {
			n = len(text)
		}
		out, text = append(out, span{Class: "n", Text: text[:n], Note: instant(lastKey, text[:n])}), text[n:]
	}
	return out
}

// stringEnd returns the index after the JSON string that text begins with.
func stringEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// instant reads a NumericDate (RFC 7519 section 2) of the claims that are one.
func instant(claim, number string) string {
	switch claim {
	case "exp", "iat", "nbf", "auth_time", "updated_at":
	default:
		return ""
	}
	seconds, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
