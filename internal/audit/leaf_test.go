package audit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"idp/internal/idp"
)

// The form of a leaf never changes: what was sealed once is checked for years.
func TestLineIsAsItAlwaysWas(t *testing.T) {
	t.Parallel()
	e := idp.Event{
		ID: idp.ID{0x01, 0x9a, 0xb3, 0xf0, 1, 2, 0x73, 4, 0x85, 6, 7, 8, 9, 10, 11, 12}, At: time.Date(2026, 11, 23, 8, 1, 2, 345_678_999, time.UTC),
		Kind: idp.EventLoginFailed, ClientID: "web", UserID: "a\"b\\c\r\n\t\x1b[31m\x7f\u009b\u202e é 😀 \xff</script>",
		SessionID: "s", GrantID: "g", RequestID: "r", RemoteAddr: "192.0.2.7",
		Detail: map[string]string{"reason": "wrong_password", "b": "", "a": "\b\f"},
	}
	const line = `{"at":"2026-11-23T08:01:02.345678Z","client_id":"web","detail":{"a":"\b\f","b":"","reason":"wrong_password"},` +
		`"event_id":"019ab3f0-0102-7304-8506-0708090a0b0c","grant_id":"g","kind":"login.failed","remote_addr":"192.0.2.7","request_id":"r","session_id":"s",` +
		`"user_id":"a\"b\\c\r\n\t\u001b[31m\u007f\u009b\u202e \u00e9 \ud83d\ude00 \udcff</script>"}`
	require.Equal(t, line, string(Line(e)))
	require.Equal(t, sha256.Sum256(append([]byte{0}, line...)), leaf(e).Hash, "RFC 6962 section 2.1")
	require.Equal(t, `{"at":"0001-01-01T00:00:00.000000Z","client_id":"","detail":{},"event_id":"00000000-0000-0000-0000-000000000000","grant_id":"",`+
		`"kind":"","remote_addr":"","request_id":"","session_id":"","user_id":""}`, string(Line(idp.Event{})))
}

// Any text is read back from its line, which is printable ASCII.
func TestAnyTextIsInItsLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		line := Line(idp.Event{UserID: text, Detail: map[string]string{text: text}})
		for _, b := range line {
			if b < ' ' || b > '~' {
				t.Fatalf("%q in %q", b, line)
			}
		}
		var read struct {
			UserID string            `json:"user_id"`
			Detail map[string]string `json:"detail"`
		}
		if err := json.Unmarshal(line, &read); err != nil || read.UserID != text || read.Detail[text] != text {
			t.Fatalf("%q: %v %+v", line, err, read)
		}
	})
}

// The tree is that of the library, at every size, and goes on from its edge.
func TestTreeIsTheTreeOfRFC6962(t *testing.T) {
	t.Parallel()
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	grown := &tree{}
	for n := range int64(300) {
		text := fmt.Appendf(nil, "leaf %d", n)
		hashes, err := tlog.StoredHashes(n, text, read)
		require.NoError(t, err)
		stored = append(stored, hashes...)
		grown, err = treeOf(grown.size, grown.edge())
		require.NoError(t, err)
		grown.add(tlog.RecordHash(text))
		want, err := tlog.TreeHash(n+1, read)
		require.NoError(t, err)
		require.Equal(t, want, grown.root(), n)
	}
	_, err := treeOf(3, make([]byte, 32))
	require.ErrorIs(t, err, idp.ErrMalformed)
}
